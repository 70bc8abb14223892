//! What people do in the room. Each is a form; afterwards the room is shown again.

use axum::Form;
use axum::extract::Path;
use axum::response::Redirect;
use quell_app::incident::{self, Change};
use quell_app::plan;
use quell_core::{IncidentId, StepId};
use serde::Deserialize;

use crate::caller::Caller;
use crate::problem::Problem;

fn room(id: IncidentId) -> Redirect {
    Redirect::to(&format!("/incidents/{id}"))
}

#[derive(Deserialize)]
pub(crate) struct Note {
    text: String,
}

pub(crate) async fn note(
    caller: Caller,
    Path(id): Path<String>,
    Form(form): Form<Note>,
) -> Result<Redirect, Problem> {
    let id = id.parse()?;
    incident::change(&caller.app, id, &Change::Note(form.text)).await?;
    Ok(room(id))
}

#[derive(Deserialize)]
pub(crate) struct Again {
    #[serde(default)]
    again: String,
}

pub(crate) async fn plan(
    caller: Caller,
    Path(id): Path<String>,
    Form(form): Form<Again>,
) -> Result<Redirect, Problem> {
    let id = id.parse()?;
    plan::make(&caller.app, id, form.again == "yes").await?;
    Ok(room(id))
}

/// The plan that was looked at: another one is refused.
#[derive(Deserialize)]
pub(crate) struct Seen {
    plan: String,
    /// Steps; none means all that wait.
    #[serde(default)]
    step: String,
}

pub(crate) async fn respond(
    caller: Caller,
    Path(id): Path<String>,
    Form(form): Form<Seen>,
) -> Result<Redirect, Problem> {
    let id = id.parse()?;
    plan::carry_out(&caller.app, id, &form.plan).await?;
    Ok(room(id))
}

pub(crate) async fn approve(
    caller: Caller,
    Path(id): Path<String>,
    Form(form): Form<Seen>,
) -> Result<Redirect, Problem> {
    let id = id.parse()?;
    let steps: Vec<StepId> = if form.step.is_empty() { Vec::new() } else { vec![form.step.parse()?] };
    caller.may_approve(id, &steps).await?;
    plan::approve(&caller.app, id, &form.plan, &steps).await?;
    Ok(room(id))
}
