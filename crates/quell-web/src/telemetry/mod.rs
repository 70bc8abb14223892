//! Logs and traces of the server: one line per thing that happened, on standard error; spans to a collector, if there is one.
//!
//! Only what this program says of itself is written, and never what its libraries say: they name addresses, queries and
//! statements. What is said is names and numbers: no value, token, cookie, code, body or query, and no path that somebody sent.

mod layer;
mod line;
mod otlp;
mod traceparent;

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use quell_app::AppError;
use tracing::level_filters::LevelFilter;
use tracing_subscriber::layer::SubscriberExt as _;
use url::Url;

pub(crate) use layer::request_id;
pub(crate) use traceparent::Remote;

/// Time that lines and spans get at the end.
const LAST: Duration = Duration::from_secs(2);

/// How lines look.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Format {
    /// An object of JSON per line, for programs.
    Json,
    /// Words and `key=value`, for people.
    Text,
}

/// What is written, and where to.
#[derive(Clone, Debug)]
pub struct Settings {
    /// How lines look.
    pub format: Format,
    /// What is important enough for a line.
    pub level: LevelFilter,
    /// Where a collector of traces takes OTLP over HTTP; `v1/traces` is added to it.
    pub otlp: Option<Url>,
}

/// Counted since the start.
#[derive(Debug, Default)]
pub struct Counts {
    lines_dropped: AtomicU64,
    spans_dropped: AtomicU64,
    spans_sent: AtomicU64,
}

impl Counts {
    /// Lines that nobody took, spans that could not be handed on, spans that were.
    pub(crate) fn now(&self) -> [u64; 3] {
        [&self.lines_dropped, &self.spans_dropped, &self.spans_sent]
            .map(|count| count.load(Ordering::Relaxed))
    }
}

/// Logs and traces of this process, until they are ended.
#[derive(Debug)]
pub struct Telemetry {
    /// What could not be said.
    pub counts: Arc<Counts>,
    lines: line::Lines,
    spans: Option<otlp::Exporter>,
}

impl Telemetry {
    /// From here on, for the whole process. A second time in one process is refused.
    pub fn start(settings: &Settings) -> Result<Self, AppError> {
        let counts = Arc::new(Counts::default());
        let lines = line::Lines::start(settings.format, Arc::clone(&counts));
        let spans = match &settings.otlp {
            Some(endpoint) => Some(otlp::Exporter::start(endpoint, Arc::clone(&counts))?),
            None => None,
        };
        let layer = layer::Told {
            level: settings.level,
            lines: lines.sender(),
            spans: spans.as_ref().map(otlp::Exporter::sender),
        };
        let subscriber = tracing_subscriber::registry().with(layer);
        tracing::subscriber::set_global_default(subscriber)
            .map_err(|_twice| AppError::Usage("logs were started already in this process".to_owned()))?;
        if spans.is_some() {
            quell_app::trace::carry(layer::outgoing);
        }
        Ok(Self { counts, lines, spans })
    }

    /// Writes and sends what waits, for a short time.
    pub async fn end(self) {
        if let Some(spans) = self.spans {
            spans.end(LAST).await;
        }
        let lines = self.lines;
        // The writer is a thread of its own: waiting for it must not hold up a worker of the runtime.
        drop(tokio::task::spawn_blocking(move || lines.end(LAST)).await);
    }
}
