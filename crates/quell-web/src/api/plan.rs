//! Plans and their steps: make, look at, approve, carry out, decide about one step.

use std::sync::Arc;

use axum::extract::State;
use axum::http::StatusCode;
use axum::routing::{get, post};
use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;
use quell_app::clock::now;
use quell_app::incident::{self, Change};
use quell_app::plan::{self, StepCommand};
use quell_app::{driver, evidence, kill, precheck};
use quell_core::person::Role;
use quell_core::plan::{Hold, HoldScope};
use quell_core::{IncidentId, StepId};
use schemars::JsonSchema;
use serde::Deserialize;

use super::ask::{Asked, At, Deciding, word};
use super::incident::unfit;
use super::operation::{Operation, of};
use super::tell::Told;
use crate::caller::Caller;
use crate::problem::Problem;
use crate::server::Server;
use crate::view;

/// A file in base64 is a third longer, and there is something around it.
const EVIDENCE_MAX: usize = 48 << 20;

pub(super) static OPERATIONS: &[Operation] = &[
    Operation::get("/api/v1/incidents/{id}/plan", Role::Viewer, "plan_show", || get(show))
        .says("The plan that holds, its hash, and how each step stands")
        .json(of::<view::Plan>)
        .tagged(),
    Operation::post("/api/v1/incidents/{id}/plan", Role::Responder, "plan_make", || post(make))
        .says("Compile the plan, if there is none; with `again` a new revision")
        .body(of::<Make>)
        .json(of::<view::Plan>)
        .tagged(),
    Operation::get("/api/v1/incidents/{id}/plan/check", Role::Responder, "plan_check", || get(check))
        .says("Ask every system that the plan touches: what is missing; changes nothing")
        .json(of::<view::Ready>),
    Operation::post("/api/v1/incidents/{id}/approve", Role::Approver, "approve", || post(approve))
        .says("Approve steps of exactly the plan that you looked at")
        .body(of::<Approve>)
        .json(of::<view::Approved>)
        .tagged(),
    Operation::post("/api/v1/incidents/{id}/respond", Role::Responder, "respond", || post(respond))
        .says("Let the server carry out exactly this plan; follow it with `incident_follow`")
        .body(of::<Respond>)
        .json(of::<view::Incident>)
        .tagged(),
    Operation::get("/api/v1/incidents/{id}/respond", Role::Viewer, "respond_show", || get(response))
        .says("Whether the server carries out the plan, and what it waits for")
        .json(of::<view::Response>)
        .tagged(),
    Operation::post("/api/v1/incidents/{id}/pause", Role::Responder, "pause", || post(pause))
        .says("Stop the plan for now; secrets under way go on to their proof, unless `now`")
        .body(of::<Pause>)
        .json(of::<view::Incident>)
        .tagged(),
    Operation::post("/api/v1/incidents/{id}/resume", Role::Responder, "resume", || post(resume))
        .says("Let a paused plan go on")
        .body(of::<Resume>)
        .json(of::<view::Incident>)
        .tagged(),
    Operation::get("/api/v1/incidents/{id}/steps/{step}", Role::Viewer, "step_show", || get(step_show))
        .says("How one step stands")
        .json(of::<view::Stepped>)
        .tagged(),
    deciding("/api/v1/incidents/{id}/steps/{step}/retry", "step_retry", || post(retry))
        .says("Try a failed step again; it begins with a look")
        .body(of::<Nothing>),
    deciding("/api/v1/incidents/{id}/steps/{step}/skip", "step_skip", || post(skip))
        .says("Go on without a step")
        .body(of::<Reason>),
    deciding("/api/v1/incidents/{id}/steps/{step}/resolve", "step_resolve", || post(resolve))
        .says("State that a step's effect is in force, with files that show it")
        .body(of::<Resolve>)
        .up_to(EVIDENCE_MAX),
    deciding("/api/v1/incidents/{id}/steps/{step}/refuse", "step_refuse", || post(refuse))
        .says("Refuse to approve a step")
        .body(of::<Reason>),
];

const fn deciding(path: &'static str, id: &'static str, handler: crate::route::Handler) -> Operation {
    Operation::post(path, Role::Responder, id, handler).json(of::<view::Stepped>).tagged()
}

async fn show(caller: Caller, At(id): At<String>) -> Result<Told<view::Plan>, Problem> {
    let incident = caller.app.incident(word(&id)?).await?;
    let machine = plan::machine(&incident)?;
    Ok(Told::about(&incident, view::Plan::of(machine)))
}

#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct Make {
    /// A new revision from today's inventory, evidence and strategy.
    #[serde(default)]
    again: bool,
}

async fn make(
    Deciding(app): Deciding,
    At(id): At<String>,
    Asked(asked): Asked<Make>,
) -> Result<Told<view::Plan>, Problem> {
    let incident = plan::make(&app, word(&id)?, asked.again).await?;
    Ok(Told::about(&incident, view::Plan::of(plan::machine(&incident)?)))
}

async fn check(caller: Caller, At(id): At<String>) -> Result<Told<view::Ready>, Problem> {
    let id: IncidentId = word(&id)?;
    Ok(Told::new(view::Ready::of(id, precheck::precheck(&caller.app, id).await?)))
}

#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct Approve {
    /// The whole hash of the plan that was looked at.
    plan: String,
    /// Which steps; none means every step that waits for you.
    #[serde(default)]
    steps: Vec<String>,
}

async fn approve(
    caller: Caller,
    Deciding(app): Deciding,
    At(id): At<String>,
    Asked(asked): Asked<Approve>,
) -> Result<Told<view::Approved>, Problem> {
    let steps = asked.steps.iter().map(|id| word(id)).collect::<Result<Vec<StepId>, _>>()?;
    let id = word(&id)?;
    if plan::machine(&app.incident(id).await?)?.plan_hash() != asked.plan {
        return Err(Problem::new(StatusCode::CONFLICT, "the plan that holds now is another one")
            .hint("look at the plan again, then approve that one"));
    }
    caller.may_approve(id, &steps).await?;
    let (incident, approved) = plan::approve(&app, id, &asked.plan, &steps).await?;
    let body = view::Approved { incident: id, plan: asked.plan, approved, by: caller.person };
    Ok(Told::about(&incident, body))
}

#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct Respond {
    /// The whole hash of the plan that was looked at.
    plan: String,
}

async fn respond(
    Deciding(app): Deciding,
    At(id): At<String>,
    Asked(asked): Asked<Respond>,
) -> Result<Told<view::Incident>, Problem> {
    let id = word(&id)?;
    kill::refuse_its_own(&app, &app.incident(id).await?)?;
    Ok(Told::incident(&plan::carry_out(&app, id, &asked.plan).await?))
}

async fn response(
    State(server): State<Arc<Server>>,
    caller: Caller,
    At(id): At<String>,
) -> Result<Told<view::Response>, Problem> {
    let incident = caller.app.incident(word(&id)?).await?;
    let body = view::Response {
        incident: incident.id,
        asked: incident.asked.clone(),
        driven: incident.is_to_be_driven(),
        ended: incident.machine.as_ref().and_then(|machine| driver::standing(machine, now())),
        trouble: server.troubles.of_plan(incident.id),
    };
    Ok(Told::about(&incident, body))
}

#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct Pause {
    /// Why; whoever finds it paused must know what to wait for.
    reason: String,
    /// Start nothing at all, also of secrets that are under way.
    #[serde(default)]
    now: bool,
}

async fn pause(
    Deciding(app): Deciding,
    At(id): At<String>,
    Asked(asked): Asked<Pause>,
) -> Result<Told<view::Incident>, Problem> {
    let scope = if asked.now { HoldScope::Everything } else { HoldScope::NextSecrets };
    let change = Change::Hold(Hold { scope, reason: asked.reason });
    Ok(Told::incident(&incident::change(&app, word(&id)?, &change).await?))
}

#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct Resume {
    /// What has changed.
    #[serde(default)]
    reason: String,
}

async fn resume(
    Deciding(app): Deciding,
    At(id): At<String>,
    Asked(asked): Asked<Resume>,
) -> Result<Told<view::Incident>, Problem> {
    let change = Change::Resume(asked.reason);
    Ok(Told::incident(&incident::change(&app, word(&id)?, &change).await?))
}

type Stepped = Result<Told<view::Stepped>, Problem>;

async fn step_show(caller: Caller, At((id, step)): At<(String, String)>) -> Stepped {
    let incident = caller.app.incident(word(&id)?).await?;
    let step: StepId = word(&step)?;
    let state = plan::machine(&incident)?.state(&step).cloned();
    if state.is_none() {
        return Err(Problem::not_found("the plan has no such step"));
    }
    Ok(Told::about(&incident, view::Stepped { incident: incident.id, step, state }))
}

async fn decide(Deciding(app): Deciding, id: &str, step: &str, command: &StepCommand) -> Stepped {
    let (id, step): (IncidentId, StepId) = (word(id)?, word(step)?);
    let incident = plan::step(&app, id, &step, command).await?;
    let state = plan::machine(&incident)?.state(&step).cloned();
    Ok(Told::about(&incident, view::Stepped { incident: id, step, state }))
}

#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct Nothing {}

async fn retry(
    by: Deciding,
    At((id, step)): At<(String, String)>,
    Asked(Nothing {}): Asked<Nothing>,
) -> Stepped {
    decide(by, &id, &step, &StepCommand::Retry).await
}

#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct Reason {
    /// Why.
    reason: String,
}

async fn skip(by: Deciding, At((id, step)): At<(String, String)>, Asked(asked): Asked<Reason>) -> Stepped {
    decide(by, &id, &step, &StepCommand::Skip(asked.reason)).await
}

async fn refuse(by: Deciding, At((id, step)): At<(String, String)>, Asked(asked): Asked<Reason>) -> Stepped {
    decide(by, &id, &step, &StepCommand::Refuse(asked.reason)).await
}

#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct Resolve {
    /// How you know.
    statement: String,
    /// Files that show it. Refused if a value of the incident is in one.
    #[serde(default)]
    evidence: Vec<File>,
}

#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct File {
    /// What it is called.
    #[schemars(length(min = 1, max = 200))]
    name: String,
    /// Its content in base64 (RFC 4648, section 4). At most 32 MiB.
    content: String,
}

impl File {
    fn read(&self) -> Result<(String, Vec<u8>), Problem> {
        let bytes = BASE64_STANDARD.decode(&self.content);
        let bytes = bytes.map_err(|_error| unfit("the content of a file is not base64"))?;
        if u64::try_from(bytes.len()).is_ok_and(|n| n > evidence::ATTACHED_MAX) {
            return Err(unfit("a file is larger than 32 MiB").hint("take the part that shows it"));
        }
        Ok((self.name.clone(), bytes))
    }
}

async fn resolve(
    by: Deciding,
    At((id, step)): At<(String, String)>,
    Asked(asked): Asked<Resolve>,
) -> Stepped {
    let evidence = asked.evidence.iter().map(File::read).collect::<Result<Vec<_>, _>>()?;
    decide(by, &id, &step, &StepCommand::Resolve { statement: asked.statement, evidence }).await
}
