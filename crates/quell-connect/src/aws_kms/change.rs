//! What is done: another key, everything wrapped anew, the old key off.

use futures_util::future::join_all;
use quell_core::outcome::{Outcome, Probe};
use quell_core::secret::{Credential, SecretValue};
use serde_json::{Value, json};

use super::key::{Key, Rewrapped};
use super::{DISABLED, Kms};
use crate::aws::Keys;
use crate::connector::Performed;
use crate::effect;
use crate::error::{ConnectError, ConnectErrorKind};
use crate::wrapped::{self, Dek};

/// KMS takes thousands of such calls in a second for all of an account, and others need it, too.
const AT_ONCE: usize = 16;

const LOOKING: &str = "asking for the key";
const INSTALLING: &str = "letting the alias name another key";
const DISABLING: &str = "disabling the key";
const DELETING: &str = "having the key deleted";
const TRYING: &str = "trying the wrapped key";

impl Kms {
    pub(super) async fn install(&self, new: &Credential) -> Result<Performed, ConnectError> {
        if !wrapped::is_asked_for(new) {
            return self.observe_install(new).await.map(Performed::from);
        }
        let admin = self.cloud.keys(&self.admin).await?;
        let mut current = self.behind_alias(&admin, LOOKING).await?;
        let by = match self.rewrap(&admin, &new.value).await? {
            Rewrapped::Done { by, .. } => by,
            Rewrapped::Off(code) | Rewrapped::Refused(code) => {
                let words = format!("the wrapped key cannot be wrapped anew: {code}");
                return Ok(Outcome::refused(words).into());
            }
        };
        let made = by != current.arn;
        if !made {
            let next = self.successor(&admin, &current, wrapped::tag(new)).await?;
            // The key is there whatever follows; the next attempt finds it.
            let body = json!({ "AliasName": self.alias, "TargetKeyId": next });
            self.ask(&admin, INSTALLING, "UpdateAlias", &body).await.map_err(effect::after_effect)?;
            current = self.behind_alias(&admin, LOOKING).await.map_err(effect::after_effect)?;
        }
        let after = |error: ConnectError| if made { error } else { effect::after_effect(error) };
        let rewrapped = self.rewrap_all(&admin, &current).await.map_err(after)?;
        let Rewrapped::Done { value, .. } = self.rewrap(&admin, &new.value).await.map_err(after)? else {
            return Ok(Outcome::retry("the new key is not ready yet").into());
        };
        let outcome = Outcome::applied([
            ("key", json!(current.id)),
            ("made_before", json!(made)),
            ("rewrapped", json!(rewrapped)),
            ("listed", json!(self.deks.len())),
        ]);
        Ok(Performed { outcome, minted: Some(Credential { principal: self.alias.clone(), value }) })
    }

    pub(super) async fn observe_install(&self, new: &Credential) -> Result<Outcome, ConnectError> {
        let admin = self.cloud.keys(&self.admin).await?;
        let current = self.behind_alias(&admin, LOOKING).await?;
        let seen = self.rewrap(&admin, &new.value).await?;
        Ok(match (wrapped::is_asked_for(new), seen) {
            (true, Rewrapped::Done { by, .. }) if by == current.arn => {
                Outcome::retry("the alias names the key that wrapped it")
            }
            (true, Rewrapped::Done { .. }) => Outcome::retry(
                "the alias names another key; what was wrapped with it was lost, and is wrapped again",
            ),
            (false, Rewrapped::Done { by, .. }) if by == current.arn => {
                Outcome::applied([("key", json!(current.id))])
            }
            (false, Rewrapped::Done { .. }) => {
                Outcome::refused("it was wrapped by another key than the one behind the alias")
            }
            (_, Rewrapped::Off(code) | Rewrapped::Refused(code)) => Outcome::refused(code),
        })
    }

    /// Wraps each listed key anew that another key wrapped; each is written by itself, so that a crash leaves every one whole.
    async fn rewrap_all(&self, admin: &Keys, current: &Key) -> Result<usize, ConnectError> {
        let mut done = 0;
        for some in self.deks.all(&self.cloud.name()).await?.chunks(AT_ONCE) {
            for moved in join_all(some.iter().map(|dek| self.move_one(admin, current, dek))).await {
                done += usize::from(moved?);
            }
        }
        Ok(done)
    }

    /// Whether it was another key's.
    async fn move_one(&self, admin: &Keys, current: &Key, dek: &Dek) -> Result<bool, ConnectError> {
        match self.rewrap(admin, &dek.value).await? {
            Rewrapped::Done { by, .. } if by == current.arn => Ok(false),
            Rewrapped::Done { value, .. } => {
                self.deks.replace(dek, &value, &self.cloud.name()).await?;
                Ok(true)
            }
            Rewrapped::Off(code) | Rewrapped::Refused(code) => {
                let words = format!("{} cannot be wrapped anew: {code}", self.deks.place(dek));
                Err(self.cloud.error(TRYING, ConnectErrorKind::Denied, words))
            }
        }
    }

    pub(super) async fn disable(&self, old: &Credential) -> Result<Outcome, ConnectError> {
        let admin = self.cloud.keys(&self.admin).await?;
        let current = self.on(&admin).await?;
        let by = match self.rewrap(&admin, &old.value).await? {
            Rewrapped::Done { by, .. } => by,
            Rewrapped::Off(code) => return Ok(off(&code, Some(true))),
            Rewrapped::Refused(code) => return Ok(Outcome::refused(not_ours(&code))),
        };
        if by == current.arn {
            let words = "the alias names the key that wrapped it: what it wrapped would be out of reach; make another first";
            return Ok(Outcome::refused(words));
        }
        // What the old key wrapped since is moved, too. Then each is opened once more as it stands in its store.
        let rewrapped = self.rewrap_all(&admin, &current).await?;
        let left = self.rewrap_all(&admin, &current).await?;
        if left > 0 {
            return Ok(Outcome::retry(format!(
                "{left} wrapped keys were written with the old key meanwhile"
            )));
        }
        let key = self.describe(&admin, DISABLING, &by).await?;
        self.ask(&admin, DISABLING, "DisableKey", &json!({ "KeyId": key.id })).await?;
        let key = self.describe(&admin, DISABLING, &key.id).await.map_err(effect::after_effect)?;
        if key.state == "Enabled" {
            return Ok(Outcome::retry("the key is still enabled"));
        }
        let mut outcome = off(DISABLED, Some(false));
        if let Outcome::Applied { facts } = &mut outcome {
            facts.insert("key".to_owned(), json!(key.id));
            facts.insert("rewrapped".to_owned(), json!(rewrapped));
        }
        Ok(outcome)
    }

    pub(super) async fn observe_disable(&self, old: &Credential) -> Result<Outcome, ConnectError> {
        let admin = self.cloud.keys(&self.admin).await?;
        self.on(&admin).await?;
        Ok(match self.rewrap(&admin, &old.value).await? {
            Rewrapped::Done { .. } => Outcome::retry("the key that wrapped it opens it"),
            Rewrapped::Off(code) => off(&code, None),
            Rewrapped::Refused(code) => Outcome::refused(not_ours(&code)),
        })
    }

    /// The key behind the alias, which must be on: else it is the reason for a refusal.
    async fn on(&self, admin: &Keys) -> Result<Key, ConnectError> {
        let current = self.behind_alias(admin, LOOKING).await?;
        if current.state == "Enabled" {
            return Ok(current);
        }
        let words = format!(
            "the key behind {} is {}: enable it, or let the alias name one that is",
            self.alias, current.state
        );
        Err(self.cloud.error(LOOKING, ConnectErrorKind::Denied, words))
    }

    /// The old key is deleted by AWS after some days, in which it can be taken back.
    pub(super) async fn delete(&self, act: bool) -> Result<Outcome, ConnectError> {
        let Some(days) = self.delete_after_days else {
            return Ok(Outcome::refused("`delete_after_days` is not set"));
        };
        let admin = self.cloud.keys(&self.admin).await?;
        let current = self.behind_alias(&admin, DELETING).await?;
        let Some(id) = self.replaced(&admin, DELETING, &current).await? else {
            let words = "the key behind the alias was not made by Quell, so it is not known which one it took the place of: delete that by hand";
            return Ok(Outcome::refused(words));
        };
        let gone = |key: &Key| Outcome::applied([("key", json!(key.id)), ("state", json!(key.state))]);
        let key = self.describe(&admin, DELETING, &id).await?;
        match key.state.as_str() {
            "PendingDeletion" => return Ok(gone(&key)),
            "Disabled" if act => {}
            state => return Ok(Outcome::retry(format!("the key is {state}"))),
        }
        let body = json!({ "KeyId": key.id, "PendingWindowInDays": days });
        self.ask(&admin, DELETING, "ScheduleKeyDeletion", &body).await?;
        let key = self.describe(&admin, DELETING, &id).await.map_err(effect::after_effect)?;
        Ok(if key.state == "PendingDeletion" {
            gone(&key)
        } else {
            Outcome::retry("it is not scheduled yet")
        })
    }

    pub(super) async fn tried(&self, value: &SecretValue) -> Result<Probe, ConnectError> {
        self.blob(value)?;
        let admin = self.cloud.keys(&self.admin).await?;
        self.on(&admin).await?;
        Ok(match self.rewrap(&admin, value).await? {
            Rewrapped::Done { by, .. } => Probe::Accepted { facts: effect::facts([("key", json!(by))]) },
            Rewrapped::Off(code) => {
                Probe::Refused { code, message: "the key that wrapped it is off".to_owned() }
            }
            Rewrapped::Refused(code) => Probe::Inconclusive { reason: not_ours(&code) },
        })
    }

    /// A key that is made and wrapped for this, and thrown away.
    pub(super) async fn try_control(&self) -> Result<Probe, ConnectError> {
        const MAKING: &str = "wrapping a key for the control";
        let admin = self.cloud.keys(&self.admin).await?;
        let mut body = json!({ "KeyId": self.alias, "KeySpec": "AES_256" });
        if let (Some(body), false) = (body.as_object_mut(), self.context.is_empty()) {
            body.insert("EncryptionContext".to_owned(), json!(self.context));
        }
        let answer = self.ask(&admin, MAKING, "GenerateDataKeyWithoutPlaintext", &body).await?;
        let blob = answer.get("CiphertextBlob").and_then(Value::as_str);
        let blob = blob.ok_or_else(|| self.cloud.odd(MAKING))?;
        self.tried(&SecretValue::from_text(blob.to_owned())).await
    }
}

fn off(code: &str, already: Option<bool>) -> Outcome {
    Outcome::applied([("refused", json!(code)), ("already", json!(already))])
}

fn not_ours(code: &str) -> String {
    format!(
        "KMS cannot open it ({code}): it is damaged, of another account, or has another encryption context"
    )
}
