//! The git program, to look at and set up repositories. Scans read objects themselves.

use std::io::{Read as _, Write as _};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use crate::AppError;

/// What git gives to hooks, and what would make `-C` look at another repository: `git rev-parse --local-env-vars`.
const LOCAL: [&str; 17] = [
    "GIT_ALTERNATE_OBJECT_DIRECTORIES",
    "GIT_COMMON_DIR",
    "GIT_CONFIG",
    "GIT_CONFIG_COUNT",
    "GIT_CONFIG_PARAMETERS",
    "GIT_DIR",
    "GIT_GRAFT_FILE",
    "GIT_IMPLICIT_WORK_TREE",
    "GIT_INDEX_FILE",
    "GIT_NAMESPACE",
    "GIT_NO_REPLACE_OBJECTS",
    "GIT_OBJECT_DIRECTORY",
    "GIT_PREFIX",
    "GIT_QUARANTINE_PATH",
    "GIT_REPLACE_REF_BASE",
    "GIT_SHALLOW_FILE",
    "GIT_WORK_TREE",
];

/// The git program in one folder.
#[derive(Clone, Debug)]
pub(super) struct Git {
    folder: PathBuf,
    whose: Whose,
}

/// Whose settings and environment it works with.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
enum Whose {
    /// The user's, for the repository of a folder.
    User,
    /// Those of the hook that we are in.
    Hook,
    /// Nobody's: for repositories of our own.
    Nobody,
}

/// How a command ended.
#[derive(Debug)]
pub(super) struct Ended {
    pub(super) success: bool,
    pub(super) code: Option<i32>,
    pub(super) stdout: Vec<u8>,
    pub(super) stderr: String,
}

impl Git {
    /// In the user's repository at or above a folder.
    pub(super) fn at(folder: &Path) -> Self {
        Self { folder: folder.to_owned(), whose: Whose::User }
    }

    /// In the repository of the hook that runs us.
    pub(super) fn in_hook(folder: &Path) -> Self {
        Self { folder: folder.to_owned(), whose: Whose::Hook }
    }

    /// In a repository of our own, without anybody's settings.
    pub(super) fn private(folder: &Path) -> Self {
        Self { folder: folder.to_owned(), whose: Whose::Nobody }
    }

    pub(super) fn folder(&self) -> &Path {
        &self.folder
    }

    fn command(&self, args: &[&str]) -> Command {
        let mut command = Command::new("git");
        command.arg("-C").arg(&self.folder);
        // Looking must not write: no refreshed index, no fetch of missing objects.
        command.env("GIT_OPTIONAL_LOCKS", "0").env("GIT_NO_LAZY_FETCH", "1").env("LC_ALL", "C");
        command.env("GIT_TERMINAL_PROMPT", "0");
        if self.whose != Whose::Hook {
            for name in LOCAL {
                command.env_remove(name);
            }
        }
        if self.whose == Whose::Nobody {
            command.env("GIT_CONFIG_NOSYSTEM", "1").env("GIT_CONFIG_GLOBAL", "/dev/null");
            // The format of a new repository is said where it is made.
            command.env_remove("GIT_DEFAULT_HASH").env_remove("GIT_DEFAULT_REF_FORMAT");
            for name in ["GIT_AUTHOR", "GIT_COMMITTER"] {
                command.env(format!("{name}_NAME"), "quell gate prove");
                command.env(format!("{name}_EMAIL"), "quell@localhost.invalid");
            }
            command.args(["-c", "commit.gpgSign=false", "-c", "gc.auto=0", "-c", "core.fsync=none"]);
        }
        command.args(args);
        command
    }

    /// Runs to the end, however it ends.
    pub(super) fn end(&self, args: &[&str], input: &[u8]) -> Result<Ended, AppError> {
        let failed = |source| AppError::Io { path: "the git program".to_owned(), source };
        let mut child = self
            .command(args)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .map_err(failed)?;
        let (stdin, stderr) = (child.stdin.take(), child.stderr.take());
        let ended = std::thread::scope(|scope| {
            scope.spawn(move || {
                // A child that does not read is no error of ours; its exit code tells.
                if let Some(mut stdin) = stdin {
                    let _written = stdin.write_all(input);
                }
            });
            let said = scope.spawn(move || {
                let mut said = Vec::new();
                if let Some(stderr) = stderr {
                    let _read = stderr.take(1 << 20).read_to_end(&mut said);
                }
                said
            });
            let output = child.wait_with_output();
            (output, said.join().unwrap_or_default())
        });
        let output = ended.0.map_err(failed)?;
        Ok(Ended {
            success: output.status.success(),
            code: output.status.code(),
            stdout: output.stdout,
            stderr: String::from_utf8_lossy(&ended.1).into_owned(),
        })
    }

    /// What it prints, or an error with the first line of what it complains.
    pub(super) fn bytes(&self, args: &[&str]) -> Result<Vec<u8>, AppError> {
        self.fed(args, b"")
    }

    /// The same with something on its standard input.
    pub(super) fn fed(&self, args: &[&str], input: &[u8]) -> Result<Vec<u8>, AppError> {
        let ended = self.end(args, input)?;
        if ended.success {
            return Ok(ended.stdout);
        }
        let why = printable(ended.stderr.lines().next().unwrap_or("it says nothing"));
        let what = args.first().copied().unwrap_or_default();
        Err(AppError::Usage(format!("`git {what}` failed in {}: {why}", self.folder.display())))
    }

    /// One line that it prints.
    pub(super) fn line(&self, args: &[&str]) -> Result<String, AppError> {
        let text = String::from_utf8_lossy(&self.bytes(args)?).into_owned();
        Ok(text.trim_end_matches(['\n', '\r']).to_owned())
    }

    /// The same, or `None` when git says no.
    pub(super) fn perhaps(&self, args: &[&str]) -> Result<Option<String>, AppError> {
        let ended = self.end(args, b"")?;
        let text = String::from_utf8_lossy(&ended.stdout).trim_end_matches(['\n', '\r']).to_owned();
        Ok(ended.success.then_some(text))
    }

    /// One path that it prints, byte for byte.
    pub(super) fn path(&self, args: &[&str]) -> Result<PathBuf, AppError> {
        use std::os::unix::ffi::OsStringExt as _;
        let mut bytes = self.bytes(args)?;
        while bytes.last() == Some(&b'\n') {
            bytes.pop();
        }
        Ok(PathBuf::from(std::ffi::OsString::from_vec(bytes)))
    }

    /// Paths that it prints with NUL between them.
    pub(super) fn names(&self, args: &[&str]) -> Result<Vec<Vec<u8>>, AppError> {
        Ok(split(&self.bytes(args)?))
    }
}

/// Splits what `-z` prints.
pub(super) fn split(bytes: &[u8]) -> Vec<Vec<u8>> {
    bytes.split(|byte| *byte == 0).filter(|name| !name.is_empty()).map(<[u8]>::to_vec).collect()
}

/// Without anything that drives a terminal.
pub(super) fn printable(text: &str) -> String {
    text.chars().map(|c| if c.is_control() { '\u{fffd}' } else { c }).collect()
}
