//! A small API on loopback that behaves as a provider file says, or lies in one of the ways in which real ones do.
//!
//! It is fed with the file's own examples; keys are made from patterns. `quell provider check` and the tests let the real issuer act
//! on it. It fills holes with the connector's own code (which has tests of its own), so it finds files that do not fit
//! together, not mistakes in that code.

mod keys;

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex, PoisonError};

use axum::body::{Body, to_bytes};
use axum::extract::{Request, State};
use axum::response::Response;
use quell_core::secret::SecretValue;
use serde_json::{Value, json};
use tokio::net::TcpListener;

use super::call::Scope;
use super::door::key_for;
use super::file::{Answer, Call, File, KeyId, Who};
use super::pattern::expand;
use super::template::Template;
pub(super) use keys::place;
use keys::without_page;

/// Largest request that is read, in bytes.
const REQUEST_MAX: usize = 1 << 20;

/// How it behaves.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub enum Mood {
    /// New keys may do more than they were asked to.
    Generous,
    /// As the file says.
    #[default]
    Honest,
    /// A new key is on the list only when the list was read this many times more.
    Late(u32),
    /// Says that a revocation was done, and does nothing.
    Liar,
    /// A revocation binds after the key was tried this many times more.
    Slow(u32),
    /// Answers everything with this, whoever asks: a rate limit, a broken server, something in between.
    Same {
        /// The status.
        status: u16,
        /// Content type and body.
        body: (&'static str, std::borrow::Cow<'static, str>),
        /// More headers.
        headers: Vec<(&'static str, String)>,
    },
}

/// A key that the model knows.
#[derive(Clone)]
pub struct ModelKey {
    /// Its value: made for this run, opens nothing.
    pub value: String,
    /// Its id.
    pub id: String,
    /// Its name.
    pub name: String,
    /// What it may do, as its maker asked; nothing for one that was not made by a call.
    pub rights: Value,
    /// How often it can still be tried: `None` for ever.
    left: Option<u32>,
    /// How often the list is read without it.
    hidden: u32,
}

impl ModelKey {
    fn nobody() -> Self {
        Self {
            value: String::new(),
            id: String::new(),
            name: String::new(),
            rights: Value::Null,
            left: Some(0),
            hidden: 0,
        }
    }
}

impl std::fmt::Debug for ModelKey {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "ModelKey({}, {:?})", self.id, self.left)
    }
}

#[derive(Debug)]
struct World {
    file: Arc<File>,
    vars: BTreeMap<String, String>,
    admin: String,
    keys: Vec<ModelKey>,
    mood: Mood,
    lines: Vec<String>,
    revocations: u32,
    seed: u64,
}

/// The running model; it stops when it is dropped.
#[derive(Debug)]
pub struct Model {
    address: SocketAddr,
    world: Arc<Mutex<World>>,
    task: tokio::task::JoinHandle<()>,
}

impl Drop for Model {
    fn drop(&mut self) {
        self.task.abort();
    }
}

/// One request, read whole.
struct Asked {
    method: String,
    uri: String,
    headers: axum::http::HeaderMap,
    body: Vec<u8>,
}

struct Reply {
    status: u16,
    kind: &'static str,
    body: String,
    headers: Vec<(&'static str, String)>,
}

impl Model {
    /// Starts it on a free port of loopback.
    pub async fn start(file: Arc<File>, seed: u64) -> std::io::Result<Self> {
        let listener = TcpListener::bind(("127.0.0.1", 0)).await?;
        let address = listener.local_addr()?;
        let pattern = file.example.admin.clone().unwrap_or_else(|| file.example.value.clone());
        let world = World {
            vars: file.example.vars.clone(),
            admin: expand(&pattern, seed.wrapping_add(7_919)),
            file,
            keys: Vec::new(),
            mood: Mood::Honest,
            lines: Vec::new(),
            revocations: 0,
            seed,
        };
        let world = Arc::new(Mutex::new(world));
        let router = axum::Router::new().fallback(serve).with_state(Arc::clone(&world));
        let task = tokio::spawn(async move {
            // It ends with the test or the check that started it.
            drop(axum::serve(listener, router).await);
        });
        let model = Self { address, world, task };
        model.with(|world| {
            // An administrator whose credential is a key of the same kind can be tried like one.
            if world.file.auth.admin.is_none() {
                let value = world.admin.clone();
                world.add(value, "administrator");
            }
        });
        Ok(model)
    }

    /// Where it listens.
    pub fn url(&self) -> String {
        format!("http://{}", self.address)
    }

    /// The address.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// A new key that opens the door.
    pub fn key(&self, name: &str) -> ModelKey {
        self.with(|world| {
            let value = world.next_value();
            world.add(value, name)
        })
    }

    /// A key that opens the door, by its value.
    pub fn adopt(&self, value: &str) -> ModelKey {
        self.with(|world| world.add(value.to_owned(), "adopted"))
    }

    /// A value of the right form that nobody ever made.
    pub fn stranger(&self) -> String {
        self.with(World::next_value)
    }

    /// The administrator's credential.
    pub fn admin(&self) -> String {
        self.with(|world| world.admin.clone())
    }

    /// Somebody revokes it elsewhere.
    pub fn revoke(&self, id: &str) {
        self.with(|world| world.end(id, 0));
    }

    /// Is it alive?
    pub fn alive(&self, id: &str) -> bool {
        self.with(|world| world.keys.iter().any(|key| key.id == id && key.left != Some(0)))
    }

    /// Keys with this in their name that are alive.
    pub fn named(&self, part: &str) -> usize {
        self.with(|world| {
            world.keys.iter().filter(|key| key.name.contains(part) && key.left != Some(0)).count()
        })
    }

    /// What the living keys with this in their name may do.
    pub fn rights(&self, part: &str) -> Vec<Value> {
        self.with(|world| {
            let alive = world.keys.iter().filter(|key| key.name.contains(part) && key.left != Some(0));
            alive.map(|key| key.rights.clone()).collect()
        })
    }

    /// From now on it behaves so.
    pub fn set(&self, mood: Mood) {
        self.with(|world| world.mood = mood);
    }

    /// Method and address of every request.
    pub fn lines(&self) -> Vec<String> {
        self.with(|world| world.lines.clone())
    }

    /// How often something was revoked.
    pub fn revocations(&self) -> u32 {
        self.with(|world| world.revocations)
    }

    fn with<T>(&self, act: impl FnOnce(&mut World) -> T) -> T {
        act(&mut self.world.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

async fn serve(State(world): State<Arc<Mutex<World>>>, request: Request) -> Response {
    let (parts, body) = request.into_parts();
    let body = to_bytes(body, REQUEST_MAX).await.unwrap_or_default().to_vec();
    let uri = parts.uri.path_and_query().map(ToString::to_string).unwrap_or_default();
    let asked = Asked { method: parts.method.to_string(), uri, headers: parts.headers, body };
    let reply = world.lock().unwrap_or_else(PoisonError::into_inner).answer(&asked);
    let mut response = Response::builder().status(reply.status).header("content-type", reply.kind);
    for (name, value) in &reply.headers {
        response = response.header(*name, value);
    }
    response.body(Body::from(reply.body)).unwrap_or_default()
}

impl Reply {
    fn json(status: u16, body: &Value) -> Self {
        let body = if body.is_null() { String::new() } else { body.to_string() };
        Self { status, kind: "application/json", body, headers: Vec::new() }
    }
}

impl World {
    fn next_value(&mut self) -> String {
        self.seed = self.seed.wrapping_add(1);
        expand(&self.file.example.value, self.seed)
    }

    fn add(&mut self, value: String, name: &str) -> ModelKey {
        self.seed = self.seed.wrapping_add(1);
        let part = match &self.file.key_id {
            Some(KeyId::Part(part)) => key_for(&self.file, Who::Key, &SecretValue::from_text(value.clone()))
                .ok()
                .and_then(|key| key.part(part).map(str::to_owned)),
            Some(KeyId::Probe(_) | KeyId::Inventory(_)) | None => None,
        };
        let id = part.unwrap_or_else(|| expand("{hex:12}", self.seed));
        let key = ModelKey { value, id, name: name.to_owned(), rights: Value::Null, left: None, hidden: 0 };
        self.keys.push(key.clone());
        key
    }

    fn end(&mut self, id: &str, left: u32) {
        for key in self.keys.iter_mut().filter(|key| key.id == id) {
            key.left = Some(key.left.map_or(left, |now| now.min(left)));
        }
    }

    fn answer(&mut self, asked: &Asked) -> Reply {
        self.lines.push(format!("{} {}", asked.method, asked.uri));
        if let Mood::Same { status, body: (kind, body), headers } = &self.mood {
            return Reply { status: *status, kind, body: body.to_string(), headers: headers.clone() };
        }
        let file = Arc::clone(&self.file);
        let mut known = None;
        for (name, call) in file.calls() {
            let call = &call.value;
            if call.method != asked.method {
                continue;
            }
            if let Some(key) = self.meant(call, asked) {
                return self.act(&name, call, &key, asked);
            }
            let path = Template::parse(&call.path).ok();
            if path.is_some_and(|path| path.parts(&without_page(call, &asked.uri).0).is_some()) {
                known.get_or_insert((name, call));
            }
        }
        match known {
            Some((name, call)) => self.stranger(&file, &name, call, asked),
            None => Reply::json(404, &json!({ "message": "Not Found" })),
        }
    }

    /// The key that a request is about, if it is one of ours and everything fits.
    fn meant(&self, call: &Call, asked: &Asked) -> Option<ModelKey> {
        self.keys.iter().find(|key| self.fits(call, key, asked)).cloned()
    }

    fn fits(&self, call: &Call, key: &ModelKey, asked: &Asked) -> bool {
        let value = SecretValue::from_text(key.value.clone());
        let credential = match call.who {
            Who::Admin => SecretValue::from_text(self.admin.clone()),
            Who::Key | Who::Nobody => value.duplicate(),
        };
        let (Ok(credential), Ok(secret)) =
            (key_for(&self.file, call.who, &credential), key_for(&self.file, Who::Key, &value))
        else {
            return false;
        };
        let tag = told(call, asked);
        let scope = Scope {
            key: Some(&credential),
            secret: Some(&secret),
            id: Some(&key.id),
            tag: Some(tag.as_deref().unwrap_or_default()),
            vars: &self.vars,
        };
        let Ok(filled) = scope.fill(call, self.file.auth(call.who), None) else { return false };
        let headers = filled.headers.iter().all(|(name, value)| {
            asked.headers.get(name).is_some_and(|sent| sent.as_bytes() == value.as_bytes())
        });
        let unauthenticated = call.who != Who::Nobody || !asked.headers.contains_key("authorization");
        // What the inventory adds to a new key is not in the file.
        let body = call.value.is_some()
            || filled.body.is_none_or(|(kind, body)| match kind {
                "application/json" => same_json(&body, &asked.body),
                _ => body.as_slice() == asked.body,
            });
        filled.path.as_str() == without_page(call, &asked.uri).0 && headers && unauthenticated && body
    }

    fn act(&mut self, name: &str, call: &Call, key: &ModelKey, asked: &Asked) -> Reply {
        if key.left == Some(0) && call.who == Who::Key {
            return self.refused();
        }
        match name {
            "probe" => {
                for known in self.keys.iter_mut().filter(|known| known.id == key.id) {
                    known.left = known.left.map(|left| left.saturating_sub(1));
                }
                example(call, "accepted", key)
            }
            "mint" => self.make(call, asked),
            "list" => self.list(call, asked),
            "last_used" => example(call, "done", key),
            _ => {
                if key.left == Some(0) && call.examples.contains_key("gone") {
                    return example(call, "gone", key);
                }
                self.revocations += 1;
                match self.mood {
                    Mood::Liar => {}
                    Mood::Slow(left) => self.end(&key.id, left),
                    Mood::Generous | Mood::Honest | Mood::Late(_) | Mood::Same { .. } => self.end(&key.id, 0),
                }
                example(call, "done", key)
            }
        }
    }

    /// The path is known, the credential or the key is not.
    fn stranger(&self, file: &File, name: &str, call: &Call, asked: &Asked) -> Reply {
        let nobody = ModelKey::nobody();
        match call.who {
            Who::Key if self.file.probe.value.examples.contains_key("unknown") => {
                example(&self.file.probe.value, "unknown", &nobody)
            }
            Who::Key => self.refused(),
            // Whoever takes a value without asking who sends it says the same for every value.
            Who::Nobody if !asked.headers.contains_key("authorization") => example(call, "done", &nobody),
            Who::Nobody => Reply::json(403, &json!({ "message": "Forbidden" })),
            Who::Admin => {
                let value = SecretValue::from_text(self.admin.clone());
                let admin = key_for(file, Who::Admin, &value).ok();
                let scope = Scope {
                    key: admin.as_ref(),
                    secret: admin.as_ref(),
                    id: Some("x"),
                    tag: Some("x"),
                    vars: &self.vars,
                };
                let ours = scope.fill(call, file.auth(Who::Admin), None).is_ok_and(|filled| {
                    filled.headers.iter().all(|(name, value)| {
                        asked.headers.get(name).is_some_and(|sent| sent.as_bytes() == value.as_bytes())
                    })
                });
                match (ours, call.examples.contains_key("gone")) {
                    (true, true) => example(call, "gone", &nobody),
                    (true, false) => {
                        Reply::json(404, &json!({ "message": format!("no such key for {name}") }))
                    }
                    (false, _) if call.examples.contains_key("denied") => example(call, "denied", &nobody),
                    (false, _) => Reply::json(403, &json!({ "message": "Forbidden" })),
                }
            }
        }
    }

    fn refused(&self) -> Reply {
        let nobody = ModelKey::nobody();
        example(&self.file.probe.value, "refused", &nobody)
    }
}

/// The mark that a request for a new key carries.
fn told(call: &Call, asked: &Asked) -> Option<String> {
    if let Some(template) = &call.json {
        let sent: Value = serde_json::from_slice(&asked.body).ok()?;
        return in_json(template, &sent);
    }
    let sent: BTreeMap<String, String> =
        url::form_urlencoded::parse(&asked.body).map(|(k, v)| (k.into_owned(), v.into_owned())).collect();
    call.form.iter().flatten().find_map(|(name, template)| tag_of(template, sent.get(name)?))
}

fn in_json(template: &Value, sent: &Value) -> Option<String> {
    match template {
        Value::String(text) => tag_of(text, sent.as_str()?),
        Value::Object(map) => map.iter().find_map(|(name, inner)| in_json(inner, sent.get(name)?)),
        Value::Array(items) => items.iter().enumerate().find_map(|(at, inner)| in_json(inner, sent.get(at)?)),
        Value::Null | Value::Bool(_) | Value::Number(_) => None,
    }
}

fn tag_of(template: &str, sent: &str) -> Option<String> {
    let parts = Template::parse(template).ok()?.parts(sent)?;
    parts.get("tag").map(|tag| tag.to_string())
}

fn same_json(one: &[u8], other: &[u8]) -> bool {
    let read = |bytes: &[u8]| serde_json::from_slice::<Value>(bytes).ok();
    read(one).is_some_and(|one| read(other) == Some(one))
}

fn example(call: &Call, name: &str, key: &ModelKey) -> Reply {
    match call.examples.get(name) {
        Some(answer) => Reply::json(answer.status, &filled(answer, key)),
        // A file that says what `done` is and shows none: the bare status.
        None => Reply::json(call.done.first().map_or(404, |done| done.status), &Value::Null),
    }
}

fn filled(answer: &Answer, key: &ModelKey) -> Value {
    fn fill(value: &Value, key: &ModelKey) -> Value {
        match value {
            Value::String(text) => Value::String(
                text.replace("{id}", &key.id).replace("{value}", &key.value).replace("{tag}", &key.name),
            ),
            Value::Array(items) => items.iter().map(|item| fill(item, key)).collect(),
            Value::Object(map) => {
                Value::Object(map.iter().map(|(name, item)| (name.clone(), fill(item, key))).collect())
            }
            Value::Null | Value::Bool(_) | Value::Number(_) => value.clone(),
        }
    }
    answer.json.as_ref().map(|json| fill(json, key)).unwrap_or_default()
}
