//! The list of incidents, and the room of one.

mod act;
mod list;
mod room;

use axum::routing::{get, post};
use quell_core::person::Role;

use crate::events;
use crate::route::Route;

pub(crate) const ROUTES: &[Route] = &[
    Route::page("/incidents", Role::Viewer, || get(list::show)),
    Route::page("/incidents/{id}", Role::Viewer, || get(room::show)),
    Route::page("/incidents/{id}/events", Role::Viewer, || get(events::of_incident)),
    Route::form("/incidents/{id}/note", Role::Responder, || post(act::note)),
    Route::form("/incidents/{id}/plan", Role::Responder, || post(act::plan)),
    Route::form("/incidents/{id}/respond", Role::Responder, || post(act::respond)),
    Route::form("/incidents/{id}/approve", Role::Approver, || post(act::approve)),
];
