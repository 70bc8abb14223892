//! Reload: one request, optionally with a bearer token and a signature.

use async_trait::async_trait;
use quell_core::outcome::Outcome;
use reqwest::Method;
use serde::Deserialize;
use serde_json::Value;

use super::place::{HttpPlace, answered};
use crate::connector::{Check, Reload};
use crate::context::Context;
use crate::error::{ConfigError, ConnectError, ConnectErrorKind};
use crate::source::SecretSource;
use crate::webhook::sign;

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Config {
    http: OneOrMore,
}

#[derive(Deserialize)]
#[serde(untagged)]
enum OneOrMore {
    Url(String),
    Table(Table),
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Table {
    url: String,
    method: Option<String>,
    token: Option<SecretSource>,
    signature_key: Option<SecretSource>,
}

#[derive(Debug)]
struct Hook {
    place: HttpPlace,
    method: Method,
    token: Option<SecretSource>,
    signature_key: Option<SecretSource>,
    context: Context,
}

pub(super) fn build(config: &Value, context: &Context) -> Result<Box<dyn Reload>, ConfigError> {
    let table = match ConfigError::parse::<Config>(config)?.http {
        OneOrMore::Url(url) => Table { url, method: None, token: None, signature_key: None },
        OneOrMore::Table(table) => table,
    };
    let method = match table.method.as_deref() {
        None | Some("POST") => Method::POST,
        Some("PUT") => Method::PUT,
        Some("PATCH") => Method::PATCH,
        Some(_) => {
            return Err(ConfigError::at(
                "method",
                "this method is not for a reload",
                "use POST, PUT or PATCH",
            ));
        }
    };
    let place = HttpPlace::new("http", &table.url)?;
    let (token, signature_key) = (table.token, table.signature_key);
    Ok(Box::new(Hook { place, method, token, signature_key, context: context.clone() }))
}

impl Hook {
    async fn request(&self) -> Result<reqwest::RequestBuilder, ConnectError> {
        let http = &self.context.http;
        let mut request =
            http.request(self.method.clone(), self.place.url())?.timeout(self.context.call_limit);
        request = request.header("Content-Length", 0);
        if let Some(source) = &self.token {
            request = bearer(request, source, &self.context).await?;
        }
        if let Some(source) = &self.signature_key {
            let key = source.resolve(&self.context).await?;
            let timestamp = sign::wall_clock().as_second();
            request = request
                .header(sign::TIMESTAMP, timestamp)
                .header(sign::SIGNATURE, sign::signature(&key, timestamp, b"")?);
        }
        Ok(request)
    }
}

/// Adds the token as a sensitive header, so that no `Debug` shows it.
pub(super) async fn bearer(
    request: reqwest::RequestBuilder,
    source: &SecretSource,
    context: &Context,
) -> Result<reqwest::RequestBuilder, ConnectError> {
    let token = source.resolve(context).await?;
    let text = token.expose_text().filter(|text| text.bytes().all(|b| b.is_ascii_graphic()));
    let text = text.ok_or_else(|| {
        let words = "the token has characters that no header can hold";
        ConnectError::new(source.to_string(), "fetching the token", ConnectErrorKind::Denied, words)
    })?;
    Ok(request.bearer_auth(text))
}

#[async_trait]
impl Reload for Hook {
    fn target(&self) -> String {
        format!("{} {}", self.method, self.place)
    }

    async fn check(&self) -> Vec<Check> {
        let mut checks = vec![self.place.reachable(self.context.call_limit).await];
        if self.token.is_some() || self.signature_key.is_some() {
            let (ok, detail) = match self.request().await {
                Ok(_) => (true, "yes".to_owned()),
                Err(error) => (false, error.to_string()),
            };
            checks.push(Check { what: "have the token and the key of the hook".to_owned(), ok, detail });
        }
        checks
    }

    async fn reload(&self) -> Outcome {
        let target = self.target();
        // Without credentials nothing is sent, so nothing happened.
        let request = match self.request().await {
            Ok(request) => request,
            Err(error) => return Outcome::retry(format!("{target}: {error}")),
        };
        match self.context.http.send(&target, "calling the reload hook", request).await {
            Ok(answer) => answered(&target, &answer),
            Err(error) => error.outcome(),
        }
    }
}
