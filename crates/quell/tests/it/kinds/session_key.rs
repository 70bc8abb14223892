//! A key that sessions are signed with, and two services that verify by a list of which each keeps a copy.

use std::sync::Arc;

use quell_testkit::jwks::{Service, session, show, verifier};
use serde_json::json;

use super::{
    Kept, Kind, MAKE_BEFORE_BREAK, Session, is_answered, survives_crashes_in, survives_lost_answers,
};

/// Longer than any test takes.
const LONG: u32 = 600_000;

const DOORS: [&str; 2] = ["api", "shop"];

struct Token {
    port: u16,
    name: String,
    signed: String,
}

impl Session for Token {
    /// One service that takes it is enough for a thief.
    fn is_alive(&mut self) -> bool {
        DOORS.iter().any(|door| {
            show(self.port, "shared", &format!("{door}-{}", self.name), LONG, &self.signed).unwrap() == 200
        })
    }
}

fn start() -> Service {
    let service = Service::start().unwrap();
    std::fs::write(service.list_file(), "").unwrap();
    service
}

fn kind(service: &Service, name: &str, port: u16) -> Kind {
    let old = format!("canary-{name}-{}", "Zx9".repeat(8));
    let list = std::fs::read_to_string(service.list_file()).unwrap();
    std::fs::write(service.list_file(), format!("{old}\n{list}")).unwrap();
    let verifiers = DOORS.map(|door| verifier(port, "shared", &format!("{door}-{name}"), LONG));
    let (direct, name) = (service.port(), name.to_owned());
    Kind {
        name: "session-key",
        issuer: json!({"session_key": {
            "keys": {"file": {"path": service.list_file()}},
            "verifiers": verifiers,
            "claims": {"iss": "https://id.test", "aud": "orders", "sub": "quell-canary"},
            "settle": "50ms",
        }}),
        connections: json!({}),
        admin: "none".to_owned(),
        old,
        kept: Kept::Key,
        door: Arc::new(move |value| {
            let signed = session(direct, "jwt", value).unwrap();
            let mut token = Token { port: direct, name: name.clone(), signed };
            token.is_alive().then(|| Box::new(token) as Box<dyn Session>)
        }),
    }
}

/// No old key is in the list.
#[track_caller]
fn assert_replaced(service: &Service) {
    let list = std::fs::read_to_string(service.list_file()).unwrap();
    assert!(list.lines().count() > 1 && !list.contains("canary-") && !list.contains("quell-nobody"));
}

#[test]
fn a_session_key_is_taken_out_replaced_and_proven_at_every_service() {
    let service = start();
    is_answered(|name| kind(&service, name, service.port()));
    assert_replaced(&service);
}

#[test]
fn a_crash_leaves_one_session_key_and_nobody_who_takes_the_old_one() {
    let service = start();
    survives_crashes_in(MAKE_BEFORE_BREAK, &["disable", "mint", "install", "prove"], |name| {
        kind(&service, name, service.port())
    });
    assert_replaced(&service);
}

#[test]
fn an_answer_of_a_service_that_is_lost_is_settled_by_sessions() {
    let service = start();
    survives_lost_answers(&["/refresh", "/me"], |name, port| kind(&service, name, port), service.port());
    assert_replaced(&service);
}
