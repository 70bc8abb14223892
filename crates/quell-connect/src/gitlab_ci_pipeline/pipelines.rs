//! Starting one, and finding the last one of ours that succeeded.

use quell_core::outcome::Outcome;
use reqwest::Method;
use serde_json::{Value, json};

use super::Pipelines;
use crate::connector::{Check, Seen};
use crate::error::{ConnectError, ConnectErrorKind};
use crate::rest::Ask;

const NEEDS: &str =
    "the scope `api` and the role Developer of the project (Maintainer on a protected branch)";

/// How many of our latest pipelines are looked at.
const LATEST: &str = "20";

/// What is said while there is none; never the name of one.
const NONE: &str = "none";

impl Pipelines {
    pub(super) async fn try_start(&self) -> Result<Outcome, ConnectError> {
        const WHAT: &str = "starting a pipeline";
        let path = ["projects", &self.project, "pipeline"];
        let ask = Ask::new(WHAT, Method::POST, &path).json(&json!({ "ref": self.branch }));
        let made = self.gitlab.ask(&ask, NEEDS, &[]).await?;
        Ok(Outcome::applied([("pipeline", made.get("id").cloned().unwrap_or_default())]))
    }

    /// The last one of ours. What is older says nothing: it may have begun before the write.
    pub(super) async fn look(&self) -> Result<Seen, ConnectError> {
        const WHAT: &str = "looking at pipelines";
        let unwell = |generation: String, why: String| Seen {
            generation: Some(generation),
            principal: None,
            healthy: false,
            why: Some(why),
        };
        let odd =
            || self.gitlab.error(WHAT, ConnectErrorKind::Unexpected, "the answer is no list of pipelines");
        let latest = self.latest(WHAT).await?;
        let mut unfinished = None;
        for pipeline in latest.as_array().ok_or_else(odd)? {
            let id = pipeline.get("id").and_then(Value::as_u64).ok_or_else(odd)?;
            let name = format!("pipeline {id}");
            match pipeline.get("status").and_then(Value::as_str).unwrap_or_default() {
                "success" => {
                    let older = self.older(WHAT, id).await?;
                    let why = self.unproven(WHAT, id).await?;
                    let unfinished = unfinished.or(older);
                    return Ok(match (unfinished, why) {
                        (None, None) => {
                            Seen { generation: Some(name), principal: None, healthy: true, why: None }
                        }
                        (Some(why), _) | (None, Some(why)) => unwell(name, why),
                    });
                }
                status if unfinished.is_none() => unfinished = Some(format!("{name} is {status}")),
                _ => {}
            }
        }
        Ok(unwell(NONE.to_owned(), unfinished.unwrap_or_else(|| "we started no pipeline yet".to_owned())))
    }

    /// The latest that our token's user started through the API, the newest first.
    async fn latest(&self, what: &'static str) -> Result<Value, ConnectError> {
        let user = self.gitlab.ask(&Ask::get(what, &["user"]), NEEDS, &[]).await?;
        let Some(user) = user.get("username").and_then(Value::as_str).filter(|name| !name.is_empty()) else {
            let words = "it does not say who we are";
            return Err(self.gitlab.error(what, ConnectErrorKind::Unexpected, words));
        };
        let path = ["projects", &self.project, "pipelines"];
        let ask = Ask::get(what, &path)
            .query("ref", self.branch.as_str())
            .query("source", "api")
            .query("username", user)
            .query("order_by", "id")
            .query("sort", "desc")
            .query("per_page", LATEST);
        self.gitlab.ask(&ask, NEEDS, &[]).await
    }

    /// A pipeline of anybody that was begun before ours and has not ended: its jobs may hold what was there before the write.
    async fn older(&self, what: &'static str, ours: u64) -> Result<Option<String>, ConnectError> {
        let path = ["projects", &self.project, "pipelines"];
        for scope in ["running", "pending"] {
            let ask = Ask::get(what, &path)
                .query("ref", self.branch.as_str())
                .query("scope", scope)
                .query("order_by", "id")
                .query("sort", "asc")
                .query("per_page", LATEST);
            let all = self.gitlab.ask(&ask, NEEDS, &[]).await?;
            let ids = all.as_array().into_iter().flatten().filter_map(|one| one.get("id")?.as_u64());
            if let Some(id) = ids.min().filter(|id| *id < ours) {
                return Ok(Some(format!("pipeline {id} was begun before ours, and is {scope}")));
            }
        }
        Ok(None)
    }

    /// Why a pipeline that succeeded shows nothing: the job that was named did not run, as manual and allowed failures pass as well.
    async fn unproven(&self, what: &'static str, id: u64) -> Result<Option<String>, ConnectError> {
        let Some(wanted) = &self.job else { return Ok(None) };
        let id = id.to_string();
        let jobs =
            self.gitlab.all(what, &["projects", &self.project, "pipelines", &id, "jobs"], NEEDS).await?;
        let named = jobs.iter().find(|job| job.get("name").and_then(Value::as_str) == Some(wanted));
        let status = named.map(|job| job.get("status").and_then(Value::as_str).unwrap_or_default());
        Ok(match status {
            Some("success") => None,
            Some(status) => Some(format!("job {wanted} of pipeline {id} is {status}")),
            None => Some(format!("pipeline {id} has no job {wanted}")),
        })
    }

    pub(super) async fn checks(&self) -> Vec<Check> {
        let seen = self.latest("looking at pipelines").await;
        let (ok, detail) = seen.map_or_else(
            |error| (false, error.detail),
            |list| {
                (true, format!("{} of the latest were started by us", list.as_array().map_or(0, Vec::len)))
            },
        );
        vec![Check { what: "see pipelines".to_owned(), ok, detail }]
    }
}
