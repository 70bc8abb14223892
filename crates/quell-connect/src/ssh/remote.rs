//! What is read and changed on a host, in scripts of plain `sh`.
//!
//! Scripts hold public things only: names, paths, public keys. Whatever is put into one is quoted.

use jiff::Timestamp;

use super::host::{Host, Ran};
use super::session::Process;
use crate::error::{ConnectError, ConnectErrorKind};

/// Printed before anything of ours: a shell's start-up files may print, too.
const BEGIN: &str = "quell-begin\n";

/// Where keys are if neither the inventory nor the host says (`sshd_config(5)`, `AuthorizedKeysFile`).
const DEFAULT_FILES: &str = ".ssh/authorized_keys .ssh/authorized_keys2";

/// A host, and how its administrator becomes root.
pub(super) struct Remote {
    pub(super) host: Host,
    pub(super) sudo: bool,
}

/// A file as it was.
#[derive(Debug)]
pub(super) struct File {
    /// Behind all links.
    pub(super) path: String,
    pub(super) text: String,
    version: String,
}

/// An account.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(super) struct Account {
    pub(super) name: String,
    pub(super) home: String,
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
    /// Whether we look as root.
    pub(super) as_root: bool,
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
    async fn sh(&self, what: &'static str, script: &str) -> Result<Ran, ConnectError> {
        let shell = if self.sudo { "sudo -n sh -s" } else { "sh -s" };
        let script = format!(
            "LC_ALL=C; PATH=\"$PATH:/usr/sbin:/sbin:/usr/bin:/bin\"; export LC_ALL PATH\nprintf '{}'\n{script}",
            BEGIN.trim_end().to_owned() + "\\n"
        );
        let mut ran = self.host.run(what, shell, &script).await?;
        let Some((_, said)) = ran.stdout.split_once(BEGIN) else {
            let hint =
                if self.sudo { "; let the administrator run `sh` by sudo without a password" } else { "" };
            let why = format!("no shell answers the administrator: {}{hint}", ran.stderr);
            return Err(self.host.failed(what, ConnectErrorKind::Denied, why));
        };
        ran.stdout = said.to_owned();
        Ok(ran)
    }

    /// The same for a script that must succeed.
    async fn ok(&self, what: &'static str, script: &str) -> Result<String, ConnectError> {
        let ran = self.sh(what, script).await?;
        if ran.status == 0 {
            return Ok(ran.stdout);
        }
        let why =
            format!("a command ended with {}: {}{}", ran.status, ran.stderr, hint(&ran.stderr, self.sudo));
        Err(self.host.failed(what, ConnectErrorKind::Denied, why))
    }

    fn odd(&self, what: &'static str) -> ConnectError {
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
        let script =
            format!("sshd -T -C user={},host=localhost,addr=127.0.0.1 2>/dev/null || :\n", quoted(user));
        let said = self.ok(what, &script).await?;
        let pairs = said.lines().filter_map(|line| line.split_once(' '));
        Ok(Settings(pairs.map(|(key, value)| (key.to_lowercase(), value.to_owned())).collect()))
    }

    /// A file; `None` if there is none.
    pub(super) async fn read(&self, path: &str, what: &'static str) -> Result<Option<File>, ConnectError> {
        let script = format!(
            "f={}\nif [ ! -e \"$f\" ]; then echo absent; exit 0; fi\n\
             f=$(readlink -f -- \"$f\") && v=$(cksum < \"$f\") && printf '%s\\n%s\\n' \"$f\" \"$v\" && cat -- \"$f\"\n",
            quoted(path)
        );
        let said = self.ok(what, &script).await?;
        if said == "absent\n" {
            return Ok(None);
        }
        let mut parts = said.splitn(3, '\n');
        match (parts.next(), parts.next(), parts.next()) {
            (Some(path), Some(version), Some(text)) if path.starts_with('/') => {
                Ok(Some(File { path: path.to_owned(), text: text.to_owned(), version: version.to_owned() }))
            }
            _ => Err(self.odd(what)),
        }
    }

    /// A path behind all links; `None` if there is nothing.
    pub(super) async fn resolved(
        &self,
        path: &str,
        what: &'static str,
    ) -> Result<Option<String>, ConnectError> {
        let script = format!("f={}\nif [ -e \"$f\" ]; then readlink -f -- \"$f\"; fi\n", quoted(path));
        let said = self.ok(what, &script).await?;
        Ok(Some(said.trim_end_matches('\n').to_owned()).filter(|path| !path.is_empty()))
    }

    /// Puts another text in the place of a file that is as it was; owner and mode stay.
    pub(super) async fn replace(
        &self,
        before: &File,
        text: &str,
        what: &'static str,
    ) -> Result<(), ConnectError> {
        let end = self.end_of(text, what)?;
        let script = format!(
            "f={path}\nt=\"$f.quell-new\"\nrm -f -- \"$t\" && cp -p -- \"$f\" \"$t\" && cat > \"$t\" <<'{end}'\n{text}{newline}{end}\n\
             [ $? = 0 ] || {{ rm -f -- \"$t\"; exit 1; }}\n\
             v=$(cksum < \"$f\")\nif [ \"$v\" != {version} ]; then rm -f -- \"$t\"; echo changed; exit 0; fi\n\
             sync -- \"$t\" 2>/dev/null\nmv -f -- \"$t\" \"$f\" || {{ rm -f -- \"$t\"; exit 1; }}\necho done\n",
            path = quoted(&before.path),
            version = quoted(&before.version),
            newline = if text.is_empty() || text.ends_with('\n') { "" } else { "\n" },
        );
        match self.ok(what, &script).await?.trim() {
            "done" => Ok(()),
            "changed" => {
                let why = format!("somebody changed {} meanwhile", before.path);
                Err(self.host.failed(what, ConnectErrorKind::Conflict, why))
            }
            _ => Err(self.odd(what)),
        }
    }

    /// Makes a file that is not there, and its folder, for an account.
    pub(super) async fn create(
        &self,
        path: &str,
        (text, owner, mode): (&str, &str, &str),
        what: &'static str,
    ) -> Result<(), ConnectError> {
        let end = self.end_of(text, what)?;
        let script = format!(
            "f={path}\nd=$(dirname -- \"$f\")\nif [ ! -d \"$d\" ]; then mkdir -p -m 700 -- \"$d\" && chown -- {owner} \"$d\" || exit 1; fi\n\
             umask 077\nt=\"$f.quell-new\"\ncat > \"$t\" <<'{end}'\n{text}{end}\n\
             chmod {mode} -- \"$t\" && chown -- {owner} \"$t\" && sync -- \"$t\" && mv -- \"$t\" \"$f\"\n",
            path = quoted(path),
            owner = quoted(owner),
        );
        self.ok(what, &script).await.map(drop)
    }

    /// A line that ends a text in a script, and is not in it.
    fn end_of(&self, text: &str, what: &'static str) -> Result<String, ConnectError> {
        let mut bytes = [0_u8; 12];
        getrandom::fill(&mut bytes).map_err(|_e| {
            let kind = ConnectErrorKind::Transient { retry_after: None };
            self.host.failed(what, kind, "the system gave no randomness")
        })?;
        let end = format!("quell-{}", hex::encode(bytes));
        if text.contains(&end) { Err(self.odd(what)) } else { Ok(end) }
    }

    /// Those of some files that hold a text.
    pub(super) async fn holding(
        &self,
        files: &[String],
        text: &str,
        what: &'static str,
    ) -> Result<Vec<String>, ConnectError> {
        let mut found = Vec::new();
        for some in files.chunks(500) {
            let names: Vec<String> = some.iter().map(|file| quoted(file)).collect();
            let script = format!("grep -lsF -e {} -- {} || :\n", quoted(text), names.join(" "));
            found.extend(self.ok(what, &script).await?.lines().map(str::to_owned));
        }
        Ok(found)
    }

    /// Puts a public key into a key revocation list. Whether the list refuses it then, is asked of the list.
    pub(super) async fn revoke_in_krl(
        &self,
        path: &str,
        public_line: &str,
        what: &'static str,
    ) -> Result<(), ConnectError> {
        let script = format!(
            "f={path}\nk={key}\nt=\"$f.quell-new\"\n\
             cp -p -- \"$f\" \"$t\" && printf '%s\\n' \"$k\" | ssh-keygen -q -k -u -f \"$t\" - >&2 && sync -- \"$t\" && mv -f -- \"$t\" \"$f\" \
             || {{ rm -f -- \"$t\"; exit 1; }}\n",
            path = quoted(path),
            key = quoted(public_line),
        );
        self.ok(what, &script).await.map(drop)
    }

    /// What a file of `RevokedKeys` says of a key: `None` if it is a text and no list.
    pub(super) async fn krl_refuses(
        &self,
        path: &str,
        public_line: &str,
        what: &'static str,
    ) -> Result<Option<bool>, ConnectError> {
        // The list's magic (OpenSSH, PROTOCOL.krl). `-Q` reads no standard input, and fails for any reason: only its word counts.
        let script = format!(
            "f={path}\nk={key}\ncase $(head -c 6 -- \"$f\" | tr -d '\\0') in SSHKRL) ;; *) echo text; exit 0;; esac\n\
             p=\"$f.quell-key\"\nprintf '%s\\n' \"$k\" > \"$p\" || exit 1\nsaid=$(ssh-keygen -Q -f \"$f\" \"$p\" 2>&1)\nrm -f -- \"$p\"\n\
             case $said in *': REVOKED') echo refused;; *': ok') echo good;; *) printf '%s\\n' \"$said\" >&2; exit 1;; esac\n",
            path = quoted(path),
            key = quoted(public_line),
        );
        match self.ok(what, &script).await?.trim() {
            "text" => Ok(None),
            "refused" => Ok(Some(true)),
            "good" => Ok(Some(false)),
            _ => Err(self.odd(what)),
        }
    }

    /// The processes of `sshd`.
    pub(super) async fn processes(&self, what: &'static str) -> Result<Processes, ConnectError> {
        // `read` is part of the shell: a command for each process would take a second on a busy host.
        const SCRIPT: &str = "[ -r /proc/self/stat ] || { echo 'no /proc here' >&2; exit 1; }\n\
            printf 'at %s\\n' \"$(date -u +%s)\"\n\
            printf 'uid %s\\n' \"$(id -u)\"\n\
            printf 'boot %s\\n' \"$(cat /proc/sys/kernel/random/boot_id 2>/dev/null)\"\n\
            read -r s < /proc/$$/stat && printf 'now %s\\n' \"$s\"\n\
            p=$$\nwhile [ \"$p\" -gt 1 ] 2>/dev/null; do\n  printf 'own %s\\n' \"$p\"\n  { read -r s < /proc/$p/stat; } 2>/dev/null || break\n  set -- ${s##*') '}\n  p=$2\ndone\n\
            for d in /proc/[0-9]*; do\n  { read -r s < \"$d/stat\"; } 2>/dev/null || continue\n  c=\n  { read -r c < \"$d/cmdline\"; } 2>/dev/null\n  case $c in sshd*) printf 'sshd %s\\t%s\\n' \"$s\" \"$c\";; esac\ndone\n";
        let said = self.ok(what, SCRIPT).await?;
        let mut all = Processes::default();
        for line in said.lines() {
            match line.split_once(' ') {
                Some(("at", at)) => {
                    let at = at.parse().ok().and_then(|at| Timestamp::from_second(at).ok());
                    all.at = at.ok_or_else(|| self.odd(what))?;
                }
                Some(("uid", uid)) => all.as_root = uid == "0",
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

/// Where keys are, as a host says it.
pub(super) fn patterns(settings: &Settings) -> Vec<String> {
    let said = settings.get("authorizedkeysfile").unwrap_or(DEFAULT_FILES);
    said.split_whitespace().map(str::to_owned).collect()
}

/// The files of an account.
pub(super) fn files(patterns: &[String], account: &Account) -> Vec<String> {
    patterns.iter().map(|pattern| expand(pattern, account)).collect()
}

/// `%u`, `%h` and `%%`, and relative to the home.
fn expand(pattern: &str, account: &Account) -> String {
    let mut path = String::new();
    let mut rest = pattern.chars();
    while let Some(c) = rest.next() {
        match (c, (c == '%').then(|| rest.clone().next()).flatten()) {
            ('%', Some('u')) => path.push_str(&account.name),
            ('%', Some('h')) => path.push_str(&account.home),
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
    let (name, home) = (*fields.first()?, *fields.get(5)?);
    let usable = !name.is_empty() && home.starts_with('/');
    usable.then(|| Account { name: name.to_owned(), home: home.to_owned() })
}

/// One word of a shell, whatever is in it.
fn quoted(text: &str) -> String {
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
        let account = Account { name: "deploy".to_owned(), home: "/srv/deploy".to_owned() };
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
