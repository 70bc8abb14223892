//! What an issuer can do: the facts from which the plan compiler derives the order of steps.

use serde::{Deserialize, Serialize};

/// Who invents a new value.
#[derive(Clone, Copy, Debug, Deserialize, Eq, PartialEq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Chooser {
    /// Quell chooses the value, seals it, then tells the issuer (a database password).
    Client,
    /// The issuer chooses it and shows it once (an AWS access key, a token).
    Issuer,
}

/// How many values are accepted at the same moment.
#[derive(Clone, Copy, Debug, Deserialize, Eq, PartialEq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum ValidAtOnce {
    /// Installing the new value kills the old one in the same instant (one PostgreSQL role).
    One,
    /// Two slots (AWS access keys, MySQL dual passwords).
    Two,
    /// Any number (tokens, certificates).
    Many,
    /// One each for several principals with equal rights; the idle one takes the new value.
    AlternatePrincipals,
}

/// When a person's task has its turn.
#[derive(Clone, Copy, Debug, Deserialize, Eq, PartialEq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum TaskTime {
    /// It is what ends the old value, where no machine can.
    End,
    /// After the proof: it gives consumers what they need to go on, such as a new consent.
    Renew,
}

/// Something at the issuer that only a person can do.
#[derive(Clone, Debug, Deserialize, Eq, PartialEq, Serialize)]
pub struct Task {
    /// A slug: `force-reset`, `re-consent`.
    pub name: String,
    /// When.
    pub when: TaskTime,
    /// What to do and where, in words.
    pub what: String,
    /// Why, and what to record as evidence.
    pub why: String,
}

/// Whether the old value and its successor may be valid at the same time when the old one has leaked.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub enum Overlap {
    /// The strategy decides.
    #[default]
    Allowed,
    /// The old value is killed first, whatever the strategy.
    Never {
        /// Why, for people.
        why: &'static str,
    },
}

/// An issuer's declared capabilities.
#[derive(Clone, Debug, Deserialize, Eq, PartialEq, Serialize)]
pub struct Capabilities {
    /// Who invents the value.
    pub chooser: Chooser,
    /// How many can be valid at once.
    pub valid_at_once: ValidAtOnce,
    /// Sessions opened with the old value live on after it is changed or disabled, so they must be severed.
    pub sessions_survive: bool,
    /// The old value can be refused without installing a new one first (kill-first needs it).
    pub can_disable: bool,
    /// The leaked value alone is enough to revoke it; no admin credential is needed.
    pub self_revocable: bool,
    /// The issuer lets Quell mint a successor at all. False for things that are only revoked.
    pub can_mint: bool,
    /// Quell can try a credential the way its bearer would. Without it nothing can be proven.
    #[serde(default = "yes")]
    pub can_probe: bool,
    /// How long a change takes to bind everywhere, in milliseconds. Proof is repeated after it.
    pub settle_ms: u64,
    /// What refusal looks like, for people: `28P01`, `28000`.
    pub refusals: Vec<String>,
}

fn yes() -> bool {
    true
}
