//! What leaked secrets open: what the inventory says, and what their issuers say when they are asked.

use std::collections::BTreeSet;

use quell_core::SecretId;
use quell_core::inventory::{Edge, Graph, Node, Place, Secret};
use quell_core::secret::SecretValue;
use serde::{Deserialize, Serialize};

use crate::App;
use crate::systems::Systems;

/// What is known of the reach of some secrets.
#[derive(Clone, Debug, Default)]
pub struct Reach {
    /// The inventory's edges, and those that issuers told.
    pub graph: Graph,
    /// The edges that issuers told.
    pub told: Vec<Edge>,
    /// What could not be found out, and what is open that the inventory does not know.
    pub remarks: Vec<Remark>,
}

/// Something about the reach of a secret that is no edge.
#[derive(Clone, Debug, Deserialize, Eq, Ord, PartialEq, PartialOrd, Serialize)]
#[serde(rename_all = "snake_case", tag = "what")]
pub enum Remark {
    /// Open, and no secret of the inventory.
    Elsewhere {
        /// Whose reach.
        secret: SecretId,
        /// What is open, and by which rule.
        detail: String,
    },
    /// Not found out: more may be open.
    Unknown {
        /// Whose reach.
        secret: SecretId,
        /// Why.
        detail: String,
    },
}

impl Remark {
    /// As a sentence.
    pub fn sentence(&self) -> String {
        match self {
            Self::Elsewhere { secret, detail } => {
                format!("{secret} opens what the inventory does not know: {detail}")
            }
            Self::Unknown { secret, detail } => {
                format!("what {secret} opens is not known in full, so more may be exposed: {detail}")
            }
        }
    }
}

impl Reach {
    /// Why a secret is reached from `start`, which leaked.
    pub fn because(&self, start: &SecretId, reached: &SecretId) -> String {
        let node = Node::Secret(reached.clone());
        let found = self.graph.blast_radius(start).into_iter().find(|it| it.node == node);
        match found.filter(|it| self.told.contains(&it.via)) {
            Some(it) => {
                format!("reached from {start}, which leaked: {} may open it: {}", it.via.from, it.via.why)
            }
            None => format!("reached from {start}, which leaked"),
        }
    }

    /// The remarks as sentences.
    pub fn sentences(&self) -> Vec<String> {
        self.remarks.iter().map(Remark::sentence).collect()
    }
}

/// What these secrets reach. Each issuer that knows is asked once for each secret that is reached; `leaked` is the value that
/// leaked, when one did and it is at hand. A system that cannot be asked becomes a remark.
pub async fn ask(app: &App, start: &[SecretId], leaked: Option<&SecretValue>) -> Reach {
    let places = app.inventory.places();
    let mut reach = Reach { graph: Graph::of(&app.inventory), ..Reach::default() };
    let mut asked = BTreeSet::new();
    loop {
        // What one of them opens may be asked about in turn: a token that reads another token's value.
        let opened = start.iter().flat_map(|id| reach.graph.exposed_secrets(id));
        let reached: BTreeSet<SecretId> = start.iter().cloned().chain(opened).collect();
        let next: Vec<SecretId> = reached.difference(&asked).cloned().collect();
        if next.is_empty() {
            break;
        }
        for secret in next.iter().filter_map(|id| app.inventory.secrets.get(id)) {
            let leaked = leaked.filter(|_| *start == [secret.id.clone()]);
            one(app, secret, leaked, &places, &mut reach).await;
        }
        asked.extend(next);
    }
    reach.remarks.sort();
    reach.remarks.dedup();
    reach
}

async fn one(app: &App, secret: &Secret, leaked: Option<&SecretValue>, places: &[Place], reach: &mut Reach) {
    let id = &secret.id;
    let unknown = |detail: String| Remark::Unknown { secret: id.clone(), detail };
    let systems = match Systems::build(secret, &app.context) {
        Ok(systems) if systems.issuer.knows_what_it_opens() => systems,
        Ok(_) => return,
        Err(error) => return reach.remarks.push(unknown(error.to_string())),
    };
    // The value that is in use, and the one that leaked: it may be an older one with other rights.
    let mut values: Vec<SecretValue> = leaked.map(SecretValue::duplicate).into_iter().collect();
    if let Some(store) = systems.stores.iter().find(|store| store.readable())
        && let Ok(Some(stored)) = store.read().await
        && !values.iter().any(|value| value.same_as(&stored.value))
    {
        values.push(stored.value);
    }
    if values.is_empty() {
        values.push(SecretValue::new(Vec::new()));
    }
    for value in &values {
        let opens = async { systems.issuer.opens(&systems.issuer.identify(value)?, places).await };
        match opens.await {
            Ok(opens) => {
                reach.remarks.extend(opens.unknown.into_iter().map(&unknown));
                reach.remarks.extend(
                    opens
                        .elsewhere
                        .into_iter()
                        .map(|detail| Remark::Elsewhere { secret: id.clone(), detail }),
                );
                for opened in opens.opened {
                    let Some(place) = places.get(opened.place).filter(|place| place.secret != *id) else {
                        continue;
                    };
                    let to = Node::Secret(place.secret.clone());
                    let edge = Edge { from: id.clone(), to, why: opened.why, data: Vec::new() };
                    reach.graph.add(edge.clone());
                    reach.told.push(edge);
                }
            }
            Err(error) => reach.remarks.push(unknown(error.to_string())),
        }
    }
}
