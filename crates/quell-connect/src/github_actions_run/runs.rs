//! Which run shows that the new value is in use.
//!
//! A run is one proof only: it began after the secret was written last (GitHub tells both in whole seconds, so the same second is no proof), and
//! it succeeded. A run of which only failed jobs were run again keeps its other jobs from an older attempt, with what they had read then: so each
//! job must have begun after the write as well.

use jiff::Timestamp;
use serde_json::Value;

use super::{READ, Runs};
use crate::connector::{Check, Seen};
use crate::error::{ConnectError, ConnectErrorKind};
use crate::rest::Ask;

const WHAT: &str = "looking at runs";

/// How many of the latest runs are looked at.
const LATEST: &str = "30";

/// What is said while no run is a proof; never the name of one.
const NONE: &str = "none since the secret was written";

impl Runs {
    pub(super) async fn look(&self) -> Result<Seen, ConnectError> {
        let (written, _) = self.at.secret(&self.github, WHAT, &self.secret).await?;
        let mut why = format!("no run began after {} was written at {written}", self.secret);
        let runs = self.latest().await?;
        if let Some(under_way) = runs.iter().find_map(|run| self.older(run, written)) {
            let (generation, why) = (Some(NONE.to_owned()), Some(under_way));
            return Ok(Seen { generation, principal: None, healthy: false, why });
        }
        for run in runs.iter().filter(|run| self.is_ours(run)) {
            let started = began(run);
            if started.is_none_or(|started| started <= written) {
                continue;
            }
            let text = |name: &str| run.get(name).and_then(Value::as_str).unwrap_or_default();
            let number = |name: &str| run.get(name).and_then(Value::as_u64);
            let (Some(id), attempt) = (number("id"), number("run_attempt").unwrap_or(1)) else {
                let words = "a run has no id";
                return Err(self.github.error(WHAT, ConnectErrorKind::Unexpected, words));
            };
            let name = format!("run {id}.{attempt}");
            if text("status") != "completed" {
                why = format!("{name} is {}", text("status"));
                continue;
            }
            if text("conclusion") != "success" {
                why = format!("{name} ended as {}", text("conclusion"));
                continue;
            }
            match self.stale(id, attempt, written).await? {
                Some(stale) => why = format!("{name}: {stale}"),
                None => {
                    return Ok(Seen { generation: Some(name), principal: None, healthy: true, why: None });
                }
            }
        }
        Ok(Seen { generation: Some(NONE.to_owned()), principal: None, healthy: false, why: Some(why) })
    }

    /// Whether it ran code of the repository itself: runs for pull requests are of what somebody proposes, and those of forks get no secret.
    pub(super) fn is_ours(&self, run: &Value) -> bool {
        let text = |pointer: &str| run.pointer(pointer).and_then(Value::as_str).unwrap_or_default();
        let whole = format!("{}/{}", self.owner, self.repo);
        text("/head_repository/full_name").eq_ignore_ascii_case(&whole)
            && !text("/event").starts_with("pull_request")
    }

    /// Why a run from before the write still holds the old value: it has not ended. Those of forks were given none, but for
    /// `pull_request_target`.
    fn older(&self, run: &Value, written: Timestamp) -> Option<String> {
        let text = |name: &str| run.get(name).and_then(Value::as_str).unwrap_or_default();
        let given = self.is_ours(run) || text("event").starts_with("pull_request");
        if !given || text("status") == "completed" || began(run).is_some_and(|began| began > written) {
            return None;
        }
        let id = run.get("id").and_then(Value::as_u64).unwrap_or_default();
        Some(format!("run {id} began before {} was written, and is {}", self.secret, text("status")))
    }

    /// The latest runs, the newest first.
    pub(super) async fn latest(&self) -> Result<Vec<Value>, ConnectError> {
        let path = self.path(&["workflows", &self.workflow, "runs"]);
        let ask = Ask::get(WHAT, &path).query("per_page", LATEST).query("branch", self.branch.as_str());
        let mut said = self.github.ask(&ask, READ).await?;
        match said.body.get_mut("workflow_runs").map(Value::take) {
            Some(Value::Array(runs)) => Ok(runs),
            _ => Err(self.github.error(WHAT, ConnectErrorKind::Unexpected, "the answer is no list of runs")),
        }
    }

    /// Which job of an attempt says nothing about the new value.
    async fn stale(
        &self,
        run: u64,
        attempt: u64,
        written: Timestamp,
    ) -> Result<Option<String>, ConnectError> {
        let (run, attempt) = (run.to_string(), attempt.to_string());
        let path = self.path(&["runs", &run, "attempts", &attempt, "jobs"]);
        let jobs = self.github.all(WHAT, &path, "jobs", READ).await?;
        let text =
            |job: &Value, name: &str| job.get(name).and_then(Value::as_str).unwrap_or_default().to_owned();
        let mut counted = 0;
        for job in &jobs {
            let name = text(job, "name");
            if self.job.as_ref().is_some_and(|wanted| *wanted != name) {
                continue;
            }
            match text(job, "conclusion").as_str() {
                "success" => counted += 1,
                // Without a name it is not known which job uses the secret; one that did not run used nothing.
                "skipped" if self.job.is_none() => continue,
                other => return Ok(Some(format!("its job {name} ended as {other}"))),
            }
            if moment(job, "started_at").is_none_or(|began| began <= written) {
                return Ok(Some(format!(
                    "its job {name} is of an older attempt, from before the write; run all jobs again"
                )));
            }
        }
        let nothing = || match &self.job {
            Some(wanted) => format!("it has no job {wanted}"),
            None => "none of its jobs ran".to_owned(),
        };
        Ok((counted == 0).then(nothing))
    }

    pub(super) async fn checks(&self) -> Vec<Check> {
        let line = |what: &str, seen: Result<String, ConnectError>| {
            let (ok, detail) = seen.map_or_else(|error| (false, error.detail), |detail| (true, detail));
            Check { what: what.to_owned(), ok, detail }
        };
        let secret = self.at.secret(&self.github, WHAT, &self.secret).await;
        let path = self.path(&["workflows", &self.workflow]);
        let workflow = self.github.ask(&Ask::get(WHAT, &path), READ).await;
        let state = workflow.as_ref().ok().and_then(|said| said.body.get("state")?.as_str());
        // `disabled_manually`, `disabled_inactivity` ("Workflows").
        let disabled = state.filter(|state| *state != "active").map(|state| Check {
            what: "the workflow can run".to_owned(),
            ok: false,
            detail: format!("it is {state}: `gh workflow enable`"),
        });
        let mut checks = vec![
            line("see the secret", secret.map(|(at, _)| format!("written last at {at}"))),
            line("see the workflow", workflow.map(|_| "yes".to_owned())),
            line("see its runs", self.latest().await.map(|runs| format!("{} of the latest", runs.len()))),
        ];
        checks.extend(disabled);
        checks
    }
}

fn began(run: &Value) -> Option<Timestamp> {
    moment(run, "run_started_at").or_else(|| moment(run, "created_at"))
}

fn moment(object: &Value, name: &str) -> Option<Timestamp> {
    object.get(name)?.as_str()?.parse().ok()
}
