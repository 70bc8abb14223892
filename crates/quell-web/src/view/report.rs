//! What came of a report, and how fast leaks end here.

use jiff::Timestamp;
use quell_app::measure::{Measured, OpenClock, Spread, Times};
use quell_core::incident::Incident;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// What came of a report.
#[derive(Clone, Debug, JsonSchema, Serialize)]
pub struct Reported {
    /// The incident that is about it now.
    pub incident: String,
    /// The name of the value, if one was given.
    pub fingerprint: Option<String>,
    /// The secret that it is, if that is known.
    pub secret: Option<String>,
}

impl Reported {
    /// Of the incident.
    pub fn of(incident: &Incident) -> Self {
        let name = incident.exposures.first().and_then(|it| it.fingerprint);
        Self {
            incident: incident.id.to_string(),
            fingerprint: name.map(|name| name.to_string()),
            secret: incident.secrets.first().map(|it| it.secret.to_string()),
        }
    }
}

impl Reported {
    /// Without what the value was found to be.
    pub(crate) fn without_match(self) -> Self {
        Self { fingerprint: None, secret: None, ..self }
    }
}

/// Times in milliseconds, over incidents that have one.
#[derive(Clone, Copy, Debug, Deserialize, JsonSchema, Serialize)]
pub struct Spreads {
    /// How many have one.
    pub count: usize,
    /// Half of them took no longer.
    pub median_ms: Option<i64>,
    /// Nine of ten took no longer.
    pub p90_ms: Option<i64>,
    /// The slowest.
    pub most_ms: Option<i64>,
}

impl From<Spread> for Spreads {
    fn from(Spread { count, median_ms, p90_ms, most_ms }: Spread) -> Self {
        Self { count, median_ms, p90_ms, most_ms }
    }
}

/// One incident's times, in milliseconds from when it was declared.
#[derive(Clone, Debug, Deserialize, JsonSchema, Serialize)]
pub struct Timed {
    /// Which.
    pub incident: String,
    /// When it was declared.
    pub declared: Timestamp,
    /// A drill.
    pub drill: bool,
    /// Until somebody first responded.
    pub response_ms: Option<i64>,
    /// Until it was cut off.
    pub contain_ms: Option<i64>,
    /// Until it was proven.
    pub proof_ms: Option<i64>,
}

/// A deadline that runs, or was missed.
#[derive(Clone, Debug, Deserialize, JsonSchema, Serialize)]
pub struct RunningClock {
    /// Of which incident.
    pub incident: String,
    /// Which.
    pub clock: String,
    /// Until when.
    pub due: Timestamp,
    /// It has passed.
    pub missed: bool,
}

/// How fast leaks end here.
#[derive(Clone, Debug, Deserialize, JsonSchema, Serialize)]
pub struct Numbers {
    /// Incidents that are open.
    pub open: usize,
    /// Open incidents with a secret that is not proven inert.
    pub not_contained: usize,
    /// Until somebody first responded; incidents, no drills.
    pub response: Spreads,
    /// Until it was cut off.
    pub contain: Spreads,
    /// Until it was proven.
    pub proof: Spreads,
    /// Those first that are due first.
    pub clocks: Vec<RunningClock>,
    /// Each incident, oldest first.
    pub incidents: Vec<Timed>,
}

impl Numbers {
    /// Of what was measured.
    pub fn of(measured: &Measured) -> Self {
        let clock = |clock: &OpenClock| RunningClock {
            incident: clock.incident.to_string(),
            clock: clock.name.clone(),
            due: clock.due,
            missed: clock.missed,
        };
        let timed = |times: &Times| Timed {
            incident: times.incident.to_string(),
            declared: times.declared,
            drill: times.drill,
            response_ms: times.response_ms,
            contain_ms: times.contain_ms,
            proof_ms: times.proof_ms,
        };
        Self {
            open: measured.open,
            not_contained: measured.not_contained,
            response: measured.response.into(),
            contain: measured.contain.into(),
            proof: measured.proof.into(),
            clocks: measured.open_clocks.iter().map(clock).collect(),
            incidents: measured.times.iter().map(timed).collect(),
        }
    }
}
