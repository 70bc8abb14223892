//! The `openbao` connector against a real OpenBao, its sandbox, and servers that misbehave.

#![expect(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    clippy::panic,
    reason = "a test that cannot go on must fail; helpers are not seen as tests by the lints"
)]

mod approle;
mod database;
#[path = "../issuers/outcome.rs"]
mod outcome;
mod pki;
mod proxy;
mod reach;
mod store;
mod token;
mod transit;

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use quell_connect::connector::Issuer;
use quell_connect::context::Context;
use quell_connect::openbao::CONNECTOR;
use quell_core::outcome::Outcome;
use quell_core::secret::SecretValue;
use serde_json::{Value, json};

use outcome::{fact, failed, reason};

/// A context whose connection points at `addr`; the token comes from a variable.
fn context(addr: &str, token: &str) -> Context {
    let limit = Duration::from_secs(5);
    let http = quell_connect::http::Client::new(limit, None).unwrap();
    let mut ctx = Context::new(Path::new("/nonexistent").to_owned(), http);
    ctx.call_limit = limit;
    let connection = json!({ "address": addr, "token": "env:TOKEN" });
    ctx.connections = Arc::new(BTreeMap::from([("openbao".to_owned(), connection)]));
    ctx.environment = Arc::new(BTreeMap::from([("TOKEN".to_owned(), token.to_owned())]));
    ctx
}

fn issuer(ctx: &Context, config: &Value) -> Box<dyn Issuer> {
    CONNECTOR.issuer.unwrap()(config, ctx).unwrap()
}

fn value(text: &str) -> SecretValue {
    SecretValue::from_text(text.to_owned())
}

/// `None` when it is not `NotApplied`.
fn retryable(outcome: &Outcome) -> Option<bool> {
    match outcome {
        Outcome::NotApplied { retryable, .. } => Some(*retryable),
        Outcome::Applied { .. } | Outcome::Unknown { .. } => None,
    }
}

fn unknown(outcome: &Outcome) -> bool {
    matches!(outcome, Outcome::Unknown { .. })
}

/// The n-th policy of the operator's page: store, token, database, `AppRole`, certificate, reach, transit.
fn policy(n: usize) -> String {
    CONNECTOR.readme.split("```hcl").nth(n + 1).unwrap().split("```").next().unwrap().to_owned()
}
