//! A key-encryption key of the transit engine as issuer: what leaks is a key that it wrapped (`vault:v1:…`), or the key itself.
//!
//! A new version of the key is made, every listed wrapped key is wrapped anew by the server (`rewrap`: what is inside never comes here), then
//! the older versions are refused (`min_decryption_version`) and, if the inventory says so, deleted (`trim`). Until the
//! refusal both versions open, so that consumers can move.
//!
//! Sources: openbao.org/api-docs/secret/transit, and 2.7.2 itself (2026-11-23): a refused version is 400 `ciphertext or signature version is
//! disallowed by policy (too old)`, whatever follows the version: of another key's text it says the same, and before that `message
//! authentication failed`. Of a batch each item has its own error. `trim` needs `min_encryption_version`, and cannot be undone.

use async_trait::async_trait;
use jiff::{SignedDuration, Timestamp};
use quell_core::inventory::Place;
use quell_core::issuer::{Capabilities, Chooser, ValidAtOnce};
use quell_core::outcome::{Outcome, Probe};
use quell_core::secret::{Credential, SecretValue};
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use super::api::{Ask, Bao, Session, checked_path};
use crate::connector::{Check, Issuer, IssuerOp, Opens, Performed};
use crate::context::Context;
use crate::effect;
use crate::error::{ConfigError, ConnectError, ConnectErrorKind};
use crate::webhook::sign::wall_clock;
use crate::wrapped::{self, Contents, Deks, Shape};

/// `{ transit: { mount: transit, key: orders, deks: […], … } }`.
#[derive(Clone, Debug, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Config {
    #[serde(default = "transit")]
    mount: String,
    key: String,
    /// Stores of the other keys that it wrapped.
    #[serde(default)]
    deks: Vec<Value>,
    /// Deletes refused versions after the proof.
    #[serde(default)]
    trim: bool,
    #[serde(default)]
    contents: Contents,
    settle: Option<SignedDuration>,
}

struct TransitIssuer {
    bao: Bao,
    mount: String,
    key: String,
    deks: Deks,
    trim: bool,
    contents: Contents,
    settle_ms: u64,
}

/// What the server says of the key.
struct Key {
    latest: u64,
    /// Versions below are refused.
    refused_below: u64,
    /// Versions below are deleted.
    available_from: u64,
    /// Versions below wrap nothing any more.
    wraps_from: u64,
    made: Option<Timestamp>,
}

const READING: &str = "reading the key";
const ROTATING: &str = "making a new version of the key";
const RAISING: &str = "refusing older versions";
const TRIMMING: &str = "deleting older versions";
const TRYING: &str = "trying the wrapped key";

/// Refusal of a version.
const REFUSAL: &str = "ciphertext or signature version is disallowed by policy (too old)";

/// A version that is younger was made for this answer: by an attempt whose result was lost, or by whoever began it by hand.
const FRESH: SignedDuration = SignedDuration::from_mins(10);

const SHAPE: Shape = Shape { fits: |value| version(value).is_some(), like: "vault:v1:…" };

/// `vault:v3:…`: 3.
fn version(value: &SecretValue) -> Option<u64> {
    let (version, text) = value.expose_text()?.strip_prefix("vault:v")?.split_once(':')?;
    let plain = |c: char| c.is_ascii_alphanumeric() || matches!(c, '+' | '/' | '=' | '-' | '_' | ':');
    (!text.is_empty() && text.chars().all(plain)).then_some(())?;
    version.parse().ok().filter(|version| *version > 0)
}

fn transit() -> String {
    "transit".to_owned()
}

pub(super) fn build(config: Config, ctx: &Context) -> Result<Box<dyn Issuer>, ConfigError> {
    let mount = checked_path("mount", &config.mount)?;
    let key = checked_path("key", &config.key)?;
    if key.contains('/') {
        return Err(ConfigError::at("key", "not the name of a key", "use the name alone, such as orders"));
    }
    Ok(Box::new(TransitIssuer {
        bao: Bao::open(ctx)?,
        mount,
        key,
        deks: Deks::build(&config.deks, SHAPE, ctx)?,
        trim: config.trim,
        contents: config.contents,
        settle_ms: ConfigError::settle_ms(config.settle, 1000)?,
    }))
}

impl TransitIssuer {
    fn at(&self, what: &str) -> String {
        format!("{}/{what}", self.mount)
    }

    fn keys(&self, rest: &str) -> String {
        format!("{}/keys/{}{rest}", self.mount, self.key)
    }

    /// The version that wrapped it.
    fn version(&self, value: &SecretValue) -> Result<u64, ConnectError> {
        let words = "the value is not what transit wrapped (vault:v1:…): name the part of the store that is";
        version(value).ok_or_else(|| self.bao.error(TRYING, ConnectErrorKind::Denied, words))
    }

    async fn read(&self, session: &Session<'_>) -> Result<Key, ConnectError> {
        let answer = session.ok(&Ask::get(READING, self.keys(""))).await?;
        let number = |name: &str| answer.pointer(&format!("/data/{name}")).and_then(Value::as_u64);
        let bad = |kind, words: &str| Err(self.bao.error(READING, kind, words));
        let (Some(latest), Some(refused_below)) =
            (number("latest_version"), number("min_decryption_version"))
        else {
            return bad(ConnectErrorKind::Unexpected, "the answer is not about a key");
        };
        if answer.pointer("/data/supports_decryption") != Some(&json!(true)) {
            return bad(ConnectErrorKind::Denied, "the key wraps nothing: it only signs");
        }
        if answer.pointer("/data/derived") == Some(&json!(true)) {
            let words = "the key is derived: each text needs a context of its own, which Quell does not know";
            return bad(ConnectErrorKind::Denied, words);
        }
        let made = answer.pointer(&format!("/data/keys/{latest}")).and_then(Value::as_i64);
        Ok(Key {
            latest,
            refused_below,
            available_from: number("min_available_version").unwrap_or_default(),
            wraps_from: number("min_encryption_version").unwrap_or_default(),
            made: made.and_then(|at| Timestamp::from_second(at).ok()),
        })
    }

    /// Wraps each anew with the latest version. What is inside stays in the server.
    async fn rewrap(
        &self,
        session: &Session<'_>,
        values: &[&SecretValue],
    ) -> Result<Vec<Result<SecretValue, String>>, ConnectError> {
        let items: Vec<Value> = values
            .iter()
            .map(|value| json!({ "ciphertext": value.expose_text().unwrap_or_default() }))
            .collect();
        let ask =
            Ask::post(TRYING, self.at(&format!("rewrap/{}", self.key)), json!({ "batch_input": items }));
        let reply = session.send(&ask).await?;
        let results = reply.body.pointer("/data/batch_results").and_then(Value::as_array);
        // With 400 when all of them failed.
        let Some(results) =
            results.filter(|list| list.len() == values.len() && matches!(reply.status, 200 | 400))
        else {
            return Err(session.failure(&ask, &reply));
        };
        Ok(results
            .iter()
            .map(|result| match (result.get("ciphertext"), result.get("error")) {
                (Some(Value::String(text)), _) => Ok(SecretValue::from_text(text.clone())),
                (_, Some(Value::String(error))) => Err(crate::words::one_line(error)),
                _ => Err("the answer is neither a wrapped key nor an error".to_owned()),
            })
            .collect())
    }

    async fn one(
        &self,
        session: &Session<'_>,
        value: &SecretValue,
    ) -> Result<Result<SecretValue, String>, ConnectError> {
        let mut all = self.rewrap(session, &[value]).await?;
        all.pop().ok_or_else(|| self.bao.error(TRYING, ConnectErrorKind::Unexpected, "there is no result"))
    }

    /// What was wrapped anew, if it is wrapped with `target` or later: it takes the place of the only copy.
    fn anew(
        &self,
        anew: Result<SecretValue, String>,
        target: u64,
        place: &str,
    ) -> Result<SecretValue, ConnectError> {
        let failed = |kind, why: &str| {
            Err(self.bao.error(TRYING, kind, format!("{place} cannot be wrapped anew: {why}")))
        };
        match anew {
            Ok(anew) if version(&anew).is_some_and(|version| version >= target) => Ok(anew),
            Ok(_) => {
                let words = format!("the answer is no key that version {target} wrapped");
                failed(ConnectErrorKind::Unexpected, &words)
            }
            Err(why) => failed(ConnectErrorKind::Denied, &why),
        }
    }

    /// Wraps all that are listed and older than `target` anew, each written by itself, so that a crash leaves each whole. How many.
    async fn rewrap_all(&self, session: &Session<'_>, target: u64) -> Result<usize, ConnectError> {
        let mut done = 0;
        let mut stale = self.deks.all(&self.bao.name()).await?;
        stale.retain(|dek| version(&dek.value).is_none_or(|version| version < target));
        for stale in stale.chunks(wrapped::BATCH) {
            let values: Vec<&SecretValue> = stale.iter().map(|dek| &dek.value).collect();
            for (dek, anew) in stale.iter().zip(self.rewrap(session, &values).await?) {
                let anew = self.anew(anew, target, &self.deks.place(dek))?;
                self.deks.replace(dek, &anew, &self.bao.name()).await?;
                done += 1;
            }
        }
        Ok(done)
    }

    async fn install(&self, new: &Credential) -> Result<Performed, ConnectError> {
        if !wrapped::is_asked_for(new) {
            return self.observe_install(new).await.map(Performed::from);
        }
        let used = self.version(&new.value)?;
        let session = self.bao.login().await?;
        let mut key = self.read(&session).await?;
        // Before anything is changed: does it open at all, and is every listed key there?
        if let Err(why) = self.one(&session, &new.value).await? {
            let words = format!("the wrapped key cannot be wrapped anew: {why}; is it another key's?");
            return Ok(Outcome::refused(words).into());
        }
        self.deks.all(&self.bao.name()).await?;
        let made = key.latest > used && key.is_fresh();
        if !made {
            session.ok(&Ask::post(ROTATING, self.keys("/rotate"), json!({}))).await?;
            key = self.read(&session).await.map_err(effect::after_effect)?;
        }
        let (rewrapped, value) =
            self.move_all(&session, &new.value, &key).await.map_err(|error| after_version(&key, error))?;
        let outcome = Outcome::applied([
            ("version", json!(key.latest)),
            ("made_before", json!(made)),
            ("rewrapped", json!(rewrapped)),
            ("listed", json!(self.deks.len())),
        ]);
        Ok(Performed { outcome, minted: Some(Credential { principal: self.principal(), value }) })
    }

    /// Every listed key, and the one that leaks, wrapped with the latest version.
    async fn move_all(
        &self,
        session: &Session<'_>,
        leaked: &SecretValue,
        key: &Key,
    ) -> Result<(usize, SecretValue), ConnectError> {
        let rewrapped = self.rewrap_all(session, key.latest).await?;
        let value = self.one(session, leaked).await?;
        Ok((rewrapped, self.anew(value, key.latest, "the wrapped key")?))
    }

    async fn observe_install(&self, new: &Credential) -> Result<Outcome, ConnectError> {
        let session = self.bao.login().await?;
        let used = self.version(&new.value)?;
        if wrapped::is_asked_for(new) {
            let key = self.read(&session).await?;
            return Ok(Outcome::retry(if key.latest > used && key.is_fresh() {
                format!(
                    "version {} is there; what was wrapped with it was lost, and is wrapped again",
                    key.latest
                )
            } else {
                "no new version was made".to_owned()
            }));
        }
        Ok(match self.one(&session, &new.value).await? {
            Ok(_) => Outcome::applied([("version", json!(used))]),
            Err(why) => Outcome::refused(why),
        })
    }

    async fn disable(&self, old: &Credential) -> Result<Outcome, ConnectError> {
        let used = self.version(&old.value)?;
        let session = self.bao.login().await?;
        let key = self.read(&session).await?;
        if key.refused_below > used {
            // Whether it ever opened with this key cannot be told any more.
            return Ok(refused_facts(&key, None));
        }
        if key.latest <= used {
            let words = if key.latest < used {
                format!("there is no version {used} of this key: another one wrapped it")
            } else {
                format!("version {used} is the latest: what it wrapped would be lost; make a new one first")
            };
            return Ok(Outcome::refused(words));
        }
        // What was wrapped with an older version since is moved, too; whoever cannot be moved stops this.
        let rewrapped = self.rewrap_all(&session, key.latest).await?;
        // No further than needed: the key may have been rotated again since the successor was wrapped.
        let floor = used + 1;
        self.sample(&session, floor).await?;
        let was_good = self.one(&session, &old.value).await?.is_ok();
        let body = json!({ "min_decryption_version": floor });
        session.ok(&Ask::post(RAISING, self.keys("/config"), body)).await?;
        let key = self.read(&session).await.map_err(effect::after_effect)?;
        if key.refused_below <= used {
            return Ok(Outcome::retry("older versions are still taken"));
        }
        let mut outcome = refused_facts(&key, was_good.then_some(false));
        if let Outcome::Applied { facts } = &mut outcome {
            facts.insert("rewrapped".to_owned(), json!(rewrapped));
        }
        Ok(outcome)
    }

    /// Every listed key is opened by the server once more as it stands in its store, before the older versions go; and is not one of those.
    async fn sample(&self, session: &Session<'_>, floor: u64) -> Result<(), ConnectError> {
        for held in self.deks.all(&self.bao.name()).await?.chunks(wrapped::BATCH) {
            let values: Vec<&SecretValue> = held.iter().map(|dek| &dek.value).collect();
            for (dek, opened) in held.iter().zip(self.rewrap(session, &values).await?) {
                let stale = version(&dek.value).is_none_or(|version| version < floor);
                let why = match opened {
                    Ok(_) if !stale => continue,
                    Ok(_) => format!("would not open any more: it is older than version {floor}"),
                    Err(why) => format!("does not open: {why}"),
                };
                let words = format!("{} {why}", self.deks.place(dek));
                return Err(self.bao.error(TRYING, ConnectErrorKind::Denied, words));
            }
        }
        Ok(())
    }

    async fn observe_disable(&self, old: &Credential) -> Result<Outcome, ConnectError> {
        let used = self.version(&old.value)?;
        let session = self.bao.login().await?;
        let key = self.read(&session).await?;
        Ok(if key.refused_below > used {
            refused_facts(&key, None)
        } else {
            Outcome::retry(format!("version {used} is still taken"))
        })
    }

    async fn trimmed(&self, old: &Credential, act: bool) -> Result<Outcome, ConnectError> {
        let used = self.version(&old.value)?;
        let session = self.bao.login().await?;
        let key = self.read(&session).await?;
        let gone = |key: &Key| Outcome::applied([("available_from", json!(key.available_from))]);
        if key.available_from > used {
            return Ok(gone(&key));
        }
        if !act || key.refused_below <= used {
            return Ok(Outcome::retry(format!("version {used} is kept")));
        }
        // Only what leaked: others may have refused more, and want it kept.
        let from = used + 1;
        if key.wraps_from < from {
            let body = json!({ "min_encryption_version": from });
            session.ok(&Ask::post(TRIMMING, self.keys("/config"), body)).await?;
        }
        session
            .ok(&Ask::post(TRIMMING, self.keys("/trim"), json!({ "min_available_version": from })))
            .await?;
        let key = self.read(&session).await.map_err(effect::after_effect)?;
        Ok(if key.available_from > used { gone(&key) } else { Outcome::retry("the version is kept") })
    }

    async fn tried(&self, value: &SecretValue) -> Result<Probe, ConnectError> {
        let used = self.version(value)?;
        let session = self.bao.login().await?;
        Ok(match self.one(&session, value).await? {
            Ok(_) => Probe::Accepted { facts: effect::facts([("version", json!(used))]) },
            Err(why) if why == REFUSAL => Probe::Refused { code: REFUSAL.to_owned(), message: why },
            Err(reason) => Probe::Inconclusive { reason },
        })
    }

    /// A key that is made and wrapped for this, and thrown away.
    async fn try_control(&self) -> Result<Probe, ConnectError> {
        const MAKING: &str = "wrapping a key for the control";
        let session = self.bao.login().await?;
        let path = self.at(&format!("datakey/wrapped/{}", self.key));
        let answer = session.ok(&Ask::post(MAKING, path, json!({}))).await?;
        let text = answer.pointer("/data/ciphertext").and_then(Value::as_str);
        let none =
            || self.bao.error(MAKING, ConnectErrorKind::Unexpected, "the answer carries no wrapped key");
        self.tried(&SecretValue::from_text(text.ok_or_else(none)?.to_owned())).await
    }

    fn principal(&self) -> String {
        format!("{}/{}", self.mount, self.key)
    }
}

impl Key {
    fn is_fresh(&self) -> bool {
        self.made.is_some_and(|made| wall_clock().duration_since(made) < FRESH)
    }
}

/// There is a new version: a failure is a lost result, and the next attempt finds the version.
fn after_version(key: &Key, error: ConnectError) -> ConnectError {
    let detail = format!("{}; version {} is there, and what was moved stays so", error.detail, key.latest);
    effect::after_effect(ConnectError { detail, ..error })
}

fn refused_facts(key: &Key, already: Option<bool>) -> Outcome {
    Outcome::applied([
        ("refused_below", json!(key.refused_below)),
        ("latest", json!(key.latest)),
        ("already", json!(already)),
    ])
}

#[async_trait]
impl Issuer for TransitIssuer {
    fn capabilities(&self) -> Capabilities {
        Capabilities {
            chooser: Chooser::Issuer,
            valid_at_once: ValidAtOnce::Many,
            sessions_survive: false,
            // What only the old version opens would be lost: there must be another first.
            can_disable: false,
            self_revocable: false,
            can_mint: true,
            can_probe: true,
            settle_ms: self.settle_ms,
            refusals: vec![REFUSAL.to_owned()],
        }
    }

    fn target(&self) -> String {
        format!("{} {}", self.bao.name(), self.keys(""))
    }

    fn lane(&self) -> (String, Option<u16>) {
        (self.bao.server(), None)
    }

    async fn check(&self) -> Vec<Check> {
        let mut checks = Vec::new();
        let Some(session) = super::check_server(&self.bao, &mut checks).await else {
            return checks;
        };
        let key = self.read(&session).await;
        checks.push(Check {
            what: format!("`{}` wraps keys", self.principal()),
            ok: key.is_ok(),
            detail: key.map_or_else(|error| error.detail, |key| format!("version {}", key.latest)),
        });
        let update = &["update"][..];
        let mut needs = vec![
            (self.keys(""), &["read"][..]),
            (self.keys("/rotate"), update),
            (self.keys("/config"), update),
            (self.at(&format!("rewrap/{}", self.key)), update),
            (self.at(&format!("datakey/wrapped/{}", self.key)), update),
        ];
        if self.trim {
            needs.push((self.keys("/trim"), update));
        }
        super::check_capabilities(&session, &needs, &mut checks).await;
        checks.append(&mut self.deks.check().await);
        checks
    }

    async fn warnings(&self, _current: Option<&SecretValue>) -> Vec<String> {
        let mut warnings = self.contents.warnings(&self.principal());
        warnings.push(format!(
            "whatever `{}` wrapped and is neither in `stores` nor in `deks` cannot be opened any more once older versions are refused; that can be \
             undone until they are deleted",
            self.principal()
        ));
        if !self.trim {
            warnings.push(
                "older versions are refused and kept: whoever may configure the key can take them back; `trim: true` deletes them".to_owned(),
            );
        }
        warnings
    }

    fn identify(&self, value: &SecretValue) -> Result<Credential, ConnectError> {
        self.version(value)?;
        Ok(Credential { principal: self.principal(), value: value.duplicate() })
    }

    async fn choose(&self, old: Option<&Credential>, tag: &str) -> Result<Credential, ConnectError> {
        let words = "a store must hold what the key wrapped, so that it can be wrapped anew";
        let old = old.ok_or_else(|| self.bao.error(ROTATING, ConnectErrorKind::Denied, words))?;
        Ok(wrapped::ask_for(old, tag))
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
        self.trim
    }

    async fn retire(&self, old: &Credential) -> Outcome {
        self.trimmed(old, true).await.unwrap_or_else(|error| error.outcome())
    }

    async fn observe_retire(&self, old: &Credential) -> Outcome {
        self.trimmed(old, false).await.unwrap_or_else(|error| error.unseen())
    }

    /// The server opens it and closes it again: what is inside stays there.
    async fn probe(&self, credential: &Credential) -> Probe {
        let tried = self.tried(&credential.value).await;
        tried.unwrap_or_else(|error| Probe::Inconclusive { reason: error.to_string() })
    }

    async fn unproven(&self, _credential: &Credential) -> Option<String> {
        Some(format!(
            "it is refused by its version, whichever key wrapped it, and nobody saw it open with `{}`",
            self.principal()
        ))
    }

    async fn control(&self) -> Probe {
        self.try_control().await.unwrap_or_else(|error| Probe::Inconclusive { reason: error.to_string() })
    }

    async fn sessions(&self, _old: &Credential, _cutoff: Option<&str>) -> Result<u64, ConnectError> {
        let session = self.bao.login().await?;
        self.read(&session).await?;
        Ok(0)
    }

    fn knows_what_it_opens(&self) -> bool {
        true
    }

    async fn opens(&self, _old: &Credential, places: &[Place]) -> Result<Opens, ConnectError> {
        Ok(self.contents.opens(&self.principal(), places))
    }
}

/// Schema of [`Config`].
pub(super) fn schema(path: impl Fn(&str) -> Value) -> Value {
    let mut properties = wrapped::schema();
    if let Some(properties) = properties.as_object_mut() {
        properties.extend([
            ("mount".to_owned(), path("The mount of the transit engine: transit (the default)")),
            ("key".to_owned(), path("The key that wraps: orders")),
            (
                "trim".to_owned(),
                json!({
                    "type": "boolean",
                    "default": false,
                    "description": "Deletes refused versions after the proof; what was not listed is then lost for good",
                }),
            ),
            (
                "settle".to_owned(),
                path("How long a change takes to bind on all nodes: 1s (the default)"),
            ),
        ]);
    }
    json!({
        "type": "object",
        "additionalProperties": false,
        "required": ["key"],
        "properties": properties,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_the_engine_wrapped_has_a_version() {
        let version = |text: &str| version(&SecretValue::from_text(text.to_owned()));
        assert_eq!(version("vault:v1:AbC+/="), Some(1));
        assert_eq!(version("vault:v12:AbC"), Some(12));
        for other in [
            "",
            "AbC",
            "vault:AbC",
            "vault:v:AbC",
            "vault:v0:AbC",
            "vault:v1:",
            "vault:v1:a b",
            " vault:v1:a",
        ] {
            assert_eq!(version(other), None, "{other}");
        }
    }
}
