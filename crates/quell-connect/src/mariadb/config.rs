//! The connector's part of the inventory.

use jiff::SignedDuration;
use serde::Deserialize;
use serde_json::{Value, json};

use super::{MariaDb, URL};
use crate::context::Context;
use crate::error::ConfigError;
use crate::source::SecretSource;

/// How long a change takes to bind, when the inventory does not say. MariaDB applies it before it answers.
const SETTLE_MS: u64 = 1000;

/// Lengths in characters (<https://mariadb.com/kb/en/identifier-names/>).
const USER_MAX: usize = 128;
const HOST_MAX: usize = 255;

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Config {
    admin: SecretSource,
    user: String,
    host: Option<String>,
    database: Option<String>,
    #[serde(default)]
    aliases: Vec<String>,
    settle: Option<SignedDuration>,
}

pub(super) fn schemas() -> Vec<(&'static str, Value)> {
    let schema = json!({
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "title": "MariaDB as issuer",
        "type": "object",
        "additionalProperties": false,
        "required": ["admin", "user"],
        "properties": {
            "admin": {
                "type": "string",
                "description": "Reference to the administrator's mysql:// or mariadb:// URL: openbao:…, file:…, env:…, exec:…",
            },
            "user": { "type": "string", "minLength": 1, "maxLength": USER_MAX, "description": "The account's name" },
            "host": {
                "type": "string",
                "minLength": 1,
                "maxLength": HOST_MAX,
                "description": "The account's host, as in 'orders'@'10.%' (%)",
            },
            "database": { "type": "string", "description": "In a URL that is made without an older one" },
            "aliases": {
                "type": "array",
                "items": { "type": "string", "minLength": 1 },
                "description": "Other names of the same server, as URLs of consumers have them: host:port",
            },
            "settle": { "type": "string", "description": "How long a change takes to bind: 2s (1s)" },
        },
    });
    vec![("issuer", schema)]
}

impl MariaDb {
    pub(super) fn new(config: &Value, context: &Context) -> Result<Self, ConfigError> {
        let Config { admin, user, host, database, aliases, settle } = ConfigError::parse(config)?;
        let host = host.unwrap_or_else(|| "%".to_owned());
        for (key, text, max) in [("user", &user, USER_MAX), ("host", &host, HOST_MAX)] {
            if text.is_empty() || text.chars().count() > max || text.chars().any(char::is_control) {
                let why = format!("it has 1 to {max} characters, none of them a control character");
                let hint = "Name the account as `SELECT User, Host FROM mysql.global_priv` shows it.";
                return Err(ConfigError::at(key, why, hint));
            }
        }
        let aliases = aliases.iter().map(|it| URL.place("aliases", it)).collect::<Result<_, _>>()?;
        let settle_ms = ConfigError::settle_ms(settle, SETTLE_MS)?;
        Ok(Self { context: context.clone(), admin, user, host, aliases, database, settle_ms })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bad_configurations_name_the_key() {
        let built = |config: &Value| {
            let http = crate::http::Client::new(std::time::Duration::from_secs(1), None).unwrap();
            MariaDb::new(config, &Context::new("/x".into(), http))
        };
        let ok = json!({ "admin": "env:A", "user": "orders" });
        assert_eq!(built(&ok).unwrap().host, "%");
        for (key, value) in [
            ("user", json!("")),
            ("user", json!("a\nb")),
            ("user", json!("x".repeat(129))),
            ("host", json!("")),
            ("aliases", json!(["h:x"])),
            ("settle", json!("-2s")),
        ] {
            let mut config = ok.clone();
            config[key] = value;
            let error = built(&config).unwrap_err();
            assert_eq!(error.key.as_deref(), Some(key), "{config}");
            assert!(error.hint.is_some());
        }
        assert!(built(&json!({ "admin": "env:A" })).is_err());
    }
}
