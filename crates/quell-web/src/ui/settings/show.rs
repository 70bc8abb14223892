//! The page.

use std::sync::Arc;

use askama::Template;
use axum::extract::State;
use axum::response::Response;
use jiff::Timestamp;
use quell_app::AppError;
use quell_app::clock::now;
use quell_app::intake::{self, Deliveries};
use quell_app::person::{self, Session};
use quell_core::person::{BreakGlass, Role};

use crate::api::token;
use crate::caller::{By, Caller};
use crate::problem::Problem;
use crate::server::Server;
use crate::ui::words::{Badge, When};
use crate::ui::{Page, render};
use crate::view::{self, TokenListed};

/// Deliveries on the page; all of them are listed by `quell intake list --open`.
const DELIVERIES: u32 = 20;

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
    people: Vec<view::Person>,
    glass: Vec<BreakGlass>,
    roles: [Role; 5],
    now: Timestamp,
    /// A token or a code that was just made; shown this once.
    fresh: Option<Fresh>,
    /// What webhooks delivered and is not worked off; none for those who may not look.
    deliveries: Vec<Delivery>,
    /// So many more of them are not shown.
    more_deliveries: u64,
    /// Changed files that could not be taken up, with the reason; for those who run it.
    faults: Vec<(&'static str, String)>,
}

impl SettingsPage {
    #[expect(clippy::unused_self, reason = "templates call methods of their page")]
    fn at(&self, at: &Timestamp) -> When {
        When::from(*at)
    }
}

/// A delivery that waits, or was given up.
struct Delivery {
    id: String,
    source: String,
    received: When,
    state: Badge,
    note: String,
}

impl From<intake::Delivery> for Delivery {
    fn from(known: intake::Delivery) -> Self {
        let state = match known.state {
            intake::DeliveryState::Done => Badge::new("good", "✓", "done"),
            intake::DeliveryState::Failed => Badge::new("bad", "▲", "given up"),
            intake::DeliveryState::Waiting => Badge::new("warn", "…", "waits"),
        };
        let intake::Delivery { id, source, received, note, .. } = known;
        Self { id, source, received: received.into(), state, note }
    }
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
    let (mut deliveries, mut more_deliveries) = (Vec::new(), 0);
    if caller.may(Role::Viewer) {
        let open = intake::list(&caller.app, Deliveries::Open, None, DELIVERIES).await?;
        let (waiting, failed) = caller.app.store.inbox_open().await.map_err(AppError::from)?;
        deliveries.extend(open.into_iter().map(Delivery::from));
        more_deliveries = (waiting + failed).saturating_sub(deliveries.len() as u64);
    }
    render(&SettingsPage {
        page: Page::of(caller, "Settings").at("/settings"),
        sessions,
        tokens: token::seen(caller).await?,
        people: if caller.may(Role::Admin) { view::PersonList::of(&known).people } else { Vec::new() },
        glass: if caller.may(Role::Viewer) { known.break_glass } else { Vec::new() },
        roles: Role::ALL,
        now: at,
        fresh,
        deliveries,
        more_deliveries,
        faults: if caller.may(Role::Admin) { server.standing.faults() } else { Vec::new() },
    })
}
