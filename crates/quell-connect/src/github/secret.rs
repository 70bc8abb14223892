//! Where a secret of Actions stands: in a repository, in one of its environments, or in an organization.

use jiff::Timestamp;
use serde::Deserialize;
use serde_json::{Value, json};

use super::api::GitHub;
use crate::error::{ConfigError, ConnectError, ConnectErrorKind};
use crate::rest::{Ask, is_segment};

/// As the inventory gives it.
#[derive(Clone, Debug, Deserialize, Eq, PartialEq)]
#[serde(rename_all = "snake_case", deny_unknown_fields)]
pub(crate) enum Level {
    /// `organization: acme`
    Organization(String),
    /// `repo: acme/orders`
    Repo(String),
    /// `environment: acme/orders/production`
    Environment(String),
}

/// The schema of a level.
pub(crate) fn level_properties() -> Value {
    let one = |name: &str, what: &str| {
        json!({
            "type": "object", "additionalProperties": false, "required": [name],
            "properties": { (name): { "type": "string", "minLength": 1, "description": what } },
        })
    };
    json!({ "oneOf": [
        one("repo", "A repository's: acme/orders"),
        one("environment", "An environment's of a repository: acme/orders/production"),
        one("organization", "An organization's: acme"),
    ] })
}

impl Level {
    /// The parts of its name, when there are as many as there must be.
    pub(crate) fn checked(&self) -> Result<(), ConfigError> {
        let (parts, hint) = match self {
            Self::Organization(_) => (1, "Write the organization's name: acme."),
            Self::Repo(_) => (2, "Write owner and name: acme/orders."),
            Self::Environment(_) => (3, "Write owner, name and environment: acme/orders/production."),
        };
        let found = self.parts();
        if found.len() == parts && found.iter().all(|part| is_segment(part)) {
            return Ok(());
        }
        Err(ConfigError::at("at", "not a place of secrets in GitHub", hint))
    }

    /// An environment's name may hold slashes.
    fn parts(&self) -> Vec<&str> {
        match self {
            Self::Organization(text) => vec![text],
            Self::Repo(text) => text.split('/').collect(),
            Self::Environment(text) => text.splitn(3, '/').collect(),
        }
    }

    /// `acme/orders environment production`.
    pub(crate) fn words(&self) -> String {
        match (self, self.parts().as_slice()) {
            (Self::Environment(_), [owner, repo, environment]) => {
                format!("{owner}/{repo} environment {environment}")
            }
            (Self::Organization(name), _) => format!("organization {name}"),
            (Self::Repo(text) | Self::Environment(text), _) => text.clone(),
        }
    }

    /// What a token needs for it ("Permissions required for fine-grained personal access tokens").
    pub(crate) fn needs(&self) -> &'static str {
        match self {
            Self::Organization(_) => "the organization permission `Secrets: write` (classic: `admin:org`)",
            Self::Repo(_) => "the repository permission `Secrets: write` (classic: `repo`)",
            Self::Environment(_) => "the repository permission `Environments: write` (classic: `repo`)",
        }
    }

    /// The path to what follows.
    pub(crate) fn path<'a>(&'a self, rest: &[&'a str]) -> Vec<&'a str> {
        let mut path = match (self, self.parts().as_slice()) {
            (Self::Environment(_), &[owner, repo, environment]) => {
                vec!["repos", owner, repo, "environments", environment, "secrets"]
            }
            (Self::Organization(_), &[name]) => vec!["orgs", name, "actions", "secrets"],
            (_, parts) => {
                let mut path = vec!["repos"];
                path.extend(parts);
                path.extend(["actions", "secrets"]);
                path
            }
        };
        path.extend(rest);
        path
    }

    /// When the secret was written last, by GitHub's clock, in whole seconds; and what else GitHub says of it.
    pub(crate) async fn secret(
        &self,
        github: &GitHub,
        what: &'static str,
        name: &str,
    ) -> Result<(Timestamp, Value), ConnectError> {
        let said = github.ask(&Ask::get(what, &self.path(&[name])), self.needs()).await;
        let said = said.map_err(|mut error| {
            if error.kind == ConnectErrorKind::Missing {
                error.detail = format!(
                    "the secret {name} of {}: {}; make it first, with any value",
                    self.words(),
                    error.detail
                );
            }
            error
        })?;
        let at = said.body.get("updated_at").and_then(Value::as_str).and_then(|text| text.parse().ok());
        let odd = || github.error(what, ConnectErrorKind::Unexpected, "it does not say when it was written");
        Ok((at.ok_or_else(odd)?, said.body))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn places_have_as_many_parts_as_they_must() {
        let level = |text: Value| serde_json::from_value::<Level>(text).unwrap();
        for (good, path) in [
            (json!({ "repo": "acme/orders" }), "repos acme orders actions secrets X"),
            (json!({ "environment": "acme/orders/a/b" }), "repos acme orders environments a/b secrets X"),
            (json!({ "organization": "acme" }), "orgs acme actions secrets X"),
        ] {
            let level = level(good);
            assert!(level.checked().is_ok(), "{level:?}");
            assert_eq!(level.path(&["X"]).join(" "), path);
        }
        for bad in [
            json!({ "repo": "orders" }),
            json!({ "repo": "acme/orders/x" }),
            json!({ "repo": "acme/.." }),
            json!({ "environment": "acme/orders" }),
            json!({ "organization": "" }),
        ] {
            assert_eq!(level(bad).checked().unwrap_err().key.as_deref(), Some("at"));
        }
    }
}
