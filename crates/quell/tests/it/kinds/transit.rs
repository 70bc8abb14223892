//! A wrapped key on a real OpenBao, opened by its transit engine; consumers unwrap it when they start.

use std::sync::Arc;

use quell_testkit::openbao::{Server, ask};
use serde_json::{Value, json};

use super::{
    KILL_FIRST, Kept, Kind, Place, Session, is_answered, survives_crashes_in, survives_lost_answers,
};
use crate::world::{private, text};

/// A wrapped key has no connection: each time the server is asked anew.
struct Unwraps {
    port: u16,
    token: String,
    path: String,
    wrapped: String,
}

impl Session for Unwraps {
    fn is_alive(&mut self) -> bool {
        let body = json!({"ciphertext": self.wrapped});
        ask(self.port, &self.token, "POST", &self.path, &body).unwrap().0 == 200
    }
}

fn start() -> Server {
    let server = Server::start().unwrap();
    server.request("POST", "sys/mounts/transit", &json!({"type": "transit"})).unwrap();
    server
}

fn wrapped(server: &Server, key: &str) -> String {
    let made = server.request("POST", &format!("transit/datakey/wrapped/{key}"), &json!({})).unwrap();
    made["data"]["ciphertext"].as_str().unwrap().to_owned()
}

fn kind(server: &Server, name: &str, port: u16) -> Kind {
    server.request("POST", &format!("transit/keys/{name}"), &json!({})).unwrap();
    let dek = server.audit_log().with_file_name(format!("dek-{name}"));
    std::fs::write(&dek, wrapped(server, name)).unwrap();
    let (direct, token) = (server.port(), server.root_token().to_owned());
    let path = format!("transit/decrypt/{name}");
    Kind {
        name: "key-encryption-key",
        issuer: json!({"openbao": {"transit": {
            "key": name, "settle": "50ms", "trim": true, "deks": [{"file": {"path": dek}}],
            "contents": {"data": ["cards"]},
        }}}),
        connections: json!({"openbao": {"address": format!("http://127.0.0.1:{port}"), "token": "file:admin.url"}}),
        admin: server.root_token().to_owned(),
        old: wrapped(server, name),
        kept: Kept::Key,
        door: Arc::new(move |value| {
            let (token, path) = (token.clone(), path.clone());
            let mut session = Unwraps { port: direct, token, path, wrapped: value.to_owned() };
            session.is_alive().then(|| Box::new(session) as Box<dyn Session>)
        }),
    }
}

/// However often something was lost or killed: one new version, the first is deleted, and the listed key opens.
#[track_caller]
fn assert_one_new_version_each(server: &Server) {
    let list = server.request("GET", "transit/keys?list=true", &Value::Null).unwrap();
    let keys = list["data"]["keys"].as_array().unwrap();
    assert!(keys.len() > 1);
    for key in keys.iter().map(|key| key.as_str().unwrap()) {
        let facts = server.request("GET", &format!("transit/keys/{key}"), &Value::Null).unwrap();
        let number = |name: &str| facts["data"][name].as_u64().unwrap();
        assert_eq!((number("latest_version"), number("min_decryption_version")), (2, 2), "{key}");
        assert_eq!(number("min_available_version"), 2, "{key}");
        let dek = std::fs::read_to_string(server.audit_log().with_file_name(format!("dek-{key}"))).unwrap();
        let body = json!({"ciphertext": dek.trim()});
        server.request("POST", &format!("transit/decrypt/{key}"), &body).unwrap();
    }
}

#[test]
fn a_wrapped_key_is_wrapped_anew_and_proven() {
    let server = start();
    is_answered(|name| kind(&server, name, server.port()));
    assert_one_new_version_each(&server);
}

#[test]
fn a_crash_leaves_one_new_version_and_every_key_whole() {
    let server = start();
    let steps = ["mint", "probe-new", "store-0", "disable", "prove", "retire"];
    // Both orders are one here: there is another key first.
    survives_crashes_in(KILL_FIRST, &steps, |name| kind(&server, name, server.port()));
    assert_one_new_version_each(&server);
}

#[test]
fn an_answer_about_a_wrapped_key_that_is_lost_is_found_again() {
    let server = start();
    let requests = ["/rotate", "/v1/transit/rewrap", "/config", "/trim"];
    survives_lost_answers(&requests, |name, port| kind(&server, name, port), server.port());
    assert_one_new_version_each(&server);
}

/// What leaked is good somewhere else; the store's value is this issuer's, and is killed. Nothing is proven of the other.
pub(super) fn is_not_believed_of_another(
    mut place: Place,
    stranger: &str,
    why: &str,
    is_good: impl Fn() -> bool,
) {
    private(&place.folder.path().join("leaked"), stranger);
    let args =
        ["incident", "open", "--secret", "orders", "--channel", KILL_FIRST.1, "--value-file", "leaked"];
    let opened: Value = serde_json::from_str(&place.ok(&[&args[..], &["--json"]].concat(), None)).unwrap();
    let id = opened["incident"].as_str().unwrap();
    let answered = place.quell(&["respond", id], None);
    let said = text(&answered.stderr);
    assert!(!answered.status.success() && said.contains(why), "{said}");
    let shown: Value = serde_json::from_str(&place.ok(&["incident", "show", id, "--json"], None)).unwrap();
    assert_eq!(shown["secrets"][0]["inert"], false, "{shown}");
    assert!((place.kind.door)(&place.kind.old).is_none() && !place.stranger.is_alive());
    assert!(is_good());
}

/// The trap: its version is refused as well.
#[test]
fn what_another_key_wrapped_is_not_believed_dead() {
    let server = start();
    let place = Place::new(kind(&server, "orders", server.port()));
    server.request("POST", "transit/keys/mail", &json!({})).unwrap();
    let foreign = wrapped(&server, "mail");
    let body = json!({"ciphertext": foreign});
    let opens = || server.request("POST", "transit/decrypt/mail", &body).is_ok();
    is_not_believed_of_another(place, &foreign, "whichever key wrapped it", opens);
}
