//! What happens in an incident, as server-sent events: names and numbers. Whoever was cut off says what they heard last and gets the rest.

use std::convert::Infallible;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use axum::extract::State;
use axum::http::HeaderMap;
use axum::response::sse::{Event, KeepAlive, Sse};
use futures_util::{Stream, StreamExt as _};
use quell_app::Tick;
use quell_core::IncidentId;
use schemars::JsonSchema;
use serde::Deserialize;
use serde_json::json;

use crate::api::{At, Words};
use crate::caller::Caller;
use crate::problem::Problem;
use crate::server::Server;

/// A line that says nothing goes out so often, so that proxies keep the connection.
const KEEP_ALIVE: Duration = Duration::from_secs(15);
/// What a browser sends when it comes back: the id of the last event it got.
const LAST: &str = "last-event-id";

/// Where to begin, for those who cannot send a header.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct After {
    /// Number of the last entry that is known.
    after: Option<u64>,
}

/// Counts who watches, also when they go without a word.
struct Watcher(Arc<Server>);

impl Watcher {
    fn new(server: &Arc<Server>) -> Self {
        server.metrics.watchers.fetch_add(1, Ordering::Relaxed);
        Self(Arc::clone(server))
    }
}

impl Drop for Watcher {
    fn drop(&mut self) {
        self.0.metrics.watchers.fetch_sub(1, Ordering::Relaxed);
    }
}

/// The entries of one incident: those after the last one that is known, then each as it is written.
pub(crate) async fn of_incident(
    State(server): State<Arc<Server>>,
    caller: Caller,
    At(id): At<String>,
    Words(query): Words<After>,
    headers: HeaderMap,
) -> Result<Sse<impl Stream<Item = Result<Event, Infallible>>>, Problem> {
    let id: IncidentId = id.parse()?;
    // No stream of something that is not there.
    caller.app.incident(id).await?;
    let heard = headers.get(LAST).and_then(|value| value.to_str().ok()?.parse().ok());
    let newest = server.feed.size().saturating_sub(1);
    let after = heard.or(query.after).unwrap_or(newest);
    let watcher = (Watcher::new(&server), server.presence.enter(id, &caller.person));
    let mut stop = server.stop.clone();
    let ended = async move { drop(stop.wait_for(|stop| *stop).await) };
    let news = server.feed.follow(Arc::clone(&server.app), id.to_string(), after);
    let events = news.map(move |tick| {
        let _counted = &watcher;
        Ok(event(&tick))
    });
    Ok(Sse::new(events.take_until(ended)).keep_alive(KeepAlive::new().interval(KEEP_ALIVE)))
}

fn event(tick: &Tick) -> Event {
    let data = json!({ "seq": tick.seq, "kind": tick.kind });
    Event::default().id(tick.seq.to_string()).event("entry").data(data.to_string())
}
