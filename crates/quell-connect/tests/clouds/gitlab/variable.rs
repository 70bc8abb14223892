//! A CI/CD variable as a store.

use quell_connect::conformance::{self, Fault, FlakyProxy, Subject};
use quell_connect::connector::Store;
use quell_connect::gitlab_ci::CONNECTOR;
use quell_core::outcome::Outcome;
use quell_testkit::model::gitlab::GitLab;
use serde_json::{Value, json};

use crate::{
    LONG, SHORT, assert_no_value_in, context, facts, failed, fresh, is_unknown, reason, refused, value,
};

fn config(url: &str, more: &Value) -> Value {
    let mut config = json!({
        "at": { "project": "acme/orders" }, "key": "DB_URL", "api": { "url": url, "token": "env:TOKEN" },
    });
    for (name, value) in more.as_object().unwrap() {
        config[name] = value.clone();
    }
    config
}

fn store_as(url: &str, token: &str, more: &Value) -> Box<dyn Store> {
    CONNECTOR.store.unwrap()(&config(url, more), &context(token, LONG)).unwrap()
}

fn store(gitlab: &GitLab) -> Box<dyn Store> {
    store_as(&gitlab.addr(), "boss", &json!({}))
}

fn holding(text: &str, more: &Value) -> GitLab {
    let gitlab = GitLab::start(|_| true).unwrap();
    gitlab.variable("DB_URL", text, more);
    gitlab
}

fn now(gitlab: &GitLab) -> Value {
    gitlab.variable_now("DB_URL", "*")["value"].take()
}

#[tokio::test]
async fn the_contract_is_kept_and_attributes_stay() {
    let masked =
        json!({ "masked": true, "protected": true, "variable_type": "file", "description": "theirs" });
    for (at, first) in
        [(json!({ "project": "acme/orders" }), "first-value"), (json!({ "group": "acme" }), "")]
    {
        let gitlab = holding(first, &masked);
        let store = store_as(&gitlab.addr(), "boss", &json!({ "at": at }));
        conformance::store(&*store, fresh).await.unwrap();
        let variable = gitlab.variable_now("DB_URL", "*");
        for (name, value) in masked.as_object().unwrap() {
            assert_eq!(variable[name], *value, "{name}");
        }
        assert_no_value_in(&gitlab.lines());
    }
}

/// The trap: one key, several environments. Without a filter GitLab takes the first one, or none.
#[tokio::test]
async fn the_variable_of_another_environment_is_left_alone_and_named() {
    let gitlab = holding("CANARY-leaked", &json!({ "environment_scope": "production" }));
    gitlab.variable("DB_URL", "CANARY-staging", &json!({ "environment_scope": "staging" }));
    gitlab.variable("OTHER", "postgres://u:CANARY-leaked@h/db", &json!({}));
    let store = store_as(&gitlab.addr(), "boss", &json!({ "scope": "production" }));
    assert!(store.write(&value("CANARY-new")).await.is_applied());
    assert_eq!(gitlab.variable_now("DB_URL", "production")["value"], "CANARY-new");
    assert_eq!(gitlab.variable_now("DB_URL", "staging")["value"], "CANARY-staging");
    // The copy under another key is on the second page.
    let purged = store.purge(&[&value("CANARY-leaked")]).await;
    let words = refused(&purged, "`OTHER` for *");
    assert!(!words.contains("CANARY"), "{words}");
    assert!(!store.observe_purge(&[&value("CANARY-leaked")]).await.is_applied());
    assert!(store.purge(&[&value("CANARY-gone")]).await.is_applied());
}

#[tokio::test]
async fn what_a_job_would_get_otherwise_is_refused_before() {
    let gitlab = holding("CANARY-0", &json!({}));
    let dollar = value("CANARY-a$b");
    refused(&store(&gitlab).write(&dollar).await, "clear `Expand variable reference`");
    assert_eq!(now(&gitlab), "CANARY-0");
    let raw = holding("CANARY-0", &json!({ "raw": true }));
    assert!(store(&raw).write(&dollar).await.is_applied());
    let masked = holding("CANARY-0", &json!({ "masked": true }));
    let outcome = store(&masked).write(&value("CANARY two words")).await;
    refused(&outcome, "the variable is masked: a value must be one line of 8 characters");
    assert!(!format!("{outcome:?}").contains("CANARY") && now(&masked) == "CANARY-0");
}

#[tokio::test]
async fn a_hidden_variable_only_takes_values() {
    let gitlab = holding("CANARY-0", &json!({ "masked": true, "hidden": true }));
    let unsaid = store(&gitlab).read().await.unwrap_err();
    assert!(unsaid.detail.contains("set `hidden: true` here"), "{unsaid}");
    assert!(failed(&store(&gitlab).check().await).concat().contains("hidden"));
    let hidden = store_as(&gitlab.addr(), "boss", &json!({ "hidden": true }));
    conformance::write_only_store(&*hidden, fresh).await.unwrap();
    assert!(hidden.write(&value("CANARY-last")).await.is_applied());
    assert_eq!(now(&gitlab), "CANARY-last");
    assert_eq!(facts(&hidden.purge(&[&value("CANARY-0")]).await)["hidden"], json!(1));
    let open = holding("CANARY-0", &json!({}));
    let wrong = store_as(&open.addr(), "boss", &json!({ "hidden": true }));
    assert!(failed(&wrong.check().await).concat().contains("leave out `hidden: true`"));
}

#[tokio::test]
async fn an_answer_that_is_lost_is_unknown_and_the_next_try_finds_the_effect() {
    let gitlab = holding("CANARY-0", &json!({}));
    let proxy = FlakyProxy::start(([127, 0, 0, 1], gitlab.port()).into()).unwrap();
    let far = store_as(&format!("http://{}/api/v4", proxy.address()), "boss", &json!({}));
    for (n, method) in ["GET /api", "PUT /api"].iter().enumerate() {
        let new = value(&format!("CANARY-new-{n}"));
        proxy.once(Fault::DropAnswerTo(method.as_bytes().to_vec())).await;
        let outcome = far.write(&new).await;
        assert!(is_unknown(&outcome), "{method}: {outcome:?}");
        assert_eq!(far.observe_write(&new).await.is_applied(), *method == "PUT /api");
        assert!(far.write(&new).await.is_applied());
    }
    let puts = gitlab.lines().iter().filter(|line| line.starts_with("PUT")).count();
    assert_eq!((puts, proxy.struck()), (2, 2), "what was found was not sent again");
    proxy.set(Fault::Refuse).await;
    assert!(matches!(far.write(&fresh()).await, Outcome::NotApplied { retryable: true, .. }));
}

#[tokio::test]
async fn what_is_missing_is_named_with_what_to_do() {
    let gitlab = holding("CANARY-0", &json!({}));
    gitlab.allow_little("little");
    let little = store_as(&gitlab.addr(), "little", &json!({}));
    let outcome = little.write(&fresh()).await;
    assert!(refused(&outcome, "the scope `api` and the role Maintainer").contains("higher privileges"));
    assert_eq!(failed(&little.check().await).len(), 1);
    let wrong = store_as(&gitlab.addr(), "CANARY-nobody", &json!({}));
    let outcome = wrong.write(&fresh()).await;
    refused(&outcome, "renew what `token` refers to");
    assert!(!format!("{outcome:?}").contains("CANARY"));
    gitlab.limit(1);
    let outcome = store(&gitlab).write(&fresh()).await;
    assert!(matches!(outcome, Outcome::NotApplied { retry_after_ms: Some(60_000), .. }), "{outcome:?}");
    let slip = store_as(&gitlab.addr(), "boss", &json!({ "key": "DB_URI" }));
    refused(&slip.write(&fresh()).await, "make it first");
    let other = store_as(&gitlab.addr(), "boss", &json!({ "scope": "staging" }));
    assert!(reason(&other.write(&fresh()).await).contains("Variable Not Found"));
}

#[tokio::test]
async fn a_hung_server_is_unknown_and_so_is_a_page_of_a_proxy() {
    conformance::hung(LONG, |address| {
        let config = config(&format!("http://{address}"), &json!({}));
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
        let away = store_as(&format!("http://127.0.0.1:{}", page.port()), "boss", &json!({}));
        assert!(is_unknown(&away.write(&fresh()).await), "{status}");
        assert!(is_unknown(&away.purge(&[&fresh()]).await), "{status}");
    }
}

/// The trap: an older server knows no filter, and gives the variable of another environment.
#[tokio::test]
async fn a_variable_of_another_environment_is_not_written() {
    let gitlab = holding("CANARY-other", &json!({ "environment_scope": "staging" }));
    gitlab.forget_filters();
    let store = store_as(&gitlab.addr(), "boss", &json!({ "scope": "production" }));
    refused(&store.write(&value("CANARY-new")).await, "is for `staging`, and not for `production`");
    assert_eq!(gitlab.variable_now("DB_URL", "staging")["value"], "CANARY-other");
}
