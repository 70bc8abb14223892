//! Secrets Manager as a store.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};
use std::time::Duration;

use axum::body::Bytes;
use axum::http::HeaderMap;
use quell_connect::aws_secrets_manager::CONNECTOR;
use quell_connect::conformance::{self, Fault, FlakyProxy, Subject};
use quell_connect::connector::Store;
use quell_core::outcome::Outcome;
use quell_core::secret::SecretValue;
use quell_testkit::moto::{Aws, Keys};
use serde_json::{Value, json};

use crate::{context, facts, failed, reason};

const NAME: &str = "apps/orders";

fn store_at(endpoint: &str, admin: &str, key: Option<&str>) -> Box<dyn Store> {
    let mut config = json!({ "credentials": "env:ADMIN", "secret": NAME, "endpoint": endpoint });
    if let Some(key) = key {
        config["key"] = json!(key);
    }
    CONNECTOR.store.unwrap()(&config, &context(admin, Duration::from_secs(10))).unwrap()
}

fn store(aws: &Aws, key: Option<&str>) -> Box<dyn Store> {
    store_at(&aws.addr(), &aws.admin().json(), key)
}

/// A server with the secret, which holds `text`.
fn holding(text: &str) -> Aws {
    let aws = Aws::start().unwrap();
    let token = "0123456789abcdef0123456789abcdef";
    aws.secrets("CreateSecret", &json!({ "Name": NAME, "SecretString": text, "ClientRequestToken": token }))
        .unwrap();
    aws
}

fn value(text: &str) -> SecretValue {
    SecretValue::from_text(text.to_owned())
}

fn labels(aws: &Aws) -> Value {
    aws.secrets("DescribeSecret", &json!({ "SecretId": NAME })).unwrap()["VersionIdsToStages"].take()
}

fn text_at(aws: &Aws, label: &str) -> Option<String> {
    let answer = aws.secrets("GetSecretValue", &json!({ "SecretId": NAME, "VersionStage": label })).ok()?;
    answer["SecretString"].as_str().map(str::to_owned)
}

#[tokio::test]
async fn the_contract_is_kept_for_a_string_and_for_a_key() {
    let count = AtomicU32::new(0);
    let fresh = || value(&format!("CANARY-{}-value", count.fetch_add(1, Ordering::Relaxed)));
    let aws = holding("first");
    conformance::store(&*store(&aws, None), fresh).await.unwrap();
    let aws = holding(r#"{"user":"orders","port":5432,"nested":{"big":12345678901234567}}"#);
    conformance::store(&*store(&aws, Some("password")), fresh).await.unwrap();
    let now: Value = serde_json::from_str(&text_at(&aws, "AWSCURRENT").unwrap()).unwrap();
    assert_eq!(now["nested"], json!({ "big": 12_345_678_901_234_567_u64 }));
    assert_eq!((&now["user"], &now["port"]), (&json!("orders"), &json!(5432)));
    // A secret that was made without a value.
    let aws = Aws::start().unwrap();
    aws.secrets("CreateSecret", &json!({ "Name": NAME })).unwrap();
    assert!(store(&aws, None).read().await.unwrap().is_none());
    conformance::store(&*store(&aws, None), fresh).await.unwrap();
}

#[tokio::test]
async fn the_leaked_value_is_previous_until_it_is_purged() {
    let aws = holding("CANARY-leaked");
    let store = store(&aws, None);
    let (old, new) = (value("CANARY-leaked"), value("CANARY-new"));
    assert!(store.write(&new).await.is_applied());
    // The trap: everybody who may read the secret may still read this.
    assert_eq!(text_at(&aws, "AWSPREVIOUS").as_deref(), Some("CANARY-leaked"));
    aws.secrets(
        "UpdateSecretVersionStage",
        &json!({
            "SecretId": NAME, "VersionStage": "kept", "MoveToVersionId": "0123456789abcdef0123456789abcdef",
        }),
    )
    .unwrap();
    let seen = store.observe_purge(&[&old]).await;
    assert!(reason(&seen).contains("AWSPREVIOUS, kept"), "{seen:?}");
    let purged = store.purge(&[&old]).await;
    assert_eq!(text_at(&aws, "AWSPREVIOUS"), None);
    assert_eq!(text_at(&aws, "kept"), None);
    assert_eq!(text_at(&aws, "AWSCURRENT").as_deref(), Some("CANARY-new"));
    // No call deletes a version, and that is said.
    assert_eq!(facts(&purged)["destroyed"], json!([]));
    assert_eq!(facts(&purged)["still_readable_by_id"], json!(["0123456789abcdef0123456789abcdef"]));
    assert_eq!(facts(&purged)["labels_removed"].as_array().unwrap().len(), 2);
    let seen = store.observe_purge(&[&old]).await;
    assert_eq!(facts(&seen)["still_readable_by_id"], json!(["0123456789abcdef0123456789abcdef"]));
    assert!(!format!("{purged:?}{seen:?}").contains("CANARY"));
    // In another key, in a longer text.
    let aws = holding(r#"{"a":"x","url":"postgres://u:CANARY-leaked@h/db"}"#);
    let keyed = store_at(&aws.addr(), &aws.admin().json(), Some("a"));
    assert!(reason(&keyed.purge(&[&old]).await).contains("still holds a compromised value"));
}

#[tokio::test]
async fn binary_versions_are_purged_as_well_and_stop_nothing() {
    use base64::Engine as _;
    let aws = holding("CANARY-leaked");
    let (store, old, new) = (store(&aws, None), value("CANARY-leaked"), value("CANARY-new"));
    for (label, bytes) in [("with", &b"\xff\x00CANARY-leaked\xfe"[..]), ("without", &b"\xff\x00\xfe"[..])] {
        let text = base64::prelude::BASE64_STANDARD.encode(bytes);
        let body = json!({ "SecretId": NAME, "SecretBinary": text, "VersionStages": [label] });
        aws.secrets("PutSecretValue", &body).unwrap();
    }
    assert!(store.write(&new).await.is_applied());
    let seen = store.observe_purge(&[&old]).await;
    assert!(reason(&seen).contains("(with)") && !reason(&seen).contains("without"), "{seen:?}");
    let purged = store.purge(&[&old]).await;
    assert_eq!(facts(&purged)["labels_removed"].as_array().unwrap().len(), 2, "{purged:?}");
    let left = labels(&aws).to_string();
    assert!(
        !left.contains("\"with\"") && left.contains("\"without\"") && !left.contains("PREVIOUS"),
        "{left}"
    );
    assert!(!format!("{seen:?}{purged:?}").contains("CANARY"));
}

#[tokio::test]
async fn an_answer_that_is_lost_is_unknown_and_the_next_try_finds_the_effect() {
    let aws = holding("CANARY-0");
    let proxy = FlakyProxy::start(([127, 0, 0, 1], aws.port()).into()).unwrap();
    let far = store_at(&format!("http://{}", proxy.address()), &aws.admin().json(), None);
    for (n, operation) in ["GetSecretValue", "PutSecretValue", "UpdateSecretVersionStage"].iter().enumerate()
    {
        let new = value(&format!("CANARY-new-{n}"));
        let struck = proxy.struck();
        proxy.once(Fault::DropAnswerTo(format!("secretsmanager.{operation}").into_bytes())).await;
        let outcome = far.write(&new).await;
        assert_eq!(proxy.struck(), struck + 1, "{operation} was not sent");
        assert!(matches!(outcome, Outcome::Unknown { .. }), "{operation}: {outcome:?}");
        let done = far.observe_write(&new).await.is_applied();
        assert_eq!(done, *operation == "UpdateSecretVersionStage", "{operation}");
        assert!(far.write(&new).await.is_applied());
        assert_eq!(text_at(&aws, "AWSCURRENT").unwrap(), format!("CANARY-new-{n}"));
        // The repeat made no version of its own.
        assert_eq!(labels(&aws).as_object().unwrap().len(), n + 2, "{operation}");
    }
    let olds: Vec<SecretValue> = ["CANARY-0", "CANARY-new-0", "CANARY-new-1"].map(value).into();
    let olds: Vec<&SecretValue> = olds.iter().collect();
    for operation in ["ListSecretVersionIds", "GetSecretValue", "UpdateSecretVersionStage"] {
        proxy.once(Fault::DropAnswerTo(format!("secretsmanager.{operation}").into_bytes())).await;
        let outcome = far.purge(&olds).await;
        assert!(matches!(outcome, Outcome::Unknown { .. }), "{operation}: {outcome:?}");
    }
    assert!(far.purge(&olds).await.is_applied() && far.observe_purge(&olds).await.is_applied());
    assert_eq!(text_at(&aws, "AWSPREVIOUS"), None);
}

#[tokio::test]
async fn a_version_that_did_not_get_to_be_current_is_no_obstacle() {
    let aws = holding("CANARY-0");
    let proxy = FlakyProxy::start(([127, 0, 0, 1], aws.port()).into()).unwrap();
    let far = store_at(&format!("http://{}", proxy.address()), &aws.admin().json(), None);
    proxy.once(Fault::CutBefore(b"secretsmanager.UpdateSecretVersionStage".to_vec())).await;
    assert!(!far.write(&value("CANARY-first")).await.is_applied());
    assert_eq!(text_at(&aws, "AWSCURRENT").as_deref(), Some("CANARY-0"));
    // Another value for the same place: the version's id is taken.
    assert!(far.write(&value("CANARY-second")).await.is_applied());
    assert_eq!(text_at(&aws, "AWSCURRENT").as_deref(), Some("CANARY-second"));
    let old = value("CANARY-first");
    assert!(far.purge(&[&old, &value("CANARY-0")]).await.is_applied());
    let left = labels(&aws);
    let labelled =
        left.as_object().unwrap().values().filter(|it| it.as_array().is_some_and(|it| !it.is_empty()));
    assert_eq!(labelled.count(), 1, "only what is current has labels: {left}");
}

/// Passes everything on, and lets somebody else write just before the label is moved for the first time.
async fn with_somebody_else(aws: &Arc<Aws>) -> String {
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let (aws, done) = (Arc::clone(aws), Arc::new(AtomicBool::new(false)));
    let app = axum::Router::new().fallback(move |headers: HeaderMap, body: Bytes| {
        let (aws, done) = (Arc::clone(&aws), Arc::clone(&done));
        async move {
            let moves =
                headers.get("x-amz-target").is_some_and(|it| it.as_bytes().ends_with(b"VersionStage"));
            if moves && !done.swap(true, Ordering::SeqCst) {
                let theirs =
                    json!({ "SecretId": NAME, "SecretString": r#"{"password":"CANARY-0","theirs":1}"# });
                let aws = Arc::clone(&aws);
                tokio::task::spawn_blocking(move || aws.secrets("PutSecretValue", &theirs).unwrap())
                    .await
                    .unwrap();
            }
            let client = reqwest::Client::new().post(aws.addr()).headers(headers).body(body.to_vec());
            let answer = client.send().await.unwrap();
            (
                axum::http::StatusCode::from_u16(answer.status().as_u16()).unwrap(),
                answer.bytes().await.unwrap(),
            )
        }
    });
    tokio::spawn(async move { axum::serve(listener, app).await });
    format!("http://{address}")
}

#[tokio::test]
async fn what_somebody_else_writes_meanwhile_is_not_overwritten() {
    let aws = Arc::new(holding(r#"{"password":"CANARY-0"}"#));
    let far = store_at(&with_somebody_else(&aws).await, &aws.admin().json(), Some("password"));
    let outcome = far.write(&value("CANARY-new")).await;
    assert!(matches!(outcome, Outcome::NotApplied { retryable: true, .. }), "{outcome:?}");
    assert!(reason(&outcome).contains("somebody made version"), "{outcome:?}");
    let now: Value = serde_json::from_str(&text_at(&aws, "AWSCURRENT").unwrap()).unwrap();
    assert_eq!(now, json!({ "password": "CANARY-0", "theirs": 1 }));
    assert!(far.write(&value("CANARY-new")).await.is_applied());
    let now: Value = serde_json::from_str(&text_at(&aws, "AWSCURRENT").unwrap()).unwrap();
    assert_eq!(now, json!({ "password": "CANARY-new", "theirs": 1 }));
}

#[tokio::test]
async fn a_hung_server_is_unknown() {
    let keys = Keys { id: "AKIA0000000000000001".to_owned(), secret: "x".repeat(40), token: None };
    conformance::hung(Duration::from_secs(5), |address| {
        let config =
            json!({ "credentials": "env:ADMIN", "secret": NAME, "endpoint": format!("http://{address}") });
        let context = context(&keys.json(), Duration::from_millis(400));
        Subject::Store(CONNECTOR.store.unwrap()(&config, &context).unwrap(), value("CANARY-value"))
    })
    .await
    .unwrap();
}

#[tokio::test]
async fn the_page_grants_what_is_needed_and_not_less() {
    let aws = holding("CANARY-0");
    let policy = CONNECTOR.readme.split("```json\n").nth(1).unwrap().split("```").next().unwrap();
    let policy: Value = serde_json::from_str(policy).unwrap();
    let actions: Vec<&str> =
        policy["Statement"][0]["Action"].as_array().unwrap().iter().map(|it| it.as_str().unwrap()).collect();
    let least = aws.user("quell", &actions).unwrap();
    let count = AtomicU32::new(0);
    let fresh = || value(&format!("CANARY-{}-value", count.fetch_add(1, Ordering::Relaxed)));
    conformance::store(&*store_at(&aws.addr(), &least.json(), None), fresh).await.unwrap();
    for (n, action) in actions.iter().enumerate() {
        let rest: Vec<&str> = actions.iter().filter(|other| *other != action).copied().collect();
        let less = store_at(&aws.addr(), &aws.user(&format!("less{n}"), &rest).unwrap().json(), None);
        let written = less.write(&fresh()).await;
        let told = format!("{written:?} {:?} {:?}", less.purge(&[]).await, less.check().await);
        assert!(
            told.contains("AccessDenied") && told.contains("the policy of this connector's page"),
            "{action}: {told}"
        );
        assert!(told.contains(action), "{action}: {told}");
        assert!(!told.contains("CANARY"), "{action}");
    }
}

#[tokio::test]
async fn what_is_not_there_or_of_another_shape_is_said() {
    let aws = Aws::start().unwrap();
    let none = store(&aws, None);
    let outcome = none.write(&value("CANARY-x")).await;
    assert!(matches!(outcome, Outcome::NotApplied { retryable: false, .. }), "{outcome:?}");
    assert!(reason(&outcome).contains("ResourceNotFoundException"), "{outcome:?}");
    assert!(!failed(&none.check().await).is_empty());
    let aws = holding("CANARY no JSON");
    let keyed = store(&aws, Some("password"));
    for words in [reason(&keyed.write(&value("CANARY-x")).await), failed(&keyed.check().await)[0]] {
        assert!(words.contains("not a JSON object") && !words.contains("CANARY"), "{words}");
    }
    let wrong = Keys { secret: "y".repeat(40), ..aws.admin().clone() };
    let outcome = store_at(&aws.addr(), &wrong.json(), None).write(&value("CANARY-x")).await;
    assert!(reason(&outcome).contains("renew what `credentials` refers to"), "{outcome:?}");
    let aws = Aws::start().unwrap();
    aws.secrets("CreateSecret", &json!({ "Name": NAME, "SecretBinary": "Q0FOQVJZ" })).unwrap();
    assert!(store(&aws, None).read().await.unwrap_err().to_string().contains("binary"));
}
