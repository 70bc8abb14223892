//! The Events API v2 of `PagerDuty` as a model: developer documentation "Events API v2: Overview", "Send an Event", and the schema in
//! `PagerDuty/api-schema`, read 2026-11-23.
//!
//! What it keeps to: 202 with the `dedup_key`; 400 with the list of errors; a `trigger` for an open alert is added to its log and pages nobody; an
//! `acknowledge` or `resolve` for no open alert is accepted and dropped; a `trigger` after a `resolve` is a new alert, which pages; 429 with and
//! without `Retry-After`; 5xx before or after the event was taken.

use std::sync::{Arc, Mutex};

use serde_json::{Value, json};

use super::{Listener, Reply, Request, locked};

/// A running model. It stops on drop.
#[derive(Debug)]
pub struct PagerDuty {
    listener: Listener,
    state: Arc<Mutex<State>>,
}

/// One alert.
#[derive(Clone, Debug)]
pub struct Alert {
    /// The integration key it came by.
    pub routing_key: String,
    /// What tells it from others.
    pub dedup_key: String,
    /// `triggered`, `acknowledged` or `resolved`.
    pub status: &'static str,
    /// Every event of it that was processed.
    pub log: Vec<Value>,
}

#[derive(Debug, Default)]
struct State {
    alerts: Vec<Alert>,
    /// Events that were accepted and concern no open alert.
    dropped: u32,
    limited: u32,
    retry_after: Option<u32>,
    /// So many answers are this status, and whether the event is taken all the same.
    broken: (u32, u16, bool),
    /// What is wrong with the next event, whatever it says.
    wrong: Option<String>,
    /// Somebody else answers.
    wall: Option<u16>,
}

impl PagerDuty {
    /// Starts one.
    pub fn start() -> anyhow::Result<Self> {
        let state = Arc::new(Mutex::new(State::default()));
        let answering = Arc::clone(&state);
        let listener = Listener::start(move |request| locked(&answering).answer(request))?;
        Ok(Self { listener, state })
    }

    /// Where it listens.
    pub fn port(&self) -> u16 {
        self.listener.port()
    }

    /// `http://127.0.0.1:PORT`.
    pub fn addr(&self) -> String {
        format!("http://127.0.0.1:{}", self.port())
    }

    /// The first lines of all requests so far.
    pub fn lines(&self) -> Vec<String> {
        self.listener.lines()
    }

    /// The next so many events are too many; the answer says how long to wait, or does not.
    pub fn limit(&self, events: u32, retry_after: Option<u32>) {
        let mut state = locked(&self.state);
        (state.limited, state.retry_after) = (events, retry_after);
    }

    /// The next so many answers are this status; the event is taken, or is not.
    pub fn break_down(&self, answers: u32, status: u16, taken: bool) {
        locked(&self.state).broken = (answers, status, taken);
    }

    /// The next event is refused in these words.
    pub fn reject(&self, words: &str) {
        locked(&self.state).wrong = Some(words.to_owned());
    }

    /// From now on a proxy answers, or does not any more.
    pub fn wall(&self, status: Option<u16>) {
        locked(&self.state).wall = status;
    }

    /// All alerts so far: each paged somebody once.
    pub fn alerts(&self) -> Vec<Alert> {
        locked(&self.state).alerts.clone()
    }

    /// Events that were accepted and did nothing.
    pub fn dropped(&self) -> u32 {
        locked(&self.state).dropped
    }
}

impl State {
    fn answer(&mut self, request: &Request) -> Reply {
        if let Some(status) = self.wall {
            return Reply::page(status, "<html>Sign in to the network</html>");
        }
        if request.method != "POST" || request.segments() != ["v2", "enqueue"] {
            return Reply::empty(404);
        }
        if self.limited > 0 {
            self.limited -= 1;
            let reply = Reply::empty(429);
            return match self.retry_after {
                Some(seconds) => reply.header("retry-after", &seconds.to_string()),
                None => reply,
            };
        }
        if self.broken.0 > 0 {
            self.broken.0 -= 1;
            let (_, status, taken) = self.broken;
            if taken {
                self.take(&request.json());
            }
            return Reply::empty(status);
        }
        let event = request.json();
        let mut errors = invalid(&event, request.body.len());
        errors.extend(self.wrong.take());
        if !errors.is_empty() {
            let body =
                json!({ "status": "invalid event", "message": "Event object is invalid", "errors": errors });
            return Reply::json(400, &body);
        }
        let dedup_key = self.take(&event);
        let body = json!({ "status": "success", "message": "Event processed", "dedup_key": dedup_key });
        Reply::json(202, &body)
    }

    fn take(&mut self, event: &Value) -> String {
        let text = |name: &str| event[name].as_str().unwrap_or_default().to_owned();
        let (routing_key, mut dedup_key) = (text("routing_key"), text("dedup_key"));
        if dedup_key.is_empty() {
            dedup_key = format!("made-up-{}", self.alerts.len());
        }
        let open = self.alerts.iter_mut().find(|alert| {
            alert.routing_key == routing_key && alert.dedup_key == dedup_key && alert.status != "resolved"
        });
        let action = event["event_action"].as_str().unwrap_or_default();
        match (open, action) {
            (Some(alert), _) => {
                match action {
                    "acknowledge" => alert.status = "acknowledged",
                    "resolve" => alert.status = "resolved",
                    _ => {}
                }
                alert.log.push(event.clone());
            }
            (None, "trigger") => {
                let log = vec![event.clone()];
                let alert = Alert { routing_key, dedup_key: dedup_key.clone(), status: "triggered", log };
                self.alerts.push(alert);
            }
            (None, _) => self.dropped += 1,
        }
        dedup_key
    }
}

/// What the schema says against it.
fn invalid(event: &Value, length: usize) -> Vec<String> {
    let mut errors = Vec::new();
    let key = event["routing_key"].as_str().unwrap_or_default();
    if key.is_empty() {
        errors.push("'routing_key' is missing or blank".to_owned());
    } else if key.len() != 32 {
        errors.push("Length of 'routing_key' is incorrect (should be 32 characters)".to_owned());
    }
    let action = event["event_action"].as_str().unwrap_or_default();
    if !matches!(action, "trigger" | "acknowledge" | "resolve") {
        errors.push(
            "'event_action' is invalid (should be one of: 'trigger', 'acknowledge', 'resolve')".to_owned(),
        );
    }
    let dedup = event["dedup_key"].as_str().unwrap_or_default();
    if dedup.chars().count() > 255 {
        errors.push("Length of 'dedup_key' is incorrect (maximum is 255 characters)".to_owned());
    }
    if dedup.is_empty() && action != "trigger" {
        errors.push("'dedup_key' is missing or blank".to_owned());
    }
    if action == "trigger" {
        for name in ["summary", "source", "severity"] {
            if event["payload"][name].as_str().unwrap_or_default().is_empty() {
                errors.push(format!("'payload.{name}' is missing or blank"));
            }
        }
        if event["payload"]["summary"].as_str().unwrap_or_default().chars().count() > 1024 {
            errors.push("Length of 'payload.summary' is incorrect (maximum is 1024 characters)".to_owned());
        }
        let severity = event["payload"]["severity"].as_str().unwrap_or_default();
        if !matches!(severity, "critical" | "warning" | "error" | "info") {
            errors.push(
                "'payload.severity' is invalid (should be one of: 'critical', 'warning', 'error' or 'info')"
                    .to_owned(),
            );
        }
    }
    if length > 512 << 10 {
        errors.push("the event is larger than 512 KB".to_owned());
    }
    errors
}
