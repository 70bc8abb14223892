//! The operations, and `quell inventory check`.

use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;
use quell_core::secret::SecretValue;
use reqwest::Method;
use serde_json::{Value, json};

use super::{Check, ConnectError, ConnectErrorKind, SecretManager};
use crate::gcp::{Needs, crc32c};
use crate::rest::Ask;

const ACCESS: Needs<'static> =
    Needs { permission: "secretmanager.versions.access", role: "roles/secretmanager.secretAccessor" };
const ADD: Needs<'static> =
    Needs { permission: "secretmanager.versions.add", role: "roles/secretmanager.secretVersionManager" };
const DESTROY: Needs<'static> =
    Needs { permission: "secretmanager.versions.destroy", role: "roles/secretmanager.secretVersionManager" };
const LIST: Needs<'static> =
    Needs { permission: "secretmanager.versions.list", role: "roles/secretmanager.secretVersionManager" };
const GET: Needs<'static> =
    Needs { permission: "secretmanager.secrets.get", role: "roles/secretmanager.viewer" };

const PAGES_MAX: usize = 40;

/// A version that could be read.
pub(super) struct Version {
    pub(super) number: u64,
    pub(super) value: SecretValue,
}

/// A version as it is listed.
#[derive(Clone, Debug)]
pub(super) struct Listed {
    pub(super) number: u64,
    /// `ENABLED`, `DISABLED`, `DESTROYED`.
    pub(super) state: String,
    pub(super) etag: String,
    /// When a delayed destruction takes place.
    pub(super) scheduled: Option<String>,
}

impl SecretManager {
    fn path<'a>(&'a self, rest: &[&'a str]) -> Vec<&'a str> {
        let mut path = vec!["v1", "projects", &self.project, "secrets", &self.secret];
        path.extend(rest);
        path
    }

    fn odd(&self, what: &'static str) -> ConnectError {
        self.failed(what, ConnectErrorKind::Unexpected, "the answer lacks what the reference says is in it")
    }

    /// Of a secret without any version `None`.
    pub(super) async fn latest(
        &self,
        token: &SecretValue,
        what: &'static str,
    ) -> Result<Option<Version>, ConnectError> {
        match self.access(token, what, "latest").await {
            Ok(version) => Ok(Some(version)),
            Err(error) if error.kind == ConnectErrorKind::Missing => {
                // Either it is not there, or it has no version.
                self.secret_now(token, what).await.map(|_| None)
            }
            // `latest` is the one that was made last, whatever its state is.
            Err(error) if error.kind == ConnectErrorKind::Conflict => {
                let words = format!(
                    "{}: whoever reads `latest` reads nothing now; a new version ends that, or `gcloud secrets versions enable`",
                    error.detail
                );
                Err(ConnectError { kind: ConnectErrorKind::Denied, detail: words, ..error })
            }
            Err(error) => Err(error),
        }
    }

    /// By number it is strongly consistent, by `latest` it is not ("Data consistency").
    pub(super) async fn access(
        &self,
        token: &SecretValue,
        what: &'static str,
        version: &str,
    ) -> Result<Version, ConnectError> {
        let last = format!("{version}:access");
        let path = self.path(&["versions", &last]);
        let answer = self.cloud.ask(&Ask::get(what, &path), token, ACCESS, &[]).await?;
        let number = number(&answer).ok_or_else(|| self.odd(what))?;
        let data = answer.pointer("/payload/data").and_then(Value::as_str).unwrap_or_default();
        let bytes = BASE64_STANDARD.decode(data).map_err(|_e| self.odd(what))?;
        let told = answer.pointer("/payload/dataCrc32c").and_then(Value::as_str);
        let value = SecretValue::new(bytes);
        if told.is_some_and(|told| told != crc32c(value.expose()).to_string()) {
            let words = "the value was changed on its way: its checksum is another one";
            return Err(self.failed(what, ConnectErrorKind::Unexpected, words));
        }
        Ok(Version { number, value })
    }

    pub(super) async fn secret_now(
        &self,
        token: &SecretValue,
        what: &'static str,
    ) -> Result<Value, ConnectError> {
        self.cloud.ask(&Ask::get(what, &self.path(&[])), token, GET, &[]).await.map_err(|mut error| {
            if error.kind == ConnectErrorKind::Missing {
                error.detail =
                    format!("{}; make it first: `gcloud secrets create {}`", error.detail, self.secret);
            }
            error
        })
    }

    /// Adds a version; its number.
    pub(super) async fn add(
        &self,
        token: &SecretValue,
        what: &'static str,
        new: &SecretValue,
    ) -> Result<u64, ConnectError> {
        let data = zeroize::Zeroizing::new(BASE64_STANDARD.encode(new.expose()));
        let body =
            json!({ "payload": { "data": data.as_str(), "dataCrc32c": crc32c(new.expose()).to_string() } });
        let last = format!("{}:addVersion", self.secret);
        let path = ["v1", "projects", &self.project, "secrets", &last];
        let ask = Ask::new(what, Method::POST, &path).json(&body);
        let mut hide = vec![data.as_str()];
        hide.extend(new.expose_text());
        let answer = self.cloud.ask(&ask, token, ADD, &hide).await?;
        number(&answer).ok_or_else(|| self.odd(what))
    }

    /// All versions, also those that nobody can read any more.
    pub(super) async fn list(
        &self,
        token: &SecretValue,
        what: &'static str,
    ) -> Result<Vec<Listed>, ConnectError> {
        let mut all = Vec::new();
        let mut next = String::new();
        for _ in 0..PAGES_MAX {
            let path = self.path(&["versions"]);
            let mut ask = Ask::get(what, &path).query("pageSize", "250");
            if !next.is_empty() {
                ask = ask.query("pageToken", &*next);
            }
            let answer = self.cloud.ask(&ask, token, LIST, &[]).await?;
            let versions = answer.get("versions").and_then(Value::as_array);
            for one in versions.into_iter().flatten() {
                let text = |name: &str| one.get(name).and_then(Value::as_str);
                let number = number(one).ok_or_else(|| self.odd(what))?;
                all.push(Listed {
                    number,
                    state: text("state").unwrap_or_default().to_owned(),
                    etag: text("etag").unwrap_or_default().to_owned(),
                    scheduled: text("scheduledDestroyTime").map(str::to_owned),
                });
            }
            answer.get("nextPageToken").and_then(Value::as_str).unwrap_or_default().clone_into(&mut next);
            if next.is_empty() {
                return Ok(all);
            }
        }
        Err(self.failed(what, ConnectErrorKind::Unexpected, "the list does not end"))
    }

    /// If it still is as it was listed.
    pub(super) async fn destroy(
        &self,
        token: &SecretValue,
        what: &'static str,
        version: &Listed,
    ) -> Result<(), ConnectError> {
        let last = format!("{}:destroy", version.number);
        let path = self.path(&["versions", &last]);
        let ask = Ask::new(what, Method::POST, &path).json(&json!({ "etag": version.etag }));
        self.cloud.ask(&ask, token, DESTROY, &[]).await.map(drop)
    }

    pub(super) async fn checks(&self) -> Vec<Check> {
        const WHAT: &str = "looking at the secret";
        let line = |what: &str, seen: Result<String, ConnectError>| {
            let (ok, detail) = seen.map_or_else(|error| (false, error.detail), |detail| (true, detail));
            Check { what: what.to_owned(), ok, detail }
        };
        let token = match self.cloud.token(&self.credentials).await {
            Ok(token) => token,
            Err(error) => return vec![line("have an access token", Err(error))],
        };
        let latest = self.latest(&token, WHAT).await;
        let words = |version: &Version| format!("version {}", version.number);
        let latest = latest.map(|it| it.as_ref().map_or_else(|| "it has no version yet".to_owned(), words));
        let versions = self.list(&token, WHAT).await.map(|all| format!("{} kept", all.len()));
        let mut checks = vec![line("read the latest version", latest), line("list its versions", versions)];
        match self.secret_now(&token, WHAT).await {
            Ok(secret) => checks.extend(remarks(&secret)),
            Err(error) => checks.push(line("see the secret", Err(error))),
        }
        checks
    }
}

/// What an operator must know of a secret before it is rotated.
fn remarks(secret: &Value) -> Vec<Check> {
    let line = |what: &str, ok, detail: String| Check { what: what.to_owned(), ok, detail };
    let pinned = aliases(secret);
    let mut checks = Vec::new();
    if !pinned.is_empty() {
        let words = format!(
            "{}: consumers of these stay on their version; move them after the write",
            pinned.join(", ")
        );
        checks.push(line("consumers read `latest`", true, words));
    }
    if let Some(ttl) = secret.get("versionDestroyTtl").and_then(Value::as_str) {
        let words =
            format!("a version that is destroyed is only disabled for {ttl}, and can be enabled until then");
        checks.push(line("old versions are destroyed at once", true, words));
    }
    checks
}

/// `prod → 3`.
pub(super) fn aliases(secret: &Value) -> Vec<String> {
    let all = secret.get("versionAliases").and_then(Value::as_object);
    let text = |value: &Value| value.as_str().map_or_else(|| value.to_string(), str::to_owned);
    all.into_iter().flatten().map(|(alias, version)| format!("{alias} → {}", text(version))).collect()
}

/// Of `projects/1/secrets/x/versions/5`.
fn number(version: &Value) -> Option<u64> {
    version.get("name")?.as_str()?.rsplit_once("/versions/")?.1.parse().ok()
}
