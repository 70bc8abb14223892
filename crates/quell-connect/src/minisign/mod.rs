//! Keys that sign files, the places where verifiers keep what they trust, and the files.
//!
//! Who holds such a key signs what he likes, and every machine takes it that trusts the key. So a leaked one is taken out of every trust root before
//! its successor is put in, what is current is signed anew, and only if it is what it was built to be.

mod artifact;
mod change;
mod check;
mod config;
mod key;
mod root;

use std::fmt;
use std::path::PathBuf;

use async_trait::async_trait;
use quell_core::issuer::{Capabilities, Chooser, Overlap, ValidAtOnce};
use quell_core::outcome::Probe;
use quell_core::secret::{Credential, SecretValue};
use serde_json::Value;

use crate::connector::{Check, Definition, Issuer, IssuerOp, Performed, Store};
use crate::context::Context;
use crate::error::{ConfigError, ConnectError, ConnectErrorKind};
use crate::source::SecretSource;

use config::schemas;
use key::Secret;

/// minisign.
pub static CONNECTOR: Definition = Definition {
    id: "minisign",
    summary: "minisign keys: trust roots everywhere, and current artifacts signed anew",
    readme: include_str!("README.md"),
    schemas,
    issuer: Some(build),
    store: None,
    reload: None,
    observe: None,
    notify: None,
};

/// The code of a refusal.
const REFUSED: &str = "not trusted";

/// The issuer.
struct Minisign {
    context: Context,
    roots: Vec<Box<dyn Store>>,
    manifest: Option<PathBuf>,
    control: Option<SecretSource>,
    settle_ms: u64,
}

impl fmt::Debug for Minisign {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Minisign").field("manifest", &self.manifest).finish_non_exhaustive()
    }
}

fn build(config: &Value, context: &Context) -> Result<Box<dyn Issuer>, ConfigError> {
    Ok(Box::new(Minisign::new(config, context)?))
}

impl Minisign {
    fn target_text(&self) -> String {
        let first = self.roots.first().map(|root| root.target()).unwrap_or_default();
        match self.roots.len() {
            0 | 1 => format!("minisign {first}"),
            more => format!("minisign {first} and {} more", more - 1),
        }
    }

    fn failed(&self, what: &'static str, kind: ConnectErrorKind, detail: impl Into<String>) -> ConnectError {
        ConnectError::new(self.target_text(), what, kind, detail)
    }

    fn read(&self, value: &SecretValue) -> Result<Secret, ConnectError> {
        let failed = |why| self.failed("reading the key", ConnectErrorKind::Denied, why);
        Secret::read(value).map_err(failed)
    }

    fn key(&self, credential: &Credential) -> Result<Secret, ConnectError> {
        let key = self.read(&credential.value)?;
        if key.public().name() == credential.principal {
            return Ok(key);
        }
        let why = format!("it is another key than {}", credential.principal);
        Err(self.failed("reading the key", ConnectErrorKind::Denied, why))
    }
}

#[async_trait]
impl Issuer for Minisign {
    fn capabilities(&self) -> Capabilities {
        Capabilities {
            chooser: Chooser::Client,
            valid_at_once: ValidAtOnce::Many,
            sessions_survive: false,
            can_disable: true,
            self_revocable: false,
            can_mint: true,
            can_probe: true,
            settle_ms: self.settle_ms,
            refusals: vec![REFUSED.to_owned()],
        }
    }

    fn target(&self) -> String {
        self.target_text()
    }

    fn lane(&self) -> (String, Option<u16>) {
        let roots: Vec<String> = self.roots.iter().map(|root| root.target()).collect();
        (format!("minisign {}", roots.join(", ")), Some(1))
    }

    async fn check(&self) -> Vec<Check> {
        self.checks().await
    }

    async fn warnings(&self, current: Option<&SecretValue>) -> Vec<String> {
        self.all_warnings(current).await
    }

    fn identify(&self, value: &SecretValue) -> Result<Credential, ConnectError> {
        Ok(Credential { principal: self.read(value)?.public().name(), value: value.duplicate() })
    }

    async fn choose(&self, old: Option<&Credential>, _tag: &str) -> Result<Credential, ConnectError> {
        let newline = old.is_some_and(|old| old.value.expose().ends_with(b"\n"));
        let failed =
            |why| self.failed("making a key", ConnectErrorKind::Transient { retry_after: None }, why);
        let value = Secret::fresh(newline).map_err(failed)?;
        Ok(Credential { principal: self.read(&value)?.public().name(), value })
    }

    async fn perform(&self, op: IssuerOp<'_>) -> Performed {
        self.change(op).await.unwrap_or_else(|error| error.outcome()).into()
    }

    async fn observe(&self, op: IssuerOp<'_>) -> Performed {
        self.look(op).await.unwrap_or_else(|error| error.unseen()).into()
    }

    async fn probe(&self, credential: &Credential) -> Probe {
        let tried = async { self.try_key(&self.key(credential)?).await };
        tried.await.unwrap_or_else(|error| Probe::Inconclusive { reason: error.to_string() })
    }

    async fn elsewhere(&self, credential: &Credential) -> Option<String> {
        self.is_elsewhere(credential).await
    }

    async fn control(&self) -> Probe {
        let Some(control) = &self.control else {
            let reason =
                "no `control` is configured: another secret key that all trust roots trust".to_owned();
            return Probe::Inconclusive { reason };
        };
        let tried = async { self.try_key(&self.read(&control.resolve(&self.context).await?)?).await };
        tried.await.unwrap_or_else(|error| Probe::Inconclusive { reason: error.to_string() })
    }

    fn has_control(&self) -> bool {
        self.control.is_some()
    }

    fn overlap(&self) -> Overlap {
        Overlap::Never {
            why: "while a trust root has the old key, whoever holds it signs what all machines install",
        }
    }

    /// A trust root that takes signatures of the key counts as one.
    async fn sessions(&self, old: &Credential, _cutoff: Option<&str>) -> Result<u64, ConnectError> {
        self.takers(&self.key(old)?).await
    }
}
