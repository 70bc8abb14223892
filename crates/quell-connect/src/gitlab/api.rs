//! One API, our token for it, and its answers.

use quell_core::secret::SecretValue;
use serde_json::{Value, json};

use crate::context::Context;
use crate::error::{ConfigError, ConnectError, ConnectErrorKind};
use crate::http::Answer;
use crate::rest::{Access, Ask, Rest, told};
use crate::source::SecretSource;

/// GitLab.com, or a GitLab of one's own.
#[derive(Clone, Debug)]
pub(crate) struct GitLab {
    rest: Rest,
    token: SecretSource,
}

const PAGE: usize = 100;
const PAGES_MAX: usize = 30;

/// The schema of `api`.
pub(crate) fn access_schema() -> Value {
    json!({
        "type": "object",
        "additionalProperties": false,
        "required": ["token"],
        "description": "Where GitLab is and with whose token; without it `connections.gitlab`",
        "properties": {
            "url": { "type": "string", "description": "The API: https://gitlab.example.com/api/v4 (https://gitlab.com/api/v4)" },
            "token": { "type": "string", "description": "Reference to a token: openbao:kv/ci/gitlab#token" },
        },
    })
}

impl GitLab {
    /// Contacts nobody.
    pub(crate) fn open(context: &Context, given: Option<Access>) -> Result<Self, ConfigError> {
        let (rest, token) = Access::open(given, context, "gitlab", "GitLab", "https://gitlab.com/api/v4")?;
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

    /// Anything but 2xx is an error with its meaning; `needs` is the permission that it takes, `hide` what no message may repeat.
    pub(crate) async fn ask(&self, ask: &Ask<'_>, needs: &str, hide: &[&str]) -> Result<Value, ConnectError> {
        let token = self.token.resolve(&self.rest.context).await?;
        let header = self.rest.header(ask.what, "", &token)?;
        let answer = self.rest.send(ask, &[("private-token", header)]).await?;
        let body = answer.json();
        if (200..300).contains(&answer.status) {
            if body.is_null() {
                let words = "the answer is not JSON; is a proxy in between?";
                return Err(self.error(ask.what, ConnectErrorKind::Unexpected, words));
            }
            return Ok(body);
        }
        Err(self.failure(ask, needs, &answer, &body, &token, hide))
    }

    fn failure(
        &self,
        ask: &Ask<'_>,
        needs: &str,
        answer: &Answer,
        body: &Value,
        token: &SecretValue,
        hide: &[&str],
    ) -> ConnectError {
        let mut hide = hide.to_vec();
        hide.extend(token.expose_text());
        let text = |name: &str| match body.get(name) {
            Some(Value::String(text)) => Some(told(text, &hide)),
            // Of a variable: `{"value": ["is invalid"]}`.
            Some(other @ (Value::Object(_) | Value::Array(_))) => Some(told(&other.to_string(), &hide)),
            Some(Value::Null | Value::Bool(_) | Value::Number(_)) | None => None,
        };
        let said = text("message").or_else(|| text("error_description")).or_else(|| text("error"));
        let status = answer.status;
        let words = said.clone().unwrap_or_default();
        let (kind, words) = match status {
            500.. => (ConnectErrorKind::Lost, format!("it answered {status} {words}").trim_end().to_owned()),
            // Its answer is a plain text ("User and IP rate limits").
            429 => {
                let kind = ConnectErrorKind::Transient { retry_after: answer.retry_after };
                (kind, "too many requests (429)".to_owned())
            }
            _ if said.is_none() => {
                let words = format!("it answered {status}, and not as GitLab does; is a proxy in between?");
                (ConnectErrorKind::Unexpected, words)
            }
            401 => {
                let words = format!("the token is not accepted (401 {words}): renew what `token` refers to");
                (ConnectErrorKind::Denied, words)
            }
            403 => (ConnectErrorKind::Denied, format!("403 {words}; the token needs {needs}")),
            404 => {
                (ConnectErrorKind::Missing, format!("{words}: it is not there, or the token lacks {needs}"))
            }
            409 => (ConnectErrorKind::Denied, format!("409 {words}")),
            400..=499 => (ConnectErrorKind::Denied, format!("refused with {status}: {words}")),
            _ => (ConnectErrorKind::Unexpected, format!("it answered {status} {words}")),
        };
        self.error(ask.what, kind, words)
    }

    /// Everything of a list, page by page.
    pub(crate) async fn all(
        &self,
        what: &'static str,
        path: &[&str],
        needs: &str,
    ) -> Result<Vec<Value>, ConnectError> {
        let mut all = Vec::new();
        for page in 1..=PAGES_MAX {
            let ask =
                Ask::get(what, path).query("per_page", PAGE.to_string()).query("page", page.to_string());
            let Value::Array(items) = self.ask(&ask, needs, &[]).await? else {
                return Err(self.error(what, ConnectErrorKind::Unexpected, "the answer is no list"));
            };
            if items.is_empty() {
                return Ok(all);
            }
            all.extend(items);
        }
        Err(self.error(what, ConnectErrorKind::Unexpected, "the list does not end"))
    }
}
