//! Drills: how long each took, and whether it gets better.

use askama::Template;
use axum::extract::Query;
use axum::response::Response;
use axum::routing::get;
use quell_app::clock::now;
use quell_app::drill::{self, Compared, Pair, Timed};
use quell_app::measure::{self, Times};
use quell_core::person::Role;

use super::chart::Line;
use super::pages::{Asked, Pages};
use super::words::{When, milliseconds};
use super::{Page, chart, render};
use crate::caller::Caller;
use crate::problem::Problem;
use crate::route::Route;

pub(crate) const ROUTES: &[Route] = &[Route::page("/drills", Role::Viewer, || get(show))];

struct Row {
    id: String,
    at: When,
    proof: String,
    contain: String,
    /// Against the drill before.
    change: String,
}

#[derive(Template)]
#[template(path = "drills.html")]
struct DrillsPage {
    page: Page,
    rows: Vec<Row>,
    all: usize,
    pages: Pages,
    chart: Option<String>,
    compared: Option<Steps>,
}

/// The newest drill, step by step.
struct Steps {
    id: String,
    before: Option<String>,
    rows: Vec<StepRow>,
}

struct StepRow {
    id: String,
    took: String,
    before: String,
    change: String,
    attempts: u32,
}

impl From<Compared> for Steps {
    fn from(it: Compared) -> Self {
        let ms = |timed: &Timed| i64::try_from(timed.ms).ok();
        let row = |pair: Pair| {
            let before = pair.before.as_ref().and_then(ms);
            StepRow {
                took: milliseconds(ms(&pair.now)),
                before: milliseconds(before),
                change: change(before, ms(&pair.now)),
                attempts: pair.now.attempts,
                id: pair.now.id,
            }
        };
        Self {
            id: it.incident.to_string(),
            before: it.before.map(|id| id.to_string()),
            rows: it.steps.into_iter().map(row).collect(),
        }
    }
}

/// Drills at once, in the table and in the chart.
const AT_ONCE: usize = 100;

async fn show(caller: Caller, Query(asked): Query<Asked>) -> Result<Response, Problem> {
    let measured = measure::all(&caller.app, now()).await?;
    let mut before: Option<i64> = None;
    let against = |it: Times| {
        let change = change(before, it.proof_ms);
        before = it.proof_ms.or(before);
        (it, change)
    };
    let mut drills: Vec<(Times, String)> =
        measured.times.into_iter().filter(|times| times.drill).map(against).collect();
    drills.reverse();
    let pages = Pages::of(&asked.page, drills.len(), AT_ONCE);
    let shown: Vec<&(Times, String)> = drills.iter().skip(pages.skip).take(AT_ONCE).collect();
    let row = |(it, change): &&(Times, String)| Row {
        id: it.incident.to_string(),
        at: it.declared.into(),
        proof: milliseconds(it.proof_ms),
        contain: milliseconds(it.contain_ms),
        change: change.clone(),
    };
    render(&DrillsPage {
        page: Page::of(&caller, "Drills").at("/drills"),
        rows: shown.iter().map(row).collect(),
        all: drills.len(),
        chart: drawn(&shown),
        compared: drill::compared(&caller.app).await?.map(Into::into),
        pages,
    })
}

/// Those that are shown, oldest first.
fn drawn(shown: &[&(Times, String)]) -> Option<String> {
    let drills: Vec<&Times> =
        shown.iter().rev().map(|(it, _)| it).filter(|it| it.proof_ms.is_some()).collect();
    let names: Vec<String> = drills.iter().map(|it| it.incident.to_string()).collect();
    let lines = [
        Line { name: "to proof", times: drills.iter().map(|it| it.proof_ms).collect() },
        Line { name: "to cut off", times: drills.iter().map(|it| it.contain_ms).collect() },
    ];
    let label =
        format!("Times from declaration to proof and to cut off in {} drills, oldest first", names.len());
    chart::trend(&names, &lines, &label)
}

fn change(before: Option<i64>, now: Option<i64>) -> String {
    match before.zip(now) {
        None => "–".to_owned(),
        Some((before, now)) if now < before => format!("▼ {} faster", milliseconds(Some(before - now))),
        Some((before, now)) if now > before => format!("▲ {} slower", milliseconds(Some(now - before))),
        Some(_) => "as before".to_owned(),
    }
}
