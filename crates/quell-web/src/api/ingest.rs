//! Reports of other tools, read here as `quell ingest` reads them.

use axum::routing::post;
use quell_app::ingest::{self, Format, Response};
use quell_app::words;
use quell_core::person::Role;
use quell_core::secret::SecretValue;
use schemars::JsonSchema;
use serde::Deserialize;

use super::ask::{Asked, word};
use super::operation::{Operation, of};
use super::tell::Told;
use crate::caller::Caller;
use crate::problem::Problem;
use crate::view::{self, shape};

/// Longest report, with all that is around it.
const REPORT_MAX: usize = 32 << 20;
/// Its name where it is spoken of: what somebody calls it may be anything.
const REPORT: &str = "the report";

pub(super) static OPERATIONS: &[Operation] =
    &[Operation::post("/api/v1/ingest", Role::Responder, "ingest", || post(take))
        .says("Take over the findings of another tool; open or join incidents. No value is kept but one that opens an incident, sealed for the proof")
        .body(of::<Sent>)
        .up_to(REPORT_MAX)
        .json(of::<view::Ingested>)];

/// A report.
#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct Sent {
    /// What it is called, for people: a file's name.
    report: String,
    /// The report itself, as the tool wrote it.
    content: String,
    /// Whose it is, when it cannot be told from its keys.
    format: Option<String>,
    /// Only record the findings; open and join nothing.
    #[serde(default)]
    no_open: bool,
    /// Where the findings were readable, when you know better than the report.
    #[schemars(with = "Option<shape::Channel>")]
    channel: Option<String>,
    /// Who could see it, when you know better than the report.
    #[schemars(with = "Option<shape::Audience>")]
    audience: Option<String>,
}

async fn take(caller: Caller, Asked(asked): Asked<Sent>) -> Result<Told<view::Ingested>, Problem> {
    // Wiped in the end: most tools write values into it.
    let content = SecretValue::from_text(asked.content);
    words::refuse_values(&caller.app, None, &[&asked.report]).await?;
    let format = match &asked.format {
        Some(name) => Some(name.parse::<Format>().map_err(|_said_again| {
            Problem::bad_request("`format` names no tool whose reports are known")
                .hint("`quell ingest --help` names them")
        })?),
        None => None,
    };
    let response = Response {
        channel: asked.channel.as_deref().map(word).transpose()?,
        audience: asked.audience.as_deref().map(word).transpose()?,
    };
    let (format, found) = ingest::read(REPORT, content.expose_text().unwrap_or_default(), format)?;
    let Some(format) = format else {
        return Err(Problem::bad_request("the report is empty").hint("there is nothing to take over"));
    };
    let bytes = u64::try_from(content.len()).unwrap_or(u64::MAX);
    drop(content);
    let count = found.len();
    let response = (!asked.no_open).then_some(response);
    let taken = ingest::take(&caller.app, (&asked.report, bytes), (format, found), response).await?;
    Ok(Told::new(view::Ingested::of(&asked.report, format, count, taken)))
}
