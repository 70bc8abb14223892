//! A role of a database engine and its leases; `quell issue`.
//!
//! Sources: openbao.org/api-docs/system/leases, openbao.org/api-docs/secret/databases, and 2.7.2 itself (2026-11):
//! `renew` with a smaller `increment` shortens a lease.

use std::time::Duration;

use quell_core::secret::SecretValue;
use serde_json::{Value, json};

use super::api::{Ask, Bao, Session, checked_path};
use crate::context::Context;
use crate::error::{ConfigError, ConnectError, ConnectErrorKind};

/// The longest lease that `quell issue` gives unless told otherwise.
pub const ISSUE_TTL: Duration = Duration::from_mins(30);

/// A fresh short-lived account.
#[derive(Debug)]
pub struct Issued {
    /// The account that the engine made up.
    pub username: String,
    /// Its password.
    pub password: SecretValue,
    /// Revokes it before its time.
    pub lease_id: String,
    /// How long it lives, in seconds.
    pub lease_duration: u64,
    /// Whether its life can be prolonged.
    pub renewable: bool,
}

/// A role of a database engine.
#[derive(Clone, Debug)]
pub(super) struct Engine {
    pub(super) mount: String,
    pub(super) role: String,
}

pub(super) const REVOKING: &str = "revoking the leases";
pub(super) const ISSUING: &str = "issuing a credential";

/// Issues one credential that lives no longer than `ttl_max`. A lease that cannot be made that short is revoked at
/// once and refused.
pub async fn issue(
    ctx: &Context,
    mount: &str,
    role: &str,
    ttl_max: Duration,
) -> Result<Issued, ConnectError> {
    let unusable = |error: ConfigError| super::unusable(ISSUING, &error);
    let bao = Bao::open(ctx).map_err(unusable)?;
    let engine = Engine {
        mount: checked_path("mount", mount).map_err(unusable)?,
        role: checked_path("role", role).map_err(unusable)?,
    };
    let session = bao.login().await?;
    engine.confirm(&session, ISSUING).await?;
    let mut issued = engine.mint(&session).await?;
    let limit = ttl_max.as_secs();
    if issued.lease_duration <= limit {
        return Ok(issued);
    }
    // What the renewal gave counts, not whether it went well.
    let renewed = engine.shorten(&session, &issued, limit).await;
    match renewed {
        Ok(duration) if duration <= limit => {
            issued.lease_duration = duration;
            Ok(issued)
        }
        _ => {
            let lease = &issued.lease_id;
            let body = json!({ "lease_id": lease, "sync": true });
            let revoked = session.ok(&Ask::post(REVOKING, "sys/leases/revoke", body)).await;
            let rest = match revoked {
                Ok(_) => "it was revoked at once".to_owned(),
                Err(error) => format!("and revoking it failed ({}): revoke {lease} by hand", error.detail),
            };
            let words = format!(
                "the role `{role}` gives {} s, more than the {limit} s asked for; {rest}; \
                 lower default_ttl of `{mount}/roles/{role}`, give `update` on `sys/leases/renew`, or ask for more",
                issued.lease_duration
            );
            Err(bao.error(ISSUING, ConnectErrorKind::Denied, words))
        }
    }
}

impl Engine {
    pub(super) fn prefix(&self) -> String {
        format!("{}/creds/{}", self.mount, self.role)
    }

    /// Only the database engine gives leases that can be revoked here.
    pub(super) async fn confirm(
        &self,
        session: &Session<'_>,
        what: &'static str,
    ) -> Result<(), ConnectError> {
        let mount = &self.mount;
        let (kind, _) = session.mount(what, mount).await?;
        let words = match kind.as_str() {
            "database" => return Ok(()),
            "kv" | "generic" => format!(
                "`{mount}/` is KV, and KV issues no leases: there is nothing to revoke. Use it as a store (new \
                 version, purge of old ones) and rotate the value at its issuer"
            ),
            other => format!("`{mount}/` is a `{other}` mount, not a database engine"),
        };
        Err(session.bao().error(what, ConnectErrorKind::Denied, words))
    }

    pub(super) async fn mint(&self, session: &Session<'_>) -> Result<Issued, ConnectError> {
        let answer = session.ok(&Ask::get(ISSUING, self.prefix())).await?;
        let text = |pointer: &str| answer.pointer(pointer).and_then(Value::as_str).map(str::to_owned);
        let issued = (|| {
            Some(Issued {
                username: text("/data/username")?,
                password: SecretValue::from_text(text("/data/password")?),
                lease_id: text("/lease_id").filter(|lease| !lease.is_empty())?,
                lease_duration: answer.get("lease_duration")?.as_u64()?,
                renewable: answer.get("renewable")?.as_bool()?,
            })
        })();
        issued.ok_or_else(|| {
            let words = "the answer is not a leased credential";
            session.bao().error(ISSUING, ConnectErrorKind::Unexpected, words)
        })
    }

    pub(super) async fn shorten(
        &self,
        session: &Session<'_>,
        issued: &Issued,
        limit: u64,
    ) -> Result<u64, ConnectError> {
        let body = json!({ "lease_id": issued.lease_id, "increment": limit });
        let answer = session.ok(&Ask::post("shortening the lease", "sys/leases/renew", body)).await?;
        Ok(answer.get("lease_duration").and_then(Value::as_u64).unwrap_or(u64::MAX))
    }

    /// How many leases the role has.
    pub(super) async fn leases(
        &self,
        session: &Session<'_>,
        what: &'static str,
    ) -> Result<u64, ConnectError> {
        Ok(u64::try_from(self.lease_ids(session, what).await?.len()).unwrap_or(u64::MAX))
    }

    /// The role's leases, by id.
    pub(super) async fn lease_ids(
        &self,
        session: &Session<'_>,
        what: &'static str,
    ) -> Result<Vec<String>, ConnectError> {
        let prefix = self.prefix();
        let path = format!("sys/leases/lookup/{prefix}");
        match session.ok(&Ask::list(what, path).needs("list, sudo")).await {
            Ok(answer) => {
                let keys = answer.pointer("/data/keys").and_then(Value::as_array);
                let words = "the answer lists no leases";
                let none = || session.bao().error(what, ConnectErrorKind::Unexpected, words);
                let named = keys.ok_or_else(none)?.iter().filter_map(Value::as_str);
                Ok(named.map(|key| format!("{prefix}/{key}")).collect())
            }
            Err(error) if error.kind == ConnectErrorKind::Missing => Ok(Vec::new()),
            Err(error) => Err(error),
        }
    }

    /// Leases that the server has given up on: the account behind them may live.
    pub(super) async fn irrevocable(
        &self,
        session: &Session<'_>,
        what: &'static str,
        under: &str,
    ) -> Result<Vec<String>, ConnectError> {
        let ask = Ask::get(what, "sys/leases")
            .query("type", "irrevocable")
            .query("limit", "none")
            .needs("read, sudo");
        let answer = session.ok(&ask).await?;
        let Some(leases) = answer.pointer("/data/leases").and_then(Value::as_array) else {
            let words = "the answer lists no irrevocable leases";
            return Err(session.bao().error(what, ConnectErrorKind::Unexpected, words));
        };
        let ids = leases.iter().filter_map(|lease| lease.get("lease_id").and_then(Value::as_str));
        Ok(ids.filter(|id| is_under(id, under)).map(str::to_owned).collect())
    }

    /// The part of the role's leases that a principal names: one lease, or all.
    pub(super) fn scope(&self, principal: &str) -> Option<String> {
        is_under(principal, &self.prefix()).then(|| principal.to_owned())
    }
}

fn is_under(id: &str, prefix: &str) -> bool {
    id.strip_prefix(prefix).is_some_and(|rest| rest.is_empty() || rest.starts_with('/'))
}
