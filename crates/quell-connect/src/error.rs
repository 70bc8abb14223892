//! Why a call to an outside system did not do what was asked.

use std::time::Duration;

use jiff::SignedDuration;
use quell_core::outcome::{Facts, Outcome};

/// One classified failure. `Display` never repeats the cause; print the chain at the edge.
#[derive(Debug, thiserror::Error)]
#[error("{system}: {what}: {detail}")]
pub struct ConnectError {
    /// Which system.
    pub system: String,
    /// What we were trying to do, as a fragment: "revoking the token".
    pub what: &'static str,
    /// What it answered, redacted.
    pub detail: String,
    /// What it means for the plan.
    pub kind: ConnectErrorKind,
}

/// What a failure means for the plan.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum ConnectErrorKind {
    /// Nothing was sent: the connection was refused, the name did not resolve. Worth another try.
    Unreachable,
    /// Worth another try, not before this long: rate limit, sealed, standby.
    Transient {
        /// When the system says how long.
        retry_after: Option<Duration>,
    },
    /// Our own credential may not do this. A human must fix permissions.
    Denied,
    /// The thing is not there. For a revocation that is success; the caller decides.
    Missing,
    /// Somebody else changed it meanwhile.
    Conflict,
    /// Sent, and no trustworthy answer came.
    Lost,
    /// The system answered in a way we do not understand. Never retried blindly.
    Unexpected,
}

impl ConnectError {
    /// Puts a failure together.
    pub fn new(
        system: impl Into<String>,
        what: &'static str,
        kind: ConnectErrorKind,
        detail: impl Into<String>,
    ) -> Self {
        Self { system: system.into(), what, detail: detail.into(), kind }
    }

    /// The same fact as an [`Outcome`] of a *mutation*: only certain non-effects are `NotApplied`.
    pub fn outcome(&self) -> Outcome {
        let reason = self.to_string();
        let not_applied = |retryable, retry_after_ms| Outcome::NotApplied {
            reason: reason.clone(),
            retryable,
            retry_after_ms,
            facts: Facts::new(),
        };
        match self.kind {
            ConnectErrorKind::Unreachable | ConnectErrorKind::Conflict => not_applied(true, None),
            ConnectErrorKind::Transient { retry_after } => {
                not_applied(true, retry_after.map(|d| u64::try_from(d.as_millis()).unwrap_or(u64::MAX)))
            }
            ConnectErrorKind::Denied | ConnectErrorKind::Missing => not_applied(false, None),
            ConnectErrorKind::Lost | ConnectErrorKind::Unexpected => Outcome::unknown(reason),
        }
    }

    /// The same fact as an [`Outcome`] of an *observation*: what could not be seen is unknown.
    pub fn unseen(&self) -> Outcome {
        Outcome::unknown(self.to_string())
    }
}

/// A connector's part of the inventory cannot be used.
#[derive(Clone, Debug, Eq, PartialEq, thiserror::Error)]
#[error("{message}")]
pub struct ConfigError {
    /// The key that is wrong, if one is: `roles`.
    pub key: Option<String>,
    /// What is wrong.
    pub message: String,
    /// What to do about it.
    pub hint: Option<String>,
}

impl ConfigError {
    /// Something is wrong with one key.
    pub fn at(key: &str, message: impl Into<String>, hint: impl Into<String>) -> Self {
        Self { key: Some(key.to_owned()), message: message.into(), hint: Some(hint.into()) }
    }

    /// How long a change takes to bind, in milliseconds: `settle` as it is configured, or `otherwise`.
    pub(crate) fn settle_ms(settle: Option<SignedDuration>, otherwise: u64) -> Result<u64, Self> {
        match settle {
            None => Ok(otherwise),
            Some(settle) => u64::try_from(settle.as_millis())
                .map_err(|_e| Self::at("settle", "it is negative", "Write a duration such as 2s.")),
        }
    }

    /// How long what was issued with a credential lives: `token_life` as it is configured, or `otherwise`.
    pub(crate) fn token_life(
        life: Option<SignedDuration>,
        otherwise: SignedDuration,
    ) -> Result<SignedDuration, Self> {
        let life = life.unwrap_or(otherwise);
        if life.is_negative() {
            return Err(Self::at(
                "token_life",
                "it is negative",
                "Write a duration such as 1h, or 0s to wait for none.",
            ));
        }
        Ok(life)
    }

    /// Reads a connector's configuration into its own type (which should `deny_unknown_fields`).
    pub fn parse<T: serde::de::DeserializeOwned>(config: &serde_json::Value) -> Result<T, Self> {
        T::deserialize(config).map_err(|error| Self { key: None, message: error.to_string(), hint: None })
    }
}
