//! The connector's part of the inventory.

use jiff::SignedDuration;
use serde::Deserialize;
use serde_json::{Value, json};

use super::{Postgres, URL};
use crate::context::Context;
use crate::error::ConfigError;
use crate::source::SecretSource;

/// Names longer than this are cut by PostgreSQL without an error (NAMEDATALEN - 1), so they are refused here.
const NAME_MAX: usize = 63;
/// How long a change takes to bind, when the inventory does not say.
const SETTLE_MS: u64 = 1000;

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Config {
    admin: SecretSource,
    roles: Vec<String>,
    group: Option<String>,
    settle: Option<SignedDuration>,
    settle_ms: Option<u64>,
    host: Option<String>,
    port: Option<u16>,
    database: Option<String>,
    #[serde(default)]
    aliases: Vec<String>,
}

/// The roles that this issuer may touch; it refuses every other.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(super) enum Roles {
    One { role: String, group: Option<String> },
    Two { roles: [String; 2], group: String },
}

impl Roles {
    pub(super) fn names(&self) -> Vec<&str> {
        match self {
            Self::One { role, .. } => vec![role],
            Self::Two { roles: [a, b], .. } => vec![a, b],
        }
    }

    pub(super) fn group(&self) -> Option<&str> {
        match self {
            Self::One { group, .. } => group.as_deref(),
            Self::Two { group, .. } => Some(group),
        }
    }

    /// The role that takes over from `role`.
    pub(super) fn successor(&self, role: &str) -> &str {
        match self {
            Self::One { role, .. } => role,
            Self::Two { roles: [a, b], .. } => {
                if role == a {
                    b
                } else {
                    a
                }
            }
        }
    }
}

pub(super) fn schemas() -> Vec<(&'static str, Value)> {
    let schema = json!({
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "title": "PostgreSQL as issuer",
        "type": "object",
        "additionalProperties": false,
        "required": ["admin", "roles"],
        "properties": {
            "admin": {
                "type": "string",
                "description": "Reference to the administrator's postgres:// URL: openbao:…, file:…, env:…, exec:…",
            },
            "roles": {
                "type": "array",
                "items": { "type": "string", "minLength": 1, "maxLength": NAME_MAX },
                "minItems": 1,
                "maxItems": 2,
                "uniqueItems": true,
                "description": "Two roles alternate; a single one has its password replaced",
            },
            "group": { "type": "string", "description": "The role that owns the objects; both roles act as it" },
            "settle": { "type": "string", "description": "How long a change takes to bind: 2s" },
            "settle_ms": { "type": "integer", "minimum": 0, "description": "The same in milliseconds (1000)" },
            "host": { "type": "string", "description": "Instead of the host in the administrator's URL" },
            "port": { "type": "integer", "minimum": 1, "maximum": 65535 },
            "database": { "type": "string", "description": "The database to connect to" },
            "aliases": {
                "type": "array",
                "items": { "type": "string", "minLength": 1 },
                "description": "Other names of the same server, as URLs of consumers have them: host:port",
            },
        },
    });
    vec![("issuer", schema)]
}

impl Postgres {
    pub(super) fn new(config: &Value, context: &Context) -> Result<Self, ConfigError> {
        let config: Config = ConfigError::parse(config)?;
        for name in config.roles.iter().chain(&config.group) {
            valid_name(name)?;
        }
        let roles = match (<[String; 2]>::try_from(config.roles), config.group) {
            (Ok([a, b]), _) if a == b => {
                return Err(ConfigError::at("roles", "both roles are the same", "Name two roles, or one."));
            }
            (Ok(roles), Some(group)) if !roles.contains(&group) => Roles::Two { roles, group },
            (Ok(_), Some(_)) => {
                return Err(ConfigError::at(
                    "group",
                    "the group is one of the roles",
                    "Name a third role that owns the objects and cannot log in.",
                ));
            }
            (Ok(_), None) => {
                return Err(ConfigError::at(
                    "group",
                    "two roles need a group",
                    "Name the role that owns the objects; both roles act as it.",
                ));
            }
            (Err(mut roles), group) => match (roles.pop(), roles.pop()) {
                (Some(role), None) => Roles::One { role, group },
                _ => {
                    return Err(ConfigError::at(
                        "roles",
                        "one or two roles are needed",
                        "Name two roles that alternate, or the only one.",
                    ));
                }
            },
        };
        let settle_ms = match (config.settle, config.settle_ms) {
            (Some(_), Some(_)) => {
                return Err(ConfigError::at("settle", "it is given twice", "Keep `settle` or `settle_ms`."));
            }
            (settle, settle_ms) => ConfigError::settle_ms(settle, settle_ms.unwrap_or(SETTLE_MS))?,
        };
        let Config { admin, host, port, database, aliases, .. } = config;
        let aliases = aliases.iter().map(|it| URL.place("aliases", it)).collect::<Result<_, _>>()?;
        Ok(Self { context: context.clone(), admin, roles, settle_ms, host, port, database, aliases })
    }
}

/// Checks a role's name.
fn valid_name(name: &str) -> Result<(), ConfigError> {
    let refused = |message: &str, hint: &str| Err(ConfigError::at("roles", message, hint));
    if name.is_empty() || name.len() > NAME_MAX {
        return refused("a role's name has 1 to 63 bytes", "PostgreSQL cuts longer names without an error.");
    }
    if name.chars().any(|c| c.is_control() || c == ',') {
        // The driver sends the name inside the SCRAM exchange, where a comma ends it (RFC 5802, 5.1).
        return refused("a role's name holds a comma or a control character", "Rename the role.");
    }
    Ok(())
}
