//! Successors: marked with a tag, so that one whose answer was lost is found again and revoked.

use quell_core::outcome::Outcome;
use quell_core::secret::{Credential, SecretValue};
use serde_json::{Value, json};

use super::door::{About, Said, Tried};
use super::file::{Call, Who};
use super::issuer::Provider;
use super::when;
use crate::connector::Performed;
use crate::error::{ConnectError, ConnectErrorKind};

const MINTING: &str = "making the key";
const LISTING: &str = "looking for the mark among the keys";

impl Provider {
    /// Revokes what an earlier attempt left, then makes one.
    pub(super) async fn install(&self, new: &Credential) -> Result<Performed, ConnectError> {
        if !new.value.is_empty() {
            return self.installed(new).await.map(Performed::from);
        }
        let (Some(mint), Some(settings)) = (&self.door.file.mint, &self.mint) else {
            let words = "no successor can be made: the provider or the inventory says nothing of `mint`";
            return Ok(Outcome::refused(words).into());
        };
        let strangers = self.tagged(&new.principal).await?;
        for id in &strangers {
            self.take_back(id).await?;
        }
        let call = &mint.value;
        let about = About { secret: None, id: None, tag: Some(&new.principal), more: Some(settings) };
        let Said::Done { body, status } = self.door.ask(MINTING, call, about).await? else {
            return Err(self.odd(MINTING, "the answer says that there is no such key"));
        };
        let value = call.value.as_deref().and_then(|at| body.pointer(at)).and_then(Value::as_str);
        let id = call.id.as_deref().and_then(|at| when::word(&body, at));
        let (Some(value), Some(id)) = (value, id) else {
            return Err(self.odd(MINTING, "the answer carries no key"));
        };
        let outcome = Outcome::applied([
            ("key_id", json!(id)),
            ("status", json!(status)),
            ("strangers_revoked", json!(strangers)),
        ]);
        let value = SecretValue::from_text(value.to_owned());
        Ok(Performed { outcome, minted: Some(Credential { principal: id, value }) })
    }

    /// Is the successor there?
    pub(super) async fn installed(&self, new: &Credential) -> Result<Outcome, ConnectError> {
        if !new.value.is_empty() {
            return Ok(match self.door.try_key(&new.value).await {
                Tried::Open { .. } => Outcome::applied([("key_id", json!(new.principal))]),
                Tried::Refused { code } => {
                    Outcome::refused(format!("the successor is refused ({code}); choose again"))
                }
                Tried::Limited(after) => Outcome::unknown(super::door::limited(after)),
                Tried::Odd(error) => error.unseen(),
            });
        }
        let strangers = self.tagged(&new.principal).await?;
        Ok(if strangers.is_empty() {
            Outcome::retry("no key carries the mark")
        } else {
            Outcome::retry(format!(
                "a key with the mark exists but its value was lost with the answer (id {}); the next attempt revokes it first",
                strangers.join(", ")
            ))
        })
    }

    /// Ids of the keys that carry the tag.
    async fn tagged(&self, tag: &str) -> Result<Vec<String>, ConnectError> {
        let Some(list) = &self.door.file.list else { return Ok(Vec::new()) };
        let call = &list.value;
        let about = About { secret: None, id: None, tag: None, more: None };
        let Said::Done { body, .. } = self.door.ask(LISTING, call, about).await? else {
            return Ok(Vec::new());
        };
        let items = call.items.as_deref().and_then(|at| body.pointer(at)).and_then(Value::as_array);
        let items = items.ok_or_else(|| self.odd(LISTING, "the answer carries no list"))?;
        let mut found = Vec::new();
        for item in items {
            let word = |at: &Option<String>| at.as_deref().and_then(|at| when::word(item, at));
            if word(&call.name).is_some_and(|name| name.contains(tag)) {
                found.extend(word(&call.id));
            }
        }
        Ok(found)
    }

    async fn take_back(&self, id: &str) -> Result<(), ConnectError> {
        let by_id = |call: &&Call| call.who == Who::Admin && call.path.contains("{id}");
        let call = self.door.file.revoke.iter().map(|call| &call.value).find(by_id);
        let call = call.ok_or_else(|| self.odd(MINTING, "a key whose value was lost cannot be revoked"))?;
        self.revoke(call, None, Some(id)).await.map(drop)
    }

    fn odd(&self, what: &'static str, words: &str) -> ConnectError {
        self.door.error(what, ConnectErrorKind::Unexpected, words)
    }
}
