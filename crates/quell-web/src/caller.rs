//! Who asks, in a handler that only those reach who may.

use std::sync::Arc;

use axum::extract::FromRequestParts;
use axum::http::request::Parts;
use quell_app::App;
use quell_core::person::Role;

use crate::problem::Problem;

/// What somebody showed to be let in.
#[derive(Clone, Debug)]
pub(crate) enum By {
    /// A session; its public name and the token that its forms carry.
    Session {
        /// Public name: a hash.
        id: String,
        /// Token of its forms.
        csrf: String,
    },
}

/// Who asks.
#[derive(Clone, Debug)]
pub(crate) struct Caller {
    /// The name that decisions are recorded with.
    pub(crate) person: String,
    /// What they may do.
    pub(crate) role: Role,
    /// How they were let in.
    pub(crate) by: By,
    /// The installation, asked by them.
    pub(crate) app: Arc<App>,
}

impl Caller {
    /// The token of this session's forms.
    pub(crate) fn csrf(&self) -> &str {
        let By::Session { csrf, .. } = &self.by;
        csrf
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
