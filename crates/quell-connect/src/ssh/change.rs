//! The three effects, on every host, and the look at each of them.

use std::time::Duration;

use futures_util::future::join_all;
use jiff::Timestamp;
use quell_core::outcome::{Outcome, Probe};
use quell_core::secret::Credential;
use serde_json::{Value, json};

use super::Ssh;
use super::host::{self, Host, Place};
use super::key::Key;
use super::known::Known;
use super::lines;
use super::remote::{self, Account, File, Remote};
use super::session::{self, Bound, Session};
use crate::connector::IssuerOp;
use crate::effect::{after_effect, facts, installed, not_yet, severed};
use crate::error::{ConnectError, ConnectErrorKind};
use crate::fleet::{self, Cutoff, Done, Stop};

/// What the servers are called together.
const HOSTS: &str = "hosts";

/// Hosts that are spoken to at the same time.
const AT_ONCE: usize = 32;

/// Between two counts of sessions that were told to end, and how often they are counted. After some they are killed.
const PAUSE: Duration = Duration::from_millis(100);
const COUNTS: u32 = 20;
const ASKED: u32 = 5;

/// Who administers the hosts, and how they are known.
pub(super) struct Admin {
    key: Key,
    known_hosts: String,
}

/// A key as hosts keep it.
struct Public {
    base64: String,
    line: String,
}

impl Public {
    fn of(key: &Key) -> Self {
        let line = key.public_line();
        let base64 = line.split(' ').nth(1).unwrap_or_default().to_owned();
        Self { base64, line }
    }
}

impl Ssh {
    /// Does it.
    pub(super) async fn change(&self, op: IssuerOp<'_>) -> Result<Outcome, ConnectError> {
        let what = match op {
            IssuerOp::Install { .. } => "installing the new key",
            IssuerOp::Disable { .. } => "taking the old key away",
            IssuerOp::Sever { .. } => "ending the old key's sessions",
        };
        self.within(what, async {
            let key = self.key(op.credential())?;
            let admin = self.admin().await?;
            if admin.key.fingerprint() == key.fingerprint() {
                let why = "it is the administrator's own key: Quell would lock itself out; name another one as `admin`";
                return Err(self.failed(what, ConnectErrorKind::Denied, why));
            }
            let each = all(self.hosts.iter().map(|place| self.on_host(op, &key, &admin, place, what)));
            let facts = facts([("user", self.user.as_str().into()), ("key", key.fingerprint().into())]);
            Ok(fleet::together(facts, HOSTS, each.await))
        })
        .await
    }

    async fn on_host(
        &self,
        op: IssuerOp<'_>,
        key: &Key,
        admin: &Admin,
        place: &Place,
        what: &'static str,
    ) -> Result<Done<Bound>, Stop> {
        let remote = self.open(place, admin, what).await?;
        let public = Public::of(key);
        let (facts, bound) = match op {
            IssuerOp::Install { .. } => {
                (self.install(&remote, &public, key.replaces().as_deref(), what).await?, None)
            }
            IssuerOp::Disable { .. } => {
                let facts = self.disable(&remote, &public, what).await?;
                (facts, Some(bound(&remote, what).await.map_err(after_effect)?))
            }
            IssuerOp::Sever { cutoff, .. } => {
                (self.sever(&remote, moment(cutoff)?.as_ref(), what).await?, None)
            }
        };
        Ok(Done { name: remote.host.name(), facts, bound })
    }

    /// Is it in force?
    pub(super) async fn look(&self, op: IssuerOp<'_>) -> Result<Outcome, ConnectError> {
        let user = || ("user", self.user.as_str().into());
        if let IssuerOp::Sever { old, cutoff } = op {
            let live = self.live_sessions(old, cutoff).await?;
            return Ok(severed(live, facts([user()])));
        }
        Ok(match self.try_it(op.credential()).await? {
            Probe::Inconclusive { reason } if fleet::is_mixed(HOSTS, &reason) => Outcome::retry(reason),
            tried if matches!(op, IssuerOp::Install { .. }) => installed(tried),
            Probe::Accepted { facts } => not_yet("the old key is still accepted", facts),
            Probe::Refused { code, message } => {
                let key = self.key(op.credential())?;
                let gone = Box::pin(self.is_gone(&key));
                match self.within("looking for the old key", gone).await? {
                    Err(why) => Outcome::retry(why),
                    Ok(cutoff) => Outcome::applied([
                        user(),
                        ("code", code.into()),
                        ("message", message.into()),
                        ("cutoff", cutoff.to_string().into()),
                    ]),
                }
            }
            Probe::Inconclusive { reason } => Outcome::unknown(reason),
        })
    }

    /// A refusal at the door is not enough: an account that is locked, or a rule on addresses, may pass, and the key is still in the file.
    async fn is_gone(&self, key: &Key) -> Result<Result<Cutoff<Bound>, String>, ConnectError> {
        const WHAT: &str = "looking for the old key";
        let (admin, public) = (self.admin().await?, Public::of(key));
        let each = self.hosts.iter().map(async |place| {
            let remote = self.open(place, &admin, WHAT).await?;
            let (found, _) = self.lines_of(&remote, &public, WHAT).await?;
            let held = found.iter().any(|(_, lines)| lines.iter().any(|line| line.active));
            Ok::<_, ConnectError>((place.words(), held, bound(&remote, WHAT).await?))
        });
        let mut cutoff = Cutoff::none();
        for one in all(each).await {
            let (name, held, (at, bound)) = one?;
            if held {
                return Ok(Err(format!("it is refused, but {name} still keeps it in authorized_keys")));
            }
            cutoff.add(at, name, bound);
        }
        Ok(Ok(cutoff))
    }

    /// Tries a login on every host.
    pub(super) async fn try_it(&self, credential: &Credential) -> Result<Probe, ConnectError> {
        self.within("trying the key", async {
            let key = self.key(credential)?;
            Ok(self.all(&self.known_hosts().await?, &self.user, &key).await)
        })
        .await
    }

    /// Tries the administrator's login on every host.
    pub(super) async fn try_admin(&self) -> Result<Probe, ConnectError> {
        self.within("trying the administrator", async {
            let admin = self.admin().await?;
            Ok(self.all(&admin.known_hosts, &self.admin_user, &admin.key).await)
        })
        .await
    }

    async fn all(&self, known_hosts: &str, user: &str, key: &Key) -> Probe {
        let each = self.hosts.iter().map(async |place| {
            let known = Known::of(known_hosts, &place.host, place.port);
            (place.words(), host::probe(place, &known, user, key).await)
        });
        fleet::agree(HOSTS, all(each).await)
    }

    /// Counts the sessions of the account that began before the old key was taken away, on every host.
    pub(super) async fn live_sessions(
        &self,
        old: &Credential,
        cutoff: Option<&str>,
    ) -> Result<u64, ConnectError> {
        const WHAT: &str = "counting sessions";
        self.within(WHAT, async {
            drop(self.key(old)?);
            let (cutoff, admin) = (moment(cutoff)?, self.admin().await?);
            let each = self.hosts.iter().map(async |place| {
                let remote = self.open(place, &admin, WHAT).await?;
                let bound = bound_of(cutoff.as_ref(), &remote);
                let mut live = self.sessions_of(&remote, bound, WHAT).await?;
                if !live.is_empty() {
                    // One that is just being closed, such as a try of ours, is not live.
                    tokio::time::sleep(PAUSE * 2).await;
                    let later = self.sessions_of(&remote, bound, WHAT).await?;
                    live.retain(|it| later.contains(it));
                }
                Ok::<_, ConnectError>(live.len() as u64)
            });
            let mut live = 0;
            for one in all(each).await {
                live += one?;
            }
            Ok(live)
        })
        .await
    }

    async fn install(
        &self,
        remote: &Remote,
        public: &Public,
        replaces: Option<&str>,
        what: &'static str,
    ) -> Result<Value, Stop> {
        let name = remote.host.name();
        let (account, paths) = self.files_of(remote, what).await?;
        let mut files = Vec::new();
        for path in &paths {
            files.extend(remote.read(path, what).await?);
        }
        let holding =
            files.iter().find(|it| lines::find(&it.text, &public.base64).iter().any(|line| line.active));
        if let Some(file) = holding {
            return Ok(json!({ "already": true, "file": file.path }));
        }
        let Some(before) = replaces else {
            // The first key of a secret, or one that people chose.
            let path = paths.first().ok_or_else(|| Stop::Refused(format!("{name} names no file of keys")))?;
            let options = self.options.as_str();
            if let Some(file) = files.first() {
                remote.replace(file, &lines::with(&file.text, options, &public.line), what).await?;
            } else {
                let text = lines::with("", options, &public.line);
                remote.create(path, (&text, &account.name, "600"), what).await?;
            }
            return Ok(json!({ "already": false, "file": path, "options": options }));
        };
        // With the options of the one that it takes over from: more would be a gift, and less an outage.
        let Some((file, options)) = predecessor(&files, before) else {
            return Err(Stop::Refused(format!(
                "{name} does not know the key {before} for `{}`, so the new one would open a door that was closed; take the host out of `hosts`",
                self.user
            )));
        };
        remote.replace(file, &lines::with(&file.text, &options, &public.line), what).await?;
        Ok(json!({ "already": false, "file": file.path, "options": options, "replaces": before }))
    }

    async fn disable(&self, remote: &Remote, public: &Public, what: &'static str) -> Result<Value, Stop> {
        let name = remote.host.name();
        // The list first: it also refuses the key for accounts that nobody thought of.
        let listed = self.revoke(remote, public, what).await?;
        let (found, elsewhere) = self.lines_of(remote, public, what).await?;
        let at = remote.processes(what).await?.at;
        let mut changed = Vec::new();
        for (file, lines) in &found {
            let active: Vec<usize> = lines.iter().filter(|it| it.active).map(|it| it.number).collect();
            if active.is_empty() {
                continue;
            }
            let text = lines::without(&file.text, &public.base64, &at.to_string());
            remote.replace(file, &text, what).await?;
            changed.push(json!({ "file": file.path, "lines": active }));
        }
        if !elsewhere.is_empty() && listed.is_none() {
            return Err(Stop::Refused(format!(
                "on {name} the same key is in {}: rotate it there as a secret of its own, or set `revoked_keys`",
                elsewhere.join(", ")
            )));
        }
        Ok(
            json!({ "already": changed.is_empty(), "taken_from": changed, "revoked_in": listed, "also_in": elsewhere }),
        )
    }

    /// Puts the key where `RevokedKeys` looks, if that is configured.
    async fn revoke(
        &self,
        remote: &Remote,
        public: &Public,
        what: &'static str,
    ) -> Result<Option<String>, Stop> {
        let Some(path) = &self.revoked_keys else { return Ok(None) };
        let kept = |file: &File| lines::find(&file.text, &public.base64).iter().any(|line| line.active);
        let Some(path) = remote.resolved(path, what).await? else {
            remote.create(path, (&format!("{}\n", public.line), "root", "644"), what).await?;
            return Ok(Some(path.clone()));
        };
        match remote.krl_refuses(&path, &public.line, what).await? {
            Some(true) => {}
            Some(false) => {
                remote.revoke_in_krl(&path, &public.line, what).await?;
                if remote.krl_refuses(&path, &public.line, what).await.map_err(after_effect)? != Some(true) {
                    let why = format!("{path} does not list the key although it was put in");
                    return Err(remote.host.failed(what, ConnectErrorKind::Unexpected, why).into());
                }
            }
            None => {
                let file = remote.read(&path, what).await?;
                let file = file.ok_or_else(|| {
                    remote.host.failed(what, ConnectErrorKind::Conflict, format!("{path} went away"))
                })?;
                if !kept(&file) {
                    remote.replace(&file, &lines::with(&file.text, "", &public.line), what).await?;
                }
            }
        }
        Ok(Some(path))
    }

    async fn sever(
        &self,
        remote: &Remote,
        cutoff: Option<&Cutoff<Bound>>,
        what: &'static str,
    ) -> Result<Value, Stop> {
        let bound = bound_of(cutoff, remote);
        let live =
            async || Ok::<_, ConnectError>(session::of(&self.user, &remote.processes(what).await?, bound));
        let mut left = live().await?;
        let ended = left.len();
        for count in 0..COUNTS {
            if left.is_empty() {
                break;
            }
            let all: Vec<(u32, u64)> = left.iter().flat_map(|it| it.processes.iter().copied()).collect();
            remote.signal(if count < ASKED { "TERM" } else { "KILL" }, &all, what).await?;
            tokio::time::sleep(PAUSE).await;
            left = self.sessions_of(remote, bound, what).await.map_err(after_effect)?;
        }
        if !left.is_empty() {
            let kind = ConnectErrorKind::Transient { retry_after: None };
            let why = format!("{} sessions are still live", left.len());
            return Err(remote.host.failed(what, kind, why).into());
        }
        Ok(json!({ "ended": ended, "remaining": 0 }))
    }

    /// Where the account's files have the key, and the files of other accounts that let it in.
    async fn lines_of(
        &self,
        remote: &Remote,
        public: &Public,
        what: &'static str,
    ) -> Result<(Vec<(File, Vec<lines::Line>)>, Vec<String>), ConnectError> {
        let (own, mut all) = (self.files_of(remote, what).await?.1, Vec::new());
        let patterns = self.patterns(remote, what).await?;
        for account in remote.accounts(what).await? {
            all.extend(remote::files(&patterns, &account));
        }
        all.extend(own.iter().cloned());
        all.sort();
        all.dedup();
        let (mut found, mut elsewhere) = (Vec::new(), Vec::new());
        for path in remote.holding(&all, &public.base64, what).await? {
            let Some(file) = remote.read(&path, what).await? else { continue };
            let lines = lines::find(&file.text, &public.base64);
            if own.contains(&path) {
                found.push((file, lines));
            } else if lines.iter().any(|line| line.active) {
                elsewhere.push(path);
            }
        }
        Ok((found, elsewhere))
    }

    /// The account and the files of its keys.
    pub(super) async fn files_of(
        &self,
        remote: &Remote,
        what: &'static str,
    ) -> Result<(Account, Vec<String>), ConnectError> {
        let Some(account) = remote.account(&self.user, what).await? else {
            let why = format!("it has no account `{}`", self.user);
            return Err(remote.host.failed(what, ConnectErrorKind::Denied, why));
        };
        let files = remote::files(&self.patterns(remote, what).await?, &account);
        Ok((account, files))
    }

    /// Where the host keeps keys.
    async fn patterns(&self, remote: &Remote, what: &'static str) -> Result<Vec<String>, ConnectError> {
        if self.authorized_keys.is_empty() {
            Ok(remote::patterns(&remote.settings(&self.user, what).await?))
        } else {
            Ok(self.authorized_keys.clone())
        }
    }

    /// The account's sessions that began until `bound`.
    async fn sessions_of(
        &self,
        remote: &Remote,
        bound: Option<&Bound>,
        what: &'static str,
    ) -> Result<Vec<Session>, ConnectError> {
        let all = remote.processes(what).await?;
        if !all.as_root && self.user != self.admin_user {
            let why = format!(
                "`{}` is not root there, so nothing is known of the sessions of `{}`: set `sudo: true`",
                self.admin_user, self.user
            );
            return Err(remote.host.failed(what, ConnectErrorKind::Denied, why));
        }
        Ok(session::of(&self.user, &all, bound))
    }

    async fn known_hosts(&self) -> Result<String, ConnectError> {
        let failed = |why: String| self.failed("reading `known_hosts`", ConnectErrorKind::Denied, why);
        let bytes = tokio::fs::read(&self.known_hosts)
            .await
            .map_err(|error| failed(format!("{}: {}", self.known_hosts.display(), error.kind())))?;
        Ok(String::from_utf8_lossy(&bytes).into_owned())
    }

    /// Reads the administrator's key.
    pub(super) async fn admin(&self) -> Result<Admin, ConnectError> {
        const WHAT: &str = "reading the administrator's key";
        let value = self.admin.resolve(&self.context).await?;
        let key = Key::read(&value).map_err(|why| self.failed(WHAT, ConnectErrorKind::Denied, why))?;
        Ok(Admin { key, known_hosts: self.known_hosts().await? })
    }

    pub(super) async fn open(
        &self,
        place: &Place,
        admin: &Admin,
        what: &'static str,
    ) -> Result<Remote, ConnectError> {
        let known = Known::of(&admin.known_hosts, &place.host, place.port);
        let host = Host::open(place, &known, (&self.admin_user, &admin.key), what).await?;
        Ok(Remote { host, sudo: self.sudo })
    }
}

/// The line of the key that goes, and where it is: in force, or taken away by us.
fn predecessor<'a>(files: &'a [File], fingerprint: &str) -> Option<(&'a File, String)> {
    files.iter().find_map(|file| {
        let lines = lines::of_fingerprint(&file.text, fingerprint);
        lines.into_iter().next().map(|line| (file, line.options))
    })
}

/// Does it on many hosts at a time; answers in the order of the hosts.
async fn all<T>(mut each: impl Iterator<Item = impl Future<Output = T>>) -> Vec<T> {
    let mut answers = Vec::new();
    loop {
        let some: Vec<_> = each.by_ref().take(AT_ONCE).collect();
        if some.is_empty() {
            return answers;
        }
        answers.extend(join_all(some).await);
    }
}

/// The host's time, and what no session that begins now lies before.
async fn bound(remote: &Remote, what: &'static str) -> Result<(Timestamp, Bound), ConnectError> {
    let all = remote.processes(what).await?;
    Ok((all.at, Bound::now(&all)))
}

/// A host that was not asked then has no bound: all of its sessions count.
fn bound_of<'a>(cutoff: Option<&'a Cutoff<Bound>>, remote: &Remote) -> Option<&'a Bound> {
    cutoff.and_then(|cutoff| cutoff.each.get(&remote.host.name()))
}

/// A cutoff as it was given.
fn moment(cutoff: Option<&str>) -> Result<Option<Cutoff<Bound>>, ConnectError> {
    let parsed = cutoff.map(str::parse).transpose();
    parsed.map_err(|why: &str| ConnectError::new("ssh", "reading the cutoff", ConnectErrorKind::Denied, why))
}
