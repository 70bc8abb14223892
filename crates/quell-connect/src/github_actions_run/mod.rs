//! A workflow of GitHub Actions as consumer: it is run, and a run that began after the secret was written and succeeded shows that it was picked up.
//!
//! Source: GitHub REST API 2022-11-28, "Workflow runs", "Workflow jobs", "Workflows"; "Secrets reference": secrets of repositories and
//! organizations are read when a run is queued, those of environments when the job starts; read 2026-11.

mod runs;
mod start;

use async_trait::async_trait;
use quell_core::outcome::Outcome;
use serde::Deserialize;
use serde_json::{Value, json};

use crate::connector::{Check, Definition, Observe, Reload, Seen};
use crate::context::Context;
use crate::error::{ConfigError, ConnectError};
use crate::github::{GitHub, Level, access_properties, level_properties};
use crate::github_actions::checked_name;
use crate::rest::{Access, is_segment};

/// Runs of a workflow.
pub static CONNECTOR: Definition = Definition {
    id: "github_actions_run",
    summary: "Runs a workflow of GitHub Actions, and sees when a run with the new secret has succeeded",
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
    github_actions_run: Table,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Table {
    repo: String,
    workflow: String,
    #[serde(default = "main_branch", rename = "ref")]
    branch: String,
    #[serde(default)]
    by: By,
    job: Option<String>,
    secret: String,
    at: Option<Level>,
    api: Option<Access>,
}

/// How a run is started.
#[derive(Clone, Copy, Debug, Default, Deserialize, Eq, PartialEq)]
#[serde(rename_all = "snake_case")]
enum By {
    /// A new one, of a workflow with `workflow_dispatch`.
    #[default]
    Dispatch,
    /// The last one once more, with the code that it had.
    Rerun,
}

/// One workflow.
#[derive(Debug)]
struct Runs {
    github: GitHub,
    owner: String,
    repo: String,
    workflow: String,
    branch: String,
    by: By,
    job: Option<String>,
    secret: String,
    at: Level,
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
            "required": ["github_actions_run"],
            "properties": { "github_actions_run": {
                "type": "object",
                "additionalProperties": false,
                "required": ["repo", "workflow", "secret"],
                "properties": {
                    "repo": text("Whose workflow: acme/orders"),
                    "workflow": text("The workflow's file: deploy.yml"),
                    "ref": text("The branch that it is run on (main)"),
                    "by": { "enum": ["dispatch", "rerun"], "description": "A new run, or the last one once more (dispatch)" },
                    "job": text("The job that uses the secret; without it every job counts"),
                    "secret": text("The secret that it reads: DATABASE_URL"),
                    "at": level_properties(),
                    "api": access_properties(),
                },
            } },
        })
    };
    vec![("reload", schema("A run of GitHub Actions")), ("observe", schema("Runs of GitHub Actions"))]
}

fn build(config: &Value, context: &Context) -> Result<Runs, ConfigError> {
    let Config { github_actions_run: table } = ConfigError::parse(config)?;
    let Table { repo, workflow, branch, by, job, secret, at, api } = table;
    let whole = Level::Repo(repo.clone());
    let named = whole.checked().ok().and_then(|()| repo.split_once('/'));
    let hint = "Write owner and name: acme/orders.";
    let (owner, name) = named.ok_or_else(|| ConfigError::at("repo", "not a repository", hint))?;
    let (owner, name) = (owner.to_owned(), name.to_owned());
    if !is_segment(&workflow) || workflow.contains('/') {
        let hint = "Write the file's name in .github/workflows: deploy.yml.";
        return Err(ConfigError::at("workflow", "not a workflow", hint));
    }
    checked_name("secret", &secret)?;
    let at = at.unwrap_or(whole);
    at.checked()?;
    let github = GitHub::open(context, api)?;
    Ok(Runs { github, owner, repo: name, workflow, branch, by, job, secret, at })
}

impl Runs {
    /// The path of the repository, and what follows.
    fn path<'a>(&'a self, rest: &[&'a str]) -> Vec<&'a str> {
        let mut path = vec!["repos", &self.owner, &self.repo, "actions"];
        path.extend(rest);
        path
    }

    fn words(&self) -> String {
        format!("{} of {} {}/{}", self.workflow, self.github.name(), self.owner, self.repo)
    }
}

const READ: &str = "the repository permission `Actions: read` (classic: `repo`)";
const WRITE: &str = "the repository permission `Actions: write` (classic: `repo`)";

#[async_trait]
impl Reload for Runs {
    fn target(&self) -> String {
        let how = match self.by {
            By::Dispatch => "run",
            By::Rerun => "run again",
        };
        format!("{how} {} on {}", self.words(), self.branch)
    }

    async fn check(&self) -> Vec<Check> {
        self.checks().await
    }

    async fn reload(&self) -> Outcome {
        self.try_start().await.unwrap_or_else(|error| error.outcome())
    }
}

#[async_trait]
impl Observe for Runs {
    fn target(&self) -> String {
        let job = self.job.as_ref().map(|job| format!(" job {job}")).unwrap_or_default();
        format!("runs of {}{job} since {} was written", self.words(), self.secret)
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
        let ok = json!({
            "repo": "acme/orders", "workflow": "deploy.yml", "job": "deploy", "secret": "DB_URL", "api": { "token": "env:T" },
        });
        let built = build(&json!({ "github_actions_run": ok }), &context).unwrap();
        assert_eq!(
            Observe::target(&built),
            "runs of deploy.yml of github https://api.github.com acme/orders job deploy since DB_URL was written"
        );
        for (key, value) in [
            ("repo", "orders"),
            ("workflow", "a/b.yml"),
            ("workflow", ".."),
            ("secret", "A-B"),
            ("secret", ""),
        ] {
            let mut config = ok.clone();
            config[key] = json!(value);
            let error = build(&json!({ "github_actions_run": config }), &context).err().unwrap();
            assert_eq!(error.key.as_deref(), Some(key), "{value}");
        }
    }
}
