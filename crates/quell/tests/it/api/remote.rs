//! `quell --server`: the same commands, done by a server.

use std::io::{BufRead as _, BufReader, Write as _};
use std::process::{Command, Output, Stdio};

use serde_json::Value;

use super::both::same;
use super::door::Door;
use super::room::Room;
use crate::terminal::at_terminal;
use crate::world::{Roles, Servers, World, catches_interrupts, interrupt, private, text, wait_for};

const TOKEN: &str = "qll_made-up";

pub(super) struct Far<'a> {
    world: &'a World<'a>,
    door: Door,
}

impl<'a> Far<'a> {
    pub(super) fn new(world: &'a World<'a>, room: &Room) -> Self {
        private(&world.path("server.token"), TOKEN);
        Self { world, door: Door::before(room, TOKEN) }
    }

    /// A machine without an installation.
    fn quell(&self, args: &[&str]) -> Command {
        let mut command = self.world.quell(args);
        command
            .env("QUELL_DATA_DIR", self.world.path("nowhere"))
            .env("QUELL_INVENTORY", self.world.path("no.yaml"))
            .env("QUELL_SERVER", &self.door.url)
            .env("QUELL_TOKEN_FILE", self.world.path("server.token"));
        command
    }

    pub(super) fn run(&self, args: &[&str]) -> Output {
        self.quell(args).output().unwrap()
    }

    #[track_caller]
    pub(super) fn ok(&self, args: &[&str]) -> String {
        let output = self.run(args);
        assert!(output.status.success(), "quell {args:?}: {}\n{}", output.status, text(&output.stderr));
        text(&output.stdout)
    }
}

#[test]
fn a_list_holds_what_is_asked_for_here_and_by_a_server() {
    let servers = Servers::start();
    let world = World::new(&servers, "lst", Roles::Alternating, "{ approvals: { destructive: 0 } }");
    let first = world.open("chat");
    world.ok(&["incident", "exception", &first, "lst-db", "--reason", "a trial"]);
    world.ok(&["incident", "verdict", &first, "cannot-tell", "--reason", "no logs of that day"]);
    world.ok(&["incident", "action", &first, "a gate", "--owner", "orders", "--due", "2027-01-01"]);
    world.ok(&["incident", "close", &first]);
    let second = world.open("public-repo");
    let shown = world.json(&["incident", "show", &second]);
    let (severity, other) = if shown["severity"] == "SEV-1" {
        ("SEV-1", "SEV-4")
    } else {
        (shown["severity"].as_str().unwrap(), "SEV-1")
    };
    let room = Room::start(&world);
    let far = Far::new(&world, &room);
    let both = [second.as_str(), first.as_str()];
    let asked: [(&[&str], &[&str]); 11] = [
        (&[], &both),
        (&["--status", "open"], &both[..1]),
        (&["--status", "closed"], &both[1..]),
        (&["--secret", "lst-db"], &both),
        (&["--secret", "lst-other"], &[]),
        (&["--severity", severity, "--status", "open"], &both[..1]),
        (&["--severity", other, "--status", "open"], &[]),
        (&["--drills", "only"], &[]),
        (&["--drills", "none"], &both),
        (&["--text", &first], &both[1..]),
        (&["--most", "1"], &both[..1]),
    ];
    for (words, expected) in asked {
        let words: Vec<&str> = ["incident", "list", "--json"].iter().chain(words).copied().collect();
        for printed in [world.ok(&words), far.ok(&words)] {
            let listed: Value = serde_json::from_str(&printed).unwrap();
            let ids =
                listed["incidents"].as_array().unwrap().iter().map(|one| one["incident"].as_str().unwrap());
            assert_eq!(ids.collect::<Vec<_>>(), expected, "{words:?}");
        }
    }
}

#[test]
fn a_server_says_what_this_machine_says_with_the_same_exit_codes() {
    let servers = Servers::start();
    let world = World::new(&servers, "far", Roles::Alternating, "{ approvals: { destructive: 1 } }");
    let id = world.open("chat");
    world.ok(&["plan", &id]);
    let room = Room::start(&world);
    let far = Far::new(&world, &room);
    private(&world.path("lessons.txt"), "a chat is a channel\n- and a log is, too");
    world.ok(&["incident", "post-mortem", &id, "--section", "lessons", "--file", "lessons.txt"]);
    world.ok(&["incident", "task", "add", &id, "ask the vendor", "--due", "2031-11-22T03:00:00Z"]);
    world.ok(&["incident", "task", "add", &id, "watch the graph", "--owner", "omar"]);
    world.ok(&["incident", "task", "drop", &id, "T2", "--reason", "it is calm"]);
    let commands: [&[&str]; 25] = [
        &["person", "list"],
        &["incident", "list"],
        &["incident", "list", "--secret", "far-db", "--status", "open", "--most", "1"],
        &["incident", "list", "--text", "50% of it_all & more"],
        &["incident", "list", "--severity", "SEV-9"],
        &["incident", "show", &id],
        &["incident", "secrets", &id],
        &["incident", "adjacent", &id],
        &["incident", "timeline", &id],
        &["incident", "post-mortem", &id],
        &["incident", "post-mortem", &id, "--section", "lessons"],
        &["incident", "post-mortem", &id, "--section", "blame"],
        &["incident", "task", "list", &id],
        &["incident", "task", "done", &id, "T2"],
        &["plan", &id],
        &["plan", &id, "--check"],
        &["plan", &id, "--format", "mermaid"],
        &["ledger", "key"],
        &["ledger", "checkpoint"],
        &["ledger", "verify"],
        &["incident", "show", "INC-2026-0999"],
        &["incident", "show", "nonsense"],
        &["incident", "close", &id],
        &["step", "skip", &id, "far-db.prove", "--reason", "no"],
        &["hunt", "show", "--incident", &id],
    ];
    same(&world, &far, &commands);
    assert!(!world.path("nowhere").exists(), "nothing was opened on this machine");
}

#[test]
fn an_incident_is_handled_from_another_machine_though_the_connection_is_cut() {
    let servers = Servers::start();
    let world = World::new(&servers, "away", Roles::Alternating, "{ approvals: { destructive: 1 } }");
    let room = Room::start(&world);
    let far = Far::new(&world, &room);
    private(&world.path("leaked"), &world.old_url);
    let opened =
        far.ok(&["incident", "open", "--secret", "away-db", "--channel", "chat", "--value-file", "leaked"]);
    let id = opened.trim();
    let waiting = far.run(&["respond", id]);
    assert_eq!(waiting.status.code(), Some(4), "{}", text(&waiting.stderr));
    assert!(text(&waiting.stderr).contains("needs approval"), "{}", text(&waiting.stderr));
    far.ok(&["pause", id, "--now", "--reason", "look first"]);
    let held = far.run(&["respond", id]);
    assert_eq!(held.status.code(), Some(4), "{}", text(&held.stderr));
    far.ok(&["resume", id, "--reason", "looked"]);
    private(&world.path("impact.txt"), "orders were slow for an hour");
    far.ok(&["incident", "post-mortem", id, "--section", "impact", "--file", "impact.txt"]);
    let written = ["incident", "post-mortem", id, "--section", "impact"];
    assert_eq!(world.ok(&written).trim(), "orders were slow for an hour");
    private(&world.path("impact.txt"), &format!("it was {}", world.old_url));
    let value = far.run(&["incident", "post-mortem", id, "--section", "impact", "--file", "impact.txt"]);
    assert!(
        !value.status.success() && !text(&value.stderr).contains(&world.old_url),
        "{}",
        text(&value.stderr)
    );
    assert_eq!(world.ok(&written), far.ok(&written), "what stood there stands");
    let running = far
        .quell(&["respond", id, "--yes", id])
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let mut cut = 0;
    wait_for(
        || {
            cut += far.door.cut();
            std::thread::sleep(std::time::Duration::from_millis(100));
            room.get(&format!("/incidents/{id}/respond")).json()["ended"] == "done"
        },
        "the plan did not end",
    );
    assert!(cut > 0, "nothing was cut");
    let done = running.wait_with_output().unwrap();
    let said = text(&done.stderr);
    assert_eq!(done.status.code(), Some(0), "{said}");
    assert!(said.contains("away-db proven inert"), "{said}");
    let told =
        |what: &str| said.lines().filter(|line| line.starts_with(&format!("applied  {what} "))).count();
    assert_eq!((told("away-db.disable"), told("away-db.prove")), (1, 1), "each thing is told once: {said}");
    world.assert_inert(id, Roles::Alternating);

    far.ok(&["verify", id]);
    assert_eq!(far.ok(&["report", id]).lines().next(), world.ok(&["report", id]).lines().next());
    far.ok(&["evidence", "export", id, "--output", "far.tar"]);
    far.ok(&["evidence", "verify", "far.tar", "--key", far.ok(&["ledger", "key"]).trim()]);
    far.ok(&["incident", "note", id, "done from afar"]);
    far.ok(&["incident", "verdict", id, "cannot-tell", "--reason", "no logs"]);
    let timeline = world.ok(&["incident", "timeline", id]);
    assert!(timeline.contains("done from afar") && timeline.contains("ines"), "{timeline}");
}

#[test]
fn tasks_are_added_given_and_ended_here_and_from_another_machine() {
    let servers = Servers::start();
    let world = World::new(&servers, "tasks", Roles::Single, "{}");
    let id = world.open("chat");
    let room = Room::start(&world);
    let far = Far::new(&world, &room);
    for (away, first) in [(false, 1), (true, 4)] {
        let names: Vec<String> = (first..first + 3).map(|number| format!("T{number}")).collect();
        let [one, two, three] = [&names[0], &names[1], &names[2]].map(String::as_str);
        // What is said on standard error, and the code.
        let task = |words: &[&str]| {
            let all = [&["incident", "task", words[0], &id][..], &words[1..]].concat();
            let output = if away { far.run(&all) } else { world.run(&all) };
            assert!(!text(&output.stderr).contains(&world.old_url), "{words:?}");
            (output.status.code(), text(&output.stderr))
        };
        let due = "2031-11-22T03:00:00Z";
        let (code, said) = task(&["add", "ask the vendor", "--owner", "omar", "--due", due]);
        assert!(code == Some(0) && said.contains(&format!("{one} is omar's")), "{said}");
        let (code, said) = task(&["add", "watch the graph"]);
        assert!(code == Some(0) && said.contains(&format!("{two} is nobody's yet")), "{said}");
        assert_eq!(task(&["add", "call"]).0, Some(0));
        let (code, said) = task(&["give", two]);
        assert!(
            code == Some(0) && said.contains(&format!("{two} is ines's")),
            "whoever asks takes it: {said}"
        );
        let (code, said) = task(&["give", one, "lena"]);
        assert!(code == Some(0) && said.contains(&format!("{one} is lena's")), "{said}");
        let (code, said) = task(&["done", one, "--reason", "they kept none"]);
        assert!(code == Some(0) && said.contains(&format!("{one} is done")), "{said}");
        assert_eq!(task(&["drop", two, "--reason", "it is calm"]).0, Some(0));
        let refused = task(&["give", two, "omar"]);
        assert_eq!(refused.0, world.run(&["incident", "task", "give", &id, "T1", "omar"]).status.code());
        assert!(refused.0 != Some(0) && refused.1.contains("it is dropped already (ines, "), "{}", refused.1);
        assert_ne!(task(&["done", three, "--reason", &world.old_url]).0, Some(0), "a value");
        assert_ne!(task(&["add", &world.old_url]).0, Some(0), "a value");
        assert_ne!(task(&["done", "..", "--reason", "no"]).0, Some(0), "no way elsewhere");
        let (code, said) = task(&["give", "T9", "omar"]);
        assert_eq!(code, world.run(&["incident", "task", "give", &id, "T9", "omar"]).status.code(), "{said}");
        assert!(code != Some(0) && said.contains("there is no"), "{said}");
    }
    let listed = world.json(&["incident", "task", "list", &id]);
    let words = |it: &Value| {
        let end = it["ended"]["how"].as_str().unwrap_or("open");
        format!("{} {} {end}", it["task"].as_str().unwrap(), it["owner"].as_str().unwrap_or("-"))
    };
    let stands: Vec<String> = listed["tasks"].as_array().unwrap().iter().map(words).collect();
    let half = ["T1 lena done", "T2 ines dropped", "T3 - open"];
    assert_eq!(stands, [half, ["T4 lena done", "T5 ines dropped", "T6 - open"]].concat());
    let told = room.get(&format!("/incidents/{id}/tasks")).is(200);
    assert_eq!(told["tasks"], listed["tasks"], "the API says the same");
    let table = far.ok(&["incident", "task", "list", &id]);
    assert!(table.contains("nobody yet") && table.contains("they kept none"), "{table}");
    let timeline = far.ok(&["incident", "timeline", &id]);
    assert!(timeline.contains("task T1 given to lena") && timeline.contains("they kept none"), "{timeline}");
    let report = far.ok(&["report", &id]);
    assert!(report.contains("what came of the task T3 (nobody's): call"), "{report}");
}

#[test]
fn approvals_are_given_at_this_terminal_though_a_server_does_the_work() {
    let servers = Servers::start();
    let world = World::new(&servers, "asked", Roles::Alternating, "{ approvals: { destructive: 1 } }");
    let id = world.open("chat");
    let room = Room::start(&world);
    let far = Far::new(&world, &room);
    let mut respond = far.quell(&["respond", &id]);
    let told = at_terminal(respond.env("NO_COLOR", "1"), "anything else to stop: ", &format!("{id}\n"));
    let seen = told["seen"].as_str().unwrap();
    assert_eq!(told["status"], 0, "{seen}");
    assert!(seen.contains("as ines") && seen.contains("cannot be taken back"), "{seen}");
    assert!(seen.contains("asked-db proven inert"), "{seen}");
    assert_eq!(seen.matches("applied  asked-db.disable ").count(), 1, "{seen}");
    world.assert_inert(&id, Roles::Alternating);
}

#[test]
fn whoever_stops_watching_does_not_stop_the_server() {
    let servers = Servers::start();
    let world = World::new(&servers, "watch", Roles::Single, "{ approvals: { destructive: 1 } }");
    let id = world.open("chat");
    let room = Room::start(&world);
    let far = Far::new(&world, &room);
    let watching = far.quell(&["respond", &id, "--wait"]).stderr(Stdio::piped()).spawn().unwrap();
    let stands = || room.get(&format!("/incidents/{id}/respond")).json();
    wait_for(|| stands()["ended"] == "needs-approval", "nobody was asked");
    wait_for(|| catches_interrupts(&watching), "it does not listen");
    interrupt(&watching);
    let stopped = watching.wait_with_output().unwrap();
    let said = text(&stopped.stderr);
    assert_eq!(stopped.status.code(), Some(130), "{said}");
    assert!(said.contains("the server goes on"), "{said}");
    assert_eq!(stands()["driven"], true);
    let plan: Value = serde_json::from_str(&far.ok(&["plan", &id, "--json"])).unwrap();
    far.ok(&["approve", &id, "--plan", plan["hash"].as_str().unwrap()]);
    wait_for(|| stands()["ended"] == "done", "the server did not go on");
    let shown: Value = serde_json::from_str(&far.ok(&["incident", "show", &id, "--json"])).unwrap();
    assert_eq!(shown["contained"], true, "{shown}");
}

#[test]
fn what_cannot_be_done_by_a_server_says_so_and_nothing_is_sent() {
    let servers = Servers::start();
    let world = World::new(&servers, "local", Roles::Single, "{}");
    let room = Room::start(&world);
    let far = Far::new(&world, &room);
    for words in [&["scan", "."][..], &["keys", "rotate"], &["doctor"], &["init"], &["drill"]] {
        let output = far.run(words);
        assert_eq!(output.status.code(), Some(2), "{words:?}");
        assert!(text(&output.stderr).contains("leave --server"), "{}", text(&output.stderr));
    }
    let complaint = |change: &dyn Fn(&mut Command) -> &mut Command| {
        let mut command = far.quell(&["incident", "list"]);
        change(&mut command);
        let output = command.output().unwrap();
        (output.status.code().unwrap(), text(&output.stderr))
    };
    let (code, said) = complaint(&|command| command.env_remove("QUELL_TOKEN_FILE"));
    assert!(code == 2 && said.contains("--token-file"), "{said}");
    let (code, said) = complaint(&|command| command.env("QUELL_SERVER", "http://quell.example.com"));
    assert!(code == 2 && said.contains("https"), "{said}");
    let (code, said) = complaint(&|command| command.env("QUELL_SERVER", "http://127.0.0.1:9"));
    assert!(code == 5 && said.contains("cannot be reached"), "{said}");
    private(&world.path("server.token"), "qll_another");
    let (code, said) = complaint(&|command| command);
    assert!(code == 2 && !said.contains("qll_another"), "{said}");
}

/// What a server of Quell calls its refusals.
const OWN: &str = "application/problem+json";

/// Answers every request with one of these: of the place that is asked for, or the last one.
fn stranger(answers: &'static [(&'static str, &'static str, &'static str, &'static str)]) -> String {
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    std::thread::spawn(move || {
        for mut client in listener.incoming().map_while(Result::ok) {
            let lines = BufReader::new(client.try_clone().unwrap()).lines().map_while(Result::ok);
            let head: Vec<String> = lines.take_while(|line| !line.is_empty()).collect();
            let asked = head.first().map_or("", String::as_str);
            let found = answers.iter().find(|(place, ..)| asked.contains(place));
            let (_, status, kind, body) = found.unwrap_or_else(|| answers.last().unwrap());
            let size = body.len();
            let answer = format!(
                "HTTP/1.1 {status}\r\ncontent-type: {kind}\r\ncontent-length: {size}\r\nconnection: close\r\n\r\n{body}"
            );
            drop(client.write_all(answer.as_bytes()));
        }
    });
    url
}

#[test]
fn what_a_server_does_not_know_is_told_from_what_is_not_there() {
    let servers = Servers::start();
    let world = World::new(&servers, "old", Roles::Single, "{}");
    let room = Room::start(&world);
    let far = Far::new(&world, &room);
    let older = stranger(&[
        ("/api/v1/server", "200 OK", "application/json", r#"{"version":"0.0.1"}"#),
        (
            "",
            "404 Not Found",
            OWN,
            r#"{"status":404,"title":"Not Found","detail":"there is nothing here","hints":[]}"#,
        ),
    ]);
    let shy = stranger(&[("", "404 Not Found", OWN, r#"{"detail":"there is nothing here"}"#)]);
    let proxy = stranger(&[("", "404 Not Found", "text/html", "<h1>no such app</h1>")]);
    let other =
        stranger(&[("", "404 Not Found", "application/json", r#"{"detail":"there is no such finding"}"#)]);
    let asked: [&[&str]; 3] = [
        &["finding", "show", "F-000000000000"],
        &["token", "revoke", "nobody", "--reason", "gone"],
        &["intake", "show", "d-0"],
    ];
    for words in asked {
        let said = |url: &str| {
            let output = far.quell(words).env("QUELL_SERVER", url).output().unwrap();
            let said = text(&output.stderr);
            assert!(!said.contains("no such app"), "{said}");
            assert_eq!(output.status.code(), Some(5), "{words:?}: {said}");
            assert!(!said.contains("there is no "), "{words:?}: {said}");
            said
        };
        let told = said(&older);
        assert!(told.contains("the server is quell 0.0.1") && told.contains("up to date"), "{told}");
        assert!(said(&shy).contains("of a version that it does not tell"));
        for url in [&proxy, &other] {
            assert!(said(url).contains("404 Not Found, and not of a quell server"), "{words:?}");
        }
        let there = far.run(words);
        assert_eq!(there.status.code(), Some(2), "{words:?}: {}", text(&there.stderr));
        assert!(text(&there.stderr).contains("there is no "), "{words:?}: {}", text(&there.stderr));
    }
}
