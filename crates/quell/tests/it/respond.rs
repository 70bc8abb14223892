//! The main path, as a person walks it.

use std::process::Stdio;

use super::world::{Roles, Servers, World, text};

#[test]
fn two_people_approve_and_the_incident_closes_with_proof() {
    let servers = Servers::start();
    let world = World::new(&servers, "two", Roles::Alternating, "{ approvals: { destructive: 2 } }");
    let id = world.open("public-repo");
    let plan = world.json(&["plan", &id]);
    let hash = plan["hash"].as_str().unwrap().to_owned();

    let waiting = world.run(&["respond", &id]);
    assert_eq!(waiting.status.code(), Some(4), "{}", text(&waiting.stderr));
    let wrong = world.run(&["approve", &id, "--plan", &"0".repeat(64)]);
    assert_eq!(wrong.status.code(), Some(3), "an approval of another plan is refused");
    world.ok(&["approve", &id, "--plan", &hash[..12]]);
    assert_eq!(world.run(&["respond", &id]).status.code(), Some(4), "one person is not two");
    let twice = world.run(&["approve", &id, &format!("{}.disable", world.secret()), "--plan", &hash]);
    assert_eq!(twice.status.code(), Some(3), "the same person twice is not two");
    world.ok(&["approve", &id, "--plan", &hash, "--as", "otto"]);
    world.ok(&["respond", &id]);
    world.assert_inert(&id, Roles::Alternating);

    let early = world.run(&["incident", "close", &id]);
    assert_eq!(early.status.code(), Some(3));
    assert!(text(&early.stderr).contains("verdict"), "{}", text(&early.stderr));
    world.ok(&["incident", "verdict", &id, "cannot-tell", "--reason", "no logs of that day"]);
    world.ok(&[
        "incident",
        "action",
        &id,
        "pre-commit gate",
        "--owner",
        "team-orders",
        "--due",
        "2026-12-01",
    ]);
    world.ok(&["incident", "close", &id]);

    let verified = world.json(&["verify", &id]);
    assert_eq!(verified["inert"], true);
    // Somebody brings the old value back to life: verify notices and says so.
    servers.postgres.psql(&format!("ALTER ROLE two_a LOGIN PASSWORD '{}'", world.old_password)).unwrap();
    let back = world.run(&["verify", &id, "--json"]);
    assert_eq!(back.status.code(), Some(5));
    let back: serde_json::Value = serde_json::from_slice(&back.stdout).unwrap();
    assert_eq!((&back["inert"], &back["secrets"][0]["changed"]), (&false.into(), &true.into()), "{back}");
}

#[test]
fn a_policy_that_became_stricter_holds_for_a_plan_that_was_made_before() {
    let servers = Servers::start();
    let world = World::new(&servers, "strict", Roles::Alternating, "{ approvals: { destructive: 1 } }");
    let id = world.open("chat");
    let plan = world.json(&["plan", &id]);
    let hash = plan["hash"].as_str().unwrap();
    world.ok(&["approve", &id, "--plan", hash]);
    world.edit("destructive: 1", "destructive: 2");
    // Neither what was approved before nor another approval makes up for it.
    for args in [&["respond", &id][..], &["approve", &id, "--plan", hash, "--as", "otto"]] {
        let refused = world.run(args);
        let said = text(&refused.stderr);
        assert_eq!(refused.status.code(), Some(3), "{args:?}: {said}");
        assert!(said.contains("asks for one person to approve") && said.contains("for 2 people"), "{said}");
        assert!(said.contains("--again"), "{said}");
    }
    assert_eq!(world.new_values(&id), 0, "nothing was done");
    let again = world.json(&["plan", &id, "--again"]);
    let hash = again["hash"].as_str().unwrap();
    world.ok(&["approve", &id, "--plan", hash]);
    assert_eq!(world.run(&["respond", &id]).status.code(), Some(4), "one is not two");
    world.ok(&["approve", &id, "--plan", hash, "--as", "otto"]);
    // One that became laxer takes nothing back from a plan that asks for more.
    world.edit("destructive: 2", "destructive: 1");
    world.ok(&["respond", &id]);
    world.assert_inert(&id, Roles::Alternating);
}

#[test]
fn several_processes_drive_one_plan() {
    let servers = Servers::start();
    let world = World::new(&servers, "many", Roles::Alternating, "{ approvals: { destructive: 0 } }");
    let id = world.open("chat");
    world.ok(&["plan", &id]);
    let start = || {
        world
            .quell(&["respond", &id, "--json"])
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap()
    };
    let workers: Vec<_> = (0..4).map(|_| start()).collect();
    for worker in workers {
        let output = worker.wait_with_output().unwrap();
        assert!(output.status.success(), "{}", text(&output.stderr));
    }
    world.assert_inert(&id, Roles::Alternating);
}

#[test]
fn kill_first_works_with_one_role_too() {
    let servers = Servers::start();
    let world = World::new(&servers, "one", Roles::Single, "{ approvals: { destructive: 0 } }");
    let id = world.open("public-repo");
    world.ok(&["respond", &id]);
    world.assert_inert(&id, Roles::Single);
}
