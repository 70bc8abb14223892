//! How quickly leaks are answered, cut off and proven.

use askama::Template;
use axum::extract::Query;
use axum::response::Response;
use axum::routing::get;
use quell_app::clock::now;
use quell_app::measure::{self, Spread};
use quell_core::person::Role;

use super::pages::{Asked, Pages};
use super::words::{self, When, milliseconds};
use super::{Page, render};
use crate::caller::Caller;
use crate::problem::Problem;
use crate::route::Route;

/// `/metrics` is for machines.
pub(crate) const ROUTES: &[Route] = &[Route::page("/numbers", Role::Viewer, || get(show))];

struct SpreadRow {
    name: &'static str,
    count: usize,
    median: String,
    p90: String,
    most: String,
}

struct ClockRow {
    id: String,
    name: String,
    due: When,
    iso: String,
    tone: &'static str,
    mark: &'static str,
    left: String,
}

struct Row {
    id: String,
    at: When,
    drill: bool,
    response: String,
    contain: String,
    proof: String,
}

#[derive(Template)]
#[template(path = "metrics.html")]
struct MetricsPage {
    page: Page,
    spreads: [SpreadRow; 3],
    clocks: Vec<ClockRow>,
    /// Clocks that are due later than those.
    clocks_more: usize,
    pages: Pages,
    rows: Vec<Row>,
    open: usize,
    not_contained: usize,
    all: usize,
    now: String,
}

/// Incidents in the table at once, and clocks; the numbers above are over all.
const AT_ONCE: usize = 100;

async fn show(caller: Caller, Query(asked): Query<Asked>) -> Result<Response, Problem> {
    let at = now();
    let measured = measure::all(&caller.app, at).await?;
    let clocks = measured.open_clocks.iter().take(AT_ONCE).map(|clock| {
        let (tone, mark, left) = words::due(clock.due, at);
        let (id, name) = (clock.incident.to_string(), clock.name.replace('-', " "));
        ClockRow { id, name, due: clock.due.into(), iso: clock.due.to_string(), tone, mark, left }
    });
    let pages = Pages::of(&asked.page, measured.times.len(), AT_ONCE);
    let rows = measured.times.iter().rev().skip(pages.skip).take(AT_ONCE).map(|times| Row {
        id: times.incident.to_string(),
        at: times.declared.into(),
        drill: times.drill,
        response: milliseconds(times.response_ms),
        contain: milliseconds(times.contain_ms),
        proof: milliseconds(times.proof_ms),
    });
    render(&MetricsPage {
        page: Page::of(&caller, "Metrics").at("/numbers"),
        spreads: [
            spread("first response", measured.response),
            spread("cut off at the issuer", measured.contain),
            spread("proven inert", measured.proof),
        ],
        clocks: clocks.collect(),
        clocks_more: measured.open_clocks.len().saturating_sub(AT_ONCE),
        pages,
        rows: rows.collect(),
        open: measured.open,
        not_contained: measured.not_contained,
        all: measured.times.iter().filter(|times| !times.drill).count(),
        now: at.to_string(),
    })
}

fn spread(name: &'static str, spread: Spread) -> SpreadRow {
    SpreadRow {
        name,
        count: spread.count,
        median: milliseconds(spread.median_ms),
        p90: milliseconds(spread.p90_ms),
        most: milliseconds(spread.most_ms),
    }
}
