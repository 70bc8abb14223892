//! What is read and changed on a host, in scripts of plain `sh`.
//!
//! Scripts hold public things only: names, paths, public keys. Whatever is put into one is quoted.

use jiff::Timestamp;

use super::host::{Host, Ran};
use super::session::Process;
use crate::error::{ConnectError, ConnectErrorKind};

/// Where keys are if neither the inventory nor the host says (`sshd_config(5)`, `AuthorizedKeysFile`).
const DEFAULT_FILES: &str = ".ssh/authorized_keys .ssh/authorized_keys2";

/// A host, and how its administrator becomes root.
pub(super) struct Remote {
    pub(super) host: Host,
    pub(super) sudo: bool,
}

/// An account.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(super) struct Account {
    pub(super) name: String,
    pub(super) home: String,
    uid: String,
}

/// What processes there are of `sshd`, and which are our own.
#[derive(Debug, Default)]
pub(super) struct Processes {
    pub(super) sshd: Vec<Process>,
    /// Ours and what started them.
    pub(super) own: Vec<u32>,
    /// When ours began, in ticks since the host was started: whatever began before has a lower number.
    pub(super) now: u64,
    /// The start of the host that these numbers count from.
    pub(super) boot: String,
    pub(super) at: Timestamp,
}

/// What `sshd -T` says of an account.
#[derive(Debug, Default)]
pub(super) struct Settings(Vec<(String, String)>);

impl Settings {
    /// The value of a setting, in the lower case that `sshd -T` prints names in; `none` is no value.
    pub(super) fn get(&self, name: &str) -> Option<&str> {
        let found = self.0.iter().find(|(key, _)| key == name).map(|(_, value)| value.as_str());
        found.filter(|value| !value.is_empty() && *value != "none")
    }

    /// Whether the host answered.
    pub(super) fn is_known(&self) -> bool {
        !self.0.is_empty()
    }
}

impl Remote {
    pub(super) async fn sh(&self, what: &'static str, script: &str) -> Result<Ran, ConnectError> {
        let shell = if self.sudo { "sudo -n sh -s" } else { "sh -s" };
        // Printed before anything of ours: a shell's start-up files may print, too, and whoever wrote them cannot know this.
        let begin = self.host.mark(what)?;
        let script = format!(
            "LC_ALL=C; PATH=\"/usr/sbin:/usr/bin:/sbin:/bin:$PATH\"; export LC_ALL PATH\nprintf '%s\\n' {begin}\n{script}"
        );
        let mut ran = self.host.run(what, shell, &script).await?;
        let Some((_, said)) = ran.stdout.split_once(&format!("{begin}\n")) else {
            let hint =
                if self.sudo { "; let the administrator run `sh` by sudo without a password" } else { "" };
            let why = format!("no shell answers the administrator: {}{hint}", ran.stderr);
            return Err(self.host.failed(what, ConnectErrorKind::Denied, why));
        };
        ran.stdout = said.to_owned();
        Ok(ran)
    }

    /// The same for a script that must succeed.
    pub(super) async fn ok(&self, what: &'static str, script: &str) -> Result<String, ConnectError> {
        let ran = self.sh(what, script).await?;
        self.must(ran, what)
    }

    /// What a script said that ended well.
    pub(super) fn must(&self, ran: Ran, what: &'static str) -> Result<String, ConnectError> {
        if ran.status == 0 {
            return Ok(ran.stdout);
        }
        let why =
            format!("a command ended with {}: {}{}", ran.status, ran.stderr, hint(&ran.stderr, self.sudo));
        Err(self.host.failed(what, ConnectErrorKind::Denied, why))
    }

    pub(super) fn odd(&self, what: &'static str) -> ConnectError {
        self.host.failed(what, ConnectErrorKind::Unexpected, "the answer has an unexpected shape")
    }

    /// Whether the administrator is root there.
    pub(super) async fn is_root(&self, what: &'static str) -> Result<bool, ConnectError> {
        Ok(self.ok(what, "id -u\n").await?.trim() == "0")
    }

    /// All accounts, in the order of the host.
    pub(super) async fn accounts(&self, what: &'static str) -> Result<Vec<Account>, ConnectError> {
        let listed = self.ok(what, "getent passwd 2>/dev/null || cat /etc/passwd\n").await?;
        Ok(listed.lines().filter_map(account).collect())
    }

    /// One account, also of a directory that does not list all; `None` if there is none.
    pub(super) async fn account(
        &self,
        user: &str,
        what: &'static str,
    ) -> Result<Option<Account>, ConnectError> {
        let script =
            format!("getent passwd -- {0} 2>/dev/null || grep -F -- {0}: /etc/passwd || :\n", quoted(user));
        let listed = self.ok(what, &script).await?;
        Ok(listed.lines().filter_map(account).find(|it| it.name == user))
    }

    /// How `sshd` is set up for an account; nothing if it may not be asked.
    pub(super) async fn settings(&self, user: &str, what: &'static str) -> Result<Settings, ConnectError> {
        let script = format!(
            "sshd -T -C user={},host=localhost,addr=127.0.0.1,laddr=127.0.0.1,lport={} 2>/dev/null || :\n",
            quoted(user),
            self.host.port()
        );
        let said = self.ok(what, &script).await?;
        let pairs = said.lines().filter_map(|line| line.split_once(' '));
        Ok(Settings(pairs.map(|(key, value)| (key.to_lowercase(), value.to_owned())).collect()))
    }

    /// The host's time, in seconds.
    pub(super) async fn time(&self, what: &'static str) -> Result<Timestamp, ConnectError> {
        seconds(self.ok(what, "date -u +%s\n").await?.trim()).ok_or_else(|| self.odd(what))
    }

    /// The processes of `sshd`.
    pub(super) async fn processes(&self, what: &'static str) -> Result<Processes, ConnectError> {
        // A process of its own tells what time it is: our shell may have begun long before what was done here last.
        // `read` is part of the shell: a command for each process would take a second on a busy host.
        const SCRIPT: &str = "[ -r /proc/self/stat ] || { echo 'no /proc here' >&2; exit 1; }\n\
            printf 'at %s\\n' \"$(date -u +%s)\"\n\
            printf 'boot %s\\n' \"$(cat /proc/sys/kernel/random/boot_id 2>/dev/null)\"\n\
            sh -c 'read -r s < /proc/$$/stat && printf \"now %s\\n\" \"$s\"'\n\
            p=$$\nwhile [ \"$p\" -gt 1 ] 2>/dev/null; do\n  printf 'own %s\\n' \"$p\"\n  { read -r s < /proc/$p/stat; } 2>/dev/null || break\n  set -- ${s##*') '}\n  p=$2\ndone\n\
            { for d in /proc/[0-9]*; do\n  { read -r s < \"$d/stat\"; } 2>/dev/null || continue\n  c=\n  { read -r c < \"$d/cmdline\"; } 2>/dev/null\n  case $c in sshd*) printf 'sshd %s\\t%.200s\\n' \"$s\" \"$c\";; esac\ndone; } | tr -cd '\\011\\012\\040-\\176'\n";
        let said = self.ok(what, SCRIPT).await?;
        let mut all = Processes::default();
        for line in said.lines() {
            match line.split_once(' ') {
                Some(("at", at)) => all.at = seconds(at).ok_or_else(|| self.odd(what))?,
                Some(("boot", boot)) => boot.clone_into(&mut all.boot),
                Some(("now", stat)) => {
                    all.now = Process::parse(stat, "").ok_or_else(|| self.odd(what))?.start;
                }
                Some(("own", pid)) => all.own.extend(pid.parse::<u32>().ok()),
                Some(("sshd", line)) => {
                    let (stat, title) = line.split_once('\t').unwrap_or((line, ""));
                    all.sshd.extend(Process::parse(stat, title.trim_end()));
                }
                Some(_) | None => return Err(self.odd(what)),
            }
        }
        let boot = all.boot.chars().all(|c| c.is_ascii_hexdigit() || c == '-') && !all.boot.is_empty();
        if all.now == 0 || !boot {
            return Err(self.odd(what));
        }
        // Whoever does not see the `sshd` that serves us, sees none of the others.
        if all.sshd.iter().any(|it| all.own.contains(&it.pid)) {
            Ok(all)
        } else {
            let why =
                "the processes of sshd are hidden from the administrator (hidepid), or have other names";
            Err(self.host.failed(what, ConnectErrorKind::Denied, why))
        }
    }

    /// Sends a signal to processes that are still the ones that were seen.
    pub(super) async fn signal(
        &self,
        signal: &str,
        processes: &[(u32, u64)],
        what: &'static str,
    ) -> Result<(), ConnectError> {
        let mut script = format!(
            "k() {{\n  {{ read -r s < /proc/$1/stat; }} 2>/dev/null || return 0\n  set -- $1 $2 ${{s##*') '}}\n  [ \"${{22}}\" = \"$2\" ] || return 0\n  kill -{signal} $1\n}}\n"
        );
        script.extend(processes.iter().map(|(pid, start)| format!("k {pid} {start}\n")));
        script.push_str(":\n");
        self.ok(what, &script).await.map(drop)
    }
}

/// A time as `date +%s` prints it.
fn seconds(text: &str) -> Option<Timestamp> {
    text.parse().ok().and_then(|at| Timestamp::from_second(at).ok())
}

/// Where keys are, as a host says it.
pub(super) fn patterns(settings: &Settings) -> Vec<String> {
    let said = settings.get("authorizedkeysfile").unwrap_or(DEFAULT_FILES);
    said.split_whitespace().map(str::to_owned).collect()
}

/// The files of an account.
pub(super) fn files(patterns: &[String], account: &Account) -> Vec<String> {
    patterns.iter().map(|pattern| expand(pattern, account)).collect()
}

/// `%u`, `%U`, `%h` and `%%`, and relative to the home.
fn expand(pattern: &str, account: &Account) -> String {
    let mut path = String::new();
    let mut rest = pattern.chars();
    while let Some(c) = rest.next() {
        match (c, (c == '%').then(|| rest.clone().next()).flatten()) {
            ('%', Some('u')) => path.push_str(&account.name),
            ('%', Some('h')) => path.push_str(&account.home),
            ('%', Some('U')) => path.push_str(&account.uid),
            ('%', Some('%')) => path.push('%'),
            (c, _) => {
                path.push(c);
                continue;
            }
        }
        rest.next();
    }
    if path.starts_with('/') { path } else { format!("{}/{path}", account.home.trim_end_matches('/')) }
}

fn account(line: &str) -> Option<Account> {
    let fields: Vec<&str> = line.split(':').collect();
    let (name, uid, home) = (*fields.first()?, *fields.get(2)?, *fields.get(5)?);
    let usable = !name.is_empty() && home.starts_with('/');
    usable.then(|| Account { name: name.to_owned(), home: home.to_owned(), uid: uid.to_owned() })
}

/// One word of a shell, whatever is in it.
pub(super) fn quoted(text: &str) -> String {
    format!("'{}'", text.replace('\'', "'\\''"))
}

fn hint(stderr: &str, sudo: bool) -> &'static str {
    let denied = stderr.contains("ermission denied") || stderr.contains("not permitted");
    match (denied, sudo) {
        (true, false) => "; the administrator is not root there: name one that is, or set `sudo: true`",
        (true, true) | (false, _) => "",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn files_are_named_as_sshd_names_them() {
        let account =
            Account { name: "deploy".to_owned(), home: "/srv/deploy".to_owned(), uid: "7".to_owned() };
        assert_eq!(
            files(&patterns(&Settings::default()), &account),
            ["/srv/deploy/.ssh/authorized_keys", "/srv/deploy/.ssh/authorized_keys2"]
        );
        let said = Settings(vec![("authorizedkeysfile".to_owned(), "/etc/keys/%u .ssh/%%h".to_owned())]);
        assert_eq!(files(&patterns(&said), &account), ["/etc/keys/deploy", "/srv/deploy/.ssh/%h"]);
        assert_eq!(files(&["%h/k%x%".to_owned()], &account), ["/srv/deploy/k%x%"]);
        let off = Settings(vec![("authorizedkeyscommand".to_owned(), "none".to_owned())]);
        assert_eq!(off.get("authorizedkeyscommand"), None);
    }

    #[test]
    fn accounts_and_words() {
        assert_eq!(account("root:x:0:0:root:/root:/bin/sh").unwrap().home, "/root");
        assert_eq!(account("broken:x:0"), None);
        assert_eq!(account("odd:x:0:0::relative:"), None);
        assert_eq!(quoted("it's $HOME `x`"), "'it'\\''s $HOME `x`'");
    }
}
