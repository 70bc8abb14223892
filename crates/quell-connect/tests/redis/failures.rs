//! Servers that are away, hang, lose answers, or speak TLS with another certificate.

use std::time::Duration;

use quell_connect::conformance::{self, Fault, FlakyProxy, Subject};
use quell_connect::connector::IssuerOp;
use quell_connect::redis::CONNECTOR;
use quell_core::outcome::{Outcome, Probe};
use quell_testkit::redis::{Keeps, Server};
use serde_json::json;

use crate::{OLD, built, credential, failed, is_accepted, is_refused, issuer, issuer_with, prepare, reason};

#[tokio::test]
async fn a_hung_server_is_unknown() {
    conformance::hung(Duration::from_secs(5), |address| {
        let admin = format!("redis://boss:CANARY-admin@{address}");
        let config = json!({ "admin": "env:ADMIN", "user": "orders" });
        Subject::Issuer(built(&CONNECTOR, &admin, &config, Duration::from_millis(400)), credential(OLD))
    })
    .await
    .unwrap();
}

#[tokio::test]
async fn an_answer_that_is_lost_is_unknown_and_the_next_try_finds_the_effect() {
    let server = Server::start(Keeps::File).unwrap();
    prepare(&[&server]);
    let proxy = FlakyProxy::start(([127, 0, 0, 1], server.port()).into()).unwrap();
    let admin = format!("redis://boss:{}@{}", server.password(), proxy.address());
    let far = issuer_with(&admin, &json!({ "admin": "env:ADMIN", "user": "orders" }));
    let old = credential(OLD);
    let passwords = || server.ask(&["ACL", "GETUSER", "orders"]).unwrap();
    let before = passwords();
    // Each answer in turn.
    for command in ["AUTH", "WHOAMI", "GETUSER", "SETUSER", "SAVE", "CLIENT", "TIME"] {
        let struck = proxy.struck();
        proxy.once(Fault::DropAnswerTo(command.as_bytes().to_vec())).await;
        let outcome = far.perform(IssuerOp::Disable { old: &old }).await.outcome;
        assert_eq!(proxy.struck(), struck + 1, "{command} was not sent");
        let gone = passwords() != before;
        assert!(matches!(outcome, Outcome::Unknown { .. }), "{command}: {outcome:?}");
        assert_eq!(gone, matches!(command, "SETUSER" | "SAVE" | "CLIENT" | "TIME"), "{command}");
        assert!(!format!("{outcome:?}").contains(OLD));
    }
    proxy.set(Fault::Pass).await;
    assert!(far.perform(IssuerOp::Disable { old: &old }).await.outcome.is_applied());
    assert!(far.observe(IssuerOp::Disable { old: &old }).await.outcome.is_applied());
}

#[tokio::test]
async fn what_is_away_or_refuses_us_is_named_with_what_to_do() {
    let mut server = Server::start(Keeps::File).unwrap();
    prepare(&[&server]);
    let near = issuer(&[&server]);
    let wrong =
        issuer_with(&server.url("boss", "CANARY-wrong"), &json!({ "admin": "env:ADMIN", "user": "orders" }));
    let outcome = wrong.perform(IssuerOp::Disable { old: &credential(OLD) }).await.outcome;
    assert!(matches!(outcome, Outcome::NotApplied { retryable: false, .. }), "{outcome:?}");
    assert!(
        reason(&outcome).contains("renew what `admin` refers to") && !reason(&outcome).contains("CANARY"),
        "{outcome:?}"
    );
    assert!(is_refused(&wrong.control().await));
    assert_eq!(failed(&wrong.check().await).len(), 1);
    server.stop();
    let outcome = near.perform(IssuerOp::Disable { old: &credential(OLD) }).await.outcome;
    assert!(matches!(outcome, Outcome::NotApplied { retryable: true, .. }), "{outcome:?}");
    assert!(reason(&outcome).contains("connection refused"), "{outcome:?}");
    assert!(matches!(near.probe(&credential(OLD)).await, Probe::Inconclusive { .. }));
}

#[tokio::test]
async fn tls_is_checked_against_the_given_authority() {
    let folder = tempfile::tempdir().unwrap();
    let at = |name: &str| folder.path().join(name).display().to_string();
    for name in ["ours", "other"] {
        let made = std::process::Command::new("openssl")
            .args([
                "req",
                "-x509",
                "-newkey",
                "ec",
                "-pkeyopt",
                "ec_paramgen_curve:P-256",
                "-nodes",
                "-days",
                "2",
            ])
            .args(["-subj", "/CN=localhost", "-addext", "subjectAltName=IP:127.0.0.1"])
            .args(["-addext", "basicConstraints=critical,CA:FALSE"])
            .args(["-keyout", &at(&format!("{name}.key")), "-out", &at(&format!("{name}.pem"))])
            .output()
            .unwrap();
        assert!(made.status.success(), "{}", String::from_utf8_lossy(&made.stderr));
    }
    let files = [format!("tls-cert-file {}", at("ours.pem")), format!("tls-key-file {}", at("ours.key"))];
    let options = [&*files[0], &files[1], "tls-auth-clients no"];
    let server = Server::start_with(Keeps::File, &options).unwrap();
    prepare(&[&server]);
    let with = |ca: &str| {
        issuer_with(
            &server.admin_url(),
            &json!({ "admin": "env:ADMIN", "user": "orders", "ca": at(ca), "settle": "50ms" }),
        )
    };
    assert!(is_accepted(&with("ours.pem").control().await), "{:?}", with("ours.pem").control().await);
    conformance::issuer(&*with("ours.pem"), &credential(&server.url("orders", OLD))).await.unwrap();
    for ca in ["other.pem", "ours.key", "absent.pem"] {
        assert!(matches!(with(ca).control().await, Probe::Inconclusive { .. }), "{ca}");
        assert!(!with(ca).perform(IssuerOp::Disable { old: &credential(OLD) }).await.outcome.is_applied());
    }
}
