//! Proving again, the report, and evidence.

use axum::http::{HeaderMap, HeaderValue, header};
use axum::response::IntoResponse;
use axum::routing::{get, post};
use quell_app::clock::now;
use quell_app::{AppError, evidence, kill, proof, report};
use quell_core::IncidentId;
use quell_core::person::Role;
use serde_json::Value;

use super::ask::{At, word};
use super::operation::{Operation, of};
use super::tell::Told;
use crate::caller::Caller;
use crate::problem::Problem;
use crate::view;

/// A bundle; its name for a shell.
const TAR: &str = "application/x-tar";
const BYTES: &str = "application/octet-stream";
const MARKDOWN: &str = "text/markdown; charset=utf-8";

pub(super) static OPERATIONS: &[Operation] = &[
    Operation::post("/api/v1/incidents/{id}/verify", Role::Responder, "verify", || post(verify))
        .says("Prove again, now, that every old value is dead")
        .json(of::<view::Verified>),
    Operation::get("/api/v1/incidents/{id}/report", Role::Viewer, "report", || get(markdown))
        .says("The post-mortem, in Markdown")
        .media(MARKDOWN),
    Operation::get("/api/v1/incidents/{id}/report/context", Role::Viewer, "report_context", || get(context))
        .says("The post-mortem as data, for a template of yours")
        .json(of::<serde_json::Map<String, Value>>),
    Operation::get("/api/v1/incidents/{id}/evidence", Role::Viewer, "evidence_list", || get(list))
        .says("The evidence of an incident, by hash")
        .json(of::<view::EvidenceList>)
        .tagged(),
    Operation::get("/api/v1/incidents/{id}/evidence/{sha256}", Role::Viewer, "evidence_show", || get(show))
        .says("One piece of evidence, as it was collected")
        .media(BYTES),
    // Each time it leaves, that is recorded: nothing to keep for a repeated request.
    Operation::post("/api/v1/incidents/{id}/evidence/export", Role::Viewer, "evidence_export", || {
        post(export)
    })
    .says("One file with entries, proofs and evidence, which a stranger verifies; that it left is recorded first")
    .media(TAR)
    .not_kept(),
];

async fn verify(caller: Caller, At(id): At<String>) -> Result<Told<view::Verified>, Problem> {
    let id: IncidentId = word(&id)?;
    let app = &caller.app;
    kill::refuse_its_own(app, &app.incident(id).await?)?;
    Ok(Told::new(view::Verified::of(id, proof::verify(app, id).await?)))
}

async fn markdown(caller: Caller, At(id): At<String>) -> Result<impl IntoResponse, Problem> {
    let (incident, entries) = caller.app.incident_with_entries(word(&id)?).await?;
    let checkpoint = caller.app.store.checkpoint().await.map_err(AppError::from)?;
    let checkpoint = checkpoint.map(|(_, note)| note).unwrap_or_default();
    let text = report::render(&incident, &entries, &checkpoint, now(), None)
        .map_err(|error| AppError::Evidence(error.to_string()))?;
    Ok(([(header::CONTENT_TYPE, MARKDOWN)], text))
}

async fn context(caller: Caller, At(id): At<String>) -> Result<Told<report::ReportContext>, Problem> {
    let (incident, entries) = caller.app.incident_with_entries(word(&id)?).await?;
    let checkpoint = caller.app.store.checkpoint().await.map_err(AppError::from)?;
    let checkpoint = checkpoint.map(|(_, note)| note).unwrap_or_default();
    Ok(Told::new(report::context(&incident, &entries, &checkpoint, now())))
}

async fn list(caller: Caller, At(id): At<String>) -> Result<Told<view::EvidenceList>, Problem> {
    let (incident, entries) = caller.app.incident_with_entries(word(&id)?).await?;
    Ok(Told::about(&incident, view::EvidenceList::of(incident.id, &entries)))
}

/// Evidence is what strangers wrote: it is never shown by a browser as a page of ours.
fn attachment(kind: &'static str, name: &str) -> HeaderMap {
    let mut headers = HeaderMap::new();
    headers.insert(header::CONTENT_TYPE, HeaderValue::from_static(kind));
    if let Ok(value) = HeaderValue::from_str(&format!("attachment; filename=\"{name}\"")) {
        headers.insert(header::CONTENT_DISPOSITION, value);
    }
    headers
}

async fn show(caller: Caller, At((id, sha256)): At<(String, String)>) -> Result<impl IntoResponse, Problem> {
    let (_, entries) = caller.app.incident_with_entries(word(&id)?).await?;
    let nothing = || Problem::not_found("the incident has no such evidence");
    // By a hash alone one could ask for what belongs to another incident.
    let known = entries.iter().flat_map(|entry| &entry.evidence).find(|it| it.sha256 == sha256);
    let known = known.ok_or_else(|| nothing().hint("/api/v1/incidents/{id}/evidence lists what there is"))?;
    let body = caller.app.store.evidence(&known.sha256).await.map_err(AppError::from)?;
    Ok((attachment(BYTES, &known.sha256), body.ok_or_else(nothing)?))
}

async fn export(caller: Caller, At(id): At<String>) -> Result<impl IntoResponse, Problem> {
    let id: IncidentId = word(&id)?;
    let (bytes, entries) = evidence::bundle(&caller.app, id).await?;
    let mut headers = attachment(TAR, &format!("{id}.quell.tar"));
    headers.insert("quell-entries", HeaderValue::from(entries));
    Ok((headers, bytes))
}
