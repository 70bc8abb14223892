//! What exists: secrets, where they come from, where they live, who breaks without them, what they open.
//!
//! Written by operators as YAML (`quell.yaml` or a folder of them), reviewed like code. Values appear only as
//! references. The configuration of a connector is opaque here: its own crate folder parses it.

mod adjacent;
mod graph;
mod parse;
mod place;

pub use adjacent::{Adjacent, SeenAt, Sightings, adjacent};
pub use graph::{Edge, Graph, Node, Reached};
pub use parse::{Diagnostic, parse};
pub use place::{Place, PlaceKind};

use std::collections::{BTreeMap, BTreeSet};

use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::id::SecretId;
use crate::person::Role;
use crate::severity::{Profile, Severity};

/// The whole inventory, checked.
#[derive(Clone, Debug, Default)]
pub struct Inventory {
    /// Every secret, by id.
    pub secrets: BTreeMap<SecretId, Secret>,
    /// How the organisation responds.
    pub policy: Policy,
    /// Addresses and credentials of systems, by connector id: `openbao: { address, token }`.
    pub connections: BTreeMap<String, Value>,
    /// Named ways to tell people: `ops: { webhook: { … } }`.
    pub channels: BTreeMap<String, ConnectorRef>,
    /// Provider files of the user's own, or folders of them; relative to the inventory's folder.
    pub providers: Vec<String>,
    /// Webhooks that are taken in, by name: `github-org: { github: { secret: … } }`.
    pub intake: BTreeMap<String, ConnectorRef>,
    /// How people sign in to the server.
    pub server: Server,
}

/// How people sign in to the server.
#[derive(Clone, Debug, Default, Deserialize, Serialize)]
#[serde(deny_unknown_fields, default)]
pub struct Server {
    /// By an identity provider. Without one, by codes of this installation.
    pub oidc: Option<Oidc>,
}

/// An identity provider (OpenID Connect, code flow with PKCE).
#[derive(Clone, Debug, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
pub struct Oidc {
    /// Exactly as the provider calls itself: `https://id.example.com`.
    pub issuer: String,
    /// What the provider calls us.
    pub client_id: String,
    /// Reference to the client's secret.
    pub client_secret: String,
    /// What is asked for.
    #[serde(default = "Oidc::scope")]
    pub scope: String,
    /// The claim whose text is the name that decisions are recorded with. It must be one that people cannot choose themselves.
    #[serde(default = "Oidc::name_claim")]
    pub name_claim: String,
    /// The claim with the groups.
    #[serde(default = "Oidc::groups_claim")]
    pub groups_claim: String,
    /// Role → groups that have it.
    #[serde(default)]
    pub roles: BTreeMap<Role, Vec<String>>,
    /// Role of those whom no group gives one.
    #[serde(default = "Oidc::default_role")]
    pub default_role: Role,
}

impl Oidc {
    fn scope() -> String {
        "openid profile email".to_owned()
    }

    fn name_claim() -> String {
        "sub".to_owned()
    }

    fn groups_claim() -> String {
        "groups".to_owned()
    }

    fn default_role() -> Role {
        Role::Reporter
    }
}

/// One logical credential. Never a value.
#[derive(Clone, Debug)]
pub struct Secret {
    /// Its id.
    pub id: SecretId,
    /// What it is: `postgres-password`, `openbao-token`.
    pub kind: String,
    /// Where it is used. Anything but the words for test systems counts as production.
    pub env: String,
    /// Order in a mass rotation.
    pub tier: Tier,
    /// The system that accepts it.
    pub issuer: ConnectorRef,
    /// Where consumers read it.
    pub stores: Vec<ConnectorRef>,
    /// What breaks if it dies.
    pub consumers: Vec<Consumer>,
    /// What it opens.
    pub grants: Vec<Grant>,
    /// Secrets that must be done first.
    pub depends_on: Vec<SecretId>,
    /// Whom to ask.
    pub owners: Vec<String>,
    /// File and line of its entry.
    pub place: String,
}

impl Secret {
    /// Fail closed: only well-known words for test systems are "not production".
    pub fn is_production(&self) -> bool {
        !matches!(
            self.env.as_str(),
            "dev"
                | "development"
                | "test"
                | "testing"
                | "staging"
                | "stage"
                | "sandbox"
                | "ci"
                | "qa"
                | "demo"
                | "drill"
        )
    }
}

/// Mass rotation goes in this order.
#[derive(Clone, Copy, Debug, Default, Deserialize, Eq, Ord, PartialEq, PartialOrd, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Tier {
    /// Database root, cloud admin, secret store.
    Infrastructure,
    /// A service's own credential.
    #[default]
    Service,
    /// A third party's.
    Integration,
    /// A person's.
    Human,
}

/// A connector by id and its opaque configuration.
#[derive(Clone, Debug, Eq, PartialEq, Serialize)]
pub struct ConnectorRef {
    /// `postgres`, `openbao`, `env_file`.
    pub connector: String,
    /// Parsed by the connector.
    pub config: Value,
}

/// What breaks if the secret dies, and how it picks up a new value.
#[derive(Clone, Debug, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
pub struct Consumer {
    /// Its name, unique in the secret.
    pub name: String,
    /// How to make it pick up the new value: `{ systemd: unit }`. Absent: it does so by itself.
    #[serde(default)]
    pub reload: Option<BTreeMap<String, Value>>,
    /// How to see which value it uses: `{ http: url, generation: ".gen" }`.
    pub observe: BTreeMap<String, Value>,
}

/// What the secret opens.
#[derive(Clone, Debug, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
pub struct Grant {
    /// A system or data set in words: `postgres:orders`. Or leave it out and name a `secret`.
    #[serde(default)]
    pub resource: Option<String>,
    /// Another secret that this one can read or make.
    #[serde(default)]
    pub secret: Option<SecretId>,
    /// `read`, `write`, `admin`.
    #[serde(default)]
    pub access: String,
    /// Data classes behind it: `personal`, `payment`, `health`.
    #[serde(default)]
    pub data: Vec<String>,
}

/// How the organisation responds.
#[derive(Clone, Debug, Default, Deserialize, Serialize)]
#[serde(deny_unknown_fields, default)]
pub struct Policy {
    /// Which severity ladder.
    pub severity_profile: Profile,
    /// Who must approve what.
    pub approvals: Approvals,
    /// Markets served, for regulatory clocks: `eu`, `uk`, `us-ca`.
    pub markets: Vec<String>,
    /// Role of a channel → name in `channels`: `page`, `post`.
    pub notify: BTreeMap<String, String>,
    /// From this severity on the channel of the role `page` is told, too: `SEV-2` wakes nobody for a SEV-3. Of every incident without it.
    pub page_from: Option<Severity>,
    /// Strategy, when it is not left to the rules.
    pub strategy: StrategyPolicy,
    /// Many secrets at once.
    pub mass: Mass,
    /// Where people reach this installation: `https://quell.example.com`. Notices link to the incident there.
    pub site: Option<String>,
    /// A folder beside the inventory with templates of notices: `KIND.md.j2`.
    pub notices: Option<String>,
}

/// Role of the channel that wakes somebody.
const PAGE: &str = "page";

impl Policy {
    /// Channels that are told of an incident this bad, each once.
    pub fn told(&self, severity: Severity) -> Vec<String> {
        let wakes = self.page_from.is_none_or(|from| severity >= from);
        let roles = self.notify.iter().filter(|(role, _)| wakes || *role != PAGE);
        let channels: BTreeSet<&String> = roles.map(|(_, channel)| channel).collect();
        channels.into_iter().cloned().collect()
    }

    /// Channels that call somebody to an incident this bad: the one for pages, or where it stays silent or none is named, all that are told.
    pub fn called(&self, severity: Severity) -> Vec<String> {
        let told = self.told(severity);
        match self.notify.get(PAGE) {
            Some(page) if told.contains(page) => vec![page.clone()],
            Some(_) | None => told,
        }
    }
}

/// How a rotation of many secrets goes.
#[derive(Clone, Debug, Deserialize, Serialize)]
#[serde(deny_unknown_fields, default)]
pub struct Mass {
    /// When steps of so many secrets gave up, no further secret is begun until a person resumes. 0: never.
    pub stop_after: u32,
    /// Steps that call one system at the same time, at most. A connector that knows better asks for fewer.
    pub at_once: u16,
    /// With make-before-break so many secrets are under way at the same time, at most: stopping helps only those that
    /// have not been begun. 0: no limit.
    pub under_way: u32,
}

impl Default for Mass {
    fn default() -> Self {
        Self { stop_after: 3, at_once: 8, under_way: 12 }
    }
}

/// Which strategy to take.
#[derive(Clone, Copy, Debug, Default, Deserialize, Eq, PartialEq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum StrategyPolicy {
    /// Kill-first for public exposure of live production secrets and for any sign of use; else make-before-break.
    #[default]
    Auto,
    /// Always disable first.
    KillFirst,
    /// Always make before break.
    MakeBeforeBreak,
}

/// Who must approve what.
#[derive(Clone, Debug, Deserialize, Serialize)]
#[serde(deny_unknown_fields, default)]
pub struct Approvals {
    /// How many different people for steps that cannot be taken back. 0, 1 or 2.
    pub destructive: u8,
    /// How many for the others that change something.
    pub reversible: u8,
    /// Playbooks that need no meeting: `sev1-public-leak`, `drill`.
    pub pre_approved: Vec<String>,
    /// How long an approval is good for, in minutes.
    pub expire_minutes: u32,
}

impl Default for Approvals {
    fn default() -> Self {
        Self { destructive: 1, reversible: 0, pre_approved: Vec::new(), expire_minutes: 30 }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_pager_sleeps_below_its_severity_and_others_are_called() {
        let notify = [("page", "oncall"), ("post", "security"), ("copy", "mail"), ("also", "mail")];
        let notify = notify.map(|(role, channel)| (role.to_owned(), channel.to_owned()));
        let mut policy = Policy { notify: BTreeMap::from(notify), ..Policy::default() };
        assert_eq!(policy.told(Severity::Sev4), ["mail", "oncall", "security"]);
        assert_eq!(policy.called(Severity::Sev4), ["oncall"]);
        policy.page_from = Some(Severity::Sev2);
        assert_eq!(policy.told(Severity::Sev2), ["mail", "oncall", "security"]);
        assert_eq!(policy.told(Severity::Sev3), ["mail", "security"]);
        assert_eq!(policy.called(Severity::Sev1), ["oncall"]);
        assert_eq!(policy.called(Severity::Sev3), ["mail", "security"], "somebody is called all the same");
        policy.notify.remove(PAGE);
        assert_eq!(policy.called(Severity::Sev1), ["mail", "security"]);
        // One channel for both wakes by its other role.
        policy.notify =
            BTreeMap::from([("page", "ops"), ("post", "ops")].map(|(a, b)| (a.to_owned(), b.to_owned())));
        assert_eq!(policy.called(Severity::Sev4), ["ops"]);
    }
}
