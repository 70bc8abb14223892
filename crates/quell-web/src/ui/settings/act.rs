//! What is done on the page.

use std::sync::Arc;

use axum::Form;
use axum::extract::State;
use axum::response::{IntoResponse as _, Redirect, Response};
use quell_app::clock::now;
use quell_app::person::{self, glass, token};
use quell_core::person::Role;
use serde::Deserialize;

use super::show::{Fresh, page};
use crate::api::token::{Wanted, made};
use crate::caller::Caller;
use crate::problem::Problem;
use crate::server::Server;

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
}

pub(super) async fn revoke_token(caller: Caller, Form(form): Form<Revoked>) -> Result<Response, Problem> {
    let people = person::people(&caller.app).await?;
    let own = people.tokens.get(&form.id).is_some_and(|issued| issued.by == caller.person);
    if !own && !caller.may(Role::Admin) {
        return Err(Problem::not_found("there is no such token of yours"));
    }
    quell_app::tell::refuse_values(&caller.app, None, &form.reason).await?;
    token::revoke(&caller.app, &form.id, &form.reason, now()).await?;
    Ok(again())
}

#[derive(Deserialize)]
pub(super) struct Glass {
    role: Role,
    reason: String,
}

pub(super) async fn break_glass(caller: Caller, Form(form): Form<Glass>) -> Result<Response, Problem> {
    caller.is_fresh(now())?;
    glass::open(&caller.app, caller.role, form.role, &form.reason, now()).await?;
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

#[derive(Deserialize)]
pub(super) struct NewPerson {
    name: String,
    role: Role,
}

pub(super) async fn add_person(caller: Caller, Form(form): Form<NewPerson>) -> Result<Response, Problem> {
    caller.lasting(Role::Admin)?;
    caller.is_fresh(now())?;
    person::add(&caller.app, &form.name, form.role, now()).await?;
    Ok(again())
}

#[derive(Deserialize)]
pub(super) struct Removed {
    name: String,
    reason: String,
}

pub(super) async fn remove_person(caller: Caller, Form(form): Form<Removed>) -> Result<Response, Problem> {
    caller.lasting(Role::Admin)?;
    quell_app::tell::refuse_values(&caller.app, None, &form.reason).await?;
    person::remove(&caller.app, &form.name, &form.reason, now()).await?;
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
    // Whoever has it signs in as that person: a session that was left open must not make one, nor broken glass.
    caller.lasting(Role::Admin)?;
    caller.is_fresh(now())?;
    let people = person::people(&caller.app).await?;
    let code = person::code(&caller.app, &people, &form.name, now()).await?;
    let text = code.expose_text().unwrap_or_default().to_owned();
    page(&server, &caller, Some(Fresh { what: format!("The code of {}", form.name), text })).await
}
