//! The `session_key` connector against services that verify tokens with `PyJWT` and cookies with Flask, each with a copy of the list of its own.

#![expect(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    clippy::panic,
    reason = "a test that cannot go on must fail; helpers are not seen as tests by the lints"
)]

#[path = "../issuers/login.rs"]
mod login;
#[path = "../issuers/outcome.rs"]
mod outcome;

use std::os::unix::fs::PermissionsExt as _;
use std::time::Duration;

use quell_connect::conformance::{self, Subject};
use quell_connect::connector::{Issuer, IssuerOp};
use quell_connect::session_key::CONNECTOR;
use quell_core::issuer::Overlap;
use quell_core::outcome::{Outcome, Probe};
use quell_core::secret::{Credential, SecretValue};
use quell_testkit::jwks::{Service, session, show, verifier};
use serde_json::{Value, json};

use login::{built, is_accepted, is_refused_by};
use outcome::{fact, failed, reason};

const LONG: u32 = 600_000;
const OLD: &str = "CANARY-old-session-key-0123456789";
const OTHER: &str = "CANARY-other-session-key-0123456789";

fn start(list: &str) -> Service {
    let service = Service::start().unwrap();
    std::fs::write(service.list_file(), list).unwrap();
    std::fs::set_permissions(service.list_file(), std::fs::Permissions::from_mode(0o600)).unwrap();
    service
}

fn config(service: &Service, form: &str) -> Value {
    let (kind, mut claims) =
        ("shared", json!({ "iss": "https://id.test", "aud": "orders", "sub": "quell-canary" }));
    let mut doors =
        vec![verifier(service.port(), kind, "api", LONG), verifier(service.port(), kind, "shop", LONG)];
    if form == "flask" {
        claims = json!({ "user": "quell-canary" });
        doors = vec![verifier(service.port(), form, "shop", LONG)];
        for door in &mut doors {
            let more = json!({ "cookie": "session", "refuses": { "status": 302 } });
            door.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
        }
    }
    json!({
        "keys": { "file": { "path": service.list_file() } }, "form": form, "verifiers": doors, "claims": claims, "settle": "50ms",
    })
}

fn issuer(service: &Service, form: &str, control: &str) -> Box<dyn Issuer> {
    let mut config = config(service, form);
    if !control.is_empty() {
        config["control"] = json!("env:ADMIN");
    }
    built(&CONNECTOR, control, &config, Duration::from_secs(10))
}

fn credential(issuer: &dyn Issuer, key: &str) -> Credential {
    issuer.identify(&SecretValue::from_text(key.to_owned())).unwrap()
}

fn list(service: &Service) -> String {
    std::fs::read_to_string(service.list_file()).unwrap()
}

#[tokio::test]
async fn it_keeps_the_contract_for_tokens_and_cookies() {
    for form in ["jwt", "flask"] {
        let service = start(&format!("{OLD}\n{OTHER}\n"));
        let issuer = issuer(&service, form, OTHER);
        conformance::issuer(&*issuer, &credential(&*issuer, OLD)).await.unwrap();
        let left = list(&service);
        assert!(
            left.ends_with(&format!("\n{OTHER}\n")) && !left.contains(OLD) && left.lines().count() == 2,
            "{form}"
        );
    }
}

#[tokio::test]
async fn the_only_key_dies_before_its_successor_exists() {
    for (form, kind, name) in [("jwt", "shared", "api"), ("flask", "flask", "shop")] {
        let service = start(&format!("{OLD}\n"));
        let issuer = issuer(&service, form, "");
        assert!(matches!(issuer.overlap(), Overlap::Never { .. }) && !issuer.has_control());
        let status = |key: &str| {
            // A cookie is shown where a bearer's token is: the service takes either.
            let token = session(service.port(), form, key).unwrap();
            show(service.port(), kind, name, LONG, &token).unwrap()
        };
        let refused = if form == "flask" { 302 } else { 401 };
        assert_eq!(status(OLD), 200, "what the service itself signs is let in");
        let old = credential(&*issuer, OLD);
        assert!(is_accepted(&issuer.probe(&old).await));
        let disabled = issuer.perform(IssuerOp::Disable { old: &old }).await.outcome;
        assert_eq!(fact(&disabled, "already"), false);
        assert!(list(&service).starts_with("quell-nobody-"), "no service stands without a key");
        assert_eq!(status(OLD), refused);
        let new = issuer.choose(Some(&old), "tag").await.unwrap();
        assert!(issuer.perform(IssuerOp::Install { new: &new }).await.outcome.is_applied());
        let text = new.value.expose_text().unwrap();
        assert_eq!(list(&service), format!("{text}\n"));
        assert_eq!((status(text), status(OLD)), (200, refused));
        let code = if form == "flask" { "302" } else { "401 invalid_token" };
        assert!(is_accepted(&issuer.probe(&new).await) && is_refused_by(&issuer.probe(&old).await, code));
        assert_eq!(issuer.sessions(&old, None).await.unwrap(), 0);
        assert_eq!(failed(&issuer.check().await), [""; 0]);
    }
}

#[tokio::test]
async fn a_service_that_keeps_its_copy_is_named() {
    let service = start(&format!("{OLD}\n{OTHER}\n"));
    let mut config = config(&service, "jwt");
    config["verifiers"]
        .as_array_mut()
        .unwrap()
        .get_mut(1)
        .unwrap()
        .as_object_mut()
        .unwrap()
        .remove("refresh");
    let issuer = built(&CONNECTOR, "", &config, Duration::from_secs(10));
    let old = credential(&*issuer, OLD);
    assert!(is_accepted(&issuer.probe(&old).await));
    let warnings = issuer.warnings(None).await;
    assert!(warnings.iter().any(|it| it.starts_with("shop cannot be told")), "{warnings:?}");
    let outcome = issuer.perform(IssuerOp::Disable { old: &old }).await.outcome;
    assert!(reason(&outcome).starts_with("shop still takes the key"), "{outcome:?}");
    assert!(
        matches!(&outcome, Outcome::NotApplied { retryable: true, facts, .. } if facts.get("already") == Some(&json!(false)))
    );
    assert!(is_accepted(&issuer.probe(&old).await), "one that takes it is enough");
    assert_eq!(issuer.sessions(&old, None).await.unwrap(), 1);
    assert!(!format!("{outcome:?}").contains("CANARY"));
}

#[tokio::test]
async fn what_is_no_shared_key_or_not_this_list_s_is_said() {
    let service = start(&format!("{OTHER}\n"));
    let issuer = issuer(&service, "jwt", "");
    for (value, why) in [
        ("-----BEGIN PRIVATE KEY-----\nhunter2", "issuer `jwks`"),
        ("{\"kty\":\"oct\"}", "issuer `jwks`"),
        ("hunter2\nhunter3", "a list"),
        ("", "empty"),
    ] {
        let error = issuer.identify(&SecretValue::from_text(value.to_owned())).unwrap_err().to_string();
        assert!(error.contains(why) && !error.contains("hunter2"), "{error}");
    }
    let stranger = credential(&*issuer, OLD);
    assert!(is_refused_by(&issuer.probe(&stranger).await, "401 invalid_token"));
    assert!(issuer.elsewhere(&stranger).await.unwrap().contains("somebody else"));
    assert!(issuer.elsewhere(&credential(&*issuer, OTHER)).await.is_none());
    let mut config = config(&service, "jwt");
    config["encoding"] = json!("hex");
    let hex = built(&CONNECTOR, "", &config, Duration::from_secs(10));
    let error = hex.identify(&SecretValue::from_text("hunter2".to_owned())).unwrap_err();
    assert!(error.detail.contains("`encoding`") && !error.detail.contains("hunter2"));
    config["list"] = json!("json");
    let json = built(&CONNECTOR, "", &config, Duration::from_secs(10));
    let probe = json.probe(&credential(&*json, "00ff")).await;
    assert!(
        matches!(&probe, Probe::Inconclusive { reason } if reason.contains("no JSON array")),
        "{probe:?}"
    );
}

#[tokio::test]
async fn a_hung_service_leaves_it_unknown() {
    let service = start(&format!("{OLD}\n{OTHER}\n"));
    conformance::hung(Duration::from_secs(3), |address| {
        let mut config = config(&service, "jwt");
        config["verifiers"] = json!([verifier(address.port(), "shared", "api", LONG)]);
        config["control"] = json!("env:ADMIN");
        let issuer = built(&CONNECTOR, OTHER, &config, Duration::from_millis(300));
        let old = credential(&*issuer, OLD);
        Subject::Issuer(issuer, old)
    })
    .await
    .unwrap();
}
