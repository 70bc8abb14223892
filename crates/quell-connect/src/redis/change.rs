//! The three effects, on every node, and the look at each of them.

use std::sync::PoisonError;
use std::time::Duration;

use futures_util::future::join_all;
use jiff::Timestamp;
use quell_core::outcome::{Outcome, Probe};
use quell_core::secret::Credential;
use redis::cmd;
use serde_json::{Value, json};
use zeroize::Zeroizing;

use super::Redis;
use super::cutoff::{Bound, Cutoff, Now, may_be_before};
use super::keep::{Keeping, keep, keeping};
use super::node::{Door, Login, Node, hash};
use super::reply::{self, User};
use super::standing::{Standing, unlisted};
use crate::connector::IssuerOp;
use crate::dsn::Place;
use crate::effect::{after_effect, facts, installed, not_yet, severed};
use crate::error::{ConnectError, ConnectErrorKind};
use crate::fleet::{self, Done, Stop};

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

impl Admin {
    /// Asks every node at once, each within its own time: one that hangs keeps nothing from the others.
    pub(super) async fn each<'a, T, E, F>(
        &'a self,
        what: &'static str,
        one: impl Fn(&'a Place) -> F,
    ) -> Vec<Result<T, E>>
    where
        F: Future<Output = Result<T, E>>,
        E: From<ConnectError>,
    {
        let limit = self.door.limit;
        join_all(self.places.iter().map(|place| {
            let asked = one(place);
            async move {
                tokio::time::timeout(limit, asked).await.unwrap_or_else(|_elapsed| {
                    let detail = format!("no answer within {} ms", limit.as_millis());
                    let system = format!("redis {}", place.words());
                    Err(ConnectError::new(system, what, ConnectErrorKind::Lost, detail).into())
                })
            }
        }))
        .await
    }
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
                let (admin, password) = (&self.admin().await?, password.as_str());
                let each = admin.each(what, |place| self.on_node(op, admin, place, password, what)).await;
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
    ) -> Result<Done<Bound>, Stop> {
        let principal = &op.credential().principal;
        let mut node = admin.door.login(place, &admin.login, what).await?;
        let me = node.ask_text(what, cmd("ACL").arg("WHOAMI")).await?;
        if me == *principal {
            return Err(Stop::Refused(format!(
                "`{me}` is the administrator's own user: Quell would lock itself out"
            )));
        }
        let (facts, bound) = match op {
            IssuerOp::Install { .. } => {
                (self.install(&mut node, principal, &hash(password), what).await?, None)
            }
            IssuerOp::Disable { .. } => {
                let facts = self.disable(&mut node, principal, &hash(password), what).await?;
                (facts, Some(bound(admin, place, what).await.map_err(after_effect)?))
            }
            IssuerOp::Sever { cutoff, .. } => {
                (sever(&mut node, principal, moment(cutoff)?.as_ref(), what).await?, None)
            }
        };
        Ok(Done { name: place.words(), facts, bound })
    }

    async fn install(
        &self,
        node: &mut Node,
        user: &str,
        hash: &str,
        what: &'static str,
    ) -> Result<Value, Stop> {
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
        let place = keeping(node, self.persist, what).await?;
        if let Keeping::Nowhere(why) = place {
            return Err(Stop::Refused(format!("{}: {why}", node.name())));
        }
        let already = has(&state, hash);
        if !already {
            let rule = Zeroizing::new(format!("#{hash}"));
            node.ask(what, cmd("ACL").arg("SETUSER").arg(user).arg(rule.as_str())).await?;
        }
        let facts = json!({ "already": already, "kept_in": place.words() });
        self.keep(node, Ok(place), facts, &mark(INSTALLED, node, hash), what).await
    }

    async fn disable(
        &self,
        node: &mut Node,
        user: &str,
        hash: &str,
        what: &'static str,
    ) -> Result<Value, Stop> {
        let state = known(node, user, what).await?;
        if state.as_ref().is_some_and(|it| it.nopass) {
            return Err(Stop::Refused(format!(
                "the user `{user}` is `nopass`: any password is accepted, so none can be taken away; ACL SETUSER {user} resetpass or off"
            )));
        }
        let already = !state.as_ref().is_some_and(|it| has(it, hash));
        if !already {
            let rule = Zeroizing::new(format!("!{hash}"));
            node.ask(what, cmd("ACL").arg("SETUSER").arg(user).arg(rule.as_str())).await?;
        }
        let left = state.as_ref().map_or(0, |it| it.passwords.len()) - usize::from(!already);
        // Also when there was nothing to take away: it may be gone from memory and not from the file.
        let place = keeping(node, self.persist, what).await;
        let facts = json!({
            "exists": state.is_some(),
            "already": already,
            "kept_in": place.as_ref().map_or("not known", |it| it.words()),
            "passwords_left": left,
        });
        self.keep(node, place, facts, &mark(DISABLED, node, hash), what).await
    }

    /// Keeps a change over a restart. It is in force by now, so only a lost answer leaves in doubt what is.
    async fn keep(
        &self,
        node: &mut Node,
        place: Result<Keeping, ConnectError>,
        facts: Value,
        mark: &str,
        what: &'static str,
    ) -> Result<Value, Stop> {
        let seen = |is: bool| {
            let mut kept = self.kept.lock().unwrap_or_else(PoisonError::into_inner);
            if is { kept.insert(mark.to_owned()) } else { kept.remove(mark) }
        };
        seen(false);
        let kept = match place {
            Ok(Keeping::Nowhere(why)) => return Err(half(node, facts, why, false)),
            Ok(place) => keep(node, place, what).await,
            Err(error) => Err(error),
        };
        match kept {
            Ok(()) => {
                seen(true);
                Ok(facts)
            }
            Err(error) if error.kind == ConnectErrorKind::Lost => Err(error.into()),
            Err(error) => Err(half(node, facts, &error.to_string(), true)),
        }
    }

    /// Is it in force?
    pub(super) async fn look(&self, op: IssuerOp<'_>) -> Result<Outcome, ConnectError> {
        let credential = op.credential();
        let user = credential.principal.as_str().into();
        if let IssuerOp::Sever { cutoff, .. } = op {
            let live = self.live_sessions(credential, cutoff).await?;
            return Ok(severed(live, facts([("user", user)])));
        }
        let probe = self.try_it(credential).await?;
        Ok(match probe {
            // Another try may do it on the nodes that are left.
            Probe::Inconclusive { reason } if fleet::is_mixed(NODES, &reason) => Outcome::retry(reason),
            probe @ Probe::Accepted { .. } if matches!(op, IssuerOp::Install { .. }) => {
                match self.not_kept(INSTALLED, credential).await? {
                    None => installed(probe),
                    Some(why) => Outcome::retry(why),
                }
            }
            probe if matches!(op, IssuerOp::Install { .. }) => installed(probe),
            Probe::Accepted { facts } => not_yet("the old value is still accepted", facts),
            Probe::Refused { code, message } => {
                if let Some(why) = self.audit(credential).await?.held {
                    return Ok(Outcome::retry(why));
                }
                if let Some(why) = self.not_kept(DISABLED, credential).await? {
                    return Ok(Outcome::retry(why));
                }
                let cutoff = self.bounds().await?;
                Outcome::applied([
                    ("user", user),
                    ("code", code.into()),
                    ("message", message.into()),
                    ("cutoff", cutoff.to_string().into()),
                ])
            }
            Probe::Inconclusive { reason } => Outcome::unknown(reason),
        })
    }

    /// Why a change that is in force is to be done again: nobody saw that it outlives a restart, and no server tells.
    async fn not_kept(&self, done: &str, credential: &Credential) -> Result<Option<String>, ConnectError> {
        let hash = hash(&self.password(credential)?);
        let places = self.admin().await?.places;
        let kept = self.kept.lock().unwrap_or_else(PoisonError::into_inner);
        let missing =
            places.iter().map(Place::words).find(|name| !kept.contains(&mark_at(done, name, &hash)));
        Ok(missing.map(|name| {
            format!("it is in force, but whether it outlives a restart of {name} cannot be seen, so it is kept again")
        }))
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

    /// The same, where a refusal counts only if no node keeps the password, as one does for a user that is `off`, and none is left out.
    pub(super) async fn tried(&self, credential: &Credential) -> Result<Probe, ConnectError> {
        let probe = self.try_it(credential).await?;
        if !matches!(probe, Probe::Refused { .. }) {
            return Ok(probe);
        }
        let audit = self.audit(credential).await?;
        Ok(match audit.held.or_else(|| unlisted(&audit.standing)) {
            Some(reason) => Probe::Inconclusive { reason },
            None => probe,
        })
    }

    /// What the nodes themselves say about a password that is refused.
    async fn audit(&self, credential: &Credential) -> Result<Audit, ConnectError> {
        const WHAT: &str = "looking for the password";
        self.context
            .within(|| self.target_text(), WHAT, async {
                let hash = hash(&self.password(credential)?);
                let (admin, hash) = (&self.admin().await?, hash.as_str());
                let each = admin.each(WHAT, |place| async move {
                    let mut node = admin.door.login(place, &admin.login, WHAT).await?;
                    let state = known(&mut node, &credential.principal, WHAT).await?;
                    let held = state.is_some_and(|it| has(&it, hash)).then(|| node.name());
                    Ok::<_, ConnectError>((held, Standing::of(&mut node, WHAT).await?))
                });
                let mut audit = Audit { held: None, standing: Vec::new() };
                for one in each.await {
                    let (held, standing) = one?;
                    let held = held.map(|name| {
                        format!("it is refused, but `{}` still has it on {name}", credential.principal)
                    });
                    audit.held = audit.held.or(held);
                    audit.standing.push(standing);
                }
                Ok(audit)
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
        let cutoff = &moment(cutoff)?;
        self.context
            .within(|| self.target_text(), WHAT, async {
                drop(self.password(old)?);
                let admin = &self.admin().await?;
                let each = admin.each(WHAT, |place| async move {
                    let mut node = admin.door.login(place, &admin.login, WHAT).await?;
                    ids(&mut node, &old.principal, cutoff.as_ref(), WHAT).await
                });
                let mut live = 0;
                for one in each.await {
                    live += one?.len() as u64;
                }
                Ok(live)
            })
            .await
    }

    /// What no session that was opened with the old password lies beyond, once every node refuses it.
    async fn bounds(&self) -> Result<Cutoff, ConnectError> {
        const WHAT: &str = "asking for the time";
        self.context
            .within(|| self.target_text(), WHAT, async {
                let admin = &self.admin().await?;
                let each = admin.each(WHAT, |place| async move {
                    bound(admin, place, WHAT).await.map(|(at, bound)| (place.words(), at, bound))
                });
                let mut cutoff = Cutoff::none();
                for one in each.await {
                    let (name, at, bound) = one?;
                    cutoff.add(at, name, bound);
                }
                Ok(cutoff)
            })
            .await
    }
}

/// Done, and not kept.
fn half(node: &Node, facts: Value, why: &str, retryable: bool) -> Stop {
    Stop::Half {
        done: Done { name: node.name(), facts, bound: None },
        why: format!("it is changed in memory only, and a restart undoes that: {why}"),
        retryable,
    }
}

/// What nodes say about a password.
struct Audit {
    /// Why it is not gone.
    held: Option<String>,
    standing: Vec<Standing>,
}

const INSTALLED: &str = "installed";
const DISABLED: &str = "disabled";

/// Names a change on a node, without what could find the password.
fn mark(done: &str, node: &Node, hash: &str) -> String {
    mark_at(done, &node.name(), hash)
}

fn mark_at(done: &str, name: &str, password: &str) -> String {
    format!("{done} {name} {}", hash(password).as_str())
}

/// A node's time, and the number of a connection that begins now.
async fn bound(admin: &Admin, place: &Place, what: &'static str) -> Result<(Timestamp, Bound), ConnectError> {
    let mut node = admin.door.login(place, &admin.login, what).await?;
    let id = node.ask(what, cmd("CLIENT").arg("ID")).await?;
    let id = redis::from_redis_value(id)
        .map_err(|_e| node.odd(what, "CLIENT ID answered with something else than a number"))?;
    let Now { at, run } = now(&mut node, what).await?;
    Ok((at, Bound { id, run: Some(run) }))
}

async fn now(node: &mut Node, what: &'static str) -> Result<Now, ConnectError> {
    let info = node.ask_text(what, cmd("INFO").arg("server")).await?;
    let run = reply::info(&info, "run_id").filter(|run| !run.is_empty() && !run.contains(' '));
    let run = run.ok_or_else(|| node.odd(what, "INFO tells no run_id"))?.to_owned();
    Ok(Now { at: node.time(what).await?, run })
}

/// Tries a login on every node.
pub(super) async fn all(admin: &Admin, login: &Login) -> Probe {
    let each = admin.each("trying a login", |place| async move {
        Ok::<_, ConnectError>((place.words(), admin.door.probe(place, login).await))
    });
    let answers = each.await.into_iter().map(|one| {
        one.unwrap_or_else(|error| (error.system.clone(), Probe::Inconclusive { reason: error.to_string() }))
    });
    fleet::agree(NODES, answers.collect())
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

async fn sever(
    node: &mut Node,
    user: &str,
    cutoff: Option<&Cutoff>,
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
    cutoff: Option<&Cutoff>,
    what: &'static str,
) -> Result<Vec<u64>, ConnectError> {
    // Asked before the list, so that a session that begins in between seems older than it is, not younger.
    let now = now(node, what).await?;
    let list = node.ask_text(what, cmd("CLIENT").arg("LIST")).await?;
    let name = node.name();
    let sessions = reply::sessions(&list)
        .ok_or_else(|| node.odd(what, "a line of CLIENT LIST has no readable id, user and age"))?;
    let sessions = sessions.into_iter().filter(|it| it.user == user);
    let old = sessions.filter(|it| cutoff.is_none_or(|cutoff| may_be_before(cutoff, &name, it, &now)));
    Ok(old.map(|it| it.id).collect())
}

fn has(user: &User, hash: &str) -> bool {
    user.passwords.iter().any(|it| it.eq_ignore_ascii_case(hash))
}

/// A cutoff as it was given.
fn moment(cutoff: Option<&str>) -> Result<Option<Cutoff>, ConnectError> {
    let parsed = cutoff.map(str::parse).transpose();
    parsed
        .map_err(|why: &str| ConnectError::new("redis", "reading the cutoff", ConnectErrorKind::Denied, why))
}
