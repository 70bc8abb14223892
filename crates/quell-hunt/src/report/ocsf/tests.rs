//! Events against the rules of the schema, as the repository <https://github.com/ocsf/ocsf-schema> has them at 1.8.0 (commit
//! 3dcb905d26523ce4d5d0ba3c28c8507e2c859407 of 2026-03-16, read on 2026-11-22): `events/base_event.json`,
//! `events/application/{api,datastore}_activity.json`, `events/iam/{iam,authentication}.json` and `objects/`.

use super::*;
use crate::record::{Made, MadeKind};
use crate::report::is_deceptive;
use crate::report::sample::access;

/// Requirement "required" of the base class.
const BASE: [&str; 7] =
    ["activity_id", "category_uid", "class_uid", "metadata", "severity_id", "time", "type_uid"];

/// A class: its id, what it requires itself, of which attributes it needs one, and the ids of its activities.
type Rules = (u64, &'static [&'static str], &'static [&'static str], &'static [u64]);
const CLASSES: [Rules; 3] = [
    (3002, &["user"], &["service", "dst_endpoint"], &[0, 1, 2, 3, 4, 5, 6, 7, 99]),
    (6003, &["actor", "api", "src_endpoint"], &["api"], &[0, 1, 2, 3, 4, 99]),
    (
        6005,
        &["actor", "src_endpoint"],
        &["database", "databucket", "table"],
        &[0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 99],
    ),
];

/// An object, wherever it stands: what it requires, and of which attributes it needs one.
const OBJECTS: [(&str, &[&str], &[&str]); 17] = [
    ("/metadata", &["product", "version"], &[]),
    ("/metadata/product", &[], &["name", "uid"]),
    ("/actor", &[], &["process", "user", "invoked_by", "session", "app_name", "app_uid"]),
    ("/actor/user", &[], &["account", "name", "uid"]),
    ("/user", &[], &["account", "name", "uid"]),
    ("/src_endpoint", &[], &["ip", "uid", "name", "hostname", "svc_name", "domain"]),
    ("/api", &["operation"], &[]),
    ("/api/request", &["uid"], &[]),
    ("/api/service", &[], &["name", "uid"]),
    ("/service", &[], &["name", "uid"]),
    ("/cloud", &["provider"], &[]),
    ("/cloud/account", &[], &["name", "uid"]),
    ("/databucket", &["type_id"], &["name", "uid"]),
    ("/database", &["type_id"], &["name", "uid"]),
    ("/table", &[], &["name", "uid"]),
    ("/resources/0", &[], &["name", "uid"]),
    ("/raw_data_hash", &["algorithm_id", "value"], &[]),
];

/// Enums that are not of a class.
const ENUMS: [(&str, &[u64]); 6] = [
    ("/severity_id", &[0, 1, 2, 3, 4, 5, 6, 99]),
    ("/status_id", &[0, 1, 2, 99]),
    ("/raw_data_hash/algorithm_id", &[0, 1, 2, 3, 4, 5, 6, 7, 99]),
    ("/databucket/type_id", &[0, 1, 2, 3, 99]),
    ("/database/type_id", &[0, 1, 2, 3, 4, 5, 6, 7, 8, 99]),
    ("/type_id", &[0, 1, 2, 3, 99]),
];

/// Every attribute of an event that the three classes or the profile `cloud` have.
const KNOWN: [&str; 29] = [
    "activity_id",
    "activity_name",
    "actor",
    "api",
    "category_uid",
    "class_uid",
    "cloud",
    "database",
    "databucket",
    "http_request",
    "message",
    "metadata",
    "raw_data_hash",
    "resources",
    "service",
    "severity_id",
    "src_endpoint",
    "status",
    "status_code",
    "status_id",
    "table",
    "time",
    "type_id",
    "type_uid",
    "unmapped",
    "user",
    "count",
    "duration",
    "status_detail",
];

/// What breaks a rule, in words.
fn broken(event: &Value) -> Vec<String> {
    let mut broken = Vec::new();
    let mut need = |object: &Value, at: &str, all: &[&str], one: &[&str]| {
        for name in all.iter().filter(|name| object.get(**name).is_none_or(Value::is_null)) {
            broken.push(format!("{at} has no {name}"));
        }
        if !one.is_empty() && !one.iter().any(|name| object.get(*name).is_some()) {
            broken.push(format!("{at} has none of {one:?}"));
        }
    };
    need(event, "/", &BASE, &[]);
    let uid = event["class_uid"].as_u64().unwrap();
    let (_, all, one, activities) = CLASSES.into_iter().find(|rules| rules.0 == uid).unwrap();
    need(event, "/", all, one);
    for (at, all, one) in OBJECTS {
        if let Some(object) = event.pointer(at) {
            need(object, at, all, one);
        }
    }
    let activity = event["activity_id"].as_u64().unwrap();
    let mut enums: Vec<(&str, u64, &[u64])> = vec![("/activity_id", activity, activities)];
    for (at, ids) in ENUMS {
        enums.extend(event.pointer(at).map(|id| (at, id.as_u64().unwrap(), ids)));
    }
    for (at, id, ids) in enums {
        if !ids.contains(&id) {
            broken.push(format!("{at} is {id}"));
        }
    }
    if event["type_uid"].as_u64() != Some(uid * 100 + activity) || event["category_uid"] != uid / 1000 {
        broken.push("the ids do not fit together".to_owned());
    }
    if !event["time"].is_i64() && !event["time"].is_u64() {
        broken.push("the time is no number".to_owned());
    }
    for name in event.as_object().unwrap().keys().filter(|name| !KNOWN.contains(&name.as_str())) {
        broken.push(format!("{name} is no attribute"));
    }
    if event.get("cloud").is_some() != (event["metadata"]["profiles"] == json!(["cloud"])) {
        broken.push("the profile is not named".to_owned());
    }
    broken
}

const ACTIONS: [&str; 12] = [
    "s3:GetObject",
    "dynamodb:Scan",
    "signin:ConsoleLogin",
    "iam:CreateUser",
    "REST.GET.OBJECT",
    "SELECT",
    "connect",
    "ssh publickey",
    "update auth/userpass/login/x",
    "storage:storage.objects.list",
    "Sign-in activity",
    "",
];

fn bare(format: Format, action: &str, role: Role) -> Access {
    Access {
        format,
        role,
        time: None,
        actor: None,
        resource: None,
        address: None,
        agent: None,
        request: None,
        account: None,
        region: None,
        reads: None,
        made: Vec::new(),
        outcome: Outcome::Unknown,
        action: action.to_owned(),
        ..access(0, "x")
    }
}

#[test]
fn every_event_keeps_the_rules_of_its_class_whatever_is_known() {
    let mut classes = std::collections::BTreeSet::new();
    for format in Format::ALL {
        for action in ACTIONS {
            for role in [Role::Used, Role::Mentioned] {
                let least = bare(format, action, role);
                let most = Access { format, role, action: action.to_owned(), ..access(5, "<a>\u{202e}\"") };
                for access in [least, most] {
                    let event = event(&access);
                    assert_eq!(broken(&event), Vec::<String>::new(), "{event}");
                    classes.insert(event["class_uid"].as_u64().unwrap());
                }
            }
        }
    }
    assert_eq!(classes.len(), 3);
}

#[test]
fn the_checks_see_what_is_broken() {
    let whole = event(&access(0, "x"));
    for name in ["time", "actor", "api", "src_endpoint", "metadata"] {
        let mut event = whole.clone();
        event.as_object_mut().unwrap().remove(name);
        assert!(!broken(&event).is_empty(), "{name}");
    }
    let mut event = whole;
    event["activity_id"] = json!(5);
    assert!(broken(&event).len() > 1);
}

#[test]
fn a_read_of_an_object_says_all_that_is_known() {
    let read = Access {
        action: "s3:GetObject".to_owned(),
        resource: Some("s3://orders/2026/a.csv".to_owned()),
        actor: Some("arn:aws:iam::111122223333:user/ci".to_owned()),
        address: Some("203.0.113.9".to_owned()),
        credential: "AKIAEXAMPLEEXAMPLE01".to_owned(),
        outcome: Outcome::Denied("AccessDenied: not authorized".to_owned()),
        account: Some("111122223333".to_owned()),
        region: Some("eu-west-1".to_owned()),
        made: vec![Made { kind: MadeKind::Session, id: "ASIA1".to_owned() }],
        ..access(5, "x")
    };
    let event = event(&read);
    let at = |pointer: &str| event.pointer(pointer).cloned().unwrap_or_default();
    assert_eq!(at("/type_uid"), 600_501);
    assert_eq!(at("/time"), 1_772_323_500_000_i64);
    assert_eq!(at("/databucket"), json!({ "type_id": 1, "name": "orders" }));
    assert_eq!(at("/actor/session/credential_uid"), "AKIAEXAMPLEEXAMPLE01");
    assert_eq!(at("/src_endpoint"), json!({ "ip": "203.0.113.9" }));
    assert_eq!((at("/status_id"), at("/status_code")), (json!(2), json!("AccessDenied")));
    assert_eq!(at("/status_detail"), "not authorized");
    assert_eq!(at("/unmapped/traffic/bytes_out"), 113);
    let account = json!({ "uid": "111122223333" });
    assert_eq!(at("/cloud"), json!({ "provider": "AWS", "account": account, "region": "eu-west-1" }));
    assert_eq!(at("/unmapped/made"), json!([{ "kind": "session", "id": "ASIA1" }]));
    assert_eq!(at("/unmapped/resource"), "s3://orders/2026/a.csv");
}

#[test]
fn activities_follow_the_action() {
    for (format, action, reads, type_uid) in [
        (Format::Cloudtrail, "iam:CreateAccessKey", Some(false), 600_301),
        (Format::Cloudtrail, "iam:ListUsers", Some(true), 600_302),
        (Format::Cloudtrail, "iam:AttachUserPolicy", Some(false), 600_303),
        (Format::Cloudtrail, "s3:DeleteBucket", Some(false), 600_304),
        (Format::Cloudtrail, "sts:AssumeRole", Some(false), 600_399),
        (Format::Vault, "read kv/data/orders", None, 600_302),
        (Format::Vault, "update auth/userpass/login/x", None, 300_201),
        (Format::Gcp, "iam:google.iam.admin.v1.CreateServiceAccountKey", None, 600_301),
        (Format::Gcp, "storage:storage.objects.list", None, 600_508),
        (Format::S3, "REST.PUT.OBJECT", None, 600_505),
        (Format::PostgresCsv, "disconnect", None, 300_202),
        (Format::PostgresCsv, "WRITE INSERT", None, 600_505),
        (Format::Syslog, "ssh publickey", None, 300_201),
        (Format::Text, "named in a line", None, 600_300),
    ] {
        let access = Access { reads, ..bare(format, action, Role::Used) };
        assert_eq!(event(&access)["type_uid"], type_uid, "{action}");
    }
}

#[test]
fn a_line_is_an_event_and_hides_nothing_from_a_terminal() {
    let text = "a\u{1b}[2J\r\n\u{9b}\u{202e}b\u{e0041}";
    let mut out = Vec::new();
    write(&mut out, &[access(0, text), access(1, text)]).unwrap();
    let out = String::from_utf8(out).unwrap();
    assert_eq!(out.lines().count(), 2);
    assert!(out.chars().all(|it| it == '\n' || (!it.is_control() && !is_deceptive(it))));
    for line in out.lines() {
        let event: Value = serde_json::from_str(line).unwrap();
        assert_eq!(event["message"], text);
    }
}
