//! Slack's Web API as a model: docs.slack.dev, "`chat.postMessage`", "`chat.update`", "`conversations.history`", "`conversations.replies`",
//! "`auth.test`", "Message metadata", "Rate limits", "Block Kit: blocks", read 2026-11-23.
//!
//! What it keeps to: every answer is 200 with `ok`, but for limits (429 with `Retry-After`); scopes with `needed`; a bot that is not in a channel
//! neither posts nor reads; metadata is shown only when it is asked for; replies are not in the history; pages; a message is changed only by who
//! wrote it; limits of blocks and texts; a repeat is a second message.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex};

use serde_json::{Value, json};

use super::{Listener, Reply, Request, locked};

/// A running model. It stops on drop.
#[derive(Debug)]
pub struct Slack {
    listener: Listener,
    state: Arc<Mutex<State>>,
}

#[derive(Clone, Debug)]
struct Bot {
    user: String,
    scopes: BTreeSet<String>,
}

#[derive(Debug, Default)]
struct State {
    bots: BTreeMap<String, Bot>,
    /// By id: their messages, oldest first.
    channels: BTreeMap<String, Vec<Value>>,
    members: BTreeSet<(String, String)>,
    archived: BTreeSet<String>,
    /// Calls of a method that are too many, and the seconds to wait.
    limited: Option<(String, u32, u32)>,
    /// The next call of a method ends with this error; what it asks for is done all the same, or is not.
    wrong: Option<(String, String, bool)>,
    wall: Option<u16>,
    clock: u64,
}

const SCOPES: [&str; 3] = ["chat:write", "channels:history", "groups:history"];

impl Slack {
    /// Starts one with a channel, and a bot in it.
    pub fn start(token: &str, channel: &str) -> anyhow::Result<Self> {
        let state = Arc::new(Mutex::new(State { clock: 1_800_000_000, ..State::default() }));
        let answering = Arc::clone(&state);
        let listener = Listener::start(move |request| locked(&answering).answer(request))?;
        let slack = Self { listener, state };
        slack.bot(token, "U0QUELL", &SCOPES);
        slack.channel(channel);
        slack.invite("U0QUELL", channel);
        Ok(slack)
    }

    /// Where it listens.
    pub fn port(&self) -> u16 {
        self.listener.port()
    }

    /// `http://127.0.0.1:PORT/api`.
    pub fn addr(&self) -> String {
        format!("http://127.0.0.1:{}/api", self.port())
    }

    /// The first lines of all requests so far.
    pub fn lines(&self) -> Vec<String> {
        self.listener.lines()
    }

    /// A token of an app.
    pub fn bot(&self, token: &str, user: &str, scopes: &[&str]) {
        let scopes = scopes.iter().map(|scope| (*scope).to_owned()).collect();
        locked(&self.state).bots.insert(token.to_owned(), Bot { user: user.to_owned(), scopes });
    }

    /// A token ends.
    pub fn revoke(&self, token: &str) {
        locked(&self.state).bots.remove(token);
    }

    /// A channel with nothing in it.
    pub fn channel(&self, id: &str) {
        locked(&self.state).channels.insert(id.to_owned(), Vec::new());
    }

    /// A bot comes into a channel.
    pub fn invite(&self, user: &str, channel: &str) {
        locked(&self.state).members.insert((user.to_owned(), channel.to_owned()));
    }

    /// A channel ends.
    pub fn archive(&self, channel: &str) {
        locked(&self.state).archived.insert(channel.to_owned());
    }

    /// So many calls of a method are too many.
    pub fn limit(&self, method: &str, calls: u32, seconds: u32) {
        locked(&self.state).limited = Some((method.to_owned(), calls, seconds));
    }

    /// The next call of a method says this; it is done all the same, or is not.
    pub fn fail(&self, method: &str, error: &str, done: bool) {
        locked(&self.state).wrong = Some((method.to_owned(), error.to_owned(), done));
    }

    /// From now on a proxy answers, or does not any more.
    pub fn wall(&self, status: Option<u16>) {
        locked(&self.state).wall = status;
    }

    /// Somebody writes.
    pub fn say(&self, channel: &str, user: &str, metadata: &Value) {
        let mut state = locked(&self.state);
        let mut message = json!({ "type": "message", "user": user, "text": "hello", "ts": state.tick() });
        if !metadata.is_null() {
            message["metadata"] = metadata.clone();
        }
        state.channels.entry(channel.to_owned()).or_default().push(message);
    }

    /// Somebody deletes a message.
    pub fn delete(&self, channel: &str, ts: &str) {
        locked(&self.state).channels.entry(channel.to_owned()).or_default().retain(|it| it["ts"] != ts);
    }

    /// All messages of a channel as they are now, oldest first.
    pub fn messages(&self, channel: &str) -> Vec<Value> {
        locked(&self.state).channels.get(channel).cloned().unwrap_or_default()
    }
}

impl State {
    fn tick(&mut self) -> String {
        self.clock += 1;
        format!("{}.{:06}", self.clock, self.clock % 1_000_000)
    }

    fn answer(&mut self, request: &Request) -> Reply {
        if let Some(status) = self.wall {
            return Reply::page(status, "<html>Sign in to the network</html>");
        }
        let ["api", method] = request.segments()[..] else { return Reply::empty(404) };
        if let Some((limited, calls, seconds)) = self.limited.as_mut().filter(|it| it.0 == method && it.1 > 0)
        {
            debug_assert_eq!(limited, method);
            *calls -= 1;
            let reply = Reply::json(429, &json!({ "ok": false, "error": "ratelimited" }));
            return reply.header("retry-after", &seconds.to_string());
        }
        let wrong = self.wrong.take_if(|(wanted, _, _)| wanted == method);
        if let Some((_, error, false)) = &wrong {
            return refused(error);
        }
        let bearer = request.header("authorization").strip_prefix("Bearer ").unwrap_or_default();
        let reply = match self.bots.get(bearer).cloned() {
            None if bearer.is_empty() => Err(json!({ "ok": false, "error": "not_authed" })),
            None => Err(json!({ "ok": false, "error": "invalid_auth" })),
            Some(bot) => self.called(&bot, method, request),
        };
        match (wrong, reply) {
            (Some((_, error, _)), Ok(_)) => refused(&error),
            (_, Ok(body) | Err(body)) => Reply::json(200, &body),
        }
    }

    fn called(&mut self, bot: &Bot, method: &str, request: &Request) -> Result<Value, Value> {
        let error = |error: &str| json!({ "ok": false, "error": error });
        let (body, query) = (request.json(), &request.query);
        let given = |name: &str| {
            let text = body[name].as_str().map(str::to_owned);
            text.or_else(|| query.get(name).cloned()).unwrap_or_default()
        };
        let scope = match method {
            "auth.test" => {
                let (user, bot) = (bot.user.clone(), format!("B{}", bot.user));
                return Ok(
                    json!({ "ok": true, "user_id": user, "bot_id": bot, "team": "Example", "team_id": "T1" }),
                );
            }
            "chat.postMessage" | "chat.update" => "chat:write",
            "conversations.history" | "conversations.replies" => "channels:history",
            _ => return Err(error("unknown_method")),
        };
        if !bot.scopes.contains(scope) {
            let provided: Vec<&str> = bot.scopes.iter().map(String::as_str).collect();
            return Err(
                json!({ "ok": false, "error": "missing_scope", "needed": scope, "provided": provided.join(",") }),
            );
        }
        let channel = given("channel");
        if !self.channels.contains_key(&channel) {
            return Err(error("channel_not_found"));
        }
        if !self.members.contains(&(bot.user.clone(), channel.clone())) {
            return Err(error("not_in_channel"));
        }
        match method {
            "chat.postMessage" | "chat.update" if self.archived.contains(&channel) => {
                Err(error("is_archived"))
            }
            "chat.postMessage" => self.post(bot, &channel, &body),
            "chat.update" => self.update(bot, &channel, &body),
            "conversations.history" => Ok(self.history(&channel, request)),
            _ => self.replies(&channel, &given("ts"), request).ok_or_else(|| error("thread_not_found")),
        }
    }

    fn post(&mut self, bot: &Bot, channel: &str, body: &Value) -> Result<Value, Value> {
        too_long(body).map_or(Ok(()), |error| Err(json!({ "ok": false, "error": error })))?;
        let ts = self.tick();
        let messages = self.channels.entry(channel.to_owned()).or_default();
        let mut message = json!({
            "type": "message", "user": bot.user, "bot_id": format!("B{}", bot.user), "ts": ts,
            "text": body["text"], "blocks": body["blocks"],
        });
        if let Some(thread) = body["thread_ts"].as_str() {
            if !messages.iter().any(|it| it["ts"] == thread) {
                return Err(json!({ "ok": false, "error": "thread_not_found" }));
            }
            message["thread_ts"] = json!(thread);
        }
        if body["metadata"].is_object() {
            message["metadata"] = body["metadata"].clone();
        }
        messages.push(message.clone());
        Ok(json!({ "ok": true, "channel": channel, "ts": ts, "message": message }))
    }

    fn update(&mut self, bot: &Bot, channel: &str, body: &Value) -> Result<Value, Value> {
        let error = |error: &str| Err(json!({ "ok": false, "error": error }));
        if let Some(word) = too_long(body) {
            return error(word);
        }
        let messages = self.channels.entry(channel.to_owned()).or_default();
        let Some(message) = messages.iter_mut().find(|it| it["ts"] == body["ts"]) else {
            return error("message_not_found");
        };
        if message["user"] != bot.user {
            return error("cant_update_message");
        }
        for name in ["text", "blocks", "metadata"] {
            if !body[name].is_null() {
                message[name] = body[name].clone();
            }
        }
        Ok(json!({ "ok": true, "channel": channel, "ts": body["ts"] }))
    }

    fn history(&self, channel: &str, request: &Request) -> Value {
        let all = self.channels.get(channel).into_iter().flatten();
        let newest: Vec<Value> = all.filter(|it| it["thread_ts"].is_null()).rev().cloned().collect();
        page(&newest, request)
    }

    fn replies(&self, channel: &str, ts: &str, request: &Request) -> Option<Value> {
        let all = self.channels.get(channel)?;
        all.iter().find(|it| it["ts"] == ts)?;
        let thread: Vec<Value> =
            all.iter().filter(|it| it["ts"] == ts || it["thread_ts"] == ts).cloned().collect();
        Some(page(&thread, request))
    }
}

/// At most three at a time, so that pages are read.
fn page(all: &[Value], request: &Request) -> Value {
    let from: usize = request.query.get("cursor").and_then(|it| it.parse().ok()).unwrap_or(0);
    let size = request.number("limit").unwrap_or(100).min(3);
    let whole = request.query.get("include_all_metadata").is_some_and(|it| it == "true");
    let some: Vec<Value> = all.iter().skip(from).take(size).map(|it| shown(it, whole)).collect();
    let next = from + some.len();
    let cursor = if next < all.len() { next.to_string() } else { String::new() };
    json!({ "ok": true, "messages": some, "has_more": next < all.len(), "response_metadata": { "next_cursor": cursor } })
}

fn shown(message: &Value, whole: bool) -> Value {
    let mut message = message.clone();
    if let Some(fields) = message.as_object_mut().filter(|_| !whole) {
        fields.remove("metadata");
    }
    message
}

/// What Block Kit refuses.
fn too_long(body: &Value) -> Option<&'static str> {
    let blocks = body["blocks"].as_array().cloned().unwrap_or_default();
    let long = |value: &Value, most: usize| value.as_str().is_some_and(|it| it.chars().count() > most);
    let bad = |block: &Value| {
        let text = &block["text"]["text"];
        let buttons = block["elements"].as_array().cloned().unwrap_or_default();
        let bad_button = |it: &Value| long(&it["value"], 2000) || long(&it["confirm"]["text"]["text"], 300);
        long(text, 3000) || text.as_str().is_some_and(str::is_empty) || buttons.iter().any(bad_button)
    };
    if blocks.len() > 50 || blocks.iter().any(bad) {
        return Some("invalid_blocks");
    }
    if blocks.is_empty() && body["text"].as_str().unwrap_or_default().is_empty() {
        return Some("no_text");
    }
    let metadata = &body["metadata"];
    let odd = metadata.is_object()
        && !(metadata["event_type"].is_string() && metadata["event_payload"].is_object());
    // Not documented: messages of more than about 13,200 characters are refused (slackapi/bolt-js, issue 2509).
    if body["blocks"].to_string().chars().count() > 13_200 {
        return Some("msg_blocks_too_long");
    }
    odd.then_some("invalid_metadata_format")
}

fn refused(error: &str) -> Reply {
    Reply::json(200, &json!({ "ok": false, "error": error }))
}
