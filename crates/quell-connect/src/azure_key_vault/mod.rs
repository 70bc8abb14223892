//! Azure Key Vault: the current version of a secret.
//!
//! Source: Azure Key Vault REST API 7.4 ("Set Secret", "Get Secret", "Get Secret Versions", "Update Secret"), "Azure Key Vault soft-delete overview",
//! read 2026-11. No call deletes one version: an old one can be disabled, and enabled again by who may.

mod change;

use async_trait::async_trait;
use quell_core::outcome::Outcome;
use quell_core::secret::SecretValue;
use serde::Deserialize;
use serde_json::{Value, json};

use crate::azure::{Api, Login, endpoint_schema, login_schema};
use crate::connector::{Check, Definition, Store, Stored};
use crate::context::Context;
use crate::effect;
use crate::error::{ConfigError, ConnectError, ConnectErrorKind};
use crate::rest::address;

/// Azure Key Vault.
pub static CONNECTOR: Definition = Definition {
    id: "azure_key_vault",
    summary: "Azure Key Vault: the current version of a secret",
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
    vault: String,
    secret: String,
    login: Option<Login>,
    login_url: Option<String>,
}

/// The store. It holds references only; a token is fetched anew for each call.
#[derive(Debug)]
struct Vault {
    api: Api,
    secret: String,
}

/// For tokens of Key Vault, of the cloud that the vault is in: `acme.vault.azure.cn` takes those for `vault.azure.cn`.
fn scope_of(vault: &url::Url) -> String {
    let host = vault.domain().and_then(|host| host.split_once('.')).map(|(_, cloud)| cloud);
    let cloud = host.filter(|cloud| cloud.starts_with("vault.")).unwrap_or("vault.azure.net");
    format!("https://{cloud}/.default")
}

fn schemas() -> Vec<(&'static str, Value)> {
    let schema = json!({
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "title": "Azure Key Vault as store",
        "type": "object",
        "additionalProperties": false,
        "required": ["vault", "secret"],
        "properties": {
            "vault": { "type": "string", "description": "The vault's address: https://acme-prod.vault.azure.net" },
            "secret": { "type": "string", "pattern": "^[0-9A-Za-z-]{1,127}$", "description": "The secret's name: orders-db" },
            "login": login_schema(),
            "login_url": endpoint_schema(),
        },
    });
    vec![("store", schema)]
}

fn build(config: &Value, context: &Context) -> Result<Box<dyn Store>, ConfigError> {
    let Config { vault, secret, login, login_url } = ConfigError::parse(config)?;
    let fits = |b: u8| b.is_ascii_alphanumeric() || b == b'-';
    if secret.is_empty() || secret.len() > 127 || !secret.bytes().all(fits) {
        let hint = "Use letters, digits and `-`: orders-db.";
        return Err(ConfigError::at("secret", "not the name of a secret", hint));
    }
    let vault = address("vault", &vault)?;
    let api = Api::new(context, vault.clone(), scope_of(&vault), login, login_url.as_deref())?;
    Ok(Box::new(Vault { api, secret }))
}

impl Vault {
    fn failed(&self, what: &'static str, kind: ConnectErrorKind, detail: impl Into<String>) -> ConnectError {
        ConnectError::new(self.target(), what, kind, detail)
    }
}

#[async_trait]
impl Store for Vault {
    fn target(&self) -> String {
        format!("{} secret {}", self.api.name(), self.secret)
    }

    async fn check(&self) -> Vec<Check> {
        self.checks().await
    }

    async fn read(&self) -> Result<Option<Stored>, ConnectError> {
        self.try_read().await
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
    fn each_cloud_has_its_own_scope() {
        for (vault, scope) in [
            ("https://acme.vault.azure.net", "https://vault.azure.net/.default"),
            ("https://acme.vault.azure.cn", "https://vault.azure.cn/.default"),
            ("https://acme.vault.usgovcloudapi.net", "https://vault.usgovcloudapi.net/.default"),
            ("http://127.0.0.1:80", "https://vault.azure.net/.default"),
        ] {
            assert_eq!(scope_of(&vault.parse().unwrap()), scope);
        }
    }

    #[test]
    fn bad_configurations_name_the_key() {
        let http = crate::http::Client::new(std::time::Duration::from_secs(1), None).unwrap();
        let context = Context::new(std::path::PathBuf::from("/x"), http);
        let login = json!({ "application": { "tenant": "acme.example", "client": "c", "secret": "env:S" } });
        let ok = json!({ "vault": "https://acme.vault.azure.net", "secret": "orders-db", "login": login });
        let target = build(&ok, &context).unwrap().target();
        assert_eq!(target, "azure https://acme.vault.azure.net secret orders-db");
        let tenant = json!({ "application": { "tenant": "../x", "client": "c", "secret": "env:S" } });
        for (field, value, key) in [
            ("secret", json!("orders_db"), "secret"),
            ("secret", json!(""), "secret"),
            ("vault", json!("http://acme.vault.azure.net"), "vault"),
            ("login", tenant, "tenant"),
            ("login_url", json!("ftp://x"), "login_url"),
        ] {
            let mut config = ok.clone();
            config[field] = value;
            assert_eq!(build(&config, &context).err().unwrap().key.as_deref(), Some(key), "{config}");
        }
        let mut config = ok;
        config.as_object_mut().unwrap().remove("login");
        assert_eq!(build(&config, &context).err().unwrap().key.as_deref(), Some("login"));
    }
}
