//! The `redis` connector against real servers, and servers that are away, hang or lose answers.

#![expect(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    clippy::panic,
    reason = "a test that cannot go on must fail; helpers are not seen as tests by the lints"
)]

mod failures;
mod nodes;
mod rotation;

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use quell_connect::connector::{Check, Issuer};
use quell_connect::context::Context;
use quell_connect::redis::CONNECTOR;
use quell_core::outcome::{Outcome, Probe};
use quell_core::secret::{Credential, SecretValue};
use quell_testkit::redis::Server;
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
    CONNECTOR.issuer.unwrap()(config, &context(admin, Duration::from_secs(5))).unwrap()
}

/// For the user `orders` on some servers; the first one's administrator is known to all.
fn issuer(servers: &[&Server]) -> Box<dyn Issuer> {
    let nodes: Vec<String> = servers.iter().map(|server| server.address()).collect();
    let config = json!({ "admin": "env:ADMIN", "user": "orders", "nodes": nodes, "settle": "50ms" });
    issuer_with(&servers[0].admin_url(), &config)
}

/// Makes the user, and on all but the first server also its administrator.
fn prepare(servers: &[&Server]) {
    for server in servers {
        let rule = format!(">{OLD}");
        server
            .ask(&["ACL", "SETUSER", "orders", "on", &rule, "~orders:*", "+@read", "+@write", "+ping"])
            .unwrap();
        let boss = format!(">{}", servers[0].password());
        server.ask(&["ACL", "SETUSER", "boss", &boss]).unwrap();
    }
}

fn credential(value: &str) -> Credential {
    Credential { principal: "orders".to_owned(), value: SecretValue::from_text(value.to_owned()) }
}

fn is_accepted(probe: &Probe) -> bool {
    matches!(probe, Probe::Accepted { .. })
}

fn is_refused(probe: &Probe) -> bool {
    matches!(probe, Probe::Refused { code, .. } if code == "WRONGPASS")
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
