//! What the connectors of Azure share: who they speak to, with whose token, and what its answers mean.
//!
//! Source: "Microsoft identity platform and the OAuth 2.0 client credentials flow", "Azure Key Vault REST API reference" (authentication, service
//! throttling), read 2026-11.

mod api;

pub(crate) use api::{Api, Login, Refusal, endpoint_schema, login_schema};
