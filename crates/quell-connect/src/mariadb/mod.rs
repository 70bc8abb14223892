//! MariaDB: passwords of accounts.
//!
//! An account can have several methods to log in, joined by `OR`, so the new password is put beside the old one before that goes. Only
//! hashes are sent, so neither the general log nor the process list sees a value.

mod account;
mod change;
mod check;
mod config;
mod cutoff;
mod door;
mod session;
mod sql;

use std::fmt;

use async_trait::async_trait;
use quell_core::issuer::{Capabilities, Chooser, ValidAtOnce};
use quell_core::outcome::Probe;
use quell_core::secret::{Credential, SecretValue};
use serde_json::Value;
use zeroize::Zeroizing;

use crate::connector::{Check, Definition, Issuer, IssuerOp, Performed};
use crate::context::Context;
use crate::dsn::{self, Family, Place};
use crate::error::{ConfigError, ConnectError, ConnectErrorKind};
use crate::password;
use crate::source::SecretSource;

use config::schemas;
use door::{Admin, Door};
use session::Session;

/// MariaDB.
pub static CONNECTOR: Definition = Definition {
    id: "mariadb",
    summary: "MariaDB: passwords of accounts, two at a time",
    readme: include_str!("README.md"),
    schemas,
    issuer: Some(build),
    store: None,
    reload: None,
    observe: None,
    notify: None,
    channel: None,
};

static URL: Family = Family {
    schemes: &["mysql", "mariadb"],
    port: 3306,
    nobody: None,
    otherwise: "the value is not a mysql:// or mariadb:// URL",
    neither: "it is no mysql:// URL",
};

/// The issuer. It holds references only; the administrator's URL is read anew for each call.
struct MariaDb {
    context: Context,
    admin: SecretSource,
    user: String,
    host: String,
    aliases: Vec<Place>,
    database: Option<String>,
    settle_ms: u64,
}

impl fmt::Debug for MariaDb {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("MariaDb")
            .field("admin", &self.admin)
            .field("user", &self.user)
            .field("host", &self.host)
            .finish_non_exhaustive()
    }
}

fn build(config: &Value, context: &Context) -> Result<Box<dyn Issuer>, ConfigError> {
    Ok(Box::new(MariaDb::new(config, context)?))
}

impl MariaDb {
    /// The account as SQL names it.
    fn account_text(&self) -> String {
        format!("{}@{}", sql::name(&self.user), sql::name(&self.host))
    }

    fn target_text(&self) -> String {
        format!("mariadb of {} ({})", self.admin, self.account_text())
    }

    fn failed(&self, what: &'static str, kind: ConnectErrorKind, detail: impl Into<String>) -> ConnectError {
        ConnectError::new(self.target_text(), what, kind, detail)
    }

    /// Ends a call that hangs.
    async fn within<T>(
        &self,
        what: &'static str,
        call: impl Future<Output = Result<T, ConnectError>>,
    ) -> Result<T, ConnectError> {
        self.context.within(|| self.target_text(), what, call).await
    }

    /// Reads the administrator's URL.
    async fn admin(&self) -> Result<Admin, ConnectError> {
        let failed =
            |detail: &str| self.failed("reading the administrator's URL", ConnectErrorKind::Denied, detail);
        let dsn = URL.admin(&self.admin, &self.context, failed).await?;
        let door = Door::of(&dsn).map_err(|error| failed(error.0))?;
        let user = dsn.user().ok_or_else(|| failed("it names no user"))?.to_owned();
        let password = dsn.password().ok_or_else(|| failed("it holds no password"))?;
        Ok(Admin { door, user, password: Zeroizing::new(password.to_owned()) })
    }

    async fn session(&self, admin: &Admin, what: &'static str) -> Result<Session, ConnectError> {
        // Shorter than our own limit, so that the server gives up first and no statement binds after we left.
        Session::open(admin, what, self.context.call_limit.as_secs() * 3 / 4).await
    }

    /// Why a refusal of a value here says nothing about the server that its URL names.
    async fn leads_elsewhere(&self, value: &SecretValue) -> Option<String> {
        // Without the administrator's URL nothing is tried at all, and that is told elsewhere.
        let door = self.within("reading where the value leads", self.admin()).await.ok()?.door;
        let mut doors = vec![Place { host: door.host, port: door.port }];
        doors.extend(self.aliases.iter().cloned());
        URL.elsewhere(value, &doors)
    }

    /// The password inside a credential, which must be the configured user's.
    fn password(&self, credential: &Credential) -> Result<Zeroizing<String>, ConnectError> {
        const WHAT: &str = "reading the credential";
        let failed = |detail: &str| self.failed(WHAT, ConnectErrorKind::Denied, detail);
        if credential.principal != self.user {
            return Err(failed(&format!("`{}` is not the configured user", credential.principal)));
        }
        let password = URL.password_in(&credential.value, &self.user).map_err(|why| failed(&why))?;
        // An account without a password takes any that is empty, by a way in that no method of ours stands for.
        if password.is_empty() { Err(failed("the password is empty")) } else { Ok(password) }
    }

    /// A URL for the administrator's own server.
    fn fresh_url(&self, door: &Door, password: &str) -> SecretValue {
        let database = self.database.as_deref().map(dsn::encode).unwrap_or_default();
        let mode = door.mode_text.as_ref().map(|mode| format!("?ssl-mode={mode}")).unwrap_or_default();
        dsn::make("mysql", &self.user, password, &format!("{}/{database}{mode}", door.place()))
    }
}

#[async_trait]
impl Issuer for MariaDb {
    fn capabilities(&self) -> Capabilities {
        Capabilities {
            chooser: Chooser::Client,
            valid_at_once: ValidAtOnce::Two,
            sessions_survive: true,
            can_disable: true,
            self_revocable: false,
            can_mint: true,
            can_probe: true,
            settle_ms: self.settle_ms,
            refusals: ["1045", "1698", "4151"].map(str::to_owned).to_vec(),
        }
    }

    fn target(&self) -> String {
        self.target_text()
    }

    fn lane(&self) -> (String, Option<u16>) {
        (format!("mariadb of {}", self.admin), None)
    }

    async fn check(&self) -> Vec<Check> {
        self.checks().await
    }

    async fn warnings(&self, current: Option<&SecretValue>) -> Vec<String> {
        let mut warnings = self.all_warnings().await;
        if let Some(current) = current {
            warnings.extend(self.leads_elsewhere(current).await);
        }
        warnings
    }

    fn identify(&self, value: &SecretValue) -> Result<Credential, ConnectError> {
        const WHAT: &str = "reading whose credential it is";
        let failed = |detail: &str| self.failed(WHAT, ConnectErrorKind::Denied, detail);
        match URL.user_in(value, &[&self.user]).map_err(|why| failed(&why))? {
            // What a URL names as its user may be a password in the wrong place: it is not repeated.
            Some(user) if user != self.user => {
                return Err(failed(&format!("it is for another user than `{}`", self.user)));
            }
            Some(_) | None => {}
        }
        Ok(Credential { principal: self.user.clone(), value: value.duplicate() })
    }

    async fn choose(&self, old: Option<&Credential>, _tag: &str) -> Result<Credential, ConnectError> {
        const WHAT: &str = "choosing a password";
        let password = password::random()
            .map_err(|detail| self.failed(WHAT, ConnectErrorKind::Transient { retry_after: None }, detail))?;
        let value = if let Some(old) = old {
            drop(self.password(old)?);
            URL.successor(&old.value, &self.user, &password)
        } else {
            let admin = self.within(WHAT, self.admin()).await?;
            self.fresh_url(&admin.door, &password)
        };
        Ok(Credential { principal: self.user.clone(), value })
    }

    async fn perform(&self, op: IssuerOp<'_>) -> Performed {
        Box::pin(self.change(op)).await.unwrap_or_else(|error| error.outcome()).into()
    }

    async fn observe(&self, op: IssuerOp<'_>) -> Performed {
        Box::pin(self.look(op)).await.unwrap_or_else(|error| error.unseen()).into()
    }

    /// Connects to the configured server, never to the host inside a leaked URL: that may be a stranger's.
    async fn probe(&self, credential: &Credential) -> Probe {
        Box::pin(self.tried(credential))
            .await
            .unwrap_or_else(|error| Probe::Inconclusive { reason: error.to_string() })
    }

    async fn elsewhere(&self, credential: &Credential) -> Option<String> {
        self.leads_elsewhere(&credential.value).await
    }

    async fn leads_away(&self, credential: &Credential) -> Option<String> {
        self.elsewhere(credential).await
    }

    async fn control(&self) -> Probe {
        let tried = self.within("trying the administrator", async {
            let admin = self.admin().await?;
            Ok(admin.door.probe(&admin.user, &admin.password).await)
        });
        tried.await.unwrap_or_else(|error| Probe::Inconclusive { reason: error.to_string() })
    }

    async fn sessions(&self, old: &Credential, cutoff: Option<&str>) -> Result<u64, ConnectError> {
        self.live_sessions(old, cutoff).await
    }
}
