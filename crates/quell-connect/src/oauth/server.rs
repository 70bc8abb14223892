//! The server: where its endpoints are, and what it answers.

use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use jiff::Timestamp;
use quell_core::secret::SecretValue;
use reqwest::Method;
use reqwest::header::{ACCEPT, AUTHORIZATION, CONTENT_TYPE, HeaderValue};
use serde_json::Value;
use tokio::sync::OnceCell;
use url::Url;
use url::form_urlencoded::{Serializer, byte_serialize};
use zeroize::Zeroizing;

use super::config::{Auth, Client, Config, Endpoints, checked};
use crate::context::Context;
use crate::error::{ConnectError, ConnectErrorKind};
use crate::http::Answer;
use crate::words::{one_line, without};

/// The server, of which only its name is known at first.
pub(super) struct Server {
    ctx: Context,
    issuer: String,
    /// The client whose credential leaks.
    client: String,
    given: Endpoints,
    metadata: OnceCell<Value>,
}

/// Which endpoint.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum Endpoint {
    Introspection,
    Revocation,
    Token,
}

/// Who asks.
pub(super) struct Login {
    pub(super) id: String,
    pub(super) secret: Option<SecretValue>,
    pub(super) auth: Auth,
}

/// An answer of an endpoint. Its words hold nothing that was sent.
pub(super) struct Reply {
    pub(super) status: u16,
    /// `error` (RFC 6749, section 5.2).
    pub(super) code: Option<String>,
    pub(super) words: String,
    /// May hold tokens.
    pub(super) body: Value,
    /// It says something that is neither JSON nor nothing: a page of a proxy, a login.
    pub(super) is_page: bool,
    pub(super) date: Option<Timestamp>,
    retry_after: Option<Duration>,
}

/// What introspection says (RFC 7662, section 2.2).
#[derive(Debug)]
pub(super) enum Standing {
    /// Good.
    Active(Seen),
    /// There is no endpoint to ask.
    Blind,
    /// Dead, unknown, or not for the one who asks: it is the same answer.
    Inactive,
}

/// What it says of a token that is good.
#[derive(Debug)]
pub(super) struct Seen {
    /// As the server names it; it could be anything.
    pub(super) client: Option<String>,
    /// The same in one short line, without what was sent.
    pub(super) shown: Option<String>,
    pub(super) expires: Option<Timestamp>,
    pub(super) issued: Option<Timestamp>,
}

/// Codes of the RFCs: nothing that was sent is in them, whatever it was.
const CODES: [&str; 11] = [
    "access_denied",
    "invalid_client",
    "invalid_grant",
    "invalid_request",
    "invalid_scope",
    "invalid_target",
    "server_error",
    "temporarily_unavailable",
    "unauthorized_client",
    "unsupported_grant_type",
    "unsupported_token_type",
];

const FINDING: &str = "reading the server's metadata";
const INTROSPECTING: &str = "introspecting the token";

impl Endpoint {
    /// As in the metadata (RFC 8414, section 2).
    fn name(self) -> &'static str {
        match self {
            Self::Introspection => "introspection_endpoint",
            Self::Revocation => "revocation_endpoint",
            Self::Token => "token_endpoint",
        }
    }

    /// As in the inventory.
    fn key(self) -> &'static str {
        match self {
            Self::Introspection => "endpoints.introspection",
            Self::Revocation => "endpoints.revocation",
            Self::Token => "endpoints.token",
        }
    }
}

impl Reply {
    fn new(answer: &Answer, sent: &[&str]) -> Self {
        let body = answer.json();
        let is_page = body.is_null() && !answer.body.iter().all(u8::is_ascii_whitespace);
        let said = |name: &str| body.get(name).and_then(Value::as_str);
        let plain = |text: &&str| {
            text.len() <= 40 && text.chars().all(|c| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '_')
        };
        let repeats = |text: &&str| sent.iter().any(|value| !value.is_empty() && text.contains(value));
        let code = said("error").filter(plain).filter(|code| CODES.contains(code) || !repeats(code));
        let code = code.map(str::to_owned);
        let words = said("error_description").unwrap_or_default();
        let words = sent.iter().fold(words.to_owned(), |words, value| without(&words, value));
        let Answer { status, retry_after, date, .. } = *answer;
        Self { status, code, words: one_line(&words), body, is_page, date, retry_after }
    }

    pub(super) fn is(&self, code: &str) -> bool {
        (400..500).contains(&self.status) && self.code.as_deref() == Some(code)
    }

    /// `invalid_grant: refresh token not found`.
    pub(super) fn said(&self) -> String {
        match (&self.code, self.words.is_empty()) {
            (Some(code), true) => code.clone(),
            (Some(code), false) => format!("{code}: {}", self.words),
            (None, _) => format!("status {}", self.status),
        }
    }
}

impl Login {
    pub(super) async fn of(client: &Client, ctx: &Context) -> Result<Self, ConnectError> {
        let secret = match &client.secret {
            Some(source) => Some(source.resolve(ctx).await?),
            None => None,
        };
        Ok(Self { id: client.id.clone(), secret, auth: client.auth })
    }
}

impl Server {
    pub(super) fn new(ctx: &Context, config: &Config) -> Self {
        Self {
            ctx: ctx.clone(),
            issuer: config.issuer.trim_end_matches('/').to_owned(),
            client: config.client.id.clone(),
            given: config.endpoints.clone(),
            metadata: OnceCell::new(),
        }
    }

    pub(super) fn ctx(&self) -> &Context {
        &self.ctx
    }

    pub(super) fn issuer(&self) -> &str {
        &self.issuer
    }

    /// `oauth https://login.example.com`.
    pub(super) fn name(&self) -> String {
        format!("oauth {}", self.issuer)
    }

    pub(super) fn error(
        &self,
        what: &'static str,
        kind: ConnectErrorKind,
        detail: impl Into<String>,
    ) -> ConnectError {
        ConnectError::new(self.name(), what, kind, detail)
    }

    /// An endpoint, by the inventory or by the metadata; `None` when neither has it.
    pub(super) async fn find(&self, endpoint: Endpoint) -> Result<Option<Url>, ConnectError> {
        let given = match endpoint {
            Endpoint::Introspection => &self.given.introspection,
            Endpoint::Revocation => &self.given.revocation,
            Endpoint::Token => &self.given.token,
        };
        let text = match given {
            Some(given) => Some(given.as_str()),
            None => self.metadata().await?.get(endpoint.name()).and_then(Value::as_str),
        };
        let bad = |why: &str| {
            let words = format!("its {} cannot be used: {why}", endpoint.name());
            self.error(FINDING, ConnectErrorKind::Denied, words)
        };
        text.map(|text| checked(text).map_err(bad)).transpose()
    }

    pub(super) async fn endpoint(&self, what: &'static str, endpoint: Endpoint) -> Result<Url, ConnectError> {
        self.find(endpoint).await?.ok_or_else(|| {
            let words = format!("its metadata names no {}; set `{}`", endpoint.name(), endpoint.key());
            self.error(what, ConnectErrorKind::Denied, words)
        })
    }

    pub(super) async fn metadata(&self) -> Result<&Value, ConnectError> {
        self.metadata.get_or_try_init(|| self.read_metadata()).await
    }

    /// RFC 8414, section 3.1, puts the name of the document before the issuer's path; `OpenID` Connect Discovery, section 4, behind it.
    async fn read_metadata(&self) -> Result<Value, ConnectError> {
        let denied = |words: String| self.error(FINDING, ConnectErrorKind::Denied, words);
        let url = Url::parse(&self.issuer).map_err(|_e| denied("`issuer` is not a URL".to_owned()))?;
        let mut first = url.clone();
        let path = url.path().trim_end_matches('/');
        first.set_path(&format!("/.well-known/oauth-authorization-server{path}"));
        let second = format!("{}/.well-known/openid-configuration", self.issuer);
        let (mut status, mut retry_after) = (0, None);
        for place in [first.as_str(), &second] {
            let request = self.ctx.http.request(Method::GET, place)?;
            let answer = self.ctx.http.send(&self.name(), FINDING, request).await?;
            (status, retry_after) = (answer.status, answer.retry_after);
            if status == 404 {
                continue;
            }
            let body = answer.json();
            let Some(named) = body.get("issuer").and_then(Value::as_str).filter(|_| status == 200) else {
                break;
            };
            // RFC 8414, section 3.3: otherwise it must not be used.
            if named.trim_end_matches('/') != self.issuer {
                return Err(denied("its metadata is another issuer's; correct `issuer`".to_owned()));
            }
            return Ok(body);
        }
        let hint = "correct `issuer`, or set `endpoints` where there is no metadata";
        match status {
            429 | 503 => Err(self.error(
                FINDING,
                ConnectErrorKind::Transient { retry_after },
                format!("it answered {status}"),
            )),
            404 => Err(denied(format!("there is no metadata; {hint}"))),
            status => {
                let words = format!("it answered {status} with something that is no metadata; {hint}");
                Err(self.error(FINDING, ConnectErrorKind::Unexpected, words))
            }
        }
    }

    /// Posts a form as a client. What it sends does not come back in words.
    pub(super) async fn post(
        &self,
        what: &'static str,
        url: &Url,
        login: &Login,
        pairs: &[(&str, &str)],
    ) -> Result<Reply, ConnectError> {
        let denied = |words: &str| self.error(what, ConnectErrorKind::Denied, words);
        let secret = match &login.secret {
            Some(secret) => secret.expose_text().ok_or_else(|| denied("the client's secret is not text"))?,
            None => "",
        };
        let mut request = self
            .ctx
            .http
            .request(Method::POST, url.as_str())?
            .header(CONTENT_TYPE, "application/x-www-form-urlencoded")
            .header(ACCEPT, "application/json")
            .body(form(login, secret, pairs));
        if login.auth == Auth::Basic {
            let header = basic(&login.id, secret).ok_or_else(|| denied("it does not fit a header"))?;
            request = request.header(AUTHORIZATION, header);
        }
        let answer = self.ctx.http.send(&self.name(), what, request).await?;
        let sent: Vec<&str> = pairs.iter().map(|(_, value)| *value).chain([secret]).collect();
        Ok(Reply::new(&answer, &sent))
    }

    /// What a reply means that is not the hoped-for one.
    pub(super) fn failure(&self, what: &'static str, login: &Login, reply: &Reply) -> ConnectError {
        let (kind, words) = match (reply.status, reply.code.as_deref()) {
            (429, _) => {
                (ConnectErrorKind::Transient { retry_after: reply.retry_after }, "it has no time".to_owned())
            }
            // A proxy may say so of what was done behind it.
            (500.., _) => (ConnectErrorKind::Lost, format!("it answered {}", reply.status)),
            (400 | 401, Some("invalid_client")) => (
                ConnectErrorKind::Denied,
                format!(
                    "it refuses the client `{}` ({}): its secret has expired or was changed, or it logs in by another `auth`; \
                     renew what the inventory refers to",
                    login.id,
                    reply.said()
                ),
            ),
            (400..500, Some(_)) => {
                (ConnectErrorKind::Denied, format!("it refused, as `{}`: {}", login.id, reply.said()))
            }
            (status, _) => (
                ConnectErrorKind::Unexpected,
                format!(
                    "it answered {status} with something that is not OAuth; is there a proxy or a login page in between?"
                ),
            ),
        };
        self.error(what, kind, words)
    }

    /// The same where 503 says that nothing was done.
    pub(super) fn failure_of_harmless(
        &self,
        what: &'static str,
        login: &Login,
        reply: &Reply,
    ) -> ConnectError {
        if reply.status == 503 {
            let kind = ConnectErrorKind::Transient { retry_after: reply.retry_after };
            return self.error(what, kind, "it has no time");
        }
        self.failure(what, login, reply)
    }

    /// RFC 7662. Changes nothing.
    pub(super) async fn introspect(
        &self,
        login: &Login,
        token: &str,
        hint: &str,
    ) -> Result<(Standing, Option<Timestamp>), ConnectError> {
        let Some(url) = self.find(Endpoint::Introspection).await? else {
            return Ok((Standing::Blind, None));
        };
        let pairs = [("token", token), ("token_type_hint", hint)];
        let known = [self.client.as_str(), login.id.as_str()];
        let reply = self.post(INTROSPECTING, &url, login, &pairs).await?;
        let moment = |name: &str| {
            let seconds = reply.body.get(name).and_then(Value::as_i64)?;
            Timestamp::from_second(seconds).ok()
        };
        match reply.body.get("active").and_then(Value::as_bool) {
            Some(active) if reply.status == 200 => Ok(if active {
                let client = reply.body.get("client_id").and_then(Value::as_str).map(str::to_owned);
                let secret = login.secret.as_ref().and_then(SecretValue::expose_text).unwrap_or_default();
                let clean = |client: &str| one_line(&without(&without(client, token), secret));
                // What the inventory has is no secret, whatever it looks like.
                let clean = |client: &String| {
                    if known.contains(&client.as_str()) { client.clone() } else { clean(client) }
                };
                let shown = client.as_ref().map(clean);
                let seen = Seen { client, shown, expires: moment("exp"), issued: moment("iat") };
                (Standing::Active(seen), reply.date)
            } else {
                (Standing::Inactive, reply.date)
            }),
            _ => Err(self.failure_of_harmless(INTROSPECTING, login, &reply)),
        }
    }
}

fn form(login: &Login, secret: &str, pairs: &[(&str, &str)]) -> String {
    let mut form = Serializer::new(String::new());
    form.extend_pairs(pairs);
    match login.auth {
        Auth::Basic => &mut form,
        Auth::None => form.append_pair("client_id", &login.id),
        Auth::Post => form.append_pair("client_id", &login.id).append_pair("client_secret", secret),
    };
    form.finish()
}

/// RFC 6749, section 2.3.1: both are form-encoded first.
fn basic(id: &str, secret: &str) -> Option<HeaderValue> {
    let encoded = |text: &str| byte_serialize(text.as_bytes()).collect::<String>();
    let pair = Zeroizing::new(format!("{}:{}", encoded(id), *Zeroizing::new(encoded(secret))));
    let text = Zeroizing::new(format!("Basic {}", *Zeroizing::new(STANDARD.encode(pair.as_bytes()))));
    let mut header = HeaderValue::from_str(&text).ok()?;
    header.set_sensitive(true);
    Some(header)
}
