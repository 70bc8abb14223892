//! The three effects, on every host, and the look at each of them.

use std::collections::BTreeSet;
use std::time::Duration;

use futures_util::future::join_all;
use jiff::Timestamp;
use quell_core::outcome::{Outcome, Probe};
use quell_core::secret::Credential;
use serde_json::{Value, json};

use super::Ssh;
use super::file::{File, Owner, Revoked};
use super::host::{self, Host, Place};
use super::key::Key;
use super::known::Known;
use super::lines;
use super::remote::{self, Account, Remote};
use super::session::{self, Bound, Session};
use crate::connector::IssuerOp;
use crate::effect::{after_effect, facts, installed, not_yet, severed};
use crate::error::{ConnectError, ConnectErrorKind};
use crate::fleet::{self, Cutoff, Done, Stop};

/// What the servers are called together.
const HOSTS: &str = "hosts";

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
    fingerprint: String,
    line: String,
}

impl Public {
    fn of(key: &Key) -> Self {
        let line = key.public_line();
        let base64 = line.split(' ').nth(1).unwrap_or_default().to_owned();
        Self { base64, fingerprint: key.fingerprint(), line }
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
            let each = join_all(self.hosts.iter().map(|place| self.in_time(op, &key, &admin, place, what)));
            let facts = facts([("user", self.user.as_str().into()), ("key", key.fingerprint().into())]);
            Ok(fleet::together(facts, HOSTS, each.await))
        })
        .await
    }

    /// A host that hangs must not take the others' answers with it.
    async fn in_time(
        &self,
        op: IssuerOp<'_>,
        key: &Key,
        admin: &Admin,
        place: &Place,
        what: &'static str,
    ) -> Result<Done<Bound>, Stop> {
        let limit = self.context.call_limit.mul_f32(0.9);
        match tokio::time::timeout(limit, Box::pin(self.on_host(op, key, admin, place, what))).await {
            Ok(done) => done,
            Err(_elapsed) => {
                let why = format!("no answer within {} ms", limit.as_millis());
                Err(ConnectError::new(place.words(), what, ConnectErrorKind::Lost, why).into())
            }
        }
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
        Ok(match self.at_the_door(op.credential()).await? {
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
            let holding = self.holders(&remote, &public, WHAT).await?;
            Ok::<_, ConnectError>((place.words(), holding, bound(&remote, WHAT).await?))
        });
        let mut cutoff = Cutoff::none();
        for one in join_all(each).await {
            let (name, holding, (at, bound)) = one?;
            if !holding.is_empty() {
                return Ok(Err(format!(
                    "it is refused here, but {name} still keeps it in {}",
                    holding.join(", ")
                )));
            }
            cutoff.add(at, name, bound);
        }
        Ok(Ok(cutoff))
    }

    /// Tries a login on every host. A refusal here is one only if no file lets the key in: it may be taken from elsewhere (`from=`).
    pub(super) async fn try_it(&self, credential: &Credential) -> Result<Probe, ConnectError> {
        let tried = self.at_the_door(credential).await?;
        if !matches!(tried, Probe::Refused { .. }) {
            return Ok(tried);
        }
        let key = self.key(credential)?;
        let gone = Box::pin(self.is_gone(&key));
        Ok(match self.within("looking for the key", gone).await? {
            Ok(_) => tried,
            Err(reason) => Probe::Inconclusive { reason },
        })
    }

    async fn at_the_door(&self, credential: &Credential) -> Result<Probe, ConnectError> {
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
        fleet::agree(HOSTS, join_all(each).await)
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
            for one in join_all(each).await {
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
            files.extend(remote.read(path, &Owner::from(&account), what).await?);
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
                remote.create((path, &Owner::from(&account)), &text, what).await?;
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
        let (account, paths) = self.files_of(remote, what).await?;
        let owner = Owner::from(&account);
        let at = remote.time(what).await?.to_string();
        let (mut changed, mut known) = (Vec::new(), false);
        for path in &paths {
            let Some(file) = remote.read(path, &owner, what).await? else { continue };
            let lines = lines::find(&file.text, &public.base64);
            known |= !lines.is_empty();
            let active: Vec<usize> = lines.iter().filter(|it| it.active).map(|it| it.number).collect();
            if !active.is_empty() {
                let text = lines::without(&file.text, &public.base64, &at);
                remote.replace(&file, &text, what).await?;
                changed.push(json!({ "file": file.path, "lines": active }));
            }
            // A line that only OpenSSH understands is one, too.
            let left = remote.fingerprints((path, &owner), what).await.map_err(after_effect)?;
            if left.contains(&public.fingerprint) {
                let why = format!(
                    "{path} still lists the key, in a line that Quell cannot read: take it away by hand"
                );
                return Err(remote.host.failed(what, ConnectErrorKind::Lost, why).into());
            }
        }
        // It also refuses the key for accounts that nobody thought of.
        let listed = self.revoke(remote, public, what).await.map_err(|stop| match stop {
            Stop::Failed(error) if !changed.is_empty() => Stop::Failed(after_effect(error)),
            other @ (Stop::Failed(_) | Stop::Refused(_) | Stop::Half { .. }) => other,
        })?;
        if !known && listed.is_none() && self.authorized_keys.is_empty() {
            let said = remote.settings(&self.user, what).await?;
            if !said.is_known() {
                return Err(Stop::Refused(format!(
                    "{name} does not tell where it keeps keys (sshd -T), and {} do not hold this one: name the files in `authorized_keys`",
                    paths.join(", ")
                )));
            }
        }
        Ok(json!({ "already": changed.is_empty(), "taken_from": changed, "revoked_in": listed }))
    }

    /// Puts the key where `RevokedKeys` looks, if that is configured.
    async fn revoke(
        &self,
        remote: &Remote,
        public: &Public,
        what: &'static str,
    ) -> Result<Option<String>, Stop> {
        let Some(path) = &self.revoked_keys else { return Ok(None) };
        let settings = remote.settings(&self.user, what).await?;
        if settings.is_known() && settings.get("revokedkeys") != Some(path) && self.authorized_keys.is_empty()
        {
            return Err(Stop::Refused(format!(
                "sshd on {} does not read {path} (RevokedKeys): what is written there refuses nothing",
                remote.host.name()
            )));
        }
        match remote.revoked(path, &public.line, what).await? {
            Revoked::Absent => {
                remote.create((path, &Owner::root()), &format!("{}\n", public.line), what).await?;
            }
            Revoked::List(true) => {}
            Revoked::List(false) => {
                remote.revoke_in_krl(path, &public.line, what).await?;
                let now = remote.revoked(path, &public.line, what).await.map_err(after_effect)?;
                if now != Revoked::List(true) {
                    let why = format!("{path} does not list the key although it was put in");
                    return Err(remote.host.failed(what, ConnectErrorKind::Unexpected, why).into());
                }
            }
            Revoked::Text => {
                let file = remote.read(path, &Owner::root(), what).await?.ok_or_else(|| {
                    remote.host.failed(what, ConnectErrorKind::Conflict, format!("{path} went away"))
                })?;
                if !lines::find(&file.text, &public.base64).iter().any(|line| line.active) {
                    remote.replace(&file, &lines::with(&file.text, "", &public.line), what).await?;
                }
            }
        }
        Ok(Some(path.clone()))
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

    /// Whether `RevokedKeys` has the key.
    async fn is_listed(
        &self,
        remote: &Remote,
        public: &Public,
        what: &'static str,
    ) -> Result<bool, ConnectError> {
        let Some(path) = &self.revoked_keys else { return Ok(false) };
        match remote.revoked(path, &public.line, what).await? {
            Revoked::Absent => Ok(false),
            Revoked::List(refused) => Ok(refused),
            Revoked::Text => {
                Ok(remote.fingerprints((path, &Owner::root()), what).await?.contains(&public.fingerprint))
            }
        }
    }

    /// The files that still let the key in on a host, whoever's they are.
    async fn holders(
        &self,
        remote: &Remote,
        public: &Public,
        what: &'static str,
    ) -> Result<Vec<String>, ConnectError> {
        // Whatever files say, a key on the list is refused.
        if self.is_listed(remote, public, what).await? {
            return Ok(Vec::new());
        }
        let (account, own) = self.files_of(remote, what).await?;
        let mut holding = Vec::new();
        for path in &own {
            let there = remote.fingerprints((path, &Owner::from(&account)), what).await?;
            holding.extend(there.contains(&public.fingerprint).then(|| path.clone()));
        }
        let patterns = self.patterns(remote, what).await?;
        let accounts = remote.accounts(what).await?;
        let others: BTreeSet<String> = accounts
            .iter()
            .flat_map(|other| remote::files(&patterns, other))
            .filter(|path| !own.contains(path))
            .collect();
        let others: Vec<String> = others.into_iter().collect();
        holding.extend(remote.holding(&others, &public.fingerprint, what).await?);
        Ok(holding)
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
        let remote = Remote { host, sudo: self.sudo };
        // Who may not look sees nothing, which is no answer.
        if self.user != self.admin_user && !remote.is_root(what).await? {
            let why = format!(
                "`{}` is not root there, so it does not see the keys and sessions of `{}`: set `sudo: true`, or name another",
                self.admin_user, self.user
            );
            return Err(remote.host.failed(what, ConnectErrorKind::Denied, why));
        }
        Ok(remote)
    }
}

/// The line of the key that goes, and where it is: in force, or else the last that we took away.
fn predecessor<'a>(files: &'a [File], fingerprint: &str) -> Option<(&'a File, String)> {
    let lines = |file: &'a File| {
        lines::of_fingerprint(&file.text, fingerprint).into_iter().map(move |line| (file, line))
    };
    let all = || files.iter().flat_map(lines);
    let found = all().find(|(_, line)| line.active).or_else(|| all().last());
    found.map(|(file, line)| (file, line.options))
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
