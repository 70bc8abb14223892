//! Live sessions, by the processes of `sshd` that serve them.
//!
//! A connection has a process that waits as root, `sshd: USER [priv]`, and after the login one that is the user's, `sshd: USER@pts/0` or
//! `sshd: USER@notty`; without privilege separation (root, or an `sshd` that is not root) there is the second alone. Before the login it is
//! `[net]` instead. From OpenSSH 9.8 on they are called `sshd-session`, and `sshd-auth` before the login. (`sshd.c`, `session.c`: `session_proctitle`.)

use std::fmt;
use std::str::FromStr;

use super::remote::Processes;

/// A process of `sshd`.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(super) struct Process {
    pub(super) pid: u32,
    pub(super) parent: u32,
    /// Ticks from the start of the host to its own (proc(5), `/proc/pid/stat`, field 22).
    pub(super) start: u64,
    pub(super) title: String,
}

/// A connection that somebody logged in on.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(super) struct Session {
    /// The processes that serve it, with their starts.
    pub(super) processes: Vec<(u32, u64)>,
    /// When it was opened.
    start: u64,
}

/// What began after it has a higher number, until the host is started anew.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(super) struct Bound {
    pub(super) boot: String,
    pub(super) ticks: u64,
}

impl Bound {
    /// What began until now.
    pub(super) fn now(all: &Processes) -> Self {
        Self { boot: all.boot.clone(), ticks: all.now }
    }
}

impl fmt::Display for Bound {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}", self.boot, self.ticks)
    }
}

impl FromStr for Bound {
    type Err = &'static str;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        const ODD: &str = "it is not a start of a host and a number";
        let (boot, ticks) = text.rsplit_once(':').ok_or(ODD)?;
        Ok(Self { boot: boot.to_owned(), ticks: ticks.parse().map_err(|_e| ODD)? })
    }
}

impl Process {
    /// Reads a line of `/proc/pid/stat`. The name of the program is in brackets and may hold anything.
    pub(super) fn parse(stat: &str, title: &str) -> Option<Self> {
        let (pid, _) = stat.split_once(' ')?;
        let (_, rest) = stat.rsplit_once(") ")?;
        let fields: Vec<&str> = rest.split(' ').collect();
        Some(Self {
            pid: pid.parse().ok()?,
            parent: fields.get(1)?.parse().ok()?,
            start: fields.get(19)?.parse().ok()?,
            title: title.to_owned(),
        })
    }

    /// What a title says behind the program's name.
    fn role(&self) -> Option<&str> {
        ["sshd: ", "sshd-session: ", "sshd-auth: "].iter().find_map(|name| self.title.strip_prefix(name))
    }
}

/// The sessions of a user that began at `bound` or before; all of them without one. Our own are left out.
pub(super) fn of(user: &str, all: &Processes, bound: Option<&Bound>) -> Vec<Session> {
    // What began before the host did is gone.
    if bound.is_some_and(|bound| bound.boot != all.boot) {
        return Vec::new();
    }
    let is =
        |process: &Process, what: &str| process.role().and_then(|it| it.strip_prefix(user)) == Some(what);
    let serves = |process: &Process| {
        process
            .role()
            .and_then(|it| it.strip_prefix(user))
            .is_some_and(|it| it.strip_prefix('@').is_some_and(|rest| !rest.contains('@')))
    };
    let by_pid = |pid: u32| all.sshd.iter().find(|it| it.pid == pid);
    let mut sessions = Vec::new();
    for process in &all.sshd {
        let within = by_pid(process.parent).is_some_and(serves);
        let waits = is(process, " [priv]");
        let children = || all.sshd.iter().filter(|it| it.parent == process.pid);
        // Before the login it is nobody's; after it, the user's own process is what is looked at.
        let alone = waits && !children().any(|it| is(it, " [net]") || serves(it));
        if within || !(serves(process) || alone) {
            continue;
        }
        let mut processes = vec![(process.pid, process.start)];
        processes.extend(by_pid(process.parent).filter(|it| is(it, " [priv]")).map(|it| (it.pid, it.start)));
        let start = processes.iter().map(|(_, start)| *start).min().unwrap_or(process.start);
        let ours = processes.iter().any(|(pid, _)| all.own.contains(pid));
        if !ours && bound.is_none_or(|bound| start <= bound.ticks) {
            sessions.push(Session { processes, start });
        }
    }
    sessions
}

#[cfg(test)]
mod tests {
    use super::*;

    fn process(pid: u32, parent: u32, start: u64, title: &str) -> Process {
        let stat = format!("{pid} (ss) hd\u{7f}) S {parent} {} {start} 0", "0 ".repeat(17).trim_end());
        Process::parse(&stat, title).unwrap()
    }

    fn some() -> Processes {
        Processes {
            sshd: vec![
                process(1, 0, 10, "sshd: /usr/sbin/sshd -D [listener] 0 of 10-100 startups"),
                process(20, 1, 100, "sshd: deploy [priv]"),
                process(21, 20, 110, "sshd: deploy@notty"),
                process(22, 21, 120, "sshd: deploy@internal-sftp"),
                process(30, 1, 200, "sshd-session: deploy [priv]"),
                process(31, 30, 210, "sshd-session: deploy@pts/0"),
                process(40, 1, 300, "sshd: deploy [priv]"),
                process(41, 40, 301, "sshd: deploy [net]"),
                process(50, 1, 150, "sshd: deploy2 [priv]"),
                process(51, 50, 150, "sshd: deploy2@notty"),
                process(60, 1, 150, "sshd: root@pts/1"),
                process(70, 1, 160, "sshd: deploy [priv]"),
                process(80, 1, 120, "sshd: deploy@notty"),
            ],
            own: vec![81, 80],
            now: 400,
            boot: "b-1".to_owned(),
            ..Processes::default()
        }
    }

    #[test]
    fn sessions_are_those_that_logged_in() {
        let pids = |user: &str, bound: Option<&Bound>| -> Vec<Vec<u32>> {
            let found = of(user, &some(), bound).into_iter();
            found.map(|it| it.processes.into_iter().map(|(pid, _)| pid).collect()).collect()
        };
        assert_eq!(pids("deploy", None), [vec![21, 20], vec![31, 30], vec![70]]);
        assert_eq!(pids("root", None), [[60]]);
        assert_eq!(pids("deploy2", None), [[51, 50]]);
        let bound = |boot: &str, ticks| Bound { boot: boot.to_owned(), ticks };
        assert_eq!(pids("deploy", Some(&bound("b-1", 199))), [vec![21, 20], vec![70]]);
        assert!(pids("deploy", Some(&bound("b-0", 199))).is_empty(), "the host was started anew");
    }

    #[test]
    fn bounds_and_lines_are_read() {
        let bound = Bound::now(&some());
        assert_eq!(bound.to_string().parse(), Ok(bound));
        assert!("x".parse::<Bound>().is_err() && "x:y".parse::<Bound>().is_err());
        assert_eq!(Process::parse("1 (a", ""), None);
        assert_eq!(Process::parse("", ""), None);
        assert_eq!(process(7, 3, 99, "t").start, 99);
    }
}
