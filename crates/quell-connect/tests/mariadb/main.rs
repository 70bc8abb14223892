//! The `mariadb` connector against real servers, and servers that are away, hang or lose answers.

#![expect(
    clippy::unwrap_used,
    clippy::panic,
    reason = "a test that cannot go on must fail; helpers are not seen as tests by the lints"
)]

mod accounts;
mod failures;
mod rotation;

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use quell_connect::connector::{Check, Issuer};
use quell_connect::context::Context;
use quell_connect::mariadb::CONNECTOR;
use quell_core::outcome::{Outcome, Probe};
use quell_core::secret::{Credential, SecretValue};
use quell_testkit::mariadb::Server;
use serde_json::{Value, json};

const OLD: &str = "CANARY-old-password";

fn context(admin: &str, limit: Duration) -> Context {
    let http = quell_connect::http::Client::new(limit, None).unwrap();
    let mut context = Context::new(Path::new("/nonexistent").to_owned(), http);
    context.call_limit = limit;
    context.environment = Arc::new(BTreeMap::from([("ADMIN".to_owned(), admin.to_owned())]));
    context
}

fn issuer_with(admin: &str, config: &Value) -> Box<dyn Issuer> {
    CONNECTOR.issuer.unwrap()(config, &context(admin, Duration::from_secs(8))).unwrap()
}

/// For the account 'orders'@'%'.
fn issuer(server: &Server) -> Box<dyn Issuer> {
    issuer_with(&server.admin_url(), &json!({ "admin": "env:ADMIN", "user": "orders", "settle": "50ms" }))
}

/// A server with the account.
fn server() -> Server {
    let server = Server::start().unwrap();
    server.sql(&format!("CREATE USER orders@'%' IDENTIFIED BY '{OLD}'")).unwrap();
    server
}

/// How the account logs in, as the server tells.
fn shown(server: &Server) -> String {
    server.sql("SHOW CREATE USER orders@'%'").unwrap()
}

fn credential(value: &str) -> Credential {
    Credential { principal: "orders".to_owned(), value: SecretValue::from_text(value.to_owned()) }
}

fn is_accepted(probe: &Probe) -> bool {
    matches!(probe, Probe::Accepted { .. })
}

fn is_refused(probe: &Probe) -> bool {
    matches!(probe, Probe::Refused { code, .. } if code == "1045")
}

fn fact<'a>(outcome: &'a Outcome, name: &str) -> &'a Value {
    let Outcome::Applied { facts } = outcome else { panic!("not applied: {outcome:?}") };
    &facts[name]
}

fn reason(outcome: &Outcome) -> &str {
    match outcome {
        Outcome::Applied { .. } => panic!("applied: {outcome:?}"),
        Outcome::NotApplied { reason, .. } | Outcome::Unknown { reason } => reason,
    }
}

fn failed(checks: &[Check]) -> Vec<&str> {
    checks.iter().filter(|check| !check.ok).map(|check| check.detail.as_str()).collect()
}
