//! The one HTTP client: limits, no redirects, no retries, classified answers.

use std::sync::{Arc, OnceLock};
use std::time::Duration;

use serde_json::Value;

use crate::error::{ConnectError, ConnectErrorKind};

/// Largest answer that is read, in bytes.
pub const ANSWER_MAX: usize = 4 << 20;

/// Cheap to clone; all clones share one pool. The platform's roots are read with the first request: most commands send none,
/// and to read them takes as long as everything else that they do at their start.
#[derive(Clone, Debug)]
pub struct Client(Arc<Settings>);

#[derive(Debug)]
struct Settings {
    limit: Duration,
    roots: Vec<reqwest::Certificate>,
    made: OnceLock<reqwest::Client>,
}

/// One answer, read whole.
#[derive(Debug)]
pub struct Answer {
    /// The status code.
    pub status: u16,
    /// `Retry-After` in seconds, when given.
    pub retry_after: Option<Duration>,
    /// `Date`: the server's clock, when given (RFC 9110, section 6.6.1).
    pub date: Option<jiff::Timestamp>,
    /// The body. May hold secrets: never log it.
    pub body: zeroize::Zeroizing<Vec<u8>>,
}

impl Answer {
    /// The body as JSON; `Null` when it is not JSON.
    pub fn json(&self) -> Value {
        serde_json::from_slice(&self.body).unwrap_or(Value::Null)
    }
}

impl Client {
    /// `ca` adds a PEM bundle to the platform's roots.
    pub fn new(limit: Duration, ca: Option<&[u8]>) -> Result<Self, ConnectError> {
        let roots =
            ca.map_or(Ok(Vec::new()), reqwest::Certificate::from_pem_bundle).map_err(|e| no_tls(&e))?;
        let client = Self(Arc::new(Settings { limit, roots, made: OnceLock::new() }));
        // A bundle that cannot be used is said here, where it is named.
        if ca.is_some() {
            client.made()?;
        }
        Ok(client)
    }

    /// Starts a request; send it with [`Client::send`]. An error means that TLS could not be set up: nothing was sent.
    pub fn request(
        &self,
        method: reqwest::Method,
        url: &str,
    ) -> Result<reqwest::RequestBuilder, ConnectError> {
        Ok(self.made()?.request(method, url))
    }

    fn made(&self) -> Result<&reqwest::Client, ConnectError> {
        let Settings { limit, roots, made } = &*self.0;
        if let Some(client) = made.get() {
            return Ok(client);
        }
        let mut builder = reqwest::Client::builder()
            .timeout(*limit)
            .connect_timeout((*limit).min(Duration::from_secs(5)))
            .redirect(reqwest::redirect::Policy::none())
            .user_agent(concat!("quell/", env!("CARGO_PKG_VERSION")));
        for certificate in roots {
            builder = builder.add_root_certificate(certificate.clone());
        }
        let client = builder.build().map_err(|e| no_tls(&e))?;
        Ok(made.get_or_init(|| client))
    }

    /// Sends and reads the whole answer. Any status is `Ok`; only transport failures are errors:
    /// `Unreachable` when nothing was sent, `Lost` when the request may have arrived.
    pub async fn send(
        &self,
        system: &str,
        what: &'static str,
        request: reqwest::RequestBuilder,
    ) -> Result<Answer, ConnectError> {
        // `without_url` keeps query strings and user info out of every message.
        let failed = |error: reqwest::Error| {
            let kind = if error.is_connect() || error.is_builder() {
                ConnectErrorKind::Unreachable
            } else {
                ConnectErrorKind::Lost
            };
            let words =
                if error.is_timeout() { "no answer in time".to_owned() } else { chain(&error.without_url()) };
            ConnectError::new(system, what, kind, words)
        };
        let mut response = request.send().await.map_err(failed)?;
        let status = response.status().as_u16();
        let retry_after = response
            .headers()
            .get("retry-after")
            .and_then(|v| v.to_str().ok())
            .and_then(|v| v.parse().ok())
            .map(Duration::from_secs);
        let date = response.headers().get("date").and_then(|v| v.to_str().ok());
        let date = date.and_then(|v| jiff::fmt::rfc2822::parse(v).ok()).map(|date| date.timestamp());
        let mut body = zeroize::Zeroizing::new(Vec::new());
        while let Some(chunk) = response.chunk().await.map_err(failed)? {
            if body.len() + chunk.len() > ANSWER_MAX {
                return Err(ConnectError::new(
                    system,
                    what,
                    ConnectErrorKind::Unexpected,
                    "the answer is larger than 4 MiB",
                ));
            }
            body.extend_from_slice(&chunk);
        }
        Ok(Answer { status, retry_after, date, body })
    }
}

fn no_tls(error: &reqwest::Error) -> ConnectError {
    ConnectError::new("http", "setting up TLS", ConnectErrorKind::Unexpected, error.to_string())
}

fn chain(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut next = error.source();
    while let Some(cause) = next {
        text = format!("{text}: {cause}");
        next = cause.source();
    }
    text
}
