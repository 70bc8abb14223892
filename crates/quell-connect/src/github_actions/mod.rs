//! A secret of GitHub Actions. It can be written, and never be read back.
//!
//! Source: GitHub REST API 2022-11-28, "Actions secrets", read 2026-11: the value goes in a sealed box for the public key of that repository,
//! environment or organization; `key_id` must be of the key that is in force (422 otherwise).

mod write;

use async_trait::async_trait;
use quell_core::outcome::Outcome;
use quell_core::secret::SecretValue;
use serde::Deserialize;
use serde_json::{Value, json};

use crate::connector::{Check, Definition, Store, Stored};
use crate::context::Context;
use crate::error::{ConfigError, ConnectError, ConnectErrorKind};
use crate::github::{GitHub, Level, access_properties, level_properties};
use crate::rest::{Access, Ask};

/// Secrets of GitHub Actions.
pub static CONNECTOR: Definition = Definition {
    id: "github_actions",
    summary: "A secret of GitHub Actions: of a repository, an environment or an organization",
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
    at: Level,
    name: String,
    api: Option<Access>,
}

/// The store.
#[derive(Debug)]
struct Actions {
    github: GitHub,
    at: Level,
    name: String,
}

fn schemas() -> Vec<(&'static str, Value)> {
    let schema = json!({
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "title": "A secret of GitHub Actions as store",
        "type": "object",
        "additionalProperties": false,
        "required": ["at", "name"],
        "properties": {
            "at": level_properties(),
            "name": { "type": "string", "pattern": "^[A-Za-z_][A-Za-z0-9_]*$", "description": "The secret's name: DATABASE_URL" },
            "api": access_properties(),
        },
    });
    vec![("store", schema)]
}

fn build(config: &Value, context: &Context) -> Result<Box<dyn Store>, ConfigError> {
    let Config { at, name, api } = ConfigError::parse(config)?;
    at.checked()?;
    checked_name("name", &name)?;
    Ok(Box::new(Actions { github: GitHub::open(context, api)?, at, name }))
}

/// "Secrets reference", naming your secrets.
pub(crate) fn checked_name(key: &str, name: &str) -> Result<(), ConfigError> {
    let inner = name.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'_');
    if inner && name.bytes().next().is_some_and(|b| !b.is_ascii_digit()) {
        return Ok(());
    }
    Err(ConfigError::at(
        key,
        "not a name of a secret of Actions",
        "Use letters, digits and `_`: DATABASE_URL.",
    ))
}

impl Actions {
    /// What is told of a secret that nobody can read.
    async fn told(&self, what: &'static str) -> Result<Outcome, ConnectError> {
        let (at, _) = self.at.secret(&self.github, what, &self.name).await?;
        Ok(Outcome::applied([
            ("history", json!(false)),
            ("destroyed", json!([])),
            ("readable", json!(false)),
            ("version", json!(at.to_string())),
            (
                "remarks",
                json!([
                    "GitHub keeps no older version, and nobody can read this one: that the old value is gone follows from the write",
                    "runs that were queued before the write still hold the old value until they end",
                ]),
            ),
        ]))
    }
}

#[async_trait]
impl Store for Actions {
    fn target(&self) -> String {
        format!("{} secret {} of {}", self.github.name(), self.name, self.at.words())
    }

    async fn check(&self) -> Vec<Check> {
        const WHAT: &str = "looking at the secret";
        let line = |what: &str, seen: Result<String, ConnectError>| {
            let (ok, detail) = seen.map_or_else(|error| (false, error.detail), |detail| (true, detail));
            Check { what: what.to_owned(), ok, detail }
        };
        let secret = self.at.secret(&self.github, WHAT, &self.name).await;
        let key = self.github.ask(&Ask::get(WHAT, &self.at.path(&["public-key"])), self.at.needs()).await;
        vec![
            line("see the secret", secret.map(|(at, _)| format!("written last at {at}"))),
            line(
                "get the public key",
                key.map(|_| "yes; that it can be written is seen by writing only".to_owned()),
            ),
        ]
    }

    fn readable(&self) -> bool {
        false
    }

    async fn read(&self) -> Result<Option<Stored>, ConnectError> {
        let words = "GitHub gives no secret back";
        Err(self.github.error("reading the secret", ConnectErrorKind::Denied, words))
    }

    async fn write(&self, new: &SecretValue) -> Outcome {
        self.try_write(new).await.unwrap_or_else(|error| error.outcome())
    }

    /// What was written cannot be seen, and writing the same value again is harmless: so it counts as not done.
    async fn observe_write(&self, _new: &SecretValue) -> Outcome {
        match self.at.secret(&self.github, "looking at the secret", &self.name).await {
            Ok((at, _)) => {
                Outcome::retry(format!("written last at {at}; whether it was this value cannot be seen"))
            }
            Err(error) => error.unseen(),
        }
    }

    async fn purge(&self, _compromised: &[&SecretValue]) -> Outcome {
        self.told("looking at the secret").await.unwrap_or_else(|error| error.unseen())
    }

    async fn observe_purge(&self, _compromised: &[&SecretValue]) -> Outcome {
        self.told("looking at the secret").await.unwrap_or_else(|error| error.unseen())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bad_configurations_name_the_key() {
        let http = crate::http::Client::new(std::time::Duration::from_secs(1), None).unwrap();
        let context = Context::new(std::path::PathBuf::from("/x"), http);
        let ok = json!({ "at": { "environment": "acme/orders/prod" }, "name": "DB_URL", "api": { "token": "env:T" } });
        let built = build(&ok, &context).unwrap();
        assert_eq!(
            built.target(),
            "github https://api.github.com secret DB_URL of acme/orders environment prod"
        );
        for (key, value) in [
            ("name", json!("1X")),
            ("name", json!("A-B")),
            ("at", json!({ "repo": "acme" })),
            ("url", json!({ "token": "env:T", "url": "http://github.example.com" })),
        ] {
            let mut config = ok.clone();
            config[if key == "url" { "api" } else { key }] = value;
            assert_eq!(build(&config, &context).err().unwrap().key.as_deref(), Some(key), "{config}");
        }
        let mut config = ok.clone();
        config.as_object_mut().unwrap().remove("api");
        assert_eq!(build(&config, &context).err().unwrap().key.as_deref(), Some("api"));
    }
}
