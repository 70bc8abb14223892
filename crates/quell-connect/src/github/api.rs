//! One API, our token for it, and its answers.

use jiff::Timestamp;
use quell_core::secret::SecretValue;
use reqwest::header::HeaderValue;
use serde_json::{Value, json};

use crate::context::Context;
use crate::error::{ConfigError, ConnectError, ConnectErrorKind};
use crate::http::Answer;
use crate::rest::{Access, Ask, Rest, told};
use crate::source::SecretSource;

/// GitHub, or a GitHub Enterprise Server.
#[derive(Clone, Debug)]
pub(crate) struct GitHub {
    rest: Rest,
    token: SecretSource,
}

/// A 2xx.
#[derive(Debug)]
pub(crate) struct Said {
    pub(crate) status: u16,
    pub(crate) body: Value,
    /// GitHub's clock.
    pub(crate) date: Option<Timestamp>,
}

/// Of a list in one page; the most that GitHub gives.
const PAGE: usize = 100;
const PAGES_MAX: usize = 30;

/// The schema of `api`.
pub(crate) fn access_properties() -> Value {
    json!({
        "type": "object",
        "additionalProperties": false,
        "required": ["token"],
        "description": "Where GitHub is and with whose token; without it `connections.github`",
        "properties": {
            "url": { "type": "string", "description": "The API of a GitHub Enterprise Server: https://github.example.com/api/v3 (https://api.github.com)" },
            "token": { "type": "string", "description": "Reference to a token: openbao:kv/ci/github#token" },
        },
    })
}

impl GitHub {
    /// Contacts nobody.
    pub(crate) fn open(context: &Context, given: Option<Access>) -> Result<Self, ConfigError> {
        let (rest, token) = Access::open(given, context, "github", "GitHub", "https://api.github.com")?;
        Ok(Self { rest, token })
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

    /// Anything but 2xx is an error with its meaning; `needs` is the permission that it takes.
    pub(crate) async fn ask(&self, ask: &Ask<'_>, needs: &str) -> Result<Said, ConnectError> {
        let token = self.token.resolve(&self.rest.context).await?;
        let headers = [
            ("authorization", self.rest.header(ask.what, "Bearer ", &token)?),
            ("accept", HeaderValue::from_static("application/vnd.github+json")),
            ("x-github-api-version", HeaderValue::from_static("2022-11-28")),
        ];
        let answer = self.rest.send(ask, &headers).await?;
        let body = answer.json();
        if (200..300).contains(&answer.status) {
            // A page of a proxy is no answer of GitHub's.
            if body.is_null() && !answer.body.is_empty() {
                let words = "the answer is not JSON; is a proxy in between?";
                return Err(self.error(ask.what, ConnectErrorKind::Unexpected, words));
            }
            return Ok(Said { status: answer.status, body, date: answer.date });
        }
        Err(self.failure(ask, needs, &answer, &body, &token))
    }

    fn failure(
        &self,
        ask: &Ask<'_>,
        needs: &str,
        answer: &Answer,
        body: &Value,
        token: &SecretValue,
    ) -> ConnectError {
        let message = body.get("message").and_then(Value::as_str);
        let said = told(message.unwrap_or_default(), &[token.expose_text().unwrap_or_default()]);
        let status = answer.status;
        let transient = ConnectErrorKind::Transient { retry_after: answer.retry_after };
        let (kind, words) = match status {
            500.. => (ConnectErrorKind::Lost, format!("it answered {status} {said}").trim_end().to_owned()),
            _ if message.is_none() => {
                let words = format!("it answered {status}, and not as GitHub does; is a proxy in between?");
                (ConnectErrorKind::Unexpected, words)
            }
            // "Rate limits": both limits answer 403 or 429.
            403 | 429 if said.to_ascii_lowercase().contains("rate limit") || status == 429 => {
                (transient, said)
            }
            301 | 302 | 307 | 308 => {
                (ConnectErrorKind::Denied, "it was moved or renamed: write its name of today".to_owned())
            }
            401 => {
                let words = format!("the token is not accepted (401 {said}): renew what `token` refers to");
                (ConnectErrorKind::Denied, words)
            }
            403 => (ConnectErrorKind::Denied, format!("403 {said}; the token needs {needs}")),
            // GitHub hides what a token may not see.
            404 => (
                ConnectErrorKind::Missing,
                format!("404 {said}: it is not there, or the token lacks {needs}"),
            ),
            409 => (ConnectErrorKind::Conflict, format!("409 {said}")),
            400..=499 => (ConnectErrorKind::Denied, format!("refused with {status}: {said}")),
            _ => (ConnectErrorKind::Unexpected, format!("it answered {status} {said}")),
        };
        self.error(ask.what, kind, words)
    }

    /// Everything of a list, page by page.
    pub(crate) async fn all(
        &self,
        what: &'static str,
        path: &[&str],
        list: &str,
        needs: &str,
    ) -> Result<Vec<Value>, ConnectError> {
        let mut all = Vec::new();
        for page in 1..=PAGES_MAX {
            let ask =
                Ask::get(what, path).query("per_page", PAGE.to_string()).query("page", page.to_string());
            let mut said = self.ask(&ask, needs).await?;
            let total = said.body.get("total_count").and_then(Value::as_u64);
            let Some(Value::Array(items)) = said.body.get_mut(list).map(Value::take) else {
                return Err(self.error(what, ConnectErrorKind::Unexpected, "the answer is no list"));
            };
            let ended = items.is_empty();
            all.extend(items);
            if ended || total.is_some_and(|total| all.len() as u64 >= total) {
                return Ok(all);
            }
        }
        Err(self.error(what, ConnectErrorKind::Unexpected, "the list does not end"))
    }
}
