//! Requests to APIs that speak JSON over HTTPS with a token: addresses, sensitive headers, one answer.

use quell_core::secret::SecretValue;
use reqwest::Method;
use reqwest::header::HeaderValue;
use serde::Deserialize;
use serde_json::Value;
use url::{Host, Url};
use zeroize::Zeroizing;

use crate::context::Context;
use crate::error::{ConfigError, ConnectError, ConnectErrorKind};
use crate::http::{Answer, Client};
use crate::source::SecretSource;

/// `connections:` of an API, or `api:` of one entry: where it is, and with whose token.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Access {
    url: Option<String>,
    token: SecretSource,
}

impl Access {
    /// What is given, or else the connection `id`; at the address `usual` unless it says another. Contacts nobody.
    pub(crate) fn open(
        given: Option<Self>,
        context: &Context,
        id: &'static str,
        vendor: &str,
        usual: &str,
    ) -> Result<(Rest, SecretSource), ConfigError> {
        let given = match (given, context.connection(id)) {
            (Some(given), _) => given,
            (None, Some(config)) => ConfigError::parse(config)?,
            (None, None) => {
                let hint = format!("Set connections.{id}.token to a reference.");
                return Err(ConfigError::at("api", format!("no token for {vendor}"), hint));
            }
        };
        let url = address("url", given.url.as_deref().unwrap_or(usual))?;
        Ok((Rest::new(context, context.http.clone(), id, url), given.token))
    }
}

/// One API at one address.
#[derive(Clone)]
pub(crate) struct Rest {
    pub(crate) context: Context,
    http: Client,
    base: Url,
    name: String,
}

/// One request.
#[derive(Clone, Debug)]
pub(crate) struct Ask<'a> {
    pub(crate) what: &'static str,
    method: Method,
    path: Vec<&'a str>,
    query: Vec<(&'static str, String)>,
    /// Its type and what it says.
    body: Option<(&'static str, Zeroizing<String>)>,
}

impl std::fmt::Debug for Rest {
    /// Not the context: its environment may hold keys.
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Rest").field("name", &self.name).finish_non_exhaustive()
    }
}

impl<'a> Ask<'a> {
    /// A request without a body. Each segment of the path is encoded by itself.
    pub(crate) fn new(what: &'static str, method: Method, path: &[&'a str]) -> Self {
        Self { what, method, path: path.to_vec(), query: Vec::new(), body: None }
    }

    pub(crate) fn get(what: &'static str, path: &[&'a str]) -> Self {
        Self::new(what, Method::GET, path)
    }

    pub(crate) fn query(mut self, name: &'static str, value: impl Into<String>) -> Self {
        self.query.push((name, value.into()));
        self
    }

    pub(crate) fn json(self, body: &Value) -> Self {
        self.typed("application/json", body)
    }

    pub(crate) fn typed(self, content_type: &'static str, body: &Value) -> Self {
        Self { body: Some((content_type, Zeroizing::new(body.to_string()))), ..self }
    }

    /// Text that holds a value.
    pub(crate) fn text(self, content_type: &'static str, body: Zeroizing<String>) -> Self {
        Self { body: Some((content_type, body)), ..self }
    }

    /// A form, as endpoints for tokens take it.
    pub(crate) fn form(self, pairs: &[(&str, &str)]) -> Self {
        let mut form = url::form_urlencoded::Serializer::new(String::new());
        for (name, value) in pairs {
            form.append_pair(name, value);
        }
        Self { body: Some(("application/x-www-form-urlencoded", Zeroizing::new(form.finish()))), ..self }
    }
}

impl Rest {
    pub(crate) fn new(context: &Context, http: Client, name: impl Into<String>, base: Url) -> Self {
        Self { context: context.clone(), http, base, name: name.into() }
    }

    /// `github https://api.github.com`.
    pub(crate) fn name(&self) -> String {
        format!("{} {}", self.name, self.base.as_str().trim_end_matches('/'))
    }

    pub(crate) fn error(
        &self,
        what: &'static str,
        kind: ConnectErrorKind,
        detail: impl Into<String>,
    ) -> ConnectError {
        ConnectError::new(self.name(), what, kind, detail)
    }

    fn url(&self, ask: &Ask<'_>) -> Result<Url, ConnectError> {
        let bad = || self.error(ask.what, ConnectErrorKind::Denied, "a name cannot be part of an address");
        let mut url = self.base.clone();
        let mut segments = url.path_segments_mut().map_err(|()| bad())?;
        segments.pop_if_empty();
        for segment in &ask.path {
            if !is_segment(segment) {
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

    /// Sends it; any status is `Ok`.
    pub(crate) async fn send(
        &self,
        ask: &Ask<'_>,
        headers: &[(&'static str, HeaderValue)],
    ) -> Result<Answer, ConnectError> {
        let url = self.url(ask)?;
        let mut request = self.http.request(ask.method.clone(), url.as_str())?;
        for (name, value) in headers {
            request = request.header(*name, value.clone());
        }
        if let Some((content_type, body)) = &ask.body {
            request = request.header("content-type", *content_type).body(body.as_bytes().to_vec());
        }
        let sent = self.http.send(&self.name, ask.what, request);
        match tokio::time::timeout(self.context.call_limit, sent).await {
            Ok(answer) => answer.map_err(|error| ConnectError { system: self.name(), ..error }),
            Err(_elapsed) => Err(self.error(ask.what, ConnectErrorKind::Lost, "no answer in time")),
        }
    }

    /// `Bearer …`, hidden from every `Debug`.
    pub(crate) fn header(
        &self,
        what: &'static str,
        prefix: &str,
        token: &SecretValue,
    ) -> Result<HeaderValue, ConnectError> {
        let bad = || self.error(what, ConnectErrorKind::Denied, "the token has characters that no token has");
        let text = token.expose_text().map(str::trim).filter(|text| !text.is_empty()).ok_or_else(bad)?;
        if !text.bytes().all(|b| b.is_ascii_graphic()) {
            return Err(bad());
        }
        let whole = Zeroizing::new(format!("{prefix}{text}"));
        let mut header = HeaderValue::from_str(&whole).map_err(|_e| bad())?;
        header.set_sensitive(true);
        Ok(header)
    }
}

/// It neither climbs nor vanishes in an address.
pub(crate) fn is_segment(text: &str) -> bool {
    !text.is_empty() && text != "." && text != ".." && !text.chars().any(char::is_control)
}

/// An address as the inventory gives it: `https`, or this machine. The text is not repeated: people put credentials into addresses.
pub(crate) fn address(key: &str, text: &str) -> Result<Url, ConfigError> {
    let bad = |why: &str| ConfigError::at(key, format!("not an address: {why}"), "Write https://HOST.");
    let url = Url::parse(text).map_err(|_e| bad("it cannot be read"))?;
    let more = !url.username().is_empty()
        || url.password().is_some()
        || url.query().is_some()
        || url.fragment().is_some();
    if more {
        return Err(bad("it holds more than scheme, host, port and path"));
    }
    let here = match url.host() {
        Some(Host::Ipv4(ip)) => ip.is_loopback(),
        Some(Host::Ipv6(ip)) => ip.is_loopback(),
        Some(Host::Domain(name)) => name == "localhost",
        None => return Err(bad("it names no host")),
    };
    match url.scheme() {
        "https" => Ok(url),
        "http" if here => Ok(url),
        "http" => Err(bad("the token would travel in clear; use https")),
        _ => Err(bad("it is not https")),
    }
}

/// What a service says of a failure: one short line, without what was sent to it and without our own token.
pub(crate) fn told(text: &str, hide: &[&str]) -> String {
    let mut text = text.to_owned();
    for secret in hide.iter().filter(|secret| secret.len() >= 4) {
        text = text.replace(secret, "…");
    }
    crate::words::one_line(&text)
}

#[cfg(test)]
mod tests {
    use std::path::PathBuf;
    use std::time::Duration;

    use super::*;

    #[test]
    fn addresses_are_https_or_here_and_are_not_repeated() {
        for good in ["https://api.github.com", "http://127.0.0.1:1/x", "http://[::1]:1", "http://localhost"] {
            assert!(address("url", good).is_ok(), "{good}");
        }
        for bad in ["", "h", "http://10.0.0.1", "https://u:hunter2@h", "https://h?token=hunter2", "ftp://h"] {
            let error = address("url", bad).unwrap_err();
            assert!(!format!("{error:?}").contains("hunter2"), "{error:?}");
        }
    }

    #[test]
    fn segments_are_encoded_and_do_not_climb() {
        let http = Client::new(Duration::from_secs(1), None).unwrap();
        let context = Context::new(PathBuf::from("/x"), http.clone());
        let rest = Rest::new(&context, http, "x", address("url", "https://h/api/v4/").unwrap());
        let ask = Ask::get("x", &["projects", "a/b", "v"]).query("filter", "a b&c");
        assert_eq!(rest.url(&ask).unwrap().as_str(), "https://h/api/v4/projects/a%2Fb/v?filter=a+b%26c");
        for bad in ["", ".", "..", "a\nb"] {
            assert!(rest.url(&Ask::get("x", &["projects", bad])).is_err(), "{bad:?}");
        }
        let token = |text: &str| rest.header("x", "Bearer ", &SecretValue::from_text(text.to_owned()));
        assert!(!format!("{:?}", token("hunter2").unwrap()).contains("hunter2"));
        assert!(token("hunter2 x").is_err() && token("").is_err());
    }
}
