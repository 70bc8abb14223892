//! The operations of KMS that are needed, and what they say.

use quell_core::secret::SecretValue;
use serde_json::{Value, json};
use sha2::{Digest as _, Sha256};

use super::{DISABLED, Kms, PENDING};
use crate::aws::{Keys, Refusal, Service};
use crate::connector::Check;
use crate::error::{ConnectError, ConnectErrorKind};

/// What the new key is for, so that one whose answer was lost is found.
const PURPOSE: &str = "quell";
/// The key that it takes the place of, so that it is known which one to disable and delete.
const REPLACES: &str = "quell:replaces";

/// Of 1,000 keys each.
const PAGES_MAX: usize = 10;

/// A key, as `DescribeKey` tells it.
pub(super) struct Key {
    pub(super) arn: String,
    pub(super) id: String,
    /// `Enabled`, `Disabled`, `PendingDeletion`, …
    pub(super) state: String,
    /// Symmetric, and of AWS's making: another one can be made like it.
    plain: bool,
    description: String,
}

/// What became of a wrapped key that was to be wrapped anew.
pub(super) enum Rewrapped {
    Done {
        value: SecretValue,
        /// The ARN of the key that opened it.
        by: String,
    },
    /// The key that wrapped it, or the one that is to wrap it, is off.
    Off(String),
    /// KMS's words.
    Refused(String),
}

const REWRAPPING: &str = "wrapping a key anew";

/// The tag of a step may be long and hold signs that AWS does not take.
fn purpose(tag: &str) -> String {
    hex::encode(Sha256::digest(tag)).chars().take(24).collect()
}

impl Kms {
    pub(super) fn blob<'a>(&self, value: &'a SecretValue) -> Result<&'a str, ConnectError> {
        let words = "the value is not what KMS wrapped (base64 of a CiphertextBlob): name the part of the store that is";
        let text = value.expose_text().filter(|_| super::is_blob(value));
        text.ok_or_else(|| self.cloud.error("reading the wrapped key", ConnectErrorKind::Denied, words))
    }

    async fn try_ask(
        &self,
        admin: &Keys,
        what: &'static str,
        operation: &str,
        body: &Value,
    ) -> Result<Result<Value, Refusal>, ConnectError> {
        let reply = self.cloud.json(admin, Service::Kms, what, operation, body).await?;
        Ok(reply.map(|said| said.body))
    }

    pub(super) async fn ask(
        &self,
        admin: &Keys,
        what: &'static str,
        operation: &str,
        body: &Value,
    ) -> Result<Value, ConnectError> {
        self.try_ask(admin, what, operation, body).await?.map_err(|refusal| {
            let mut error = self.cloud.refused(what, &refusal, "admin");
            error.detail = format!("kms:{operation}: {}", error.detail);
            error
        })
    }

    pub(super) async fn describe(
        &self,
        admin: &Keys,
        what: &'static str,
        id: &str,
    ) -> Result<Key, ConnectError> {
        let answer = self.ask(admin, what, "DescribeKey", &json!({ "KeyId": id })).await?;
        let text = |name: &str| answer.pointer(&format!("/KeyMetadata/{name}")).and_then(Value::as_str);
        let (Some(arn), Some(id), Some(state)) = (text("Arn"), text("KeyId"), text("KeyState")) else {
            return Err(self.cloud.odd(what));
        };
        let multi_region = answer.pointer("/KeyMetadata/MultiRegion") == Some(&json!(true));
        Ok(Key {
            arn: arn.to_owned(),
            id: id.to_owned(),
            state: state.to_owned(),
            plain: text("KeySpec") == Some("SYMMETRIC_DEFAULT")
                && text("Origin") == Some("AWS_KMS")
                && !multi_region,
            description: text("Description").unwrap_or_default().to_owned(),
        })
    }

    pub(super) async fn behind_alias(&self, admin: &Keys, what: &'static str) -> Result<Key, ConnectError> {
        self.describe(admin, what, &self.alias).await
    }

    /// Wraps it anew with the key behind the alias.
    pub(super) async fn rewrap(&self, admin: &Keys, value: &SecretValue) -> Result<Rewrapped, ConnectError> {
        let mut body = json!({ "CiphertextBlob": self.blob(value)?, "DestinationKeyId": self.alias });
        if let (Some(body), false) = (body.as_object_mut(), self.context.is_empty()) {
            body.insert("SourceEncryptionContext".to_owned(), json!(self.context));
            body.insert("DestinationEncryptionContext".to_owned(), json!(self.context));
        }
        let answer = match self.try_ask(admin, REWRAPPING, "ReEncrypt", &body).await? {
            Ok(answer) => answer,
            Err(refusal) => {
                return match refusal.code.as_str() {
                    DISABLED | PENDING => Ok(Rewrapped::Off(refusal.code)),
                    "InvalidCiphertextException" | "IncorrectKeyException" => {
                        Ok(Rewrapped::Refused(refusal.code))
                    }
                    // It may repeat what it was given.
                    _ => Err(self.cloud.refused_quietly(REWRAPPING, &refusal, "admin")),
                };
            }
        };
        let text = |name: &str| answer.get(name).and_then(Value::as_str).map(str::to_owned);
        match (text("CiphertextBlob"), text("SourceKeyId")) {
            (Some(blob), Some(by)) => Ok(Rewrapped::Done { value: SecretValue::from_text(blob), by }),
            _ => Err(self.cloud.odd(REWRAPPING)),
        }
    }

    /// A key like `old`, made once for each tag.
    pub(super) async fn successor(&self, admin: &Keys, old: &Key, tag: &str) -> Result<String, ConnectError> {
        const WHAT: &str = "making another key";
        if !old.plain {
            let words = "the key is not a symmetric one of a single region with AWS's own material: make another by hand, and let the alias name it";
            return Err(self.cloud.error(WHAT, ConnectErrorKind::Denied, words));
        }
        let purpose = purpose(tag);
        if let Some(made) = self.made_for(admin, WHAT, &purpose).await? {
            return Ok(made);
        }
        let policy = self
            .ask(admin, WHAT, "GetKeyPolicy", &json!({ "KeyId": old.id, "PolicyName": "default" }))
            .await?;
        let policy = policy.get("Policy").and_then(Value::as_str).ok_or_else(|| self.cloud.odd(WHAT))?;
        let tags = json!([
            { "TagKey": PURPOSE, "TagValue": purpose },
            { "TagKey": REPLACES, "TagValue": old.id },
        ]);
        let body = json!({ "Description": old.description, "Policy": policy, "Tags": tags });
        let answer = self.ask(admin, WHAT, "CreateKey", &body).await?;
        let id = answer.pointer("/KeyMetadata/KeyId").and_then(Value::as_str);
        Ok(id.ok_or_else(|| self.cloud.odd(WHAT))?.to_owned())
    }

    /// `CreateKey` cannot be repeated: one that was made carries what it is for.
    async fn made_for(
        &self,
        admin: &Keys,
        what: &'static str,
        purpose: &str,
    ) -> Result<Option<String>, ConnectError> {
        let mut marker: Option<String> = None;
        for _ in 0..PAGES_MAX {
            let mut body = json!({ "Limit": 1000 });
            if let (Some(marker), Some(body)) = (&marker, body.as_object_mut()) {
                body.insert("Marker".to_owned(), json!(marker));
            }
            let answer = self.ask(admin, what, "ListKeys", &body).await?;
            let list = answer.get("Keys").and_then(Value::as_array).into_iter().flatten();
            for id in list.filter_map(|key| key.get("KeyId").and_then(Value::as_str)) {
                // Keys of other people's policies cannot be looked at, and are not ours.
                let tags = self.try_ask(admin, what, "ListResourceTags", &json!({ "KeyId": id })).await?;
                if tags.is_ok_and(|tags| tag_of(&tags, PURPOSE) == Some(purpose)) {
                    return Ok(Some(id.to_owned()));
                }
            }
            marker = answer.get("NextMarker").and_then(Value::as_str).map(str::to_owned);
            if marker.is_none() || answer.get("Truncated") != Some(&json!(true)) {
                return Ok(None);
            }
        }
        Err(self.cloud.error(what, ConnectErrorKind::Denied, "there are more than 10,000 keys"))
    }

    /// The key that the one behind the alias took the place of.
    pub(super) async fn replaced(
        &self,
        admin: &Keys,
        what: &'static str,
        current: &Key,
    ) -> Result<Option<String>, ConnectError> {
        let tags = self.ask(admin, what, "ListResourceTags", &json!({ "KeyId": current.id })).await?;
        Ok(tag_of(&tags, REPLACES).map(str::to_owned))
    }

    pub(super) async fn checks(&self) -> Vec<Check> {
        const WHAT: &str = "checking permissions";
        let line = |what: &str, ok, detail: String| Check { what: what.to_owned(), ok, detail };
        let admin = match self.cloud.keys(&self.admin).await {
            Ok(admin) => admin,
            Err(error) => return vec![line("have an access key for AWS", false, error.to_string())],
        };
        let mut checks = Vec::new();
        match self.behind_alias(&admin, WHAT).await {
            Ok(key) => {
                checks.push(line(
                    "the alias names a key that is on",
                    key.state == "Enabled",
                    key.state.clone(),
                ));
                let made = if key.plain {
                    "it can be"
                } else {
                    "it is asymmetric, of several regions or of imported material"
                };
                checks.push(line("another key can be made like it", key.plain, made.to_owned()));
                let policy = json!({ "KeyId": key.id, "PolicyName": "default" });
                for (operation, body) in [
                    ("GetKeyPolicy", policy),
                    ("ListResourceTags", json!({ "KeyId": key.id })),
                    ("ListKeys", json!({ "Limit": 1 })),
                ] {
                    let seen = self.ask(&admin, WHAT, operation, &body).await;
                    let detail =
                        seen.as_ref().map_or_else(|error| error.detail.clone(), |_| "yes".to_owned());
                    checks.push(line(&format!("may kms:{operation}"), seen.is_ok(), detail));
                }
            }
            Err(error) => checks.push(line("the alias names a key that is on", false, error.detail)),
        }
        let words = "kms:CreateKey, TagResource, UpdateAlias and DisableKey are not tried: that would change something";
        checks.push(line("change keys", true, words.to_owned()));
        checks.append(&mut self.deks.check().await);
        checks
    }
}

fn tag_of<'a>(tags: &'a Value, name: &str) -> Option<&'a str> {
    let list = tags.get("Tags").and_then(Value::as_array)?;
    let found = list.iter().find(|tag| tag.get("TagKey").and_then(Value::as_str) == Some(name))?;
    found.get("TagValue").and_then(Value::as_str)
}
