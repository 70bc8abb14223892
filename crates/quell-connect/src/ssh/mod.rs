//! OpenSSH: keys that log in to accounts of hosts.
//!
//! An account takes any number of keys, so the new one is put beside the old one before that goes. Each host is changed, and asked, by
//! itself, as its administrator, with nothing on it but `sh`.

mod change;
mod check;
mod config;
mod file;
mod host;
mod key;
mod known;
mod lines;
mod remote;
mod session;

use std::fmt;
use std::path::PathBuf;

use async_trait::async_trait;
use quell_core::issuer::{Capabilities, Chooser, ValidAtOnce};
use quell_core::outcome::Probe;
use quell_core::secret::{Credential, SecretValue};
use serde_json::Value;

use crate::connector::{Check, Definition, Issuer, IssuerOp, Performed};
use crate::context::Context;
use crate::error::{ConfigError, ConnectError, ConnectErrorKind};
use crate::source::SecretSource;

use config::schemas;
use host::Place;
use key::Key;

/// OpenSSH.
pub static CONNECTOR: Definition = Definition {
    id: "ssh",
    summary: "OpenSSH: keys of accounts, on every host",
    readme: include_str!("README.md"),
    schemas,
    issuer: Some(build),
    store: None,
    reload: None,
    observe: None,
    notify: None,
    channel: None,
};

/// The issuer. It holds references only; the administrator's key is read anew for each call.
struct Ssh {
    context: Context,
    user: String,
    hosts: Vec<Place>,
    known_hosts: PathBuf,
    admin: SecretSource,
    admin_user: String,
    sudo: bool,
    authorized_keys: Vec<String>,
    revoked_keys: Option<String>,
    options: String,
    settle_ms: u64,
}

impl fmt::Debug for Ssh {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Ssh").field("admin", &self.admin).field("user", &self.user).finish_non_exhaustive()
    }
}

fn build(config: &Value, context: &Context) -> Result<Box<dyn Issuer>, ConfigError> {
    Ok(Box::new(Ssh::new(config, context)?))
}

impl Ssh {
    fn target_text(&self) -> String {
        let hosts = self.hosts.iter().take(5).map(Place::words).collect::<Vec<_>>().join(", ");
        let more = self.hosts.len().saturating_sub(5);
        let more = if more == 0 { String::new() } else { format!(" and {more} more") };
        format!("ssh {hosts}{more} ({})", self.user)
    }

    fn failed(&self, what: &'static str, kind: ConnectErrorKind, detail: impl Into<String>) -> ConnectError {
        ConnectError::new(self.target_text(), what, kind, detail)
    }

    /// Ends a call that hangs.
    async fn within<T>(
        &self,
        what: &'static str,
        call: impl Future<Output = Result<T, ConnectError>>,
    ) -> Result<T, ConnectError> {
        self.context.within(|| self.target_text(), what, call).await
    }

    /// The key inside a credential, which must be the configured account's.
    fn key(&self, credential: &Credential) -> Result<Key, ConnectError> {
        const WHAT: &str = "reading the credential";
        if credential.principal != self.user {
            let why = format!("`{}` is not the configured account", credential.principal);
            return Err(self.failed(WHAT, ConnectErrorKind::Denied, why));
        }
        Key::read(&credential.value).map_err(|why| self.failed(WHAT, ConnectErrorKind::Denied, why))
    }
}

/// Steps at once against one set of hosts; each logs in a few times.
const SSH_AT_ONCE: u16 = 3;

#[async_trait]
impl Issuer for Ssh {
    fn capabilities(&self) -> Capabilities {
        Capabilities {
            chooser: Chooser::Client,
            valid_at_once: ValidAtOnce::Many,
            sessions_survive: true,
            can_disable: true,
            self_revocable: false,
            can_mint: true,
            can_probe: true,
            settle_ms: self.settle_ms,
            refusals: vec![host::REFUSED.to_owned()],
        }
    }

    fn target(&self) -> String {
        self.target_text()
    }

    /// sshd drops connections at random when more than ten wait to log in (`MaxStartups 10:30:100`, `sshd_config(5)`).
    fn lane(&self) -> (String, Option<u16>) {
        let hosts = self.hosts.iter().map(Place::words).collect::<Vec<_>>().join(", ");
        (format!("ssh {hosts}"), Some(SSH_AT_ONCE))
    }

    async fn check(&self) -> Vec<Check> {
        self.checks().await
    }

    async fn warnings(&self, current: Option<&SecretValue>) -> Vec<String> {
        self.all_warnings(current).await
    }

    fn identify(&self, value: &SecretValue) -> Result<Credential, ConnectError> {
        const WHAT: &str = "reading whose credential it is";
        Key::read(value).map_err(|why| self.failed(WHAT, ConnectErrorKind::Denied, why))?;
        Ok(Credential { principal: self.user.clone(), value: value.duplicate() })
    }

    async fn choose(&self, old: Option<&Credential>, tag: &str) -> Result<Credential, ConnectError> {
        const WHAT: &str = "making a key";
        let before = old.map(|old| self.key(old)).transpose()?;
        let newline = old.is_some_and(|old| old.value.expose().ends_with(b"\n"));
        let value = Key::fresh(&self.user, tag, before.as_ref(), newline)
            .map_err(|why| self.failed(WHAT, ConnectErrorKind::Transient { retry_after: None }, why))?;
        Ok(Credential { principal: self.user.clone(), value })
    }

    async fn perform(&self, op: IssuerOp<'_>) -> Performed {
        Box::pin(self.change(op)).await.unwrap_or_else(|error| error.outcome()).into()
    }

    async fn observe(&self, op: IssuerOp<'_>) -> Performed {
        Box::pin(self.look(op)).await.unwrap_or_else(|error| error.unseen()).into()
    }

    async fn probe(&self, credential: &Credential) -> Probe {
        Box::pin(self.try_it(credential))
            .await
            .unwrap_or_else(|error| Probe::Inconclusive { reason: error.to_string() })
    }

    async fn control(&self) -> Probe {
        Box::pin(self.try_admin())
            .await
            .unwrap_or_else(|error| Probe::Inconclusive { reason: error.to_string() })
    }

    async fn sessions(&self, old: &Credential, cutoff: Option<&str>) -> Result<u64, ConnectError> {
        Box::pin(self.live_sessions(old, cutoff)).await
    }
}
