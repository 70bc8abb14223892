//! The server's door: connecting, trying a credential, and what a failure means.
//!
//! Error codes: PostgreSQL 15 documentation, appendix A. What a client is told at the door, and by which routine:
//! `src/backend/libpq/auth.c` (`auth_failed`, `ClientAuthentication`) and `src/backend/utils/init/miscinit.c`
//! (`InitializeSessionUserId`); routine names, unlike messages, are not translated.

use quell_core::outcome::{Facts, Probe};
use serde_json::Value;
use sqlx::postgres::{PgConnectOptions, PgDatabaseError, PgSslMode};
use sqlx::{ConnectOptions as _, PgConnection};
use zeroize::Zeroizing;

use super::session;
use super::sql;
use crate::dsn::{BadDsn, Dsn};
use crate::error::{ConnectError, ConnectErrorKind};
use crate::words;

/// Where connections go. All probes use the configured door, never the host inside a leaked URL.
#[derive(Clone, Debug)]
pub(super) struct Door {
    pub(super) host: String,
    pub(super) port: u16,
    pub(super) database: String,
    mode: PgSslMode,
    /// `sslmode` as written, for URLs that are made here.
    pub(super) mode_text: Option<String>,
    root: Option<String>,
    certificate: Option<String>,
    key: Option<String>,
}

impl Door {
    /// The door that a URL leads to. Without a database the user's name is taken, as clients do.
    pub(super) fn of(dsn: &Dsn) -> Result<Self, BadDsn> {
        let (host, port) = dsn.host_port()?;
        let mode_text = dsn.parameter("sslmode")?;
        let mode = match mode_text.as_deref() {
            None => PgSslMode::Prefer,
            Some(text) => text.parse().map_err(|_e| BadDsn("the URL's sslmode is not known"))?,
        };
        Ok(Self {
            host,
            port,
            database: dsn.database()?.or(dsn.user().map(str::to_owned)).unwrap_or_default(),
            mode,
            mode_text,
            root: dsn.parameter("sslrootcert")?,
            certificate: dsn.parameter("sslcert")?,
            key: dsn.parameter("sslkey")?,
        })
    }

    /// The door in words.
    pub(super) fn words(&self) -> String {
        let Self { host, port, database, .. } = self;
        format!("postgres {host}:{port}/{database}")
    }

    /// Logs in. Statement logging is off: even a verifier is not for logs.
    pub(super) async fn open(&self, user: &str, password: Option<&str>) -> sqlx::Result<PgConnection> {
        let mut options = PgConnectOptions::new_without_pgpass()
            .host(&self.host)
            .port(self.port)
            .database(&self.database)
            .username(user)
            .ssl_mode(self.mode)
            .application_name("quell")
            .statement_cache_capacity(0)
            .disable_statement_logging();
        if let Some(password) = password {
            options = options.password(password);
        }
        if let Some(root) = &self.root {
            options = options.ssl_root_cert(root);
        }
        if let Some(certificate) = &self.certificate {
            options = options.ssl_client_cert(certificate);
        }
        if let Some(key) = &self.key {
            options = options.ssl_client_key(key);
        }
        options.connect().await
    }

    /// Tries a password as its bearer would, and asks who was let in.
    pub(super) async fn probe(&self, user: &str, password: &str) -> Probe {
        let tried = async {
            let mut connection = self.open(user, Some(password)).await?;
            let rows = session::fetch(&mut connection, &sql::WHOAMI.fill(&[])).await?;
            session::close(connection).await;
            Ok(rows)
        };
        match tried.await {
            Ok(rows) => {
                let mut cells = rows.into_iter().next().unwrap_or_default().into_iter();
                let mut facts = Facts::new();
                for name in ["role", "database", "server_time"] {
                    facts.insert(name.to_owned(), cells.next().flatten().map_or(Value::Null, Value::String));
                }
                facts.insert("server".to_owned(), format!("{}:{}", self.host, self.port).into());
                Probe::Accepted { facts }
            }
            Err(error) => self.answer(&error, password),
        }
    }

    /// Reads a failed login. Only the server's own word on this role and password is a refusal.
    fn answer(&self, error: &sqlx::Error, password: &str) -> Probe {
        let words = words::without(&message(error), password);
        let Some(database_error) = database_error(error) else {
            return Probe::Inconclusive { reason: format!("{}: {words}", self.words()) };
        };
        let code = database_error.code();
        // 28000 is also how pg_hba.conf turns away a host, an unencrypted connection, or another method of
        // authentication: that says nothing about this password.
        let refused = matches!(
            (code, database_error.routine()),
            ("28P01", _) | ("28000", None | Some("InitializeSessionUserId"))
        );
        if refused {
            return Probe::Refused { code: code.to_owned(), message: words };
        }
        let hint = match code {
            "42501" => "; grant CONNECT on the database to the role, or set `database` to one it may use",
            "3D000" => "; set `database` to one that exists",
            _ => "",
        };
        Probe::Inconclusive { reason: format!("{}: {code}: {words}{hint}", self.words()) }
    }
}

/// The administrator's way in.
pub(super) struct Admin {
    pub(super) door: Door,
    pub(super) user: String,
    password: Option<Zeroizing<String>>,
}

impl Admin {
    pub(super) fn new(door: Door, user: String, password: Option<&str>) -> Self {
        Self { door, user, password: password.map(|p| Zeroizing::new(p.to_owned())) }
    }

    /// Logs in as the administrator.
    pub(super) async fn open(&self, what: &'static str) -> Result<PgConnection, ConnectError> {
        let opened = self.door.open(&self.user, self.password.as_deref().map(String::as_str)).await;
        opened.map_err(|error| self.login_failed(what, &error))
    }

    /// The administrator's own probe.
    pub(super) async fn probe(&self) -> Probe {
        self.door.probe(&self.user, self.password.as_deref().map_or("", String::as_str)).await
    }

    fn login_failed(&self, what: &'static str, error: &sqlx::Error) -> ConnectError {
        let words = words::without(&message(error), self.password.as_deref().map_or("", String::as_str));
        let failed = |kind, detail| ConnectError::new(self.door.words(), what, kind, detail);
        let Some(database_error) = database_error(error) else {
            // Nothing but a login was sent, so nothing changed. What is not the network is the configuration: TLS,
            // or a method of authentication that the driver does not speak.
            let by_network = matches!(error, sqlx::Error::Io(_));
            let kind = if by_network { ConnectErrorKind::Unreachable } else { ConnectErrorKind::Denied };
            return failed(kind, words);
        };
        let code = database_error.code();
        let detail = format!("{code}: {words}");
        match code {
            code if code.starts_with("28") => failed(
                ConnectErrorKind::Denied,
                format!("{detail}; the administrator's URL is refused: renew what `admin` refers to"),
            ),
            "3D000" => failed(ConnectErrorKind::Missing, format!("{detail}; set `database`")),
            "42501" => failed(ConnectErrorKind::Denied, format!("{detail}; grant CONNECT to the admin")),
            _ if is_transient(code) => failed(ConnectErrorKind::Transient { retry_after: None }, detail),
            _ => failed(ConnectErrorKind::Unexpected, detail),
        }
    }
}

/// What a failed statement means. `hint` says what to grant when it was denied.
pub(super) fn statement_failed(
    system: &str,
    what: &'static str,
    error: &sqlx::Error,
    hint: &str,
) -> ConnectError {
    let words = message(error);
    let failed = |kind, detail| ConnectError::new(system, what, kind, detail);
    let Some(database_error) = database_error(error) else {
        return failed(ConnectErrorKind::Lost, words);
    };
    let code = database_error.code();
    let detail = format!("{code}: {words}");
    match code {
        "42501" => failed(ConnectErrorKind::Denied, format!("{detail}; {hint}")),
        "25006" => failed(ConnectErrorKind::Denied, format!("{detail}; name the primary, this is a standby")),
        "42704" => failed(ConnectErrorKind::Missing, detail),
        // The session was ended in the middle of the statement: it may have been committed just before.
        "57P01" | "57P02" | "57P05" => failed(ConnectErrorKind::Lost, detail),
        _ if is_transient(code) => failed(ConnectErrorKind::Transient { retry_after: None }, detail),
        _ => failed(ConnectErrorKind::Unexpected, detail),
    }
}

/// The server's error, when it gave one.
pub(super) fn database_error(error: &sqlx::Error) -> Option<&PgDatabaseError> {
    error.as_database_error().and_then(|e| e.try_downcast_ref())
}

/// Codes after which the same statement may succeed with nobody doing anything: the server is starting or
/// stopping, has no room, or somebody else holds a lock.
fn is_transient(code: &str) -> bool {
    matches!(code, "57014" | "57P01" | "57P02" | "57P03" | "55P03" | "40001" | "40P01")
        || code.starts_with("53")
}

/// The failure in words: one line, bounded.
pub(super) fn message(error: &sqlx::Error) -> String {
    words::of_database(error, database_error(error).map(PgDatabaseError::message))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_door_follows_the_url() {
        let door = |text: &str| Door::of(&Dsn::parse(text, &super::super::URL).unwrap());
        assert_eq!(door("postgres://u:p@h").unwrap().words(), "postgres h:5432/u");
        assert_eq!(door("postgres://u:p@h:1/d?sslmode=verify-full").unwrap().words(), "postgres h:1/d");
        assert!(door("postgres://u:p@h/d?sslmode=sometimes").is_err());
    }
}
