//! What a person says of a finding, and what follows from it: the verdict, the severity, and what has to be removed.

use jiff::{Timestamp, ToSpan as _};
use quell_core::IncidentId;
use quell_core::event::{Decision, Event, Triage};
use quell_core::incident::Incident;
use quell_hunt::detect::Anomaly;
use quell_hunt::record::Made;
use quell_hunt::report::saved::{Opinion, Saved};
use quell_hunt::report::{Report, clean, removal};

use super::{EVIDENCE, saved};
use crate::incident::{Change, events_of};
use crate::{App, AppError};

/// Days until what a stranger made must be gone.
const DUE_DAYS: i32 = 1;

/// An incident's newest hunt, judged by all that people said until now.
///
/// # Errors
/// When there was no hunt, or it cannot be read.
pub async fn newest(app: &App, id: IncidentId) -> Result<(Saved, Opinion), AppError> {
    let (incident, entries) = app.incident_with_entries(id).await?;
    let mut hunt = saved(app, &entries).await?.ok_or_else(|| none(id))?;
    hunt.asked.knowledge.triaged.clone_from(&incident.triaged);
    let opinion = hunt.opinion();
    Ok((hunt, opinion))
}

/// Says what an anomaly is. The newest hunt is judged again by that: its report and, if it is another one, the verdict are
/// written down together with what was said. What a confirmed one made becomes work to do, with the steps that remove it.
///
/// # Errors
/// When nobody is named, the incident has no such anomaly, or the ledger cannot be written.
pub async fn triage(
    app: &App,
    id: IncidentId,
    anomaly: &str,
    decision: Decision,
    reason: &str,
) -> Result<Incident, AppError> {
    app.named_actor()?;
    if reason.trim().is_empty() {
        return Err(AppError::Usage("why it is so must not be empty".to_owned()));
    }
    crate::words::refuse_values(app, Some(id), &[reason]).await?;
    let (mut hunt, opinion) = newest(app, id).await?;
    let found = opinion.detection.anomalies.iter().find(|it| it.id == anomaly);
    let found = found.ok_or_else(|| unknown(id, anomaly))?;
    let said = Triage {
        anomaly: found.id.clone(),
        content: found.content.clone(),
        decision,
        reason: reason.to_owned(),
    };
    hunt.asked.knowledge.triaged.retain(|(known, _)| known.anomaly != said.anomaly);
    hunt.asked.knowledge.triaged.push((said.clone(), app.actor.id.clone()));
    let opinion = hunt.opinion();
    let report = hunt.report(&opinion);
    let body = serde_json::to_vec(&report).map_err(|error| AppError::Evidence(error.to_string()))?;
    let title = clean(&found.title);
    let (incident, ()) = app
        .decide_with(id, &[(EVIDENCE.to_owned(), body)], |incident, at| {
            let mut events = vec![Event::AnomalyTriaged { triage: said.clone(), title: title.clone() }];
            let verdict = (report.verdict, report.because.to_owned());
            if incident.verdict.as_ref() != Some(&verdict) {
                events.extend(events_of(incident, &Change::Verdict(verdict.0, verdict.1), at)?);
            }
            if decision == Decision::Confirmed {
                events.extend(work(incident, &report, found, &app.actor.id, at));
            }
            Ok((events, ()))
        })
        .await?;
    Ok(incident)
}

/// What a confirmed anomaly brought into being, as items that are not there yet.
fn work(
    incident: &Incident,
    report: &Report<'_>,
    anomaly: &Anomaly,
    owner: &str,
    at: Timestamp,
) -> Vec<Event> {
    let records = anomaly.records.iter().filter_map(|place| report.hunt.accesses.get(*place));
    let mut made: Vec<&Made> = records.flat_map(|access| &access.made).collect();
    made.sort_unstable();
    made.dedup();
    let due = at.to_zoned(jiff::tz::TimeZone::UTC).date().saturating_add(DUE_DAYS.days()).to_string();
    let titles = made.iter().map(|made| {
        format!(
            "remove the {} {} that a stranger made: {}",
            made.kind.word(),
            clean(&made.id),
            removal(made.kind)
        )
    });
    let missing = titles.filter(|title| incident.items.iter().all(|item| item.title != *title));
    let first = incident.items.len() + 1;
    let item = |(count, title): (usize, String)| Event::ActionItemAdded {
        item: format!("A{}", first + count),
        title,
        owner: owner.to_owned(),
        due: due.clone(),
        gate: None,
    };
    missing.enumerate().map(item).collect()
}

fn none(id: IncidentId) -> AppError {
    AppError::Usage(format!("no hunt is written down for {id} yet: quell hunt {id} --logs PATH --record"))
}

fn unknown(id: IncidentId, anomaly: &str) -> AppError {
    AppError::Usage(format!(
        "the newest hunt of {id} has no finding `{anomaly}`: `quell hunt triage {id}` lists them"
    ))
}
