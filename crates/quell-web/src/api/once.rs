//! A request that is sent again does nothing twice: its answer is kept under its `Idempotency-Key`. Of one that was cut off, by the end of a server or because
//! the database went away, nothing more comes, and whoever sends it again is told so.

use std::sync::Arc;

use axum::body::{Body, Bytes, to_bytes};
use axum::http::request::Parts;
use axum::http::{HeaderMap, HeaderName, HeaderValue, StatusCode, header};
use axum::middleware::Next;
use axum::response::{IntoResponse as _, Response};
use quell_app::clock::now;
use quell_app::person::hash;
use quell_app::{AppError, Asked, Lapsing};
use serde::{Deserialize, Serialize};

use super::operation::Operation;
use super::rules::carry_out;
use crate::problem::Problem;
use crate::server::Server;

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

/// The key of a request, if it has one.
pub(super) fn key(headers: &HeaderMap) -> Result<Option<String>, Problem> {
    let Some(given) = headers.get(KEY) else { return Ok(None) };
    let text = given.to_str().unwrap_or("");
    if text.is_empty() || text.len() > KEY_MAX || !text.bytes().all(|byte| byte.is_ascii_graphic()) {
        return Err(Problem::bad_request("`Idempotency-Key` is 1 to 255 visible characters of ASCII"));
    }
    Ok(Some(text.to_owned()))
}

/// A request and, once there is one, its answer. The owner of its row is whoever carries it out; nobody when it was cut off.
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

/// Does it once for this person and key, and gives the same answer to whoever sends it again.
pub(super) async fn once(
    server: &Arc<Server>,
    operation: &Operation,
    (person, key): (&str, &str),
    parts: Parts,
    body: Bytes,
    next: Next,
) -> Result<Response, Problem> {
    let (app, at) = (server.app(), now());
    let place = parts.uri.path_and_query().map_or("", |place| place.as_str());
    let named = [parts.method.as_str().as_bytes(), b" ", place.as_bytes(), b"\n", &body].concat();
    let request = app.store.keys().fingerprint.fingerprint_bytes(&named).to_string();
    let name = server.clerk.name(&app.store).await?;
    let expires = at.checked_add(KEPT).unwrap_or(jiff::Timestamp::MAX);
    let row = Lapsing {
        id: hash(format!("{person}\n{key}").as_bytes()),
        owner: name.id.clone(),
        body: text_of(&Kept { request: request.clone(), answer: None })?,
        expires_us: expires.as_microsecond(),
    };
    match app.store.lapsing_add(KIND, &row, at).await {
        Ok(true) => {}
        Ok(false) => return again(server, &row.id, &request).await,
        Err(error) => {
            // The row may be there all the same, with our name on it.
            server.clerk.leave().await;
            return Err(AppError::from(error).into());
        }
    }
    let asked = Asked { kind: KIND, id: row.id.clone(), worker: name.id.clone() };
    let done = asked.clone().while_held(carry_out(&app, operation, parts, body, next)).await;
    let (head, body) = done.unwrap_or_else(Problem::into_response).into_parts();
    let Ok(bytes) = to_bytes(body, ANSWER_MAX).await else {
        drop(app.store.take_from(&asked).await);
        return Err(Problem::new(
            StatusCode::INTERNAL_SERVER_ERROR,
            "it was done, and the answer is too long to be kept",
        )
        .hint("look at what it is about"));
    };
    let kept = if head.status.is_server_error() {
        // No answer: how far it came, nobody can tell. Whoever looks finds out.
        app.store.take_from(&asked).await
    } else {
        let text = |name| head.headers.get(name).and_then(|value| value.to_str().ok()).map(str::to_owned);
        let answer = Answer {
            status: head.status.as_u16(),
            kind: text(header::CONTENT_TYPE).unwrap_or_default(),
            tag: text(header::ETAG),
            body: String::from_utf8_lossy(&bytes).into_owned(),
        };
        let body = text_of(&Kept { request, answer: Some(answer) })?;
        app.store.lapsing_set(KIND, &Lapsing { body, ..row }).await
    };
    if kept.is_err() {
        // It is over all the same, and the row says that it is under way here.
        server.clerk.leave().await;
    }
    Ok(Response::from_parts(head, Body::from(bytes)))
}

fn text_of(kept: &Kept) -> Result<String, Problem> {
    serde_json::to_string(kept).map_err(|error| AppError::Evidence(error.to_string()).into())
}

/// The answer to a request that was sent before.
async fn again(server: &Server, id: &str, request: &str) -> Result<Response, Problem> {
    let store = &server.app().store;
    let row = store.lapsing(KIND, id, now()).await.map_err(AppError::from)?;
    let kept = row.and_then(|row| Some((serde_json::from_str::<Kept>(&row.body).ok()?, row.owner)));
    let Some((kept, owner)) = kept else {
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
    if let Some(answer) = kept.answer {
        return Ok(replayed(answer));
    }
    if owner.is_empty() {
        return Err(cut_off());
    }
    if server.clerk.is_gone(store, &owner).await? {
        // From here on it appends nothing, even if it only stood still and wakes. When it was quicker than we, its answer is there next time.
        let asked = Asked { kind: KIND, id: id.to_owned(), worker: owner };
        if store.take_from(&asked).await.map_err(AppError::from)? {
            return Err(cut_off());
        }
    }
    let mut response =
        Problem::new(StatusCode::CONFLICT, "a request with this `Idempotency-Key` is under way")
            .hint("ask again in a while with the same key")
            .into_response();
    response.headers_mut().insert(header::RETRY_AFTER, HeaderValue::from_static("1"));
    Ok(response)
}

fn cut_off() -> Problem {
    Problem::new(
        StatusCode::CONFLICT,
        "the request with this `Idempotency-Key` was cut off, by the end of a server or of its connection to the database; nothing more comes of it",
    )
    .hint("look at what it is about: some of it may have been done; what was not, ask for with another key")
}

fn replayed(answer: Answer) -> Response {
    let mut response = Response::new(Body::from(answer.body));
    *response.status_mut() = StatusCode::from_u16(answer.status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
    let mut set = |name: HeaderName, value: &str| {
        if let Ok(value) = HeaderValue::from_str(value) {
            response.headers_mut().insert(name, value);
        }
    };
    set(header::CONTENT_TYPE, &answer.kind);
    if let Some(tag) = &answer.tag {
        set(header::ETAG, tag);
    }
    set(HeaderName::from_static(REPLAYED), "true");
    response
}
