//! Pushes to a real bare repository, through pre-push and pre-receive.

use std::path::PathBuf;

use super::{Repository, text, token};

/// A repository whose remote `origin` is a bare repository beside it.
fn with_remote() -> (Repository, PathBuf) {
    let repository = Repository::new().named();
    let bare = repository.folder.path().join("server.git");
    repository.git(&["init", "-q", "-b", "main", "--bare", bare.to_str().unwrap()]);
    repository.git(&["remote", "add", "origin", bare.to_str().unwrap()]);
    repository.stage("README.md", "hello\n");
    repository.git(&["commit", "-q", "-m", "first"]);
    (repository, bare)
}

fn tip(repository: &Repository, bare: &std::path::Path, name: &str) -> String {
    let output =
        repository.try_git(&["--git-dir", bare.to_str().unwrap(), "rev-parse", "-q", "--verify", name]);
    text(&output.stdout).trim().to_owned()
}

#[test]
fn the_server_refuses_a_push_with_a_token_and_takes_a_harmless_one() {
    let (repository, bare) = with_remote();
    repository.ok(&["gate", "install", "pre-receive", "--repository", bare.to_str().unwrap()]);
    repository.git(&["push", "-q", "origin", "main"]);
    let token = token(11);
    repository.stage("deploy/a.js", &format!("const t = '{token}'\n"));
    repository.git(&["commit", "-q", "-m", "leak"]);
    // Taken out again: the history that is pushed still has it.
    repository.stage("deploy/a.js", "const t = process.env.T\n");
    repository.git(&["commit", "-q", "-m", "clean"]);
    let before = tip(&repository, &bare, "main");
    let said = repository
        .refused(&["push", "-q", "origin", "main"], &["deploy/a.js:1", "npm-token", "push refused"]);
    assert!(!said.contains(&token), "{said}");
    assert_eq!(tip(&repository, &bare, "main"), before);
    // `--no-verify` is for hooks of the clone.
    repository.refused(&["push", "-q", "--no-verify", "origin", "main:other"], &["npm-token"]);
    assert_eq!(tip(&repository, &bare, "other"), "");
    repository.refused(&["push", "-q", "origin", "main~1:refs/tags/v1"], &["npm-token"]);
    repository.git(&["push", "-q", "origin", "main~2:refs/heads/again"]);
    repository.git(&["push", "-q", "origin", ":again"]);
    repository.git(&["reset", "-q", "--hard", "main~2"]);
    repository.stage("b.txt", "harmless\n");
    repository.git(&["commit", "-q", "-m", "harmless"]);
    repository.git(&["push", "-q", "origin", "main"]);
    assert_eq!(tip(&repository, &bare, "main"), repository.git(&["rev-parse", "main"]));
}

#[test]
fn the_clone_refuses_before_anything_is_sent() {
    let (repository, bare) = with_remote();
    // From before the gate, and on the server already: not this push's business.
    repository.stage("old.js", &format!("const t = '{}'\n", token(12)));
    repository.git(&["commit", "-q", "-m", "old leak"]);
    repository.git(&["push", "-q", "origin", "main"]);
    repository.ok(&["gate", "install", "pre-push"]);
    repository.git(&["push", "-q", "origin", "main"]);
    repository.stage("b.txt", "harmless\n");
    repository.git(&["commit", "-q", "-m", "harmless"]);
    repository.git(&["push", "-q", "origin", "main"]);
    repository.git(&["push", "-q", "origin", "main:refs/heads/second"]);
    repository.stage("c.js", &format!("const t = '{}'\n", token(13)));
    repository.git(&["commit", "-q", "-m", "leak"]);
    let before = tip(&repository, &bare, "main");
    let said =
        repository.refused(&["push", "-q", "origin", "main"], &["c.js:1", "npm-token", "push refused"]);
    assert!(!said.contains("old.js"), "{said}");
    repository.refused(&["push", "-q", "origin", "main:refs/heads/third"], &["c.js:1"]);
    assert_eq!((tip(&repository, &bare, "main"), tip(&repository, &bare, "third")), (before, String::new()));
    repository.git(&["push", "-q", "origin", ":second"]);
    assert_eq!(tip(&repository, &bare, "second"), "");
    // What `origin` has is new to somebody else.
    let other = repository.folder.path().join("other.git");
    repository.git(&["init", "-q", "--bare", other.to_str().unwrap()]);
    repository.refused(&["push", "-q", other.to_str().unwrap(), "main~1:refs/heads/main"], &["old.js:1"]);
    repository.git(&["push", "-q", "--no-verify", "origin", "main"]);
}

#[test]
fn a_chained_hook_gets_the_same_lines() {
    let (repository, bare) = with_remote();
    let hook = bare.join("hooks/pre-receive");
    std::fs::create_dir_all(hook.parent().unwrap()).unwrap();
    std::fs::write(&hook, "#!/bin/sh\ncat >> \"$HOME/lines\"\n").unwrap();
    std::fs::set_permissions(&hook, std::os::unix::fs::PermissionsExt::from_mode(0o755)).unwrap();
    repository.ok(&["gate", "install", "pre-receive", "--chain", "--repository", bare.to_str().unwrap()]);
    repository.git(&["push", "-q", "origin", "main"]);
    let lines = std::fs::read_to_string(repository.folder.path().join("lines")).unwrap();
    let new = repository.git(&["rev-parse", "main"]);
    assert_eq!(lines, format!("{} {new} refs/heads/main\n", "0".repeat(40)));
    repository.stage("a.js", &format!("const t = '{}'\n", token(14)));
    repository.git(&["commit", "-q", "-m", "leak"]);
    repository.refused(&["push", "-q", "origin", "main"], &["npm-token"]);
}

#[test]
fn hooks_that_hear_nothing_or_nonsense_say_no() {
    let (repository, bare) = with_remote();
    for (hook, input) in [("pre-receive", ""), ("pre-receive", "x\n"), ("pre-push", "x y\n")] {
        let mut command = repository.command(&super::quell_program(), &["gate", "run", hook]);
        let path = repository.folder.path().join("input");
        std::fs::write(&path, input).unwrap();
        command.stdin(std::fs::File::open(&path).unwrap()).current_dir(&bare);
        let output = command.output().unwrap();
        assert!(matches!(output.status.code(), Some(1 | 2)), "{hook} {input:?}: {}", text(&output.stderr));
    }
    for hook in ["pre-commit", "pre-push"] {
        let output = repository.quell(&["gate", "install", hook, "--repository", bare.to_str().unwrap()]);
        assert_eq!(output.status.code(), Some(2), "{}", text(&output.stderr));
        assert!(text(&output.stderr).contains("pre-receive"), "{}", text(&output.stderr));
    }
}
