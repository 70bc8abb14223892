//! Blast radius: what a leaked secret opens, transitively, and what breaks without it.

use std::collections::{BTreeMap, VecDeque};
use std::fmt::Write as _;

use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::{ConnectorRef, Inventory};
use crate::id::SecretId;

/// A thing in the graph.
#[derive(Clone, Debug, Deserialize, Eq, Ord, PartialEq, PartialOrd, Serialize)]
#[serde(tag = "type", content = "name", rename_all = "snake_case")]
pub enum Node {
    /// A secret of the inventory.
    Secret(SecretId),
    /// A system or data set.
    Resource(String),
    /// A consumer, as `secret/name`.
    Consumer(String),
}

impl Node {
    fn label(&self) -> &str {
        match self {
            Self::Secret(id) => id.as_str(),
            Self::Resource(name) | Self::Consumer(name) => name,
        }
    }
}

/// From the secret to the thing.
#[derive(Clone, Debug, Deserialize, Eq, Ord, PartialEq, PartialOrd, Serialize)]
pub struct Edge {
    /// The secret.
    pub from: SecretId,
    /// What it opens or feeds.
    pub to: Node,
    /// Why: `write`, `admin of its issuer`, `breaks without it`.
    pub why: String,
    /// Data classes behind it.
    pub data: Vec<String>,
}

/// One thing that a leaked secret reaches.
#[derive(Clone, Debug, Eq, PartialEq, Serialize)]
pub struct Reached {
    /// The thing.
    pub node: Node,
    /// How many secrets lie in between.
    pub depth: usize,
    /// The edge by which it was first reached.
    pub via: Edge,
}

/// All edges of an inventory.
#[derive(Clone, Debug, Default)]
pub struct Graph {
    edges: BTreeMap<SecretId, Vec<Edge>>,
}

impl Graph {
    /// Explicit grants, consumers, and implicit edges: a secret whose store is named by another secret's issuer
    /// configuration (`admin: "openbao:kv/infra/pg#admin_url"`) opens that other secret.
    pub fn of(inventory: &Inventory) -> Self {
        let mut graph = Self::default();
        for secret in inventory.secrets.values() {
            for grant in &secret.grants {
                let to = match (&grant.secret, &grant.resource) {
                    (Some(other), _) => Node::Secret(other.clone()),
                    (None, Some(resource)) => Node::Resource(resource.clone()),
                    (None, None) => continue,
                };
                let why = if grant.access.is_empty() { "opens".to_owned() } else { grant.access.clone() };
                graph.add(Edge { from: secret.id.clone(), to, why, data: grant.data.clone() });
            }
            for consumer in &secret.consumers {
                let to = Node::Consumer(format!("{}/{}", secret.id, consumer.name));
                graph.add(Edge {
                    from: secret.id.clone(),
                    to,
                    why: "breaks without it".to_owned(),
                    data: Vec::new(),
                });
            }
            for used in inventory.uses(&secret.id) {
                let to = Node::Secret(secret.id.clone());
                graph.add(Edge {
                    from: used,
                    to,
                    why: "credential of its issuer".to_owned(),
                    data: Vec::new(),
                });
            }
        }
        graph
    }

    /// Adds what was found out elsewhere than in the inventory.
    pub fn add(&mut self, edge: Edge) {
        let edges = self.edges.entry(edge.from.clone()).or_default();
        if !edges.contains(&edge) {
            edges.push(edge);
        }
    }

    /// Everything reached from `start`, nearest first. Ends on cycles.
    pub fn blast_radius(&self, start: &SecretId) -> Vec<Reached> {
        let mut out: Vec<Reached> = Vec::new();
        let mut queue = VecDeque::from([(start.clone(), 0_usize)]);
        while let Some((at, depth)) = queue.pop_front() {
            for edge in self.edges.get(&at).into_iter().flatten() {
                let known = edge.to == Node::Secret(start.clone()) || out.iter().any(|r| r.node == edge.to);
                if known {
                    continue;
                }
                out.push(Reached { node: edge.to.clone(), depth, via: edge.clone() });
                if let Node::Secret(next) = &edge.to {
                    queue.push_back((next.clone(), depth + 1));
                }
            }
        }
        out
    }

    /// The secrets among [`Graph::blast_radius`].
    pub fn exposed_secrets(&self, start: &SecretId) -> Vec<SecretId> {
        self.blast_radius(start)
            .into_iter()
            .filter_map(|r| match r.node {
                Node::Secret(id) => Some(id),
                Node::Resource(_) | Node::Consumer(_) => None,
            })
            .collect()
    }

    /// Edges reachable from `start`, or all of them.
    pub fn edges_from(&self, start: Option<&SecretId>) -> Vec<&Edge> {
        let Some(start) = start else { return self.edges.values().flatten().collect() };
        let mut from = self.exposed_secrets(start);
        from.insert(0, start.clone());
        from.iter().filter_map(|id| self.edges.get(id)).flatten().collect()
    }

    /// Graphviz.
    pub fn dot(&self, start: Option<&SecretId>) -> String {
        let mut out = String::from("digraph inventory {\n  rankdir=LR;\n");
        for edge in self.edges_from(start) {
            let (from, to) = (quoted(edge.from.as_str()), quoted(edge.to.label()));
            let shape = match edge.to {
                Node::Secret(_) => "box",
                Node::Resource(_) => "cylinder",
                Node::Consumer(_) => "ellipse",
            };
            let _infallible = writeln!(out, "  {from} [shape=box];\n  {to} [shape={shape}];");
            let _infallible = writeln!(out, "  {from} -> {to} [label={}];", quoted(&edge.why));
        }
        out.push_str("}\n");
        out
    }

    /// Mermaid.
    pub fn mermaid(&self, start: Option<&SecretId>) -> String {
        let mut out = String::from("flowchart LR\n");
        let mut names: BTreeMap<Node, usize> = BTreeMap::new();
        let edges = self.edges_from(start);
        for edge in &edges {
            for node in [Node::Secret(edge.from.clone()), edge.to.clone()] {
                let next = names.len();
                names.entry(node).or_insert(next);
            }
        }
        for (node, n) in &names {
            let label = node.label().replace('"', "'");
            let (open, close) = match node {
                Node::Secret(_) => ("[", "]"),
                Node::Resource(_) => ("[(", ")]"),
                Node::Consumer(_) => ("([", "])"),
            };
            let _infallible = writeln!(out, "  n{n}{open}\"{label}\"{close}");
        }
        for edge in edges {
            let n = |node: &Node| names.get(node).copied().unwrap_or_default();
            let from = n(&Node::Secret(edge.from.clone()));
            let _infallible = writeln!(out, "  n{from} -->|{}| n{}", edge.why.replace('|', "/"), n(&edge.to));
        }
        out
    }
}

impl Inventory {
    /// Secrets whose stored value is named by the issuer configuration of `id`: they must work while it is rotated.
    pub fn uses(&self, id: &SecretId) -> Vec<SecretId> {
        let Some(secret) = self.secrets.get(id) else { return Vec::new() };
        let mut named = Vec::new();
        references(&secret.issuer.config, &mut named);
        let mut out: Vec<SecretId> = self
            .secrets
            .values()
            .filter(|other| other.id != *id)
            .filter(|other| other.stores.iter().filter_map(location).any(|l| named.contains(&l)))
            .map(|other| other.id.clone())
            .collect();
        out.dedup();
        out
    }
}

/// A quoted id of the DOT language.
fn quoted(text: &str) -> String {
    format!("\"{}\"", text.replace('\\', "\\\\").replace('"', "\\\"").replace('\n', " "))
}

pub(super) fn references(config: &Value, out: &mut Vec<String>) {
    match config {
        Value::String(text) if text.starts_with("openbao:") || text.starts_with("vault:") => {
            out.push(text.replacen("vault:", "openbao:", 1));
        }
        Value::Array(items) => items.iter().for_each(|item| references(item, out)),
        Value::Object(map) => map.values().for_each(|item| references(item, out)),
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => {}
    }
}

/// A store in the spelling of a reference, so that the two can be compared.
fn location(store: &ConnectorRef) -> Option<String> {
    let part = |key: &str| store.config.get(key).and_then(Value::as_str);
    (store.connector == "openbao")
        .then(|| Some(format!("openbao:{}/{}#{}", part("mount")?, part("path")?, part("key")?)))
        .flatten()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn inventory() -> Inventory {
        let text = r#"
secrets:
  - id: pg-admin
    kind: postgres-password
    tier: infrastructure
    issuer: { postgres: { admin: "file:/x", roles: [admin] } }
    stores: [ { openbao: { mount: kv, path: infra/pg, key: admin_url } } ]
  - id: orders-db
    kind: postgres-password
    issuer: { postgres: { admin: "openbao:kv/infra/pg#admin_url", roles: [a, b] } }
    consumers: [ { name: api, observe: { http: "http://h", generation: ".gen" } } ]
    grants: [ { resource: "postgres:orders", access: write, data: [personal] }, { secret: signer } ]
  - id: signer
    kind: key
    issuer: { x: {} }
    grants: [ { secret: orders-db } ]
"#;
        super::super::parse(&[("q".to_owned(), text.to_owned())]).unwrap()
    }

    #[test]
    fn the_radius_is_transitive_and_ends_on_cycles() {
        let inventory = inventory();
        let graph = Graph::of(&inventory);
        let reached: Vec<String> = graph
            .blast_radius(&"pg-admin".parse().unwrap())
            .iter()
            .map(|r| format!("{} {} ({})", r.depth, r.node.label(), r.via.why))
            .collect();
        insta::assert_snapshot!(reached.join("\n"), @r"
        0 orders-db (credential of its issuer)
        1 postgres:orders (write)
        1 signer (opens)
        1 orders-db/api (breaks without it)
        ");
        assert_eq!(inventory.uses(&"orders-db".parse().unwrap()), vec!["pg-admin".parse().unwrap()]);
        assert!(graph.dot(None).contains("\"pg-admin\" -> \"orders-db\""));
        assert!(graph.mermaid(Some(&"signer".parse().unwrap())).contains("-->|write|"));
    }
}
