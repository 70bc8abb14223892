//! The page.

use std::sync::Arc;

use askama::Template;
use axum::extract::State;
use axum::response::Response;
use jiff::Timestamp;
use quell_app::clock::now;
use quell_app::person::{self, Session};
use quell_core::person::{BreakGlass, Role};

use crate::api::token;
use crate::caller::{By, Caller};
use crate::problem::Problem;
use crate::server::Server;
use crate::ui::{Page, render};
use crate::view::TokenListed;

struct OwnSession {
    id: String,
    session: Session,
    this: bool,
}

#[derive(Template)]
#[template(path = "settings/show.html")]
struct SettingsPage {
    page: Page,
    sessions: Vec<OwnSession>,
    tokens: Vec<TokenListed>,
    people: Vec<(String, Role)>,
    glass: Vec<BreakGlass>,
    roles: [Role; 5],
    now: Timestamp,
    /// A token or a code that was just made; shown this once.
    fresh: Option<Fresh>,
    /// Changed files that could not be taken up, with the reason; for those who run it.
    faults: Vec<(&'static str, String)>,
}

/// Something that is shown once.
pub(super) struct Fresh {
    /// What it is.
    pub(super) what: String,
    /// The text.
    pub(super) text: String,
}

pub(super) async fn show(State(server): State<Arc<Server>>, caller: Caller) -> Result<Response, Problem> {
    page(&server, &caller, None).await
}

/// The page, with something that was just made.
pub(super) async fn page(
    server: &Server,
    caller: &Caller,
    fresh: Option<Fresh>,
) -> Result<Response, Problem> {
    let at = now();
    let known = person::people(&caller.app).await?;
    let this = match &caller.by {
        By::Session { id, .. } => id.clone(),
        By::Token { .. } => String::new(),
    };
    let sessions = person::of(&caller.app, &caller.person, at).await?.into_iter();
    let sessions = sessions.map(|(id, session)| OwnSession { this: id == this, id, session }).collect();
    render(&SettingsPage {
        page: Page::of(caller, "Settings").at("/settings"),
        sessions,
        tokens: token::seen(caller).await?,
        people: if caller.may(Role::Admin) { known.local.into_iter().collect() } else { Vec::new() },
        glass: if caller.may(Role::Viewer) { known.break_glass } else { Vec::new() },
        roles: Role::ALL,
        now: at,
        fresh,
        faults: if caller.may(Role::Admin) { server.standing.faults() } else { Vec::new() },
    })
}
