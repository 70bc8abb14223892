//! Who may sign in, over the API; and that two people are two.

use serde_json::{Value, json};

use super::room::Room;
use crate::world::{Roles, Servers, World};

fn approve(room: &Room, id: &str, plan: &str) -> super::room::Reply {
    room.post(&format!("/incidents/{id}/approve"), &json!({ "plan": plan }))
}

#[test]
fn whoever_made_the_code_does_not_count_as_the_second_person() {
    let servers = Servers::start();
    let world = World::new(&servers, "codes", Roles::Alternating, "{ approvals: { destructive: 2 } }");
    let id = world.open("chat");
    world.ok(&["plan", &id]);
    let mut room = Room::start(&world);
    let plan = room.get(&format!("/incidents/{id}/plan")).is(200)["hash"].as_str().unwrap().to_owned();
    let added = room.post("/people", &json!({ "person": "omar", "role": "approver" })).is(200);
    let row = |person: &str, role: &str| json!({ "person": person, "role": role, "provided": false });
    assert!(added["people"].as_array().unwrap().contains(&row("omar", "approver")), "{added}");
    // Another letter that looks the same is nobody else.
    let twin = room.post("/people", &json!({ "person": "\u{43e}mar", "role": "approver" })).problem(422);
    assert!(twin["detail"].as_str().unwrap().contains("two spellings of one name"), "{twin}");
    approve(&room, &id, &plan).is(200);
    let code = room.post("/people/omar/code", &json!({})).is(201)["code"].as_str().unwrap().to_owned();
    room.sign_in(&code);
    let refused = approve(&room, &id, &plan).problem(422);
    assert!(refused["detail"].as_str().unwrap().contains("made the code"), "{refused}");
    // At the machine anybody could do everything anyway: its codes make a second person.
    world.ok(&["person", "add", "lena", "--role", "approver"]);
    room.sign_in(world.ok(&["person", "code", "lena"]).trim());
    let second = approve(&room, &id, &plan).is(200);
    assert_eq!(second["by"], "lena", "{second}");
    assert!(second["approved"].as_array().is_some_and(|steps| !steps.is_empty()), "{second}");
    // Both have it now: the plan goes on to its end.
    world.ok(&["respond", &id]);
}

#[test]
fn people_are_let_in_linked_signed_out_and_removed_over_the_api() {
    let servers = Servers::start();
    let world = World::new(&servers, "people", Roles::Single, "{}");
    let mut room = Room::start(&world);
    room.post("/people", &json!({ "person": "omar", "role": "admin" })).is(200);
    let why = json!({ "other": "omar@example.com", "reason": "one badge" });
    room.post("/people/omar/same", &why).is(200);
    let names = |list: &Value| {
        let all = list["people"].as_array().unwrap().iter();
        all.map(|one| one["person"].as_str().unwrap().to_owned()).collect::<Vec<_>>()
    };
    let code = room.post("/people/omar/code", &json!({})).is(201);
    assert_eq!(code["seconds"], 600);
    let nobody = room.post("/people/nobody/code", &json!({})).problem(404);
    assert!(nobody["detail"].as_str().unwrap().contains("person"), "{nobody}");
    room.sign_in(code["code"].as_str().unwrap());
    let own = room.get("/sessions").is(200);
    assert_eq!(own["sessions"].as_array().unwrap().len(), 1, "{own}");
    let made = room.post("/tokens", &json!({ "name": "ci", "role": "viewer", "days": 3 })).is(201);
    let bearer = format!("authorization: Bearer {}", made["token"].as_str().unwrap());
    assert_eq!(room.raw("GET", "/api/v1/tokens/own", &[&bearer], b"").is(200)["id"], made["id"]);
    let out = room.post("/people/omar/sign-out", &json!({})).is(200);
    assert_eq!(out, json!({ "person": "omar", "sessions": 1 }));
    room.get("/people").problem(401);
    room.raw("GET", "/api/v1/tokens/own", &[&bearer], b"").problem(401);
    let admin = names(&serde_json::from_str(&world.ok(&["person", "list", "--json"])).unwrap());
    assert_eq!(admin.len(), 2, "{admin:?}");
    let first = admin.iter().find(|name| *name != "omar").unwrap();
    room.sign_in(world.ok(&["person", "code", first]).trim());
    let left = room.post("/people/omar/remove", &json!({ "reason": "left" })).is(200);
    assert_eq!(names(&left), std::slice::from_ref(first));
    let last = room.post(&format!("/people/{first}/remove"), &json!({ "reason": "left" })).problem(422);
    assert!(last["detail"].as_str().unwrap().contains("last admin"), "{last}");
}

#[test]
fn a_report_a_triage_and_the_numbers_are_there_for_programs() {
    let servers = Servers::start();
    let world = World::new(&servers, "said", Roles::Single, "{}");
    let room = Room::start(&world);
    let said = json!({
        "what": "I pasted it into a public channel", "place": "#general", "channel": "chat", "value": world.old_url,
    });
    let report = room.post("/report", &said).is(201);
    assert!(report["fingerprint"].as_str().is_some_and(|name| name.len() > 20), "{report}");
    assert!(!report.to_string().contains(&world.old_url));
    // In a field that is kept, a value is refused, and not said again.
    let leaky = room.post("/report", &json!({ "what": format!("it was {}", world.old_url) })).problem(422);
    assert!(!leaky.to_string().contains(&world.old_url), "{leaky}");
    let numbers = room.get("/numbers").is(200);
    assert_eq!(
        (&numbers["open"], &numbers["incidents"][0]["incident"]),
        (&json!(1), &report["incident"]),
        "{numbers}"
    );
    assert!(numbers["clocks"].as_array().is_some_and(|clocks| !clocks.is_empty()), "{numbers}");
    let none = json!({ "anomaly": "3fa9c1d2", "decision": "benign", "reason": "the nightly job" });
    let id = report["incident"].as_str().unwrap();
    let unhunted = room.post(&format!("/incidents/{id}/hunt/triage"), &none).problem(422);
    assert!(unhunted["detail"].as_str().unwrap().contains("hunt"), "{unhunted}");
    let bad = json!({ "says": "duplicate", "reason": "seen twice" });
    room.post("/findings/F-000000000000/triage", &bad).problem(422);
    let bad = json!({ "says": "not-a-leak", "reason": "an example" });
    room.post("/findings/F-000000000000/triage", &bad).problem(404);
}
