//! The four operations, and `quell inventory check`.

use base64::Engine as _;
use serde_json::{Value, json};
use zeroize::Zeroizing;

use super::{Check, ConnectError, ConnectErrorKind, Keys, Refusal, SecretsManager, Service, Version};
use crate::connector::Store as _;

/// The label of what is in use.
pub(super) const CURRENT: &str = "AWSCURRENT";

/// Of 100 versions each; AWS keeps about 100, and 20 deprecated ones more at most before it deletes.
const PAGES_MAX: usize = 20;

/// A version and the labels on it.
pub(super) struct Labelled {
    pub(super) id: String,
    pub(super) labels: Vec<String>,
}

impl SecretsManager {
    pub(super) async fn ask(
        &self,
        keys: &Keys,
        what: &'static str,
        operation: &str,
        body: &Value,
    ) -> Result<Result<Value, Refusal>, ConnectError> {
        let reply = self.cloud.json(keys, Service::SecretsManager, what, operation, body).await?;
        Ok(reply.map(|said| said.body))
    }

    pub(super) fn refused(&self, what: &'static str, operation: &str, refusal: &Refusal) -> ConnectError {
        let mut error = self.cloud.refused(what, refusal, "credentials");
        error.detail = format!("secretsmanager:{operation}: {}", error.detail);
        error.system = self.target();
        error
    }

    /// What is in use; `None` for a secret without any value.
    pub(super) async fn current(
        &self,
        keys: &Keys,
        what: &'static str,
    ) -> Result<Option<Version>, ConnectError> {
        let body = json!({ "SecretId": self.secret, "VersionStage": CURRENT });
        match self.ask(keys, what, "GetSecretValue", &body).await? {
            Ok(answer) => self.version(what, answer).map(Some),
            // Either the secret is not there, or it has no value yet.
            Err(refusal) if refusal.code == "ResourceNotFoundException" => {
                let described =
                    self.ask(keys, what, "DescribeSecret", &json!({ "SecretId": self.secret })).await?;
                let described =
                    described.map_err(|refusal| self.refused(what, "DescribeSecret", &refusal))?;
                let labels = described.get("VersionIdsToStages").and_then(Value::as_object);
                let mut labels =
                    labels.into_iter().flat_map(|map| map.values()).filter_map(Value::as_array).flatten();
                if labels.any(|label| label.as_str() == Some(CURRENT)) {
                    return Err(self.refused(what, "GetSecretValue", &refusal));
                }
                Ok(None)
            }
            Err(refusal) => Err(self.refused(what, "GetSecretValue", &refusal)),
        }
    }

    /// The bytes of one version, of a binary one, too. `None` when AWS deleted it meanwhile.
    pub(super) async fn bytes_of(
        &self,
        keys: &Keys,
        what: &'static str,
        id: &str,
    ) -> Result<Option<Zeroizing<Vec<u8>>>, ConnectError> {
        let Some(mut answer) = self.answer_of(keys, what, id).await? else { return Ok(None) };
        // API reference, `GetSecretValue`: the one is text, the other base64.
        if let Some(Value::String(text)) = answer.get_mut("SecretString").map(Value::take) {
            return Ok(Some(Zeroizing::new(text.into_bytes())));
        }
        let Some(Value::String(text)) = answer.get_mut("SecretBinary").map(Value::take) else {
            return Err(self.cloud.odd(what));
        };
        let text = Zeroizing::new(text);
        let bytes =
            base64::prelude::BASE64_STANDARD.decode(text.as_bytes()).map_err(|_e| self.cloud.odd(what))?;
        Ok(Some(Zeroizing::new(bytes)))
    }

    async fn answer_of(
        &self,
        keys: &Keys,
        what: &'static str,
        id: &str,
    ) -> Result<Option<Value>, ConnectError> {
        let body = json!({ "SecretId": self.secret, "VersionId": id });
        match self.ask(keys, what, "GetSecretValue", &body).await? {
            Ok(answer) => Ok(Some(answer)),
            Err(refusal) if refusal.code == "ResourceNotFoundException" => Ok(None),
            Err(refusal) => Err(self.refused(what, "GetSecretValue", &refusal)),
        }
    }

    fn version(&self, what: &'static str, mut answer: Value) -> Result<Version, ConnectError> {
        let id = answer.get("VersionId").and_then(Value::as_str).map(str::to_owned);
        let text = answer.get_mut("SecretString").map(Value::take);
        match (id, text) {
            (Some(id), Some(Value::String(text))) => Ok(Version { id, text: Zeroizing::new(text) }),
            (Some(_), None) if answer.get("SecretBinary").is_some() => {
                Err(self.failed(what, ConnectErrorKind::Denied, "the secret is binary; only text is rotated"))
            }
            _ => Err(self.cloud.odd(what)),
        }
    }

    /// All versions that are not deleted, without labels too.
    pub(super) async fn versions(
        &self,
        keys: &Keys,
        what: &'static str,
    ) -> Result<Vec<Labelled>, ConnectError> {
        let mut all = Vec::new();
        let mut next: Option<String> = None;
        for _ in 0..PAGES_MAX {
            let mut body = json!({ "SecretId": self.secret, "IncludeDeprecated": true, "MaxResults": 100 });
            if let (Some(token), Some(body)) = (&next, body.as_object_mut()) {
                body.insert("NextToken".to_owned(), json!(token));
            }
            let answer = match self.ask(keys, what, "ListSecretVersionIds", &body).await? {
                Ok(answer) => answer,
                Err(refusal) => return Err(self.refused(what, "ListSecretVersionIds", &refusal)),
            };
            let list =
                answer.get("Versions").and_then(Value::as_array).ok_or_else(|| self.cloud.odd(what))?;
            for one in list {
                let id = one.get("VersionId").and_then(Value::as_str).ok_or_else(|| self.cloud.odd(what))?;
                let labels = one.get("VersionStages").and_then(Value::as_array).into_iter().flatten();
                let labels = labels.filter_map(Value::as_str).map(str::to_owned).collect();
                all.push(Labelled { id: id.to_owned(), labels });
            }
            next = answer
                .get("NextToken")
                .and_then(Value::as_str)
                .filter(|it| !it.is_empty())
                .map(str::to_owned);
            if next.is_none() {
                return Ok(all);
            }
        }
        Err(self.cloud.odd(what))
    }

    pub(super) async fn checks(&self) -> Vec<Check> {
        const WHAT: &str = "checking permissions";
        let line = |what: &str, ok, detail: String| Check { what: what.to_owned(), ok, detail };
        let keys = match self.cloud.keys(&self.credentials).await {
            Ok(keys) => keys,
            Err(error) => return vec![line("have an access key for AWS", false, error.to_string())],
        };
        let mut checks = Vec::new();
        match self.current(&keys, WHAT).await {
            Ok(Some(current)) => match self.value_in(WHAT, &current) {
                Ok(_) => checks.push(line("read the secret", true, format!("version {}", current.id))),
                Err(error) => checks.push(line("read the secret", false, error.detail)),
            },
            Ok(None) => checks.push(line("read the secret", true, "it has no value yet".to_owned())),
            Err(error) => checks.push(line("read the secret", false, error.detail)),
        }
        match self.versions(&keys, WHAT).await {
            Ok(all) => checks.push(line("list its versions", true, format!("{} kept", all.len()))),
            Err(error) => checks.push(line("list its versions", false, error.detail)),
        }
        match self.ask(&keys, WHAT, "DescribeSecret", &json!({ "SecretId": self.secret })).await {
            Ok(Ok(answer)) => {
                let rotates = answer.get("RotationEnabled").and_then(Value::as_bool) == Some(true);
                let detail = if rotates {
                    "AWS rotates it by a function of its own, which would replace what Quell writes; stop that first"
                } else {
                    "no"
                };
                checks.push(line("nobody else rotates it", !rotates, detail.to_owned()));
            }
            Ok(Err(refusal)) => {
                let error = self.refused(WHAT, "DescribeSecret", &refusal);
                checks.push(line("nobody else rotates it", false, error.detail));
            }
            Err(error) => checks.push(line("nobody else rotates it", false, error.detail)),
        }
        checks
    }
}
