//! What the connectors of GitHub share: who they speak to, with whose token, what its answers mean, and boxes that only GitHub can open.
//!
//! Source: GitHub REST API, version 2022-11-28: "Actions secrets", "Workflow runs", "Workflow jobs", "Rate limits", "Secrets reference" (when
//! Actions reads secrets), read 2026-11.

mod alerts;
mod api;
mod sealed;
mod secret;

pub use alerts::{Alert, Alerts};
pub(crate) use api::{GitHub, access_properties};
pub(crate) use sealed::seal;
pub(crate) use secret::{Level, level_properties};
