//! Refusals of the server, each named with what to do about it.

use std::sync::atomic::Ordering;
use std::time::Duration;

use quell_connect::connector::{Issuer, IssuerOp};
use quell_core::outcome::Outcome;
use quell_core::secret::Credential;
use serde_json::{Value, json};

use crate::outcome::reason;
use crate::proxy::{Fault, Proxy};
use crate::{World, context, inconclusive, retryable, through, unknown, value};

async fn disabled(issuer: &dyn Issuer, old: &Credential) -> Outcome {
    issuer.perform(IssuerOp::Disable { old }).await.outcome
}

#[tokio::test]
async fn the_wrong_client_and_one_whose_secret_has_changed_are_named() {
    let world = World::new();
    let (refresh, _) = world.server.consent(&world.quell, "ines").unwrap();
    let issuer = world.issuer(&world.refresh(&[]));
    let old = issuer.identify(&value(&refresh)).unwrap();
    let outcome = disabled(&*issuer, &old).await;
    assert_eq!(retryable(&outcome), Some(false));
    let words = format!("was issued to the client `{}`, which alone may revoke it", world.quell.id);
    assert!(reason(&outcome).contains(&words), "{outcome:?}");
    assert!(world.server.is_active(&refresh).unwrap());

    let mut config = world.refresh(&[]);
    config["client"]["secret"] = json!("env:STALE");
    let ctx = context(&[("STALE", "CANARY-stale-secret"), ("QUELL", &world.quell.secret)]);
    let stale = quell_connect::oauth::CONNECTOR.issuer.unwrap()(&config, &ctx).unwrap();
    let (own, _) = world.server.consent(&world.orders, "ines").unwrap();
    let old = stale.identify(&value(&own)).unwrap();
    let outcome = disabled(&*stale, &old).await;
    assert_eq!(retryable(&outcome), Some(false));
    let said = reason(&outcome);
    assert!(said.contains(&format!("refuses the client `{}` (invalid_client", world.orders.id)), "{said}");
    assert!(said.contains("renew what the inventory refers to") && !said.contains("CANARY"), "{said}");
    config["control"]["client"]["secret"] = json!("env:STALE");
    let blind = quell_connect::oauth::CONNECTOR.issuer.unwrap()(&config, &ctx).unwrap();
    assert!(inconclusive(&blind.probe(&old).await).contains("invalid_client"));
    assert!(inconclusive(&blind.control().await).contains("invalid_client"));
    assert!(blind.check().await.iter().any(|check| !check.ok && check.detail.contains("invalid_client")));
}

/// What a server or something before it may answer to a revocation.
#[tokio::test]
async fn answers_that_revoke_nothing_are_told_apart() {
    let world = World::new();
    let (refresh, _) = world.server.consent(&world.orders, "ines").unwrap();
    let old = Credential { principal: world.orders.id.clone(), value: value(&refresh) };
    for (answer, expected, words) in [
        (
            "HTTP/1.1 503 x\r\nretry-after: 7\r\ncontent-length: 0\r\n\r\n",
            Some((true, Some(7000))),
            "it has no time",
        ),
        (
            "HTTP/1.1 429 x\r\nretry-after: 2\r\ncontent-length: 0\r\n\r\n",
            Some((true, Some(2000))),
            "it has no time",
        ),
        (
            "HTTP/1.1 400 x\r\ncontent-length: 34\r\n\r\n{\"error\":\"unsupported_token_type\"}",
            Some((false, None)),
            "does not revoke a refresh token (unsupported_token_type), which is good until",
        ),
        ("HTTP/1.1 500 x\r\ncontent-length: 0\r\n\r\n", None, "it answered 500"),
        (
            "HTTP/1.1 200 OK\r\ncontent-type: text/html\r\ncontent-length: 13\r\n\r\n<html></html>",
            None,
            "something that is not OAuth",
        ),
        (
            "HTTP/1.1 403 x\r\ncontent-type: text/html\r\ncontent-length: 13\r\n\r\n<html></html>",
            None,
            "something that is not OAuth",
        ),
    ] {
        let proxy = Proxy::start(world.server.port(), "revocation", Fault::Say(answer), 1).await;
        let place = format!("{}/token/revocation", proxy.addr);
        let issuer = world.issuer(&through(world.refresh(&[]), "revocation", &place));
        let outcome = disabled(&*issuer, &old).await;
        let seen = match &outcome {
            Outcome::NotApplied { retryable, retry_after_ms, .. } => Some((*retryable, *retry_after_ms)),
            Outcome::Applied { .. } | Outcome::Unknown { .. } => None,
        };
        assert_eq!(seen, expected, "{answer}: {outcome:?}");
        assert!(expected.is_some() || unknown(&outcome), "{answer}: {outcome:?}");
        assert!(reason(&outcome).contains(words), "{answer}: {outcome:?}");
        assert!(world.server.is_active(&refresh).unwrap());
    }
    // The server repeats what it was asked: nothing of it comes back.
    let echo = format!("{{\"error\":\"invalid_request\",\"error_description\":\"no {refresh} here\"}}");
    let echo = format!("HTTP/1.1 400 x\r\ncontent-length: {}\r\n\r\n{echo}", echo.len());
    let proxy = Proxy::start(world.server.port(), "revocation", Fault::Say(echo.leak()), 1).await;
    let place = format!("{}/token/revocation", proxy.addr);
    let issuer = world.issuer(&through(world.refresh(&[]), "revocation", &place));
    let outcome = disabled(&*issuer, &old).await;
    assert!(reason(&outcome).contains("invalid_request: no … here"), "{outcome:?}");
}

/// The server takes the request and says nothing: whether it revoked anything is seen afterwards.
#[tokio::test]
async fn a_revocation_that_hangs_is_unknown() {
    let world = World::new();
    let (refresh, _) = world.server.consent(&world.orders, "ines").unwrap();
    let proxy = Proxy::start(world.server.port(), "revocation", Fault::Hang, 1).await;
    let config = through(world.refresh(&[]), "revocation", &format!("{}/token/revocation", proxy.addr));
    let mut ctx = world.context();
    ctx.http = quell_connect::http::Client::new(Duration::from_millis(500), None).unwrap();
    let issuer = quell_connect::oauth::CONNECTOR.issuer.unwrap()(&config, &ctx).unwrap();
    let old = issuer.identify(&value(&refresh)).unwrap();
    assert!(unknown(&disabled(&*issuer, &old).await));
    assert_eq!(proxy.hits.load(Ordering::SeqCst), 1);
    let seen = issuer.observe(IssuerOp::Disable { old: &old }).await.outcome;
    assert!(reason(&seen).contains("is active until"), "{seen:?}");
    assert!(disabled(&*issuer, &old).await.is_applied());
}

#[tokio::test]
async fn what_is_no_token_is_not_taken_for_one() {
    let world = World::new();
    for config in [world.refresh(&[]), world.access("asks")] {
        let issuer = world.issuer(&config);
        for bad in ["", "a b", " a", "a\n", "{\"refresh_token\":\"a\"}", "\"a\"", "ä"] {
            let error = issuer.identify(&value(bad)).unwrap_err();
            assert!(error.detail.contains("more or less than a token"), "{error:?}");
        }
    }
}

#[test]
fn a_configuration_that_could_prove_nothing_is_refused() {
    let base =
        json!({ "issuer": "https://login.example.com", "client": { "id": "orders", "secret": "env:X" } });
    let refused = |changes: Value| {
        let mut config = base.clone();
        config.as_object_mut().unwrap().extend(changes.as_object().unwrap().clone());
        let error = quell_connect::oauth::CONNECTOR.issuer.unwrap()(&config, &context(&[])).err().unwrap();
        assert!(!error.message.contains("CANARY"), "{error:?}");
        error.key.unwrap_or_default()
    };
    let refresh = json!({ "type": "refresh_token" });
    assert_eq!(refused(json!({})), "token");
    assert_eq!(refused(json!({ "token": { "type": "access_token" } })), "token.resource");
    assert_eq!(refused(json!({ "token": { "type": "refresh_token", "mint": {} } })), "token.mint");
    assert_eq!(refused(json!({ "token": { "type": "refresh_token", "family": ["env:A"] } })), "token.family");
    assert_eq!(refused(json!({ "token": refresh, "issuer": "http://login.example.com" })), "issuer");
    assert_eq!(
        refused(json!({ "token": refresh, "issuer": "https://CANARY:x@login.example.com" })),
        "issuer"
    );
    assert_eq!(refused(json!({ "token": refresh, "client": { "id": "orders" } })), "client");
    let own = json!({ "client": { "id": "orders", "secret": "env:X" } });
    assert_eq!(refused(json!({ "token": refresh, "control": own })), "control");
    let registration =
        json!({ "uri": "https://login.example.com/reg/orders", "token": { "file": { "path": "t" } } });
    let secret = json!({ "registration": registration });
    assert_eq!(refused(json!({ "client_secret": secret })), "client.secret");
    assert_eq!(
        refused(
            json!({ "client_secret": { "registration": { "uri": "https://x.example.com", "token": { "redis": {} } } },
                        "client": { "id": "orders" } })
        ),
        "client_secret.registration.token"
    );
}
