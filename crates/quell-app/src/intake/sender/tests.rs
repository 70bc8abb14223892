//! Deliveries as the senders publish them. Whatever is secret-shaped in them is made up here.

use proptest::prelude::*;
use quell_core::inventory::ConnectorRef;
use serde_json::{Value, json};

use super::*;

fn source(kind: &str, config: Value) -> Source {
    Source::parse("hook", &ConnectorRef { connector: kind.to_owned(), config }).unwrap()
}

fn plain(kind: &str) -> Source {
    source(kind, json!({"secret": "env:HOOK"}))
}

fn inventory() -> Inventory {
    let text = r#"
secrets:
  - id: orders-db
    kind: postgres-password
    issuer: { postgres: { admin: "file:admin", roles: [a, b] } }
    stores: [ { openbao: { mount: kv, path: apps/orders, key: URL } } ]
"#;
    quell_core::inventory::parse(&[("q".to_owned(), text.to_owned())]).unwrap()
}

fn read_as(source: &Source, topic: &str, body: &Value) -> Result<Reading, AppError> {
    read(source, topic, &SecretValue::from_text(body.to_string()), &inventory())
}

#[track_caller]
fn findings(source: &Source, topic: &str, body: &Value) -> Findings {
    match read_as(source, topic, body).unwrap() {
        Reading::Findings(findings) => findings,
        other @ (Reading::Nothing(_) | Reading::Page(_)) => panic!("{other:?}"),
    }
}

#[track_caller]
fn nothing(source: &Source, topic: &str, body: &Value) -> String {
    match read_as(source, topic, body).unwrap() {
        Reading::Nothing(why) => why,
        other @ (Reading::Findings(_) | Reading::Page(_)) => panic!("{other:?}"),
    }
}

/// octokit/webhooks, `secret_scanning_alert/reopened.payload.json`, without the repository's many addresses.
fn github_alert(action: &str, alert: &Value) -> Value {
    let mut whole = json!({"number": 191, "secret_type": "adafruit_io_key", "resolution": null, "resolved_by": null, "resolved_at": null});
    whole.as_object_mut().unwrap().extend(alert.as_object().unwrap().clone());
    json!({"action": action, "alert": whole,
        "repository": {"id": 257_423_561, "name": "Hello-World", "full_name": "Codertocat/Hello-World", "private": true},
        "organization": {"login": "Codertocat"}, "sender": {"login": "Codertocat", "id": 10_136_561, "type": "User"}})
}

#[test]
fn github_alerts_are_one_record_whatever_happens_to_them() {
    let hook = plain("github");
    let topic = "secret_scanning_alert";
    let created = findings(
        &hook,
        topic,
        &github_alert("created", &json!({"validity": "active", "publicly_leaked": false})),
    );
    assert_eq!((created.found.len(), created.tool), (1, "github"));
    let first = &created.found[0].foreign;
    assert_eq!(
        (first.reference.as_deref(), first.live, first.public),
        (Some("Codertocat/Hello-World#191"), Some(true), Some(false))
    );
    assert!(first.values.is_empty() && first.resolved.is_none() && created.remarks.is_empty());
    assert_eq!(
        created.alert,
        Some(github::Which { repository: "Codertocat/Hello-World".to_owned(), number: 191 })
    );

    let leaked = findings(&hook, topic, &github_alert("publicly_leaked", &json!({"publicly_leaked": true})));
    assert_eq!((leaked.found[0].foreign.public, leaked.signals.len()), (Some(true), 1));
    assert_eq!(leaked.signals[0].1, Signal::Public);

    let resolved = findings(&hook, topic, &github_alert("resolved", &json!({"resolution": "revoked"})));
    assert_eq!(resolved.found[0].foreign.resolved.as_deref(), Some("revoked"));
    assert!(
        resolved.remarks[0].contains("set to `revoked` by Codertocat: that is no proof"),
        "{:?}",
        resolved.remarks
    );
    let reopened = findings(&hook, topic, &github_alert("reopened", &json!({})));
    assert!(reopened.found[0].foreign.resolved.is_none() && reopened.remarks[0].contains("opened again"));
    assert_eq!(nothing(&hook, "ping", &json!({"zen": "x"})), "deliveries of `ping` are not about leaks");
}

#[test]
fn a_location_of_github_belongs_to_its_alert() {
    let mut body = github_alert("created", &json!({}));
    body["location"] = json!({"type": "commit", "details": {"path": "/example/secrets.txt", "start_line": 1, "end_line": 1,
        "start_column": 1, "end_column": 64, "blob_sha": "af5626b4a114abcb82d63db7c8082c3c4756e51b", "commit_sha": "f14d7debf9775f957cf4f1e8176da0786431f72b"}});
    let found = findings(&plain("github"), "secret_scanning_alert_location", &body);
    let place = &found.found[0].foreign;
    assert_eq!((place.file.as_str(), place.line), ("/example/secrets.txt", 1));
    assert_eq!(place.reference.as_deref(), Some("Codertocat/Hello-World#191"));
}

#[test]
fn a_repository_with_a_strange_name_is_not_asked_for() {
    for name in ["..", "a/../b", "a", "a/b/c", "../x", "a/ b", "a/b?c", "/b", "a/", "a/.."] {
        let mut body = github_alert("created", &json!({}));
        body["repository"]["full_name"] = json!(name);
        assert_eq!(findings(&plain("github"), "secret_scanning_alert", &body).alert, None, "{name}");
    }
}

/// docs.gitguardian.com, "Custom webhook", "New occurrence" and "Incident resolved".
fn gitguardian(action: &str, more: &Value) -> Value {
    let mut body = json!({"source": "GitGuardian", "timestamp": "2022-06-23T09:10:24.594597Z", "action": action,
        "message": "A new occurrence has been detected for this incident.", "target_user": "GitGuardian", "target_team": "My team",
        "custom_webhook_name": "My custom webhook name",
        "incident": {"id": 31605, "date": "2022-06-16T08:23:40Z", "detector": {"name": "aws_iam", "display_name": "AWS Keys",
            "nature": "specific", "family": "credentials", "detector_group_name": "aws_iam", "detector_group_display_name": "AWS Keys"},
            "secret_hash": "xxx", "hmsl_hash": "xxx", "secret_revoked": false, "validity": "not_checked", "occurrence_count": 5,
            "status": "assigned", "regression": false, "assignee_email": "bruce.wayne@example.com", "severity": "high",
            "ignored_at": null, "ignore_reason": null, "resolved_at": null,
            "gitguardian_url": "https://dashboard.gitguardian.com/workspace/1/incidents/xxx", "share_url": null, "feedbacks": []}});
    for (name, value) in more.as_object().unwrap() {
        body[name] = value.clone();
    }
    body
}

#[test]
fn gitguardian_incidents_and_occurrences_are_one_record() {
    let hook = plain("gitguardian");
    let occurrence = json!({"occurrence": {"id": 1234, "incident_id": 1243, "kind": "RLTM", "sha": "f14d7debf977", "author_name": "GitHub",
        "date": "2022-06-23T09:10:23.529812Z", "presence": "visible", "url": "https://github.com/user/repo/commit/123#diff-xxx",
        "filepath": "my/path/TestJS.js", "change_type": "addition", "source": {"id": 710, "url": "https://github.com/user/repo",
        "type": "github", "full_name": "name of repository", "visibility": "private"}}});
    let seen = findings(&hook, "", &gitguardian("new_occurrence", &occurrence));
    let place = &seen.found[0].foreign;
    assert_eq!(
        (place.file.as_str(), place.commit.as_deref(), place.public),
        ("my/path/TestJS.js", Some("f14d7debf977"), Some(false))
    );
    let triggered = findings(&hook, "", &gitguardian("incident_triggered", &json!({})));
    assert_eq!(triggered.found[0].foreign.reference, place.reference);

    let mut resolved = gitguardian("incident_resolved", &json!({}));
    resolved["incident"]["status"] = json!("resolved");
    resolved["incident"]["secret_revoked"] = json!(true);
    let resolved = findings(&hook, "", &resolved);
    assert!(resolved.found[0].foreign.resolved.is_some());
    assert_eq!(
        resolved.remarks,
        ["GitGuardian incident 31605 was resolved as revoked: that is no proof that the value is dead"]
    );
    assert!(
        nothing(&hook, "", &gitguardian("incident_access_granted", &json!({}))).contains("nothing follows")
    );
    assert!(nothing(&hook, "", &json!({"action": "honeytoken_triggered"})).contains("not about an incident"));
}

/// docs.gitlab.com, "Vulnerability events", with the fields of a secret.
fn gitlab(report: &str, state: &str) -> Value {
    json!({"object_kind": "vulnerability", "object_attributes": {"url": "https://example.com/flightjs/Flight/-/security/vulnerabilities/1",
        "title": "AWS access token", "state": state, "project_id": 50, "location": {"file": ".env", "start_line": 3, "commit": {"sha": "5d00"}},
        "cvss": [], "severity": "critical", "severity_overridden": false,
        "identifiers": [{"name": "Gitleaks rule ID AWS", "external_id": "AWS", "external_type": "gitleaks_rule_id", "url": null}],
        "issues": [], "report_type": report, "scanner_external_id": "gitleaks", "confidence": "unknown",
        "created_at": "2025-01-08T00:46:14.413Z", "updated_at": "2025-01-08T00:46:14.413Z"}})
}

#[test]
fn gitlab_vulnerabilities_are_taken_when_they_are_secrets() {
    let hook = plain("gitlab");
    let seen = findings(&hook, "Vulnerability Hook", &gitlab("secret_detection", "detected"));
    let found = &seen.found[0].foreign;
    assert_eq!(
        (found.rule.as_str(), found.file.as_str(), found.line, found.commit.as_deref()),
        ("AWS", ".env", 3, Some("5d00"))
    );
    assert!(found.resolved.is_none());
    let done = findings(&hook, "Vulnerability Hook", &gitlab("secret_detection", "dismissed"));
    assert_eq!((done.found[0].foreign.resolved.as_deref(), done.remarks.len()), (Some("dismissed"), 1));
    assert!(nothing(&hook, "", &gitlab("dependency_scanning", "confirmed")).contains("not a secret"));
    assert!(nothing(&hook, "", &json!({"object_kind": "push"})).contains("`push`"));
    let report = json!({"version": "15.0.7", "vulnerabilities": [{"id": "ab", "name": "AWS token", "location": {"file": ".env", "start_line": 7},
        "raw_source_code_extract": "made-up-at-run-time", "identifiers": [{"value": "AWS"}]}]});
    assert_eq!(findings(&hook, "", &report).found[0].foreign.values.len(), 1);
}

/// PagerDuty/developer-docs, "Webhooks V3 overview".
fn pagerduty(kind: &str, key: &str) -> Value {
    json!({"event": {"id": "5ac64822-4adc-4fda-ade0-410becf0de4f", "event_type": kind, "resource_type": "incident",
        "occurred_at": "2020-10-02T18:45:22.169Z", "agent": {"html_url": "https://acme.pagerduty.com/users/PLH1HKV", "id": "PLH1HKV",
        "self": "https://api.pagerduty.com/users/PLH1HKV", "summary": "Tenex Engineer", "type": "user_reference"}, "client": {"name": "PagerDuty"},
        "data": {"id": "PGR0VU2", "type": "incident", "self": "https://api.pagerduty.com/incidents/PGR0VU2",
        "html_url": "https://acme.pagerduty.com/incidents/PGR0VU2", "number": 2, "status": "acknowledged", "incident_key": key,
        "created_at": "2020-04-09T15:16:27Z", "title": "INC-2026-0099 in a title counts for nothing"}}})
}

#[test]
fn pagerduty_pages_are_known_by_their_key() {
    let hook = plain("pagerduty");
    let Reading::Page(page) =
        read_as(&hook, "", &pagerduty("incident.acknowledged", "quell-ab12-INC-2026-0007.page")).unwrap()
    else {
        panic!("a page of ours");
    };
    assert_eq!(page.incidents, ["INC-2026-0007".parse().unwrap()]);
    assert!(page.responded);
    insta::assert_snapshot!(page.remark, @"PagerDuty: the page was acknowledged by Tenex Engineer at 2020-10-02T18:45:22.169Z (https://acme.pagerduty.com/incidents/PGR0VU2)");
    assert_eq!(
        nothing(&hook, "", &pagerduty("incident.acknowledged", "d3640fbd41094207a1c11e58e46b1662")),
        "the page is not one of ours"
    );
    assert!(
        nothing(&hook, "", &pagerduty("incident.priority_updated", "INC-2026-0007"))
            .contains("nothing follows")
    );
}

/// aws/aws-health-tools, `AWS_RISK_CREDENTIALS_EXPOSED`, "Testing the Example".
fn health(code: &str, keys: &[&str]) -> Value {
    let entities: Vec<Value> = keys.iter().map(|key| json!({"entityValue": key})).collect();
    json!({"version": "0", "id": "121345678-1234-1234-1234-123456789012", "detail-type": "AWS Health Event", "source": "aws.health",
        "account": "123456789012", "time": "2016-06-05T06:27:57Z", "region": "us-east-1", "resources": [],
        "detail": {"eventArn": "arn:aws:health:us-east-1::event/AWS_RISK_CREDENTIALS_EXPOSED_XXXXXXXXXXXXXXXXX", "service": "RISK",
        "eventTypeCode": code, "eventTypeCategory": "issue", "startTime": "Sat, 05 Jun 2016 15:10:09 GMT",
        "eventDescription": [{"language": "en_US", "latestDescription": "A description of the event will be provided here"}],
        "affectedEntities": entities}})
}

#[test]
fn an_exposed_key_of_aws_is_public_and_killed_first() {
    let hook = plain("eventbridge");
    let found = findings(&hook, "", &health("AWS_RISK_CREDENTIALS_EXPOSED", &["ACCESS_KEY_ID_HERE"]));
    assert!(found.kill_first && found.signals[0].1 == Signal::Public);
    assert_eq!(found.found[0].principal.as_deref(), Some("ACCESS_KEY_ID_HERE"));
    assert_eq!(found.found[0].foreign.public, Some(true));
    assert!(
        nothing(&hook, "", &health("AWS_EC2_OPERATIONAL_ISSUE", &["x"]))
            .contains("AWS_EC2_OPERATIONAL_ISSUE")
    );
    let none = read_as(&hook, "", &health("AWS_RISK_CREDENTIALS_EXPOSED", &[])).unwrap_err();
    assert!(none.to_string().contains("names no access key"), "{none}");
}

#[test]
fn a_vault_alert_is_about_the_secrets_at_that_path() {
    let hook = plain("vault_audit");
    let record = |name: &str| {
        json!({"event_type": "vault.secret_read", "actor": "ci-runner\u{1b}[31m", "ip_address": "203.0.113.9",
        "timestamp": "2026-11-22T03:00:00Z", "details": {"secret": {"name": name}}, "signature": "ab"})
    };
    for (name, body) in [
        ("orders-db", record("orders-db")),
        ("apps/orders", json!({"result": record("apps/orders")})),
        ("kv/apps/orders", json!({"hits": [{"_source": record("kv/apps/orders")}]})),
        ("kv/data/apps/orders", json!([record("kv/data/apps/orders")])),
    ] {
        let seen = findings(&hook, "", &body);
        assert_eq!(seen.found[0].foreign.secret.as_ref().map(SecretId::as_str), Some("orders-db"), "{name}");
        assert_eq!(seen.signals[0].1, Signal::UsedByUnknown);
        assert!(!seen.signals[0].2.contains('\u{1b}'), "{}", seen.signals[0].2);
    }
    let unknown = findings(&hook, "", &record("apps/billing"));
    assert!(unknown.found[0].foreign.secret.is_none() && unknown.signals.is_empty());
    assert!(
        read_as(&hook, "", &json!({"search": "x"})).is_err(),
        "an alert that says nothing is looked at by people"
    );
}

#[test]
fn any_json_is_read_where_the_inventory_says() {
    let map = json!({"list": "/alerts", "rule": "/kind", "value": "/leak/value", "place": "/leak/where", "line": "/leak/line",
        "public": "/open", "live": "/works", "resolved": "/closed", "reference": "/id", "secret": "/ours", "principal": "/key"});
    let hook = source("json", json!({"secret": "env:HOOK", "map": map}));
    let body = json!({"alerts": [
        {"id": 7, "kind": "db\u{1b}]0;x", "leak": {"value": "made-up-at-run-time", "where": "wiki/Ops", "line": "12"}, "open": true, "works": true, "closed": null},
        {"id": "x", "ours": "orders-db", "key": "orders_a", "closed": "false_positive"},
    ]});
    let seen = findings(&hook, "", &body);
    let (one, two) = (&seen.found[0].foreign, &seen.found[1].foreign);
    assert_eq!(
        (one.file.as_str(), one.line, one.public, one.live, one.reference.as_deref()),
        ("wiki/Ops", 12, Some(true), Some(true), Some("7"))
    );
    assert_eq!((one.values.len(), one.rule.contains('\u{1b}'), one.resolved.is_none()), (1, false, true));
    assert_eq!(
        (two.secret.as_ref().map(SecretId::as_str), two.resolved.as_deref()),
        (Some("orders-db"), Some("false_positive"))
    );
    assert_eq!(seen.found[1].principal.as_deref(), Some("orders_a"));
    assert_eq!(nothing(&hook, "", &json!({})), "there is no finding in it");
    assert!(read_as(&hook, "", &json!({"alerts": 3})).is_err());
}

#[test]
fn gitlabs_revocation_list_is_checked_before_it_is_accepted() {
    let types = vec!["gitleaks_rule_id_stripe".to_owned()];
    let body = |kind: &str| json!([{"type": kind, "token": "made-up-at-run-time", "location": "https://example.com/some-repo/blob/abcdefghijklmnop/compromisedfile1.java"}]);
    assert_eq!(revocation::check(body("gitleaks_rule_id_stripe").to_string().as_bytes(), &types), Ok(()));
    let refused =
        revocation::check(body("gitleaks_rule_id_other").to_string().as_bytes(), &types).unwrap_err();
    assert_eq!(refused, "a type that is not among the revocable ones");
    let broken = revocation::check(br#"[{"type":"x","token":"made-up-at-run-time" "#, &types).unwrap_err();
    assert!(!broken.contains("made-up"), "{broken}");
    let hook = source("gitlab_revocation", json!({"secret": "env:HOOK", "types": types}));
    let seen = findings(&hook, "", &body("gitleaks_rule_id_stripe"));
    assert_eq!((seen.found.len(), seen.found[0].foreign.values.len()), (1, 1));
}

/// Every kind, the plainest that it can be.
fn all() -> Vec<Source> {
    let key = json!({"secret": "env:HOOK"});
    let mut all: Vec<Source> =
        ["eventbridge", "github", "gitguardian", "gitlab", "pagerduty", "sarif", "vault_audit"]
            .map(|kind| source(kind, key.clone()))
            .into();
    all.push(source("gitlab_revocation", json!({"secret": "env:HOOK", "types": ["x"]})));
    all.push(source("json", json!({"secret": "env:HOOK", "map": {"value": "/a/0", "list": ""}})));
    all
}

#[test]
fn what_is_nested_without_end_is_an_error_and_not_the_end() {
    for text in
        ["[".repeat(200_000), "{\"event\":".repeat(100_000), format!("{{\"alert\":{}", "[".repeat(200_000))]
    {
        for hook in all() {
            let body = SecretValue::from_text(text.clone());
            assert!(
                read(&hook, "secret_scanning_alert", &body, &inventory()).is_err(),
                "{}",
                hook.kind.word()
            );
        }
    }
}

#[test]
fn errors_of_bodies_quote_nothing() {
    let value = "made-up-at-run-time";
    for hook in all() {
        for text in [
            format!("{{\"alert\":\"{value}\"}}"),
            format!("[\"{value}\"]"),
            format!("{{\"event\":\"{value}\", \"incident\":\"{value}\", \"detail\":\"{value}\""),
        ] {
            let body = SecretValue::from_text(text.clone());
            if let Err(error) = read(&hook, "secret_scanning_alert", &body, &inventory()) {
                assert!(!error.to_string().contains(value), "{}: {error}", hook.kind.word());
            }
        }
    }
}

proptest! {
    /// What a sender's format is not is an error, or nothing, or findings: never a panic.
    #[test]
    fn any_text_can_be_delivered(text in "\\PC{0,300}", topic in "[a-z_]{0,20}") {
        for hook in all() {
            drop(read(&hook, &topic, &SecretValue::from_text(text.clone()), &inventory()));
        }
    }

    /// Good deliveries, cut off or with a byte changed.
    #[test]
    fn a_damaged_delivery_can_be_delivered(at in 0..2000_usize, byte in any::<u8>(), cut in any::<bool>()) {
        let bodies = [
            github_alert("created", &json!({"validity": "active"})),
            gitguardian("incident_triggered", &json!({})),
            gitlab("secret_detection", "detected"),
            pagerduty("incident.acknowledged", "INC-2026-0007"),
            health("AWS_RISK_CREDENTIALS_EXPOSED", &["x"]),
        ];
        for body in bodies {
            let mut bytes = body.to_string().into_bytes();
            let at = at % bytes.len();
            if cut { bytes.truncate(at) } else { bytes[at] = byte }
            for hook in all() {
                drop(read(&hook, "secret_scanning_alert", &SecretValue::new(bytes.clone()), &inventory()));
            }
        }
    }
}
