//! Tokens for programs: made and revoked by people, and by the token itself.

use axum::http::StatusCode;
use axum::routing::{get, post};
use jiff::{SignedDuration, Timestamp};
use quell_app::clock::now;
use quell_app::person;
use quell_app::person::token::{self, NewToken};
use quell_core::person::{Issued, Role};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::ask::{Asked, At};
use super::operation::{Operation, of as shape_of};
use super::tell::Told;
use crate::caller::{By, Caller};
use crate::problem::Problem;
use crate::view::shape;

pub(super) static OPERATIONS: &[Operation] = &[
    Operation::get("/api/v1/tokens", Role::Viewer, "token_list", || get(list))
        .says("Your tokens, an admin's view of all: what each may do, when it was used last")
        .json(shape_of::<Tokens>),
    // The answer holds the token: it is not kept for those who ask again.
    Operation::post("/api/v1/tokens", Role::Viewer, "token_make", || post(make))
        .says("Make a token for a program; it is shown this once")
        .body(shape_of::<Wanted>)
        .json(shape_of::<Made>)
        .created()
        .not_kept(),
    Operation::post("/api/v1/tokens/{token}/revoke", Role::Viewer, "token_revoke", || post(revoke))
        .says("A token is refused from here on")
        .body(shape_of::<Why>)
        .json(shape_of::<Revoked>),
    Operation::post("/api/v1/tokens/revoke", Role::Reporter, "token_revoke_own", || post(revoke_own))
        .says("The token that asks is refused from here on: whoever finds one can end it with nothing else")
        .json(shape_of::<Revoked>)
        .not_kept(),
];

/// A token without its value.
#[derive(Debug, JsonSchema, Serialize)]
pub(crate) struct Listed {
    /// Public id.
    pub(crate) id: String,
    /// What it is for.
    pub(crate) name: String,
    /// Who made it.
    pub(crate) person: String,
    /// What it may do.
    #[schemars(with = "shape::Role")]
    pub(crate) role: Role,
    /// When it was made.
    pub(crate) made: Timestamp,
    /// When it ends.
    pub(crate) expires: Timestamp,
    /// When it was used last, to the minute.
    pub(crate) used: Option<Timestamp>,
}

/// All of them.
#[derive(Debug, JsonSchema, Serialize)]
pub(crate) struct Tokens {
    tokens: Vec<Listed>,
}

/// Tokens that the caller may see: their own, an admin all.
pub(crate) async fn of(caller: &Caller) -> Result<Vec<Listed>, Problem> {
    let at = now();
    let people = person::people(&caller.app).await?;
    let mut tokens = Vec::new();
    let own = |issued: &&Issued| caller.may(Role::Admin) || issued.by == caller.person;
    for issued in people.tokens.values().filter(own) {
        tokens.push(Listed {
            id: issued.token.id.clone(),
            name: issued.token.name.clone(),
            person: issued.by.clone(),
            role: issued.token.role,
            made: issued.at,
            expires: issued.token.expires,
            used: token::last_used(&caller.app, &issued.token.id, at).await?,
        });
    }
    Ok(tokens)
}

async fn list(caller: Caller) -> Result<Told<Tokens>, Problem> {
    Ok(Told::new(Tokens { tokens: of(&caller).await? }))
}

/// What is asked for.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct Wanted {
    /// What it is for.
    pub(crate) name: String,
    /// What it may do; at most what you may.
    #[schemars(with = "shape::Role")]
    pub(crate) role: Role,
    /// How many days.
    pub(crate) days: i64,
}

/// What was made. The value is shown this once.
#[derive(Debug, JsonSchema, Serialize)]
pub(crate) struct Made {
    /// Public id.
    pub(crate) id: String,
    /// The token.
    token: String,
    /// When it ends.
    pub(crate) expires: Timestamp,
}

async fn make(caller: Caller, Asked(wanted): Asked<Wanted>) -> Result<Told<Made>, Problem> {
    let (made, token) = made(&caller, wanted).await?;
    Ok(Told::new(Made { id: made.id, token, expires: made.expires }).created())
}

/// Makes one, and gives its text: a named sink, the answer to whoever asked for it.
pub(crate) async fn made(
    caller: &Caller,
    wanted: Wanted,
) -> Result<(quell_core::person::Token, String), Problem> {
    if matches!(caller.by, By::Token { .. }) && caller.role < Role::Admin {
        return Err(Problem::new(
            StatusCode::FORBIDDEN,
            "a token makes no other token: one that leaks would never end",
        )
        .hint("make it at /settings, or with the token of an admin"));
    }
    // A token is as good as having signed in just now; so is making one.
    caller.is_fresh(now())?;
    let lasts = SignedDuration::from_hours(wanted.days.clamp(0, 10_000) * 24);
    let new = NewToken { name: wanted.name, role: wanted.role, lasts };
    let (made, value) = token::make(&caller.app, caller.own, &new, now()).await?;
    Ok((made, value.expose_text().unwrap_or_default().to_owned()))
}

/// Why.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct Why {
    /// Why it is revoked.
    reason: String,
}

/// What is refused from here on.
#[derive(Debug, JsonSchema, Serialize)]
pub(crate) struct Revoked {
    /// Public id.
    revoked: String,
}

async fn revoke(
    caller: Caller,
    At(id): At<String>,
    Asked(why): Asked<Why>,
) -> Result<Told<Revoked>, Problem> {
    let people = person::people(&caller.app).await?;
    let own = people.tokens.get(&id).is_some_and(|issued| issued.by == caller.person);
    if !own && !caller.may(Role::Admin) {
        return Err(Problem::not_found("there is no such token of yours"));
    }
    token::revoke(&caller.app, &id, &why.reason, now()).await?;
    Ok(Told::new(Revoked { revoked: id }))
}

async fn revoke_own(caller: Caller) -> Result<Told<Revoked>, Problem> {
    let By::Token { id, .. } = &caller.by else {
        return Err(
            Problem::bad_request("this is for a token that revokes itself").hint("sign out at /sign-out")
        );
    };
    token::revoke(&caller.app, id, "it revoked itself", now()).await?;
    Ok(Told::new(Revoked { revoked: id.clone() }))
}
