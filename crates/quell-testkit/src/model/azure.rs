//! Azure Key Vault, the token endpoint before it and the passwords of applications in Microsoft Graph, as a model: Key Vault REST API 7.4, Graph v1.0
//! (`addPassword`, `removePassword`, `passwordCredential`), "Microsoft identity platform and the OAuth 2.0 client
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
    /// Client secrets by application.
    applications: BTreeMap<String, Vec<Password>>,
    made: u32,
    /// How many grants a removed one is still good for.
    lag: u32,
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

#[derive(Clone, Debug)]
struct Password {
    id: String,
    name: String,
    text: String,
    expired: bool,
    /// Of the service principal, not of the application.
    of_principal: bool,
    /// Removed, and good for so many grants more.
    removed: Option<u32>,
    /// Graph does not tell how it begins.
    unhinted: bool,
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
        locked(&self.state).add(client, "by hand", secret, expired, false);
    }

    /// Makes one of its service principal.
    pub fn principal_secret(&self, client: &str, secret: &str) {
        locked(&self.state).add(client, "by hand", secret, false, true);
    }

    /// Names and texts of the client secrets of an application that are not removed.
    pub fn passwords(&self, client: &str) -> Vec<(String, String)> {
        let state = locked(&self.state);
        let all = state.applications.get(client).into_iter().flatten().filter(|one| one.removed.is_none());
        all.map(|one| (one.name.clone(), one.text.clone())).collect()
    }

    /// Whether a client secret is good.
    pub fn takes(&self, client: &str, secret: &str) -> bool {
        self.passwords(client).iter().any(|(_, text)| text == secret)
    }

    /// Graph does not tell how the client secrets of an application begin.
    pub fn hide_hints(&self, client: &str) {
        let mut state = locked(&self.state);
        let all = state.applications.get_mut(client).into_iter().flatten();
        all.for_each(|one| one.unhinted = true);
    }

    /// From now on what is removed stays good for so many grants.
    pub fn let_removals_lag(&self, grants: u32) {
        locked(&self.state).lag = grants;
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
        match (request.method.as_str(), path.as_slice()) {
            ("POST", [TENANT, "oauth2", "v2.0", "token"]) => return self.give_token(request),
            ("POST", [_, "oauth2", "v2.0", "token"]) => {
                return grant_refused(90_002, "Tenant not found.");
            }
            _ => {}
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
        if let ["v1.0", object, rest @ ..] = path.as_slice() {
            return self.on_graph(object, rest, request, &may);
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
        let Some(held) = self.applications.get_mut(at("client_id")) else {
            return grant_refused(700_016, "Application was not found in the directory.");
        };
        let mut good = None;
        for one in held.iter_mut().filter(|one| one.text == at("client_secret")) {
            match &mut one.removed {
                None => good = Some(one.expired),
                Some(0) => {}
                Some(left) => {
                    *left -= 1;
                    good = Some(one.expired);
                }
            }
        }
        match good {
            Some(false) if at("scope").ends_with("/.default") => {
                let token = format!("eyJ0.{}", self.tokens.len());
                self.tokens.insert(token.clone(), vec!["*".to_owned()]);
                Reply::json(
                    200,
                    &json!({ "access_token": token, "expires_in": 3599, "token_type": "Bearer" }),
                )
            }
            Some(false) => grant_refused(70_011, "The provided value for scope is not valid."),
            Some(true) => grant_refused(7_000_222, "The provided client secret keys for app are expired."),
            None => grant_refused(7_000_215, "Invalid client secret provided."),
        }
    }

    fn add(&mut self, client: &str, name: &str, text: &str, expired: bool, of_principal: bool) -> Value {
        self.made += 1;
        let id = format!("00000000-0000-0000-0000-{:012}", self.made);
        let (name, text) = (name.to_owned(), text.to_owned());
        let password = Password { id, name, text, expired, of_principal, removed: None, unhinted: false };
        let mut object = password.object();
        object["secretText"] = json!(password.text);
        self.applications.entry(client.to_owned()).or_default().push(password);
        object
    }

    fn on_graph(&mut self, object: &str, rest: &[&str], request: &Request, may: &[String]) -> Reply {
        if !may.iter().any(|it| it == "*" || it == "graph") {
            return error(
                403,
                "Authorization_RequestDenied",
                "",
                "Insufficient privileges to complete the operation.",
            );
        }
        let parts = object.strip_suffix("')").and_then(|object| object.split_once("(appId='"));
        let known = parts.filter(|(_, client)| self.applications.contains_key(*client));
        let Some((place, client)) = known else {
            return error(
                404,
                "Request_ResourceNotFound",
                "",
                "Resource does not exist or one of its queried reference-property objects are not present.",
            );
        };
        let of_principal = place == "servicePrincipals";
        let body = request.json();
        match (request.method.as_str(), rest) {
            ("GET", []) => {
                let all = self.applications.get(client).into_iter().flatten();
                let some = all.filter(|one| one.removed.is_none() && one.of_principal == of_principal);
                let some: Vec<Value> = some.map(Password::object).collect();
                Reply::json(200, &json!({ "id": "1", "passwordCredentials": some }))
            }
            ("POST", ["addPassword"]) => {
                let text = format!("{:03}8Q~canary{}", 100 + self.made, self.made);
                let name = body["passwordCredential"]["displayName"].as_str().unwrap_or_default().to_owned();
                Reply::json(200, &self.add(client, &name, &text, false, of_principal))
            }
            ("POST", ["removePassword"]) => {
                let lag = self.lag;
                let mut all = self.applications.get_mut(client).into_iter().flatten();
                let found = all.find(|one| {
                    one.id == body["keyId"] && one.removed.is_none() && one.of_principal == of_principal
                });
                match found {
                    Some(found) => {
                        found.removed = Some(lag);
                        Reply::empty(204)
                    }
                    None => error(400, "Request_BadRequest", "", "No password credential found with keyId."),
                }
            }
            _ => error(405, "MethodNotAllowed", "", "not a call of the model"),
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

impl Password {
    /// Never with its text; `hint` is how that begins.
    fn object(&self) -> Value {
        let hint: String = self.text.chars().take(3).collect();
        let hint = (!self.unhinted).then_some(hint);
        json!({ "keyId": self.id, "displayName": self.name, "hint": hint, "endDateTime": "2028-11-23T08:00:00Z", "secretText": null })
    }
}

/// "Microsoft Entra authentication and authorization error codes".
fn grant_refused(code: u32, words: &str) -> Reply {
    let said = format!("AADSTS{code}: {words} Trace ID: 0 Correlation ID: 0");
    let body = json!({ "error": "invalid_client", "error_description": said, "error_codes": [code] });
    Reply::json(401, &body)
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
