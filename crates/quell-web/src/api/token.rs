//! Tokens for programs: made and revoked by people, and by the token itself.

use axum::Json;
use axum::extract::Path;
use axum::http::StatusCode;
use jiff::{SignedDuration, Timestamp};
use quell_app::clock::now;
use quell_app::person;
use quell_app::person::token::{self, NewToken};
use quell_core::person::{Issued, Role};
use serde::{Deserialize, Serialize};

use crate::caller::{By, Caller};
use crate::problem::Problem;

/// A token without its value.
#[derive(Debug, Serialize)]
pub(crate) struct Listed {
    /// Public id.
    pub(crate) id: String,
    /// What it is for.
    pub(crate) name: String,
    /// Who made it.
    pub(crate) person: String,
    /// What it may do.
    pub(crate) role: Role,
    /// When it was made.
    pub(crate) made: Timestamp,
    /// When it ends.
    pub(crate) expires: Timestamp,
    /// When it was used last, to the minute.
    pub(crate) used: Option<Timestamp>,
}

/// All of them.
#[derive(Debug, Serialize)]
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

pub(crate) async fn list(caller: Caller) -> Result<Json<Tokens>, Problem> {
    Ok(Json(Tokens { tokens: of(&caller).await? }))
}

/// What is asked for.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Wanted {
    /// What it is for.
    pub(crate) name: String,
    /// What it may do; at most what you may.
    pub(crate) role: Role,
    /// How many days.
    pub(crate) days: i64,
}

/// What was made. The value is shown this once.
#[derive(Debug, Serialize)]
pub(crate) struct Made {
    /// Public id.
    pub(crate) id: String,
    /// The token.
    token: String,
    /// When it ends.
    pub(crate) expires: Timestamp,
}

pub(crate) async fn make(
    caller: Caller,
    Json(wanted): Json<Wanted>,
) -> Result<(StatusCode, Json<Made>), Problem> {
    let (made, token) = made(&caller, wanted).await?;
    Ok((StatusCode::CREATED, Json(Made { id: made.id, token, expires: made.expires })))
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
    let lasts = SignedDuration::from_hours(wanted.days.clamp(0, 10_000) * 24);
    let new = NewToken { name: wanted.name, role: wanted.role, lasts };
    let (made, value) = token::make(&caller.app, caller.role, &new, now()).await?;
    Ok((made, value.expose_text().unwrap_or_default().to_owned()))
}

pub(crate) async fn revoke(caller: Caller, Path(id): Path<String>) -> Result<StatusCode, Problem> {
    let people = person::people(&caller.app).await?;
    let own = people.tokens.get(&id).is_some_and(|issued| issued.by == caller.person);
    if !own && !caller.may(Role::Admin) {
        return Err(Problem::not_found("there is no such token of yours"));
    }
    token::revoke(&caller.app, &id, "asked for by the API", now()).await?;
    Ok(StatusCode::NO_CONTENT)
}

/// The token that asks revokes itself: whoever finds one can end it with nothing else.
pub(crate) async fn revoke_own(caller: Caller) -> Result<StatusCode, Problem> {
    let By::Token { id, .. } = &caller.by else {
        return Err(
            Problem::bad_request("this is for a token that revokes itself").hint("sign out at /sign-out")
        );
    };
    token::revoke(&caller.app, id, "it revoked itself", now()).await?;
    Ok(StatusCode::NO_CONTENT)
}
