//! PostgreSQL: roles with passwords.
//!
//! Two roles that alternate (make before break), or one role whose password is replaced. The connector speaks
//! simple queries only, so it runs alike against a real server and against [`sandbox`].

mod change;
mod check;
mod config;
mod door;
mod guest;
pub mod sandbox;
mod scram;
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

pub(crate) use guest::Guests;

use config::{Roles, schemas};
use door::{Admin, Door};
use session::Session;

/// PostgreSQL.
pub static CONNECTOR: Definition = Definition {
    id: "postgres",
    summary: "PostgreSQL roles with passwords: two that alternate, or one",
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
    schemes: &["postgres", "postgresql"],
    port: 5432,
    nobody: None,
    otherwise: "the value is not a postgres:// URL",
    neither: "it is no postgres:// URL",
};

/// The issuer. It holds references only; the administrator's URL is read anew for each call.
struct Postgres {
    context: Context,
    admin: SecretSource,
    roles: Roles,
    settle_ms: u64,
    host: Option<String>,
    port: Option<u16>,
    database: Option<String>,
    aliases: Vec<Place>,
}

impl fmt::Debug for Postgres {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Postgres")
            .field("admin", &self.admin)
            .field("roles", &self.roles)
            .finish_non_exhaustive()
    }
}

fn build(config: &Value, context: &Context) -> Result<Box<dyn Issuer>, ConfigError> {
    Ok(Box::new(Postgres::new(config, context)?))
}

impl Postgres {
    /// Reads the administrator's URL.
    async fn admin(&self) -> Result<Admin, ConnectError> {
        let failed =
            |detail: &str| self.failed("reading the administrator's URL", ConnectErrorKind::Denied, detail);
        let dsn = URL.admin(&self.admin, &self.context, failed).await?;
        let mut door = Door::of(&dsn).map_err(|e| failed(e.0))?;
        if let Some(host) = &self.host {
            host.clone_into(&mut door.host);
        }
        if let Some(port) = self.port {
            door.port = port;
        }
        if let Some(database) = &self.database {
            database.clone_into(&mut door.database);
        }
        let user = dsn.user().ok_or_else(|| failed("it names no user"))?;
        Ok(Admin::new(door, user.to_owned(), dsn.password()))
    }

    async fn session(&self, admin: &Admin, what: &'static str) -> Result<Session, ConnectError> {
        // Shorter than our own limit, so that the server gives up first and no statement binds after we left.
        Session::open(admin, what, self.context.call_limit.as_millis() * 3 / 4).await
    }

    /// The password inside a credential, which must be for one of our roles.
    fn password(&self, credential: &Credential) -> Result<Zeroizing<String>, ConnectError> {
        const WHAT: &str = "reading the credential";
        let failed = |detail: String| self.failed(WHAT, ConnectErrorKind::Denied, detail);
        let principal = &credential.principal;
        if !self.roles.names().contains(&principal.as_str()) {
            return Err(failed(format!("`{principal}` is not one of the configured roles")));
        }
        URL.password_in(&credential.value, principal).map_err(failed)
    }

    fn failed(&self, what: &'static str, kind: ConnectErrorKind, detail: impl Into<String>) -> ConnectError {
        ConnectError::new(self.target(), what, kind, detail)
    }

    /// Ends a call that hangs.
    async fn within<T>(
        &self,
        what: &'static str,
        call: impl Future<Output = Result<T, ConnectError>>,
    ) -> Result<T, ConnectError> {
        self.context.within(|| self.target(), what, call).await
    }

    /// Which role takes the first value, when no old one tells: the one that nobody can or does use.
    async fn idle_role(&self) -> Result<String, ConnectError> {
        let Roles::Two { roles, .. } = &self.roles else {
            return Ok(self.roles.successor("").to_owned());
        };
        const WHAT: &str = "looking for the idle role";
        let admin = self.admin().await?;
        let mut session = self.session(&admin, WHAT).await?;
        let mut idle = None;
        for role in roles {
            let state = session.role(role, None).await?;
            if state.is_some_and(|state| !state.can_login) {
                return Ok(role.clone());
            }
            if session.sessions(role, "infinity").await?.live == 0 {
                idle = Some(role.clone());
            }
        }
        session.close().await;
        let detail = "both roles are in use; say which value is current";
        idle.ok_or_else(|| self.failed(WHAT, ConnectErrorKind::Conflict, detail))
    }
}

#[async_trait]
impl Issuer for Postgres {
    fn capabilities(&self) -> Capabilities {
        Capabilities {
            chooser: Chooser::Client,
            valid_at_once: match self.roles {
                Roles::One { .. } => ValidAtOnce::One,
                Roles::Two { .. } => ValidAtOnce::AlternatePrincipals,
            },
            sessions_survive: true,
            can_disable: true,
            self_revocable: false,
            can_mint: true,
            can_probe: true,
            settle_ms: self.settle_ms,
            refusals: vec!["28P01".to_owned(), "28000".to_owned()],
        }
    }

    fn target(&self) -> String {
        let roles = self.roles.names().join(", ");
        match (&self.host, &self.database) {
            (Some(host), Some(database)) => {
                format!("postgres {host}:{}/{database} ({roles})", self.port.unwrap_or(5432))
            }
            _ => format!("postgres of {} ({roles})", self.admin),
        }
    }

    /// Databases of one server are the same server.
    fn lane(&self) -> (String, Option<u16>) {
        let port = self.port.map(|port| format!(":{port}")).unwrap_or_default();
        let place = match &self.host {
            Some(host) => format!("{host}:{}", self.port.unwrap_or(5432)),
            None => format!("of {}{}", self.admin, port),
        };
        (format!("postgres {place}"), None)
    }

    async fn check(&self) -> Vec<Check> {
        self.checks().await
    }

    async fn warnings(&self, current: Option<&SecretValue>) -> Vec<String> {
        self.all_warnings(current).await
    }

    fn identify(&self, value: &SecretValue) -> Result<Credential, ConnectError> {
        const WHAT: &str = "reading whose credential it is";
        let failed = |detail: String| self.failed(WHAT, ConnectErrorKind::Denied, detail);
        let named = URL.user_in(value, &self.roles.names()).map_err(failed)?;
        let principal = match (named, &self.roles) {
            (Some(user), _) => user,
            (None, Roles::One { role, .. }) => role.clone(),
            (None, Roles::Two { .. }) => {
                return Err(failed(
                    "a bare password does not say which of two roles it is for; keep a postgres:// URL in the store"
                        .to_owned(),
                ));
            }
        };
        if !self.roles.names().contains(&principal.as_str()) {
            // What a URL names as its user may be a password in the wrong place: it is not repeated.
            let names = self.roles.names().join("`, `");
            return Err(failed(format!(
                "it is for another role than `{names}`; if that is right, add it to `roles`"
            )));
        }
        Ok(Credential { principal, value: value.duplicate() })
    }

    async fn choose(&self, old: Option<&Credential>, _tag: &str) -> Result<Credential, ConnectError> {
        const WHAT: &str = "choosing a password";
        let password = password::random()
            .map_err(|detail| self.failed(WHAT, ConnectErrorKind::Transient { retry_after: None }, detail))?;
        let Some(old) = old else {
            let principal = self.within(WHAT, self.idle_role()).await?;
            let admin = self.within(WHAT, self.admin()).await?;
            return Ok(Credential { value: fresh_url(&admin.door, &principal, &password), principal });
        };
        self.password(old)?;
        let principal = self.roles.successor(&old.principal).to_owned();
        let value = URL.successor(&old.value, &principal, &password);
        Ok(Credential { principal, value })
    }

    async fn perform(&self, op: IssuerOp<'_>) -> Performed {
        self.change(op).await.unwrap_or_else(|error| error.outcome()).into()
    }

    async fn observe(&self, op: IssuerOp<'_>) -> Performed {
        self.look(op).await.unwrap_or_else(|error| error.unseen()).into()
    }

    /// Connects to the configured server, never to the host inside a leaked URL: that may be a stranger's.
    async fn probe(&self, credential: &Credential) -> Probe {
        let tried = self.within("trying the credential", async {
            let password = self.password(credential)?;
            let admin = self.admin().await?;
            Ok(admin.door.probe(&credential.principal, &password).await)
        });
        tried.await.unwrap_or_else(|error| Probe::Inconclusive { reason: error.to_string() })
    }

    async fn elsewhere(&self, credential: &Credential) -> Option<String> {
        // Without the administrator's URL nothing is tried at all, and that is told elsewhere.
        let door = self.within("reading where the value leads", self.admin()).await.ok()?.door;
        let mut doors = vec![Place { host: door.host, port: door.port }];
        doors.extend(self.aliases.iter().cloned());
        URL.elsewhere(&credential.value, &doors)
    }

    async fn leads_away(&self, credential: &Credential) -> Option<String> {
        self.elsewhere(credential).await
    }

    async fn control(&self) -> Probe {
        let tried = self.within("trying the administrator", async { Ok(self.admin().await?.probe().await) });
        tried.await.unwrap_or_else(|error| Probe::Inconclusive { reason: error.to_string() })
    }

    async fn sessions(&self, old: &Credential, cutoff: Option<&str>) -> Result<u64, ConnectError> {
        self.within("counting sessions", self.live_sessions(old, cutoff)).await
    }
}

/// A URL for the administrator's own server.
fn fresh_url(door: &Door, role: &str, password: &str) -> SecretValue {
    // The folder of a socket holds slashes; an address of IPv6 is not to be encoded.
    let host = if door.host.contains(':') { door.host.clone() } else { dsn::encode(&door.host) };
    let mode = door.mode_text.as_ref().map(|mode| format!("?sslmode={mode}")).unwrap_or_default();
    let tail = format!("{}/{}{mode}", dsn::place(&host, door.port), dsn::encode(&door.database));
    dsn::make("postgres", role, password, &tail)
}
