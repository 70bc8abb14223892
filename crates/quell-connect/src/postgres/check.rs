//! What `quell inventory check` asks, and what an operator must know before a rotation. Changes nothing.

use quell_core::outcome::Probe;
use quell_core::secret::SecretValue;
use zeroize::Zeroizing;

use super::change::grant_hint;
use super::door::{Admin, Door, database_error};
use super::session::{Rights, RoleState, Server, Session};
use super::{Postgres, Roles, session, sql};
use crate::connector::Check;
use crate::dsn::Dsn;
use crate::error::ConnectError;
use crate::password;

/// PgBouncer's admin console is a database of this name (its documentation, "Admin console").
const POOLER_CONSOLE: &str = "pgbouncer";
/// Since this version CREATEROLE alone changes no role: ADMIN OPTION on it is needed too.
const ADMIN_OPTION_SINCE: u32 = 160_000;

fn check(what: impl Into<String>, ok: bool, detail: impl Into<String>) -> Check {
    Check { what: what.into(), ok, detail: detail.into() }
}

impl Postgres {
    pub(super) async fn checks(&self) -> Vec<Check> {
        const WHAT: &str = "log in as the administrator";
        let asked = self.within(WHAT, async {
            let admin = self.admin().await?;
            let mut session = self.session(&admin, WHAT).await?;
            let found = self.look_around(&admin, &mut session).await;
            session.close().await;
            found
        });
        match asked.await {
            Ok(checks) => checks,
            Err(error) => vec![check(WHAT, false, error.to_string())],
        }
    }

    async fn look_around(&self, admin: &Admin, session: &mut Session) -> Result<Vec<Check>, ConnectError> {
        let server = session.server().await?;
        let rights = session.rights().await?;
        let mut checks = vec![
            check(
                "log in as the administrator",
                true,
                format!("`{}` at {}, PostgreSQL {}", admin.user, admin.door.words(), server.version),
            ),
            encryption(&server),
            logging(&server),
        ];
        for role in self.roles.names() {
            if [&rights.session_user, &rights.current_user].into_iter().any(|name| name == role) {
                let detail = "this is the administrator's own role: Quell would lock itself out; use another";
                checks.push(check(format!("role `{role}` is not the administrator"), false, detail));
                continue;
            }
            let what = format!("role `{role}` exists");
            let Some(state) = session.role(role, self.roles.group()).await? else {
                let detail = format!("it does not; CREATE ROLE {} NOLOGIN", sql::identifier(role));
                checks.push(check(what, false, detail));
                continue;
            };
            let detail = if state.can_login { "it may log in" } else { "it may not log in: idle" };
            checks.push(check(what, true, detail));
            checks.push(may_alter(&server, &rights, &state, role));
            checks.push(may_see(&rights, &state, role));
            checks.push(may_end(&rights, &state, role));
            if let Roles::Two { group, .. } = &self.roles {
                checks.push(acts_as(&state, role, group));
            }
            checks.push(passwords_count(admin, role).await);
        }
        Ok(checks)
    }

    pub(super) async fn all_warnings(&self, current: Option<&SecretValue>) -> Vec<String> {
        const WHAT: &str = "looking for things to know before a rotation";
        let mut warnings = Vec::new();
        let asked = self.within(WHAT, async {
            let admin = self.admin().await?;
            let mut session = self.session(&admin, WHAT).await?;
            let found = self.server_warnings(&mut session).await;
            session.close().await;
            Ok((admin, found?))
        });
        match asked.await {
            Ok((admin, found)) => {
                warnings.extend(found);
                if let Some(current) = current {
                    let looked = self.within(WHAT, async { Ok(pooler_warnings(&admin.door, current).await) });
                    match looked.await {
                        Ok(found) => warnings.extend(found),
                        Err(error) => {
                            warnings.push(format!("whether there is a pooler is not known: {error}"));
                        }
                    }
                }
            }
            Err(error) => warnings.push(format!("the server could not be asked: {error}")),
        }
        warnings
    }

    async fn server_warnings(&self, session: &mut Session) -> Result<Vec<String>, ConnectError> {
        let server = session.server().await?;
        let mut warnings = Vec::new();
        if logs_changes(&server) {
            warnings.push(format!(
                "log_statement is `{}`: the new SCRAM verifier (never the password) lands in the server's log",
                server.log_statement
            ));
        }
        let window = server.authentication_timeout_s;
        if matches!(self.roles, Roles::One { .. }) && self.settle_ms < window.saturating_mul(1000) {
            warnings.push(format!(
                "a login with the old password that began before the change can still complete for {window} s \
                 (authentication_timeout): count the sessions again after that, or set `settle` to it"
            ));
        }
        for role in self.roles.names() {
            let Some(state) = session.role(role, self.roles.group()).await? else {
                warnings.push(format!("role `{role}` does not exist"));
                continue;
            };
            if let Some(until) = state.valid_until {
                warnings.push(format!(
                    "the password of `{role}` is valid until {until}; the new one will be valid until infinity"
                ));
            }
            let prepared = session.prepared(role, None).await?;
            if prepared > 0 {
                warnings.push(format!("{prepared} prepared transactions of `{role}` outlive its sessions"));
            }
        }
        Ok(warnings)
    }
}

fn encryption(server: &Server) -> Check {
    let ok = server.password_encryption == "scram-sha-256";
    let detail = if ok {
        "password_encryption is scram-sha-256".to_owned()
    } else {
        format!(
            "password_encryption is `{}`; Quell installs SCRAM-SHA-256, so clients that know only md5 will fail",
            server.password_encryption
        )
    };
    check("passwords are kept as SCRAM-SHA-256", ok, detail)
}

fn logs_changes(server: &Server) -> bool {
    matches!(server.log_statement.as_str(), "ddl" | "mod" | "all")
}

fn logging(server: &Server) -> Check {
    let detail =
        if logs_changes(server) { "only the verifier lands in the log" } else { "changes are not logged" };
    check(
        "no password in the server's log",
        true,
        format!("log_statement is `{}`: {detail}", server.log_statement),
    )
}

/// Rules of "ALTER ROLE" and "CREATE ROLE": before version 16 CREATEROLE is enough for any ordinary role, since
/// then it needs ADMIN OPTION on the role too.
fn may_alter(server: &Server, rights: &Rights, state: &RoleState, role: &str) -> Check {
    let what = format!("may change the password of `{role}`");
    if rights.superuser {
        return check(what, true, "the administrator is a superuser");
    }
    if state.superuser || (state.replication && server.version_number < ADMIN_OPTION_SINCE) {
        let detail = "the role is SUPERUSER or REPLICATION: only a superuser may change it";
        return check(what, false, detail);
    }
    let ok = rights.create_role && (server.version_number < ADMIN_OPTION_SINCE || state.admin_option);
    let detail = if ok { "by CREATEROLE".to_owned() } else { grant_hint(&rights.current_user, role) };
    check(what, ok, detail)
}

fn may_see(rights: &Rights, state: &RoleState, role: &str) -> Check {
    let ok = rights.superuser || rights.reads_stats || state.has_privileges;
    let admin = sql::identifier(&rights.current_user);
    let detail = if ok {
        "the start of each is visible".to_owned()
    } else {
        format!("as a superuser: GRANT pg_read_all_stats TO {admin}")
    };
    check(format!("may see the sessions of `{role}`"), ok, detail)
}

fn may_end(rights: &Rights, state: &RoleState, role: &str) -> Check {
    let ok = rights.superuser || state.has_privileges || (rights.signals && !state.superuser);
    let admin = sql::identifier(&rights.current_user);
    let detail = if ok {
        "pg_terminate_backend is allowed".to_owned()
    } else {
        format!("as a superuser: GRANT pg_signal_backend TO {admin}")
    };
    check(format!("may end the sessions of `{role}`"), ok, detail)
}

fn acts_as(state: &RoleState, role: &str, group: &str) -> Check {
    let (role_name, group_name) = (sql::identifier(role), sql::identifier(group));
    let (ok, detail) = match (state.in_group, state.sets_group) {
        (None, _) => (false, format!("the group does not exist; CREATE ROLE {group_name} NOLOGIN")),
        (Some(false), _) => (false, format!("GRANT {group_name} TO {role_name}")),
        (Some(true), false) => (
            false,
            format!(
                "new objects would belong to the role; ALTER ROLE {role_name} SET role TO {}; Quell does so \
                 when it installs a password",
                sql::literal(group)
            ),
        ),
        (Some(true), true) => (true, "it is a member, and its sessions act as the group".to_owned()),
    };
    check(format!("role `{role}` acts as `{group}`"), ok, detail)
}

/// Tries a random password. If it opens the door, `pg_hba.conf` trusts, and no probe would mean anything.
async fn passwords_count(admin: &Admin, role: &str) -> Check {
    let what = format!("a wrong password of `{role}` is refused");
    let Ok(password) = password::random() else {
        return check(what, false, "the system gave no randomness to try it");
    };
    match admin.door.probe(role, &password).await {
        Probe::Refused { code, .. } => check(what, true, format!("by {code}")),
        Probe::Accepted { .. } => {
            let detail = "it is accepted: pg_hba.conf does not ask for a password; use scram-sha-256 there";
            check(what, false, detail)
        }
        Probe::Inconclusive { reason } => check(what, false, reason),
    }
}

/// Asks the address in the current URL, which is where the consumers go with the same credential, for PgBouncer's
/// console. PostgreSQL answers 3D000, after it let the user in, that there is no such database.
async fn pooler_warnings(admin: &Door, current: &SecretValue) -> Vec<String> {
    let Some(dsn) = current.expose_text().and_then(|text| Dsn::parse(text, &super::URL).ok()) else {
        return Vec::new();
    };
    let (Ok(mut door), Some(user)) = (Door::of(&dsn), dsn.user()) else {
        return vec![
            "the current URL names no single server; a pooler, if there is one, was not looked for"
                .to_owned(),
        ];
    };
    let address = format!("{}:{}", door.host, door.port);
    let mut warnings = Vec::new();
    if (&door.host, door.port) != (&admin.host, admin.port) {
        warnings.push(format!(
            "consumers connect to {address}, Quell to {}:{}: if that is a pooler, its server sessions survive a \
             rotation; RECONNECT or KILL there",
            admin.host, admin.port
        ));
    }
    POOLER_CONSOLE.clone_into(&mut door.database);
    let password = Zeroizing::new(dsn.password().unwrap_or_default().to_owned());
    let talks_like_a_pooler = match door.open(user, Some(&password)).await {
        Ok(connection) => {
            session::close(connection).await;
            true
        }
        Err(error) => database_error(&error).is_some_and(|e| {
            let code = e.code();
            // Not a pooler's words: no such database, may not connect to it, refused, starting up, no room.
            !(matches!(code, "3D000" | "42501" | "57P03") || code.starts_with("28") || code.starts_with("53"))
        }),
    };
    if talks_like_a_pooler {
        warnings.push(format!(
            "{address} looks like a pooler (it knows the database `{POOLER_CONSOLE}`): its server sessions survive a \
             rotation; RECONNECT or KILL there, and renew its own user list"
        ));
    }
    warnings
}
