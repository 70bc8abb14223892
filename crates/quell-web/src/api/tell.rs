//! What is answered.

use axum::Json;
use axum::http::{HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use quell_app::clock::now;
use quell_core::incident::Incident;
use serde::Serialize;

use crate::view;

/// JSON, and which state of an incident it is about.
#[derive(Debug)]
pub(crate) struct Told<T> {
    status: StatusCode,
    /// Next position of the incident's stream.
    tag: Option<u64>,
    body: T,
}

impl<T> Told<T> {
    pub(crate) fn new(body: T) -> Self {
        Self { status: StatusCode::OK, tag: None, body }
    }

    /// About this state of an incident.
    pub(crate) fn about(incident: &Incident, body: T) -> Self {
        Self { tag: Some(incident.next_pos), ..Self::new(body) }
    }

    pub(crate) fn created(mut self) -> Self {
        self.status = StatusCode::CREATED;
        self
    }
}

impl Told<view::Incident> {
    /// An incident as it stands.
    pub(crate) fn incident(incident: &Incident) -> Self {
        Self::about(incident, view::Incident::of(incident, now()))
    }
}

impl<T: Serialize> IntoResponse for Told<T> {
    fn into_response(self) -> Response {
        let mut response = (self.status, Json(self.body)).into_response();
        if let Some(tag) = self.tag {
            // Digits in quotation marks are always a header's value.
            if let Ok(value) = HeaderValue::from_str(&format!("\"{tag}\"")) {
                response.headers_mut().insert(header::ETAG, value);
            }
        }
        response
    }
}
