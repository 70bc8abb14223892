//! "I leaked something": anybody who can sign in says so, in less than a minute, and the value stays nowhere.

use askama::Template;
use axum::extract::Query as UrlQuery;
use axum::response::{IntoResponse as _, Redirect, Response};
use axum::routing::{get, post};
use quell_app::AppError;
use quell_app::tell::{self, Told};
use quell_core::IncidentId;
use quell_core::person::Role;
use quell_core::secret::SecretValue;
use serde::Deserialize;

use super::incident::channels;
use super::{Form, Page, is_known, render, typed_again, word_or_none};
use crate::caller::Caller;
use crate::problem::Problem;
use crate::route::Route;

pub(crate) const ROUTES: &[Route] = &[
    Route::page("/report", Role::Reporter, || get(show)),
    Route::form("/report", Role::Reporter, || post(report)),
];

#[derive(Default, Deserialize)]
#[serde(default)]
struct Fields {
    what: String,
    place: String,
    channel: String,
    secret: String,
    /// Never shown again.
    value: String,
}

struct Done {
    id: String,
    fingerprint: Option<String>,
    secret: Option<String>,
}

#[derive(Template)]
#[template(path = "report.html")]
struct ReportPage {
    page: Page,
    channels: Vec<(&'static str, &'static str)>,
    fields: Fields,
    refused: Option<(String, Vec<String>)>,
    done: Option<Done>,
}

#[derive(Debug, Deserialize)]
struct Query {
    /// The incident that came of it.
    #[serde(default)]
    done: String,
}

async fn show(caller: Caller, UrlQuery(query): UrlQuery<Query>) -> Result<Response, Problem> {
    page(&caller, Fields::default(), None, own(&caller, &query.done).await)
}

/// What came of a report, for whoever made it and nobody else.
async fn own(caller: &Caller, id: &str) -> Option<Done> {
    let (incident, entries) = caller.app.incident_with_entries(id.parse().ok()?).await.ok()?;
    if entries.first()?.actor.id != caller.person {
        return None;
    }
    Some(Done {
        id: incident.id.to_string(),
        fingerprint: incident.exposures.first().and_then(|it| it.fingerprint).map(|name| name.to_string()),
        secret: incident.secrets.first().map(|it| it.secret.to_string()),
    })
}

fn page(
    caller: &Caller,
    fields: Fields,
    refused: Option<Problem>,
    done: Option<Done>,
) -> Result<Response, Problem> {
    let status = refused.as_ref().map(Problem::status);
    let mut response = render(&ReportPage {
        page: Page::of(caller, "Report a leak").at("/report"),
        channels: channels(),
        fields,
        refused: refused.map(|problem| (problem.detail, problem.hints)),
        done,
    })?;
    if let Some(status) = status {
        *response.status_mut() = status;
    }
    Ok(response)
}

async fn report(caller: Caller, Form(mut fields): Form<Fields>) -> Result<Response, Problem> {
    let value = std::mem::take(&mut fields.value);
    let value = (!value.trim().is_empty()).then(|| SecretValue::from_text(value.trim().to_owned()));
    match told(&caller, &fields, value).await {
        // Sent again by a reload, it would be a second report.
        Ok(id) => Ok(Redirect::to(&format!("/report?done={id}")).into_response()),
        Err(error) => {
            if !is_known(&caller, &fields.secret) {
                fields.secret.clear();
            }
            fields.what = typed_again(&caller, None, fields.what).await;
            fields.place = typed_again(&caller, None, fields.place).await;
            page(&caller, fields, Some(error.into()), None)
        }
    }
}

async fn told(caller: &Caller, fields: &Fields, value: Option<SecretValue>) -> Result<IncidentId, AppError> {
    let told = Told {
        what: fields.what.clone(),
        place: fields.place.clone(),
        channel: word_or_none(&fields.channel)?,
        secret: word_or_none(&fields.secret)?,
        value,
    };
    Ok(tell::tell(&caller.app, told).await?.id)
}
