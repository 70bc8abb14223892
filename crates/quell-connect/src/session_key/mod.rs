//! Keys with which sessions are signed and verified alike: of tokens (HS256), and of the cookies of Flask.
//!
//! Services read a list of them: the first one signs, all of them verify. Who holds one is whoever he says he is, so a leaked one is taken out
//! before its successor is put in, as with [`crate::jwks`].

mod list;

use std::collections::BTreeMap;
use std::fmt;

use async_trait::async_trait;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use jiff::{SignedDuration, Timestamp};
use quell_core::issuer::{Capabilities, Chooser, Overlap, ValidAtOnce};
use quell_core::outcome::{Facts, Outcome, Probe};
use quell_core::secret::{Credential, SecretValue};
use serde::Deserialize;
use serde_json::{Map, Value, json};
use zeroize::Zeroizing;

use crate::connector::{Check, Definition, Issuer, IssuerOp, Performed, Store, Stored};
use crate::context::Context;
use crate::effect::{facts, not_yet};
use crate::error::{ConfigError, ConnectError, ConnectErrorKind};
use crate::jwks::NO_OVERLAP;
use crate::jwks::canary::{Canary, Form};
use crate::jwks::config::{SETTLE_MS, VerifierConfig, doors, store, verifiers};
use crate::jwks::door::{self, Answers, Canaries, Door};
use crate::source::SecretSource;
use crate::webhook::sign::wall_clock;

use list::{List, Shape};

/// Session keys.
pub static CONNECTOR: Definition = Definition {
    id: "session_key",
    summary: "Keys that sessions are signed with (HS256, Flask), and every service that verifies by them",
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
    keys: BTreeMap<String, Value>,
    #[serde(default)]
    list: Shape,
    #[serde(default)]
    encoding: Encoding,
    #[serde(default)]
    form: Kind,
    verifiers: Vec<VerifierConfig>,
    #[serde(default)]
    claims: Map<String, Value>,
    control: Option<SecretSource>,
    settle: Option<SignedDuration>,
}

/// What the key is, of the text that is kept.
#[derive(Clone, Copy, Debug, Default, Deserialize, Eq, PartialEq)]
#[serde(rename_all = "snake_case")]
enum Encoding {
    Base64,
    Hex,
    #[default]
    Text,
}

impl Encoding {
    fn decoded(self, text: &str) -> Option<Zeroizing<Vec<u8>>> {
        let bytes = match self {
            Self::Base64 => STANDARD.decode(text).ok(),
            Self::Hex => hex::decode(text).ok(),
            Self::Text => Some(text.as_bytes().to_vec()),
        };
        bytes.map(Zeroizing::new)
    }

    fn encoded(self, bytes: &[u8]) -> Zeroizing<String> {
        Zeroizing::new(match self {
            Self::Base64 => STANDARD.encode(bytes),
            Self::Hex | Self::Text => hex::encode(bytes),
        })
    }
}

/// What is signed with it.
#[derive(Clone, Copy, Debug, Default, Deserialize, Eq, PartialEq)]
#[serde(rename_all = "snake_case")]
enum Kind {
    Flask,
    #[default]
    Jwt,
}

/// The issuer.
struct SessionKey {
    context: Context,
    keys: Box<dyn Store>,
    shape: Shape,
    encoding: Encoding,
    kind: Kind,
    doors: Vec<Door>,
    control: Option<SecretSource>,
    settle_ms: u64,
    /// The inventory says how long services keep a copy.
    settled: bool,
}

/// Nothing of such a key may be shown, not even a digest: many are words.
const PRINCIPAL: &str = "session key";

/// Why a place without a list is a mistake: a kill there would change nothing.
const NO_LIST: &str = "there is none: correct `keys`, which must be the list that services read";

impl fmt::Debug for SessionKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SessionKey").field("doors", &self.doors).finish_non_exhaustive()
    }
}

fn schemas() -> Vec<(&'static str, Value)> {
    let schema = json!({
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "title": "Session keys as issuer",
        "type": "object",
        "additionalProperties": false,
        "required": ["keys", "verifiers"],
        "properties": {
            "keys": {
                "type": "object", "minProperties": 1, "maxProperties": 1,
                "description": "The list that services read, newest first: a store, such as { env_file: { path: app.env, key: SESSION_KEYS } }",
            },
            "list": { "enum": ["lines", "commas", "json"], "default": "lines", "description": "How the list is written" },
            "encoding": { "enum": ["text", "base64", "hex"], "default": "text", "description": "What the key is, of the text that is kept" },
            "form": { "enum": ["jwt", "flask"], "default": "jwt", "description": "What is signed with it: tokens with HS256, or the session cookies of Flask" },
            "verifiers": verifiers(),
            "claims": { "type": "object", "description": "Claims of every canary, or what is in a session" },
            "control": { "type": "string", "description": "Reference to another key of the list, for a proof before the successor exists" },
            "settle": { "type": "string", "description": "How long services keep a copy of the list at most: 10m (1s)" },
        },
    });
    vec![("issuer", schema)]
}

fn build(config: &Value, context: &Context) -> Result<Box<dyn Issuer>, ConfigError> {
    let config: Config = ConfigError::parse(config)?;
    Ok(Box::new(SessionKey {
        context: context.clone(),
        keys: store("keys", &config.keys, context)?,
        shape: config.list,
        encoding: config.encoding,
        kind: config.form,
        doors: doors(config.verifiers, &config.claims, context)?,
        control: config.control,
        settled: config.settle.is_some(),
        settle_ms: ConfigError::settle_ms(config.settle, SETTLE_MS)?,
    }))
}

impl SessionKey {
    fn failed(&self, what: &'static str, kind: ConnectErrorKind, detail: impl Into<String>) -> ConnectError {
        ConnectError::new(self.target(), what, kind, detail)
    }

    /// The bytes that sign.
    fn bytes(&self, value: &SecretValue) -> Result<Zeroizing<Vec<u8>>, ConnectError> {
        let failed = |why| self.failed("reading the key", ConnectErrorKind::Denied, why);
        let text = value.expose_text().ok_or_else(|| failed("it is not text"))?;
        if text.contains("-----BEGIN") || text.starts_with('{') {
            return Err(failed(
                "it is a key pair or a document, and no key that is shared; a key pair is the issuer `jwks`'s",
            ));
        }
        if text.is_empty() || text.contains('\n') || text.starts_with('[') {
            return Err(failed("it is empty or a list, and not one key"));
        }
        self.encoding.decoded(text).ok_or_else(|| failed("it is not written as `encoding` says"))
    }

    async fn list(&self) -> Result<(Option<Stored>, List), ConnectError> {
        let Some(stored) = self.keys.read().await? else {
            return Ok((None, List::empty(self.shape, self.encoding)));
        };
        let failed = |why| self.failed("reading the list", ConnectErrorKind::Unexpected, why);
        let list = List::read(&stored.value, self.shape, self.encoding).map_err(failed)?;
        Ok((Some(stored), list))
    }

    async fn write(&self, stored: Option<&Stored>, list: &List) -> Outcome {
        match stored {
            Some(stored) => self.keys.swap(&stored.version, &list.value()).await,
            None => self.keys.write(&list.value()).await,
        }
    }

    async fn change(&self, op: IssuerOp<'_>) -> Result<Outcome, ConnectError> {
        let done = match op {
            IssuerOp::Install { new } => {
                self.bytes(&new.value)?;
                let (stored, mut list) = self.list().await?;
                if !list.holds(&new.value) {
                    if let Err(why) = list.add(new.value.expose_text().unwrap_or_default()) {
                        return Ok(Outcome::refused(format!("{}: {why}", self.target())));
                    }
                    let written = self.write(stored.as_ref(), &list).await;
                    if !written.is_applied() {
                        return Ok(written);
                    }
                }
                Facts::new()
            }
            IssuerOp::Disable { old } => {
                self.bytes(&old.value)?;
                let (stored, mut list) = self.list().await?;
                if stored.is_none() {
                    return Err(self.failed("reading the list", ConnectErrorKind::Missing, NO_LIST));
                }
                let failed = |why| {
                    self.failed("taking the key out", ConnectErrorKind::Transient { retry_after: None }, why)
                };
                let found = list.drop_key(&old.value).map_err(failed)?;
                if found {
                    let written = self.write(stored.as_ref(), &list).await;
                    if !written.is_applied() {
                        return Ok(written);
                    }
                }
                facts([("already", (!found).into())])
            }
            // A session is good for as long as its key is.
            IssuerOp::Sever { .. } => return self.look(op).await,
        };
        Ok(door::told(self, &self.doors, op, done).await)
    }

    async fn look(&self, op: IssuerOp<'_>) -> Result<Outcome, ConnectError> {
        let (_, list) = self.list().await?;
        Ok(match op {
            IssuerOp::Install { new } if !list.holds(&new.value) => {
                Outcome::retry("the list does not have the key")
            }
            IssuerOp::Install { new } => {
                let answers = self.tried(&new.value).await?;
                answers.installed(answers.evidence())
            }
            IssuerOp::Disable { old } | IssuerOp::Sever { old, .. } => {
                let answers = self.tried(&old.value).await?;
                if list.holds(&old.value) {
                    return Ok(not_yet("the list still has the key", answers.evidence()));
                }
                let why = "the list does not have it, but the copy that is kept there has, or it is there from elsewhere; give it a `refresh`, or a `settle` as long as it keeps one";
                answers.disabled(why, answers.evidence())
            }
        })
    }

    fn canary(&self, form: &Form, key: &[u8], now: Timestamp) -> Result<Canary, &'static str> {
        match self.kind {
            Kind::Flask => form.flask(key, now),
            Kind::Jwt => form.shared(key, None, now),
        }
    }

    async fn tried(&self, value: &SecretValue) -> Result<Answers, ConnectError> {
        let (key, now) = (self.bytes(value)?, wall_clock());
        let make =
            |form: &Form| Ok(Canaries { named: vec![self.canary(form, &key, now)?], nameless: Vec::new() });
        Ok(Answers::of(&self.context, &self.doors, make).await)
    }

    async fn try_value(&self, value: &SecretValue) -> Result<Probe, ConnectError> {
        let (_, list) = self.list().await?;
        let answers = self.tried(value).await?;
        Ok(answers.probe(list.holds(value), &self.doors, answers.evidence()))
    }

    async fn door_checks(&self, door: &Door) -> Vec<Check> {
        let mut checks = door.refresh_checks().await;
        let now = wall_clock();
        let stranger = crate::password::random().and_then(|key| self.canary(&door.form, key.as_bytes(), now));
        checks.push(
            door.must_refuse(&self.context, "a session that was signed with a key of nobody's", stranger)
                .await,
        );
        if self.kind == Kind::Jwt {
            let unsigned = door.form.unsigned(None, now);
            checks.push(
                door.must_refuse(&self.context, "a token without a signature (alg: none)", unsigned).await,
            );
        }
        checks
    }
}

#[async_trait]
impl Issuer for SessionKey {
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
        format!("session keys of {}", self.keys.target())
    }

    /// One list: two writers would only keep each other from it.
    fn lane(&self) -> (String, Option<u16>) {
        (self.target(), Some(1))
    }

    async fn check(&self) -> Vec<Check> {
        let mut checks = self.keys.check().await;
        let (ok, detail) = match self.list().await {
            Ok((None, _)) => (false, NO_LIST.to_owned()),
            Ok((Some(_), _)) => (true, "it is in order".to_owned()),
            Err(error) => (false, error.detail),
        };
        checks.push(Check { what: "read the list of keys".to_owned(), ok, detail });
        for door in &self.doors {
            checks.extend(self.door_checks(door).await);
        }
        if self.control.is_some() {
            let (ok, detail) = match self.control().await {
                Probe::Accepted { .. } => (true, "every verifier takes it".to_owned()),
                Probe::Refused { code, message } => (false, format!("{code}: {message}")),
                Probe::Inconclusive { reason } => (false, reason),
            };
            checks.push(Check { what: "sign with the control".to_owned(), ok, detail });
        }
        checks
    }

    async fn warnings(&self, current: Option<&SecretValue>) -> Vec<String> {
        let mut warnings =
            vec!["every session that was signed with the old key ends: people log in again".to_owned()];
        warnings.extend(door::silent(&self.doors));
        warnings.extend(door::one_of_many(&self.doors, self.settled));
        if let (Some(current), Ok((_, list))) = (current, self.list().await)
            && list.holds(current)
        {
            match self.tried(current).await {
                Ok(answers) => warnings.extend(answers.untaken()),
                Err(error) => warnings.push(error.to_string()),
            }
        }
        warnings
    }

    fn identify(&self, value: &SecretValue) -> Result<Credential, ConnectError> {
        self.bytes(value)?;
        Ok(Credential { principal: PRINCIPAL.to_owned(), value: value.duplicate() })
    }

    async fn choose(&self, _old: Option<&Credential>, _tag: &str) -> Result<Credential, ConnectError> {
        const WHAT: &str = "making a key";
        let failed = |why| self.failed(WHAT, ConnectErrorKind::Transient { retry_after: None }, why);
        let random = crate::password::random().map_err(failed)?;
        let text = match self.encoding {
            Encoding::Hex | Encoding::Text => random,
            Encoding::Base64 => {
                let bytes = Zeroizing::new(
                    hex::decode(random.as_str()).map_err(|_e| failed("the system gave no randomness"))?,
                );
                self.encoding.encoded(&bytes)
            }
        };
        Ok(Credential { principal: PRINCIPAL.to_owned(), value: SecretValue::new(text.as_bytes().to_vec()) })
    }

    async fn perform(&self, op: IssuerOp<'_>) -> Performed {
        self.change(op).await.unwrap_or_else(|error| error.outcome()).into()
    }

    async fn observe(&self, op: IssuerOp<'_>) -> Performed {
        self.look(op).await.unwrap_or_else(|error| error.unseen()).into()
    }

    async fn probe(&self, credential: &Credential) -> Probe {
        let tried = self.try_value(&credential.value).await;
        tried.unwrap_or_else(|error| Probe::Inconclusive { reason: error.to_string() })
    }

    async fn elsewhere(&self, credential: &Credential) -> Option<String> {
        match self.list().await {
            Ok((_, list)) if list.holds(&credential.value) => None,
            Ok(_) => Some(
                "the list of keys does not have it: it signs for somebody else, or it was taken out before"
                    .to_owned(),
            ),
            Err(error) => Some(format!("whether the list has it is not known: {error}")),
        }
    }

    async fn control(&self) -> Probe {
        let Some(control) = &self.control else {
            let reason = "no `control` is configured: another key of the list".to_owned();
            return Probe::Inconclusive { reason };
        };
        let tried = async { self.try_value(&control.resolve(&self.context).await?).await };
        tried.await.unwrap_or_else(|error| Probe::Inconclusive { reason: error.to_string() })
    }

    fn has_control(&self) -> bool {
        self.control.is_some()
    }

    fn overlap(&self) -> Overlap {
        Overlap::Never { why: NO_OVERLAP }
    }

    /// A verifier that takes sessions of the key counts as one.
    async fn sessions(&self, old: &Credential, _cutoff: Option<&str>) -> Result<u64, ConnectError> {
        let answers = self.tried(&old.value).await?;
        match answers.unclear() {
            Some(why) => Err(self.failed("asking who takes the key", ConnectErrorKind::Lost, why)),
            None => Ok(answers.accepted().len() as u64),
        }
    }
}
