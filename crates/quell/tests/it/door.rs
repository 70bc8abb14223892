//! How the first person comes in: a code for a terminal, words for everything that may be a log.

use std::io::{BufRead as _, BufReader, Read};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::sync::mpsc::{Receiver, channel};
use std::time::Duration;

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

impl Started {
    fn of(mut command: Command, home: &Path, take: fn(&mut Child) -> Box<dyn Read + Send>) -> Self {
        command.current_dir(home).env_clear().env("HOME", home).env("QUELL_ACTOR", "ines");
        command.env("PATH", std::env::var_os("PATH").unwrap());
        let mut child =
            command.stdout(Stdio::piped()).stderr(Stdio::piped()).stdin(Stdio::piped()).spawn().unwrap();
        let lines = BufReader::new(take(&mut child)).lines();
        let (tell, said) = channel();
        std::thread::spawn(move || lines.map_while(Result::ok).for_each(|line| drop(tell.send(line))));
        Self { child, said }
    }

    /// As somebody at a terminal starts it: `script` of util-linux makes one.
    fn at_terminal(home: &Path) -> Self {
        let line = format!("{} serve --listen 127.0.0.1:0", quell_program().display());
        let mut command = Command::new("script");
        command.args(["-q", "-e", "-f", "-c", &line, "/dev/null"]);
        Self::of(command, home, |child| Box::new(child.stdout.take().unwrap()))
    }

    /// As a service manager does.
    fn as_service(home: &Path, more: &[&str]) -> Self {
        let mut command = Command::new(quell_program());
        command.args(["serve", "--listen", "127.0.0.1:0"]).args(more);
        Self::of(command, home, |child| Box::new(child.stderr.take().unwrap()))
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
    let mut command = Command::new(quell_program());
    command.args(args).current_dir(home).env_clear().env("HOME", home).env("QUELL_ACTOR", "ines");
    let output = command.output().unwrap();
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
    let first = Started::at_terminal(home.path());
    let said = first.until("(good once, for ten minutes)");
    assert!(said.contains("sign in as ines with the code "), "{said}");
    drop(first);
    let people = run(home.path(), &["person", "list", "--json"]);
    assert!(people.contains("\"ines\"") && people.contains("\"admin\""), "{people}");
    // A second start makes none, and takes none away.
    let before = entries(home.path());
    let again = Started::at_terminal(home.path());
    let said = again.until("listening on");
    drop(again);
    assert_eq!(entries(home.path()), before, "{said}");
}

#[test]
fn what_may_be_a_log_is_told_no_code_but_how_to_make_one() {
    for format in ["text", "json"] {
        let home = tempfile::tempdir().unwrap();
        let first = Started::as_service(home.path(), &["--log-format", format]);
        let said = first.until("nobody can sign in yet");
        assert!(said.contains("quell person add NAME --role admin"), "{said}");
        drop(first);
        assert!(!run(home.path(), &["person", "list", "--json"]).contains("ines"), "nobody was asked");
        // The one whom somebody made admin has had no code yet.
        run(home.path(), &["person", "add", "omar", "--role", "admin"]);
        let before = entries(home.path());
        let second = Started::as_service(home.path(), &["--log-format", format]);
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
