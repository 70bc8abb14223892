//! What is answered when something does not work: RFC 9457 problem details for programs, a page for people. Always with what to do next.

use axum::Json;
use axum::http::{StatusCode, header};
use axum::response::{IntoResponse, Response};
use quell_app::{AppError, StoreError};
use quell_core::plan::Refusal;
use schemars::JsonSchema;
use serde::Serialize;

/// A problem (RFC 9457). `type` is `about:blank`, so `title` is the status in words; `detail` is about this very request.
#[derive(Clone, Debug, JsonSchema, Serialize)]
pub(crate) struct Problem {
    /// HTTP status.
    pub(crate) status: u16,
    /// The status in words.
    pub(crate) title: String,
    /// What is wrong with this request.
    pub(crate) detail: String,
    /// What to do next.
    pub(crate) hints: Vec<String>,
}

impl Problem {
    pub(crate) fn new(status: StatusCode, detail: impl Into<String>) -> Self {
        Self {
            status: status.as_u16(),
            title: status.canonical_reason().unwrap_or("error").to_owned(),
            detail: detail.into(),
            hints: Vec::new(),
        }
    }

    /// The same, with what to do next.
    pub(crate) fn hint(mut self, hint: impl Into<String>) -> Self {
        self.hints.push(hint.into());
        self
    }

    pub(crate) fn not_signed_in() -> Self {
        Self::new(StatusCode::UNAUTHORIZED, "nobody is signed in")
            .hint("sign in at /sign-in, or send `Authorization: Bearer qll_…`")
    }

    pub(crate) fn bad_token() -> Self {
        Self::new(StatusCode::UNAUTHORIZED, "the token is unknown, revoked, cut off or has ended")
            .hint("make one at /settings, or with `quell token make`")
    }

    pub(crate) fn bad_request(detail: impl Into<String>) -> Self {
        Self::new(StatusCode::BAD_REQUEST, detail)
    }

    pub(crate) fn not_found(detail: impl Into<String>) -> Self {
        Self::new(StatusCode::NOT_FOUND, detail)
    }

    pub(crate) fn status(&self) -> StatusCode {
        StatusCode::from_u16(self.status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR)
    }
}

impl From<quell_core::id::BadId> for Problem {
    fn from(error: quell_core::id::BadId) -> Self {
        // What was sent is not repeated: somebody may have put a value in the wrong place.
        Self::bad_request(format!("this is not {}", error.expected))
    }
}

impl From<AppError> for Problem {
    fn from(error: AppError) -> Self {
        let status = match &error {
            AppError::Usage(_) | AppError::HoldsValue(_) | AppError::Store(StoreError::Kept(_)) => {
                StatusCode::UNPROCESSABLE_ENTITY
            }
            AppError::NotFound { .. } => StatusCode::NOT_FOUND,
            AppError::Refused(_) | AppError::Step(_) | AppError::CannotPlan(_) => StatusCode::CONFLICT,
            AppError::Store(StoreError::Conflict { .. } | StoreError::CutOff) => StatusCode::CONFLICT,
            AppError::Moved { .. } => StatusCode::PRECONDITION_FAILED,
            AppError::Remote(_) | AppError::Server { .. } => StatusCode::BAD_GATEWAY,
            AppError::Store(StoreError::Database(_) | StoreError::KeysRotated) => {
                StatusCode::SERVICE_UNAVAILABLE
            }
            AppError::Inventory(_)
            | AppError::Provider(_)
            | AppError::Config { .. }
            | AppError::Store(_)
            | AppError::Entry(_)
            | AppError::Scan(_)
            | AppError::Rule(_)
            | AppError::Io { .. }
            | AppError::Evidence(_) => StatusCode::INTERNAL_SERVER_ERROR,
        };
        let detail = detail(&error);
        Self { hints: error.hints(), ..Self::new(status, detail) }
    }
}

/// What was asked for is not repeated: a value in the field of a name is a name that nobody knows.
fn detail(error: &AppError) -> String {
    if let AppError::NotFound { what, .. } = error
        && *what != "incident"
    {
        return format!("there is no such {what}");
    }
    if matches!(error, AppError::Step(Refusal::NoSuchStep(_))) {
        return "the plan has no such step".to_owned();
    }
    error.to_string()
}

impl IntoResponse for Problem {
    fn into_response(self) -> Response {
        let status = self.status();
        let mut response = (status, Json(&self)).into_response();
        let kind = header::HeaderValue::from_static("application/problem+json");
        response.headers_mut().insert(header::CONTENT_TYPE, kind);
        // A page is made of it on the way out, where the request was for one.
        response.extensions_mut().insert(self);
        response
    }
}
