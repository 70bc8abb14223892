//! A URL to call, and what the answers mean.

use std::fmt;
use std::time::Duration;

use quell_core::outcome::{Facts, Outcome};
use serde_json::json;
use tokio::net::TcpStream;
use url::{Host, Url};

use crate::connector::Check;
use crate::error::ConfigError;
use crate::http::Answer;

/// Shown without query and user: both may hold credentials.
#[derive(Clone)]
pub(crate) struct HttpPlace(Url);

impl HttpPlace {
    /// `key` is where the inventory has it.
    pub(crate) fn new(key: &str, text: &str) -> Result<Self, ConfigError> {
        let hint = "write it in full: https://orders.example.com/healthz";
        let url = Url::parse(text)
            .map_err(|error| ConfigError::at(key, format!("this is not a URL: {error}"), hint))?;
        if !matches!(url.scheme(), "http" | "https") || url.host().is_none() {
            return Err(ConfigError::at(key, "this is not an http or https URL", hint));
        }
        if !url.username().is_empty() || url.password().is_some() {
            let hint = "values appear only as references; use `token` or `secret`";
            return Err(ConfigError::at(key, "there is a user or a password in the URL", hint));
        }
        Ok(Self(url))
    }

    pub(crate) fn url(&self) -> &str {
        self.0.as_str()
    }

    /// Is what is sent readable on the way?
    pub(crate) fn in_clear(&self) -> bool {
        let loopback = match self.0.host() {
            Some(Host::Domain(name)) => name == "localhost",
            Some(Host::Ipv4(address)) => address.is_loopback(),
            Some(Host::Ipv6(address)) => address.is_loopback(),
            None => false,
        };
        self.0.scheme() == "http" && !loopback
    }

    /// Connects and hangs up.
    pub(crate) async fn reachable(&self, limit: Duration) -> Check {
        let host = self.0.host_str().unwrap_or_default().trim_matches(['[', ']']).to_owned();
        let port = self.0.port_or_known_default().unwrap_or_default();
        let what = format!("reach {host}:{port}");
        let (ok, detail) = match tokio::time::timeout(limit, TcpStream::connect((host.as_str(), port))).await
        {
            Ok(Ok(_)) if self.in_clear() => {
                (true, "connected; not TLS: what is sent travels in clear".to_owned())
            }
            Ok(Ok(_)) => (true, "connected".to_owned()),
            Ok(Err(error)) => (false, error.to_string()),
            Err(_elapsed) => (false, "no connection in time".to_owned()),
        };
        Check { what, ok, detail }
    }
}

impl fmt::Display for HttpPlace {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (scheme, host) = (self.0.scheme(), self.0.host_str().unwrap_or_default());
        write!(f, "{scheme}://{host}")?;
        if let Some(port) = self.0.port() {
            write!(f, ":{port}")?;
        }
        f.write_str(self.0.path())
    }
}

impl fmt::Debug for HttpPlace {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "HttpPlace({self})")
    }
}

/// True for answers that ask for another try (RFC 9110 §15.5.9, RFC 8470, RFC 6585 §4, RFC 9110 §15.6.4).
fn asks_to_retry(status: u16) -> bool {
    matches!(status, 408 | 425 | 429 | 503)
}

/// What an answer to a request that changes something means. Its body is not shown.
pub(crate) fn answered(target: &str, answer: &Answer) -> Outcome {
    let status = answer.status;
    match status {
        200..=299 => Outcome::applied([("status", json!(status))]),
        _ if asks_to_retry(status) => Outcome::NotApplied {
            reason: format!("{target}: status {status}"),
            retryable: true,
            retry_after_ms: answer.retry_after.map(|d| u64::try_from(d.as_millis()).unwrap_or(u64::MAX)),
            facts: Facts::from_iter([("status".to_owned(), json!(status))]),
        },
        300..=399 => Outcome::refused(format!(
            "{target}: status {status}; redirects are not followed, name the final URL"
        )),
        400..=499 => Outcome::refused(format!("{target}: status {status}")),
        _ => Outcome::unknown(format!("{target}: status {status}; the effect may be there")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn credentials_in_urls_are_refused_and_queries_are_not_shown() {
        let error = HttpPlace::new("url", "https://u:hunter2@h/").unwrap_err();
        assert!(!format!("{error:?}").contains("hunter2"));
        let place = HttpPlace::new("url", "https://h:8443/a/b?token=hunter2#x").unwrap();
        assert_eq!(format!("{place} {place:?}"), "https://h:8443/a/b HttpPlace(https://h:8443/a/b)");
        for bad in ["", "h", "ftp://h/", "file:///etc/passwd", "http://"] {
            assert!(HttpPlace::new("url", bad).is_err(), "{bad}");
        }
        assert!(!HttpPlace::new("url", "http://[::1]:1/").unwrap().in_clear());
        assert!(HttpPlace::new("url", "http://10.0.0.1/").unwrap().in_clear());
    }
}
