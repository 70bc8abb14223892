//! How the first person comes in: a code for a terminal, words for everything that may be a log.

use std::io::{BufRead as _, BufReader};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::sync::mpsc::{Receiver, channel};
use std::time::Duration;

use super::terminal::at_terminal;
use super::world::{quell_program, text};

/// A server, and what it says; it ends with this.
struct Started {
    child: Child,
    said: Receiver<String>,
}

impl Drop for Started {
    fn drop(&mut self) {
        drop(self.child.kill());
        drop(self.child.wait());
    }
}

/// A command in a home of its own, asked by `ines`.
fn command(home: &Path, args: &[&str]) -> Command {
    let mut command = Command::new(quell_program());
    command.args(args).current_dir(home).env_clear().env("HOME", home).env("QUELL_ACTOR", "ines");
    command
}

impl Started {
    /// As a service manager does.
    fn of(home: &Path, more: &[&str]) -> Self {
        let mut serve = command(home, &["serve", "--listen", "127.0.0.1:0"]);
        let mut child = serve.args(more).stdin(Stdio::null()).stderr(Stdio::piped()).spawn().unwrap();
        let lines = BufReader::new(child.stderr.take().unwrap()).lines();
        let (tell, said) = channel();
        std::thread::spawn(move || lines.map_while(Result::ok).for_each(|line| drop(tell.send(line))));
        Self { child, said }
    }

    /// Everything up to the line with these words.
    fn until(&self, words: &str) -> String {
        let mut all = String::new();
        while !all.contains(words) {
            let line = self.said.recv_timeout(Duration::from_mins(1));
            all.push_str(&line.unwrap_or_else(|_| panic!("{words} is never said: {all}")));
            all.push('\n');
        }
        all
    }
}

fn run(home: &Path, args: &[&str]) -> String {
    let output = command(home, args).output().unwrap();
    assert!(output.status.success(), "{}", text(&output.stderr));
    text(&output.stdout)
}

/// How long the ledger is.
fn entries(home: &Path) -> u64 {
    let verified: serde_json::Value =
        serde_json::from_str(&run(home, &["ledger", "verify", "--json"])).unwrap();
    verified["entries"].as_u64().unwrap()
}

#[test]
fn the_terminal_of_whoever_starts_the_first_server_is_told_a_code_once() {
    let home = tempfile::tempdir().unwrap();
    let serve = command(home.path(), &["serve", "--listen", "127.0.0.1:0"]);
    // Ctrl-C ends it.
    let first = at_terminal(&serve, "(good once, for ten minutes)", "\u{3}");
    assert_eq!(first["status"], 0, "{first}");
    assert!(first["seen"].as_str().unwrap().contains("sign in as ines with the code "), "{first}");
    let people = run(home.path(), &["person", "list", "--json"]);
    assert!(people.contains("\"ines\"") && people.contains("\"admin\""), "{people}");
    // A second start makes none, and takes none away.
    let before = entries(home.path());
    let again = at_terminal(&serve, "listening on", "\u{3}");
    assert_eq!(entries(home.path()), before, "{again}");
}

#[test]
fn what_may_be_a_log_is_told_no_code_but_how_to_make_one() {
    for format in ["text", "json"] {
        let home = tempfile::tempdir().unwrap();
        let first = Started::of(home.path(), &["--log-format", format]);
        let said = first.until("nobody can sign in yet");
        assert!(said.contains("quell person add NAME --role admin"), "{said}");
        drop(first);
        assert!(!run(home.path(), &["person", "list", "--json"]).contains("ines"), "nobody was asked");
        // The one whom somebody made admin has had no code yet.
        run(home.path(), &["person", "add", "omar", "--role", "admin"]);
        let before = entries(home.path());
        let second = Started::of(home.path(), &["--log-format", format]);
        let said = second.until("nobody can sign in yet");
        assert!(said.contains("`quell person code omar` prints a code"), "{said}");
        drop(second);
        assert_eq!(entries(home.path()), before, "no code was made: {said}");
    }
}

#[test]
fn init_makes_no_admin_where_an_identity_provider_says_who_is() {
    let home = tempfile::tempdir().unwrap();
    let provider = "server:\n  oidc:\n    issuer: https://id.example.com\n    client_id: quell\n    client_secret: \"openbao:kv/quell/oidc#secret\"\n    groups_claim: groups\n    roles: { admin: [security] }\n";
    std::fs::write(home.path().join("quell.yaml"), provider).unwrap();
    let made: serde_json::Value = serde_json::from_str(&run(home.path(), &["init", "--json"])).unwrap();
    assert_eq!(made["admin"], serde_json::Value::Null, "{made}");
    assert!(made["vkey"].as_str().is_some_and(|key| key.starts_with("quell/")), "{made}");
    assert!(!run(home.path(), &["person", "list", "--json"]).contains("ines"));
}
