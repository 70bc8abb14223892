//! A Secret has no history of its own. What `kubectl apply` was given is kept in an annotation, though: with the leaked value in it, in base64.

use base64::Engine as _;
use quell_core::outcome::Outcome;
use quell_core::secret::SecretValue;
use serde_json::{Value, json};

use super::{ConnectError, ConnectErrorKind, Secret, version_of};
use crate::kept::keeps;

/// "Declarative Management of Kubernetes Objects Using Configuration Files". Without it `kubectl apply` writes it anew.
const LAST_APPLIED: &str = "kubectl.kubernetes.io/last-applied-configuration";

/// What no call can take away.
const REMARKS: [&str; 3] = [
    "backups and snapshots of etcd that were made before the write still hold the value",
    "pods that were started before the write hold it until they are gone; kubernetes_rollout sees to that",
    "values that other tools keep packed are not looked into: Helm's releases (Secrets named sh.helm.release.v1.*), annotations in gzip",
];

/// Where the value still is.
#[derive(Debug, Default)]
struct Find {
    version: String,
    /// Entries that are in use.
    entries: Vec<String>,
    annotations: Vec<String>,
    /// What `kubectl apply` was given has entries that are no base64.
    unread: bool,
}

impl Secret {
    async fn find(&self, what: &'static str, compromised: &[&SecretValue]) -> Result<Find, ConnectError> {
        let object = self.get(what).await?;
        let mut find = Find { version: version_of(&object).to_owned(), ..Find::default() };
        let bad = |bytes: &[u8]| compromised.iter().any(|value| keeps(bytes, value));
        let keys = object.get("data").and_then(Value::as_object).into_iter().flat_map(|data| data.keys());
        for key in keys {
            if self.entry(what, &object, key)?.is_some_and(|bytes| bad(&bytes)) {
                find.entries.push(key.clone());
            }
        }
        let annotations = object.pointer("/metadata/annotations").and_then(Value::as_object);
        for (name, text) in annotations.into_iter().flatten() {
            let Some(text) = text.as_str() else { continue };
            let (held, whole) = decoded(text);
            if bad(text.as_bytes()) || held.iter().any(|it| bad(it)) {
                find.annotations.push(name.clone());
            } else if !whole && name == LAST_APPLIED {
                find.unread = true;
            }
        }
        Ok(find)
    }

    pub(super) async fn try_purge(&self, compromised: &[&SecretValue]) -> Result<Outcome, ConnectError> {
        const WHAT: &str = "removing copies in the Secret";
        let find = self.find(WHAT, compromised).await?;
        if let Some(refused) = obstacle(&find) {
            return Ok(refused);
        }
        if find.annotations.is_empty() {
            return Ok(done(&find.version, &[]));
        }
        let change = json!({ "metadata": { "annotations": { LAST_APPLIED: null } } });
        self.patch(WHAT, &find.version, change, &[]).await?;
        // Something was changed: what cannot be seen now is unknown, whatever the reason.
        match self.find(WHAT, compromised).await {
            Ok(after) if after.annotations.is_empty() && after.entries.is_empty() => {
                Ok(done(&after.version, &find.annotations))
            }
            Ok(after) => {
                Ok(obstacle(&after).unwrap_or_else(|| Outcome::retry("somebody wrote the copy again")))
            }
            Err(error) => Ok(error.unseen()),
        }
    }

    pub(super) async fn try_observe_purge(
        &self,
        compromised: &[&SecretValue],
    ) -> Result<Outcome, ConnectError> {
        const WHAT: &str = "looking for copies in the Secret";
        let find = match self.find(WHAT, compromised).await {
            // Nothing is kept in what is not there.
            Err(error) if error.kind == ConnectErrorKind::Missing => return Ok(done("none", &[])),
            find => find?,
        };
        if let Some(refused) = obstacle(&find) {
            return Ok(refused);
        }
        if find.annotations.is_empty() {
            return Ok(done(&find.version, &[]));
        }
        Ok(Outcome::retry(format!("the annotation {LAST_APPLIED} holds the value")))
    }
}

/// What an annotation holds in base64, which may be wrapped: entries of `data` in the JSON of a manifest; and whether that was all of it.
fn decoded(text: &str) -> (Vec<Vec<u8>>, bool) {
    let Ok(manifest) = serde_json::from_str::<Value>(text) else { return (Vec::new(), false) };
    let data = manifest.get("data").and_then(Value::as_object);
    let values = data.into_iter().flat_map(|data| data.values()).filter_map(Value::as_str);
    let (mut all, mut whole) = (Vec::new(), true);
    for value in values {
        let packed: String = value.chars().filter(|c| !c.is_ascii_whitespace()).collect();
        match base64::prelude::BASE64_STANDARD.decode(packed) {
            Ok(bytes) => all.push(bytes),
            Err(_) => whole = false,
        }
    }
    let plain = manifest.get("stringData").and_then(Value::as_object);
    let plain = plain.into_iter().flat_map(|data| data.values()).filter_map(Value::as_str);
    all.extend(plain.map(|value| value.as_bytes().to_vec()));
    (all, whole)
}

/// What a purge leaves alone.
fn obstacle(find: &Find) -> Option<Outcome> {
    if !find.entries.is_empty() {
        let keys = find.entries.join("`, `");
        let words = format!(
            "version {} still holds a compromised value in `{keys}`; write a new value there first",
            find.version
        );
        return Some(Outcome::refused(words));
    }
    if find.unread {
        let words = format!(
            "the annotation `{LAST_APPLIED}` has entries that cannot be read as base64, and may hold the value; remove it by hand"
        );
        return Some(Outcome::refused(words));
    }
    let strange = find.annotations.iter().find(|name| *name != LAST_APPLIED)?;
    let words =
        format!("the annotation `{strange}` holds the value and belongs to somebody else; remove it by hand");
    Some(Outcome::refused(words))
}

fn done(version: &str, removed: &[String]) -> Outcome {
    Outcome::applied([
        ("current", json!(version)),
        ("history", json!(false)),
        ("destroyed", json!([])),
        ("annotations_removed", json!(removed)),
        ("remarks", json!(REMARKS)),
    ])
}
