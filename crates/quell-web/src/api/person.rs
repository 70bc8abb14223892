//! Who may sign in, as what; one's own sessions; breaking the glass. What is checked here holds for the page as well.

use std::sync::Arc;

use axum::extract::State;
use axum::routing::{get, post};
use quell_app::clock::now;
use quell_app::person::{self, glass};
use quell_core::person::Role;
use schemars::JsonSchema;
use serde::Deserialize;

use super::ask::{Asked, At};
use super::operation::{Operation, of};
use super::tell::Told;
use crate::caller::Caller;
use crate::problem::Problem;
use crate::server::Server;
use crate::view::{self, shape};

pub(super) static OPERATIONS: &[Operation] = &[
    Operation::get("/api/v1/people", Role::Admin, "person_list", || get(list))
        .says("Everybody who may sign in, and as what")
        .json(of::<view::PersonList>),
    Operation::post("/api/v1/people", Role::Admin, "person_add", || post(add))
        .says("Let somebody sign in by codes of this installation, or change their role")
        .body(of::<Added>)
        .json(of::<view::PersonList>),
    Operation::post("/api/v1/people/{person}/remove", Role::Admin, "person_remove", || post(remove))
        .says("They may not sign in any more; their sessions end at once, their tokens are refused")
        .body(of::<Why>)
        .json(of::<view::PersonList>),
    // The answer lets somebody in: it is not kept for those who ask again.
    Operation::post("/api/v1/people/{person}/code", Role::Admin, "person_code", || post(code))
        .says("A code to sign in with: good once, for ten minutes; shown this once")
        .json(of::<view::Code>)
        .created()
        .not_kept(),
    Operation::post("/api/v1/people/{person}/sign-out", Role::Admin, "person_sign_out", || post(sign_out))
        .says("End all sessions of somebody and revoke their tokens, whoever vouches for them")
        .json(of::<view::SignedOut>),
    Operation::post("/api/v1/people/{person}/same", Role::Admin, "person_same", || post(same))
        .says("Two names are one person: where two people are needed, they count once")
        .body(of::<Same>)
        .json(of::<view::PersonList>),
    Operation::get("/api/v1/sessions", Role::Reporter, "session_list", || get(sessions))
        .says("Your own sessions")
        .json(of::<view::Sessions>),
    Operation::post("/api/v1/sessions/{session}/end", Role::Reporter, "session_end", || post(end))
        .says("End a session of yours")
        .json(of::<view::Sessions>),
    Operation::get("/api/v1/break-glass", Role::Viewer, "glass_list", || get(all_glass))
        .says("Who took more rights in an emergency, why, and who looked at it afterwards")
        .json(of::<view::GlassList>),
    Operation::post("/api/v1/break-glass", Role::Responder, "glass_break", || post(break_glass))
        .says("More rights for an hour; everybody is told")
        .body(of::<Broken>)
        .json(of::<view::GlassBroken>)
        .created(),
    Operation::post("/api/v1/break-glass/{entry}/review", Role::Approver, "glass_review", || post(review))
        .says("What you found when you looked at what was done with it; it ends with that")
        .body(of::<Reviewed>)
        .json(of::<view::GlassList>),
];

async fn list(caller: Caller) -> Result<Told<view::PersonList>, Problem> {
    Ok(Told::new(view::PersonList::of(&person::people(&caller.app).await?)))
}

/// Somebody who may sign in.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct Added {
    /// The name that decisions are recorded with.
    pub(crate) person: String,
    /// What they may do.
    #[schemars(with = "shape::Role")]
    pub(crate) role: Role,
}

async fn add(caller: Caller, Asked(asked): Asked<Added>) -> Result<Told<view::PersonList>, Problem> {
    added(&caller, &asked).await?;
    list(caller).await
}

pub(crate) async fn added(caller: &Caller, asked: &Added) -> Result<(), Problem> {
    caller.lasting(Role::Admin)?;
    caller.is_fresh(now())?;
    Ok(person::add(&caller.app, &asked.person, asked.role, now()).await?)
}

/// Why.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct Why {
    /// Why.
    reason: String,
}

async fn remove(
    caller: Caller,
    At(name): At<String>,
    Asked(why): Asked<Why>,
) -> Result<Told<view::PersonList>, Problem> {
    removed(&caller, &name, &why.reason).await?;
    list(caller).await
}

pub(crate) async fn removed(caller: &Caller, name: &str, reason: &str) -> Result<(), Problem> {
    caller.lasting(Role::Admin)?;
    caller.is_fresh(now())?;
    Ok(person::remove(&caller.app, name, reason, now()).await?)
}

async fn code(caller: Caller, At(name): At<String>) -> Result<Told<view::Code>, Problem> {
    Ok(Told::new(code_of(&caller, &name).await?).created())
}

/// A code of somebody; a named sink: the answer to the admin who vouches for them.
pub(crate) async fn code_of(caller: &Caller, name: &str) -> Result<view::Code, Problem> {
    // Whoever has it signs in as that person: a session that was left open must not make one, nor broken glass.
    caller.lasting(Role::Admin)?;
    caller.is_fresh(now())?;
    let people = person::people(&caller.app).await?;
    let code = person::code(&caller.app, &people, name, person::At::Page, now()).await?;
    Ok(view::Code::new(name, code.expose_text().unwrap_or_default().to_owned()))
}

async fn sign_out(
    State(server): State<Arc<Server>>,
    caller: Caller,
    At(name): At<String>,
) -> Result<Told<view::SignedOut>, Problem> {
    let sessions = signed_out(&server, &caller, &name).await?;
    Ok(Told::new(view::SignedOut { person: name, sessions }))
}

/// How many sessions ended.
pub(crate) async fn signed_out(server: &Server, caller: &Caller, name: &str) -> Result<u64, Problem> {
    caller.lasting(Role::Admin)?;
    let sessions = person::sign_out(&caller.app, name, now()).await?;
    // Their open pages are told nothing any more.
    server.left.send_modify(|count| *count += 1);
    Ok(sessions)
}

/// The other name.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct Same {
    /// The other name.
    pub(crate) other: String,
    /// How you know.
    pub(crate) reason: String,
}

async fn same(
    caller: Caller,
    At(name): At<String>,
    Asked(asked): Asked<Same>,
) -> Result<Told<view::PersonList>, Problem> {
    linked(&caller, &name, &asked).await?;
    list(caller).await
}

pub(crate) async fn linked(caller: &Caller, name: &str, asked: &Same) -> Result<(), Problem> {
    caller.lasting(Role::Admin)?;
    // For good: an old token that leaked must not make one person of all who approve.
    caller.is_fresh(now())?;
    Ok(person::same(&caller.app, name, &asked.other, &asked.reason, now()).await?)
}

async fn sessions(caller: Caller) -> Result<Told<view::Sessions>, Problem> {
    Ok(Told::new(view::Sessions::of(person::of(&caller.app, &caller.person, now()).await?)))
}

async fn end(
    State(server): State<Arc<Server>>,
    caller: Caller,
    At(id): At<String>,
) -> Result<Told<view::Sessions>, Problem> {
    if !person::end_one(&caller.app, &caller.person, &id, now()).await? {
        return Err(
            Problem::not_found("there is no such session of yours").hint("/api/v1/sessions lists them")
        );
    }
    server.left.send_modify(|count| *count += 1);
    sessions(caller).await
}

async fn all_glass(caller: Caller) -> Result<Told<view::GlassList>, Problem> {
    Ok(Told::new(view::GlassList::of(person::people(&caller.app).await?)))
}

/// More rights.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct Broken {
    /// What you need to be.
    #[schemars(with = "shape::Role")]
    pub(crate) role: Role,
    /// Why it cannot wait, in a sentence.
    pub(crate) reason: String,
}

async fn break_glass(
    caller: Caller,
    Asked(asked): Asked<Broken>,
) -> Result<Told<view::GlassBroken>, Problem> {
    Ok(Told::new(view::GlassBroken { told: broken(&caller, &asked).await? }).created())
}

pub(crate) async fn broken(caller: &Caller, asked: &Broken) -> Result<Vec<String>, Problem> {
    caller.is_fresh(now())?;
    Ok(glass::open(&caller.app, caller.role, asked.role, &asked.reason, now()).await?)
}

/// What was found.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct Reviewed {
    /// What was done with it, and whether that was right, in a sentence.
    statement: String,
}

async fn review(
    caller: Caller,
    At(entry): At<u64>,
    Asked(asked): Asked<Reviewed>,
) -> Result<Told<view::GlassList>, Problem> {
    glass::review(&caller.app, entry, &asked.statement, now()).await?;
    all_glass(caller).await
}
