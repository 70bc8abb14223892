//! One entry is replaced if the Secret is still as it was read; its neighbours, labels and annotations are not sent at all.

use base64::Engine as _;
use quell_core::outcome::Outcome;
use quell_core::secret::SecretValue;
use serde_json::{Value, json};
use zeroize::Zeroizing;

use super::{ConnectError, ConnectErrorKind, Secret, text, version_of};

const WHAT: &str = "writing the Secret";

impl Secret {
    pub(super) async fn try_write(&self, new: &SecretValue) -> Result<Outcome, ConnectError> {
        let object = self.get(WHAT).await?;
        if let Some(version) = self.holds(&object, new) {
            return Ok(written(version));
        }
        if let Some(why) = obstacle(&object) {
            return Ok(Outcome::refused(why));
        }
        let encoded = Zeroizing::new(base64::prelude::BASE64_STANDARD.encode(new.expose()));
        let change = json!({ "metadata": {}, "data": { (self.key.as_str()): encoded.as_str() } });
        let mut hide = vec![encoded.as_str()];
        hide.extend(new.expose_text());
        let version = version_of(&object);
        match self.patch(WHAT, version, change, &hide).await {
            Ok(after) => {
                let Some(version) = self.holds(&after, new) else {
                    let words = "it was taken, and the answer holds another value: does an admission webhook change Secrets?";
                    return Err(self.failed(WHAT, ConnectErrorKind::Unexpected, words));
                };
                Ok(written(version))
            }
            // Somebody wrote meanwhile. Perhaps it was an earlier attempt of ours.
            Err(error) if error.kind == ConnectErrorKind::Conflict => Ok(match self.get(WHAT).await {
                Ok(now) => match self.holds(&now, new) {
                    Some(now) => written(now),
                    None => Outcome::retry(format!(
                        "somebody made version {} while version {version} was being replaced",
                        version_of(&now)
                    )),
                },
                Err(error) => error.unseen(),
            }),
            Err(error) => Err(error),
        }
    }

    /// Its version, when the entry holds that value.
    fn holds<'a>(&self, object: &'a Value, value: &SecretValue) -> Option<&'a str> {
        let held = self.entry(WHAT, object, &self.key).ok().flatten()?;
        SecretValue::new(held.to_vec()).same_as(value).then(|| version_of(object))
    }
}

/// Why the Secret cannot be changed, and what to do.
pub(super) fn obstacle(object: &Value) -> Option<String> {
    if object.get("immutable") == Some(&Value::Bool(true)) {
        let words = "the Secret is immutable: nothing changes its data, not even Kubernetes; make a Secret of another name without \
                     `immutable: true`, point the workload to it, and name that one here";
        return Some(words.to_owned());
    }
    match text(object, "/type") {
        "kubernetes.io/tls" => Some(
            "a Secret of type kubernetes.io/tls holds a certificate and its key in two entries, which must change together; Quell \
             writes one entry: keep the pair in an Opaque Secret as one PEM text, or let cert-manager renew this one"
                .to_owned(),
        ),
        "kubernetes.io/service-account-token" => Some(
            "Kubernetes writes Secrets of type kubernetes.io/service-account-token by itself; delete it to revoke the token".to_owned(),
        ),
        _ => None,
    }
}

fn written(version: &str) -> Outcome {
    Outcome::applied([("version", json!(version))])
}
