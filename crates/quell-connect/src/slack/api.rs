//! The few methods of Slack's Web API that are used, and what its refusals mean.

use std::time::Duration;

use quell_core::secret::SecretValue;
use reqwest::Method;
use reqwest::header::HeaderValue;
use serde_json::{Value, json};

use super::message::{Message, Shown};
use crate::connector::Notice;
use crate::error::{ConnectError, ConnectErrorKind};
use crate::rest::{Ask, Rest};

/// Messages of a channel that are looked through, newest first.
const PAGES: usize = 5;
const PAGE: &str = "100";

#[derive(Debug)]
pub(super) struct Api {
    pub(super) rest: Rest,
    pub(super) channel: String,
}

/// Who the token is: only its own messages are believed.
pub(super) struct Me {
    bot: Option<String>,
    user: String,
    team: String,
}

/// The message of an incident.
pub(super) struct Head {
    pub(super) ts: String,
    pub(super) shows: Shown,
}

impl Me {
    pub(super) fn in_words(&self) -> String {
        format!("bot user {} of team {}", self.user, self.team)
    }

    fn wrote(&self, message: &Value) -> bool {
        let is = |name: &str, id: &str| message.get(name).and_then(Value::as_str) == Some(id);
        self.bot.as_ref().is_some_and(|bot| is("bot_id", bot)) || is("user", &self.user)
    }
}

impl Api {
    pub(super) fn target(&self) -> String {
        format!("{} channel {}", self.rest.name(), self.channel)
    }

    pub(super) async fn me(&self, token: &SecretValue) -> Result<Me, ConnectError> {
        const WHAT: &str = "asking who the token is";
        let answer = self.call(token, Ask::new(WHAT, Method::POST, &["auth.test"])).await?;
        let text = |name: &str| answer.get(name).and_then(Value::as_str).map(str::to_owned);
        let odd = || self.rest.error(WHAT, ConnectErrorKind::Unexpected, "the answer names no user");
        Ok(Me {
            bot: text("bot_id"),
            user: text("user_id").ok_or_else(odd)?,
            team: text("team").unwrap_or_default(),
        })
    }

    /// Threads, too: Slack's page on `conversations.replies` says that not every kind of bot token may.
    pub(super) async fn can_read(&self, token: &SecretValue) -> Result<(), ConnectError> {
        let answer = self.call(token, self.history("reading the channel").query("limit", "1")).await?;
        let Some(newest) = messages(&answer).next() else { return Ok(()) };
        let thread = self.replies("reading a thread", text(newest, "ts"));
        match self.call(token, thread.query("limit", "1")).await {
            // Not every message can have a thread, and this one may be gone by now.
            Err(error) if error.kind == ConnectErrorKind::Missing => Ok(()),
            other => other.map(drop),
        }
    }

    fn replies(&self, what: &'static str, ts: &str) -> Ask<'static> {
        Ask::get(what, &["conversations.replies"])
            .query("channel", &self.channel)
            .query("ts", ts)
            .query("include_all_metadata", "true")
    }

    fn history(&self, what: &'static str) -> Ask<'static> {
        Ask::get(what, &["conversations.history"])
            .query("channel", &self.channel)
            .query("include_all_metadata", "true")
    }

    /// The message of the incident, if it is among the newest.
    pub(super) async fn head(
        &self,
        token: &SecretValue,
        me: &Me,
        notice: &Notice,
    ) -> Result<Option<Head>, ConnectError> {
        let mut cursor = String::new();
        for _ in 0..PAGES {
            let mut ask = self.history("looking for the incident's message").query("limit", PAGE);
            if !cursor.is_empty() {
                ask = ask.query("cursor", cursor);
            }
            let answer = self.call(token, ask).await?;
            if let Some(head) = messages(&answer).find_map(|message| head(message, me, notice)) {
                return Ok(Some(head));
            }
            cursor = next(&answer);
            if cursor.is_empty() {
                break;
            }
        }
        Ok(None)
    }

    /// The message of the incident as it is, and the reply that carries the notice. `None` when the message is gone.
    pub(super) async fn thread(
        &self,
        token: &SecretValue,
        me: &Me,
        ts: &str,
        notice: &Notice,
    ) -> Result<Option<(Head, Option<String>)>, ConnectError> {
        const WHAT: &str = "looking at the incident's thread";
        let (mut found, mut reply, mut cursor) = (None, None, String::new());
        for _ in 0..PAGES {
            let mut ask = self.replies(WHAT, ts).query("limit", PAGE);
            if !cursor.is_empty() {
                ask = ask.query("cursor", cursor);
            }
            let answer = match self.call(token, ask).await {
                Ok(answer) => answer,
                Err(error) if error.kind == ConnectErrorKind::Missing => return Ok(None),
                Err(error) => return Err(error),
            };
            for message in messages(&answer) {
                if text(message, "ts") == ts {
                    found = head(message, me, notice);
                } else if me.wrote(message) && payload(message, "id") == notice.id {
                    reply = Some(text(message, "ts").to_owned());
                }
            }
            cursor = next(&answer);
            if cursor.is_empty() {
                break;
            }
        }
        Ok(found.map(|head| (head, reply)))
    }

    /// Gives the timestamp, which is the message's id.
    pub(super) async fn post(
        &self,
        token: &SecretValue,
        thread: Option<&str>,
        message: &Message,
    ) -> Result<String, ConnectError> {
        const WHAT: &str = "posting the notice";
        let mut body = self.body(message);
        if let (Some(body), Some(thread)) = (body.as_object_mut(), thread) {
            body.insert("thread_ts".to_owned(), json!(thread));
        }
        let ask = Ask::new(WHAT, Method::POST, &["chat.postMessage"]).typed(JSON, &body);
        let answer = self.call(token, ask).await?;
        let odd = || self.rest.error(WHAT, ConnectErrorKind::Unexpected, "the answer names no message");
        Some(text(&answer, "ts").to_owned()).filter(|ts| !ts.is_empty()).ok_or_else(odd)
    }

    pub(super) async fn update(
        &self,
        token: &SecretValue,
        ts: &str,
        message: &Message,
    ) -> Result<(), ConnectError> {
        let mut body = self.body(message);
        if let Some(body) = body.as_object_mut() {
            body.insert("ts".to_owned(), json!(ts));
        }
        let ask = Ask::new("updating the incident's message", Method::POST, &["chat.update"]);
        self.call(token, ask.typed(JSON, &body)).await.map(drop)
    }

    fn body(&self, message: &Message) -> Value {
        json!({
            "channel": self.channel,
            "text": message.text,
            "blocks": message.blocks,
            "metadata": { "event_type": EVENT, "event_payload": message.payload },
            // Names and links in what strangers wrote become neither mentions nor previews.
            "parse": "none",
            "link_names": false,
            "unfurl_links": false,
            "unfurl_media": false,
        })
    }

    async fn call(&self, token: &SecretValue, ask: Ask<'_>) -> Result<Value, ConnectError> {
        let what = ask.what;
        let bearer: HeaderValue = self.rest.header(what, "Bearer ", token)?;
        let answer = self.rest.send(&ask, &[("authorization", bearer)]).await?;
        let failed = |kind, words: String| Err(self.rest.error(what, kind, words));
        match answer.status {
            200 => {}
            429 => {
                let kind = ConnectErrorKind::Transient { retry_after: answer.retry_after };
                return failed(kind, "too many requests for this channel or method".to_owned());
            }
            status @ 500.. => return failed(ConnectErrorKind::Lost, format!("status {status}")),
            status => {
                let words = format!(
                    "status {status}: something else answered than Slack; is there a proxy, or another `url`?"
                );
                return failed(ConnectErrorKind::Denied, words);
            }
        }
        let body = answer.json();
        match body.get("ok").and_then(Value::as_bool) {
            Some(true) => Ok(body),
            Some(false) => {
                let (kind, words) = refusal(text(&body, "error"), text(&body, "needed"), answer.retry_after);
                failed(kind, words)
            }
            None => failed(ConnectErrorKind::Unexpected, "this is not an answer of Slack".to_owned()),
        }
    }
}

const JSON: &str = "application/json; charset=utf-8";

/// The type of our metadata.
pub(super) const EVENT: &str = "quell_notice";

/// What is wrong, and what to do about it.
fn refusal(error: &str, needed: &str, retry_after: Option<Duration>) -> (ConnectErrorKind, String) {
    // A word of Slack's own, or nothing that is repeated.
    let is_word = |text: &str| {
        text.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b"_:,".contains(&b))
    };
    let error = if is_word(error) && error.len() <= 100 { error } else { "an error without a name" };
    let needed = if is_word(needed) && needed.len() <= 200 { needed } else { "" };
    let with = |kind, fix: &str| (kind, format!("{error}: {fix}"));
    match error {
        "ratelimited" | "rate_limited" => {
            with(ConnectErrorKind::Transient { retry_after }, "too many requests for this channel or method")
        }
        "message_not_found" | "thread_not_found" => {
            with(ConnectErrorKind::Missing, "somebody deleted the incident's message")
        }
        "not_in_channel" => with(ConnectErrorKind::Denied, "invite the app to the channel: /invite @APP"),
        "channel_not_found" => with(
            ConnectErrorKind::Denied,
            "there is no such channel, or it is private: correct `channel`, or invite the app to it",
        ),
        "is_archived" => {
            with(ConnectErrorKind::Denied, "the channel is archived: name another one in `channel`")
        }
        "invalid_auth" | "not_authed" | "account_inactive" | "token_revoked" | "token_expired" => with(
            ConnectErrorKind::Denied,
            "the bot token is not valid: install the app again and store its new token where `token` points",
        ),
        "not_allowed_token_type" | "access_denied" | "no_permission" => with(
            ConnectErrorKind::Denied,
            "this kind of token may not do that: use the bot token of an app with granular scopes",
        ),
        "missing_scope" => {
            with(ConnectErrorKind::Denied, &format!("give the app the scope `{needed}` and install it again"))
        }
        "msg_too_long" | "msg_blocks_too_long" | "invalid_blocks" | "invalid_metadata_format" => with(
            ConnectErrorKind::Denied,
            "Slack does not take this message; the incident is in `quell incident show`",
        ),
        // "It's possible some aspect of the operation succeeded before the error was raised."
        "fatal_error" | "internal_error" | "service_unavailable" => {
            with(ConnectErrorKind::Lost, "Slack does not say whether it was done")
        }
        _ => with(ConnectErrorKind::Denied, "Slack refuses; its page on this method says why"),
    }
}

fn messages(answer: &Value) -> impl Iterator<Item = &Value> {
    answer.get("messages").and_then(Value::as_array).into_iter().flatten()
}

fn next(answer: &Value) -> String {
    let cursor = answer.pointer("/response_metadata/next_cursor").and_then(Value::as_str);
    cursor.unwrap_or_default().to_owned()
}

fn text<'a>(value: &'a Value, name: &str) -> &'a str {
    value.get(name).and_then(Value::as_str).unwrap_or_default()
}

fn payload<'a>(message: &'a Value, name: &str) -> &'a str {
    let metadata = message.get("metadata").filter(|metadata| text(metadata, "event_type") == EVENT);
    metadata.and_then(|metadata| metadata.get("event_payload")).map_or("", |payload| text(payload, name))
}

/// Our message of this incident, and not one that somebody else made to look like it.
fn head(message: &Value, me: &Me, notice: &Notice) -> Option<Head> {
    let ours = me.wrote(message)
        && payload(message, "incident") == notice.incident
        && payload(message, "installation") == notice.installation
        && !payload(message, "shows").is_empty();
    ours.then(|| Head {
        ts: text(message, "ts").to_owned(),
        shows: Shown { first: payload(message, "id").to_owned(), now: payload(message, "shows").to_owned() },
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_an_error_says_is_repeated_only_if_it_is_a_word() {
        let (kind, words) = refusal("missing_scope", "channels:history", None);
        assert_eq!(kind, ConnectErrorKind::Denied);
        assert!(words.contains("`channels:history`"), "{words}");
        let (_, words) = refusal("xoxb-CANARY is not\nvalid", "", None);
        assert!(!words.contains("CANARY"), "{words}");
        assert_eq!(refusal("fatal_error", "", None).0, ConnectErrorKind::Lost);
    }
}
