//! Verifiers that go by an old copy, that take anything, or that do not say why they refuse.

use quell_connect::connector::IssuerOp;
use quell_testkit::jwks::{show, sign};
use serde_json::json;

use super::*;

#[tokio::test]
async fn a_verifier_that_keeps_its_copy_keeps_the_kill_from_being_done() {
    let old = Service::key("ed25519").unwrap();
    let service = start(&old, Some("2025"));
    let port = service.port();
    let mut deaf = verifier(port, "strict", "edge", LONG);
    deaf.as_object_mut().unwrap().remove("refresh");
    let issuer = issuer(&config(&service, &[verifier(port, "strict", "api", LONG), deaf]));
    let old = credential(&*issuer, &old);
    assert!(is_accepted(&issuer.probe(&old).await));
    let warnings = issuer.warnings(None).await;
    assert!(warnings.iter().any(|it| it.starts_with("edge cannot be told")), "{warnings:?}");
    let outcome = issuer.perform(IssuerOp::Disable { old: &old }).await.outcome;
    assert!(
        again(&outcome)
            && reason(&outcome)
                .contains("edge still takes the key: the set does not have it any more, but the copy"),
        "{outcome:?}"
    );
    let Outcome::NotApplied { facts, .. } = &outcome else { panic!("{outcome:?}") };
    assert_eq!(
        (&facts["already"], &facts["verifiers"]),
        (&json!(false), &json!({ "api": "refused", "edge": "accepted" }))
    );
    // A forger is let in under the name that only the set knew; the canary carries it.
    assert!(is_accepted(&issuer.probe(&old).await));
    assert_eq!(issuer.sessions(&old, None).await.unwrap(), 1);
    assert!(again(&issuer.observe(IssuerOp::Disable { old: &old }).await.outcome));
    // PyJWT reads the set anew for a name that it does not know, and keeps its copy when it finds no key there: there is one that nobody has.
    assert!(kids(&service)[0].starts_with("quell-nobody-"));
    let unknown = sign(port, &Service::key("ed25519").unwrap()).unwrap();
    assert_eq!(show(port, "strict", "edge", LONG, &unknown).unwrap(), 401);
    assert!(issuer.observe(IssuerOp::Disable { old: &old }).await.outcome.is_applied());
    let new = issuer.choose(Some(&old), "tag").await.unwrap();
    assert!(issuer.perform(IssuerOp::Install { new: &new }).await.outcome.is_applied());
    assert!(is_accepted(&issuer.probe(&new).await) && is_refused(&issuer.probe(&old).await));
    assert_eq!(kids(&service), [new.principal]);
}

#[tokio::test]
async fn the_kill_waits_for_as_long_as_a_copy_is_kept() {
    let old = Service::key("ed25519").unwrap();
    let service = start(&old, Some("2025"));
    let mut edge = verifier(service.port(), "sleepy", "edge", 300);
    edge.as_object_mut().unwrap().remove("refresh");
    let mut config = config(&service, &[edge]);
    config["settle"] = json!("800ms");
    let issuer = issuer(&config);
    let old = credential(&*issuer, &old);
    assert!(is_accepted(&issuer.probe(&old).await));
    assert!(issuer.perform(IssuerOp::Disable { old: &old }).await.outcome.is_applied());
    assert!(is_refused(&issuer.probe(&old).await));
}

#[tokio::test]
async fn a_pinned_key_is_named() {
    let old = Service::key("ed25519").unwrap();
    let service = start(&old, Some("2025"));
    let mut entry = service.public(&old).unwrap();
    entry["kid"] = json!("pin");
    std::fs::write(service.folder().join("pinned.json"), json!({ "keys": [entry] }).to_string()).unwrap();
    service.publish(&Service::key("rsa").unwrap(), Some("other")).unwrap();
    let issuer = issuer(&config(&service, &[verifier(service.port(), "pinned", "legacy", LONG)]));
    let old = credential(&*issuer, &old);
    let outcome = issuer.perform(IssuerOp::Disable { old: &old }).await.outcome;
    assert!(reason(&outcome).contains("legacy still takes the key"), "{outcome:?}");
    assert!(is_accepted(&issuer.probe(&old).await), "without its name it is tried, too");
    // A key that the set never had.
    let pinned = Service::key("ed25519").unwrap();
    let mut entry = service.public(&pinned).unwrap();
    entry["kid"] = json!("pin");
    std::fs::write(service.folder().join("pinned.json"), json!({ "keys": [entry] }).to_string()).unwrap();
    let pinned = credential(&*issuer, &pinned);
    let outcome = issuer.perform(IssuerOp::Disable { old: &pinned }).await.outcome;
    assert!(reason(&outcome).contains("so it is there from elsewhere"), "{outcome:?}");
}

#[tokio::test]
async fn a_verifier_that_needs_no_key_is_named_by_the_check() {
    let old = Service::key("ed25519").unwrap();
    let service = start(&old, Some("2025"));
    let port = service.port();
    let good = issuer(&usual(&service));
    assert_eq!(failed(&good.check().await), [""; 0]);
    let doors = ["open", "confused", "wall"].map(|kind| verifier(port, kind, kind, LONG));
    let checks = issuer(&config(&service, &doors)).check().await;
    let failed: Vec<&str> = checks.iter().filter(|it| !it.ok).map(|it| it.what.as_str()).collect();
    assert_eq!(
        failed,
        [
            "open refuses a token of a key that nobody published",
            "open refuses a token without a signature (alg: none)",
            "open refuses a token signed with the public key (alg: HS256)",
            "confused refuses a token signed with the public key (alg: HS256)",
            "wall refuses a token of a key that nobody published",
            "wall refuses a token without a signature (alg: none)",
            "wall refuses a token signed with the public key (alg: HS256)",
        ]
    );
    // What takes everything takes the old key, too: nothing is ever proven there.
    let issuer = issuer(&config(&service, &[verifier(port, "open", "open", LONG)]));
    let old = credential(&*issuer, &old);
    assert!(!issuer.perform(IssuerOp::Disable { old: &old }).await.outcome.is_applied());
    assert!(is_accepted(&issuer.probe(&old).await));
}

#[tokio::test]
async fn only_a_refusal_that_says_why_is_one() {
    let old = Service::key("ed25519").unwrap();
    let service = start(&old, Some("2025"));
    let port = service.port();
    for (kind, why) in [
        ("vague", "it does not say why"),
        ("busy", "too many requests: wait for 7 s"),
        ("down", "the verifier fails"),
        ("scoped", "give the canary the `claims` (scope, role)"),
    ] {
        let issuer = issuer(&config(
            &service,
            &[verifier(port, kind, "odd", LONG), verifier(port, "strict", "api", LONG)],
        ));
        let old = credential(&*issuer, &old);
        let probe = issuer.probe(&old).await;
        assert!(inconclusive(&probe).contains(why), "{probe:?}");
        assert!(inconclusive(&probe).starts_with("odd: "), "{probe:?}");
    }
    let mut scoped = verifier(port, "scoped", "odd", LONG);
    scoped["claims"] = json!({ "scope": "orders:read" });
    let mut vague = verifier(port, "vague", "proxy", LONG);
    vague["refuses"] = json!({ "status": 401, "contains": "sign in" });
    let issuer = issuer(&config(&service, &[scoped, vague]));
    let old = credential(&*issuer, &old);
    let probe = issuer.probe(&old).await;
    assert!(
        inconclusive(&probe).contains("verifiers differ: accepted by odd, refused by proxy"),
        "{probe:?}"
    );
}

#[tokio::test]
async fn a_cookie_and_a_redirect_are_a_door_as_well() {
    let old = Service::key("P-256").unwrap();
    let service = start(&old, Some("2025"));
    let mut login = verifier(service.port(), "login", "shop", LONG);
    login["cookie"] = json!("session");
    login["refuses"] = json!({ "status": 302 });
    let issuer = issuer(&config(&service, &[login]));
    let old = credential(&*issuer, &old);
    assert_eq!(issuer.capabilities().refusals, ["302"]);
    assert!(is_accepted(&issuer.probe(&old).await));
    assert!(issuer.perform(IssuerOp::Disable { old: &old }).await.outcome.is_applied());
    assert!(is_refused_by(&issuer.probe(&old).await, "302"));
}

#[tokio::test]
async fn a_name_that_another_key_has_is_left_alone() {
    let (old, other) = (Service::key("ed25519").unwrap(), Service::key("ed25519").unwrap());
    let service = start(&other, Some("2025"));
    let issuer = issuer(&usual(&service));
    // The leaked one calls itself as the other one is called now.
    let leaked = credential(&*issuer, &named(&old, "2025"));
    let warnings = issuer.warnings(Some(&leaked.value)).await;
    assert!(warnings.iter().any(|it| it.contains("what another key of the set is called")), "{warnings:?}");
    let outcome = issuer.perform(IssuerOp::Disable { old: &leaked }).await.outcome;
    assert_eq!(fact(&outcome, "already"), true);
    assert_eq!(kids(&service), ["2025"], "the other key stays");
    let token = sign(service.port(), &other).unwrap();
    assert_eq!(show(service.port(), "strict", "api", LONG, &token).unwrap(), 200);
    let install = issuer.perform(IssuerOp::Install { new: &leaked }).await.outcome;
    assert!(reason(&install).contains("another key of the set is called `2025`"), "{install:?}");
}

/// An Ed25519 key as JSON that says its name.
fn named(pem: &str, kid: &str) -> String {
    use base64::Engine as _;
    use base64::engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD};
    let der: String = pem.lines().filter(|line| !line.starts_with('-')).collect();
    let der = STANDARD.decode(der).unwrap();
    let seed = &der[der.len() - 32..];
    let service = Service::start().unwrap();
    let mut json = service.public(pem).unwrap();
    json["d"] = URL_SAFE_NO_PAD.encode(seed).into();
    json["kid"] = kid.into();
    json.to_string()
}
