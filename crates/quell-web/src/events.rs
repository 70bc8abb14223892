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
use quell_core::event::INSTALLATION;
use quell_core::person::Role;
use schemars::JsonSchema;
use serde::Deserialize;
use serde_json::json;
use tokio::sync::broadcast::error::RecvError;

use crate::api::{At, Words};
use crate::caller::{By, Caller};
use crate::problem::Problem;
use crate::server::Server;

/// A line that says nothing goes out so often, so that proxies keep the connection.
const KEEP_ALIVE: Duration = Duration::from_secs(15);
/// How often it is looked whether whoever watches still may: a session can end at another replica, or by itself.
const LOOK: Duration = Duration::from_secs(10);
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
    caller.app.incident_shared(id).await?;
    let heard = headers.get(LAST).and_then(|value| value.to_str().ok()?.parse().ok());
    let newest = server.feed.size().saturating_sub(1);
    let after = heard.or(query.after).unwrap_or(newest);
    let watcher = (Watcher::new(&server), server.presence.enter(id, &caller.person));
    let (mut stop, asked) = (server.stop.clone(), Arc::clone(&server));
    let ended = async move {
        tokio::select! {
            _ended = stop.wait_for(|stop| *stop) => {}
            () = turned_away(&asked, &caller.by) => {}
        }
    };
    let news = server.feed.follow(server.app(), id.to_string(), after);
    let events = news.map(move |tick| {
        let _counted = &watcher;
        Ok(event(&tick))
    });
    Ok(Sse::new(events.take_until(ended)).keep_alive(KeepAlive::new().interval(KEEP_ALIVE)))
}

/// Ends when whoever watches may not any more: they signed out, were removed, have a lesser role; their token was revoked or is over.
async fn turned_away(server: &Server, by: &By) {
    let (mut news, mut left) = (server.feed.listen(), server.left.subscribe());
    let mut every = tokio::time::interval(LOOK);
    loop {
        tokio::select! {
            _due = every.tick() => {}
            _left = left.changed() => {}
            heard = news.recv() => match heard {
                // Who may what is in this stream.
                Ok(tick) if tick.stream == INSTALLATION => {}
                Ok(_) => continue,
                Err(RecvError::Lagged(_)) => {}
                Err(RecvError::Closed) => return,
            },
        }
        // A database that is away turns nobody away: nothing new comes from it either.
        if server.still(by).await.is_ok_and(|role| role.is_none_or(|role| role < Role::Viewer)) {
            return;
        }
    }
}

fn event(tick: &Tick) -> Event {
    let data = json!({ "seq": tick.seq, "kind": tick.kind });
    Event::default().id(tick.seq.to_string()).event("entry").data(data.to_string())
}
