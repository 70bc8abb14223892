//! What logs and traces say of an attempt: names and one word, never a reason. That stands in the ledger.

use quell_core::outcome::Outcome;
use quell_core::plan::Phase;
use quell_core::{IncidentId, StepId};
use tracing::Span;
use tracing::field::Empty;

/// For one attempt; what it calls belongs to it.
pub(super) fn of(incident: IncidentId, step: &StepId, attempt: u32, phase: Phase) -> Span {
    let doing = match phase {
        Phase::Observe => "observe",
        Phase::Perform => "perform",
    };
    tracing::info_span!("step", %incident, %step, attempt, doing, outcome = Empty, failed = Empty)
}

/// How it ended, said inside of its span.
pub(super) fn told(outcome: &Outcome) {
    let (word, failed) = match outcome {
        Outcome::Applied { .. } => ("applied", false),
        Outcome::NotApplied { .. } => ("not_applied", true),
        Outcome::Unknown { .. } => ("unknown", true),
    };
    let span = Span::current();
    span.record("outcome", word);
    if failed {
        span.record("failed", true);
        tracing::warn!("step");
    } else {
        tracing::info!("step");
    }
}
