//! The plan machine: pure, sans-IO. Inputs and `now` go in; events come out first, to be made durable, then the
//! actions that follow from them.
//!
//! States: `waiting → (awaiting approval) → running → applied | deferred | failed`, or `skipped`. On an unknown
//! outcome, a lost worker or a passed deadline the next thing is always an observation, never a second try.
//! Every state change goes through [`Machine::apply`], so replaying the events gives the same machine.

mod fold;
mod pace;
mod people;
mod state;

use std::collections::{BTreeMap, BTreeSet, VecDeque};

use super::step::{Class, Phase, Plan, Step, patience};
use crate::id::{SecretId, StepId};
use crate::outcome::Outcome;
use jiff::{SignedDuration, Timestamp};

use self::pace::Pace;
use self::state::reason_of;
pub use self::state::{Action, Approval, Flow, Hold, HoldScope, Refusal, StepEvent, StepState, word};

/// Observations of one unknown outcome before a person is asked.
const OBSERVES_MAX: u32 = 8;

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
    /// It was tried and failed; nobody has decided about it since.
    gave_up: bool,
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
    IgnoreLanes,
    IgnoreWaves,
}

/// One incident's plan in motion.
#[derive(Clone, Debug)]
pub struct Machine {
    plan: Plan,
    plan_hash: String,
    index: BTreeMap<StepId, usize>,
    needs: Vec<Vec<usize>>,
    /// Which secret each step is about, by its place in the plan.
    secret_of: Vec<Option<usize>>,
    /// Which secrets of the plan have steps in waves.
    waved: Vec<bool>,
    slots: Vec<Slot>,
    events: VecDeque<StepEvent>,
    actions: VecDeque<Action>,
    held: Option<Hold>,
    newly_held: Option<Hold>,
    /// Secrets that an earlier plan has begun to switch and not proven.
    carried: BTreeSet<usize>,
    /// Secrets whose failures a person has seen and resumed.
    forgiven: BTreeSet<SecretId>,
    /// No step of the lane starts before.
    lane_next: BTreeMap<String, Timestamp>,
    /// When a lane lets the first of the steps start that the last `advance` had to leave for it.
    lane_wake: Option<Timestamp>,
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
        let places: BTreeMap<&SecretId, usize> =
            plan.secrets.iter().enumerate().map(|(i, id)| (id, i)).collect();
        let secret_of: Vec<Option<usize>> =
            plan.steps.iter().map(|s| s.secret.as_ref().and_then(|id| places.get(id).copied())).collect();
        let mut waved = vec![false; plan.secrets.len()];
        for (step, secret) in plan.steps.iter().zip(&secret_of) {
            if let Some(waves) = secret.and_then(|secret| waved.get_mut(secret)) {
                *waves |= step.wave > 0;
            }
        }
        let fresh = Slot {
            state: StepState::Waiting,
            attempts: 0,
            performs: 0,
            observes: 0,
            approvals: BTreeMap::new(),
            asked: false,
            gave_up: false,
        };
        Self {
            plan_hash: plan.hash(),
            slots: vec![fresh; plan.steps.len()],
            index,
            needs,
            secret_of,
            waved,
            plan,
            events: VecDeque::new(),
            actions: VecDeque::new(),
            held: None,
            newly_held: None,
            carried: BTreeSet::new(),
            forgiven: BTreeSet::new(),
            lane_next: BTreeMap::new(),
            lane_wake: None,
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

    /// How often a step was begun.
    pub fn attempts(&self, step: &StepId) -> u32 {
        let slot = self.index.get(step).and_then(|i| self.slots.get(*i));
        slot.map_or(0, |slot| slot.attempts)
    }

    /// Every step, counter and approval stands the same; what is queued does not count.
    #[cfg(test)]
    pub(super) fn same_state(&self, other: &Self) -> bool {
        self.slots == other.slots
            && self.held == other.held
            && self.forgiven == other.forgiven
            && self.lane_next == other.lane_next
    }

    /// Becomes what replaying the same events would give, faster than [`Machine::replay`] does it.
    #[cfg(test)]
    pub(super) fn become_replay_of(&mut self, other: &Self) {
        self.slots.clone_from(&other.slots);
        self.held.clone_from(&other.held);
        self.forgiven.clone_from(&other.forgiven);
        self.lane_next.clone_from(&other.lane_next);
        self.events.clear();
        self.actions.clear();
    }

    /// Every step is applied or skipped (best-effort ones may have failed).
    pub fn is_done(&self) -> bool {
        self.states().all(|(step, state)| step.is_over(state))
    }

    /// Nothing is running, due or startable without a person.
    pub fn is_idle(&self) -> bool {
        self.lane_wake.is_none() && self.states().all(|(_, state)| state.wakes_at().is_none())
    }

    /// Would a worker that takes it up now find something to do, or to wait for?
    pub fn has_work(&self, now: Timestamp) -> bool {
        let mut probe = self.clone();
        probe.advance(now, "nobody", usize::MAX);
        probe.poll_event().is_some() || !(probe.is_idle() || probe.is_held_still(now))
    }

    /// Starts what can start (at most `room` steps) and asks for what needs approval.
    pub fn advance(&mut self, now: Timestamp, worker: &str, room: usize) {
        self.lane_wake = None;
        self.stop_if_too_many();
        let mut room = room;
        let complete = self.complete();
        let mut pace = self.pace();
        for i in 0..self.slots.len() {
            let Some((_, state)) = self.step_and_state(i) else { continue };
            match state {
                StepState::Waiting | StepState::AwaitingApproval if self.needs_met(i, &complete) => {
                    self.take_up(now, i, worker, Phase::Perform, &mut room, &mut pace);
                }
                StepState::Deferred { phase, until, .. } if *until <= now => {
                    let phase = *phase;
                    self.take_up(now, i, worker, phase, &mut room, &mut pace);
                }
                StepState::Running { attempt, worker, deadline, phase } if *deadline <= now => {
                    let (attempt, worker, phase) = (*attempt, worker.clone(), *phase);
                    self.overdue(i, attempt, worker, phase);
                    // What waited for it has its turn in the next round.
                    self.lane_wake = Some(now);
                }
                StepState::Waiting
                | StepState::AwaitingApproval
                | StepState::WithPeople
                | StepState::Running { .. }
                | StepState::Deferred { .. }
                | StepState::Applied
                | StepState::Skipped
                | StepState::Failed { .. } => {}
            }
        }
    }

    /// A step whose turn has come: it starts, or people are asked, or it waits for room.
    fn take_up(
        &mut self,
        now: Timestamp,
        i: usize,
        worker: &str,
        phase: Phase,
        room: &mut usize,
        pace: &mut Pace,
    ) {
        if !self.pace_lets(i, phase, pace) {
            return;
        }
        if phase == Phase::Perform && !self.approved(i, now) {
            return self.ask(i);
        }
        if self.plan.steps.get(i).is_some_and(Step::is_for_people) {
            return self.hand_over(i);
        }
        if !self.room_under_way(i, pace) {
            return;
        }
        let free = self.lane_free(i);
        if free > now {
            self.lane_wake = Some(self.lane_wake.map_or(free, |at| at.min(free)));
        } else if *room > 0 && self.lane_lets(i, pace) {
            *room -= 1;
            self.note_start(i, pace);
            self.start(now, i, worker, phase);
        }
    }

    /// Asks people once; again when what they said has expired while the step was put off.
    fn ask(&mut self, i: usize) {
        let (Some(step), Some(slot)) = (self.plan.steps.get(i), self.slots.get(i)) else { return };
        if slot.asked && !matches!(slot.state, StepState::Deferred { .. }) {
            return;
        }
        let (step, needed) = (step.id.clone(), step.approvals);
        let plan_hash = self.plan_hash.clone();
        self.emit(StepEvent::ApprovalRequested { step: step.clone(), plan_hash, needed });
        self.actions.push_back(Action::AskApproval { step });
    }

    /// It is a person's to do: nothing is started, and nobody waits for it with a deadline.
    fn hand_over(&mut self, i: usize) {
        let Some(step) = self.plan.steps.get(i).map(|s| s.id.clone()) else { return };
        self.emit(StepEvent::HandedOver { step: step.clone() });
        self.actions.push_back(Action::HandOver { step });
    }

    /// The deadline of an attempt has passed.
    fn overdue(&mut self, i: usize, attempt: u32, worker: String, phase: Phase) {
        let (Some(step), Some(slot)) = (self.plan.steps.get(i), self.slots.get(i)) else { return };
        let step = step.id.clone();
        if phase == Phase::Observe && slot.observes >= OBSERVES_MAX {
            // Looks that are never answered must end somewhere: with a person.
            let reason = "its outcome is unknown, and no look at it was ever answered".to_owned();
            let outcome = Outcome::unknown(reason.clone());
            self.emit(StepEvent::Finished { step: step.clone(), attempt, phase, outcome, flow: Flow::Stuck });
            self.actions.push_back(Action::Page { step, reason });
        } else {
            let why = "the deadline passed".to_owned();
            self.emit(StepEvent::Lost { step, attempt, worker, why });
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
                | StepState::WithPeople
                | StepState::Deferred { .. }
                | StepState::Applied
                | StepState::Skipped
                | StepState::Failed { .. } => None,
            })
            .collect()
    }

    /// When to call [`Machine::advance`] next, if ever.
    pub fn poll_timeout(&self) -> Option<Timestamp> {
        #[cfg(test)]
        if self.flaw == Some(Flaw::Oversleep) {
            return self.slots.iter().filter_map(|s| s.state.wakes_at()).max();
        }
        let held = self.held.as_ref().map(|_| self.pace());
        let due = self.slots.iter().enumerate().filter_map(|(i, slot)| {
            let at = slot.state.wakes_at()?;
            let StepState::Deferred { phase, .. } = &slot.state else { return Some(at) };
            let lets = held.as_ref().is_none_or(|pace| self.pace_lets(i, *phase, pace));
            lets.then(|| at.max(self.lane_free(i)))
        });
        due.chain(self.lane_wake).min()
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

    fn step_and_state(&self, i: usize) -> Option<(&Step, &StepState)> {
        Some((self.plan.steps.get(i)?, &self.slots.get(i)?.state))
    }

    /// For each step: it is over, and so is everything before it. A person may skip a step whose
    /// turn has not come; that must not let later steps overtake what the skipped one was waiting for.
    fn complete(&self) -> Vec<bool> {
        let mut complete = Vec::with_capacity(self.slots.len());
        for ((step, slot), needs) in self.plan.steps.iter().zip(&self.slots).zip(&self.needs) {
            let whole = needs.iter().all(|n| complete.get(*n).copied().unwrap_or(false));
            complete.push(whole && step.is_over(&slot.state));
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

impl Step {
    /// What needs it may go on: it is applied or skipped, or it failed and its failure blocks nothing.
    fn is_over(&self, state: &StepState) -> bool {
        state.satisfies() || (self.best_effort && matches!(state, StepState::Failed { .. }))
    }

    /// True when performing it twice without looking could do harm.
    pub fn mutates(&self) -> bool {
        self.class != Class::Read
    }
}

#[cfg(test)]
mod tests;
