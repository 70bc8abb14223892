//! The part of a post-mortem that people write: read it, write a section.

use axum::routing::{get, post};
use quell_app::incident::{self, Change};
use quell_core::person::Role;
use schemars::JsonSchema;
use serde::Deserialize;

use super::ask::{Asked, At, Deciding, word};
use super::operation::{Operation, of};
use super::tell::Told;
use crate::caller::Caller;
use crate::problem::Problem;
use crate::view::{self, shape};

const PLACE: &str = "/api/v1/incidents/{id}/post-mortem";

pub(super) static OPERATIONS: &[Operation] = &[
    Operation::get(PLACE, Role::Viewer, "incident_post_mortem", || get(show))
        .says("What people wrote into the post-mortem, section by section; the facts are in the report")
        .json(of::<view::PostMortem>)
        .tagged(),
    Operation::post(PLACE, Role::Responder, "incident_post_mortem_write", || post(write))
        .says("Write a section of the post-mortem, before or after closing; an empty text takes it back")
        .body(of::<Write>)
        .json(of::<view::PostMortem>)
        .tagged(),
];

type Answer = Result<Told<view::PostMortem>, Problem>;

async fn show(caller: Caller, At(id): At<String>) -> Answer {
    let incident = caller.app.incident(word(&id)?).await?;
    Ok(Told::about(&incident, view::PostMortem::of(&incident)))
}

#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct Write {
    /// Which section.
    #[schemars(with = "shape::Section")]
    section: String,
    /// The text, at most 20,000 bytes. Never a value.
    #[schemars(length(max = 20_000))]
    text: String,
}

async fn write(Deciding(app): Deciding, At(id): At<String>, Asked(asked): Asked<Write>) -> Answer {
    let change = Change::PostMortem(word(&asked.section)?, asked.text);
    let incident = incident::change(&app, word(&id)?, &change).await?;
    Ok(Told::about(&incident, view::PostMortem::of(&incident)))
}
