//! The inventory: what exists, what it opens, whether it can be reached.

use quell_app::inventory::CheckLine;
use quell_app::reach::{Reach, Remark};
use quell_core::SecretId;
use quell_core::inventory::{self as domain, Edge, Reached, Tier};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::shape;

/// One secret of the inventory. Never a value, and nothing of how systems are reached.
#[derive(Clone, Debug, Deserialize, JsonSchema, Serialize)]
pub struct Known {
    /// Its id.
    #[schemars(with = "String")]
    pub id: SecretId,
    /// What it is.
    pub kind: String,
    /// Where it is used.
    pub env: String,
    /// True for everything but the words for test systems.
    pub production: bool,
    /// Order in a mass rotation.
    #[schemars(with = "shape::Tier")]
    pub tier: Tier,
    /// The kind of system that accepts it.
    pub issuer: String,
    /// Kinds of the places where consumers read it.
    pub stores: Vec<String>,
    /// Who uses it.
    pub consumers: Vec<String>,
    /// Secrets that must be done first.
    #[schemars(with = "Vec<String>")]
    pub depends_on: Vec<SecretId>,
    /// Whom to ask.
    pub owners: Vec<String>,
}

impl Known {
    /// Of an entry of the inventory.
    pub fn of(secret: &domain::Secret) -> Self {
        Self {
            id: secret.id.clone(),
            kind: secret.kind.clone(),
            env: secret.env.clone(),
            production: secret.is_production(),
            tier: secret.tier,
            issuer: secret.issuer.connector.clone(),
            stores: secret.stores.iter().map(|store| store.connector.clone()).collect(),
            consumers: secret.consumers.iter().map(|consumer| consumer.name.clone()).collect(),
            depends_on: secret.depends_on.clone(),
            owners: secret.owners.clone(),
        }
    }
}

/// A page of the inventory, by id.
#[derive(Clone, Debug, Deserialize, JsonSchema, Serialize)]
pub struct Inventory {
    /// The secrets.
    pub secrets: Vec<Known>,
    /// Where the next page begins; absent on the last one.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub next: Option<String>,
}

/// What a secret opens.
#[derive(Clone, Debug, JsonSchema, Serialize)]
pub struct Reaches {
    /// Which secret.
    #[schemars(with = "String")]
    pub secret: SecretId,
    /// Everything that it reaches, nearest first.
    #[schemars(with = "Vec<shape::Reached>")]
    pub reaches: Vec<Reached>,
    /// What could not be found out, or is open and not in the inventory.
    #[schemars(with = "Vec<Value>")]
    pub remarks: Value,
}

impl Reaches {
    /// Of what is known, and what issuers said.
    pub fn of(secret: &SecretId, reach: &Reach) -> Self {
        let reaches = reach.graph.blast_radius(secret);
        let remarks = serde_json::to_value(&reach.remarks).unwrap_or_default();
        Self { secret: secret.clone(), reaches, remarks }
    }
}

/// What opens what, as edges.
#[derive(Clone, Debug, Default, Deserialize, JsonSchema, Serialize)]
pub struct Edges {
    /// From a secret to what it opens or feeds.
    #[schemars(with = "Vec<shape::Edge>")]
    pub edges: Vec<Edge>,
    /// What could not be found out, or is open and not in the inventory.
    #[schemars(with = "Vec<Value>")]
    pub remarks: Vec<Remark>,
}

impl Edges {
    /// Everything, or what a secret reaches.
    pub fn of(start: Option<&SecretId>, reach: &Reach) -> Self {
        let edges = reach.graph.edges_from(start).into_iter().cloned().collect();
        Self { edges, remarks: reach.remarks.clone() }
    }

    /// The graph that they make.
    pub fn reach(self) -> Reach {
        let mut reach = Reach { remarks: self.remarks, ..Reach::default() };
        self.edges.into_iter().for_each(|edge| reach.graph.add(edge));
        reach
    }
}

/// Whether an inventory can be read, and the ids of the secrets in it.
#[derive(Clone, Debug, Deserialize, JsonSchema, Serialize)]
pub struct Parsed {
    /// It can be read.
    pub ok: bool,
    /// By id; of one that is refused, those of the inventory that is used instead.
    #[schemars(with = "Vec<String>")]
    pub secrets: Vec<SecretId>,
    /// Why the newest one is refused; the one before is used.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub refused: Option<String>,
}

/// Whether every system can be reached with the rights that are needed.
#[derive(Clone, Debug, Deserialize, JsonSchema, Serialize)]
pub struct Checked {
    /// Everything holds.
    pub ok: bool,
    /// What was checked.
    #[schemars(with = "Vec<shape::Check>")]
    pub checks: Vec<CheckLine>,
}

impl Checked {
    /// Of what the systems said.
    pub fn of(checks: Vec<CheckLine>) -> Self {
        Self { ok: checks.iter().all(|line| line.check.ok), checks }
    }
}
