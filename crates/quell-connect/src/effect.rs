//! What several issuers and stores say about an effect in the same way.

use jiff::{SignedDuration, Timestamp};
use quell_core::outcome::{Facts, Outcome, Probe};
use quell_core::secret::{Credential, SecretValue};
use serde_json::Value;

use crate::connector::{IssuerOp, Stored};
use crate::error::{ConnectError, ConnectErrorKind};
use crate::webhook::sign::wall_clock;

impl<'a> IssuerOp<'a> {
    /// The credential that it is about.
    pub(crate) fn credential(self) -> &'a Credential {
        match self {
            IssuerOp::Install { new } => new,
            IssuerOp::Disable { old } | IssuerOp::Sever { old, .. } => old,
        }
    }
}

/// Facts by name.
pub(crate) fn facts<const N: usize>(pairs: [(&str, Value); N]) -> Facts {
    pairs.into_iter().map(|(key, value)| (key.to_owned(), value)).collect()
}

/// After the change was confirmed, a failure leaves only what follows it in doubt: doing all of it again is harmless, and an
/// observation settles it.
pub(crate) fn after_effect(error: ConnectError) -> ConnectError {
    ConnectError { kind: ConnectErrorKind::Lost, ..error }
}

/// Certainly not in force, with what was seen; another try may do it.
pub(crate) fn not_yet(reason: impl Into<String>, facts: Facts) -> Outcome {
    Outcome::NotApplied { reason: reason.into(), retryable: true, retry_after_ms: None, facts }
}

/// Whether a new password is installed, by a try of it.
pub(crate) fn installed(tried: Probe) -> Outcome {
    match tried {
        Probe::Accepted { facts } => Outcome::Applied { facts },
        Probe::Refused { code, message } => {
            Outcome::retry(format!("the new password is refused: {code}: {message}"))
        }
        Probe::Inconclusive { reason } => Outcome::unknown(reason),
    }
}

/// While tokens that were issued with the old value before `cutoff` may live nothing is said of sessions: an error with until when.
pub(crate) fn tokens_are_over(
    target: &str,
    cutoff: Option<&str>,
    life: SignedDuration,
) -> Result<(), ConnectError> {
    const WHAT: &str = "waiting for access tokens to end";
    if life.is_zero() {
        return Ok(());
    }
    let failed = |kind, words: String| Err(ConnectError::new(target.to_owned(), WHAT, kind, words));
    let Some(disabled) = cutoff.and_then(|text| text.parse::<Timestamp>().ok()) else {
        let words = "when the credential was disabled is not known, so tokens that were issued with it may live; disable it by a plan, or set `token_life: 0s`";
        return failed(ConnectErrorKind::Denied, words.to_owned());
    };
    let left = disabled.checked_add(life).map_or(SignedDuration::MAX, |end| end.duration_since(wall_clock()));
    if !left.is_positive() {
        return Ok(());
    }
    let end = disabled.checked_add(life).map(|end| end.to_string()).unwrap_or_default();
    let retry_after = std::time::Duration::try_from(left).ok();
    let words = format!(
        "access tokens that were issued before {disabled} may live until {end}; wait, or set `token_life` if that is too long"
    );
    failed(ConnectErrorKind::Transient { retry_after }, words)
}

/// Whether the old value's sessions are gone, by a count of those that are `live`.
pub(crate) fn severed(live: u64, mut facts: Facts) -> Outcome {
    facts.insert("remaining".to_owned(), live.into());
    if live == 0 {
        Outcome::Applied { facts }
    } else {
        not_yet(format!("{live} sessions are still live"), facts)
    }
}

/// Whether a store holds `new`, by what was read from it.
pub(crate) fn held(read: Result<Option<Stored>, ConnectError>, new: &SecretValue) -> Outcome {
    match read {
        Ok(Some(stored)) if stored.value.same_as(new) => {
            Outcome::applied([("version", stored.version.into())])
        }
        Ok(Some(stored)) => Outcome::retry(format!("version {} holds another value", stored.version)),
        Ok(None) => Outcome::retry("there is no value"),
        Err(error) => error.unseen(),
    }
}
