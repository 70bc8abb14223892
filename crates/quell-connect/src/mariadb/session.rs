//! The administrator's session: statements as text, answers as text.

use jiff::Timestamp;
use sqlx::{AssertSqlSafe, Connection as _, Executor as _, MySqlConnection, Row as _};

use super::account::Account;
use super::cutoff::{Cutoff, Now};
use super::door::{Admin, number, statement_failed};
use super::sql;
use crate::error::{ConnectError, ConnectErrorKind};

/// One row, column by column; `None` is SQL's null.
pub(super) type Cells = Vec<Option<String>>;

/// Sends one statement as a simple query.
pub(super) async fn fetch(connection: &mut MySqlConnection, statement: &str) -> sqlx::Result<Vec<Cells>> {
    // Every name and text in it was quoted by `super::sql`.
    let rows = connection.fetch_all(sqlx::raw_sql(AssertSqlSafe(statement))).await?;
    // Answers to simple queries are text, whatever the type of the column is.
    rows.iter().map(|row| (0..row.len()).map(|column| row.try_get_unchecked(column)).collect()).collect()
}

/// Says goodbye. The answer, if any, has been read already.
pub(super) async fn close(connection: MySqlConnection) {
    drop(connection.close().await);
}

/// `1780000000.000005`.
pub(super) fn timestamp(text: &str) -> Option<Timestamp> {
    let (seconds, micros) = text.split_once('.').unwrap_or((text, "0"));
    if !micros.bytes().all(|digit| digit.is_ascii_digit()) {
        return None;
    }
    let micros: i32 = format!("{micros:0<6}").get(..6)?.parse().ok()?;
    Timestamp::new(seconds.parse().ok()?, micros.checked_mul(1000)?).ok()
}

/// A session of the administrator.
#[derive(Debug)]
pub(super) struct Session {
    connection: MySqlConnection,
    system: String,
    /// `user@host`, as the server let us in.
    pub(super) me: String,
    pub(super) version: String,
}

impl Session {
    /// Logs in and bounds every statement. A server that is not MariaDB is refused: it would read our statements differently, or not.
    pub(super) async fn open(admin: &Admin, what: &'static str, limit_s: u64) -> Result<Self, ConnectError> {
        let connection = admin.open(what).await?;
        let mut session =
            Self { connection, system: admin.system(), me: String::new(), version: String::new() };
        let [me, _id, _time, version] = session.row(what, sql::WHOAMI).await?;
        if !version.to_ascii_lowercase().contains("mariadb") {
            let detail = format!(
                "MySQL is not supported yet (the server is {version}): its second passwords work in another way than MariaDB's"
            );
            return Err(session.failed(what, ConnectErrorKind::Denied, detail));
        }
        (session.me, session.version) = (me, version);
        session.run(what, &sql::limit(limit_s)).await?;
        Ok(session)
    }

    pub(super) async fn close(self) {
        close(self.connection).await;
    }

    /// Sends a statement.
    pub(super) async fn run(
        &mut self,
        what: &'static str,
        statement: &str,
    ) -> Result<Vec<Cells>, ConnectError> {
        let sent = fetch(&mut self.connection, statement).await;
        sent.map_err(|error| statement_failed(&self.system, what, &error))
    }

    /// A failure that this session's server gave.
    pub(super) fn failed(
        &self,
        what: &'static str,
        kind: ConnectErrorKind,
        detail: impl Into<String>,
    ) -> ConnectError {
        ConnectError::new(self.system.clone(), what, kind, detail)
    }

    fn odd(&self, what: &'static str) -> ConnectError {
        self.failed(what, ConnectErrorKind::Unexpected, "the answer has an unexpected shape")
    }

    /// The first row, which must have no null.
    async fn row<const N: usize>(
        &mut self,
        what: &'static str,
        statement: &str,
    ) -> Result<[String; N], ConnectError> {
        let row = self.run(what, statement).await?.into_iter().next().unwrap_or_default();
        let cells: Option<Vec<String>> = row.into_iter().collect();
        cells.and_then(|cells| cells.try_into().ok()).ok_or_else(|| self.odd(what))
    }

    /// All accounts of a user's name.
    pub(super) async fn accounts(&mut self, user: &str) -> Result<Vec<Account>, ConnectError> {
        const WHAT: &str = "reading how the account logs in";
        let rows = self.run(WHAT, &sql::accounts(user)).await?;
        let read = rows.into_iter().map(|row| match <[Option<String>; 2]>::try_from(row) {
            Ok([Some(host), Some(json)]) => Account::read(&host, &json),
            Ok(_) | Err(_) => None,
        });
        read.collect::<Option<_>>().ok_or_else(|| self.odd(WHAT))
    }

    /// Rights on everything that a rotation needs and the administrator has not; those of a role are not seen.
    pub(super) async fn lacking(&mut self, what: &'static str) -> Result<Vec<&'static str>, ConnectError> {
        let grants = self.run(what, sql::GRANTS).await?;
        let lines: Vec<String> = grants.into_iter().flatten().flatten().collect();
        Ok(super::check::lacking(&lines))
    }

    /// A number.
    pub(super) async fn count(&mut self, what: &'static str, statement: &str) -> Result<u64, ConnectError> {
        let [count]: [String; 1] = self.row(what, statement).await?;
        count.parse().map_err(|_e| self.odd(what))
    }

    /// The administrator's account as SQL names it.
    pub(super) fn account(&self) -> String {
        self.me.rsplit_once('@').map_or_else(
            || sql::name(&self.me),
            |(user, host)| format!("{}@{}", sql::name(user), sql::name(host)),
        )
    }

    /// Replicas that are connected now.
    pub(super) async fn replicas(&mut self, what: &'static str) -> Result<u64, ConnectError> {
        let rows = self.run(what, sql::OTHERS).await?;
        let rows = rows.into_iter().filter_map(|row| <[Option<String>; 2]>::try_from(row).ok());
        let mut counts = rows.filter(|[name, _]| name.as_deref() == Some("SLAVES_CONNECTED"));
        Ok(counts.find_map(|[_, count]| count?.parse().ok()).unwrap_or_default())
    }

    /// Whether a plugin judges passwords, and hashes are refused for that.
    pub(super) async fn is_strict(&mut self, what: &'static str) -> Result<bool, ConnectError> {
        let [strict, judges]: [String; 2] = self.row(what, sql::STRICT).await?;
        Ok(strict == "ON" && judges != "0")
    }

    /// The server's clock and our connection's number.
    pub(super) async fn now(&mut self, what: &'static str) -> Result<Now, ConnectError> {
        let [id, at, uptime]: [String; 3] = self.row(what, sql::NOW).await?;
        let now = || Some(Now { at: timestamp(&at)?, id: id.parse().ok()?, uptime: uptime.parse().ok()? });
        now().ok_or_else(|| self.odd(what))
    }

    /// Sessions that were opened before the cutoff, or all of the user's.
    pub(super) async fn sessions(
        &mut self,
        user: &str,
        cutoff: Option<&Cutoff>,
        what: &'static str,
    ) -> Result<Vec<u64>, ConnectError> {
        // Without it the server shows our own sessions only, and says nothing.
        if self.lacking(what).await?.contains(&"PROCESS") {
            let detail = format!(
                "sessions of others are not shown: GRANT PROCESS ON *.* TO {} (not by a role)",
                self.account()
            );
            return Err(self.failed(what, ConnectErrorKind::Denied, detail));
        }
        let now = self.now(what).await?;
        let rows = self.run(what, &sql::sessions(user)).await?;
        let mut ids = Vec::new();
        for row in rows {
            let Ok([Some(id), Some(named)]) = <[Option<String>; 2]>::try_from(row) else {
                return Err(self.odd(what));
            };
            let id = id.parse().map_err(|_e| self.odd(what))?;
            let old = match cutoff {
                // A login that began before may have been given the old password to compare with, and end after.
                Some(cutoff) => cutoff.may_be_before(id, now),
                None => named == "1",
            };
            if old {
                ids.push(id);
            }
        }
        Ok(ids)
    }

    /// Ends a session; `false` when it had ended by itself.
    pub(super) async fn kill(&mut self, id: u64, what: &'static str) -> Result<bool, ConnectError> {
        match fetch(&mut self.connection, &sql::kill(id)).await {
            Ok(_) => Ok(true),
            Err(error) if number(&error) == Some(1094) => Ok(false),
            Err(error) => Err(statement_failed(&self.system, what, &error)),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_are_read_with_their_fraction() {
        let text = |it: &str| timestamp(it).map(|time| time.to_string());
        assert_eq!(text("1780000000.000005").as_deref(), Some("2026-05-28T20:26:40.000005Z"));
        assert_eq!(text("1780000000.5").as_deref(), Some("2026-05-28T20:26:40.5Z"));
        assert_eq!(text("1780000000").as_deref(), Some("2026-05-28T20:26:40Z"));
        for odd in ["", ".5", "x", "1.-5", "99999999999999999"] {
            assert_eq!(text(odd), None, "{odd}");
        }
    }
}
