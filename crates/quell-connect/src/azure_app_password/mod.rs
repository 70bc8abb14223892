//! Client secrets of an application in Microsoft Entra.
//!
//! Source: Microsoft Graph v1.0 (`application: addPassword`, `removePassword`, the same of `servicePrincipal`, `passwordCredential`), "Microsoft
//! identity platform and the OAuth 2.0 client credentials flow", "Microsoft Entra authentication and authorization error codes", read 2026-11.
//! Access tokens that were issued live on for 60 to 90 minutes, and that is said.

mod graph;

use std::fmt;

use async_trait::async_trait;
use jiff::SignedDuration;
use quell_core::issuer::{Capabilities, Chooser, ValidAtOnce};
use quell_core::outcome::{Facts, Outcome, Probe};
use quell_core::secret::{Credential, SecretValue};
use serde::Deserialize;
use serde_json::{Value, json};

use crate::azure::{Api, Login, Refusal, endpoint_schema, login_schema};
use crate::connector::{Check, Definition, Issuer, IssuerOp, Performed};
use crate::context::Context;
use crate::effect::tokens_are_over;
use crate::error::{ConfigError, ConnectError, ConnectErrorKind};
use crate::rest::address;
use crate::shape::more_than_a_password;

/// Client secrets of applications.
pub static CONNECTOR: Definition = Definition {
    id: "azure_app_password",
    summary: "Microsoft Entra: client secrets of an application",
    readme: include_str!("README.md"),
    schemas,
    issuer: Some(build),
    store: None,
    reload: None,
    observe: None,
    notify: None,
    channel: None,
};

/// No such client secret, and one that has expired. Everything else comes from a secret that may live.
const REFUSALS: [(u64, &str); 2] = [(7_000_215, "AADSTS7000215"), (7_000_222, "AADSTS7000222")];

/// How long a change takes to bind, when the inventory does not say: Entra is eventually consistent, and replicas follow within minutes.
const SETTLE_MS: u64 = 120_000;

/// How long an access token lives at most ("Configurable token lifetimes"), when the inventory does not say.
const TOKEN_LIFE: SignedDuration = SignedDuration::from_mins(90);

/// What is said of what was issued with the secret before.
const TOKENS: &str = "access tokens that were issued with the secret live on for 60 to 90 minutes; Entra revokes none of them, unless continuous access \
                      evaluation covers the workload: take the application's roles away if that is too long";

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Config {
    tenant: String,
    client: String,
    login: Option<Login>,
    login_url: Option<String>,
    graph_url: Option<String>,
    settle: Option<SignedDuration>,
    token_life: Option<SignedDuration>,
}

/// The issuer. It holds references only.
struct Application {
    api: Api,
    tenant: String,
    client: String,
    settle_ms: u64,
    token_life: SignedDuration,
}

impl fmt::Debug for Application {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Application").field("client", &self.client).finish_non_exhaustive()
    }
}

fn schemas() -> Vec<(&'static str, Value)> {
    let text = |what: &str| json!({ "type": "string", "minLength": 1, "description": what });
    let schema = json!({
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "title": "Microsoft Entra as issuer of client secrets",
        "type": "object",
        "additionalProperties": false,
        "required": ["tenant", "client"],
        "properties": {
            "tenant": text("The directory, by its id or a domain: acme.onmicrosoft.com"),
            "client": text("The id of the application whose secrets are rotated (its client id)"),
            "login": login_schema(),
            "login_url": endpoint_schema(),
            "graph_url": text("Microsoft Graph of another cloud than the public one (https://graph.microsoft.com)"),
            "settle": text("How long a change takes to bind: 30s (2m)"),
            "token_life": text("How long access tokens live that were issued with the secret; nothing is proven until they are over: 60m, 0s to wait for none (90m)"),
        },
    });
    vec![("issuer", schema)]
}

fn build(config: &Value, context: &Context) -> Result<Box<dyn Issuer>, ConfigError> {
    let Config { tenant, client, login, login_url, graph_url, settle, token_life } =
        ConfigError::parse(config)?;
    let fits = |text: &str| {
        !text.is_empty() && text.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'-' || b == b'.')
    };
    for (key, text) in [("tenant", &tenant), ("client", &client)] {
        if !fits(text) || text.starts_with('.') {
            return Err(ConfigError::at(
                key,
                "not an id of Microsoft Entra",
                "Write the id, as the portal shows it.",
            ));
        }
    }
    let graph = address("graph_url", graph_url.as_deref().unwrap_or("https://graph.microsoft.com"))?;
    // Each cloud has its own Graph: https://graph.microsoft.us.
    let scope = format!("{}/.default", graph.origin().ascii_serialization());
    let api = Api::new(context, graph, scope, login, login_url.as_deref())?;
    let settle_ms = ConfigError::settle_ms(settle, SETTLE_MS)?;
    let token_life = ConfigError::token_life(token_life, TOKEN_LIFE)?;
    Ok(Box::new(Application { api, tenant, client, settle_ms, token_life }))
}

impl Application {
    fn failed(&self, what: &'static str, kind: ConnectErrorKind, detail: impl Into<String>) -> ConnectError {
        ConnectError::new(self.target(), what, kind, detail)
    }
}

/// What the token endpoint's answer says of a client secret.
fn tried(seen: Result<Result<SecretValue, Refusal>, ConnectError>) -> Probe {
    match seen {
        Ok(Ok(_token)) => {
            let mut facts = Facts::new();
            facts.insert(
                "asked".to_owned(),
                json!("a client credentials grant was answered with an access token"),
            );
            Probe::Accepted { facts }
        }
        Ok(Err(refusal)) => match REFUSALS.iter().find(|(code, _)| refusal.codes.contains(code)) {
            Some((_, code)) => Probe::Refused { code: (*code).to_owned(), message: refusal.said },
            // Another directory, a conditional access policy, an application that is disabled: the secret itself may live.
            None => Probe::Inconclusive { reason: refusal.said },
        },
        Err(error) => Probe::Inconclusive { reason: error.to_string() },
    }
}

#[async_trait]
impl Issuer for Application {
    fn capabilities(&self) -> Capabilities {
        Capabilities {
            chooser: Chooser::Issuer,
            valid_at_once: ValidAtOnce::Many,
            // Access tokens live on, and nobody can end them: that is a warning, not a step.
            sessions_survive: false,
            can_disable: true,
            self_revocable: false,
            can_mint: true,
            can_probe: true,
            settle_ms: self.settle_ms,
            refusals: REFUSALS.iter().map(|(_, code)| (*code).to_owned()).collect(),
        }
    }

    fn target(&self) -> String {
        format!("{} application {}", self.api.name(), self.client)
    }

    /// Graph counts by directory.
    fn lane(&self) -> (String, Option<u16>) {
        (format!("{} of {}", self.api.name(), self.tenant), None)
    }

    async fn check(&self) -> Vec<Check> {
        self.checks().await
    }

    async fn warnings(&self, _current: Option<&SecretValue>) -> Vec<String> {
        vec![TOKENS.to_owned()]
    }

    /// A client secret says nothing of whose it is: it is the configured application's.
    fn identify(&self, value: &SecretValue) -> Result<Credential, ConnectError> {
        const WHAT: &str = "reading whose credential it is";
        let denied = |words: String| self.failed(WHAT, ConnectErrorKind::Denied, words);
        let text = value.expose_text().ok_or_else(|| denied("the value is not text".to_owned()))?;
        if let Some(kind) = more_than_a_password(text, &[&self.client]) {
            return Err(denied(format!("the value is {kind}, and not a client secret alone")));
        }
        Ok(Credential { principal: self.client.clone(), value: value.duplicate() })
    }

    async fn choose(&self, _old: Option<&Credential>, tag: &str) -> Result<Credential, ConnectError> {
        Ok(Credential { principal: tag.to_owned(), value: SecretValue::from_text(graph::TO_BE.to_owned()) })
    }

    async fn perform(&self, op: IssuerOp<'_>) -> Performed {
        let done = match op {
            IssuerOp::Install { new } => self.install(new).await,
            IssuerOp::Disable { old } => self.disable(old).await.map(Performed::from),
            IssuerOp::Sever { old, .. } => self.observe_disable(old).await.map(Performed::from),
        };
        done.unwrap_or_else(|error| error.outcome().into())
    }

    async fn observe(&self, op: IssuerOp<'_>) -> Performed {
        let seen = match op {
            IssuerOp::Install { new } => self.observe_install(new).await,
            IssuerOp::Disable { old } | IssuerOp::Sever { old, .. } => self.observe_disable(old).await,
        };
        seen.unwrap_or_else(|error| error.unseen()).into()
    }

    async fn probe(&self, credential: &Credential) -> Probe {
        match self.identify(&credential.value) {
            Ok(known) => {
                let door = (self.tenant.as_str(), self.client.as_str());
                tried(self.api.grant("trying the client secret", door, &known.value).await)
            }
            Err(error) => Probe::Inconclusive { reason: error.to_string() },
        }
    }

    async fn control(&self) -> Probe {
        tried(self.api.own("trying the control").await)
    }

    /// Tokens are known by when they were issued alone.
    fn severs_by_time(&self) -> bool {
        true
    }

    /// Entra counts none: until those from before are over it cannot be said that there is none.
    async fn sessions(&self, old: &Credential, cutoff: Option<&str>) -> Result<u64, ConnectError> {
        match self.observe_disable(old).await? {
            Outcome::Applied { .. } => tokens_are_over(&self.target(), cutoff, self.token_life).map(|()| 0),
            Outcome::NotApplied { .. } | Outcome::Unknown { .. } => Ok(1),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bad_configurations_name_the_key() {
        let http = crate::http::Client::new(std::time::Duration::from_secs(1), None).unwrap();
        let context = Context::new(std::path::PathBuf::from("/x"), http);
        let ok = json!({ "tenant": "acme.example", "client": "0000-1", "login": { "token": "env:T" } });
        let target = build(&ok, &context).unwrap().target();
        assert_eq!(target, "azure https://graph.microsoft.com application 0000-1");
        for (key, value) in [
            ("tenant", "../x"),
            ("client", "a'b"),
            ("client", ""),
            ("settle", "-1s"),
            ("graph_url", "http://10.0.0.1"),
        ] {
            let mut config = ok.clone();
            config[key] = json!(value);
            assert_eq!(build(&config, &context).err().unwrap().key.as_deref(), Some(key), "{config}");
        }
    }
}
