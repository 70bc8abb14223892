//! The contract of every connector.
//!
//! Rules that hold for all of them (the conformance suite checks them):
//! * `perform` is safe to repeat with the same arguments: the second call finds the first one's effect.
//! * `observe` and `probe` never change anything.
//! * A lost or late answer is [`Outcome::Unknown`]; [`Outcome::NotApplied`] is said only when that is certain
//!   (the connection was refused before anything was sent, or the system answered with a definite refusal).
//! * No value ever appears in an outcome, an error, a log line, a URL, argv or an environment.
//! * A hung system ends in `Unknown` within [`crate::context::Context::call_limit`].

use async_trait::async_trait;
use quell_core::inventory::Place;
use quell_core::issuer::Capabilities;
use quell_core::outcome::{Outcome, Probe};
use quell_core::secret::{Credential, SecretValue};
use serde::Serialize;
use serde_json::Value;

use crate::context::Context;
use crate::error::{ConfigError, ConnectError};

/// Builds one role of a connector from its part of the inventory.
pub type Build<T> = fn(&Value, &Context) -> Result<Box<T>, ConfigError>;

/// One system: what it is called, how it is configured, which roles it can play.
#[derive(Debug)]
pub struct Definition {
    /// The key in the inventory: `postgres`, `openbao`, `env_file`.
    pub id: &'static str,
    /// One line for lists.
    pub summary: &'static str,
    /// The operator's page: permissions needed, what it can and cannot do.
    pub readme: &'static str,
    /// JSON Schema (draft 2020-12) of the configuration in each role it plays, as `(role, schema)`;
    /// role is `issuer`, `store`, `reload`, `observe` or `notify`.
    pub schemas: fn() -> Vec<(&'static str, Value)>,
    /// Builds the issuer, if it is one.
    pub issuer: Option<Build<dyn Issuer>>,
    /// Builds the store, if it is one.
    pub store: Option<Build<dyn Store>>,
    /// Builds the part of a consumer that makes it pick up a new value.
    pub reload: Option<Build<dyn Reload>>,
    /// Builds the part of a consumer that tells which value it uses.
    pub observe: Option<Build<dyn Observe>>,
    /// Builds the notifier, if it is one.
    pub notify: Option<Build<dyn Notify>>,
}

/// One line of `quell inventory check`.
#[derive(Clone, Debug, Eq, PartialEq, Serialize)]
pub struct Check {
    /// What was checked: "log in as admin", "may create roles".
    pub what: String,
    /// Whether it holds.
    pub ok: bool,
    /// What was seen; for a failure also what to grant or change.
    pub detail: String,
}

/// An effect at the issuer.
#[derive(Clone, Copy, Debug)]
pub enum IssuerOp<'a> {
    /// Make `new` valid. With [`quell_core::issuer::ValidAtOnce::One`] this kills the old value too.
    Install {
        /// The chosen successor.
        new: &'a Credential,
    },
    /// Make the issuer refuse `old`.
    Disable {
        /// The compromised credential.
        old: &'a Credential,
    },
    /// End live sessions that were opened with `old`. `cutoff` (server time, RFC 3339) spares sessions that
    /// began later, when old and new share a principal.
    Sever {
        /// The compromised credential.
        old: &'a Credential,
        /// Sessions that began at or after this moment are not the old value's.
        cutoff: Option<&'a str>,
    },
}

/// What an effect at the issuer gave.
#[derive(Debug)]
pub struct Performed {
    /// How it went, with facts. Where old and new share a principal, facts carry `cutoff` (taken after the
    /// change; RFC 3339 server time, and whatever else the connector needs: it is given back as it is): after `Install` when that kills the old value ([`quell_core::issuer::ValidAtOnce::One`]), else after `Disable`. Those of `Disable` carry `already`: false only if the credential was seen to be there and was taken away, which shows that it was valid; true if it was not there; null or absent if that is not known.
    pub outcome: Outcome,
    /// The value that the issuer chose, when it chooses ([`quell_core::issuer::Chooser::Issuer`]).
    pub minted: Option<Credential>,
}

impl From<Outcome> for Performed {
    fn from(outcome: Outcome) -> Self {
        Self { outcome, minted: None }
    }
}

/// The system that accepts the credential. Only it can kill a secret.
#[async_trait]
pub trait Issuer: Send + Sync {
    /// Facts for the plan compiler.
    fn capabilities(&self) -> Capabilities;
    /// The system in words, without credentials: `postgres 127.0.0.1:5432/orders`.
    fn target(&self) -> String;
    /// The name under which secrets share what the system bears, and how many steps may call it at once, when that is
    /// less than usual. Secrets of one server have one name: that is the target without whose credential it is.
    fn lane(&self) -> (String, Option<u16>) {
        let target = self.target();
        let name = target.split_once(" (").map_or(target.as_str(), |(system, _)| system);
        (name.to_owned(), None)
    }
    /// Reaches the system and says which permission is missing. Changes nothing.
    async fn check(&self) -> Vec<Check>;
    /// Things an operator must know before a rotation, such as a pooler in between. Changes nothing.
    async fn warnings(&self, current: Option<&SecretValue>) -> Vec<String>;
    /// Whose credential a value is: the principal inside it, or the configured one.
    fn identify(&self, value: &SecretValue) -> Result<Credential, ConnectError>;
    /// Chooses the successor of `old`: a fresh value, in the same shape as the old one, for the principal that
    /// will hold it. `tag` is unique per (incident, step) and lets an issuer-chosen credential be found again.
    /// Reads at most; the caller seals the result before [`IssuerOp::Install`].
    async fn choose(&self, old: Option<&Credential>, tag: &str) -> Result<Credential, ConnectError>;
    /// Does it.
    async fn perform(&self, op: IssuerOp<'_>) -> Performed;
    /// Whether it tells sessions apart by when they began, whoever's they are: then what it severs and counts is from before the moment
    /// at which the old credential was disabled, whose `cutoff` it gave with that.
    fn severs_by_time(&self) -> bool {
        false
    }
    /// Whether it keeps what it refuses, and can delete that: the plan then has a step for it, after the proof.
    fn retires(&self) -> bool {
        false
    }
    /// Deletes what it keeps of `old`, which is refused already; facts carry what is lost with it, such as its last use.
    async fn retire(&self, _old: &Credential) -> Outcome {
        Outcome::refused("this issuer keeps nothing of a credential that it refuses")
    }
    /// `Applied` when nothing of `old` is kept. Changes nothing.
    async fn observe_retire(&self, _old: &Credential) -> Outcome {
        Outcome::refused("this issuer keeps nothing of a credential that it refuses")
    }
    /// Is it in force already? `Applied` / `NotApplied` / `Unknown`. Changes nothing.
    async fn observe(&self, op: IssuerOp<'_>) -> Performed;
    /// Tries the credential for real, as its bearer would.
    async fn probe(&self, credential: &Credential) -> Probe;
    /// Why a refusal of this value says nothing, unless it was seen to be valid here: it names another door than the one that is tried. Never
    /// repeats a part of the value. Changes nothing.
    async fn elsewhere(&self, _credential: &Credential) -> Option<String> {
        None
    }
    /// A fresh acceptance by the same door for a principal known to be good (the admin), used as control
    /// before a successor exists.
    async fn control(&self) -> Probe;
    /// Whether there is such a principal at all. Without one nothing can be proven, only shown.
    fn has_control(&self) -> bool {
        true
    }
    /// How many live sessions were opened with `old` (see [`IssuerOp::Sever`] for `cutoff`).
    async fn sessions(&self, old: &Credential, cutoff: Option<&str>) -> Result<u64, ConnectError>;
    /// Whether [`Issuer::opens`] has an answer. Otherwise the inventory's grants alone tell what a credential opens.
    fn knows_what_it_opens(&self) -> bool {
        false
    }
    /// Which of these places the bearer of `old` can reach, as the issuer's own rules say. Changes nothing.
    async fn opens(&self, _old: &Credential, _places: &[Place]) -> Result<Opens, ConnectError> {
        Ok(Opens::default())
    }
}

/// What the bearer of a credential can reach, as its issuer's own rules say.
#[derive(Clone, Debug, Default, Eq, PartialEq, Serialize)]
pub struct Opens {
    /// Places of the inventory that are open to it.
    pub opened: Vec<Opened>,
    /// What could not be found out: while there is anything here, more may be open.
    pub unknown: Vec<String>,
    /// What is open to it and unknown to the inventory.
    pub elsewhere: Vec<String>,
}

/// A place of the inventory that is open.
#[derive(Clone, Debug, Eq, PartialEq, Serialize)]
pub struct Opened {
    /// Which, in the order in which they were given.
    pub place: usize,
    /// By which rule: ``policy `orders` gives read on `kv/data/apps/orders` ``.
    pub why: String,
}

/// A value as a store holds it.
#[derive(Debug)]
pub struct Stored {
    /// The current value.
    pub value: SecretValue,
    /// The store's own version id, for compare-and-set.
    pub version: String,
}

/// Where consumers read the value from.
#[async_trait]
pub trait Store: Send + Sync {
    /// The place in words, without credentials: `openbao kv/apps/orders#DATABASE_URL`.
    fn target(&self) -> String;
    /// Reaches the store and says which permission is missing. Changes nothing.
    async fn check(&self) -> Vec<Check>;
    /// The current value. `Ok(None)` when the place is empty.
    async fn read(&self) -> Result<Option<Stored>, ConnectError>;
    /// Writes `new` as the current version, compare-and-set against what is current, keeping neighbours in
    /// the same place. Finding `new` already current is `Applied`. Facts carry `version`.
    async fn write(&self, new: &SecretValue) -> Outcome;
    /// `Applied` when the current value is `new`, `NotApplied` when it is another.
    async fn observe_write(&self, new: &SecretValue) -> Outcome;
    /// Destroys every version still readable that holds one of `compromised`; never the current one.
    /// Facts carry `destroyed` (version ids). A store without history answers `Applied` with `history: false`.
    async fn purge(&self, compromised: &[&SecretValue]) -> Outcome;
    /// `Applied` when no readable version holds one of `compromised`.
    async fn observe_purge(&self, compromised: &[&SecretValue]) -> Outcome;
}

/// Makes a consumer pick up the new value. Repeating it is harmless.
#[async_trait]
pub trait Reload: Send + Sync {
    /// The act in words: `SIGHUP to pid in /run/orders.pid`.
    fn target(&self) -> String;
    /// Can it be done? Changes nothing.
    async fn check(&self) -> Vec<Check>;
    /// Does it.
    async fn reload(&self) -> Outcome;
}

/// What a consumer says about itself.
#[derive(Clone, Debug, Default, Eq, PartialEq, Serialize)]
pub struct Seen {
    /// The generation field, as text; compared with the one seen before the change.
    pub generation: Option<String>,
    /// The principal it is logged in as, if it tells.
    pub principal: Option<String>,
    /// Whether it says that it is healthy.
    pub healthy: bool,
}

/// Tells which value a consumer uses. Changes nothing.
#[async_trait]
pub trait Observe: Send + Sync {
    /// The source in words: `GET http://127.0.0.1:8080/healthz .gen`.
    fn target(&self) -> String;
    /// Can it be asked?
    async fn check(&self) -> Vec<Check>;
    /// Asks it.
    async fn see(&self) -> Result<Seen, ConnectError>;
}

/// Something told to people. Never a value inside.
#[derive(Clone, Debug, Eq, PartialEq, Serialize)]
pub struct Notice {
    /// Stable across retries: the receiver can drop a repeat.
    pub id: String,
    /// The incident.
    pub incident: String,
    /// `SEV-1` and so on.
    pub severity: String,
    /// One line.
    pub title: String,
    /// The text, Markdown.
    pub body: String,
    /// The signed ledger checkpoint at the time of writing: whoever keeps it can show a rewrite later.
    pub checkpoint: String,
}

/// A channel to people or other systems.
#[async_trait]
pub trait Notify: Send + Sync {
    /// The channel in words.
    fn target(&self) -> String;
    /// Can it be reached? Sends nothing.
    async fn check(&self) -> Vec<Check>;
    /// Sends it. A repeat carries the same `id`.
    async fn send(&self, notice: &Notice) -> Outcome;
}
