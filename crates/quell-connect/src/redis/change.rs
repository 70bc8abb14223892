//! The three effects, on every node, and the look at each of them.

use std::time::Duration;

use jiff::Timestamp;
use quell_core::outcome::{Outcome, Probe};
use quell_core::secret::Credential;
use redis::cmd;
use serde_json::{Value, json};
use zeroize::Zeroizing;

use super::cutoff::may_be_before;
use super::node::{Door, Login, Node, hash};
use super::reply::{self, User};
use super::{Place, Redis};
use crate::connector::IssuerOp;
use crate::effect::{after_effect, facts, installed, not_yet, severed};
use crate::error::{ConnectError, ConnectErrorKind};
use crate::fleet::{self, Cutoff, Done, Stop};

/// Between two counts of sessions that were told to end, and how often they are counted.
const PAUSE: Duration = Duration::from_millis(50);
const COUNTS: u32 = 20;

/// What the servers are called together.
const NODES: &str = "nodes";

/// Addresses of late attempts that are told.
const TOLD: usize = 20;

/// The administrator's ways in.
pub(super) struct Admin {
    pub(super) door: Door,
    pub(super) login: Login,
    pub(super) places: Vec<Place>,
}

impl Redis {
    /// Does it.
    pub(super) async fn change(&self, op: IssuerOp<'_>) -> Result<Outcome, ConnectError> {
        let what = match op {
            IssuerOp::Install { .. } => "installing the new password",
            IssuerOp::Disable { .. } => "taking the old password away",
            IssuerOp::Sever { .. } => "ending the old value's sessions",
        };
        self.context
            .within(|| self.target_text(), what, async {
                let credential = op.credential();
                let password = self.password(credential)?;
                let admin = self.admin().await?;
                let mut each = Vec::new();
                for place in &admin.places {
                    each.push(self.on_node(op, &admin, place, &password, what).await);
                }
                let facts = facts([("user", credential.principal.as_str().into())]);
                Ok(fleet::together(facts, NODES, each))
            })
            .await
    }

    async fn on_node(
        &self,
        op: IssuerOp<'_>,
        admin: &Admin,
        place: &Place,
        password: &str,
        what: &'static str,
    ) -> Result<Done<u64>, Stop> {
        let principal = &op.credential().principal;
        let mut node = admin.door.login(place, &admin.login, what).await?;
        let me = node.ask_text(what, cmd("ACL").arg("WHOAMI")).await?;
        if me == *principal {
            return Err(Stop::Refused(format!(
                "`{me}` is the administrator's own user: Quell would lock itself out"
            )));
        }
        let facts = match op {
            IssuerOp::Install { .. } => install(&mut node, principal, &hash(password), what).await?,
            IssuerOp::Disable { .. } => disable(&mut node, principal, &hash(password), what).await?,
            IssuerOp::Sever { cutoff, .. } => {
                sever(&mut node, principal, moment(cutoff)?.as_ref(), what).await?
            }
        };
        let bound = match op {
            IssuerOp::Disable { .. } => Some(bound(admin, place, what).await.map_err(after_effect)?),
            IssuerOp::Install { .. } | IssuerOp::Sever { .. } => None,
        };
        Ok(Done { name: place.words(), facts, bound })
    }

    /// Is it in force?
    pub(super) async fn look(&self, op: IssuerOp<'_>) -> Result<Outcome, ConnectError> {
        let credential = op.credential();
        if let IssuerOp::Sever { cutoff, .. } = op {
            let live = self.live_sessions(credential, cutoff).await?;
            let user = credential.principal.as_str().into();
            return Ok(severed(live, facts([("user", user)])));
        }
        let probe = self.try_it(credential).await?;
        Ok(match probe {
            // Another try may do it on the nodes that are left.
            Probe::Inconclusive { reason } if fleet::is_mixed(NODES, &reason) => Outcome::retry(reason),
            probe if matches!(op, IssuerOp::Install { .. }) => installed(probe),
            Probe::Accepted { facts } => not_yet("the old value is still accepted", facts),
            Probe::Refused { code, message } => {
                let cutoff = self.bounds().await?;
                Outcome::applied([
                    ("user", credential.principal.as_str().into()),
                    ("code", code.into()),
                    ("message", message.into()),
                    ("cutoff", cutoff.to_string().into()),
                ])
            }
            Probe::Inconclusive { reason } => Outcome::unknown(reason),
        })
    }

    /// Tries a login on every node.
    pub(super) async fn try_it(&self, credential: &Credential) -> Result<Probe, ConnectError> {
        self.context
            .within(|| self.target_text(), "trying the credential", async {
                let password = self.password(credential)?;
                let admin = self.admin().await?;
                let login = Login { user: credential.principal.clone(), password };
                Ok(all(&admin, &login).await)
            })
            .await
    }

    /// Counts the sessions that were opened with `old`, on every node.
    pub(super) async fn live_sessions(
        &self,
        old: &Credential,
        cutoff: Option<&str>,
    ) -> Result<u64, ConnectError> {
        const WHAT: &str = "counting sessions";
        let cutoff = moment(cutoff)?;
        self.context
            .within(|| self.target_text(), WHAT, async {
                drop(self.password(old)?);
                let admin = self.admin().await?;
                let mut live = 0;
                for place in &admin.places {
                    let mut node = admin.door.login(place, &admin.login, WHAT).await?;
                    live += ids(&mut node, &old.principal, cutoff.as_ref(), WHAT).await?.len() as u64;
                }
                Ok(live)
            })
            .await
    }

    /// What no session that was opened with the old password lies beyond, once every node refuses it.
    async fn bounds(&self) -> Result<Cutoff<u64>, ConnectError> {
        const WHAT: &str = "asking for the time";
        self.context
            .within(|| self.target_text(), WHAT, async {
                let admin = self.admin().await?;
                let mut cutoff = Cutoff::none();
                for place in &admin.places {
                    let (at, id) = bound(&admin, place, WHAT).await?;
                    cutoff.add(at, place.words(), id);
                }
                Ok(cutoff)
            })
            .await
    }
}

/// A node's time, and the number of a connection that begins now.
async fn bound(admin: &Admin, place: &Place, what: &'static str) -> Result<(Timestamp, u64), ConnectError> {
    let mut node = admin.door.login(place, &admin.login, what).await?;
    let id = node.ask(what, cmd("CLIENT").arg("ID")).await?;
    let id = redis::from_redis_value(id)
        .map_err(|_e| node.odd(what, "CLIENT ID answered with something else than a number"))?;
    Ok((node.time(what).await?, id))
}

/// Tries a login on every node.
pub(super) async fn all(admin: &Admin, login: &Login) -> Probe {
    let mut answers = Vec::new();
    for place in &admin.places {
        answers.push((place.words(), admin.door.probe(place, login).await));
    }
    fleet::agree(NODES, answers)
}

async fn known(node: &mut Node, user: &str, what: &'static str) -> Result<Option<User>, ConnectError> {
    let answer = node.ask(what, cmd("ACL").arg("GETUSER").arg(user)).await?;
    if answer == redis::Value::Nil {
        return Ok(None);
    }
    reply::user(&answer)
        .map(Some)
        .ok_or_else(|| node.odd(what, "ACL GETUSER answered with something else than a user"))
}

async fn install(node: &mut Node, user: &str, hash: &str, what: &'static str) -> Result<Value, Stop> {
    let Some(state) = known(node, user, what).await? else {
        // SETUSER would make one without any right.
        return Err(Stop::Refused(format!(
            "the user `{user}` does not exist; make it with ACL SETUSER first"
        )));
    };
    if state.nopass {
        return Err(Stop::Refused(format!(
            "the user `{user}` is `nopass`: any password is accepted, and to set one would lock out whoever logs in with another; \
             give it one with ACL SETUSER first"
        )));
    }
    if !state.on {
        return Err(Stop::Refused(format!(
            "the user `{user}` is `off`: ACL SETUSER {user} on, if it is to be used again"
        )));
    }
    let already = has(&state, hash);
    if !already {
        let rule = Zeroizing::new(format!("#{hash}"));
        node.ask(what, cmd("ACL").arg("SETUSER").arg(user).arg(rule.as_str())).await?;
    }
    let kept = keep(node, what).await.map_err(after_effect)?;
    Ok(json!({ "already": already, "kept_in": kept }))
}

async fn disable(node: &mut Node, user: &str, hash: &str, what: &'static str) -> Result<Value, Stop> {
    let Some(state) = known(node, user, what).await? else {
        return Ok(json!({ "exists": false, "already": true }));
    };
    if state.nopass {
        return Err(Stop::Refused(format!(
            "the user `{user}` is `nopass`: any password is accepted, so none can be taken away; ACL SETUSER {user} resetpass or off"
        )));
    }
    let already = !has(&state, hash);
    if !already {
        let rule = Zeroizing::new(format!("!{hash}"));
        node.ask(what, cmd("ACL").arg("SETUSER").arg(user).arg(rule.as_str())).await?;
    }
    let kept = keep(node, what).await.map_err(after_effect)?;
    Ok(
        json!({ "already": already, "kept_in": kept, "passwords_left": state.passwords.len() - usize::from(!already) }),
    )
}

async fn sever(
    node: &mut Node,
    user: &str,
    cutoff: Option<&Cutoff<u64>>,
    what: &'static str,
) -> Result<Value, Stop> {
    let mut ended = 0_u64;
    let mut left = ids(node, user, cutoff, what).await?;
    for _ in 0..COUNTS {
        if left.is_empty() {
            break;
        }
        for id in &left {
            let answer = node.ask(what, cmd("CLIENT").arg("KILL").arg("ID").arg(id.to_string())).await?;
            ended += u64::from(answer == redis::Value::Int(1));
        }
        tokio::time::sleep(PAUSE).await;
        left = ids(node, user, cutoff, what).await.map_err(after_effect)?;
    }
    if !left.is_empty() {
        let why = format!("{} sessions are still live", left.len());
        return Err(ConnectError::new(
            node.system(),
            what,
            ConnectErrorKind::Transient { retry_after: None },
            why,
        )
        .into());
    }
    Ok(json!({ "ended": ended, "remaining": 0, "refused_logins": late(node, user, what).await }))
}

/// Who was refused as this user; `null` if that may not be seen.
async fn late(node: &mut Node, user: &str, what: &'static str) -> Value {
    let Ok(log) = node.ask(what, cmd("ACL").arg("LOG").arg("128")).await else { return Value::Null };
    let attempts: Vec<_> = reply::attempts(&log).into_iter().filter(|it| it.user == user).collect();
    let count: u64 = attempts.iter().map(|it| it.count).sum();
    let mut from: Vec<String> = attempts.into_iter().filter_map(|it| it.address).collect();
    from.sort();
    from.dedup();
    from.truncate(TOLD);
    json!({ "count": count, "from": from })
}

/// Connections of the user that began before the cutoff, or may have: Redis tells their age in whole seconds.
async fn ids(
    node: &mut Node,
    user: &str,
    cutoff: Option<&Cutoff<u64>>,
    what: &'static str,
) -> Result<Vec<u64>, ConnectError> {
    // Asked before the list, so that a session that begins in between seems older than it is, not younger.
    let now = node.ask(what, &cmd("TIME")).await?;
    let now =
        reply::time(&now).ok_or_else(|| node.odd(what, "TIME answered with something else than a time"))?;
    let list = node.ask_text(what, cmd("CLIENT").arg("LIST")).await?;
    let name = node.name();
    let sessions = reply::sessions(&list).into_iter().filter(|it| it.user == user);
    let old = sessions.filter(|it| cutoff.is_none_or(|cutoff| may_be_before(cutoff, &name, it, now)));
    Ok(old.map(|it| it.id).collect())
}

/// Keeps what is in memory over a restart; where.
async fn keep(node: &mut Node, what: &'static str) -> Result<&'static str, ConnectError> {
    let file = node.ask(what, cmd("CONFIG").arg("GET").arg("aclfile")).await?;
    let file: Vec<String> = redis::from_redis_value(file).unwrap_or_default();
    if file.get(1).is_some_and(|path| !path.is_empty()) {
        node.ask(what, cmd("ACL").arg("SAVE")).await?;
        return Ok("aclfile");
    }
    let info = node.ask_text(what, cmd("INFO").arg("server")).await?;
    if reply::info(&info, "config_file").is_none_or(str::is_empty) {
        return Ok("memory only: a restart undoes it");
    }
    node.ask(what, cmd("CONFIG").arg("REWRITE")).await?;
    Ok("configuration file")
}

fn has(user: &User, hash: &str) -> bool {
    user.passwords.iter().any(|it| it.eq_ignore_ascii_case(hash))
}

/// A cutoff as it was given.
fn moment(cutoff: Option<&str>) -> Result<Option<Cutoff<u64>>, ConnectError> {
    let parsed = cutoff.map(str::parse).transpose();
    parsed
        .map_err(|why: &str| ConnectError::new("redis", "reading the cutoff", ConnectErrorKind::Denied, why))
}
