//! The list of incidents, the room of one, its report, and the form that opens one.

mod act;
mod list;
mod new;
mod notice;
mod post_mortem;
mod room;
mod step;
mod view;

pub(crate) use new::channels;

use axum::routing::{get, post};
use quell_core::person::Role;

use crate::events;
use crate::route::Route;

pub(crate) const ROUTES: &[Route] = &[
    Route::page("/incidents", Role::Viewer, || get(list::show)),
    Route::page("/incidents/new", Role::Responder, || get(new::show)),
    Route::form("/incidents", Role::Responder, || post(new::open)),
    Route::page("/incidents/{id}", Role::Viewer, || get(room::show)),
    Route::page("/incidents/{id}/events", Role::Viewer, || get(events::of_incident)),
    Route::page("/incidents/{id}/evidence/{sha256}", Role::Viewer, act::evidence_route),
    Route::page("/incidents/{id}/post-mortem", Role::Viewer, || get(post_mortem::show)),
    Route::form("/incidents/{id}/post-mortem", Role::Responder, || post(post_mortem::write)),
    Route::form("/incidents/{id}/post-mortem/item", Role::Responder, || post(post_mortem::item)),
    Route::form("/incidents/{id}/post-mortem/done", Role::Responder, || post(post_mortem::done)),
    Route::page("/incidents/{id}/notices", Role::Viewer, || get(notice::show)),
    Route::form("/incidents/{id}/notices", Role::Responder, || post(notice::draft)),
    Route::form("/incidents/{id}/notices/{notice}/{what}", Role::Responder, || post(notice::act)),
    Route::form("/incidents/{id}/note", Role::Responder, || post(act::note)),
    Route::form("/incidents/{id}/role", Role::Responder, || post(act::role)),
    Route::form("/incidents/{id}/plan", Role::Responder, || post(act::plan)),
    Route::form("/incidents/{id}/respond", Role::Responder, || post(act::respond)),
    Route::form("/incidents/{id}/pause", Role::Responder, || post(act::pause)),
    Route::form("/incidents/{id}/resume", Role::Responder, || post(act::resume)),
    Route::form("/incidents/{id}/approve", Role::Approver, || post(act::approve)),
    Route::form("/incidents/{id}/step/{decision}", Role::Responder, || post(act::step)),
    Route::form("/incidents/{id}/resolve", Role::Responder, act::resolve_route),
    Route::form("/incidents/{id}/verify", Role::Responder, || post(act::verify)),
    Route::form("/incidents/{id}/widen", Role::Responder, || post(act::widen)),
    Route::form("/incidents/{id}/signal", Role::Responder, || post(act::signal)),
    Route::form("/incidents/{id}/verdict", Role::Responder, || post(act::verdict)),
    Route::form("/incidents/{id}/anomaly", Role::Responder, || post(act::anomaly)),
    Route::form("/incidents/{id}/strategy", Role::Approver, || post(act::strategy)),
    Route::form("/incidents/{id}/exception", Role::Approver, || post(act::exception)),
    Route::form("/incidents/{id}/distrust", Role::Responder, || post(act::distrust)),
    Route::form("/incidents/{id}/unlocked", Role::Responder, || post(act::unlocked)),
    Route::form("/incidents/{id}/cleaned", Role::Responder, || post(act::cleaned)),
    Route::form("/incidents/{id}/action", Role::Responder, || post(act::action)),
    Route::form("/incidents/{id}/action-done", Role::Responder, || post(act::action_done)),
    Route::form("/incidents/{id}/task", Role::Responder, || post(act::task)),
    Route::form("/incidents/{id}/task-given", Role::Responder, || post(act::task_given)),
    Route::form("/incidents/{id}/task-done", Role::Responder, || post(act::task_done)),
    Route::form("/incidents/{id}/task-dropped", Role::Responder, || post(act::task_dropped)),
    Route::form("/incidents/{id}/bundle", Role::Responder, || post(act::bundle)),
    Route::form("/incidents/{id}/close", Role::Approver, || post(act::close)),
];
