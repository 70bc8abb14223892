//! Accounts that another system makes and drops (a vault's dynamic credentials): tried, counted and ended at the server's own door.

use quell_core::outcome::Probe;
use quell_core::secret::SecretValue;
use zeroize::Zeroizing;

use super::config::Roles;
use super::{Postgres, URL};
use crate::connector::Check;
use crate::context::Context;
use crate::dsn::Dsn;
use crate::error::{ConnectError, ConnectErrorKind};
use crate::source::SecretSource;

/// A server and an account of ours on it, which sees and ends sessions.
#[derive(Debug)]
pub(crate) struct Guests(Postgres);

/// A guest's login.
struct Login {
    user: String,
    password: Zeroizing<String>,
}

impl Guests {
    /// `watch` refers to the `postgres://` URL of our own account.
    pub(crate) fn new(watch: SecretSource, context: &Context) -> Self {
        Self(Postgres {
            context: context.clone(),
            admin: watch,
            roles: Roles::One { role: String::new(), group: None },
            settle_ms: 0,
            host: None,
            port: None,
            database: None,
            aliases: Vec::new(),
        })
    }

    fn login(&self, value: &SecretValue) -> Result<Login, ConnectError> {
        let failed = |detail: &str| {
            let what = "reading the credential";
            ConnectError::new(format!("postgres of {}", self.0.admin), what, ConnectErrorKind::Denied, detail)
        };
        let text = value.expose_text().ok_or_else(|| failed("it is not UTF-8"))?;
        if text.trim_start().starts_with('{') {
            // As the vault gave it. The parsed copy is wiped with its password taken out.
            let mut read: Issued = serde_json::from_str(text)
                .map_err(|_e| failed("it is no JSON with `username` and `password`"))?;
            return Ok(Login {
                user: std::mem::take(&mut read.username),
                password: Zeroizing::new(std::mem::take(&mut read.password)),
            });
        }
        let dsn = Dsn::parse(text, &URL).map_err(|_e| {
            failed("it is neither a postgres:// URL nor JSON with `username` and `password`")
        })?;
        match (dsn.user(), dsn.password()) {
            (Some(user), Some(password)) => {
                Ok(Login { user: user.to_owned(), password: Zeroizing::new(password.to_owned()) })
            }
            _ => Err(failed("the URL names no user or no password")),
        }
    }

    /// The account's name, if the value tells it.
    pub(crate) fn account(&self, value: &SecretValue) -> Option<String> {
        self.login(value).ok().map(|login| login.user)
    }

    /// Logs in with it, to the configured server, never to the host inside a leaked URL.
    pub(crate) async fn probe(&self, value: &SecretValue) -> Probe {
        let tried = self.0.within("trying the credential", async {
            let login = self.login(value)?;
            Ok(self.0.admin().await?.door.probe(&login.user, &login.password).await)
        });
        tried.await.unwrap_or_else(|error| Probe::Inconclusive { reason: error.to_string() })
    }

    /// Logs in with our own account.
    pub(crate) async fn control(&self) -> Probe {
        let tried =
            self.0.within("trying our own account", async { Ok(self.0.admin().await?.probe().await) });
        tried.await.unwrap_or_else(|error| Probe::Inconclusive { reason: error.to_string() })
    }

    /// Sessions of this login, and of all accounts that are gone.
    pub(crate) async fn sessions(&self, value: &SecretValue) -> Result<u64, ConnectError> {
        const WHAT: &str = "counting sessions";
        self.0
            .within(WHAT, async {
                let login = self.login(value)?;
                let admin = self.0.admin().await?;
                let mut session = self.0.session(&admin, WHAT).await?;
                let live = session.guests(&login.user).await?;
                session.close().await;
                Ok(live)
            })
            .await
    }

    /// Ends the same sessions; how many took the signal.
    pub(crate) async fn end_sessions(&self, value: &SecretValue) -> Result<u64, ConnectError> {
        const WHAT: &str = "ending sessions";
        self.0
            .within(WHAT, async {
                let login = self.login(value)?;
                let admin = self.0.admin().await?;
                let mut session = self.0.session(&admin, WHAT).await?;
                let ended = session.end_guests(&login.user).await?;
                session.close().await;
                Ok(ended)
            })
            .await
    }

    /// Whether our own account can do it.
    pub(crate) async fn check(&self) -> Vec<Check> {
        const WHAT: &str = "asking for our own rights";
        let asked = self.0.within(WHAT, async {
            let admin = self.0.admin().await?;
            let mut session = self.0.session(&admin, WHAT).await?;
            let rights = session.rights().await?;
            session.close().await;
            Ok((admin.door.words(), rights))
        });
        match asked.await {
            Ok((door, rights)) => {
                let may = rights.superuser || (rights.signals && rights.reads_stats);
                let user = super::sql::identifier(&rights.current_user);
                let detail = if may {
                    "it sees and ends sessions".to_owned()
                } else {
                    format!("as a superuser: GRANT pg_signal_backend, pg_read_all_stats TO {user}")
                };
                vec![
                    Check { what: format!("log in to {door}"), ok: true, detail: rights.session_user },
                    Check { what: format!("end sessions on {door}"), ok: may, detail },
                ]
            }
            Err(error) => vec![Check {
                what: "log in to the database".to_owned(),
                ok: false,
                detail: error.to_string(),
            }],
        }
    }
}

#[derive(serde::Deserialize)]
struct Issued {
    username: String,
    password: String,
}

impl Drop for Issued {
    fn drop(&mut self) {
        zeroize::Zeroize::zeroize(&mut self.password);
    }
}
