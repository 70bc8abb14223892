//! A drill against the one before: step by step, so that it shows what became slower.

use std::sync::Arc;

use jiff::Timestamp;
use quell_core::event::{Entry, Event};
use quell_core::incident::Incident;
use quell_core::outcome::Outcome;
use quell_core::plan::StepEvent;
use quell_core::{IncidentId, StepId};

use super::{Timed, between};
use crate::projection::{self, Wanted};
use crate::{App, AppError};

/// The newest proven drill beside the one before it that had the same steps.
#[derive(Clone, Debug)]
pub struct Compared {
    /// The newest.
    pub incident: IncidentId,
    /// The one before; none when nothing like it was drilled.
    pub before: Option<IncidentId>,
    /// Every step, in the order in which they began.
    pub steps: Vec<Pair>,
}

/// One step in two drills.
#[derive(Clone, Debug)]
pub struct Pair {
    /// In the newest.
    pub now: Timed,
    /// In the one before.
    pub before: Option<Timed>,
}

/// So many drills are looked through for one with the same steps.
const LOOKED_BACK: usize = 50;

/// Compares the newest drill that was proven; none when there was none.
pub async fn compared(app: &App) -> Result<Option<Compared>, AppError> {
    let newest = drills(app).await?.into_iter().find(projection::Summary::is_contained);
    let Some(newest) = newest else { return Ok(None) };
    let (incident, entries) = app.incident_with_entries(newest.id).await?;
    let before = earlier(app, &incident).await?.map(|it| it.id);
    let earlier = match before {
        Some(id) => steps(&app.incident_with_entries(id).await?.1),
        None => Vec::new(),
    };
    let pair = |now: Timed| Pair { before: earlier.iter().find(|it| it.id == now.id).cloned(), now };
    Ok(Some(Compared {
        incident: incident.id,
        before,
        steps: steps(&entries).into_iter().map(pair).collect(),
    }))
}

/// The newest earlier drill whose plan had the same steps.
pub(super) async fn earlier(app: &App, this: &Incident) -> Result<Option<Arc<Incident>>, AppError> {
    let ids = |i: &Incident| -> Vec<StepId> {
        i.machine.as_ref().map(|m| m.plan().steps.iter().map(|s| s.id.clone()).collect()).unwrap_or_default()
    };
    for known in drills(app).await? {
        if known.id == this.id || !known.is_contained() {
            continue;
        }
        let other = app.incident_shared(known.id).await?;
        if ids(&other) == ids(this) {
            return Ok(Some(other));
        }
    }
    Ok(None)
}

/// Newest first.
async fn drills(app: &App) -> Result<Vec<projection::Summary>, AppError> {
    projection::page(app, &Wanted { drill: Some(true), ..Wanted::default() }, (LOOKED_BACK, 0)).await
}

/// Duration of each step: from its first intent to the result that ended it.
#[expect(clippy::wildcard_enum_match_arm, reason = "only starts and ends have a duration")]
pub(super) fn steps(entries: &[Entry]) -> Vec<Timed> {
    let mut out: Vec<(StepId, Timestamp, Timed)> = Vec::new();
    for entry in entries {
        match &entry.event {
            Event::Step(StepEvent::Started { step, .. }) => {
                match out.iter_mut().find(|(id, _, _)| id == step) {
                    Some((_, _, timed)) => timed.attempts += 1,
                    None => {
                        out.push((
                            step.clone(),
                            entry.at,
                            Timed { id: step.to_string(), ms: 0, attempts: 1 },
                        ));
                    }
                }
            }
            Event::Step(StepEvent::Finished { step, outcome: Outcome::Applied { .. }, .. }) => {
                if let Some((_, since, timed)) = out.iter_mut().find(|(id, _, _)| id == step) {
                    timed.ms = between(*since, entry.at);
                }
            }
            _ => {}
        }
    }
    out.into_iter().map(|(_, _, timed)| timed).collect()
}
