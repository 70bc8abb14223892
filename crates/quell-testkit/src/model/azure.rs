//! Azure Key Vault and the token endpoint before it, as a model: Key Vault REST API 7.4, "Microsoft identity platform and the OAuth 2.0 client
//! credentials flow", "Azure Key Vault throttling guidance", read 2026-11-23.
//!
//! What it keeps to: a new version has no tags and no content type but its own; disabled versions are not read (403, `SecretDisabled`);
//! no version can be deleted; permissions (403, `ForbiddenByRbac`); wrong client secrets (`AADSTS7000215`) and expired ones (`AADSTS7000222`);
//! pages by `nextLink`; 429 with `Retry-After`.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};

use serde_json::{Value, json};

use super::{Listener, Reply, Request, form, locked};

/// A running model. It stops on drop.
#[derive(Debug)]
pub struct Azure {
    listener: Listener,
    state: Arc<Mutex<State>>,
}

#[derive(Debug, Default)]
struct State {
    /// What each access token may do: `get`, `*`.
    tokens: BTreeMap<String, Vec<String>>,
    /// Client secrets by application, and whether each has expired.
    applications: BTreeMap<String, Vec<(String, bool)>>,
    secrets: BTreeMap<String, Vec<Version>>,
    limited: u32,
    /// Whoever writes just after the next write.
    meanwhile: Option<String>,
    address: String,
}

#[derive(Clone, Debug)]
struct Version {
    value: String,
    enabled: bool,
    more: Value,
}

/// The one directory of the model.
const TENANT: &str = "acme.example";

impl Azure {
    /// Starts one where the access token `boss` may do all.
    pub fn start() -> anyhow::Result<Self> {
        let tokens = BTreeMap::from([("boss".to_owned(), vec!["*".to_owned()])]);
        let state = Arc::new(Mutex::new(State { tokens, ..State::default() }));
        let answering = Arc::clone(&state);
        let listener = Listener::start(move |request| locked(&answering).answer(request))?;
        let azure = Self { listener, state };
        locked(&azure.state).address = azure.addr();
        Ok(azure)
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

    /// Makes a client secret of an application.
    pub fn client_secret(&self, client: &str, secret: &str, expired: bool) {
        let mut state = locked(&self.state);
        state.applications.entry(client.to_owned()).or_default().push((secret.to_owned(), expired));
    }

    /// The next so many requests are too many.
    pub fn limit(&self, requests: u32) {
        locked(&self.state).limited = requests;
    }

    /// Makes a secret with these versions; `more` is what each has besides its value.
    pub fn secret(&self, name: &str, values: &[&str], more: &Value) {
        let version =
            |value: &&str| Version { value: (*value).to_owned(), enabled: true, more: more.clone() };
        locked(&self.state).secrets.insert(name.to_owned(), values.iter().map(version).collect());
    }

    /// What each version holds, and whether it is enabled; the first one first.
    pub fn values(&self, name: &str) -> Vec<(String, bool)> {
        let state = locked(&self.state);
        let versions = state.secrets.get(name).into_iter().flatten();
        versions.map(|version| (version.value.clone(), version.enabled)).collect()
    }

    /// What the last version has besides its value.
    pub fn more(&self, name: &str) -> Value {
        let state = locked(&self.state);
        state
            .secrets
            .get(name)
            .and_then(|all| all.last())
            .map(|version| version.more.clone())
            .unwrap_or_default()
    }

    /// Somebody disables a version.
    pub fn disable(&self, name: &str, number: usize) {
        if let Some(version) =
            locked(&self.state).secrets.get_mut(name).and_then(|all| all.get_mut(number - 1))
        {
            version.enabled = false;
        }
    }

    /// Somebody else writes this just after the next write.
    pub fn write_after_next_write(&self, value: &str) {
        locked(&self.state).meanwhile = Some(value.to_owned());
    }
}

impl State {
    fn answer(&mut self, request: &Request) -> Reply {
        let path = request.segments();
        if let ("POST", [TENANT, "oauth2", "v2.0", "token"]) = (request.method.as_str(), path.as_slice()) {
            return self.give_token(request);
        }
        let token = request.header("authorization").strip_prefix("Bearer ").unwrap_or_default();
        let Some(may) = self.tokens.get(token).cloned() else {
            return error(401, "Unauthorized", "", "[BearerReadAccessTokenFailed] Error validating token.");
        };
        if self.limited > 0 {
            self.limited -= 1;
            let words = "Request was not processed because too many requests were received.";
            return error(429, "Throttled", "", words).header("retry-after", "10");
        }
        if request.query.get("api-version").map(String::as_str) != Some("7.4") {
            return error(400, "BadParameter", "", "api-version must be specified");
        }
        let (verb, name, version) = match (request.method.as_str(), path.as_slice()) {
            ("GET", ["secrets", name, "versions"]) => ("list", *name, ""),
            ("GET", ["secrets", name]) => ("get", *name, ""),
            ("GET", ["secrets", name, version]) => ("get", *name, *version),
            ("PUT", ["secrets", name]) => ("set", *name, ""),
            ("PATCH", ["secrets", name, version]) => ("set", *name, *version),
            _ => return error(405, "MethodNotAllowed", "", "not a call of the model"),
        };
        if !may.iter().any(|it| it == "*" || it == verb) {
            let words = "Caller is not authorized to perform action on resource.";
            return error(403, "Forbidden", "ForbiddenByRbac", words);
        }
        match (request.method.as_str(), verb) {
            ("PUT", _) => self.set(name, &request.json()),
            ("PATCH", _) => self.update(name, version, &request.json()),
            (_, "list") => self.list(name, request),
            _ => self.get(name, version),
        }
    }

    fn give_token(&mut self, request: &Request) -> Reply {
        let pairs = form(&String::from_utf8_lossy(&request.body));
        let at = |name: &str| pairs.get(name).map_or("", String::as_str);
        let held = self.applications.get(at("client_id")).into_iter().flatten();
        let found =
            held.clone().find(|(secret, _)| secret == at("client_secret")).map(|(_, expired)| *expired);
        let refused = |code: u32, words: &str| {
            let said = format!("AADSTS{code}: {words} Trace ID: 0 Correlation ID: 0");
            Reply::json(
                401,
                &json!({ "error": "invalid_client", "error_description": said, "error_codes": [code] }),
            )
        };
        match found {
            Some(false) if at("scope") == "https://vault.azure.net/.default" => {
                let token = format!("eyJ0.{}", self.tokens.len());
                self.tokens.insert(token.clone(), vec!["*".to_owned()]);
                Reply::json(
                    200,
                    &json!({ "access_token": token, "expires_in": 3599, "token_type": "Bearer" }),
                )
            }
            Some(false) => {
                Reply::json(400, &json!({ "error": "invalid_scope", "error_description": "AADSTS70011" }))
            }
            Some(true) => refused(7_000_222, "The provided client secret keys for app are expired."),
            None => refused(7_000_215, "Invalid client secret provided."),
        }
    }

    fn object(&self, name: &str, number: usize, with_value: bool) -> Value {
        let version = &self.secrets[name][number];
        let mut object = version.more.clone();
        object["id"] = json!(format!("{}/secrets/{name}/{:032x}", self.address, number + 1));
        object["attributes"] = json!({ "enabled": version.enabled });
        if with_value {
            object["value"] = json!(version.value);
        }
        object
    }

    fn number(&self, name: &str, version: &str) -> Option<usize> {
        let all = self.secrets.get(name)?;
        if version.is_empty() {
            return all.len().checked_sub(1);
        }
        let number = usize::from_str_radix(version, 16).ok()?.checked_sub(1)?;
        (number < all.len()).then_some(number)
    }

    fn get(&self, name: &str, version: &str) -> Reply {
        let Some(number) = self.number(name, version) else { return missing(name) };
        if !self.secrets[name][number].enabled {
            let words = "Operation get is not allowed on a disabled secret.";
            return error(403, "Forbidden", "SecretDisabled", words);
        }
        Reply::json(200, &self.object(name, number, true))
    }

    fn set(&mut self, name: &str, body: &Value) -> Reply {
        let mut more = body.clone();
        let value = body["value"].as_str().unwrap_or_default().to_owned();
        if let Value::Object(more) = &mut more {
            more.remove("value");
        }
        let theirs = self.meanwhile.take();
        let all = self.secrets.entry(name.to_owned()).or_default();
        all.push(Version { value, enabled: true, more });
        let number = all.len() - 1;
        if let Some(value) = theirs {
            all.push(Version { value, enabled: true, more: json!({}) });
        }
        Reply::json(200, &self.object(name, number, true))
    }

    fn update(&mut self, name: &str, version: &str, body: &Value) -> Reply {
        let Some(number) = self.number(name, version) else { return missing(name) };
        if let (Some(all), Some(enabled)) =
            (self.secrets.get_mut(name), body["attributes"]["enabled"].as_bool())
        {
            all[number].enabled = enabled;
        }
        Reply::json(200, &self.object(name, number, false))
    }

    /// Two at a time.
    fn list(&self, name: &str, request: &Request) -> Reply {
        let Some(all) = self.secrets.get(name) else { return missing(name) };
        let from = request.number("$skiptoken").unwrap_or(0);
        let some: Vec<Value> = (from..all.len()).take(2).map(|n| self.object(name, n, false)).collect();
        let more = from + 2 < all.len();
        let next =
            format!("{}/secrets/{name}/versions?api-version=7.4&$skiptoken={}", self.address, from + 2);
        Reply::json(200, &json!({ "value": some, "nextLink": more.then_some(next) }))
    }
}

fn missing(name: &str) -> Reply {
    let words = format!("A secret with (name/id) {name} was not found in this key vault.");
    error(404, "SecretNotFound", "", &words)
}

fn error(status: u16, code: &str, inner: &str, message: &str) -> Reply {
    let mut body = json!({ "error": { "code": code, "message": message } });
    if !inner.is_empty() {
        body["error"]["innererror"] = json!({ "code": inner });
    }
    Reply::json(status, &body)
}
