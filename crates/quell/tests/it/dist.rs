//! What is shipped beside the program speaks of the program as it is.

use std::collections::BTreeSet;
use std::io::{BufRead as _, BufReader};
use std::path::Path;
use std::process::{Command, Stdio};
use std::sync::mpsc;
use std::time::Duration;

use quell_testkit::postgres::Server;

use super::world::{Roles, Servers, World, private, quell_program, text};

fn read(name: &str) -> String {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../dist");
    std::fs::read_to_string(folder.join(name)).unwrap()
}

/// Words that begin with `QUELL_`.
fn names(text: &str) -> BTreeSet<&str> {
    let is_part = |c: char| c.is_ascii_uppercase() || c == '_';
    text.split(|c| !is_part(c)).filter(|word| word.starts_with("QUELL_")).collect()
}

/// Longest wait for a line: far longer than it takes, and shorter than the harness waits.
const PATIENCE: Duration = Duration::from_secs(30);

/// As a service manager starts it: no name of anybody, nothing configured.
#[test]
fn a_server_starts_with_nothing_but_a_home() {
    let home = tempfile::tempdir().unwrap();
    let mut child = Command::new(quell_program())
        .args(["serve", "--listen", "127.0.0.1:0"])
        .current_dir(&home)
        .env_clear()
        .env("HOME", home.path())
        .stdout(Stdio::null())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let (send, lines) = mpsc::channel();
    let told = BufReader::new(child.stderr.take().unwrap());
    std::thread::spawn(move || told.lines().map_while(Result::ok).try_for_each(|line| send.send(line)));
    // Three lines, or as many as it says before it ends, or before we are tired of waiting.
    let said: Vec<String> = (0..3).map_while(|_| lines.recv_timeout(PATIENCE).ok()).collect();
    child.kill().unwrap();
    child.wait().unwrap();
    assert!(said.iter().any(|line| line.contains("listening on http://127.0.0.1:")), "{said:?}");
    assert!(
        said.iter().any(|line| line.contains("nobody can sign in yet: `quell person add NAME --role admin`")),
        "{said:?}"
    );
}

#[test]
fn whoever_makes_an_installation_is_its_first_admin_until_a_team_shares_it() {
    let home = tempfile::tempdir().unwrap();
    let run = |args: &[&str], environment: &[(&str, &Path)]| {
        let mut command = Command::new(quell_program());
        command.args(args).current_dir(&home).env_clear().env("HOME", home.path()).env("QUELL_ACTOR", "ines");
        let output = command.envs(environment.iter().copied()).output().unwrap();
        assert!(output.status.success(), "{}", text(&output.stderr));
        serde_json::from_slice::<serde_json::Value>(&output.stdout).unwrap()
    };
    assert_eq!(run(&["init", "--json"], &[])["admin"], "ines");
    let people = run(&["person", "list", "--json"], &[]);
    assert_eq!(people["people"][0]["person"], "ines", "{people}");
    assert_eq!(people["people"][0]["role"], "admin", "{people}");

    // On a database of a team, whoever happens to make it is nobody.
    let server = Server::start(&[]).unwrap();
    let (url, data) = (home.path().join("state.url"), home.path().join("of-the-team"));
    private(&url, &server.admin_url());
    let team = [("QUELL_DATABASE_FILE", url.as_path()), ("QUELL_DATA_DIR", data.as_path())];
    let made = run(&["init", "--json"], &team);
    assert_eq!(made["admin"], serde_json::Value::Null, "{made}");
    let people = run(&["person", "list", "--json"], &team);
    assert_eq!(people["people"], serde_json::json!([]), "{people}");
}

#[test]
fn the_unit_and_the_container_start_a_command_that_is_there_with_settings_that_it_knows() {
    let servers = Servers::start();
    let world = World::new(&servers, "dist", Roles::Single, "{}");
    let help = text(&world.run(&["serve", "--help"]).stdout);
    let known = names(&help);
    for file in ["quell.service", "Containerfile"] {
        let shipped = read(file);
        let told = names(&shipped);
        assert!(told.is_subset(&known), "{file}: {told:?} is not all in {known:?}");
    }
    let unit = read("quell.service");
    let start = unit.lines().find_map(|line| line.strip_prefix("ExecStart=")).unwrap();
    let words: Vec<&str> = start.split_whitespace().skip(1).collect();
    assert_eq!(words, ["serve"], "{start}");
    let container = read("Containerfile");
    let user = container.lines().rev().find_map(|line| line.strip_prefix("USER ")).expect("a user");
    assert!(!["root", "0", "0:0"].contains(&user.trim()), "{user}");
    assert!(
        container.lines().any(|line| line.starts_with("ENTRYPOINT") && line.contains("quell")),
        "{container}"
    );
}

/// What keeps a server that was taken over from the rest of its machine; see `systemd.exec(5)`.
#[test]
fn the_unit_keeps_its_hardening() {
    let unit = read("quell.service");
    let lines: BTreeSet<&str> = unit.lines().map(str::trim).collect();
    for line in [
        "User=quell",
        "UMask=0077",
        "NoNewPrivileges=yes",
        "CapabilityBoundingSet=",
        "ProtectSystem=strict",
        "ProtectHome=yes",
        "PrivateTmp=yes",
        "PrivateDevices=yes",
        "ProtectProc=invisible",
        "ProtectKernelTunables=yes",
        "ProtectKernelModules=yes",
        "RestrictNamespaces=yes",
        "RestrictAddressFamilies=AF_INET AF_INET6 AF_UNIX",
        "MemoryDenyWriteExecute=yes",
        "LockPersonality=yes",
        "SystemCallFilter=@system-service",
        "LimitCORE=0",
        "MemorySwapMax=0",
        "KillSignal=SIGTERM",
    ] {
        assert!(lines.contains(line), "{line} is missing");
    }
}
