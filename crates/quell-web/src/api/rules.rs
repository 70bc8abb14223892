//! What holds for everything that is asked: how often, how long, how much; that a repeated request does nothing twice.

use std::sync::Arc;
use std::time::Duration;

use axum::body::{Body, Bytes, to_bytes};
use axum::extract::{Request, State};
use axum::http::request::Parts;
use axum::http::{HeaderMap, HeaderValue, StatusCode, header};
use axum::middleware::Next;
use axum::response::{IntoResponse as _, Response};
use quell_app::clock::now;
use quell_app::person::hash;
use quell_app::{App, AppError, Lapsing, report};
use quell_core::IncidentId;
use serde::{Deserialize, Serialize};

use super::ask::seen;
use super::operation::Operation;
use crate::caller::Caller;
use crate::problem::Problem;
use crate::rates::too_many;
use crate::route::{Route, Verb};
use crate::server::Server;

/// Longest time in which a body must be here.
const BODY_LIMIT: Duration = Duration::from_mins(1);
/// Longest time that a request is waited for. What was begun goes on.
const WAIT: Duration = Duration::from_mins(2);
/// How long the answer to a request is kept for those who send it again.
const KEPT: jiff::SignedDuration = jiff::SignedDuration::from_hours(24);
/// Its kind among what lapses.
const KIND: &str = "answer";
const KEY: &str = "idempotency-key";
const REPLAYED: &str = "idempotency-replayed";
/// Longest key.
const KEY_MAX: usize = 255;
/// Longest answer that is kept.
const ANSWER_MAX: usize = 16 << 20;
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
    let key = key(&parts.headers)?.filter(|_| operation.kept);
    let body = read(body, operation.body_max).await?;
    // A body may take a minute: whoever was signed out meanwhile must not act with what they were before.
    crate::guard::still(server, &operation.route, parts.extensions.get::<Caller>()).await?;
    let app = server.app();
    let work = async move {
        match key {
            Some(key) => once(&app, operation, &person, &key, parts, body, next).await,
            None => carry_out(&app, operation, parts, body, next).await,
        }
    };
    // On its own: whoever asked may go away, and what was begun is finished and its answer kept.
    let work = tokio::time::timeout(WAIT, tokio::spawn(work)).await;
    let late = || {
        Problem::new(StatusCode::SERVICE_UNAVAILABLE, "it takes longer than this server lets one wait; it goes on")
            .hint("send the same request with the same `Idempotency-Key` for its answer, or look at what it is about")
    };
    let broken = |_error| {
        Problem::new(StatusCode::INTERNAL_SERVER_ERROR, "it broke off; whether it was done is not known")
            .hint("look at what it is about before you ask again")
    };
    work.map_err(|_late| late())?.map_err(broken)?
}

async fn read(body: Body, most: usize) -> Result<Bytes, Problem> {
    let read = tokio::time::timeout(BODY_LIMIT, to_bytes(body, most)).await;
    let read = read.map_err(|_late| {
        Problem::new(StatusCode::REQUEST_TIMEOUT, "the body did not come in time")
            .hint("nothing was done; send it again")
    })?;
    read.map_err(|_error| {
        Problem::new(
            StatusCode::PAYLOAD_TOO_LARGE,
            format!("the body is longer than {most} bytes, or was cut off"),
        )
    })
}

fn key(headers: &HeaderMap) -> Result<Option<String>, Problem> {
    let Some(given) = headers.get(KEY) else { return Ok(None) };
    let text = given.to_str().unwrap_or("");
    if text.is_empty() || text.len() > KEY_MAX || !text.bytes().all(|byte| byte.is_ascii_graphic()) {
        return Err(Problem::bad_request("`Idempotency-Key` is 1 to 255 visible characters of ASCII"));
    }
    Ok(Some(text.to_owned()))
}

async fn carry_out(
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

/// A request and, once there is one, its answer.
#[derive(Deserialize, Serialize)]
struct Kept {
    /// Name of verb, place and body, under the installation's key: a body may hold a value, and must not be guessed from it.
    request: String,
    answer: Option<Answer>,
}

#[derive(Deserialize, Serialize)]
struct Answer {
    status: u16,
    kind: String,
    tag: Option<String>,
    body: String,
}

/// Does it once for this key, and gives the same answer to whoever sends it again.
async fn once(
    app: &App,
    operation: &Operation,
    person: &str,
    key: &str,
    parts: Parts,
    body: Bytes,
    next: Next,
) -> Result<Response, Problem> {
    let at = now();
    let place = parts.uri.path_and_query().map_or("", |place| place.as_str());
    let named = [parts.method.as_str().as_bytes(), b" ", place.as_bytes(), b"\n", &body].concat();
    let request = app.store.keys().fingerprint.fingerprint_bytes(&named).to_string();
    let expires = at.checked_add(KEPT).unwrap_or(jiff::Timestamp::MAX);
    let mut row = Lapsing {
        id: hash(format!("{person}\n{key}").as_bytes()),
        owner: person.to_owned(),
        body: text_of(&Kept { request: request.clone(), answer: None })?,
        expires_us: expires.as_microsecond(),
    };
    if !app.store.lapsing_add(KIND, &row, at).await.map_err(AppError::from)? {
        return again(app, &row.id, &request).await;
    }
    let response = match carry_out(app, operation, parts, body, next).await {
        Ok(response) => response,
        Err(problem) => problem.into_response(),
    };
    let (head, body) = response.into_parts();
    let bytes = to_bytes(body, ANSWER_MAX).await.map_err(|_long| {
        Problem::new(StatusCode::INTERNAL_SERVER_ERROR, "it was done, and the answer is too long to be kept")
            .hint("look at what it is about")
    })?;
    let text = |name| head.headers.get(name).and_then(|value| value.to_str().ok()).map(str::to_owned);
    let answer = Answer {
        status: head.status.as_u16(),
        kind: text(header::CONTENT_TYPE).unwrap_or_default(),
        tag: text(header::ETAG),
        body: String::from_utf8_lossy(&bytes).into_owned(),
    };
    row.body = text_of(&Kept { request, answer: Some(answer) })?;
    // It is done all the same; whoever sends it again is told that its answer is not known.
    drop(app.store.lapsing_set(KIND, &row).await);
    Ok(Response::from_parts(head, Body::from(bytes)))
}

fn text_of(kept: &Kept) -> Result<String, Problem> {
    serde_json::to_string(kept).map_err(|error| AppError::Evidence(error.to_string()).into())
}

/// The answer to a request that was sent before.
async fn again(app: &App, id: &str, request: &str) -> Result<Response, Problem> {
    let row = app.store.lapsing(KIND, id, now()).await.map_err(AppError::from)?;
    let kept: Option<Kept> = row.and_then(|row| serde_json::from_str(&row.body).ok());
    let Some(kept) = kept else {
        return Err(Problem::new(StatusCode::CONFLICT, "this `Idempotency-Key` has just ended")
            .hint("take another one"));
    };
    if kept.request != request {
        return Err(Problem::new(
            StatusCode::UNPROCESSABLE_ENTITY,
            "this `Idempotency-Key` was used for another request",
        )
        .hint("take a new key for each thing that you want done"));
    }
    let Some(answer) = kept.answer else {
        let mut response = Problem::new(
            StatusCode::CONFLICT,
            "a request with this `Idempotency-Key` is under way, or was cut off by the end of a server",
        )
        .hint("look at what it is about; ask again in a while with the same key, and with another one only if it was not done")
        .into_response();
        response.headers_mut().insert(header::RETRY_AFTER, HeaderValue::from_static("1"));
        return Ok(response);
    };
    let mut response = Response::new(Body::from(answer.body));
    *response.status_mut() = StatusCode::from_u16(answer.status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
    let mut set = |name: header::HeaderName, value: &str| {
        if let Ok(value) = HeaderValue::from_str(value) {
            response.headers_mut().insert(name, value);
        }
    };
    set(header::CONTENT_TYPE, &answer.kind);
    if let Some(tag) = &answer.tag {
        set(header::ETAG, tag);
    }
    set(header::HeaderName::from_static(REPLAYED), "true");
    Ok(response)
}
