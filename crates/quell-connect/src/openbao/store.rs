//! The store: one key of a KV v2 secret.

use async_trait::async_trait;
use quell_core::outcome::Outcome;
use quell_core::secret::SecretValue;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use tokio::sync::OnceCell;

use super::api::{Bao, Session, checked_path};
use super::kv::{self, Place, Version};
use crate::connector::{Check, Store, Stored};
use crate::context::Context;
use crate::effect;
use crate::error::{ConfigError, ConnectError, ConnectErrorKind};

/// `{ mount: kv, path: apps/orders, key: DATABASE_URL }`.
#[derive(Clone, Debug, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
struct Config {
    mount: String,
    path: String,
    key: String,
}

#[derive(Debug)]
struct KvStore {
    bao: Bao,
    place: Place,
    key: String,
    is_kv2: OnceCell<()>,
}

/// What a purge finds before it acts.
struct Find {
    current: u64,
    /// The current version still holds the value, or cannot be read and may.
    current_is_bad: Option<&'static str>,
    /// Older versions that hold the value or are deleted but recoverable.
    bad: Vec<u64>,
}

pub(super) fn build(config: &Value, ctx: &Context) -> Result<Box<dyn Store>, ConfigError> {
    let config: Config = ConfigError::parse(config)?;
    if config.key.is_empty() {
        return Err(ConfigError::at("key", "the key is empty", "name the key in the secret: DATABASE_URL"));
    }
    let place =
        Place { mount: checked_path("mount", &config.mount)?, path: checked_path("path", &config.path)? };
    Ok(Box::new(KvStore { bao: Bao::open(ctx)?, place, key: config.key, is_kv2: OnceCell::new() }))
}

impl KvStore {
    /// Logs in and makes sure, once, that the mount is KV v2.
    async fn enter(&self, what: &'static str) -> Result<Session<'_>, ConnectError> {
        let session = self.bao.login().await?;
        self.is_kv2.get_or_try_init(|| self.place.confirm(&session, what)).await?;
        Ok(session)
    }

    /// `expected`: the version that must still be current.
    async fn try_write(&self, new: &SecretValue, expected: Option<&str>) -> Result<Outcome, ConnectError> {
        const WHAT: &str = "writing the secret";
        let Some(text) = new.expose_text() else {
            return Ok(Outcome::refused("the value is not text; KV holds JSON text only"));
        };
        let session = self.enter(WHAT).await?;
        let current = self.place.current(&session, WHAT).await?;
        if expected.is_some_and(|expected| expected != current.version.to_string()) {
            return Ok(Outcome::retry("somebody changed it meanwhile"));
        }
        let mut data = current.data.unwrap_or_default();
        // A value of another type is replaced, so it is no obstacle.
        if data.get(&self.key).and_then(Value::as_str).is_some_and(|held| same(held, new)) {
            return Ok(Outcome::applied([("version", json!(current.version.to_string()))]));
        }
        data.remove(&self.key);
        if !data.values().all(kv::copies_exactly) {
            let words = "a neighbour in the same secret holds a number that cannot be copied exactly; \
                         store it as text first";
            return Ok(Outcome::refused(words));
        }
        data.insert(self.key.clone(), Value::String(text.to_owned()));
        match self.place.put(&session, WHAT, current.version, data).await {
            Ok(version) => Ok(Outcome::applied([("version", json!(version.to_string()))])),
            Err(error) if error.kind == ConnectErrorKind::Conflict => {
                // Somebody wrote meanwhile. Perhaps it was an earlier attempt of ours.
                let now = match self.place.current(&session, WHAT).await {
                    Ok(now) => now,
                    Err(error) => return Ok(error.unseen()),
                };
                let held = now.data.as_ref().and_then(|data| data.get(&self.key)).and_then(Value::as_str);
                if held.is_some_and(|held| same(held, new)) {
                    Ok(Outcome::applied([("version", json!(now.version.to_string()))]))
                } else {
                    Ok(Outcome::retry(format!(
                        "somebody wrote version {} while version {} was being replaced",
                        now.version, current.version
                    )))
                }
            }
            Err(error) => Err(error),
        }
    }

    /// Looks at every version that is not destroyed.
    async fn find(
        &self,
        session: &Session<'_>,
        what: &'static str,
        compromised: &[&SecretValue],
    ) -> Result<Find, ConnectError> {
        let mut find = Find { current: 0, current_is_bad: None, bad: Vec::new() };
        let Some((current, alive)) = self.place.history(session, what).await? else {
            return Ok(find);
        };
        find.current = current;
        for number in alive {
            let version = self.place.version(session, what, number).await?;
            let why = match &version {
                Version::Readable(data) if compromised.iter().any(|value| kv::holds(data, value)) => {
                    "still holds a compromised value"
                }
                // Whoever may undelete it can read it again, and we cannot see what it holds.
                Version::Recoverable => "is deleted but can be undeleted",
                Version::Readable(_) | Version::Destroyed => continue,
            };
            if number == current {
                find.current_is_bad = Some(why);
            } else {
                find.bad.push(number);
            }
        }
        Ok(find)
    }

    async fn try_purge(&self, compromised: &[&SecretValue]) -> Result<Outcome, ConnectError> {
        const WHAT: &str = "destroying old versions";
        let session = self.enter(WHAT).await?;
        let find = self.find(&session, WHAT, compromised).await?;
        if let Some(why) = find.current_is_bad {
            return Ok(current_refused(find.current, why));
        }
        if !find.bad.is_empty() {
            self.place.erase(&session, WHAT, &find.bad).await?;
            // It was sent: what cannot be seen now is unknown, whatever the reason.
            let left = match self.place.history(&session, WHAT).await {
                Ok(after) => after.map_or_else(Vec::new, |(_, alive)| alive),
                Err(error) => return Ok(error.unseen()),
            };
            if find.bad.iter().any(|number| left.contains(number)) {
                let words = "the metadata still shows versions that were to be destroyed";
                return Err(self.bao.error(WHAT, ConnectErrorKind::Unexpected, words));
            }
        }
        let destroyed = find.bad.iter().map(u64::to_string).collect::<Vec<_>>();
        Ok(Outcome::applied([
            ("destroyed", json!(destroyed)),
            ("current", json!(find.current.to_string())),
            ("history", json!(true)),
        ]))
    }

    async fn try_observe_purge(&self, compromised: &[&SecretValue]) -> Result<Outcome, ConnectError> {
        const WHAT: &str = "looking for old versions";
        let session = self.enter(WHAT).await?;
        let find = self.find(&session, WHAT, compromised).await?;
        if let Some(why) = find.current_is_bad {
            return Ok(current_refused(find.current, why));
        }
        if !find.bad.is_empty() {
            let list = find.bad.iter().map(u64::to_string).collect::<Vec<_>>().join(", ");
            return Ok(Outcome::retry(format!("versions hold the value or can be undeleted: {list}")));
        }
        Ok(Outcome::applied([("current", json!(find.current.to_string())), ("history", json!(true))]))
    }
}

fn same(held: &str, value: &SecretValue) -> bool {
    SecretValue::from_text(held.to_owned()).same_as(value)
}

fn current_refused(version: u64, why: &str) -> Outcome {
    Outcome::refused(format!("the current version {version} {why}; write a new version first"))
}

#[async_trait]
impl Store for KvStore {
    fn target(&self) -> String {
        format!("openbao {}/{}#{}", self.place.mount, self.place.path, self.key)
    }

    async fn check(&self) -> Vec<Check> {
        let mut checks = Vec::new();
        let Some(session) = super::check_server(&self.bao, &mut checks).await else {
            return checks;
        };
        let mount = self.place.confirm(&session, "looking at the mount").await;
        let mount_ok = mount.is_ok();
        checks.push(Check {
            what: format!("`{}/` is KV version 2", self.place.mount),
            ok: mount_ok,
            detail: mount.map_or_else(|error| error.detail, |()| "KV version 2".to_owned()),
        });
        let needs = [
            (self.place.data(), &["read", "create", "update"][..]),
            (self.place.metadata(), &["read"][..]),
            (self.place.destroy(), &["update"][..]),
        ];
        super::check_capabilities(&session, &needs, &mut checks).await;
        checks
    }

    async fn read(&self) -> Result<Option<Stored>, ConnectError> {
        const WHAT: &str = "reading the secret";
        let session = self.enter(WHAT).await?;
        let current = self.place.current(&session, WHAT).await?;
        let Some(data) = current.data else {
            return Ok(None);
        };
        let value = kv::text(&session, WHAT, &data, &self.key)?;
        Ok(value.map(|value| Stored { value, version: current.version.to_string() }))
    }

    async fn write(&self, new: &SecretValue) -> Outcome {
        self.try_write(new, None).await.unwrap_or_else(|error| error.outcome())
    }

    async fn swap(&self, version: &str, new: &SecretValue) -> Outcome {
        self.try_write(new, Some(version)).await.unwrap_or_else(|error| error.outcome())
    }

    async fn observe_write(&self, new: &SecretValue) -> Outcome {
        effect::held(self.read().await, new)
    }

    async fn purge(&self, compromised: &[&SecretValue]) -> Outcome {
        self.try_purge(compromised).await.unwrap_or_else(|error| error.outcome())
    }

    async fn observe_purge(&self, compromised: &[&SecretValue]) -> Outcome {
        self.try_observe_purge(compromised).await.unwrap_or_else(|error| error.unseen())
    }
}
