//! The connector's part of the inventory.

use std::path::PathBuf;
use std::sync::Mutex;

use jiff::SignedDuration;
use serde::Deserialize;
use serde_json::{Value, json};

use super::keep::Persist;
use super::{Redis, URL};
use crate::context::Context;
use crate::dsn::Place;
use crate::error::ConfigError;
use crate::source::SecretSource;

/// How long a change takes to bind, when the inventory does not say. Redis applies it before it answers.
const SETTLE_MS: u64 = 1000;

/// More than any cluster has (<https://redis.io/docs/latest/operate/oss_and_stack/reference/cluster-spec/>).
const NODES_MAX: usize = 1000;

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Config {
    admin: SecretSource,
    user: String,
    #[serde(default)]
    nodes: Vec<String>,
    #[serde(default)]
    aliases: Vec<String>,
    #[serde(default)]
    persist: Persist,
    ca: Option<String>,
    settle: Option<SignedDuration>,
}

pub(super) fn schemas() -> Vec<(&'static str, Value)> {
    let schema = json!({
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "title": "Redis or Valkey as issuer",
        "type": "object",
        "additionalProperties": false,
        "required": ["admin", "user"],
        "properties": {
            "admin": {
                "type": "string",
                "description": "Reference to the administrator's redis:// or rediss:// URL: openbao:…, file:…, env:…, exec:…",
            },
            "user": { "type": "string", "minLength": 1, "description": "The ACL user whose password is rotated" },
            "nodes": {
                "type": "array",
                "items": { "type": "string", "minLength": 1 },
                "maxItems": NODES_MAX,
                "uniqueItems": true,
                "description": "host:port of every node, as ACLs are not replicated; without it the one in the admin's URL",
            },
            "aliases": {
                "type": "array",
                "items": { "type": "string", "minLength": 1 },
                "description": "Other names of the same servers, as URLs of consumers have them: host:port",
            },
            "persist": {
                "enum": ["aclfile", "config", "memory"],
                "description": "Where a server without an ACL file keeps its users: nowhere, so it is refused (aclfile); all of them in the \
                                configuration file itself (config); whoever starts it makes them anew (memory)",
            },
            "ca": { "type": "string", "description": "A PEM file of the authorities to trust instead of the system's" },
            "settle": { "type": "string", "description": "How long a change takes to bind: 2s (1s)" },
        },
    });
    vec![("issuer", schema)]
}

impl Redis {
    pub(super) fn new(config: &Value, context: &Context) -> Result<Self, ConfigError> {
        let Config { admin, user, nodes, aliases, persist, ca, settle } = ConfigError::parse(config)?;
        // ACLSetUser refuses them as well, and an argument of ours must never be read as two.
        if user.is_empty() || user.chars().any(|c| c.is_whitespace() || c.is_control()) {
            let hint = "Name the ACL user, as `ACL LIST` shows it.";
            return Err(ConfigError::at("user", "a user's name has no space in it and is not empty", hint));
        }
        if nodes.len() > NODES_MAX {
            return Err(ConfigError::at(
                "nodes",
                "more nodes than a cluster can have",
                "List each node once.",
            ));
        }
        let mut places: Vec<Place> =
            nodes.iter().map(|node| URL.place("nodes", node)).collect::<Result<_, _>>()?;
        places.sort();
        if places.windows(2).any(|pair| pair.first() == pair.last()) {
            return Err(ConfigError::at("nodes", "a node is listed twice", "List each node once."));
        }
        let aliases = aliases.iter().map(|it| URL.place("aliases", it)).collect::<Result<_, _>>()?;
        let settle_ms = ConfigError::settle_ms(settle, SETTLE_MS)?;
        let ca: Option<PathBuf> = ca.map(|path| context.path(&path));
        Ok(Self {
            context: context.clone(),
            admin,
            user,
            nodes: places,
            aliases,
            persist,
            ca,
            settle_ms,
            kept: Mutex::default(),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn built(config: &Value) -> Result<Redis, ConfigError> {
        let http = crate::http::Client::new(std::time::Duration::from_secs(1), None).unwrap();
        Redis::new(config, &Context::new(PathBuf::from("/x"), http))
    }

    #[test]
    fn nodes_of_every_shape() {
        let nodes = ["b.internal:7000", "a.internal", "[::1]:7001"];
        let redis = built(&json!({ "admin": "env:A", "user": "orders", "nodes": nodes })).unwrap();
        let words: Vec<String> = redis.nodes.iter().map(Place::words).collect();
        assert_eq!(words, ["[::1]:7001", "a.internal:6379", "b.internal:7000"]);
    }

    #[test]
    fn bad_configurations_name_the_key() {
        let ok = json!({ "admin": "env:A", "user": "orders" });
        assert!(built(&ok).is_ok());
        for (key, value) in [
            ("user", json!("two words")),
            ("user", json!("")),
            ("nodes", json!(["redis://u:hunter2@h:1"])),
            ("nodes", json!(["h:99999"])),
            ("nodes", json!(["h:1", "h:1"])),
            ("aliases", json!(["redis://u:hunter2@h:1"])),
            ("settle", json!("-2s")),
        ] {
            let mut config = ok.clone();
            config[key] = value;
            let error = built(&config).unwrap_err();
            assert_eq!(error.key.as_deref(), Some(key), "{config}");
            assert!(!error.message.contains("hunter2") && error.hint.is_some());
        }
        assert!(built(&json!({ "admin": "env:A" })).is_err());
    }
}
