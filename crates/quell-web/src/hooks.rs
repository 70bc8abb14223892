//! Other systems calling: webhooks, GitLab's token revocation, buttons in Slack. Each proves itself on the raw body; no session counts here.

use std::sync::Arc;

use axum::body::Body;
use axum::extract::{Path, State};
use axum::http::{HeaderMap, StatusCode, header};
use axum::response::{IntoResponse as _, Response};
use axum::routing::{get, post};
use quell_app::clock::now;
use quell_app::desk;
use quell_app::intake::{self, Answer, Headers, MAX_BODY};

use crate::guard::whole;
use crate::problem::Problem;
use crate::route::{Kind, Route, Verb};
use crate::server::Server;

pub(crate) const ROUTES: &[Route] = &[
    // GitLab asks at the same address which types of token it may send.
    Route::open(Verb::Get, "/hooks/{name}", Kind::Hook, || get(types)),
    Route::open(Verb::Post, "/hooks/{name}", Kind::Hook, || post(take)),
    Route::open(Verb::Post, "/hooks/{name}/slack", Kind::Hook, || post(slack)),
];

/// Longest message of a pressed button, in bytes.
const SLACK_MAX: usize = 1 << 20;

/// What is not text is left out: no signature is.
fn headers(all: &HeaderMap) -> Headers {
    Headers::new(all.iter().filter_map(|(name, value)| Some((name.as_str(), value.to_str().ok()?))))
}

fn answer(answer: Answer) -> Response {
    let status = StatusCode::from_u16(answer.status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
    if answer.body.is_empty() {
        return status.into_response();
    }
    (status, [(header::CONTENT_TYPE, "application/json")], answer.body).into_response()
}

async fn take(
    State(server): State<Arc<Server>>,
    Path(name): Path<String>,
    all: HeaderMap,
    body: Body,
) -> Response {
    // Nobody sends 25 MiB to a name that is not there. Names are no secrets: the signature is what counts.
    if !intake::is_known(&server.app(), &name) {
        return answer(Answer::denied());
    }
    let body = match whole(&server, body, MAX_BODY).await {
        Ok(body) => body,
        Err(problem) => return problem.into_response(),
    };
    answer(intake::accept(&server.app(), &name, &headers(&all), &body, now()).await)
}

async fn types(State(server): State<Arc<Server>>, Path(name): Path<String>, all: HeaderMap) -> Response {
    answer(intake::revocable_types(&server.app(), &name, &headers(&all), now()).await)
}

/// A button was pressed under a message of the channel of this name. Slack shows nothing of the answer; the thread does.
async fn slack(
    State(server): State<Arc<Server>>,
    Path(name): Path<String>,
    all: HeaderMap,
    body: Body,
) -> Result<StatusCode, Problem> {
    desk::is_known(&server.app(), &name)?;
    let body = whole(&server, body, SLACK_MAX).await?;
    let header = |name: &str| all.get(name).and_then(|value| value.to_str().ok()).unwrap_or_default();
    let (timestamp, signature) = (header("x-slack-request-timestamp"), header("x-slack-signature"));
    desk::slack(&server.app(), &name, (timestamp, signature), &body, now()).await?;
    Ok(StatusCode::OK)
}
