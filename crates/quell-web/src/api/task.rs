//! Tasks of a response: read, add, hand over, end.

use axum::routing::{get, post};
use quell_app::incident::{self, Change};
use quell_app::person;
use quell_core::Timestamp;
use quell_core::incident::TaskEnd;
use quell_core::person::Role;
use schemars::JsonSchema;
use serde::Deserialize;

use super::ask::{Asked, At, Deciding, Words, word};
use super::operation::{Operation, of};
use super::tell::Told;
use crate::caller::Caller;
use crate::problem::Problem;
use crate::view;

const ALL: &str = "/api/v1/incidents/{id}/tasks";

pub(super) static OPERATIONS: &[Operation] = &[
    Operation::get(ALL, Role::Viewer, "incident_tasks", || get(list))
        .says("What people do beside the plan, and what came of it")
        .query(of::<Listed>)
        .json(of::<view::Tasks>)
        .tagged(),
    changing(ALL, "incident_task_add", || post(add))
        .says("Add something to do while the response goes on, for somebody or for nobody yet")
        .body(of::<Add>),
    changing("/api/v1/incidents/{id}/tasks/{task}/give", "incident_task_give", || post(give))
        .says("Give a task to somebody, or take it")
        .body(of::<Give>),
    changing("/api/v1/incidents/{id}/tasks/{task}/done", "incident_task_done", || post(done))
        .says("A task is done; it stays so")
        .body(of::<Done>),
    changing("/api/v1/incidents/{id}/tasks/{task}/drop", "incident_task_drop", || post(drop_task))
        .says("Nobody needs a task any more; it stays dropped")
        .body(of::<Drop>),
];

/// A change that answers with the incident as it then stands.
const fn changing(path: &'static str, id: &'static str, handler: crate::route::Handler) -> Operation {
    Operation::post(path, Role::Responder, id, handler).json(of::<view::Incident>).tagged()
}

#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct Listed {
    /// Only yours, by whichever of your names.
    #[serde(default)]
    mine: bool,
}

async fn list(
    caller: Caller,
    At(id): At<String>,
    Words(asked): Words<Listed>,
) -> Result<Told<view::Tasks>, Problem> {
    let incident = caller.app.incident(word(&id)?).await?;
    let tasks = if asked.mine {
        view::Tasks::mine(&incident, &person::people(&caller.app).await?, &caller.person)
    } else {
        view::Tasks::of(&incident)
    };
    Ok(Told::about(&incident, tasks))
}

type Changed = Result<Told<view::Incident>, Problem>;

async fn change(Deciding(app): Deciding, id: &str, change: Change) -> Changed {
    Ok(Told::incident(&incident::change(&app, word(id)?, &change).await?))
}

#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct Add {
    /// What, in one line. Never a value.
    #[schemars(length(min = 1, max = 200))]
    title: String,
    /// Who does it; nobody yet, when nobody is named.
    #[serde(default)]
    #[schemars(length(min = 1, max = 200))]
    owner: Option<String>,
    /// Until when.
    #[serde(default)]
    due: Option<Timestamp>,
}

async fn add(by: Deciding, At(id): At<String>, Asked(asked): Asked<Add>) -> Changed {
    change(by, &id, Change::Task(asked.title, asked.owner, asked.due)).await
}

#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct Give {
    /// Who does it from now on; you, when nobody is named.
    #[serde(default)]
    #[schemars(length(max = 200))]
    owner: Option<String>,
}

type Which = At<(String, String)>;

async fn give(by: Deciding, At((id, task)): Which, Asked(asked): Asked<Give>) -> Changed {
    change(by, &id, Change::TaskGiven(task, asked.owner.unwrap_or_default())).await
}

#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct Done {
    /// What came of it, in a line. Never a value.
    #[serde(default)]
    reason: String,
}

async fn done(by: Deciding, At((id, task)): Which, Asked(asked): Asked<Done>) -> Changed {
    change(by, &id, Change::TaskEnded(task, TaskEnd::Done, asked.reason)).await
}

#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct Drop {
    /// Why nobody needs it any more. Never a value.
    #[schemars(length(min = 1))]
    reason: String,
}

async fn drop_task(by: Deciding, At((id, task)): Which, Asked(asked): Asked<Drop>) -> Changed {
    change(by, &id, Change::TaskEnded(task, TaskEnd::Dropped, asked.reason)).await
}
