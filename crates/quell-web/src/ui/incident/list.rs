//! All incidents, newest first.

use askama::Template;
use axum::response::Response;
use quell_core::incident::Status;

use crate::caller::Caller;
use crate::problem::Problem;
use crate::ui::{Page, render};

struct Row {
    id: String,
    title: String,
    severity: String,
    status: &'static str,
    contained: bool,
}

#[derive(Template)]
#[template(path = "incident/list.html")]
struct ListPage {
    page: Page,
    rows: Vec<Row>,
}

pub(crate) async fn show(caller: Caller) -> Result<Response, Problem> {
    let incidents = quell_app::incident::list(&caller.app).await?;
    let row = |incident: &quell_core::incident::Incident| Row {
        id: incident.id.to_string(),
        title: incident.title.clone(),
        severity: incident.severity().to_string(),
        status: if incident.status == Status::Open { "open" } else { "closed" },
        contained: incident.is_contained(),
    };
    let rows = incidents.iter().map(row).collect();
    render(&ListPage { page: Page::of(&caller, "Incidents"), rows })
}
