//! A new version, made current only if what it replaces is still current.
//!
//! `PutSecretValue` alone replaces whatever is current. So the version is put under a label of our own first, and `UpdateSecretVersionStage`
//! then moves `AWSCURRENT` from the version that was read: it fails when that label is elsewhere by now. The version's id is chosen before the
//! call, from what it replaces; a repeat with the same text changes nothing (API reference, `ClientRequestToken`).

use quell_core::outcome::Outcome;
use quell_core::secret::SecretValue;
use serde_json::{Map, Value, json};
use sha2::{Digest as _, Sha256};
use zeroize::Zeroizing;

use super::api::CURRENT;
use super::{ConnectError, Keys, SecretsManager, Version};
use crate::openbao::copies_exactly;

/// Until it is current. Not AWSPENDING: AWS's own rotation stops when it finds that on a version.
const PENDING: &str = "QUELLPENDING";

/// How many different texts one version may have been meant to be replaced with.
const TRIES: u32 = 16;

const WRITING: &str = "writing the secret";

impl SecretsManager {
    pub(super) async fn try_write(&self, new: &SecretValue) -> Result<Outcome, ConnectError> {
        let Some(text) = new.expose_text() else {
            return Ok(Outcome::refused("the value is not text; this store writes SecretString"));
        };
        let keys = self.cloud.keys(&self.credentials).await?;
        let base = self.current(&keys, WRITING).await?;
        if let Some(base) = &base
            && self.held(base).is_some_and(|held| held.same_as(new))
        {
            return Ok(written(&base.id));
        }
        let whole = match self.composed(base.as_ref(), text)? {
            Ok(whole) => whole,
            Err(refused) => return Ok(refused),
        };
        let id = match self.put(&keys, base.as_ref(), &whole).await? {
            Ok(id) => id,
            Err(refused) => return Ok(refused),
        };
        // The first version of a secret is current at once.
        if let Some(base) = &base
            && let Some(refused) = self.promote(&keys, &id, base, new).await?
        {
            return Ok(refused);
        }
        Ok(written(&id))
    }

    /// A value of another type is replaced, so it is no obstacle.
    fn held(&self, version: &Version) -> Option<SecretValue> {
        self.value_in(WRITING, version).ok().flatten()
    }

    /// The whole text of the new version, with the neighbours as they are.
    fn composed(
        &self,
        base: Option<&Version>,
        text: &str,
    ) -> Result<Result<Zeroizing<String>, Outcome>, ConnectError> {
        let Some(key) = &self.key else {
            return Ok(Ok(Zeroizing::new(text.to_owned())));
        };
        let mut data = base.map_or_else(|| Ok(Map::new()), |base| self.json_of(WRITING, base))?;
        data.remove(key);
        if !data.values().all(copies_exactly) {
            let words = "a neighbour in the same secret holds a number that cannot be copied exactly; store it as text first";
            return Ok(Err(Outcome::refused(words)));
        }
        data.insert(key.clone(), Value::String(text.to_owned()));
        Ok(Ok(Zeroizing::new(Value::Object(data).to_string())))
    }

    /// Puts the version and gives its id.
    async fn put(
        &self,
        keys: &Keys,
        base: Option<&Version>,
        whole: &str,
    ) -> Result<Result<String, Outcome>, ConnectError> {
        for attempt in 0..TRIES {
            let id = self.chosen_id(base, attempt);
            let mut body =
                json!({ "SecretId": self.secret, "ClientRequestToken": id, "SecretString": whole });
            if let (Some(_), Some(body)) = (base, body.as_object_mut()) {
                body.insert("VersionStages".to_owned(), json!([PENDING]));
            }
            match self.ask(keys, WRITING, "PutSecretValue", &body).await? {
                Ok(_) => return Ok(Ok(id)),
                // An earlier value was to replace the same version, and did not get to be current.
                Err(refusal) if refusal.code == "ResourceExistsException" => {}
                Err(refusal) => {
                    let mut error = self.cloud.refused_quietly(WRITING, &refusal, "credentials");
                    error.detail = format!("secretsmanager:PutSecretValue: {}", error.detail);
                    return Err(error);
                }
            }
        }
        let words =
            format!("{TRIES} versions were put to replace the current one and none of them became current");
        Ok(Err(Outcome::refused(words)))
    }

    /// From nothing that is secret: whoever may describe the secret sees it.
    fn chosen_id(&self, base: Option<&Version>, attempt: u32) -> String {
        let base = base.map_or("", |base| base.id.as_str());
        let key = self.key.as_deref().unwrap_or_default();
        let text = format!("quell\n{}\n{key}\n{base}\n{attempt}", self.secret);
        // 32 to 64 characters (API reference).
        hex::encode(Sha256::digest(text)).chars().take(32).collect()
    }

    /// Makes a version current if `base` still is. `None` when it is current now.
    async fn promote(
        &self,
        keys: &Keys,
        id: &str,
        base: &Version,
        new: &SecretValue,
    ) -> Result<Option<Outcome>, ConnectError> {
        let body = json!({
            "SecretId": self.secret,
            "VersionStage": CURRENT,
            "MoveToVersionId": id,
            "RemoveFromVersionId": base.id,
        });
        let Err(refusal) = self.ask(keys, WRITING, "UpdateSecretVersionStage", &body).await? else {
            return Ok(None);
        };
        if refusal.code != "InvalidParameterException" {
            return Err(self.refused(WRITING, "UpdateSecretVersionStage", &refusal));
        }
        // Somebody wrote meanwhile. Perhaps it was an earlier attempt of ours.
        Ok(match self.current(keys, WRITING).await {
            Ok(Some(now)) if self.held(&now).is_some_and(|held| held.same_as(new)) => Some(written(&now.id)),
            Ok(now) => {
                let now = now.map(|now| now.id).unwrap_or_default();
                let words =
                    format!("somebody made version {now} current while {} was being replaced", base.id);
                Some(Outcome::retry(words))
            }
            Err(error) => Some(error.unseen()),
        })
    }
}

fn written(version: &str) -> Outcome {
    Outcome::applied([("version", json!(version))])
}
