//! Pages people by `PagerDuty`.
//!
//! Source: `PagerDuty` developer documentation, "Events API v2: Overview" and "Send an Event", and the schema in `PagerDuty/api-schema`
//! (`reference/events-v2/openapiv3.json`), read 2026-11. An event is accepted (202) before it is processed; one with a `dedup_key` that is known
//! goes to the alert that is there, so a repeat never pages twice.

use async_trait::async_trait;
use quell_core::outcome::{Facts, Outcome};
use quell_core::secret::SecretValue;
use reqwest::Method;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use zeroize::Zeroizing;

use crate::connector::{Check, Definition, Notice, Notify, Stage};
use crate::context::Context;
use crate::error::{ConfigError, ConnectError, ConnectErrorKind};
use crate::http::Answer;
use crate::http_hook::place::HttpPlace;
use crate::rest::{Ask, Rest, address, told};
use crate::source::SecretSource;

/// The registration of this connector.
pub static CONNECTOR: Definition = Definition {
    id: "pagerduty",
    summary: "Pages people by PagerDuty, and resolves the alert when the secret is proven inert",
    readme: include_str!("README.md"),
    schemas,
    issuer: None,
    store: None,
    reload: None,
    observe: None,
    notify: Some(build),
    channel: None,
};

/// Where accounts of the service regions send events.
const US: &str = "https://events.pagerduty.com";
const EU: &str = "https://events.eu.pagerduty.com";
/// Integration keys have this length.
const KEY_LENGTH: usize = 32;
/// Longest summary, in characters.
const SUMMARY_MAX: usize = 1024;
/// Longest `dedup_key`, in characters.
const DEDUP_MAX: usize = 255;
/// What it asks clients to wait for that are too fast, when it does not say how long.
const TOO_FAST_MS: u64 = 30_000;
const SENDING: &str = "sending the event";

fn schemas() -> Vec<(&'static str, Value)> {
    let text = |what: &str| json!({ "type": "string", "minLength": 1, "description": what });
    let notify = json!({
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "title": "PagerDuty, Events API v2",
        "type": "object",
        "additionalProperties": false,
        "required": ["routing_key"],
        "properties": {
            "routing_key": text("Reference to the integration key of an Events API v2 integration: openbao:kv/infra/pager#key"),
            "region": { "enum": ["us", "eu"], "description": "The service region of the account (us)" },
            "component": text("The event's component"),
            "group": text("The event's group: the team or product"),
            "class": text("The event's class (secret-leak)"),
            "url": text("Another address than the region's"),
        },
    });
    vec![("notify", notify)]
}

#[derive(Clone, Copy, Debug, Default, Deserialize)]
#[serde(rename_all = "lowercase")]
enum Region {
    #[default]
    Us,
    Eu,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Config {
    routing_key: SecretSource,
    #[serde(default)]
    region: Region,
    component: Option<String>,
    group: Option<String>,
    class: Option<String>,
    url: Option<String>,
}

#[derive(Debug)]
struct Pager {
    rest: Rest,
    place: HttpPlace,
    routing_key: SecretSource,
    component: Option<String>,
    group: Option<String>,
    class: String,
}

fn build(config: &Value, context: &Context) -> Result<Box<dyn Notify>, ConfigError> {
    let config: Config = ConfigError::parse(config)?;
    let usual = match config.region {
        Region::Us => US,
        Region::Eu => EU,
    };
    let base = address("url", config.url.as_deref().unwrap_or(usual))?;
    let place = HttpPlace::new("url", base.as_str())?;
    Ok(Box::new(Pager {
        rest: Rest::new(context, context.http.clone(), "pagerduty", base),
        place,
        routing_key: config.routing_key,
        component: config.component,
        group: config.group,
        class: config.class.unwrap_or_else(|| "secret-leak".to_owned()),
    }))
}

/// One event as it is sent. The key is borrowed: it is in no value that outlives the request.
#[derive(Serialize)]
struct Event<'a> {
    routing_key: &'a str,
    #[serde(rename = "event_action")]
    action: &'static str,
    dedup_key: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    payload: Option<Value>,
    #[serde(skip_serializing_if = "Option::is_none")]
    client: Option<&'static str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    client_url: Option<&'a str>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    links: Vec<Value>,
}

/// What becomes of the alert.
fn action(notice: &Notice) -> &'static str {
    match notice.stage {
        _ if notice.update => "trigger",
        // One more `trigger` for an open alert is added to its log.
        Stage::Opened | Stage::WithPeople => "trigger",
        Stage::FirstResponse => "acknowledge",
        Stage::Proven => "resolve",
    }
}

/// The four words that `PagerDuty` knows. What is not known counts as the worst.
fn severity(word: &str) -> &'static str {
    match word {
        "SEV-2" | "P1" => "error",
        "SEV-3" | "P2" => "warning",
        "SEV-4" | "P3" => "info",
        _ => "critical",
    }
}

fn dedup_key(notice: &Notice) -> String {
    format!("quell/{}/{}", notice.installation, notice.incident).chars().take(DEDUP_MAX).collect()
}

impl Pager {
    async fn key(&self) -> Result<SecretValue, ConnectError> {
        let key = self.routing_key.resolve(&self.rest.context).await?;
        let whole = |text: &str| text.len() == KEY_LENGTH && text.bytes().all(|b| b.is_ascii_alphanumeric());
        if key.expose_text().is_some_and(whole) {
            return Ok(key);
        }
        let words = "this is not the integration key of an Events API v2 integration, which has 32 letters and digits";
        Err(ConnectError::new(self.routing_key.to_string(), SENDING, ConnectErrorKind::Denied, words))
    }

    fn body(&self, notice: &Notice, dedup_key: &str, key: &SecretValue) -> Option<Zeroizing<String>> {
        let action = action(notice);
        let payload = (action == "trigger").then(|| {
            let summary = crate::words::control_free(&format!("[{}] {}", notice.severity, notice.title));
            let mut payload = json!({
                "summary": summary.chars().take(SUMMARY_MAX).collect::<String>(),
                "source": format!("quell {}", notice.installation),
                "severity": severity(&notice.severity),
                "class": self.class,
                "custom_details": {
                    "tags": ["secret-leak"],
                    "incident": notice.incident,
                    "severity": notice.severity,
                    "stage": notice.stage,
                    "notice": notice.id,
                    "text": notice.body,
                    "checkpoint": notice.checkpoint,
                },
            });
            for (name, value) in [("component", &self.component), ("group", &self.group)] {
                if let (Some(payload), Some(value)) = (payload.as_object_mut(), value) {
                    payload.insert(name.to_owned(), json!(value));
                }
            }
            payload
        });
        let triggers = payload.is_some();
        let link = notice.link.as_deref();
        let event = Event {
            routing_key: key.expose_text()?,
            action,
            dedup_key,
            payload,
            client: triggers.then_some("Quell"),
            client_url: link.filter(|_| triggers),
            links: link.map(|href| json!({ "href": href, "text": notice.incident })).into_iter().collect(),
        };
        serde_json::to_string(&event).ok().map(Zeroizing::new)
    }

    /// What its answer means.
    fn answered(&self, notice: &Notice, dedup_key: &str, key: &SecretValue, answer: &Answer) -> Outcome {
        let target = self.rest.name();
        let status = answer.status;
        let body = answer.json();
        let word = |name: &str| body.get(name).and_then(Value::as_str).unwrap_or_default();
        match status {
            202 if word("status") == "success" => {
                Outcome::applied([("event_action", json!(action(notice))), ("dedup_key", json!(dedup_key))])
            }
            400 => {
                let errors =
                    body.get("errors").and_then(Value::as_array).map(Vec::as_slice).unwrap_or_default();
                let errors: Vec<&str> = errors.iter().filter_map(Value::as_str).collect();
                let said = if errors.is_empty() { word("message").to_owned() } else { errors.join("; ") };
                let said = told(&said, &[key.expose_text().unwrap_or_default()]);
                Outcome::refused(format!("{target}: status 400: the event is invalid: {said}"))
            }
            429 => Outcome::NotApplied {
                reason: format!("{target}: too many events for this integration key"),
                retryable: true,
                retry_after_ms: Some(
                    answer
                        .retry_after
                        .map_or(TOO_FAST_MS, |wait| u64::try_from(wait.as_millis()).unwrap_or(u64::MAX)),
                ),
                facts: Facts::new(),
            },
            300..=399 | 401..=499 => Outcome::refused(format!(
                "{target}: status {status}: something else answered than the Events API; is there a proxy, or another `url`?"
            )),
            _ => Outcome::unknown(format!(
                "{target}: status {status}; the event may be there, and a repeat pages nobody twice"
            )),
        }
    }
}

#[async_trait]
impl Notify for Pager {
    fn target(&self) -> String {
        self.rest.name()
    }

    async fn check(&self) -> Vec<Check> {
        let what = "have the integration key".to_owned();
        let key = match self.key().await {
            Ok(_) => Check { what, ok: true, detail: self.routing_key.to_string() },
            Err(error) => Check { what, ok: false, detail: error.to_string() },
        };
        vec![key, self.place.reachable(self.rest.context.call_limit).await]
    }

    async fn send(&self, notice: &Notice) -> Outcome {
        if notice.update && notice.stage == Stage::Proven {
            // One more event for an alert that is resolved is a new alert: somebody would be woken for an afterword.
            return Outcome::refused(format!(
                "{}: the alert is resolved, and another event would page anew; tell it on another channel",
                self.rest.name()
            ));
        }
        // Nothing was sent yet: without the key nobody was paged.
        let key = match self.key().await {
            Ok(key) => key,
            Err(error) => return Outcome::retry(error.to_string()),
        };
        let dedup_key = dedup_key(notice);
        let Some(body) = self.body(notice, &dedup_key, &key) else {
            return Outcome::refused("the notice cannot be written as JSON");
        };
        let ask = Ask::new(SENDING, Method::POST, &["v2", "enqueue"]).text("application/json", body);
        match self.rest.send(&ask, &[]).await {
            Ok(answer) => self.answered(notice, &dedup_key, &key, &answer),
            Err(error) => error.outcome(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_ladder_has_its_words_and_what_is_not_known_is_critical() {
        let words = ["SEV-1", "SEV-2", "SEV-3", "SEV-4", "P0", "P1", "P2", "P3", "", "S1"].map(severity);
        let expected = [
            "critical", "error", "warning", "info", "critical", "error", "warning", "info", "critical",
            "critical",
        ];
        assert_eq!(words, expected);
    }

    #[test]
    fn an_update_goes_to_the_alert_that_is_there_and_never_ends_it() {
        for stage in [Stage::Opened, Stage::FirstResponse, Stage::WithPeople] {
            assert_eq!(action(&Notice { stage, update: true, ..Notice::sample("a") }), "trigger");
        }
        assert_eq!(action(&Notice { stage: Stage::Proven, ..Notice::sample("a") }), "resolve");
    }

    #[test]
    fn one_incident_of_one_installation_has_one_key() {
        let notice = Notice::sample("a");
        let later = Notice { stage: Stage::Proven, ..Notice::sample("b") };
        assert_eq!(dedup_key(&notice), dedup_key(&later));
        let elsewhere = Notice { installation: "other".to_owned(), ..Notice::sample("a") };
        assert_ne!(dedup_key(&notice), dedup_key(&elsewhere));
        let long = Notice { installation: "i".repeat(400), ..Notice::sample("a") };
        assert_eq!(dedup_key(&long).len(), DEDUP_MAX);
    }
}
