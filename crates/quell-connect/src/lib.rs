//! Speaks to issuers, stores, consumers and channels.
//!
//! One folder per system; one line in [`ALL`] registers it. This crate never decides anything: it performs,
//! observes and probes, and reports [`quell_core::outcome::Outcome`]. It never retries by itself.

pub mod conformance;
pub mod connector;
pub mod consumer_sandbox;
pub mod context;
mod dotted;
mod dsn;
pub mod env_file;
pub mod error;
pub mod exec;
pub mod http;
pub mod http_hook;
pub mod log;
pub mod mariadb;
pub mod openbao;
mod password;
pub mod postgres;
pub mod process;
pub mod provider;
pub mod redis;
pub mod source;
pub mod systemd;
pub mod webhook;

/// Every system Quell can speak to, by id, in alphabetical order.
pub static ALL: &[&connector::Definition] = &[
    &env_file::CONNECTOR,
    &exec::CONNECTOR,
    &http_hook::CONNECTOR,
    &log::CONNECTOR,
    &mariadb::CONNECTOR,
    &openbao::CONNECTOR,
    &postgres::CONNECTOR,
    &process::CONNECTOR,
    &provider::CONNECTOR,
    &redis::CONNECTOR,
    &systemd::CONNECTOR,
    &webhook::CONNECTOR,
];

/// Finds a definition by its id.
pub fn find(id: &str) -> Option<&'static connector::Definition> {
    ALL.iter().find(|definition| definition.id == id).copied()
}
