//! Where the inventory's secrets can be read, made or administered: what an issuer is asked about when its credential leaked.

use serde::Serialize;
use serde_json::{Value, json};

use super::Inventory;
use crate::id::SecretId;

/// One place that leads to a secret.
#[derive(Clone, Debug, Eq, PartialEq, Serialize)]
pub struct Place {
    /// Which secret is open when the place is.
    pub secret: SecretId,
    /// What the place is to it.
    pub kind: PlaceKind,
    /// `openbao`, `env_file`.
    pub connector: String,
    /// Parsed by the connector.
    pub config: Value,
}

/// What a place is to its secret.
#[derive(Clone, Copy, Debug, Eq, PartialEq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum PlaceKind {
    /// The credential that administers its issuer is kept there.
    Admin,
    /// It is made there.
    Issuer,
    /// Its value is kept there.
    Store,
}

impl Inventory {
    /// Every place, in order of the secrets.
    pub fn places(&self) -> Vec<Place> {
        let mut places = Vec::new();
        for secret in self.secrets.values() {
            let mut add = |kind, connector: &str, config: &Value| {
                let connector = connector.to_owned();
                places.push(Place { secret: secret.id.clone(), kind, connector, config: config.clone() });
            };
            add(PlaceKind::Issuer, &secret.issuer.connector, &secret.issuer.config);
            for store in &secret.stores {
                add(PlaceKind::Store, &store.connector, &store.config);
            }
            let mut named = Vec::new();
            super::graph::references(&secret.issuer.config, &mut named);
            for reference in named {
                let Some(config) = kept_at(&reference) else { continue };
                add(PlaceKind::Admin, "openbao", &config);
            }
        }
        places
    }
}

/// `openbao:kv/infra/pg#admin_url`, as a store would be configured.
fn kept_at(reference: &str) -> Option<Value> {
    let (place, key) = reference.strip_prefix("openbao:")?.split_once('#')?;
    let (mount, path) = place.split_once('/')?;
    Some(json!({ "mount": mount, "path": path, "key": key }))
}

#[cfg(test)]
mod tests {
    #[test]
    fn stores_issuers_and_what_administers_them_are_places() {
        let text = r#"
secrets:
  - id: orders-db
    kind: postgres-password
    issuer: { postgres: { admin: "vault:kv/infra/pg#admin_url", roles: [a, b] } }
    stores: [ { openbao: { mount: kv, path: apps/orders, key: URL } }, { env_file: { path: x, key: URL } } ]
"#;
        let inventory = super::super::parse(&[("q".to_owned(), text.to_owned())]).unwrap();
        let places: Vec<String> = inventory
            .places()
            .iter()
            .map(|place| format!("{:?} {} {}", place.kind, place.connector, place.config["path"]))
            .collect();
        insta::assert_snapshot!(places.join("\n"), @r#"
        Issuer postgres null
        Store openbao "apps/orders"
        Store env_file "x"
        Admin openbao "infra/pg"
        "#);
    }
}
