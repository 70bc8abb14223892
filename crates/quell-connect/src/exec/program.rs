//! Runs one program with a clean environment and a time limit.

use std::fmt;
use std::path::{Path, PathBuf};
use std::process::{ExitStatus, Stdio};

use tokio::io::AsyncReadExt as _;
use tokio::process::{Child, Command};

use crate::connector::Check;
use crate::context::Context;

/// What a child may inherit. Quell's own environment can hold values (`env:` references), so nothing else.
pub(crate) const INHERITED: [&str; 12] = [
    "DBUS_SESSION_BUS_ADDRESS",
    "HOME",
    "LANG",
    "LC_ALL",
    "LOGNAME",
    "PATH",
    "SHELL",
    "TMPDIR",
    "TZ",
    "USER",
    "XDG_CONFIG_HOME",
    "XDG_RUNTIME_DIR",
];
const DEFAULT_PATH: &str = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";
/// More is not an answer.
const OUTPUT_MAX: u64 = 64 << 10;

/// A program with its arguments, ready to run any number of times.
#[derive(Clone, Debug)]
pub(crate) struct Program {
    argv: Vec<String>,
    context: Context,
}

/// How a run ended.
#[derive(Debug)]
pub(crate) enum Ended {
    /// By itself, with status and standard output (empty unless asked for). The output may hold anything.
    Exited(ExitStatus, Vec<u8>),
    /// It was not started.
    NotStarted(std::io::Error),
    /// It, and what it started, was killed at the time limit.
    Late,
    /// It ran, but how it ended is not known, or it said too much.
    Lost(&'static str),
}

impl Program {
    /// `argv` has at least one word.
    pub(crate) fn new(argv: Vec<String>, context: &Context) -> Self {
        Self { argv, context: context.clone() }
    }

    /// Runs it to its end. Standard error is dropped: it could quote a value.
    pub(crate) async fn run(&self, with_output: bool) -> Ended {
        self.run_up_to(OUTPUT_MAX, with_output).await
    }

    /// The same for one that may say more, in bytes.
    pub(crate) async fn run_up_to(&self, most: u64, with_output: bool) -> Ended {
        let Some((program, arguments)) = self.argv.split_first() else {
            return Ended::NotStarted(std::io::ErrorKind::InvalidInput.into());
        };
        let mut command = Command::new(program);
        command.args(arguments).env_clear().env("PATH", self.search_path());
        for name in INHERITED {
            if let Some(value) = self.context.environment.get(name) {
                command.env(name, value);
            }
        }
        command
            .current_dir(&self.context.base)
            .stdin(Stdio::null())
            .stdout(if with_output { Stdio::piped() } else { Stdio::null() })
            .stderr(Stdio::null())
            .process_group(0)
            .kill_on_drop(true);
        let mut child = match command.spawn() {
            Ok(child) => child,
            Err(error) => return Ended::NotStarted(error),
        };
        let group = Group(child.id());
        let ended = match tokio::time::timeout(self.context.call_limit, finish(&mut child, most)).await {
            Ok(ended) => ended,
            Err(_elapsed) => Ended::Late,
        };
        if matches!(ended, Ended::Exited(..)) {
            // What it left running on purpose (a daemon that was restarted) goes on.
            group.disarm();
        }
        ended
    }

    /// Is there such a program, and may we run it?
    pub(crate) fn check(&self) -> Check {
        let name = self.argv.first().map_or("", String::as_str);
        let what = format!("run {name}");
        let runnable =
            |path: &Path| path.is_file() && rustix::fs::access(path, rustix::fs::Access::EXEC_OK).is_ok();
        let found = if name.contains('/') {
            Some(self.context.base.join(name)).filter(|path| runnable(path))
        } else {
            self.search_path()
                .split(':')
                .map(|folder| PathBuf::from(folder).join(name))
                .find(|path| runnable(path))
        };
        let missing = || "there is no such program, or it may not be executed".to_owned();
        Check {
            what,
            ok: found.is_some(),
            detail: found.map_or_else(missing, |path| path.display().to_string()),
        }
    }

    fn search_path(&self) -> &str {
        self.context.environment.get("PATH").map_or(DEFAULT_PATH, String::as_str)
    }
}

/// The program's name only: people put credentials in arguments.
impl fmt::Display for Program {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.argv.first().map_or("", String::as_str))
    }
}

async fn finish(child: &mut Child, most: u64) -> Ended {
    let mut output = Vec::new();
    if let Some(stdout) = child.stdout.take()
        && stdout.take(most + 1).read_to_end(&mut output).await.is_err()
    {
        return Ended::Lost("its output could not be read");
    }
    if u64::try_from(output.len()).is_ok_and(|n| n > most) {
        return Ended::Lost("it said more than is read");
    }
    match child.wait().await {
        Ok(status) => Ended::Exited(status, output),
        Err(_) => Ended::Lost("how it ended is not known"),
    }
}

/// Kills the program and what it started, also when the call is dropped half-way.
struct Group(Option<u32>);

impl Group {
    fn disarm(mut self) {
        self.0 = None;
    }
}

impl Drop for Group {
    fn drop(&mut self) {
        let pid = self.0.and_then(|id| i32::try_from(id).ok()).and_then(rustix::process::Pid::from_raw);
        if let Some(pid) = pid {
            // The group may have ended a moment ago.
            rustix::process::kill_process_group(pid, rustix::process::Signal::KILL).ok();
        }
    }
}
