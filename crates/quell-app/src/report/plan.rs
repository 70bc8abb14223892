//! The plan in motion, step by step, and the consumers.

use std::collections::BTreeMap;

use jiff::Timestamp;
use quell_core::StepId;
use quell_core::event::{Entry, Event};
use quell_core::incident::Incident;
use quell_core::outcome::Outcome;
use quell_core::plan::{Class, Machine, Phase, Step, StepAction, StepEvent, StepState, word};
use serde::Serialize;

use super::words::{duration, joined, pairs, text};

/// The plan in motion.
#[derive(Clone, Debug, Eq, PartialEq, Serialize)]
pub struct PlanView {
    /// From 1.
    pub revision: u32,
    /// How many plans there were before it; the timeline tells of them.
    pub earlier: usize,
    /// To which approvals bind.
    pub hash: String,
    /// `kill-first` or `make-before-break`.
    pub strategy: String,
    /// Why that strategy.
    pub reasons: Vec<String>,
    /// What an operator had to know.
    pub warnings: Vec<String>,
    /// Every step, in plan order.
    pub steps: Vec<StepView>,
}

/// One step.
#[derive(Clone, Debug, Eq, PartialEq, Serialize)]
pub struct StepView {
    /// Its id.
    pub id: String,
    /// What it does.
    pub what: String,
    /// `read`, `reversible` or `destructive`.
    pub class: String,
    /// Where it stands, in a word.
    pub state: String,
    /// Why it stands there: a failure, a person's statement, the reason of a skip.
    pub reason: String,
    /// How often the effect was tried.
    pub attempts: u32,
    /// How often it was only looked at.
    pub looks: u32,
    /// How often nobody knew whether it was in force.
    pub unknown_outcomes: u32,
    /// From the first begin to the last answer.
    pub took: Option<String>,
    /// The same in milliseconds.
    pub took_ms: Option<i64>,
    /// Who approved it.
    pub approved_by: Vec<String>,
    /// How many had to.
    pub approvals_needed: u8,
    /// Its failure blocks nothing.
    pub best_effort: bool,
}

/// A consumer and whether it was seen on the successor.
#[derive(Clone, Debug, Eq, PartialEq, Serialize)]
pub struct ConsumerView {
    /// Which secret.
    pub secret: String,
    /// Its name.
    pub consumer: String,
    /// True when it counts as confirmed.
    pub confirmed: bool,
    /// True when that rests on a person's statement.
    pub stated: bool,
    /// State of the confirming step.
    pub state: String,
    /// What was seen, or who stated it.
    pub sign: String,
    /// What it said before.
    pub before: String,
}

/// What happened to a step under the plan in motion.
#[derive(Clone, Debug, Default)]
pub(super) struct Tally {
    attempts: u32,
    looks: u32,
    unknown: u32,
    first: Option<Timestamp>,
    last: Option<Timestamp>,
    /// By whom and why.
    pub(super) skipped: Option<(String, String)>,
    /// By whom and with which words.
    pub(super) resolved: Option<(String, String)>,
}

pub(super) type Tallies = BTreeMap<StepId, Tally>;

/// Counts the events after the newest plan.
pub(super) fn tallies(entries: &[Entry]) -> Tallies {
    let start = entries.iter().rposition(|e| matches!(e.event, Event::PlanMade { .. })).unwrap_or(0);
    let mut out = Tallies::new();
    for entry in entries.iter().skip(start) {
        if let Event::Step(event) = &entry.event {
            out.entry(event.step().clone()).or_default().take(entry.at, event);
        }
    }
    out
}

impl Tally {
    fn take(&mut self, at: Timestamp, event: &StepEvent) {
        match event {
            StepEvent::Started { phase, .. } => {
                self.first.get_or_insert(at);
                match phase {
                    Phase::Perform => self.attempts += 1,
                    Phase::Observe => self.looks += 1,
                }
            }
            StepEvent::Finished { outcome, .. } => {
                self.last = Some(at);
                self.resolved = None;
                if matches!(outcome, Outcome::Unknown { .. }) {
                    self.unknown += 1;
                }
            }
            StepEvent::Lost { .. } => {
                self.last = Some(at);
                self.unknown += 1;
            }
            StepEvent::Skipped { by, reason, .. } => self.skipped = Some((by.clone(), reason.clone())),
            StepEvent::Resolved { by, statement, .. } => {
                self.resolved = Some((by.clone(), statement.clone()));
            }
            StepEvent::ApprovalRequested { .. }
            | StepEvent::ApprovalGranted { .. }
            | StepEvent::ApprovalRefused { .. }
            | StepEvent::HandedOver { .. }
            | StepEvent::Retried { .. } => {}
        }
    }
}

pub(super) fn plan(incident: &Incident, entries: &[Entry], tallies: &Tallies) -> Option<PlanView> {
    let machine = incident.machine.as_ref()?;
    let plan = machine.plan();
    let made = entries.iter().filter(|e| matches!(e.event, Event::PlanMade { .. })).count();
    let idle = Tally::default();
    Some(PlanView {
        revision: plan.revision,
        earlier: made.saturating_sub(1),
        hash: machine.plan_hash().to_owned(),
        strategy: plan.strategy.word().to_owned(),
        reasons: plan.reasons.iter().map(|r| text(r)).collect(),
        warnings: plan.warnings.iter().map(|w| text(w)).collect(),
        steps: machine
            .states()
            .map(|(step, state)| view(machine, step, state, tallies.get(&step.id).unwrap_or(&idle)))
            .collect(),
    })
}

fn view(machine: &Machine, step: &Step, state: &StepState, tally: &Tally) -> StepView {
    let class = match step.class {
        Class::Read => "read",
        Class::Reversible => "reversible",
        Class::Destructive => "destructive",
    };
    let took = tally.first.zip(tally.last).map(|(first, last)| last.duration_since(first));
    let (by, needed) = machine.approvals(&step.id, Timestamp::MIN);
    StepView {
        id: step.id.to_string(),
        what: text(&step.what),
        class: class.to_owned(),
        state: word(state).to_owned(),
        reason: reason(state, tally),
        attempts: tally.attempts,
        looks: tally.looks,
        unknown_outcomes: tally.unknown,
        took: took.map(duration),
        took_ms: took.map(|t| i64::try_from(t.as_millis()).unwrap_or(i64::MAX)),
        approved_by: by.into_iter().map(text).collect(),
        approvals_needed: needed,
        best_effort: step.best_effort,
    }
}

fn reason(state: &StepState, tally: &Tally) -> String {
    match state {
        StepState::Failed { reason } | StepState::Deferred { reason, .. } => text(reason),
        StepState::Applied => tally
            .resolved
            .as_ref()
            .map(|(by, said)| text(&format!("stated by {by}: {said}")))
            .unwrap_or_default(),
        StepState::Skipped => {
            tally.skipped.as_ref().map(|(by, why)| text(&format!("by {by}: {why}"))).unwrap_or_default()
        }
        StepState::Waiting
        | StepState::AwaitingApproval
        | StepState::WithPeople
        | StepState::Running { .. } => String::new(),
    }
}

pub(super) fn consumers(incident: &Incident, tallies: &Tallies) -> Vec<ConsumerView> {
    let Some(machine) = &incident.machine else { return Vec::new() };
    let mut out = Vec::new();
    for (step, state) in machine.states() {
        let StepAction::Confirm { consumer } = &step.action else { continue };
        let Some(secret) = &step.secret else { continue };
        let stated = tallies.get(&step.id).and_then(|t| t.resolved.as_ref());
        let sign = match (state, stated) {
            (StepState::Applied, Some((by, said))) => text(&format!("stated by {by}: {said}")),
            (StepState::Applied, None) => incident.facts.get(&step.id).map(pairs).unwrap_or_default(),
            _ => tallies.get(&step.id).map(|t| reason(state, t)).unwrap_or_default(),
        };
        let before = incident.baselines.get(&(secret.clone(), consumer.clone()));
        let said =
            |name: &str, value: Option<&String>| value.map(|v| format!("{name} {v}")).unwrap_or_default();
        out.push(ConsumerView {
            secret: secret.to_string(),
            consumer: text(consumer),
            confirmed: matches!(state, StepState::Applied),
            stated: matches!(state, StepState::Applied) && stated.is_some(),
            state: word(state).to_owned(),
            sign,
            before: before
                .map(|(g, p)| joined([said("generation", g.as_ref()), said("principal", p.as_ref())]))
                .unwrap_or_default(),
        });
    }
    out
}
