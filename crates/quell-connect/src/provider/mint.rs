//! Successors: marked with a tag, so that one whose answer was lost is found again and revoked before another is made.
//!
//! The tag is chosen and in the ledger before the call. Every list is read to its end, and waited for as long as it may lag
//! behind. What cannot be seen to be gone stops the step: two living keys, one of which nobody has, are worse than none.

use std::collections::BTreeSet;

use quell_core::outcome::Outcome;
use quell_core::secret::{Credential, SecretValue};
use serde_json::{Value, json};
use sha2::{Digest as _, Sha256};

use super::door::{About, Said, Tried};
use super::file::{Call, Rights, Who};
use super::issuer::Provider;
use super::when;
use crate::connector::Performed;
use crate::error::{ConnectError, ConnectErrorKind};

const MINTING: &str = "making the key";
const TAKING_BACK: &str = "revoking a key whose value was lost";

impl Provider {
    /// The tag, no longer than the API lets a name be.
    pub(super) fn mark(&self, tag: &str) -> String {
        let longest = self.door.file.mint.as_ref().and_then(|mint| mint.value.longest);
        let longest = longest.and_then(|longest| usize::try_from(longest).ok()).unwrap_or(usize::MAX);
        if tag.len() <= longest {
            return tag.to_owned();
        }
        let short = hex::encode(Sha256::digest(tag));
        format!("quell-{}", short.get(..24).unwrap_or_default())
    }

    /// Revokes what an earlier attempt left, then makes one.
    pub(super) async fn install(&self, new: &Credential) -> Result<Performed, ConnectError> {
        if !new.value.is_empty() {
            return self.installed(new).await.map(Performed::from);
        }
        let (Some(mint), Some(settings)) = (&self.door.file.mint, &self.mint) else {
            let words = "no successor can be made: the provider or the inventory says nothing of `mint`";
            return Ok(Outcome::refused(words).into());
        };
        let mut strangers = self.marked(&new.principal).await?;
        self.take_back(&strangers).await?;
        let call = &mint.value;
        let about = About { tag: Some(&new.principal), more: Some(settings), ..About::default() };
        let Said::Done { body, status } = self.door.ask(MINTING, call, about).await? else {
            return Err(self.odd(MINTING, "the answer says that there is no such key"));
        };
        let value = call.value.as_deref().and_then(|at| body.pointer(at)).and_then(Value::as_str);
        let id = call.id.as_deref().and_then(|at| when::word(&body, at));
        let (Some(value), Some(id)) = (value, id) else {
            return Err(self.odd(MINTING, "the answer carries no key"));
        };
        let value = SecretValue::from_text(value.to_owned());
        if let Some(words) = call.rights.as_ref().and_then(|rights| misfit(rights, settings, &body)) {
            // It was made: as long as it may live, nothing is certain.
            return Ok(match self.take_back(&[id]).await {
                Ok(()) => {
                    Outcome::refused(format!("{}: {words}; the key was revoked again", self.door.name()))
                        .into()
                }
                Err(error) => Outcome::unknown(format!("{words}; {error}")).into(),
            });
        }
        // An answer that came late, or a list that lagged: whatever else carries the mark is nobody's.
        let (late, not_seen) = match self.tagged(&new.principal).await {
            Ok(late) => (late.into_iter().filter(|other| *other != id).collect(), None),
            Err(error) => (Vec::new(), Some(error.to_string())),
        };
        let not_revoked = self.take_back(&late).await.err().map(|error| error.to_string());
        strangers.extend(late);
        let outcome = Outcome::applied([
            ("key_id", json!(id)),
            ("status", json!(status)),
            ("strangers_revoked", json!(strangers)),
            ("strangers_not_known", json!(not_seen.or(not_revoked))),
        ]);
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
                Tried::Doubtful(error) | Tried::Odd(error) => error.unseen(),
            });
        }
        let strangers = self.marked(&new.principal).await?;
        Ok(if strangers.is_empty() {
            let waited = self.listed.as_millis();
            Outcome::retry(format!("no key carries the mark, on no page of the list, {waited} ms later"))
        } else {
            Outcome::retry(format!(
                "a key with the mark exists but its value was lost with the answer (id {}); the next attempt revokes it first",
                strangers.join(", ")
            ))
        })
    }

    /// Revokes keys by their ids and sees them leave the list.
    async fn take_back(&self, ids: &[String]) -> Result<(), ConnectError> {
        if ids.is_empty() {
            return Ok(());
        }
        let by_id = |call: &&Call| call.who == Who::Admin && call.path.contains("{id}");
        let call = self.door.file.revoke.iter().map(|call| &call.value).find(by_id);
        let mut said = None;
        for id in ids {
            let Some(call) = call else { break };
            // Whatever it says, the list decides.
            if let Err(error) = self.revoke(call, None, Some(id)).await {
                said = Some(error);
            }
        }
        let left = self.still_listed(ids).await?;
        if left.is_empty() {
            return Ok(());
        }
        let by_hand = self.door.file.by_hand.as_deref().unwrap_or("revoke it where keys are managed.");
        let said = said.map(|error| format!(" ({})", error.detail)).unwrap_or_default();
        let words = format!(
            "the key {} carries the mark of this step, its value was lost, and it is still listed{said}; no other is made beside it. \
             A person can: {by_hand} Then retry this step",
            left.join(", ")
        );
        Err(self.door.error(TAKING_BACK, ConnectErrorKind::Denied, words))
    }

    fn odd(&self, what: &'static str, words: &str) -> ConnectError {
        self.door.error(what, ConnectErrorKind::Unexpected, words)
    }
}

/// Rights as a set: a list, or a text with spaces or commas.
pub(super) fn rights_of(value: &Value) -> BTreeSet<String> {
    match value {
        Value::Array(items) => items.iter().filter_map(Value::as_str).map(str::to_owned).collect(),
        Value::String(text) => {
            let parts = text.split([' ', ',']).filter(|part| !part.is_empty());
            parts.map(str::to_owned).collect()
        }
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::Object(_) => BTreeSet::new(),
    }
}

/// What is wrong with the rights that the new key was given, if anything is.
fn misfit(rights: &Rights, settings: &Value, body: &Value) -> Option<String> {
    let asked = settings.get(&rights.setting).map(rights_of).unwrap_or_default();
    let Some(given) = body.pointer(&rights.at).map(rights_of) else {
        return Some("the answer does not say what the new key may do".to_owned());
    };
    let list = |set: Vec<&String>| set.into_iter().map(String::as_str).collect::<Vec<_>>().join(", ");
    let more: Vec<&String> = given.difference(&asked).filter(|right| !rights.added.contains(right)).collect();
    if !more.is_empty() {
        return Some(format!("the new key may do more than was asked for: {}", list(more)));
    }
    let less: Vec<&String> = asked.difference(&given).collect();
    (!less.is_empty()).then(|| format!("the new key was not given what was asked for: {}", list(less)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_key_has_the_rights_that_were_asked_for_and_no_others() {
        let rights = Rights {
            setting: "scopes".to_owned(),
            at: "/scopes".to_owned(),
            added: vec!["2fa_required".to_owned()],
        };
        let said = |asked: Value, given: Value| {
            misfit(&rights, &json!({ "scopes": asked }), &json!({ "scopes": given })).unwrap_or_default()
        };
        assert_eq!(said(json!(["a", "b"]), json!(["b", "2fa_required", "a"])), "");
        assert_eq!(said(json!("a b"), json!("b,a")), "", "texts are lists, too");
        assert!(said(json!(["a"]), json!(["a", "b"])).contains("more than was asked for: b"));
        assert!(said(json!("a"), json!("*")).contains("more than was asked for: *"));
        assert!(said(json!(["a", "b"]), json!(["a"])).contains("not given what was asked for: b"));
        let silent = misfit(&rights, &json!({ "scopes": ["a"] }), &json!({}));
        assert!(silent.is_some_and(|words| words.contains("does not say")));
    }
}
