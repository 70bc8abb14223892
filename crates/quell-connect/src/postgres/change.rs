//! The three effects, and the look at each of them.

use std::time::Duration;

use jiff::Timestamp;
use quell_core::outcome::{Outcome, Probe};
use quell_core::secret::Credential;
use serde_json::Value;

use super::door::Admin;
use super::scram::{ITERATIONS, SALT_LEN, Verifier};
use super::session::{RoleState, Session};
use super::{Postgres, Roles, sql};
use crate::connector::IssuerOp;
use crate::effect::{after_effect, facts, installed, not_yet, severed};
use crate::error::{ConnectError, ConnectErrorKind};

/// Between two counts of sessions that were told to end.
const PAUSE: Duration = Duration::from_millis(50);
/// How often they are counted: two seconds in all.
const COUNTS: u32 = 40;
/// PostgreSQL's word for a moment after all others.
const ALL: &str = "infinity";

impl Postgres {
    /// Does it.
    pub(super) async fn change(&self, op: IssuerOp<'_>) -> Result<Outcome, ConnectError> {
        match op {
            IssuerOp::Install { new } => self.within("installing the new password", self.install(new)).await,
            IssuerOp::Disable { old } => self.within("disabling the old value", self.disable(old)).await,
            IssuerOp::Sever { old, cutoff } => {
                self.within("ending the old value's sessions", self.sever(old, cutoff)).await
            }
        }
    }

    /// Is it in force?
    pub(super) async fn look(&self, op: IssuerOp<'_>) -> Result<Outcome, ConnectError> {
        match op {
            IssuerOp::Install { new } => Ok(match self.try_it(new).await? {
                Probe::Accepted { mut facts } => {
                    // The server's time, read after the change, is a cutoff as good as the one of the change.
                    let time = facts.get("server_time").cloned().unwrap_or(Value::Null);
                    facts.insert("cutoff".to_owned(), time);
                    Outcome::Applied { facts }
                }
                tried @ (Probe::Refused { .. } | Probe::Inconclusive { .. }) => installed(tried),
            }),
            IssuerOp::Disable { old } => Ok(match self.try_it(old).await? {
                // Told after the password was found right: LOGIN would revive it.
                Probe::Refused { code, .. } if code == "28000" => {
                    Outcome::retry("the role may not log in (28000), but it still has this password")
                }
                Probe::Refused { code, message } => Outcome::applied([
                    ("role", old.principal.as_str().into()),
                    ("code", code.into()),
                    ("message", message.into()),
                ]),
                Probe::Accepted { facts } => not_yet("the old value is still accepted", facts),
                Probe::Inconclusive { reason } => Outcome::unknown(reason),
            }),
            IssuerOp::Sever { old, cutoff } => {
                self.within("counting sessions", async {
                    let live = self.live_sessions(old, cutoff).await?;
                    Ok(severed(live, facts([("role", old.principal.as_str().into())])))
                })
                .await
            }
        }
    }

    /// Counts the sessions that were opened with `old`.
    pub(super) async fn live_sessions(
        &self,
        old: &Credential,
        cutoff: Option<&str>,
    ) -> Result<u64, ConnectError> {
        drop(self.password(old)?);
        let cutoff = self.moment(cutoff)?;
        let mut session = self.session(&self.admin().await?, "counting sessions").await?;
        let sessions = session.sessions(&old.principal, &cutoff).await?;
        session.close().await;
        Ok(sessions.live)
    }

    async fn try_it(&self, credential: &Credential) -> Result<Probe, ConnectError> {
        self.within("trying the credential", async {
            let password = self.password(credential)?;
            Ok(self.admin().await?.door.probe(&credential.principal, &password).await)
        })
        .await
    }

    async fn install(&self, new: &Credential) -> Result<Outcome, ConnectError> {
        const WHAT: &str = "installing the new password";
        let role = new.principal.as_str();
        let password = self.password(new)?;
        if password.is_empty() || !password.bytes().all(|b| (b' '..=b'~').contains(&b)) {
            let detail = "the new password must be printable ASCII and not empty";
            return Err(self.failed(WHAT, ConnectErrorKind::Denied, detail));
        }
        let admin = self.admin().await?;
        let accepted = matches!(admin.door.probe(role, &password).await, Probe::Accepted { .. });
        let mut session = self.session(&admin, WHAT).await?;
        let (state, version) = self.known_role(&mut session, &admin, role, WHAT).await?;
        let Some(state) = state else {
            return Ok(Outcome::refused(format!(
                "the role does not exist; as the administrator: CREATE ROLE {} NOLOGIN",
                sql::identifier(role)
            )));
        };
        let missing = match self.membership(role, &state) {
            Ok(statements) => statements,
            Err(refused) => return Ok(refused),
        };
        let already = accepted && state.can_login && !state.expired && missing.is_empty();
        if !already {
            let mut salt = [0_u8; SALT_LEN];
            getrandom::fill(&mut salt).map_err(|_e| {
                let kind = ConnectErrorKind::Transient { retry_after: None };
                self.failed(WHAT, kind, "the system gave no randomness")
            })?;
            let verifier = Verifier::derive(&password, &salt, ITERATIONS).to_string();
            let mut script = vec![sql::INSTALL.fill(&[role, &verifier])];
            script.extend(missing);
            let hint = grant_hint(&admin.user, role);
            session.run(WHAT, &script.join(";\n"), &hint).await?;
        }
        // From here on the change is in force: what fails is not a failure of the change.
        let cutoff = session.now().await.map_err(after_effect)?;
        session.close().await;
        Ok(Outcome::applied([
            ("role", role.into()),
            ("cutoff", cutoff.into()),
            ("server_version", version.into()),
            ("method", "ALTER ROLE with a SCRAM-SHA-256 verifier made here".into()),
            ("already", already.into()),
        ]))
    }

    /// The statements that make a role one of two that alternate, as far as they are missing.
    fn membership(&self, role: &str, state: &RoleState) -> Result<Vec<String>, Outcome> {
        let Roles::Two { group, .. } = &self.roles else { return Ok(Vec::new()) };
        let mut statements = Vec::new();
        match state.in_group {
            None => {
                return Err(Outcome::refused(format!(
                    "the group does not exist; as the administrator: CREATE ROLE {} NOLOGIN",
                    sql::identifier(group)
                )));
            }
            Some(false) => statements.push(sql::GRANT.fill(&[group, role])),
            Some(true) => {}
        }
        if !state.sets_group {
            statements.push(sql::SET_ROLE.fill(&[role, group]));
        }
        Ok(statements)
    }

    async fn disable(&self, old: &Credential) -> Result<Outcome, ConnectError> {
        const WHAT: &str = "disabling the old value";
        let role = old.principal.as_str();
        let password = self.password(old)?;
        let admin = self.admin().await?;
        let probe = admin.door.probe(role, &password).await;
        let mut session = self.session(&admin, WHAT).await?;
        let (state, version) = self.known_role(&mut session, &admin, role, WHAT).await?;
        let Some(state) = state else {
            return Ok(Outcome::applied([
                ("role", role.into()),
                ("exists", false.into()),
                ("already", true.into()),
            ]));
        };
        // 28000 is told after the password was found right. Null: it is not known.
        let found = match &probe {
            Probe::Accepted { .. } => Some(true),
            Probe::Refused { code, .. } if code == "28000" => Some(true),
            Probe::Refused { .. } | Probe::Inconclusive { .. } => None,
        };
        match (probe, &self.roles) {
            // It is still stored then, and LOGIN would revive it.
            // An expired one can be revived by a new date. Neither is left.
            (Probe::Refused { code, .. }, _) if code != "28000" && !state.expired => {
                session.close().await;
                return Ok(Outcome::applied([
                    ("role", role.into()),
                    ("code", code.into()),
                    ("already", true.into()),
                    // True: the role has another password, a good one, and is left alone.
                    ("role_can_login", state.can_login.into()),
                    ("server_version", version.into()),
                ]));
            }
            (Probe::Inconclusive { reason }, Roles::One { .. }) => {
                session.close().await;
                return Ok(Outcome::retry(format!(
                    "it is not known whether the role holds the old password or a new one, so it was left alone: \
                     {reason}"
                )));
            }
            (Probe::Accepted { .. } | Probe::Refused { .. } | Probe::Inconclusive { .. }, _) => {}
        }
        session.run(WHAT, &sql::DISABLE.fill(&[role]), &grant_hint(&admin.user, role)).await?;
        let at = session.now().await.map_err(after_effect)?;
        session.close().await;
        Ok(Outcome::applied([
            ("role", role.into()),
            ("method", "ALTER ROLE NOLOGIN PASSWORD NULL".into()),
            ("already", found.map(|found| !found).into()),
            ("server_time", at.into()),
            ("server_version", version.into()),
        ]))
    }

    async fn sever(&self, old: &Credential, cutoff: Option<&str>) -> Result<Outcome, ConnectError> {
        const WHAT: &str = "ending the old value's sessions";
        let role = old.principal.as_str();
        drop(self.password(old)?);
        let moment = self.moment(cutoff)?;
        let admin = self.admin().await?;
        let mut session = self.session(&admin, WHAT).await?;
        let (_state, version) = self.known_role(&mut session, &admin, role, WHAT).await?;
        let before = session.sessions(role, &moment).await?;
        if cutoff.is_some() && before.hidden > 0 {
            let detail = format!(
                "the start of {} sessions may not be seen, so the old ones cannot be told from the new; \
                 as a superuser: GRANT pg_read_all_stats TO {}",
                before.hidden,
                sql::identifier(session.user())
            );
            return Err(session.failed(WHAT, ConnectErrorKind::Denied, detail));
        }
        let terminated = session.terminate(role, &moment).await?;
        let mut left = session.sessions(role, &moment).await.map_err(after_effect)?;
        for _ in 1..COUNTS {
            if left.live == 0 {
                break;
            }
            tokio::time::sleep(PAUSE).await;
            left = session.sessions(role, &moment).await.map_err(after_effect)?;
        }
        let prepared = session.prepared(role, self.roles.group()).await.map_err(after_effect)?;
        session.close().await;
        let facts = facts([
            ("role", role.into()),
            ("cutoff", cutoff.into()),
            ("terminated", terminated.into()),
            ("replication", before.walsenders.into()),
            ("prepared_transactions", prepared.into()),
            ("server_version", version.into()),
        ]);
        Ok(severed(left.live, facts))
    }

    /// The role's state, after making sure that it is not the administrator's own.
    async fn known_role(
        &self,
        session: &mut Session,
        admin: &Admin,
        role: &str,
        what: &'static str,
    ) -> Result<(Option<RoleState>, String), ConnectError> {
        let rights = session.rights().await?;
        if [&rights.session_user, &rights.current_user, &admin.user].into_iter().any(|name| name == role) {
            let detail = format!("`{role}` is the administrator's own role: Quell would lock itself out");
            return Err(session.failed(what, ConnectErrorKind::Denied, detail));
        }
        let version = session.server().await?.version;
        Ok((session.role(role, self.roles.group()).await?, version))
    }

    /// A cutoff as PostgreSQL reads it.
    fn moment(&self, cutoff: Option<&str>) -> Result<String, ConnectError> {
        let Some(text) = cutoff else { return Ok(ALL.to_owned()) };
        let moment: Timestamp = text.parse().map_err(|_e| {
            self.failed("reading the cutoff", ConnectErrorKind::Denied, "it is not an RFC 3339 time")
        })?;
        Ok(moment.to_string())
    }
}

/// What to grant so that the administrator may alter a role.
pub(super) fn grant_hint(admin: &str, role: &str) -> String {
    let (admin, role) = (sql::identifier(admin), sql::identifier(role));
    format!(
        "as a superuser: ALTER ROLE {admin} CREATEROLE; on PostgreSQL 16 and later also \
         GRANT {role} TO {admin} WITH ADMIN OPTION"
    )
}
