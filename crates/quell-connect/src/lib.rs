//! Speaks to issuers, stores, consumers and channels.
//!
//! One folder per system; one line in [`ALL`] registers it. This crate never decides anything: it performs,
//! observes and probes, and reports [`quell_core::outcome::Outcome`]. It never retries by itself.

pub mod conformance;
pub mod connector;
pub mod context;
pub mod error;
pub mod http;
pub mod openbao;
pub mod source;

/// Every system Quell can speak to, by id, in alphabetical order.
pub static ALL: &[&connector::Definition] = &[&openbao::CONNECTOR];

/// Finds a definition by its id.
pub fn find(id: &str) -> Option<&'static connector::Definition> {
    ALL.iter().find(|definition| definition.id == id).copied()
}
