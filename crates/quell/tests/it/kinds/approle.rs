//! A secret id of an `AppRole` on a real OpenBao, tried by a login; the session is the token that it gave.

use std::path::PathBuf;
use std::sync::Arc;

use quell_testkit::openbao::{Server, ask};
use serde_json::{Value, json};

use super::{Kept, Kind, Session, is_answered, survives_crashes_at, survives_lost_answers};

const CONTROL: &str = "canary-control-Zx9Zx9Zx9Zx9Zx9Zx9";

struct Token {
    port: u16,
    token: String,
}

impl Session for Token {
    fn is_alive(&mut self) -> bool {
        ask(self.port, &self.token, "GET", "auth/token/lookup-self", &Value::Null).unwrap().0 == 200
    }
}

fn start() -> Server {
    let server = Server::start().unwrap();
    enable(&server);
    server
}

/// Roles can log in, and there is one that serves as control.
pub(crate) fn enable(server: &Server) {
    server.request("POST", "sys/auth/approle", &json!({"type": "approle"})).unwrap();
    role(server, "quell-control", CONTROL);
    std::fs::write(control(server), CONTROL).unwrap();
}

fn control(server: &Server) -> PathBuf {
    server.audit_log().with_file_name("control")
}

fn role(server: &Server, name: &str, secret_id: &str) {
    let at = |rest: &str| format!("auth/approle/role/{name}{rest}");
    server.request("POST", &at(""), &json!({"token_policies": ["default"], "token_ttl": "1h"})).unwrap();
    server.request("POST", &at("/role-id"), &json!({"role_id": format!("{name}-id")})).unwrap();
    server.request("POST", &at("/custom-secret-id"), &json!({"secret_id": secret_id})).unwrap();
}

pub(crate) fn kind(server: &Server, name: &str, port: u16) -> Kind {
    let old = format!("canary-{name}-{}", "Zx9".repeat(6));
    role(server, name, &old);
    let (direct, role_id) = (server.port(), format!("{name}-id"));
    Kind {
        name: "openbao-secret-id",
        issuer: json!({"openbao": {"approle": {
            "role": name, "settle": "50ms",
            "control": {"role": "quell-control", "secret_id": format!("file:{}", control(server).display())},
        }}}),
        connections: json!({"openbao": {"address": format!("http://127.0.0.1:{port}"), "token": "file:admin.url"}}),
        admin: server.root_token().to_owned(),
        old,
        kept: Kept::Key,
        door: Arc::new(move |value| {
            let body = json!({"role_id": role_id, "secret_id": value});
            let (status, answer) = ask(direct, "", "POST", "auth/approle/login", &body).unwrap();
            assert!(matches!(status, 200 | 400), "a role was locked: {answer}");
            let token = answer["auth"]["client_token"].as_str()?.to_owned();
            Some(Box::new(Token { port: direct, token }) as Box<dyn Session>)
        }),
    }
}

/// Each role ends with one secret id, and with no token but those of it.
#[track_caller]
fn assert_one_each(server: &Server) {
    let list = |path: &str| {
        let answer = server.request("GET", &format!("{path}?list=true"), &Value::Null).unwrap();
        let keys = answer["data"]["keys"].as_array().unwrap().clone();
        keys.into_iter().map(|key| key.as_str().unwrap().to_owned()).collect::<Vec<_>>()
    };
    let roles = list("auth/approle/role");
    assert!(roles.len() > 2, "{roles:?}");
    for role in roles.iter().filter(|role| *role != "quell-control") {
        assert_eq!(list(&format!("auth/approle/role/{role}/secret-id")).len(), 1, "{role}");
    }
    let mut tokens = 0;
    for accessor in list("auth/token/accessors") {
        let body = json!({"accessor": accessor});
        let facts = server.request("POST", "auth/token/lookup-accessor", &body).unwrap();
        if facts["data"]["path"] == "auth/approle/login" {
            assert!(facts["data"]["meta"]["quell"].is_string(), "a token of a leaked secret id: {facts}");
            tokens += 1;
        }
    }
    assert!(tokens > 0);
}

#[test]
fn a_secret_id_is_replaced_and_proven() {
    let server = start();
    is_answered(|name| kind(&server, name, server.port()));
    assert_one_each(&server);
}

#[test]
fn a_crash_leaves_one_live_secret_id_and_no_token_of_the_old_one() {
    let server = start();
    survives_crashes_at(&["install", "disable", "sever", "prove"], |name| kind(&server, name, server.port()));
    assert_one_each(&server);
}

#[test]
fn an_answer_of_openbao_that_is_lost_is_found_again() {
    let server = start();
    let requests = ["custom-secret-id", "secret-id-accessor/destroy", "auth/token/revoke-accessor"];
    survives_lost_answers(&requests, |name, port| kind(&server, name, port), server.port());
    assert_one_each(&server);
}
