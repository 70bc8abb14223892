//! The ledger, entry by entry, with proofs to take home.

use askama::Template;
use axum::extract::{Path, Query};
use axum::http::header;
use axum::response::{IntoResponse as _, Response};
use axum::routing::get;
use quell_app::AppError;
use quell_app::ledger::{self, Line, Whole};
use quell_core::person::Role;
use serde::Deserialize;

use super::words::When;
use super::{Page, render};
use crate::caller::Caller;
use crate::problem::Problem;
use crate::route::Route;

pub(crate) const ROUTES: &[Route] = &[
    Route::page("/ledger", Role::Viewer, || get(show)),
    Route::page("/ledger/checkpoint", Role::Viewer, || get(checkpoint)),
    Route::page("/ledger/{seq}", Role::Viewer, || get(entry)),
    Route::page("/ledger/{seq}/proof", Role::Viewer, || get(proof)),
];

/// Entries on one page.
const AT_ONCE: u64 = 50;

#[derive(Debug, Deserialize)]
struct Before {
    before: Option<u64>,
}

struct Row {
    line: Line,
    at: When,
    is_incident: bool,
}

fn row(line: Line) -> Row {
    let is_incident = line.stream.parse::<quell_core::IncidentId>().is_ok();
    Row { at: line.row.at.into(), is_incident, line }
}

#[derive(Template)]
#[template(path = "ledger/list.html")]
struct ListPage {
    page: Page,
    rows: Vec<Row>,
    size: u64,
    older: Option<u64>,
    newest: bool,
    origin: String,
    vkey: String,
    checkpoint: String,
}

async fn show(caller: Caller, Query(query): Query<Before>) -> Result<Response, Problem> {
    let (lines, size) = ledger::before(&caller.app, query.before, AT_ONCE).await?;
    let older = lines.last().map(|line| line.row.seq).filter(|seq| *seq > 0);
    render(&ListPage {
        page: Page::of(&caller, "Ledger").at("/ledger"),
        rows: lines.into_iter().map(row).collect(),
        size,
        older,
        newest: query.before.is_none_or(|before| before >= size),
        origin: caller.app.store.origin().to_owned(),
        vkey: caller.app.store.signing_key().verifier().to_string(),
        checkpoint: newest(&caller).await?,
    })
}

async fn newest(caller: &Caller) -> Result<String, Problem> {
    let checkpoint = caller.app.store.checkpoint().await.map_err(AppError::from)?;
    Ok(checkpoint.map(|(_, note)| note).unwrap_or_default())
}

#[derive(Template)]
#[template(path = "ledger/entry.html")]
struct EntryPage {
    page: Page,
    row: Row,
    bytes: String,
    leaf: String,
}

async fn entry(caller: Caller, Path(seq): Path<String>) -> Result<Response, Problem> {
    let seq = number(&seq)?;
    let Whole { line, bytes, leaf } = ledger::entry(&caller.app, seq).await?;
    let page = Page::of(&caller, format!("Entry {seq}")).at("/ledger");
    render(&EntryPage { page, row: row(line), bytes, leaf })
}

fn number(text: &str) -> Result<u64, Problem> {
    text.parse().map_err(|_bad| Problem::bad_request("this is no number of an entry"))
}

async fn proof(caller: Caller, Path(seq): Path<String>) -> Result<Response, Problem> {
    let seq = number(&seq)?;
    let text = ledger::proof(&caller.app, seq).await?;
    Ok(file(&format!("entry-{seq}.tlog-proof"), text))
}

async fn checkpoint(caller: Caller) -> Result<Response, Problem> {
    Ok(file("checkpoint.txt", newest(&caller).await?))
}

fn file(name: &str, text: String) -> Response {
    let head = [
        (header::CONTENT_TYPE, "text/plain; charset=utf-8".to_owned()),
        (header::CONTENT_DISPOSITION, format!("attachment; filename=\"{name}\"")),
    ];
    (head, text).into_response()
}
