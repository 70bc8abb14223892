//! AWS Secrets Manager: a secret's string, or one key of the JSON in it.
//!
//! Source: Secrets Manager API reference (`GetSecretValue`, `PutSecretValue`, `UpdateSecretVersionStage`, `ListSecretVersionIds`); tried on
//! moto 5.2.5.

mod api;
mod purge;
mod write;

use std::fmt;

use async_trait::async_trait;
use quell_core::outcome::Outcome;
use quell_core::secret::SecretValue;
use serde::Deserialize;
use serde_json::{Map, Value, json};
use zeroize::Zeroizing;

use crate::aws::{Cloud, Keys, Refusal, Service, cloud_properties};
use crate::connector::{Check, Definition, Store, Stored};
use crate::context::Context;
use crate::effect;
use crate::error::{ConfigError, ConnectError, ConnectErrorKind};
use crate::source::SecretSource;

/// AWS Secrets Manager.
pub static CONNECTOR: Definition = Definition {
    id: "aws_secrets_manager",
    summary: "AWS Secrets Manager: a secret, or one key of the JSON in it",
    readme: include_str!("README.md"),
    schemas,
    issuer: None,
    store: Some(build),
    reload: None,
    observe: None,
    notify: None,
    channel: None,
};

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Config {
    credentials: SecretSource,
    secret: String,
    key: Option<String>,
    region: Option<String>,
    endpoint: Option<String>,
}

/// The store. It holds references only; the access key is read anew for each call.
struct SecretsManager {
    cloud: Cloud,
    credentials: SecretSource,
    secret: String,
    key: Option<String>,
}

/// What one version holds.
struct Version {
    id: String,
    text: Zeroizing<String>,
}

impl fmt::Debug for SecretsManager {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SecretsManager").field("target", &self.target()).finish_non_exhaustive()
    }
}

fn schemas() -> Vec<(&'static str, Value)> {
    let mut schema = json!({
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "title": "AWS Secrets Manager as store",
        "type": "object",
        "additionalProperties": false,
        "required": ["credentials", "secret"],
        "properties": {
            "credentials": {
                "type": "string",
                "description": "Reference to the access key to use: openbao:…, file:…, env:…, exec:aws configure export-credentials",
            },
            "secret": { "type": "string", "minLength": 1, "maxLength": 2048, "description": "The secret's name or ARN: apps/orders" },
            "key": { "type": "string", "minLength": 1, "description": "The key in the JSON of the secret; without it the whole string is the value" },
        },
    });
    if let Some(properties) = schema.get_mut("properties").and_then(Value::as_object_mut) {
        properties.extend(cloud_properties().map(|(name, property)| (name.to_owned(), property)));
    }
    vec![("store", schema)]
}

fn build(config: &Value, context: &Context) -> Result<Box<dyn Store>, ConfigError> {
    let Config { credentials, secret, key, region, endpoint } = ConfigError::parse(config)?;
    // API reference: a name has these signs, an ARN is made of them as well.
    let fits = |c: char| c.is_ascii_alphanumeric() || "/_+=.@-:".contains(c);
    if secret.is_empty() || secret.len() > 2048 || !secret.chars().all(fits) {
        let hint = "Write its name or ARN, as `aws secretsmanager list-secrets` shows it.";
        return Err(ConfigError::at("secret", "not the name of a secret", hint));
    }
    if key.as_deref() == Some("") {
        return Err(ConfigError::at("key", "the key is empty", "Name the key in the JSON, or leave it out."));
    }
    let cloud = Cloud::new(context, region, endpoint)?;
    Ok(Box::new(SecretsManager { cloud, credentials, secret, key }))
}

impl SecretsManager {
    fn failed(&self, what: &'static str, kind: ConnectErrorKind, detail: impl Into<String>) -> ConnectError {
        ConnectError::new(self.target(), what, kind, detail)
    }

    /// The value in a version's text; `None` when the key is not there.
    fn value_in(&self, what: &'static str, version: &Version) -> Result<Option<SecretValue>, ConnectError> {
        let Some(key) = &self.key else {
            return Ok(Some(SecretValue::new(version.text.as_bytes().to_vec())));
        };
        match self.json_of(what, version)?.remove(key) {
            None | Some(Value::Null) => Ok(None),
            Some(Value::String(text)) => Ok(Some(SecretValue::from_text(text))),
            Some(Value::Bool(_) | Value::Number(_) | Value::Array(_) | Value::Object(_)) => {
                let words = format!("the key `{key}` holds something other than text");
                Err(self.failed(what, ConnectErrorKind::Denied, words))
            }
        }
    }

    fn json_of(&self, what: &'static str, version: &Version) -> Result<Map<String, Value>, ConnectError> {
        serde_json::from_str(&version.text).map_err(|_e| {
            let words = "the secret is not a JSON object, so it has no keys; leave out `key` or store JSON";
            self.failed(what, ConnectErrorKind::Denied, words)
        })
    }
}

#[async_trait]
impl Store for SecretsManager {
    fn target(&self) -> String {
        let key = self.key.as_ref().map(|key| format!("#{key}")).unwrap_or_default();
        format!("{} secret {}{key}", self.cloud.name(), self.secret)
    }

    async fn check(&self) -> Vec<Check> {
        self.checks().await
    }

    async fn read(&self) -> Result<Option<Stored>, ConnectError> {
        const WHAT: &str = "reading the secret";
        let keys = self.cloud.keys(&self.credentials).await?;
        let Some(current) = self.current(&keys, WHAT).await? else {
            return Ok(None);
        };
        Ok(self.value_in(WHAT, &current)?.map(|value| Stored { value, version: current.id }))
    }

    async fn write(&self, new: &SecretValue) -> Outcome {
        self.try_write(new).await.unwrap_or_else(|error| error.outcome())
    }

    async fn observe_write(&self, new: &SecretValue) -> Outcome {
        effect::held(self.read().await, new)
    }

    async fn purge(&self, compromised: &[&SecretValue]) -> Outcome {
        self.try_purge(compromised).await.unwrap_or_else(|error| error.outcome())
    }

    async fn observe_purge(&self, compromised: &[&SecretValue]) -> Outcome {
        self.try_observe_purge(compromised).await.unwrap_or_else(|error| error.unseen())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bad_configurations_name_the_key() {
        let http = crate::http::Client::new(std::time::Duration::from_secs(1), None).unwrap();
        let context = Context::new(std::path::PathBuf::from("/x"), http);
        let arn = "arn:aws:secretsmanager:eu-west-1:123456789012:secret:apps/orders-AbCdEf";
        let ok = json!({ "credentials": "env:A", "secret": arn, "key": "password", "region": "eu-west-1" });
        let built = build(&ok, &context).unwrap();
        assert_eq!(built.target(), format!("aws eu-west-1 secret {arn}#password"));
        for (key, value) in
            [("secret", json!("a b")), ("secret", json!("")), ("key", json!("")), ("region", json!("EU"))]
        {
            let mut config = ok.clone();
            config[key] = value;
            assert_eq!(
                build(&config, &context).err().and_then(|error| error.key).as_deref(),
                Some(key),
                "{config}"
            );
        }
        assert!(build(&json!({ "credentials": "hunter2", "secret": "x" }), &context).is_err());
    }
}
