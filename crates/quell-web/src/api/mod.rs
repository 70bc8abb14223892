//! `/api/v1`: what programs ask. Problems are RFC 9457; every path has a role. A file per noun; each lists what can be asked as data.

mod ask;
mod evidence;
mod find;
mod incident;
mod ingest;
mod intake;
mod inventory;
mod ledger;
mod notice;
mod once;
mod openapi;
mod operation;
pub(crate) mod person;
mod plan;
mod post_mortem;
mod report;
mod rules;
mod server;
mod task;
mod tell;
pub(crate) mod token;

pub(crate) use ask::{At, Words};
pub use openapi::document;
pub(crate) use operation::Operation;
pub(crate) use rules::rules;

use crate::route::Route;

/// Everything that can be asked.
pub(crate) fn operations() -> impl Iterator<Item = &'static Operation> {
    [
        server::OPERATIONS,
        token::OPERATIONS,
        person::OPERATIONS,
        incident::OPERATIONS,
        notice::OPERATIONS,
        post_mortem::OPERATIONS,
        task::OPERATIONS,
        plan::OPERATIONS,
        evidence::OPERATIONS,
        find::OPERATIONS,
        report::OPERATIONS,
        ingest::OPERATIONS,
        intake::OPERATIONS,
        inventory::OPERATIONS,
        ledger::OPERATIONS,
    ]
    .into_iter()
    .flatten()
}

/// Its routes.
pub(crate) fn routes() -> impl Iterator<Item = &'static Route> {
    operations().map(|operation| &operation.route)
}
