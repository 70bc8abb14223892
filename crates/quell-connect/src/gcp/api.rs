//! One service of Google Cloud, and its answers.

use quell_core::secret::SecretValue;
use reqwest::Method;
use serde_json::{Value, json};

use super::Key;
use crate::context::Context;
use crate::error::{ConfigError, ConnectError, ConnectErrorKind};
use crate::http::Answer;
use crate::rest::{Ask, Rest, address, told};
use crate::source::SecretSource;
use crate::webhook::sign::wall_clock;

/// Where tokens are given out. It is the audience of a grant as well.
const TOKENS: &str = "https://oauth2.googleapis.com/token";

/// RFC 7523.
const GRANT: &str = "urn:ietf:params:oauth:grant-type:jwt-bearer";

/// A service, such as `secretmanager.googleapis.com`.
#[derive(Clone, Debug)]
pub(crate) struct Cloud {
    rest: Rest,
    tokens: Rest,
}

/// Why no token is given for a grant (RFC 6749, 5.2).
#[derive(Clone, Debug)]
pub(crate) struct Refusal {
    pub(crate) error: String,
    pub(crate) description: String,
}

impl Refusal {
    pub(crate) fn said(&self) -> String {
        format!("{}: {}", self.error, self.description)
    }
}

/// What a request needs.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Needs<'a> {
    /// `secretmanager.versions.access`.
    pub(crate) permission: &'a str,
    /// The smallest role that has it.
    pub(crate) role: &'a str,
}

/// The schema of `endpoint`.
pub(crate) fn endpoint_schema() -> Value {
    json!({ "type": "string", "description": "An address that stands for all services of Google Cloud, such as a test server's: https://…" })
}

impl Cloud {
    /// Contacts nobody.
    pub(crate) fn new(context: &Context, service: &str, endpoint: Option<&str>) -> Result<Self, ConfigError> {
        let at = |otherwise: &str| address("endpoint", endpoint.unwrap_or(otherwise));
        let rest = |name: &str, url| Rest::new(context, context.http.clone(), name.to_owned(), url);
        let service = rest("gcp", at(&format!("https://{service}.googleapis.com"))?);
        Ok(Self { rest: service, tokens: rest("gcp", at("https://oauth2.googleapis.com")?) })
    }

    pub(crate) fn context(&self) -> &Context {
        &self.rest.context
    }

    pub(crate) fn name(&self) -> String {
        self.rest.name()
    }

    pub(crate) fn error(
        &self,
        what: &'static str,
        kind: ConnectErrorKind,
        detail: impl Into<String>,
    ) -> ConnectError {
        self.rest.error(what, kind, detail)
    }

    /// An access token: what the reference gives, or what Google gives for the key that it gives.
    pub(crate) async fn token(&self, credentials: &SecretSource) -> Result<SecretValue, ConnectError> {
        const WHAT: &str = "getting an access token";
        let given = credentials.resolve(&self.rest.context).await?;
        if !given.expose_text().is_some_and(|text| text.trim_start().starts_with('{')) {
            return Ok(given);
        }
        let denied =
            |words: &str| ConnectError::new(credentials.to_string(), WHAT, ConnectErrorKind::Denied, words);
        let key = Key::of(&given).map_err(denied)?;
        let refused =
            |refusal: Refusal| denied(&format!("{}; renew what `credentials` refers to", refusal.said()));
        self.exchange(WHAT, &key).await?.map_err(refused)
    }

    /// Asks for a token with a grant that is signed with this key.
    pub(crate) async fn exchange(
        &self,
        what: &'static str,
        key: &Key,
    ) -> Result<Result<SecretValue, Refusal>, ConnectError> {
        let Some(assertion) = key.assertion(TOKENS, wall_clock()) else {
            return Err(self.error(what, ConnectErrorKind::Denied, "the private key does not sign"));
        };
        let ask = Ask::new(what, Method::POST, &["token"])
            .form(&[("grant_type", GRANT), ("assertion", &assertion)]);
        let answer = self.tokens.send(&ask, &[]).await?;
        let body = answer.json();
        let text =
            |name: &str| told(body.get(name).and_then(Value::as_str).unwrap_or_default(), &[&assertion]);
        match (answer.status, body.get("access_token").and_then(Value::as_str)) {
            (200, Some(token)) => Ok(Ok(SecretValue::from_text(token.to_owned()))),
            (400 | 401, _) if !text("error").is_empty() => {
                Ok(Err(Refusal { error: text("error"), description: text("error_description") }))
            }
            (429 | 503, _) => {
                let kind = ConnectErrorKind::Transient { retry_after: answer.retry_after };
                Err(self.error(what, kind, format!("no token now ({})", answer.status)))
            }
            // Nothing was changed by asking for a token, and nothing was sent with it.
            (status, _) => {
                let words = format!("it answered {status}, and gives no token; is a proxy in between?");
                Err(self.error(what, ConnectErrorKind::Unexpected, words))
            }
        }
    }

    /// Anything but 2xx is an error with its meaning.
    pub(crate) async fn ask(
        &self,
        ask: &Ask<'_>,
        token: &SecretValue,
        needs: Needs<'_>,
        hide: &[&str],
    ) -> Result<Value, ConnectError> {
        let header = self.rest.header(ask.what, "Bearer ", token)?;
        let answer = self.rest.send(ask, &[("authorization", header)]).await?;
        let body = answer.json();
        if (200..300).contains(&answer.status) {
            if !body.is_object() {
                let words = "the answer is not JSON; is a proxy in between?";
                return Err(self.error(ask.what, ConnectErrorKind::Unexpected, words));
            }
            return Ok(body);
        }
        let mut hide = hide.to_vec();
        hide.extend(token.expose_text());
        Err(self.failure(ask, needs, &answer, &body, &hide))
    }

    /// "API design guide", errors: a canonical status beside that of HTTP.
    fn failure(
        &self,
        ask: &Ask<'_>,
        needs: Needs<'_>,
        answer: &Answer,
        body: &Value,
        hide: &[&str],
    ) -> ConnectError {
        let text = |pointer: &str| body.pointer(pointer).and_then(Value::as_str).unwrap_or_default();
        let (canonical, said) = (text("/error/status"), told(text("/error/message"), hide));
        let status = answer.status;
        let (kind, words) = match (status, canonical) {
            (500.., _) => {
                (ConnectErrorKind::Lost, format!("it answered {status} {said}").trim_end().to_owned())
            }
            (_, "") => {
                let words =
                    format!("it answered {status}, and not as Google Cloud does; is a proxy in between?");
                (ConnectErrorKind::Unexpected, words)
            }
            (429, _) => (
                ConnectErrorKind::Transient { retry_after: answer.retry_after },
                format!("{canonical}: {said}"),
            ),
            (401, _) => {
                let words = format!("{canonical}: {said}; renew what `credentials` refers to");
                (ConnectErrorKind::Denied, words)
            }
            (403, _) => {
                let Needs { permission, role } = needs;
                (ConnectErrorKind::Denied, format!("{canonical}: {said}; grant `{permission}` ({role})"))
            }
            (404, _) => (ConnectErrorKind::Missing, format!("{canonical}: {said}")),
            (409, _) | (_, "FAILED_PRECONDITION") => {
                (ConnectErrorKind::Conflict, format!("{canonical}: {said}"))
            }
            (400..=499, _) => (ConnectErrorKind::Denied, format!("{canonical}: {said}")),
            _ => (ConnectErrorKind::Unexpected, format!("it answered {status} {canonical}")),
        };
        self.error(ask.what, kind, words)
    }
}

/// CRC-32C (Castagnoli), by which Secret Manager finds that a value was changed on its way.
pub(crate) fn crc32c(bytes: &[u8]) -> u32 {
    let mut crc = u32::MAX;
    for byte in bytes {
        crc ^= u32::from(*byte);
        for _ in 0..8 {
            crc = if crc & 1 == 1 { (crc >> 1) ^ 0x82f6_3b78 } else { crc >> 1 };
        }
    }
    !crc
}

#[cfg(test)]
mod tests {
    use super::*;

    /// RFC 3720, B.4, and the check value of the algorithm.
    #[test]
    fn checksums_are_those_of_the_standard() {
        assert_eq!(crc32c(b"123456789"), 0xe306_9283);
        assert_eq!(crc32c(&[0; 32]), 0x8a91_36aa);
        assert_eq!(crc32c(b""), 0);
    }
}
