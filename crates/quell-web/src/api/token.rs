//! Tokens for programs: made and revoked by people, and by the token itself.

use axum::http::StatusCode;
use axum::routing::{get, post};
use jiff::SignedDuration;
use quell_app::clock::now;
use quell_app::person::token::{self, NewToken};
use quell_core::person::{Role, Token};
use schemars::JsonSchema;
use serde::Deserialize;

use super::ask::{Asked, At};
use super::operation::{Operation, of};
use super::tell::Told;
use crate::caller::{By, Caller};
use crate::problem::Problem;
use crate::view::{self, shape};

pub(super) static OPERATIONS: &[Operation] = &[
    Operation::get("/api/v1/tokens", Role::Viewer, "token_list", || get(list))
        .says("Your tokens, an admin's view of all: what each may do, when it was used last")
        .json(of::<view::Tokens>),
    Operation::get("/api/v1/tokens/own", Role::Reporter, "token_own", || get(own))
        .says("The token that asks: is it good, and as what?")
        .json(of::<view::OwnToken>),
    // The answer holds the token: it is not kept for those who ask again.
    Operation::post("/api/v1/tokens", Role::Viewer, "token_make", || post(make))
        .says("Make a token for a program; it is shown this once")
        .body(of::<Wanted>)
        .json(of::<view::TokenMade>)
        .created()
        .not_kept(),
    Operation::post("/api/v1/tokens/{token}/revoke", Role::Viewer, "token_revoke", || post(revoke))
        .says("A token is refused from here on")
        .body(of::<Why>)
        .json(of::<view::TokensRevoked>),
    Operation::post("/api/v1/tokens/revoke", Role::Reporter, "token_revoke_own", || post(revoke_own))
        .says("The token that asks is refused from here on: whoever finds one can end it with nothing else")
        .json(of::<view::TokensRevoked>)
        .not_kept(),
];

/// Tokens that the caller may see: their own, an admin all.
pub(crate) async fn seen(caller: &Caller) -> Result<Vec<view::TokenListed>, Problem> {
    let listed = token::list(&caller.app, whose(caller), now()).await?;
    Ok(listed.into_iter().map(view::TokenListed::from).collect())
}

/// Whose tokens a caller may see and revoke.
fn whose(caller: &Caller) -> Option<&str> {
    (!caller.may(Role::Admin)).then_some(&caller.person)
}

async fn list(caller: Caller) -> Result<Told<view::Tokens>, Problem> {
    Ok(Told::new(view::Tokens { tokens: seen(&caller).await? }))
}

async fn own(caller: Caller) -> Result<Told<view::OwnToken>, Problem> {
    let id = own_id(&caller).map(str::to_owned);
    Ok(Told::new(view::OwnToken { id, person: caller.person, role: caller.role }))
}

fn own_id(caller: &Caller) -> Option<&str> {
    match &caller.by {
        By::Token { id, .. } => Some(id),
        By::Session { .. } => None,
    }
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

async fn make(caller: Caller, Asked(wanted): Asked<Wanted>) -> Result<Told<view::TokenMade>, Problem> {
    let (Token { id, role, expires, .. }, token) = made(&caller, wanted).await?;
    Ok(Told::new(view::TokenMade { id, token, role, expires }).created())
}

/// Makes one, and gives its text: a named sink, the answer to whoever asked for it.
pub(crate) async fn made(caller: &Caller, wanted: Wanted) -> Result<(Token, String), Problem> {
    let made_with = match &caller.by {
        // An admin's token makes successors of others without anybody there: what it makes is no admin, and never fresh.
        By::Token { id, .. } if caller.role == Role::Admin => Some(id.clone()),
        By::Token { .. } => {
            let words = "a token makes no other token: one that leaks would never end";
            return Err(Problem::new(StatusCode::FORBIDDEN, words)
                .hint("make it at /settings, or with the token of an admin"));
        }
        By::Session { .. } => {
            // A token is as good as having signed in just now; so is making one.
            caller.is_fresh(now())?;
            None
        }
    };
    let lasts = SignedDuration::from_hours(wanted.days.clamp(0, 10_000) * 24);
    let new = NewToken { name: wanted.name, role: wanted.role, lasts, made_with };
    let (made, value) = token::make(&caller.app, caller.own, &new, now()).await?;
    Ok((made, value.expose_text().unwrap_or_default().to_owned()))
}

/// Why.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct Why {
    /// Why it is revoked.
    pub(crate) reason: String,
    /// Those that were made with it are revoked, too: whoever had it may have made some.
    #[serde(default)]
    pub(crate) made: bool,
}

async fn revoke(
    caller: Caller,
    At(id): At<String>,
    Asked(why): Asked<Why>,
) -> Result<Told<view::TokensRevoked>, Problem> {
    Ok(Told::new(revoked(&caller, &id, &why).await?))
}

/// Revokes a token of the caller's, or any if they are admin.
pub(crate) async fn revoked(caller: &Caller, id: &str, why: &Why) -> Result<view::TokensRevoked, Problem> {
    let what = token::Revoke { id, of: whose(caller), reason: &why.reason, made: why.made };
    let (revoked, made) = token::revoke(&caller.app, &what, now()).await?;
    Ok(view::TokensRevoked { revoked, made })
}

async fn revoke_own(caller: Caller) -> Result<Told<view::TokensRevoked>, Problem> {
    let Some(id) = own_id(&caller) else {
        let problem = Problem::bad_request("this is for a token that revokes itself");
        return Err(problem.hint("sign out at /sign-out"));
    };
    let why = Why { reason: "it revoked itself".to_owned(), made: false };
    Ok(Told::new(revoked(&caller, id, &why).await?))
}
