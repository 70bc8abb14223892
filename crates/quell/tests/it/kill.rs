//! SIGKILL at every step boundary of every strategy, on real PostgreSQL and OpenBao; resume; everything is as if
//! nothing had happened: old refused, new accepted, consumers moved, one credential, ledger verified.

use std::os::unix::process::ExitStatusExt as _;

use super::world::{Roles, Servers, World, text};

const FREE: &str = "{ approvals: { destructive: 0 } }";

/// Recorded and not begun; done and not recorded; recorded.
const PLACES: [&str; 3] = ["after-intent", "after-effect", "after-result"];

/// The ids of the plan's steps, from a world of its own.
fn steps_of(world: &World<'_>, channel: &str) -> Vec<String> {
    let id = world.open(channel);
    let plan = world.json(&["plan", &id]);
    plan["plan"]["steps"].as_array().unwrap().iter().map(|s| s["id"].as_str().unwrap().to_owned()).collect()
}

fn die_everywhere(prefix: &str, channel: &str, roles: Roles, expected_strategy: &str) {
    let servers = Servers::start();
    let first = World::new(&servers, &format!("{prefix}x"), roles, FREE);
    let steps = steps_of(&first, channel);
    assert!(steps.len() > 10, "{steps:?}");
    drop(first);
    for (n, step) in steps.iter().enumerate() {
        let (_, action) = step.split_once('.').unwrap();
        for (m, place) in PLACES.into_iter().enumerate() {
            let world = World::new(&servers, &format!("{prefix}{n}p{m}"), roles, FREE);
            let id = world.open(channel);
            let failpoint = format!("{}.{action}:{place}", world.secret());
            let killed = world.quell(&["respond", &id]).env("QUELL_FAILPOINT", &failpoint).output().unwrap();
            assert_eq!(
                killed.status.signal(),
                Some(9),
                "{failpoint} was not reached: {}",
                text(&killed.stderr)
            );
            // What is on disk right after the crash is a consistent ledger.
            world.ok(&["ledger", "verify"]);
            let again = world.run(&["respond", &id, "--json"]);
            assert!(again.status.success(), "{failpoint}: {}\n{}", text(&again.stderr), text(&again.stdout));
            let shown = world.json(&["incident", "show", &id]);
            assert_eq!(shown["strategy"], expected_strategy);
            world.assert_inert(&id, roles);
        }
    }
}

#[test]
fn kill_first_survives_sigkill_at_every_boundary() {
    die_everywhere("k", "public-repo", Roles::Alternating, "kill-first");
}

#[test]
fn make_before_break_survives_sigkill_at_every_boundary() {
    die_everywhere("m", "chat", Roles::Alternating, "make-before-break");
}

#[test]
fn a_single_role_survives_sigkill_at_every_boundary() {
    die_everywhere("s", "chat", Roles::Single, "make-before-break");
}
