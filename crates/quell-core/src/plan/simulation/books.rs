//! A second, independent reading of the ledger: what the events say about each step, without the machine.

use std::collections::BTreeMap;

use super::world::Value;
use crate::id::StepId;
use crate::outcome::Outcome;
use crate::plan::{ChannelAct, Flow, Phase, Plan, StepAction, StepEvent, StepState};
use jiff::Timestamp;

/// One step as the ledger tells it.
#[derive(Clone, Debug)]
pub(super) struct Entry {
    /// Phase of each attempt, in order; attempt `n` is at `n - 1`.
    pub(super) started: Vec<Phase>,
    /// How often each attempt was executed.
    pub(super) executed: Vec<u8>,
    pub(super) running: Option<(u32, Phase)>,
    /// Its effect may or may not be in force: only an observation may follow.
    pub(super) doubt: bool,
    pub(super) satisfied: bool,
    pub(super) failed: bool,
    pub(super) grants: Vec<(String, Timestamp)>,
    pub(super) approvals: u8,
    pub(super) needs: Vec<usize>,
    /// A machine makes it or tests it; no statement can replace it.
    pub(super) essential: bool,
    /// The step that preserves what this one takes away.
    pub(super) takes_away: Option<usize>,
    pub(super) secret: Option<usize>,
    pub(super) wave: u32,
    /// Nobody of a later wave waits for it.
    pub(super) tidies: bool,
    /// Its failure blocks nobody.
    pub(super) best_effort: bool,
    /// The system that it calls, and what that bears.
    pub(super) lane: Option<(String, u16)>,
}

#[derive(Clone, Debug)]
pub(super) struct Books {
    pub(super) steps: Vec<Entry>,
    pub(super) index: BTreeMap<StepId, usize>,
    pub(super) plan_hash: String,
    /// The successor of each secret as the ledger records it.
    pub(super) minted: Vec<Option<Value>>,
    /// The secret whose successor this step makes.
    mints: Vec<Option<usize>>,
}

impl Entry {
    /// What needs it may go on.
    fn is_over(&self) -> bool {
        self.satisfied || (self.best_effort && self.failed)
    }
}

impl Books {
    pub(super) fn new(plan: &Plan, plan_hash: &str, secret_of: impl Fn(usize) -> Option<usize>) -> Self {
        let index: BTreeMap<StepId, usize> =
            plan.steps.iter().enumerate().map(|(i, s)| (s.id.clone(), i)).collect();
        let is_mint = |i: usize| plan.steps[i].action == StepAction::Mint;
        Self {
            steps: plan
                .steps
                .iter()
                .enumerate()
                .map(|(i, s)| Entry {
                    started: Vec::new(),
                    executed: Vec::new(),
                    running: None,
                    doubt: false,
                    satisfied: false,
                    failed: false,
                    grants: Vec::new(),
                    approvals: s.approvals,
                    needs: s.needs.iter().map(|n| index[n]).collect(),
                    takes_away: if let StepAction::Channel { channel, act: ChannelAct::Remove, .. } =
                        &s.action
                    {
                        plan.channel_step(channel, ChannelAct::Preserve).map(|kept| index[&kept.id])
                    } else {
                        None
                    },
                    essential: matches!(
                        s.action,
                        StepAction::Capture
                            | StepAction::Mint
                            | StepAction::Prove
                            | StepAction::ProveRefused
                            | StepAction::Channel { act: ChannelAct::Preserve, .. }
                    ),
                    secret: secret_of(i),
                    wave: s.wave,
                    tidies: s.best_effort
                        || matches!(
                            s.action,
                            StepAction::Purge { .. }
                                | StepAction::Retire
                                | StepAction::Person { .. }
                                | StepAction::Channel { .. }
                        ),
                    best_effort: s.best_effort,
                    lane: s.lane.clone().map(|name| {
                        let bears = plan.lanes[&name].at_once;
                        (name, bears)
                    }),
                })
                .collect(),
            plan_hash: plan_hash.to_owned(),
            minted: vec![None; plan.secrets.len()],
            mints: (0..plan.steps.len()).map(|i| if is_mint(i) { secret_of(i) } else { None }).collect(),
            index,
        }
    }

    /// A step that this one needs, directly or not, and that is open.
    pub(super) fn open_before(&self, i: usize) -> Option<usize> {
        let open = |n: &usize| if self.steps[*n].is_over() { self.open_before(*n) } else { Some(*n) };
        self.steps[i].needs.iter().find_map(open)
    }

    /// It gave up, or something that it needs did.
    pub(super) fn is_stuck(&self, i: usize) -> bool {
        let step = &self.steps[i];
        step.failed || step.needs.iter().any(|n| self.blocks(*n))
    }

    /// What needs it cannot go on: it gave up, and was not only tried, or something before it did.
    fn blocks(&self, i: usize) -> bool {
        let step = &self.steps[i];
        (step.failed && !step.best_effort) || step.needs.iter().any(|n| self.blocks(*n))
    }

    /// Takes one committed event in.
    pub(super) fn fold(&mut self, event: &StepEvent) {
        let i = self.index[event.step()];
        if let (StepEvent::Skipped { .. }, Some(kept)) = (event, self.steps[i].takes_away) {
            self.steps[kept].essential = false;
        }
        let step = &mut self.steps[i];
        match event {
            StepEvent::HandedOver { .. } | StepEvent::ApprovalRequested { .. } => {}
            StepEvent::ApprovalGranted { by, expires_at, plan_hash, .. } => {
                if *plan_hash == self.plan_hash {
                    step.grants.retain(|(who, _)| who != by);
                    step.grants.push((by.clone(), *expires_at));
                }
            }
            StepEvent::ApprovalRefused { .. } => {
                step.grants.clear();
                step.failed = true;
            }
            StepEvent::Started { attempt, phase, .. } => {
                step.started.push(*phase);
                step.running = Some((*attempt, *phase));
            }
            StepEvent::Finished { outcome, flow, phase, .. } => {
                step.running = None;
                match outcome {
                    Outcome::Applied { facts } => {
                        step.satisfied = true;
                        step.doubt = false;
                        if let (Some(secret), Some(value)) = (self.mints[i], facts.get("value")) {
                            self.minted[secret] = value.as_u64().and_then(|v| Value::try_from(v).ok());
                        }
                    }
                    Outcome::NotApplied { .. } => step.doubt &= *phase == Phase::Perform,
                    Outcome::Unknown { .. } => step.doubt = true,
                }
                step.failed = *flow == Flow::Stuck;
            }
            StepEvent::Lost { .. } => {
                step.running = None;
                step.doubt = true;
            }
            StepEvent::Retried { .. } => {
                step.failed = false;
                step.doubt = !step.started.is_empty();
            }
            StepEvent::Skipped { .. } | StepEvent::Resolved { .. } => {
                step.satisfied = true;
                step.failed = false;
            }
        }
    }

    /// Does the ledger's reading of this step agree with the machine's?
    pub(super) fn agrees(&self, i: usize, state: &StepState) -> bool {
        let step = &self.steps[i];
        match state {
            StepState::Running { attempt, phase, .. } => step.running == Some((*attempt, *phase)),
            StepState::Applied | StepState::Skipped => step.satisfied && step.running.is_none(),
            StepState::Failed { .. } => step.failed && step.running.is_none(),
            StepState::Waiting | StepState::AwaitingApproval | StepState::WithPeople => {
                step.running.is_none() && !step.satisfied && !step.failed && !step.doubt
            }
            StepState::Deferred { phase, .. } => {
                step.running.is_none()
                    && !step.satisfied
                    && !step.failed
                    && (!step.doubt || *phase == Phase::Observe)
            }
        }
    }
}
