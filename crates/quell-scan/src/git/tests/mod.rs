//! Real repositories, made by the real git program; and forged ones.

mod attribution;
mod forged;
mod history;
mod honest;
mod incremental;
mod layout;
mod received;
mod robust;
mod rules;
mod selection;
mod staged;
mod ways;

use std::path::{Path, PathBuf};
use std::process::Command;

use quell_core::secret::FingerprintKey;
use tempfile::TempDir;

use crate::rule::template::expand;
use crate::{Finding, Report, RuleSet, ScanError, Scanner};

/// A repository in a temporary folder.
struct Repo {
    _folder: TempDir,
    path: PathBuf,
    clock: std::cell::Cell<u64>,
}

impl Repo {
    fn new() -> Self {
        Self::of_format("sha1")
    }

    fn of_format(format: &str) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("orders");
        std::fs::create_dir(&path).unwrap();
        let repo = Self { _folder: folder, path, clock: std::cell::Cell::new(1_700_000_000) };
        repo.git(&["init", "-q", "-b", "main", &format!("--object-format={format}")]);
        repo
    }

    fn git(&self, args: &[&str]) -> String {
        git(&self.path, self.clock.get(), args)
    }

    fn write(&self, file: &str, content: &str) {
        let path = self.path.join(file);
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(path, content).unwrap();
    }

    /// Commits everything, one minute after the last commit, and returns the commit.
    fn commit(&self, message: &str, more: &[&str]) -> String {
        self.clock.set(self.clock.get() + 60);
        self.git(&["add", "-A"]);
        self.git(&[&["commit", "-q", "--allow-empty", "-m", message], more].concat());
        self.git(&["rev-parse", "HEAD"])
    }

    /// The file of a loose object.
    fn object_file(&self, oid: &str) -> PathBuf {
        let (folder, name) = oid.split_at(2);
        self.path.join(".git/objects").join(folder).join(name)
    }

    /// Writes a blob that nothing names.
    fn write_blob(&self, content: &str) -> String {
        let file = self.path.join(".git/new-blob");
        std::fs::write(&file, content).unwrap();
        let oid = self.git(&["hash-object", "-w", ".git/new-blob"]);
        std::fs::remove_file(file).unwrap();
        oid
    }

    fn scan(&self) -> Report {
        scan(&self.path).unwrap()
    }
}

/// Runs git with settings of its own only.
fn git(folder: &Path, time: u64, args: &[&str]) -> String {
    let date = format!("{time} +0200");
    let output = Command::new("git")
        .current_dir(folder)
        .args(["-c", "gc.auto=0", "-c", "protocol.file.allow=always"])
        .args(args)
        .env("GIT_CONFIG_GLOBAL", "/dev/null")
        .env("GIT_CONFIG_NOSYSTEM", "1")
        .env("GIT_AUTHOR_NAME", "A. Author")
        .env("GIT_AUTHOR_EMAIL", "author@example.com")
        .env("GIT_COMMITTER_NAME", "C. Committer")
        .env("GIT_COMMITTER_EMAIL", "committer@example.com")
        .env("GIT_AUTHOR_DATE", &date)
        .env("GIT_COMMITTER_DATE", &date)
        .output()
        .unwrap();
    assert!(output.status.success(), "git {args:?}: {}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout).unwrap().trim().to_owned()
}

fn key() -> FingerprintKey {
    FingerprintKey::new([9; 32])
}

/// Runs something with a scanner over the built-in rules.
fn with_scanner<T>(run: impl FnOnce(&Scanner<'_>) -> T) -> T {
    let (rules, key) = (RuleSet::builtin().unwrap(), key());
    run(&Scanner::new(&rules, &key))
}

/// The first digits of an id.
fn short(id: &str, digits: usize) -> &str {
    id.split_at(digits).0
}

/// A token of npm, and nothing like one before the test runs.
fn token(seed: u64) -> String {
    text("npm_{alnum:36}", seed)
}

fn scan(path: &Path) -> Result<Report, ScanError> {
    let rules = RuleSet::builtin().unwrap();
    Scanner::new(&rules, &key()).path(path, &mut |_| {})
}

/// Pseudo-random text for a template.
fn text(template: &str, seed: u64) -> String {
    expand(template, seed).unwrap()
}

/// The one finding with this value, whole or as a part.
fn finding_of<'a>(report: &'a Report, value: &str) -> &'a Finding {
    let fingerprint = key().fingerprint_bytes(value.as_bytes());
    let found: Vec<_> = report.findings.iter().filter(|finding| finding.concerns(&fingerprint)).collect();
    assert_eq!(found.len(), 1, "{:#?}", report.findings);
    found[0]
}

/// All files below a folder.
fn files_below(folder: &Path) -> Vec<PathBuf> {
    let mut files = Vec::new();
    for entry in std::fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            files.extend(files_below(&path));
        } else {
            files.push(path);
        }
    }
    files
}

/// Git makes its object files read-only.
fn make_writable(path: &Path) {
    use std::os::unix::fs::PermissionsExt as _;
    std::fs::set_permissions(path, std::fs::Permissions::from_mode(0o644)).unwrap();
}
