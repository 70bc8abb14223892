//! A key is disabled, and deleted after the proof.

use quell_core::outcome::Outcome;
use quell_core::secret::Credential;
use serde_json::json;

use super::admin::Held;
use super::{ConnectError, ServiceAccount, TOKENS, mint};

impl ServiceAccount {
    pub(super) async fn disable(&self, old: &Credential) -> Result<Outcome, ConnectError> {
        const WHAT: &str = "disabling the key";
        self.key_in(WHAT, &old.value)?;
        let admin = self.log_in().await?;
        let held = find(admin.list(WHAT).await?, old);
        let Some(before) = held.filter(|key| !key.disabled) else {
            return self.observe_disable(old).await;
        };
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
            Some(key) if !key.disabled => Outcome::retry(format!("the key {} is in force", key.id)),
            key => ended(key.as_ref(), true),
        })
    }

    /// No new token is given out once the key is disabled; those from before cannot be ended, and that is said.
    pub(super) async fn observe_sever(&self, old: &Credential) -> Result<Outcome, ConnectError> {
        self.observe_disable(old).await
    }

    pub(super) async fn delete(&self, old: &Credential) -> Result<Outcome, ConnectError> {
        const WHAT: &str = "deleting the key";
        let admin = self.log_in().await?;
        let held = find(admin.list(WHAT).await?, old);
        if let Some(key) = held.as_ref().filter(|key| !key.disabled) {
            return Ok(Outcome::refused(format!("the key {} is in force again; disable it first", key.id)));
        }
        // What was written for the minting is not needed any more. It goes first: once the key is gone nobody comes back for it.
        let account = admin.account(WHAT).await?;
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
            Some(key) => Outcome::retry(format!("the key {} is kept", key.id)),
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
        ("there", json!(key.is_some())),
        ("disable_reason", json!(key.and_then(|key| key.reason.as_deref()))),
        ("access_tokens", json!(TOKENS)),
    ])
}
