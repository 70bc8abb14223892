//! The contract of every connector.
//!
//! Rules that hold for all of them (the conformance suite checks them):
//! * `perform` is safe to repeat with the same arguments: the second call finds the first one's effect.
//! * `observe` and `probe` never change anything.
//! * A lost or late answer is [`Outcome::Unknown`]; [`Outcome::NotApplied`] is said only when that is certain
//!   (the connection was refused before anything was sent, or the system answered with a definite refusal).
//! * No value ever appears in an outcome, an error, a log line, a URL, argv or an environment.
//! * A hung system ends in `Unknown` within [`crate::context::Context::call_limit`].

use std::path::PathBuf;

use async_trait::async_trait;
use quell_core::exposure::Exposure;
use quell_core::inventory::Place;
use quell_core::issuer::{Capabilities, Overlap, Task};
use quell_core::outcome::{Facts, Outcome, Probe};
use quell_core::plan::ChannelAct;
use quell_core::secret::{Credential, SecretValue};
use serde::{Deserialize, Serialize};
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
    /// role is `issuer`, `store`, `reload`, `observe`, `notify` or `channel`.
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
    /// Builds the place where secrets leak, if it is one.
    pub channel: Option<Build<dyn Channel>>,
}

/// One line of `quell inventory check`.
#[derive(Clone, Debug, Deserialize, Eq, PartialEq, Serialize)]
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
    /// less than usual. Secrets of one server have one name, two servers have two: so it says where the server is, or
    /// with whose credential it is administered when that alone tells, and not whose credential is rotated there.
    fn lane(&self) -> (String, Option<u16>);
    /// What only people can do there, in order: the plan waits for each, and they say what they saw.
    fn tasks(&self) -> Vec<Task> {
        Vec::new()
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
    /// Whether a leaked value may be valid beside its successor for as long as consumers are moved.
    fn overlap(&self) -> Overlap {
        Overlap::Allowed
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
    /// Why a successor must not be written like this value, which somebody reported: it would carry an address that is none of ours. Never
    /// repeats a part of the value. Changes nothing.
    async fn leads_away(&self, _credential: &Credential) -> Option<String> {
        None
    }
    /// Why a refusal of this value is no proof, unless it was seen to be valid here: the issuer refuses strangers' values in the same words. Unlike
    /// [`Issuer::elsewhere`] this does not say that it belongs elsewhere: a store that holds a dead value goes on. Changes nothing.
    async fn unproven(&self, credential: &Credential) -> Option<String> {
        self.elsewhere(credential).await
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
    /// Whether what it holds can be read back. A store that only takes values, as CI does with secrets, says no: its `read` fails, a `write`
    /// whose answer was lost is made up for by another one of the same value, and `observe_write` is never `Applied`.
    fn readable(&self) -> bool {
        true
    }
    /// The current value. `Ok(None)` when the place is empty.
    async fn read(&self) -> Result<Option<Stored>, ConnectError>;
    /// Writes `new` as the current version, compare-and-set against what is current, keeping neighbours in
    /// the same place. Finding `new` already current is `Applied`. Facts carry `version`.
    async fn write(&self, new: &SecretValue) -> Outcome;
    /// Writes `new` as the current version if what was read as `version` is still current: what somebody wrote meanwhile is not
    /// overwritten. As it is here it looks and then writes; a store that can do both at once does.
    async fn swap(&self, version: &str, new: &SecretValue) -> Outcome {
        match self.read().await {
            Ok(Some(now)) if now.version == version => self.write(new).await,
            Ok(_) => Outcome::retry(format!("{}: somebody changed it meanwhile", self.target())),
            // Nothing was sent to change it.
            Err(error) => Outcome::retry(error.to_string()),
        }
    }
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
    /// Why it is not, when that is known: `1 of 3 pods is of the newest template`.
    pub why: Option<String>,
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

/// How far an incident is, as far as people are told.
#[derive(Clone, Copy, Debug, Eq, Ord, PartialEq, PartialOrd, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Stage {
    /// It was opened, and nothing has been done yet.
    Opened,
    /// The first step is done: somebody, or Quell, has taken it up.
    FirstResponse,
    /// Machines have done what they can; the rest is people's.
    WithPeople,
    /// Every secret is proven inert.
    Proven,
}

/// A step that waits for people, as those who may approve it are asked.
#[derive(Clone, Debug, Eq, PartialEq, Serialize)]
pub struct Ask {
    /// The step's id.
    pub step: String,
    /// The plan that it stands in: an approval is for this one and no other.
    pub plan_hash: String,
    /// What it does, in words.
    pub what: String,
    /// How many more people must approve it.
    pub needed: u8,
}

/// Something told to people. Never a value inside.
#[derive(Clone, Debug, Eq, PartialEq, Serialize)]
pub struct Notice {
    /// Stable across retries: the receiver can drop a repeat.
    pub id: String,
    /// The incident.
    pub incident: String,
    /// The installation: ids of incidents are unique in it alone.
    pub installation: String,
    /// How far it is.
    pub stage: Stage,
    /// Somebody wrote it while the incident goes on: it changes nothing about how far it is.
    pub update: bool,
    /// `SEV-1` and so on.
    pub severity: String,
    /// One line.
    pub title: String,
    /// The text, Markdown.
    pub body: String,
    /// Where people read on, when the inventory says where this installation is reached.
    pub link: Option<String>,
    /// Steps that wait for people now.
    pub asks: Vec<Ask>,
    /// What this channel said of the incident's first notice, such as where it stands.
    #[serde(skip)]
    pub first: Facts,
    /// The signed ledger checkpoint at the time of writing: whoever keeps it can show a rewrite later.
    pub checkpoint: String,
}

impl Notice {
    /// One to try a channel with.
    pub(crate) fn sample(id: &str) -> Self {
        Self {
            id: id.to_owned(),
            incident: "INC-2026-0001".to_owned(),
            installation: "conformance".to_owned(),
            stage: Stage::Opened,
            update: false,
            severity: "SEV-4".to_owned(),
            title: "Conformance check".to_owned(),
            body: "A second line, with \"quotes\" and ünïcode.\nNothing to do.".to_owned(),
            link: None,
            asks: Vec::new(),
            first: Facts::new(),
            checkpoint: "quell.example/log\n1\nAAAA\n".to_owned(),
        }
    }
}

/// What becomes of a notice that is sent a second time, after nobody knows whether the first one arrived.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Repeat {
    /// It carries the same id, and whoever gets it drops it: it is sent again.
    Dropped,
    /// It would stand there twice: [`Notify::seen`] looks first.
    Seen,
}

/// What an incident says of a place where it leaked.
#[derive(Clone, Copy, Debug)]
pub struct Leak<'a> {
    /// The incident's id: what is locked for it carries its name, so that two incidents do not unlock each other's.
    pub incident: &'a str,
    /// Its exposures at this place.
    pub exposures: &'a [Exposure],
}

/// A place where secrets leak: a repository, a CI system, a chat. What is done there keeps the leak from spreading and is
/// hygiene: nothing of it contains anything.
#[async_trait]
pub trait Channel: Send + Sync {
    /// The place in words.
    fn target(&self) -> String;
    /// Can it be reached, and is what it is asked for allowed? Changes nothing.
    async fn check(&self) -> Vec<Check>;
    /// What a lock stops, as a clause: `nobody can push`.
    fn lock_in_words(&self) -> &'static str;
    /// What it can do about such a leak.
    fn acts(&self, leak: &Leak<'_>) -> Vec<ChannelAct>;
    /// The repository of this machine in which the leak can be looked for. Without one [`Channel::preserve`] says
    /// all, and [`ChannelAct::Scan`] is left to people.
    fn repository(&self) -> Option<PathBuf> {
        None
    }
    /// What is to be seen there now, of which the leak is a part: who could see it, where it still stands, since when. Never a
    /// value. Changes nothing.
    async fn preserve(&self, leak: &Leak<'_>) -> Result<Value, ConnectError>;
    /// [`ChannelAct::Lock`], [`ChannelAct::Remove`] or [`ChannelAct::Unlock`]. Finding it done already is `Applied`.
    async fn perform(&self, act: ChannelAct, leak: &Leak<'_>) -> Outcome;
    /// Is it in force already? Changes nothing.
    async fn observe(&self, act: ChannelAct, leak: &Leak<'_>) -> Outcome;
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
    /// What follows when its answer was lost.
    fn repeat(&self) -> Repeat {
        Repeat::Dropped
    }
    /// `Applied` when it is there, with the facts that `send` gives; `NotApplied` when it is not. Changes nothing.
    async fn seen(&self, _notice: &Notice) -> Outcome {
        Outcome::unknown("this channel does not show what was sent to it")
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;
    use std::sync::Arc;

    use serde_json::json;

    use super::*;

    fn lane(connector: &str, config: &Value, bao: &str) -> String {
        let http = crate::http::Client::new(std::time::Duration::from_secs(1), None).unwrap();
        let mut context = Context::new(PathBuf::from("/x"), http);
        context.environment = Arc::new(BTreeMap::from([
            ("BAO_ADDR".to_owned(), bao.to_owned()),
            ("BAO_TOKEN".to_owned(), "root".to_owned()),
        ]));
        crate::find(connector).unwrap().issuer.unwrap()(config, &context).unwrap().lane().0
    }

    #[test]
    fn secrets_of_one_server_share_a_lane_and_those_of_two_do_not() {
        let (one, other) = ("http://127.0.0.1:8200", "http://127.0.0.1:8300");
        let same = |connector: &str, first: Value, second: Value| {
            assert_eq!(lane(connector, &first, one), lane(connector, &second, one), "{first} {second}");
        };
        let apart = |connector: &str, first: Value, second: Value| {
            assert_ne!(lane(connector, &first, one), lane(connector, &second, one), "{first} {second}");
        };
        let iam = |admin: &str, user: &str| json!({ "admin": admin, "user": user });
        same("aws_iam", iam("env:A", "web"), iam("env:A", "mail"));
        apart("aws_iam", iam("env:A", "web"), iam("env:B", "web"));
        let at = |place: &str| json!({ "admin": "env:A", "user": "web", "endpoint": place });
        apart("aws_iam", at("http://127.0.0.1:1"), at("http://127.0.0.1:2"));
        let region = |name: &str| json!({ "admin": "env:A", "user": "web", "region": name });
        apart("aws_iam", region("eu-west-1"), region("cn-north-1"));

        let account = |admin: &str, user: &str| json!({ "admin": admin, "user": user });
        for connector in ["mariadb", "redis"] {
            same(connector, account("env:A", "web"), account("env:A", "mail"));
            apart(connector, account("env:A", "web"), account("env:B", "web"));
            let odd = |admin: &str| account(&format!("file:/run/db ({admin})/url"), "web");
            apart(connector, odd("a"), odd("b"));
        }
        let nodes = |nodes: [&str; 2], user: &str| json!({ "admin": "env:A", "user": user, "nodes": nodes });
        same("redis", nodes(["a", "b"], "web"), nodes(["b", "a:6379"], "mail"));
        apart("redis", nodes(["a", "b"], "web"), nodes(["a", "c"], "web"));

        let role = |place: Value, role: &str| {
            let mut config = json!({ "admin": "env:A", "roles": [role] });
            config.as_object_mut().unwrap().extend(place.as_object().unwrap().clone());
            config
        };
        same("postgres", role(json!({}), "web"), role(json!({ "database": "mail" }), "mail"));
        let orders = json!({ "host": "db", "database": "orders" });
        same("postgres", role(orders, "web"), role(json!({ "host": "db", "port": 5432 }), "mail"));
        apart("postgres", role(json!({ "host": "db" }), "web"), role(json!({ "host": "db2" }), "web"));
        apart("postgres", role(json!({ "port": 5433 }), "web"), role(json!({ "port": 5434 }), "web"));

        let key = |config: Value| json!({ "id": "github", "key_id": config });
        same("provider", key(json!("1")), key(json!("2")));
        let door = |id: &str, url: &str| json!({ "id": id, "url": url });
        apart("provider", door("github", "https://a"), door("github", "https://b"));
        apart("provider", door("github", "https://a"), door("openai", "https://a"));

        let key_of = |user: &str, host: &str| json!({ "user": user, "hosts": [host], "known_hosts": "k", "admin": "env:A" });
        same("ssh", key_of("web", "a"), key_of("mail", "a:22"));
        apart("ssh", key_of("web", "a"), key_of("web", "b"));

        let kms = |admin: &str, alias: &str| json!({ "admin": admin, "alias": alias });
        same("aws_kms", kms("env:A", "alias/web"), kms("env:A", "alias/mail"));
        apart("aws_kms", kms("env:A", "alias/web"), kms("env:B", "alias/web"));
        let grant = |issuer: &str, client: &str| {
            let client = json!({ "id": client, "secret": "env:A" });
            json!({ "issuer": issuer, "client": client, "token": { "type": "refresh_token" } })
        };
        same("oauth", grant("https://a", "web"), grant("https://a", "mail"));
        apart("oauth", grant("https://a", "web"), grant("https://b", "web"));

        let hsm =
            |token: &str, key: &str| json!({ "module": "/m.so", "token": token, "pin": "env:A", "key": key });
        same("pkcs11", hsm("one", "web"), hsm("one", "mail"));
        apart("pkcs11", hsm("one", "web"), hsm("two", "web"));

        let token = json!({ "token": { "policies": ["app"] } });
        let role_id = json!({ "approle": { "role": "app" } });
        let leases = json!({ "database": { "mount": "database", "role": "orders" } });
        let certificate = json!({ "pki": { "mount": "pki", "role": "web", "common_name": "web.internal" } });
        let wraps = json!({ "transit": { "key": "web" } });
        for config in [&token, &role_id, &leases, &certificate, &wraps] {
            same("openbao", token.clone(), config.clone());
            assert_ne!(lane("openbao", config, one), lane("openbao", config, other), "{config}");
        }
    }
}
