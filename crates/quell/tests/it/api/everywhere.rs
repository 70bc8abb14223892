//! What changes something, done here to one incident and by a server to another: both answer alike, and both end alike.

use serde_json::Value;

use super::both::same;
use super::remote::Far;
use super::room::Room;
use crate::world::{Roles, Servers, World, text};

/// Every command that a server does, but for those that another test of this folder runs.
const COMMANDS: &[&[&str]] = &[
    &["incident", "action", "ID", "a gate", "--owner", "orders", "--due", "2031-01-01"],
    &["incident", "action-done", "ID", "A1", "--evidence", "https://example.com/change/7"],
    &["incident", "action-done", "ID", "A9", "--evidence", "none"],
    &["incident", "signal", "ID", "used-by-unknown", "--reason", "an address that nobody knows"],
    &["incident", "signal", "ID", "loud"],
    &["incident", "role", "ID", "scribe", "omar"],
    &["incident", "role", "ID", "commander"],
    &["incident", "role", "ID", "king"],
    &["incident", "cleaned", "ID", "the message was deleted"],
    &["incident", "unlocked", "ID", "nowhere", "--reason", "by hand"],
    &["incident", "add", "ID", "--secret", "other", "--reason", "it lay beside it"],
    &["incident", "add", "ID", "--secret", "nobody", "--reason", "it lay beside it"],
    &["incident", "strategy", "ID", "make-before-break", "--reason", "the night is quiet"],
    &["incident", "distrust", "ID", "evr-db", "--reason", "printed in a log"],
    &["incident", "close", "ID"],
];

#[test]
fn an_incident_changes_alike_here_and_by_a_server() {
    let servers = Servers::start();
    let world = World::new(&servers, "evr", Roles::Alternating, "{ approvals: { destructive: 1 } }");
    world.edit("policy:", "  - { id: other, kind: password, issuer: { postgres: { admin: \"file:nowhere\", roles: [evr_a] } } }\npolicy:");
    let (near, there) = (world.open("chat"), world.open("chat"));
    let room = Room::start(&world);
    let far = Far::new(&world, &room);
    let mut done = 0;
    for words in COMMANDS {
        let with = |id: &str| -> Vec<String> {
            words.iter().map(|word| if *word == "ID" { id.to_owned() } else { (*word).to_owned() }).collect()
        };
        let (here, away) = (with(&near), with(&there));
        let output = world.run(&here.iter().map(String::as_str).collect::<Vec<_>>());
        let other = far.run(&away.iter().map(String::as_str).collect::<Vec<_>>());
        let (said, told) = (text(&output.stderr), text(&other.stderr));
        assert_eq!(output.status.code(), other.status.code(), "{words:?}: {said}\n{told}");
        done += usize::from(output.status.success());
        let first = |said: &str, id: &str| said.replace(id, "ID").lines().next().map(str::to_owned);
        assert_eq!(first(&said, &near), first(&told, &there), "{words:?}");
    }
    assert!(done >= 8, "only {done} of them did something");
    let kinds = |id: &str| -> Vec<Value> {
        let told = room.get(&format!("/incidents/{id}/entries?limit=1000")).is(200);
        told["entries"].as_array().unwrap().iter().map(|entry| entry["kind"].clone()).collect()
    };
    assert_eq!(kinds(&near), kinds(&there));
    assert!(kinds(&near).len() > 8 && !kinds(&near).contains(&Value::Null), "{:?}", kinds(&near));
}

#[test]
fn steps_are_refused_and_what_cannot_be_done_to_them_is_said_alike_here_and_by_a_server() {
    let servers = Servers::start();
    let world = World::new(&servers, "stp", Roles::Alternating, "{ approvals: { destructive: 1 } }");
    let id = world.open("chat");
    let room = Room::start(&world);
    let far = Far::new(&world, &room);
    far.ok(&["plan", &id]);
    far.ok(&["step", "refuse", &id, "stp-db.disable", "--reason", "not before noon"]);
    assert!(world.ok(&["incident", "timeline", &id]).contains("not before noon"));
    far.ok(&["step", "retry", &id, "stp-db.disable"]);
    same(
        &world,
        &far,
        &[
            &["step", "retry", &id, "stp-db.disable"],
            &["step", "retry", &id, "stp-db.nothing"],
            &["step", "resolve", &id, "stp-db.nothing", "--statement", "I looked"],
            &["step", "skip", &id, "stp-db.nothing", "--reason", "no"],
            &["step", "refuse", &id, "stp-db.nothing", "--reason", "no"],
        ],
    );
}

#[test]
fn people_change_and_lists_are_computed_anew_alike_here_and_by_a_server() {
    let servers = Servers::start();
    let world = World::new(&servers, "ppl", Roles::Single, "{}");
    let id = world.open("chat");
    let room = Room::start(&world);
    for name in ["omar", "lena", "omar-2", "lena-2"] {
        world.ok(&["person", "add", name, "--role", "responder"]);
    }
    let far = Far::new(&world, &room);
    let pairs: [[&[&str]; 2]; 6] = [
        [
            &["person", "same", "omar", "omar-2", "--reason", "he said so"],
            &["person", "same", "lena", "lena-2", "--reason", "she said so"],
        ],
        [
            &["person", "remove", "omar", "--reason", "he left"],
            &["person", "remove", "lena", "--reason", "she left"],
        ],
        [
            &["person", "remove", "nobody", "--reason", "no"],
            &["person", "remove", "nobody", "--reason", "no"],
        ],
        [&["person", "sign-out", "omar-2"], &["person", "sign-out", "lena-2"]],
        [&["person", "sign-out", "nobody"], &["person", "sign-out", "nobody"]],
        [&["ledger", "rebuild"], &["ledger", "rebuild"]],
    ];
    for [here, there] in pairs {
        let (output, other) = (world.run(here), far.run(there));
        assert_eq!(output.status.code(), other.status.code(), "{here:?}: {}", text(&other.stderr));
        assert_eq!(text(&output.stdout), text(&other.stdout), "{here:?}");
    }
    // Tasks of both names stand together.
    world.ok(&["person", "same", "ines", "ines@example.com", "--reason", "one badge"]);
    for (title, owner) in [("call", "ines@example.com"), ("read", "omar-2"), ("look", "Ines")] {
        world.ok(&["incident", "task", "add", &id, title, "--owner", owner]);
    }
    same(
        &world,
        &far,
        &[
            &["incident", "task", "list", &id, "--mine"],
            &["incident", "task", "list", &id],
            &["incident", "task", "list", "INC-2026-0999"],
        ],
    );
    let mine: Value =
        serde_json::from_str(&far.ok(&["incident", "task", "list", &id, "--mine", "--json"])).unwrap();
    let tasks = mine["tasks"].as_array().unwrap().iter().map(|it| it["task"].as_str().unwrap());
    assert_eq!(tasks.collect::<Vec<_>>(), ["T1", "T3"]);
    let people = world.json(&["person", "list"]);
    let names: Vec<&str> =
        people["people"].as_array().unwrap().iter().map(|it| it["person"].as_str().unwrap()).collect();
    assert!(!names.contains(&"omar") && !names.contains(&"lena") && names.contains(&"omar-2"), "{people}");
}
