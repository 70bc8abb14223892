//! What must be so before a rotation, and what an operator must know.

use quell_core::outcome::Probe;
use quell_core::secret::SecretValue;

use super::artifact::Artifact;
use super::root::Root;
use super::{Releases, Scheme};
use crate::connector::{Check, Issuer as _};

impl<S: Scheme> Releases<S> {
    pub(super) async fn checks(&self) -> Vec<Check> {
        let mut checks = Vec::new();
        for store in &self.roots {
            checks.extend(store.check().await);
            let (ok, detail) = match self.open(&**store).await {
                Ok((_, root)) => {
                    let keys = named::<S>(&root);
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
        warnings.extend(self.signed_manifest());
        let key = current.and_then(|value| S::read(value).ok());
        if let Some(key) = key {
            let suspect = self.suspect(S::public(&key)).await;
            let count = suspect.named.as_array().map_or(0, Vec::len) + suspect.more;
            if !suspect.all {
                warnings.push(
                    "not all signatures beside the artifacts were read in time: others may be suspect, too"
                        .to_owned(),
                );
            }
            if count > 0 {
                warnings.push(format!(
                    "{count} signatures of {} are suspect from now on; the facts of the kill list them",
                    S::name(S::public(&key))
                ));
            }
        }
        warnings
    }

    /// The manifest may be signed, too; it is not signed anew, since whoever changes it decides what is.
    fn signed_manifest(&self) -> Option<String> {
        let mut path = self.manifest.clone()?.into_os_string();
        path.push(".");
        path.push(S::SUFFIX);
        let path = std::path::PathBuf::from(path);
        std::fs::symlink_metadata(&path).is_ok().then(|| {
            format!(
                "{} is the manifest's own signature, which is not made anew: sign the manifest with the successor by hand",
                path.display()
            )
        })
    }
}

/// The keys of a trust root by their names, and which of them is another one once more.
fn named<S: Scheme>(root: &Root<S>) -> Vec<String> {
    let keys: Vec<&S::Public> = root.keys().collect();
    let each = keys.iter().enumerate().map(|(at, key)| {
        let first = keys.iter().take(at).find(|it| S::same(it, key));
        match first {
            Some(first) => {
                format!("{} (the same key as {}: they die together)", S::name(key), S::name(first))
            }
            None => S::name(key),
        }
    });
    each.collect()
}
