//! Pipelines of GitLab CI as consumer: one is started, and seen when it has succeeded.
//!
//! Source: GitLab REST API v4 (18.x), "Pipelines API", "Users API" (`GET /user`), read 2026-11. Variables tell no time of writing, so a pipeline counts
//! only when it was started through the API by the user of our token: Quell starts pipelines after the write, and nobody else has that token.

mod pipelines;

use async_trait::async_trait;
use quell_core::outcome::Outcome;
use serde::Deserialize;
use serde_json::{Value, json};

use crate::connector::{Check, Definition, Observe, Reload, Seen};
use crate::context::Context;
use crate::error::{ConfigError, ConnectError};
use crate::gitlab::{GitLab, access_schema};
use crate::rest::{Access, is_segment};

/// Pipelines.
pub static CONNECTOR: Definition = Definition {
    id: "gitlab_ci_pipeline",
    summary: "Starts a pipeline of GitLab CI, and sees when it has succeeded",
    readme: include_str!("README.md"),
    schemas,
    issuer: None,
    store: None,
    reload: Some(|config, context| Ok(Box::new(build(config, context)?))),
    observe: Some(|config, context| Ok(Box::new(build(config, context)?))),
    notify: None,
    channel: None,
};

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Config {
    gitlab_ci_pipeline: Table,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Table {
    project: String,
    #[serde(default = "main_branch", rename = "ref")]
    branch: String,
    job: Option<String>,
    api: Option<Access>,
}

/// One project.
#[derive(Debug)]
struct Pipelines {
    gitlab: GitLab,
    project: String,
    branch: String,
    job: Option<String>,
}

fn main_branch() -> String {
    "main".to_owned()
}

fn schemas() -> Vec<(&'static str, Value)> {
    let text = |what: &str| json!({ "type": "string", "minLength": 1, "description": what });
    let schema = |title: &str| {
        json!({
            "$schema": "https://json-schema.org/draft/2020-12/schema",
            "title": title,
            "type": "object",
            "additionalProperties": false,
            "required": ["gitlab_ci_pipeline"],
            "properties": { "gitlab_ci_pipeline": {
                "type": "object",
                "additionalProperties": false,
                "required": ["project"],
                "properties": {
                    "project": text("The project, by path or id: acme/orders"),
                    "ref": text("The branch that it is run on (main)"),
                    "job": text("The job that uses the variable; it must have run and succeeded"),
                    "api": access_schema(),
                },
            } },
        })
    };
    vec![("reload", schema("A pipeline of GitLab CI")), ("observe", schema("Pipelines of GitLab CI"))]
}

fn build(config: &Value, context: &Context) -> Result<Pipelines, ConfigError> {
    let Config { gitlab_ci_pipeline: Table { project, branch, job, api } } = ConfigError::parse(config)?;
    if !project.split('/').all(is_segment) {
        let hint = "Write its path, acme/orders, or its id.";
        return Err(ConfigError::at("project", "not a project of GitLab", hint));
    }
    Ok(Pipelines { gitlab: GitLab::open(context, api)?, project, branch, job })
}

impl Pipelines {
    fn words(&self) -> String {
        format!("{} {} on {}", self.gitlab.name(), self.project, self.branch)
    }
}

#[async_trait]
impl Reload for Pipelines {
    fn target(&self) -> String {
        format!("start a pipeline of {}", self.words())
    }

    async fn check(&self) -> Vec<Check> {
        self.checks().await
    }

    async fn reload(&self) -> Outcome {
        self.try_start().await.unwrap_or_else(|error| error.outcome())
    }
}

#[async_trait]
impl Observe for Pipelines {
    fn target(&self) -> String {
        let job = self.job.as_ref().map(|job| format!(" job {job}")).unwrap_or_default();
        format!("pipelines of {}{job} that we started", self.words())
    }

    async fn check(&self) -> Vec<Check> {
        self.checks().await
    }

    async fn see(&self) -> Result<Seen, ConnectError> {
        self.look().await
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bad_configurations_name_the_key() {
        let http = crate::http::Client::new(std::time::Duration::from_secs(1), None).unwrap();
        let context = Context::new(std::path::PathBuf::from("/x"), http);
        let config = |project: &str| json!({ "gitlab_ci_pipeline": { "project": project, "job": "deploy", "api": { "token": "env:T" } } });
        let built = build(&config("acme/orders"), &context).unwrap();
        assert_eq!(
            Observe::target(&built),
            "pipelines of gitlab https://gitlab.com/api/v4 acme/orders on main job deploy that we started"
        );
        for bad in ["", "a//b", "../x"] {
            assert_eq!(build(&config(bad), &context).err().unwrap().key.as_deref(), Some("project"));
        }
    }
}
