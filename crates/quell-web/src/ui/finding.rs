//! The inbox of findings: what each is, by the word of a person.

use askama::Template;
use axum::extract::{Path, Query};
use axum::response::{IntoResponse as _, Redirect, Response};
use axum::routing::{get, post};
use quell_app::AppError;
use quell_app::finding::{self, Found, Inbox};
use quell_core::event::FindingSays;
use quell_core::person::Role;
use serde::Deserialize;

use super::incident::channels;
use super::words::{Badge, When};
use super::{Form, Page, render, word_or_none};
use crate::caller::Caller;
use crate::problem::Problem;
use crate::route::Route;

pub(crate) const ROUTES: &[Route] = &[
    Route::page("/findings", Role::Viewer, || get(show)),
    Route::form("/findings/{id}/leak", Role::Responder, || post(leak)),
    Route::form("/findings/{id}/triage", Role::Responder, || post(triage)),
];

/// Findings on one page.
const AT_ONCE: usize = 50;

#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default)]
struct Filter {
    /// `all` shows those that are done, too.
    show: String,
    q: String,
    /// Only those before this mark: the next page.
    before: String,
}

struct Row {
    found: Found,
    at: When,
    state: Badge,
    /// Who said what, and why.
    said: String,
    open: bool,
}

#[derive(Template)]
#[template(path = "findings.html")]
struct FindingsPage {
    page: Page,
    filter: Filter,
    rows: Vec<Row>,
    open: u64,
    all: u64,
    channels: Vec<(&'static str, &'static str)>,
    refused: Option<(String, Vec<String>)>,
    /// The newest ones, for whoever looks at older ones.
    newest: Option<String>,
    older: Option<String>,
}

async fn show(caller: Caller, Query(filter): Query<Filter>) -> Result<Response, Problem> {
    page(&caller, filter, None).await
}

async fn page(caller: &Caller, filter: Filter, refused: Option<Problem>) -> Result<Response, Problem> {
    let (all, open) = finding::count(&caller.app).await?;
    let before = filter.before.trim().parse::<i64>().ok();
    let wanted = Inbox { open: filter.show != "all", text: filter.q.clone(), before };
    let inbox = finding::inbox(&caller.app, &wanted, AT_ONCE).await?;
    let place = |before: Option<i64>| {
        let query: String = url::form_urlencoded::Serializer::new(String::new())
            .extend_pairs([("show", filter.show.as_str()), ("q", filter.q.as_str())])
            .extend_pairs(before.iter().map(|mark| ("before", mark.to_string())))
            .finish();
        format!("/findings?{query}")
    };
    let (newest, older) = (before.map(|_| place(None)), inbox.next.map(|mark| place(Some(mark))));
    let status = refused.as_ref().map(Problem::status);
    let mut response = render(&FindingsPage {
        page: Page::of(caller, "Findings").at("/findings"),
        rows: inbox.found.into_iter().map(row).collect(),
        open,
        all,
        channels: channels(),
        refused: refused.map(|problem| (problem.detail, problem.hints)),
        newest,
        older,
        filter,
    })?;
    if let Some(status) = status {
        *response.status_mut() = status;
    }
    Ok(response)
}

fn row(found: Found) -> Row {
    let (state, said) = match &found.said {
        Some(said) => {
            let state = match &said.says {
                FindingSays::Leak { incident } => Badge::new("bad", "▲", format!("leak: {incident}")),
                FindingSays::NotALeak => Badge::new("good", "✓", "no leak"),
                FindingSays::Duplicate { of } => Badge::new("", "=", format!("duplicate of {of}")),
            };
            (state, format!("{}, {}: {}", said.by, When::from(said.at).words(), said.reason))
        }
        None => match found.incidents.first() {
            Some(incident) => (Badge::new("bad", "▲", format!("leak: {incident}")), String::new()),
            None => (Badge::new("warn", "?", "nobody said what it is"), String::new()),
        },
    };
    Row { at: found.at.into(), open: found.is_open(), state, said, found }
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct Fields {
    secret: String,
    channel: String,
    word: String,
    of: String,
    reason: String,
}

async fn leak(
    caller: Caller,
    Path(id): Path<String>,
    Form(fields): Form<Fields>,
) -> Result<Response, Problem> {
    let done = async {
        let (secret, channel) = (word_or_none(&fields.secret)?, word_or_none(&fields.channel)?);
        finding::leak(&caller.app, &id, secret, channel, None).await
    };
    match done.await {
        Ok(incident) => Ok(Redirect::to(&format!("/incidents/{}", incident.id)).into_response()),
        Err(error) => page(&caller, Filter::default(), Some(error.into())).await,
    }
}

async fn triage(
    caller: Caller,
    Path(id): Path<String>,
    Form(fields): Form<Fields>,
) -> Result<Response, Problem> {
    let done = async {
        let says = match fields.word.as_str() {
            "not-a-leak" => FindingSays::NotALeak,
            "duplicate" => FindingSays::Duplicate { of: fields.of.trim().to_owned() },
            _other => return Err(AppError::Usage("say not-a-leak or duplicate".to_owned())),
        };
        finding::triage(&caller.app, &id, says, &fields.reason).await
    };
    match done.await {
        Ok(()) => Ok(Redirect::to("/findings").into_response()),
        Err(error) => page(&caller, Filter::default(), Some(error.into())).await,
    }
}
