//! Who may ask what: each operation, asked by each role.

use super::room::Room;
use crate::world::{Roles, Servers, World};

const LADDER: [&str; 5] = ["reporter", "viewer", "responder", "approver", "admin"];

#[test]
fn each_operation_is_for_those_whom_its_description_names() {
    let servers = Servers::start();
    let world = World::new(&servers, "rights", Roles::Single, "{}");
    let mut room = Room::start(&world);
    let description = room.get("/openapi.json").is(200);
    let mut asked = 0;
    for (rank, role) in LADDER.iter().enumerate() {
        world.ok(&["person", "add", role, "--role", role]);
        let code = world.ok(&["person", "code", role]);
        room.sign_in(code.trim());
        for (path, verbs) in description["paths"].as_object().unwrap() {
            for (verb, operation) in verbs.as_object().unwrap() {
                let needs = operation["description"].as_str().and_then(|text| text.split('`').nth(1));
                // Whoever may verify the ledger may, and it takes a while.
                if operation["operationId"] == "ledger_verify"
                    && needs.is_some_and(|needs| rank_of(needs) <= rank)
                {
                    continue;
                }
                let path = path
                    .strip_prefix("/api/v1")
                    .unwrap()
                    .replace("{id}", "INC-2026-0999")
                    .replace("{step}", "a.b")
                    .replace("{secret}", "nothing")
                    .replace(['{', '}'], "");
                let status = if verb == "get" {
                    room.get(&path).status
                } else {
                    room.post(&path, &serde_json::json!({})).status
                };
                let least = needs.map_or(0, rank_of);
                assert_eq!(status == 403, rank < least, "{role} asks {verb} {path}: {status}");
                assert!(status < 500 && status != 401, "{role} asks {verb} {path}: {status}");
                asked += 1;
            }
        }
    }
    assert!(asked > 200, "{asked}");
}

fn rank_of(role: &str) -> usize {
    LADDER.iter().position(|known| *known == role).unwrap()
}
