//! The plan machine: pure, sans-IO. Inputs and `now` go in; events come out first, to be made durable, then the
//! actions that follow from them.
//!
//! States: `waiting → (awaiting approval) → running → applied | deferred | failed`, or `skipped`. On an unknown
//! outcome, a lost worker or a passed deadline the next thing is always an observation, never a second try.
//! Every state change goes through [`Machine::apply`], so replaying the events gives the same machine.

use std::collections::{BTreeMap, BTreeSet, VecDeque};

use jiff::{SignedDuration, Timestamp};
use serde::{Deserialize, Serialize};

use super::step::{Class, Phase, Plan, Step, StepAction, patience};
use crate::id::StepId;
use crate::outcome::Outcome;

/// Observations of one unknown outcome before a person is asked.
const OBSERVES_MAX: u32 = 8;

/// Where one step stands.
#[derive(Clone, Debug, Deserialize, Eq, PartialEq, Serialize)]
#[serde(rename_all = "kebab-case", tag = "is")]
pub enum StepState {
    /// Something it needs has not finished.
    Waiting,
    /// Everything it needs is done; people must approve it first.
    AwaitingApproval,
    /// Claimed by a worker; an outcome is owed before the deadline.
    Running {
        /// Counts from 1.
        attempt: u32,
        /// Performing or only looking.
        phase: Phase,
        /// Who.
        worker: String,
        /// Until when.
        deadline: Timestamp,
    },
    /// To be taken up again at `until`.
    Deferred {
        /// The attempt that ended.
        attempt: u32,
        /// What the coming attempt does.
        phase: Phase,
        /// Not before.
        until: Timestamp,
        /// Why.
        reason: String,
    },
    /// The effect is in force.
    Applied,
    /// A person decided to go on without it.
    Skipped,
    /// Gave up; steps that need it wait until a person decides.
    Failed {
        /// Why.
        reason: String,
    },
}

impl StepState {
    /// Steps that need this one may go on.
    pub fn satisfies(&self) -> bool {
        matches!(self, Self::Applied | Self::Skipped)
    }

    /// The moment at which this state changes by itself, if it ever does.
    fn wakes_at(&self) -> Option<Timestamp> {
        match self {
            Self::Running { deadline: at, .. } | Self::Deferred { until: at, .. } => Some(*at),
            Self::Waiting | Self::AwaitingApproval | Self::Applied | Self::Skipped | Self::Failed { .. } => {
                None
            }
        }
    }
}

/// What the machine decided about a finished attempt. Kept in the event, so that replay does not depend on code.
#[derive(Clone, Debug, Deserialize, Eq, PartialEq, Serialize)]
#[serde(rename_all = "kebab-case", tag = "then")]
pub enum Flow {
    /// The effect is in force.
    Done,
    /// Look or try again.
    Again {
        /// Which.
        phase: Phase,
        /// Not before.
        at: Timestamp,
    },
    /// A person must decide.
    Stuck,
}

/// Something that happened to a step, as written to the ledger.
#[derive(Clone, Debug, Deserialize, Eq, PartialEq, Serialize)]
#[serde(rename_all = "kebab-case", tag = "step_event")]
pub enum StepEvent {
    /// People are asked.
    ApprovalRequested { step: StepId, plan_hash: String, needed: u8 },
    /// One person said yes to exactly this.
    ApprovalGranted { step: StepId, plan_hash: String, by: String, expires_at: Timestamp },
    /// One person said no.
    ApprovalRefused { step: StepId, by: String, reason: String },
    /// The intent: recorded before anything is done.
    Started { step: StepId, attempt: u32, phase: Phase, worker: String, deadline: Timestamp },
    /// The result.
    Finished { step: StepId, attempt: u32, phase: Phase, outcome: Outcome, flow: Flow },
    /// The worker died or the deadline passed: the outcome is unknown.
    Lost { step: StepId, attempt: u32, worker: String, why: String },
    /// A person asked for another try. It begins with an observation if anything was ever started.
    Retried { step: StepId, by: String },
    /// A person decided to go on without it.
    Skipped { step: StepId, by: String, reason: String },
    /// A person states that the effect is in force.
    Resolved { step: StepId, by: String, statement: String },
}

impl StepEvent {
    /// The step it is about.
    pub fn step(&self) -> &StepId {
        match self {
            Self::ApprovalRequested { step, .. }
            | Self::ApprovalGranted { step, .. }
            | Self::ApprovalRefused { step, .. }
            | Self::Started { step, .. }
            | Self::Finished { step, .. }
            | Self::Lost { step, .. }
            | Self::Retried { step, .. }
            | Self::Skipped { step, .. }
            | Self::Resolved { step, .. } => step,
        }
    }
}

/// Something the driver must now do.
#[derive(Clone, Debug, Eq, PartialEq)]
pub enum Action {
    /// Perform or observe; report the outcome with the same attempt and phase.
    Run { step: StepId, attempt: u32, phase: Phase },
    /// Ask people.
    AskApproval { step: StepId },
    /// Tell people that a step gave up.
    Page { step: StepId, reason: String },
}

/// One person's approval of one step.
#[derive(Clone, Debug)]
pub struct Approval<'a> {
    /// Which step.
    pub step: &'a StepId,
    /// The plan as the person saw it.
    pub plan_hash: &'a str,
    /// Who.
    pub by: &'a str,
    /// Until when it is good.
    pub expires_at: Timestamp,
}

/// Why an input was not accepted. The machine is unchanged.
#[derive(Clone, Debug, Eq, PartialEq, thiserror::Error)]
pub enum Refusal {
    /// The plan has no such step.
    #[error("the plan has no step `{0}`")]
    NoSuchStep(StepId),
    /// The input does not fit the state.
    #[error("step `{step}` is {state}, so `{input}` does not apply")]
    WrongState { step: StepId, state: String, input: &'static str },
    /// The approval is for another plan.
    #[error("the approval is for plan {given}, but the plan is {now}; look at the plan again")]
    OtherPlan { given: String, now: String },
    /// The approval's time has passed.
    #[error("the approval had expired at {0}")]
    Expired(Timestamp),
    /// The same person twice.
    #[error("{0} has approved this step already; another person is needed")]
    SamePerson(String),
    /// Later steps need what this one makes, or the proof is what it is about.
    #[error("step `{step}` cannot be {input}: {why}")]
    Essential { step: StepId, input: &'static str, why: &'static str },
}

#[derive(Clone, Debug, Eq, PartialEq)]
struct Slot {
    state: StepState,
    /// Attempts started, of either phase. Never reset, so that each has its own number and a late report of an
    /// earlier one can be told apart.
    attempts: u32,
    /// Performing attempts since the last decision of a person.
    performs: u32,
    /// Observations since the last performing attempt.
    observes: u32,
    /// Who approved, until when.
    approvals: BTreeMap<String, Timestamp>,
    asked: bool,
}

/// Deliberate mistakes, so that the simulation can show that it would catch them.
#[cfg(test)]
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum Flaw {
    RetryUnknownBlindly,
    IgnoreApprovals,
    IgnoreNeeds,
    AcceptLateReports,
    PerformAfterLost,
    StartTwice,
    BlockEverything,
    Oversleep,
    BelieveAnything,
}

/// One incident's plan in motion.
#[derive(Clone, Debug)]
pub struct Machine {
    plan: Plan,
    plan_hash: String,
    index: BTreeMap<StepId, usize>,
    needs: Vec<Vec<usize>>,
    slots: Vec<Slot>,
    events: VecDeque<StepEvent>,
    actions: VecDeque<Action>,
    #[cfg(test)]
    pub(super) flaw: Option<Flaw>,
}

impl Machine {
    /// A plan of which nothing has started.
    pub fn new(plan: Plan) -> Self {
        let index: BTreeMap<StepId, usize> =
            plan.steps.iter().enumerate().map(|(i, s)| (s.id.clone(), i)).collect();
        let needs = plan
            .steps
            .iter()
            .map(|s| s.needs.iter().filter_map(|n| index.get(n).copied()).collect())
            .collect();
        let fresh = Slot {
            state: StepState::Waiting,
            attempts: 0,
            performs: 0,
            observes: 0,
            approvals: BTreeMap::new(),
            asked: false,
        };
        Self {
            plan_hash: plan.hash(),
            slots: vec![fresh; plan.steps.len()],
            index,
            needs,
            plan,
            events: VecDeque::new(),
            actions: VecDeque::new(),
            #[cfg(test)]
            flaw: None,
        }
    }

    /// The machine after these events. Events of steps that the plan does not have are ignored.
    pub fn replay<'a>(plan: Plan, events: impl IntoIterator<Item = &'a StepEvent>) -> Self {
        let mut machine = Self::new(plan);
        for event in events {
            machine.apply(event);
        }
        machine
    }

    /// The plan it runs.
    pub fn plan(&self) -> &Plan {
        &self.plan
    }

    /// The plan's hash, to which approvals bind.
    pub fn plan_hash(&self) -> &str {
        &self.plan_hash
    }

    /// Where a step stands.
    pub fn state(&self, step: &StepId) -> Option<&StepState> {
        self.index.get(step).and_then(|i| self.slots.get(*i)).map(|s| &s.state)
    }

    /// Every step with its state, in plan order.
    pub fn states(&self) -> impl Iterator<Item = (&Step, &StepState)> {
        self.plan.steps.iter().zip(self.slots.iter().map(|s| &s.state))
    }

    /// People whose approval of a step still holds, and how many are needed.
    pub fn approvals(&self, step: &StepId, now: Timestamp) -> (Vec<&str>, u8) {
        let Some(i) = self.index.get(step).copied() else { return (Vec::new(), 0) };
        let approvals = self.slots.get(i).map(|s| &s.approvals).into_iter().flatten();
        let by = approvals.filter(|(_, until)| **until > now).map(|(by, _)| by.as_str()).collect();
        (by, self.plan.steps.get(i).map_or(0, |s| s.approvals))
    }

    /// Every step, counter and approval stands the same; what is queued does not count.
    #[cfg(test)]
    pub(super) fn same_state(&self, other: &Self) -> bool {
        self.slots == other.slots
    }

    /// Becomes what replaying the same events would give, faster than [`Machine::replay`] does it.
    #[cfg(test)]
    pub(super) fn become_replay_of(&mut self, other: &Self) {
        self.slots.clone_from(&other.slots);
        self.events.clear();
        self.actions.clear();
    }

    /// Every step is applied or skipped (best-effort ones may have failed).
    pub fn is_done(&self) -> bool {
        self.states().all(|(step, state)| {
            state.satisfies() || (step.best_effort && matches!(state, StepState::Failed { .. }))
        })
    }

    /// Nothing is running, due or startable without a person.
    pub fn is_idle(&self) -> bool {
        self.states().all(|(_, state)| state.wakes_at().is_none())
    }

    /// Starts what can start (at most `room` steps) and asks for what needs approval.
    pub fn advance(&mut self, now: Timestamp, worker: &str, room: usize) {
        let mut room = room;
        let complete = self.complete();
        for i in 0..self.slots.len() {
            let Some((step, state)) = self.step_and_state(i) else { continue };
            match state {
                StepState::Waiting | StepState::AwaitingApproval if self.needs_met(i, &complete) => {
                    if self.approved(i, now) {
                        if room > 0 {
                            room -= 1;
                            self.start(now, i, worker, Phase::Perform);
                        }
                    } else if !self.slots.get(i).is_some_and(|s| s.asked) {
                        let (step, needed) = (step.id.clone(), step.approvals);
                        self.emit(StepEvent::ApprovalRequested {
                            step: step.clone(),
                            plan_hash: self.plan_hash.clone(),
                            needed,
                        });
                        self.actions.push_back(Action::AskApproval { step });
                    }
                }
                StepState::Deferred { phase, until, .. } if *until <= now && room > 0 => {
                    let phase = *phase;
                    if phase == Phase::Observe || self.approved(i, now) {
                        room -= 1;
                        self.start(now, i, worker, phase);
                    } else {
                        let (step, needed) = (step.id.clone(), step.approvals);
                        self.emit(StepEvent::ApprovalRequested {
                            step: step.clone(),
                            plan_hash: self.plan_hash.clone(),
                            needed,
                        });
                        self.actions.push_back(Action::AskApproval { step });
                    }
                }
                StepState::Running { attempt, worker, deadline, phase } if *deadline <= now => {
                    let (step, attempt, worker, phase) = (step.id.clone(), *attempt, worker.clone(), *phase);
                    let looked = self.slots.get(i).map_or(0, |s| s.observes);
                    if phase == Phase::Observe && looked >= OBSERVES_MAX {
                        // Looks that are never answered must end somewhere: with a person.
                        let reason = "its outcome is unknown, and no look at it was ever answered".to_owned();
                        let outcome = Outcome::unknown(reason.clone());
                        self.emit(StepEvent::Finished {
                            step: step.clone(),
                            attempt,
                            phase,
                            outcome,
                            flow: Flow::Stuck,
                        });
                        self.actions.push_back(Action::Page { step, reason });
                    } else {
                        let why = "the deadline passed".to_owned();
                        self.emit(StepEvent::Lost { step, attempt, worker, why });
                    }
                }
                StepState::Waiting
                | StepState::AwaitingApproval
                | StepState::Running { .. }
                | StepState::Deferred { .. }
                | StepState::Applied
                | StepState::Skipped
                | StepState::Failed { .. } => {}
            }
        }
    }

    /// The driver reports how attempt `attempt` of `step` went. A late, repeated or foreign report is refused and
    /// changes nothing.
    pub fn report(
        &mut self,
        now: Timestamp,
        step: &StepId,
        attempt: u32,
        phase: Phase,
        outcome: Outcome,
    ) -> Result<(), Refusal> {
        let i = self.find(step)?;
        let slot = self.slot(i)?;
        let current = matches!(slot.state, StepState::Running { attempt: a, phase: p, .. } if a == attempt && p == phase);
        #[cfg(test)]
        let current = current || self.flaw == Some(Flaw::AcceptLateReports);
        if !current {
            return Err(self.wrong_state(i, "report"));
        }
        let (performs, observes) = (slot.performs, slot.observes);
        let flow = self.decide(now, i, performs, observes, phase, &outcome);
        let page = (flow == Flow::Stuck).then(|| reason_of(&outcome));
        self.emit(StepEvent::Finished { step: step.clone(), attempt, phase, outcome, flow });
        if let Some(reason) = page {
            self.actions.push_back(Action::Page { step: step.clone(), reason });
        }
        Ok(())
    }

    /// The pure heart: what follows from an outcome.
    fn decide(
        &self,
        now: Timestamp,
        i: usize,
        performs: u32,
        observes: u32,
        phase: Phase,
        outcome: &Outcome,
    ) -> Flow {
        let Some(step) = self.plan.steps.get(i) else { return Flow::Stuck };
        #[cfg(test)]
        if self.flaw == Some(Flaw::RetryUnknownBlindly) && matches!(outcome, Outcome::Unknown { .. }) {
            return Flow::Again { phase: Phase::Perform, at: now };
        }
        let try_again = |wait: SignedDuration| {
            if performs >= step.max_attempts {
                Flow::Stuck
            } else {
                Flow::Again { phase: Phase::Perform, at: now + wait }
            }
        };
        match (phase, outcome) {
            (_, Outcome::Applied { .. }) => Flow::Done,
            (Phase::Perform, Outcome::NotApplied { retryable: true, retry_after_ms, .. }) => {
                let asked = retry_after_ms
                    .map(|ms| SignedDuration::from_millis(i64::try_from(ms.min(600_000)).unwrap_or(600_000)));
                try_again(asked.unwrap_or_else(|| patience(performs + 1)))
            }
            (Phase::Perform, Outcome::NotApplied { retryable: false, .. }) => Flow::Stuck,
            // It is known not to be in force, so performing again is no blind retry.
            (Phase::Observe, Outcome::NotApplied { .. }) => try_again(SignedDuration::ZERO),
            (Phase::Perform, Outcome::Unknown { .. }) => Flow::Again { phase: Phase::Observe, at: now },
            (Phase::Observe, Outcome::Unknown { .. }) => {
                if observes >= OBSERVES_MAX {
                    Flow::Stuck
                } else {
                    Flow::Again { phase: Phase::Observe, at: now + patience(observes + 1) }
                }
            }
        }
    }

    /// A worker is known to be dead: its running steps have an unknown outcome.
    pub fn worker_lost(&mut self, worker: &str) {
        for i in 0..self.slots.len() {
            let Some((step, StepState::Running { attempt, worker: owner, .. })) = self.step_and_state(i)
            else {
                continue;
            };
            if owner == worker {
                let (step, attempt) = (step.id.clone(), *attempt);
                self.emit(StepEvent::Lost {
                    step,
                    attempt,
                    worker: worker.to_owned(),
                    why: "the worker is gone".to_owned(),
                });
            }
        }
    }

    /// Workers that have steps running.
    pub fn workers(&self) -> BTreeSet<&str> {
        self.slots
            .iter()
            .filter_map(|s| match &s.state {
                StepState::Running { worker, .. } => Some(worker.as_str()),
                StepState::Waiting
                | StepState::AwaitingApproval
                | StepState::Deferred { .. }
                | StepState::Applied
                | StepState::Skipped
                | StepState::Failed { .. } => None,
            })
            .collect()
    }

    /// A person approves exactly what runs: this step of this plan, until then. May come before the step is ready.
    pub fn approve(&mut self, now: Timestamp, approval: &Approval<'_>) -> Result<(), Refusal> {
        let i = self.find(approval.step)?;
        if approval.plan_hash != self.plan_hash {
            return Err(Refusal::OtherPlan {
                given: approval.plan_hash.to_owned(),
                now: self.plan_hash.clone(),
            });
        }
        if approval.expires_at <= now {
            return Err(Refusal::Expired(approval.expires_at));
        }
        let slot = self.slot(i)?;
        match slot.state {
            StepState::Waiting | StepState::AwaitingApproval | StepState::Deferred { .. } => {}
            StepState::Running { .. }
            | StepState::Applied
            | StepState::Skipped
            | StepState::Failed { .. } => {
                return Err(self.wrong_state(i, "approve"));
            }
        }
        if slot.approvals.get(approval.by).is_some_and(|until| *until > now) {
            return Err(Refusal::SamePerson(approval.by.to_owned()));
        }
        self.emit(StepEvent::ApprovalGranted {
            step: approval.step.clone(),
            plan_hash: approval.plan_hash.to_owned(),
            by: approval.by.to_owned(),
            expires_at: approval.expires_at,
        });
        Ok(())
    }

    /// A person says no. The step fails until somebody retries, skips or resolves it.
    pub fn refuse(&mut self, step: &StepId, by: &str, reason: &str) -> Result<(), Refusal> {
        let i = self.find(step)?;
        match self.slot(i)?.state {
            StepState::Waiting | StepState::AwaitingApproval | StepState::Deferred { .. } => {
                self.emit(StepEvent::ApprovalRefused {
                    step: step.clone(),
                    by: by.to_owned(),
                    reason: reason.to_owned(),
                });
                Ok(())
            }
            StepState::Running { .. }
            | StepState::Applied
            | StepState::Skipped
            | StepState::Failed { .. } => Err(self.wrong_state(i, "refuse")),
        }
    }

    /// A person asks for another try of a failed step.
    pub fn retry(&mut self, step: &StepId, by: &str) -> Result<(), Refusal> {
        let i = self.find(step)?;
        match self.slot(i)?.state {
            StepState::Failed { .. } => {
                self.emit(StepEvent::Retried { step: step.clone(), by: by.to_owned() });
                Ok(())
            }
            StepState::Waiting
            | StepState::AwaitingApproval
            | StepState::Running { .. }
            | StepState::Deferred { .. }
            | StepState::Applied
            | StepState::Skipped => Err(self.wrong_state(i, "retry")),
        }
    }

    /// A person decides to go on without it. Refused for steps whose result later steps need, and for proofs.
    pub fn skip(&mut self, step: &StepId, by: &str, reason: &str) -> Result<(), Refusal> {
        let i = self.find(step)?;
        if let Some(why) = self.essential(i) {
            return Err(Refusal::Essential { step: step.clone(), input: "skipped", why });
        }
        self.settle(
            i,
            "skip",
            StepEvent::Skipped { step: step.clone(), by: by.to_owned(), reason: reason.to_owned() },
        )
    }

    /// A person states that the effect is in force, with the reason. Refused where only a machine can know.
    pub fn resolve(&mut self, step: &StepId, by: &str, statement: &str) -> Result<(), Refusal> {
        let i = self.find(step)?;
        if let Some(why) = self.essential(i) {
            return Err(Refusal::Essential { step: step.clone(), input: "resolved", why });
        }
        self.settle(
            i,
            "resolve",
            StepEvent::Resolved { step: step.clone(), by: by.to_owned(), statement: statement.to_owned() },
        )
    }

    fn essential(&self, i: usize) -> Option<&'static str> {
        #[cfg(test)]
        if self.flaw == Some(Flaw::BelieveAnything) {
            return None;
        }
        self.plan.steps.get(i).and_then(essential)
    }

    fn settle(&mut self, i: usize, input: &'static str, event: StepEvent) -> Result<(), Refusal> {
        match self.slot(i)?.state {
            StepState::Waiting
            | StepState::AwaitingApproval
            | StepState::Deferred { .. }
            | StepState::Failed { .. } => {
                self.emit(event);
                Ok(())
            }
            StepState::Running { .. } | StepState::Applied | StepState::Skipped => {
                Err(self.wrong_state(i, input))
            }
        }
    }

    /// When to call [`Machine::advance`] next, if ever.
    pub fn poll_timeout(&self) -> Option<Timestamp> {
        #[cfg(test)]
        if self.flaw == Some(Flaw::Oversleep) {
            return self.slots.iter().filter_map(|s| s.state.wakes_at()).max();
        }
        self.slots.iter().filter_map(|s| s.state.wakes_at()).min()
    }

    /// The next event to make durable. Drain and commit these before the actions.
    pub fn poll_event(&mut self) -> Option<StepEvent> {
        self.events.pop_front()
    }

    /// The next action to carry out.
    pub fn poll_action(&mut self) -> Option<Action> {
        self.actions.pop_front()
    }

    fn emit(&mut self, event: StepEvent) {
        self.apply(&event);
        self.events.push_back(event);
    }

    fn start(&mut self, now: Timestamp, i: usize, worker: &str, phase: Phase) {
        let Some(step) = self.plan.steps.get(i) else { return };
        let Some(slot) = self.slots.get(i) else { return };
        let attempt = slot.attempts + 1;
        let limit = SignedDuration::from_millis(i64::try_from(step.limit_ms).unwrap_or(i64::MAX / 2));
        let step = step.id.clone();
        let deadline = now.checked_add(limit).unwrap_or(Timestamp::MAX);
        self.emit(StepEvent::Started {
            step: step.clone(),
            attempt,
            phase,
            worker: worker.to_owned(),
            deadline,
        });
        let run = Action::Run { step, attempt, phase };
        #[cfg(test)]
        if self.flaw == Some(Flaw::StartTwice) {
            self.actions.push_back(run.clone());
        }
        self.actions.push_back(run);
    }

    /// The fold. Total: an event that does not fit the state is taken as written, since it is a fact.
    pub fn apply(&mut self, event: &StepEvent) {
        let Some(i) = self.index.get(event.step()).copied() else { return };
        #[cfg(test)]
        let perform_after_lost = self.flaw == Some(Flaw::PerformAfterLost);
        #[cfg(not(test))]
        let perform_after_lost = false;
        let Some(slot) = self.slots.get_mut(i) else { return };
        match event {
            StepEvent::ApprovalRequested { .. } => {
                slot.asked = true;
                slot.state = StepState::AwaitingApproval;
            }
            StepEvent::ApprovalGranted { by, expires_at, .. } => {
                slot.approvals.insert(by.clone(), *expires_at);
            }
            StepEvent::ApprovalRefused { by, reason, .. } => {
                slot.approvals.clear();
                slot.state = StepState::Failed { reason: format!("refused by {by}: {reason}") };
            }
            StepEvent::Started { attempt, phase, worker, deadline, .. } => {
                slot.attempts = *attempt;
                match phase {
                    Phase::Perform => {
                        slot.performs += 1;
                        slot.observes = 0;
                    }
                    Phase::Observe => slot.observes += 1,
                }
                slot.state = StepState::Running {
                    attempt: *attempt,
                    phase: *phase,
                    worker: worker.clone(),
                    deadline: *deadline,
                };
            }
            StepEvent::Finished { attempt, outcome, flow, .. } => {
                slot.state = match flow {
                    Flow::Done => StepState::Applied,
                    Flow::Again { phase, at } => StepState::Deferred {
                        attempt: *attempt,
                        phase: *phase,
                        until: *at,
                        reason: reason_of(outcome),
                    },
                    Flow::Stuck => StepState::Failed { reason: reason_of(outcome) },
                };
            }
            StepEvent::Lost { attempt, why, .. } => {
                let phase = if perform_after_lost { Phase::Perform } else { Phase::Observe };
                slot.state = StepState::Deferred {
                    attempt: *attempt,
                    phase,
                    until: Timestamp::UNIX_EPOCH,
                    reason: why.clone(),
                };
            }
            StepEvent::Retried { by, .. } => {
                slot.asked = false;
                slot.observes = 0;
                slot.performs = 0;
                slot.state = if slot.attempts > 0 {
                    let reason = format!("another try asked for by {by}");
                    StepState::Deferred {
                        attempt: slot.attempts,
                        phase: Phase::Observe,
                        until: Timestamp::UNIX_EPOCH,
                        reason,
                    }
                } else {
                    StepState::Waiting
                };
            }
            StepEvent::Skipped { .. } => slot.state = StepState::Skipped,
            StepEvent::Resolved { .. } => slot.state = StepState::Applied,
        }
    }

    fn step_and_state(&self, i: usize) -> Option<(&Step, &StepState)> {
        Some((self.plan.steps.get(i)?, &self.slots.get(i)?.state))
    }

    /// For each step: it is applied or skipped, and so is everything before it. A person may skip a step whose
    /// turn has not come; that must not let later steps overtake what the skipped one was waiting for.
    fn complete(&self) -> Vec<bool> {
        let mut complete = Vec::with_capacity(self.slots.len());
        for (slot, needs) in self.slots.iter().zip(&self.needs) {
            let whole = needs.iter().all(|n| complete.get(*n).copied().unwrap_or(false));
            complete.push(whole && slot.state.satisfies());
        }
        complete
    }

    fn needs_met(&self, i: usize, complete: &[bool]) -> bool {
        #[cfg(test)]
        if self.flaw == Some(Flaw::IgnoreNeeds) {
            return true;
        }
        #[cfg(test)]
        if self.flaw == Some(Flaw::BlockEverything) {
            return self.slots.iter().all(|s| !matches!(s.state, StepState::Failed { .. }))
                && self.needs.get(i).is_some_and(|needs| needs.iter().all(|n| complete[*n]));
        }
        self.needs
            .get(i)
            .is_some_and(|needs| needs.iter().all(|n| complete.get(*n).copied().unwrap_or(false)))
    }

    fn approved(&self, i: usize, now: Timestamp) -> bool {
        #[cfg(test)]
        if self.flaw == Some(Flaw::IgnoreApprovals) {
            return true;
        }
        let Some(needed) = self.plan.steps.get(i).map(|s| usize::from(s.approvals)) else { return false };
        self.slots
            .get(i)
            .is_some_and(|s| s.approvals.values().filter(|until| **until > now).count() >= needed)
    }

    fn find(&self, step: &StepId) -> Result<usize, Refusal> {
        self.index.get(step).copied().ok_or_else(|| Refusal::NoSuchStep(step.clone()))
    }

    fn slot(&self, i: usize) -> Result<&Slot, Refusal> {
        let missing = || Refusal::WrongState {
            step: self.plan.steps.get(i).map_or_else(unnamed, |s| s.id.clone()),
            state: "gone".to_owned(),
            input: "any",
        };
        self.slots.get(i).ok_or_else(missing)
    }

    fn wrong_state(&self, i: usize, input: &'static str) -> Refusal {
        let (step, state) = self.step_and_state(i).map_or_else(
            || (unnamed(), String::new()),
            |(step, state)| (step.id.clone(), word(state).to_owned()),
        );
        Refusal::WrongState { step, state, input }
    }
}

#[expect(clippy::expect_used, reason = "a constant slug")]
fn unnamed() -> StepId {
    "unnamed".parse().expect("a constant slug")
}

/// A state in one word.
pub fn word(state: &StepState) -> &'static str {
    match state {
        StepState::Waiting => "waiting",
        StepState::AwaitingApproval => "awaiting approval",
        StepState::Running { .. } => "running",
        StepState::Deferred { phase: Phase::Observe, .. } => "unknown",
        StepState::Deferred { .. } => "deferred",
        StepState::Applied => "applied",
        StepState::Skipped => "skipped",
        StepState::Failed { .. } => "failed",
    }
}

fn reason_of(outcome: &Outcome) -> String {
    match outcome {
        Outcome::Applied { .. } => String::new(),
        Outcome::NotApplied { reason, .. } | Outcome::Unknown { reason } => reason.clone(),
    }
}

/// Why a person's word cannot stand in for the step.
fn essential(step: &Step) -> Option<&'static str> {
    match step.action {
        StepAction::Capture | StepAction::Mint => {
            Some("later steps use what it makes; fix the cause and retry it")
        }
        StepAction::Prove | StepAction::ProveRefused => {
            Some("a proof is a test, not a statement; close with a recorded exception if you must")
        }
        StepAction::Install
        | StepAction::ProbeNew
        | StepAction::WriteStore { .. }
        | StepAction::Reload { .. }
        | StepAction::Confirm { .. }
        | StepAction::Disable
        | StepAction::Sever
        | StepAction::Purge { .. }
        | StepAction::Retire
        | StepAction::Notify { .. } => None,
    }
}

impl Step {
    /// True when performing it twice without looking could do harm.
    pub fn mutates(&self) -> bool {
        self.class != Class::Read
    }
}

#[cfg(test)]
#[path = "machine_tests.rs"]
mod tests;
