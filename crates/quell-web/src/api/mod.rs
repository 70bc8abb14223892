//! `/api/v1`: what programs ask. Problems are RFC 9457; every path has a role.

mod server;

use axum::routing::get;
use quell_core::person::Role;

use crate::events;
use crate::route::{Route, Verb};

pub(crate) const ROUTES: &[Route] = &[
    Route::api(Verb::Get, "/api/v1/server", Role::Reporter, || get(server::show)),
    Route::api(Verb::Get, "/api/v1/incidents/{id}/events", Role::Viewer, || get(events::of_incident)),
];
