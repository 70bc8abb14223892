//! The life of an incident, over the API alone.

use serde_json::json;

use super::room::Room;
use crate::world::{Roles, Servers, World, wait_for};

#[test]
fn an_incident_is_opened_planned_approved_carried_out_proven_and_closed_over_the_api() {
    let servers = Servers::start();
    let world = World::new(&servers, "api", Roles::Alternating, "{ approvals: { destructive: 1 } }");
    let room = Room::start(&world);
    let about = room.get("/server").is(200);
    assert_eq!((&about["person"], &about["role"]), (&json!("ines"), &json!("admin")));

    let leaked = json!({ "secrets": ["api-db"], "channel": "ci-log", "value": world.old_url });
    let opened = room.post("/incidents", &leaked).is(201);
    let id = opened["incident"].as_str().unwrap().to_owned();
    let at = |path: &str| format!("/incidents/{id}{path}");
    assert!(!opened.to_string().contains(&world.old_password), "a value is in an answer");

    let plan = room.post(&at("/plan"), &json!({})).is(200);
    let hash = plan["hash"].as_str().unwrap();
    assert_eq!(room.get(&at("/plan/check")).is(200)["secrets"][0]["secret"], "api-db");
    let other = json!({ "plan": "0".repeat(64) });
    room.post(&at("/approve"), &other).problem(409);
    room.post(&at("/respond"), &other).problem(409);
    let approved = room.post(&at("/approve"), &json!({ "plan": hash })).is(200);
    assert!(!approved["approved"].as_array().unwrap().is_empty(), "{approved}");
    assert_eq!(approved["by"], "ines");
    room.post(&at("/respond"), &json!({ "plan": hash })).is(200);
    wait_for(|| room.get(&at("/respond")).is(200)["ended"] == "done", "the plan did not end");
    world.assert_inert(&id, Roles::Alternating);
    let verified = room.post(&at("/verify"), &json!({})).is(200);
    assert_eq!(verified["inert"], true, "{verified}");

    room.post(&at("/verdict"), &json!({ "verdict": "cannot-tell", "reason": "the logs are gone" })).is(200);
    let due = json!({ "title": "hook", "owner": "ines", "due": "2027-01-01" });
    let item = room.post(&at("/action-items"), &due).is(200)["action_items"][0]["item"].clone();
    let done = format!("/action-items/{}/done", item.as_str().unwrap());
    room.post(&at(&done), &json!({ "evidence": "PR 12" })).is(200);
    let closed = room.post(&at("/close"), &json!({ "summary": "rotated" })).is(200);
    assert_eq!(closed["status"], "closed", "{closed}");

    let report = room.get(&at("/report"));
    assert_eq!(report.header("content-type").as_deref(), Some("text/markdown; charset=utf-8"));
    assert!(String::from_utf8(report.body).unwrap().contains(&id));
    let bundle = room.post(&at("/evidence/export"), &json!({}));
    assert_eq!(bundle.status, 200);
    std::fs::write(world.path("bundle.tar"), &bundle.body).unwrap();
    let key = room.get("/ledger/key").is(200)["vkey"].as_str().unwrap().to_owned();
    world.ok(&["evidence", "verify", "bundle.tar", "--key", &key]);
    let proof = room.get("/ledger/entries/0/proof").is(200);
    assert!(proof["proof"].as_str().unwrap().starts_with("c2sp.org/tlog-proof@v1\nindex 0\n"), "{proof}");
    assert_eq!(room.post("/ledger/verify", &json!({})).is(200)["ok"], true);
    let evidence = room.get(&at("/evidence")).is(200);
    let sha256 = evidence["evidence"][0]["sha256"].as_str().unwrap();
    let one = room.get(&at(&format!("/evidence/{sha256}")));
    assert_eq!((one.status, one.body.len() as u64), (200, evidence["evidence"][0]["size"].as_u64().unwrap()));
}

#[test]
fn what_the_api_says_is_what_the_command_line_says() {
    let servers = Servers::start();
    let world = World::new(&servers, "same", Roles::Alternating, "{ approvals: { destructive: 1 } }");
    let id = world.open("chat");
    world.ok(&["plan", &id]);
    let room = Room::start(&world);
    let at = |path: &str| format!("/incidents/{id}{path}");
    let pairs: [(&[&str], String); 8] = [
        (&["incident", "show", &id], at("")),
        (&["incident", "list"], "/incidents".to_owned()),
        (&["incident", "secrets", &id], at("/secrets")),
        (&["incident", "adjacent", &id], at("/adjacent")),
        (&["incident", "timeline", &id], at("/timeline")),
        (&["incident", "task", "list", &id], at("/tasks")),
        (&["plan", &id], at("/plan")),
        (&["ledger", "key"], "/ledger/key".to_owned()),
    ];
    for (words, path) in pairs {
        let mut said = world.json(words);
        said.as_object_mut().unwrap().remove("v");
        assert_eq!(room.get(&path).is(200), said, "{words:?}");
    }
}

#[test]
fn lists_come_in_pages_and_filters_hold() {
    let servers = Servers::start();
    let world = World::new(&servers, "pages", Roles::Single, "{}");
    let ids: Vec<String> = (0..5).map(|_| world.open("chat")).collect();
    let room = Room::start(&world);
    let (mut seen, mut cursor) = (Vec::new(), String::new());
    loop {
        let page = room.get(&format!("/incidents?limit=2{cursor}")).is(200);
        let shown = page["incidents"].as_array().unwrap();
        assert!(shown.len() <= 2);
        seen.extend(shown.iter().map(|it| it["incident"].as_str().unwrap().to_owned()));
        let Some(next) = page["next"].as_str() else { break };
        cursor = format!("&cursor={next}");
    }
    seen.reverse();
    assert_eq!(seen, ids);
    let none = room.get("/incidents?status=closed").is(200);
    assert_eq!(none["incidents"], json!([]));
    let all = room.get("/incidents?status=open&secret=pages-db&drill=false&text=inc-").is(200);
    assert_eq!(all["incidents"].as_array().unwrap().len(), 5);
    for wrong in ["limit=0", "limit=201", "limit=x", "cursor=7", "status=ajar", "unknown=1", "drill=2"] {
        room.get(&format!("/incidents?{wrong}")).problem(400);
    }
    let first = room.get("/ledger/entries?limit=3").is(200);
    assert_eq!((&first["next"], &first["more"]), (&json!(3), &json!(true)));
    let second = room.get("/ledger/entries?limit=1000&from=3").is(200);
    assert_eq!(second["entries"][0]["seq"], 3);
    assert_eq!(second["more"], false);
    assert_eq!(room.get("/inventory").is(200)["secrets"][0]["id"], "pages-db");
    assert_eq!(room.get("/inventory/secrets/pages-db").is(200)["issuer"], "postgres");
    let reached = room.get("/inventory/secrets/pages-db/graph?ask=true").is(200);
    assert!(!reached["reaches"].as_array().unwrap().is_empty(), "{reached}");
    for empty in ["/findings", "/gates", "/drills"] {
        room.get(empty).is(200);
    }
}
