//! Reload: run it, exit code 0 means done.

use async_trait::async_trait;
use quell_core::outcome::Outcome;
use serde::Deserialize;
use serde_json::{Value, json};

use super::program::{Ended, Program};
use crate::connector::{Check, Reload};
use crate::context::Context;
use crate::error::ConfigError;

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Config {
    exec: Vec<String>,
}

pub(super) fn build(config: &Value, context: &Context) -> Result<Box<dyn Reload>, ConfigError> {
    let config: Config = ConfigError::parse(config)?;
    let program = Program::new(super::argv(config.exec)?, context);
    Ok(Box::new(Run { target: format!("run {program}"), program }))
}

/// A program whose run is a reload.
#[derive(Debug)]
pub(crate) struct Run {
    /// In words.
    pub(crate) target: String,
    /// What to run.
    pub(crate) program: Program,
}

#[async_trait]
impl Reload for Run {
    fn target(&self) -> String {
        self.target.clone()
    }

    async fn check(&self) -> Vec<Check> {
        vec![self.program.check()]
    }

    async fn reload(&self) -> Outcome {
        let target = &self.target;
        match self.program.run(false).await {
            Ended::Exited(status, _) if status.success() => Outcome::applied([("exit", json!(0))]),
            // Its output is never repeated: it could hold the value.
            Ended::Exited(status, _) => match status.code() {
                Some(code) => Outcome::retry(format!("{target}: exit code {code}; see its own log")),
                None => Outcome::unknown(format!("{target}: ended by a signal; see its own log")),
            },
            Ended::NotStarted(error) => Outcome::refused(format!("{target}: not started: {error}")),
            Ended::Late => Outcome::unknown(format!("{target}: no end in time; it was killed")),
            Ended::Lost(words) => Outcome::unknown(format!("{target}: {words}")),
        }
    }
}
