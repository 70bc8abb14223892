//! AWS KMS: a key that wraps others as issuer.
//!
//! What leaks is a key that it wrapped, or the right to use it. To rotate a KMS key changes nothing of that: older material goes on opening what it wrapped
//! (KMS developer guide, "Rotate keys"). So another key takes its place behind the alias, every listed key is wrapped anew by KMS
//! (`ReEncrypt`: what is inside never comes here), and the old key is disabled. Sources: KMS API reference and developer guide ("Key states"), 2026-11.

mod change;
mod key;

use async_trait::async_trait;
use jiff::SignedDuration;
use quell_core::inventory::Place;
use quell_core::issuer::{Capabilities, Chooser, ValidAtOnce};
use quell_core::outcome::{Outcome, Probe};
use quell_core::secret::{Credential, SecretValue};
use serde::Deserialize;
use serde_json::{Map, Value, json};

use crate::aws::{Cloud, cloud_properties};
use crate::connector::{Check, Definition, Issuer, IssuerOp, Opens, Performed};
use crate::context::Context;
use crate::error::{ConfigError, ConnectError, ConnectErrorKind};
use crate::source::SecretSource;
use crate::wrapped::{self, Contents, Deks, Shape};

/// The registration of this connector.
pub static CONNECTOR: Definition = Definition {
    id: "aws_kms",
    summary: "AWS KMS: keys that wrap others as issuer",
    readme: include_str!("README.md"),
    schemas,
    issuer: Some(build),
    store: None,
    reload: None,
    observe: None,
    notify: None,
    channel: None,
};

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Config {
    admin: SecretSource,
    alias: String,
    #[serde(default)]
    deks: Vec<Value>,
    #[serde(default)]
    contents: Contents,
    /// The encryption context of every wrapped key.
    #[serde(default)]
    context: Map<String, Value>,
    /// After so many days the old key is deleted.
    delete_after_days: Option<u8>,
    region: Option<String>,
    endpoint: Option<String>,
    settle: Option<SignedDuration>,
}

/// The issuer. It holds references only; the access key is read anew for each call.
struct Kms {
    cloud: Cloud,
    admin: SecretSource,
    alias: String,
    deks: Deks,
    contents: Contents,
    context: Map<String, Value>,
    delete_after_days: Option<u8>,
    settle_ms: u64,
}

/// How long a change takes to bind, when the inventory does not say ("eventual consistency", most within seconds).
const SETTLE_MS: u64 = 15_000;

/// Refusals of a key that is off, or about to be deleted (KMS developer guide, "Key states").
const DISABLED: &str = "DisabledException";
const PENDING: &str = "KMSInvalidStateException";

/// `CiphertextBlob`, as the API gives it.
const SHAPE: Shape = Shape { fits: is_blob, like: "base64 of a CiphertextBlob" };

fn is_blob(value: &SecretValue) -> bool {
    use base64::Engine as _;
    // No wrapped key is shorter than what wraps it.
    base64::engine::general_purpose::STANDARD.decode(value.expose()).is_ok_and(|bytes| bytes.len() >= 44)
}

fn schemas() -> Vec<(&'static str, Value)> {
    let mut properties = wrapped::schema();
    if let Some(properties) = properties.as_object_mut() {
        let more = json!({
            "admin": {
                "type": "string",
                "description": "Reference to an access key that may change the key: openbao:…, file:…, env:…, exec:aws configure export-credentials",
            },
            "alias": {
                "type": "string",
                "pattern": "^alias/[A-Za-z0-9/_-]{1,250}$",
                "description": "The alias that consumers wrap with: alias/orders",
            },
            "context": {
                "type": "object",
                "additionalProperties": { "type": "string" },
                "description": "The encryption context of the wrapped keys, when they have one",
            },
            "delete_after_days": {
                "type": "integer",
                "minimum": 7,
                "maximum": 30,
                "description": "Has the old key deleted so many days after the proof; without it, it stays disabled",
            },
            "settle": { "type": "string", "description": "How long a change takes to bind: 30s (15s)" },
        });
        properties.extend(more.as_object().cloned().unwrap_or_default());
        properties.extend(cloud_properties().map(|(name, property)| (name.to_owned(), property)));
    }
    let issuer = json!({
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "title": "AWS KMS as issuer of wrapped keys",
        "type": "object",
        "additionalProperties": false,
        "required": ["admin", "alias"],
        "properties": properties,
    });
    vec![("issuer", issuer)]
}

fn build(config: &Value, context: &Context) -> Result<Box<dyn Issuer>, ConfigError> {
    let config: Config = ConfigError::parse(config)?;
    let name = config.alias.strip_prefix("alias/").unwrap_or_default();
    let fits = |c: char| c.is_ascii_alphanumeric() || "/_-".contains(c);
    if name.is_empty() || name.len() > 250 || !name.chars().all(fits) || name.starts_with("aws/") {
        let hint = "Write the alias of a key of your own, such as alias/orders.";
        return Err(ConfigError::at("alias", "not the alias of a key that can be changed", hint));
    }
    if config.delete_after_days.is_some_and(|days| !(7..=30).contains(&days)) {
        return Err(ConfigError::at("delete_after_days", "KMS waits 7 to 30 days", "Write such a number."));
    }
    if !config.context.values().all(Value::is_string) {
        return Err(ConfigError::at(
            "context",
            "it holds something else than text",
            "Write names and texts.",
        ));
    }
    Ok(Box::new(Kms {
        cloud: Cloud::new(context, config.region, config.endpoint)?,
        admin: config.admin,
        alias: config.alias,
        deks: Deks::build(&config.deks, SHAPE, context)?,
        contents: config.contents,
        context: config.context,
        delete_after_days: config.delete_after_days,
        settle_ms: ConfigError::settle_ms(config.settle, SETTLE_MS)?,
    }))
}

#[async_trait]
impl Issuer for Kms {
    fn capabilities(&self) -> Capabilities {
        Capabilities {
            chooser: Chooser::Issuer,
            valid_at_once: ValidAtOnce::Many,
            sessions_survive: false,
            // What only the old key opens would be out of reach: there must be another first.
            can_disable: false,
            self_revocable: false,
            can_mint: true,
            can_probe: true,
            settle_ms: self.settle_ms,
            refusals: vec![DISABLED.to_owned(), PENDING.to_owned()],
        }
    }

    fn target(&self) -> String {
        format!("{} kms {}", self.cloud.name(), self.alias)
    }

    fn lane(&self) -> (String, Option<u16>) {
        (format!("{} kms by {}", self.cloud.name(), self.admin), None)
    }

    async fn check(&self) -> Vec<Check> {
        self.checks().await
    }

    async fn warnings(&self, _current: Option<&SecretValue>) -> Vec<String> {
        let mut warnings = self.contents.warnings(&self.alias);
        warnings.push(format!(
            "whatever the key behind `{}` wrapped and is neither in `stores` nor in `deks` (volumes, buckets and tables of AWS, too) cannot be opened \
             once it is disabled; EnableKey undoes that until it is deleted",
            self.alias
        ));
        warnings.push(
            "grants of the old key are not made for the new one; its policy is, and statements that name the old key's ARN need a look".to_owned(),
        );
        if self.delete_after_days.is_none() {
            warnings.push(
                "the old key stays disabled: whoever may enable keys can take it back; `delete_after_days` deletes it".to_owned(),
            );
        }
        warnings
    }

    fn identify(&self, value: &SecretValue) -> Result<Credential, ConnectError> {
        self.blob(value)?;
        Ok(Credential { principal: self.alias.clone(), value: value.duplicate() })
    }

    async fn choose(&self, old: Option<&Credential>, tag: &str) -> Result<Credential, ConnectError> {
        let words = "a store must hold what the key wrapped, so that it can be wrapped anew";
        let denied = || self.cloud.error("choosing the successor", ConnectErrorKind::Denied, words);
        Ok(wrapped::ask_for(old.ok_or_else(denied)?, tag))
    }

    async fn perform(&self, op: IssuerOp<'_>) -> Performed {
        let done = match op {
            IssuerOp::Install { new } => self.install(new).await,
            IssuerOp::Disable { old } => self.disable(old).await.map(Performed::from),
            // Nothing is opened with a wrapped key but the key inside.
            IssuerOp::Sever { .. } => return self.observe(op).await,
        };
        done.unwrap_or_else(|error| error.outcome().into())
    }

    async fn observe(&self, op: IssuerOp<'_>) -> Performed {
        let seen = match op {
            IssuerOp::Install { new } => self.observe_install(new).await,
            IssuerOp::Disable { old } | IssuerOp::Sever { old, .. } => self.observe_disable(old).await,
        };
        seen.unwrap_or_else(|error| error.unseen()).into()
    }

    fn retires(&self) -> bool {
        self.delete_after_days.is_some()
    }

    async fn retire(&self, _old: &Credential) -> Outcome {
        self.delete(true).await.unwrap_or_else(|error| error.outcome())
    }

    async fn observe_retire(&self, _old: &Credential) -> Outcome {
        self.delete(false).await.unwrap_or_else(|error| error.unseen())
    }

    /// KMS opens it and wraps it with the key behind the alias: what is inside stays there.
    async fn probe(&self, credential: &Credential) -> Probe {
        let tried = self.tried(&credential.value).await;
        tried.unwrap_or_else(|error| Probe::Inconclusive { reason: error.to_string() })
    }

    async fn control(&self) -> Probe {
        self.try_control().await.unwrap_or_else(|error| Probe::Inconclusive { reason: error.to_string() })
    }

    async fn sessions(&self, _old: &Credential, _cutoff: Option<&str>) -> Result<u64, ConnectError> {
        let admin = self.cloud.keys(&self.admin).await?;
        self.behind_alias(&admin, "asking for the key").await?;
        Ok(0)
    }

    fn knows_what_it_opens(&self) -> bool {
        true
    }

    async fn opens(&self, _old: &Credential, places: &[Place]) -> Result<Opens, ConnectError> {
        Ok(self.contents.opens(&self.alias, places))
    }
}
