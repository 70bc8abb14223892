//! A key is disabled, and deleted after the proof.

use jiff::SignedDuration;
use quell_core::outcome::{Outcome, Probe};
use quell_core::secret::Credential;
use serde_json::json;

use super::admin::Held;
use super::{ConnectError, ServiceAccount, TOKENS, mint};
use crate::webhook::sign::wall_clock;

impl ServiceAccount {
    pub(super) async fn disable(&self, old: &Credential) -> Result<Outcome, ConnectError> {
        const WHAT: &str = "disabling the key";
        self.key_in(WHAT, &old.value)?;
        let admin = self.log_in().await?;
        let held = find(admin.list(WHAT).await?, old);
        let Some(before) = held.filter(|key| !key.disabled) else {
            return self.observe_disable(old).await;
        };
        // The id is public, and anybody can write it into a file.
        match self.is_it(WHAT, &before, old).await? {
            Ok(true) => {}
            Ok(false) => return Ok(ended(None, true)),
            Err(unsaid) => return Ok(unsaid),
        }
        admin.disable(WHAT, &before.id).await?;
        // Something was changed: what cannot be seen now is unknown, whatever the reason.
        Ok(match admin.list(WHAT).await {
            Ok(all) => match find(all, old) {
                Some(key) if !key.disabled => Outcome::retry("IAM does not show the key as disabled yet"),
                key => ended(key.as_ref(), false),
            },
            Err(error) => error.unseen(),
        })
    }

    pub(super) async fn observe_disable(&self, old: &Credential) -> Result<Outcome, ConnectError> {
        const WHAT: &str = "looking at the key";
        let admin = self.log_in().await?;
        Ok(match find(admin.list(WHAT).await?, old) {
            Some(key) if !key.disabled => match self.is_it(WHAT, &key, old).await? {
                Ok(true) => Outcome::retry(format!("the key {} is in force", key.id)),
                Ok(false) => ended(None, true),
                Err(unsaid) => unsaid,
            },
            key => ended(key.as_ref(), true),
        })
    }

    /// Whether the value is the key that is in force under its id: Google tells by taking it, or not. A key that was just made is
    /// not known everywhere yet.
    async fn is_it(
        &self,
        what: &'static str,
        held: &Held,
        old: &Credential,
    ) -> Result<Result<bool, Outcome>, ConnectError> {
        let key = self.key_in(what, &old.value)?;
        let settle = SignedDuration::from_millis(i64::try_from(self.settle_ms).unwrap_or(i64::MAX));
        let young = || held.made.is_none_or(|at| wall_clock().duration_since(at) < settle);
        Ok(match self.try_key(&key).await {
            Probe::Accepted { .. } => Ok(true),
            Probe::Refused { .. } if young() => {
                Err(Outcome::retry(format!("the key {} was just made, and is refused still", held.id)))
            }
            Probe::Refused { .. } => Ok(false),
            Probe::Inconclusive { reason } => {
                Err(Outcome::unknown(format!("whether the value is the key {}: {reason}", held.id)))
            }
        })
    }

    /// No new token is given out once the key is disabled; those from before cannot be ended, and that is said.
    pub(super) async fn observe_sever(&self, old: &Credential) -> Result<Outcome, ConnectError> {
        self.observe_disable(old).await
    }

    pub(super) async fn delete(&self, old: &Credential) -> Result<Outcome, ConnectError> {
        const WHAT: &str = "deleting the key";
        let admin = self.log_in().await?;
        let all = admin.list(WHAT).await?;
        let mut held = find(all.clone(), old);
        if let Some(key) = held.take_if(|key| !key.disabled) {
            match self.is_it(WHAT, &key, old).await? {
                Ok(true) => {
                    let words = format!("the key {} is in force again; disable it first", key.id);
                    return Ok(Outcome::refused(words));
                }
                // It is somebody's, and the value was never it.
                Ok(false) => return Ok(Outcome::applied([("deleted", json!(null))])),
                Err(unsaid) => return Ok(unsaid),
            }
        }
        // What was written for the minting is not needed any more. It goes first: once the key is gone nobody comes back for it.
        let account = admin.account(WHAT).await?;
        for stranger in mint::strangers(&account, &all) {
            admin.delete(WHAT, &stranger.id).await?;
        }
        if let Some(text) = mint::without_record(&account) {
            admin.describe(WHAT, &account, &text).await?;
        }
        if let Some(key) = &held {
            admin.delete(WHAT, &key.id).await?;
        }
        let reason = held.and_then(|key| key.reason);
        Ok(Outcome::applied([("deleted", json!(old.principal)), ("disable_reason", json!(reason))]))
    }

    pub(super) async fn observe_delete(&self, old: &Credential) -> Result<Outcome, ConnectError> {
        let admin = self.log_in().await?;
        Ok(match find(admin.list("looking at the key").await?, old) {
            Some(key) if key.disabled => Outcome::retry(format!("the key {} is kept", key.id)),
            Some(key) => match self.is_it("looking at the key", &key, old).await? {
                Ok(true) => Outcome::retry(format!("the key {} is kept", key.id)),
                Ok(false) => Outcome::applied([("deleted", json!(null))]),
                Err(unsaid) => unsaid,
            },
            None => Outcome::applied([("deleted", json!(old.principal))]),
        })
    }
}

fn find(all: Vec<Held>, old: &Credential) -> Option<Held> {
    all.into_iter().find(|key| key.id == old.principal)
}

/// `reason` is Google's own word when it disabled the key itself, as it does when it sees one in public.
fn ended(key: Option<&Held>, already: bool) -> Outcome {
    Outcome::applied([
        ("already", json!(already)),
        // No token is given out after this.
        ("cutoff", json!(wall_clock().to_string())),
        ("there", json!(key.is_some())),
        ("disable_reason", json!(key.and_then(|key| key.reason.as_deref()))),
        ("access_tokens", json!(TOKENS)),
    ])
}
