//! A server that does the work, asked over `/api/v1`.

use std::path::Path;
use std::time::Duration;

use quell_app::{AppError, files};
use quell_connect::error::{ConnectError, ConnectErrorKind};
use quell_core::secret::SecretValue;
use quell_hunt::report::clean;
use reqwest::header::{AUTHORIZATION, CONTENT_TYPE, HeaderMap, HeaderValue, RETRY_AFTER};
use reqwest::{Method, StatusCode};
use serde::de::DeserializeOwned;
use serde_json::Value;
use url::{Host, Url};

/// Longest token file.
const TOKEN_MAX: u64 = 4 << 10;
/// Longest answer: a bundle is the largest.
const ANSWER_MAX: usize = 1 << 30;
/// Longest wait for one answer: longer than the server lets one wait.
const WAIT: Duration = Duration::from_secs(150);
/// Times that a request is sent when answers are lost. It has a key, so that the server does nothing twice.
const TRIES: u32 = 5;

/// What a server says of a place, or of a verb there, that it does not know.
const UNKNOWN: [&str; 2] = ["there is nothing here", "this place knows other verbs"];

/// A server, and the token that it knows us by.
#[derive(Clone, Debug)]
pub(crate) struct Remote {
    base: Url,
    token: std::sync::Arc<SecretValue>,
    client: reqwest::Client,
}

/// An answer.
#[derive(Debug)]
pub(crate) struct Reply {
    pub(super) headers: HeaderMap,
    pub(super) body: Vec<u8>,
}

impl Reply {
    pub(super) fn json<T: DeserializeOwned>(&self) -> Result<T, AppError> {
        serde_json::from_slice(&self.body).map_err(|error| {
            let what = format!("an answer could not be understood ({error}); is it a quell of this version?");
            failed(ConnectErrorKind::Unexpected, what).into()
        })
    }

    pub(super) fn text(&self) -> Result<String, AppError> {
        String::from_utf8(self.body.clone())
            .map_err(|_error| failed(ConnectErrorKind::Unexpected, "an answer is no text").into())
    }
}

fn failed(kind: ConnectErrorKind, what: impl Into<String>) -> ConnectError {
    ConnectError::new("quell server", "asking", kind, what)
}

impl Remote {
    /// A server by its address, with the token in a file. The token never stands in an argument or in the environment.
    pub(crate) fn new(address: &str, token: Option<&Path>) -> Result<Self, AppError> {
        let base = base(address)?;
        let Some(path) = token else {
            return Err(AppError::Usage(
                "--server needs a token: put one into a file that only you can read and name it with --token-file (QUELL_TOKEN_FILE)".to_owned(),
            ));
        };
        let mut bytes = files::read(path, TOKEN_MAX)
            .map_err(|source| AppError::Io { path: path.display().to_string(), source })?;
        while bytes.last().is_some_and(u8::is_ascii_whitespace) {
            bytes.pop();
        }
        let token = SecretValue::new(bytes);
        let fits = token
            .expose_text()
            .is_some_and(|text| !text.is_empty() && text.bytes().all(|b| b.is_ascii_graphic()));
        if !fits {
            return Err(AppError::Usage(format!("{} does not hold a token", path.display())));
        }
        let mut client = reqwest::Client::builder();
        // In the clear only on loopback, so past no proxy, which would see the token.
        if base.scheme() == "http" {
            client = client.no_proxy();
        }
        let client = client
            .connect_timeout(Duration::from_secs(5))
            // A token must not follow to another host.
            .redirect(reqwest::redirect::Policy::none())
            .user_agent(concat!("quell/", env!("CARGO_PKG_VERSION")))
            .build()
            .map_err(|error| failed(ConnectErrorKind::Unexpected, error.to_string()))?;
        Ok(Self { base, token: std::sync::Arc::new(token), client })
    }

    /// Asks; nothing is changed.
    pub(super) async fn get(&self, path: &str) -> Result<Reply, AppError> {
        self.send(&Method::GET, path, None).await
    }

    /// Lets something be done, once.
    pub(super) async fn post(&self, path: &str, body: &Value) -> Result<Reply, AppError> {
        let body = serde_json::to_vec(body).map_err(|error| AppError::Usage(error.to_string()))?;
        self.send(&Method::POST, path, Some(body)).await
    }

    /// News of an incident, from an entry on.
    pub(super) async fn news(&self, path: &str, after: u64) -> Result<reqwest::Response, AppError> {
        let request = self.request(&Method::GET, path)?.header("last-event-id", after);
        let response = request.send().await.map_err(|error| lost(&error))?;
        if response.status() == StatusCode::OK {
            return Ok(response);
        }
        let (status, headers) = (response.status(), response.headers().clone());
        let body = read(response).await.map_err(|error| lost(&error))?;
        Err(self.refusal(status, &headers, &body).await)
    }

    /// A refusal; of what the server does not know at all, with what it is.
    async fn refusal(&self, status: StatusCode, headers: &HeaderMap, body: &[u8]) -> AppError {
        let refused = refused(status, headers, body);
        if !matches!(&refused, AppError::Server { said, .. } if UNKNOWN.contains(&said.as_str())) {
            return refused;
        }
        let version = self.version().await.unwrap_or_else(|| "of a version that it does not tell".to_owned());
        let own = env!("CARGO_PKG_VERSION");
        let said = format!("the server is quell {version}, and does not know what quell {own} asks it for");
        let hints = vec!["use a quell of the server's version, or bring the server up to date".to_owned()];
        AppError::Server { status: 502, said, hints }
    }

    /// Which version the server is, if it says so.
    async fn version(&self) -> Option<String> {
        let response = self.request(&Method::GET, "/server").ok()?.timeout(WAIT).send().await.ok()?;
        let told: Value = serde_json::from_slice(&read(response).await.ok()?).ok()?;
        told.get("version").and_then(Value::as_str).map(clean)
    }

    fn request(&self, method: &Method, path: &str) -> Result<reqwest::RequestBuilder, AppError> {
        let place = format!("api/v1{path}");
        let url = self.base.join(&place).map_err(|error| AppError::Usage(format!("{place}: {error}")))?;
        // A named sink of a secret: the server that gave it out.
        let token = self.token.expose_text().unwrap_or_default();
        let mut bearer = HeaderValue::from_str(&format!("Bearer {token}"))
            .map_err(|_error| AppError::Usage("the token is no text".to_owned()))?;
        bearer.set_sensitive(true);
        Ok(self.client.request(method.clone(), url).header(AUTHORIZATION, bearer))
    }

    async fn send(&self, method: &Method, path: &str, body: Option<Vec<u8>>) -> Result<Reply, AppError> {
        let key = key()?;
        let mut tries = 0;
        loop {
            tries += 1;
            let mut request = self.request(method, path)?.timeout(WAIT);
            if let Some(body) = &body {
                let kind = "application/json";
                request =
                    request.header("content-type", kind).header("idempotency-key", &key).body(body.clone());
            }
            let answered = match request.send().await {
                Ok(response) => {
                    let (status, headers) = (response.status(), response.headers().clone());
                    read(response).await.map(|body| (status, headers, body))
                }
                Err(error) => Err(error),
            };
            let wait = match &answered {
                Ok((status, headers, _)) => again_after(*status, headers, tries),
                Err(_) => Some(Duration::from_millis(300) * tries),
            };
            if let Some(wait) = wait.filter(|_| tries < TRIES) {
                tokio::time::sleep(wait).await;
                continue;
            }
            let (status, headers, body) = answered.map_err(|error| lost(&error))?;
            if status.is_success() {
                return Ok(Reply { headers, body });
            }
            return Err(self.refusal(status, &headers, &body).await);
        }
    }
}

/// Worth another try, and when: too often, or our own earlier request is still under way.
fn again_after(status: StatusCode, headers: &HeaderMap, tries: u32) -> Option<Duration> {
    let ours = status == StatusCode::CONFLICT && tries > 1;
    if status != StatusCode::TOO_MANY_REQUESTS && !ours {
        return None;
    }
    let seconds: u64 = headers.get(RETRY_AFTER)?.to_str().ok()?.parse().ok()?;
    Some(Duration::from_secs(seconds.min(10)))
}

async fn read(mut response: reqwest::Response) -> Result<Vec<u8>, reqwest::Error> {
    let mut body = Vec::new();
    while let Some(chunk) = response.chunk().await? {
        body.extend_from_slice(&chunk);
        if body.len() > ANSWER_MAX {
            break;
        }
    }
    Ok(body)
}

pub(super) fn lost(error: &reqwest::Error) -> AppError {
    let kind = if error.is_connect() { ConnectErrorKind::Unreachable } else { ConnectErrorKind::Lost };
    let words = match (error.is_connect(), error.is_timeout()) {
        (true, _) => "it cannot be reached",
        (false, true) => "it did not answer in time",
        (false, false) => "the connection was lost",
    };
    failed(kind, words).into()
}

/// A stream of news came to its end: the server ends.
pub(super) fn ended() -> AppError {
    failed(ConnectErrorKind::Lost, "the server ended the news").into()
}

/// A refusal in the server's own words; of somebody in between only the status is shown.
fn refused(status: StatusCode, headers: &HeaderMap, body: &[u8]) -> AppError {
    let kind = headers.get(CONTENT_TYPE).and_then(|kind| kind.to_str().ok()).unwrap_or_default();
    let is_own = kind.split(';').next().is_some_and(|kind| kind.trim() == "application/problem+json");
    let problem: Value = serde_json::from_slice(body).unwrap_or_default();
    let Some(said) = problem.get("detail").and_then(Value::as_str).filter(|_| is_own) else {
        let said = format!("the answer is {status}, and not of a quell server");
        let hints = vec!["is --server its address, with nothing behind the port?".to_owned()];
        return AppError::Server { status: 502, said, hints };
    };
    let hints = problem.get("hints").and_then(Value::as_array).into_iter().flatten();
    let hints = hints.filter_map(Value::as_str).map(clean).collect();
    AppError::Server { status: status.as_u16(), said: clean(said), hints }
}

/// A name for one request.
fn key() -> Result<String, AppError> {
    let mut random = [0_u8; 16];
    getrandom::fill(&mut random)
        .map_err(|error| AppError::Usage(format!("there is no randomness for a request's key: {error}")))?;
    Ok(format!("{:032x}", u128::from_be_bytes(random)))
}

fn base(text: &str) -> Result<Url, AppError> {
    let bad = |why: &str| AppError::Usage(format!("--server: {why}, for example https://quell.example.com"));
    let url: Url = text.parse().map_err(|_error| bad("this is no URL"))?;
    let loopback = match url.host() {
        Some(Host::Ipv4(ip)) => ip.is_loopback(),
        Some(Host::Ipv6(ip)) => ip.is_loopback(),
        Some(Host::Domain(name)) => name == "localhost",
        None => return Err(bad("it has no host")),
    };
    match url.scheme() {
        "https" => {}
        "http" if loopback => {}
        _ => return Err(bad("a token goes over https only (or http on loopback)")),
    }
    if url.path() != "/" || url.query().is_some() || !url.username().is_empty() || url.password().is_some() {
        return Err(bad("only scheme, host and port"));
    }
    Ok(url)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_token_goes_over_tls_or_stays_on_this_machine() {
        for good in
            ["https://quell.example.com", "http://127.0.0.1:7117", "http://[::1]:7117/", "http://localhost"]
        {
            assert!(base(good).is_ok(), "{good}");
        }
        for bad in [
            "http://quell.example.com",
            "http://127.0.0.1.example.com",
            "ftp://127.0.0.1",
            "https://a@quell.example.com",
            "https://quell.example.com/x",
            "https://quell.example.com/?a",
            "quell.example.com",
        ] {
            assert!(base(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn what_is_not_of_a_quell_server_is_not_shown() {
        let of = |kind: &'static str| HeaderMap::from_iter([(CONTENT_TYPE, HeaderValue::from_static(kind))]);
        let page = refused(StatusCode::FORBIDDEN, &of("text/html"), b"<h1>\x1b[31mlog in here</h1>");
        assert_eq!(page.to_string(), "the answer is 403 Forbidden, and not of a quell server");
        let other = br#"{"detail":"there is no such person"}"#;
        let other = refused(StatusCode::NOT_FOUND, &of("application/json"), other);
        assert_eq!(other.to_string(), "the answer is 404 Not Found, and not of a quell server");
        let own = br#"{"detail":"no \u001b[31mred","hints":["look"]}"#;
        let AppError::Server { said, hints, .. } =
            refused(StatusCode::CONFLICT, &of("application/problem+json; charset=utf-8"), own)
        else {
            panic!()
        };
        assert!(!said.contains('\u{1b}'), "{said}");
        assert_eq!(hints, ["look"]);
    }
}
