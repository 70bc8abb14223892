//! The `redis` connector against real servers, and servers that are away, hang or lose answers.

#![expect(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    clippy::panic,
    reason = "a test that cannot go on must fail; helpers are not seen as tests by the lints"
)]

mod failures;
#[path = "../issuers/login.rs"]
mod login;
mod nodes;
#[path = "../issuers/orders.rs"]
mod orders;
#[path = "../issuers/outcome.rs"]
mod outcome;
mod rotation;

use std::time::Duration;

use quell_connect::connector::Issuer;
use quell_connect::redis::CONNECTOR;
use quell_core::outcome::Probe;
use quell_testkit::redis::Server;
use serde_json::{Value, json};

use login::{built, is_accepted, is_refused_by};
use orders::{OLD, credential};
use outcome::{fact, failed, reason};

fn issuer_with(admin: &str, config: &Value) -> Box<dyn Issuer> {
    built(&CONNECTOR, admin, config, Duration::from_secs(5))
}

/// For the user `orders` on some servers; the first one's administrator is known to all.
fn issuer(servers: &[&Server]) -> Box<dyn Issuer> {
    let nodes: Vec<String> = servers.iter().map(|server| server.address()).collect();
    let config = json!({ "admin": "env:ADMIN", "user": "orders", "nodes": nodes, "settle": "50ms" });
    issuer_with(&servers[0].admin_url(), &config)
}

/// The same for one server that has no ACL file.
fn issuer_that(persist: &str, server: &Server) -> Box<dyn Issuer> {
    let config = json!({ "admin": "env:ADMIN", "user": "orders", "persist": persist, "settle": "50ms" });
    issuer_with(&server.admin_url(), &config)
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

fn is_refused(probe: &Probe) -> bool {
    is_refused_by(probe, "WRONGPASS")
}
