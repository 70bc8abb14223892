//! The page on which people write to others: drafts, what went out, and by which channel.

use askama::Template;
use axum::extract::Path;
use axum::response::{IntoResponse as _, Redirect, Response};
use jiff::Timestamp;
use quell_app::clock::now;
use quell_app::{AppError, notice};
use quell_core::IncidentId;
use quell_core::incident::notice::NoticeState;

use super::view::{self, ClockView};
use crate::caller::Caller;
use crate::problem::Problem;
use crate::ui::words::{Badge, When};
use crate::ui::{Form, Page, render, typed_again};
use crate::view as told;

struct NoticeView {
    it: told::Notice,
    badge: Badge,
    at: When,
    sent: Option<When>,
    kind: String,
    open: bool,
    /// Some channel gave up.
    failed: bool,
}

#[derive(Template)]
#[template(path = "incident/notices.html")]
struct NoticesPage {
    page: Page,
    id: String,
    title: String,
    seen: u64,
    notices: Vec<NoticeView>,
    kinds: Vec<notice::Kind>,
    channels: Vec<(String, bool)>,
    update: Option<ClockView>,
    now: Timestamp,
    refused: Option<(String, Vec<String>)>,
    typed: String,
}

pub(super) async fn show(caller: Caller, Path(id): Path<String>) -> Result<Response, Problem> {
    page(&caller, id.parse()?, None, String::new()).await
}

async fn page(
    caller: &Caller,
    id: IncidentId,
    refused: Option<Problem>,
    typed: String,
) -> Result<Response, Problem> {
    let incident = caller.app.incident(id).await?;
    let kinds = notice::kinds(&caller.app)?;
    let name =
        |kind: &str| kinds.iter().find(|it| it.kind == kind).map_or(kind, |it| it.name.as_str()).to_owned();
    let all = incident.notices.iter().rev().map(|it| {
        let shown = told::Notice::of(&incident, it);
        NoticeView {
            badge: badge(it.state()),
            at: it.at.into(),
            sent: it.sent.as_ref().map(|sent| sent.at.into()),
            kind: name(&it.kind),
            open: it.state() == NoticeState::Draft,
            failed: it.sent.as_ref().is_some_and(|sent| sent.failed().next().is_some()),
            it: shown,
        }
    });
    let at = now();
    let (clocks, _) = view::clocks(&incident, at);
    let status = refused.as_ref().map(Problem::status);
    let mut response = render(&NoticesPage {
        page: Page::of(caller, format!("Notices of {id}")).at("/incidents"),
        id: id.to_string(),
        title: incident.title.clone(),
        seen: incident.next_pos,
        notices: all.collect(),
        channels: notice::channels(&caller.app, incident.severity()).into_iter().collect(),
        now: at,
        update: clocks.into_iter().find(|clock| clock.runs && clock.name == "next update"),
        refused: refused.map(|problem| (problem.detail, problem.hints)),
        typed: typed_again(caller, Some(id), typed).await,
        kinds,
    })?;
    if let Some(status) = status {
        *response.status_mut() = status;
    }
    Ok(response)
}

fn badge(state: NoticeState) -> Badge {
    let (tone, mark) = match state {
        NoticeState::Draft => ("", "✎"),
        NoticeState::Dropped => ("", "–"),
        NoticeState::Sending => ("info", "▶"),
        NoticeState::Sent => ("good", "✓"),
        NoticeState::InPart => ("warn", "▲"),
        NoticeState::Failed => ("bad", "✕"),
    };
    Badge::new(tone, mark, state.word())
}

/// Everything that a form of this page may hold.
#[derive(Default)]
struct Fields {
    seen: String,
    kind: String,
    title: String,
    body: String,
    reason: String,
    sha256: String,
    /// Channels that are ticked: each box is a field of its own, `to-NAME`.
    channels: Vec<String>,
}

impl Fields {
    fn of(pairs: Vec<(String, String)>) -> Self {
        let mut fields = Self::default();
        for (name, value) in pairs {
            match name.as_str() {
                "seen" => fields.seen = value,
                "kind" => fields.kind = value,
                "title" => fields.title = value,
                "body" => fields.body = value,
                "reason" => fields.reason = value,
                "sha256" => fields.sha256 = value,
                other => fields.channels.extend(other.strip_prefix("to-").map(str::to_owned)),
            }
        }
        fields
    }
}

/// Drafts one.
pub(super) async fn draft(
    caller: Caller,
    Path(id): Path<String>,
    Form(pairs): Form<Vec<(String, String)>>,
) -> Result<Response, Problem> {
    let (id, fields): (IncidentId, _) = (id.parse()?, Fields::of(pairs));
    match notice::draft(&caller.having_seen(&fields.seen), id, &fields.kind).await {
        Ok((_, notice)) => Ok(Redirect::to(&format!("/incidents/{id}/notices#{notice}")).into_response()),
        Err(error) => page(&caller, id, Some(error.into()), String::new()).await,
    }
}

/// Changes, drops, sends it, or lets it be sent again.
pub(super) async fn act(
    caller: Caller,
    Path((id, notice, what)): Path<(String, String, String)>,
    Form(pairs): Form<Vec<(String, String)>>,
) -> Result<Response, Problem> {
    let (id, fields): (IncidentId, _) = (id.parse()?, Fields::of(pairs));
    let app = caller.having_seen(&fields.seen);
    let done = match what.as_str() {
        "edit" => notice::edit(&app, id, &notice, (&fields.title, &fields.body), None).await,
        "drop" => notice::drop_draft(&app, id, &notice, &fields.reason).await,
        "send" if fields.channels.is_empty() => {
            Err(AppError::Usage("no channel was ticked; say who is to be told".to_owned()))
        }
        "send" => {
            let read = Some(fields.sha256.as_str()).filter(|read| !read.is_empty());
            notice::send(&app, id, &notice, &fields.channels, read).await
        }
        "retry" => notice::retry(&app, id, &notice).await,
        _other => return Err(Problem::not_found("a notice is edited, sent, sent again or dropped")),
    };
    match done {
        Ok(_) => Ok(Redirect::to(&format!("/incidents/{id}/notices#{notice}")).into_response()),
        Err(error) => {
            let typed = [fields.title, fields.body, fields.reason].join("\n");
            page(&caller, id, Some(error.into()), typed.trim().to_owned()).await
        }
    }
}
