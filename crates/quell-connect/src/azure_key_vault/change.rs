//! A new version, and old ones that are disabled.

use quell_core::outcome::Outcome;
use quell_core::secret::SecretValue;
use reqwest::Method;
use serde_json::{Map, Value, json};

use super::{Check, ConnectError, ConnectErrorKind, Stored, Vault};
use crate::kept::keeps;
use crate::rest::Ask;

const API: &str = "7.4";
const GET: &str = "`secrets/get` (role Key Vault Secrets Officer)";
const SET: &str = "`secrets/set` (role Key Vault Secrets Officer)";
const LIST: &str = "`secrets/list` (role Key Vault Secrets Officer)";

/// "About Azure Key Vault secrets": 25 KB.
const LONGEST: usize = 25_000;

/// What goes from a version to the next with it: a new version has none of its own.
const KEPT: [&str; 2] = ["contentType", "tags"];

/// What is there of a value.
#[derive(Default)]
struct Find {
    current: String,
    current_is_bad: bool,
    bad: Vec<String>,
    /// Disabled, and then nobody can read them.
    unread: Vec<String>,
}

impl Vault {
    fn odd(&self, what: &'static str) -> ConnectError {
        self.failed(what, ConnectErrorKind::Unexpected, "the answer lacks what the reference says is in it")
    }

    /// The current version, or the one of this id.
    async fn get(&self, what: &'static str, version: &str) -> Result<Value, ConnectError> {
        let mut path = vec!["secrets", self.secret.as_str()];
        path.extend((!version.is_empty()).then_some(version));
        self.api.ask(&Ask::get(what, &path).query("api-version", API), GET, &[]).await.map_err(|mut error| {
            if error.kind == ConnectErrorKind::Missing {
                error.detail = format!("{}; make it first, with any value", error.detail);
            }
            if error.detail.starts_with("SecretDisabled") {
                error.detail =
                    format!("{}; whoever reads it reads nothing now: a new version ends that", error.detail);
            }
            error
        })
    }

    fn value_of(&self, what: &'static str, secret: &Value) -> Result<SecretValue, ConnectError> {
        let text = secret.get("value").and_then(Value::as_str).ok_or_else(|| self.odd(what))?;
        Ok(SecretValue::from_text(text.to_owned()))
    }

    fn id_of(&self, what: &'static str, secret: &Value) -> Result<String, ConnectError> {
        let id = secret.get("id").and_then(Value::as_str).and_then(|id| id.rsplit_once('/'));
        Ok(id.ok_or_else(|| self.odd(what))?.1.to_owned())
    }

    pub(super) async fn try_read(&self) -> Result<Option<Stored>, ConnectError> {
        const WHAT: &str = "reading the secret";
        let secret = self.get(WHAT, "").await?;
        let value = self.value_of(WHAT, &secret)?;
        // What it is made with before its value is known.
        if value.is_empty() {
            return Ok(None);
        }
        Ok(Some(Stored { version: self.id_of(WHAT, &secret)?, value }))
    }

    pub(super) async fn try_write(&self, new: &SecretValue) -> Result<Outcome, ConnectError> {
        const WHAT: &str = "writing the secret";
        let Some(text) = new.expose_text() else {
            return Ok(Outcome::refused("the value is not text; Key Vault holds text"));
        };
        if text.len() > LONGEST {
            return Ok(Outcome::refused("the value is longer than 25 KB, which Key Vault takes"));
        }
        let before = match self.get(WHAT, "").await {
            Ok(before) => before,
            // A disabled one is no obstacle: the new one takes its place.
            Err(error) if error.detail.starts_with("SecretDisabled") => json!({}),
            Err(error) => return Err(error),
        };
        if before.get("managed") == Some(&Value::Bool(true)) {
            let words =
                "the secret belongs to a certificate of the vault, which replaces it; renew the certificate";
            return Ok(Outcome::refused(words));
        }
        if before.get("value").is_some() && self.value_of(WHAT, &before)?.same_as(new) {
            return Ok(Outcome::applied([("version", json!(self.id_of(WHAT, &before)?))]));
        }
        let mut body: Map<String, Value> =
            KEPT.iter().filter_map(|name| Some(((*name).to_owned(), before.get(*name)?.clone()))).collect();
        body.insert("value".to_owned(), json!(text));
        let path = ["secrets", self.secret.as_str()];
        let ask = Ask::new(WHAT, Method::PUT, &path).query("api-version", API).json(&Value::Object(body));
        let after = self.api.ask(&ask, SET, &[text]).await?;
        let version = self.id_of(WHAT, &after)?;
        // Something was made: what cannot be seen now is unknown, whatever the reason.
        let now = match self.get(WHAT, "").await {
            Ok(now) => now,
            Err(error) => return Ok(error.unseen()),
        };
        if self.value_of(WHAT, &now)?.same_as(new) {
            return Ok(Outcome::applied([("version", json!(self.id_of(WHAT, &now)?))]));
        }
        Ok(Outcome::retry(format!("somebody made version {} after our {version}", self.id_of(WHAT, &now)?)))
    }

    async fn find(&self, what: &'static str, compromised: &[&SecretValue]) -> Result<Find, ConnectError> {
        let mut find = Find::default();
        let current = self.get(what, "").await;
        if let Ok(current) = &current {
            find.current = self.id_of(what, current)?;
        } else if let Err(error) = current
            && !error.detail.starts_with("SecretDisabled")
        {
            return Err(error);
        }
        let path = ["secrets", self.secret.as_str(), "versions"];
        for version in self.api.all(what, &path, API, LIST).await? {
            let id = self.id_of(what, &version)?;
            if version.pointer("/attributes/enabled") != Some(&Value::Bool(true)) {
                find.unread.push(id);
                continue;
            }
            let held = self.get(what, &id).await?;
            if !compromised.iter().any(|value| {
                held.get("value").and_then(Value::as_str).is_some_and(|text| keeps(text.as_bytes(), value))
            }) {
                continue;
            }
            if id == find.current {
                find.current_is_bad = true;
            } else {
                find.bad.push(id);
            }
        }
        Ok(find)
    }

    pub(super) async fn try_purge(&self, compromised: &[&SecretValue]) -> Result<Outcome, ConnectError> {
        const WHAT: &str = "disabling old versions";
        let find = self.find(WHAT, compromised).await?;
        if find.current_is_bad {
            return Ok(current_refused(&find.current));
        }
        for version in &find.bad {
            let path = ["secrets", self.secret.as_str(), version.as_str()];
            let body = json!({ "attributes": { "enabled": false } });
            let ask = Ask::new(WHAT, Method::PATCH, &path).query("api-version", API).json(&body);
            self.api.ask(&ask, SET, &[]).await?;
        }
        // Something was sent: what cannot be seen now is unknown, whatever the reason.
        Ok(match self.find(WHAT, compromised).await {
            Ok(after) => done(&after, Some(&find.bad)),
            Err(error) => error.unseen(),
        })
    }

    pub(super) async fn try_observe_purge(
        &self,
        compromised: &[&SecretValue],
    ) -> Result<Outcome, ConnectError> {
        Ok(done(&self.find("looking for old versions", compromised).await?, None))
    }

    pub(super) async fn checks(&self) -> Vec<Check> {
        const WHAT: &str = "looking at the secret";
        let line = |what: &str, seen: Result<String, ConnectError>| {
            let (ok, detail) = seen.map_or_else(|error| (false, error.detail), |detail| (true, detail));
            Check { what: what.to_owned(), ok, detail }
        };
        let current = self.get(WHAT, "").await;
        let managed = current.as_ref().is_ok_and(|it| it.get("managed") == Some(&Value::Bool(true)));
        let path = ["secrets", self.secret.as_str(), "versions"];
        let versions = self.api.all(WHAT, &path, API, LIST).await;
        let mut checks = vec![
            line(
                "read the secret",
                current.map(|_| "yes; that it can be written is seen by writing only".to_owned()),
            ),
            line("list its versions", versions.map(|all| format!("{} kept", all.len()))),
        ];
        if managed {
            let detail = "it belongs to a certificate of the vault, which replaces it".to_owned();
            checks.push(Check { what: "nobody else writes it".to_owned(), ok: false, detail });
        }
        checks
    }
}

fn done(find: &Find, disabled: Option<&[String]>) -> Outcome {
    if find.current_is_bad {
        return current_refused(&find.current);
    }
    if !find.bad.is_empty() {
        return Outcome::retry(format!("enabled versions hold the value: {}", find.bad.join(", ")));
    }
    let mut facts = quell_core::outcome::Facts::new();
    facts.insert("current".to_owned(), json!(find.current));
    facts.insert("history".to_owned(), json!(true));
    // No call deletes one version, so nothing ever is.
    facts.insert("destroyed".to_owned(), json!([]));
    facts.insert("disabled_and_unread".to_owned(), json!(find.unread));
    facts.insert(
        "remarks".to_owned(),
        json!(["who may set secrets can enable a disabled version again, and backups of the vault hold it"]),
    );
    if let Some(disabled) = disabled {
        facts.insert("disabled".to_owned(), json!(disabled));
    }
    Outcome::Applied { facts }
}

fn current_refused(version: &str) -> Outcome {
    Outcome::refused(format!(
        "the current version {version} still holds a compromised value; write a new version first"
    ))
}
