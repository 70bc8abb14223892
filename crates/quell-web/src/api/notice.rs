//! Notices: draft, read, change, send.

use axum::routing::{get, post};
use quell_app::AppError;
use quell_app::notice;
use quell_core::incident::Incident;
use quell_core::person::Role;
use schemars::JsonSchema;
use serde::Deserialize;

use super::ask::{Asked, At, Deciding, word};
use super::operation::{Operation, of};
use super::tell::Told;
use crate::caller::Caller;
use crate::problem::Problem;
use crate::view;

const ALL: &str = "/api/v1/incidents/{id}/notices";

pub(super) static OPERATIONS: &[Operation] = &[
    Operation::get("/api/v1/notice-kinds", Role::Viewer, "notice_kinds", || get(kinds))
        .says("What notices can be drafted from, and the channels that tell people something")
        .json(of::<view::NoticeKinds>),
    Operation::get(ALL, Role::Viewer, "notice_list", || get(list))
        .says("What people wrote to tell others, and what became of it")
        .json(of::<view::Notices>)
        .tagged(),
    Operation::post(ALL, Role::Responder, "notice_draft", || post(draft))
        .says("Draft a notice of a kind from what is known now")
        .body(of::<Draft>)
        .json(of::<view::Notice>)
        .created()
        .tagged(),
    Operation::get("/api/v1/incidents/{id}/notices/{notice}", Role::Viewer, "notice_show", || get(show))
        .says("One notice")
        .json(of::<view::Notice>)
        .tagged(),
    changing("/api/v1/incidents/{id}/notices/{notice}/edit", "notice_edit", || post(edit))
        .says("Change a draft")
        .body(of::<Edit>),
    changing("/api/v1/incidents/{id}/notices/{notice}/drop", "notice_drop", || post(drop_draft))
        .says("Give a draft up")
        .body(of::<Drop>),
    changing("/api/v1/incidents/{id}/notices/{notice}/send", "notice_send", || post(send))
        .says("Send a draft by channels of the inventory; the server goes on until each has it or gave up")
        .body(of::<Send>),
    changing("/api/v1/incidents/{id}/notices/{notice}/retry", "notice_retry", || post(retry))
        .says("Let the channels that gave up try once more")
        .body(of::<Nothing>),
];

/// A change that answers with the notice as it then stands.
const fn changing(path: &'static str, id: &'static str, handler: crate::route::Handler) -> Operation {
    Operation::post(path, Role::Responder, id, handler).json(of::<view::Notice>).tagged()
}

async fn kinds(caller: Caller) -> Result<Told<view::NoticeKinds>, Problem> {
    Ok(Told::new(view::NoticeKinds::of(&caller.app)?))
}

async fn list(caller: Caller, At(id): At<String>) -> Result<Told<view::Notices>, Problem> {
    let incident = caller.app.incident(word(&id)?).await?;
    Ok(Told::about(&incident, view::Notices::of(&incident)))
}

type Changed = Result<Told<view::Notice>, Problem>;

fn told(incident: &Incident, notice: &str) -> Changed {
    let missing = || AppError::NotFound { what: "notice", id: notice.to_owned() };
    let found = incident.notice(notice).ok_or_else(missing)?;
    Ok(Told::about(incident, view::Notice::of(incident, found)))
}

async fn show(caller: Caller, At((id, notice)): At<(String, String)>) -> Changed {
    told(&caller.app.incident(word(&id)?).await?, &notice)
}

#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct Draft {
    /// affected, management, public, service-owner, update, or one of the operator's own
    kind: String,
}

async fn draft(Deciding(app): Deciding, At(id): At<String>, Asked(asked): Asked<Draft>) -> Changed {
    let (incident, notice) = notice::draft(&app, word(&id)?, &asked.kind).await?;
    Ok(told(&incident, &notice)?.created())
}

#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct Edit {
    /// One line.
    #[schemars(length(min = 1, max = 200))]
    title: String,
    /// The text. Never a value.
    #[schemars(length(min = 1))]
    body: String,
    /// `sha256` of the notice that was read: no other text is overwritten.
    sha256: Option<String>,
}

async fn edit(
    Deciding(app): Deciding,
    At((id, notice)): At<(String, String)>,
    Asked(asked): Asked<Edit>,
) -> Changed {
    let (text, read) = ((asked.title.as_str(), asked.body.as_str()), asked.sha256.as_deref());
    told(&notice::edit(&app, word(&id)?, &notice, text, read).await?, &notice)
}

#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct Drop {
    /// Why nobody needs it.
    reason: String,
}

async fn drop_draft(
    Deciding(app): Deciding,
    At((id, notice)): At<(String, String)>,
    Asked(asked): Asked<Drop>,
) -> Changed {
    told(&notice::drop_draft(&app, word(&id)?, &notice, &asked.reason).await?, &notice)
}

#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct Send {
    /// Channels of the inventory; those of the policy without it.
    #[serde(default)]
    channels: Vec<String>,
    /// `sha256` of the notice that was read: what goes out is that text and no other.
    sha256: Option<String>,
}

async fn send(
    Deciding(app): Deciding,
    At((id, notice)): At<(String, String)>,
    Asked(asked): Asked<Send>,
) -> Changed {
    let read = asked.sha256.as_deref();
    told(&notice::send(&app, word(&id)?, &notice, &asked.channels, read).await?, &notice)
}

#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct Nothing {}

async fn retry(
    Deciding(app): Deciding,
    At((id, notice)): At<(String, String)>,
    Asked(Nothing {}): Asked<Nothing>,
) -> Changed {
    told(&notice::retry(&app, word(&id)?, &notice).await?, &notice)
}
