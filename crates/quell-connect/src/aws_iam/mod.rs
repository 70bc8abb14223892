//! AWS IAM: access keys of users.
//!
//! A user has at most two keys; AWS makes them and shows the secret once. Sources: IAM API reference (2010-05-08), STS API reference, IAM
//! user guide ("Disabling permissions for temporary security credentials", "Managing access keys"); tried on moto 5.2.5.

mod admin;
mod change;
mod check;
mod config;
mod mint;
mod trail;

use std::fmt;

use async_trait::async_trait;
use quell_core::issuer::{Capabilities, Chooser, ValidAtOnce};
use quell_core::outcome::{Facts, Outcome, Probe};
use quell_core::secret::{Credential, SecretValue};
use serde_json::{Value, json};

use crate::aws::{Cloud, Keys, Layout, Node, Refusal, Service};
use crate::connector::{Check, Definition, Issuer, IssuerOp, Performed};
use crate::context::Context;
use crate::error::{ConfigError, ConnectError, ConnectErrorKind};
use crate::source::SecretSource;

use config::{WhenFull, WhenProven, schemas};

/// AWS IAM.
pub static CONNECTOR: Definition = Definition {
    id: "aws_iam",
    summary: "AWS IAM: access keys of users",
    readme: include_str!("README.md"),
    schemas,
    issuer: Some(build),
    store: None,
    reload: None,
    observe: None,
    notify: None,
    channel: None,
};

/// What STS says of a key that is inactive or gone. Anything else, `AccessDenied` too, comes from a key that lives.
const REFUSAL: &str = "InvalidClientTokenId";

/// The issuer. It holds references only; the administrator's key is read anew for each call.
struct Iam {
    cloud: Cloud,
    admin: SecretSource,
    user: String,
    /// Roles whose older sessions are denied together with the user's.
    roles: Vec<String>,
    when_full: WhenFull,
    when_proven: WhenProven,
    settle_ms: u64,
}

/// Who a key is, as STS says.
struct Caller {
    arn: String,
    account: String,
}

/// How STS answers a key.
enum Known {
    Alive(Caller),
    Refused(Refusal),
}

impl fmt::Debug for Iam {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Iam").field("admin", &self.admin).field("user", &self.user).finish_non_exhaustive()
    }
}

fn build(config: &Value, context: &Context) -> Result<Box<dyn Issuer>, ConfigError> {
    Ok(Box::new(Iam::new(config, context)?))
}

impl Iam {
    /// Asks STS who a key is. That needs no permission and works under an explicit deny: it tells that a key exists and is active, no more.
    async fn ask_sts(&self, keys: &Keys, what: &'static str) -> Result<Known, ConnectError> {
        match self.cloud.query(keys, Service::Sts, what, &[("Action", "GetCallerIdentity")]).await? {
            Ok(said) => {
                let text = |name| said.body.text(&["GetCallerIdentityResult", name]).map(str::to_owned);
                let (Some(arn), Some(account)) = (text("Arn"), text("Account")) else {
                    return Err(self.cloud.odd(what));
                };
                Ok(Known::Alive(Caller { arn, account }))
            }
            Err(refusal) => {
                let error = self.cloud.refused(what, &refusal, "admin");
                let later = matches!(error.kind, ConnectErrorKind::Transient { .. });
                if later { Err(error) } else { Ok(Known::Refused(refusal)) }
            }
        }
    }

    async fn try_key(&self, keys: &Keys) -> Probe {
        match self.ask_sts(keys, "trying the access key").await {
            Ok(Known::Alive(caller)) => {
                let mut facts = Facts::new();
                facts.insert("arn".to_owned(), json!(caller.arn));
                facts.insert("account".to_owned(), json!(caller.account));
                facts
                    .insert("asked".to_owned(), json!("sts:GetCallerIdentity: the key exists and is active"));
                Probe::Accepted { facts }
            }
            Ok(Known::Refused(refusal)) if refusal.code == REFUSAL => {
                Probe::Refused { message: refusal.said(), code: refusal.code }
            }
            // A wrong secret, a wrong clock: the key itself may live.
            Ok(Known::Refused(refusal)) => Probe::Inconclusive { reason: refusal.said() },
            Err(error) => Probe::Inconclusive { reason: error.to_string() },
        }
    }

    fn failed(&self, what: &'static str, kind: ConnectErrorKind, detail: impl Into<String>) -> ConnectError {
        self.cloud.error(what, kind, detail)
    }

    /// The key inside a credential that is to be ended.
    fn key_of(&self, credential: &Credential) -> Result<Keys, ConnectError> {
        const WHAT: &str = "reading the access key";
        let keys = Keys::of_user(&credential.value)
            .map_err(|bad| self.failed(WHAT, ConnectErrorKind::Denied, bad.0))?;
        if keys.id != credential.principal {
            let words = format!("the key in the value is not {}", credential.principal);
            return Err(self.failed(WHAT, ConnectErrorKind::Denied, words));
        }
        Ok(keys)
    }
}

#[async_trait]
impl Issuer for Iam {
    fn capabilities(&self) -> Capabilities {
        Capabilities {
            chooser: Chooser::Issuer,
            valid_at_once: ValidAtOnce::Two,
            sessions_survive: true,
            can_disable: true,
            self_revocable: false,
            can_mint: true,
            can_probe: true,
            settle_ms: self.settle_ms,
            refusals: vec![REFUSAL.to_owned()],
        }
    }

    fn target(&self) -> String {
        format!("{} user {}", self.cloud.name(), self.user)
    }

    /// AWS counts requests by account, and the administrator's key belongs to one.
    fn lane(&self) -> (String, Option<u16>) {
        (format!("{} of {}", self.cloud.name(), self.admin), None)
    }

    async fn check(&self) -> Vec<Check> {
        self.checks().await
    }

    async fn warnings(&self, current: Option<&SecretValue>) -> Vec<String> {
        self.all_warnings(current).await
    }

    fn identify(&self, value: &SecretValue) -> Result<Credential, ConnectError> {
        let keys = Keys::of_user(value)
            .map_err(|bad| self.failed("reading whose credential it is", ConnectErrorKind::Denied, bad.0))?;
        Ok(Credential { principal: keys.id, value: value.duplicate() })
    }

    /// The value is the shape of the old one, without a key in it.
    async fn choose(&self, old: Option<&Credential>, tag: &str) -> Result<Credential, ConnectError> {
        let layout = Layout::of(old.map(|old| &old.value)).map_err(|bad| {
            self.failed("reading the shape of the old value", ConnectErrorKind::Denied, bad.0)
        })?;
        Ok(Credential { principal: tag.to_owned(), value: layout.into_value() })
    }

    async fn perform(&self, op: IssuerOp<'_>) -> Performed {
        let done = match op {
            IssuerOp::Install { new } => self.install(new).await,
            IssuerOp::Disable { old } => self.disable(old).await.map(Performed::from),
            IssuerOp::Sever { old, cutoff } => self.sever(old, cutoff).await.map(Performed::from),
        };
        done.unwrap_or_else(|error| error.outcome().into())
    }

    async fn observe(&self, op: IssuerOp<'_>) -> Performed {
        let seen = match op {
            IssuerOp::Install { new } => self.observe_install(new).await,
            IssuerOp::Disable { old } => self.observe_disable(old).await,
            IssuerOp::Sever { old, cutoff } => self.observe_sever(old, cutoff).await,
        };
        seen.unwrap_or_else(|error| error.unseen()).into()
    }

    fn severs_by_time(&self) -> bool {
        true
    }

    fn retires(&self) -> bool {
        self.when_proven == WhenProven::Delete
    }

    async fn retire(&self, old: &Credential) -> Outcome {
        self.delete(old).await.unwrap_or_else(|error| error.outcome())
    }

    async fn observe_retire(&self, old: &Credential) -> Outcome {
        self.observe_delete(old).await.unwrap_or_else(|error| error.unseen())
    }

    async fn probe(&self, credential: &Credential) -> Probe {
        match self.key_of(credential) {
            Ok(keys) => self.try_key(&keys).await,
            Err(error) => Probe::Inconclusive { reason: error.to_string() },
        }
    }

    async fn control(&self) -> Probe {
        match self.admin().await {
            Ok(admin) => self.try_key(admin.keys()).await,
            Err(error) => Probe::Inconclusive { reason: error.to_string() },
        }
    }

    /// AWS counts no sessions. None can do anything once all that began before are denied and no more can begin.
    async fn sessions(&self, old: &Credential, cutoff: Option<&str>) -> Result<u64, ConnectError> {
        self.live_sessions(old, cutoff).await
    }
}
