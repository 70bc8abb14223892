//! The page of the sandbox consumer: `GET /healthz`, `POST /reload`.

use std::path::PathBuf;

use axum::Router;
use axum::extract::State;
use axum::http::header::AUTHORIZATION;
use axum::http::{HeaderMap, StatusCode};
use axum::response::{IntoResponse as _, Json, Response};
use axum::routing::{get, post};
use quell_core::secret::SecretValue;
use tokio::sync::{mpsc, oneshot};

use super::{Board, source};

/// Asks the worker to reload, and waits until it did.
pub(super) type Asking = mpsc::Sender<oneshot::Sender<()>>;

#[derive(Clone)]
struct Page {
    board: Board,
    asking: Asking,
    token_file: Option<PathBuf>,
}

pub(super) fn page(board: Board, asking: Asking, token_file: Option<PathBuf>) -> Router {
    Router::new().route("/healthz", get(healthz)).route("/reload", post(reload)).with_state(Page {
        board,
        asking,
        token_file,
    })
}

async fn healthz(State(page): State<Page>) -> Response {
    let health = page.board.read();
    let status = if health.status == "ok" { StatusCode::OK } else { StatusCode::SERVICE_UNAVAILABLE };
    (status, Json(health)).into_response()
}

async fn reload(State(page): State<Page>, headers: HeaderMap) -> Response {
    if let Some(file) = &page.token_file {
        let given = headers.get(AUTHORIZATION).and_then(|value| value.as_bytes().strip_prefix(b"Bearer "));
        let given = SecretValue::new(given.unwrap_or_default().to_vec());
        // A token file that cannot be read opens the door to nobody.
        let known = source::token(file).is_ok_and(|token| !token.is_empty() && token.same_as(&given));
        if !known {
            return StatusCode::UNAUTHORIZED.into_response();
        }
    }
    let (done, waiting) = oneshot::channel();
    if page.asking.send(done).await.is_err() || waiting.await.is_err() {
        return StatusCode::SERVICE_UNAVAILABLE.into_response();
    }
    healthz(State(page)).await
}
