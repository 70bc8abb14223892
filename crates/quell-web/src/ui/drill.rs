//! Drills: how long each took, and whether it gets better.

use askama::Template;
use axum::response::Response;
use axum::routing::get;
use quell_app::clock::now;
use quell_app::measure;
use quell_core::person::Role;

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
    chart: Option<String>,
}

async fn show(caller: Caller) -> Result<Response, Problem> {
    let measured = measure::all(&caller.app, now()).await?;
    let drills: Vec<&measure::Times> = measured.times.iter().filter(|times| times.drill).collect();
    let points: Vec<(String, i64)> =
        drills.iter().filter_map(|it| Some((it.incident.to_string(), it.proof_ms?))).collect();
    let label = format!("Time from declaration to proof in {} drills, oldest first", points.len());
    let mut before: Option<i64> = None;
    let mut rows = Vec::new();
    for it in drills {
        rows.push(Row {
            id: it.incident.to_string(),
            at: it.declared.into(),
            proof: milliseconds(it.proof_ms),
            contain: milliseconds(it.contain_ms),
            change: change(before, it.proof_ms),
        });
        before = it.proof_ms.or(before);
    }
    rows.reverse();
    let chart = if points.len() > 1 { chart::trend(&points, &label) } else { None };
    render(&DrillsPage { page: Page::of(&caller, "Drills").at("/drills"), rows, chart })
}

fn change(before: Option<i64>, now: Option<i64>) -> String {
    match before.zip(now) {
        None => String::new(),
        Some((before, now)) if now < before => format!("▼ {} faster", milliseconds(Some(before - now))),
        Some((before, now)) if now > before => format!("▲ {} slower", milliseconds(Some(now - before))),
        Some(_) => "as before".to_owned(),
    }
}
