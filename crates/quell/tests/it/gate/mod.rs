//! `quell gate` and `quell redact`, with the git program as people use it.

mod ci;
mod env;
mod hooks;
mod prove;
mod push;
mod redact;

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};

use quell_scan::rule::template::expand;

use super::world::{files_below, quell_program, text};

/// A token that the built-in rules know; another one for each seed.
pub(crate) fn token(seed: u64) -> String {
    expand("npm_{alnum:36}", seed).unwrap()
}

/// A git repository and a home of its own. Nobody has set a name or an address in it.
pub(crate) struct Repository {
    pub(crate) folder: tempfile::TempDir,
    pub(crate) path: PathBuf,
}

impl Repository {
    pub(crate) fn new() -> Self {
        Self::with(&[])
    }

    pub(crate) fn with(more: &[&str]) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("repository");
        std::fs::create_dir(&path).unwrap();
        let repository = Self { folder, path };
        let args: Vec<&str> = ["init", "-q", "-b", "main"].iter().chain(more).copied().collect();
        repository.git(&args);
        repository
    }

    /// With a name to commit under.
    pub(crate) fn named(self) -> Self {
        self.git(&["config", "user.name", "Ines"]);
        self.git(&["config", "user.email", "ines@example.com"]);
        self
    }

    pub(crate) fn command(&self, program: &Path, args: &[&str]) -> Command {
        let mut command = Command::new(program);
        command
            .args(args)
            .current_dir(&self.path)
            .env_clear()
            .env("HOME", self.folder.path())
            .env("PATH", "/usr/local/bin:/usr/bin:/bin")
            .env("GIT_CONFIG_NOSYSTEM", "1")
            .env("QUELL_DATA_DIR", self.folder.path().join("data"))
            .env("QUELL_ACTOR", "ines")
            .stdin(Stdio::null());
        command
    }

    pub(crate) fn try_git(&self, args: &[&str]) -> Output {
        self.command(Path::new("git"), args).output().unwrap()
    }

    #[track_caller]
    pub(crate) fn git(&self, args: &[&str]) -> String {
        let output = self.try_git(args);
        assert!(output.status.success(), "git {args:?}: {}", text(&output.stderr));
        text(&output.stdout).trim().to_owned()
    }

    /// Git must refuse, and say this.
    #[track_caller]
    pub(crate) fn refused(&self, args: &[&str], words: &[&str]) -> String {
        let output = self.try_git(args);
        let said = text(&output.stderr);
        assert!(!output.status.success(), "git {args:?} went through: {said}");
        for word in words {
            assert!(said.contains(word), "git {args:?} does not say `{word}`: {said}");
        }
        said
    }

    pub(crate) fn quell(&self, args: &[&str]) -> Output {
        self.command(&quell_program(), args).output().unwrap()
    }

    #[track_caller]
    pub(crate) fn ok(&self, args: &[&str]) -> String {
        let output = self.quell(args);
        assert_eq!(output.status.code(), Some(0), "quell {args:?}: {}", text(&output.stderr));
        text(&output.stdout)
    }

    pub(crate) fn write(&self, name: &str, content: &str) {
        let path = self.path.join(name);
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(path, content).unwrap();
    }

    /// Writes and stages.
    pub(crate) fn stage(&self, name: &str, content: &str) {
        self.write(name, content);
        self.git(&["add", "--", name]);
    }

    /// Every file below a folder with its bytes.
    pub(crate) fn bytes(&self, below: &str) -> BTreeMap<PathBuf, Vec<u8>> {
        let files = files_below(&self.path.join(below));
        files.into_iter().map(|path| (path.clone(), std::fs::read(&path).unwrap())).collect()
    }
}
