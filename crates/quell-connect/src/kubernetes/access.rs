//! One API server, and our token for it.

use reqwest::Method;
use serde::Deserialize;
use serde_json::{Value, json};

use crate::connector::Check;
use crate::context::Context;
use crate::error::{ConfigError, ConnectError, ConnectErrorKind};
use crate::http::{Answer, TOO_LARGE};
use crate::rest::{Ask, Rest, address, told};
use crate::source::SecretSource;

/// `connections.kubernetes`, or `cluster:` of one entry. What is left out comes from the pod that we run in.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Access {
    server: Option<String>,
    ca_file: Option<String>,
    token: Option<SecretSource>,
}

/// Where a pod finds what it may do, and the certificate of the server ("Accessing the Kubernetes API from a Pod").
const POD: &str = "/var/run/secrets/kubernetes.io/serviceaccount";

/// Of a list; the server gives the rest by `continue`.
const PAGE: u32 = 50;
const PAGES_MAX: usize = 400;

/// An API server. It holds references only; the token is read anew for each call, as service accounts' tokens are replaced every hour.
#[derive(Clone, Debug)]
pub(crate) struct Cluster {
    rest: Rest,
    token: SecretSource,
}

/// What a role must give for a request.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Right<'a> {
    /// `get`, `list`, `patch`.
    pub(crate) verb: &'static str,
    /// `apps`; empty for the core.
    pub(crate) group: &'static str,
    /// `secrets`.
    pub(crate) resource: &'static str,
    pub(crate) namespace: &'a str,
    pub(crate) name: Option<&'a str>,
}

/// The schema of `cluster`.
pub(crate) fn access_schema() -> Value {
    json!({
        "type": "object",
        "additionalProperties": false,
        "description": "The API server; without it `connections.kubernetes`, or the pod that Quell runs in",
        "properties": {
            "server": { "type": "string", "description": "Its address: https://10.0.0.1:6443" },
            "ca_file": { "type": "string", "description": "A PEM file with the certificates that its certificate is signed by" },
            "token": { "type": "string", "description": "Reference to a bearer token: file:/run/quell/token, exec:kubectl create token quell" },
        },
    })
}

impl Cluster {
    /// Contacts nobody.
    pub(crate) fn open(context: &Context, given: Option<Access>) -> Result<Self, ConfigError> {
        let given = match (given, context.connection("kubernetes")) {
            (Some(given), _) => given,
            (None, Some(config)) => ConfigError::parse(config)?,
            (None, None) => Access::default(),
        };
        let in_pod = given.server.is_none();
        let server = match given.server {
            Some(server) => address("server", &server)?,
            None => of_pod(context)?,
        };
        let ca = given.ca_file.or_else(|| in_pod.then(|| format!("{POD}/ca.crt")));
        let http = match ca {
            Some(path) => with_ca(context, &path)?,
            None => context.http.clone(),
        };
        let token = given.token.or_else(|| in_pod.then(|| SecretSource::File(format!("{POD}/token"))));
        let hint = "Set `token` to a reference, such as file:/run/quell/token.";
        let token = token.ok_or_else(|| ConfigError::at("token", "no token for Kubernetes", hint))?;
        Ok(Self { rest: Rest::new(context, http, "kubernetes", server), token })
    }

    /// `kubernetes https://10.0.0.1:6443`.
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

    /// One object, or what it became. `hide` is what no message may repeat.
    pub(crate) async fn ask(
        &self,
        ask: &Ask<'_>,
        needs: Right<'_>,
        hide: &[&str],
    ) -> Result<Value, ConnectError> {
        let token = self.token.resolve(&self.rest.context).await?;
        let header = self.rest.header(ask.what, "Bearer ", &token)?;
        let accept = reqwest::header::HeaderValue::from_static("application/json");
        let answer = self.rest.send(ask, &[("authorization", header), ("accept", accept)]).await?;
        let body = answer.json();
        if (200..300).contains(&answer.status) {
            // A proxy's page of welcome is no object.
            return if body.get("kind").is_some_and(Value::is_string) {
                Ok(body)
            } else {
                let words = "the answer is no object of Kubernetes; is this an API server?";
                Err(self.error(ask.what, ConnectErrorKind::Unexpected, words))
            };
        }
        let mut hide = hide.to_vec();
        hide.extend(token.expose_text());
        Err(self.failure(ask, needs, &answer, &body, &hide))
    }

    /// What a `Status` means ("Kubernetes API conventions", response status kind).
    fn failure(
        &self,
        ask: &Ask<'_>,
        needs: Right<'_>,
        answer: &Answer,
        body: &Value,
        hide: &[&str],
    ) -> ConnectError {
        let status = answer.status;
        let said = told(text(body, "/message"), hide);
        let kind_and_words = match status {
            // What failed inside, or behind a proxy, may have been done before.
            500.. => (ConnectErrorKind::Lost, format!("it answered {status} {said}").trim_end().to_owned()),
            429 => {
                let kind = ConnectErrorKind::Transient { retry_after: answer.retry_after };
                (kind, "too many requests (429): the server's flow control holds us back".to_owned())
            }
            _ if body.get("kind").and_then(Value::as_str) != Some("Status") => {
                let words =
                    format!("it answered {status}, and not as Kubernetes does; is a proxy in between?");
                (ConnectErrorKind::Unexpected, words)
            }
            401 => {
                let words =
                    "the token is not accepted (401): it is expired or wrong; renew what `token` refers to";
                (ConnectErrorKind::Denied, words.to_owned())
            }
            403 => (ConnectErrorKind::Denied, format!("{said}; {}", needs.grant())),
            404 => (ConnectErrorKind::Missing, said),
            409 => (ConnectErrorKind::Conflict, said),
            410 => (ConnectErrorKind::Transient { retry_after: None }, said),
            400..=499 => (ConnectErrorKind::Denied, format!("refused with {status}: {said}")),
            _ => (ConnectErrorKind::Unexpected, format!("it answered {status} {said}")),
        };
        self.error(ask.what, kind_and_words.0, kind_and_words.1)
    }

    /// All objects of a list, page by page.
    pub(crate) async fn all(
        &self,
        what: &'static str,
        path: &[&str],
        selector: Option<&str>,
        needs: Right<'_>,
    ) -> Result<Vec<Value>, ConnectError> {
        let mut all = Vec::new();
        let mut next = String::new();
        let mut limit = PAGE;
        for _ in 0..PAGES_MAX {
            let mut ask = Ask::get(what, path).query("limit", limit.to_string());
            if let Some(selector) = selector {
                ask = ask.query("labelSelector", selector);
            }
            if !next.is_empty() {
                ask = ask.query("continue", &*next);
            }
            let mut page = match self.ask(&ask, needs, &[]).await {
                // Objects can be large; fewer of them fit.
                Err(error) if limit > 1 && error.detail.contains(TOO_LARGE) => {
                    limit /= 2;
                    continue;
                }
                page => page?,
            };
            let Some(Value::Array(items)) = page.get_mut("items").map(Value::take) else {
                return Err(self.error(what, ConnectErrorKind::Unexpected, "the answer is no list"));
            };
            all.extend(items);
            text(&page, "/metadata/continue").clone_into(&mut next);
            if next.is_empty() {
                return Ok(all);
            }
        }
        Err(self.error(what, ConnectErrorKind::Unexpected, "the list does not end"))
    }

    /// Whether our token may do it: a `SelfSubjectAccessReview`, which is answered and not kept.
    pub(crate) async fn may(&self, needs: Right<'_>) -> Check {
        const WHAT: &str = "asking what we may do";
        let what = format!("may {} {}", needs.verb, needs.whole());
        let body = json!({
            "apiVersion": "authorization.k8s.io/v1",
            "kind": "SelfSubjectAccessReview",
            "spec": { "resourceAttributes": {
                "verb": needs.verb, "group": needs.group, "resource": needs.resource,
                "namespace": needs.namespace, "name": needs.name.unwrap_or_default(),
            } },
        });
        let path = ["apis", "authorization.k8s.io", "v1", "selfsubjectaccessreviews"];
        let ask = Ask::new(WHAT, Method::POST, &path).json(&body);
        let review = Right {
            verb: "create",
            group: "authorization.k8s.io",
            resource: "selfsubjectaccessreviews",
            namespace: "",
            name: None,
        };
        match self.ask(&ask, review, &[]).await {
            Ok(answer) if answer.pointer("/status/allowed") == Some(&Value::Bool(true)) => {
                Check { what, ok: true, detail: "yes".to_owned() }
            }
            Ok(_) => Check { what, ok: false, detail: needs.grant() },
            Err(error) => Check { what, ok: false, detail: error.detail },
        }
    }
}

impl Right<'_> {
    fn whole(&self) -> String {
        let dot = if self.group.is_empty() { "" } else { "." };
        let name = self.name.map(|name| format!(" `{name}`")).unwrap_or_default();
        format!("{}{dot}{}{name} in `{}`", self.resource, self.group, self.namespace)
    }

    /// What to do about it.
    fn grant(&self) -> String {
        format!("let a Role of Quell's account give `{}` on {}", self.verb, self.whole())
    }
}

fn of_pod(context: &Context) -> Result<url::Url, ConfigError> {
    let named = |name: &str| context.environment.get(name).filter(|value| !value.is_empty());
    let (Some(host), Some(port)) = (named("KUBERNETES_SERVICE_HOST"), named("KUBERNETES_SERVICE_PORT"))
    else {
        let hint = "Set connections.kubernetes.server, or run Quell in a pod of the cluster.";
        return Err(ConfigError::at("server", "no address of Kubernetes", hint));
    };
    let host = if host.contains(':') { format!("[{host}]") } else { host.clone() };
    address("server", &format!("https://{host}:{port}"))
}

fn with_ca(context: &Context, path: &str) -> Result<crate::http::Client, ConfigError> {
    let bad = |why: String| {
        ConfigError::at("ca_file", why, "Name a PEM file with the certificates of the authority.")
    };
    let pem = std::fs::read(context.path(path)).map_err(|error| bad(format!("{path}: {error}")))?;
    crate::http::Client::new(context.call_limit, Some(&pem)).map_err(|error| bad(error.detail))
}

/// A name of an object: a DNS subdomain ("Object Names and IDs").
pub(crate) fn is_name(text: &str) -> bool {
    let inner = |b: u8| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'-' || b == b'.';
    let edge = |b: Option<u8>| b.is_some_and(|b| b.is_ascii_lowercase() || b.is_ascii_digit());
    text.len() <= 253
        && text.bytes().all(inner)
        && edge(text.bytes().next())
        && edge(text.bytes().next_back())
}

/// The text at a place of an object; empty when there is none.
pub(crate) fn text<'a>(object: &'a Value, pointer: &str) -> &'a str {
    object.pointer(pointer).and_then(Value::as_str).unwrap_or_default()
}

/// The list at a place of an object; empty when there is none.
pub(crate) fn list<'a>(object: &'a Value, pointer: &str) -> &'a [Value] {
    object.pointer(pointer).and_then(Value::as_array).map_or(&[], Vec::as_slice)
}
