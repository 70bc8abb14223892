//! A key is dropped and replaced, and every verifier is asked.

use quell_connect::conformance;
use quell_connect::connector::IssuerOp;
use quell_core::issuer::Overlap;
use quell_testkit::jwks::{show, sign};
use serde_json::json;

use super::*;

#[tokio::test]
async fn it_keeps_the_contract_with_every_kind_of_key() {
    for kind in ["ed25519", "P-256", "P-384", "rsa"] {
        let (old, control) = (Service::key(kind).unwrap(), Service::key("ed25519").unwrap());
        let service = start(&old, Some("2025"));
        service.publish(&control, Some("control")).unwrap();
        let issuer = with_control(&control, &usual(&service));
        conformance::issuer(&*issuer, &credential(&*issuer, &old)).await.unwrap();
        let kids = kids(&service);
        assert!(kids.len() == 2 && kids[1] == "control" && kids[0] != "2025", "{kind}: {kids:?}");
    }
}

#[tokio::test]
async fn a_leaked_key_is_dropped_before_its_successor_exists() {
    let old = Service::key("P-256").unwrap();
    let service = start(&old, Some("2025"));
    let issuer = issuer(&usual(&service));
    assert!(matches!(issuer.overlap(), Overlap::Never { .. }) && !issuer.has_control());
    // Somebody's token, which both verifiers have seen.
    let stolen = sign(service.port(), &old).unwrap();
    let taken = |token: &str| {
        [("strict", "api"), ("keyless", "shop")]
            .map(|(kind, name)| show(service.port(), kind, name, LONG, token).unwrap())
    };
    assert_eq!(taken(&stolen), [200, 200]);

    let old = credential(&*issuer, &old);
    assert!(is_accepted(&issuer.probe(&old).await) && issuer.sessions(&old, None).await.unwrap() == 2);
    let disabled = issuer.perform(IssuerOp::Disable { old: &old }).await.outcome;
    assert_eq!((fact(&disabled, "already"), fact(&disabled, "dropped")), (&json!(false), &json!(["2025"])));
    assert_eq!(fact(&disabled, "verifiers"), &json!({ "api": "refused", "shop": "refused" }));
    assert_eq!(taken(&stolen), [401, 401]);
    assert!(is_refused(&issuer.probe(&old).await) && issuer.sessions(&old, None).await.unwrap() == 0);
    assert!(issuer.elsewhere(&old).await.is_none(), "it was here");
    let again = issuer.perform(IssuerOp::Disable { old: &old }).await.outcome;
    assert_eq!(fact(&again, "already"), true);

    let new = issuer.choose(Some(&old), "INC-1/orders").await.unwrap();
    let installed = issuer.perform(IssuerOp::Install { new: &new }).await.outcome;
    assert_eq!(fact(&installed, "kid"), &json!([new.principal]));
    assert!(issuer.perform(IssuerOp::Install { new: &new }).await.outcome.is_applied());
    assert_eq!(kids(&service), [new.principal.as_str()]);
    assert!(is_accepted(&issuer.probe(&new).await) && is_refused(&issuer.probe(&old).await));
    let token = sign(service.port(), text(&new)).unwrap();
    assert_eq!((taken(&token), taken(&stolen)), ([200, 200], [401, 401]));
    // It has no way back.
    let back = issuer.perform(IssuerOp::Install { new: &old }).await.outcome;
    assert!(reason(&back).contains("no way back"), "{back:?}");
}

#[tokio::test]
async fn a_key_as_json_keeps_its_shape_and_gets_a_name_of_its_own() {
    let service = Service::start().unwrap();
    let issuer = issuer(&usual(&service));
    let pem = credential(&*issuer, &Service::key("rsa").unwrap());
    let mut set = service.public(text(&pem)).unwrap();
    set["kid"] = json!("first");
    // PyJWT writes the private key as JSON, with a name.
    let script = "import json, sys, jwt\nfrom cryptography.hazmat.primitives import serialization as s\n\
        k = s.load_pem_private_key(sys.stdin.buffer.read(), None)\n\
        j = json.loads(jwt.get_algorithm_by_name('RS256').to_jwk(k)); j.update(kid='first', use='sig')\n\
        j.pop('key_ops'); print(json.dumps(j))";
    let output = python(script, text(&pem));
    service.publish(&output, Some("first")).unwrap();
    let old = credential(&*issuer, &output);
    assert_eq!(old.principal, pem.principal, "one key, in two shapes");
    assert!(is_accepted(&issuer.probe(&old).await));
    let new = issuer.choose(Some(&old), "tag").await.unwrap();
    let json: Value = serde_json::from_str(text(&new)).unwrap();
    assert_eq!(
        (&json["kid"], &json["use"], &json["kty"]),
        (&json!(new.principal), &json!("sig"), &json!("RSA"))
    );
    assert!(issuer.perform(IssuerOp::Install { new: &new }).await.outcome.is_applied());
    // The signer reads what Quell wrote.
    let token = sign(service.port(), text(&new)).unwrap();
    assert_eq!(show(service.port(), "strict", "api", LONG, &token).unwrap(), 200);
    assert!(issuer.perform(IssuerOp::Disable { old: &old }).await.outcome.is_applied());
    assert_eq!(kids(&service), [new.principal]);
}

fn python(script: &str, input: &str) -> String {
    use std::io::Write as _;
    use std::process::{Command, Stdio};
    let mut child = Command::new(quell_testkit::python().unwrap())
        .args(["-c", script])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    child.stdin.take().unwrap().write_all(input.as_bytes()).unwrap();
    let output = child.wait_with_output().unwrap();
    assert!(output.status.success());
    String::from_utf8(output.stdout).unwrap().trim().to_owned()
}

#[tokio::test]
async fn one_key_under_several_names_dies_under_all_of_them() {
    let (old, neighbor) = (Service::key("ed25519").unwrap(), Service::key("rsa").unwrap());
    let service = start(&old, Some("2025"));
    service.publish(&neighbor, Some("other")).unwrap();
    service.publish(&old, Some("alias")).unwrap();
    let issuer = issuer(&usual(&service));
    let old = credential(&*issuer, &old);
    let warnings = issuer.warnings(Some(&old.value)).await;
    assert!(warnings.iter().any(|it| it.contains("several names (2025, alias)")), "{warnings:?}");
    let disabled = issuer.perform(IssuerOp::Disable { old: &old }).await.outcome;
    assert_eq!(fact(&disabled, "dropped"), &json!(["2025", "alias"]));
    assert_eq!(fact(&disabled, "kid"), &json!(["2025", "alias"]), "canaries under both names");
    assert_eq!(kids(&service), ["other"]);
}

#[tokio::test]
async fn a_key_of_somebody_else_is_not_taken_for_a_dead_one() {
    let service = start(&Service::key("ed25519").unwrap(), Some("2025"));
    let issuer = issuer(&usual(&service));
    let stranger = credential(&*issuer, &Service::key("ed25519").unwrap());
    assert!(is_refused(&issuer.probe(&stranger).await), "nobody here knows it");
    assert!(issuer.elsewhere(&stranger).await.unwrap().contains("signs for somebody else"));
    let error = issuer.sessions(&stranger, None).await.unwrap_err();
    assert!(error.detail.contains("under which name"), "{error}");
    for (value, why) in [
        ("hunter2", "no private key"),
        ("-----BEGIN PUBLIC KEY-----\nMCowBQYDK2VwAyEA\n-----END PUBLIC KEY-----\n", "no secret"),
        ("{\"kty\":\"oct\",\"k\":\"aHVudGVyMg\"}", "session_key"),
    ] {
        let error = issuer.identify(&SecretValue::from_text(value.to_owned())).unwrap_err().to_string();
        assert!(error.contains(why) && !error.contains(value), "{error}");
    }
}
