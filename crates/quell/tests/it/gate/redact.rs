//! `quell redact`: a filter between a program and its log.

use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::process::{Child, Stdio};

use super::{Repository, text, token};

fn start(place: &Repository, args: &[&str]) -> Child {
    let mut command = place.command(&super::quell_program(), args);
    command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap()
}

fn filter(args: &[&str], input: &str) -> (Option<i32>, String, String) {
    let place = Repository::new();
    let mut child = start(&place, args);
    child.stdin.take().unwrap().write_all(input.as_bytes()).unwrap();
    let output = child.wait_with_output().unwrap();
    assert!(!place.folder.path().join("data").exists(), "a filter makes no data folder");
    (output.status.code(), text(&output.stdout), text(&output.stderr))
}

#[test]
fn secrets_go_and_the_rest_stays() {
    let (one, two) = (token(1), token(2));
    let input = format!("start\nuse {one} and {two}\nend, no newline");
    let (code, stdout, stderr) = filter(&["redact"], &input);
    assert_eq!(
        (code, stdout.as_str()),
        (Some(0), "start\nuse [REDACTED:npm-token] and [REDACTED:npm-token]\nend, no newline")
    );
    assert_eq!(stderr, "2 secrets redacted, 0 pieces withheld\n");
    let (code, _, stderr) = filter(&["redact", "--quiet"], &input);
    assert_eq!((code, stderr.as_str()), (Some(0), ""));
}

#[test]
fn strict_mode_says_that_it_withheld_something() {
    let unknown = quell_scan::rule::template::expand("{alnum:30}", 8).unwrap();
    let input = format!("id {unknown} done\n");
    let (code, stdout, stderr) = filter(&["redact", "--strict"], &input);
    assert_eq!((code, stdout.as_str()), (Some(11), "id [WITHHELD:an unknown token] done\n"));
    assert!(stderr.contains("1 pieces withheld"), "{stderr}");
    let (code, stdout, _) = filter(&["redact"], &input);
    assert_eq!((code, stdout), (Some(0), input));
    let (code, ..) = filter(&["redact", "--strict"], "nothing odd\n");
    assert_eq!(code, Some(0));
}

#[test]
fn a_line_comes_out_while_the_writer_waits() {
    let place = Repository::new();
    let mut child = start(&place, &["redact"]);
    let mut stdin = child.stdin.take().unwrap();
    let mut stdout = BufReader::new(child.stdout.take().unwrap());
    for line in ["first\n", "second\n"] {
        stdin.write_all(line.as_bytes()).unwrap();
        // Without a flush this read would wait for ever: the child still waits for input.
        let mut read = String::new();
        stdout.read_line(&mut read).unwrap();
        assert_eq!(read, line);
    }
    drop(stdin);
    let mut rest = String::new();
    stdout.read_to_string(&mut rest).unwrap();
    assert_eq!((rest.as_str(), child.wait().unwrap().code()), ("", Some(0)));
}

#[test]
fn a_reader_that_goes_away_ends_it_quietly() {
    let place = Repository::new();
    let mut child = start(&place, &["redact"]);
    drop(child.stdout.take());
    let mut stdin = child.stdin.take().unwrap();
    // More than any pipe holds, so that the child must see that nobody reads.
    let written = stdin.write_all(&b"a line of a log\n".repeat(1 << 17));
    drop(stdin);
    assert!(written.is_ok() || written.is_err_and(|error| error.kind() == std::io::ErrorKind::BrokenPipe));
    let output = child.wait_with_output().unwrap();
    assert_eq!((output.status.code(), text(&output.stderr).as_str()), (Some(0), ""));
}

#[test]
fn rules_that_do_not_load_let_nothing_through() {
    let (code, stdout, stderr) = filter(&["redact", "--rules", "/nonexistent.toml"], "");
    assert_eq!(stdout, "");
    assert!(code == Some(2) || code == Some(1), "{code:?}");
    assert!(stderr.contains("nonexistent.toml"), "{stderr}");
}

#[test]
fn values_of_the_inventory_go_whatever_they_look_like() {
    let place = Repository::new();
    let folder = place.folder.path();
    let value = quell_scan::rule::template::expand("plain{lower:12}", 41).unwrap();
    std::fs::write(folder.join("app.env"), format!("KEY={value}\n")).unwrap();
    std::fs::write(folder.join("admin.url"), "postgres://127.0.0.1:1/x\n").unwrap();
    let inventory = "secrets:
  - id: orders-db
    kind: postgres-password
    env: test
    issuer: { postgres: { admin: \"file:admin.url\", roles: [a, b], group: g } }
    stores:
      - env_file: { path: app.env, key: KEY }
";
    std::fs::write(folder.join("quell.yaml"), inventory).unwrap();
    let run = |args: &[&str]| {
        let mut command = place.command(&super::quell_program(), args);
        let input = folder.join("log");
        std::fs::write(&input, format!("using {value} now\nhex {}\n", hex::encode(&value))).unwrap();
        command.current_dir(folder).stdin(std::fs::File::open(input).unwrap()).output().unwrap()
    };
    assert_eq!(run(&["init"]).status.code(), Some(0));
    let plain = run(&["redact"]);
    assert!(text(&plain.stdout).contains(&value), "no rule knows it");
    let known = run(&["redact", "--known"]);
    assert_eq!(text(&known.stdout), "using [REDACTED:known-secret] now\nhex [REDACTED:known-secret]\n");
    assert_eq!(known.status.code(), Some(0), "{}", text(&known.stderr));
    std::fs::remove_file(folder.join("app.env")).unwrap();
    let blind = run(&["redact", "--known", "--strict"]);
    assert_eq!(blind.status.code(), Some(11), "{}", text(&blind.stderr));
}
