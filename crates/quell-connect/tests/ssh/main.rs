//! The `ssh` connector against real servers, and servers that are away, hang, lose answers or are somebody else.

#![expect(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    clippy::panic,
    reason = "a test that cannot go on must fail; helpers are not seen as tests by the lints"
)]

mod failures;
mod hosts;
#[path = "../issuers/login.rs"]
mod login;
#[path = "../issuers/outcome.rs"]
mod outcome;
mod rotation;

use std::time::Duration;

use quell_connect::connector::Issuer;
use quell_connect::ssh::CONNECTOR;
use quell_core::outcome::Probe;
use quell_core::secret::{Credential, SecretValue};
use quell_testkit::sshd::Server;
use serde_json::{Value, json};

use login::{built, is_accepted, is_refused_by};
use outcome::{fact, failed, reason};

/// What is configured for some servers, whose administrator is the first one's.
fn config(servers: &[&Server]) -> Value {
    let first = servers[0];
    let mut known = String::new();
    for server in servers {
        known.push_str(&std::fs::read_to_string(server.known_hosts()).unwrap());
        let admin = std::fs::read_to_string(first.folder().join("admin.pub")).unwrap();
        let file = server.keys_of(server.admin());
        let keys = std::fs::read_to_string(&file).unwrap();
        if !keys.contains(admin.trim()) {
            std::fs::write(&file, keys + &admin).unwrap();
        }
    }
    let path = first.folder().join("all_known_hosts");
    std::fs::write(&path, known).unwrap();
    let hosts: Vec<String> = servers.iter().map(|it| format!("127.0.0.1:{}", it.port())).collect();
    json!({
        "user": first.user(), "hosts": hosts, "known_hosts": path, "admin": "env:ADMIN",
        "admin_user": first.admin(), "authorized_keys": [first.keys()], "settle": "50ms",
    })
}

/// Each server keeps keys in its own folder, so what is configured holds for one.
fn issuer(server: &Server) -> Box<dyn Issuer> {
    issuer_with(server, &config(&[server]))
}

fn issuer_with(server: &Server, config: &Value) -> Box<dyn Issuer> {
    built(&CONNECTOR, &server.admin_key().unwrap(), config, Duration::from_secs(10))
}

fn credential(server: &Server, private: &str) -> Credential {
    Credential {
        principal: server.user().to_owned(),
        value: SecretValue::from_text(private.trim_end().to_owned()),
    }
}

fn text(credential: &Credential) -> &str {
    credential.value.expose_text().unwrap()
}

fn is_refused(probe: &Probe) -> bool {
    is_refused_by(probe, "publickey denied")
}

/// The account's file of keys.
fn keys(server: &Server) -> String {
    std::fs::read_to_string(server.keys_of(server.user())).unwrap()
}
