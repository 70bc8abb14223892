//! Keys that sign files, the places where verifiers keep what they trust, and the files.
//!
//! Who holds such a key signs what he likes, and every machine takes it that trusts the key. So a leaked one is taken out of every trust root before
//! its successor is put in, what is current is signed anew, and only if it is what it was built to be. How keys and signatures are written down is a
//! [`Scheme`].

mod artifact;
mod change;
mod check;
mod config;
pub(crate) mod root;

use std::fmt;
use std::marker::PhantomData;
use std::path::PathBuf;

use async_trait::async_trait;
use quell_core::issuer::{Capabilities, Chooser, Overlap, ValidAtOnce};
use quell_core::outcome::Probe;
use quell_core::secret::{Credential, SecretValue};
use serde_json::Value;

use crate::connector::{Check, Issuer, IssuerOp, Performed, Store};
use crate::context::Context;
use crate::error::{ConfigError, ConnectError, ConnectErrorKind};
use crate::source::SecretSource;

pub(crate) use artifact::Hashes;
pub(crate) use config::schema;
use root::Part;

/// How keys and signatures are written down.
pub(crate) trait Scheme: Send + Sync + Sized + 'static {
    /// A secret key.
    type Secret: Send + Sync;
    /// A public key.
    type Public: Clone + PartialEq + Send + Sync;

    /// What it is called in targets.
    const NAME: &'static str;
    /// How the file of a signature ends.
    const SUFFIX: &'static str;
    /// How the line begins that is left where a key was taken away from a trust root.
    const DROPPED: &'static str;
    /// What a trust root is, for people: "file of public keys of minisign".
    const ROOT: &'static str;

    /// Reads a secret key. What is wrong is said without any of it.
    fn read(value: &SecretValue) -> Result<Self::Secret, &'static str>;
    /// A fresh secret key, of the kind of `before`. `newline`: whether a line break ends it.
    fn fresh(before: Option<&Self::Secret>, newline: bool) -> Result<SecretValue, &'static str>;
    /// The public part.
    fn public(secret: &Self::Secret) -> &Self::Public;
    /// What people call a key.
    fn name(public: &Self::Public) -> String;
    /// Tells a key from another one that is called the same.
    fn digest(public: &Self::Public) -> String;
    /// As a trust root holds it, with a line break at its end.
    fn lines(public: &Self::Public) -> String;
    /// The parts of a trust root; nothing if it is something else.
    fn parts(text: &str) -> Option<Vec<Part<Self::Public>>>;
    /// Signs a file of this name, at a moment in seconds. Gives what stands in the file of the signature.
    fn sign(secret: &Self::Secret, hashes: &Hashes, file: &str, at: i64) -> Result<String, &'static str>;
    /// Whether a signature is a good one of this key and file.
    fn is_signed(public: &Self::Public, signature: &str, hashes: &Hashes) -> bool;
    /// Whether two keys are the same one, whatever they are called.
    fn same(one: &Self::Public, other: &Self::Public) -> bool {
        one == other
    }
    /// Whether whoever has the secret of a signature can sign what this key takes.
    fn takes(public: &Self::Public, signature: &str, hashes: &Hashes) -> bool {
        Self::is_signed(public, signature, hashes)
    }
    /// Whether a signature says whose it is, and says that it is this key's; `None` where only the file tells.
    fn names(public: &Self::Public, signature: &str) -> Option<bool>;
    /// When a signature says that it was made.
    fn said_at(signature: &str) -> Option<String>;
}

/// The code of a refusal.
const REFUSED: &str = "not trusted";

/// The issuer.
pub(crate) struct Releases<S> {
    context: Context,
    roots: Vec<Box<dyn Store>>,
    manifest: Option<PathBuf>,
    control: Option<SecretSource>,
    settle_ms: u64,
    scheme: PhantomData<S>,
}

impl<S> fmt::Debug for Releases<S> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Releases").field("manifest", &self.manifest).finish_non_exhaustive()
    }
}

/// Builds the issuer of a scheme.
pub(crate) fn build<S: Scheme>(config: &Value, context: &Context) -> Result<Box<dyn Issuer>, ConfigError> {
    Ok(Box::new(Releases::<S>::new(config, context)?))
}

impl<S: Scheme> Releases<S> {
    fn target_text(&self) -> String {
        let first = self.roots.first().map(|root| root.target()).unwrap_or_default();
        match self.roots.len() {
            0 | 1 => format!("{} {first}", S::NAME),
            more => format!("{} {first} and {} more", S::NAME, more - 1),
        }
    }

    fn failed(&self, what: &'static str, kind: ConnectErrorKind, detail: impl Into<String>) -> ConnectError {
        ConnectError::new(self.target_text(), what, kind, detail)
    }

    fn read(&self, value: &SecretValue) -> Result<S::Secret, ConnectError> {
        let failed = |why| self.failed("reading the key", ConnectErrorKind::Denied, why);
        S::read(value).map_err(failed)
    }

    fn key(&self, credential: &Credential) -> Result<S::Secret, ConnectError> {
        let key = self.read(&credential.value)?;
        if S::name(S::public(&key)) == credential.principal {
            return Ok(key);
        }
        let why = format!("it is another key than {}", credential.principal);
        Err(self.failed("reading the key", ConnectErrorKind::Denied, why))
    }
}

#[async_trait]
impl<S: Scheme> Issuer for Releases<S> {
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
        (format!("{} {}", S::NAME, roots.join(", ")), Some(1))
    }

    async fn check(&self) -> Vec<Check> {
        self.checks().await
    }

    async fn warnings(&self, current: Option<&SecretValue>) -> Vec<String> {
        self.all_warnings(current).await
    }

    fn identify(&self, value: &SecretValue) -> Result<Credential, ConnectError> {
        Ok(Credential { principal: S::name(S::public(&self.read(value)?)), value: value.duplicate() })
    }

    async fn choose(&self, old: Option<&Credential>, _tag: &str) -> Result<Credential, ConnectError> {
        let before = old.map(|old| self.key(old)).transpose()?;
        let newline = old.is_some_and(|old| old.value.expose().ends_with(b"\n"));
        let failed =
            |why| self.failed("making a key", ConnectErrorKind::Transient { retry_after: None }, why);
        let value = S::fresh(before.as_ref(), newline).map_err(failed)?;
        Ok(Credential { principal: S::name(S::public(&self.read(&value)?)), value })
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
