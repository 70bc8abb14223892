//! Keys of a service account of Google Cloud.
//!
//! Google makes them and gives the file once; an account has ten at most. Source: IAM REST reference v1 (`projects.serviceAccounts.keys`: create, list,
//! disable, delete; `disableReason`), "Using OAuth 2.0 for Server to Server Applications", read 2026-11. "Deleting a service account key does not
//! revoke short-lived credentials that were issued based on the key": they live on for an hour at most, and that is said.

mod admin;
mod change;
mod mint;

use std::fmt;

use async_trait::async_trait;
use jiff::SignedDuration;
use quell_core::issuer::{Capabilities, Chooser, ValidAtOnce};
use quell_core::outcome::{Facts, Outcome, Probe};
use quell_core::secret::{Credential, SecretValue};
use serde::Deserialize;
use serde_json::{Value, json};

use crate::connector::{Check, Definition, Issuer, IssuerOp, Performed};
use crate::context::Context;
use crate::effect::tokens_are_over;
use crate::error::{ConfigError, ConnectError, ConnectErrorKind};
use crate::gcp::{Cloud, Key, endpoint_schema};
use crate::source::SecretSource;

/// Keys of service accounts.
pub static CONNECTOR: Definition = Definition {
    id: "gcp_service_account_key",
    summary: "Google Cloud: keys of a service account",
    readme: include_str!("README.md"),
    schemas,
    issuer: Some(build),
    store: None,
    reload: None,
    observe: None,
    notify: None,
    channel: None,
};

/// What the token endpoint says of a grant whose key is disabled, deleted or another one.
const REFUSAL: (&str, &str) = ("invalid_grant", "Invalid JWT Signature.");

/// How long a change takes to bind, when the inventory does not say: IAM is eventually consistent, "typically 2 minutes" ("Access change
/// propagation").
const SETTLE_MS: u64 = 120_000;

/// How long an access token lives ("Create a short-lived access token"), when the inventory does not say.
const TOKEN_LIFE: SignedDuration = SignedDuration::from_hours(1);

/// What is said of what was issued with the key before.
const TOKENS: &str = "access tokens that were issued with the key live on for an hour at most (twelve, where the organization extended that); Google \
                      revokes none of them: disable the account, or take its roles away, if that is too long";

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Config {
    admin: SecretSource,
    account: String,
    control: Option<SecretSource>,
    endpoint: Option<String>,
    #[serde(default)]
    when_proven: WhenProven,
    settle: Option<SignedDuration>,
    token_life: Option<SignedDuration>,
}

/// What becomes of the leaked key when it is proven dead.
#[derive(Clone, Copy, Debug, Default, Deserialize, Eq, PartialEq)]
#[serde(rename_all = "snake_case")]
enum WhenProven {
    #[default]
    Delete,
    Keep,
}

/// The issuer. It holds references only.
struct ServiceAccount {
    cloud: Cloud,
    admin: SecretSource,
    control: Option<SecretSource>,
    account: String,
    when_proven: WhenProven,
    settle_ms: u64,
    token_life: SignedDuration,
}

impl fmt::Debug for ServiceAccount {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ServiceAccount").field("account", &self.account).finish_non_exhaustive()
    }
}

fn schemas() -> Vec<(&'static str, Value)> {
    let schema = json!({
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "title": "Google Cloud IAM as issuer of service accounts' keys",
        "type": "object",
        "additionalProperties": false,
        "required": ["admin", "account"],
        "properties": {
            "admin": { "type": "string", "description": "Reference to the key file of another service account, or to an access token (then `control` is needed)" },
            "account": { "type": "string", "format": "email", "description": "The service account whose keys are rotated: orders@acme-prod.iam.gserviceaccount.com" },
            "control": { "type": "string", "description": "Reference to a key file that is known to be good, for the proof; without it the one of `admin`" },
            "endpoint": endpoint_schema(),
            "when_proven": { "enum": ["delete", "keep"], "default": "delete", "description": "What becomes of the leaked key in the end: deleted, or kept disabled" },
            "settle": { "type": "string", "description": "How long a change takes to bind: 30s (2m)" },
            "token_life": { "type": "string", "description": "How long access tokens live that were issued with the key; nothing is proven until they are over: 12h, 0s to wait for none (1h)" },
        },
    });
    vec![("issuer", schema)]
}

fn build(config: &Value, context: &Context) -> Result<Box<dyn Issuer>, ConfigError> {
    let Config { admin, account, control, endpoint, when_proven, settle, token_life } =
        ConfigError::parse(config)?;
    let fits = |b: u8| b.is_ascii_lowercase() || b.is_ascii_digit() || b"-.@:".contains(&b);
    if account.split_once('@').is_none_or(|(name, host)| name.is_empty() || host.is_empty())
        || !account.bytes().all(fits)
    {
        let hint = "Write its address: orders@acme-prod.iam.gserviceaccount.com.";
        return Err(ConfigError::at("account", "not a service account", hint));
    }
    let settle_ms = ConfigError::settle_ms(settle, SETTLE_MS)?;
    let token_life = ConfigError::token_life(token_life, TOKEN_LIFE)?;
    let cloud = Cloud::new(context, "iam", endpoint.as_deref())?;
    Ok(Box::new(ServiceAccount { cloud, admin, control, account, when_proven, settle_ms, token_life }))
}

impl ServiceAccount {
    fn failed(&self, what: &'static str, kind: ConnectErrorKind, detail: impl Into<String>) -> ConnectError {
        ConnectError::new(self.target(), what, kind, detail)
    }

    /// The key in a value, which must be one of this account.
    fn key_in(&self, what: &'static str, value: &SecretValue) -> Result<Key, ConnectError> {
        let key = Key::of(value).map_err(|words| self.failed(what, ConnectErrorKind::Denied, words))?;
        if key.email != self.account {
            let words =
                format!("the key is of {}, and not of {}", crate::words::one_line(&key.email), self.account);
            return Err(self.failed(what, ConnectErrorKind::Denied, words));
        }
        Ok(key)
    }

    async fn try_key(&self, key: &Key) -> Probe {
        match self.cloud.exchange("trying the key", key).await {
            Ok(Ok(_token)) => {
                let mut facts = Facts::new();
                facts.insert("account".to_owned(), json!(key.email));
                facts.insert("asked".to_owned(), json!("a signed grant was exchanged for an access token"));
                Probe::Accepted { facts }
            }
            Ok(Err(refusal)) if (refusal.error.as_str(), refusal.description.as_str()) == REFUSAL => {
                Probe::Refused { code: refusal.error, message: refusal.description }
            }
            // A wrong clock, an account that is gone: the key itself may live.
            Ok(Err(refusal)) => Probe::Inconclusive { reason: refusal.said() },
            Err(error) => Probe::Inconclusive { reason: error.to_string() },
        }
    }

    async fn try_control(&self) -> Result<Probe, ConnectError> {
        let source = self.control.as_ref().unwrap_or(&self.admin);
        let value = source.resolve(self.cloud.context()).await?;
        let key = Key::of(&value).map_err(|words| {
            let hint = "a control must be the key file of another service account: set `control`";
            let detail = format!("{words}; {hint}");
            ConnectError::new(source.to_string(), "reading the control", ConnectErrorKind::Denied, detail)
        })?;
        Ok(self.try_key(&key).await)
    }
}

#[async_trait]
impl Issuer for ServiceAccount {
    fn capabilities(&self) -> Capabilities {
        Capabilities {
            chooser: Chooser::Issuer,
            valid_at_once: ValidAtOnce::Many,
            // Access tokens live on, and nobody can end them: that is a warning, not a step.
            sessions_survive: false,
            can_disable: true,
            self_revocable: false,
            can_mint: true,
            can_probe: true,
            settle_ms: self.settle_ms,
            refusals: vec![REFUSAL.0.to_owned()],
        }
    }

    fn target(&self) -> String {
        format!("{} account {}", self.cloud.name(), self.account)
    }

    /// IAM counts writes by project, and the administrator belongs to one.
    fn lane(&self) -> (String, Option<u16>) {
        (format!("{} of {}", self.cloud.name(), self.admin), None)
    }

    async fn check(&self) -> Vec<Check> {
        self.checks().await
    }

    async fn warnings(&self, _current: Option<&SecretValue>) -> Vec<String> {
        vec![TOKENS.to_owned()]
    }

    fn identify(&self, value: &SecretValue) -> Result<Credential, ConnectError> {
        let key = self.key_in("reading whose key it is", value)?;
        Ok(Credential { principal: key.id, value: value.duplicate() })
    }

    async fn choose(&self, old: Option<&Credential>, tag: &str) -> Result<Credential, ConnectError> {
        Ok(Credential { principal: tag.to_owned(), value: mint::layout_of(old).into_value() })
    }

    async fn perform(&self, op: IssuerOp<'_>) -> Performed {
        let done = match op {
            IssuerOp::Install { new } => self.install(new).await,
            IssuerOp::Disable { old } => self.disable(old).await.map(Performed::from),
            IssuerOp::Sever { old, .. } => self.observe_sever(old).await.map(Performed::from),
        };
        done.unwrap_or_else(|error| error.outcome().into())
    }

    async fn observe(&self, op: IssuerOp<'_>) -> Performed {
        let seen = match op {
            IssuerOp::Install { new } => self.observe_install(new).await,
            IssuerOp::Disable { old } => self.observe_disable(old).await,
            IssuerOp::Sever { old, .. } => self.observe_sever(old).await,
        };
        seen.unwrap_or_else(|error| error.unseen()).into()
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
        match self.key_in("reading the key", &credential.value) {
            Ok(key) => self.try_key(&key).await,
            Err(error) => Probe::Inconclusive { reason: error.to_string() },
        }
    }

    async fn control(&self) -> Probe {
        self.try_control().await.unwrap_or_else(|error| Probe::Inconclusive { reason: error.to_string() })
    }

    /// Tokens are known by when they were issued alone.
    fn severs_by_time(&self) -> bool {
        true
    }

    /// Google counts none: until those from before are over it cannot be said that there is none.
    async fn sessions(&self, old: &Credential, cutoff: Option<&str>) -> Result<u64, ConnectError> {
        // A key that is in force could begin new ones.
        match self.observe_disable(old).await? {
            Outcome::Applied { .. } => tokens_are_over(&self.target(), cutoff, self.token_life).map(|()| 0),
            Outcome::NotApplied { .. } | Outcome::Unknown { .. } => Ok(1),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bad_configurations_name_the_key() {
        let http = crate::http::Client::new(std::time::Duration::from_secs(1), None).unwrap();
        let context = Context::new(std::path::PathBuf::from("/x"), http);
        let ok = json!({ "admin": "env:A", "account": "orders@acme-prod.iam.gserviceaccount.com", "settle": "1s" });
        let target = build(&ok, &context).unwrap().target();
        assert_eq!(target, "gcp https://iam.googleapis.com account orders@acme-prod.iam.gserviceaccount.com");
        for (key, value) in [
            ("account", "orders"),
            ("account", "@x"),
            ("account", "a/b@x"),
            ("settle", "-1s"),
            ("endpoint", "ftp://x"),
        ] {
            let mut config = ok.clone();
            config[key] = json!(value);
            assert_eq!(build(&config, &context).err().unwrap().key.as_deref(), Some(key), "{config}");
        }
    }
}
