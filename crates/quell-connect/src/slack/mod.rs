//! Posts to a channel of Slack, and takes approvals from it.
//!
//! Source: Slack's documentation (docs.slack.dev), "`chat.postMessage`", "`chat.update`", "`conversations.history`", "`conversations.replies`",
//! "`auth.test`", "Message metadata", "Rate limits", "Formatting message text", "Verifying requests from Slack", read 2026-11.
//!
//! An incident is one message, which shows how it stands now, and a thread below it. Slack drops no repeat, so every message carries an id in its
//! metadata, and it is looked for before one is posted.

mod api;
pub mod approval;
mod message;

use async_trait::async_trait;
use quell_core::outcome::Outcome;
use quell_core::secret::SecretValue;
use serde::Deserialize;
use serde_json::{Value, json};
use std::collections::BTreeMap;

use self::api::{Api, Head, Me};
use self::message::Shown;
use crate::connector::{Check, Definition, Notice, Notify, Repeat};
use crate::context::Context;
use crate::error::{ConfigError, ConnectError};
use crate::rest::{Rest, address};
use crate::source::SecretSource;

/// The registration of this connector.
pub static CONNECTOR: Definition = Definition {
    id: "slack",
    summary: "Posts an incident to a Slack channel, keeps it up to date, and takes approvals there",
    readme: include_str!("README.md"),
    schemas,
    issuer: None,
    store: None,
    reload: None,
    observe: None,
    notify: Some(build),
    channel: None,
};

const USUAL: &str = "https://slack.com/api";

fn schemas() -> Vec<(&'static str, Value)> {
    let text = |what: &str| json!({ "type": "string", "minLength": 1, "description": what });
    let notify = json!({
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "title": "A channel of Slack",
        "type": "object",
        "additionalProperties": false,
        "required": ["token", "channel"],
        "properties": {
            "token": text("Reference to the app's bot token: openbao:kv/infra/slack#bot_token"),
            "channel": { "type": "string", "pattern": "^[CG][A-Z0-9]{5,}$", "description": "The channel's id, not its name: C0123456789" },
            "signing_secret": text("Reference to the app's signing secret; with `users`, approvals are taken from the channel"),
            "users": {
                "type": "object",
                "additionalProperties": { "type": "string", "minLength": 1 },
                "description": "Who may approve: Slack's user id, and the name as it stands in the ledger: { U0123456789: ines }",
            },
            "url": text("Another address than https://slack.com/api"),
        },
    });
    vec![("notify", notify)]
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Config {
    token: SecretSource,
    channel: String,
    signing_secret: Option<SecretSource>,
    #[serde(default)]
    users: BTreeMap<String, String>,
    url: Option<String>,
}

#[derive(Debug)]
struct Slack {
    api: Api,
    token: SecretSource,
    /// Approvals are taken from the channel.
    buttons: bool,
}

fn build(config: &Value, context: &Context) -> Result<Box<dyn Notify>, ConfigError> {
    let config = read(config)?;
    let base = address("url", config.url.as_deref().unwrap_or(USUAL))?;
    let rest = Rest::new(context, context.http.clone(), "slack", base);
    let buttons = config.signing_secret.is_some() && !config.users.is_empty();
    Ok(Box::new(Slack { api: Api { rest, channel: config.channel }, token: config.token, buttons }))
}

fn read(config: &Value) -> Result<Config, ConfigError> {
    let config: Config = ConfigError::parse(config)?;
    let is_id = |text: &str, first: [char; 2]| {
        text.len() > 5
            && text.starts_with(first)
            && text.chars().all(|c| c.is_ascii_uppercase() || c.is_ascii_digit())
    };
    if !is_id(&config.channel, ['C', 'G']) {
        let hint = "Copy the id from the channel's details in Slack: C0123456789. A name can be given to another channel.";
        return Err(ConfigError::at("channel", "this is not the id of a channel", hint));
    }
    if config.users.iter().any(|(id, name)| !is_id(id, ['U', 'W']) || name.trim().is_empty()) {
        let hint =
            "Write { U0123456789: ines }: Slack's id of the user, and the name that stands in the ledger.";
        return Err(ConfigError::at("users", "a key is not the id of a user, or a name is empty", hint));
    }
    if config.users.is_empty() != config.signing_secret.is_none() {
        let hint =
            "Approvals need both: `signing_secret` to tell Slack from others, `users` to know who approves.";
        return Err(ConfigError::at("users", "one of `users` and `signing_secret` is missing", hint));
    }
    Ok(config)
}

/// What stands in the channel about an incident.
struct There {
    head: Option<Head>,
    /// The reply that carries the notice.
    reply: Option<String>,
}

impl Slack {
    async fn token(&self) -> Result<SecretValue, ConnectError> {
        self.token.resolve(&self.api.rest.context).await
    }

    async fn look(&self, token: &SecretValue, me: &Me, notice: &Notice) -> Result<There, ConnectError> {
        let known = notice.first.get("head").and_then(Value::as_str);
        let here = notice.first.get("channel").and_then(Value::as_str) == Some(self.api.channel.as_str());
        if let Some(ts) = known.filter(|_| here) {
            // Somebody may have deleted it.
            if let Some((head, reply)) = self.api.thread(token, me, ts, notice).await? {
                return Ok(There { head: Some(head), reply });
            }
        }
        let Some(head) = self.api.head(token, me, notice).await? else {
            return Ok(There { head: None, reply: None });
        };
        if head.shows.first == notice.id {
            return Ok(There { head: Some(head), reply: None });
        }
        let thread = self.api.thread(token, me, &head.ts, notice).await?;
        Ok(thread
            .map_or(There { head: None, reply: None }, |(head, reply)| There { head: Some(head), reply }))
    }

    /// Whether all of it is there.
    fn is_whole(&self, there: &There, notice: &Notice) -> Option<Outcome> {
        let head = there.head.as_ref()?;
        if head.shows.first == notice.id {
            return Some(self.told(&head.ts, &head.ts));
        }
        let reply = there.reply.as_ref().filter(|_| head.shows.now == notice.id)?;
        Some(self.told(reply, &head.ts))
    }

    fn told(&self, ts: &str, head: &str) -> Outcome {
        Outcome::applied([("channel", json!(self.api.channel)), ("ts", json!(ts)), ("head", json!(head))])
    }

    async fn deliver(&self, notice: &Notice) -> Result<Outcome, ConnectError> {
        let token = self.token().await?;
        let me = self.api.me(&token).await?;
        let there = self.look(&token, &me, notice).await?;
        if let Some(whole) = self.is_whole(&there, notice) {
            return Ok(whole);
        }
        let Some(head) = there.head else {
            let shown = Shown { first: notice.id.clone(), now: notice.id.clone() };
            let message = message::head(notice, &shown, self.buttons);
            let ts = self.api.post(&token, None, &message).await?;
            return Ok(self.told(&ts, &ts));
        };
        let reply = match there.reply {
            Some(reply) => reply,
            None => self.api.post(&token, Some(&head.ts), &message::reply(notice)).await?,
        };
        let shown = Shown { first: head.shows.first, now: notice.id.clone() };
        self.api.update(&token, &head.ts, &message::head(notice, &shown, self.buttons)).await?;
        Ok(self.told(&reply, &head.ts))
    }

    async fn find(&self, notice: &Notice) -> Result<Outcome, ConnectError> {
        let token = self.token().await?;
        let me = self.api.me(&token).await?;
        let there = self.look(&token, &me, notice).await?;
        let not_there =
            || Outcome::retry(format!("{}: it is not there, or not all of it", self.api.target()));
        Ok(self.is_whole(&there, notice).unwrap_or_else(not_there))
    }
}

#[async_trait]
impl Notify for Slack {
    fn target(&self) -> String {
        self.api.target()
    }

    async fn check(&self) -> Vec<Check> {
        let said = |what: &str, result: Result<String, ConnectError>| {
            let (ok, detail) = match result {
                Ok(detail) => (true, detail),
                Err(error) => (false, error.to_string()),
            };
            Check { what: what.to_owned(), ok, detail }
        };
        let token = match self.token().await {
            Ok(token) => token,
            Err(error) => return vec![said("have the bot token", Err(error))],
        };
        let me = self.api.me(&token).await;
        let read = self.api.can_read(&token).await.map(|()| "yes".to_owned());
        vec![
            said("log in with the bot token", me.map(|me| me.in_words())),
            said("read the channel, to find what was posted", read),
        ]
    }

    async fn send(&self, notice: &Notice) -> Outcome {
        self.deliver(notice).await.unwrap_or_else(|error| error.outcome())
    }

    fn repeat(&self) -> Repeat {
        Repeat::Seen
    }

    async fn seen(&self, notice: &Notice) -> Outcome {
        self.find(notice).await.unwrap_or_else(|error| error.unseen())
    }
}
