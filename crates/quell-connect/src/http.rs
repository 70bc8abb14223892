//! The one HTTP client: limits, no redirects, no retries, classified answers.

use std::sync::{Arc, OnceLock};
use std::time::Duration;

use jiff::Timestamp;
pub use reqwest::Method;
use serde_json::Value;

use crate::error::{ConnectError, ConnectErrorKind};
use crate::webhook::sign::wall_clock;

/// Largest answer that is read, in bytes.
pub const ANSWER_MAX: usize = 4 << 20;

/// What is said of a longer one.
pub(crate) const TOO_LARGE: &str = "the answer is larger than 4 MiB";

/// Cheap to clone; all clones share one pool. The platform's roots are read with the first request: most commands send none,
/// and to read them takes as long as everything else that they do at their start.
#[derive(Clone, Debug)]
pub struct Client(Arc<Settings>);

#[derive(Debug)]
struct Settings {
    limit: Duration,
    roots: Vec<reqwest::Certificate>,
    made: OnceLock<reqwest::Client>,
    /// Keeps no connection.
    apart: OnceLock<reqwest::Client>,
}

/// One answer, read whole.
#[derive(Debug)]
pub struct Answer {
    /// The status code.
    pub status: u16,
    /// `Retry-After`, when given: seconds, or a moment by the server's clock (RFC 9110, section 10.2.3).
    pub retry_after: Option<Duration>,
    /// `WWW-Authenticate`: why a bearer was turned away (RFC 9110, section 11.6.1; RFC 6750, section 3), several of them joined.
    pub challenge: Option<String>,
    /// `Date`: the server's clock, when given (RFC 9110, section 6.6.1).
    pub date: Option<Timestamp>,
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
        let client = Self(Arc::new(Settings { limit, roots, made: OnceLock::new(), apart: OnceLock::new() }));
        // A bundle that cannot be used is said here, where it is named.
        if ca.is_some() {
            client.made()?;
        }
        Ok(client)
    }

    /// Starts a request; send it with [`Client::send`]. An error means that TLS could not be set up: nothing was sent.
    pub fn request(&self, method: Method, url: &str) -> Result<reqwest::RequestBuilder, ConnectError> {
        Ok(self.made()?.request(method, url))
    }

    /// As [`Client::request`], on a connection of its own: behind one address there may be several that answer, and a connection that is
    /// kept leads to the same one each time.
    pub(crate) fn request_apart(
        &self,
        method: Method,
        url: &str,
    ) -> Result<reqwest::RequestBuilder, ConnectError> {
        let apart = &self.0.apart;
        if let Some(client) = apart.get() {
            return Ok(client.request(method, url));
        }
        let client = self.builder().pool_max_idle_per_host(0).build().map_err(|e| no_tls(&e))?;
        Ok(apart.get_or_init(|| client).request(method, url))
    }

    fn made(&self) -> Result<&reqwest::Client, ConnectError> {
        let made = &self.0.made;
        if let Some(client) = made.get() {
            return Ok(client);
        }
        let client = self.builder().build().map_err(|e| no_tls(&e))?;
        Ok(made.get_or_init(|| client))
    }

    fn builder(&self) -> reqwest::ClientBuilder {
        let Settings { limit, roots, .. } = &*self.0;
        let mut builder = reqwest::Client::builder()
            .timeout(*limit)
            .connect_timeout((*limit).min(Duration::from_secs(5)))
            .redirect(reqwest::redirect::Policy::none())
            .user_agent(concat!("quell/", env!("CARGO_PKG_VERSION")));
        for certificate in roots {
            builder = builder.add_root_certificate(certificate.clone());
        }
        builder
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
        let request = match crate::trace::parent() {
            Some(place) => request.header("traceparent", place),
            None => request,
        };
        let mut response = request.send().await.map_err(failed)?;
        let status = response.status().as_u16();
        let header = |name: &str| response.headers().get(name).and_then(|value| value.to_str().ok());
        let date = header("date").and_then(http_date);
        let retry_after = header("retry-after").and_then(|text| wait(text, date.unwrap_or_else(wall_clock)));
        let challenges = response.headers().get_all("www-authenticate").iter();
        let challenges: Vec<&str> = challenges.filter_map(|value| value.to_str().ok()).collect();
        let challenge = (!challenges.is_empty()).then(|| challenges.join(", "));
        let mut body = zeroize::Zeroizing::new(Vec::new());
        while let Some(chunk) = response.chunk().await.map_err(failed)? {
            if body.len() + chunk.len() > ANSWER_MAX {
                return Err(ConnectError::new(system, what, ConnectErrorKind::Unexpected, TOO_LARGE));
            }
            body.extend_from_slice(&chunk);
        }
        Ok(Answer { status, retry_after, challenge, date, body })
    }
}

/// How long `Retry-After` asks to wait. A moment that is over asks for nothing.
fn wait(text: &str, now: Timestamp) -> Option<Duration> {
    if let Ok(seconds) = text.trim().parse() {
        return Some(Duration::from_secs(seconds));
    }
    let until = http_date(text)?.duration_since(now);
    Some(Duration::try_from(until).unwrap_or_default())
}

/// A moment in one of the three forms that RFC 9110 (section 5.6.7) has recipients accept.
fn http_date(text: &str) -> Option<Timestamp> {
    let text = text.trim();
    if let Ok(date) = jiff::fmt::rfc2822::parse(text) {
        return Some(date.timestamp());
    }
    ["%A, %d-%b-%y %H:%M:%S GMT", "%a %b %e %H:%M:%S %Y"].iter().find_map(|format| {
        let date = jiff::fmt::strtime::parse(format, text).ok()?.to_datetime().ok()?;
        Some(date.to_zoned(jiff::tz::TimeZone::UTC).ok()?.timestamp())
    })
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_wait_is_read_in_seconds_and_as_a_moment() {
        let now: Timestamp = "1994-11-06T08:49:07Z".parse().unwrap();
        for text in [
            "30",
            " 30 ",
            "Sun, 06 Nov 1994 08:49:37 GMT",
            "Sunday, 06-Nov-94 08:49:37 GMT",
            "Sun Nov  6 08:49:37 1994",
        ] {
            assert_eq!(wait(text, now), Some(Duration::from_secs(30)), "{text}");
        }
        assert_eq!(wait("Sun, 06 Nov 1994 08:48:00 GMT", now), Some(Duration::ZERO), "it is over");
        for text in ["", "soon", "-3", "1.5", "Sun, 06 Nov"] {
            assert_eq!(wait(text, now), None, "{text}");
        }
    }
}
