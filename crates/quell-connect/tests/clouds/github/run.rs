//! A workflow as consumer: which run shows that the new value is in use.

use std::time::Duration;

use quell_connect::conformance::{self, Fault, FlakyProxy, Subject};
use quell_connect::connector::{Observe, Reload, Seen};
use quell_connect::github_actions_run::CONNECTOR;
use quell_core::outcome::Outcome;
use quell_testkit::model::github::GitHub;
use serde_json::{Value, json};

use crate::{LONG, SHORT, context, failed, is_unknown, refused};

fn config(url: &str, more: &Value) -> Value {
    let mut table = json!({
        "repo": "acme/orders", "workflow": "deploy.yml", "secret": "DB_URL",
        "api": { "url": url, "token": "env:TOKEN" },
    });
    for (name, value) in more.as_object().unwrap() {
        table[name] = value.clone();
    }
    json!({ "github_actions_run": table })
}

fn both(url: &str, token: &str, more: &Value) -> (Box<dyn Reload>, Box<dyn Observe>) {
    let (config, context) = (config(url, more), context(token, LONG));
    (
        CONNECTOR.reload.unwrap()(&config, &context).unwrap(),
        CONNECTOR.observe.unwrap()(&config, &context).unwrap(),
    )
}

/// Jobs work with `new` and `old`; a run with `old` has succeeded.
fn github() -> GitHub {
    let github = GitHub::start(|value| matches!(value, "new" | "old")).unwrap();
    write(&github, "old");
    github.push();
    github.finish();
    github
}

fn write(github: &GitHub, value: &str) {
    github.secret("acme/orders", "DB_URL", value, &[]);
}

fn why(seen: &Seen) -> &str {
    assert!(!seen.healthy, "{seen:?}");
    seen.why.as_deref().unwrap()
}

#[tokio::test]
async fn the_contract_is_kept() {
    let github = github();
    let (reload, observe) = both(&github.addr(), "boss", &json!({ "job": "deploy" }));
    conformance::observe(&*observe, &[]).await.unwrap();
    conformance::reload(&*reload, &[]).await.unwrap();
}

#[tokio::test]
async fn only_a_run_that_began_after_the_write_and_succeeded_is_a_proof() {
    let github = github();
    let (reload, observe) = both(&github.addr(), "boss", &json!({}));
    let before = observe.see().await.unwrap();
    assert!(before.healthy && before.generation.as_deref().unwrap().ends_with(".1"), "{before:?}");
    // Queued before the write: it holds the old value and succeeds after it.
    github.push();
    write(&github, "new");
    github.finish();
    let seen = observe.see().await.unwrap();
    assert!(why(&seen).contains("no run began after DB_URL was written"), "{seen:?}");
    assert_eq!(github.held(), ["old"]);
    assert!(reload.reload().await.is_applied());
    let seen = observe.see().await.unwrap();
    assert!(why(&seen).contains("is in_progress"), "{seen:?}");
    let seen = observe.see().await.unwrap();
    assert!(seen.healthy && seen.generation != before.generation, "{seen:?}");
    assert_eq!(github.held(), ["new"]);
    // The next write is shown by none of these.
    write(&github, "broken");
    assert!(reload.reload().await.is_applied());
    github.finish();
    let seen = observe.see().await.unwrap();
    assert!(why(&seen).contains("ended as failure"), "{seen:?}");
}

/// The trap: GitHub tells seconds only.
#[tokio::test]
async fn a_run_of_the_same_second_is_no_proof() {
    let github = github();
    let (_, observe) = both(&github.addr(), "boss", &json!({}));
    github.stop_the_clock();
    github.push();
    write(&github, "new");
    github.finish();
    let seen = observe.see().await.unwrap();
    assert!(why(&seen).contains("no run began after"), "{seen:?}");
    assert_eq!(github.held(), ["old"]);
}

/// The trap: the run has a new attempt and is green, and the job that uses the secret is from before the write.
#[tokio::test]
async fn a_run_of_which_only_failed_jobs_ran_again_is_looked_at_closely() {
    // `build` fails once: its job is given nothing, so it is the deployment that this test lets fail or not.
    let github = GitHub::start(|value| value != "broken").unwrap();
    write(&github, "broken");
    github.push();
    github.finish();
    write(&github, "new");
    github.rerun_failed();
    github.finish();
    assert_eq!(github.held(), ["new"]);
    let (_, any) = both(&github.addr(), "boss", &json!({}));
    let seen = any.see().await.unwrap();
    assert!(why(&seen).contains("its job build is of an older attempt"), "{seen:?}");
    // The job that uses the secret is named, and it did run with the new value.
    let (_, deploy) = both(&github.addr(), "boss", &json!({ "job": "deploy" }));
    let seen = deploy.see().await.unwrap();
    assert!(seen.healthy && seen.generation.as_deref().unwrap().ends_with(".2"), "{seen:?}");
    let (_, build) = both(&github.addr(), "boss", &json!({ "job": "build" }));
    assert!(why(&build.see().await.unwrap()).contains("older attempt"));
    let (_, none) = both(&github.addr(), "boss", &json!({ "job": "smoke" }));
    assert!(why(&none.see().await.unwrap()).contains("it has no job smoke"));
    // Nothing had failed: nothing of it ran again.
    write(&github, "newer");
    github.rerun_failed();
    github.finish();
    let seen = deploy.see().await.unwrap();
    assert!(why(&seen).contains("its job deploy is of an older attempt"), "{seen:?}");
    assert_eq!(github.held(), ["new"]);
}

#[tokio::test]
async fn all_jobs_of_the_last_run_can_be_run_again() {
    let github = github();
    let (reload, observe) = both(&github.addr(), "boss", &json!({ "by": "rerun" }));
    write(&github, "new");
    assert!(reload.reload().await.is_applied());
    github.finish();
    let seen = observe.see().await.unwrap();
    assert!(seen.healthy && seen.generation.as_deref().unwrap().ends_with(".2"), "{seen:?}");
    assert_eq!((github.runs(), github.held()), (1, vec!["new".to_owned()]));
    let empty = GitHub::start(|_| true).unwrap();
    write(&empty, "old");
    let (reload, observe) = both(&empty.addr(), "boss", &json!({ "by": "rerun" }));
    refused(&reload.reload().await, "has no run that has ended on main");
    // Before the first run of all there is something to compare with.
    let seen = observe.see().await.unwrap();
    assert!(!seen.healthy && seen.generation.is_some(), "{seen:?}");
}

#[tokio::test]
async fn missing_rights_and_lost_answers_are_named() {
    let github = github();
    github.refuse_dispatches();
    let (reload, _) = both(&github.addr(), "boss", &json!({}));
    refused(&reload.reload().await, "add that trigger, or set `by: rerun`");
    github.allow("less", &["secrets"]);
    let (reload, observe) = both(&github.addr(), "less", &json!({}));
    refused(&reload.reload().await, "`Actions: write`");
    assert!(observe.see().await.unwrap_err().detail.contains("`Actions: read`"));
    assert_eq!(failed(&observe.check().await).len(), 2);
    github.limit(1);
    let outcome = both(&github.addr(), "boss", &json!({})).0.reload().await;
    assert!(matches!(outcome, Outcome::NotApplied { retry_after_ms: Some(60_000), .. }), "{outcome:?}");
    let proxy = FlakyProxy::start(([127, 0, 0, 1], github.port()).into()).unwrap();
    let (reload, _) = both(&format!("http://{}", proxy.address()), "boss", &json!({ "by": "rerun" }));
    proxy.once(Fault::DropAnswerTo(b"/rerun".to_vec())).await;
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

/// The traps: what a fork proposes is no proof, and a run of old that has not ended holds the old value.
#[tokio::test]
async fn runs_of_forks_and_runs_that_began_before_confirm_nothing() {
    let github = github();
    let (reload, observe) = both(&github.addr(), "boss", &json!({}));
    write(&github, "new");
    github.propose();
    github.finish();
    let seen = observe.see().await.unwrap();
    assert!(why(&seen).contains("no run began after"), "{seen:?}");
    github.push();
    write(&github, "old");
    assert!(reload.reload().await.is_applied());
    let seen = observe.see().await.unwrap();
    assert!(why(&seen).contains("began before DB_URL was written, and is in_progress"), "{seen:?}");
    github.finish();
    assert!(observe.see().await.unwrap().healthy);
}
