//! `quell scan`: from a leak in a repository's history to an incident that knows what leaked and since when.

use std::io::Write as _;
use std::process::Stdio;

use serde_json::Value;

use super::world::{Roles, Servers, World, text};

const COMMITTED: &str = "2026-03-01T08:00:00Z";

#[test]
fn a_leak_in_the_history_becomes_an_incident() {
    let servers = Servers::start();
    let world = World::new(&servers, "scn", Roles::Alternating, "{ approvals: { destructive: 0 } }");
    let repository = world.leaky_repository(COMMITTED);
    let repository = repository.to_str().unwrap();

    let first = world.run(&["scan", repository, "--json"]);
    assert_eq!(first.status.code(), Some(10), "{}", text(&first.stderr));
    let first: Value = serde_json::from_slice(&first.stdout).unwrap();
    let findings = first["findings"].as_array().unwrap();
    assert_eq!(findings.len(), 1, "{first}");
    let finding = &findings[0];
    assert_eq!(
        (&finding["secret"], &first["v"]),
        (&"scn-db".into(), &1.into()),
        "matched by value: {finding}"
    );
    assert_eq!(finding["place"]["author_time"], COMMITTED);
    assert!(finding["first_seen_commit"].as_str().unwrap().len() >= 40, "{finding}");
    let id = finding["id"].as_str().unwrap();

    // The second time it is the same finding, and it is not recorded again.
    let second = world.run(&["scan", repository]);
    assert_eq!(second.status.code(), Some(10));
    let said = text(&second.stdout);
    assert!(said.contains(id) && said.contains("is the inventory's secret scn-db"), "{said}");

    let opened = world.run(&["incident", "open", "--finding", id, "--channel", "public-repo"]);
    assert!(opened.status.success(), "{}", text(&opened.stderr));
    let said = text(&opened.stderr);
    assert!(said.contains("SEV-1") && said.contains("first-response"), "{said}");
    assert!(!said.contains("could not be read again"), "{said}");
    let incident = text(&opened.stdout).trim().to_owned();
    let shown = world.json(&["incident", "show", &incident]);
    assert_eq!(shown["first_exposed"], COMMITTED);
    let exposure = &shown["exposures"][0];
    assert_eq!((&exposure["finding"], exposure["sealed"].is_string()), (&id.into(), true), "{exposure}");
    let timeline = world.json(&["incident", "timeline", &incident]).to_string();
    assert!(timeline.contains("sealed"), "{timeline}");

    world.ok(&["respond", &incident]);
    world.assert_inert(&incident, Roles::Alternating);
    // What was leaked is still known after the rotation, although no store holds it any more.
    let after = world.run(&["scan", repository, "--json"]);
    let after: Value = serde_json::from_slice(&after.stdout).unwrap();
    assert_eq!(after["findings"][0]["secret"], "scn-db");
    let recorded = text(&world.run(&["ledger", "verify"]).stdout);
    assert!(recorded.contains("consistent"), "{recorded}");
}

#[test]
fn standard_input_is_scanned_without_a_data_folder() {
    let folder = tempfile::tempdir().unwrap();
    let mut child = std::process::Command::new(super::world::quell_program())
        .args(["scan", "-", "--json"])
        .current_dir(folder.path())
        .env_clear()
        .env("HOME", folder.path())
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let log = "starting\nconnecting to postgresql://app:Zk3f9QwTr81mLp0s@db.internal:5432/orders\nready\n";
    child.stdin.take().unwrap().write_all(log.as_bytes()).unwrap();
    let output = child.wait_with_output().unwrap();
    assert_eq!(output.status.code(), Some(10), "{}", text(&output.stderr));
    let said = text(&output.stdout);
    assert!(!said.contains("Zk3f9QwTr81mLp0s"), "{said}");
    let found: Value = serde_json::from_str(&said).unwrap();
    let finding = &found["findings"][0];
    assert_eq!((&finding["place"]["line"], &finding["secret"]), (&2.into(), &Value::Null), "{finding}");
    assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 0, "a scan alone makes no data folder");
}

#[test]
fn a_clean_folder_is_clean_and_a_missing_one_is_an_error() {
    let folder = tempfile::tempdir().unwrap();
    std::fs::write(folder.path().join("notes.txt"), "nothing to see\n").unwrap();
    let scan = |path: &str| {
        std::process::Command::new(super::world::quell_program())
            .args(["scan", path])
            .current_dir(folder.path())
            .env_clear()
            .env("HOME", folder.path())
            .output()
            .unwrap()
    };
    assert_eq!(scan(".").status.code(), Some(0));
    let missing = scan("not-there");
    assert_eq!(missing.status.code(), Some(1), "{}", text(&missing.stderr));
    assert!(text(&missing.stderr).contains("not-there"), "{}", text(&missing.stderr));
}

#[test]
fn the_values_of_the_inventory_are_found_wherever_they_are() {
    use base64::Engine as _;
    let servers = Servers::start();
    let world = World::new(&servers, "knw", Roles::Alternating, "{ approvals: { destructive: 0 } }");
    let folder = world.path("backup");
    std::fs::create_dir(&folder).unwrap();
    let encoded = base64::engine::general_purpose::STANDARD.encode(format!("user:{}", world.old_password));
    std::fs::write(folder.join("ci.log"), format!("ok\nAuthorization: Basic {encoded}\n")).unwrap();
    std::fs::write(folder.join("dump.sql"), format!("-- {}\n", world.old_url)).unwrap();
    std::fs::write(folder.join("other.env"), "PASSWORD=something-else-1234567\n").unwrap();
    let folder = folder.to_str().unwrap();

    let output = world.run(&["scan", "--known", folder, "--json"]);
    assert_eq!(output.status.code(), Some(10), "{}", text(&output.stderr));
    let said = text(&output.stdout);
    assert!(!said.contains(&world.old_password), "{said}");
    let all: Value = serde_json::from_str(&said).unwrap();
    let findings = all["findings"].as_array().unwrap();
    assert_eq!(findings.len(), 2, "{all}");
    for finding in findings {
        assert_eq!(
            (&finding["rule"], &finding["secret"]),
            (&"known-secret".into(), &"knw-db".into()),
            "{finding}"
        );
    }
    assert_eq!(
        (&findings[0]["place"]["file"], &findings[0]["encoding"]),
        (&"ci.log".into(), &"base64".into())
    );
    assert_eq!(
        (&findings[1]["place"]["file"], &findings[1]["place"]["line"]),
        (&"dump.sql".into(), &1.into())
    );

    // Without its stores the value is still known by its fingerprint, and the gap is said.
    std::fs::remove_file(world.path("token")).unwrap();
    std::fs::remove_file(world.path("app.env")).unwrap();
    let output = world.run(&["scan", "--known", folder, "--json"]);
    assert_eq!(output.status.code(), Some(10), "{}", text(&output.stderr));
    let all: Value = serde_json::from_slice(&output.stdout).unwrap();
    assert_eq!(
        (&all["findings"][0]["place"]["file"], &all["complete"]),
        (&"dump.sql".into(), &false.into()),
        "{all}"
    );
    std::fs::remove_file(world.path("backup/dump.sql")).unwrap();
    let output = world.run(&["scan", "--known", folder]);
    assert_eq!(output.status.code(), Some(11), "{}", text(&output.stderr));
    assert!(text(&output.stderr).contains("nothing found in what was read"), "{}", text(&output.stderr));
}
