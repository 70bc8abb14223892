//! Finished spans to a collector: OTLP 1 over HTTP, in its JSON encoding. A collector that is away stops nothing: so many spans
//! wait, and what comes beyond that is dropped and counted.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use jiff::Timestamp;
use quell_app::AppError;
use serde_json::{Value, json};
use tokio::sync::{mpsc, watch};
use tokio::task::JoinHandle;
use url::Url;

use super::Counts;
use super::layer::request_id;
use super::traceparent::Remote;

/// Spans that wait.
const WAITING: usize = 2048;
/// Spans that are sent at once.
const BATCH: usize = 512;
/// How long the first of them waits for others.
const PAUSE: Duration = Duration::from_secs(1);
/// Longest time for one try.
const LIMIT: Duration = Duration::from_secs(10);
/// Pauses between the tries of one batch; after the last it is dropped.
const AGAIN: [Duration; 3] = [Duration::from_secs(1), Duration::from_secs(2), Duration::from_secs(4)];
/// Span kinds: part of what we do, answer to somebody.
const INTERNAL: u8 = 1;
const SERVER: u8 = 2;
/// Status of what went wrong.
const ERROR: u8 = 2;

/// A span that is over.
#[derive(Debug)]
pub(super) struct Finished {
    pub(super) name: &'static str,
    pub(super) place: Remote,
    pub(super) parent: Option<u64>,
    pub(super) begun: Timestamp,
    pub(super) ended: Timestamp,
    pub(super) fields: Vec<(&'static str, Value)>,
}

/// Where spans go.
#[derive(Clone, Debug)]
pub(super) struct Sender {
    spans: mpsc::Sender<Finished>,
    counts: Arc<Counts>,
}

impl Sender {
    pub(super) fn send(&self, span: Finished) {
        if self.spans.try_send(span).is_err() {
            self.counts.spans_dropped.fetch_add(1, Ordering::Relaxed);
        }
    }
}

/// Sends spans until it is ended.
#[derive(Debug)]
pub(super) struct Exporter {
    sender: Sender,
    stop: watch::Sender<bool>,
    task: JoinHandle<()>,
}

impl Exporter {
    pub(super) fn start(endpoint: &Url, counts: Arc<Counts>) -> Result<Self, AppError> {
        let bad =
            |why: &str| AppError::Usage(format!("--otlp-endpoint: {why}, for example http://localhost:4318"));
        if !endpoint.username().is_empty() || endpoint.password().is_some() || endpoint.query().is_some() {
            return Err(bad(
                "an address with a password or a query is written into logs by others; let a collector beside the server sign in",
            ));
        }
        let mut url = endpoint.clone();
        let added = url.path_segments_mut().map(|mut path| {
            path.pop_if_empty().extend(["v1", "traces"]);
        });
        if added.is_err() || !matches!(url.scheme(), "http" | "https") {
            return Err(bad("it begins with http:// or https://"));
        }
        let http =
            reqwest::Client::builder().timeout(LIMIT).redirect(reqwest::redirect::Policy::none()).build();
        let http =
            http.map_err(|error| bad(&format!("TLS could not be set up ({})", error.without_url())))?;
        let (spans, given) = mpsc::channel(WAITING);
        let (stop, stopped) = watch::channel(false);
        let worker = Worker { http, url, counts: Arc::clone(&counts), instance: request_id(), stop: stopped };
        Ok(Self { sender: Sender { spans, counts }, stop, task: tokio::spawn(worker.run(given)) })
    }

    pub(super) fn sender(&self) -> Sender {
        self.sender.clone()
    }

    /// Sends what waits, once, for so long at most.
    pub(super) async fn end(self, most: Duration) {
        self.stop.send_replace(true);
        drop(tokio::time::timeout(most, self.task).await);
    }
}

struct Worker {
    http: reqwest::Client,
    url: Url,
    counts: Arc<Counts>,
    /// Tells this process from other replicas.
    instance: String,
    stop: watch::Receiver<bool>,
}

impl Worker {
    async fn run(mut self, mut given: mpsc::Receiver<Finished>) {
        let mut batch = Vec::new();
        while !*self.stop.borrow() {
            tokio::select! {
                count = given.recv_many(&mut batch, BATCH) => if count == 0 { return },
                _ended = self.stop.wait_for(|stop| *stop) => break,
            }
            // Others are on their way; one request for each span would be more work than what it tells of.
            if batch.len() < BATCH {
                drop(tokio::time::timeout(PAUSE, self.stop.wait_for(|stop| *stop)).await);
                while batch.len() < BATCH
                    && let Ok(span) = given.try_recv()
                {
                    batch.push(span);
                }
            }
            self.send(&mut batch).await;
        }
        while let Ok(span) = given.try_recv() {
            batch.push(span);
        }
        self.send(&mut batch).await;
    }

    async fn send(&mut self, batch: &mut Vec<Finished>) {
        let count = u64::try_from(batch.len()).unwrap_or(u64::MAX);
        if count == 0 {
            return;
        }
        let body = document(batch, &self.instance).to_string();
        batch.clear();
        for pause in AGAIN.map(Some).into_iter().chain([None]) {
            match self.once(body.clone()).await {
                Sent::Taken(rejected) => {
                    self.counts.spans_sent.fetch_add(count.saturating_sub(rejected), Ordering::Relaxed);
                    self.counts.spans_dropped.fetch_add(rejected.min(count), Ordering::Relaxed);
                    return;
                }
                Sent::Never => break,
                Sent::Later => {
                    let Some(pause) = pause.filter(|_| !*self.stop.borrow()) else { break };
                    drop(tokio::time::timeout(pause, self.stop.wait_for(|stop| *stop)).await);
                }
            }
        }
        self.counts.spans_dropped.fetch_add(count, Ordering::Relaxed);
        tracing::warn!(spans = count, "the collector of traces did not take them");
    }

    async fn once(&self, body: String) -> Sent {
        let request = self.http.post(self.url.clone()).header("content-type", "application/json").body(body);
        let Ok(answer) = request.send().await else { return Sent::Later };
        match answer.status().as_u16() {
            200..=299 => {
                let said: Value = answer.json().await.unwrap_or_default();
                let rejected = said.pointer("/partialSuccess/rejectedSpans");
                let rejected =
                    rejected.and_then(|count| count.as_u64().or_else(|| count.as_str()?.parse().ok()));
                Sent::Taken(rejected.unwrap_or(0))
            }
            // The statuses that the specification lets one try again after.
            429 | 502 | 503 | 504 => Sent::Later,
            _ => Sent::Never,
        }
    }
}

enum Sent {
    /// Except so many.
    Taken(u64),
    Later,
    Never,
}

/// `ExportTraceServiceRequest`: ids as hexadecimal digits, 64-bit numbers as text.
fn document(batch: &[Finished], instance: &str) -> Value {
    let version = env!("CARGO_PKG_VERSION");
    let resource =
        [("service.name", "quell"), ("service.version", version), ("service.instance.id", instance)];
    let resource: Vec<Value> =
        resource.into_iter().map(|(key, value)| attribute(key, &value.into())).collect();
    let spans: Vec<Value> = batch.iter().map(span).collect();
    json!({ "resourceSpans": [{
        "resource": { "attributes": resource },
        "scopeSpans": [{ "scope": { "name": "quell", "version": version }, "spans": spans }],
    }] })
}

fn span(span: &Finished) -> Value {
    let is_request = span.name == "request";
    let field = |wanted: &str| span.fields.iter().find(|(name, _)| *name == wanted).map(|(_, value)| value);
    let word = |wanted: &str| field(wanted).and_then(Value::as_str).unwrap_or_default();
    // Low in number, as names of spans are to be: the route, not the path.
    let name = if is_request { format!("{} {}", word("verb"), word("route")) } else { span.name.to_owned() };
    let failed = field("status").and_then(Value::as_u64).is_some_and(|status| status >= 500)
        || field("failed").is_some();
    let nanos = |at: Timestamp| at.as_nanosecond().to_string();
    let mut shown = json!({
        "traceId": format!("{:032x}", span.place.trace),
        "spanId": format!("{:016x}", span.place.span),
        "name": name,
        "kind": if is_request { SERVER } else { INTERNAL },
        "startTimeUnixNano": nanos(span.begun),
        "endTimeUnixNano": nanos(span.ended.max(span.begun)),
        "attributes": span.fields.iter().map(|(name, value)| attribute(&known_as(name), value)).collect::<Vec<_>>(),
        "status": if failed { json!({ "code": ERROR }) } else { json!({}) },
    });
    if let (Some(parent), Some(shown)) = (span.parent, shown.as_object_mut()) {
        shown.insert("parentSpanId".to_owned(), format!("{parent:016x}").into());
    }
    shown
}

/// The names of OpenTelemetry's conventions where there are some.
fn known_as(name: &str) -> String {
    match name {
        "verb" => "http.request.method".to_owned(),
        "route" => "http.route".to_owned(),
        "status" => "http.response.status_code".to_owned(),
        _ => format!("quell.{name}"),
    }
}

fn attribute(key: &str, value: &Value) -> Value {
    let value = match value {
        Value::Bool(value) => json!({ "boolValue": value }),
        Value::Number(value) if value.is_f64() => json!({ "doubleValue": value }),
        Value::Number(value) => json!({ "intValue": value.to_string() }),
        Value::String(value) => json!({ "stringValue": value }),
        Value::Null | Value::Array(_) | Value::Object(_) => json!({ "stringValue": value.to_string() }),
    };
    json!({ "key": key, "value": value })
}
