//! Sends requests to the API and says what the answers mean.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use quell_core::outcome::{Facts, Probe};
use quell_core::secret::SecretValue;
use reqwest::Method;
use reqwest::header::{HeaderName, HeaderValue};
use serde_json::Value;

use super::call::{Filled, Key, Scope};
use super::file::{Call, File, KeyId, Who};
use super::{place, when};
use crate::context::Context;
use crate::error::{ConnectError, ConnectErrorKind};
use crate::http::Answer;
use crate::source::SecretSource;

/// One API, as one part of the inventory speaks to it.
pub(super) struct Door {
    pub(super) context: Context,
    pub(super) file: Arc<File>,
    /// In place of the file's.
    pub(super) url: Option<String>,
    pub(super) vars: BTreeMap<String, String>,
    pub(super) admin: Option<SecretSource>,
}

/// What a key is made to try, or what is done with it.
#[derive(Clone, Copy, Default)]
pub(super) struct About<'a> {
    pub(super) secret: Option<&'a SecretValue>,
    pub(super) id: Option<&'a str>,
    pub(super) tag: Option<&'a str>,
    pub(super) more: Option<&'a Value>,
    pub(super) page: Option<&'a Page>,
}

/// A page of a list that is not the first.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(super) enum Page {
    /// At an address that the page before gave.
    At(String),
    /// With one parameter more.
    Query(String, String),
}

/// The key, tried.
pub(super) enum Tried {
    /// It opens the door.
    Open { facts: Facts, body: Value },
    /// It is refused by the issuer, in its own words.
    Refused { code: String },
    /// It is refused in words that others say, too, or that a living key may get: no proof.
    Doubtful(ConnectError),
    /// Not now.
    Limited(Option<Duration>),
    /// No proof of anything.
    Odd(ConnectError),
}

/// A call that changes or reads something, done.
pub(super) enum Said {
    /// Done, or queued.
    Done { status: u16, body: Value },
    /// There is no such key.
    Gone { status: u16 },
}

impl Tried {
    /// As the engine knows it.
    pub(super) fn probe(self) -> Probe {
        match self {
            Self::Open { facts, .. } => Probe::Accepted { facts },
            Self::Refused { code } => {
                Probe::Refused { message: "refused in the issuer's own words".to_owned(), code }
            }
            Self::Limited(after) => Probe::Inconclusive { reason: limited(after) },
            Self::Doubtful(error) | Self::Odd(error) => Probe::Inconclusive { reason: error.to_string() },
        }
    }
}

/// What a rate limit means to people.
pub(super) fn limited(after: Option<Duration>) -> String {
    let wait = after.map(|after| format!("; it asks to wait {} s", after.as_secs())).unwrap_or_default();
    format!("rate limited{wait}")
}

/// A credential with its parts, as calls of one kind take it.
pub(super) fn key_for(file: &File, who: Who, value: &SecretValue) -> Result<Key, String> {
    let shape = file.auth(who).and_then(|auth| auth.shape.as_deref());
    let is_key = who == Who::Key || file.auth.admin.is_none();
    Key::new(value, shape.or(file.shape.as_deref().filter(|_| is_key)))
}

const TRYING: &str = "trying the key";

impl Door {
    /// `github https://api.github.com`: never with anything of a key in it.
    pub(super) fn name(&self) -> String {
        let mut url = self.url.as_deref().unwrap_or(&self.file.url).trim_end_matches('/').to_owned();
        for (name, value) in &self.vars {
            url = url.replace(&format!("{{vars.{name}}}"), value);
        }
        format!("{} {url}", self.file.id)
    }

    pub(super) fn error(
        &self,
        what: &'static str,
        kind: ConnectErrorKind,
        detail: impl Into<String>,
    ) -> ConnectError {
        ConnectError::new(self.name(), what, kind, detail)
    }

    /// The key that a call is about.
    pub(super) fn secret(&self, value: &SecretValue) -> Result<Key, String> {
        if !value.expose_text().is_some_and(|text| self.file.takes(text)) {
            let ways = self.file.prefixes.join(", ");
            return Err(format!(
                "it does not begin with {ways}, and this door refuses others although they live"
            ));
        }
        Key::new(value, self.file.shape.as_deref())
    }

    /// The id of a key, where it can be told.
    pub(super) fn id_of(&self, value: &SecretValue, answer: Option<&Value>) -> Option<String> {
        match self.file.key_id.as_ref()? {
            KeyId::Part(part) => self.secret(value).ok()?.part(part).map(str::to_owned),
            KeyId::Probe(at) => when::word(answer?, at),
            KeyId::Inventory(_) => None,
        }
    }

    /// Tries a key as its bearer would.
    pub(super) async fn try_key(&self, value: &SecretValue) -> Tried {
        let call = &self.file.probe.value;
        let about = About { secret: Some(value), ..About::default() };
        let answer = match self.send(TRYING, call, about, Some(value)).await {
            Ok(answer) => answer,
            Err(error) => return Tried::Odd(error),
        };
        let body = when::json(&answer);
        let fits =
            |list: &[super::file::When]| list.iter().any(|one| when::fits(one, answer.status, body.as_ref()));
        if answer.status == 429 || fits(&call.limited) {
            return Tried::Limited(answer.retry_after);
        }
        let mut refusals: Vec<&super::file::When> =
            call.refused.iter().filter(|one| when::fits(one, answer.status, body.as_ref())).collect();
        // What nobody else says counts first.
        refusals.sort_by_key(|one| one.weak.is_some());
        match refusals.first().map(|refusal| (refusal.code(), &refusal.weak)) {
            Some((code, None)) => return Tried::Refused { code },
            Some((code, Some(why))) => {
                let words = format!("it is refused ({code}), and that proves nothing: {why}");
                return Tried::Doubtful(self.error(TRYING, ConnectErrorKind::Unexpected, words));
            }
            None => {}
        }
        if fits(&call.accepted) {
            let secret = value.expose_text().unwrap_or_default();
            let facts = when::facts(call.facts.iter(), body.as_ref().unwrap_or(&Value::Null), secret);
            return Tried::Open { facts, body: body.unwrap_or(Value::Null) };
        }
        Tried::Odd(self.error(TRYING, ConnectErrorKind::Unexpected, when::odd(&answer, &call.checked)))
    }

    /// Makes a call; what is not one of its good answers is an error with its meaning.
    pub(super) async fn ask(
        &self,
        what: &'static str,
        call: &Call,
        about: About<'_>,
    ) -> Result<Said, ConnectError> {
        let credential = match call.who {
            Who::Nobody => None,
            Who::Key => about.secret.map(SecretValue::duplicate),
            Who::Admin => {
                let missing = "this needs an administrator's credential: set `admin` to a reference";
                let source = self.admin.as_ref();
                let source = source.ok_or_else(|| self.error(what, ConnectErrorKind::Denied, missing))?;
                Some(source.resolve(&self.context).await?)
            }
        };
        let answer = self.send(what, call, about, credential.as_ref()).await?;
        let body = when::json(&answer);
        let fits =
            |list: &[super::file::When]| list.iter().any(|one| when::fits(one, answer.status, body.as_ref()));
        let status = answer.status;
        if fits(&call.done) {
            return Ok(Said::Done { status, body: body.unwrap_or(Value::Null) });
        }
        if fits(&call.gone) {
            return Ok(Said::Gone { status });
        }
        if fits(&call.limited) {
            let kind = ConnectErrorKind::Transient { retry_after: answer.retry_after };
            return Err(self.error(what, kind, limited(answer.retry_after)));
        }
        Err(self.failure(what, call, &answer))
    }

    /// What an answer means that is none of the good ones.
    fn failure(&self, what: &'static str, call: &Call, answer: &Answer) -> ConnectError {
        let status = answer.status;
        let (kind, words) = match status {
            429 => {
                let kind = ConnectErrorKind::Transient { retry_after: answer.retry_after };
                (kind, limited(answer.retry_after))
            }
            401 | 403 => {
                let whose = match call.who {
                    Who::Admin => "the administrator's credential",
                    Who::Key => "the key itself",
                    Who::Nobody => "nobody",
                };
                let needs = call.needs.as_deref().unwrap_or("the right to this call");
                let words = format!("refused with {status}: {whose} may not do this; it needs {needs}");
                (ConnectErrorKind::Denied, words)
            }
            // The call may have been carried out behind whoever said so: a gateway that lost patience, a redirect after the deed.
            500..=599 | 200..=399 | 408 | 499 => {
                (ConnectErrorKind::Unexpected, when::odd(answer, &call.checked))
            }
            _ => (ConnectErrorKind::Denied, when::odd(answer, &call.checked)),
        };
        self.error(what, kind, words)
    }

    async fn send(
        &self,
        what: &'static str,
        call: &Call,
        about: About<'_>,
        credential: Option<&SecretValue>,
    ) -> Result<Answer, ConnectError> {
        let bad = |words: String| self.error(what, ConnectErrorKind::Denied, words);
        let key = credential.map(|value| key_for(&self.file, call.who, value)).transpose();
        let key = key.map_err(|words| bad(format!("the credential cannot be used: {words}")))?;
        let secret = about.secret.map(|value| self.secret(value)).transpose();
        let secret = secret.map_err(|words| bad(format!("the value cannot be used: {words}")))?;
        let scope = Scope {
            key: key.as_ref(),
            secret: secret.as_ref(),
            id: about.id,
            tag: about.tag,
            vars: &self.vars,
        };
        let filled = scope.fill(call, self.file.auth(call.who), about.more).map_err(bad)?;
        let base = match &self.url {
            Some(url) => zeroize::Zeroizing::new(url.clone()),
            None => scope.base(call.url.as_ref().unwrap_or(&self.file.url)).map_err(bad)?,
        };
        let base = place::address(&base).map_err(bad)?;
        let request = self.request(what, &base, about.page, &filled)?;
        let name = self.name();
        let sent = self.context.http.send(&name, what, request);
        match tokio::time::timeout(self.context.call_limit, sent).await {
            Ok(answer) => answer,
            Err(_elapsed) => Err(self.error(what, ConnectErrorKind::Lost, "no answer in time")),
        }
    }

    fn request(
        &self,
        what: &'static str,
        base: &url::Url,
        page: Option<&Page>,
        filled: &Filled,
    ) -> Result<reqwest::RequestBuilder, ConnectError> {
        let bad = |words: &str| self.error(what, ConnectErrorKind::Denied, words);
        let method = Method::from_bytes(filled.method.as_bytes()).map_err(|_e| bad("unknown method"))?;
        let first = zeroize::Zeroizing::new(format!(
            "{}{}",
            base.as_str().trim_end_matches('/'),
            filled.path.as_str()
        ));
        let url = match page {
            None => first,
            Some(Page::Query(name, value)) => {
                let pair =
                    url::form_urlencoded::Serializer::new(String::new()).append_pair(name, value).finish();
                let and = if first.contains('?') { '&' } else { '?' };
                zeroize::Zeroizing::new(format!("{}{and}{pair}", first.as_str()))
            }
            // The credential goes to nobody but the API.
            Some(Page::At(next)) => {
                let next = base.join(next).map_err(|_e| bad("the next page's address is none"))?;
                if next.origin() != base.origin() {
                    return Err(bad(
                        "the next page would be on another server, which does not get the credential",
                    ));
                }
                zeroize::Zeroizing::new(next.into())
            }
        };
        let mut request = self.context.http.request(method, &url)?;
        if !filled.headers.iter().any(|(name, _)| name == "accept") {
            request = request.header("accept", "application/json");
        }
        for (name, value) in &filled.headers {
            let name = HeaderName::from_bytes(name.as_bytes()).map_err(|_e| bad("not a header's name"))?;
            let mut value = HeaderValue::from_bytes(value.as_bytes())
                .map_err(|_e| bad("the credential has characters that no header can carry"))?;
            value.set_sensitive(true);
            request = request.header(name, value);
        }
        if let Some((kind, body)) = &filled.body {
            request = request.header("content-type", *kind).body(body.to_vec());
        }
        Ok(request)
    }

    /// As which credential an administrator's calls are made is known to be of the same kind as the key.
    pub(super) fn admin_is_a_key(&self) -> bool {
        self.file.auth.admin.is_none()
    }
}
