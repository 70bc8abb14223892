//! The incident room: pages for people and `/api/v1` for programs, over the use cases of `quell-app`.
//!
//! State lives in the ledger, and what is shown is a function of it. [`all`] lists every way in; the router, the test of rights and the OpenAPI file are made
//! from that list. A handler that is not public gets a caller from its guard, and the caller carries the installation as asked by that person: whatever
//! is decided is recorded with their name.
//!
//! Invariants: no rule about incidents is here; every page works without script; nothing is pushed but names and numbers; no value is in any answer.

mod api;
mod caller;
mod clerk;
mod duty;
mod engine;
mod events;
mod feed;
mod guard;
mod health;
mod hooks;
mod listen;
mod multipart;
mod presence;
mod problem;
mod rates;
mod reload;
mod route;
mod server;
pub mod telemetry;
mod tls;
mod ui;
pub mod view;

pub use api::document as openapi;
pub use duty::Beside;
pub use listen::Patience;
pub use route::{Access, Kind, Route, Verb, all};
pub use server::{Config, Server, serve};
pub use tls::TlsFiles;
