//! Google Cloud's token endpoint, IAM and Secret Manager, as models: "Using OAuth 2.0 for Server to Server Applications", Secret Manager REST reference
//! v1, "Data consistency", "Delayed destruction of secret versions", read 2026-11-23.
//!
//! What they keep to: grants whose signature is checked with the public key (`invalid_grant`, "Invalid JWT Signature."), permissions by name
//! (403), checksums (400), etags (409), `latest` that is the last version whatever its state is, and may lag, delayed destruction, pages,
//! quotas (429 with `Retry-After`).

mod account;
mod secret;
mod token;

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};

use serde_json::{Value, json};

use super::{Listener, Reply, Request, locked};
use secret::Secret;
use token::Account;

/// A running model. It stops on drop.
#[derive(Debug)]
pub struct Gcp {
    listener: Listener,
    state: Arc<Mutex<State>>,
}

#[derive(Debug, Default)]
struct State {
    /// What each access token may do: `secretmanager.versions.access`, `*`.
    tokens: BTreeMap<String, Vec<String>>,
    accounts: BTreeMap<String, Account>,
    secrets: BTreeMap<String, Secret>,
    limited: u32,
    /// Whoever writes just before the next version is added.
    meanwhile: Option<String>,
}

impl Gcp {
    /// Starts one where the access token `boss` may do all.
    pub fn start() -> anyhow::Result<Self> {
        let state =
            State { tokens: BTreeMap::from([("boss".to_owned(), vec!["*".to_owned()])]), ..State::default() };
        let state = Arc::new(Mutex::new(state));
        let answering = Arc::clone(&state);
        let listener = Listener::start(move |request| locked(&answering).answer(request))?;
        Ok(Self { listener, state })
    }

    /// Where it listens.
    pub fn port(&self) -> u16 {
        self.listener.port()
    }

    /// `http://127.0.0.1:PORT`.
    pub fn addr(&self) -> String {
        format!("http://127.0.0.1:{}", self.port())
    }

    /// The first lines of all requests so far.
    pub fn lines(&self) -> Vec<String> {
        self.listener.lines()
    }

    /// Makes an access token that may do this.
    pub fn allow(&self, token: &str, may: &[&str]) {
        locked(&self.state).tokens.insert(token.to_owned(), may.iter().map(|&it| it.to_owned()).collect());
    }

    /// The next so many requests are too many.
    pub fn limit(&self, requests: u32) {
        locked(&self.state).limited = requests;
    }

    /// Makes a service account that may do all, with one more key; the file of the key.
    pub fn key_file(&self, email: &str) -> anyhow::Result<String> {
        let made = locked(&self.state).accounts.entry(email.to_owned()).or_default().make_key(email);
        made.map(|(_, file)| file)
    }

    /// All keys of an account are disabled, for this reason.
    pub fn disable_keys(&self, email: &str, reason: &'static str) {
        self.change(email, |account| account.disable(reason));
    }

    /// An organization's policy forbids new keys.
    pub fn forbid_keys(&self, email: &str) {
        self.change(email, |account| account.forbidden = true);
    }

    /// An account is described anew.
    pub fn describe(&self, email: &str, text: &str) {
        self.change(email, |account| text.clone_into(&mut account.description));
    }

    /// How an account is described.
    pub fn description(&self, email: &str) -> String {
        locked(&self.state).accounts.get(email).map(|account| account.description.clone()).unwrap_or_default()
    }

    /// The keys of an account, and whether each is disabled.
    pub fn keys(&self, email: &str) -> Vec<(String, bool)> {
        let state = locked(&self.state);
        let keys = state.accounts.get(email).map(|account| &account.keys);
        keys.into_iter().flatten().map(|(id, key)| (id.clone(), key.disabled)).collect()
    }

    /// As its bearer would: whether the token endpoint takes a grant with this file's key.
    pub fn takes(&self, file: &str) -> bool {
        locked(&self.state).takes(file)
    }

    fn change(&self, email: &str, change: impl FnOnce(&mut Account)) {
        if let Some(account) = locked(&self.state).accounts.get_mut(email) {
            change(account);
        }
    }

    /// Makes a secret of the project `acme-prod`, with these versions; `more` is merged into it.
    pub fn secret(&self, name: &str, values: &[&str], more: &Value) {
        let mut secret = Secret::new(more);
        for value in values {
            secret.add(value.as_bytes());
        }
        locked(&self.state).secrets.insert(name.to_owned(), secret);
    }

    /// What each version holds, the first one first; `None` for one that is destroyed.
    pub fn values(&self, name: &str) -> Vec<Option<String>> {
        locked(&self.state).secrets.get(name).map(Secret::values).unwrap_or_default()
    }

    /// Somebody disables a version.
    pub fn disable(&self, name: &str, version: usize) {
        if let Some(secret) = locked(&self.state).secrets.get_mut(name) {
            secret.disable(version);
        }
    }

    /// From now on `latest` is what it is now.
    pub fn let_latest_lag(&self, name: &str) {
        if let Some(secret) = locked(&self.state).secrets.get_mut(name) {
            secret.lag();
        }
    }

    /// `latest` is the last version again.
    pub fn let_latest_catch_up(&self, name: &str) {
        if let Some(secret) = locked(&self.state).secrets.get_mut(name) {
            secret.catch_up();
        }
    }

    /// The key that a version is encrypted with is away, or back: it stays enabled ("Customer-managed encryption keys").
    pub fn withhold(&self, name: &str, version: usize, withheld: bool) {
        if let Some(secret) = locked(&self.state).secrets.get_mut(name) {
            secret.withhold(version, withheld);
        }
    }

    /// Somebody else adds this just after the next version is added.
    pub fn add_after_next_write(&self, value: &str) {
        locked(&self.state).meanwhile = Some(value.to_owned());
    }

    /// Somebody touches a version just before the next destruction: its etag is another one then.
    pub fn touch_before_next_destruction(&self, name: &str) {
        if let Some(secret) = locked(&self.state).secrets.get_mut(name) {
            secret.touch_next();
        }
    }
}

impl State {
    fn answer(&mut self, request: &Request) -> Reply {
        let path = request.segments();
        if let ("POST", ["token"]) = (request.method.as_str(), path.as_slice()) {
            return self.give_token(request);
        }
        let token = request.header("authorization").strip_prefix("Bearer ").unwrap_or_default();
        let Some(may) = self.tokens.get(token).cloned() else {
            let words = "Request had invalid authentication credentials. Expected OAuth 2 access token, login cookie or other valid authentication credential.";
            return error(401, "UNAUTHENTICATED", words);
        };
        if self.limited > 0 {
            self.limited -= 1;
            return error(429, "RESOURCE_EXHAUSTED", "Quota exceeded for quota metric 'Access requests'.")
                .header("retry-after", "30");
        }
        match *path.as_slice() {
            ["v1", "projects", "-", "serviceAccounts", ref rest @ ..] => self.on_account(rest, request, &may),
            ["v1", "projects", "acme-prod", "secrets", ref rest @ ..] => self.on_secret(rest, request, &may),
            _ => error(404, "NOT_FOUND", "Requested entity was not found."),
        }
    }
}

/// "API design guide", errors.
fn error(status: u16, canonical: &str, message: &str) -> Reply {
    Reply::json(status, &json!({ "error": { "code": status, "message": message, "status": canonical } }))
}

fn allows(may: &[String], permission: &str) -> Option<Reply> {
    if may.iter().any(|it| it == "*" || it == permission) {
        return None;
    }
    let words = format!("Permission '{permission}' denied for resource (or it may not exist).");
    Some(error(403, "PERMISSION_DENIED", &words))
}
