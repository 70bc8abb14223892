//! Posts a signed notice to a URL.

pub(crate) mod sign;

use async_trait::async_trait;
use quell_core::outcome::Outcome;
use quell_core::secret::SecretValue;
use reqwest::Method;
use serde::Deserialize;
use serde_json::{Value, json};

use crate::connector::{Check, Definition, Notice, Notify};
use crate::context::Context;
use crate::error::{ConfigError, ConnectError};
use crate::http_hook::place::{HttpPlace, answered};
use crate::source::SecretSource;

/// The registration of this connector.
pub static CONNECTOR: Definition = Definition {
    id: "webhook",
    summary: "Posts signed notices to a URL",
    readme: include_str!("README.md"),
    schemas,
    issuer: None,
    store: None,
    reload: None,
    observe: None,
    notify: Some(build),
    channel: None,
};

fn schemas() -> Vec<(&'static str, Value)> {
    let notify = json!({
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "type": "object",
        "additionalProperties": false,
        "required": ["url", "secret"],
        "properties": {
            "url": { "type": "string", "pattern": "^https?://", "description": "Where notices are posted" },
            "secret": {
                "type": "string",
                "description": "Reference to the key of the signature, at least 16 bytes: openbao:kv/infra/hook#key",
            },
        },
    });
    vec![("notify", notify)]
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Config {
    url: String,
    secret: SecretSource,
}

#[derive(Debug)]
struct Webhook {
    place: HttpPlace,
    secret: SecretSource,
    context: Context,
}

fn build(config: &Value, context: &Context) -> Result<Box<dyn Notify>, ConfigError> {
    let config: Config = ConfigError::parse(config)?;
    let place = HttpPlace::new("url", &config.url)?;
    Ok(Box::new(Webhook { place, secret: config.secret, context: context.clone() }))
}

impl Webhook {
    async fn key(&self) -> Result<SecretValue, ConnectError> {
        self.secret.resolve(&self.context).await
    }
}

#[async_trait]
impl Notify for Webhook {
    fn target(&self) -> String {
        format!("webhook {}", self.place)
    }

    async fn check(&self) -> Vec<Check> {
        let what = "have the key of the signature".to_owned();
        let key = match self.key().await.and_then(|key| sign::signature(&key, 0, b"")) {
            Ok(_) => Check { what, ok: true, detail: self.secret.to_string() },
            Err(error) => Check { what, ok: false, detail: error.to_string() },
        };
        vec![key, self.place.reachable(self.context.call_limit).await]
    }

    async fn send(&self, notice: &Notice) -> Outcome {
        let Ok(body) = serde_json::to_vec(notice) else {
            return Outcome::refused("the notice cannot be written as JSON");
        };
        let timestamp = sign::wall_clock().as_second();
        // Nothing was sent yet: without the key the notice is certainly not there.
        let signed = self.key().await.and_then(|key| sign::signature(&key, timestamp, &body));
        let signature = match signed {
            Ok(signature) => signature,
            Err(error) => return Outcome::retry(error.to_string()),
        };
        let request = match self.context.http.request(Method::POST, self.place.url()) {
            Ok(request) => request,
            Err(error) => return Outcome::retry(error.to_string()),
        };
        let request = request
            .timeout(self.context.call_limit)
            .header("Content-Type", "application/json")
            .header("X-Quell-Notice", header_text(&notice.id))
            .header(sign::TIMESTAMP, timestamp)
            .header(sign::SIGNATURE, signature)
            .body(body);
        let target = self.target();
        match self.context.http.send(&target, "posting the notice", request).await {
            Ok(answer) => answered(&target, &answer),
            Err(error) => error.outcome(),
        }
    }
}

/// An id with anything strange in it must not break the request.
fn header_text(id: &str) -> String {
    id.chars().map(|c| if c.is_ascii_graphic() { c } else { '_' }).collect()
}
