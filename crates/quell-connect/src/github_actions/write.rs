//! The value in a sealed box for the key that is in force. The secret must be there: one that Quell made by a slip of the pen would be read by nobody.

use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;
use quell_core::outcome::Outcome;
use quell_core::secret::SecretValue;
use reqwest::Method;
use serde_json::{Map, Value, json};

use super::{Actions, ConnectError, ConnectErrorKind};
use crate::github::{Level, seal};
use crate::rest::Ask;

const WHAT: &str = "writing the secret";

/// "Secrets reference", limits for secrets.
const LONGEST: usize = 48 << 10;

impl Actions {
    pub(super) async fn try_write(&self, new: &SecretValue) -> Result<Outcome, ConnectError> {
        if new.expose().len() > LONGEST {
            return Ok(Outcome::refused("the value is longer than 48 KB, which GitHub takes"));
        }
        let (_, secret) = self.at.secret(&self.github, WHAT, &self.name).await?;
        let audience = self.audience(&secret).await?;
        let (mut id, mut key) = self.public_key().await?;
        let mut put = self.put(new, &id, &key, &audience).await?;
        // The key was replaced in between: a definite refusal, and another box.
        if put.is_err() {
            let (next_id, next_key) = self.public_key().await?;
            if next_id != id {
                (id, key) = (next_id, next_key);
                put = self.put(new, &id, &key, &audience).await?;
            }
        }
        if let Err(refused) = put {
            return Ok(refused.outcome());
        }
        // It was taken. When exactly is what a run is compared with.
        let at = match self.at.secret(&self.github, WHAT, &self.name).await {
            Ok((at, _)) => at,
            Err(error) => return Ok(error.unseen()),
        };
        Ok(Outcome::applied([("version", json!(at.to_string())), ("key_id", json!(id))]))
    }

    async fn public_key(&self) -> Result<(String, Vec<u8>), ConnectError> {
        let path = self.at.path(&["public-key"]);
        let said = self.github.ask(&Ask::get(WHAT, &path), self.at.needs()).await?;
        let text = |name: &str| said.body.get(name).and_then(Value::as_str);
        let key = text("key").and_then(|key| BASE64_STANDARD.decode(key).ok());
        let odd = || self.github.error(WHAT, ConnectErrorKind::Unexpected, "it gives no public key");
        let id = text("key_id").filter(|id| !id.is_empty()).ok_or_else(odd)?;
        Ok((id.to_owned(), key.filter(|key| key.len() == 32).ok_or_else(odd)?))
    }

    /// The inner error is a refusal of this box, by a status of its own (422).
    async fn put(
        &self,
        new: &SecretValue,
        key_id: &str,
        key: &[u8],
        audience: &Map<String, Value>,
    ) -> Result<Result<(), ConnectError>, ConnectError> {
        let odd = || self.github.error(WHAT, ConnectErrorKind::Denied, "the public key cannot be used");
        let sealed = seal(key, new.expose()).ok_or_else(odd)?;
        let mut body = audience.clone();
        body.insert("encrypted_value".to_owned(), json!(BASE64_STANDARD.encode(sealed)));
        body.insert("key_id".to_owned(), json!(key_id));
        let path = self.at.path(&[&self.name]);
        let ask = Ask::new(WHAT, Method::PUT, &path).json(&Value::Object(body));
        match self.github.ask(&ask, self.at.needs()).await {
            Ok(said) if matches!(said.status, 201 | 204) => Ok(Ok(())),
            Ok(said) => {
                let words = format!("it answered {}", said.status);
                Err(self.github.error(WHAT, ConnectErrorKind::Unexpected, words))
            }
            Err(error) if error.detail.starts_with("refused with 422") => Ok(Err(error)),
            Err(error) => Err(error),
        }
    }

    /// Who may read an organization's secret must be said with every write, and stays as it is.
    async fn audience(&self, secret: &Value) -> Result<Map<String, Value>, ConnectError> {
        let mut body = Map::new();
        if !matches!(self.at, Level::Organization(_)) {
            return Ok(body);
        }
        let visibility = secret.get("visibility").and_then(Value::as_str).ok_or_else(|| {
            self.github.error(WHAT, ConnectErrorKind::Unexpected, "it does not say who may read the secret")
        })?;
        body.insert("visibility".to_owned(), json!(visibility));
        if visibility == "selected" {
            let path = self.at.path(&[&self.name, "repositories"]);
            let all = self.github.all(WHAT, &path, "repositories", self.at.needs()).await?;
            let ids: Vec<&Value> = all.iter().filter_map(|one| one.get("id")).collect();
            body.insert("selected_repository_ids".to_owned(), json!(ids));
        }
        Ok(body)
    }
}
