//! Moments, durations and clocks.

use jiff::Timestamp;
use quell_core::incident::{Clock, ClockState, Incident, Status};
use quell_core::plan::Proof;
use serde::Serialize;

use super::words::{Moment, duration, text};

/// The moments of an incident and the time between them.
#[derive(Clone, Debug, Eq, PartialEq, Serialize)]
pub struct Numbers {
    /// Moment one, if it is known.
    pub first_exposed: Option<Moment>,
    /// Moment two.
    pub discovered: Moment,
    /// Moment three.
    pub declared: Moment,
    /// When somebody first responded.
    pub first_response: Option<Moment>,
    /// The last proof that was needed, when every secret is inert.
    pub contained: Option<Moment>,
    /// The end.
    pub closed: Option<Moment>,
    /// First exposed → discovered.
    pub exposed_unnoticed: Option<String>,
    /// Discovered → declared.
    pub discovery_to_declaration: String,
    /// Declared → first response.
    pub declaration_to_response: Option<String>,
    /// Declared → contained.
    pub time_to_inert: Option<String>,
    /// The same in milliseconds, to compare and to plot.
    pub time_to_inert_ms: Option<i64>,
    /// First exposed → contained: how long it was out and not proven dead.
    pub exposed_until_inert: Option<String>,
    /// Declared → now, while something is not inert. Closing does not end it.
    pub not_contained_for: Option<String>,
    /// Declared → closed.
    pub declaration_to_close: Option<String>,
}

/// Moments and durations of an incident.
pub fn numbers(incident: &Incident, now: Timestamp) -> Numbers {
    let t = incident.declared;
    let moment = |at: Timestamp| Moment::new(at, t);
    let span = |from: Timestamp, to: Timestamp| duration(to.duration_since(from));
    let discovered = incident.discovered();
    let first = incident.first_exposed();
    // Another place, of which nobody knows since when, may have been open longer.
    let guess = incident.exposures.iter().any(|e| e.first_exposed.is_none());
    let at_least = |length: String| if guess { format!("at least {length}") } else { length };
    let contained = contained_at(incident);
    let response = incident.clocks.iter().filter(|c| c.name == "first-response").filter_map(|c| c.met).min();
    Numbers {
        first_exposed: first.map(moment),
        discovered: moment(discovered),
        declared: moment(t),
        first_response: response.map(moment),
        contained: contained.map(moment),
        closed: incident.closed.map(moment),
        exposed_unnoticed: first.map(|f| at_least(span(f, discovered))),
        discovery_to_declaration: span(discovered, t),
        declaration_to_response: response.map(|r| span(t, r.max(t))),
        time_to_inert: contained.map(|c| span(t, c.max(t))),
        time_to_inert_ms: contained
            .map(|c| i64::try_from(c.max(t).duration_since(t).as_millis()).unwrap_or(i64::MAX)),
        exposed_until_inert: first.zip(contained).map(|(f, c)| at_least(span(f, c.max(f)))),
        not_contained_for: contained.is_none().then(|| span(t, now.max(t))),
        declaration_to_close: incident.closed.map(|c| span(t, c)),
    }
}

/// When the last secret was proven inert and stayed so. A proof that failed later starts the count anew.
pub(crate) fn contained_at(incident: &Incident) -> Option<Timestamp> {
    if !incident.is_contained() {
        return None;
    }
    incident.secrets.iter().filter_map(|a| inert_since(incident.proofs.get(&a.secret)?)).max()
}

/// The first proof of the unbroken row of good ones at the end.
fn inert_since(proofs: &[Proof]) -> Option<Timestamp> {
    proofs.iter().rev().take_while(|p| p.inert).last().map(|p| p.at)
}

/// A deadline.
#[derive(Clone, Debug, Eq, PartialEq, Serialize)]
pub struct ClockView {
    /// `first-response`, `next-update`, `post-mortem`.
    pub name: String,
    /// When it began.
    pub starts: Moment,
    /// When it is due.
    pub due: Moment,
    /// When it was met.
    pub met: Option<Moment>,
    /// `met`, `late`, `missed`, `running`, or `ended` with the incident.
    pub state: String,
    /// By how much.
    pub how: String,
    /// Which rule, from which moment.
    pub rule: String,
}

pub(super) fn clocks(incident: &Incident, now: Timestamp) -> Vec<ClockView> {
    incident.clocks.iter().map(|c| clock(incident, c, now)).collect()
}

fn clock(incident: &Incident, clock: &Clock, now: Timestamp) -> ClockView {
    let apart = |a: Timestamp, b: Timestamp| duration(a.duration_since(b));
    let met = clock.met.unwrap_or(now);
    let (state, how) = match clock.state(now) {
        ClockState::Met => ("met", format!("{} before it was due", apart(clock.due, met))),
        ClockState::Late => ("late", format!("{} after it was due", apart(met, clock.due))),
        ClockState::Missed | ClockState::Running if moot(incident, clock) => {
            ("ended", "the incident was closed before it was due".to_owned())
        }
        ClockState::Missed => ("missed", format!("due {} ago and not met", apart(now, clock.due))),
        ClockState::Running => ("running", format!("{} left", apart(clock.due, now))),
    };
    ClockView {
        name: text(&clock.name),
        starts: Moment::new(clock.starts, incident.declared),
        due: Moment::new(clock.due, incident.declared),
        met: clock.met.map(|at| Moment::new(at, incident.declared)),
        state: state.to_owned(),
        how,
        rule: text(&clock.rule),
    }
}

/// No further update is owed after the end. Every other clock runs on, the one of the post-mortem above all.
fn moot(incident: &Incident, clock: &Clock) -> bool {
    clock.name == "next-update"
        && incident.status == Status::Closed
        && incident.closed.is_some_and(|closed| closed <= clock.due)
}
