//! The three effects, and the look at each of them.

use std::time::Duration;

use quell_core::outcome::{Outcome, Probe};
use quell_core::secret::Credential;

use super::account::{Account, Method, NATIVE};
use super::cutoff::Cutoff;
use super::door::{Admin, NOT_STRICT};
use super::session::Session;
use super::{MariaDb, sql};
use crate::connector::IssuerOp;
use crate::effect::{after_effect, facts, installed, not_yet, severed};
use crate::error::{ConnectError, ConnectErrorKind};

/// Between two counts of sessions that were told to end, and how often they are counted.
const PAUSE: Duration = Duration::from_millis(50);
const COUNTS: u32 = 20;

/// Where a password that is refused still is.
enum Kept {
    Here(String),
    /// At another account, or it cannot be told.
    Elsewhere(String),
}

impl MariaDb {
    /// Does it.
    pub(super) async fn change(&self, op: IssuerOp<'_>) -> Result<Outcome, ConnectError> {
        match op {
            IssuerOp::Install { new } => self.within("installing the new password", self.install(new)).await,
            IssuerOp::Disable { old } => {
                let disable = Box::pin(self.disable(old));
                self.within("taking the old password away", disable).await
            }
            IssuerOp::Sever { old, cutoff } => {
                self.within("ending the old value's sessions", self.sever(old, cutoff)).await
            }
        }
    }

    /// Is it in force?
    pub(super) async fn look(&self, op: IssuerOp<'_>) -> Result<Outcome, ConnectError> {
        match op {
            IssuerOp::Install { new } => Ok(installed(self.try_it(new).await?)),
            IssuerOp::Disable { old } => match self.try_it(old).await? {
                Probe::Accepted { facts } => Ok(not_yet("the old value is still accepted", facts)),
                Probe::Refused { code, message } => {
                    let gone = Box::pin(self.is_gone(old, code, message));
                    self.within("looking for the old password", gone).await
                }
                Probe::Inconclusive { reason } => Ok(Outcome::unknown(reason)),
            },
            IssuerOp::Sever { old, cutoff } => {
                let live = self.live_sessions(old, cutoff).await?;
                Ok(severed(live, facts([("account", self.account_text().into())])))
            }
        }
    }

    /// Tries a login; a refusal counts only if the account, and every namesake of it, has the password no more.
    pub(super) async fn tried(&self, credential: &Credential) -> Result<Probe, ConnectError> {
        const WHAT: &str = "reading how the account logs in";
        let probe = self.try_it(credential).await?;
        let Probe::Refused { code, message } = probe else { return Ok(probe) };
        let method = Method::of(&self.password(credential)?);
        let read = Box::pin(self.within(WHAT, async {
            let mut session = self.session(&self.admin().await?, WHAT).await?;
            let accounts = session.accounts(&self.user).await?;
            let replicas = session.replicas(WHAT).await?;
            session.close().await;
            Ok((accounts, replicas))
        }));
        let (accounts, replicas) = read.await?;
        Ok(match self.kept(&accounts, &method, &code) {
            Some(Kept::Here(reason) | Kept::Elsewhere(reason)) => Probe::Inconclusive { reason },
            // The proof carries it.
            None if replicas > 0 => {
                let message = format!("{message} (asked on the primary alone, of {replicas} replicas none)");
                Probe::Refused { code, message }
            }
            None => Probe::Refused { code, message },
        })
    }

    /// Tries a login.
    async fn try_it(&self, credential: &Credential) -> Result<Probe, ConnectError> {
        self.within("trying the credential", async {
            let password = self.password(credential)?;
            Ok(self.admin().await?.door.probe(&self.user, &password).await)
        })
        .await
    }

    /// Counts the sessions that were opened with `old`.
    pub(super) async fn live_sessions(
        &self,
        old: &Credential,
        cutoff: Option<&str>,
    ) -> Result<u64, ConnectError> {
        const WHAT: &str = "counting sessions";
        self.within(WHAT, async {
            drop(self.password(old)?);
            let cutoff = self.moment(cutoff)?;
            let mut session = self.session(&self.admin().await?, WHAT).await?;
            let live = session.sessions(&self.user, cutoff.as_ref(), WHAT).await?.len();
            session.close().await;
            Ok(live as u64)
        })
        .await
    }

    /// A refusal at the door is not enough: a locked account keeps its password, another host's account may take it, and a client
    /// without TLS is turned away with the same number.
    async fn is_gone(
        &self,
        old: &Credential,
        code: String,
        message: String,
    ) -> Result<Outcome, ConnectError> {
        const WHAT: &str = "looking for the old password";
        let method = Method::of(&self.password(old)?);
        let mut session = self.session(&self.admin().await?, WHAT).await?;
        let accounts = session.accounts(&self.user).await?;
        // The session is newer than the refusal, so its number is a bound, too.
        let cutoff = Cutoff::from(session.now(WHAT).await?);
        session.close().await;
        match self.kept(&accounts, &method, &code) {
            Some(Kept::Here(why)) => return Ok(Outcome::retry(why)),
            Some(Kept::Elsewhere(why)) => return Ok(Outcome::refused(why)),
            None => {}
        }
        Ok(Outcome::applied([
            ("account", self.account_text().into()),
            ("code", code.into()),
            ("message", message.into()),
            ("cutoff", cutoff.to_string().into()),
        ]))
    }

    async fn install(&self, new: &Credential) -> Result<Outcome, ConnectError> {
        const WHAT: &str = "installing the new password";
        let method = Method::of(&self.password(new)?);
        let admin = self.admin().await?;
        let mut session = self.session(&admin, WHAT).await?;
        self.not_ourselves(&session, &admin, WHAT)?;
        let accounts = session.accounts(&self.user).await?;
        let name = self.account_text();
        let Some(account) = self.own(&accounts) else {
            return Ok(Outcome::refused(self.absent(&accounts)));
        };
        if let Some(why) = account.obstacle(&name, Some(&method)) {
            return Ok(Outcome::refused(why));
        }
        let already = account.has(&method);
        // The old one stays first: who logs in with it sees no change.
        let mut methods: Vec<Method> = account.usable().cloned().collect();
        let beside = methods.len() - usize::from(already);
        if !already {
            methods.push(method);
            self.identify_by(&mut session, &methods, WHAT).await?;
        }
        let version = session.version.clone();
        session.close().await;
        Ok(Outcome::applied([
            ("account", name.into()),
            ("method", "ALTER USER … IDENTIFIED VIA … OR …, with hashes made here".into()),
            ("passwords_beside", beside.into()),
            ("already", already.into()),
            ("server_version", version.into()),
        ]))
    }

    async fn disable(&self, old: &Credential) -> Result<Outcome, ConnectError> {
        const WHAT: &str = "taking the old password away";
        let password = self.password(old)?;
        let method = Method::of(&password);
        let admin = self.admin().await?;
        let mut session = self.session(&admin, WHAT).await?;
        self.not_ourselves(&session, &admin, WHAT)?;
        let accounts = session.accounts(&self.user).await?;
        let own = self.own(&accounts);
        let already = !own.is_some_and(|account| account.has(&method));
        let left = own.map_or(0, |account| account.usable().filter(|it| !it.same(&method)).count());
        if let (Some(account), false) = (own, already) {
            // ACCOUNT LOCK is not used: ACCOUNT UNLOCK would bring the old password back.
            self.identify_by(&mut session, &account.without(&method), WHAT).await?;
        }
        let version = session.version.clone();
        session.close().await;
        // A new connection, as the number of the first one is from before the change.
        let mut after = self.session(&admin, WHAT).await.map_err(after_effect)?;
        let cutoff = Cutoff::from(after.now(WHAT).await.map_err(after_effect)?);
        after.close().await;
        let facts = facts([
            ("account", self.account_text().into()),
            ("exists", own.is_some().into()),
            ("already", already.into()),
            ("methods_left", left.into()),
            ("cutoff", cutoff.to_string().into()),
            ("server_version", version.into()),
        ]);
        // What was taken away here is a fact, although the password opens another door.
        if let Some(reason) = self.elsewhere(&accounts, &method) {
            return Ok(Outcome::NotApplied { reason, retryable: false, retry_after_ms: None, facts });
        }
        if already {
            match admin.door.probe(&self.user, &password).await {
                Probe::Refused { .. } => {}
                Probe::Accepted { .. } => return Ok(Outcome::refused(self.still_open(own))),
                Probe::Inconclusive { reason } => return Ok(Outcome::unknown(reason)),
            }
        }
        Ok(Outcome::Applied { facts })
    }

    async fn sever(&self, old: &Credential, cutoff: Option<&str>) -> Result<Outcome, ConnectError> {
        const WHAT: &str = "ending the old value's sessions";
        drop(self.password(old)?);
        let moment = self.moment(cutoff)?;
        let admin = self.admin().await?;
        let mut session = self.session(&admin, WHAT).await?;
        self.not_ourselves(&session, &admin, WHAT)?;
        let mut ended = 0_u64;
        let mut left = session.sessions(&self.user, moment.as_ref(), WHAT).await?;
        for _ in 0..COUNTS {
            if left.is_empty() {
                break;
            }
            for id in &left {
                ended += u64::from(session.kill(*id, WHAT).await?);
            }
            tokio::time::sleep(PAUSE).await;
            left = session.sessions(&self.user, moment.as_ref(), WHAT).await.map_err(after_effect)?;
        }
        session.close().await;
        let facts = facts([
            ("account", self.account_text().into()),
            ("cutoff", cutoff.into()),
            ("killed", ended.into()),
        ]);
        Ok(severed(left.len() as u64, facts))
    }

    async fn identify_by(
        &self,
        session: &mut Session,
        methods: &[Method],
        what: &'static str,
    ) -> Result<(), ConnectError> {
        let Some(statement) = sql::identify(&self.user, &self.host, methods) else {
            let detail =
                "a method of the account has a text that cannot be written down again; change it by hand";
            return Err(session.failed(what, ConnectErrorKind::Denied, detail));
        };
        match session.run(what, &statement).await {
            // Said of an account that is there when a plugin that judges passwords cannot see one.
            Err(error) if error.kind == ConnectErrorKind::Missing && session.is_strict(what).await? => {
                let detail = format!("{}; Quell sends hashes only: {NOT_STRICT}", error.detail);
                Err(session.failed(what, ConnectErrorKind::Denied, detail))
            }
            other => other.map(drop),
        }
    }

    /// The configured account among those of its name. The server keeps hosts in lower case.
    pub(super) fn own<'a>(&self, accounts: &'a [Account]) -> Option<&'a Account> {
        accounts.iter().find(|account| account.host.eq_ignore_ascii_case(&self.host))
    }

    /// The hosts of other accounts of the name.
    pub(super) fn others(&self, accounts: &[Account]) -> Vec<String> {
        let others = accounts.iter().filter(|it| !it.host.eq_ignore_ascii_case(&self.host));
        others.map(|it| format!("{}@{}", sql::name(&self.user), sql::name(&it.host))).collect()
    }

    pub(super) fn absent(&self, accounts: &[Account]) -> String {
        let others = self.others(accounts).join(", ");
        let hint =
            if others.is_empty() { String::new() } else { format!(" (there is {others}: set `host`)") };
        format!("the account {} does not exist{hint}; make it with CREATE USER", self.account_text())
    }

    /// Why a refusal at the door, with this code, does not mean that the password is gone.
    fn kept(&self, accounts: &[Account], method: &Method, code: &str) -> Option<Kept> {
        if self.own(accounts).is_some_and(|account| account.has(method)) {
            let name = self.account_text();
            return Some(Kept::Here(format!("it is refused ({code}), but {name} still holds it")));
        }
        self.elsewhere(accounts, method).map(Kept::Elsewhere)
    }

    /// Whether the same password opens another host's account, or may open one by a method that compares in its own way.
    fn elsewhere(&self, accounts: &[Account], method: &Method) -> Option<String> {
        let holding: Vec<Account> = accounts.iter().filter(|it| it.has(method)).cloned().collect();
        let others = self.others(&holding).join(", ");
        if !others.is_empty() {
            return Some(format!(
                "{others} takes the same password: rotate it as a secret of its own, with its `host`"
            ));
        }
        let opaque = accounts.iter().filter_map(|it| Some((it, it.opaque()?)));
        let named: Vec<String> = opaque
            .map(|(it, plugins)| format!("{}@{} (by {plugins})", sql::name(&self.user), sql::name(&it.host)))
            .collect();
        (!named.is_empty()).then(|| {
            format!(
                "whether {} takes the same password cannot be told: give it a new one with ALTER USER, as {NATIVE}, or drop it",
                named.join(", ")
            )
        })
    }

    fn still_open(&self, own: Option<&Account>) -> String {
        let by: Vec<&str> =
            own.map(|it| it.usable().map(|it| it.plugin.as_str()).collect()).unwrap_or_default();
        let name = self.account_text();
        if by.is_empty() {
            format!("{name} cannot take it, but another account of the name lets it in: check `host`")
        } else {
            format!(
                "{name} is still let in by a method that Quell does not know ({}); change it by hand with ALTER USER",
                by.join(", ")
            )
        }
    }

    fn not_ourselves(
        &self,
        session: &Session,
        admin: &Admin,
        what: &'static str,
    ) -> Result<(), ConnectError> {
        let me = session.me.rsplit_once('@').map_or(session.me.as_str(), |(user, _)| user);
        if [me, &admin.user].contains(&self.user.as_str()) {
            let detail = format!("`{me}` is the administrator's own user: Quell would lock itself out");
            return Err(session.failed(what, ConnectErrorKind::Denied, detail));
        }
        Ok(())
    }

    /// A cutoff as it was given.
    fn moment(&self, cutoff: Option<&str>) -> Result<Option<Cutoff>, ConnectError> {
        let parsed = cutoff.map(str::parse).transpose();
        parsed.map_err(|why: &str| self.failed("reading the cutoff", ConnectErrorKind::Denied, why))
    }
}
