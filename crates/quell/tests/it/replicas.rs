//! Several processes drive plans on one PostgreSQL: one stands still and wakes, loses its lock, loses its database.

use std::process::{Child, Output};

use quell_testkit::postgres::Server;
use rustix::process::{Pid, Signal, kill_process};

use super::world::{Roles, Servers, World, private, text, wait_for};

const FREE: &str = "{ approvals: { destructive: 0 } }";

/// A world whose state lies on a PostgreSQL of its own.
pub(crate) fn shared<'a>(servers: &'a Servers, state: &Server, name: &str) -> World<'a> {
    let mut world = World::bare(servers, name, Roles::Alternating, FREE);
    private(&world.path("state.url"), &state.admin_url());
    world.env.push(("QUELL_DATABASE_FILE".to_owned(), world.path("state.url")));
    world.ok(&["init"]);
    world
}

/// The state of a process, as the kernel has it: `T` is stopped.
pub(crate) fn is_stopped(child: &Child) -> bool {
    let stat = std::fs::read_to_string(format!("/proc/{}/stat", child.id())).unwrap_or_default();
    stat.rsplit_once(") ").is_some_and(|(_, rest)| rest.starts_with('T'))
}

pub(crate) fn signal(child: &Child, signal: Signal) {
    kill_process(Pid::from_child(child), signal).unwrap();
}

/// Ends every session of the state's users but the one that asks.
pub(crate) fn cut(state: &Server) {
    state
        .psql("SELECT count(pg_terminate_backend(pid)) FROM pg_stat_activity WHERE pid <> pg_backend_pid() AND application_name = 'quell'")
        .unwrap();
}

#[track_caller]
fn done(child: Child) -> Output {
    let output = child.wait_with_output().unwrap();
    assert!(output.status.success(), "{}: {}", output.status, text(&output.stderr));
    output
}

/// How often the issuer was told something.
pub(crate) fn told(servers: &Servers, words: &str) -> usize {
    servers.postgres.log().lines().filter(|line| line.contains("statement:") && line.contains(words)).count()
}

/// How often somebody came to the issuer as its administrator, this test's own psql left out.
fn came(servers: &Servers) -> usize {
    let log = servers.postgres.log();
    let admin =
        |line: &&str| line.contains("connection authorized: user=postgres") && !line.contains("=psql");
    log.lines().filter(admin).count()
}

/// The intent is durable, nothing is sent; then the process stands still, its sessions are cut, and another does it.
#[test]
fn a_replica_that_stood_still_does_not_act_when_it_wakes() {
    for (name, step, place, words) in [
        ("rsi", "install", "after-intent", "LOGIN PASSWORD 'SCRAM"),
        ("rsc", "disable", "before-call", "NOLOGIN PASSWORD NULL"),
    ] {
        let servers = Servers::start();
        let state = Server::start(&[]).unwrap();
        let world = shared(&servers, &state, name);
        let id = world.open("chat");
        world.ok(&["plan", &id]);
        let mut first = world.quell(&["respond", &id]);
        first.env("QUELL_FAILPOINT", format!("{name}-db.{step}:{place}:stop"));
        first.stdout(std::process::Stdio::piped()).stderr(std::process::Stdio::piped());
        let first = first.spawn().unwrap();
        wait_for(|| is_stopped(&first), "it did not stop");
        assert_eq!(told(&servers, words), 0, "nothing was sent yet");
        cut(&state);
        let second = done(world.spawn(&["respond", &id]));
        assert!(text(&second.stderr).contains("the worker is gone"), "{}", text(&second.stderr));
        world.assert_inert(&id, Roles::Alternating);
        assert_eq!(told(&servers, words), 1);
        let before = came(&servers);
        assert!(before > 1, "the second one came to the issuer");
        signal(&first, Signal::CONT);
        let woke = done(first);
        assert!(text(&woke.stderr).contains("goes on as"), "{}", text(&woke.stderr));
        assert_eq!(came(&servers), before, "it acted on an intent that was not its own any more");
        assert_eq!(told(&servers, words), 1);
        world.assert_inert(&id, Roles::Alternating);
    }
}

#[test]
fn a_database_that_is_away_is_waited_for() {
    let servers = Servers::start();
    let mut state = Server::start(&[]).unwrap();
    let world = shared(&servers, &state, "raw");
    let id = world.open("chat");
    world.ok(&["plan", &id]);
    let mut running = world.quell(&["respond", &id]);
    running.env("QUELL_FAILPOINT", "raw-db.install:after-effect:stop");
    running.stdout(std::process::Stdio::piped()).stderr(std::process::Stdio::piped());
    let running = running.spawn().unwrap();
    wait_for(|| is_stopped(&running), "it did not stop");
    state.stop().unwrap();
    signal(&running, Signal::CONT);
    std::thread::sleep(std::time::Duration::from_millis(3500));
    state.restart().unwrap();
    let said = text(&done(running).stderr);
    assert!(said.contains("the database does not answer") && said.contains("answers again"), "{said}");
    world.assert_inert(&id, Roles::Alternating);
    assert_eq!(told(&servers, "LOGIN PASSWORD 'SCRAM"), 1, "done once: {said}");

    // A command that is no driver says it, and what to do.
    state.stop().unwrap();
    let refused = world.run(&["incident", "show", &id]);
    let said = text(&refused.stderr);
    assert!(
        !refused.status.success() && said.contains("hint:") && said.contains("does not answer now"),
        "{said}"
    );
}

/// The worker's connection is cut while the process lives and the database is there: it is the same worker.
#[test]
fn a_cut_connection_changes_nothing() {
    let servers = Servers::start();
    let state = Server::start(&[]).unwrap();
    let world = shared(&servers, &state, "rcc");
    let id = world.open("chat");
    world.ok(&["plan", &id]);
    let mut running = world.quell(&["respond", &id]);
    running.env("QUELL_FAILPOINT", "rcc-db.mint:after-effect:stop");
    running.stdout(std::process::Stdio::piped()).stderr(std::process::Stdio::piped());
    let mut running = running.spawn().unwrap();
    wait_for(|| is_stopped(&running), "it did not stop");
    signal(&running, Signal::CONT);
    let mut cuts = 0;
    while running.try_wait().unwrap().is_none() {
        cut(&state);
        cuts += 1;
        std::thread::sleep(std::time::Duration::from_millis(150));
    }
    let output = done(running);
    assert!(cuts > 1, "it was over before it began: {cuts}");
    assert!(!text(&output.stderr).contains("the worker is gone"), "{}", text(&output.stderr));
    world.assert_inert(&id, Roles::Alternating);
}
