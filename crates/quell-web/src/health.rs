//! `/healthz`, `/readyz`, `/metrics`: for whoever runs it.

use std::sync::Arc;
use std::sync::atomic::{AtomicI64, AtomicU64, Ordering};
use std::time::Duration;

use axum::extract::{Extension, State};
use axum::http::{StatusCode, header};
use axum::response::IntoResponse;
use axum::routing::get;
use quell_core::person::Role;
use tokio::time::timeout;

use crate::caller::Caller;
use crate::duty::Health;
use crate::problem::Problem;
use crate::route::{Kind, Route, Verb};
use crate::server::Server;

/// Monitoring asks again soon, and a number that comes late is none.
const PATIENCE: Duration = Duration::from_secs(2);

pub(crate) const ROUTES: &[Route] = &[
    Route::open(Verb::Get, "/healthz", Kind::Hook, || get(healthz)),
    Route::open(Verb::Get, "/readyz", Kind::Hook, || get(readyz)),
    // As pages are: whoever shows who they are may be told more.
    Route::open(Verb::Get, "/metrics", Kind::Page, || get(metrics)),
];

/// Counted since the start.
#[derive(Debug, Default)]
pub(crate) struct Metrics {
    requests: AtomicU64,
    refused: AtomicU64,
    failed: AtomicU64,
    turned_away: AtomicU64,
    no_handshake: AtomicU64,
    /// Open streams of news.
    pub(crate) watchers: AtomicI64,
}

impl Metrics {
    pub(crate) fn request(&self) {
        self.requests.fetch_add(1, Ordering::Relaxed);
    }

    /// A connection beyond the limit.
    pub(crate) fn turned_away(&self) {
        self.turned_away.fetch_add(1, Ordering::Relaxed);
    }

    /// A connection on which TLS did not begin.
    pub(crate) fn no_handshake(&self) {
        self.no_handshake.fetch_add(1, Ordering::Relaxed);
    }

    pub(crate) fn answer(&self, status: StatusCode) {
        if status.is_client_error() {
            self.refused.fetch_add(1, Ordering::Relaxed);
        }
        if status.is_server_error() {
            self.failed.fetch_add(1, Ordering::Relaxed);
        }
    }
}

/// The process answers.
async fn healthz() -> &'static str {
    "ok\n"
}

/// The process can do its work: the ledger can be read, plans and deliveries are worked on, and it is not ending. What could not be taken up while it
/// runs is said beside it.
async fn readyz(State(server): State<Arc<Server>>) -> Result<String, Problem> {
    if *server.stop.borrow() {
        return Err(Problem::new(StatusCode::SERVICE_UNAVAILABLE, "the server is ending"));
    }
    let app = server.app();
    // It goes on with what it has begun; nobody new is to be sent to it.
    if app.store.db().is_ahead().await.is_ok_and(|ahead| ahead) {
        let words = "a newer version of this program brought the database up to date";
        return Err(Problem::new(StatusCode::SERVICE_UNAVAILABLE, words).hint("upgrade this replica"));
    }
    if app.store.size().await.is_err() {
        return Err(Problem::new(StatusCode::SERVICE_UNAVAILABLE, "the database cannot be read"));
    }
    let down: Vec<String> =
        server.duties.iter().filter(|duty| duty.trouble().is_some()).map(ToString::to_string).collect();
    if down.is_empty() {
        let faults = server.standing.faults();
        // Whoever asks may be anybody: which, not why.
        let line = |what| format!("{what}: the new one cannot be used, the old one is\n");
        let lines = faults.iter().map(|(what, _)| line(what)).collect::<Vec<_>>().concat();
        return Ok(format!("ready\n{lines}"));
    }
    let hint =
        "it is begun again by itself; what it did is in the ledger, and another server goes on with it";
    Err(Problem::new(StatusCode::SERVICE_UNAVAILABLE, down.join("; ")).hint(hint))
}

/// What waits for people. Empty when it cannot be read, which monitoring notices.
async fn incidents(server: &Server) -> Vec<(&'static str, &'static str, &'static str, i64)> {
    let app = server.app();
    let asked = quell_app::measure::standing(&app, quell_app::clock::now());
    let Ok(Ok(now)) = timeout(PATIENCE, asked).await else { return Vec::new() };
    let gauge = |name, help, n: u64| (name, "gauge", help, i64::try_from(n).unwrap_or(i64::MAX));
    vec![
        gauge("quell_incidents_open", "Open incidents, drills apart.", now.open),
        gauge(
            "quell_incidents_not_contained",
            "Open incidents with a secret that is not proven inert.",
            now.not_contained,
        ),
        gauge("quell_clocks_running", "Deadlines of open incidents that run.", now.running),
        gauge("quell_clocks_missed", "Deadlines of open incidents that have passed unmet.", now.missed),
        gauge("quell_steps_failed", "Steps of open incidents that failed and wait for somebody.", now.failed),
    ]
}

/// In the text format of Prometheus 0.0.4. Numbers only: no names of people, secrets or incidents.
///
/// That something burns, and for how long, is nothing for strangers: those numbers are for viewers.
async fn metrics(State(server): State<Arc<Server>>, caller: Option<Extension<Caller>>) -> impl IntoResponse {
    let may_know = caller.is_some_and(|Extension(caller)| caller.may(Role::Viewer));
    let count = |number: &AtomicU64| i64::try_from(number.load(Ordering::Relaxed)).unwrap_or(i64::MAX);
    let own = &server.metrics;
    // Numbers that cannot be had are left out, which monitoring notices.
    let app = server.app();
    let inbox = timeout(PATIENCE, app.store.inbox_open()).await.ok().and_then(Result::ok);
    let all = [
        ("quell_http_requests_total", "counter", "Requests since the start.", count(&own.requests)),
        ("quell_http_refused_total", "counter", "Answers 400 to 499 since the start.", count(&own.refused)),
        ("quell_http_failed_total", "counter", "Answers 500 to 599 since the start.", count(&own.failed)),
        (
            "quell_connections_turned_away_total",
            "counter",
            "Connections beyond the limit since the start.",
            count(&own.turned_away),
        ),
        (
            "quell_handshakes_failed_total",
            "counter",
            "Connections on which TLS did not begin since the start.",
            count(&own.no_handshake),
        ),
        ("quell_watchers", "gauge", "Open streams of news.", own.watchers.load(Ordering::Relaxed)),
        (
            "quell_duties_begun_again_total",
            "counter",
            "How often the engine, the intake or the look for news ended and was begun again.",
            i64::try_from(server.duties.iter().map(Health::begun_again).sum::<u64>()).unwrap_or(i64::MAX),
        ),
        (
            "quell_ledger_entries",
            "gauge",
            "Entries of the ledger.",
            i64::try_from(server.feed.size()).unwrap_or(i64::MAX),
        ),
    ];
    let number = |n: u64| i64::try_from(n).unwrap_or(i64::MAX);
    let inbox = inbox.into_iter().flat_map(|(waiting, given_up)| {
        [
            ("quell_inbox_waiting", "gauge", "Deliveries that wait to be worked off.", number(waiting)),
            ("quell_inbox_given_up", "gauge", "Deliveries that were given up.", number(given_up)),
        ]
    });
    let certificate = server.tls.iter().map(|tls| {
        let until = tls.until().as_second();
        ("quell_certificate_not_after_seconds", "gauge", "When the certificate expires, in Unix time.", until)
    });
    let faults = number(u64::try_from(server.standing.faults().len()).unwrap_or(u64::MAX));
    let standing = [("quell_reload_faults", "gauge", "Changed files that could not be taken up.", faults)];
    let [lines, spans, sent] = server.counts.now().map(number);
    let told = [
        ("quell_log_lines_dropped_total", "counter", "Lines of the log that nobody took.", lines),
        ("quell_spans_dropped_total", "counter", "Spans that the collector did not get.", spans),
        ("quell_spans_sent_total", "counter", "Spans that the collector took.", sent),
    ];
    let incidents = if may_know { incidents(&server).await } else { Vec::new() };
    let lines: Vec<String> = all
        .into_iter()
        .chain(inbox)
        .chain(incidents)
        .chain(certificate)
        .chain(standing)
        .chain(told)
        .map(|(name, kind, help, value)| {
            format!("# HELP {name} {help}\n# TYPE {name} {kind}\n{name} {value}\n")
        })
        .collect();
    ([(header::CONTENT_TYPE, "text/plain; version=0.0.4; charset=utf-8")], lines.concat())
}
