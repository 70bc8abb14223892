//! The post-mortem: what the ledger knows, what people write, and what is to be done. To write, to read and to print; the same data as `quell report`.

use askama::Template;
use axum::extract::Path;
use axum::response::{IntoResponse as _, Redirect, Response};
use quell_app::AppError;
use quell_app::clock::now;
use quell_app::incident::{self, Change};
use quell_app::report::{self, ReportContext};
use quell_core::IncidentId;
use quell_core::gate::Gate;
use quell_core::incident::{ActionItem, post_mortem};
use serde::Deserialize;

use crate::caller::Caller;
use crate::problem::Problem;
use crate::ui::words::When;
use crate::ui::{Form, Page, render, typed_again, word, word_or_none};
use crate::view;

struct SectionView {
    it: view::Section,
    word: &'static str,
    at: Option<When>,
    rows: usize,
}

#[derive(Template)]
#[template(path = "incident/post_mortem.html")]
struct PostMortemPage {
    page: Page,
    it: ReportContext,
    seen: u64,
    sections: Vec<SectionView>,
    /// Who wrote at least one section, each once.
    authors: Vec<String>,
    items: Vec<ActionItem>,
    gates: Vec<&'static str>,
    most: usize,
    refused: Option<(String, Vec<String>)>,
    typed: String,
}

pub(crate) async fn show(caller: Caller, Path(id): Path<String>) -> Result<Response, Problem> {
    page(&caller, id.parse()?, None, String::new()).await
}

async fn page(
    caller: &Caller,
    id: IncidentId,
    refused: Option<Problem>,
    typed: String,
) -> Result<Response, Problem> {
    let (incident, entries) = caller.app.incident_with_entries(id).await?;
    let checkpoint = caller.app.store.checkpoint().await.map_err(AppError::from)?;
    let checkpoint = checkpoint.map(|(_, note)| note).unwrap_or_default();
    let sections: Vec<SectionView> =
        view::PostMortem::of(&incident).sections.into_iter().map(shown).collect();
    let mut authors: Vec<String> = sections.iter().filter_map(|one| one.it.by.clone()).collect();
    authors.sort();
    authors.dedup();
    let status = refused.as_ref().map(Problem::status);
    let mut response = render(&PostMortemPage {
        page: Page::of(caller, format!("Post-mortem of {id}")).at("/incidents"),
        it: report::context(&incident, &entries, &checkpoint, now()),
        seen: incident.next_pos,
        sections,
        authors,
        items: incident.items.clone(),
        gates: Gate::ALL.into_iter().map(Gate::word).collect(),
        most: post_mortem::SECTION_MAX,
        refused: refused.map(|problem| (problem.detail, problem.hints)),
        typed: typed_again(caller, Some(id), typed).await,
    })?;
    if let Some(status) = status {
        *response.status_mut() = status;
    }
    Ok(response)
}

fn shown(it: view::Section) -> SectionView {
    SectionView {
        word: it.section.word(),
        at: it.at.map(When::from),
        rows: it.text.lines().count().clamp(4, 20),
        it,
    }
}

/// Everything that a form of this page may hold.
#[derive(Default, Deserialize)]
#[serde(default)]
pub(super) struct Fields {
    /// Position of the stream that the page showed.
    seen: String,
    section: String,
    text: String,
    /// An action item that there is.
    item: String,
    owner: String,
    due: String,
    gate: String,
}

/// Shows the page again, at the place where something changed, or with the reason why nothing did.
async fn changed(
    caller: &Caller,
    id: &str,
    fields: Fields,
    (change, place): (Result<Change, AppError>, &str),
) -> Result<Response, Problem> {
    let id: IncidentId = id.parse()?;
    let done = match change {
        Ok(change) => incident::change(&caller.having_seen(&fields.seen), id, &change).await,
        Err(error) => Err(error),
    };
    match done {
        Ok(_) => Ok(Redirect::to(&format!("/incidents/{id}/post-mortem#{place}")).into_response()),
        Err(error) => page(caller, id, Some(error.into()), fields.text).await,
    }
}

/// Writes a section.
pub(super) async fn write(
    caller: Caller,
    Path(id): Path<String>,
    Form(fields): Form<Fields>,
) -> Result<Response, Problem> {
    let section = word::<post_mortem::Section>(&fields.section);
    let place = section.as_ref().map_or("main", |section| section.word());
    let change = section.map(|section| Change::PostMortem(section, fields.text.clone()));
    changed(&caller, &id, fields, (change, place)).await
}

/// Adds an action item.
pub(super) async fn item(
    caller: Caller,
    Path(id): Path<String>,
    Form(fields): Form<Fields>,
) -> Result<Response, Problem> {
    let (title, owner, due) = (fields.text.clone(), fields.owner.clone(), fields.due.clone());
    let change = word_or_none(&fields.gate).map(|gate| Change::ActionItem(title, owner, due, gate));
    changed(&caller, &id, fields, (change, "items")).await
}

/// An action item is done.
pub(super) async fn done(
    caller: Caller,
    Path(id): Path<String>,
    Form(fields): Form<Fields>,
) -> Result<Response, Problem> {
    let change = Change::ActionItemDone(fields.item.clone(), fields.text.clone());
    changed(&caller, &id, fields, (Ok(change), "items")).await
}
