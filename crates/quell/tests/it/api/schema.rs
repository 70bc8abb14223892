//! The description of the API is what the server does: asked by a program that reads nothing else.

use std::process::{Command, Stdio};

use quell_testkit::program;
use serde_json::json;

use super::room::Room;
use crate::world::{Roles, Servers, World, text};

/// Once with all rights, and once with hardly any: refusals are answers, too.
#[test]
fn no_answer_is_other_than_described() {
    let servers = Servers::start();
    let world = World::new(&servers, "schema", Roles::Single, "{}");
    let room = Room::start(&world);
    // Something to find: ids that the description gives as examples.
    room.post("/incidents", &json!({ "secrets": ["schema-db"], "channel": "chat", "title": "a" })).is(201);
    room.post("/incidents/INC-2026-0001/plan", &json!({})).is(200);
    let description = room.get("/openapi.json");
    std::fs::write(world.path("openapi.json"), &description.body).unwrap();
    world.ok(&["person", "add", "vera", "--role", "viewer"]);
    let viewer = Room::start_as(&world, "vera");
    for (room, phases, seconds) in
        [(&room, "examples,coverage,fuzzing", "45"), (&viewer, "examples,coverage", "20")]
    {
        ask(&world, room, phases, seconds);
    }
}

fn ask(world: &World<'_>, room: &Room, phases: &str, seconds: &str) {
    let mut asked = Command::new(program("st", &[]).unwrap());
    asked
        .current_dir(world.folder.path())
        .args(["run", "openapi.json", "--url", &room.url, "--no-color", "--seed", "7", "--max-examples", "8"])
        // One worker: with threads, Python 3.11's parser fails now and then (`AST constructor recursion depth mismatch`).
        .args(["--phases", phases, "--no-shrink", "--workers", "1", "--max-time", seconds])
        .args([
            "--request-timeout",
            "20",
            "--warnings",
            "off",
            "--continue-on-failure",
            "--rate-limit",
            "auto",
        ])
        .args(["--suppress-health-check", "all"])
        .args([
            "--checks",
            "not_a_server_error,status_code_conformance,content_type_conformance,response_schema_conformance",
        ])
        // A stream of news does not end.
        .args(["--exclude-operation-id", "incident_follow"]);
    for header in room.headers() {
        asked.args(["-H", &header]);
    }
    let output = asked.stdin(Stdio::null()).output().unwrap();
    assert!(output.status.success(), "{}\n{}", text(&output.stdout), text(&output.stderr));
    let told = text(&output.stdout);
    assert!(told.contains("passed"), "{told}");
}
