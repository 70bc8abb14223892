//! Which server this is, who asks it, and what can be asked.

use std::sync::Arc;

use axum::Json;
use axum::extract::State;
use axum::routing::get;
use quell_app::AppError;
use quell_core::person::Role;
use schemars::JsonSchema;
use serde::Serialize;
use serde_json::Value;

use super::openapi;
use super::operation::{Operation, of};
use crate::caller::Caller;
use crate::problem::Problem;
use crate::server::Server;
use crate::view::shape;

pub(super) static OPERATIONS: &[Operation] = &[
    Operation::get("/api/v1/server", Role::Reporter, "server_show", || get(show))
        .says("Which server this is, and who you are to it")
        .json(of::<About>),
    Operation::open("/api/v1/openapi.json", "openapi", || get(description))
        .says("This description")
        .json(of::<serde_json::Map<String, Value>>),
];

/// What a program wants to know first.
#[derive(Debug, JsonSchema, Serialize)]
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
    #[schemars(with = "shape::Role")]
    role: Role,
}

pub(crate) async fn show(State(server): State<Arc<Server>>, caller: Caller) -> Result<Json<About>, Problem> {
    let entries = server.app().store.size().await.map_err(AppError::from)?;
    Ok(Json(About {
        version: env!("CARGO_PKG_VERSION"),
        ledger: server.app().store.origin().to_owned(),
        entries,
        person: caller.person,
        role: caller.role,
    }))
}

async fn description() -> Json<&'static Value> {
    Json(openapi::description())
}
