//! The state of the modeled server, and what each statement does to it.
//!
//! A statement is known when one of the connector's own templates reads it; any other answers `0A000`.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use jiff::{Timestamp, Unit};
use tokio::sync::Notify;

use super::super::scram::Verifier;
use super::super::sql;
use super::wire::ServerError;

/// What the model says it is.
pub(super) const VERSION: &str = "15.0 (Quell sandbox)";
const VERSION_NUMBER: &str = "150000";

#[derive(Clone, Debug, Default)]
pub(super) struct Role {
    pub(super) superuser: bool,
    pub(super) can_login: bool,
    pub(super) verifier: Option<Verifier>,
    pub(super) member_of: BTreeSet<String>,
    /// `ALTER ROLE … SET role`.
    pub(super) acts_as: Option<String>,
}

#[derive(Debug)]
pub(super) struct Session {
    pub(super) role: String,
    pub(super) database: String,
    pub(super) started: Timestamp,
    pub(super) end: Arc<Notify>,
}

#[derive(Debug, Default)]
pub(super) struct Model {
    pub(super) database: String,
    pub(super) roles: BTreeMap<String, Role>,
    pub(super) sessions: BTreeMap<i32, Session>,
    pub(super) last_pid: i32,
}

/// The answer to one statement.
#[derive(Debug, Eq, PartialEq)]
pub(super) enum Reply {
    /// A command that was done.
    Done(&'static str),
    /// A query's rows.
    Rows(Vec<Vec<Option<String>>>),
}

/// One row of cells.
fn row<const N: usize>(cells: [Option<String>; N]) -> Reply {
    Reply::Rows(vec![cells.into()])
}

fn truth(value: bool) -> String {
    if value { "t" } else { "f" }.to_owned()
}

/// The modeled server's clock.
#[expect(clippy::disallowed_methods, reason = "it stands in for an outside server, whose clock is its own")]
pub(super) fn now() -> Timestamp {
    // PostgreSQL counts microseconds.
    let now = Timestamp::now();
    now.round(Unit::Microsecond).unwrap_or(now)
}

impl Model {
    /// May this role, whose password was right, open a session? In PostgreSQL's order.
    pub(super) fn admit(&mut self, role: &str, database: &str, end: Arc<Notify>) -> Result<i32, ServerError> {
        if !self.roles.get(role).is_some_and(|r| r.can_login) {
            let message = format!("role \"{role}\" is not permitted to log in");
            return Err(ServerError::new("28000", message, "InitializeSessionUserId"));
        }
        if database != self.database {
            let message = format!("database \"{database}\" does not exist");
            return Err(ServerError::new("3D000", message, "InitPostgres"));
        }
        self.last_pid += 1;
        let session = Session { role: role.to_owned(), database: database.to_owned(), started: now(), end };
        self.sessions.insert(self.last_pid, session);
        Ok(self.last_pid)
    }

    /// Runs a script for one session: all of it or nothing.
    pub(super) fn run(&mut self, pid: i32, script: &str) -> Result<Vec<Reply>, ServerError> {
        let before = self.roles.clone();
        let replies: Result<Vec<_>, _> =
            sql::statements(script).into_iter().map(|statement| self.statement(pid, statement)).collect();
        if replies.is_err() {
            self.roles = before;
        }
        replies
    }

    fn statement(&mut self, pid: i32, sql: &str) -> Result<Reply, ServerError> {
        if let Some(reply) = self.question(pid, sql) {
            return Ok(reply);
        }
        if let Some(holes) = sql::TERMINATE.read(sql) {
            return self.terminate(pid, &holes);
        }
        if let Some(reply) = self.alteration(pid, sql) {
            return reply;
        }
        let message = format!("the sandbox does not know this statement: {sql}");
        Err(ServerError::new("0A000", message, "exec_simple_query"))
    }

    /// Statements that only read.
    fn question(&self, pid: i32, sql: &str) -> Option<Reply> {
        let me = self.sessions.get(&pid)?;
        let is = |template: sql::Template| template.read(sql).is_some();
        if is(sql::ONE) {
            return Some(row([Some(1.to_string())]));
        }
        if is(sql::CURRENT_USER) {
            return Some(row([Some(self.acting(&me.role).to_owned())]));
        }
        if is(sql::LIMIT) {
            return Some(Reply::Done("SET"));
        }
        if is(sql::WHOAMI) {
            return Some(row([Some(me.role.clone()), Some(me.database.clone()), Some(now().to_string())]));
        }
        if is(sql::SERVER) {
            let texts = [VERSION, VERSION_NUMBER, "scram-sha-256", "none", "60"];
            return Some(row(texts.map(|text| Some(text.to_owned()))));
        }
        if is(sql::ADMIN) {
            let acting = self.acting(&me.role);
            let may = || Some(truth(self.is_superuser(acting)));
            return Some(row([Some(me.role.clone()), Some(acting.to_owned()), may(), may(), may(), may()]));
        }
        if let Some(holes) = sql::ROLE.read(sql) {
            return Some(self.describe(me, &holes));
        }
        if let Some(holes) = sql::SESSIONS.read(sql) {
            let count = self.matching(pid, &holes).count();
            return Some(row([Some(count.to_string()), Some(0.to_string()), Some(0.to_string())]));
        }
        is(sql::PREPARED).then(|| row([Some(0.to_string())]))
    }

    fn describe(&self, me: &Session, holes: &[String]) -> Reply {
        let [group, _, name] = holes else { return Reply::Rows(Vec::new()) };
        let Some(role) = self.roles.get(name) else { return Reply::Rows(Vec::new()) };
        let admin = self.is_superuser(self.acting(&me.role));
        let member = self.roles.contains_key(group).then(|| role.superuser || role.member_of.contains(group));
        row([
            Some(truth(role.can_login)),
            Some(truth(role.superuser)),
            Some(truth(false)),
            None,
            Some(truth(false)),
            Some(truth(admin || me.role == *name)),
            Some(truth(admin)),
            member.map(truth),
            Some(truth(role.acts_as.as_ref() == Some(group))),
        ])
    }

    /// Ends sessions. Each leaves by itself a moment later, as on a real server.
    fn terminate(&self, pid: i32, holes: &[String]) -> Result<Reply, ServerError> {
        let matching: Vec<_> = self.matching(pid, holes).collect();
        let me = self.sessions.get(&pid).map(|session| session.role.as_str()).unwrap_or_default();
        if !self.is_superuser(self.acting(me)) && matching.iter().any(|session| session.role != me) {
            let message = "must be a member of the role whose process is being terminated or member of \
                           pg_signal_backend";
            return Err(ServerError::new("42501", message, "pg_terminate_backend"));
        }
        for session in &matching {
            session.end.notify_one();
        }
        Ok(row([Some(matching.len().to_string())]))
    }

    /// Statements that change a role.
    fn alteration(&mut self, pid: i32, sql: &str) -> Option<Result<Reply, ServerError>> {
        if let Some([name, verifier]) = holes(sql::INSTALL, sql) {
            // A real server would take any other text for a password and hash it; the connector never sends one.
            let Ok(verifier) = verifier.parse() else {
                let error =
                    ServerError::new("0A000", "the sandbox takes SCRAM-SHA-256 verifiers only", "AlterRole");
                return Some(Err(error));
            };
            return Some(self.alter(pid, &name, "ALTER ROLE", |role| {
                role.can_login = true;
                role.verifier = Some(verifier);
            }));
        }
        if let Some([name]) = holes(sql::DISABLE, sql) {
            return Some(self.alter(pid, &name, "ALTER ROLE", |role| {
                role.can_login = false;
                role.verifier = None;
            }));
        }
        if let Some([name, group]) = holes(sql::SET_ROLE, sql) {
            return Some(self.alter(pid, &name, "ALTER ROLE", |role| role.acts_as = Some(group)));
        }
        if let Some([group, name]) = holes(sql::GRANT, sql) {
            if !self.roles.contains_key(&group) {
                return Some(Err(missing(&group)));
            }
            return Some(self.alter(pid, &name, "GRANT ROLE", |role| {
                role.member_of.insert(group);
            }));
        }
        None
    }

    fn alter(
        &mut self,
        pid: i32,
        name: &str,
        tag: &'static str,
        change: impl FnOnce(&mut Role),
    ) -> Result<Reply, ServerError> {
        let me = self.sessions.get(&pid).map(|session| session.role.clone()).unwrap_or_default();
        if !self.is_superuser(self.acting(&me)) {
            return Err(ServerError::new("42501", "permission denied", "AlterRole"));
        }
        let role = self.roles.get_mut(name).ok_or_else(|| missing(name))?;
        change(role);
        Ok(Reply::Done(tag))
    }

    /// The sessions that the two holes of [`sql::SESSIONS`] and [`sql::TERMINATE`] mean.
    fn matching(&self, pid: i32, holes: &[String]) -> impl Iterator<Item = &Session> {
        let (role, cutoff) = match holes {
            [role, cutoff] => (role.clone(), cutoff.parse::<Timestamp>().ok()),
            _ => (String::new(), None),
        };
        self.sessions
            .iter()
            .filter(move |(other, session)| {
                **other != pid && session.role == role && cutoff.is_none_or(|cutoff| session.started < cutoff)
            })
            .map(|(_, session)| session)
    }

    /// Who a role acts as.
    fn acting<'a>(&'a self, role: &'a str) -> &'a str {
        self.roles.get(role).and_then(|r| r.acts_as.as_deref()).unwrap_or(role)
    }

    fn is_superuser(&self, role: &str) -> bool {
        self.roles.get(role).is_some_and(|r| r.superuser)
    }
}

fn holes<const N: usize>(template: sql::Template, sql: &str) -> Option<[String; N]> {
    template.read(sql)?.try_into().ok()
}

fn missing(role: &str) -> ServerError {
    ServerError::new("42704", format!("role \"{role}\" does not exist"), "get_role_oid")
}
