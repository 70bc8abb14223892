//! The installation as a whole, by the binary: backup, restore, move to PostgreSQL, each broken off and taken up again.

use quell_testkit::postgres::Server;
use serde_json::Value;

use super::world::{Roles, Servers, World, files_below, private, text};

const FREE: &str = "{ approvals: { destructive: 0 } }";

/// In the middle of an incident: the plan stopped after the successor was told to the issuer.
fn half_way<'a>(servers: &'a Servers, name: &str) -> (World<'a>, String) {
    let world = World::new(servers, name, Roles::Alternating, FREE);
    let id = world.open("chat");
    world.ok(&["plan", &id]);
    let failpoint = format!("{name}-db.install:after-effect");
    let killed = world.quell(&["respond", &id]).env("QUELL_FAILPOINT", failpoint).output().unwrap();
    assert_eq!(killed.status.code(), None, "{}", text(&killed.stderr));
    (world, id)
}

fn key_file(world: &World<'_>) -> String {
    let keys = std::fs::read_dir(world.path("data/keys")).unwrap();
    keys.map(|entry| entry.unwrap().path().display().to_string()).next().unwrap()
}

fn now_at(world: &mut World<'_>, data: &str) {
    let path = world.path(data);
    world.env.retain(|(name, _)| name != "QUELL_DATA_DIR");
    world.env.push(("QUELL_DATA_DIR".to_owned(), path));
}

#[test]
fn an_incident_goes_on_from_a_restored_backup() {
    let servers = Servers::start();
    let (mut world, id) = half_way(&servers, "bak");
    let backup = world.json(&["backup", "."]);
    let path = backup["path"].as_str().unwrap().to_owned();
    let content = std::fs::read_to_string(world.path(&path)).unwrap();
    assert!(!content.contains(&world.old_password), "values lie in it as they lie in the database: sealed");
    let key = key_file(&world);
    let secret = std::fs::read_to_string(&key).unwrap();
    assert!(!content.contains(secret.trim()), "the key is not in it");
    std::fs::write(world.path("kept"), backup["manifest"]["checkpoint"].as_str().unwrap()).unwrap();
    let again = world.run(&["backup", &path]);
    assert!(!again.status.success(), "a backup overwrites nothing");

    let full = world.run(&["restore", &path, "--key-file", &key]);
    assert_eq!(full.status.code(), Some(3), "{}", text(&full.stderr));
    now_at(&mut world, "elsewhere");
    let keyless = world.run(&["restore", &path]);
    assert!(text(&keyless.stderr).contains("--key-file"), "{}", text(&keyless.stderr));
    assert!(!world.path("elsewhere").exists());
    let restored = world.run(&["restore", &path, "--key-file", &key, "--checkpoint", "kept"]);
    assert!(restored.status.success(), "{}", text(&restored.stderr));
    assert_eq!(text(&restored.stdout).trim(), backup["manifest"]["checkpoint"].as_str().unwrap().trim());
    world.ok(&["respond", &id]);
    world.assert_inert(&id, Roles::Alternating);
    let mode = |path: &std::path::Path| {
        std::os::unix::fs::PermissionsExt::mode(&std::fs::metadata(path).unwrap().permissions()) & 0o077
    };
    assert!(
        files_below(&world.path("elsewhere")).iter().all(|file| mode(file) == 0 || file.ends_with("workers"))
    );
    assert_eq!(mode(&world.path(&path)), 0, "nobody else reads a backup");
}

#[test]
fn a_move_that_is_killed_anywhere_is_finished_by_the_same_command() {
    let servers = Servers::start();
    for (n, place) in ["copied", "arrived", "marked"].into_iter().enumerate() {
        let state = Server::start(&[]).unwrap();
        let (mut world, id) = half_way(&servers, &format!("mov{n}"));
        private(&world.path("state.url"), &state.admin_url());
        let checkpoint = world.ok(&["ledger", "checkpoint"]);
        let command = ["move", "--to-database-file", "state.url"];
        let killed = world.quell(&command).env("QUELL_FAILPOINT", place).output().unwrap();
        assert_eq!(killed.status.code(), None, "{place} was not reached: {}", text(&killed.stderr));
        let old = world.run(&["ledger", "verify"]);
        assert_eq!(old.status.success(), place != "marked", "{place}: {}", text(&old.stderr));
        let new = world.run(&["--database-file", "state.url", "ledger", "verify"]);
        assert!(!new.status.success(), "{place}: half a copy is no installation");

        let moved = world.run(&command);
        assert!(moved.status.success(), "{place}: {}", text(&moved.stderr));
        assert!(!text(&moved.stdout).contains("postgres:"), "no password: {}", text(&moved.stdout));
        let refused = world.run(&["incident", "note", &id, "too late"]);
        assert_eq!(refused.status.code(), Some(3));
        assert!(text(&refused.stderr).contains("was moved to PostgreSQL"), "{}", text(&refused.stderr));
        world.env.push(("QUELL_DATABASE_FILE".to_owned(), world.path("state.url")));
        assert_eq!(world.ok(&["ledger", "checkpoint"]), checkpoint);
        world.ok(&["respond", &id]);
        world.assert_inert(&id, Roles::Alternating);
        let shown: Value = world.json(&["incident", "show", &id]);
        assert_eq!(shown["secrets"][0]["inert"], true);
    }
}
