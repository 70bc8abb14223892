//! The command line as an interface: help, exit codes, JSON, closed pipes.

use std::path::Path;
use std::process::{Command, Output, Stdio};

use serde_json::Value;

use super::world::{Roles, Servers, World, quell_program, text};

pub(super) fn quell_in(folder: &Path) -> Command {
    let mut command = Command::new(quell_program());
    command
        .current_dir(folder)
        .env_clear()
        .env("HOME", folder)
        .env("PATH", std::env::var_os("PATH").unwrap_or_default())
        .env("QUELL_DATA_DIR", folder.join("data"))
        .env("QUELL_ACTOR", "ines")
        .stdin(Stdio::null());
    command
}

/// A folder with an empty installation in it.
pub(super) fn installation() -> tempfile::TempDir {
    let folder = tempfile::tempdir().unwrap();
    let made = quell_in(folder.path()).arg("init").output().unwrap();
    assert!(made.status.success(), "{}", text(&made.stderr));
    folder
}

pub(super) fn run(folder: &Path, args: &[&str]) -> Output {
    quell_in(folder).args(args).output().unwrap()
}

/// Every path of subcommands, as the help texts name them.
fn all_commands() -> Vec<Vec<String>> {
    let folder = std::env::temp_dir();
    let mut todo = vec![Vec::new()];
    let mut all = Vec::new();
    while let Some(path) = todo.pop() {
        let args: Vec<&str> = path.iter().map(String::as_str).chain(["--help"]).collect();
        let help = text(&run(&folder, &args).stdout);
        let section = help.split("\nCommands:\n").nth(1).unwrap_or_default();
        let lines = section.lines().take_while(|l| !l.trim().is_empty());
        for name in lines
            .filter(|l| l.starts_with("  ") && !l.starts_with("   "))
            .filter_map(|l| l.split_whitespace().next())
        {
            if name != "help" {
                todo.push(path.iter().cloned().chain([name.to_owned()]).collect::<Vec<_>>());
            }
        }
        all.push(path);
    }
    all
}

#[test]
fn every_command_explains_itself() {
    let folder = tempfile::tempdir().unwrap();
    let commands = all_commands();
    assert!(commands.len() > 35, "{commands:?}");
    for path in commands {
        let args: Vec<&str> = path.iter().map(String::as_str).chain(["--help"]).collect();
        let output = run(folder.path(), &args);
        let help = text(&output.stdout);
        assert!(output.status.success() && output.stderr.is_empty(), "{args:?}");
        let about = help.lines().next().unwrap_or_default();
        assert!(
            about.split(' ').count() >= 3 && !about.starts_with("Usage"),
            "{args:?} does not say what it does: {help}"
        );
        assert!(help.contains("Usage: quell"), "{args:?}: {help}");
        let lines: Vec<&str> = help.lines().collect();
        for (n, line) in lines.iter().enumerate() {
            let named = line.trim_start();
            let option = named.starts_with("--")
                || named.starts_with('-') && named.len() > 2 && named.contains(", --");
            let argument = named.starts_with('<');
            if option || argument {
                let explained =
                    named.contains("  ") || lines.get(n + 1).is_some_and(|next| !next.trim().is_empty());
                assert!(explained, "{args:?}: `{named}` has no meaning: {help}");
            }
        }
        let short: Vec<&str> = path.iter().map(String::as_str).chain(["-h"]).collect();
        assert!(run(folder.path(), &short).status.success());
    }
    let top = text(&run(folder.path(), &["--help"]).stdout);
    assert!(
        top.lines()
            .any(|l| l.trim()
                == "quell respond INC-2026-0001          do it; ask for approvals; survive crashes"),
        "{top}"
    );
    for main in ["scan", "respond"] {
        assert!(text(&run(folder.path(), &[main, "--help"]).stdout).contains("Examples:"), "{main}");
    }
    assert!(text(&run(folder.path(), &["incident", "open", "--help"]).stdout).contains("Examples:"));
    assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 0, "help writes nothing");
}

#[test]
fn completions_parse_and_the_manual_renders() {
    let folder = tempfile::tempdir().unwrap();
    for shell in ["bash", "zsh", "fish"] {
        let script = run(folder.path(), &["completions", shell]);
        assert!(script.status.success());
        let said = text(&script.stdout);
        assert!(said.contains("respond") && said.contains("mermaid"), "{shell}");
        let file = folder.path().join(format!("quell.{shell}"));
        std::fs::write(&file, &script.stdout).unwrap();
        // bash is everywhere; the others are asked where they are installed.
        if quell_testkit::program(shell, &[]).is_ok() {
            let parsed = Command::new(shell).arg("-n").arg(&file).output().unwrap();
            assert!(parsed.status.success(), "{shell}: {}", text(&parsed.stderr));
        } else {
            assert_ne!(shell, "bash");
        }
    }
    let page = text(&run(folder.path(), &["man"]).stdout);
    assert!(
        page.contains(".TH quell 1") && page.contains(".SH SYNOPSIS") && page.contains("respond"),
        "{page}"
    );
    if quell_testkit::program("groff", &[]).is_ok() {
        let mut render = Command::new("groff")
            .args(["-man", "-K", "utf8", "-Tutf8", "-ww"])
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        std::io::Write::write_all(&mut render.stdin.take().unwrap(), page.as_bytes()).unwrap();
        let rendered = render.wait_with_output().unwrap();
        assert!(
            rendered.status.success() && text(&rendered.stdout).contains("respond"),
            "{}",
            text(&rendered.stderr)
        );
    }
}

/// Every documented exit code, each from the situation that it is for. (130 is in `fault.rs`, too.)
#[test]
fn every_exit_code_is_what_it_says() {
    let servers = Servers::start();
    let world = World::new(&servers, "cod", Roles::Alternating, "{ approvals: { destructive: 1 } }");
    let code = |args: &[&str]| world.run(args).status.code().unwrap();
    assert_eq!(code(&["inventory", "schema"]), 0);
    let elsewhere = world.path("damaged");
    std::fs::create_dir_all(elsewhere.join("quell.db")).unwrap();
    assert_eq!(code(&["incident", "list", "--data-dir", elsewhere.to_str().unwrap()]), 1);
    assert_eq!(code(&["incident", "show", "INC-1"]), 2);
    assert_eq!(code(&["no-such-command"]), 2);
    let id = world.open("chat");
    assert_eq!(code(&["incident", "close", &id]), 3);
    assert_eq!(code(&["respond", &id]), 4);
    let yes = world.run(&["respond", &id, "--yes", "INC-2000-0001"]);
    assert_eq!(yes.status.code(), Some(2), "--yes must repeat the right id");
    assert_eq!(code(&["verify", &id]), 5);
    assert_eq!(code(&["scan", "app.env"]), 10);
    let waiting = world.spawn(&["respond", &id, "--wait"]);
    super::world::wait_for(
        || world.json(&["incident", "show", &id])["steps"].to_string().contains("awaiting"),
        "it does not wait",
    );
    // It says so since the command before, too: what counts is that this process listens.
    super::world::wait_for(|| super::world::catches_interrupts(&waiting), "it does not listen to interrupts");
    super::world::interrupt(&waiting);
    let ended = waiting.wait_with_output().unwrap();
    assert_eq!(ended.status.code(), Some(130), "{}", text(&ended.stderr));
    assert!(text(&ended.stderr).contains("takes it up again"), "{}", text(&ended.stderr));
    assert_eq!(code(&["respond", &id, "--yes", &id]), 0);
    world.assert_inert(&id, Roles::Alternating);
}

#[test]
fn json_is_one_object_with_a_version() {
    let servers = Servers::start();
    let world = World::new(&servers, "jsn", Roles::Alternating, "{ approvals: { destructive: 0 } }");
    let id = world.open("chat");
    let id = id.as_str();
    let out = world.path("bundle.tar");
    let out = out.to_str().unwrap();
    let commands: &[&[&str]] = &[
        &["doctor"],
        &["scan", "."],
        &["inventory", "check"],
        &["inventory", "check", "--offline"],
        &["inventory", "graph", "jsn-db"],
        &["incident", "list"],
        &["incident", "show", id],
        &["incident", "timeline", id],
        &["incident", "signal", id, "log-gap", "--reason", "no logs"],
        &["incident", "note", id, "a remark"],
        &["incident", "cleaned", id, "the message"],
        &["incident", "action", id, "gate", "--owner", "team", "--due", "2027-01-01"],
        &["incident", "action-done", id, "A1", "--evidence", "a link"],
        &["incident", "strategy", id, "auto", "--reason", "as policy says"],
        &["plan", id],
        &["respond", id],
        &["incident", "verdict", id, "cannot-tell", "--reason", "no logs"],
        &["incident", "exception", id, "jsn-db", "--reason", "not needed"],
        &["verify", id],
        &["report", id],
        &["evidence", "export", id, "--output", out],
        &["evidence", "verify", out],
        &["ledger", "verify"],
        &["ledger", "checkpoint"],
        &["ledger", "key"],
        &["keys", "rotate"],
        &["keys", "rotate-ledger", "--reason", "yearly"],
        &["incident", "close", id, "--summary", "done"],
    ];
    for args in commands {
        let with: Vec<&str> = args.iter().copied().chain(["--json"]).collect();
        let output = world.run(&with);
        assert!(matches!(output.status.code(), Some(0 | 10)), "{args:?}: {}", text(&output.stderr));
        let object: Value = serde_json::from_slice(&output.stdout)
            .unwrap_or_else(|e| panic!("{args:?}: {e}: {}", text(&output.stdout)));
        assert!(object.is_object() && object["v"].is_u64(), "{args:?}: {object}");
    }
    // Where the file is asked for, the file gets it.
    let report = world.path("report.json");
    assert_eq!(world.ok(&["report", id, "--json", "--output", report.to_str().unwrap()]), "");
    let report: Value = serde_json::from_slice(&std::fs::read(report).unwrap()).unwrap();
    assert_eq!(report["v"], 1);
    // A refusal prints no half object.
    let refused = world.run(&["incident", "show", "INC-2000-0001", "--json"]);
    assert_eq!((refused.status.code(), refused.stdout.len()), (Some(2), 0));
}

#[test]
fn a_closed_pipe_ends_it_quietly() {
    let folder = installation();
    let program = quell_program();
    for args in ["inventory schema", "completions bash", "man", "--help", "incident list --json", "doctor"] {
        let script = format!("'{}' {args} | head -n 1", program.display());
        for sink in
            [script.clone(), script.replace("head -n 1", "true"), script.replace("| head -n 1", ">&-")]
        {
            let mut command = Command::new("bash");
            command
                .args(["-c", &sink])
                .current_dir(folder.path())
                .env("QUELL_DATA_DIR", folder.path().join("data"));
            let output = command.output().unwrap();
            let said = text(&output.stderr);
            assert!(!said.contains("panicked") && !said.contains("Broken pipe"), "{sink}: {said}");
        }
    }
}

/// A value has no place on a command line, where every process can read it.
#[test]
fn no_command_takes_a_value_as_an_argument() {
    let folder = installation();
    for args in [
        ["incident", "open", "--secret", "x", "--value", "hunter2-hunter2"].as_slice(),
        &["incident", "open", "--secret", "x", "--value=hunter2-hunter2"],
        &["incident", "open", "--secret", "x", "hunter2-hunter2"],
        &["init", "--passphrase", "hunter2-hunter2"],
        &["init", "--passphrase=hunter2-hunter2"],
        &["keys", "rotate", "--passphrase", "hunter2-hunter2"],
        &["--database", "postgres://u:hunter2@h/d", "incident", "list"],
        &["issue", "role", "--password", "hunter2-hunter2"],
        &["ledger", "verify", "--token", "hunter2-hunter2"],
    ] {
        assert_eq!(run(folder.path(), args).status.code(), Some(2), "{args:?}");
    }
    for path in all_commands() {
        let args: Vec<&str> = path.iter().map(String::as_str).chain(["--help"]).collect();
        let help = text(&run(folder.path(), &args).stdout);
        for takes in
            ["--value <", "--password <", "--passphrase <", "--token <", "--database-url <", "--secret-value"]
        {
            assert!(!help.contains(takes), "{args:?} takes a value: {help}");
        }
    }
}

#[test]
fn no_command_writes_a_value_down_or_repeats_it() {
    let folder = installation();
    let inventory = "secrets:\n  - id: ines-directory\n    kind: directory-password\n    issuer: { person: { account: ines@example.com, at: the directory } }\npolicy: { approvals: { destructive: 1 } }\n";
    std::fs::write(folder.path().join("quell.yaml"), inventory).unwrap();
    let opened = run(folder.path(), &["incident", "open", "--secret", "ines-directory", "--channel", "chat"]);
    assert!(opened.status.success(), "{}", text(&opened.stderr));
    let id =
        text(&opened.stdout).split_whitespace().find(|word| word.starts_with("INC-")).unwrap().to_owned();
    assert!(run(folder.path(), &["plan", &id]).status.success());
    let password = format!("h7Gq2Wx9{}", "Lr4Tq");
    let said = format!("found postgres://orders:{password}@db.internal/orders in a ticket");
    let doors: [&[&str]; 9] = [
        &["incident", "note", &id, &said],
        &["incident", "verdict", &id, "cannot-tell", "--reason", &said],
        &["incident", "action", &id, &said, "--owner", "ines", "--due", "2031-12-01"],
        &["incident", "role", &id, "scribe", &said],
        &["incident", "add", &id, "--secret", "ines-directory", "--reason", &said],
        &["incident", "open", "--secret", "ines-directory", "--channel", "chat", "--title", &said],
        &["pause", &id, "--reason", &said],
        &["step", "skip", &id, "ines-directory.force-reset", "--reason", &said],
        &["person", "add", &said, "--role", "viewer"],
    ];
    for door in doors {
        let refused = run(folder.path(), door);
        let words = text(&refused.stderr) + &text(&refused.stdout);
        assert_eq!(refused.status.code(), Some(2), "{door:?}: {words}");
        assert!(words.contains("looks like a secret") && !words.contains(&password), "{door:?}: {words}");
    }
    for file in super::world::files_below(&folder.path().join("data")) {
        let bytes = std::fs::read(&file).unwrap();
        let held = bytes.windows(password.len()).any(|window| window == password.as_bytes());
        assert!(!held, "{} holds it", file.display());
    }
}
