//! `quell gate env`.

use std::os::unix::fs::PermissionsExt as _;

use serde_json::Value;

use super::{Repository, text};

fn check(repository: &Repository, more: &[&str]) -> (Option<i32>, Vec<(String, String, bool)>) {
    let args: Vec<&str> = ["gate", "env", "--json"].iter().chain(more).copied().collect();
    let output = repository.quell(&args);
    let json: Value =
        serde_json::from_slice(&output.stdout).unwrap_or_else(|_| panic!("{}", text(&output.stderr)));
    let word = |one: &Value, key: &str| one[key].as_str().unwrap().to_owned();
    let found = json["violations"].as_array().unwrap();
    let found = found.iter().map(|one| (word(one, "path"), word(one, "problem"), one["fixed"] == true));
    (output.status.code(), found.collect())
}

fn mode(repository: &Repository, name: &str, mode: u32) {
    std::fs::set_permissions(repository.path.join(name), std::fs::Permissions::from_mode(mode)).unwrap();
}

fn wrong(path: &str, problem: &str, fixed: bool) -> (String, String, bool) {
    (path.to_owned(), problem.to_owned(), fixed)
}

#[test]
fn files_are_ignored_untracked_and_private() {
    let repository = Repository::new().named();
    repository.write(".gitignore", ".env\n");
    repository.write("app/.gitignore", ".env.local\n");
    repository.write(".git/info/exclude", ".env.mine\n");
    for name in [".env", "app/.env.local", ".env.mine"] {
        repository.write(name, "A=1\n");
        mode(&repository, name, 0o600);
    }
    repository.write(".env.example", "A=\n");
    repository.write("node_modules/x/.env.test", "A=1\n");
    assert_eq!(check(&repository, &[]), (Some(0), Vec::new()));
    mode(&repository, ".env", 0o640);
    assert_eq!(check(&repository, &[]), (Some(10), vec![wrong(".env", "mode", false)]));
    mode(&repository, ".env", 0o600);
    repository.git(&["add", "-f", "app/.env.local"]);
    assert_eq!(check(&repository, &[]), (Some(10), vec![wrong("app/.env.local", "tracked", false)]));
    repository.git(&["commit", "-q", "-m", "env"]);
    repository.git(&["rm", "-q", "--cached", "app/.env.local"]);
    assert_eq!(check(&repository, &["app"]), (Some(10), vec![wrong("app/.env.local", "in-head", false)]));
    repository.git(&["commit", "-q", "-m", "no env"]);
    mode(&repository, "app", 0o777);
    assert_eq!(check(&repository, &[]), (Some(10), vec![wrong("app/.env.local", "folder-open", false)]));
    mode(&repository, "app", 0o755);
    assert_eq!(check(&repository, &[]), (Some(0), Vec::new()));
}

#[test]
fn what_only_one_user_ignores_is_not_ignored() {
    let repository = Repository::new();
    std::fs::create_dir_all(repository.folder.path().join(".config/git")).unwrap();
    std::fs::write(repository.folder.path().join(".config/git/ignore"), ".env\n").unwrap();
    repository.write(".env", "A=1\n");
    mode(&repository, ".env", 0o600);
    assert_eq!(repository.git(&["check-ignore", ".env"]), ".env", "the user's own settings ignore it");
    assert_eq!(check(&repository, &[]), (Some(10), vec![wrong(".env", "not-ignored", false)]));
}

#[test]
fn fixing_sets_modes_and_ignores_and_nothing_else() {
    let repository = Repository::new().named();
    repository.write(".gitignore", "target");
    repository.write("a[1]/.env", "A=1\n");
    repository.stage(".env", "B=1\n");
    for name in ["a[1]/.env", ".env"] {
        mode(&repository, name, 0o644);
    }
    let (code, found) = check(&repository, &["--fix"]);
    assert_eq!(code, Some(10), "one is still tracked");
    assert_eq!(
        found,
        [
            wrong(".env", "not-ignored", true),
            wrong(".env", "tracked", false),
            wrong(".env", "mode", true),
            wrong("a[1]/.env", "not-ignored", true),
            wrong("a[1]/.env", "mode", true),
        ]
    );
    let ignore = std::fs::read_to_string(repository.path.join(".gitignore")).unwrap();
    assert_eq!(ignore, "target\n/.env\n/a\\[1\\]/.env\n");
    assert_eq!(repository.git(&["ls-files"]), ".env", "nothing is untracked");
    let again = repository.quell(&["gate", "env"]);
    assert!(text(&again.stdout).contains("git rm --cached -- .env"), "{}", text(&again.stdout));
    repository.git(&["rm", "-q", "--cached", ".env"]);
    assert_eq!(check(&repository, &[]), (Some(0), Vec::new()));
    assert_eq!(std::fs::read_to_string(repository.path.join("a[1]/.env")).unwrap(), "A=1\n");
}

#[test]
fn outside_a_repository_only_modes_count() {
    let repository = Repository::new();
    let folder = repository.folder.path().join("plain");
    std::fs::create_dir(&folder).unwrap();
    std::fs::write(folder.join(".env"), "A=1\n").unwrap();
    std::fs::set_permissions(folder.join(".env"), std::fs::Permissions::from_mode(0o604)).unwrap();
    let place = folder.to_str().unwrap();
    assert_eq!(check(&repository, &[place]), (Some(10), vec![wrong(".env", "mode", false)]));
    assert_eq!(check(&repository, &[place, "--fix"]), (Some(0), vec![wrong(".env", "mode", true)]));
    let missing = repository.quell(&["gate", "env", "nowhere"]);
    assert_eq!(missing.status.code(), Some(1), "{}", text(&missing.stderr));
}
