//! What is done on the page.

use std::sync::Arc;

use axum::extract::State;
use axum::response::{IntoResponse as _, Redirect, Response};
use quell_app::clock::now;
use quell_app::intake;
use quell_app::person::{self, glass};
use quell_core::person::Role;
use serde::Deserialize;

use super::show::{Fresh, page};
use crate::api::person::{Added, Broken, Same, added, broken, code_of, linked, removed, signed_out};
use crate::api::token::{Wanted, Why, made, revoked};
use crate::caller::Caller;
use crate::problem::Problem;
use crate::server::Server;
use crate::ui::Form;

fn again() -> Response {
    Redirect::to("/settings").into_response()
}

#[derive(Deserialize)]
pub(super) struct Named {
    id: String,
}

pub(super) async fn end_session(
    State(server): State<Arc<Server>>,
    caller: Caller,
    Form(form): Form<Named>,
) -> Result<Response, Problem> {
    person::end_one(&caller.app, &caller.person, &form.id, now()).await?;
    server.left.send_modify(|count| *count += 1);
    Ok(again())
}

#[derive(Deserialize)]
pub(super) struct NewToken {
    name: String,
    role: Role,
    days: i64,
}

pub(super) async fn make_token(
    State(server): State<Arc<Server>>,
    caller: Caller,
    Form(form): Form<NewToken>,
) -> Result<Response, Problem> {
    let wanted = Wanted { name: form.name, role: form.role, days: form.days };
    let (token, text) = made(&caller, wanted).await?;
    page(&server, &caller, Some(Fresh { what: format!("The token {}", token.name), text })).await
}

#[derive(Deserialize)]
pub(super) struct Revoked {
    id: String,
    reason: String,
    made: Option<String>,
}

pub(super) async fn revoke_token(caller: Caller, Form(form): Form<Revoked>) -> Result<Response, Problem> {
    revoked(&caller, &form.id, &Why { reason: form.reason, made: form.made.is_some() }).await?;
    Ok(again())
}

#[derive(Deserialize)]
pub(super) struct Glass {
    role: Role,
    reason: String,
}

pub(super) async fn break_glass(caller: Caller, Form(form): Form<Glass>) -> Result<Response, Problem> {
    broken(&caller, &Broken { role: form.role, reason: form.reason }).await?;
    Ok(again())
}

#[derive(Deserialize)]
pub(super) struct Review {
    opened: u64,
    statement: String,
}

pub(super) async fn review_glass(caller: Caller, Form(form): Form<Review>) -> Result<Response, Problem> {
    glass::review(&caller.app, form.opened, &form.statement, now()).await?;
    Ok(again())
}

pub(super) async fn retry_delivery(caller: Caller, Form(form): Form<Named>) -> Result<Response, Problem> {
    intake::retry(&caller.app, &form.id).await?;
    Ok(again())
}

#[derive(Deserialize)]
pub(super) struct NewPerson {
    name: String,
    role: Role,
}

pub(super) async fn add_person(caller: Caller, Form(form): Form<NewPerson>) -> Result<Response, Problem> {
    added(&caller, &Added { person: form.name, role: form.role }).await?;
    Ok(again())
}

#[derive(Deserialize)]
pub(super) struct Removed {
    name: String,
    reason: String,
}

pub(super) async fn remove_person(caller: Caller, Form(form): Form<Removed>) -> Result<Response, Problem> {
    removed(&caller, &form.name, &form.reason).await?;
    Ok(again())
}

pub(super) async fn sign_out(
    State(server): State<Arc<Server>>,
    caller: Caller,
    Form(form): Form<Code>,
) -> Result<Response, Problem> {
    signed_out(&server, &caller, &form.name).await?;
    Ok(again())
}

#[derive(Deserialize)]
pub(super) struct Link {
    name: String,
    other: String,
    reason: String,
}

pub(super) async fn link(caller: Caller, Form(form): Form<Link>) -> Result<Response, Problem> {
    linked(&caller, &form.name, &Same { other: form.other, reason: form.reason }).await?;
    Ok(again())
}

#[derive(Deserialize)]
pub(super) struct Code {
    name: String,
}

pub(super) async fn code(
    State(server): State<Arc<Server>>,
    caller: Caller,
    Form(form): Form<Code>,
) -> Result<Response, Problem> {
    let code = code_of(&caller, &form.name).await?;
    page(&server, &caller, Some(Fresh { what: format!("The code of {}", code.person), text: code.code }))
        .await
}
