//! What holds for everything that is asked: how often, how long, how much; that a repeated request does nothing twice.

use std::sync::Arc;
use std::time::Duration;

use axum::body::{Body, Bytes};
use axum::extract::{Request, State};
use axum::http::request::Parts;
use axum::http::{HeaderValue, StatusCode, header};
use axum::middleware::Next;
use axum::response::{IntoResponse as _, Response};
use quell_app::clock::now;
use quell_app::{App, report};
use quell_core::IncidentId;

use super::ask::seen;
use super::once::{self, once};
use super::operation::Operation;
use crate::caller::Caller;
use crate::guard;
use crate::problem::Problem;
use crate::rates::too_many;
use crate::route::{Route, Verb};
use crate::server::Server;

/// Longest time that a request is waited for. What was begun goes on.
const WAIT: Duration = Duration::from_mins(2);
/// Lines that say what happened since.
const SINCE_MAX: usize = 20;

/// Stands behind the guard, before every handler of the API.
pub(crate) async fn rules(
    State((server, route)): State<(Arc<Server>, &'static Route)>,
    request: Request,
    next: Next,
) -> Response {
    let is_it =
        |operation: &&Operation| operation.route.verb == route.verb && operation.route.path == route.path;
    let Some(operation) = super::operations().find(is_it) else { return next.run(request).await };
    let person = request.extensions().get::<Caller>().map(|caller| caller.person.clone());
    if let Some(person) = &person
        && let Err(wait) = server.limits.api.take(person, now())
    {
        return too_many(wait);
    }
    if operation.is_stream() {
        return next.run(request).await;
    }
    let done = match route.verb {
        Verb::Get => look(operation, request, next).await,
        Verb::Post | Verb::Delete => act(&server, operation, person.unwrap_or_default(), request, next).await,
    };
    done.unwrap_or_else(axum::response::IntoResponse::into_response)
}

async fn look(operation: &Operation, request: Request, next: Next) -> Result<Response, Problem> {
    let known = request.headers().get(header::IF_NONE_MATCH).cloned();
    let response = tokio::time::timeout(WAIT, next.run(request)).await;
    let response = response.map_err(|_late| {
        Problem::new(StatusCode::SERVICE_UNAVAILABLE, "it took too long")
            .hint("nothing was changed; ask again")
    })?;
    let tag = response.headers().get(header::ETAG).cloned();
    match (tag, known) {
        (Some(tag), Some(known)) if operation.tagged && is_same(&tag, &known) => {
            Ok((StatusCode::NOT_MODIFIED, [(header::ETAG, tag)]).into_response())
        }
        _ => Ok(response),
    }
}

fn is_same(tag: &HeaderValue, known: &HeaderValue) -> bool {
    let known = known.as_bytes();
    known.strip_prefix(b"W/").unwrap_or(known) == tag.as_bytes()
}

async fn act(
    server: &Arc<Server>,
    operation: &'static Operation,
    person: String,
    request: Request,
    next: Next,
) -> Result<Response, Problem> {
    let (parts, body) = request.into_parts();
    let key = once::key(&parts.headers)?.filter(|_| operation.kept);
    let body = guard::whole(server, body, operation.body_max).await?;
    // A body may take a minute: whoever was signed out meanwhile must not act with what they were before.
    guard::still(server, &operation.route, parts.extensions.get::<Caller>()).await?;
    let own = Arc::clone(server);
    let work = async move {
        match key {
            Some(key) => Box::pin(once(&own, operation, (&person, &key), parts, body, next)).await,
            None => carry_out(&own.app(), operation, parts, body, next).await,
        }
    };
    // On its own: whoever asked may go away, and what was begun is finished and its answer kept.
    let work = tokio::time::timeout(WAIT, tokio::spawn(work)).await;
    let late = || {
        Problem::new(StatusCode::SERVICE_UNAVAILABLE, "it takes longer than this server lets one wait; it goes on")
            .hint("send the same request with the same `Idempotency-Key` for its answer, or look at what it is about")
    };
    let Ok(done) = work.map_err(|_late| late())? else {
        // Nobody will write its answer down any more: whoever asks again is told so.
        server.clerk.leave().await;
        return Err(Problem::new(
            StatusCode::INTERNAL_SERVER_ERROR,
            "it broke off; whether it was done is not known",
        )
        .hint("look at what it is about before you ask again"));
    };
    done
}

pub(super) async fn carry_out(
    app: &App,
    operation: &Operation,
    parts: Parts,
    body: Bytes,
    next: Next,
) -> Result<Response, Problem> {
    let about = parts.uri.path().split('/').nth(4).and_then(|id| id.parse().ok());
    let expected = seen(&parts.headers)?;
    let response = next.run(Request::from_parts(parts, Body::from(body))).await;
    match (response.status(), about, expected) {
        (StatusCode::PRECONDITION_FAILED, Some(id), Some(expected)) if operation.is_about_an_incident() => {
            since(app, id, expected, response).await
        }
        _ => Ok(response),
    }
}

/// What was written since the state that somebody saw, beside the refusal.
async fn since(app: &App, id: IncidentId, expected: u64, refused: Response) -> Result<Response, Problem> {
    let Some(mut problem) = refused.extensions().get::<Problem>().cloned() else { return Ok(refused) };
    let (incident, entries) = app.incident_with_entries(id).await?;
    let first = entries.iter().find(|entry| entry.pos >= expected).map(|entry| entry.seq);
    let rows = report::timeline(&entries);
    let new: Vec<_> = rows.iter().filter(|row| first.is_some_and(|first| row.seq >= first)).collect();
    let told = new.iter().rev().take(SINCE_MAX).rev();
    problem.hints.extend(told.map(|row| format!("since then: {} {} {}", row.at, row.actor, row.what)));
    let mut response = problem.into_response();
    if let Ok(tag) = HeaderValue::from_str(&format!("\"{}\"", incident.next_pos)) {
        response.headers_mut().insert(header::ETAG, tag);
    }
    Ok(response)
}
