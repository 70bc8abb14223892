//! What must be so before a rotation, and what an operator must know.

use quell_core::outcome::Probe;
use quell_core::secret::SecretValue;

use super::artifact::Artifact;
use super::{Releases, Scheme};
use crate::connector::{Check, Issuer as _};

impl<S: Scheme> Releases<S> {
    pub(super) async fn checks(&self) -> Vec<Check> {
        let mut checks = Vec::new();
        for store in &self.roots {
            checks.extend(store.check().await);
            let (ok, detail) = match self.open(&**store).await {
                Ok((_, root)) => {
                    let keys: Vec<String> = root.keys().map(S::name).collect();
                    (true, if keys.is_empty() { "it trusts no key now".to_owned() } else { keys.join(", ") })
                }
                Err(error) => (false, error.detail),
            };
            checks.push(Check { what: format!("read the keys of {}", store.target()), ok, detail });
        }
        if self.manifest.is_some() {
            let (ok, detail) = match self.artifacts().await {
                Ok(artifacts) => {
                    let odd = self.odd(&artifacts).await;
                    let all = format!("{} artifacts", artifacts.len());
                    (odd.is_empty(), if odd.is_empty() { all } else { odd.join("; ") })
                }
                Err(error) => (false, error.detail),
            };
            checks.push(Check { what: "find every artifact as the manifest says".to_owned(), ok, detail });
        }
        if self.control.is_some() {
            let (ok, detail) = match self.control().await {
                Probe::Accepted { .. } => (true, "every trust root trusts it".to_owned()),
                Probe::Refused { code, message } => (false, format!("{code}: {message}")),
                Probe::Inconclusive { reason } => (false, reason),
            };
            checks.push(Check { what: "sign with the control".to_owned(), ok, detail });
        }
        checks
    }

    /// What is not as the manifest says.
    async fn odd(&self, artifacts: &[Artifact]) -> Vec<String> {
        let mut odd = Vec::new();
        for artifact in artifacts {
            match self.file(artifact).await {
                Ok(read) if read.as_listed => {}
                Ok(_) => odd.push(format!("{}: it is not what the manifest says", artifact.name)),
                Err(why) => odd.push(why),
            }
        }
        odd
    }

    pub(super) async fn all_warnings(&self, current: Option<&SecretValue>) -> Vec<String> {
        let mut warnings = vec![
            "machines with a copy of the old public key (in a program, an image, a document) go on trusting it: each needs an update that it gets by another way".to_owned(),
        ];
        if self.manifest.is_none() {
            warnings.push(
                "without a `manifest` nothing is signed anew, and what was signed with the old key cannot be verified any more"
                    .to_owned(),
            );
        }
        let key = current.and_then(|value| S::read(value).ok());
        if let Some(key) = key {
            let (suspect, more) = self.suspect(S::public(&key)).await;
            let count = suspect.as_array().map_or(0, Vec::len) + more;
            if count > 0 {
                warnings.push(format!(
                    "{count} signatures of {} are suspect from now on; the facts of the kill list them",
                    S::name(S::public(&key))
                ));
            }
        }
        warnings
    }
}
