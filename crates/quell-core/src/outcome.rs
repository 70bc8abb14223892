//! What a connector reports about an effect: applied, not applied, or unknown. Never "failed" when it does not know.

use serde::{Deserialize, Serialize};

/// Facts that a connector observed, as evidence. Never a value: names, versions, codes, counts, server times.
pub type Facts = serde_json::Map<String, serde_json::Value>;

/// Of the facts of a capture: fingerprints of the values that the issuer accepted before anything changed.
pub const ACCEPTED_BEFORE: &str = "accepted_before";

/// Of the facts of a disabling: fingerprints of the values that were found at the issuer and taken away.
pub const TAKEN_AWAY: &str = "taken_away";

/// Whether an effect says that it found what it was to take away: `already` is false in it, or for one of the machines in it.
pub fn took_away(facts: &Facts) -> bool {
    facts.get("already") == Some(&serde_json::Value::Bool(false))
        || facts.values().filter_map(serde_json::Value::as_object).any(took_away)
}

/// How one attempt at an effect, or one observation of it, went.
#[derive(Clone, Debug, Deserialize, Eq, PartialEq, Serialize)]
#[serde(rename_all = "snake_case", tag = "is")]
pub enum Outcome {
    /// The effect is in force; the facts say how that was seen.
    Applied {
        /// What was seen.
        #[serde(default)]
        facts: Facts,
    },
    /// The effect is certainly not in force.
    NotApplied {
        /// Why, for a person. Redacted at the source.
        reason: String,
        /// True when another try may succeed without anybody changing anything (a conflict, a rate limit,
        /// a refused TCP connection). False when a human must act first (denied, wrong configuration).
        retryable: bool,
        /// Not before this many milliseconds, when the system said so.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        retry_after_ms: Option<u64>,
        /// What was seen.
        #[serde(default)]
        facts: Facts,
    },
    /// Sent, and no trustworthy answer came. The engine observes before anything else.
    Unknown {
        /// Why, for a person.
        reason: String,
    },
}

impl Outcome {
    /// Applied, with facts given as pairs.
    pub fn applied<const N: usize>(facts: [(&str, serde_json::Value); N]) -> Self {
        Self::Applied { facts: facts.into_iter().map(|(k, v)| (k.to_owned(), v)).collect() }
    }

    /// Certainly not applied; a later try may succeed by itself.
    pub fn retry(reason: impl Into<String>) -> Self {
        Self::NotApplied { reason: reason.into(), retryable: true, retry_after_ms: None, facts: Facts::new() }
    }

    /// Certainly not applied; somebody must change something first.
    pub fn refused(reason: impl Into<String>) -> Self {
        Self::NotApplied {
            reason: reason.into(),
            retryable: false,
            retry_after_ms: None,
            facts: Facts::new(),
        }
    }

    /// No trustworthy answer.
    pub fn unknown(reason: impl Into<String>) -> Self {
        Self::Unknown { reason: reason.into() }
    }

    /// True for [`Outcome::Applied`].
    pub fn is_applied(&self) -> bool {
        matches!(self, Self::Applied { .. })
    }
}

/// The issuer's answer to "does this credential still open the door?".
#[derive(Clone, Debug, Deserialize, Eq, PartialEq, Serialize)]
#[serde(rename_all = "snake_case", tag = "is")]
pub enum Probe {
    /// The issuer let it in.
    Accepted {
        /// What was seen: server, database, role.
        #[serde(default)]
        facts: Facts,
    },
    /// The issuer turned it away with its own, specific refusal.
    Refused {
        /// The issuer's code: `28P01`, `InvalidClientTokenId`, `403`.
        code: String,
        /// The issuer's words, without any value.
        message: String,
    },
    /// Neither: a network error, a time-out, an answer we do not understand. Never a proof of anything.
    Inconclusive {
        /// Why, for a person.
        reason: String,
    },
}
