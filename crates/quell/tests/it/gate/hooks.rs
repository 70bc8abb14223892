//! The pre-commit hook: what it refuses, that it fails closed, and that nobody's files suffer.

use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};

use super::{Repository, quell_program, text, token};

fn guarded() -> Repository {
    let repository = Repository::new().named();
    repository.ok(&["gate", "install", "pre-commit"]);
    repository
}

fn script(path: &Path, text: &str) {
    std::fs::create_dir_all(path.parent().unwrap()).unwrap();
    std::fs::write(path, text).unwrap();
    std::fs::set_permissions(path, std::fs::Permissions::from_mode(0o755)).unwrap();
}

fn state(repository: &Repository, gate: &str) -> (Option<i32>, String) {
    let output = repository.quell(&["gate", "status", "--json"]);
    let json: serde_json::Value = serde_json::from_slice(&output.stdout).unwrap();
    let gates = json["gates"].as_array().unwrap();
    let found = gates.iter().find(|one| one["gate"] == gate).unwrap();
    (output.status.code(), found["state"].as_str().unwrap().to_owned())
}

#[test]
fn a_planted_token_is_refused_and_a_harmless_file_passes() {
    let repository = guarded();
    repository.stage("README.md", "hello\n");
    repository.git(&["commit", "-q", "-m", "harmless"]);
    let token = token(1);
    repository.stage("src/a b.js", &format!("const t = '{token}'\n"));
    let said = repository.refused(
        &["commit", "-q", "-m", "leak"],
        &["src/a b.js:1", "npm-token", "git restore --staged", "quell:allow"],
    );
    assert!(!said.contains(&token) && !said.contains(&token[10..30]), "{said}");
    assert_eq!(repository.git(&["rev-list", "--count", "HEAD"]), "1");
    // Committing only the harmless file of two: git gives the hook another index.
    repository.stage("README.md", "hello again\n");
    repository.git(&["commit", "-q", "-m", "only one file", "README.md"]);
    repository.refused(&["commit", "-q", "-m", "leak", "src/a b.js"], &["npm-token"]);
    // A reason on the line lets it pass; no reason does not.
    repository.stage("src/a b.js", &format!("const t = '{token}' // quell:allow\n"));
    repository.refused(&["commit", "-q", "-m", "leak"], &["npm-token"]);
    repository.stage("src/a b.js", &format!("const t = '{token}' // quell:allow a fixture of the tests\n"));
    repository.git(&["commit", "-q", "-m", "allowed"]);
}

#[test]
fn without_an_identity_it_still_refuses() {
    let repository = Repository::new();
    repository.ok(&["gate", "install", "pre-commit"]);
    repository.stage("a.js", &format!("const t = '{}'\n", token(2)));
    repository.refused(&["-c", "user.useConfigOnly=true", "commit", "-q", "-m", "leak"], &[]);
    let run = repository.quell(&["gate", "run", "pre-commit"]);
    assert_eq!(run.status.code(), Some(10), "{}", text(&run.stderr));
}

#[test]
fn a_check_writes_nothing_into_the_repository() {
    let repository = guarded();
    repository.stage("README.md", "hello\n");
    repository.git(&["commit", "-q", "-m", "harmless"]);
    repository.stage("a.js", &format!("const t = '{}'\n", token(3)));
    repository.stage(".env", "A=1\n");
    let before = repository.bytes("");
    let run = repository.quell(&["gate", "run", "pre-commit"]);
    assert_eq!(run.status.code(), Some(10), "{}", text(&run.stderr));
    assert!(
        text(&run.stderr).contains("a.js:1") && text(&run.stderr).contains(".env"),
        "{}",
        text(&run.stderr)
    );
    assert_eq!(repository.bytes(""), before);
    assert!(!repository.folder.path().join("data").exists());
}

#[test]
fn an_added_env_file_is_refused_and_an_old_one_is_only_named() {
    let repository = Repository::new().named();
    repository.stage("old/.env", "A=1\n");
    repository.git(&["commit", "-q", "-m", "before the gate"]);
    repository.ok(&["gate", "install", "pre-commit"]);
    repository.stage("README.md", "hello\n");
    let output = repository.try_git(&["commit", "-q", "-m", "harmless"]);
    assert!(
        output.status.success() && text(&output.stderr).contains("old/.env is tracked"),
        "{}",
        text(&output.stderr)
    );
    repository.stage(".env.production", "A=1\n");
    repository.refused(&["commit", "-q", "-m", "env"], &[".env.production", "added"]);
    repository.git(&["rm", "-q", "--cached", ".env.production"]);
    repository.stage(".env.example", "A=\n");
    repository.git(&["commit", "-q", "-m", "an example"]);
}

#[test]
fn whatever_cannot_be_read_is_refused() {
    let repository = guarded();
    repository.stage("a.txt", "harmless, and then gone\n");
    let blob = repository.git(&["rev-parse", ":a.txt"]);
    std::fs::remove_file(repository.path.join(format!(".git/objects/{}/{}", &blob[..2], &blob[2..])))
        .unwrap();
    repository
        .refused(&["commit", "-q", "-m", "gone"], &["not read", "a.txt", "not everything could be read"]);
    std::fs::write(repository.path.join(".git/index"), b"DIRC and nonsense").unwrap();
    let run = repository.quell(&["gate", "run", "pre-commit"]);
    assert_eq!(run.status.code(), Some(1), "{}", text(&run.stderr));
    // Outside a repository there is nothing to say yes to.
    let lost = repository
        .command(&quell_program(), &["gate", "run", "pre-commit"])
        .current_dir("/")
        .output()
        .unwrap();
    assert_ne!(lost.status.code(), Some(0));
}

#[test]
fn a_missing_quell_refuses() {
    let repository = Repository::new().named();
    let copy = repository.folder.path().join("bin of mine/quell");
    std::fs::create_dir(copy.parent().unwrap()).unwrap();
    std::fs::copy(quell_program(), &copy).unwrap();
    let installed = repository.command(&copy, &["gate", "install", "pre-commit"]).output().unwrap();
    assert!(installed.status.success(), "{}", text(&installed.stderr));
    repository.stage("README.md", "hello\n");
    repository.git(&["commit", "-q", "-m", "harmless"]);
    std::fs::remove_file(&copy).unwrap();
    repository.stage("README.md", "again\n");
    repository.refused(&["commit", "-q", "-m", "unchecked"], &["nothing was checked", "quell was not found"]);
    assert_eq!(state(&repository, "pre-commit"), (Some(10), "quell-not-found".to_owned()));
    // The one on the PATH stands in, which is not what was installed.
    let path = format!("{}:/usr/bin:/bin", quell_program().parent().unwrap().display());
    let output = repository
        .command(Path::new("git"), &["commit", "-q", "-m", "checked"])
        .env("PATH", &path)
        .output()
        .unwrap();
    assert!(output.status.success(), "{}", text(&output.stderr));
    let said = repository.command(&quell_program(), &["gate", "status"]).env("PATH", &path).output().unwrap();
    assert_eq!(said.status.code(), Some(10));
    assert!(text(&said.stdout).contains("the quell that it names is gone"), "{}", text(&said.stdout));
    // Put back, but not executable, it is as good as gone.
    std::fs::copy(quell_program(), &copy).unwrap();
    for (mode, code) in [(0o644, 10), (0o755, 0)] {
        std::fs::set_permissions(&copy, std::fs::Permissions::from_mode(mode)).unwrap();
        let said =
            repository.command(&quell_program(), &["gate", "status"]).env("PATH", &path).output().unwrap();
        assert_eq!(said.status.code(), Some(code), "{}", text(&said.stdout));
    }
}

/// The hook with a program in place of quell that ends in every way there is.
#[test]
fn only_zero_lets_it_pass() {
    let repository = Repository::new().named();
    let fake = repository.folder.path().join("quell");
    for hook in ["pre-commit", "pre-push"] {
        repository.ok(&["gate", "install", hook]);
        let path = repository.path.join(".git/hooks").join(hook);
        let real = quell_program().display().to_string();
        let changed = std::fs::read_to_string(&path).unwrap().replace(&real, fake.to_str().unwrap());
        script(&path, &changed);
        for (ending, passes) in [
            ("exit 0", true),
            ("exit 1", false),
            ("exit 2", false),
            ("exit 10", false),
            ("exit 11", false),
            ("exit 127", false),
            ("exit 255", false),
            ("kill -9 $$", false),
            ("kill -15 $$", false),
        ] {
            script(
                &fake,
                &format!("#!/bin/sh\n[ \"$1\" = --version ] && echo 'quell 0.1.0' && exit 0\n{ending}\n"),
            );
            let output = repository.command(&path, &["origin", "url"]).output().unwrap();
            assert_eq!(output.status.success(), passes, "{hook}, {ending}: {}", text(&output.stderr));
            assert_eq!(text(&output.stderr).contains("refused"), !passes, "{hook}, {ending}");
        }
        // What a full disk leaves of a program does nothing and ends with 0.
        for nothing in ["", "#!/bin/sh\nexit 0\n", "#!/bin/sh\necho quellen 1.0\n"] {
            script(&fake, nothing);
            let output = repository.command(&path, &["origin", "url"]).output().unwrap();
            assert!(
                !output.status.success() && text(&output.stderr).contains("no quell that works"),
                "{hook}, {nothing}"
            );
        }
    }
}

#[test]
fn another_hook_stays_and_is_called_first() {
    let repository = Repository::new().named();
    let path = repository.path.join(".git/hooks/pre-commit");
    script(&path, "#!/bin/sh\necho before >> \"$HOME/called\"\ntest ! -e \"$HOME/no\"\n");
    let before = repository.bytes(".git");
    let refused = repository.quell(&["gate", "install", "pre-commit"]);
    assert_eq!(refused.status.code(), Some(2));
    assert!(text(&refused.stderr).contains("--chain"), "{}", text(&refused.stderr));
    assert_eq!(repository.bytes(".git"), before);
    assert_eq!(state(&repository, "pre-commit").1, "foreign");

    repository.ok(&["gate", "install", "pre-commit", "--chain"]);
    let chained = repository.bytes(".git");
    repository.ok(&["gate", "install", "pre-commit", "--chain"]);
    repository.ok(&["gate", "install", "pre-commit"]);
    assert_eq!(repository.bytes(".git"), chained, "a second time changes nothing");
    assert_eq!(state(&repository, "pre-commit"), (Some(0), "installed".to_owned()));

    repository.stage("a.txt", "a\n");
    repository.git(&["commit", "-q", "-m", "both say yes"]);
    std::fs::write(repository.folder.path().join("no"), "").unwrap();
    repository.stage("a.txt", "b\n");
    repository.refused(&["commit", "-q", "-m", "the first says no"], &[]);
    std::fs::remove_file(repository.folder.path().join("no")).unwrap();
    repository.stage("a.txt", &format!("{}\n", token(4)));
    repository.refused(&["commit", "-q", "-m", "the second says no"], &["npm-token"]);
    let called = std::fs::read_to_string(repository.folder.path().join("called")).unwrap();
    assert_eq!(called, "before\n".repeat(3));

    repository.ok(&["gate", "uninstall", "pre-commit"]);
    assert_eq!(
        repository.bytes(".git/hooks"),
        before
            .into_iter()
            .filter(|(path, _)| path.starts_with(path.parent().unwrap())
                && path.to_string_lossy().contains("/hooks/"))
            .collect()
    );
}

#[test]
fn a_baseline_accepts_single_values_and_a_broken_one_refuses() {
    let repository = guarded();
    let token = token(7);
    repository.write("a.js", &format!("const t = '{token}'\n"));
    repository.ok(&["scan", ".", "--write-baseline", ".quell-baseline", "--reason", "a fixture"]);
    repository.git(&["add", "."]);
    let output = repository.try_git(&["commit", "-q", "-m", "accepted"]);
    assert!(output.status.success(), "{}", text(&output.stderr));
    assert!(text(&output.stderr).contains("1 accepted by .quell-baseline"), "{}", text(&output.stderr));
    repository.stage("b.js", &format!("const t = '{}'\n", super::token(8)));
    repository.refused(&["commit", "-q", "-m", "another value"], &["b.js:1"]);
    repository.git(&["rm", "-q", "-f", "b.js"]);
    repository.stage(".quell-baseline", "{}");
    repository.stage("c.txt", "harmless\n");
    repository.refused(&["commit", "-q", "-m", "unreadable"], &[".quell-baseline", "quell ended with code"]);
}

#[test]
fn a_hook_that_somebody_changed_is_seen_and_kept() {
    let repository = guarded();
    let path = repository.path.join(".git/hooks/pre-commit");
    std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o644)).unwrap();
    assert_eq!(state(&repository, "pre-commit"), (Some(10), "not-executable".to_owned()));
    repository.ok(&["gate", "install", "pre-commit"]);
    assert_eq!(state(&repository, "pre-commit"), (Some(0), "installed".to_owned()));
    let changed = std::fs::read_to_string(&path).unwrap().replace("*) refuse", "*) echo");
    script(&path, &changed);
    assert_eq!(state(&repository, "pre-commit"), (Some(10), "changed-by-hand".to_owned()));
    for command in [["gate", "install", "pre-commit"], ["gate", "uninstall", "pre-commit"]] {
        assert_eq!(repository.quell(&command).status.code(), Some(2), "{command:?}");
    }
    assert_eq!(std::fs::read_to_string(&path).unwrap(), changed);
    assert_eq!(state(&repository, "pre-push").1, "missing");
    let said = repository.quell(&["gate", "status"]);
    assert!(text(&said.stdout).contains("changed by hand"), "{}", text(&said.stdout));
    std::fs::remove_file(&path).unwrap();
    repository.ok(&["gate", "install", "pre-commit"]);
    let said = repository.ok(&["gate", "status"]);
    assert!(said.contains("--no-verify") && said.contains("pre-receive or a required CI check"), "{said}");
}

#[test]
fn hooks_go_where_git_looks_for_them() {
    let repository = Repository::new().named();
    repository.git(&["config", "core.hooksPath", "tools/hooks"]);
    repository.write("sub/x", "x\n");
    let output = repository
        .command(&quell_program(), &["gate", "install", "pre-commit"])
        .current_dir(repository.path.join("sub"))
        .output()
        .unwrap();
    assert!(
        output.status.success() && text(&output.stderr).contains("core.hooksPath"),
        "{}",
        text(&output.stderr)
    );
    assert!(repository.path.join("tools/hooks/pre-commit").is_file());
    repository.stage("a.js", &format!("const t = '{}'\n", token(5)));
    repository.refused(&["commit", "-q", "-m", "leak"], &["npm-token"]);

    // A repository apart from its files, inside another repository.
    let repository = guarded();
    let apart = repository.folder.path().join("apart.git");
    let apart = apart.to_str().unwrap();
    repository.git(&["init", "-q", "--bare", "-b", "main", apart]);
    let hooks = repository.path.join(".git/hooks");
    std::fs::create_dir_all(format!("{apart}/hooks")).unwrap();
    std::fs::copy(hooks.join("pre-commit"), format!("{apart}/hooks/pre-commit")).unwrap();
    let at = ["--git-dir", apart, "--work-tree", "."];
    let with = |args: &[&'static str]| [&at, args].concat();
    repository.git(&["--git-dir", apart, "config", "user.name", "Ines"]);
    repository.git(&["--git-dir", apart, "config", "user.email", "ines@example.com"]);
    repository.git(&["--git-dir", apart, "config", "core.bare", "false"]);
    repository.write("d.js", &format!("const t = '{}'\n", token(9)));
    repository.git(&with(&["add", "d.js"]));
    repository.refused(&with(&["commit", "-q", "-m", "leak"]), &["d.js:1", "npm-token"]);
    repository.write("d.js", "harmless\n");
    repository.git(&with(&["add", "d.js"]));
    repository.git(&with(&["commit", "-q", "-m", "harmless"]));

    // A linked work tree shares the hooks, and has an index and a HEAD of its own.
    let repository = guarded();
    repository.stage("README.md", "hello\n");
    repository.git(&["commit", "-q", "-m", "harmless"]);
    repository.git(&["worktree", "add", "-q", "../linked", "-b", "side"]);
    let linked: PathBuf = repository.folder.path().join("linked");
    std::fs::write(linked.join("b.js"), format!("const t = '{}'\n", token(6))).unwrap();
    let git =
        |args: &[&str]| repository.command(Path::new("git"), args).current_dir(&linked).output().unwrap();
    assert!(git(&["add", "b.js"]).status.success());
    let refused = git(&["commit", "-q", "-m", "leak"]);
    assert!(
        !refused.status.success() && text(&refused.stderr).contains("b.js:1"),
        "{}",
        text(&refused.stderr)
    );
    std::fs::write(linked.join("b.js"), "harmless\n").unwrap();
    assert!(git(&["add", "b.js"]).status.success());
    let passed = git(&["commit", "-q", "-m", "harmless"]);
    assert!(passed.status.success(), "{}", text(&passed.stderr));
    let status =
        repository.command(&quell_program(), &["gate", "status"]).current_dir(&linked).output().unwrap();
    assert!(text(&status.stdout).contains("installed"), "{}", text(&status.stdout));
}
