//! Keys in an HSM that wrap others, by PKCS#11.
//!
//! What leaks is a key that it wrapped, or the right to use it. Another key of the same label is made in the token, every listed key is unwrapped
//! and wrapped anew inside of it, and the old key may then unwrap no more. It is found by its `CKA_ID`, which a wrapped key names.

mod change;
mod hsm;

use std::path::PathBuf;

use async_trait::async_trait;
use jiff::SignedDuration;
use quell_core::inventory::Place;
use quell_core::issuer::{Capabilities, Chooser, ValidAtOnce};
use quell_core::outcome::{Outcome, Probe};
use quell_core::secret::{Credential, SecretValue};
use serde::Deserialize;
use serde_json::{Value, json};

use crate::connector::{Check, Definition, Issuer, IssuerOp, Opens, Performed};
use crate::context::Context;
use crate::error::{ConfigError, ConnectError, ConnectErrorKind};
use crate::source::SecretSource;
use crate::wrapped::{self, Contents, Deks, Shape};
use hsm::{Failed, Hsm, Wrapped};

/// The registration of this connector.
pub static CONNECTOR: Definition = Definition {
    id: "pkcs11",
    summary: "HSMs by PKCS#11: keys that wrap others as issuer",
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
    module: String,
    token: String,
    pin: SecretSource,
    key: String,
    #[serde(default)]
    deks: Vec<Value>,
    #[serde(default)]
    contents: Contents,
    /// Destroys the old key after the proof.
    #[serde(default)]
    destroy: bool,
    settle: Option<SignedDuration>,
}

/// The issuer. It holds references only; the PIN is read anew for each call.
struct Keys {
    context: Context,
    module: PathBuf,
    token: String,
    pin: SecretSource,
    key: String,
    deks: Deks,
    contents: Contents,
    destroy: bool,
    settle_ms: u64,
}

/// A token is one place; several that are kept alike are not seen from here.
const SETTLE_MS: u64 = 1000;

/// The key may not unwrap any more.
const OFF: &str = "CKR_KEY_FUNCTION_NOT_PERMITTED";
/// The key is not in the token any more.
const GONE: &str = "no such key";

const SHAPE: Shape =
    Shape { fits: |value| Wrapped::parse(value).is_some(), like: "CKA_ID in hexadecimal, a colon, base64" };

fn schemas() -> Vec<(&'static str, Value)> {
    let text = |description: &str| json!({ "type": "string", "minLength": 1, "description": description });
    let mut properties = wrapped::schema();
    if let Some(properties) = properties.as_object_mut() {
        let more = json!({
            "module": text("The maker's module: /usr/lib/softhsm/libsofthsm2.so"),
            "token": text("The label of the token: orders"),
            "pin": text("A reference to the user's PIN: openbao:kv/infra/hsm#pin"),
            "key": text("The label of the keys that wrap (CKA_LABEL): orders-kek"),
            "destroy": {
                "type": "boolean",
                "default": false,
                "description": "Destroys the old key after the proof; what was not listed is then lost for good",
            },
            "settle": text("How long a change takes to bind where tokens are kept alike: 1s (the default)"),
        });
        properties.extend(more.as_object().cloned().unwrap_or_default());
    }
    let issuer = json!({
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "title": "PKCS#11 tokens as issuer of wrapped keys",
        "type": "object",
        "additionalProperties": false,
        "required": ["module", "token", "pin", "key"],
        "properties": properties,
    });
    vec![("issuer", issuer)]
}

fn build(config: &Value, context: &Context) -> Result<Box<dyn Issuer>, ConfigError> {
    let config: Config = ConfigError::parse(config)?;
    for (key, given) in [("module", &config.module), ("token", &config.token), ("key", &config.key)] {
        if given.is_empty() {
            return Err(ConfigError::at(key, "it is empty", "Name it as the HSM's own tools do."));
        }
    }
    Ok(Box::new(Keys {
        context: context.clone(),
        module: context.path(&config.module),
        token: config.token,
        pin: config.pin,
        key: config.key,
        deks: Deks::build(&config.deks, SHAPE, context)?,
        contents: config.contents,
        destroy: config.destroy,
        settle_ms: ConfigError::settle_ms(config.settle, SETTLE_MS)?,
    }))
}

impl Keys {
    fn name(&self) -> String {
        format!("pkcs11 {}", self.token)
    }

    fn error(&self, what: &'static str, kind: ConnectErrorKind, words: impl Into<String>) -> ConnectError {
        ConnectError::new(self.name(), what, kind, words)
    }

    fn parse(&self, value: &SecretValue) -> Result<Wrapped, ConnectError> {
        let words =
            format!("the value is not a wrapped key ({}): name the part of the store that is", SHAPE.like);
        Wrapped::parse(value)
            .ok_or_else(|| self.error("reading the wrapped key", ConnectErrorKind::Denied, words))
    }

    /// Does something in a session of its own, on a thread that may block: a module knows no limits.
    async fn with<T: Send + 'static>(
        &self,
        what: &'static str,
        work: impl FnOnce(&Hsm) -> Result<T, Failed> + Send + 'static,
    ) -> Result<T, ConnectError> {
        let pin = self.pin.resolve(&self.context).await?;
        let (module, token, key) = (self.module.clone(), self.token.clone(), self.key.clone());
        let working = tokio::task::spawn_blocking(move || work(&Hsm::open(&module, &token, &pin, &key)?));
        let lost = |_| self.error(what, ConnectErrorKind::Lost, "the module ended the work");
        let done = self.context.within(|| self.name(), what, async { working.await.map_err(lost) }).await?;
        done.map_err(|failed| self.error(what, failed.kind, failed.words))
    }
}

#[async_trait]
impl Issuer for Keys {
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
            refusals: vec![OFF.to_owned(), GONE.to_owned()],
        }
    }

    fn target(&self) -> String {
        format!("{} {}", self.name(), self.key)
    }

    fn lane(&self) -> (String, Option<u16>) {
        // One user of a token does one thing after the other.
        (format!("pkcs11 {} of {}", self.token, self.module.display()), Some(1))
    }

    async fn check(&self) -> Vec<Check> {
        self.checks().await
    }

    async fn warnings(&self, _current: Option<&SecretValue>) -> Vec<String> {
        let mut warnings = self.contents.warnings(&self.key);
        warnings.push(format!(
            "whatever `{}` wrapped and is neither in `stores` nor in `deks` cannot be opened any more once the old key may not unwrap; that can be \
             undone until it is destroyed",
            self.key
        ));
        if !self.destroy {
            warnings.push(
                "the old key is kept, and may not unwrap: whoever may change it can take it back; `destroy: true` destroys it".to_owned(),
            );
        }
        warnings.push(
            "copies of the token (clones, backups, other members of a cluster) keep the old key as it was"
                .to_owned(),
        );
        warnings
    }

    fn identify(&self, value: &SecretValue) -> Result<Credential, ConnectError> {
        self.parse(value)?;
        Ok(Credential { principal: self.key.clone(), value: value.duplicate() })
    }

    async fn choose(&self, old: Option<&Credential>, tag: &str) -> Result<Credential, ConnectError> {
        let words = "a store must hold what the key wrapped, so that it can be wrapped anew";
        let denied = || self.error("choosing the successor", ConnectErrorKind::Denied, words);
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
        self.destroy
    }

    async fn retire(&self, old: &Credential) -> Outcome {
        self.destroyed(old, true).await.unwrap_or_else(|error| error.outcome())
    }

    async fn observe_retire(&self, old: &Credential) -> Outcome {
        self.destroyed(old, false).await.unwrap_or_else(|error| error.unseen())
    }

    /// It is unwrapped inside of the token, where it stays.
    async fn probe(&self, credential: &Credential) -> Probe {
        let tried = self.tried(&credential.value).await;
        tried.unwrap_or_else(|error| Probe::Inconclusive { reason: error.to_string() })
    }

    async fn control(&self) -> Probe {
        self.try_control().await.unwrap_or_else(|error| Probe::Inconclusive { reason: error.to_string() })
    }

    async fn sessions(&self, _old: &Credential, _cutoff: Option<&str>) -> Result<u64, ConnectError> {
        self.with("looking at the token", Hsm::keys).await?;
        Ok(0)
    }

    fn knows_what_it_opens(&self) -> bool {
        true
    }

    async fn opens(&self, _old: &Credential, places: &[Place]) -> Result<Opens, ConnectError> {
        Ok(self.contents.opens(&self.key, places))
    }
}
