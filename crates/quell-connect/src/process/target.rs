//! From a pid file to one pinned process that is certainly the right one.

use std::fs::{self, File};
use std::io::{self, Read as _};
use std::os::fd::OwnedFd;
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};

use rustix::process::{Pid, PidfdFlags, pidfd_open};
use serde::Deserialize;

use crate::context::Context;
use crate::error::ConfigError;

/// `USER_HZ`, the unit of times in /proc/<pid>/stat: 100 on every Linux architecture in use (proc(5)).
const TICKS_PER_SECOND: u64 = 100;
/// The boot time in /proc/stat is in whole seconds, and a pid file may be written a moment before the fork.
const SLACK_SECONDS: i64 = 2;

/// Which process.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Config {
    pub(super) pidfile: String,
    pub(super) signal: Option<String>,
    exe: Option<String>,
    name: Option<String>,
}

/// The same, checked.
#[derive(Clone, Debug)]
pub(super) struct Target {
    pub(super) pidfile: PathBuf,
    exe: Option<PathBuf>,
    name: Option<String>,
}

/// The process: `fd` stays its own even when the pid is given away.
#[derive(Debug)]
pub(super) struct Found {
    pub(super) pid: i32,
    /// Clock ticks since boot.
    pub(super) started: u64,
    pub(super) fd: OwnedFd,
}

/// Why there is no process to signal.
#[derive(Debug)]
pub(super) enum Absent {
    /// The pid file is not there.
    NoFile,
    /// The pid file names a process that has ended.
    Dead,
    /// It must not be signalled, in words.
    Wrong(String),
}

impl Config {
    pub(super) fn target(&self, context: &Context) -> Result<Target, ConfigError> {
        if self.pidfile.is_empty() {
            return Err(ConfigError::at("pidfile", "this names no file", "name it: /run/orders.pid"));
        }
        if self.name.as_ref().is_some_and(|name| name.is_empty() || name.len() > 15) {
            let hint = "the kernel keeps 15 bytes of a name: `ps -o comm= -p PID` shows them";
            return Err(ConfigError::at("name", "this cannot be a process's name", hint));
        }
        let exe = self.exe.as_ref().map(|exe| context.path(exe));
        Ok(Target { pidfile: context.path(&self.pidfile), exe, name: self.name.clone() })
    }
}

impl Target {
    /// Pins the process, then looks whether it is the right one.
    pub(super) fn find(&self) -> Result<Found, Absent> {
        let (pid, written) = self.read()?;
        let raw = pid.as_raw_nonzero().get();
        let fd = match pidfd_open(pid, PidfdFlags::empty()) {
            Ok(fd) => fd,
            Err(rustix::io::Errno::SRCH) => return Err(Absent::Dead),
            Err(error) => return Err(Absent::Wrong(format!("pid {raw} cannot be opened: {error}"))),
        };
        let stat = match fs::read_to_string(format!("/proc/{raw}/stat")) {
            Ok(stat) => stat,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Err(Absent::Dead),
            Err(error) => return Err(Absent::Wrong(format!("/proc/{raw}/stat: {}", error.kind()))),
        };
        let Some(stat) = Stat::parse(&stat) else {
            return Err(Absent::Wrong(format!("/proc/{raw}/stat is not as proc(5) says")));
        };
        if matches!(stat.state, 'Z' | 'X' | 'x') {
            return Err(Absent::Dead);
        }
        self.verify(raw, &stat, written)?;
        Ok(Found { pid: raw, started: stat.started, fd })
    }

    /// The pid, and when the file was written (Unix seconds).
    fn read(&self) -> Result<(Pid, i64), Absent> {
        let wrong = |words: &str| Absent::Wrong(format!("{} {words}", self.pidfile.display()));
        let metadata = match fs::metadata(&self.pidfile) {
            Ok(metadata) => metadata,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Err(Absent::NoFile),
            Err(error) => return Err(wrong(&format!("cannot be read: {}", error.kind()))),
        };
        if !metadata.is_file() {
            return Err(wrong("is not a regular file"));
        }
        if metadata.mode() & 0o002 != 0 {
            return Err(wrong("can be written by anybody, so it proves nothing; chmod o-w"));
        }
        let mut text = String::new();
        let read = File::open(&self.pidfile).and_then(|file| file.take(64).read_to_string(&mut text));
        read.map_err(|error| wrong(&format!("cannot be read: {}", error.kind())))?;
        // Some daemons add lines below the pid, as PostgreSQL does.
        let pid: i32 = text
            .lines()
            .next()
            .and_then(|line| line.trim().parse().ok())
            .ok_or_else(|| wrong("does not start with a pid"))?;
        let own = i32::try_from(std::process::id()).unwrap_or_default();
        if pid <= 1 || pid == own {
            return Err(wrong(&format!("names pid {pid}, which is never a consumer")));
        }
        let pid = Pid::from_raw(pid).ok_or_else(|| wrong("does not start with a pid"))?;
        Ok((pid, metadata.mtime()))
    }

    fn verify(&self, pid: i32, stat: &Stat<'_>, written: i64) -> Result<(), Absent> {
        let boot = boot_time().ok_or_else(|| Absent::Wrong("/proc/stat has no boot time".to_owned()))?;
        let began = boot.saturating_add_unsigned(stat.started / TICKS_PER_SECOND);
        if began > written.saturating_add(SLACK_SECONDS) {
            return Err(Absent::Wrong(format!(
                "pid {pid} began {} s after {} was written: another process has taken the pid",
                began.saturating_sub(written),
                self.pidfile.display()
            )));
        }
        if let Some(name) = &self.name
            && stat.name != name
        {
            return Err(Absent::Wrong(format!("pid {pid} is `{}`, not `{name}`", stat.name)));
        }
        if let Some(exe) = &self.exe {
            let real = fs::read_link(format!("/proc/{pid}/exe")).map_err(|error| {
                Absent::Wrong(format!("the program of pid {pid} cannot be seen: {}", error.kind()))
            })?;
            if !same_program(exe, &real) {
                return Err(Absent::Wrong(format!(
                    "pid {pid} runs {}, not {}",
                    real.display(),
                    exe.display()
                )));
            }
        }
        Ok(())
    }
}

/// An upgrade replaces the file under a running process; the kernel then adds ` (deleted)`.
fn same_program(expected: &Path, real: &Path) -> bool {
    let expected = fs::canonicalize(expected).unwrap_or_else(|_| expected.to_path_buf());
    let real = real.to_string_lossy();
    Path::new(real.strip_suffix(" (deleted)").unwrap_or(&real)) == expected
}

/// What is needed of /proc/<pid>/stat (proc(5)): fields 2, 3 and 22.
#[derive(Debug, Eq, PartialEq)]
struct Stat<'a> {
    name: &'a str,
    state: char,
    started: u64,
}

impl<'a> Stat<'a> {
    /// The name may hold spaces and brackets, so the last `)` counts.
    fn parse(text: &'a str) -> Option<Self> {
        let (head, tail) = text.rsplit_once(')')?;
        let (_, name) = head.split_once('(')?;
        let mut fields = tail.split_ascii_whitespace();
        let state = fields.next()?.chars().next()?;
        let started = fields.nth(18)?.parse().ok()?;
        Some(Self { name, state, started })
    }
}

/// Unix seconds, from the kernel, which follows steps of the clock.
fn boot_time() -> Option<i64> {
    let stat = fs::read_to_string("/proc/stat").ok()?;
    stat.lines().find_map(|line| line.strip_prefix("btime "))?.trim().parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_hostile_name_does_not_shift_the_fields() {
        let text = "42 (a) R 1 (b) S 1 42 42 0 -1 4194304 1 2 3 4 5 6 7 8 20 0 1 0 98765 1 2 3";
        assert_eq!(Stat::parse(text), Some(Stat { name: "a) R 1 (b", state: 'S', started: 98765 }));
        for bad in ["", "42", "42 (a", "42 (a) S 1", ")("] {
            assert_eq!(Stat::parse(bad), None, "{bad}");
        }
    }
}
