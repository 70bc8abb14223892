//! Sends notices as mail.
//!
//! Source: RFC 5321 (SMTP), RFC 3207 (STARTTLS), RFC 8314 (TLS from the first byte), RFC 4954 (AUTH), RFC 5322 (messages), RFC 3834 (automatic
//! messages), read 2026-11. A server takes a message over with its answer to the last dot and with nothing else: before the dot nothing was sent,
//! after it and without an answer nobody knows.

mod message;
mod session;

use std::path::PathBuf;

use async_trait::async_trait;
use lettre::message::Mailbox;
use quell_core::outcome::Outcome;
use serde::Deserialize;
use serde_json::{Value, json};

use self::session::Server;
use crate::connector::{Check, Definition, Notice, Notify};
use crate::context::Context;
use crate::error::{ConfigError, ConnectError};
use crate::source::SecretSource;

/// The registration of this connector.
pub static CONNECTOR: Definition = Definition {
    id: "smtp",
    summary: "Sends notices as mail, by a server that speaks TLS",
    readme: include_str!("README.md"),
    schemas,
    issuer: None,
    store: None,
    reload: None,
    observe: None,
    notify: Some(build),
    channel: None,
};

/// Most people of one entry.
const TO_MAX: usize = 50;

fn schemas() -> Vec<(&'static str, Value)> {
    let text = |what: &str| json!({ "type": "string", "minLength": 1, "description": what });
    let notify = json!({
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "title": "Mail",
        "type": "object",
        "additionalProperties": false,
        "required": ["host", "from", "to"],
        "properties": {
            "host": text("The mail server, by the name in its certificate"),
            "port": { "type": "integer", "minimum": 1, "maximum": 65535, "description": "465, or 587 with `tls: starttls`" },
            "tls": { "enum": ["implicit", "starttls"], "description": "TLS from the first byte (implicit), or by STARTTLS; never without" },
            "user": text("Who logs in"),
            "password": text("Reference to the password: openbao:kv/infra/mail#password"),
            "from": text("The sender: Quell <quell@example.com>"),
            "to": { "type": "array", "minItems": 1, "maxItems": TO_MAX, "items": { "type": "string" }, "description": "Who gets it" },
            "ca": text("A file with the certificates (PEM) that the server's is checked against, beside the platform's"),
        },
    });
    vec![("notify", notify)]
}

#[derive(Clone, Copy, Debug, Default, Deserialize, Eq, PartialEq)]
#[serde(rename_all = "lowercase")]
enum Tls {
    #[default]
    Implicit,
    Starttls,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Config {
    host: String,
    port: Option<u16>,
    #[serde(default)]
    tls: Tls,
    user: Option<String>,
    password: Option<SecretSource>,
    from: String,
    to: Vec<String>,
    ca: Option<PathBuf>,
}

#[derive(Debug)]
struct Mail {
    server: Server,
    from: Mailbox,
    to: Vec<Mailbox>,
}

fn build(config: &Value, context: &Context) -> Result<Box<dyn Notify>, ConfigError> {
    let config: Config = ConfigError::parse(config)?;
    let mailbox = |key: &str, text: &str| -> Result<Mailbox, ConfigError> {
        let hint = "Write ines@example.com, or Ines <ines@example.com>.";
        let bad = || ConfigError::at(key, "this is not an address of mail", hint);
        let mailbox: Mailbox = text.parse().map_err(|_e| bad())?;
        // Beyond ASCII, and control characters in names, servers differ.
        let plain = text.chars().all(|c| !c.is_control()) && mailbox.email.to_string().is_ascii();
        Some(mailbox).filter(|_| plain).ok_or_else(bad)
    };
    let to = config.to.iter().map(|to| mailbox("to", to)).collect::<Result<Vec<_>, _>>()?;
    if to.is_empty() || to.len() > TO_MAX {
        return Err(ConfigError::at("to", "nobody gets it, or too many", "Name one to fifty addresses."));
    }
    let is_host = |b: u8| b.is_ascii_alphanumeric() || b"-.:".contains(&b);
    if config.host.is_empty() || !config.host.bytes().all(is_host) {
        return Err(ConfigError::at("host", "this is not the name of a server", "Write mail.example.com."));
    }
    let login = match (config.user, config.password) {
        (Some(user), Some(password)) => Some((user, password)),
        (None, None) => None,
        (Some(_), None) | (None, Some(_)) => {
            let hint = "A login needs both.";
            return Err(ConfigError::at("user", "one of `user` and `password` is missing", hint));
        }
    };
    let usual = match config.tls {
        Tls::Implicit => 465,
        Tls::Starttls => 587,
    };
    let server = Server {
        host: config.host,
        port: config.port.unwrap_or(usual),
        tls: config.tls,
        login,
        ca: config.ca.map(|path| context.base.join(path)),
        context: context.clone(),
    };
    Ok(Box::new(Mail { server, from: mailbox("from", &config.from)?, to }))
}

#[async_trait]
impl Notify for Mail {
    fn target(&self) -> String {
        let to: Vec<String> = self.to.iter().map(|to| to.email.to_string()).collect();
        format!("mail by {} to {}", self.server, to.join(", "))
    }

    async fn check(&self) -> Vec<Check> {
        let what = match self.server.login {
            Some(_) => "reach the mail server by TLS and log in",
            None => "reach the mail server by TLS",
        };
        let (ok, detail) = match self.server.try_login().await {
            Ok(()) => (true, self.server.to_string()),
            Err(error) => (false, error.to_string()),
        };
        vec![Check { what: what.to_owned(), ok, detail }]
    }

    async fn send(&self, notice: &Notice) -> Outcome {
        let Some((message, id)) = message::build(notice, &self.from, &self.to) else {
            return Outcome::refused("the notice cannot be written as mail");
        };
        let told = self.server.deliver(&self.from.email, &self.to, &message).await;
        told.and_then(|refused| self.told(&id, &refused)).unwrap_or_else(|error| error.outcome())
    }
}

impl Mail {
    /// Who was refused did not get it, whatever became of the others.
    fn told(&self, id: &str, refused: &[session::Refused]) -> Result<Outcome, ConnectError> {
        if let Some(worst) = refused.iter().max_by_key(|refused| refused.for_good) {
            let words: Vec<&str> = refused.iter().map(|refused| refused.words.as_str()).collect();
            let got = self.to.len().saturating_sub(refused.len());
            let words = format!("{got} of {} got it: {}", self.to.len(), words.join("; "));
            return Err(self.server.refusal("naming who gets it", worst.for_good, words));
        }
        Ok(Outcome::applied([("message_id", json!(id)), ("recipients", json!(self.to.len()))]))
    }
}
