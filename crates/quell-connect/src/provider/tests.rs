//! Every file of ours against its model, and wrong files that must be caught.

use std::sync::Arc;
use std::time::Duration;

use quell_core::outcome::{Outcome, Probe};
use quell_core::secret::{Credential, SecretValue};
use serde_json::json;

use super::embedded::EMBEDDED;
use super::file::File;
use super::model::{Model, Mood};
use super::{Config, assembled, check, trial};
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
    assert!(complaints(&wide).contains("every 403 with something at that place counts as refusal"));
    let wide =
        changed(github, refusal, &format!("{refusal}\n    - {{ status: 403, at: /Message, has: proxy }}"));
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
        "json: { token: \"{secret}\" }\n    gone: [{ status: 404, at: /message, is: Not Found }]",
    );
    assert!(faults(&authenticated).await.is_empty(), "another body is only another API");
    // An answer that is not the vendor's leaves every revocation unknown.
    let unknown = changed(github, "done: [{ status: 202 }]", "done: [{ status: 204 }]");
    let found = faults(&unknown).await;
    assert!(found.contains(&"a live key is accepted, and dead after it is revoked"), "{found:?}");
}

#[tokio::test]
async fn a_file_that_could_leave_two_living_keys_is_caught() {
    let linode = embedded("linode");
    let pages = "  pages: { number: { query: page, last: /pages, total: /results } }\n";
    let said = complaints(&changed(linode, pages, ""));
    assert!(said.contains("a key on the second page would not be found"), "{said}");
    let said = complaints(&changed(linode, "  settle: 8s\n", ""));
    assert!(said.contains("`settle` is missing or not a duration"), "{said}");
    let said = complaints(&changed(linode, "  settle: 8s\n", "  settle: 1m\n"));
    assert!(said.contains("`settle` is longer than 10s"), "{said}");
    // Reads well, and looks for the number of pages where the API does not say it.
    let elsewhere = changed(linode, "last: /pages", "last: /results");
    let elsewhere = Arc::new(check::read("acme.yaml", &elsewhere).unwrap());
    assert!(trial::minted(&elsewhere, &client()).await.is_ok(), "too many pages are only slow");
    // Each way of going on works, and a revocation that takes no key back is seen.
    for pages in [
        "{ cursor: { query: after, next: /meta/next } }",
        "{ link: /links/next }",
        "{ number: { query: page, from: 0 } }",
    ] {
        let other = changed(linode, "{ number: { query: page, last: /pages, total: /results } }", pages);
        let file = check::read("acme.yaml", &other).unwrap();
        let lost = trial::minted(&Arc::new(file), &client()).await;
        assert!(lost.is_ok(), "{pages}: {lost:?}");
    }
    let mute = changed(linode, "  name: /label\n", "  name: /labels\n");
    let mute = Arc::new(check::read("acme.yaml", &mute).unwrap());
    let lost = trial::minted(&mute, &client()).await;
    assert!(
        lost.is_err_and(|words| words.contains("2 keys carry the mark")),
        "a list that shows no names finds nothing"
    );
}

#[tokio::test]
async fn a_list_that_cannot_be_read_is_found_before_an_incident() {
    let file = Arc::new(check::read("linode.yaml", embedded("linode")).unwrap());
    let model = Model::start(file, 25).await.unwrap();
    for (admin, ok) in [(model.admin(), true), (model.stranger(), false)] {
        let mut context = Context::new(".".into(), client());
        context.environment = Arc::new([("ADMIN".to_owned(), admin)].into());
        let config = json!({ "id": "linode", "url": model.url(), "admin": "env:ADMIN", "mint": { "scopes": "linodes:read_only" } });
        let checks = super::build(&config, &context).unwrap().check().await;
        let list = checks.iter().find(|one| one.what.contains("list of keys")).unwrap();
        assert_eq!(list.ok, ok, "{list:?}");
        assert!(ok || list.detail.contains("account:read_only"), "{list:?}");
    }
}

/// The model's pages are small, so that a reader of the first page only makes a second key: this is what the rules above are for.
#[tokio::test]
async fn who_reads_only_the_first_page_leaves_two_living_keys() {
    let linode = embedded("linode");
    let hasty = changed(
        linode,
        "{ number: { query: page, last: /pages, total: /results } }",
        "{ whole: { below: 500, why: somebody guessed so } }",
    );
    let alive = async |text: &str| {
        let file = Arc::new(check::read("linode.yaml", linode).unwrap());
        let model = Model::start(file, 21).await.unwrap();
        for n in 0..7 {
            model.key(&format!("other-{n}"));
        }
        let mut context = Context::new(".".into(), client());
        context.environment = Arc::new([("ADMIN".to_owned(), model.admin())].into());
        let config = serde_json::from_value::<Config>(json!({
            "id": "linode", "url": model.url(), "admin": "env:ADMIN", "mint": { "scopes": "linodes:read_only" },
        }));
        let file = Arc::new(check::read("linode.yaml", text).unwrap());
        let mut issuer = assembled(file, config.unwrap(), &context).unwrap();
        issuer.listed = Duration::from_millis(20);
        let new = issuer.choose(None, "installation/INC-2026-0001/api.mint").await.unwrap();
        for _ in 0..2 {
            drop(issuer.perform(IssuerOp::Install { new: &new }).await);
        }
        model.named(&new.principal)
    };
    assert_eq!(alive(linode).await, 1);
    assert_eq!(alive(&hasty).await, 2);
}

#[tokio::test]
async fn a_successor_needs_its_rights_named() {
    let sendgrid = embedded("sendgrid");
    let rights = "  rights: { setting: scopes, at: /scopes, added: [2fa_required, sender_verification_eligible, sender_verification_exempt] }\n";
    let said = complaints(&changed(sendgrid, rights, ""));
    assert!(said.contains("nothing says what the new key may do"), "{said}");
    assert!(
        check::read(
            "acme.yaml",
            &changed(sendgrid, rights, "  all_alike: keys of Acme have no rights of their own\n")
        )
        .is_ok()
    );
    let said = complaints(&changed(sendgrid, "mint: { scopes: [mail.send] }", "mint: { scopes: [] }"));
    assert!(said.contains("which the new key's rights come from"), "{said}");
    // The file asks for them under another name than the API: the model makes a key that may do everything, as SendGrid does.
    let other = changed(sendgrid, "setting: scopes", "setting: permissions");
    let other = changed(&other, "mint: { scopes: [mail.send] }", "mint: { permissions: [mail.send] }");
    assert!(faults(&other).await.is_empty(), "another name is only another API");
    for settings in
        [json!({}), json!({ "scopes": [] }), json!({ "scopes": "" }), json!({ "scope": ["mail.send"] })]
    {
        let config = json!({ "id": "sendgrid", "admin": "env:ADMIN", "mint": settings });
        let error = built(&config).err().unwrap();
        assert_eq!(error.key.as_deref(), Some("mint"), "{config}");
        assert!(error.message.contains("`scopes` is missing"), "{error}");
    }
    assert!(
        built(&json!({ "id": "sendgrid", "admin": "env:ADMIN", "mint": { "scopes": ["mail.send"] } }))
            .is_ok()
    );
}

#[tokio::test]
async fn a_name_is_no_longer_than_the_api_lets_it_be() {
    let issuer = built(&json!({ "id": "linode" })).unwrap();
    let long = format!("installation/INC-2026-0001/{}.mint", "a".repeat(90));
    let chosen = issuer.choose(None, &long).await.unwrap().principal;
    assert!(chosen.len() <= 100 && chosen.starts_with("quell-"), "{chosen}");
    assert_eq!(chosen, issuer.choose(None, &long).await.unwrap().principal, "the same again after a crash");
    assert_ne!(chosen, issuer.choose(None, &format!("{long}2")).await.unwrap().principal);
    assert_eq!(issuer.choose(None, "short.mint").await.unwrap().principal, "short.mint");
}

#[tokio::test]
async fn words_that_anybody_says_are_no_refusal_of_the_issuer() {
    let netlify = embedded("netlify");
    let (before, after) = netlify.split_once(", weak: ").unwrap();
    let (_, after) = after.split_once(" }]\n").unwrap();
    let bold = format!("{before} }}]\n{after}");
    let found = faults(&bold).await;
    assert!(found.contains(&"words of anybody, where the issuer's stand, prove nothing"), "{found:?}");
    assert!(found.contains(&"pages and answers of machines in between prove nothing"), "{found:?}");
    let datadog = embedded("datadog");
    let words =
        "{ status: 403, at: /statuspage, has: \"datadoghq.com\", and: [{ at: /errors/0, is: Forbidden }] }";
    let said = complaints(&changed(datadog, words, "{ status: 403, at: /errors/0 }"));
    assert!(said.contains("every 403 with something at that place counts as refusal"), "{said}");
    let said = complaints(&changed(datadog, words, "{ status: 403 }"));
    assert!(said.contains("a bare 403"), "{said}");
    let said = complaints(&changed(embedded("linode"), ", is: Not found }]", " }]"));
    assert!(said.contains("`gone` takes every 404 for it"), "{said}");
    let said = complaints(&changed(
        embedded("github"),
        "limited: [{ status: 403, at: /message, has: rate limit }]\n  facts",
        "limited: [{ status: 403 }]\n  facts",
    ));
    assert!(said.contains("a bare 403: proxies and portals say that, too"), "{said}");
}

#[tokio::test]
async fn a_file_without_a_refusal_of_its_own_can_revoke_all_the_same() {
    let linode = embedded("linode");
    let weak = changed(
        linode,
        "is: Invalid Token }]\n  facts",
        "is: Invalid Token, weak: a gateway says so as well }]\n  facts",
    );
    assert_eq!(faults(&weak).await, Vec::<&str>::new());
}

#[tokio::test]
async fn a_refusal_that_proves_nothing_is_said_to() {
    let file = Arc::new(check::read("netlify.yaml", embedded("netlify")).unwrap());
    let model = Model::start(file, 9).await.unwrap();
    let issuer = built(&json!({ "id": "netlify", "url": model.url(), "settle": "20ms" })).unwrap();
    let key = model.key("leaked");
    model.revoke(&key.id);
    let old = Credential { principal: "bearer".to_owned(), value: SecretValue::from_text(key.value) };
    let Probe::Inconclusive { reason } = issuer.probe(&old).await else {
        panic!("a weak refusal is believed")
    };
    assert!(reason.contains("many proxies and gateways say Access Denied"), "{reason}");
    assert!(issuer.capabilities().refusals.is_empty());
    assert!(issuer.warnings(None).await.iter().any(|line| line.contains("cannot be proven dead here")));
    let outcome = issuer.observe(IssuerOp::Disable { old: &old }).await.outcome;
    let Outcome::Unknown { reason } = outcome else { panic!("{outcome:?}") };
    assert!(
        reason.contains("A person sees whether it is gone") && reason.contains("app.netlify.com"),
        "{reason}"
    );
}

#[tokio::test]
async fn an_answer_after_which_it_may_be_done_is_unknown() {
    let file = Arc::new(check::read("github.yaml", embedded("github")).unwrap());
    let model = Model::start(Arc::clone(&file), 12).await.unwrap();
    let issuer = built(&json!({ "id": "github", "url": model.url(), "settle": "20ms" })).unwrap();
    let key = model.key("leaked");
    let old = Credential { principal: "bearer".to_owned(), value: SecretValue::from_text(key.value) };
    // The key cannot be tried and the revocation is answered with the same.
    for status in [301, 302, 307, 308, 408, 499, 500, 502, 504] {
        model.set(Mood::Same { status, body: ("text/plain", "".into()), headers: Vec::new() });
        let outcome = issuer.perform(IssuerOp::Disable { old: &old }).await.outcome;
        assert!(matches!(outcome, Outcome::Unknown { .. }), "{status}: {outcome:?}");
    }
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
        model.set(Mood::Same { status, body: ("application/json", "{\"x\":1}".into()), headers: Vec::new() });
        let Probe::Inconclusive { reason } = issuer.probe(&old).await else { panic!("{status}") };
        assert!(reason.contains(wanted), "{status}: {reason}");
    }
    // Some say by words what others say by 429.
    let body = ("application/json", r#"{"message":"API rate limit exceeded for 192.0.2.1."}"#.into());
    model.set(Mood::Same { status: 403, body, headers: vec![("retry-after", "9".to_owned())] });
    let outcome = issuer.perform(IssuerOp::Disable { old: &old }).await.outcome;
    let waits = matches!(outcome, Outcome::NotApplied { retry_after_ms: Some(9_000), retryable: true, .. });
    assert!(waits, "{outcome:?}");
    model.set(Mood::Same { status: 422, body: ("application/json", "{}".into()), headers: Vec::new() });
    let outcome = issuer.perform(IssuerOp::Disable { old: &old }).await.outcome;
    assert!(matches!(outcome, Outcome::NotApplied { retryable: false, .. }), "{outcome:?}");
}
