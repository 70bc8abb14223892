//! Neighbours: secrets that lie where a leaked one lay. Whoever read that one could likely read them, too. They are
//! proposed with reasons, and a person decides.

use std::collections::{BTreeMap, BTreeSet};

use serde::Serialize;
use serde_json::Value;

use super::{ConnectorRef, Inventory, Secret};
use crate::id::SecretId;

/// A secret that is likely exposed with another one.
#[derive(Clone, Debug, Eq, PartialEq, Serialize)]
pub struct Adjacent {
    /// Which.
    pub secret: SecretId,
    /// Why, each with the secret of the incident that it lies beside.
    pub reasons: Vec<String>,
}

/// What else is known of where secrets were seen.
#[derive(Clone, Debug, Default)]
pub struct Sightings {
    /// Places in which findings were, by secret.
    pub places: BTreeMap<SecretId, BTreeSet<SeenAt>>,
    /// Names of the values that stores hold, by secret.
    pub values: BTreeMap<SecretId, BTreeSet<String>>,
}

/// A place in which a finding was: a file of what was scanned. Two repositories may each have an `.env`.
#[derive(Clone, Debug, Eq, Ord, PartialEq, PartialOrd)]
pub struct SeenAt {
    /// What was scanned, as the scan named it.
    pub target: String,
    /// The file in it.
    pub file: String,
}

/// Neighbours of `leaked` that are not among `known`, the ones with most reasons first.
pub fn adjacent(
    inventory: &Inventory,
    leaked: &[SecretId],
    known: &[SecretId],
    sightings: &Sightings,
) -> Vec<Adjacent> {
    let mut out: Vec<Adjacent> = Vec::new();
    for other in inventory.secrets.values().filter(|s| !known.contains(&s.id) && !leaked.contains(&s.id)) {
        let mut reasons = Vec::new();
        for one in leaked.iter().filter_map(|id| inventory.secrets.get(id)) {
            beside(one, other, &mut reasons);
            seen_together(&one.id, &other.id, sightings, &mut reasons);
        }
        if !reasons.is_empty() {
            out.push(Adjacent { secret: other.id.clone(), reasons });
        }
    }
    out.sort_by(|a, b| (b.reasons.len(), &a.secret).cmp(&(a.reasons.len(), &b.secret)));
    out
}

fn beside(one: &Secret, other: &Secret, reasons: &mut Vec<String>) {
    for store in &other.stores {
        if one.stores.iter().any(|s| place_of(s) == place_of(store)) {
            reasons.push(format!("kept in the same place as {} ({})", one.id, in_words(&place_of(store))));
        }
    }
    for consumer in &other.consumers {
        let same = |c: &&super::Consumer| c.name == consumer.name || c.observe == consumer.observe;
        if let Some(its) = one.consumers.iter().find(same) {
            reasons.push(format!("read by the same process as {} ({})", one.id, its.name));
        }
    }
    if one.issuer == other.issuer && names_an_account(&one.issuer.config) {
        reasons.push(format!("is for the same account as {}", one.id));
    }
}

fn seen_together(one: &SecretId, other: &SecretId, sightings: &Sightings, reasons: &mut Vec<String>) {
    if let Some(place) = both(&sightings.places, one, other) {
        reasons.push(format!("seen in the same file as {one} ({} of {})", place.file, place.target));
    }
    if both(&sightings.values, one, other).is_some() {
        reasons.push(format!("has the same value as {one}"));
    }
}

/// Something that is known of both.
fn both<'a, T: Ord>(
    of: &'a BTreeMap<SecretId, BTreeSet<T>>,
    one: &SecretId,
    other: &SecretId,
) -> Option<&'a T> {
    of.get(one)?.intersection(of.get(other)?).next()
}

/// Whether an issuer's part of the inventory says whose credential it is. One that says only how a successor is made
/// (policies and a lifetime of a token) is the same for many.
fn names_an_account(config: &Value) -> bool {
    const NAMES: [&str; 6] = ["accessor", "common_name", "key_id", "role", "roles", "user"];
    let Value::Object(map) = config else { return false };
    map.iter().any(|(key, value)| match value {
        Value::String(text) => NAMES.contains(&key.as_str()) && !text.is_empty(),
        Value::Array(list) => NAMES.contains(&key.as_str()) && !list.is_empty(),
        // `openbao: { approle: { role: … } }`.
        Value::Object(_) => names_an_account(value),
        Value::Null | Value::Bool(_) | Value::Number(_) => false,
    })
}

/// Where a store keeps it, without which part of that place it is.
fn place_of(store: &ConnectorRef) -> (String, Value) {
    let config = match &store.config {
        Value::Object(map) => Value::Object(
            map.iter()
                .filter(|(key, _)| !matches!(key.as_str(), "key" | "mode" | "credentials"))
                .map(|(k, v)| (k.clone(), v.clone()))
                .collect(),
        ),
        other @ (Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) | Value::Array(_)) => {
            other.clone()
        }
    };
    (store.connector.clone(), config)
}

impl ConnectorRef {
    /// The place in words, without which part of it is meant: `openbao kv/apps/orders`.
    pub fn place_in_words(&self) -> String {
        in_words(&place_of(self))
    }
}

fn in_words((connector, config): &(String, Value)) -> String {
    let words: Vec<&str> = match config {
        Value::Object(map) => map.values().filter_map(Value::as_str).collect(),
        Value::String(text) => vec![text.as_str()],
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::Array(_) => Vec::new(),
    };
    format!("{connector} {}", words.join("/"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn inventory() -> Inventory {
        let text = r#"
secrets:
  - id: orders-db
    kind: postgres-password
    issuer: { postgres: { admin: "env:A", roles: [a, b] } }
    stores: [ { openbao: { mount: kv, path: apps/orders, key: DATABASE_URL } } ]
    consumers:
      - { name: orders-api, observe: { http: "https://orders/healthz" } }
  - id: orders-mail
    kind: smtp
    issuer: { exec: { program: x } }
    stores: [ { openbao: { mount: kv, path: apps/orders, key: SMTP } } ]
    consumers:
      - { name: mailer, observe: { http: "https://orders/healthz" } }
  - id: far
    kind: smtp
    issuer: { exec: { program: y } }
    stores: [ { openbao: { mount: kv, path: apps/far, key: SMTP } } ]
  - id: twin
    kind: postgres-password
    issuer: { postgres: { admin: "env:A", roles: [a, b] } }
"#;
        crate::inventory::parse(&[("quell.yaml".to_owned(), text.to_owned())]).unwrap()
    }

    fn id(text: &str) -> SecretId {
        text.parse().unwrap()
    }

    #[test]
    fn neighbours_are_named_with_their_reasons_and_others_are_not() {
        let found = adjacent(&inventory(), &[id("orders-db")], &[], &Sightings::default());
        let names: Vec<&str> = found.iter().map(|a| a.secret.as_str()).collect();
        assert_eq!(names, ["orders-mail", "twin"]);
        assert_eq!(
            found[0].reasons,
            [
                "kept in the same place as orders-db (openbao kv/apps/orders)",
                "read by the same process as orders-db (orders-api)"
            ]
        );
        assert_eq!(found[1].reasons, ["is for the same account as orders-db"]);
        let known = [id("twin")];
        assert_eq!(adjacent(&inventory(), &[id("orders-db")], &known, &Sightings::default()).len(), 1);
    }

    #[test]
    fn what_was_seen_together_is_adjacent() {
        let place =
            |target: &str| BTreeSet::from([SeenAt { target: target.to_owned(), file: ".env".to_owned() }]);
        let names = || BTreeSet::from(["fp:1".to_owned()]);
        let sightings = Sightings {
            places: [(id("orders-db"), place("a.git")), (id("far"), place("a.git"))].into(),
            values: [(id("orders-db"), names()), (id("far"), names())].into(),
        };
        let found = adjacent(&inventory(), &[id("orders-db")], &[], &sightings);
        let far = found.iter().find(|a| a.secret == id("far")).unwrap();
        assert_eq!(
            far.reasons,
            ["seen in the same file as orders-db (.env of a.git)", "has the same value as orders-db"]
        );
        // A file of that name in another repository is another file.
        let places = [(id("orders-db"), place("a.git")), (id("far"), place("b.git"))].into();
        let apart = Sightings { places, ..Sightings::default() };
        let found = adjacent(&inventory(), &[id("orders-db")], &[], &apart);
        assert!(found.iter().all(|a| a.secret != id("far")), "{found:?}");
    }

    #[test]
    fn the_same_account_is_said_of_issuers_that_name_one() {
        let of = |issuer: &str| {
            let secret = |id: &str| format!("  - {{ id: {id}, kind: k, issuer: {issuer} }}\n");
            let text = format!("secrets:\n{}{}", secret("a"), secret("b"));
            let inventory = crate::inventory::parse(&[("quell.yaml".to_owned(), text)]).unwrap();
            adjacent(&inventory, &[id("a")], &[], &Sightings::default())
        };
        for issuer in [
            "{ openbao: { token: { policies: [app], ttl: 1h } } }",
            "{ openbao: { token: { accessor: '' } } }",
            "{ provider: { id: github, admin: 'env:A' } }",
        ] {
            assert_eq!(of(issuer), [], "{issuer}");
        }
        for issuer in [
            "{ openbao: { token: { accessor: x, policies: [app] } } }",
            "{ openbao: { approle: { role: app } } }",
            "{ provider: { id: github, key_id: '17' } }",
            "{ ssh: { user: deploy, hosts: [web-1] } }",
            "{ postgres: { admin: 'env:A', roles: [a] } }",
        ] {
            let found = of(issuer);
            assert_eq!(found.len(), 1, "{issuer}");
            assert_eq!(found[0].reasons, ["is for the same account as a"], "{issuer}");
        }
    }
}
