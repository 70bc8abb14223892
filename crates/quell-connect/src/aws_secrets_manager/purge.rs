//! Versions that still hold a compromised value lose their labels.
//!
//! After a write the leaked value is still `AWSPREVIOUS`, for everybody who may read the secret. Without any label a version is deprecated: AWS
//! may delete it, and does when there are more than about a hundred. Until then who knows its id can read it; no call deletes one version
//! (Secrets Manager user guide, "What's in a secret"; API reference, `PutSecretValue`). That is said in the facts.

use quell_core::outcome::Outcome;
use quell_core::secret::SecretValue;
use serde_json::{Value, json};

use super::api::{CURRENT, Labelled};
use super::{ConnectError, Keys, SecretsManager};
use crate::kept::keeps;

/// What a purge finds before it acts.
#[derive(Default)]
struct Find {
    current: String,
    current_is_bad: bool,
    /// Hold the value and have labels.
    labelled: Vec<Labelled>,
    /// Hold the value and have none.
    deprecated: Vec<String>,
}

impl SecretsManager {
    async fn find(
        &self,
        keys: &Keys,
        what: &'static str,
        compromised: &[&SecretValue],
    ) -> Result<Find, ConnectError> {
        let mut find = Find::default();
        for one in self.versions(keys, what).await? {
            let is_current = one.labels.iter().any(|label| label == CURRENT);
            if is_current {
                find.current.clone_from(&one.id);
            }
            let Some(bytes) = self.bytes_of(keys, what, &one.id).await? else { continue };
            if !compromised.iter().any(|value| keeps(&bytes, value)) {
                continue;
            }
            if is_current {
                find.current_is_bad = true;
            } else if one.labels.is_empty() {
                find.deprecated.push(one.id);
            } else {
                find.labelled.push(one);
            }
        }
        Ok(find)
    }

    pub(super) async fn try_purge(&self, compromised: &[&SecretValue]) -> Result<Outcome, ConnectError> {
        const WHAT: &str = "taking labels off old versions";
        let keys = self.cloud.keys(&self.credentials).await?;
        let find = self.find(&keys, WHAT, compromised).await?;
        if find.current_is_bad {
            return Ok(current_refused(&find.current));
        }
        let mut stripped = Vec::new();
        for version in &find.labelled {
            for label in &version.labels {
                let body = json!({ "SecretId": self.secret, "VersionStage": label, "RemoveFromVersionId": version.id });
                match self.ask(&keys, WHAT, "UpdateSecretVersionStage", &body).await? {
                    Ok(_) => stripped.push(json!({ "version": version.id, "label": label })),
                    // Somebody moved it since.
                    Err(refusal) if refusal.code == "InvalidParameterException" => {}
                    Err(refusal) => return Err(self.refused(WHAT, "UpdateSecretVersionStage", &refusal)),
                }
            }
        }
        // Something was sent: what cannot be seen now is unknown, whatever the reason.
        let after = match self.find(&keys, WHAT, compromised).await {
            Ok(after) => after,
            Err(error) => return Ok(error.unseen()),
        };
        if after.current_is_bad {
            return Ok(current_refused(&after.current));
        }
        Ok(done(&after, Some(stripped)))
    }

    pub(super) async fn try_observe_purge(
        &self,
        compromised: &[&SecretValue],
    ) -> Result<Outcome, ConnectError> {
        const WHAT: &str = "looking for old versions";
        let keys = self.cloud.keys(&self.credentials).await?;
        let find = self.find(&keys, WHAT, compromised).await?;
        if find.current_is_bad {
            return Ok(current_refused(&find.current));
        }
        Ok(done(&find, None))
    }
}

fn done(find: &Find, stripped: Option<Vec<Value>>) -> Outcome {
    if !find.labelled.is_empty() {
        let words: Vec<String> =
            find.labelled.iter().map(|one| format!("{} ({})", one.id, one.labels.join(", "))).collect();
        return Outcome::retry(format!("versions with labels hold the value: {}", words.join("; ")));
    }
    let mut facts = quell_core::outcome::Facts::new();
    facts.insert("current".to_owned(), json!(find.current));
    facts.insert("history".to_owned(), json!(true));
    // No call deletes one version, so nothing ever is.
    facts.insert("destroyed".to_owned(), json!([]));
    facts.insert("still_readable_by_id".to_owned(), json!(find.deprecated));
    if let Some(stripped) = stripped {
        facts.insert("labels_removed".to_owned(), Value::Array(stripped));
    }
    Outcome::Applied { facts }
}

fn current_refused(version: &str) -> Outcome {
    Outcome::refused(format!(
        "the current version {version} still holds a compromised value; write a new version first"
    ))
}
