//! The issuer of dynamic database credentials: revoke every lease of a role and see that none is left.
//!
//! Sources: openbao.org/api-docs/system/leases (`sync`, `type=irrevocable`) and 2.7.2 itself (2026-11): a
//! synchronous revoke whose database is away is 400 and leaves the lease listed.

use async_trait::async_trait;
use quell_core::issuer::{Capabilities, Chooser, ValidAtOnce};
use quell_core::outcome::{Facts, Outcome, Probe};
use quell_core::secret::{Credential, SecretValue};
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use super::api::{Ask, Bao, Session, checked_path};
use super::lease::{Engine, ISSUING, REVOKING};
use crate::connector::{Check, Issuer, IssuerOp, Performed};
use crate::context::Context;
use crate::effect;
use crate::error::{ConfigError, ConnectError, ConnectErrorKind};
use crate::postgres::Guests;
use crate::source::SecretSource;

/// `{ database: { mount: database, role: orders, postgres: … } }`.
#[derive(Clone, Debug, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Config {
    mount: String,
    role: String,
    /// The URL of an account on the database itself, which sees and ends sessions. With it a leaked credential can be tried.
    postgres: Option<SecretSource>,
}

#[derive(Debug)]
struct DatabaseIssuer {
    bao: Bao,
    engine: Engine,
    door: Option<Guests>,
}

/// Leases that are named in a fact; a role with more of them has a count.
const NAMED_MAX: usize = 200;

pub(super) fn build(config: Config, ctx: &Context) -> Result<Box<dyn Issuer>, ConfigError> {
    let engine =
        Engine { mount: checked_path("mount", &config.mount)?, role: checked_path("role", &config.role)? };
    let door = config.postgres.map(|watch| Guests::new(watch, ctx));
    Ok(Box::new(DatabaseIssuer { bao: Bao::open(ctx)?, engine, door }))
}

impl DatabaseIssuer {
    fn scope(&self, old: &Credential) -> Result<String, ConnectError> {
        // Behind the leases stands whose they are.
        let principal = old.principal.split_once(" (").map_or(old.principal.as_str(), |(leases, _)| leases);
        self.engine.scope(principal).ok_or_else(|| {
            let words = format!("the credential is not one of `{}`", self.engine.prefix());
            self.bao.error(REVOKING, ConnectErrorKind::Denied, words)
        })
    }

    async fn disable(&self, old: &Credential) -> Result<Outcome, ConnectError> {
        let scope = self.scope(old)?;
        let session = self.bao.login().await?;
        self.engine.confirm(&session, REVOKING).await?;
        // Before they are gone: nobody can list them after.
        let retired = if scope == self.engine.prefix() {
            self.engine.lease_ids(&session, REVOKING).await?
        } else {
            vec![scope.clone()]
        };
        let ask = if scope == self.engine.prefix() {
            let body = json!({ "sync": true });
            Ask::post(REVOKING, format!("sys/leases/revoke-prefix/{scope}"), body).needs("update, sudo")
        } else {
            Ask::post(REVOKING, "sys/leases/revoke", json!({ "lease_id": scope, "sync": true }))
        };
        let reply = session.send(&ask).await?;
        let failed = (!(200..300).contains(&reply.status)).then(|| session.failure(&ask, &reply));
        match failed {
            // The database refused or was away: what is left decides.
            Some(error) if !matches!(reply.status, 400 | 500) => Err(error),
            // It was done or tried: what cannot be seen now is unknown, whatever the reason.
            failed => {
                let seen = self.remaining(&session, &scope, failed.as_ref()).await;
                Ok(seen.map_or_else(|error| error.unseen(), |seen| self.with_retired(seen, &retired, old)))
            }
        }
    }

    /// What is gone now, by name: it is watched for in the logs after.
    fn with_retired(&self, seen: Outcome, retired: &[String], old: &Credential) -> Outcome {
        match seen {
            Outcome::Applied { mut facts } => {
                facts.insert("retired".to_owned(), json!(retired.iter().take(NAMED_MAX).collect::<Vec<_>>()));
                facts.insert("retired_count".to_owned(), json!(retired.len()));
                let account = self.door.as_ref().and_then(|door| door.account(&old.value));
                facts.insert("retired_accounts".to_owned(), json!(account.into_iter().collect::<Vec<_>>()));
                Outcome::Applied { facts }
            }
            other @ (Outcome::NotApplied { .. } | Outcome::Unknown { .. }) => other,
        }
    }

    /// Looks at what is left. Without irrevocable and live leases the effect is in force.
    async fn remaining(
        &self,
        session: &Session<'_>,
        scope: &str,
        failed: Option<&ConnectError>,
    ) -> Result<Outcome, ConnectError> {
        let lost = self.engine.irrevocable(session, REVOKING, scope).await?;
        let because = failed.map(|error| format!(": {}", error.detail)).unwrap_or_default();
        if let Some(first) = lost.first() {
            return Ok(Outcome::refused(format!(
                "{} leases are irrevocable and their accounts may live, first {first}{because}; remove the \
                 accounts in the database, then `bao lease revoke -force -prefix {scope}`",
                lost.len()
            )));
        }
        let left = if scope == self.engine.prefix() {
            self.engine.leases(session, REVOKING).await?
        } else {
            u64::from(self.lease_alive(session, scope).await?)
        };
        Ok(match (left, failed) {
            (0, _) => {
                Outcome::applied([("prefix", json!(scope)), ("leases", json!(0)), ("irrevocable", json!(0))])
            }
            (_, None) => Outcome::retry(format!("{left} leases are alive under {scope}")),
            // Not worth a blind repeat: the server itself goes on trying, and the cause is outside of it.
            (_, Some(_)) => Outcome::refused(format!(
                "{left} leases are alive under {scope}{because}; their accounts live until the database can be \
                 reached"
            )),
        })
    }

    async fn lease_alive(&self, session: &Session<'_>, lease: &str) -> Result<bool, ConnectError> {
        let body = json!({ "lease_id": lease });
        match session.ok(&Ask::post("looking up the lease", "sys/leases/lookup", body)).await {
            Ok(_) => Ok(true),
            Err(error) if error.kind == ConnectErrorKind::Missing => Ok(false),
            Err(error) => Err(error),
        }
    }

    async fn install(&self, new: &Credential) -> Result<Performed, ConnectError> {
        let session = self.bao.login().await?;
        if !new.value.is_empty() {
            return self.observe_install(&session, new).await.map(Performed::from);
        }
        self.engine.confirm(&session, ISSUING).await?;
        let issued = self.engine.mint(&session).await?;
        let outcome = Outcome::applied([
            ("lease_id", json!(issued.lease_id)),
            ("username", json!(issued.username)),
            ("ttl_seconds", json!(issued.lease_duration)),
        ]);
        let password = issued.password.expose_text().unwrap_or_default();
        let value = json!({ "username": issued.username, "password": password }).to_string();
        let minted = Credential { principal: issued.lease_id, value: SecretValue::from_text(value) };
        Ok(Performed { outcome, minted: Some(minted) })
    }

    async fn observe_install(
        &self,
        session: &Session<'_>,
        new: &Credential,
    ) -> Result<Outcome, ConnectError> {
        if new.value.is_empty() {
            return Ok(Outcome::retry(
                "no credential is at hand; one whose answer was lost cannot be found again and ends with its lease",
            ));
        }
        Ok(if self.lease_alive(session, &new.principal).await? {
            Outcome::applied([("lease_id", json!(new.principal))])
        } else {
            Outcome::refused("the lease has ended; choose again")
        })
    }

    /// Ends what was opened with it, where we have an account on the database.
    async fn end_sessions(&self, door: &Guests, old: &Credential) -> Result<Outcome, ConnectError> {
        let ended = door.end_sessions(&old.value).await?;
        Ok(match door.sessions(&old.value).await {
            Ok(live) => effect::severed(live, effect::facts([("ended", json!(ended))])),
            Err(error) => error.unseen(),
        })
    }

    /// Without such an account sessions are ended by the role's own statements or not at all.
    async fn sever(&self, session: &Session<'_>, old: &Credential) -> Result<Outcome, ConnectError> {
        if let Some(door) = &self.door {
            return Ok(effect::severed(door.sessions(&old.value).await?, Facts::new()));
        }
        let path = format!("{}/roles/{}", self.engine.mount, self.engine.role);
        let role = session.ok(&Ask::get("reading the role", path.as_str())).await?;
        let statements = role.pointer("/data/revocation_statements").and_then(Value::as_array);
        let ends = statements.into_iter().flatten().filter_map(Value::as_str).any(|statement| {
            let statement = statement.to_ascii_lowercase();
            statement.contains("pg_terminate_backend") || statement.contains("kill ")
        });
        if !ends {
            return Ok(Outcome::refused(format!(
                "OpenBao ends no sessions: add pg_terminate_backend to revocation_statements of `{path}`, or end \
                 them in the database"
            )));
        }
        self.remaining(session, &self.scope(old)?, None).await
    }
}

#[async_trait]
impl Issuer for DatabaseIssuer {
    fn capabilities(&self) -> Capabilities {
        Capabilities {
            chooser: Chooser::Issuer,
            valid_at_once: ValidAtOnce::Many,
            sessions_survive: true,
            can_disable: true,
            self_revocable: false,
            // In an incident all leases of the role go, a new one too: consumers fetch their own after that.
            can_mint: self.door.is_none(),
            can_probe: self.door.is_some(),
            settle_ms: 1000,
            refusals: vec!["28P01".to_owned(), "28000".to_owned()],
        }
    }

    fn target(&self) -> String {
        format!("{} {}", self.bao.name(), self.engine.prefix())
    }

    fn lane(&self) -> (String, Option<u16>) {
        (self.bao.server(), None)
    }

    async fn check(&self) -> Vec<Check> {
        let mut checks = Vec::new();
        let Some(session) = super::check_server(&self.bao, &mut checks).await else {
            return checks;
        };
        let mount = self.engine.confirm(&session, "looking at the mount").await;
        checks.push(Check {
            what: format!("`{}/` is a database engine", self.engine.mount),
            ok: mount.is_ok(),
            detail: mount.map_or_else(|error| error.detail, |()| "database engine".to_owned()),
        });
        let prefix = self.engine.prefix();
        let needs = [
            (prefix.clone(), &["read"][..]),
            (format!("{}/roles/{}", self.engine.mount, self.engine.role), &["read"]),
            (format!("sys/leases/revoke-prefix/{prefix}"), &["update", "sudo"]),
            // A list is checked against the path with a slash at its end.
            (format!("sys/leases/lookup/{prefix}/"), &["list", "sudo"]),
            ("sys/leases".to_owned(), &["read", "sudo"]),
            ("sys/leases/lookup".to_owned(), &["update"]),
            ("sys/leases/revoke".to_owned(), &["update"]),
        ];
        super::check_capabilities(&session, &needs, &mut checks).await;
        if let Some(door) = &self.door {
            checks.extend(door.check().await);
        }
        checks
    }

    async fn warnings(&self, _current: Option<&SecretValue>) -> Vec<String> {
        let ends = format!(
            "revoking `{}` ends the credentials of every consumer of that role; each must fetch a new one",
            self.engine.prefix()
        );
        let sessions = if self.door.is_some() {
            "sessions of every account that is gone from the database are ended: nobody can tell whose they were"
        } else {
            "sessions that are open in the database live on unless the role's revocation_statements end them"
        };
        vec![ends, sessions.to_owned()]
    }

    /// Every lease of the role: a leaked username or password does not tell its lease. Two that leaked are two principals all the
    /// same, so that what was done for one is not taken for the other's.
    fn identify(&self, value: &SecretValue) -> Result<Credential, ConnectError> {
        let leases = self.engine.prefix();
        let account = self.door.as_ref().and_then(|door| door.account(value));
        let principal = account.map_or_else(|| leases.clone(), |account| format!("{leases} ({account})"));
        Ok(Credential { principal, value: value.duplicate() })
    }

    async fn choose(&self, _old: Option<&Credential>, tag: &str) -> Result<Credential, ConnectError> {
        Ok(Credential { principal: tag.to_owned(), value: SecretValue::new(Vec::new()) })
    }

    async fn perform(&self, op: IssuerOp<'_>) -> Performed {
        let done = match op {
            IssuerOp::Install { new } => self.install(new).await,
            IssuerOp::Disable { old } => self.disable(old).await.map(Performed::from),
            IssuerOp::Sever { old, .. } => match &self.door {
                Some(door) => self.end_sessions(door, old).await.map(Performed::from),
                None => return self.observe(op).await,
            },
        };
        done.unwrap_or_else(|error| error.outcome().into())
    }

    async fn observe(&self, op: IssuerOp<'_>) -> Performed {
        let seen = async {
            let session = self.bao.login().await?;
            match op {
                IssuerOp::Install { new } => self.observe_install(&session, new).await,
                IssuerOp::Disable { old } => self.remaining(&session, &self.scope(old)?, None).await,
                IssuerOp::Sever { old, .. } => self.sever(&session, old).await,
            }
        };
        seen.await.unwrap_or_else(|error: ConnectError| error.unseen()).into()
    }

    /// The door is the database's, not OpenBao's.
    async fn probe(&self, credential: &Credential) -> Probe {
        match &self.door {
            Some(door) => door.probe(&credential.value).await,
            None => Probe::Inconclusive { reason: NO_DOOR.to_owned() },
        }
    }

    async fn control(&self) -> Probe {
        match &self.door {
            Some(door) => door.control().await,
            None => Probe::Inconclusive { reason: NO_DOOR.to_owned() },
        }
    }

    /// Leases that are alive, each of which stands for one account, and what was opened with accounts that are gone.
    async fn sessions(&self, old: &Credential, _cutoff: Option<&str>) -> Result<u64, ConnectError> {
        let scope = self.scope(old)?;
        let session = self.bao.login().await?;
        let leases = if scope == self.engine.prefix() {
            self.engine.leases(&session, "counting leases").await?
        } else {
            u64::from(self.lease_alive(&session, &scope).await?)
        };
        match &self.door {
            Some(door) => Ok(leases + door.sessions(&old.value).await?),
            None => Ok(leases),
        }
    }
}

const NO_DOOR: &str = "only the database can be asked; give `postgres`, the URL of an account on it, or name a `postgres` issuer for the proof";
