//! What the administrator asks IAM.

use jiff::Timestamp;
use quell_core::secret::SecretValue;
use reqwest::Method;
use serde_json::{Value, json};

use super::{Check, ConnectError, ConnectErrorKind, Key, ServiceAccount};
use crate::gcp::Needs;
use crate::rest::Ask;

const KEY_ADMIN: &str = "roles/iam.serviceAccountKeyAdmin";
const LIST: Needs<'static> = Needs { permission: "iam.serviceAccountKeys.list", role: KEY_ADMIN };
const CREATE: Needs<'static> = Needs { permission: "iam.serviceAccountKeys.create", role: KEY_ADMIN };
const DISABLE: Needs<'static> = Needs { permission: "iam.serviceAccountKeys.disable", role: KEY_ADMIN };
const DELETE: Needs<'static> = Needs { permission: "iam.serviceAccountKeys.delete", role: KEY_ADMIN };
const GET: Needs<'static> =
    Needs { permission: "iam.serviceAccounts.get", role: "roles/iam.serviceAccountAdmin" };
const UPDATE: Needs<'static> =
    Needs { permission: "iam.serviceAccounts.update", role: "roles/iam.serviceAccountAdmin" };

/// "Quotas and limits".
pub(super) const KEYS_MAX: usize = 10;

/// An administrator with a token.
pub(super) struct Admin<'a> {
    of: &'a ServiceAccount,
    token: SecretValue,
}

/// A key as IAM lists it.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(super) struct Held {
    pub(super) id: String,
    pub(super) disabled: bool,
    /// Who disabled it, and why: Google itself does when it sees a key in public.
    pub(super) reason: Option<String>,
    pub(super) made: Option<Timestamp>,
}

impl ServiceAccount {
    pub(super) async fn log_in(&self) -> Result<Admin<'_>, ConnectError> {
        const WHAT: &str = "logging in as the administrator";
        let given = self.admin.resolve(self.cloud.context()).await?;
        if Key::of(&given).is_ok_and(|key| key.email == self.account) {
            let words = "`admin` is a key of the account whose key is to be ended: what stops an intruder would stop Quell; use another account";
            return Err(self.failed(WHAT, ConnectErrorKind::Denied, words));
        }
        Ok(Admin { of: self, token: self.cloud.token(&self.admin).await? })
    }

    pub(super) async fn checks(&self) -> Vec<Check> {
        const WHAT: &str = "looking at the account";
        let line = |what: &str, seen: Result<String, ConnectError>| {
            let (ok, detail) = seen.map_or_else(|error| (false, error.detail), |detail| (true, detail));
            Check { what: what.to_owned(), ok, detail }
        };
        let admin = match self.log_in().await {
            Ok(admin) => admin,
            Err(error) => return vec![line("log in as the administrator", Err(error))],
        };
        let keys = admin.list(WHAT).await;
        let full = keys.as_ref().is_ok_and(|keys| keys.len() >= KEYS_MAX);
        let mut checks =
            vec![line("list its keys", keys.map(|keys| format!("{} of {KEYS_MAX}", keys.len())))];
        if full {
            let detail =
                format!("it has {KEYS_MAX} keys, as many as Google allows: delete one that is not in use");
            checks.push(Check { what: "there is room for one more key".to_owned(), ok: false, detail });
        }
        let account = admin.account(WHAT).await;
        let off = account.as_ref().is_ok_and(|account| account.get("disabled") == Some(&Value::Bool(true)));
        checks.push(line("see the account", account.map(|_| "yes".to_owned())));
        if off {
            let detail = "it is disabled: no key of it works, and none can be proven".to_owned();
            checks.push(Check { what: "the account is enabled".to_owned(), ok: false, detail });
        }
        checks.push(line(
            "have a control",
            match self.try_control().await {
                Ok(quell_core::outcome::Probe::Accepted { .. }) => Ok("accepted".to_owned()),
                Ok(other) => Err(self.failed(WHAT, ConnectErrorKind::Denied, format!("{other:?}"))),
                Err(error) => Err(error),
            },
        ));
        checks
    }
}

impl Admin<'_> {
    fn path<'b>(&'b self, rest: &[&'b str]) -> Vec<&'b str> {
        let mut path = vec!["v1", "projects", "-", "serviceAccounts", self.of.account.as_str()];
        path.extend(rest);
        path
    }

    fn odd(&self, what: &'static str) -> ConnectError {
        self.of.failed(
            what,
            ConnectErrorKind::Unexpected,
            "the answer lacks what the reference says is in it",
        )
    }

    async fn ask(&self, ask: &Ask<'_>, needs: Needs<'_>) -> Result<Value, ConnectError> {
        self.of.cloud.ask(ask, &self.token, needs, &[]).await
    }

    /// The keys that are not Google's own.
    pub(super) async fn list(&self, what: &'static str) -> Result<Vec<Held>, ConnectError> {
        let path = self.path(&["keys"]);
        let answer = self.ask(&Ask::get(what, &path).query("keyTypes", "USER_MANAGED"), LIST).await?;
        let mut all = Vec::new();
        for one in answer.get("keys").and_then(Value::as_array).into_iter().flatten() {
            let text = |name: &str| one.get(name).and_then(Value::as_str);
            let id =
                text("name").and_then(|name| name.rsplit_once("/keys/")).ok_or_else(|| self.odd(what))?.1;
            all.push(Held {
                id: id.to_owned(),
                disabled: one.get("disabled") == Some(&Value::Bool(true)),
                reason: text("disableReason").map(str::to_owned),
                made: text("validAfterTime").and_then(|text| text.parse().ok()),
            });
        }
        Ok(all)
    }

    /// A new key: its id, and its file.
    pub(super) async fn create(&self, what: &'static str) -> Result<(String, SecretValue), ConnectError> {
        let body =
            json!({ "privateKeyType": "TYPE_GOOGLE_CREDENTIALS_FILE", "keyAlgorithm": "KEY_ALG_RSA_2048" });
        let path = self.path(&["keys"]);
        let answer = self.ask(&Ask::new(what, Method::POST, &path).json(&body), CREATE).await;
        let answer = answer.map_err(|mut error| {
            if error.detail.contains("FAILED_PRECONDITION") {
                error.kind = ConnectErrorKind::Denied;
                error.detail = format!(
                    "{}; an organization's policy may forbid keys (iam.disableServiceAccountKeyCreation), or the account has {KEYS_MAX}",
                    error.detail
                );
            }
            error
        })?;
        let text = |name: &str| answer.get(name).and_then(Value::as_str);
        let id = text("name").and_then(|name| name.rsplit_once("/keys/")).ok_or_else(|| self.odd(what))?.1;
        let data = text("privateKeyData").ok_or_else(|| self.odd(what))?;
        Ok((id.to_owned(), SecretValue::from_text(data.to_owned())))
    }

    pub(super) async fn disable(&self, what: &'static str, id: &str) -> Result<(), ConnectError> {
        let last = format!("{id}:disable");
        let path = self.path(&["keys", &last]);
        self.ask(&Ask::new(what, Method::POST, &path).json(&json!({})), DISABLE).await.map(drop)
    }

    /// One that is not there is deleted.
    pub(super) async fn delete(&self, what: &'static str, id: &str) -> Result<(), ConnectError> {
        let path = self.path(&["keys", id]);
        match self.ask(&Ask::new(what, Method::DELETE, &path), DELETE).await {
            Err(error) if error.kind == ConnectErrorKind::Missing => Ok(()),
            other => other.map(drop),
        }
    }

    pub(super) async fn account(&self, what: &'static str) -> Result<Value, ConnectError> {
        self.ask(&Ask::get(what, &self.path(&[])), GET).await
    }

    /// If the account still is as it was read.
    pub(super) async fn describe(
        &self,
        what: &'static str,
        account: &Value,
        text: &str,
    ) -> Result<(), ConnectError> {
        let etag = account.get("etag").cloned().unwrap_or_default();
        let body =
            json!({ "serviceAccount": { "description": text, "etag": etag }, "updateMask": "description" });
        let path = self.path(&[]);
        self.ask(&Ask::new(what, Method::PATCH, &path).json(&body), UPDATE).await.map(drop)
    }
}
