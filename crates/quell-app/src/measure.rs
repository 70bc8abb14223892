//! How quickly leaks were answered, contained and proven: numbers over many incidents, from their events and nothing else.

use quell_core::IncidentId;
use quell_core::Timestamp;
use quell_core::incident::Incident;
use quell_core::plan::StepAction;
use serde::{Deserialize, Serialize};

use crate::report::contained_at;
use crate::{App, AppError, projection};

/// Moments of one incident, as milliseconds from its declaration.
#[derive(Clone, Debug, Deserialize, Eq, PartialEq, Serialize)]
pub struct Times {
    /// Which.
    pub incident: IncidentId,
    /// When it was declared.
    pub declared: Timestamp,
    /// A drill.
    pub drill: bool,
    /// Until somebody first responded.
    pub response_ms: Option<i64>,
    /// Until the last of its secrets was cut off at the issuer, by the word of the issuer.
    pub contain_ms: Option<i64>,
    /// Until the last of its secrets was proven inert.
    pub proof_ms: Option<i64>,
}

/// The middle and the slow end of many times.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub struct Spread {
    /// How many incidents have such a time.
    pub count: usize,
    /// Half of them took no longer.
    pub median_ms: Option<i64>,
    /// Nine of ten took no longer.
    pub p90_ms: Option<i64>,
    /// The slowest.
    pub most_ms: Option<i64>,
}

/// A deadline of an open incident.
#[derive(Clone, Debug)]
pub struct OpenClock {
    /// Of which incident.
    pub incident: IncidentId,
    /// Which.
    pub name: String,
    /// Until when.
    pub due: Timestamp,
    /// It has passed.
    pub missed: bool,
}

/// How everything stands now, for monitoring: numbers of open incidents, no drills.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub struct Standing {
    /// Open incidents.
    pub open: u64,
    /// Those of them with a secret that is not proven inert.
    pub not_contained: u64,
    /// Deadlines that run.
    pub running: u64,
    /// Deadlines that have passed and were not met.
    pub missed: u64,
    /// Steps that failed and wait for somebody.
    pub failed: u64,
}

/// How everything stands at a moment.
pub async fn standing(app: &App, now: Timestamp) -> Result<Standing, AppError> {
    let all = projection::all(app).await?;
    let mut standing = Standing::default();
    for known in all.iter().filter(|known| known.open && !known.drill) {
        let missed = known.clocks.iter().filter(|(_, due)| *due < now).count() as u64;
        standing.open += 1;
        standing.not_contained += u64::from(!known.is_contained());
        standing.missed += missed;
        standing.running += known.clocks.len() as u64 - missed;
        standing.failed += known.failed as u64;
    }
    Ok(standing)
}

/// Numbers over all incidents.
#[derive(Clone, Debug, Default)]
pub struct Measured {
    /// Each incident, oldest first.
    pub times: Vec<Times>,
    /// Until somebody first responded; incidents, no drills.
    pub response: Spread,
    /// Until it was cut off.
    pub contain: Spread,
    /// Until it was proven.
    pub proof: Spread,
    /// Deadlines that run or were missed, those first that are due first.
    pub open_clocks: Vec<OpenClock>,
    /// Incidents that are open.
    pub open: usize,
    /// Open incidents with a secret that is not proven inert.
    pub not_contained: usize,
}

/// Counts over all incidents.
pub async fn all(app: &App, now: Timestamp) -> Result<Measured, AppError> {
    let mut out = Measured::default();
    for known in projection::all(app).await? {
        if known.open && !known.drill {
            out.open += 1;
            out.not_contained += usize::from(!known.is_contained());
            out.open_clocks.extend(known.clocks.iter().map(|(name, due)| OpenClock {
                incident: known.id,
                name: name.clone(),
                due: *due,
                missed: now > *due,
            }));
        }
        out.times.push(known.times.clone());
    }
    out.open_clocks.sort_by_key(|clock| clock.due);
    let real = || out.times.iter().filter(|times| !times.drill);
    let (response, contain, proof) = (
        spread(real().filter_map(|times| times.response_ms)),
        spread(real().filter_map(|times| times.contain_ms)),
        spread(real().filter_map(|times| times.proof_ms)),
    );
    (out.response, out.contain, out.proof) = (response, contain, proof);
    Ok(out)
}

impl Times {
    /// Of an incident as it stands.
    pub fn of(incident: &Incident) -> Self {
        let since = |at: Timestamp| {
            i64::try_from(at.duration_since(incident.declared).as_millis()).unwrap_or(i64::MAX).max(0)
        };
        let response =
            incident.clocks.iter().filter(|c| c.name == "first-response").filter_map(|c| c.met).min();
        Self {
            incident: incident.id,
            declared: incident.declared,
            drill: incident.drill,
            response_ms: response.map(since),
            contain_ms: cut_off(incident).map(since),
            proof_ms: contained_at(incident).map(since),
        }
    }
}

/// When the last secret was disabled at its issuer; none while one is not.
fn cut_off(incident: &Incident) -> Option<Timestamp> {
    let steps = &incident.machine.as_ref()?.plan().steps;
    let wanted = steps.iter().filter(|step| matches!(step.action, StepAction::Disable));
    let done: Option<Vec<Timestamp>> = wanted.map(|step| incident.applied.get(&step.id).copied()).collect();
    done?.into_iter().max()
}

/// By the nearest rank, so that each number is one that was measured.
fn spread(values: impl Iterator<Item = i64>) -> Spread {
    let mut all: Vec<i64> = values.collect();
    all.sort_unstable();
    let rank = |percent: usize| all.get((all.len() * percent).div_ceil(100).saturating_sub(1)).copied();
    Spread { count: all.len(), median_ms: rank(50), p90_ms: rank(90), most_ms: all.last().copied() }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_number_is_one_that_was_measured() {
        assert_eq!(spread(std::iter::empty()), Spread::default());
        let one = spread([7].into_iter());
        assert_eq!((one.median_ms, one.p90_ms, one.most_ms), (Some(7), Some(7), Some(7)));
        let ten = spread((1..=10).rev());
        assert_eq!((ten.count, ten.median_ms, ten.p90_ms, ten.most_ms), (10, Some(5), Some(9), Some(10)));
    }
}
