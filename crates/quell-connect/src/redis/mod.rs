//! Redis and Valkey: passwords of ACL users.
//!
//! A user has any number of passwords, kept as SHA-256, so the new one is added before the old one goes. Users are not replicated:
//! every node is changed, and asked, by itself.

mod change;
mod check;
mod config;
mod cutoff;
mod keep;
mod node;
mod reply;
mod standing;

use std::collections::BTreeSet;
use std::fmt;
use std::path::PathBuf;
use std::sync::Mutex;

use async_trait::async_trait;
use quell_core::issuer::{Capabilities, Chooser, ValidAtOnce};
use quell_core::outcome::Probe;
use quell_core::secret::{Credential, SecretValue};
use serde_json::Value;
use zeroize::Zeroizing;

use crate::connector::{Check, Definition, Issuer, IssuerOp, Performed};
use crate::context::Context;
use crate::dsn::{self, Family, Place};
use crate::error::{ConfigError, ConnectError, ConnectErrorKind};
use crate::password;
use crate::source::SecretSource;

use change::Admin;
use config::schemas;
use keep::Persist;
use node::{Door, Login, Tls};

/// Redis and Valkey.
pub static CONNECTOR: Definition = Definition {
    id: "redis",
    summary: "Redis and Valkey: passwords of ACL users, on every node",
    readme: include_str!("README.md"),
    schemas,
    issuer: Some(build),
    store: None,
    reload: None,
    observe: None,
    notify: None,
    channel: None,
};

static URL: Family = Family {
    schemes: &["redis", "rediss", "valkey", "valkeys"],
    port: 6379,
    nobody: Some(DEFAULT_USER),
    otherwise: "the value is not a redis:// or rediss:// URL",
    neither: "it is no redis:// URL",
};

/// Who a URL or a bare password without a user logs in as.
const DEFAULT_USER: &str = "default";

/// The issuer. It holds references only; the administrator's URL is read anew for each call.
struct Redis {
    context: Context,
    admin: SecretSource,
    user: String,
    nodes: Vec<Place>,
    aliases: Vec<Place>,
    persist: Persist,
    ca: Option<PathBuf>,
    settle_ms: u64,
    /// What was seen to be kept over a restart; no server tells that afterwards.
    kept: Mutex<BTreeSet<String>>,
}

impl fmt::Debug for Redis {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Redis").field("admin", &self.admin).field("user", &self.user).finish_non_exhaustive()
    }
}

fn build(config: &Value, context: &Context) -> Result<Box<dyn Issuer>, ConfigError> {
    Ok(Box::new(Redis::new(config, context)?))
}

impl Redis {
    fn target_text(&self) -> String {
        let nodes = self.nodes.iter().map(Place::words).collect::<Vec<_>>().join(", ");
        if nodes.is_empty() {
            format!("redis of {} ({})", self.admin, self.user)
        } else {
            format!("redis {nodes} ({})", self.user)
        }
    }

    fn failed(&self, what: &'static str, kind: ConnectErrorKind, detail: impl Into<String>) -> ConnectError {
        ConnectError::new(self.target_text(), what, kind, detail)
    }

    /// Reads the administrator's URL and says where to go with it.
    async fn admin(&self) -> Result<Admin, ConnectError> {
        let failed =
            |detail: &str| self.failed("reading the administrator's URL", ConnectErrorKind::Denied, detail);
        let url = URL.admin(&self.admin, &self.context, failed).await?;
        let (host, port) = url.host_port().map_err(|error| failed(error.0))?;
        let password = url.password().ok_or_else(|| failed("it holds no password"))?;
        let login = Login {
            user: url.user().unwrap_or(DEFAULT_USER).to_owned(),
            password: Zeroizing::new(password.to_owned()),
        };
        let places = if self.nodes.is_empty() { vec![Place { host, port }] } else { self.nodes.clone() };
        let tls = match &self.ca {
            _ if !matches!(url.scheme(), "rediss" | "valkeys") => Tls::No,
            None => Tls::System,
            Some(path) => Tls::Only(
                tokio::fs::read(path)
                    .await
                    .map_err(|error| failed(&format!("`ca` cannot be read: {error}")))?,
            ),
        };
        // Shorter than our own limit, so that a node that hangs is one that hangs, and not all of them.
        let limit = self.context.call_limit * 3 / 4;
        Ok(Admin { door: Door { tls, limit }, login, places })
    }

    /// Why a refusal of a value here says nothing about the server that its URL names.
    async fn leads_elsewhere(&self, value: &SecretValue) -> Option<String> {
        const WHAT: &str = "reading where the value leads";
        // Without the administrator's URL nothing is tried at all, and that is told elsewhere.
        let mut doors = self.context.within(|| self.target_text(), WHAT, self.admin()).await.ok()?.places;
        doors.extend(self.aliases.iter().cloned());
        URL.elsewhere(value, &doors)
    }

    /// The password inside a credential, which must be the configured user's.
    fn password(&self, credential: &Credential) -> Result<Zeroizing<String>, ConnectError> {
        const WHAT: &str = "reading the credential";
        let failed = |detail: &str| self.failed(WHAT, ConnectErrorKind::Denied, detail);
        if credential.principal != self.user {
            return Err(failed(&format!("`{}` is not the configured user", credential.principal)));
        }
        URL.password_in(&credential.value, &self.user).map_err(|why| failed(&why))
    }
}

#[async_trait]
impl Issuer for Redis {
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
            refusals: vec!["WRONGPASS".to_owned()],
        }
    }

    fn target(&self) -> String {
        self.target_text()
    }

    fn lane(&self) -> (String, Option<u16>) {
        let nodes: Vec<String> = self.nodes.iter().map(Place::words).collect();
        let place = if nodes.is_empty() { format!("of {}", self.admin) } else { nodes.join(", ") };
        (format!("redis {place}"), None)
    }

    async fn check(&self) -> Vec<Check> {
        self.checks().await
    }

    async fn warnings(&self, current: Option<&SecretValue>) -> Vec<String> {
        let mut warnings = self.all_warnings().await;
        if let Some(current) = current {
            warnings.extend(self.leads_elsewhere(current).await);
        }
        warnings
    }

    fn identify(&self, value: &SecretValue) -> Result<Credential, ConnectError> {
        const WHAT: &str = "reading whose credential it is";
        let failed = |detail: &str| self.failed(WHAT, ConnectErrorKind::Denied, detail);
        match URL.user_in(value, &[&self.user]).map_err(|why| failed(&why))? {
            // What a URL names as its user may be a password in the wrong place: it is not repeated.
            Some(user) if user != self.user => {
                return Err(failed(&format!("it is for another user than `{}`", self.user)));
            }
            Some(_) | None => {}
        }
        Ok(Credential { principal: self.user.clone(), value: value.duplicate() })
    }

    async fn choose(&self, old: Option<&Credential>, _tag: &str) -> Result<Credential, ConnectError> {
        const WHAT: &str = "choosing a password";
        let password = password::random()
            .map_err(|detail| self.failed(WHAT, ConnectErrorKind::Transient { retry_after: None }, detail))?;
        let value = if let Some(old) = old {
            drop(self.password(old)?);
            URL.successor(&old.value, &self.user, &password)
        } else {
            let admin = self.context.within(|| self.target_text(), WHAT, self.admin()).await?;
            let scheme = if matches!(admin.door.tls, Tls::No) { "redis" } else { "rediss" };
            let place = admin.places.first().map(Place::words).unwrap_or_default();
            dsn::make(scheme, &self.user, &password, &place)
        };
        Ok(Credential { principal: self.user.clone(), value })
    }

    async fn perform(&self, op: IssuerOp<'_>) -> Performed {
        self.change(op).await.unwrap_or_else(|error| error.outcome()).into()
    }

    async fn observe(&self, op: IssuerOp<'_>) -> Performed {
        self.look(op).await.unwrap_or_else(|error| error.unseen()).into()
    }

    /// Connects to the configured nodes, never to the host inside a leaked URL: that may be a stranger's.
    async fn probe(&self, credential: &Credential) -> Probe {
        self.tried(credential).await.unwrap_or_else(|error| Probe::Inconclusive { reason: error.to_string() })
    }

    async fn elsewhere(&self, credential: &Credential) -> Option<String> {
        self.leads_elsewhere(&credential.value).await
    }

    async fn leads_away(&self, credential: &Credential) -> Option<String> {
        self.elsewhere(credential).await
    }

    async fn control(&self) -> Probe {
        let tried = self.context.within(|| self.target_text(), "trying the administrator", async {
            let admin = self.admin().await?;
            Ok(change::all(&admin, &admin.login).await)
        });
        tried.await.unwrap_or_else(|error| Probe::Inconclusive { reason: error.to_string() })
    }

    async fn sessions(&self, old: &Credential, cutoff: Option<&str>) -> Result<u64, ConnectError> {
        self.live_sessions(old, cutoff).await
    }
}
