//! What is done: another key, everything wrapped anew, the old key off.

use quell_core::outcome::{Outcome, Probe};
use quell_core::secret::{Credential, SecretValue};
use serde_json::json;

use super::hsm::{Held, Hsm, Opened, Wrapped, id_for};
use super::{GONE, Keys, OFF};
use crate::connector::{Check, Performed};
use crate::effect;
use crate::error::{ConnectError, ConnectErrorKind};
use crate::wrapped;

/// Wrapped anew, or why not.
type Anew = Result<SecretValue, String>;

const MAKING: &str = "making another key";
const REWRAPPING: &str = "wrapping a key anew";
const LOOKING: &str = "looking at the token";
const TURNING: &str = "taking the right to unwrap away";
const DESTROYING: &str = "destroying the key";
const TRYING: &str = "trying the wrapped key";

impl Keys {
    pub(super) async fn install(&self, new: &Credential) -> Result<Performed, ConnectError> {
        if !wrapped::is_asked_for(new) {
            return self.observe_install(new).await.map(Performed::from);
        }
        let old = self.parse(&new.value)?;
        let by = id_for(wrapped::tag(new));
        let id = by.clone();
        let making = self.with(MAKING, move |hsm| {
            // Another's text would only be found to be one after the key was made.
            Ok(match hsm.unwrap(&old)? {
                Opened::In(_) => Ok(hsm.make(&id)?),
                other @ (Opened::Off | Opened::Gone | Opened::Unclear(_)) => Err(why(&other)),
            })
        });
        let made = making.await?;
        let made = match made {
            Ok(made) => made,
            Err(why) => {
                return Ok(Outcome::refused(format!("the wrapped key cannot be wrapped anew: {why}")).into());
            }
        };
        // The key is there whatever follows; the next attempt finds it.
        let rewrapped = self.rewrap_all(&by).await.map_err(effect::after_effect)?;
        let value = match self.rewrap(&new.value, &by).await.map_err(effect::after_effect)? {
            Ok(value) => value,
            Err(why) => return Ok(Outcome::refused(format!("it cannot be wrapped anew: {why}")).into()),
        };
        let outcome = Outcome::applied([
            ("key", json!(hex::encode(&by))),
            ("made_before", json!(made)),
            ("rewrapped", json!(rewrapped)),
            ("listed", json!(self.deks.len())),
        ]);
        Ok(Performed { outcome, minted: Some(Credential { principal: self.key.clone(), value }) })
    }

    pub(super) async fn observe_install(&self, new: &Credential) -> Result<Outcome, ConnectError> {
        let wrapped = self.parse(&new.value)?;
        if wrapped::is_asked_for(new) {
            let by = id_for(wrapped::tag(new));
            let there = self.with(LOOKING, Hsm::keys).await?.iter().any(|key| key.id == by);
            return Ok(Outcome::retry(if there {
                "the key is there; what was wrapped with it was lost, and is wrapped again"
            } else {
                "no other key was made"
            }));
        }
        let key = hex::encode(&wrapped.by);
        Ok(match self.with(TRYING, move |hsm| hsm.unwrap(&wrapped).map(|seen| verdict(&seen))).await? {
            Verdict::In => Outcome::applied([("key", json!(key))]),
            Verdict::Refused(code) => Outcome::refused(code),
            Verdict::Unclear(why) => Outcome::unknown(why),
        })
    }

    async fn rewrap(&self, value: &SecretValue, by: &[u8]) -> Result<Anew, ConnectError> {
        let mut all = self.rewrap_each(&[value], by).await?;
        let none = || self.error(REWRAPPING, ConnectErrorKind::Unexpected, "there is no result");
        all.pop().ok_or_else(none)
    }

    /// In one session.
    async fn rewrap_each(&self, values: &[&SecretValue], by: &[u8]) -> Result<Vec<Anew>, ConnectError> {
        let wrapped = values.iter().map(|value| self.parse(value)).collect::<Result<Vec<_>, _>>()?;
        let by = by.to_vec();
        let one = move |hsm: &Hsm, wrapped: &Wrapped| {
            Ok(hsm.rewrap(wrapped, &by)?.map(|anew| anew.value()).map_err(|seen| why(&seen)))
        };
        self.with(REWRAPPING, move |hsm| wrapped.iter().map(|wrapped| one(hsm, wrapped)).collect()).await
    }

    /// Wraps each listed key anew that another key wrapped; each is written by itself, so that a crash leaves every one whole.
    async fn rewrap_all(&self, by: &[u8]) -> Result<usize, ConnectError> {
        let mut stale = self.deks.all(&self.name()).await?;
        stale.retain(|dek| self.parse(&dek.value).is_ok_and(|wrapped| wrapped.by != by));
        for some in stale.chunks(wrapped::BATCH) {
            let values: Vec<&SecretValue> = some.iter().map(|dek| &dek.value).collect();
            for (dek, anew) in some.iter().zip(self.rewrap_each(&values, by).await?) {
                let anew = anew.map_err(|why| {
                    let words = format!("{} cannot be wrapped anew: {why}", self.deks.place(dek));
                    self.error(REWRAPPING, ConnectErrorKind::Denied, words)
                })?;
                self.deks.replace(dek, &anew, &self.name()).await?;
            }
        }
        Ok(stale.len())
    }

    pub(super) async fn disable(&self, old: &Credential) -> Result<Outcome, ConnectError> {
        let used = self.parse(&old.value)?;
        let keys = self.with(LOOKING, Hsm::keys).await?;
        if !keys.iter().any(|key| key.id == used.by && key.on) {
            return self.observe_disable(old).await.map(already);
        }
        let others: Vec<&Held> = keys.iter().filter(|key| key.on && key.id != used.by).collect();
        let left = self.left_behind(&used.by).await?;
        let rewrapped = match (others.as_slice(), left) {
            ([], _) => {
                let words = "no other key of the label may unwrap: what this one wrapped would be out of reach; make another first";
                return Ok(Outcome::refused(words));
            }
            ([one], _) => self.rewrap_all(&one.id).await?,
            (_, 0) => 0,
            (several, left) => {
                let words = format!(
                    "{left} listed keys were wrapped by it since, and {} other keys may wrap them anew: turn off those that are not meant",
                    several.len()
                );
                return Ok(Outcome::refused(words));
            }
        };
        self.open_all().await?;
        let was_good = matches!(self.tried(&old.value).await?, Probe::Accepted { .. });
        let id = used.by.clone();
        self.with(TURNING, move |hsm| hsm.turn_off(&id)).await?;
        let seen = self.observe_disable(old).await.map_err(effect::after_effect)?;
        Ok(match seen {
            Outcome::Applied { mut facts } => {
                facts.insert("already".to_owned(), if was_good { json!(false) } else { json!(null) });
                facts.insert("rewrapped".to_owned(), json!(rewrapped));
                Outcome::Applied { facts }
            }
            other @ (Outcome::NotApplied { .. } | Outcome::Unknown { .. }) => other,
        })
    }

    async fn left_behind(&self, by: &[u8]) -> Result<usize, ConnectError> {
        let all = self.deks.all(&self.name()).await?;
        Ok(all.iter().filter(|dek| self.parse(&dek.value).is_ok_and(|wrapped| wrapped.by == by)).count())
    }

    /// Every listed key is opened by the token once more as it stands in its store, before the old one goes.
    async fn open_all(&self) -> Result<(), ConnectError> {
        let all = self.deks.all(&self.name()).await?;
        let wrapped = all.iter().map(|dek| self.parse(&dek.value)).collect::<Result<Vec<_>, _>>()?;
        let trying = self.with(TRYING, move |hsm| {
            let one = |wrapped: &Wrapped| hsm.unwrap(wrapped).map(|seen| verdict(&seen));
            wrapped.iter().map(one).collect::<Result<Vec<_>, _>>()
        });
        for (dek, seen) in all.iter().zip(trying.await?) {
            let why = match seen {
                Verdict::In => continue,
                Verdict::Refused(code) => code.to_owned(),
                Verdict::Unclear(why) => why,
            };
            let words = format!("{} does not open: {why}", self.deks.place(dek));
            return Err(self.error(TRYING, ConnectErrorKind::Denied, words));
        }
        Ok(())
    }

    pub(super) async fn observe_disable(&self, old: &Credential) -> Result<Outcome, ConnectError> {
        let used = self.parse(&old.value)?;
        let key = hex::encode(&used.by);
        let keys = self.with(LOOKING, Hsm::keys).await?;
        let held = keys.iter().find(|key| key.id == used.by);
        Ok(match held {
            Some(held) if held.on => Outcome::retry(format!("the key {key} may unwrap")),
            Some(_) => Outcome::applied([("key", json!(key)), ("is", json!("off"))]),
            // With another label or another token there would be no key at all.
            None if keys.is_empty() => Outcome::unknown("the token has no key of that label; correct `key`"),
            None => Outcome::applied([("key", json!(key)), ("is", json!("gone"))]),
        })
    }

    pub(super) async fn destroyed(&self, old: &Credential, act: bool) -> Result<Outcome, ConnectError> {
        let used = self.parse(&old.value)?;
        let keys = self.with(LOOKING, Hsm::keys).await?;
        let gone = || Outcome::applied([("key", json!(hex::encode(&used.by)))]);
        match keys.iter().find(|key| key.id == used.by) {
            None => Ok(gone()),
            Some(held) if act && !held.on => {
                let id = used.by.clone();
                self.with(DESTROYING, move |hsm| hsm.destroy(&id)).await?;
                Ok(gone())
            }
            Some(_) => Ok(Outcome::retry("the key is in the token")),
        }
    }

    pub(super) async fn tried(&self, value: &SecretValue) -> Result<Probe, ConnectError> {
        let wrapped = self.parse(value)?;
        let key = hex::encode(&wrapped.by);
        let (seen, any) = self
            .with(TRYING, move |hsm| Ok((verdict(&hsm.unwrap(&wrapped)?), !hsm.keys()?.is_empty())))
            .await?;
        Ok(match seen {
            Verdict::In => Probe::Accepted { facts: effect::facts([("key", json!(key))]) },
            Verdict::Refused(_) if !any => {
                Probe::Inconclusive { reason: "the token has no key of that label; correct `key`".to_owned() }
            }
            Verdict::Refused(code) => {
                Probe::Refused { code: code.to_owned(), message: format!("the key {key}") }
            }
            Verdict::Unclear(reason) => Probe::Inconclusive { reason },
        })
    }

    /// A key that is made and wrapped for this, and thrown away.
    pub(super) async fn try_control(&self) -> Result<Probe, ConnectError> {
        let sample = self
            .with("wrapping a key for the control", |hsm| {
                let on = hsm.keys()?.into_iter().find(|key| key.on);
                on.map(|key| hsm.sample(&key.id)).transpose()
            })
            .await?;
        match sample {
            Some(sample) => self.tried(&sample.value()).await,
            None => Ok(Probe::Inconclusive { reason: "no key of the label may unwrap".to_owned() }),
        }
    }

    pub(super) async fn checks(&self) -> Vec<Check> {
        let line = |what: &str, ok, detail: String| Check { what: what.to_owned(), ok, detail };
        let mut checks = match self.with(LOOKING, Hsm::keys).await {
            Ok(keys) => {
                let on = keys.iter().filter(|key| key.on).count();
                let detail = format!("{} of {} keys `{}` may unwrap", on, keys.len(), self.key);
                vec![line("log in to the token", true, self.name()), line("have a key", on > 0, detail)]
            }
            Err(error) => vec![line("log in to the token", false, error.detail)],
        };
        checks.append(&mut self.deks.check().await);
        checks
    }
}

/// What a try to unwrap means.
enum Verdict {
    In,
    Refused(&'static str),
    Unclear(String),
}

fn verdict(seen: &Opened) -> Verdict {
    match seen {
        Opened::In(_) => Verdict::In,
        Opened::Off => Verdict::Refused(OFF),
        Opened::Gone => Verdict::Refused(GONE),
        Opened::Unclear(why) => Verdict::Unclear(why.clone()),
    }
}

fn why(seen: &Opened) -> String {
    match verdict(seen) {
        Verdict::In => "it opens".to_owned(),
        Verdict::Refused(code) => code.to_owned(),
        Verdict::Unclear(why) => why,
    }
}

fn already(outcome: Outcome) -> Outcome {
    match outcome {
        Outcome::Applied { mut facts } => {
            facts.insert("already".to_owned(), json!(true));
            Outcome::Applied { facts }
        }
        other @ (Outcome::NotApplied { .. } | Outcome::Unknown { .. }) => other,
    }
}
