//! The form that declares an incident.

use askama::Template;
use axum::extract::Query;
use axum::response::{IntoResponse as _, Redirect, Response};
use quell_app::AppError;
use quell_app::incident::{self, Report};
use quell_core::Timestamp;
use quell_core::exposure::{Audience, Channel};
use quell_core::secret::SecretValue;
use serde::Deserialize;

use crate::caller::Caller;
use crate::problem::Problem;
use crate::ui::{Form, Page, is_known, render, typed_again, word_or_none};

/// Rows of the channel table, for a list to choose from.
pub(crate) fn channels() -> Vec<(&'static str, &'static str)> {
    Channel::ALL.into_iter().map(|channel| (channel.word(), channel.verdict().1)).collect()
}

#[derive(Template)]
#[template(path = "incident/new.html")]
struct NewPage {
    page: Page,
    secrets: Vec<String>,
    channels: Vec<(&'static str, &'static str)>,
    audiences: [Audience; 4],
    refused: Option<(String, Vec<String>)>,
    fields: Fields,
}

#[derive(Default, Deserialize)]
#[serde(default)]
pub(crate) struct Fields {
    secret: String,
    channel: String,
    audience: String,
    place: String,
    title: String,
    first_exposed: String,
    visible: String,
    /// Never shown again.
    value: String,
}

pub(crate) async fn show(caller: Caller, Query(fields): Query<Fields>) -> Result<Response, Problem> {
    page(&caller, fields, None)
}

fn page(caller: &Caller, fields: Fields, refused: Option<Problem>) -> Result<Response, Problem> {
    let status = refused.as_ref().map(Problem::status);
    let mut response = render(&NewPage {
        page: Page::of(caller, "Open an incident").at("/incidents"),
        secrets: caller.app.inventory.secrets.keys().map(ToString::to_string).collect(),
        channels: channels(),
        audiences: [Audience::Public, Audience::Internal, Audience::Few, Audience::Nobody],
        refused: refused.map(|problem| (problem.detail, problem.hints)),
        fields,
    })?;
    if let Some(status) = status {
        *response.status_mut() = status;
    }
    Ok(response)
}

pub(crate) async fn open(caller: Caller, Form(mut fields): Form<Fields>) -> Result<Response, Problem> {
    let value = std::mem::take(&mut fields.value);
    let value = (!value.is_empty()).then(|| SecretValue::from_text(value));
    match opened(&caller, &fields, value).await {
        Ok(id) => Ok(Redirect::to(&format!("/incidents/{id}")).into_response()),
        Err(error) => page(&caller, shown_again(&caller, fields).await, Some(error.into())),
    }
}

/// What may be shown again of a form that was refused.
async fn shown_again(caller: &Caller, mut fields: Fields) -> Fields {
    if !is_known(caller, &fields.secret) {
        fields.secret.clear();
    }
    if moment(fields.first_exposed.trim()).is_err() {
        fields.first_exposed.clear();
    }
    fields.place = typed_again(caller, None, fields.place).await;
    fields.title = typed_again(caller, None, fields.title).await;
    fields
}

async fn opened(
    caller: &Caller,
    fields: &Fields,
    value: Option<SecretValue>,
) -> Result<quell_core::IncidentId, AppError> {
    let first_exposed = match fields.first_exposed.trim() {
        "" => None,
        text => Some(moment(text)?),
    };
    let secret = word_or_none(&fields.secret)?;
    if secret.is_none() && value.is_none() {
        return Err(AppError::Usage(
            "say which secret leaked, or give the value: it is sealed, and used to prove that it is dead"
                .to_owned(),
        ));
    }
    let report = Report {
        secrets: secret.into_iter().collect(),
        channel: word_or_none(&fields.channel)?,
        audience: word_or_none(&fields.audience)?,
        first_exposed,
        still_visible: match fields.visible.as_str() {
            "yes" => Some(true),
            "no" => Some(false),
            _unknown => None,
        },
        place: fields.place.trim().to_owned(),
        title: Some(fields.title.trim().to_owned()).filter(|title| !title.is_empty()),
        value,
        ..Report::default()
    };
    Ok(incident::open(&caller.app, report).await?.id)
}

/// A moment in UTC, as RFC 3339 or as a browser's field gives it (`2026-11-22T03:00`).
pub(super) fn moment(text: &str) -> Result<Timestamp, AppError> {
    let whole = text.parse::<Timestamp>().or_else(|_| {
        let padded = if text.len() == 16 { format!("{text}:00Z") } else { format!("{text}Z") };
        padded.parse::<Timestamp>()
    });
    whole.map_err(|_bad| AppError::Usage("this is no moment such as 2026-11-22T03:00 (UTC)".to_owned()))
}

#[cfg(test)]
mod tests {
    use super::moment;

    #[test]
    fn moments_are_taken_as_browsers_and_programs_write_them() {
        for text in
            ["2026-11-22T03:00", "2026-11-22T03:00:00", "2026-11-22T03:00:00Z", "2026-11-22T04:00:00+01:00"]
        {
            assert_eq!(moment(text).unwrap().to_string(), "2026-11-22T03:00:00Z", "{text}");
        }
        assert!(moment("yesterday").unwrap_err().to_string().contains("no moment"));
    }
}
