//! Every entry in one sentence.

use std::collections::BTreeMap;

use jiff::Timestamp;
use quell_core::StepId;
use quell_core::event::{Actor, ActorKind, Entry, Event};
use quell_core::plan::StepEvent;
use serde::Serialize;

use super::sentence::sentence;
use super::words::{joined, short, text};

/// One entry of the ledger, for people.
#[derive(Clone, Debug, Eq, PartialEq, Serialize)]
pub struct TimelineRow {
    /// Its position in the ledger.
    pub seq: u64,
    /// When.
    pub at: Timestamp,
    /// Who: a login name, or `engine` and the worker's id.
    pub actor: String,
    /// What happened, in a sentence.
    pub what: String,
    /// Reasons, hashes and observations; empty when there are none.
    pub detail: String,
    /// The step it is about.
    pub step: Option<String>,
    /// True when somebody decided something.
    pub decision: bool,
}

/// What an entry says.
#[derive(Clone, Debug, Default)]
pub(super) struct Said {
    pub(super) what: String,
    pub(super) detail: String,
    pub(super) decision: bool,
}

impl Said {
    pub(super) fn new(what: impl Into<String>) -> Self {
        Self { what: what.into(), ..Self::default() }
    }

    pub(super) fn with(mut self, detail: impl Into<String>) -> Self {
        self.detail = detail.into();
        self
    }

    pub(super) fn decided(mut self) -> Self {
        self.decision = true;
        self
    }
}

/// What must be remembered from earlier entries to say how long something took.
#[derive(Debug, Default)]
pub(super) struct Seen {
    /// The newest attempt of each step: number, begin, worker.
    attempts: BTreeMap<StepId, (u32, Timestamp, String)>,
    /// Clocks in the order in which they began: name, due, met.
    clocks: Vec<(String, Timestamp, bool)>,
}

impl Seen {
    /// When an attempt began, and who made it.
    pub(super) fn attempt(&self, step: &StepId, attempt: u32) -> Option<(Timestamp, &str)> {
        let (number, at, worker) = self.attempts.get(step)?;
        (*number == attempt).then_some((*at, worker.as_str()))
    }

    pub(super) fn clock_started(&mut self, clock: &str, due: Timestamp) {
        self.clocks.push((clock.to_owned(), due, false));
    }

    /// The due time of the clock that is met now: the first of its name that is not met, as in the incident's fold.
    pub(super) fn clock_met(&mut self, clock: &str) -> Option<Timestamp> {
        let found = self.clocks.iter_mut().find(|(name, _, met)| name == clock && !met)?;
        found.2 = true;
        Some(found.1)
    }

    pub(super) fn step(&mut self, at: Timestamp, event: &StepEvent) {
        if let StepEvent::Started { step, attempt, worker, .. } = event {
            self.attempts.insert(step.clone(), (*attempt, at, worker.clone()));
        }
    }
}

/// The entries as rows, in the order given.
pub fn timeline(entries: &[Entry]) -> Vec<TimelineRow> {
    let mut seen = Seen::default();
    entries.iter().map(|entry| row(entry, &mut seen)).collect()
}

fn row(entry: &Entry, seen: &mut Seen) -> TimelineRow {
    let said = sentence(entry, seen);
    let kept = entry
        .evidence
        .iter()
        .map(|e| format!("evidence {} ({} bytes, SHA-256 {}…)", text(&e.name), e.size, short(&e.sha256)));
    let mut step = None;
    if let Event::Step(event) | Event::NoticeStep { event, .. } = &entry.event {
        seen.step(entry.at, event);
        step = Some(event.step().to_string());
    }
    TimelineRow {
        seq: entry.seq,
        at: entry.at,
        actor: actor(&entry.actor),
        what: text(&said.what),
        detail: joined(std::iter::once(said.detail).chain(kept)),
        step,
        decision: said.decision,
    }
}

/// Who, in words.
pub(super) fn actor(actor: &Actor) -> String {
    match actor.kind {
        ActorKind::User => text(&actor.id),
        ActorKind::Engine => text(&format!("engine {}", actor.id)),
    }
}
