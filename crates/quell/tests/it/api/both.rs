//! What is asked here and by a server is answered with the same words, the same data and the same exit code.

use std::process::Output;

use serde_json::Value;

use super::remote::Far;
use super::room::Room;
use crate::world::{Roles, Servers, World, private, text};

/// Each command here and there, with and without `--json`.
#[track_caller]
pub(super) fn same(world: &World<'_>, far: &Far<'_>, commands: &[&[&str]]) {
    for words in commands {
        for json in [&[][..], &["--json"]] {
            let words: Vec<&str> = words.iter().chain(json).copied().collect();
            let (here, there) = (world.run(&words), far.run(&words));
            assert_eq!(
                here.status.code(),
                there.status.code(),
                "{words:?}: {}\n{}",
                text(&here.stderr),
                text(&there.stderr)
            );
            assert_eq!(text(&here.stdout), text(&there.stdout), "{words:?}");
            let first = |output: &Output| text(&output.stderr).lines().next().map(str::to_owned);
            assert_eq!(first(&here), first(&there), "{words:?}");
        }
    }
}

#[test]
fn deliveries_are_listed_shown_and_tried_again_here_and_by_a_server() {
    let servers = Servers::start();
    let world = World::new(&servers, "dlv", Roles::Single, "{}");
    world.edit("policy:", "intake: { wiki: { json: { secret: \"file:hook.key\", header: X-Key, map: { list: /leaks, value: /value } } } }\npolicy:");
    private(&world.path("hook.key"), "a key of the sender");
    private(&world.path("headers"), "X-Key: a key of the sender\nContent-Type: application/json\n");
    for body in ["{\"leaks\":[]}", "{\"leaks\":1}"] {
        private(&world.path("body"), body);
        world.run(&["intake", "receive", "wiki", "--headers", "headers", "--body", "body"]);
    }
    let listed = world.json(&["intake", "list"]);
    let of = |state: &str| {
        let found = listed["deliveries"].as_array().unwrap().iter().find(|it| it["state"] == state);
        found.unwrap_or_else(|| panic!("{listed}"))["id"].as_str().unwrap().to_owned()
    };
    let (done, failed) = (of("done"), of("failed"));
    let room = Room::start(&world);
    let far = Far::new(&world, &room);
    same(
        &world,
        &far,
        &[
            &["intake", "list"],
            &["intake", "list", "--most", "1"],
            &["intake", "list", "--open"],
            &["intake", "show", &done],
            &["intake", "show", &failed],
            &["intake", "show", "d-0"],
            &["intake", "show", "../people"],
            &["intake", "retry", &done],
            &["intake", "retry", "d-0"],
        ],
    );
    let again: Value = serde_json::from_str(&far.ok(&["intake", "retry", &failed, "--json"])).unwrap();
    assert_eq!(again["delivery"]["id"], failed.as_str(), "{again}");
    for words in [&["intake", "work"][..], &["intake", "receive", "wiki", "--headers", "a", "--body", "b"]] {
        let refused = far.run(words);
        assert_eq!(refused.status.code(), Some(2), "{words:?}");
        assert!(text(&refused.stderr).contains("leave --server"), "{}", text(&refused.stderr));
    }
}

#[test]
fn the_inventory_is_checked_and_drawn_here_and_by_a_server() {
    let servers = Servers::start();
    let world = World::new(&servers, "inv", Roles::Single, "{}");
    world.edit("policy:", "  - { id: other, kind: password, issuer: { postgres: { admin: \"file:nowhere\", roles: [inv_a] } }, grants: [ { secret: inv-db, access: read } ] }\npolicy:");
    let room = Room::start(&world);
    let far = Far::new(&world, &room);
    same(
        &world,
        &far,
        &[
            &["inventory", "check", "--offline"],
            &["inventory", "check"],
            &["inventory", "list"],
            &["inventory", "show", "other"],
            &["inventory", "show", "inv-db"],
            &["inventory", "show", "nobody"],
            &["inventory", "graph", "other"],
            &["inventory", "graph", "other", "--ask"],
            &["inventory", "graph", "inv-db", "--format", "dot"],
            &["inventory", "graph", "--format", "mermaid"],
            &["inventory", "graph", "--format", "dot"],
            &["inventory", "graph"],
            &["inventory", "graph", "nobody"],
            &["inventory", "graph", "not an id"],
        ],
    );
    let checked = far.run(&["inventory", "check"]);
    assert_eq!(checked.status.code(), Some(5), "one of them cannot be reached");
    assert!(text(&checked.stdout).contains("inv-db") && text(&checked.stdout).contains("FAIL"));
    let drawn = far.ok(&["inventory", "graph", "other"]);
    assert!(drawn.contains("secret inv-db: read") && drawn.contains("consumer inv-db/api"), "{drawn}");
    let unasked = room.get("/inventory/graph?ask=true").problem(400);
    assert!(unasked["detail"].as_str().unwrap().contains("`secret`"), "{unasked}");
    // The server goes on with the one before; what was asked for is the one that lies there now.
    world.edit("policy:", "polcy: {}\npolicy:");
    for json in [&[][..], &["--json"]] {
        let words = [&["inventory", "check", "--offline"][..], json].concat();
        let (here, there) = (world.run(&words), far.run(&words));
        assert_eq!((here.status.code(), there.status.code()), (Some(2), Some(2)), "{}", text(&there.stdout));
        let said = text(&there.stderr);
        assert!(said.contains("of the server is refused") && said.contains("polcy"), "{said}");
        assert!(text(&there.stdout).is_empty() || !text(&there.stdout).contains("true"));
    }
    assert!(far.ok(&["inventory", "list"]).contains("inv-db"), "the one before is used");
}

#[test]
fn findings_are_listed_and_judged_here_and_by_a_server() {
    let servers = Servers::start();
    let world = World::new(&servers, "fnd", Roles::Single, "{}");
    let report = serde_json::json!([
        { "RuleID": "generic-api-key", "File": "a.env", "StartLine": 3, "Description": "a key", "Secret": "made-up-1", "Match": "x" },
        { "RuleID": "generic-api-key", "File": "b.env", "StartLine": 4, "Description": "a key", "Secret": "made-up-1", "Match": "x" },
        { "RuleID": "private-key", "File": "c.env", "StartLine": 5, "Description": "another", "Secret": "made-up-2", "Match": "x" },
    ]);
    private(&world.path("report.json"), &report.to_string());
    world.run(&["ingest", "--no-open", "--format", "gitleaks", "report.json"]);
    let listed = world.json(&["finding", "list"]);
    let id = |file: &str| {
        let all = listed["findings"].as_array().unwrap();
        let found = all.iter().find(|it| it["place"]["file"] == file).unwrap_or_else(|| panic!("{listed}"));
        found["id"].as_str().unwrap().to_owned()
    };
    let (a, b, c) = (id("a.env"), id("b.env"), id("c.env"));
    let room = Room::start(&world);
    let far = Far::new(&world, &room);
    far.ok(&["finding", "triage", &b, "duplicate", "--of", &a, "--reason", "a copy of a.env"]);
    let judged = far.ok(&["finding", "triage", &c, "not-a-leak", "--reason", "an example", "--json"]);
    let judged: Value = serde_json::from_str(&judged).unwrap();
    assert_eq!((&judged["said"]["is"], &judged["said"]["by"]), (&"not-a-leak".into(), &"ines".into()));
    same(
        &world,
        &far,
        &[
            &["finding", "list"],
            &["finding", "list", "--open"],
            &["finding", "list", "--most", "1"],
            &["finding", "list", "--rule", "gitleaks:private-key"],
            &["finding", "list", "--secret", "fnd-db"],
            &["finding", "show", &a],
            &["finding", "show", &b],
            &["finding", "show", "F-000000000000"],
            &["finding", "show", "nonsense"],
            &["finding", "triage", &c, "not-a-leak", "--reason", "again"],
            &["finding", "triage", &a, "duplicate", "--of", &a, "--reason", "of itself"],
            &["finding", "triage", &a, "not-a-leak", "--of", &b, "--reason", "both"],
            &["finding", "triage", "F-000000000000", "not-a-leak", "--reason", "none"],
            &["numbers"],
        ],
    );
    let open: Value = serde_json::from_str(&far.ok(&["finding", "list", "--open", "--json"])).unwrap();
    let ids: Vec<&Value> = open["findings"].as_array().unwrap().iter().map(|it| &it["id"]).collect();
    assert_eq!(ids, [&Value::from(a.as_str())], "{open}");
    let shown = far.ok(&["finding", "show", &b]);
    assert!(shown.contains(&format!("a duplicate of {a}")) && shown.contains("a copy of a.env"), "{shown}");
    assert!(!text(&far.run(&["finding", "show", &a]).stdout).contains("made-up-1"));
}

#[test]
fn sessions_end_and_glass_is_broken_here_and_by_a_server() {
    let servers = Servers::start();
    let world = World::new(&servers, "own", Roles::Single, "{}");
    let mut room = Room::start(&world);
    world.ok(&["person", "add", "omar", "--role", "responder"]);
    let sessions = |printed: &str| {
        let listed: Value = serde_json::from_str(printed).unwrap();
        let all = listed["sessions"].as_array().unwrap().iter();
        all.map(|one| one["id"].as_str().unwrap().to_owned()).collect::<Vec<_>>()
    };
    room.sign_in(world.ok(&["person", "code", "omar"]).trim());
    let other = sessions(&world.ok(&["--as", "omar", "session", "list", "--json"]));
    room.sign_in(world.ok(&["person", "code", "omar"]).trim());
    let far = Far::new(&world, &room);
    let own = sessions(&far.ok(&["session", "list", "--json"]));
    assert_eq!((own.len(), own[0] == other[0]), (2, true), "oldest first");
    let left = sessions(&far.ok(&["session", "end", &other[0], "--json"]));
    assert_eq!(left, own[1..]);
    assert_eq!(far.run(&["session", "end", &other[0]]).status.code(), Some(2), "it has ended");
    assert_eq!(world.run(&["--as", "omar", "session", "end", &other[0]]).status.code(), Some(2));
    assert_eq!(world.run(&["session", "end", &own[1]]).status.code(), Some(2), "it is not ines's");

    let reason = "nobody who may approve can be reached";
    let asked = ["break-glass", "open", "--role", "approver", "--reason", reason];
    let broken = far.run(&asked);
    let said = text(&broken.stderr);
    assert!(broken.status.success() && said.contains("no channel took the news"), "{said}");
    assert!(said.contains("in your sessions") && said.contains("this token may do no more"), "{said}");
    let short = far.run(&["break-glass", "open", "--role", "admin", "--reason", "now"]);
    assert_eq!(short.status.code(), Some(2), "{}", text(&short.stderr));
    let listed = world.json(&["break-glass", "list"]);
    let entry = listed["glass"][0]["entry"].as_u64().unwrap().to_string();
    let statement = "he approved one step, which was right";
    let own = far.run(&["break-glass", "review", &entry, "--statement", statement]);
    assert_eq!(own.status.code(), Some(2), "nobody looks at what they did: {}", text(&own.stderr));
    world.ok(&["break-glass", "review", &entry, "--statement", statement]);
    world.ok(&[&["--as", "omar"][..], &asked].concat());
    let nobody = world.run(&[&["--as", "nobody"][..], &asked].concat());
    assert!(text(&nobody.stderr).contains("may not sign in"), "{}", text(&nobody.stderr));
    let there: Value = serde_json::from_str(&far.ok(&["break-glass", "list", "--json"])).unwrap();
    assert_eq!(there, world.json(&["break-glass", "list"]));
    let rows: Vec<(&str, &Value)> = there["glass"]
        .as_array()
        .unwrap()
        .iter()
        .map(|it| (it["person"].as_str().unwrap(), &it["reviewed_by"]))
        .collect();
    assert_eq!(rows, [("omar", &Value::from("ines")), ("omar", &Value::Null)]);
    let table = far.ok(&["break-glass", "list"]);
    assert!(table.contains(statement) && table.contains("nobody yet"), "{table}");
}

#[test]
fn notices_tokens_and_what_a_hunt_found_read_the_same_here_and_by_a_server() {
    let servers = Servers::start();
    let world = World::new(&servers, "ntc", Roles::Single, "{}");
    let id = world.open("chat");
    let value = format!("tok-{}", "4Zr8mQx1Lw7");
    private(&world.path("value"), &value);
    let line = |address: &str, day: u8| {
        format!(
            "{address} - - [{day:02}/Mar/2026:10:00:00 +0000] \"GET /export?key={value} HTTP/1.1\" 200 12 \"-\" \"sqlmap/1.8\"\n"
        )
    };
    private(&world.path("access.log"), &[line("203.0.113.65", 2), line("203.0.113.66", 3)].concat());
    world.run(&["hunt", &id, "--value-file", "value", "--logs", "access.log", "--record"]);
    let room = Room::start(&world);
    let far = Far::new(&world, &room);
    let listed: Value = serde_json::from_str(&far.ok(&["hunt", "triage", &id, "--json"])).unwrap();
    let found = listed["findings"][0]["finding"]["id"].as_str().unwrap_or_else(|| panic!("{listed}"));
    let asked = "SELECT address, count(*) FROM access GROUP BY 1 ORDER BY 1";
    let hunted: [&[&str]; 5] = [
        &["hunt", "show", "--incident", &id],
        &["hunt", "sql", "--incident", &id, asked],
        &["hunt", "sql", "--incident", &id, "--csv", asked],
        &["hunt", "triage", &id],
        &["hunt", "triage", &id, "ffffffff", "--benign", "nobody's"],
    ];
    same(&world, &far, &hunted);
    far.ok(&["hunt", "triage", &id, found, "--benign", "the scan of our own tester"]);
    same(&world, &far, &hunted);
    assert!(world.ok(&["hunt", "triage", &id]).contains("the scan of our own tester"));
    assert!(far.ok(&["hunt", "sql", "--incident", &id, asked]).contains("203.0.113.66"));

    far.ok(&["notice", "draft", &id, "update"]);
    private(&world.path("text"), "It is contained.\n");
    far.ok(&["notice", "edit", &id, "N1", "--title", "Where it stands", "--file", "text"]);
    world.ok(&["notice", "draft", &id, "management"]);
    far.ok(&["notice", "drop", &id, "N2", "--reason", "nobody asked"]);
    same(
        &world,
        &far,
        &[
            &["notice", "kinds"],
            &["notice", "list", &id],
            &["notice", "show", &id, "N1"],
            &["notice", "show", &id, "N2"],
            &["notice", "show", &id, "N9"],
            &["notice", "draft", &id, "poem"],
            &["notice", "retry", &id, "N1"],
            &["notice", "send", &id, "N2", "--seen", "0000"],
        ],
    );

    let made: Value = serde_json::from_str(
        &far.ok(&["token", "make", "--name", "ci", "--role", "viewer", "--days", "3", "--json"]),
    )
    .unwrap();
    let token = made["id"].as_str().unwrap();
    let all: [&[&str]; 3] = [
        &["token", "list"],
        &["token", "make", "--name", "ci", "--role", "king"],
        &["token", "revoke", "nobody", "--reason", "gone"],
    ];
    same(&world, &far, &all);
    assert!(world.ok(&["token", "list"]).contains(token));
    far.ok(&["token", "revoke", token, "--reason", "the job is gone"]);
    same(&world, &far, &all[..1]);
    assert!(!far.ok(&["token", "list"]).contains(token));
}

#[test]
fn a_report_of_another_tool_is_taken_over_by_a_server_as_it_is_here() {
    let servers = Servers::start();
    let world = World::new(&servers, "igs", Roles::Single, "{}");
    let finding = |file: &str, secret: &str| {
        serde_json::json!({ "RuleID": "generic-api-key", "File": file, "StartLine": 3, "Description": "a key",
            "Secret": secret, "Match": secret, "Commit": "", "Entropy": 4.5, "Fingerprint": "x" })
    };
    let report = serde_json::json!([finding("a.env", &world.old_url), finding("b.env", "made-up-value-1")]);
    private(&world.path("report.json"), &report.to_string());
    private(&world.path("broken.json"), "[{");
    private(&world.path("other.json"), "[{\"of\":\"no tool\"}]");
    private(&world.path("none.json"), "[]");
    let room = Room::start(&world);
    let far = Far::new(&world, &room);
    let refused: [&[&str]; 5] = [
        &["ingest", "broken.json"],
        &["ingest", "report.json", "broken.json"],
        &["ingest", "other.json"],
        &["ingest", "none.json"],
        &["ingest", "--format", "nonsense", "report.json"],
    ];
    same(&world, &far, &refused);
    assert_eq!(
        world.json(&["finding", "list"])["findings"].as_array().unwrap().len(),
        0,
        "a broken one keeps all out"
    );
    let taken =
        far.run(&["ingest", "--channel", "private-repo", "--audience", "few", "report.json", "--json"]);
    let said = text(&taken.stdout);
    assert_eq!(taken.status.code(), Some(10), "{}", text(&taken.stderr));
    assert!(!said.contains(&world.old_url) && !text(&taken.stderr).contains(&world.old_url), "a value");
    let said: Value = serde_json::from_str(&said).unwrap();
    let report = &said["reports"][0];
    assert_eq!((&report["findings"], &report["new"]), (&2.into(), &2.into()), "{report}");
    let done: Vec<&str> =
        report["secrets"].as_array().unwrap().iter().map(|it| it["done"]["what"].as_str().unwrap()).collect();
    assert_eq!(done, ["opened", "unmatched"], "{report}");
    let shown = world.json(&["incident", "show", "INC-2026-0001"]);
    assert!(shown.to_string().contains("igs-db"), "{shown}");
    // The same again changes nothing, wherever it is asked.
    same(&world, &far, &[&["ingest", "report.json"], &["ingest", "--no-open", "report.json"]]);
    let bad = serde_json::json!({ "report": "r", "content": "[]", "format": "made-up-word" });
    let unknown = room.post("/ingest", &bad).problem(400);
    assert!(!unknown.to_string().contains("made-up-word"), "{unknown}");
    let named = serde_json::json!({ "report": world.old_url, "content": "[]" });
    let refused = room.post("/ingest", &named).problem(422);
    assert!(!refused.to_string().contains(&world.old_url), "a value in a name is not said again");
}
