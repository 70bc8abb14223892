//! A CI/CD variable of GitLab, of a project or a group.
//!
//! Source: GitLab REST API v4 (18.x), "Project-level CI/CD variables API", "Group-level variables API", "CI/CD variables" (mask, hide, expand), read
//! 2026-11. There is no version and no precondition: who writes last wins, and that is said.

mod variable;

use async_trait::async_trait;
use quell_core::outcome::Outcome;
use quell_core::secret::SecretValue;
use serde::Deserialize;
use serde_json::{Value, json};

use crate::connector::{Check, Definition, Store, Stored};
use crate::context::Context;
use crate::effect;
use crate::error::{ConfigError, ConnectError};
use crate::gitlab::{GitLab, access_schema};
use crate::rest::Access;

/// Variables of GitLab CI.
pub static CONNECTOR: Definition = Definition {
    id: "gitlab_ci",
    summary: "A CI/CD variable of GitLab: of a project or a group",
    readme: include_str!("README.md"),
    schemas,
    issuer: None,
    store: Some(build),
    reload: None,
    observe: None,
    notify: None,
    channel: None,
};

/// Whose variable it is.
#[derive(Clone, Debug, Deserialize)]
#[serde(rename_all = "snake_case", deny_unknown_fields)]
enum Owner {
    Group(String),
    Project(String),
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Config {
    at: Owner,
    key: String,
    #[serde(default = "everywhere")]
    scope: String,
    #[serde(default)]
    hidden: bool,
    api: Option<Access>,
}

/// The store.
#[derive(Debug)]
struct Variables {
    gitlab: GitLab,
    at: Owner,
    key: String,
    /// The environments that it is for: `*`, `production`.
    scope: String,
    /// GitLab gives its value to jobs only.
    hidden: bool,
    /// GitLab numbers nothing: values are told apart by a mark of this run.
    mark: [u8; 32],
}

fn everywhere() -> String {
    "*".to_owned()
}

fn schemas() -> Vec<(&'static str, Value)> {
    let text = |what: &str| json!({ "type": "string", "minLength": 1, "description": what });
    let one = |name: &str, what: &str| json!({ "type": "object", "additionalProperties": false, "required": [name], "properties": { (name): text(what) } });
    let schema = json!({
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "title": "A CI/CD variable of GitLab as store",
        "type": "object",
        "additionalProperties": false,
        "required": ["at", "key"],
        "properties": {
            "at": { "oneOf": [one("project", "A project's, by path or id: acme/orders"), one("group", "A group's: acme")] },
            "key": { "type": "string", "pattern": "^[A-Za-z0-9_]{1,255}$", "description": "The variable's key: DATABASE_URL" },
            "scope": text("The environments that it is for (*)"),
            "hidden": { "type": "boolean", "description": "It was made as masked and hidden: it can be written, and never be read back (false)" },
            "api": access_schema(),
        },
    });
    vec![("store", schema)]
}

fn build(config: &Value, context: &Context) -> Result<Box<dyn Store>, ConfigError> {
    let Config { at, key, scope, hidden, api } = ConfigError::parse(config)?;
    let (Owner::Group(name) | Owner::Project(name)) = &at;
    if !name.split('/').all(crate::rest::is_segment) {
        let hint = "Write its path, acme/orders, or its id.";
        return Err(ConfigError::at("at", "not a project or group of GitLab", hint));
    }
    let fits = |b: u8| b.is_ascii_alphanumeric() || b == b'_';
    if key.is_empty() || key.len() > 255 || !key.bytes().all(fits) {
        let hint = "Use letters, digits and `_`: DATABASE_URL.";
        return Err(ConfigError::at("key", "not a key of a variable", hint));
    }
    let mut mark = [0; 32];
    if getrandom::fill(&mut mark).is_err() {
        return Err(ConfigError {
            key: None,
            message: "this machine gives no randomness".to_owned(),
            hint: None,
        });
    }
    Ok(Box::new(Variables { gitlab: GitLab::open(context, api)?, at, key, scope, hidden, mark }))
}

#[async_trait]
impl Store for Variables {
    fn target(&self) -> String {
        let scope = if self.scope == "*" { String::new() } else { format!(" for {}", self.scope) };
        format!("{} variable {} of {}{scope}", self.gitlab.name(), self.key, self.at.words())
    }

    async fn check(&self) -> Vec<Check> {
        self.checks().await
    }

    fn readable(&self) -> bool {
        !self.hidden
    }

    async fn read(&self) -> Result<Option<Stored>, ConnectError> {
        const WHAT: &str = "reading the variable";
        let variable = self.get(WHAT).await?;
        let value = self.value_of(WHAT, &variable)?;
        Ok(value.map(|value| Stored { version: self.version(&value), value }))
    }

    async fn write(&self, new: &SecretValue) -> Outcome {
        self.try_write(new).await.unwrap_or_else(|error| error.outcome())
    }

    async fn observe_write(&self, new: &SecretValue) -> Outcome {
        if !self.hidden {
            return effect::held(self.read().await, new);
        }
        // Writing the same value again is harmless, so it counts as not done.
        match self.get("looking at the variable").await {
            Ok(_) => Outcome::retry("the variable is hidden; whether it holds this value cannot be seen"),
            Err(error) => error.unseen(),
        }
    }

    async fn purge(&self, compromised: &[&SecretValue]) -> Outcome {
        self.try_look(compromised).await.unwrap_or_else(|error| error.unseen())
    }

    async fn observe_purge(&self, compromised: &[&SecretValue]) -> Outcome {
        self.try_look(compromised).await.unwrap_or_else(|error| error.unseen())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bad_configurations_name_the_key() {
        let http = crate::http::Client::new(std::time::Duration::from_secs(1), None).unwrap();
        let context = Context::new(std::path::PathBuf::from("/x"), http);
        let ok = json!({ "at": { "project": "acme/orders" }, "key": "DB_URL", "scope": "prod", "api": { "token": "env:T" } });
        let target = build(&ok, &context).unwrap().target();
        assert_eq!(
            target,
            "gitlab https://gitlab.com/api/v4 variable DB_URL of project acme/orders for prod"
        );
        for (key, value) in [
            ("key", json!("A-B")),
            ("key", json!("")),
            ("at", json!({ "group": "a//b" })),
            ("at", json!({ "project": "../x" })),
        ] {
            let mut config = ok.clone();
            config[key] = value;
            assert_eq!(build(&config, &context).err().unwrap().key.as_deref(), Some(key), "{config}");
        }
    }
}
