//! Watching a server carry out a plan: the same words as of one that is carried out here.

use std::time::Duration;

use quell_app::driver::{self, Ended, Progress};
use quell_app::{AppError, clock::now, plan};
use quell_core::IncidentId;
use quell_core::event::{Entry, Event};
use quell_core::incident::Incident;
use quell_core::outcome::Outcome;
use quell_core::plan::{Flow, Machine, StepEvent};
use serde_json::{Value, json};

use super::remote::{Remote, ended, lost};
use super::{entries, part};

/// Without news, the server is asked again after this long.
const QUIET: Duration = Duration::from_secs(2);
/// News that come together are taken together.
const TOGETHER: Duration = Duration::from_millis(30);
/// Connections that are lost one after another before it is given up.
const LOST: u32 = 20;

/// One plan that a server carries out.
#[derive(Debug)]
pub(crate) struct Follow<'a> {
    remote: &'a Remote,
    incident: Incident,
    /// Number of the last entry that is known.
    last: u64,
}

impl<'a> Follow<'a> {
    /// From now on: what happens later is told, whoever asked for it.
    pub(crate) async fn start(remote: &'a Remote, id: IncidentId) -> Result<Self, AppError> {
        let known = entries(remote, id, 0).await?;
        let last = known.last().map_or(0, |entry| entry.seq);
        let incident = Incident::fold(id, &known)
            .ok_or_else(|| AppError::NotFound { what: "incident", id: id.to_string() })?;
        Ok(Self { remote, incident, last })
    }

    /// Lets the server carry out exactly the plan that is known here.
    pub(crate) async fn ask(&self) -> Result<(), AppError> {
        let plan = plan::machine(&self.incident)?.plan_hash();
        self.remote
            .post(&format!("/incidents/{}/respond", self.incident.id), &json!({ "plan": plan }))
            .await?;
        Ok(())
    }

    /// Tells what happens until only people can get it further, or `stop` turns true. With `wait`, people are waited for.
    pub(crate) async fn run(
        &mut self,
        mut stop: tokio::sync::watch::Receiver<bool>,
        wait: bool,
        on: &mut (dyn FnMut(&Progress) + Send),
    ) -> Result<Ended, AppError> {
        self.begin(on);
        self.catch_up(on).await?;
        let (mut news, mut failures) = (None, 0);
        loop {
            let ended = self.incident.machine.as_ref().and_then(|machine| driver::standing(machine, now()));
            if let Some(ended) = ended.filter(|ended| *ended == Ended::Done || !wait) {
                return Ok(ended);
            }
            let heard = tokio::select! {
                heard = hear(self.remote, self.incident.id, self.last, &mut news) => heard,
                _stopped = stop.wait_for(|stop| *stop) => return Ok(Ended::Interrupted),
            };
            failures = if heard.is_ok() { 0 } else { failures + 1 };
            let done = match heard {
                Ok(Heard::News) => self.catch_up(on).await,
                Ok(Heard::Nothing) => self.trouble().await,
                Err(error) => Err(error),
            };
            match done {
                Ok(()) => {}
                // The server ends, or the way to it is cut: whoever takes over has the same entries.
                Err(AppError::Remote(_) | AppError::Server { status: 502 | 503, .. }) if failures <= LOST => {
                    news = None;
                    tokio::time::sleep(Duration::from_millis(100) * failures.max(1)).await;
                }
                Err(error) => return Err(error),
            }
        }
    }

    fn begin(&self, on: &mut (dyn FnMut(&Progress) + Send)) {
        let Some(machine) = &self.incident.machine else { return };
        let plan = machine.plan();
        let is_proven = |id: &&quell_core::SecretId| self.incident.proof(id).is_some_and(|proof| proof.inert);
        on(&Progress::Begun {
            plan_hash: machine.plan_hash().to_owned(),
            proven: plan.secrets.iter().filter(is_proven).cloned().collect(),
            secrets: plan.secrets.len(),
            done: machine.states().filter(|(_, state)| state.satisfies()).count(),
            all: plan.steps.len(),
        });
    }

    /// Takes in what was written since, and tells it.
    async fn catch_up(&mut self, on: &mut (dyn FnMut(&Progress) + Send)) -> Result<(), AppError> {
        for entry in entries(self.remote, self.incident.id, self.incident.next_pos).await? {
            self.incident.apply(&entry);
            self.last = self.last.max(entry.seq);
            for progress in told(&entry, self.incident.machine.as_ref()) {
                on(&progress);
            }
        }
        Ok(())
    }

    /// Nothing happens though there is something to do: the server may be unable to go on.
    async fn trouble(&self) -> Result<(), AppError> {
        let told: Value =
            self.remote.get(&format!("/incidents/{}/respond", self.incident.id)).await?.json()?;
        match part::<Option<String>>(&told, "trouble")? {
            Some(trouble) => Err(AppError::Server { status: 409, said: trouble, hints: Vec::new() }),
            None => Ok(()),
        }
    }
}

/// What came while we listened.
enum Heard {
    News,
    Nothing,
}

/// Waits for an entry, or for a while in which there is none.
async fn hear(
    remote: &Remote,
    id: IncidentId,
    last: u64,
    news: &mut Option<reqwest::Response>,
) -> Result<Heard, AppError> {
    let response = match news.take() {
        Some(response) => response,
        None => remote.news(&format!("/incidents/{id}/events"), last).await?,
    };
    let response = news.insert(response);
    match tokio::time::timeout(QUIET, response.chunk()).await {
        // Whatever came: the entries are read, not the news. Those that are written at once are read at once.
        Ok(Ok(Some(_))) => {
            tokio::time::sleep(TOGETHER).await;
            Ok(Heard::News)
        }
        Err(_) => Ok(Heard::Nothing),
        Ok(Ok(None)) => {
            *news = None;
            Err(ended())
        }
        Ok(Err(error)) => Err(lost(&error)),
    }
}

/// What an entry means to whoever watches.
#[expect(clippy::wildcard_enum_match_arm, reason = "the other entries are no progress of the plan")]
fn told(entry: &Entry, machine: Option<&Machine>) -> Vec<Progress> {
    let event = match &entry.event {
        Event::PlanHeld { hold } => return vec![Progress::Held { hold: hold.clone() }],
        Event::Step(event) => event,
        _ => return Vec::new(),
    };
    let step = || machine.and_then(|machine| machine.plan().step(event.step())).cloned().map(Box::new);
    let mut out = vec![Progress::Event { at: entry.at, event: event.clone() }];
    match event {
        StepEvent::ApprovalRequested { .. } => {
            out.extend(step().map(|step| Progress::NeedsApproval { step }));
        }
        StepEvent::HandedOver { .. } => out.extend(step().map(|step| Progress::ForPeople { step })),
        StepEvent::Finished { step, outcome, flow: Flow::Stuck, .. } => {
            let reason = match outcome {
                Outcome::Applied { .. } => String::new(),
                Outcome::NotApplied { reason, .. } | Outcome::Unknown { reason } => reason.clone(),
            };
            out.push(Progress::Stuck { step: step.clone(), reason });
        }
        StepEvent::Finished { .. }
        | StepEvent::Started { .. }
        | StepEvent::ApprovalGranted { .. }
        | StepEvent::ApprovalRefused { .. }
        | StepEvent::Lost { .. }
        | StepEvent::Retried { .. }
        | StepEvent::Skipped { .. }
        | StepEvent::Resolved { .. } => {}
    }
    out
}
