//! A report of a leak from a recorded finding.

use std::path::PathBuf;

use quell_core::event::Event;

use super::{recorded_one, recover, rules};
use crate::clock::now;
use crate::incident::Report;
use crate::{App, AppError, projection};

/// Takes over what the finding knows, and the leaked value if it can still be read where it was found. False when it cannot: closing will ask
/// for a proof of that very value.
pub async fn report_from(app: &App, id: &str, report: &mut Report) -> Result<bool, AppError> {
    let found = recorded_one(app, id).await?;
    let found = found.ok_or_else(|| AppError::NotFound { what: "finding", id: id.to_owned() })?;
    let finding = &found.finding;
    let place = &finding.place;
    // What a person says of the place is looked at; the finding's own name of it is not, or it could keep anybody from opening an incident.
    crate::words::refuse_values(app, None, &[&report.place]).await?;
    if report.secrets.is_empty() {
        report.secrets.extend(found.secret.clone());
    }
    if report.place.is_empty() {
        let commit = finding.first_seen_commit.as_deref();
        let commit = commit.map(|c| format!(" @{}", c.get(..12).unwrap_or(c))).unwrap_or_default();
        report.place = format!("{}:{}{commit}", place.file, place.line);
    }
    report.first_exposed = report.first_exposed.or(place.author_time.filter(|t| *t <= now()));
    report.still_visible = report.still_visible.or(Some(finding.still_reachable));
    report.fingerprints = std::iter::once(finding.fingerprint).chain(finding.parts.iter().copied()).collect();
    report.finding = Some(finding.id.clone());
    if report.value.is_none() {
        let target = last_scan_of(app, id).await?;
        let rules = rules(&[])?;
        report.value = match target.as_deref().map(|t| recover(app, t, &rules, id)) {
            Some(Ok(value)) => value,
            Some(Err(_)) | None => None,
        };
    }
    Ok(report.value.is_some())
}

/// The place whose scan recorded the finding: the first scan entry behind it.
#[expect(clippy::wildcard_enum_match_arm, reason = "only scans are read")]
pub(crate) async fn last_scan_of(app: &App, id: &str) -> Result<Option<PathBuf>, AppError> {
    let Some(first) = projection::entries_about(app, "finding", id).await?.into_iter().next() else {
        return Ok(None);
    };
    let run = app.store.read_kind("scan.run", first.seq, 1).await?.pop();
    Ok(run.and_then(|entry| match entry.event {
        Event::ScanRun { target, .. } => Some(PathBuf::from(target)),
        _ => None,
    }))
}
