//! The server's door: connecting, trying a credential, and what a failure means.
//!
//! Error numbers: <https://mariadb.com/kb/en/mariadb-error-code-reference/>. What a client is told at the door: `sql/sql_acl.cc`,
//! `acl_authenticate`.

use quell_core::outcome::{Facts, Probe};
use sqlx::mysql::{MySqlConnectOptions, MySqlDatabaseError, MySqlSslMode};
use sqlx::{ConnectOptions as _, MySqlConnection};
use zeroize::Zeroizing;

use super::session;
use super::sql;
use crate::dsn::{self, BadDsn, Dsn};
use crate::error::{ConnectError, ConnectErrorKind};
use crate::words;

/// Where connections go. All probes use the configured door, never the host inside a leaked URL.
#[derive(Clone, Debug)]
pub(super) struct Door {
    pub(super) host: String,
    pub(super) port: u16,
    mode: MySqlSslMode,
    /// `ssl-mode` as written, for URLs that are made here.
    pub(super) mode_text: Option<String>,
    ca: Option<String>,
}

impl Door {
    /// The door that a URL leads to.
    pub(super) fn of(dsn: &Dsn) -> Result<Self, BadDsn> {
        let (host, port) = dsn.host_port()?;
        let either = |one: &str, other: &str| Ok(dsn.parameter(one)?.or(dsn.parameter(other)?));
        let mode_text: Option<String> = either("ssl-mode", "sslmode")?;
        let mode = match mode_text.as_deref() {
            None => MySqlSslMode::Preferred,
            Some(text) => text.parse().map_err(|_e| BadDsn("the URL's ssl-mode is not known"))?,
        };
        Ok(Self { host, port, mode, mode_text, ca: either("ssl-ca", "sslca")? })
    }

    /// Host and port, as people write them.
    pub(super) fn place(&self) -> String {
        dsn::place(&self.host, self.port)
    }

    fn words(&self) -> String {
        format!("mariadb {}", self.place())
    }

    /// Logs in, and into no database: which one the bearer may use says nothing about the password. Statement logging is off: even
    /// a hash is not for logs.
    async fn open(&self, user: &str, password: &str) -> sqlx::Result<MySqlConnection> {
        let mut options = MySqlConnectOptions::new()
            .host(&self.host)
            .port(self.port)
            .username(user)
            .password(password)
            .ssl_mode(self.mode)
            .statement_cache_capacity(0)
            // Nothing is sent after the login that we did not ask for.
            .pipes_as_concat(false)
            .no_engine_substitution(false)
            .timezone(None)
            .set_names(false)
            .disable_statement_logging();
        if let Some(ca) = &self.ca {
            options = options.ssl_ca(ca);
        }
        options.connect().await
    }

    /// Tries a password as its bearer would, and asks who was let in.
    pub(super) async fn probe(&self, user: &str, password: &str) -> Probe {
        let tried = async {
            let mut connection = self.open(user, password).await?;
            let rows = session::fetch(&mut connection, sql::WHOAMI).await?;
            session::close(connection).await;
            Ok(rows)
        };
        match tried.await {
            Ok(rows) => {
                let mut cells = rows.into_iter().next().unwrap_or_default().into_iter();
                let mut next = || cells.next().flatten();
                let (account, _id) = (next(), next());
                let time = next().as_deref().and_then(session::timestamp);
                let mut facts = Facts::new();
                facts.insert("account".to_owned(), account.into());
                facts.insert("server".to_owned(), self.place().into());
                facts.insert("server_time".to_owned(), time.map(|time| time.to_string()).into());
                Probe::Accepted { facts }
            }
            Err(error) => self.answer(&error, password),
        }
    }

    /// Reads a failed login. Only the server's own word on this account and password is a refusal.
    fn answer(&self, error: &sqlx::Error, password: &str) -> Probe {
        let words = words::without(&message(error), password);
        let Some(number) = number(error) else {
            return Probe::Inconclusive { reason: format!("{}: {words}", self.words()) };
        };
        match number {
            // 1698 is told where no method is left that takes a password from here; whether the account holds one is read besides.
            1045 | 1698 | 4151 => Probe::Refused { code: number.to_string(), message: words },
            // Told to whoever gave the right password (`sql/sql_acl.cc`, `check_password_lifetime`): its bearer may set another one.
            1820 | 1862 => {
                let mut facts = Facts::new();
                facts.insert("server".to_owned(), self.place().into());
                facts.insert("expired".to_owned(), true.into());
                Probe::Accepted { facts }
            }
            _ => {
                Probe::Inconclusive { reason: format!("{}: {number}: {words}{}", self.words(), hint(number)) }
            }
        }
    }
}

/// What to do where plugins judge passwords.
pub(super) const NOT_STRICT: &str = "SET GLOBAL strict_password_validation = OFF";

/// The administrator's way in.
pub(super) struct Admin {
    pub(super) door: Door,
    pub(super) user: String,
    pub(super) password: Zeroizing<String>,
}

impl Admin {
    /// Logs in as the administrator.
    pub(super) async fn open(&self, what: &'static str) -> Result<MySqlConnection, ConnectError> {
        let opened = self.door.open(&self.user, &self.password).await;
        opened.map_err(|error| self.login_failed(what, &error))
    }

    /// The server in words.
    pub(super) fn system(&self) -> String {
        self.door.words()
    }

    fn login_failed(&self, what: &'static str, error: &sqlx::Error) -> ConnectError {
        let words = words::without(&message(error), &self.password);
        let failed = |kind, detail| ConnectError::new(self.system(), what, kind, detail);
        let Some(number) = number(error) else {
            // Nothing but a login was sent, so nothing changed. What is not the network is the configuration: TLS, or a plugin that
            // the driver does not speak.
            let by_network = matches!(error, sqlx::Error::Io(_));
            let kind = if by_network { ConnectErrorKind::Unreachable } else { ConnectErrorKind::Denied };
            return failed(kind, words);
        };
        let detail = format!("{number}: {words}{}", hint(number));
        match number {
            1045 | 1698 | 1820 | 1862 | 4151 => failed(
                ConnectErrorKind::Denied,
                format!("{detail}; the administrator's URL is refused: renew what `admin` refers to"),
            ),
            1129 | 1130 | 4150 => failed(ConnectErrorKind::Denied, detail),
            _ if is_transient(number) || number == 1053 => {
                failed(ConnectErrorKind::Transient { retry_after: None }, detail)
            }
            _ => failed(ConnectErrorKind::Unexpected, detail),
        }
    }
}

/// What a failed statement means.
pub(super) fn statement_failed(system: &str, what: &'static str, error: &sqlx::Error) -> ConnectError {
    let words = message(error);
    let failed = |kind, detail| ConnectError::new(system, what, kind, detail);
    let Some(number) = number(error) else {
        return failed(ConnectErrorKind::Lost, words);
    };
    let detail = format!("{number}: {words}");
    match number {
        1290 if words.contains("strict-password-validation") => {
            failed(ConnectErrorKind::Denied, format!("{detail}; Quell sends hashes only: {NOT_STRICT}"))
        }
        1044 | 1095 | 1142 | 1143 | 1227 | 1410 => failed(
            ConnectErrorKind::Denied,
            format!("{detail}; grant it to the administrator (the operator's page lists all)"),
        ),
        1290 | 1836 => failed(
            ConnectErrorKind::Denied,
            format!("{detail}; name the primary, this server takes no changes"),
        ),
        1372 | 1819 => {
            failed(ConnectErrorKind::Denied, format!("{detail}; Quell sends hashes only: {NOT_STRICT}"))
        }
        1396 => failed(ConnectErrorKind::Missing, detail),
        // The session was ended in the middle of the statement: it may have taken effect just before.
        1053 | 1317 | 1927 => failed(ConnectErrorKind::Lost, detail),
        _ if is_transient(number) => failed(ConnectErrorKind::Transient { retry_after: None }, detail),
        _ => failed(ConnectErrorKind::Unexpected, detail),
    }
}

/// The number of the server's error, when it gave one.
pub(super) fn number(error: &sqlx::Error) -> Option<u16> {
    let error: &MySqlDatabaseError = error.as_database_error()?.try_downcast_ref()?;
    Some(error.number())
}

/// After these the same statement may succeed with nobody doing anything: no room, somebody else's lock, a node that joins its cluster.
fn is_transient(number: u16) -> bool {
    matches!(number, 1040 | 1047 | 1203 | 1205 | 1213 | 1226 | 1969)
}

/// What to do about a login that said nothing on the password.
fn hint(number: u16) -> &'static str {
    match number {
        1129 => "; too many broken connections came from this host: FLUSH HOSTS",
        1130 => "; no account is open to the host that Quell runs on: probe from one that is",
        4150 => "; too many wrong passwords (max_password_errors): FLUSH PRIVILEGES lets it try again",
        _ => "",
    }
}

/// The failure in words: one line, bounded.
fn message(error: &sqlx::Error) -> String {
    let told: Option<&MySqlDatabaseError> = error.as_database_error().and_then(|it| it.try_downcast_ref());
    words::of_database(error, told.map(MySqlDatabaseError::message))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_door_follows_the_url() {
        let door = |text: &str| Door::of(&Dsn::parse(text, &super::super::URL).unwrap());
        assert_eq!(door("mysql://u:p@h/d").unwrap().words(), "mariadb h:3306");
        assert_eq!(door("mariadb://u:p@[::1]:7?ssl-mode=VERIFY_CA").unwrap().words(), "mariadb [::1]:7");
        assert!(door("mysql://u:p@h/d?ssl-mode=sometimes").is_err());
    }
}
