//! One client for every role: where the server is, whose token, and what its answers mean.
//!
//! Sources: openbao.org/api-docs (status codes, `X-Vault-Token`, `X-Vault-Namespace`, `?list=true`), and answers
//! seen from OpenBao 2.7.2 (2026-11). `PUT` and `POST` mean the same to it.

use std::borrow::Cow;
use std::time::Duration;

use quell_core::secret::SecretValue;
use reqwest::Method;
use reqwest::header::HeaderValue;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use url::Url;

use crate::context::Context;
use crate::error::{ConfigError, ConnectError, ConnectErrorKind};
use crate::http::Client;
use crate::source::SecretSource;

/// `connections.openbao` of the inventory. What is left out comes from the environment, as for the `bao` program.
#[derive(Clone, Debug, Default, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
struct Connection {
    address: Option<String>,
    token: Option<SecretSource>,
    namespace: Option<String>,
    ca_file: Option<String>,
}

/// Where the server is and where our own token comes from. The token is fetched at the moment of use.
#[derive(Clone)]
pub(super) struct Bao {
    ctx: Context,
    http: Client,
    address: Url,
    namespace: Option<HeaderValue>,
    token: SecretSource,
}

/// One logged-in use of the server.
pub(super) struct Session<'a> {
    bao: &'a Bao,
    token: SecretValue,
}

/// One request. `path` is without `/v1/`.
pub(super) struct Ask<'a> {
    pub(super) what: &'static str,
    pub(super) method: Method,
    pub(super) path: Cow<'a, str>,
    pub(super) query: Vec<(&'static str, String)>,
    pub(super) body: Option<Value>,
    /// The capability that a policy must give on `path`.
    pub(super) needs: &'static str,
}

/// An answer of any status.
pub(super) struct Reply {
    pub(super) status: u16,
    pub(super) body: Value,
    retry_after: Option<Duration>,
}

impl std::fmt::Debug for Bao {
    /// Not the context: its environment may hold our token.
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Bao").field("name", &self.name()).finish_non_exhaustive()
    }
}

impl<'a> Ask<'a> {
    pub(super) fn get(what: &'static str, path: impl Into<Cow<'a, str>>) -> Self {
        Self { what, method: Method::GET, path: path.into(), query: Vec::new(), body: None, needs: "read" }
    }

    /// `GET ?list=true` is the documented equal of the verb `LIST`, which proxies may refuse.
    pub(super) fn list(what: &'static str, path: impl Into<Cow<'a, str>>) -> Self {
        Self::get(what, path).query("list", "true").needs("list")
    }

    pub(super) fn post(what: &'static str, path: impl Into<Cow<'a, str>>, body: Value) -> Self {
        Self { method: Method::POST, body: Some(body), needs: "update", ..Self::get(what, path) }
    }

    pub(super) fn query(mut self, name: &'static str, value: impl Into<String>) -> Self {
        self.query.push((name, value.into()));
        self
    }

    pub(super) fn needs(self, needs: &'static str) -> Self {
        Self { needs, ..self }
    }
}

impl Bao {
    /// Reads `connections.openbao`, `BAO_*`, `VAULT_*`. Contacts nobody.
    pub(super) fn open(ctx: &Context) -> Result<Self, ConfigError> {
        let given: Connection = match ctx.connection("openbao") {
            Some(config) => ConfigError::parse(config)?,
            None => Connection::default(),
        };
        let from_env = |name: &str| {
            let find =
                |prefix: &str| ctx.environment.get(&format!("{prefix}_{name}")).filter(|v| !v.is_empty());
            find("BAO").or_else(|| find("VAULT")).cloned()
        };
        let address = given.address.or_else(|| from_env("ADDR")).ok_or_else(|| {
            ConfigError::at("address", "no address of OpenBao", "set connections.openbao.address or BAO_ADDR")
        })?;
        let namespace = match given.namespace.or_else(|| from_env("NAMESPACE")) {
            Some(text) => Some(HeaderValue::from_str(&text).map_err(|_e| {
                ConfigError::at("namespace", "not a namespace", "use the path of the namespace, team-a/")
            })?),
            None => None,
        };
        let http = match given.ca_file.or_else(|| from_env("CACERT")) {
            Some(path) => with_ca(ctx, &path)?,
            None => ctx.http.clone(),
        };
        let token = match given.token {
            Some(SecretSource::OpenBao { .. }) => {
                let hint = "use file:, env: or exec: for OpenBao's own token";
                return Err(ConfigError::at("token", "OpenBao's token cannot be kept in OpenBao", hint));
            }
            Some(source) => source,
            None => default_token(ctx)?,
        };
        Ok(Self { ctx: ctx.clone(), http, address: parse_address(&address)?, namespace, token })
    }

    /// `openbao http://127.0.0.1:8200`.
    pub(super) fn name(&self) -> String {
        let mut text = self.server();
        if let Some(namespace) = self.namespace.as_ref().and_then(|value| value.to_str().ok()) {
            text = format!("{text} namespace {namespace}");
        }
        text
    }

    /// The same of all namespaces: one server bears them.
    pub(super) fn server(&self) -> String {
        format!("openbao {}", self.address.as_str().trim_end_matches('/'))
    }

    /// True when the token would travel in clear to another machine.
    pub(super) fn in_clear(&self) -> bool {
        let here = match self.address.host() {
            Some(url::Host::Domain(name)) => name == "localhost",
            Some(url::Host::Ipv4(ip)) => ip.is_loopback(),
            Some(url::Host::Ipv6(ip)) => ip.is_loopback(),
            None => false,
        };
        self.address.scheme() == "http" && !here
    }

    /// Fetches our own token.
    pub(super) async fn login(&self) -> Result<Session<'_>, ConnectError> {
        Ok(Session { bao: self, token: self.token.resolve_here(&self.ctx).await? })
    }

    /// The same server with somebody else's token, for probes.
    pub(super) fn login_as(&self, token: &SecretValue) -> Session<'_> {
        Session { bao: self, token: token.duplicate() }
    }

    pub(super) fn error(
        &self,
        what: &'static str,
        kind: ConnectErrorKind,
        detail: impl Into<String>,
    ) -> ConnectError {
        ConnectError::new(self.name(), what, kind, detail)
    }

    /// Each segment is encoded by itself; what would climb or vanish in a URL is refused.
    fn url(&self, ask: &Ask<'_>) -> Result<Url, ConnectError> {
        let bad = || self.error(ask.what, ConnectErrorKind::Denied, "the path cannot be part of an address");
        let mut url = self.address.clone();
        let mut segments = url.path_segments_mut().map_err(|()| bad())?;
        segments.pop_if_empty().push("v1");
        for segment in ask.path.split('/') {
            if !good_segment(segment) {
                return Err(bad());
            }
            segments.push(segment);
        }
        drop(segments);
        for (name, value) in &ask.query {
            url.query_pairs_mut().append_pair(name, value);
        }
        Ok(url)
    }
}

/// How often, and after which pause, it is asked again whether a token that could not be looked up is gone.
const ENDING_TRIES: u32 = 4;
const ENDING_PAUSE: Duration = Duration::from_millis(50);

impl Session<'_> {
    /// Is it our own token?
    pub(super) fn is_token(&self, value: &SecretValue) -> bool {
        self.token.same_as(value)
    }

    /// Our own token, for the control of a probe.
    pub(super) fn into_token(self) -> SecretValue {
        self.token
    }

    pub(super) fn bao(&self) -> &Bao {
        self.bao
    }

    /// The facts of a token, or `None` when it is gone.
    ///
    /// While a token is being revoked its accessor is still there and the token is not: the server then answers as if a policy were
    /// missing (2.7.2, 2026-11). Shortly after it says that there is no such accessor; a policy that is missing stays so.
    pub(super) async fn facts_of(
        &self,
        what: &'static str,
        accessor: &str,
    ) -> Result<Option<Value>, ConnectError> {
        let mut tries = 0;
        loop {
            let body = json!({ "accessor": accessor });
            match self.ok(&Ask::post(what, "auth/token/lookup-accessor", body)).await {
                Ok(facts) => return Ok(Some(facts)),
                Err(error) if error.kind == ConnectErrorKind::Missing => return Ok(None),
                Err(error) if error.kind == ConnectErrorKind::Denied && tries < ENDING_TRIES => {
                    tries += 1;
                    tokio::time::sleep(ENDING_PAUSE * tries).await;
                }
                Err(error) => return Err(error),
            }
        }
    }

    /// Sends it; any status is `Ok`.
    pub(super) async fn send(&self, ask: &Ask<'_>) -> Result<Reply, ConnectError> {
        let bao = self.bao;
        let mut token = HeaderValue::from_bytes(self.token.expose()).map_err(|_e| {
            bao.error(ask.what, ConnectErrorKind::Denied, "the token has characters that no token has")
        })?;
        token.set_sensitive(true);
        let url = bao.url(ask)?;
        let mut request =
            bao.http.request(ask.method.clone(), url.as_str())?.header("X-Vault-Request", "true");
        // A login is sent without one.
        if !self.token.is_empty() {
            request = request.header("X-Vault-Token", token);
        }
        if let Some(namespace) = &bao.namespace {
            request = request.header("X-Vault-Namespace", namespace.clone());
        }
        if let Some(body) = &ask.body {
            request = request.header("Content-Type", "application/json").body(body.to_string());
        }
        let name = bao.name();
        let sent = tokio::time::timeout(bao.ctx.call_limit, bao.http.send(&name, ask.what, request));
        let answer = match sent.await {
            Ok(answer) => answer?,
            Err(_elapsed) => return Err(bao.error(ask.what, ConnectErrorKind::Lost, "no answer in time")),
        };
        Ok(Reply { status: answer.status, body: answer.json(), retry_after: answer.retry_after })
    }

    /// Sends it; anything but 2xx is an error with its meaning.
    pub(super) async fn ok(&self, ask: &Ask<'_>) -> Result<Value, ConnectError> {
        let reply = self.send(ask).await?;
        if (200..300).contains(&reply.status) { Ok(reply.body) } else { Err(self.failure(ask, &reply)) }
    }

    /// What an answer other than 2xx means.
    pub(super) fn failure(&self, ask: &Ask<'_>, reply: &Reply) -> ConnectError {
        let words = self.words(ask, reply);
        let status = reply.status;
        let transient = ConnectErrorKind::Transient { retry_after: reply.retry_after };
        let (kind, detail) = match status {
            307 | 308 => (
                transient,
                "a standby node points to the active one; set the address to the active node".to_owned(),
            ),
            400 if words.contains("check-and-set") => (ConnectErrorKind::Conflict, words),
            // Vault says the same with 403.
            400 | 403 if words.contains("invalid accessor") || words.contains("invalid lease") => {
                (ConnectErrorKind::Missing, words)
            }
            // A new mount, for a moment.
            400 if words.contains("Upgrading from non-versioned") => (transient, words),
            // A definite refusal of the request as it stands.
            400 => (ConnectErrorKind::Denied, format!("refused with 400: {words}")),
            403 if reply.bad_token() => {
                (ConnectErrorKind::Denied, "the token is not accepted: wrong, expired or revoked".to_owned())
            }
            403 => {
                let need = format!("permission denied: a policy must give `{}` on `{}`", ask.needs, ask.path);
                (ConnectErrorKind::Denied, need)
            }
            404 => (ConnectErrorKind::Missing, format!("there is nothing at `{}`", ask.path)),
            412 => (transient, "the node has not caught up yet (412)".to_owned()),
            429 if words.is_empty() => (transient, "too many requests, or a standby node (429)".to_owned()),
            429 => (transient, format!("too many requests: {words}")),
            472 | 473 => (transient, format!("a standby node answered ({status})")),
            501 => (transient, "the server is not initialised (501)".to_owned()),
            503 if words.contains("sealed") => {
                (transient, "the server is sealed; a quorum of key holders must unseal it".to_owned())
            }
            // A proxy's answers: the request may have been carried out behind it.
            502..=504 => (ConnectErrorKind::Lost, format!("{status}: {words}")),
            _ => (ConnectErrorKind::Unexpected, format!("{status}: {words}")),
        };
        self.bao.error(ask.what, kind, detail)
    }

    /// The server's own words, short, in one line, without our token and without what we sent as data.
    fn words(&self, ask: &Ask<'_>, reply: &Reply) -> String {
        let errors = reply.body.get("errors").and_then(Value::as_array).into_iter().flatten();
        let mut text = errors.filter_map(Value::as_str).collect::<Vec<_>>().join("; ");
        let mut hide = vec![self.token.expose_text().unwrap_or_default()];
        for name in ["batch_input", "data", "input", "private_key", "secret_id"] {
            if let Some(data) = ask.body.as_ref().and_then(|body| body.get(name)) {
                super::kv::leaves(data, &mut hide);
            }
        }
        for secret in hide.into_iter().filter(|secret| secret.len() >= 4) {
            text = text.replace(secret, "…");
        }
        let line = text.split(|c: char| c.is_whitespace() || c.is_control()).filter(|word| !word.is_empty());
        line.collect::<Vec<_>>().join(" ").chars().take(300).collect()
    }

    /// What a mount is: `("kv", "2")`. Needs any permission below the mount.
    pub(super) async fn mount(
        &self,
        what: &'static str,
        mount: &str,
    ) -> Result<(String, String), ConnectError> {
        let ask = Ask::get(what, format!("sys/internal/ui/mounts/{mount}"));
        let reply = self.send(&ask).await?;
        if reply.status == 403 && !reply.bad_token() {
            let words =
                format!("there is no mount `{mount}/`, or no policy gives anything below `{mount}/` to us");
            return Err(self.bao.error(what, ConnectErrorKind::Denied, words));
        }
        if reply.status != 200 {
            return Err(self.failure(&ask, &reply));
        }
        let text = |pointer: &str| reply.body.pointer(pointer).and_then(Value::as_str).unwrap_or_default();
        let kind = text("/data/type");
        if kind.is_empty() {
            let words = "the answer does not say what the mount is; is this OpenBao?";
            return Err(self.bao.error(what, ConnectErrorKind::Unexpected, words));
        }
        Ok((kind.to_owned(), text("/data/options/version").to_owned()))
    }

    /// Our capabilities on each path, in the order given (openbao.org/api-docs/system/capabilities-self).
    pub(super) async fn capabilities(&self, paths: &[String]) -> Result<Vec<Vec<String>>, ConnectError> {
        let body = serde_json::json!({ "paths": paths });
        let ask = Ask::post("asking for our capabilities", "sys/capabilities-self", body);
        Ok(by_path(&self.ok(&ask).await?, paths))
    }

    /// The capabilities of another token, by its accessor (openbao.org/api-docs/system/capabilities-accessor).
    pub(super) async fn capabilities_of(
        &self,
        accessor: &str,
        paths: &[String],
    ) -> Result<Vec<Vec<String>>, ConnectError> {
        let body = serde_json::json!({ "accessor": accessor, "paths": paths });
        let ask = Ask::post("asking for the token's capabilities", "sys/capabilities-accessor", body);
        Ok(by_path(&self.ok(&ask).await?, paths))
    }
}

fn by_path(answer: &Value, paths: &[String]) -> Vec<Vec<String>> {
    let of = |path: &String| {
        let list = answer.get("data").and_then(|data| data.get(path)).and_then(Value::as_array);
        list.into_iter().flatten().filter_map(Value::as_str).map(str::to_owned).collect()
    };
    paths.iter().map(of).collect()
}

impl Reply {
    /// Whether one of the server's errors is like that.
    pub(super) fn says(&self, like: impl Fn(&str) -> bool) -> bool {
        let errors = self.body.get("errors").and_then(Value::as_array);
        errors.into_iter().flatten().filter_map(Value::as_str).any(like)
    }

    /// The token itself was refused, not what it may do. OpenBao says just `permission denied` to a token that
    /// it does not know, and `1 error occurred: …` to one that it knows; Vault adds `invalid token`.
    pub(super) fn bad_token(&self) -> bool {
        self.status == 403
            && self.says(|text| {
                text == "permission denied" || text.contains("bad token") || text.contains("invalid token")
            })
    }
}

fn good_segment(segment: &str) -> bool {
    !segment.is_empty() && segment != "." && segment != ".." && !segment.chars().any(char::is_control)
}

/// A mount or a path as the inventory gives it: no slash at the ends, nothing that climbs.
pub(super) fn checked_path(key: &str, path: &str) -> Result<String, ConfigError> {
    let trimmed = path.trim_matches('/');
    if trimmed.split('/').all(good_segment) {
        Ok(trimmed.to_owned())
    } else {
        Err(ConfigError::at(key, "not a path in OpenBao", "use names joined by `/`, such as apps/orders"))
    }
}

fn parse_address(text: &str) -> Result<Url, ConfigError> {
    // The text is not repeated: people put credentials into addresses.
    let bad = |why: &str| ConfigError::at("address", why, "use https://HOST:PORT");
    let url = Url::parse(text).map_err(|_e| bad("the address is not a URL"))?;
    if !matches!(url.scheme(), "http" | "https") || url.host().is_none() {
        return Err(bad("the address is not http or https"));
    }
    if !url.username().is_empty() || url.password().is_some() || url.query().is_some() {
        return Err(bad("the address must not carry credentials or a query"));
    }
    Ok(url)
}

fn with_ca(ctx: &Context, path: &str) -> Result<Client, ConfigError> {
    let bad = |why: String| ConfigError::at("ca_file", why, "name a PEM file with the issuing certificates");
    let pem = std::fs::read(ctx.path(path)).map_err(|error| bad(format!("{path}: {error}")))?;
    Client::new(ctx.call_limit, Some(&pem)).map_err(|error| bad(error.detail))
}

fn default_token(ctx: &Context) -> Result<SecretSource, ConfigError> {
    let set = |name: &&str| ctx.environment.get(*name).is_some_and(|value| !value.is_empty());
    if let Some(name) = ["BAO_TOKEN", "VAULT_TOKEN"].into_iter().find(set) {
        return Ok(SecretSource::Env(name.to_owned()));
    }
    let home = ctx.environment.get("HOME").map(|home| format!("{home}/.vault-token"));
    match home.filter(|path| std::path::Path::new(path).is_file()) {
        Some(path) => Ok(SecretSource::File(path)),
        None => Err(ConfigError::at(
            "token",
            "no token for OpenBao",
            "set connections.openbao.token to a file:, env: or exec: reference, or BAO_TOKEN",
        )),
    }
}
