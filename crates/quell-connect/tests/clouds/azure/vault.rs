//! Key Vault as a store.

use quell_connect::azure_key_vault::CONNECTOR;
use quell_connect::conformance::{self, Fault, FlakyProxy, Subject};
use quell_connect::connector::Store;
use quell_core::outcome::Outcome;
use quell_testkit::model::azure::Azure;
use serde_json::{Value, json};

use crate::{
    LONG, SHORT, assert_no_value_in, context, facts, failed, fresh, is_unknown, reason, refused, value,
};

fn config(vault: &str, login: &Value) -> Value {
    json!({ "vault": vault, "secret": "orders", "login": login, "login_url": vault })
}

fn store_as(vault: &str, token: &str) -> Box<dyn Store> {
    CONNECTOR.store.unwrap()(&config(vault, &json!({ "token": "env:TOKEN" })), &context(token, LONG)).unwrap()
}

fn store(azure: &Azure) -> Box<dyn Store> {
    store_as(&azure.addr(), "boss")
}

fn holding(values: &[&str]) -> Azure {
    let azure = Azure::start().unwrap();
    azure.secret("orders", values, &json!({ "contentType": "text/plain", "tags": { "team": "a" } }));
    azure
}

#[tokio::test]
async fn the_contract_is_kept_and_tags_stay() {
    for values in [&["first", "second", "third"][..], &[""]] {
        let azure = holding(values);
        conformance::store(&*store(&azure), fresh).await.unwrap();
        assert_eq!(azure.more("orders"), json!({ "contentType": "text/plain", "tags": { "team": "a" } }));
        assert_no_value_in(&azure.lines());
    }
}

#[tokio::test]
async fn an_application_logs_in_with_its_client_secret() {
    let azure = holding(&["CANARY-0"]);
    azure.client_secret("quell", "CANARY-good~secret", false);
    azure.client_secret("quell", "CANARY-expired", true);
    let login =
        json!({ "application": { "tenant": "acme.example", "client": "quell", "secret": "env:TOKEN" } });
    let with = |secret: &str| {
        CONNECTOR.store.unwrap()(&config(&azure.addr(), &login), &context(secret, LONG)).unwrap()
    };
    conformance::store(&*with("CANARY-good~secret"), fresh).await.unwrap();
    for (secret, code) in [("CANARY-wrong", "AADSTS7000215"), ("CANARY-expired", "AADSTS7000222")] {
        let outcome = with(secret).write(&fresh()).await;
        assert!(refused(&outcome, "renew what `secret` refers to").contains(code));
        assert!(!format!("{outcome:?}").contains("CANARY"));
    }
    assert!(azure.lines().iter().all(|line| !line.contains("CANARY")));
}

/// No call deletes a version, and that is said.
#[tokio::test]
async fn old_versions_are_disabled_and_others_stay() {
    let azure = holding(&["CANARY-leaked", "other", "postgres://u:CANARY-leaked@h/db"]);
    let (store, old) = (store(&azure), value("CANARY-leaked"));
    refused(&store.purge(&[&old]).await, "still holds a compromised value");
    assert!(store.write(&value("CANARY-new")).await.is_applied());
    assert!(reason(&store.observe_purge(&[&old]).await).contains("enabled versions hold the value"));
    let purged = store.purge(&[&old]).await;
    assert_eq!(facts(&purged)["disabled"].as_array().unwrap().len(), 2);
    assert_eq!((&facts(&purged)["destroyed"], &facts(&purged)["history"]), (&json!([]), &json!(true)));
    assert!(facts(&purged)["remarks"].to_string().contains("can enable a disabled version again"));
    let enabled: Vec<bool> = azure.values("orders").into_iter().map(|(_, enabled)| enabled).collect();
    assert_eq!(enabled, [false, true, false, true]);
    let seen = store.observe_purge(&[&old]).await;
    assert_eq!(facts(&seen)["disabled_and_unread"].as_array().unwrap().len(), 2);
    assert!(!format!("{purged:?}{seen:?}").contains("CANARY"));
}

#[tokio::test]
async fn what_is_current_is_looked_at() {
    let azure = holding(&["CANARY-0"]);
    azure.disable("orders", 1);
    let error = store(&azure).read().await.unwrap_err();
    assert!(error.detail.contains("a new version ends that"), "{error}");
    assert!(store(&azure).write(&value("CANARY-new")).await.is_applied());
    azure.write_after_next_write("CANARY-theirs");
    let outcome = store(&azure).write(&value("CANARY-newer")).await;
    assert!(matches!(outcome, Outcome::NotApplied { retryable: true, .. }), "{outcome:?}");
    assert!(reason(&outcome).contains("somebody made version"), "{outcome:?}");
    let of_certificate = Azure::start().unwrap();
    of_certificate.secret("orders", &["CANARY-0"], &json!({ "managed": true }));
    refused(&store(&of_certificate).write(&fresh()).await, "belongs to a certificate of the vault");
    assert!(failed(&store(&of_certificate).check().await).concat().contains("certificate"));
}

#[tokio::test]
async fn an_answer_that_is_lost_is_unknown_and_the_next_try_finds_the_effect() {
    let azure = holding(&["CANARY-0"]);
    let proxy = FlakyProxy::start(([127, 0, 0, 1], azure.port()).into()).unwrap();
    let far = store_as(&format!("http://{}", proxy.address()), "boss");
    let new = value("CANARY-new");
    proxy.once(Fault::DropAnswerTo(b"PUT /secrets".to_vec())).await;
    let outcome = far.write(&new).await;
    assert!(is_unknown(&outcome), "{outcome:?}");
    assert!(far.observe_write(&new).await.is_applied() && far.write(&new).await.is_applied());
    assert_eq!(azure.values("orders").len(), 2, "no version was made twice");
    for text in ["/versions?", "PATCH /secrets"] {
        proxy.once(Fault::DropAnswerTo(text.as_bytes().to_vec())).await;
        let outcome = far.purge(&[&value("CANARY-0")]).await;
        assert!(is_unknown(&outcome), "{text}: {outcome:?}");
    }
    assert!(far.purge(&[&value("CANARY-0")]).await.is_applied());
    assert_eq!((azure.values("orders")[0].1, proxy.struck()), (false, 3));
    proxy.set(Fault::Refuse).await;
    assert!(matches!(far.write(&fresh()).await, Outcome::NotApplied { retryable: true, .. }));
}

#[tokio::test]
async fn what_is_missing_is_named_with_what_to_do() {
    let azure = holding(&["CANARY-0", "CANARY-1"]);
    azure.allow("least", &["get", "list", "set"]);
    conformance::store(&*store_as(&azure.addr(), "least"), fresh).await.unwrap();
    for missing in ["get", "list", "set"] {
        let rest: Vec<&str> = ["get", "list", "set"].into_iter().filter(|it| *it != missing).collect();
        azure.allow("less", &rest);
        let less = store_as(&azure.addr(), "less");
        let told = format!("{:?} {:?}", less.write(&fresh()).await, less.purge(&[&value("CANARY-0")]).await);
        let words = format!(
            "ForbiddenByRbac: Caller is not authorized to perform action on resource.; grant `secrets/{missing}`"
        );
        assert!(told.contains(&words), "{missing}: {told}");
        assert!(CONNECTOR.readme.contains(&format!("`secrets/{missing}`")));
    }
    let outcome = store_as(&azure.addr(), "CANARY-nobody").write(&fresh()).await;
    assert!(!refused(&outcome, "renew what `login` refers to").contains("CANARY"));
    azure.limit(1);
    let outcome = store(&azure).write(&fresh()).await;
    assert!(matches!(outcome, Outcome::NotApplied { retry_after_ms: Some(10_000), .. }), "{outcome:?}");
    refused(&store(&Azure::start().unwrap()).write(&fresh()).await, "make it first");
    refused(&store(&azure).write(&value(&"x".repeat(25_001))).await, "25 KB");
}

#[tokio::test]
async fn a_hung_server_is_unknown_and_so_is_a_page_of_a_proxy() {
    conformance::hung(LONG, |address| {
        let config = config(&format!("http://{address}"), &json!({ "token": "env:TOKEN" }));
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
