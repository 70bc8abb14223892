//! What every connector must do, as checks that run against a live one.
//!
//! Called by each connector's tests against the real system on loopback, and usable by `quell doctor`. The
//! checks know only the traits of [`crate::connector`]; they change the system they are pointed at, so point
//! them at a decoy. Each returns the first [`Violation`]; no value is ever part of one.
//!
//! * [`issuer()`], [`store()`], [`write_only_store`], [`reload`], [`observe`], [`notify`]: the contract of one role;
//! * [`hung()`]: a system that accepts the connection and never answers;
//! * [`FlakyProxy`]: a TCP proxy that loses things on command, for tests of lost answers and crashes.

mod canary;
mod consumer;
mod hung;
mod issuer;
mod proxy;
mod store;

pub use canary::Canaries;
pub use consumer::{notify, observe, reload};
pub use hung::{Subject, hung};
pub use issuer::issuer;
pub use proxy::{Fault, FlakyProxy};
pub use store::{store, write_only_store};

use quell_core::outcome::{Facts, Outcome};

/// A rule of the contract that a connector broke.
#[derive(Clone, Debug, Eq, PartialEq, thiserror::Error)]
#[error("{rule}: {seen}")]
pub struct Violation {
    /// The rule.
    pub rule: &'static str,
    /// What was seen instead. Never a value.
    pub seen: String,
}

impl Violation {
    /// Puts one together.
    pub fn new(rule: &'static str, seen: impl Into<String>) -> Self {
        Self { rule, seen: seen.into() }
    }
}

/// Fails with `rule` unless `holds`.
fn require(rule: &'static str, holds: bool, seen: impl FnOnce() -> String) -> Result<(), Violation> {
    if holds { Ok(()) } else { Err(Violation::new(rule, seen())) }
}

/// The facts of an applied outcome; anything else breaks `rule`.
fn applied(rule: &'static str, outcome: &Outcome) -> Result<Facts, Violation> {
    match outcome {
        Outcome::Applied { facts } => Ok(facts.clone()),
        Outcome::NotApplied { reason, .. } => Err(Violation::new(rule, format!("not applied: {reason}"))),
        Outcome::Unknown { reason } => Err(Violation::new(rule, format!("unknown: {reason}"))),
    }
}

/// Anything but `NotApplied` breaks `rule`.
fn not_applied(rule: &'static str, outcome: &Outcome) -> Result<(), Violation> {
    match outcome {
        Outcome::NotApplied { .. } => Ok(()),
        Outcome::Applied { .. } => Err(Violation::new(rule, "applied")),
        Outcome::Unknown { reason } => Err(Violation::new(rule, format!("unknown: {reason}"))),
    }
}

/// The variant, for comparing two answers whose facts may carry times.
fn shape(outcome: &Outcome) -> &'static str {
    match outcome {
        Outcome::Applied { .. } => "applied",
        Outcome::NotApplied { .. } => "not applied",
        Outcome::Unknown { .. } => "unknown",
    }
}

#[cfg(test)]
mod issuer_tests;
#[cfg(test)]
mod tests;
