//! What comes out of `quell scan`: formats, exit codes, baselines. And that no value comes out in any of them.

use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;
use std::process::Output;

use quell_scan::RuleSet;
use quell_scan::rule::template::{expand, expand_with_secret, seed};
use serde_json::Value;

use super::cli::{installation, run};
use super::search::Planted;
use super::world::text;

const FORMATS: [&str; 7] = ["table", "json", "jsonl", "sarif", "gitleaks", "github", "html"];

fn token(seed: u64) -> String {
    expand("ghp_{alnum:36}", seed).unwrap()
}

fn folder_with(content: &str) -> tempfile::TempDir {
    let folder = tempfile::tempdir().unwrap();
    std::fs::create_dir(folder.path().join("code")).unwrap();
    std::fs::write(folder.path().join("code/app.env"), content).unwrap();
    folder
}

/// A repository with one object that cannot be read.
fn break_object(folder: &Path) {
    let git = folder.join("code/.git");
    std::fs::create_dir_all(git.join("objects/ab")).unwrap();
    std::fs::create_dir_all(git.join("refs/heads")).unwrap();
    std::fs::write(git.join("HEAD"), "ref: refs/heads/main\n").unwrap();
    std::fs::write(git.join("objects/ab").join("c".repeat(38)), "not zlib").unwrap();
}

#[track_caller]
fn scan(folder: &Path, code: i32, args: &[&str]) -> Output {
    let args: Vec<&str> = ["scan"].into_iter().chain(args.iter().copied()).collect();
    let output = run(folder, &args);
    let (out, err) = (text(&output.stdout), text(&output.stderr));
    assert_eq!(output.status.code(), Some(code), "quell {args:?}\n{out}\n{err}");
    output
}

#[test]
fn exit_codes_tell_findings_gaps_and_nothing_apart() {
    let folder = folder_with("nothing here\n");
    let at = folder.path();
    let said = text(&scan(at, 0, &["code"]).stderr);
    assert!(said.contains("nothing found") && said.contains("everything was read"), "{said}");
    break_object(at);
    let output = scan(at, 11, &["code"]);
    let said = text(&output.stderr);
    assert!(said.contains("nothing found in what was read; 1 part was not read"), "{said}");
    assert!(said.contains("warning: not read: abcccc"), "{said}");
    assert!(output.stdout.is_empty());
    let quiet = text(&scan(at, 11, &["code", "--quiet"]).stderr);
    assert!(quiet.contains("not read") && !quiet.contains("nothing found"), "{quiet}");
    scan(at, 11, &["code", "--exit-code", "0"]);
    // Findings win.
    std::fs::write(at.join("code/app.env"), token(1)).unwrap();
    let said = text(&scan(at, 10, &["code"]).stderr);
    assert!(
        said.contains("1 value(s) found in 1 place(s)") && said.contains("1 part was not read"),
        "{said}"
    );
    scan(at, 3, &["code", "--exit-code", "3"]);
    scan(at, 0, &["code", "--exit-code", "0"]);
    // Errors are errors.
    scan(at, 1, &["nowhere"]);
    scan(at, 2, &["code", "--rule", "no-such-rule"]);
    scan(at, 2, &["code", "--json", "--format", "html"]);
    scan(at, 2, &["code", "--write-baseline", "b.json"]);
}

#[test]
fn what_comments_allow_is_said_and_can_be_reported() {
    let folder =
        folder_with(&format!("a={} # quell:allow revoked in May\nb={} # quell:allow\n", token(1), token(2)));
    let json = |args: &[&str]| -> Value {
        let output = scan(folder.path(), 10, &[&["code", "--json"], args].concat());
        serde_json::from_slice(&output.stdout).unwrap()
    };
    // Without a reason the comment does not count.
    let usual = json(&[]);
    assert_eq!(usual["findings"].as_array().unwrap().len(), 1);
    assert_eq!(
        (&usual["allowed"][0]["place"]["line"], &usual["allowed"][0]["reason"]),
        (&1.into(), &"revoked in May".into())
    );
    assert_eq!(usual["ignored"]["comments"], 1);
    let all = json(&["--no-ignore"]);
    assert_eq!(all["findings"].as_array().unwrap().len(), 2);
    assert_eq!(all["allowed"], Value::Null);
}

#[test]
fn rules_can_be_chosen() {
    let folder = folder_with(&format!("a={}\nb={}\n", token(1), expand("npm_{alnum:36}", 2).unwrap()));
    let found = |args: &[&str]| {
        let output = scan(folder.path(), 10, &[&["code", "--json"], args].concat());
        let all: Value = serde_json::from_slice(&output.stdout).unwrap();
        all["findings"].as_array().unwrap().len()
    };
    assert_eq!(found(&[]), 2);
    assert_eq!(found(&["--rule", "github-token"]), 1);
    assert_eq!(found(&["--disable-rule", "github-token"]), 1);
    let said = text(&scan(folder.path(), 2, &["code", "--rule", "npm", "--quiet"]).stderr);
    assert!(said.contains("there is no such rule") && said.contains("quell rules list"), "{said}");
}

#[test]
fn the_table_shows_a_value_once_with_all_its_places() {
    let folder = folder_with(&format!("a={}\n", token(1)));
    std::fs::write(folder.path().join("code/other.env"), format!("\nb={0}\nc={0}\n", token(1))).unwrap();
    let said = text(&scan(folder.path(), 10, &["code"]).stdout);
    assert_eq!(said.matches("GitHub").count(), 1, "{said}");
    assert!(said.contains("app.env:1:3") && said.contains("other.env:2:3"), "{said}");
    assert!(said.contains("github-token, 2 times") && said.contains("in the current files"), "{said}");
    assert!(!said.contains('\u{1b}'), "no colour where there is no terminal");
}

#[test]
fn a_result_is_written_to_a_file_of_its_owner() {
    let folder = folder_with(&token(1));
    for format in FORMATS {
        let shown = scan(folder.path(), 10, &["code", "--format", format, "--output", "result"]);
        assert!(shown.stdout.is_empty());
        let file = folder.path().join("result");
        assert_eq!(std::fs::metadata(&file).unwrap().permissions().mode() & 0o777, 0o600);
        let content = std::fs::read_to_string(&file).unwrap();
        assert!(content.contains("F-") && content.ends_with('\n'), "{format}: {content}");
        if matches!(format, "json" | "sarif" | "gitleaks") {
            serde_json::from_str::<Value>(&content).unwrap();
        }
    }
    scan(folder.path(), 1, &["code", "--output", "no/such/folder/result"]);
    let left: Vec<_> = std::fs::read_dir(folder.path()).unwrap().map(|e| e.unwrap().file_name()).collect();
    assert_eq!(left.len(), 2, "nothing half-written is left: {left:?}");
}

#[test]
fn a_baseline_makes_a_scan_clean_and_ids_stable() {
    let folder = folder_with(&token(1));
    let at = folder.path();
    let said = text(&scan(at, 10, &["code"]).stderr);
    assert!(said.contains("good for this run only"), "{said}");
    scan(at, 0, &["code", "--write-baseline", "b.json", "--reason", "revoked in 2024"]);
    let said = text(&scan(at, 0, &["code", "--baseline", "b.json"]).stderr);
    assert!(said.contains("1 finding(s) left out: their values are in the baseline"), "{said}");
    // The value moves and a new one comes.
    std::fs::write(at.join("code/app.env"), token(2)).unwrap();
    std::fs::write(at.join("code/moved.env"), format!("x = {}", token(1))).unwrap();
    let id = || {
        let output = scan(at, 10, &["code", "--baseline", "b.json", "--json"]);
        let all: Value = serde_json::from_slice(&output.stdout).unwrap();
        assert_eq!(all["ignored"]["baseline"], 1);
        assert_eq!(all["findings"].as_array().unwrap().len(), 1);
        assert!(all["findings"][0].get("baseline").is_none(), "{all}");
        all["findings"][0]["id"].as_str().unwrap().to_owned()
    };
    assert_eq!(id(), id());
    std::fs::write(at.join("b.json"), "{}").unwrap();
    let said = text(&scan(at, 2, &["code", "--baseline", "b.json"]).stderr);
    assert!(said.contains("the baseline b.json cannot be used"), "{said}");
    scan(at, 1, &["code", "--baseline", "none.json"]);
    std::fs::write(at.join(".gitleaksignore"), "app.env:github-token:1\nmoved.env:github-token:1\n").unwrap();
    let said = text(&scan(at, 0, &["code", "--ignore-file", ".gitleaksignore"]).stderr);
    assert!(said.contains("2 finding(s) left out: their places are in the ignore file"), "{said}");
}

#[test]
fn rules_are_listed_shown_and_checked() {
    let folder = tempfile::tempdir().unwrap();
    let at = folder.path();
    let listed = run(at, &["rules", "list", "--json"]);
    let listed: Value = serde_json::from_slice(&listed.stdout).unwrap();
    let rules = listed["rules"].as_array().unwrap();
    assert!(rules.len() > 30 && rules.iter().all(|rule| rule["source"].is_string()));
    let shown = text(&run(at, &["rules", "show", "github-token"]).stdout);
    assert!(shown.contains("source    https://"), "{shown}");
    assert_eq!(run(at, &["rules", "show", "nothing"]).status.code(), Some(2));
    let rule = "[[rules]]\nid = \"acme\"\nregex = '''acme_[a-z]{10}'''\nexamples = [\"acme_{lower:N}\"]\n";
    std::fs::write(at.join("own.toml"), rule.replace('N', "10")).unwrap();
    assert_eq!(run(at, &["rules", "check", "own.toml"]).status.code(), Some(0));
    std::fs::write(at.join("own.toml"), rule.replace('N', "5")).unwrap();
    let checked = run(at, &["rules", "check", "own.toml"]);
    assert_eq!(checked.status.code(), Some(10));
    assert!(text(&checked.stdout).contains("acme does not match its example"));
    std::fs::write(at.join("own.toml"), "[[rules]]\nid = 1\n").unwrap();
    assert_eq!(run(at, &["rules", "check", "own.toml"]).status.code(), Some(2));
}

#[test]
fn known_needs_something_to_look_for() {
    let folder = installation();
    let said = text(&scan(folder.path(), 2, &[".", "--known"]).stderr);
    assert!(said.contains("an inventory"), "{said}");
    let bare = tempfile::tempdir().unwrap();
    scan(bare.path(), 2, &[".", "--known"]);
}

/// Values of all rules are planted; nothing that is printed, written or recorded holds one, in any spelling.
#[test]
fn no_value_is_in_any_output() {
    let rules = RuleSet::builtin().unwrap();
    let mut content = String::new();
    let mut planted = Planted::default();
    for rule in rules.rules() {
        for (index, example) in rule.examples.iter().enumerate() {
            let (line, secret) = expand_with_secret(example, seed(&rule.id, index)).unwrap();
            if secret.len() >= 16 {
                planted.add(&rule.id, &line.as_bytes()[secret]);
            }
            content.extend([line.as_str(), "\n\n"]);
        }
    }
    let folder = installation();
    std::fs::create_dir(folder.path().join("code")).unwrap();
    std::fs::write(folder.path().join("code/all.txt"), content).unwrap();
    for format in FORMATS {
        let output = scan(folder.path(), 10, &["code", "--format", format]);
        assert!(output.stdout.len() > 1000, "{format}");
        let mut said = output.stdout;
        said.extend(output.stderr);
        assert_eq!(planted.in_bytes(format, &said), [""; 0]);
    }
    scan(folder.path(), 0, &["code", "--write-baseline", "data/b.json", "--reason", "a test of ours"]);
    assert_eq!(planted.in_folder(&folder.path().join("data")), [""; 0]);
}

fn git(folder: &Path, args: &[&str]) {
    let output = std::process::Command::new("git")
        .args(["-c", "user.name=Ines", "-c", "user.email=ines@example.com", "-c", "init.defaultBranch=main"])
        .args(args)
        .current_dir(folder)
        .env("GIT_CONFIG_GLOBAL", "/dev/null")
        .env("GIT_CONFIG_SYSTEM", "/dev/null")
        .env("GIT_COMMITTER_DATE", "2026-03-01T08:00:00Z")
        .env("GIT_AUTHOR_DATE", "2026-03-01T08:00:00Z")
        .output()
        .unwrap();
    assert!(output.status.success(), "git {args:?}: {}", text(&output.stderr));
}

#[test]
fn commits_and_the_index_can_be_chosen() {
    let folder = folder_with(&token(1));
    let (at, code) = (folder.path(), folder.path().join("code"));
    git(&code, &["init", "--quiet"]);
    git(&code, &["add", "."]);
    git(&code, &["commit", "--quiet", "-m", "one"]);
    git(&code, &["checkout", "--quiet", "-b", "side"]);
    std::fs::write(code.join("staged.env"), token(2)).unwrap();
    // What HEAD has already stops no commit; what is staged does.
    scan(at, 0, &["code", "--staged"]);
    git(&code, &["add", "staged.env"]);
    std::fs::write(code.join("staged.env"), "clean again\n").unwrap();
    let said = text(&scan(at, 10, &["code", "--staged"]).stdout);
    assert!(said.contains("staged.env:1:1") && !said.contains("app.env"), "{said}");
    assert!(!at.join("data").exists(), "a hook opens no installation");

    git(&code, &["commit", "--quiet", "-m", "two"]);
    let said = text(&scan(at, 10, &["code", "--commits", "main..side"]).stdout);
    assert!(said.contains("staged.env") && !said.contains("app.env"), "{said}");
    let said = text(&scan(at, 10, &["code", "--branch", "main"]).stdout);
    assert!(said.contains("app.env") && !said.contains("staged.env"), "{said}");
    scan(at, 0, &["code", "--since", "2027-01-01"]);
    scan(at, 10, &["code", "--since", "2026-02-28T23:59:59Z"]);
    scan(at, 2, &["code", "--since", "yesterday"]);
    scan(at, 2, &["code", "--branch", "no-such-branch"]);
    scan(at, 2, &["code", "--staged", "--known"]);
}

#[test]
fn a_push_is_judged_by_what_it_brings() {
    use std::io::Write as _;
    let folder = folder_with(&token(1));
    let code = folder.path().join("code");
    git(&code, &["init", "--quiet"]);
    git(&code, &["commit", "--quiet", "--allow-empty", "-m", "one"]);
    git(&code, &["checkout", "--quiet", "--detach"]);
    git(&code, &["add", "."]);
    git(&code, &["commit", "--quiet", "-m", "two"]);
    let id = std::fs::read_to_string(code.join(".git/HEAD")).unwrap().trim().to_owned();
    // Nothing but the push names the new commit.
    git(&code, &["checkout", "--quiet", "main"]);
    let push = |line: &str| {
        let mut child = super::cli::quell_in(folder.path())
            .args(["scan", "code", "--pre-receive"])
            .stdin(std::process::Stdio::piped())
            .stdout(std::process::Stdio::piped())
            .stderr(std::process::Stdio::piped())
            .spawn()
            .unwrap();
        child.stdin.take().unwrap().write_all(line.as_bytes()).unwrap();
        child.wait_with_output().unwrap()
    };
    let zero = "0".repeat(40);
    let found = push(&format!("{zero} {id} refs/heads/new\n"));
    assert_eq!(found.status.code(), Some(10), "{}", text(&found.stderr));
    assert!(text(&found.stdout).contains("app.env:1:1"));
    assert_eq!(
        push(&format!("{id} {zero} refs/heads/new\n")).status.code(),
        Some(0),
        "a deletion brings nothing"
    );
    assert_ne!(push("nonsense\n").status.code(), Some(0), "what is not understood does not pass");
}
