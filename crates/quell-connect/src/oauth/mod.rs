//! OAuth 2.0 servers: leaked refresh and access tokens (RFC 7009, RFC 7662), and the secrets of clients (RFC 7592).
//!
//! The facts are those of the RFCs, asked of `oidc-provider` 8.8.1 (2026-11), on which all of it is tested.

mod config;
mod door;
mod family;
mod jwt;
mod look;
mod registration;
mod secret;
mod server;
mod token;
mod trial;

use serde_json::Value;

use crate::connector::{Definition, Issuer};
use crate::context::Context;
use crate::error::ConfigError;
use config::Config;

/// The registration of this connector.
pub static CONNECTOR: Definition = Definition {
    id: "oauth",
    summary: "OAuth 2.0 and OpenID Connect servers: refresh tokens, access tokens and client secrets as issuer",
    readme: include_str!("README.md"),
    schemas: || vec![("issuer", config::schema())],
    issuer: Some(build),
    store: None,
    reload: None,
    observe: None,
    notify: None,
    channel: None,
};

fn build(config: &Value, ctx: &Context) -> Result<Box<dyn Issuer>, ConfigError> {
    let config: Config = ConfigError::parse(config)?;
    config.check()?;
    // Resources that ask the server each time notice at once; most keep an answer for a moment.
    let settle_ms = ConfigError::settle_ms(config.settle, 2000)?;
    match (&config.token, &config.client_secret) {
        (Some(token), _) => Ok(Box::new(token::Tokens::new(ctx, &config, token.clone(), settle_ms))),
        (None, Some(secret)) => Ok(Box::new(secret::Secrets::new(ctx, &config, secret, settle_ms)?)),
        (None, None) => {
            Err(ConfigError::at("token", "it does not say which credential leaks", "Write `token:`."))
        }
    }
}
