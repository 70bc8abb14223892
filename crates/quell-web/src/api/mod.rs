//! `/api/v1`: what programs ask. Problems are RFC 9457; every path has a role.

mod server;
pub(crate) mod token;

use axum::routing::{delete, get, post};
use quell_core::person::Role;

use crate::events;
use crate::route::{Route, Verb};

pub(crate) const ROUTES: &[Route] = &[
    Route::api(Verb::Get, "/api/v1/server", Role::Reporter, || get(server::show)),
    Route::api(Verb::Get, "/api/v1/tokens", Role::Viewer, || get(token::list)),
    Route::api(Verb::Post, "/api/v1/tokens", Role::Viewer, || post(token::make)),
    Route::api(Verb::Delete, "/api/v1/tokens/{id}", Role::Viewer, || delete(token::revoke)),
    Route::api(Verb::Post, "/api/v1/tokens/revoke", Role::Reporter, || post(token::revoke_own)),
    Route::api(Verb::Get, "/api/v1/incidents/{id}/events", Role::Viewer, || get(events::of_incident)),
];
