//! What the connectors of Google Cloud share: who they speak to, with whose token, and what its answers mean.
//!
//! Source: "Using OAuth 2.0 for Server to Server Applications" (signed JWT grants), "Google Cloud API design guide" (errors), read 2026-11.

mod api;
mod grant;

pub(crate) use api::{Cloud, Needs, crc32c, endpoint_schema};
pub(crate) use grant::Key;
