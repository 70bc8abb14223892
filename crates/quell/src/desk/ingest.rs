//! Reports of other tools.

use quell_app::AppError;
use quell_app::ingest::{self, Foreign, Format, Response};
use quell_core::secret::SecretValue;
use quell_web::view;
use serde_json::json;

use super::Desk;

/// A report that was read.
#[derive(Debug)]
pub(crate) struct Report {
    /// Its name, for people.
    pub(crate) name: String,
    /// Its length.
    pub(crate) bytes: u64,
    pub(crate) format: Format,
    pub(crate) found: Vec<Foreign>,
    /// As it is, for a server.
    pub(crate) content: Option<SecretValue>,
}

impl Desk {
    /// Takes a report over; with `response`, incidents are opened or joined.
    pub(crate) async fn ingest(
        &self,
        report: Report,
        response: Option<Response>,
    ) -> Result<view::Ingested, AppError> {
        let Report { name, bytes, format, found, content } = report;
        match self {
            Self::Here(app) => {
                let count = found.len();
                let taken = ingest::take(app, (&name, bytes), (format, found), response).await?;
                Ok(view::Ingested::of(&name, format, count, taken))
            }
            Self::There(remote) => {
                drop(found);
                // A named sink of secrets: the server, which reads the report as this machine would.
                let text = content.as_ref().and_then(SecretValue::expose_text).unwrap_or_default();
                let body = json!({
                    "report": name,
                    "content": text,
                    "format": format.word(),
                    "no_open": response.is_none(),
                    "channel": response.and_then(|it| it.channel),
                    "audience": response.and_then(|it| it.audience),
                });
                remote.post("/ingest", &body).await?.json()
            }
        }
    }
}
