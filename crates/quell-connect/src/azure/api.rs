//! One API of Azure, our login for it, and its answers.

use quell_core::secret::SecretValue;
use reqwest::Method;
use serde::Deserialize;
use serde_json::{Value, json};
use url::Url;

use crate::context::Context;
use crate::error::{ConfigError, ConnectError, ConnectErrorKind};
use crate::http::Answer;
use crate::rest::{Ask, Rest, address, is_segment, told};
use crate::source::SecretSource;

/// `connections.azure`, or `login:` of one entry: a token, or an application that gets one.
#[derive(Clone, Debug, Deserialize)]
#[serde(rename_all = "snake_case", deny_unknown_fields)]
pub(crate) enum Login {
    /// A client secret of an application.
    Application {
        /// The directory: its id or a domain.
        tenant: String,
        /// The application's id.
        client: String,
        /// Reference to its secret.
        secret: SecretSource,
    },
    /// Reference to an access token for this API.
    Token(SecretSource),
}

/// Why no token is given ("Microsoft Entra authentication and authorization error codes").
#[derive(Clone, Debug)]
pub(crate) struct Refusal {
    /// `7000215`.
    pub(crate) codes: Vec<u64>,
    pub(crate) said: String,
}

/// One API, such as a vault.
#[derive(Clone, Debug)]
pub(crate) struct Api {
    rest: Rest,
    tokens: Rest,
    login: Login,
    /// For which API a token is: `https://vault.azure.net/.default`.
    scope: String,
}

/// The schema of `login`.
pub(crate) fn login_schema() -> Value {
    let text = |what: &str| json!({ "type": "string", "minLength": 1, "description": what });
    json!({
        "description": "How Quell logs in; without it `connections.azure`",
        "oneOf": [
            { "type": "object", "additionalProperties": false, "required": ["application"], "properties": { "application": {
                "type": "object", "additionalProperties": false, "required": ["tenant", "client", "secret"],
                "properties": {
                    "tenant": text("The directory, by its id or a domain: acme.onmicrosoft.com"),
                    "client": text("The application's id"),
                    "secret": text("Reference to its client secret: openbao:kv/infra/azure#secret"),
                },
            } } },
            { "type": "object", "additionalProperties": false, "required": ["token"], "properties": {
                "token": text("Reference to an access token: exec:az account get-access-token --resource https://vault.azure.net --query accessToken -o tsv"),
            } },
        ],
    })
}

/// The schema of `login_url`.
pub(crate) fn endpoint_schema() -> Value {
    json!({ "type": "string", "description": "Where tokens are given out, for another cloud than the public one (https://login.microsoftonline.com)" })
}

impl Api {
    /// Contacts nobody.
    pub(crate) fn new(
        context: &Context,
        base: Url,
        scope: String,
        login: Option<Login>,
        login_url: Option<&str>,
    ) -> Result<Self, ConfigError> {
        let login = match (login, context.connection("azure")) {
            (Some(login), _) => login,
            (None, Some(config)) => ConfigError::parse(config)?,
            (None, None) => {
                let hint = "Set connections.azure to `token:` or `application:`.";
                return Err(ConfigError::at("login", "no login for Azure", hint));
            }
        };
        if let Login::Application { tenant, .. } = &login
            && (!is_segment(tenant) || tenant.contains('/'))
        {
            return Err(ConfigError::at("tenant", "not a directory", "Write its id or a domain of it."));
        }
        let tokens = address("login_url", login_url.unwrap_or("https://login.microsoftonline.com"))?;
        let rest = |url| Rest::new(context, context.http.clone(), "azure", url);
        Ok(Self { rest: rest(base), tokens: rest(tokens), login, scope })
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

    /// An access token for this API.
    async fn token(&self) -> Result<SecretValue, ConnectError> {
        const WHAT: &str = "getting an access token";
        let (tenant, client, secret) = match &self.login {
            Login::Token(source) => return source.resolve(&self.rest.context).await,
            Login::Application { tenant, client, secret } => (tenant, client, secret),
        };
        let value = secret.resolve(&self.rest.context).await?;
        let refused = |refusal: Refusal| {
            let words = format!("{}; renew what `secret` refers to", refusal.said);
            ConnectError::new(secret.to_string(), WHAT, ConnectErrorKind::Denied, words)
        };
        self.grant(WHAT, (tenant, client), &value).await?.map_err(refused)
    }

    /// Asks for a token with the client secret of an application.
    pub(crate) async fn grant(
        &self,
        what: &'static str,
        (tenant, client): (&str, &str),
        secret: &SecretValue,
    ) -> Result<Result<SecretValue, Refusal>, ConnectError> {
        let text = secret
            .expose_text()
            .ok_or_else(|| self.error(what, ConnectErrorKind::Denied, "the client secret is not text"))?;
        let ask = Ask::new(what, Method::POST, &[tenant, "oauth2", "v2.0", "token"]).form(&[
            ("grant_type", "client_credentials"),
            ("client_id", client),
            ("client_secret", text),
            ("scope", self.scope.as_str()),
        ]);
        let answer = self.tokens.send(&ask, &[]).await?;
        let body = answer.json();
        let said = |name: &str| told(body.get(name).and_then(Value::as_str).unwrap_or_default(), &[text]);
        match (answer.status, body.get("access_token").and_then(Value::as_str)) {
            (200, Some(token)) => Ok(Ok(SecretValue::from_text(token.to_owned()))),
            (400 | 401, _) if !said("error").is_empty() => {
                let codes = body.get("error_codes").and_then(Value::as_array).into_iter().flatten();
                let codes = codes.filter_map(Value::as_u64).collect();
                Ok(Err(Refusal { codes, said: format!("{}: {}", said("error"), said("error_description")) }))
            }
            (429 | 503, _) => {
                let kind = ConnectErrorKind::Transient { retry_after: answer.retry_after };
                Err(self.error(what, kind, format!("no token now ({})", answer.status)))
            }
            // Nothing was changed by asking for a token.
            (status, _) => {
                let words = format!("it answered {status}, and gives no token; is a proxy in between?");
                Err(self.error(what, ConnectErrorKind::Unexpected, words))
            }
        }
    }

    /// Whether our own login gives a token, when it is an application's: by the same door as others.
    pub(crate) async fn own(&self, what: &'static str) -> Result<Result<SecretValue, Refusal>, ConnectError> {
        match &self.login {
            Login::Token(source) => {
                let words =
                    "a control must be an application with a client secret: set `login: { application: … }`";
                Err(ConnectError::new(source.to_string(), what, ConnectErrorKind::Denied, words))
            }
            Login::Application { tenant, client, secret } => {
                let value = secret.resolve(&self.rest.context).await?;
                self.grant(what, (tenant, client), &value).await
            }
        }
    }

    /// The application that we are, when we are one.
    pub(crate) fn client(&self) -> Option<&str> {
        match &self.login {
            Login::Token(_) => None,
            Login::Application { client, .. } => Some(client),
        }
    }

    /// Anything but 2xx is an error with its meaning; `needs` is the permission that it takes.
    pub(crate) async fn ask(&self, ask: &Ask<'_>, needs: &str, hide: &[&str]) -> Result<Value, ConnectError> {
        let token = self.token().await?;
        let header = self.rest.header(ask.what, "Bearer ", &token)?;
        let answer = self.rest.send(ask, &[("authorization", header)]).await?;
        let body = answer.json();
        if (200..300).contains(&answer.status) {
            // `removePassword` answers with nothing.
            if !body.is_object() && !answer.body.is_empty() {
                let words = "the answer is not JSON; is a proxy in between?";
                return Err(self.error(ask.what, ConnectErrorKind::Unexpected, words));
            }
            return Ok(body);
        }
        let mut hide = hide.to_vec();
        hide.extend(token.expose_text());
        Err(self.failure(ask, needs, &answer, &body, &hide))
    }

    fn failure(
        &self,
        ask: &Ask<'_>,
        needs: &str,
        answer: &Answer,
        body: &Value,
        hide: &[&str],
    ) -> ConnectError {
        let text = |pointer: &str| body.pointer(pointer).and_then(Value::as_str).unwrap_or_default();
        // `ForbiddenByRbac`, `SecretDisabled`: more than the code says.
        let inner = text("/error/innererror/code");
        let code = if inner.is_empty() { text("/error/code") } else { inner };
        let said = told(&format!("{code}: {}", text("/error/message")), hide);
        let status = answer.status;
        let (kind, words) = match status {
            500.. => (ConnectErrorKind::Lost, format!("it answered {status} {said}")),
            429 => (ConnectErrorKind::Transient { retry_after: answer.retry_after }, said),
            _ if code.is_empty() => {
                let words = format!("it answered {status}, and not as Azure does; is a proxy in between?");
                (ConnectErrorKind::Unexpected, words)
            }
            401 => (ConnectErrorKind::Denied, format!("{said}; renew what `login` refers to")),
            403 if inner == "SecretDisabled" => (ConnectErrorKind::Denied, said),
            403 => (ConnectErrorKind::Denied, format!("{said}; grant {needs}")),
            404 => (ConnectErrorKind::Missing, said),
            409 => (ConnectErrorKind::Conflict, said),
            400..=499 => (ConnectErrorKind::Denied, said),
            _ => (ConnectErrorKind::Unexpected, format!("it answered {status} {said}")),
        };
        self.error(ask.what, kind, words)
    }

    /// Everything of a list, page by page: each names the next by its whole address, of which only what leads on is taken.
    pub(crate) async fn all(
        &self,
        what: &'static str,
        path: &[&str],
        version: &str,
        needs: &str,
    ) -> Result<Vec<Value>, ConnectError> {
        let mut all = Vec::new();
        let mut next: Option<String> = None;
        for _ in 0..PAGES_MAX {
            let mut ask = Ask::get(what, path).query("api-version", version);
            if let Some(next) = next {
                ask = ask.query("$skiptoken", next);
            }
            let mut page = self.ask(&ask, needs, &[]).await?;
            let Some(Value::Array(items)) = page.get_mut("value").map(Value::take) else {
                return Err(self.error(what, ConnectErrorKind::Unexpected, "the answer is no list"));
            };
            all.extend(items);
            let Some(link) = page.get("nextLink").and_then(Value::as_str) else { return Ok(all) };
            let url = Url::parse(link).ok();
            let token = url.as_ref().and_then(|url| url.query_pairs().find(|(name, _)| name == "$skiptoken"));
            let token = token.map(|(_, value)| value.into_owned());
            let odd = || self.error(what, ConnectErrorKind::Unexpected, "the next page cannot be found");
            next = Some(token.ok_or_else(odd)?);
        }
        Err(self.error(what, ConnectErrorKind::Unexpected, "the list does not end"))
    }
}

const PAGES_MAX: usize = 60;
