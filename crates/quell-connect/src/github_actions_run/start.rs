//! Starts a run. A repeat starts one more, which is harmless.

use std::time::Duration;

use jiff::Timestamp;
use quell_core::outcome::Outcome;
use reqwest::Method;
use serde_json::{Value, json};

use super::{By, ConnectError, READ, Runs, WRITE};
use crate::rest::Ask;

const WHAT: &str = "starting a run";

impl Runs {
    pub(super) async fn try_start(&self) -> Result<Outcome, ConnectError> {
        self.wait_for_next_second().await?;
        match self.by {
            By::Dispatch => {
                let path = self.path(&["workflows", &self.workflow, "dispatches"]);
                let ask = Ask::new(WHAT, Method::POST, &path).json(&json!({ "ref": self.branch }));
                let said = self.github.ask(&ask, WRITE).await.map_err(|mut error| {
                    // "Create a workflow dispatch event".
                    if error.detail.contains("workflow_dispatch") {
                        error.detail = format!("{}; add that trigger, or set `by: rerun`", error.detail);
                    }
                    error
                })?;
                Ok(Outcome::applied([("status", json!(said.status))]))
            }
            By::Rerun => self.again().await,
        }
    }

    async fn again(&self) -> Result<Outcome, ConnectError> {
        let completed = |run: &&Value| run.get("status").and_then(Value::as_str) == Some("completed");
        let runs = self.latest().await?;
        let last = runs
            .iter()
            .filter(|run| self.is_ours(run))
            .find(completed)
            .and_then(|run| run.get("id")?.as_u64());
        let Some(id) = last.map(|id| id.to_string()) else {
            let words = format!("{} has no run that has ended on {}", self.words(), self.branch);
            return Ok(Outcome::refused(words));
        };
        // All jobs: those of failed ones alone would keep what the others had read.
        let path = self.path(&["runs", &id, "rerun"]);
        let said = self.github.ask(&Ask::new(WHAT, Method::POST, &path), WRITE).await?;
        Ok(Outcome::applied([("status", json!(said.status)), ("run", json!(id))]))
    }

    /// GitHub tells moments in whole seconds: a run of the second of the write could not be told from one before it.
    async fn wait_for_next_second(&self) -> Result<(), ConnectError> {
        let path = self.at.path(&[&self.secret]);
        let said = self.github.ask(&Ask::get(WHAT, &path), READ).await?;
        let written = said.body.get("updated_at").and_then(Value::as_str).and_then(|text| text.parse().ok());
        if let (Some(written), Some(now)) = (written, said.date)
            && now.as_second() <= Timestamp::as_second(written)
        {
            tokio::time::sleep(Duration::from_secs(1)).await;
        }
        Ok(())
    }
}
