//! A value that somebody puts into the wrong field, through every door: it is not kept, and not sent back.

use std::collections::BTreeMap;
use std::path::Path;

use quell_app::incident::{self, Change, Report};
use quell_app::{plan, scan};
use quell_core::event::Actor;
use quell_core::exposure::Channel;
use quell_core::person::Role;
use reqwest::{Method, StatusCode};
use serde_json::{Map, Value, json};

use super::form::forms;
use super::world::{World, inventory, read};

/// A person's own credential: it is planned without any server. A file holds what it is now.
fn inventory_with(file: &Path) -> String {
    format!(
        "secrets:
  - id: ines-directory
    kind: directory-password
    env: prod
    tier: human
    issuer: {{ person: {{ account: ines@example.com, at: the directory }} }}
    stores: [{{ env_file: {{ path: {}, key: MOTTO }} }}]
policy: {{ approvals: {{ destructive: 1 }} }}
",
        file.display()
    )
}

/// One that the rules describe, and one that nobody could tell from any other word but by its fingerprint.
fn canaries() -> [String; 2] {
    [
        format!("postgres://orders:{}@db.internal/orders", "h7Gq2Wx9Lr4T"),
        format!("ruhr{}ost", "-mohn-9-quelle-"),
    ]
}

/// An incident with a plan and everything that forms are about; a scan found the first canary, and saw the second in a store.
async fn room() -> (World, String) {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("a.env");
    let [first, second] = canaries();
    std::fs::write(&file, format!("DATABASE_URL={first}\nMOTTO={second}\n")).unwrap();
    let world = World::at("127.0.0.1:0", inventory(&inventory_with(&file)), BTreeMap::new()).await;
    let app = world.app.acting_as(Actor::user("ines"));
    let rules = scan::rules(&[]).unwrap();
    let found = scan::path(folder.path(), &rules, &app.store.keys().fingerprint, &mut |_| {}).unwrap();
    assert_eq!(scan::record(&app, "a folder", found).await.unwrap().findings.len(), 1);
    let secret = "ines-directory".parse().unwrap();
    let report = Report { secrets: vec![secret], channel: Some(Channel::Chat), ..Report::default() };
    let id = incident::open(&app, report).await.unwrap().id;
    plan::make(&app, id, false).await.unwrap();
    let item = Change::ActionItem("look".to_owned(), "ines".to_owned(), "2031-12-01".to_owned(), None);
    incident::change(&app, id, &item).await.unwrap();
    (world, id.to_string())
}

/// What holds a canary of all that is kept, but for the sealed blobs.
async fn kept(world: &World, canary: &str) -> Vec<u64> {
    let entries = world.app.store.read_all(0, 100_000).await.unwrap();
    entries.iter().filter(|entry| format!("{entry:?}").contains(canary)).map(|entry| entry.seq).collect()
}

/// The text around a canary.
fn near(said: &str, canary: &str) -> String {
    let at = said.find(canary).unwrap_or_default();
    said.chars().skip(at.saturating_sub(120)).take(300).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn no_field_of_any_form_keeps_a_value_or_sends_it_back() {
    let (world, id) = room().await;
    let (cookie, _) = world.session("ines", Role::Admin).await;
    let mut tried = Vec::new();
    for place in [
        format!("/incidents/{id}"),
        "/incidents/new".to_owned(),
        "/report".to_owned(),
        "/findings".to_owned(),
        "/settings".to_owned(),
    ] {
        let (_, html) =
            read(world.ask(Method::GET, &place).header("cookie", &cookie).send().await.unwrap()).await;
        for form in forms(&html) {
            // The token of the form, and what the page showed, are no words of people.
            let fields =
                form.fields.iter().filter(|field| !["csrf", "seen", "value"].contains(&field.name.as_str()));
            for field in fields.filter(|field| field.kind != "file") {
                // In a sentence, and alone.
                let [first, second] = canaries();
                let texts = [(format!("it is {first} as far as I know"), &first), (second.clone(), &second)];
                for (text, canary) in texts {
                    let (status, said) = read(form.send(&world, &cookie, &field.name, &text).await).await;
                    let at = format!("{} {}", form.action, field.name);
                    assert!(!said.contains(canary), "{at} sends it back: {}", near(&said, canary));
                    // What a list did not offer may count as nothing said; what people wrote may not.
                    let written =
                        ["text", "textarea", "date"].contains(&field.kind.as_str()) && field.name != "of";
                    assert!(!written || status.is_client_error(), "{at} takes it: {status}");
                    tried.push(at);
                }
            }
            for canary in canaries() {
                assert_eq!(kept(&world, &canary).await, Vec::<u64>::new(), "{}", form.action);
            }
        }
    }
    tried.dedup();
    for must in [
        "note text",
        "role person",
        "step/skip reason",
        "verdict reason",
        "action due",
        "/report what",
        "/report secret",
        "/incidents title",
        "triage of",
        "/settings/tokens name",
        "/settings/tokens role",
        "/settings/people name",
    ] {
        assert!(tried.iter().any(|at| at.ends_with(must)), "{must} was not tried: {tried:#?}");
    }
}

/// Something that fits, so that only the field with the value is at fault.
fn fitting(path: &str, name: &str, schema: &Value) -> Value {
    match name {
        "secrets" => json!(["ines-directory"]),
        "secret" => json!("ines-directory"),
        "due" => json!("2031-12-01"),
        "audience" | "channel" | "channel_name" | "checkpoints" | "discovered" | "evidence" | "finding"
        | "first_exposed" | "gate" | "key" | "plan" | "steps" | "still_visible" | "value" => Value::Null,
        "signal" => json!("live"),
        "verdict" => json!("cannot-tell"),
        "strategy" => json!("auto"),
        "role" if path.contains("tokens") => json!("viewer"),
        "role" => json!("scribe"),
        "days" => json!(30),
        _ if schema["type"] == "boolean" => json!(false),
        _ => json!("because it was seen in the console at three"),
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn no_field_that_programs_send_keeps_a_value_or_sends_it_back() {
    let (world, id) = room().await;
    let (cookie, csrf) = world.session("ines", Role::Admin).await;
    let (_, text) = read(world.ask(Method::GET, "/api/v1/openapi.json").send().await.unwrap()).await;
    let api: Value = serde_json::from_str(&text).unwrap();
    let mut tried = Vec::new();
    for (path, verbs) in api["paths"].as_object().unwrap() {
        let body = &verbs["post"]["requestBody"]["content"]["application/json"]["schema"];
        let body = match body["$ref"].as_str() {
            Some(place) => api.pointer(place.trim_start_matches('#')).unwrap(),
            None => body,
        };
        let Some(fields) = body["properties"].as_object() else { continue };
        let place = path
            .replace("{id}", &id)
            .replace("{step}", "ines-directory.force-reset")
            .replace("{item}", "A1")
            .replace("{token}", "AAAAAAAA");
        let words = fields.iter().filter(|(name, schema)| {
            *name != "value" && !matches!(schema["type"].as_str(), Some("boolean" | "integer"))
        });
        for (name, schema) in words {
            for canary in canaries() {
                let mut asked: Map<String, Value> = fields
                    .iter()
                    .map(|(other, schema)| (other.clone(), fitting(path, other, schema)))
                    .filter(|(_, value)| !value.is_null())
                    .collect();
                let list = schema["type"] == "array";
                asked.insert(name.clone(), if list { json!([canary]) } else { json!(canary) });
                let request = world.ask(Method::POST, &place).header("cookie", &cookie);
                let request = request.header("x-quell-csrf", &csrf).json(&asked);
                let (status, said) = read(request.send().await.unwrap()).await;
                let at = format!("{path} {name}");
                assert!(!said.contains(&canary), "{at} sends it back: {}", near(&said, &canary));
                assert!(status.is_client_error(), "{at} takes it: {status}");
                assert_ne!(status, StatusCode::FORBIDDEN, "{at}: {said}");
                assert_eq!(kept(&world, &canary).await, Vec::<u64>::new(), "{at}");
                tried.push((at, said.contains("looks like a secret")));
            }
        }
    }
    for must in [
        "/note text",
        "/verdict reason",
        "/secrets reason",
        "/pause reason",
        "/skip reason",
        "/resolve statement",
        "/incidents title",
        "/action-items owner",
        "/done evidence",
        "/tokens name",
    ] {
        let seen: Vec<_> = tried.iter().filter(|(at, _)| at.ends_with(must)).collect();
        assert!(seen.len() == 2 && seen.iter().all(|(_, refused)| *refused), "{must}: {seen:?}");
    }
}
