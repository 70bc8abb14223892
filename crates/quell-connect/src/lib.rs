//! Speaks to issuers, stores, consumers and channels.
//!
//! One folder per system; one line in [`ALL`] registers it. This crate never decides anything: it performs,
//! observes and probes, and reports [`quell_core::outcome::Outcome`]. It never retries by itself.

mod aws;
pub mod aws_iam;
pub mod aws_secrets_manager;
pub mod blob_key;
pub mod conformance;
pub mod connector;
pub mod consumer_sandbox;
pub mod context;
mod dotted;
mod dsn;
mod effect;
pub mod env_file;
pub mod error;
pub mod exec;
pub mod file;
mod fleet;
pub mod http;
pub mod http_hook;
pub mod jwks;
pub mod log;
mod login;
pub mod mariadb;
pub mod minisign;
pub mod openbao;
mod password;
pub mod postgres;
pub mod process;
pub mod provider;
pub mod redis;
mod releases;
pub mod session_key;
mod shape;
pub mod source;
pub mod ssh;
pub mod systemd;
pub mod tls;
pub mod webhook;
mod words;
mod x509;

/// Every system Quell can speak to, by id, in alphabetical order.
pub static ALL: &[&connector::Definition] = &[
    &aws_iam::CONNECTOR,
    &aws_secrets_manager::CONNECTOR,
    &blob_key::CONNECTOR,
    &env_file::CONNECTOR,
    &exec::CONNECTOR,
    &file::CONNECTOR,
    &http_hook::CONNECTOR,
    &jwks::CONNECTOR,
    &log::CONNECTOR,
    &mariadb::CONNECTOR,
    &minisign::CONNECTOR,
    &openbao::CONNECTOR,
    &postgres::CONNECTOR,
    &process::CONNECTOR,
    &provider::CONNECTOR,
    &redis::CONNECTOR,
    &session_key::CONNECTOR,
    &ssh::CONNECTOR,
    &systemd::CONNECTOR,
    &tls::CONNECTOR,
    &webhook::CONNECTOR,
];

/// Finds a definition by its id.
pub fn find(id: &str) -> Option<&'static connector::Definition> {
    ALL.iter().find(|definition| definition.id == id).copied()
}
