//! Stores, consumers and keys of clouds and CI against models of their APIs (`quell_testkit::model`), and against servers that are away, hang,
//! lose answers or talk nonsense.

#![expect(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    clippy::panic,
    reason = "a test that cannot go on must fail; helpers are not seen as tests by the lints"
)]

mod azure;
mod gcp;
mod github;
mod gitlab;
mod kubernetes;

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use quell_connect::connector::Check;
use quell_connect::context::Context;
use quell_core::outcome::{Facts, Outcome};
use quell_core::secret::SecretValue;

/// Nobody waits this long on purpose; a loaded machine may.
const LONG: Duration = Duration::from_secs(10);
const SHORT: Duration = Duration::from_millis(400);

/// Where `env:TOKEN` is this token.
fn context(token: &str, limit: Duration) -> Context {
    let http = quell_connect::http::Client::new(limit, None).unwrap();
    let mut context = Context::new(PathBuf::from("/nowhere"), http);
    context.environment = Arc::new(BTreeMap::from([("TOKEN".to_owned(), token.to_owned())]));
    context.call_limit = limit;
    context
}

fn value(text: &str) -> SecretValue {
    SecretValue::from_text(text.to_owned())
}

/// A value that was not there before.
fn fresh() -> SecretValue {
    static COUNT: AtomicU32 = AtomicU32::new(0);
    value(&format!("CANARY-{}-value", COUNT.fetch_add(1, Ordering::Relaxed)))
}

#[track_caller]
fn facts(outcome: &Outcome) -> &Facts {
    let Outcome::Applied { facts } = outcome else { panic!("not applied: {outcome:?}") };
    facts
}

#[track_caller]
fn reason(outcome: &Outcome) -> &str {
    match outcome {
        Outcome::Applied { .. } => panic!("applied: {outcome:?}"),
        Outcome::NotApplied { reason, .. } | Outcome::Unknown { reason } => reason,
    }
}

/// Certainly not, and a person must act first.
#[track_caller]
fn refused<'a>(outcome: &'a Outcome, words: &str) -> &'a str {
    let Outcome::NotApplied { reason, retryable: false, .. } = outcome else {
        panic!("not refused: {outcome:?}")
    };
    assert!(reason.contains(words), "{reason}");
    reason
}

fn is_unknown(outcome: &Outcome) -> bool {
    matches!(outcome, Outcome::Unknown { .. })
}

fn failed(checks: &[Check]) -> Vec<&str> {
    checks.iter().filter(|check| !check.ok).map(|check| check.detail.as_str()).collect()
}

/// No value is in the address of any request.
#[track_caller]
fn assert_no_value_in(lines: &[String]) {
    assert!(!lines.is_empty());
    for line in lines {
        assert!(!line.contains("CANARY") && !line.contains("Q0FOQVJZ"), "{line}");
    }
}
