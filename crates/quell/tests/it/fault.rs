//! Things fail while an incident is answered: issuer, store, consumer, network, a person's Ctrl-C. What is said is
//! what is so, nothing is done twice, and the same command finishes the job afterwards.

use std::net::{SocketAddr, TcpListener};
use std::process::Output;

use quell_connect::conformance::{Fault, FlakyProxy};
use rustix::process::Signal;
use serde_json::Value;

use super::world::{Roles, Servers, World, interrupt, private, text, wait_for};

const FREE: &str = "{ approvals: { destructive: 0 } }";

/// A proxy that fails on command, for tests that are not async.
pub(crate) struct Proxy {
    runtime: tokio::runtime::Runtime,
    proxy: FlakyProxy,
}

impl Proxy {
    pub(crate) fn to(port: u16) -> Self {
        let runtime =
            tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build().unwrap();
        let upstream = SocketAddr::from(([127, 0, 0, 1], port));
        let proxy = runtime.block_on(async { FlakyProxy::start(upstream).unwrap() });
        Self { runtime, proxy }
    }

    pub(crate) fn port(&self) -> u16 {
        self.proxy.address().port()
    }

    pub(crate) fn set(&self, fault: Fault) {
        self.runtime.block_on(self.proxy.set(fault));
    }

    pub(crate) fn struck(&self) -> usize {
        self.proxy.struck()
    }

    pub(crate) fn once(&self, fault: Fault) {
        self.runtime.block_on(self.proxy.once(fault));
    }
}

/// The world's administrator comes to PostgreSQL through this proxy, and his URL does not lie in OpenBao.
fn issuer_behind_proxy(world: &World<'_>) -> Proxy {
    let port = world.servers.postgres.port();
    let proxy = Proxy::to(port);
    let url =
        world.servers.postgres.admin_url().replace(&format!(":{port}/"), &format!(":{}/", proxy.port()));
    private(&world.path("admin.url"), &url);
    world.edit(&format!("openbao:kv/infra/{}#admin_url", world.name), "file:admin.url");
    proxy
}

fn store_behind_proxy(world: &World<'_>) -> Proxy {
    let proxy = Proxy::to(world.servers.openbao.port());
    world.edit(&world.servers.openbao.addr(), &format!("http://127.0.0.1:{}", proxy.port()));
    world.edit(&format!("openbao:kv/infra/{}#admin_url", world.name), "file:admin.url");
    proxy
}

/// The state of a step, as `incident show` has it.
fn state(shown: &Value, step: &str) -> String {
    let steps = shown["steps"].as_array().unwrap();
    let found = steps.iter().find(|s| s["id"] == step).unwrap_or_else(|| panic!("no step {step}: {shown}"));
    let state = &found["state"];
    state["is"].as_str().map_or_else(|| state.to_string(), str::to_owned)
}

fn assert_code(output: &Output, code: i32) {
    assert_eq!(output.status.code(), Some(code), "{}\n{}", text(&output.stdout), text(&output.stderr));
}

#[track_caller]
fn assert_untouched(world: &World<'_>) {
    assert_eq!(World::login(&world.old_url).as_deref(), Ok(format!("{}_a", world.name).as_str()));
    assert_eq!(world.kv()["data"]["DATABASE_URL"], world.old_url.as_str());
    assert!(std::fs::read_to_string(world.path("app.env")).unwrap().contains(&world.old_url));
    for consumer in ["api", "worker"] {
        assert_eq!(world.health(consumer)["status"], "ok", "{consumer}");
    }
}

#[test]
fn an_issuer_that_is_down_stops_the_plan_and_harms_nothing() {
    for (name, channel) in [("isk", "public-repo"), ("ism", "chat")] {
        let servers = Servers::start();
        let world = World::new(&servers, name, Roles::Alternating, FREE);
        let proxy = issuer_behind_proxy(&world);
        let id = world.open(channel);
        world.ok(&["plan", &id]);
        proxy.set(Fault::Refuse);
        let down = world.run(&["respond", &id]);
        assert_code(&down, 5);
        let said = text(&down.stderr);
        assert!(said.contains("connection refused") && said.contains("quell step retry"), "{said}");
        assert_untouched(&world);
        let shown = world.json(&["incident", "show", &id]);
        let failed: Vec<&str> = shown["steps"]
            .as_array()
            .unwrap()
            .iter()
            .filter(|s| s["state"].to_string().contains("failed"))
            .map(|s| s["id"].as_str().unwrap())
            .collect();
        assert_eq!(failed.len(), 1, "one step failed, its dependants wait: {shown}");
        assert_eq!(shown["secrets"][0]["inert"], false);
        assert_code(&world.run(&["incident", "close", &id]), 3);
        // While it is down, saying so again changes nothing.
        assert_code(&world.run(&["respond", &id]), 5);

        proxy.set(Fault::Pass);
        world.ok(&["step", "retry", &id, failed[0]]);
        world.ok(&["respond", &id]);
        world.assert_inert(&id, Roles::Alternating);
    }
}

/// Design rule 10: the vault being down must not keep the leaked value alive.
#[test]
fn the_kill_does_not_wait_for_a_store_that_is_down() {
    let servers = Servers::start();
    let world = World::new(&servers, "sto", Roles::Alternating, FREE);
    let proxy = store_behind_proxy(&world);
    private(&world.path("leaked"), &world.old_url);
    let opened = world.json(&[
        "incident",
        "open",
        "--secret",
        "sto-db",
        "--channel",
        "public-repo",
        "--value-file",
        "leaked",
    ]);
    let id = opened["incident"].as_str().unwrap().to_owned();
    proxy.set(Fault::Refuse);
    let down = world.run(&["respond", &id]);
    assert_code(&down, 5);
    let refusal = World::login(&world.old_url).expect_err("the leaked value still opens the door");
    assert!(
        refusal.contains("password authentication failed") || refusal.contains("not permitted"),
        "{refusal}"
    );
    let shown = world.json(&["incident", "show", &id]);
    for step in ["disable", "sever", "prove-refused"] {
        assert_eq!(state(&shown, &format!("sto-db.{step}")), "applied", "{shown}");
    }
    assert_eq!(state(&shown, "sto-db.store-0"), "failed", "{shown}");
    assert_eq!(state(&shown, "sto-db.store-1"), "applied", "the other store got its value: {shown}");

    proxy.set(Fault::Pass);
    world.ok(&["step", "retry", &id, "sto-db.store-0"]);
    world.ok(&["respond", &id]);
    world.assert_inert(&id, Roles::Alternating);
}

/// The statement arrived, its answer did not: the outcome is unknown, so the engine looks; it does not do it again.
#[test]
fn a_lost_answer_is_looked_up_and_nothing_is_done_twice() {
    for (name, roles, channel, lost) in [
        ("lmi", Roles::Alternating, "chat", "LOGIN PASSWORD 'SCRAM"),
        ("lmd", Roles::Alternating, "chat", "NOLOGIN PASSWORD NULL"),
        ("lkd", Roles::Alternating, "public-repo", "NOLOGIN PASSWORD NULL"),
        ("lsi", Roles::Single, "chat", "LOGIN PASSWORD 'SCRAM"),
    ] {
        let servers = Servers::start();
        let world = World::new(&servers, name, roles, FREE);
        let proxy = issuer_behind_proxy(&world);
        let id = world.open(channel);
        world.ok(&["plan", &id]);
        let before = servers.postgres.log().len();
        proxy.once(Fault::DropAnswerTo(lost.as_bytes().to_vec()));
        let run = world.run(&["respond", &id]);
        assert_code(&run, 0);
        assert_eq!(proxy.proxy.struck(), 1, "{name}: the answer was not lost");
        let said = text(&run.stderr);
        assert!(said.contains("unknown ") && said.contains("looking "), "{name}: {said}");
        world.assert_inert(&id, roles);
        let log = &servers.postgres.log()[before..];
        // One statement each, in the server's own words; the simple protocol logs it once.
        let times = log
            .lines()
            .filter(|l| l.contains("statement: ") || l.contains("execute "))
            .filter(|l| l.contains(lost))
            .count();
        assert_eq!(times, 1, "{name}: {lost} ran more than once");
    }
}

/// A consumer that answers "ok" and never moves. It says the new principal never, or lies that it is another.
fn liar(answer: String) -> u16 {
    use std::io::{Read as _, Write as _};
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = listener.local_addr().unwrap().port();
    std::thread::spawn(move || {
        for mut stream in listener.incoming().flatten() {
            let mut chunk = [0; 2048];
            drop(stream.read(&mut chunk));
            let head =
                format!("HTTP/1.1 200 OK\r\nContent-Length: {}\r\nConnection: close\r\n\r\n", answer.len());
            drop(stream.write_all(head.as_bytes()).and_then(|()| stream.write_all(answer.as_bytes())));
        }
    });
    port
}

/// One secret's consumer hangs; another's are dead or lie; the third secret is brought to its end all the same. Ctrl-C
/// ends the waiting, and what is not done is done later.
#[test]
fn consumers_that_hang_lie_or_are_dead_block_only_their_own_secrets() {
    let servers = Servers::start();
    let fine = World::new(&servers, "fin", Roles::Alternating, FREE);
    let hung = World::bare(&servers, "hun", Roles::Alternating, FREE);
    let mut lying = World::bare(&servers, "lie", Roles::Alternating, FREE);
    fine.write_inventory(&[&fine, &hung, &lying], FREE);
    let port = liar("{\"status\":\"ok\",\"gen\":1,\"principal\":\"lie_a\"}".to_owned());
    fine.edit(&format!("127.0.0.1:{}/", lying.port("api")), &format!("127.0.0.1:{port}/"));
    let opened = fine.json(&[
        "incident",
        "open",
        "--channel",
        "chat",
        "--secret",
        "fin-db",
        "--secret",
        "hun-db",
        "--secret",
        "lie-db",
    ]);
    let id = opened["incident"].as_str().unwrap().to_owned();
    fine.ok(&["plan", &id]);
    lying.kill_consumer("worker");
    hung.signal_consumer("worker", Signal::STOP);

    let running = fine.spawn(&["respond", &id]);
    let show = || fine.json(&["incident", "show", &id]);
    wait_for(
        || {
            let shown = show();
            state(&shown, "fin-db.purge-0") == "applied"
                && !["waiting", "ready"].contains(&state(&shown, "lie-db.confirm-api").as_str())
        },
        "the healthy secret did not come to its end",
    );
    interrupt(&running);
    let ended = running.wait_with_output().unwrap();
    assert_code(&ended, 130);
    let said = text(&ended.stderr);
    assert!(said.contains(&format!("`quell respond {id}` takes it up again")), "{said}");

    let shown = show();
    let inert = |name: &str| {
        let secrets = shown["secrets"].as_array().unwrap();
        secrets.iter().find(|s| s["id"] == name).unwrap()["inert"] == true
    };
    assert_eq!((inert("fin-db"), inert("hun-db"), inert("lie-db")), (true, false, false));
    assert!(!shown["steps"].to_string().contains("running"), "nothing is running: {shown}");
    // Nobody killed a value that somebody may still use.
    for (world, step) in [(&hung, "hun-db.disable"), (&lying, "lie-db.disable")] {
        assert_eq!(state(&shown, step), "waiting", "{shown}");
        assert!(World::login(&world.old_url).is_ok(), "{step} was done although a consumer is not confirmed");
    }
    assert_ne!(state(&shown, "lie-db.confirm-api"), "applied", "a lie was believed");
    assert_code(&fine.run(&["incident", "close", &id]), 3);
    fine.ok(&["ledger", "verify"]);

    // The one that hung comes back.
    hung.signal_consumer("worker", Signal::CONT);
    let again = fine.spawn(&["respond", &id]);
    wait_for(|| state(&show(), "hun-db.prove") == "applied", "the consumer that came back was not confirmed");
    interrupt(&again);
    assert_code(&again.wait_with_output().unwrap(), 130);
    let refused = World::login(&hung.old_url);
    assert!(refused.is_err(), "{refused:?}");
    assert!(World::login(&lying.old_url).is_ok());
}

#[test]
fn ctrl_c_leaves_an_incident_that_is_taken_up_again() {
    let servers = Servers::start();
    let world = World::new(&servers, "ctc", Roles::Alternating, FREE);
    let proxy = issuer_behind_proxy(&world);
    let id = world.open("public-repo");
    world.ok(&["plan", &id]);
    // The issuer hangs, so that the interrupt comes in the middle of a step.
    proxy.set(Fault::Hang);
    let running = world.spawn(&["respond", &id, "--call-limit", "2"]);
    wait_for(
        || state(&world.json(&["incident", "show", &id]), "ctc-db.disable") == "running",
        "the step did not begin",
    );
    interrupt(&running);
    let ended = running.wait_with_output().unwrap();
    assert_code(&ended, 130);
    let said = text(&ended.stderr);
    assert!(said.contains("nothing is running") && said.contains("takes it up again"), "{said}");
    let shown = world.json(&["incident", "show", &id]);
    assert_ne!(state(&shown, "ctc-db.disable"), "running", "{shown}");
    proxy.set(Fault::Pass);
    world.ok(&["respond", &id]);
    world.assert_inert(&id, Roles::Alternating);
}
