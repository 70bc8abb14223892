//! Runs of one workflow with two jobs: `build`, and `deploy`, which uses the secret.

use std::collections::BTreeMap;

use serde_json::{Value, json};

use super::{Reply, Request, State, moment, said};

#[derive(Clone, Debug)]
pub(super) struct Run {
    pub(super) id: u64,
    attempt: u64,
    created: u64,
    started: u64,
    /// 0 queued, 1 under way, 2 ended.
    phase: u8,
    /// Whose code it runs, and why.
    from: (&'static str, &'static str),
    jobs: Vec<Job>,
}

#[derive(Clone, Debug)]
struct Job {
    name: &'static str,
    started: u64,
    given: BTreeMap<String, String>,
    /// Whether it worked, once it ended.
    worked: Option<bool>,
}

impl Run {
    /// What its deployment was given.
    pub(super) fn held(&self) -> Vec<String> {
        self.jobs
            .iter()
            .filter(|job| job.name == "deploy")
            .flat_map(|job| job.given.values().cloned())
            .collect()
    }

    fn conclusion(&self) -> Option<&'static str> {
        let failed = self.jobs.iter().any(|job| job.worked == Some(false));
        (self.phase == 2).then_some(if failed { "failure" } else { "success" })
    }

    fn object(&self) -> Value {
        let status = ["queued", "in_progress", "completed"][usize::from(self.phase.min(2))];
        json!({
            "id": self.id, "run_attempt": self.attempt, "status": status, "conclusion": self.conclusion(),
            "head_branch": "main", "head_repository": { "full_name": self.from.0 }, "event": self.from.1, "created_at": moment(self.created), "run_started_at": moment(self.started),
        })
    }
}

impl Job {
    fn new(name: &'static str, started: u64, given: BTreeMap<String, String>) -> Self {
        Self { name, started, given, worked: None }
    }

    fn object(&self) -> Value {
        let conclusion = self.worked.map(|worked| if worked { "success" } else { "failure" });
        json!({ "name": self.name, "started_at": moment(self.started), "conclusion": conclusion })
    }
}

impl State {
    /// A new run. It is given the secrets of this moment.
    pub(super) fn queue(&mut self) {
        self.clock += self.pace;
        let (now, given) = (self.clock, self.given());
        let jobs = vec![Job::new("build", now, BTreeMap::new()), Job::new("deploy", now, given)];
        self.next_run += 1;
        self.runs.push(Run {
            id: self.next_run,
            attempt: 1,
            created: now,
            started: now,
            phase: 0,
            from: (super::REPO, "push"),
            jobs,
        });
    }

    /// A run for a fork's pull request: it is given no secret.
    pub(super) fn propose(&mut self) {
        self.queue();
        if let Some(run) = self.runs.last_mut() {
            run.from = ("mallory/orders", "pull_request");
            run.jobs.iter_mut().for_each(|job| job.given.clear());
        }
    }

    /// Each run goes on by one phase, or to its end.
    pub(super) fn go_on(&mut self, to_the_end: bool) {
        let works = self.works.clone();
        for run in self.runs.iter_mut().filter(|run| run.phase < 2) {
            run.phase = if to_the_end { 2 } else { run.phase + 1 };
            if run.phase < 2 {
                continue;
            }
            for job in run.jobs.iter_mut().filter(|job| job.worked.is_none()) {
                job.worked = Some(job.given.values().all(|value| works(value)));
            }
        }
    }

    /// Once more, all jobs or those that failed.
    pub(super) fn rerun(&mut self, id: Option<u64>, failed_only: bool) -> bool {
        let (now, given) = (self.clock, self.given());
        let Some(run) = self.runs.iter_mut().find(|run| Some(run.id) == id && run.phase == 2) else {
            return false;
        };
        (run.attempt, run.started, run.phase) = (run.attempt + 1, now, 0);
        for job in &mut run.jobs {
            if failed_only && job.worked == Some(true) {
                continue;
            }
            let given = if job.name == "deploy" { given.clone() } else { BTreeMap::new() };
            *job = Job::new(job.name, now, given);
        }
        true
    }

    pub(super) fn actions(&mut self, rest: &[&str], request: &Request) -> Reply {
        match (request.method.as_str(), rest) {
            ("GET", ["workflows", "deploy.yml"]) => Reply::json(200, &json!({ "state": "active" })),
            ("POST", ["workflows", "deploy.yml", "dispatches"]) => {
                if !self.dispatchable {
                    return said(422, "Workflow does not have 'workflow_dispatch' trigger");
                }
                if request.json()["ref"] != "main" {
                    return said(422, "No ref found for: refs/heads/other");
                }
                self.queue();
                Reply::empty(204)
            }
            ("GET", ["workflows", "deploy.yml", "runs"]) => {
                self.go_on(false);
                let runs: Vec<Value> = self.runs.iter().rev().map(Run::object).collect();
                Reply::json(200, &json!({ "total_count": runs.len(), "workflow_runs": runs }))
            }
            ("POST", ["runs", id, "rerun"]) => {
                if self.rerun(id.parse().ok(), false) {
                    Reply::json(201, &json!({}))
                } else {
                    said(403, "This workflow run cannot be retried")
                }
            }
            ("GET", ["runs", id, "attempts", attempt, "jobs"]) => {
                let found = self.runs.iter().find(|run| run.id.to_string() == *id);
                let Some(run) = found.filter(|run| run.attempt.to_string() == *attempt) else {
                    return said(404, "Not Found");
                };
                let jobs: Vec<Value> = run.jobs.iter().map(Job::object).collect();
                let page = request.number("page").unwrap_or(1).saturating_sub(1);
                let some: Vec<&Value> = jobs.iter().skip(page).take(1).collect();
                Reply::json(200, &json!({ "total_count": jobs.len(), "jobs": some }))
            }
            _ => said(404, "Not Found"),
        }
    }
}
