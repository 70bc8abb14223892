//! A client's own record at the server (RFC 7592): read, and updated so that the server gives a new secret.
//!
//! The server may give another registration access token with each answer, and the one before is then dead (section 3): the next one is written
//! to its store before anything else is done with the answer. A lost answer loses it, and only people can make a new one.

use std::time::Duration;

use quell_core::outcome::Outcome;
use quell_core::secret::SecretValue;
use reqwest::Method;
use reqwest::header::{ACCEPT, AUTHORIZATION, HeaderValue};
use serde_json::{Map, Value};
use url::Url;
use zeroize::Zeroizing;

use super::config::{RegistrationConfig, address};
use super::server::Server;
use crate::connector::Store;
use crate::context::Context;
use crate::error::{ConfigError, ConnectError, ConnectErrorKind};
use crate::words::without;

/// The record, and where the token for it is kept.
pub(super) struct Registration {
    uri: Url,
    token: Box<dyn Store>,
}

/// The record, as the server gave it. Holds secrets.
pub(super) struct Record {
    fields: Map<String, Value>,
    /// Why the next token could not be kept, when it could not.
    pub(super) lost: Option<String>,
}

/// What an update must not repeat (RFC 7592, section 2.2), and the secret, which it need not.
const NOT_SENT: [&str; 5] = [
    "client_id_issued_at",
    "client_secret",
    "client_secret_expires_at",
    "registration_access_token",
    "registration_client_uri",
];

/// How often the next token is written before it counts as lost, and how long to wait in between.
const KEEPS: u32 = 4;
const WAIT: Duration = Duration::from_millis(100);

/// A check of a file that others may read: that stops no answer to a leak.
const OPEN: &str = "keep others";

const READING: &str = "reading the client's record";
const UPDATING: &str = "updating the client's record";

impl Record {
    pub(super) fn secret(&self) -> Option<&str> {
        self.fields.get("client_secret").and_then(Value::as_str).filter(|secret| !secret.is_empty())
    }
}

impl Registration {
    pub(super) fn new(config: &RegistrationConfig, ctx: &Context) -> Result<Self, ConfigError> {
        let key = "client_secret.registration.token";
        let hint = "Write it as in `stores:`, such as `{ file: { path: registration-token } }`.";
        let bad = |why: &str| ConfigError::at(key, why.to_owned(), hint);
        let map = config.token.as_object().ok_or_else(|| bad("it is not a store"))?;
        let mut entries = map.iter();
        let (Some((id, part)), None) = (entries.next(), entries.next()) else {
            return Err(bad("it must name one store"));
        };
        let build = crate::find(id).and_then(|definition| definition.store);
        let token = build.ok_or_else(|| bad("there is no such store"))?(part, ctx)?;
        Ok(Self { uri: address("client_secret.registration.uri", &config.uri)?, token })
    }

    /// Where the token is kept.
    pub(super) fn store(&self) -> &dyn Store {
        &*self.token
    }

    /// The whole record. May change the token, which is written down.
    pub(super) async fn read(&self, server: &Server) -> Result<Record, ConnectError> {
        self.ask(server, READING, Method::GET, None).await
    }

    /// Sends the record back as it is; a server that changes secrets does so now.
    pub(super) async fn update(&self, server: &Server, record: Record) -> Result<Record, ConnectError> {
        let mut fields = record.fields;
        fields.retain(|name, _| !NOT_SENT.contains(&name.as_str()));
        self.ask(server, UPDATING, Method::PUT, Some(Value::Object(fields))).await
    }

    async fn ask(
        &self,
        server: &Server,
        what: &'static str,
        method: Method,
        body: Option<Value>,
    ) -> Result<Record, ConnectError> {
        let denied = |words: String| server.error(what, ConnectErrorKind::Denied, words);
        let place = self.token.target();
        let stored = self.token.read().await?;
        let token =
            stored.ok_or_else(|| denied(format!("there is no registration access token in {place}")))?;
        self.can_keep(&token.value).await.map_err(|why| {
            denied(format!(
                "the next registration access token could not be kept in {place} ({why}); nothing was asked"
            ))
        })?;
        let text = token.value.expose_text().unwrap_or_default();
        let header = Zeroizing::new(format!("Bearer {text}"));
        let mut header = HeaderValue::from_str(&header)
            .map_err(|_e| denied(format!("what {place} holds is no registration access token")))?;
        header.set_sensitive(true);
        let mut request = server.ctx().http.request(method, self.uri.as_str())?;
        request = request.header(AUTHORIZATION, header).header(ACCEPT, "application/json");
        if let Some(body) = &body {
            request = request.json(body);
        }
        let answer = server.ctx().http.send(&server.name(), what, request).await?;
        let said = answer.json();
        let code = said.get("error").and_then(Value::as_str).unwrap_or_default();
        let code = without(&crate::words::one_line(code), text);
        match (answer.status, said) {
            (200, Value::Object(fields)) if fields.contains_key("client_id") => {
                let lost = self.keep(&fields, &token.value).await;
                Ok(Record { fields, lost })
            }
            (429, _) => {
                let kind = ConnectErrorKind::Transient { retry_after: answer.retry_after };
                Err(server.error(what, kind, "it has no time"))
            }
            (500.., _) => {
                Err(server.error(what, ConnectErrorKind::Lost, format!("it answered {}", answer.status)))
            }
            (401, _) => Err(denied(format!(
                "it refuses the registration access token ({code}): it changes with each use at some servers, and somebody else used it, or \
                 the answer with the next one was lost. {}",
                self.instead()
            ))),
            (400..500, _) if !code.is_empty() => Err(denied(format!("it refused: {code}"))),
            (status, _) => {
                let words = format!("it answered {status} with something that is no record of a client");
                Err(server.error(what, ConnectErrorKind::Unexpected, words))
            }
        }
    }

    /// Writes the next token down, before anything else can go wrong.
    async fn keep(&self, fields: &Map<String, Value>, used: &SecretValue) -> Option<String> {
        let next = fields.get("registration_access_token").and_then(Value::as_str)?;
        let next = SecretValue::from_text(next.to_owned());
        if next.same_as(used) {
            return None;
        }
        let mut why = String::new();
        for _ in 0..KEEPS {
            match self.token.write(&next).await {
                Outcome::Applied { .. } => return None,
                Outcome::NotApplied { reason, .. } | Outcome::Unknown { reason } => why = reason,
            }
            tokio::time::sleep(WAIT).await;
        }
        let instead = self.instead();
        Some(format!(
            "the server changed the registration access token, and the next one could not be kept ({why}). {instead}"
        ))
    }

    /// What only people can do.
    fn instead(&self) -> String {
        format!(
            "Have an administrator of the server make a new one, put it into {}, and retry the step",
            self.token.target()
        )
    }

    /// Whether the store takes what it holds once more, and says that it may be written to: one that finds nothing to change writes nothing.
    async fn can_keep(&self, current: &SecretValue) -> Result<(), String> {
        if let Some(failed) =
            self.token.check().await.into_iter().find(|check| !check.ok && !check.what.starts_with(OPEN))
        {
            return Err(format!("{}: {}", failed.what, failed.detail));
        }
        match self.token.write(current).await {
            Outcome::Applied { .. } => Ok(()),
            Outcome::NotApplied { reason, .. } | Outcome::Unknown { reason } => Err(reason),
        }
    }
}
