//! The administrator's session: simple queries only, answers as text.

use sqlx::{AssertSqlSafe, Connection as _, Executor as _, PgConnection, Row as _};

use super::door::{Admin, statement_failed};
use super::sql;
use crate::error::{ConnectError, ConnectErrorKind};

/// One row, column by column; `None` is SQL's null.
pub(super) type Cells = Vec<Option<String>>;

/// Sends a script as one simple query. Several statements in one message are one transaction (PostgreSQL 15
/// documentation, 55.2.2.1), so a script takes effect as a whole even when the connection is lost after it was
/// sent.
pub(super) async fn fetch(connection: &mut PgConnection, script: &str) -> sqlx::Result<Vec<Cells>> {
    // Every name and text in it was quoted by `super::sql`.
    let rows = connection.fetch_all(sqlx::raw_sql(AssertSqlSafe(script))).await?;
    rows.iter()
        .map(|row| {
            (0..row.len())
                .map(|column| {
                    let value = row.try_get_raw(column)?;
                    value.as_str().map(str::to_owned).map(Some).or_else(|error| {
                        if sqlx::ValueRef::is_null(&value) {
                            Ok(None)
                        } else {
                            Err(sqlx::Error::Decode(error))
                        }
                    })
                })
                .collect()
        })
        .collect()
}

/// Says goodbye. The answer, if any, has been read already.
pub(super) async fn close(connection: PgConnection) {
    drop(connection.close().await);
}

/// What the server says about itself.
#[derive(Clone, Debug)]
pub(super) struct Server {
    pub(super) version: String,
    /// 150004 is 15.4.
    pub(super) version_number: u32,
    pub(super) password_encryption: String,
    pub(super) log_statement: String,
    pub(super) authentication_timeout_s: u64,
}

/// What the administrator is and may.
#[derive(Clone, Debug)]
pub(super) struct Rights {
    pub(super) session_user: String,
    pub(super) current_user: String,
    pub(super) superuser: bool,
    pub(super) create_role: bool,
    pub(super) signals: bool,
    pub(super) reads_stats: bool,
}

/// One configured role as the server has it.
#[derive(Clone, Debug)]
pub(super) struct RoleState {
    pub(super) can_login: bool,
    pub(super) superuser: bool,
    pub(super) replication: bool,
    pub(super) valid_until: Option<String>,
    pub(super) expired: bool,
    /// The administrator has this role's privileges.
    pub(super) has_privileges: bool,
    /// The administrator has this role with ADMIN OPTION.
    pub(super) admin_option: bool,
    /// `None` when the group does not exist.
    pub(super) in_group: Option<bool>,
    pub(super) sets_group: bool,
}

/// Live sessions of one role.
#[derive(Clone, Copy, Debug)]
pub(super) struct Sessions {
    pub(super) live: u64,
    /// Of them: those whose start the administrator may not see.
    pub(super) hidden: u64,
    /// Of them: replication connections.
    pub(super) walsenders: u64,
}

/// A session of the administrator.
#[derive(Debug)]
pub(super) struct Session {
    connection: PgConnection,
    system: String,
    user: String,
}

impl Session {
    /// Logs in and bounds every statement to `limit_ms`.
    pub(super) async fn open(
        admin: &Admin,
        what: &'static str,
        limit_ms: u128,
    ) -> Result<Self, ConnectError> {
        let connection = admin.open(what).await?;
        let mut session = Self { connection, system: admin.door.words(), user: admin.user.clone() };
        session.run("bounding statements", &sql::LIMIT.fill(&[&limit_ms.to_string()]), "").await?;
        Ok(session)
    }

    /// The administrator's name.
    pub(super) fn user(&self) -> &str {
        &self.user
    }

    /// Sends a script; `hint` says what to grant when it is denied.
    pub(super) async fn run(
        &mut self,
        what: &'static str,
        script: &str,
        hint: &str,
    ) -> Result<Vec<Cells>, ConnectError> {
        fetch(&mut self.connection, script)
            .await
            .map_err(|error| statement_failed(&self.system, what, &error, hint))
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

    /// The first row's cells, as many as asked for.
    async fn row<const N: usize>(
        &mut self,
        what: &'static str,
        script: &str,
        hint: &str,
    ) -> Result<Option<[Option<String>; N]>, ConnectError> {
        let rows = self.run(what, script, hint).await?;
        let Some(row) = rows.into_iter().next() else { return Ok(None) };
        match row.try_into() {
            Ok(cells) => Ok(Some(cells)),
            Err(_) => {
                Err(self.failed(what, ConnectErrorKind::Unexpected, "the answer has an unexpected shape"))
            }
        }
    }

    pub(super) async fn server(&mut self) -> Result<Server, ConnectError> {
        const WHAT: &str = "asking for the server's settings";
        let Some([version, number, encryption, log, timeout]) =
            self.row(WHAT, &sql::SERVER.fill(&[]), "").await?
        else {
            return Err(self.failed(WHAT, ConnectErrorKind::Unexpected, "there was no answer"));
        };
        Ok(Server {
            version: version.unwrap_or_default(),
            version_number: number.and_then(|n| n.parse().ok()).unwrap_or_default(),
            password_encryption: encryption.unwrap_or_default(),
            log_statement: log.unwrap_or_default(),
            authentication_timeout_s: timeout.and_then(|n| n.parse().ok()).unwrap_or(60),
        })
    }

    pub(super) async fn rights(&mut self) -> Result<Rights, ConnectError> {
        const WHAT: &str = "asking for the administrator's rights";
        let Some([session_user, current_user, superuser, create_role, signals, reads_stats]) =
            self.row(WHAT, &sql::ADMIN.fill(&[]), "").await?
        else {
            return Err(self.failed(WHAT, ConnectErrorKind::Unexpected, "the administrator is not a role"));
        };
        Ok(Rights {
            session_user: session_user.unwrap_or_default(),
            current_user: current_user.unwrap_or_default(),
            superuser: truth(superuser.as_deref()),
            create_role: truth(create_role.as_deref()),
            signals: truth(signals.as_deref()),
            reads_stats: truth(reads_stats.as_deref()),
        })
    }

    /// One role's state; `None` when it does not exist.
    pub(super) async fn role(
        &mut self,
        role: &str,
        group: Option<&str>,
    ) -> Result<Option<RoleState>, ConnectError> {
        let group = group.unwrap_or_default();
        let script = sql::ROLE.fill(&[group, group, role]);
        let row = self.row("asking for the role's state", &script, "").await?;
        Ok(row.map(
            |[
                can_login,
                superuser,
                replication,
                valid_until,
                expired,
                has,
                admin_option,
                in_group,
                sets_group,
            ]| {
                RoleState {
                    can_login: truth(can_login.as_deref()),
                    superuser: truth(superuser.as_deref()),
                    replication: truth(replication.as_deref()),
                    valid_until,
                    expired: truth(expired.as_deref()),
                    has_privileges: truth(has.as_deref()),
                    admin_option: truth(admin_option.as_deref()),
                    in_group: in_group.map(|cell| cell == "t"),
                    sets_group: truth(sets_group.as_deref()),
                }
            },
        ))
    }

    /// The server's time, RFC 3339.
    pub(super) async fn now(&mut self) -> Result<String, ConnectError> {
        const WHAT: &str = "asking for the server's time";
        let cells: Option<[_; 3]> = self.row(WHAT, &sql::WHOAMI.fill(&[]), "").await?;
        match cells {
            Some([_, _, Some(time)]) => Ok(time),
            _ => Err(self.failed(WHAT, ConnectErrorKind::Unexpected, "there was no answer")),
        }
    }

    /// Counts the role's sessions that began before `cutoff`.
    pub(super) async fn sessions(&mut self, role: &str, cutoff: &str) -> Result<Sessions, ConnectError> {
        const WHAT: &str = "counting sessions";
        match self.row(WHAT, &sql::SESSIONS.fill(&[role, cutoff]), "").await? {
            Some([live, hidden, walsenders]) => Ok(Sessions {
                live: self.number(WHAT, live)?,
                hidden: self.number(WHAT, hidden)?,
                walsenders: self.number(WHAT, walsenders)?,
            }),
            None => Err(self.failed(WHAT, ConnectErrorKind::Unexpected, "there was no answer")),
        }
    }

    /// Ends the role's sessions that began before `cutoff`, and says how many took the signal.
    pub(super) async fn terminate(&mut self, role: &str, cutoff: &str) -> Result<u64, ConnectError> {
        let admin = sql::identifier(&self.user);
        let hint = format!("as a superuser: GRANT pg_signal_backend, pg_read_all_stats TO {admin}");
        self.count("ending sessions", &sql::TERMINATE.fill(&[role, cutoff]), &hint).await
    }

    /// Sessions of an account that something else made, and of accounts that are gone.
    pub(super) async fn guests(&mut self, user: &str) -> Result<u64, ConnectError> {
        self.count("counting sessions", &sql::GUESTS.fill(&[user]), "").await
    }

    /// Ends the same sessions, and says how many took the signal.
    pub(super) async fn end_guests(&mut self, user: &str) -> Result<u64, ConnectError> {
        let admin = sql::identifier(&self.user);
        let hint = format!("as a superuser: GRANT pg_signal_backend, pg_read_all_stats TO {admin}");
        self.count("ending sessions", &sql::END_GUESTS.fill(&[user]), &hint).await
    }

    /// Prepared transactions that the role, or the group it acts as, left behind.
    pub(super) async fn prepared(&mut self, role: &str, group: Option<&str>) -> Result<u64, ConnectError> {
        let script = sql::PREPARED.fill(&[role, group.unwrap_or(role)]);
        self.count("counting prepared transactions", &script, "").await
    }

    async fn count(&mut self, what: &'static str, script: &str, hint: &str) -> Result<u64, ConnectError> {
        let [count] = self.row(what, script, hint).await?.unwrap_or_default();
        self.number(what, count)
    }

    fn number(&self, what: &'static str, cell: Option<String>) -> Result<u64, ConnectError> {
        cell.and_then(|text| text.parse().ok())
            .ok_or_else(|| self.failed(what, ConnectErrorKind::Unexpected, "the answer is not a number"))
    }

    /// Says goodbye.
    pub(super) async fn close(self) {
        close(self.connection).await;
    }
}

fn truth(cell: Option<&str>) -> bool {
    cell == Some("t")
}
