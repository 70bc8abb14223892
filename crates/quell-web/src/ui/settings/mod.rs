//! One's own sessions and tokens, breaking the glass, and who may do what.

mod act;
mod show;

use axum::routing::{get, post};
use quell_core::person::Role;

use crate::route::Route;

pub(crate) const ROUTES: &[Route] = &[
    Route::page("/settings", Role::Reporter, || get(show::show)),
    Route::form("/settings/sessions/end", Role::Reporter, || post(act::end_session)),
    Route::form("/settings/tokens", Role::Viewer, || post(act::make_token)),
    Route::form("/settings/tokens/revoke", Role::Viewer, || post(act::revoke_token)),
    Route::form("/settings/break-glass", Role::Responder, || post(act::break_glass)),
    Route::form("/settings/break-glass/review", Role::Approver, || post(act::review_glass)),
    Route::form("/settings/deliveries/retry", Role::Admin, || post(act::retry_delivery)),
    Route::form("/settings/people", Role::Admin, || post(act::add_person)),
    Route::form("/settings/people/same", Role::Admin, || post(act::link)),
    Route::form("/settings/people/sign-out", Role::Admin, || post(act::sign_out)),
    Route::form("/settings/people/remove", Role::Admin, || post(act::remove_person)),
    Route::form("/settings/people/code", Role::Admin, || post(act::code)),
];
