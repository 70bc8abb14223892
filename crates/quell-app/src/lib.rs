//! Use cases of Quell, and the driver that runs plans with a real clock.
//!
//! Everything a person can ask for is a function here, named as the command is: `incident::open`, `plan::make`,
//! `driver::run`. The CLI (and later the server) only parse and print.

pub mod app;
pub mod certificate;
pub mod clock;
mod collision;
pub mod desk;
mod diff;
pub mod drill;
pub mod driver;
pub mod error;
pub mod evidence;
pub mod files;
pub mod finding;
mod fold;
pub mod gate;
pub mod hunt;
pub mod incident;
pub mod ingest;
pub mod intake;
pub mod inventory;
pub mod issue;
pub mod kill;
pub mod ledger;
pub mod measure;
pub mod notice;
pub mod person;
pub mod plan;
pub mod precheck;
pub mod projection;
pub mod proof;
pub mod reach;
pub mod report;
pub mod scan;
pub mod state;
pub mod systems;
pub mod tell;
pub mod tighten;
pub mod words;

pub use app::{App, Options};
pub use error::AppError;
pub use quell_connect::trace;
pub use quell_store::{Asked, KekSource, Lapsing, SignedSince, Store, StoreError, Tick, Watch, WorkerGuard};
