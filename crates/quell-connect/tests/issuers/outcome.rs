//! What outcomes and checks say.

use quell_connect::connector::Check;
use quell_core::outcome::Outcome;
use serde_json::Value;

/// A fact of an outcome that must be `Applied`.
pub(crate) fn fact<'a>(outcome: &'a Outcome, name: &str) -> &'a Value {
    let Outcome::Applied { facts } = outcome else { panic!("not applied: {outcome:?}") };
    &facts[name]
}

/// Why an outcome is not `Applied`.
pub(crate) fn reason(outcome: &Outcome) -> &str {
    match outcome {
        Outcome::Applied { .. } => panic!("applied: {outcome:?}"),
        Outcome::NotApplied { reason, .. } | Outcome::Unknown { reason } => reason,
    }
}

/// What the checks that failed say.
pub(crate) fn failed(checks: &[Check]) -> Vec<&str> {
    checks.iter().filter(|check| !check.ok).map(|check| check.detail.as_str()).collect()
}
