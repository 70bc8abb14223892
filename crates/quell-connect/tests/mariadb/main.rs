//! The `mariadb` connector against real servers, and servers that are away, hang or lose answers.

#![expect(
    clippy::unwrap_used,
    clippy::panic,
    reason = "a test that cannot go on must fail; helpers are not seen as tests by the lints"
)]

mod accounts;
mod failures;
#[path = "../issuers/login.rs"]
mod login;
#[path = "../issuers/orders.rs"]
mod orders;
#[path = "../issuers/outcome.rs"]
mod outcome;
mod rotation;

use std::time::Duration;

use quell_connect::connector::Issuer;
use quell_connect::mariadb::CONNECTOR;
use quell_core::outcome::Probe;
use quell_testkit::mariadb::Server;
use serde_json::{Value, json};

use login::{built, is_accepted, is_refused_by};
use orders::{OLD, credential};
use outcome::{fact, failed, reason};

fn issuer_with(admin: &str, config: &Value) -> Box<dyn Issuer> {
    built(&CONNECTOR, admin, config, Duration::from_secs(8))
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

fn is_refused(probe: &Probe) -> bool {
    is_refused_by(probe, "1045")
}
