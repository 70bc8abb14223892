//! A secret of Actions as a store that only takes values.

use std::io::Write as _;
use std::process::{Command, Stdio};

use quell_connect::conformance::{self, Fault, FlakyProxy, Subject};
use quell_connect::connector::Store;
use quell_connect::github_actions::CONNECTOR;
use quell_core::outcome::Outcome;
use quell_testkit::model::github::GitHub;
use serde_json::{Value, json};

use crate::{
    LONG, SHORT, assert_no_value_in, context, facts, failed, fresh, is_unknown, reason, refused, value,
};

const PLACES: [(&str, &str); 3] =
    [("repo", "acme/orders"), ("environment", "acme/orders/production"), ("organization", "acme")];

fn config(url: &str, (level, place): (&str, &str)) -> Value {
    json!({ "at": { (level): place }, "name": "DB_URL", "api": { "url": url, "token": "env:TOKEN" } })
}

fn store_as(url: &str, token: &str, place: (&str, &str)) -> Box<dyn Store> {
    CONNECTOR.store.unwrap()(&config(url, place), &context(token, LONG)).unwrap()
}

/// With the secret in every place.
fn github() -> GitHub {
    let github = GitHub::start(|_| true).unwrap();
    for (_, place) in PLACES {
        github.secret(place, "DB_URL", "CANARY-0", &[7, 8, 9, 10, 11]);
    }
    github
}

#[tokio::test]
async fn the_contract_is_kept_in_every_place() {
    let github = github();
    for place in PLACES {
        let store = store_as(&github.addr(), "boss", place);
        conformance::write_only_store(&*store, fresh).await.unwrap();
        assert!(store.write(&value("CANARY-last")).await.is_applied());
        assert_eq!(github.value(place.1, "DB_URL").as_deref(), Some("CANARY-last"));
    }
    assert_eq!(github.selected("acme", "DB_URL"), [7, 8, 9, 10, 11], "who may read it stays as it was");
    assert_no_value_in(&github.lines());
}

/// libsodium itself opens what was sent.
#[tokio::test]
async fn boxes_are_those_of_libsodium() {
    let github = github();
    for text in ["x", "CANARY-new", &"long ".repeat(500), "ünï"] {
        let store = store_as(&github.addr(), "boss", PLACES[0]);
        assert!(store.write(&value(text)).await.is_applied());
        let (sealed, private) = github.sealed("acme/orders", "DB_URL").unwrap();
        let script = "import sys, base64, nacl.public as n\nkey, box = sys.stdin.read().split()\n\
                      sys.stdout.buffer.write(n.SealedBox(n.PrivateKey(bytes.fromhex(key))).decrypt(base64.b64decode(box)))";
        let mut python = Command::new(quell_testkit::python().unwrap())
            .args(["-c", script])
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        python.stdin.take().unwrap().write_all(format!("{private} {sealed}").as_bytes()).unwrap();
        let output = python.wait_with_output().unwrap();
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        assert_eq!(String::from_utf8(output.stdout).unwrap(), text);
    }
}

#[tokio::test]
async fn a_key_that_is_replaced_in_between_is_fetched_anew() {
    let github = github();
    for place in PLACES {
        let store = store_as(&github.addr(), "boss", place);
        github.replace_key_before_next_write(place.1);
        let outcome = store.write(&value("CANARY-new")).await;
        assert!(facts(&outcome)["key_id"].as_str().unwrap().ends_with('1'), "{outcome:?}");
        assert_eq!(github.value(place.1, "DB_URL").as_deref(), Some("CANARY-new"));
    }
    // Each place has a key of its own: a box for the repository's is not what the environment's opens.
    let lines = github.lines();
    assert!(lines.iter().any(|line| line.contains("/environments/production/secrets/public-key")));
}

#[tokio::test]
async fn an_answer_that_is_lost_is_made_up_for_by_the_same_value() {
    let github = github();
    let proxy = FlakyProxy::start(([127, 0, 0, 1], github.port()).into()).unwrap();
    let far = store_as(&format!("http://{}", proxy.address()), "boss", PLACES[0]);
    let new = value("CANARY-new");
    proxy.once(Fault::DropAnswerTo(b"PUT /repos".to_vec())).await;
    let outcome = far.write(&new).await;
    assert!(is_unknown(&outcome), "{outcome:?}");
    assert_eq!(github.value("acme/orders", "DB_URL").as_deref(), Some("CANARY-new"));
    // Nothing is claimed, and another try is asked for.
    let seen = far.observe_write(&new).await;
    assert!(matches!(seen, Outcome::NotApplied { retryable: true, .. }), "{seen:?}");
    assert!(reason(&seen).contains("whether it was this value cannot be seen"), "{seen:?}");
    assert!(far.write(&new).await.is_applied());
    // Written, and when is not known: the time is what a run is compared with.
    proxy.set(Fault::Refuse).await;
    let seen = far.observe_write(&new).await;
    assert!(is_unknown(&seen), "{seen:?}");
    assert!(matches!(far.write(&new).await, Outcome::NotApplied { retryable: true, .. }));
}

#[tokio::test]
async fn what_is_missing_is_named_with_what_to_do() {
    let github = github();
    for (place, permission) in
        PLACES.into_iter().zip(["`Secrets: write`", "`Environments: write`", "organization permission"])
    {
        github.allow("less", &["actions"]);
        let less = store_as(&github.addr(), "less", place);
        let outcome = less.write(&fresh()).await;
        let words = refused(&outcome, "Resource not accessible by personal access token");
        assert!(words.contains(permission), "{words}");
        assert_eq!(failed(&less.check().await).len(), 2);
    }
    let wrong = store_as(&github.addr(), "CANARY-nobody", PLACES[0]);
    let outcome = wrong.write(&fresh()).await;
    refused(&outcome, "renew what `token` refers to");
    assert!(!format!("{outcome:?}").contains("CANARY"));
    // A limit is answered with 403 as well, and is no missing right.
    github.limit(1);
    let outcome = store_as(&github.addr(), "boss", PLACES[0]).write(&fresh()).await;
    assert!(
        matches!(outcome, Outcome::NotApplied { retryable: true, retry_after_ms: Some(60_000), .. }),
        "{outcome:?}"
    );
    // A slip of the pen makes no secret that nobody reads.
    let mut config = config(&github.addr(), PLACES[0]);
    config["name"] = json!("DB_URI");
    let slip = CONNECTOR.store.unwrap()(&config, &context("boss", LONG)).unwrap();
    refused(&slip.write(&fresh()).await, "make it first");
    assert!(github.value("acme/orders", "DB_URI").is_none());
    let long = value(&"x".repeat((48 << 10) + 1));
    refused(&store_as(&github.addr(), "boss", PLACES[0]).write(&long).await, "48 KB");
}

#[tokio::test]
async fn a_hung_server_is_unknown_and_so_is_a_page_of_a_proxy() {
    conformance::hung(LONG, |address| {
        let config = config(&format!("http://{address}"), PLACES[0]);
        Subject::Store(
            CONNECTOR.store.unwrap()(&config, &context("boss", SHORT)).unwrap(),
            value("CANARY-value"),
        )
    })
    .await
    .unwrap();
    for status in [200, 302, 403, 404, 422, 500, 503] {
        let page = quell_testkit::model::Listener::start(move |_| {
            quell_testkit::model::Reply::page(status, "<html>Sign in</html>")
        })
        .unwrap();
        let away = store_as(&format!("http://127.0.0.1:{}", page.port()), "boss", PLACES[0]);
        assert!(is_unknown(&away.write(&fresh()).await), "{status}");
        assert!(is_unknown(&away.purge(&[&fresh()]).await), "{status}");
    }
}
