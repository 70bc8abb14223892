//! The post-mortem as a page to read and to print: the same data as `quell report`.

use askama::Template;
use axum::extract::Path;
use axum::response::Response;
use quell_app::clock::now;
use quell_app::report::{self, ReportContext};
use quell_core::IncidentId;

use crate::caller::Caller;
use crate::problem::Problem;
use crate::ui::{Page, render};

#[derive(Template)]
#[template(path = "incident/post_mortem.html")]
struct PostMortemPage {
    page: Page,
    it: ReportContext,
}

pub(crate) async fn show(caller: Caller, Path(id): Path<String>) -> Result<Response, Problem> {
    let id: IncidentId = id.parse()?;
    let (incident, entries) = caller.app.incident_with_entries(id).await?;
    let checkpoint = caller.app.store.checkpoint().await.map_err(quell_app::AppError::from)?;
    let checkpoint = checkpoint.map(|(_, note)| note).unwrap_or_default();
    let it = report::context(&incident, &entries, &checkpoint, now());
    render(&PostMortemPage { page: Page::of(&caller, format!("Post-mortem of {id}")).at("/incidents"), it })
}
