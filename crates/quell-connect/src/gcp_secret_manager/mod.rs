//! Google Cloud Secret Manager: the payload of a secret's latest version.
//!
//! Source: Secret Manager REST reference v1 (`secrets.addVersion`, `secrets.versions.access|list|destroy`), "Data consistency", "Delayed
//! destruction of secret versions", "Assign an alias to a secret version", read 2026-11.

mod api;
mod purge;
mod write;

use async_trait::async_trait;
use quell_core::outcome::Outcome;
use quell_core::secret::SecretValue;
use serde::Deserialize;
use serde_json::{Value, json};

use crate::connector::{Check, Definition, Store, Stored};
use crate::context::Context;
use crate::effect;
use crate::error::{ConfigError, ConnectError, ConnectErrorKind};
use crate::gcp::{Cloud, endpoint_schema};
use crate::source::SecretSource;

/// Google Cloud Secret Manager.
pub static CONNECTOR: Definition = Definition {
    id: "gcp_secret_manager",
    summary: "Google Cloud Secret Manager: a secret's latest version",
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
    project: String,
    secret: String,
    endpoint: Option<String>,
}

/// The store. It holds references only; a token is fetched anew for each call.
#[derive(Debug)]
struct SecretManager {
    cloud: Cloud,
    credentials: SecretSource,
    project: String,
    secret: String,
}

fn schemas() -> Vec<(&'static str, Value)> {
    let schema = json!({
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "title": "Google Cloud Secret Manager as store",
        "type": "object",
        "additionalProperties": false,
        "required": ["credentials", "project", "secret"],
        "properties": {
            "credentials": {
                "type": "string",
                "description": "Reference to an access token or to a service account's key file: exec:gcloud auth print-access-token",
            },
            "project": { "type": "string", "pattern": "^[a-z0-9:.-]+$", "description": "The project's id or number: acme-prod" },
            "secret": { "type": "string", "pattern": "^[A-Za-z0-9_-]{1,255}$", "description": "The secret's name: orders-db" },
            "endpoint": endpoint_schema(),
        },
    });
    vec![("store", schema)]
}

fn build(config: &Value, context: &Context) -> Result<Box<dyn Store>, ConfigError> {
    let Config { credentials, project, secret, endpoint } = ConfigError::parse(config)?;
    let in_project = |b: u8| b.is_ascii_lowercase() || b.is_ascii_digit() || b"-.:".contains(&b);
    if !project.bytes().all(in_project) || !crate::rest::is_segment(&project) {
        let hint = "Write its id, acme-prod, or its number.";
        return Err(ConfigError::at("project", "not a project of Google Cloud", hint));
    }
    let in_name = |b: u8| b.is_ascii_alphanumeric() || b == b'-' || b == b'_';
    if secret.is_empty() || secret.len() > 255 || !secret.bytes().all(in_name) {
        let hint = "Write its name, as `gcloud secrets list` shows it.";
        return Err(ConfigError::at("secret", "not the name of a secret", hint));
    }
    let cloud = Cloud::new(context, "secretmanager", endpoint.as_deref())?;
    Ok(Box::new(SecretManager { cloud, credentials, project, secret }))
}

impl SecretManager {
    fn failed(&self, what: &'static str, kind: ConnectErrorKind, detail: impl Into<String>) -> ConnectError {
        ConnectError::new(self.target(), what, kind, detail)
    }
}

#[async_trait]
impl Store for SecretManager {
    fn target(&self) -> String {
        format!("{} secret {}/{}", self.cloud.name(), self.project, self.secret)
    }

    async fn check(&self) -> Vec<Check> {
        self.checks().await
    }

    async fn read(&self) -> Result<Option<Stored>, ConnectError> {
        const WHAT: &str = "reading the secret";
        let token = self.cloud.token(&self.credentials).await?;
        let latest = self.latest(&token, WHAT).await?;
        Ok(latest.map(|version| Stored { version: version.number.to_string(), value: version.value }))
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
        let ok = json!({ "credentials": "env:T", "project": "acme.example:prod-1", "secret": "orders_db" });
        let target = build(&ok, &context).unwrap().target();
        assert_eq!(target, "gcp https://secretmanager.googleapis.com secret acme.example:prod-1/orders_db");
        for (key, value) in [
            ("project", "Acme"),
            ("project", ".."),
            ("project", ""),
            ("secret", "a/b"),
            ("secret", ""),
            ("endpoint", "http://10.0.0.1"),
        ] {
            let mut config = ok.clone();
            config[key] = json!(value);
            assert_eq!(build(&config, &context).err().unwrap().key.as_deref(), Some(key), "{config}");
        }
    }
}
