//! Secret Manager as a store.

use quell_connect::conformance::{self, Fault, FlakyProxy, Subject};
use quell_connect::connector::Store;
use quell_connect::gcp_secret_manager::CONNECTOR;
use quell_core::outcome::Outcome;
use quell_testkit::model::gcp::Gcp;
use serde_json::{Value, json};

use crate::{
    LONG, SHORT, assert_no_value_in, context, facts, failed, fresh, is_unknown, reason, refused, value,
};

fn config(endpoint: &str) -> Value {
    json!({ "credentials": "env:TOKEN", "project": "acme-prod", "secret": "orders", "endpoint": endpoint })
}

fn store_as(endpoint: &str, token: &str) -> Box<dyn Store> {
    CONNECTOR.store.unwrap()(&config(endpoint), &context(token, LONG)).unwrap()
}

fn store(gcp: &Gcp) -> Box<dyn Store> {
    store_as(&gcp.addr(), "boss")
}

fn holding(values: &[&str], more: &Value) -> Gcp {
    let gcp = Gcp::start().unwrap();
    gcp.secret("orders", values, more);
    gcp
}

#[tokio::test]
async fn the_contract_is_kept() {
    for values in [&["first", "second", "third"][..], &[]] {
        let gcp = holding(values, &json!({}));
        assert_eq!(store(&gcp).read().await.unwrap().is_none(), values.is_empty());
        conformance::store(&*store(&gcp), fresh).await.unwrap();
        assert_no_value_in(&gcp.lines());
    }
}

/// Google gives the token for a grant that is signed with the key, and checks the signature.
#[tokio::test]
async fn a_key_file_is_exchanged_for_a_token() {
    let gcp = holding(&["CANARY-0"], &json!({}));
    let email = "quell@acme-prod.iam.gserviceaccount.com";
    let (file, other) =
        (gcp.key_file(email).unwrap(), gcp.key_file("other@acme-prod.iam.gserviceaccount.com").unwrap());
    conformance::store(&*store_as(&gcp.addr(), &file), fresh).await.unwrap();
    // The private key of another one.
    let mut wrong: Value = serde_json::from_str(&file).unwrap();
    wrong["private_key"] = serde_json::from_str::<Value>(&other).unwrap()["private_key"].take();
    gcp.disable_keys("other@acme-prod.iam.gserviceaccount.com", "SERVICE_ACCOUNT_KEY_DISABLE_REASON_EXPOSED");
    for bad in [wrong.to_string(), other] {
        let outcome = store_as(&gcp.addr(), &bad).write(&fresh()).await;
        let words =
            refused(&outcome, "invalid_grant: Invalid JWT Signature.; renew what `credentials` refers to");
        assert!(!words.contains("PRIVATE"), "{words}");
    }
    let outcome = store_as(&gcp.addr(), r#"{"type":"authorized_user","refresh_token":"CANARY-x"}"#)
        .write(&fresh())
        .await;
    assert!(!refused(&outcome, "not of a service account's key").contains("CANARY"));
}

#[tokio::test]
async fn old_versions_are_destroyed_and_others_stay() {
    let gcp = holding(&["CANARY-leaked", "other", "postgres://u:CANARY-leaked@h/db"], &json!({}));
    let (store, old) = (store(&gcp), value("CANARY-leaked"));
    refused(&store.purge(&[&old]).await, "the latest version 3 still holds a compromised value");
    assert!(store.write(&value("CANARY-new")).await.is_applied());
    assert!(reason(&store.observe_purge(&[&old]).await).contains("versions hold the value: 3, 1"));
    let purged = store.purge(&[&old]).await;
    assert_eq!(facts(&purged)["destroyed"], json!(["3", "1"]));
    let held = gcp.values("orders");
    assert_eq!(held, [None, Some("other".to_owned()), None, Some("CANARY-new".to_owned())]);
    assert!(store.observe_purge(&[&old]).await.is_applied());
    assert!(!format!("{purged:?}").contains("CANARY"));
}

/// The traps: a destruction that is only announced, a version that somebody disabled, an etag of before.
#[tokio::test]
async fn what_is_not_destroyed_yet_is_said() {
    let delayed = holding(&["CANARY-leaked", "CANARY-new"], &json!({ "versionDestroyTtl": "2592000s" }));
    let purged = store(&delayed).purge(&[&value("CANARY-leaked")]).await;
    assert_eq!(
        facts(&purged)["destruction_delayed"],
        json!([{ "version": "1", "destroyed_at": "2026-12-23T08:00:00Z" }])
    );
    let checks = format!("{:?}", store(&delayed).check().await);
    assert!(checks.contains("only disabled for 2592000s"), "{checks}");
    let gcp = holding(&["CANARY-leaked", "CANARY-new"], &json!({}));
    gcp.disable("orders", 1);
    let seen = store(&gcp).purge(&[&value("CANARY-leaked")]).await;
    assert_eq!(facts(&seen)["disabled_and_unread"][0]["version"], "1");
    let gcp = holding(&["CANARY-leaked", "CANARY-new"], &json!({}));
    gcp.touch_before_next_destruction("orders");
    let first = store(&gcp).purge(&[&value("CANARY-leaked")]).await;
    assert!(matches!(first, Outcome::NotApplied { retryable: true, .. }), "{first:?}");
    assert!(store(&gcp).purge(&[&value("CANARY-leaked")]).await.is_applied());
    assert_eq!(gcp.values("orders"), [None, Some("CANARY-new".to_owned())]);
}

/// The traps of `latest`: it is disabled, it lags, it is somebody else's, consumers are pinned.
#[tokio::test]
async fn what_latest_is_is_looked_at() {
    let gcp = holding(&["CANARY-0"], &json!({ "versionAliases": { "prod": "1" } }));
    gcp.disable("orders", 1);
    let error = store(&gcp).read().await.unwrap_err();
    assert!(error.detail.contains("DISABLED") && error.detail.contains("a new version ends that"), "{error}");
    let written = store(&gcp).write(&value("CANARY-new")).await;
    assert_eq!(facts(&written)["aliases"], json!(["prod → 1"]));
    assert!(format!("{:?}", store(&gcp).check().await).contains("consumers of these stay on their version"));
    gcp.let_latest_lag("orders");
    let written = store(&gcp).write(&value("CANARY-newer")).await;
    assert!(matches!(written, Outcome::NotApplied { retryable: true, .. }), "{written:?}");
    assert!(
        reason(&written).contains("version 3 was made, and `latest` does not lead to it yet"),
        "{written:?}"
    );
    // The next attempt makes no version, and waits for the one that is there.
    assert!(!store(&gcp).write(&value("CANARY-newer")).await.is_applied());
    gcp.let_latest_catch_up("orders");
    assert_eq!(facts(&store(&gcp).write(&value("CANARY-newer")).await)["version"], "3");
    assert_eq!(gcp.values("orders").len(), 3);
    let gcp = holding(&["CANARY-0"], &json!({}));
    gcp.add_after_next_write("CANARY-theirs");
    let outcome = store(&gcp).write(&value("CANARY-new")).await;
    assert!(matches!(outcome, Outcome::NotApplied { retryable: true, .. }), "{outcome:?}");
    assert!(reason(&outcome).contains("somebody made version 3 after our 2"), "{outcome:?}");
}

#[tokio::test]
async fn an_answer_that_is_lost_is_unknown_and_the_next_try_finds_the_effect() {
    let gcp = holding(&["CANARY-0"], &json!({}));
    let proxy = FlakyProxy::start(([127, 0, 0, 1], gcp.port()).into()).unwrap();
    let far = store_as(&format!("http://{}", proxy.address()), "boss");
    let new = value("CANARY-new");
    proxy.once(Fault::DropAnswerTo(b":addVersion".to_vec())).await;
    let outcome = far.write(&new).await;
    assert!(is_unknown(&outcome), "{outcome:?}");
    assert!(far.observe_write(&new).await.is_applied() && far.write(&new).await.is_applied());
    assert_eq!(gcp.values("orders").len(), 2, "no version was made twice");
    for text in ["/versions?", ":destroy"] {
        proxy.once(Fault::DropAnswerTo(text.as_bytes().to_vec())).await;
        let outcome = far.purge(&[&value("CANARY-0")]).await;
        assert!(is_unknown(&outcome), "{text}: {outcome:?}");
    }
    assert!(far.purge(&[&value("CANARY-0")]).await.is_applied());
    assert_eq!((gcp.values("orders")[0].clone(), proxy.struck()), (None, 3));
    proxy.set(Fault::Refuse).await;
    assert!(matches!(far.write(&fresh()).await, Outcome::NotApplied { retryable: true, .. }));
}

#[tokio::test]
async fn the_page_grants_what_is_needed_and_not_less() {
    let gcp = holding(&["CANARY-0"], &json!({}));
    let named = CONNECTOR.readme.split("## What it needs").nth(1).unwrap().split("## ").next().unwrap();
    let all: Vec<&str> = named.split('`').filter(|text| text.starts_with("secretmanager.")).collect();
    assert_eq!(all.len(), 5);
    gcp.allow("least", &all);
    conformance::store(&*store_as(&gcp.addr(), "least"), fresh).await.unwrap();
    for missing in &all {
        let rest: Vec<&str> = all.iter().filter(|it| *it != missing).copied().collect();
        gcp.allow("less", &rest);
        let less = store_as(&gcp.addr(), "less");
        store(&gcp).write(&value("CANARY-old")).await;
        let told = format!(
            "{:?} {:?} {:?}",
            less.write(&fresh()).await,
            less.purge(&[&value("CANARY-old")]).await,
            less.check().await
        );
        assert!(told.contains(&format!("grant `{missing}` (roles/secretmanager.")), "{missing}: {told}");
    }
    let outcome = store_as(&gcp.addr(), "CANARY-nobody").write(&fresh()).await;
    assert!(!refused(&outcome, "renew what `credentials` refers to").contains("CANARY"));
    gcp.limit(1);
    let outcome = store(&gcp).write(&fresh()).await;
    assert!(matches!(outcome, Outcome::NotApplied { retry_after_ms: Some(30_000), .. }), "{outcome:?}");
    let none = Gcp::start().unwrap();
    refused(&store(&none).write(&fresh()).await, "gcloud secrets create orders");
    assert!(failed(&store(&none).check().await).concat().contains("not found"));
    let long = value(&"x".repeat((64 << 10) + 1));
    refused(&store(&gcp).write(&long).await, "64 KiB");
}

#[tokio::test]
async fn a_hung_server_is_unknown_and_so_is_a_page_of_a_proxy() {
    conformance::hung(LONG, |address| {
        let config = config(&format!("http://{address}"));
        Subject::Store(
            CONNECTOR.store.unwrap()(&config, &context("boss", SHORT)).unwrap(),
            value("CANARY-value"),
        )
    })
    .await
    .unwrap();
    for status in [200, 302, 403, 404, 500, 503] {
        let page = quell_testkit::model::Listener::start(move |_| {
            quell_testkit::model::Reply::page(status, "<html>Sign in</html>")
        })
        .unwrap();
        let away = store_as(&format!("http://127.0.0.1:{}", page.port()), "boss");
        assert!(is_unknown(&away.write(&fresh()).await), "{status}");
        assert!(is_unknown(&away.purge(&[&fresh()]).await), "{status}");
    }
}

/// The trap: a version is enabled, and the key that it is encrypted with is away for now.
#[tokio::test]
async fn a_version_that_cannot_be_read_is_not_taken_for_gone() {
    let gcp = holding(&["CANARY-0", "CANARY-1"], &json!({}));
    gcp.withhold("orders", 1, true);
    for outcome in [
        store(&gcp).purge(&[&value("CANARY-0")]).await,
        store(&gcp).observe_purge(&[&value("CANARY-0")]).await,
    ] {
        assert!(
            reason(&outcome).contains("enabled and cannot be read now, so they may hold the value: 1"),
            "{outcome:?}"
        );
    }
    gcp.withhold("orders", 1, false);
    assert!(store(&gcp).purge(&[&value("CANARY-0")]).await.is_applied());
    assert_eq!(gcp.values("orders"), [None, Some("CANARY-1".to_owned())]);
}
