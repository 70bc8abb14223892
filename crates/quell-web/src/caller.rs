//! Who asks, in a handler that only those reach who may.

use std::sync::Arc;

use axum::extract::FromRequestParts;
use axum::http::StatusCode;
use axum::http::request::Parts;
use jiff::{SignedDuration, Timestamp};
use quell_app::App;
use quell_app::clock::now;
use quell_app::person::{Source, token};
use quell_core::person::Role;
use quell_core::plan::{Class, Machine, Step, StepState};
use quell_core::{IncidentId, StepId};

use crate::problem::Problem;

/// Having signed in is enough for so long, for a decision that cannot be taken back.
const CONFIRMED: SignedDuration = SignedDuration::from_mins(15);

/// Digits of a session's public name that are shown.
const SHOWN: usize = 16;

/// What somebody showed to be let in.
#[derive(Clone, Debug)]
pub(crate) enum By {
    /// A session; its public name and the token that its forms carry.
    Session {
        /// Public name: a hash.
        id: String,
        /// Token of its forms.
        csrf: String,
        /// When the person last showed who they are.
        confirmed: Timestamp,
        /// Who vouches for them.
        source: Source,
    },
    /// An API token, by its public id.
    Token {
        /// Public id.
        id: String,
        /// When a person made it.
        made: Option<Timestamp>,
    },
}

/// Who asks.
#[derive(Clone, Debug)]
pub(crate) struct Caller {
    /// The name that decisions are recorded with.
    pub(crate) person: String,
    /// What they may do.
    pub(crate) role: Role,
    /// What they may do without broken glass: nothing that outlasts the glass is made of it.
    pub(crate) own: Role,
    /// How they were let in.
    pub(crate) by: By,
    /// Who has more rights than their own for a while, as everybody is told.
    pub(crate) broken: Vec<String>,
    /// The installation, asked by them.
    pub(crate) app: Arc<App>,
}

impl Caller {
    /// What they are called in logs: the public name of what they showed. Whose it is stands in the ledger, for those who may read that;
    /// logs go to more places, and are no register of who did what when.
    pub(crate) fn shown(&self) -> String {
        match &self.by {
            By::Session { id, .. } => format!("session:{}", id.chars().take(SHOWN).collect::<String>()),
            By::Token { id, .. } => format!("token:{id}"),
        }
    }

    /// The installation, asked by them on what their page showed: the position that its forms carry.
    pub(crate) fn having_seen(&self, seen: &str) -> Arc<App> {
        match seen.parse() {
            Ok(pos) => self.app.having_seen(pos),
            Err(_) => Arc::clone(&self.app),
        }
    }

    /// The token of this session's forms; programs have none.
    pub(crate) fn csrf(&self) -> &str {
        match &self.by {
            By::Session { csrf, .. } => csrf,
            By::Token { .. } => "",
        }
    }

    /// Did they show who they are just now? Asked before decisions that cannot be taken back: a session left open, or an old token, is not enough.
    pub(crate) fn is_fresh(&self, now: Timestamp) -> Result<(), Problem> {
        let (since, lasts, hint) = match &self.by {
            By::Session { confirmed, .. } => {
                (*confirmed, CONFIRMED, "show it at /sign-in/again; then approve again".to_owned())
            }
            By::Token { made, .. } => {
                let hint = "make a new token yourself: one of the last 12 hours will do".to_owned();
                (made.unwrap_or(Timestamp::UNIX_EPOCH), token::FRESH, hint)
            }
        };
        if now.duration_since(since) < lasts {
            return Ok(());
        }
        let words = "this cannot be taken back, and it is too long ago that you showed who you are";
        Err(Problem::new(StatusCode::FORBIDDEN, words).hint(hint))
    }

    /// May they approve these steps (none: all that wait) now? What cannot be taken back needs a fresh look at who it is.
    pub(crate) async fn may_approve(&self, id: IncidentId, steps: &[StepId]) -> Result<(), Problem> {
        let incident = self.app.incident(id).await?;
        let waits = |step: &Step, state: &StepState| {
            step.class == Class::Destructive
                && step.approvals > 0
                && !state.satisfies()
                && (steps.is_empty() || steps.contains(&step.id))
        };
        let mut all = incident.machine.iter().flat_map(Machine::states);
        if all.any(|(step, state)| waits(step, state)) { self.is_fresh(now()) } else { Ok(()) }
    }

    /// Rights that last are given by those who have them for good.
    pub(crate) fn lasting(&self, role: Role) -> Result<(), Problem> {
        if self.own >= role {
            return Ok(());
        }
        let words = "broken glass gives no rights that outlast it";
        Err(Problem::new(StatusCode::FORBIDDEN, words).hint("an admin does this"))
    }

    /// May they do what this role may?
    pub(crate) fn may(&self, role: Role) -> bool {
        self.role >= role
    }
}

impl<S: Sync> FromRequestParts<S> for Caller {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, _state: &S) -> Result<Self, Problem> {
        // The guard puts it there for every route that is not public; a route that asks on a public path is our bug.
        parts.extensions.get::<Self>().cloned().ok_or_else(Problem::not_signed_in)
    }
}
