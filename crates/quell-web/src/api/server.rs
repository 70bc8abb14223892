//! Which server this is, and who asks it.

use std::sync::Arc;

use axum::Json;
use axum::extract::State;
use quell_core::person::Role;
use serde::Serialize;

use crate::caller::Caller;
use crate::server::Server;

/// What a program wants to know first.
#[derive(Debug, Serialize)]
pub(crate) struct About {
    /// Version of Quell.
    version: &'static str,
    /// Name of the ledger: `quell/<install-id>/ledger/1`.
    ledger: String,
    /// Entries of the ledger.
    entries: u64,
    /// Who asks.
    person: String,
    /// What they may do.
    role: Role,
}

pub(crate) async fn show(State(server): State<Arc<Server>>, caller: Caller) -> Json<About> {
    Json(About {
        version: env!("CARGO_PKG_VERSION"),
        ledger: server.app.store.origin().to_owned(),
        entries: server.feed.size(),
        person: caller.person,
        role: caller.role,
    })
}
