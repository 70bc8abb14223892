//! The words of the machine: where a step stands, what happened to it, what is to be done, what was refused.

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use crate::id::StepId;
use crate::outcome::Outcome;
use crate::plan::step::Phase;

/// Where one step stands.
#[derive(Clone, Debug, Deserialize, Eq, PartialEq, Serialize)]
#[serde(rename_all = "kebab-case", tag = "is")]
pub enum StepState {
    /// Something it needs has not finished.
    Waiting,
    /// Everything it needs is done; people must approve it first.
    AwaitingApproval,
    /// A person has to do it and say so.
    WithPeople,
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
    pub(super) fn wakes_at(&self) -> Option<Timestamp> {
        match self {
            Self::Running { deadline: at, .. } | Self::Deferred { until: at, .. } => Some(*at),
            Self::Waiting
            | Self::AwaitingApproval
            | Self::WithPeople
            | Self::Applied
            | Self::Skipped
            | Self::Failed { .. } => None,
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
    /// Its turn has come, and it is a person's to do.
    HandedOver { step: StepId },
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
            | Self::HandedOver { step }
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
    /// Tell people that it is theirs to do.
    HandOver { step: StepId },
    /// Tell people that a step gave up.
    Page { step: StepId, reason: String },
}

/// What is not begun while a plan is held.
#[derive(Clone, Copy, Debug, Deserialize, Eq, Ord, PartialEq, PartialOrd, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum HoldScope {
    /// No further secret is begun. Those under way go on to their proof, since half-way is the worst place to stop.
    NextSecrets,
    /// Nothing starts at all, but looks at what has an unknown outcome.
    Everything,
}

/// A plan that people, or too many failures, have stopped for now.
#[derive(Clone, Debug, Deserialize, Eq, PartialEq, Serialize)]
pub struct Hold {
    /// What does not start.
    pub scope: HoldScope,
    /// Why.
    pub reason: String,
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
    #[error("the approval is for {}, but the plan is {now}; look at the plan again", plan_or_not(given))]
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

/// What is no hash is not repeated: a value may have been put into the field of one.
fn plan_or_not(given: &str) -> String {
    let hash = given.len() == 64 && given.bytes().all(|byte| byte.is_ascii_hexdigit());
    if hash { format!("plan {given}") } else { "something that is no plan's hash".to_owned() }
}

/// A state in one word.
pub fn word(state: &StepState) -> &'static str {
    match state {
        StepState::Waiting => "waiting",
        StepState::AwaitingApproval => "awaiting approval",
        StepState::WithPeople => "for a person to do",
        StepState::Running { .. } => "running",
        StepState::Deferred { phase: Phase::Observe, .. } => "unknown",
        StepState::Deferred { .. } => "deferred",
        StepState::Applied => "applied",
        StepState::Skipped => "skipped",
        StepState::Failed { .. } => "failed",
    }
}

pub(super) fn reason_of(outcome: &Outcome) -> String {
    match outcome {
        Outcome::Applied { .. } => String::new(),
        Outcome::NotApplied { reason, .. } | Outcome::Unknown { reason } => reason.clone(),
    }
}
