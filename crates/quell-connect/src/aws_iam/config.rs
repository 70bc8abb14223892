//! The connector's part of the inventory.

use jiff::SignedDuration;
use serde::Deserialize;
use serde_json::{Value, json};

use super::Iam;
use crate::aws::{Cloud, cloud_properties};
use crate::context::Context;
use crate::error::ConfigError;
use crate::source::SecretSource;

/// How long a change takes to bind, when the inventory does not say. About 4 s were measured for keys (OFFENSAI, 2025); AWS says "a few
/// minutes" for policies.
const SETTLE_MS: u64 = 15_000;

/// Each of them is one call more.
const ROLES_MAX: usize = 20;

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Config {
    admin: SecretSource,
    user: String,
    region: Option<String>,
    endpoint: Option<String>,
    #[serde(default)]
    roles: Vec<String>,
    #[serde(default)]
    when_full: WhenFull,
    #[serde(default)]
    when_proven: WhenProven,
    settle: Option<SignedDuration>,
}

/// What to do when the user has two keys already and a third is needed.
#[derive(Clone, Copy, Debug, Default, Deserialize, Eq, PartialEq)]
#[serde(rename_all = "snake_case")]
pub(super) enum WhenFull {
    /// Say which they are.
    #[default]
    Refuse,
    /// Delete the oldest one that is not active.
    DeleteInactive,
}

/// What becomes of the leaked key when it is proven dead.
#[derive(Clone, Copy, Debug, Default, Deserialize, Eq, PartialEq)]
#[serde(rename_all = "snake_case")]
pub(super) enum WhenProven {
    /// It goes, after its last use was recorded.
    #[default]
    Delete,
    /// It stays, inactive.
    Keep,
}

pub(super) fn schemas() -> Vec<(&'static str, Value)> {
    let name = json!({ "type": "string", "pattern": "^[A-Za-z0-9_+=,.@-]{1,64}$" });
    let mut schema = json!({
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "title": "AWS IAM as issuer of access keys",
        "type": "object",
        "additionalProperties": false,
        "required": ["admin", "user"],
        "properties": {
            "admin": {
                "type": "string",
                "description": "Reference to the access key of another principal than the user: openbao:…, file:…, env:…, exec:aws configure export-credentials",
            },
            "user": { "description": "The IAM user whose keys are rotated, without path", "$ref": "#/$defs/name" },
            "roles": {
                "type": "array",
                "items": { "$ref": "#/$defs/name" },
                "maxItems": ROLES_MAX,
                "uniqueItems": true,
                "description": "Roles that the user may assume: their sessions from before are denied as well, whoever's they are",
            },
            "when_full": {
                "enum": ["refuse", "delete_inactive"],
                "default": "refuse",
                "description": "When the user has two keys and a third is needed: say so, or delete the oldest that is not active",
            },
            "when_proven": {
                "enum": ["delete", "keep"],
                "default": "delete",
                "description": "What becomes of the leaked key in the end: deleted after its last use was recorded, or kept inactive",
            },
            "settle": { "type": "string", "description": "How long a change takes to bind: 30s (15s)" },
        },
        "$defs": { "name": name },
    });
    if let Some(properties) = schema.get_mut("properties").and_then(Value::as_object_mut) {
        properties.extend(cloud_properties().map(|(name, property)| (name.to_owned(), property)));
    }
    vec![("issuer", schema)]
}

impl Iam {
    pub(super) fn new(config: &Value, context: &Context) -> Result<Self, ConfigError> {
        let Config { admin, user, region, endpoint, roles, when_full, when_proven, settle } =
            ConfigError::parse(config)?;
        let hint = "Write the name alone, without path or ARN.";
        if !is_name(&user) {
            return Err(ConfigError::at("user", "not a user's name", hint));
        }
        if roles.len() > ROLES_MAX || !roles.iter().all(|role| is_name(role)) {
            return Err(ConfigError::at("roles", "not at most 20 names of roles", hint));
        }
        let settle_ms = match settle {
            None => SETTLE_MS,
            Some(settle) => u64::try_from(settle.as_millis())
                .map_err(|_e| ConfigError::at("settle", "it is negative", "Write a duration such as 30s."))?,
        };
        let cloud = Cloud::new(context, region, endpoint)?;
        Ok(Self { cloud, admin, user, roles, when_full, when_proven, settle_ms })
    }
}

/// IAM API reference: names of users and roles.
fn is_name(text: &str) -> bool {
    let fits = |c: char| c.is_ascii_alphanumeric() || "_+=,.@-".contains(c);
    (1..=64).contains(&text.len()) && text.chars().all(fits)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bad_configurations_name_the_key() {
        let http = crate::http::Client::new(std::time::Duration::from_secs(1), None).unwrap();
        let context = Context::new(std::path::PathBuf::from("/x"), http);
        let ok = json!({ "admin": "env:A", "user": "orders", "roles": ["deploy"], "when_full": "delete_inactive" });
        assert_eq!(Iam::new(&ok, &context).unwrap().settle_ms, 15_000);
        for (key, value) in [
            ("user", json!("arn:aws:iam::1:user/orders")),
            ("user", json!("")),
            ("roles", json!(["a/b"])),
            ("region", json!("EU")),
            ("endpoint", json!("http://elsewhere.example")),
            ("settle", json!("-2s")),
        ] {
            let mut config = ok.clone();
            config[key] = value;
            let error = Iam::new(&config, &context).unwrap_err();
            assert_eq!(error.key.as_deref(), Some(key), "{config}");
            assert!(error.hint.is_some());
        }
        assert!(Iam::new(&json!({ "admin": "env:A" }), &context).is_err());
        assert!(Iam::new(&json!({ "admin": "AKIAIOSFODNN7EXAMPLE:x", "user": "orders" }), &context).is_err());
    }
}
