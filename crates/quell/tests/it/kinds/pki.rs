//! A TLS certificate of an authority in OpenBao, judged by openssl with the authority's revocation list.

use std::path::PathBuf;
use std::process::Command;
use std::sync::Arc;

use quell_testkit::openbao::{Server, ask};
use serde_json::{Value, json};

use super::{Kept, Kind, Session, is_answered, survives_crashes_at, survives_lost_answers};

/// A client that asks anew for the list each time it looks at the certificate.
struct Client {
    port: u16,
    certificate: String,
}

impl Session for Client {
    fn is_alive(&mut self) -> bool {
        let folder = tempfile::tempdir().unwrap();
        let fetched = |what: &str| {
            let (_, answer) = ask(self.port, "", "GET", &format!("pki/cert/{what}"), &Value::Null).unwrap();
            answer["data"]["certificate"].as_str().unwrap().to_owned()
        };
        for (name, text) in
            [("ca.pem", &fetched("ca")), ("crl.pem", &fetched("crl")), ("leaf.pem", &self.certificate)]
        {
            std::fs::write(folder.path().join(name), text).unwrap();
        }
        let output = Command::new("openssl")
            .args(["verify", "-crl_check", "-CAfile", "ca.pem", "-CRLfile", "crl.pem", "leaf.pem"])
            .current_dir(folder.path())
            .output()
            .unwrap();
        let said = [output.stdout, output.stderr].concat();
        let revoked = String::from_utf8_lossy(&said).contains("certificate revoked");
        assert!(output.status.success() != revoked, "{}", String::from_utf8_lossy(&said));
        !revoked
    }
}

fn issue(server: &Server) -> String {
    let body = json!({"common_name": "a.example.test"});
    let made = server.request("POST", "pki/issue/web", &body).unwrap();
    let text = |name: &str| made["data"][name].as_str().unwrap().to_owned();
    format!("{}\n{}", text("certificate"), text("private_key"))
}

fn start() -> Server {
    let server = Server::start().unwrap();
    server.request("POST", "sys/mounts/pki", &json!({"type": "pki"})).unwrap();
    let root = json!({"common_name": "Test Authority", "ttl": "700h", "key_type": "ec"});
    server.request("POST", "pki/root/generate/internal", &root).unwrap();
    let role =
        json!({"allowed_domains": "example.test", "allow_subdomains": true, "key_type": "ec", "ttl": "1h"});
    server.request("POST", "pki/roles/web", &role).unwrap();
    std::fs::write(control(&server), issue(&server)).unwrap();
    server
}

fn control(server: &Server) -> PathBuf {
    server.audit_log().with_file_name("control.pem")
}

fn kind(server: &Server, port: u16) -> Kind {
    let direct = server.port();
    Kind {
        name: "tls-certificate",
        issuer: json!({"openbao": {"pki": {
            "mount": "pki", "role": "web", "common_name": "a.example.test", "settle": "50ms",
            "control": format!("file:{}", control(server).display()),
        }}}),
        connections: json!({"openbao": {"address": format!("http://127.0.0.1:{port}"), "token": "file:admin.url"}}),
        admin: server.root_token().to_owned(),
        old: issue(server),
        kept: Kept::Whole,
        door: Arc::new(move |value| {
            let mut client = Client { port: direct, certificate: value.to_owned() };
            client.is_alive().then(|| Box::new(client) as Box<dyn Session>)
        }),
    }
}

#[test]
fn a_certificate_is_replaced_and_proven() {
    let server = start();
    is_answered(|_| kind(&server, server.port()));
}

#[test]
fn a_crash_leaves_no_certificate_that_leaked() {
    let server = start();
    survives_crashes_at(&["mint", "disable", "prove"], |_| kind(&server, server.port()));
}

#[test]
fn an_answer_of_an_authority_that_is_lost_is_found_again() {
    let server = start();
    let requests = ["pki/issue/web", "pki/revoke-with-key"];
    survives_lost_answers(&requests, |_, port| kind(&server, port), server.port());
}
