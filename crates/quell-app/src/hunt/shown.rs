//! A hunt as people look at it: plain texts that are safe to show, and points for a plot.

use quell_core::IncidentId;
use quell_core::Timestamp;
use quell_core::event::Verdict;
use quell_hunt::report::clean;

use super::triage;
use crate::{App, AppError};

/// The newest hunt of an incident.
#[derive(Clone, Debug)]
pub struct Shown {
    /// In the closed vocabulary.
    pub verdict: Verdict,
    /// Why this one.
    pub because: String,
    /// Conditions for completeness: what, and whether it holds.
    pub conditions: Vec<(String, bool)>,
    /// Uses from places that the owner did not claim.
    pub foreign: u64,
    /// Uses from the owner's own.
    pub own: u64,
    /// Records that speak of the credential.
    pub accesses: usize,
    /// What is missing in the logs, or seems to be.
    pub gaps: usize,
    /// What is unusual: id, title, and what a person said.
    pub anomalies: Vec<Unusual>,
    /// When it was used, with whether somebody unusual did: for a plot.
    pub points: Vec<(Timestamp, bool)>,
}

/// Something unusual.
#[derive(Clone, Debug)]
pub struct Unusual {
    /// By which people speak of it.
    pub id: String,
    /// What happened.
    pub title: String,
    /// From where.
    pub addresses: String,
    /// What a person said of it.
    pub said: Option<String>,
}

/// Points that a plot shows at most; the rest is counted.
const POINTS: usize = 2000;

/// The newest hunt of an incident, if there was one.
///
/// # Errors
/// When the incident or its evidence cannot be read.
pub async fn shown(app: &App, id: IncidentId) -> Result<Option<Shown>, AppError> {
    if super::newest(app, id).await?.is_none() {
        return Ok(None);
    }
    let (saved, opinion) = triage::newest(app, id).await?;
    let report = saved.report(&opinion);
    let unusual =
        |at: usize| opinion.detection.anomalies.iter().any(|it| it.records.binary_search(&at).is_ok());
    let points = saved.hunt.accesses.iter().enumerate().filter_map(|(at, it)| Some((it.time?, unusual(at))));
    let said = &saved.asked.knowledge.triaged;
    let anomalies = opinion.detection.anomalies.iter().map(|it| Unusual {
        id: it.id.clone(),
        title: clean(&it.title),
        addresses: it.addresses.iter().map(|address| clean(address)).collect::<Vec<_>>().join(", "),
        said: said.iter().find(|(known, _)| known.anomaly == it.id).map(|(known, by)| {
            format!("{} by {}: {}", known.decision.word(), clean(by), clean(&known.reason))
        }),
    });
    Ok(Some(Shown {
        verdict: report.verdict,
        because: clean(report.because),
        conditions: report.conditions.iter().map(|it| (clean(&it.text), it.met)).collect(),
        foreign: report.foreign_uses,
        own: report.own_uses,
        accesses: saved.hunt.accesses.len(),
        gaps: saved.hunt.gaps.len(),
        anomalies: anomalies.collect(),
        points: points.take(POINTS).collect(),
    }))
}
