//! Observe: the health page, and where in it the generation is.

use async_trait::async_trait;
use reqwest::Method;
use serde::Deserialize;
use serde_json::Value;

use super::place::HttpPlace;
use super::reload::bearer;
use crate::connector::{Check, Observe, Seen};
use crate::context::Context;
use crate::dotted::{Dotted, Fields};
use crate::error::{ConfigError, ConnectError, ConnectErrorKind};
use crate::source::SecretSource;

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Config {
    http: OneOrMore,
    generation: Dotted,
    principal: Option<Dotted>,
    healthy: Option<Dotted>,
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
    token: Option<SecretSource>,
}

#[derive(Debug)]
struct Page {
    place: HttpPlace,
    token: Option<SecretSource>,
    fields: Fields,
    context: Context,
}

pub(super) fn build(config: &Value, context: &Context) -> Result<Box<dyn Observe>, ConfigError> {
    let config: Config = ConfigError::parse(config)?;
    let (url, token) = match config.http {
        OneOrMore::Url(url) => (url, None),
        OneOrMore::Table(table) => (table.url, table.token),
    };
    let fields =
        Fields { generation: Some(config.generation), principal: config.principal, healthy: config.healthy };
    Ok(Box::new(Page { place: HttpPlace::new("http", &url)?, token, fields, context: context.clone() }))
}

#[async_trait]
impl Observe for Page {
    fn target(&self) -> String {
        format!("GET {}{}", self.place, self.fields)
    }

    async fn check(&self) -> Vec<Check> {
        let (ok, detail) = match self.see().await {
            Ok(seen) if seen.healthy => (true, "it is healthy and tells its generation".to_owned()),
            Ok(_) => (false, "it says that it is not healthy".to_owned()),
            Err(error) => (false, error.detail),
        };
        vec![Check { what: self.target(), ok, detail }]
    }

    async fn see(&self) -> Result<Seen, ConnectError> {
        const WHAT: &str = "asking the consumer";
        let system = format!("GET {}", self.place);
        let failed = |kind, words: String| ConnectError::new(system.as_str(), WHAT, kind, words);
        let http = &self.context.http;
        let mut request = http.request(Method::GET, self.place.url())?.timeout(self.context.call_limit);
        request = request.header("Accept", "application/json").header("Cache-Control", "no-cache");
        if let Some(source) = &self.token {
            request = bearer(request, source, &self.context).await?;
        }
        let answer = http.send(&system, WHAT, request).await?;
        let status = answer.status;
        let kind = match status {
            200..=299 => None,
            401 | 403 => Some(ConnectErrorKind::Denied),
            404 | 410 => Some(ConnectErrorKind::Missing),
            408 | 425 | 429 => Some(ConnectErrorKind::Transient { retry_after: answer.retry_after }),
            // A health page of a failing consumer answers 5xx, often with the same JSON.
            500..=599 => None,
            _ => Some(ConnectErrorKind::Unexpected),
        };
        if let Some(kind) = kind {
            return Err(failed(kind, format!("status {status}")));
        }
        let well = status < 300;
        let json = answer.json();
        if well && json.is_null() {
            return Err(failed(ConnectErrorKind::Unexpected, "the answer is not JSON".to_owned()));
        }
        self.fields.seen(&json, well).map_err(|words| failed(ConnectErrorKind::Unexpected, words))
    }
}
