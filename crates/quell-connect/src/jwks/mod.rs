//! Keys that sign tokens, and the published set by which verifiers know them.
//!
//! Who holds such a key is whoever he says he is, until the last verifier has forgotten it. So a leaked one is dropped before its successor
//! exists, every verifier is told, and every verifier is asked, with a token that was made for that.

pub(crate) mod canary;
mod change;
mod check;
pub(crate) mod config;
mod der;
pub(crate) mod door;
mod key;
mod public;
mod set;

use std::fmt;

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
use door::Door;
pub(crate) use key::pem;
use key::{Algorithm, Key};

/// Signing keys of tokens.
pub static CONNECTOR: Definition = Definition {
    id: "jwks",
    summary: "Keys that sign tokens (JWT), the published key set, and every service that verifies by it",
    readme: include_str!("README.md"),
    schemas,
    issuer: Some(build),
    store: None,
    reload: None,
    observe: None,
    notify: None,
    channel: None,
};

/// Why a leaked key and its successor are never good at the same time.
pub(crate) const NO_OVERLAP: &str = "whoever holds a signing key is whoever he says he is, so its old tokens are not worth a day of forgeries";

/// The issuer.
struct Jwks {
    context: Context,
    publish: Box<dyn Store>,
    doors: Vec<Door>,
    control: Option<SecretSource>,
    algorithm: Option<Algorithm>,
    settle_ms: u64,
    /// The inventory says how long verifiers keep a copy.
    settled: bool,
}

impl fmt::Debug for Jwks {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Jwks").field("doors", &self.doors).finish_non_exhaustive()
    }
}

fn build(config: &Value, context: &Context) -> Result<Box<dyn Issuer>, ConfigError> {
    Ok(Box::new(Jwks::new(config, context)?))
}

impl Jwks {
    fn target_text(&self) -> String {
        format!("jwks {}", self.publish.target())
    }

    fn failed(&self, what: &'static str, kind: ConnectErrorKind, detail: impl Into<String>) -> ConnectError {
        ConnectError::new(self.target_text(), what, kind, detail)
    }

    fn read(&self, value: &SecretValue) -> Result<Key, ConnectError> {
        let failed = |why| self.failed("reading the key", ConnectErrorKind::Denied, why);
        Key::read(value).map_err(failed)
    }

    fn key(&self, credential: &Credential) -> Result<Key, ConnectError> {
        let key = self.read(&credential.value)?;
        if key.thumbprint() == credential.principal {
            return Ok(key);
        }
        let why = format!("it is another key than {}", credential.principal);
        Err(self.failed("reading the key", ConnectErrorKind::Denied, why))
    }
}

#[async_trait]
impl Issuer for Jwks {
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
            refusals: door::refusals(&self.doors),
        }
    }

    fn target(&self) -> String {
        self.target_text()
    }

    /// One document: two writers would only keep each other from it.
    fn lane(&self) -> (String, Option<u16>) {
        (self.target_text(), Some(1))
    }

    async fn check(&self) -> Vec<Check> {
        self.checks().await
    }

    async fn warnings(&self, current: Option<&SecretValue>) -> Vec<String> {
        self.all_warnings(current).await
    }

    fn identify(&self, value: &SecretValue) -> Result<Credential, ConnectError> {
        Ok(Credential { principal: self.read(value)?.thumbprint(), value: value.duplicate() })
    }

    async fn choose(&self, old: Option<&Credential>, _tag: &str) -> Result<Credential, ConnectError> {
        let before = old.map(|old| self.key(old)).transpose()?;
        let newline = old.is_some_and(|old| old.value.expose().ends_with(b"\n"));
        let failed =
            |why| self.failed("making a key", ConnectErrorKind::Transient { retry_after: None }, why);
        let value = Key::fresh(before.as_ref(), self.algorithm, newline).map_err(failed)?;
        Ok(Credential { principal: self.read(&value)?.thumbprint(), value })
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
            let reason = "no `control` is configured: another private key of the set".to_owned();
            return Probe::Inconclusive { reason };
        };
        let tried = async { self.try_key(&self.read(&control.resolve(&self.context).await?)?).await };
        tried.await.unwrap_or_else(|error| Probe::Inconclusive { reason: error.to_string() })
    }

    fn has_control(&self) -> bool {
        self.control.is_some()
    }

    fn overlap(&self) -> Overlap {
        Overlap::Never { why: NO_OVERLAP }
    }

    /// A verifier that takes tokens of the key counts as one.
    async fn sessions(&self, old: &Credential, _cutoff: Option<&str>) -> Result<u64, ConnectError> {
        self.takers(&self.key(old)?).await
    }
}
