//! Deliveries that lead to calls: GitHub is asked for an alert's value, and tokens that GitLab sends are revoked.

use std::sync::Arc;

use quell_connect::provider::model::Model;
use quell_scan::rule::template;
use quell_testkit::model::github::GitHub;
use serde_json::{Value, json};

use super::intake::{KEY, PASSWORD, Place, alert, of_2026};
use super::kill_key::embedded;

fn with_api(github: &GitHub, token: &str) -> Place {
    let api = json!({"url": github.addr(), "token": format!("exec:printf {token}")});
    Place::with(None, &json!({"github-org": {"github": {"secret": "file:hook.key", "api": api}}}))
}

#[test]
fn githubs_alert_is_fetched_with_its_value_and_its_places() {
    let github = GitHub::start(|_| true).unwrap();
    github.allow("reader", &["alerts"]);
    github.alert("Codertocat/Hello-World", 191, PASSWORD, "active", &[("a.env", 3), ("b.env", 9)]);
    let place = with_api(&github, "reader");
    let done = place.github("secret_scanning_alert", &alert("created", &json!({})));
    assert_eq!(done["note"], "opened INC-2026-0001 about orders-db", "{done}");
    let shown = place.incident("INC-2026-0001");
    let places: Vec<&str> =
        shown["exposures"].as_array().unwrap().iter().map(|one| one["place"].as_str().unwrap()).collect();
    assert_eq!(places, ["a.env:3 @f14d7debf977", "b.env:9 @f14d7debf977"]);
    assert!(shown["exposures"][0]["sealed"].is_string(), "{shown}");
    assert!(place.timeline("INC-2026-0001").contains("it was tried, and works"));

    // A place that is newer than GitHub's list comes with the delivery alone.
    let mut located = alert("created", &json!({}));
    located["location"] =
        json!({"type": "commit", "details": {"path": "c.env", "start_line": 1, "commit_sha": "5d00"}});
    let joined = place.github("secret_scanning_alert_location", &located);
    assert_eq!(joined["note"], "joined INC-2026-0001 about orders-db", "{joined}");
    let again = place.github("secret_scanning_alert", &alert("reopened", &json!({})));
    assert_eq!(again["note"], "known in INC-2026-0001", "{again}");
    assert_eq!(place.incident("INC-2026-0001")["exposures"].as_array().unwrap().len(), 3);
    place.assert_no_value_on_disk();
    let lines = github.lines();
    assert!(lines.iter().all(|line| line.starts_with("GET ")), "{lines:?}");
}

#[test]
fn an_alert_that_may_not_be_read_is_recorded_and_shown_until_it_may() {
    let github = GitHub::start(|_| true).unwrap();
    github.allow("other", &["actions"]);
    github.alert("Codertocat/Hello-World", 191, PASSWORD, "active", &[("a.env", 3)]);
    let place = with_api(&github, "other");
    let body = alert("created", &json!({}));
    let signature = format!("sha256={}", super::intake::signed(&[body.to_string().as_bytes()]));
    let headers = [("X-GitHub-Event", "secret_scanning_alert"), ("X-Hub-Signature-256", signature.as_str())];
    let output = place.receive("github-org", &headers, body.to_string().as_bytes(), &["--json"]);
    assert_eq!(output.status.code(), Some(5), "{}", of_2026(&output.stderr));
    let one = place.deliveries()[0].clone();
    let note = one["note"].as_str().unwrap();
    assert!(one["state"] == "failed" && note.contains("the alert could not be looked at"), "{one}");
    assert!(note.contains("Secret scanning alerts: read") && note.contains("--finding F-"), "{one}");

    // Too many requests: that passes, so it is tried again by itself.
    github.allow("other", &["alerts"]);
    github.limit(1);
    let id = one["id"].as_str().unwrap();
    assert!(place.run(&["intake", "retry", id]).status.success());
    assert_eq!(place.run(&["intake", "work"]).status.code(), Some(5));
    assert_eq!(place.deliveries()[0]["state"], "waiting", "{:?}", place.deliveries());
    // A person does not wait for the next try.
    assert!(place.run(&["intake", "retry", id]).status.success());
    let done = place.json(&["intake", "work"]);
    assert_eq!(done["tries"][0]["note"], "opened INC-2026-0001 about orders-db");
    place.assert_no_value_on_disk();
}

#[test]
fn a_token_that_gitlab_sends_is_revoked_when_nobody_here_uses_it() {
    let runtime = tokio::runtime::Runtime::new().unwrap();
    let file = quell_connect::provider::read("github", &embedded("github")).unwrap();
    let model = runtime.block_on(Model::start(Arc::new(file), 3)).unwrap();
    let value = template::expand("ghp_{alnum:30}{checksum}", 77).unwrap();
    let key = model.adopt(&value);
    let entry = |kill: bool| {
        json!({"gitlab_revocation": {"secret": "file:hook.key", "kill": kill,
            "types": ["gitleaks_rule_id_github_personal_access_token", "gitleaks_rule_id_generic"]}})
    };
    let place = Place::with(None, &json!({"revocation": entry(true), "asked-only": entry(false)}));
    std::fs::create_dir(place.folder.path().join("providers")).unwrap();
    let file = embedded("github").replace("https://api.github.com", &model.url());
    let (before, after) = file.split_once("\nsettle: ").unwrap();
    let (_, rest) = after.split_once('\n').unwrap();
    place.write(
        "providers/github.yaml",
        format!("{before}\nsettle: 100ms\n{rest}").replace("\n  settle: 8s\n", "\n  settle: 100ms\n"),
    );
    let text = std::fs::read_to_string(place.folder.path().join("quell.yaml")).unwrap();
    let mut inventory: Value = serde_json::from_str(&text).unwrap();
    inventory["providers"] = json!(["providers"]);
    place.write("quell.yaml", inventory.to_string());

    let body = json!([
        {"type": "gitleaks_rule_id_github_personal_access_token", "token": value, "location": "https://example.com/some-repo/blob/abcdefghijklmnop/compromisedfile1.java"},
        {"type": "gitleaks_rule_id_generic", "token": PASSWORD, "location": "https://example.com/some-repo/blob/abcdefghijklmnop/compromisedfile2.java"},
    ]);
    let asked = place.deliver("asked-only", &[("Authorization", KEY)], &body);
    assert!(asked["note"].as_str().unwrap().contains("opened INC-2026-0001 about orders-db"), "{asked}");
    assert!(model.alive(&key.id), "nobody said that it may be killed");

    let done = place.deliver("revocation", &[("Authorization", KEY)], &body);
    let note = done["note"].as_str().unwrap();
    assert_eq!(done["state"], "done", "{done}");
    assert!(note.contains("revoked: accepted before, refused now"), "{done}");
    assert!(
        note.contains("known in INC-2026-0001"),
        "the token of the inventory is an incident and is not killed: {done}"
    );
    assert!(!model.alive(&key.id));
    assert_eq!(model.revocations(), 1);
    assert!(
        place.incident("INC-2026-0002")["title"].as_str().unwrap().contains("GitHub"),
        "{:?}",
        place.incidents()
    );
    assert!(!note.contains(&value) && !place.timeline("INC-2026-0002").contains(&value));
    place.assert_no_value_on_disk();
}
