//! Pipelines as consumer: which one shows that the new value is in use.

use std::time::Duration;

use quell_connect::conformance::{self, Fault, FlakyProxy, Subject};
use quell_connect::connector::{Observe, Reload, Seen};
use quell_connect::gitlab_ci_pipeline::CONNECTOR;
use quell_core::outcome::Outcome;
use quell_testkit::model::gitlab::GitLab;
use serde_json::{Value, json};

use crate::{LONG, SHORT, context, failed, is_unknown, refused};

fn config(url: &str, more: &Value) -> Value {
    let mut table = json!({ "project": "acme/orders", "api": { "url": url, "token": "env:TOKEN" } });
    for (name, value) in more.as_object().unwrap() {
        table[name] = value.clone();
    }
    json!({ "gitlab_ci_pipeline": table })
}

fn both(url: &str, token: &str, more: &Value) -> (Box<dyn Reload>, Box<dyn Observe>) {
    let (config, context) = (config(url, more), context(token, LONG));
    (
        CONNECTOR.reload.unwrap()(&config, &context).unwrap(),
        CONNECTOR.observe.unwrap()(&config, &context).unwrap(),
    )
}

fn gitlab() -> GitLab {
    let gitlab = GitLab::start(|value| value != "broken").unwrap();
    gitlab.variable("DB_URL", "old", &json!({}));
    gitlab
}

fn why(seen: &Seen) -> &str {
    assert!(!seen.healthy, "{seen:?}");
    seen.why.as_deref().unwrap()
}

#[tokio::test]
async fn the_contract_is_kept() {
    let gitlab = gitlab();
    let (reload, observe) = both(&gitlab.addr(), "boss", &json!({ "job": "deploy" }));
    conformance::reload(&*reload, &[]).await.unwrap();
    gitlab.finish();
    conformance::observe(&*observe, &[]).await.unwrap();
}

#[tokio::test]
async fn only_a_pipeline_that_we_started_and_that_succeeded_is_a_proof() {
    let gitlab = gitlab();
    let (reload, observe) = both(&gitlab.addr(), "boss", &json!({}));
    let before = observe.see().await.unwrap();
    assert!(why(&before).contains("we started no pipeline yet") && before.generation.is_some());
    // Somebody pushed before the write, and it ends well after it.
    gitlab.push();
    gitlab.finish();
    assert_eq!(gitlab.held(), ["old"]);
    let seen = observe.see().await.unwrap();
    assert_eq!((seen.healthy, &seen.generation), (false, &before.generation), "{seen:?}");
    assert!(reload.reload().await.is_applied());
    let seen = observe.see().await.unwrap();
    assert!(why(&seen).contains("is running"), "{seen:?}");
    gitlab.finish();
    let first = observe.see().await.unwrap();
    assert!(first.healthy && first.generation != before.generation, "{first:?}");
    // A later one of ours that fails takes it back.
    let broken = GitLab::start(|_| false).unwrap();
    let (reload, observe) = both(&broken.addr(), "boss", &json!({}));
    broken.variable("DB_URL", "broken", &json!({}));
    assert!(reload.reload().await.is_applied());
    broken.finish();
    assert!(why(&observe.see().await.unwrap()).contains("is failed"));
}

/// The trap: a pipeline is green while the job that uses the variable waits for somebody.
#[tokio::test]
async fn a_pipeline_that_passed_without_the_job_is_no_proof() {
    let gitlab = gitlab();
    let (reload, deploy) = both(&gitlab.addr(), "boss", &json!({ "job": "deploy" }));
    assert!(reload.reload().await.is_applied());
    gitlab.wait_for_somebody();
    gitlab.finish();
    assert!(why(&deploy.see().await.unwrap()).contains("job deploy of pipeline 46 is manual"));
    let (_, none) = both(&gitlab.addr(), "boss", &json!({ "job": "smoke" }));
    assert!(why(&none.see().await.unwrap()).contains("has no job smoke"));
    let (_, any) = both(&gitlab.addr(), "boss", &json!({}));
    assert!(any.see().await.unwrap().healthy);
}

#[tokio::test]
async fn missing_rights_and_lost_answers_are_named() {
    let gitlab = gitlab();
    gitlab.allow_little("little");
    let (reload, observe) = both(&gitlab.addr(), "little", &json!({}));
    refused(&reload.reload().await, "the scope `api` and the role Developer");
    assert!(observe.see().await.unwrap_err().detail.contains("the role Developer"));
    assert_eq!(failed(&observe.check().await).len(), 1);
    let (reload, _) = both(&gitlab.addr(), "boss", &json!({ "ref": "other" }));
    refused(&reload.reload().await, "Reference not found");
    gitlab.limit(1);
    let outcome = reload.reload().await;
    assert!(matches!(outcome, Outcome::NotApplied { retry_after_ms: Some(60_000), .. }), "{outcome:?}");
    let proxy = FlakyProxy::start(([127, 0, 0, 1], gitlab.port()).into()).unwrap();
    let (reload, _) = both(&format!("http://{}/api/v4", proxy.address()), "boss", &json!({}));
    proxy.once(Fault::DropAnswerTo(b"POST /api".to_vec())).await;
    let outcome = reload.reload().await;
    assert!(is_unknown(&outcome), "{outcome:?}");
    for role in ["reload", "observe"] {
        conformance::hung(Duration::from_secs(5), |address| {
            let config = config(&format!("http://{address}"), &json!({}));
            let context = context("boss", SHORT);
            if role == "reload" {
                Subject::Reload(CONNECTOR.reload.unwrap()(&config, &context).unwrap())
            } else {
                Subject::Observe(CONNECTOR.observe.unwrap()(&config, &context).unwrap())
            }
        })
        .await
        .unwrap();
    }
}

/// The trap: a job of an older pipeline was given the old value, and goes on.
#[tokio::test]
async fn an_older_pipeline_that_has_not_ended_is_named() {
    let gitlab = gitlab();
    let (reload, observe) = both(&gitlab.addr(), "boss", &json!({}));
    gitlab.push();
    gitlab.take_long(46, true);
    assert!(reload.reload().await.is_applied());
    gitlab.finish();
    let seen = observe.see().await.unwrap();
    assert!(why(&seen).contains("pipeline 46 was begun before ours, and is running"), "{seen:?}");
    gitlab.take_long(46, false);
    gitlab.finish();
    assert!(observe.see().await.unwrap().healthy);
}
