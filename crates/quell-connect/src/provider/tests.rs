//! Every file of ours against its model, and wrong files that must be caught.

use std::sync::Arc;
use std::time::Duration;

use quell_core::outcome::{Outcome, Probe};
use quell_core::secret::{Credential, SecretValue};
use serde_json::json;

use super::embedded::EMBEDDED;
use super::file::File;
use super::model::{Model, Mood};
use super::{check, trial};
use crate::connector::{Issuer, IssuerOp};
use crate::context::Context;
use crate::http::Client;

fn client() -> Client {
    Client::new(Duration::from_secs(5), None).unwrap()
}

fn embedded(id: &str) -> &'static str {
    EMBEDDED.iter().find(|(name, _)| *name == format!("{id}.yaml")).unwrap().1
}

fn complaints(text: &str) -> String {
    let found = check::read("acme.yaml", text).expect_err("the file is taken for good");
    found.iter().map(ToString::to_string).collect::<Vec<_>>().join("\n")
}

/// What the trial says against a file that reads well.
async fn faults(text: &str) -> Vec<&'static str> {
    let file = check::read("acme.yaml", text).unwrap_or_else(|found| panic!("{found:#?}"));
    let tested = trial(&Arc::new(file), &client()).await;
    tested.into_iter().filter(|one| !one.ok).map(|one| one.what).collect()
}

#[track_caller]
fn changed(text: &str, from: &str, to: &str) -> String {
    assert!(text.contains(from), "the file does not hold {from}");
    text.replace(from, to)
}

#[test]
fn every_file_of_the_folder_is_embedded_under_its_id() {
    let folder = concat!(env!("CARGO_MANIFEST_DIR"), "/src/provider/providers");
    let mut there: Vec<String> = std::fs::read_dir(folder)
        .unwrap()
        .map(|entry| entry.unwrap().file_name().to_string_lossy().into_owned())
        .collect();
    there.sort();
    let listed: Vec<&str> = EMBEDDED.iter().map(|(name, _)| *name).collect();
    assert_eq!(there, listed);
    for (name, text) in EMBEDDED {
        let file = check::read(name, text).unwrap_or_else(|found| panic!("{found:#?}"));
        assert_eq!(format!("{}.yaml", file.id), *name);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn every_provider_does_on_its_model_what_it_must() {
    let client = client();
    let mut trials = tokio::task::JoinSet::new();
    for (name, text) in EMBEDDED {
        let client = client.clone();
        trials.spawn(async move {
            let file = Arc::new(check::read(name, text).unwrap());
            (name, trial(&file, &client).await)
        });
    }
    let mut wrong = Vec::new();
    while let Some(tried) = trials.join_next().await {
        let (name, tested) = tried.unwrap();
        let failed = tested.iter().filter(|one| !one.ok);
        wrong.extend(failed.map(|one| format!("{name}: {}: {}", one.what, one.detail)));
    }
    wrong.sort();
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[tokio::test]
async fn a_file_that_believes_machines_in_between_is_caught() {
    let github = embedded("github");
    let refusal = "{ status: 401, at: /message, is: Bad credentials }";
    let said = complaints(&changed(github, refusal, "{ status: 401 }"));
    assert!(said.contains("a bare 401 counts as refusal"), "{said}");
    let said = complaints(&changed(github, refusal, "{ status: 404, at: /message }"));
    assert!(said.contains("404 without words says that the path is unknown"), "{said}");
    let said = complaints(&changed(github, refusal, "{ status: 503, at: /message }"));
    assert!(said.contains("status 503 says nothing about a key"), "{said}");
    let said = complaints(&changed(github, "{ status: 200, at: /login }", "{ status: 200 }"));
    assert!(said.contains("a bare 200 is accepted: any portal says that"), "{said}");
    // What reads well and is still too wide is seen on the model.
    let wide =
        changed(github, refusal, &format!("{refusal}\n    - {{ status: 404, at: /Message, is: no route }}"));
    assert_eq!(faults(&wide).await, ["pages and answers of machines in between prove nothing"]);
    let wide = changed(github, refusal, &format!("{refusal}\n    - {{ status: 403, at: /Message }}"));
    assert_eq!(faults(&wide).await, ["pages and answers of machines in between prove nothing"]);
}

#[tokio::test]
async fn a_file_whose_calls_do_not_fit_together_is_caught() {
    let github = embedded("github");
    // The vendor refuses with other words than the file expects.
    let other = changed(github, "is: Bad credentials", "is: Wrong credentials");
    assert!(complaints(&other).contains("the example for `refused` is not recognized"));
    // A revocation that never gets through: GitHub answers 403 to whoever authenticates.
    let authenticated = changed(github, "as: nobody\n", "as: nobody\n    # not as nobody\n");
    let authenticated = changed(
        &authenticated,
        "json: { credentials: [\"{secret}\"] }",
        "json: { token: \"{secret}\" }\n    gone: [{ status: 404 }]",
    );
    assert!(faults(&authenticated).await.is_empty(), "another body is only another API");
    // An answer that is not the vendor's leaves every revocation unknown.
    let unknown = changed(github, "done: [{ status: 202 }]", "done: [{ status: 204 }]");
    let found = faults(&unknown).await;
    assert!(found.contains(&"a live key is accepted, and dead after it is revoked"), "{found:?}");
}

#[test]
fn bad_files_are_named_with_their_place_and_the_fix() {
    let github = embedded("github");
    for (from, to, wanted) in [
        ("provider: 1", "provider: 2", "`provider`: format version 2 is not known; this Quell reads 1"),
        ("settle: 30s", "setle: 30s", "unknown field `setle`"),
        ("settle: 30s", "settle: soon", "`settle`: not a duration"),
        ("method: GET", "method: LOOK", "`probe`: `method` is missing or unknown"),
        ("url: https://api.github.com", "url: http://api.github.com", "the key would travel in clear"),
        ("path: /user", "path: \"/user?t={key}\"", "puts the secret into a URL, and URLs are logged"),
        ("path: /user", "path: \"/user/{nmae}\"", "nothing is known for `{nmae}`"),
        ("path: /credentials/revoke", "path: \"/keys/{id}\"", "nothing says where it comes from"),
        ("  checked: 2026-11-23\n  note", "  checked: lately\n  note", "`probe`: not dated"),
        ("breaks: everything", "breaks: \"\" # ", "`breaks`: it is empty"),
    ] {
        let said = complaints(&changed(github, from, to));
        assert!(said.contains(wanted), "{to}: {said}");
        assert!(said.starts_with("acme.yaml") && said.contains("hint: "), "{said}");
    }
    let line = complaints(&changed(github, "settle: 30s", "setle: hunter2"));
    assert!(line.starts_with("acme.yaml:") && !line.contains("hunter2"), "{line}");
    let halved = "provider: 1\nid: acme\nname: Acme\nurl: https://api.example.com\n";
    assert!(complaints(halved).contains("missing field"), "{}", complaints(halved));
}

fn built(config: &serde_json::Value) -> Result<Box<dyn Issuer>, crate::error::ConfigError> {
    let context = Context::new(".".into(), client());
    super::build(config, &context)
}

#[test]
fn bad_configurations_name_the_key_and_the_fix() {
    assert!(built(&json!({ "id": "github" })).is_ok());
    for (config, key) in [
        (json!({ "id": "githup" }), "id"),
        (json!({ "id": "github", "url": "https://u:hunter2@h" }), "url"),
        (json!({ "id": "github", "url": "http://git.example.com" }), "url"),
        (json!({ "id": "github", "vars": { "shop": "x" } }), "vars"),
        (json!({ "id": "github", "mint": {} }), "mint"),
        (json!({ "id": "github", "settle": "-2s" }), "settle"),
    ] {
        let error = built(&config).err().unwrap();
        assert_eq!(error.key.as_deref(), Some(key), "{config}");
        assert!(error.hint.is_some() && !error.message.contains("hunter2"), "{error:?}");
    }
    assert!(built(&json!({ "id": "github", "token": "x" })).is_err());
}

#[tokio::test]
async fn a_key_of_another_form_is_not_tried_as_its_refusal_would_prove_nothing() {
    let file = Arc::new(check::read("github.yaml", embedded("github")).unwrap());
    let model = Model::start(file, 8).await.unwrap();
    let issuer = built(&json!({ "id": "github", "url": model.url(), "settle": "20ms" })).unwrap();
    // A refresh token is refused here with the very words that a dead token gets.
    let value = SecretValue::from_text(super::expand("ghr_{alnum:36}", 1));
    let words = issuer.identify(&value).unwrap_err().to_string();
    assert!(words.contains("it does not begin with ghp_"), "{words}");
    let old = Credential { principal: "bearer".to_owned(), value };
    assert!(matches!(issuer.probe(&old).await, Probe::Inconclusive { .. }));
    let outcome = issuer.perform(IssuerOp::Disable { old: &old }).await.outcome;
    assert!(matches!(outcome, Outcome::NotApplied { retryable: false, .. }), "{outcome:?}");
    assert!(model.lines().is_empty(), "nothing was sent");
}

#[tokio::test]
async fn without_a_control_nothing_is_proven_and_that_is_said() {
    let file = Arc::new(check::read("github.yaml", embedded("github")).unwrap());
    let model = Model::start(file, 5).await.unwrap();
    let issuer = built(&json!({ "id": "github", "url": model.url(), "settle": "20ms" })).unwrap();
    assert!(!issuer.has_control());
    assert!(matches!(issuer.control().await, Probe::Inconclusive { .. }));
    let checks = issuer.check().await;
    assert!(checks.iter().any(|check| !check.ok && check.detail.contains("set `control`")), "{checks:?}");
    assert!(issuer.warnings(None).await.iter().any(|line| line.contains("no control is configured")));
}

#[tokio::test]
async fn a_key_that_was_let_in_and_is_revoked_is_said_to_have_been_there() {
    let file: Arc<File> = Arc::new(check::read("github.yaml", embedded("github")).unwrap());
    let model = Model::start(file, 9).await.unwrap();
    let issuer = built(&json!({ "id": "github", "url": model.url(), "settle": "20ms" })).unwrap();
    let key = model.key("leaked");
    let old = Credential { principal: "bearer".to_owned(), value: SecretValue::from_text(key.value) };
    for already in [false, true] {
        let outcome = issuer.perform(IssuerOp::Disable { old: &old }).await.outcome;
        let Outcome::Applied { facts } = outcome else { panic!("{outcome:?}") };
        assert_eq!(facts["already"], already);
    }
}

#[tokio::test]
async fn an_answer_that_nobody_knows_is_named_with_what_to_do() {
    let file: Arc<File> = Arc::new(check::read("github.yaml", embedded("github")).unwrap());
    let model = Model::start(file, 6).await.unwrap();
    let issuer = built(&json!({ "id": "github", "url": model.url(), "settle": "20ms" })).unwrap();
    let key = model.key("leaked");
    let old = Credential { principal: "bearer".to_owned(), value: SecretValue::from_text(key.value) };
    for (status, wanted) in [
        (404, "is `url` right, or has the API a new version?"),
        (410, "the provider file was checked on 2026-11-23"),
        (302, "redirects are not followed with a credential"),
        (407, "a proxy asks for its own credential"),
        (500, "the API has a problem of its own"),
        (418, "does not know this answer"),
    ] {
        model.set(Mood::Same { status, body: ("application/json", "{\"x\":1}"), headers: Vec::new() });
        let Probe::Inconclusive { reason } = issuer.probe(&old).await else { panic!("{status}") };
        assert!(reason.contains(wanted), "{status}: {reason}");
    }
    // Some say by words what others say by 429.
    let body = ("application/json", r#"{"message":"API rate limit exceeded for 192.0.2.1."}"#);
    model.set(Mood::Same { status: 403, body, headers: vec![("retry-after", "9".to_owned())] });
    let outcome = issuer.perform(IssuerOp::Disable { old: &old }).await.outcome;
    let waits = matches!(outcome, Outcome::NotApplied { retry_after_ms: Some(9_000), retryable: true, .. });
    assert!(waits, "{outcome:?}");
    model.set(Mood::Same { status: 422, body: ("application/json", "{}"), headers: Vec::new() });
    let outcome = issuer.perform(IssuerOp::Disable { old: &old }).await.outcome;
    assert!(matches!(outcome, Outcome::NotApplied { retryable: false, .. }), "{outcome:?}");
}
