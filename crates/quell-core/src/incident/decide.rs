//! Decisions: `decide(state, command, now) -> events | refusal`. Pure.

use jiff::{SignedDuration, Timestamp};

use super::closure::unmet;
use super::state::{ActionItem, Incident, Status};
use crate::event::{Affected, Event};
use crate::exposure::Exposure;
use crate::gate::Gate;
use crate::id::SecretId;
use crate::inventory::StrategyPolicy;
use crate::plan::Hold;
use crate::severity::{Evidence, Profile, Signal, assess, limits};

/// Post-mortems are due at the earliest of the sources' limits: 48 h (S1) < 72 h (S2) < 7 days (S0).
const POST_MORTEM: SignedDuration = SignedDuration::from_hours(48);

/// Declares an incident.
#[derive(Clone, Debug)]
pub struct OpenIncident {
    /// What happened, in a line.
    pub title: String,
    /// The secrets, leaked ones first.
    pub secrets: Vec<Affected>,
    /// Where it leaked.
    pub exposures: Vec<Exposure>,
    /// True unless all secrets are known to be for tests.
    pub production: bool,
    /// Secrets opened by the leaked ones.
    pub opens_others: usize,
    /// Which ladder.
    pub profile: Profile,
    /// A drill, on a decoy.
    pub drill: bool,
}

/// Why a command was refused, with everything that is missing.
#[derive(Clone, Debug, Eq, PartialEq, thiserror::Error)]
#[error("{what}")]
pub struct RefusedBecause {
    /// What was refused.
    pub what: String,
    /// Each thing that is missing.
    pub unmet: Vec<String>,
}

impl RefusedBecause {
    fn one(what: &str, unmet: &str) -> Self {
        Self { what: what.to_owned(), unmet: vec![unmet.to_owned()] }
    }
}

/// Opens: states the facts, computes the severity, starts the clocks.
pub fn open(command: &OpenIncident, now: Timestamp) -> Result<Vec<Event>, RefusedBecause> {
    let refused = |why: &str| Err(RefusedBecause::one("the incident cannot be opened", why));
    if command.title.trim().is_empty() {
        return refused("it needs a title");
    }
    for exposure in &command.exposures {
        if exposure.discovered > now {
            return refused("it cannot have been discovered in the future; check --discovered");
        }
        if exposure.first_exposed.is_some_and(|first| first > exposure.discovered) {
            return refused(
                "it cannot have been exposed first after it was discovered; check --first-exposed",
            );
        }
    }
    let evidence = Evidence {
        exposures: command.exposures.clone(),
        production: command.production,
        signals: Vec::new(),
        opens_others: command.opens_others,
    };
    let assessment = assess(&evidence, command.profile);
    // The strictest start: first response counts from discovery, when that was before the declaration.
    let discovered = command.exposures.iter().map(|e| e.discovered).min().unwrap_or(now).min(now);
    let (response, update) = limits(assessment.severity, command.profile);
    let label = assessment.label.clone();
    Ok(vec![
        Event::Opened {
            title: command.title.clone(),
            secrets: command.secrets.clone(),
            exposures: command.exposures.clone(),
            declared: now,
            production: command.production,
            opens_others: command.opens_others,
            profile: command.profile,
            drill: command.drill,
        },
        Event::SeverityAssessed { assessment },
        clock(
            "first-response",
            discovered,
            response,
            &format!("{label}: first response, counted from discovery"),
        ),
        clock("next-update", now, update, &format!("{label}: next update, counted from the declaration")),
        clock(
            "post-mortem",
            now,
            POST_MORTEM,
            "post-mortem: 48 h, the earliest of the sources, counted from the declaration",
        ),
    ])
}

fn clock(name: &str, starts: Timestamp, limit: SignedDuration, rule: &str) -> Event {
    Event::ClockStarted {
        clock: name.to_owned(),
        starts,
        due: starts.checked_add(limit).unwrap_or(Timestamp::MAX),
        rule: rule.to_owned(),
    }
}

/// Records a signal and recomputes the severity. A signal that lowers needs a reason.
pub fn signal(
    incident: &Incident,
    signal: Signal,
    reason: &str,
    now: Timestamp,
) -> Result<Vec<Event>, RefusedBecause> {
    if signal.lowers() && reason.trim().len() < 10 {
        return Err(RefusedBecause::one(
            "the signal was not recorded",
            "it lowers the severity: say why, in a sentence (--reason)",
        ));
    }
    let mut events = vec![Event::SignalRecorded { signal, reason: reason.to_owned() }];
    let mut evidence = incident.evidence();
    evidence.signals.push(signal);
    events.extend(reassess(incident, &evidence, now));
    Ok(events)
}

/// Adds a place where the secret was seen, and recomputes the severity. Refused for a closed incident: a leak that comes
/// to light later is an incident of its own.
pub fn expose(
    incident: &Incident,
    exposure: &Exposure,
    now: Timestamp,
) -> Result<Vec<Event>, RefusedBecause> {
    let refused = |why: &str| Err(RefusedBecause::one("the exposure was not added", why));
    if incident.status == Status::Closed {
        return refused("the incident is closed; open a new one");
    }
    if exposure.discovered > now {
        return refused("it cannot have been discovered in the future");
    }
    if exposure.first_exposed.is_some_and(|first| first > exposure.discovered) {
        return refused("it cannot have been exposed first after it was discovered");
    }
    let mut evidence = incident.evidence();
    evidence.exposures.push(exposure.clone());
    let mut events = vec![Event::ExposureAdded { exposure: exposure.clone() }];
    events.extend(reassess(incident, &evidence, now));
    Ok(events)
}

/// Adds secrets that the incident turns out to be about, and recomputes the severity. `opens_others` counts those among
/// them that are only reached from a leaked one. The plan in motion does not cover them: a new one must be made.
pub fn widen(
    incident: &Incident,
    secrets: &[Affected],
    production: bool,
    opens_others: usize,
    reason: &str,
    now: Timestamp,
) -> Result<Vec<Event>, RefusedBecause> {
    let refused = |why: &str| Err(RefusedBecause::one("nothing was added", why));
    if incident.status == Status::Closed {
        return refused("the incident is closed; open a new one");
    }
    if reason.trim().is_empty() {
        return refused("say why they belong to it (--reason)");
    }
    if secrets.iter().all(|a| incident.secrets.iter().any(|k| k.secret == a.secret)) {
        return refused("the incident is about all of them already");
    }
    let mut evidence = incident.evidence();
    evidence.production |= production;
    evidence.opens_others += opens_others;
    let mut events = vec![Event::Widened {
        secrets: secrets.to_vec(),
        production,
        opens_others,
        reason: reason.to_owned(),
    }];
    events.extend(reassess(incident, &evidence, now));
    Ok(events)
}

/// Stops the plan for now. Refused when there is nothing to stop.
pub fn hold(incident: &Incident, hold: &Hold) -> Result<Vec<Event>, RefusedBecause> {
    let refused = |why: &str| Err(RefusedBecause::one("the plan was not paused", why));
    let Some(machine) = &incident.machine else { return refused("there is no plan yet") };
    if hold.reason.trim().is_empty() {
        return refused("say why (--reason): whoever finds it paused must know what to wait for");
    }
    if machine.is_done() {
        return refused("every step is done");
    }
    let mut hold = hold.clone();
    if let Some(held) = machine.held() {
        if held.reason.contains(&hold.reason) && held.scope >= hold.scope {
            return refused("it is paused already, for the same reason");
        }
        // Only a person who resumes lets more happen: the stricter one holds, and nobody's reason is lost.
        hold =
            Hold { scope: held.scope.max(hold.scope), reason: format!("{}; {}", held.reason, hold.reason) };
    }
    Ok(vec![Event::PlanHeld { hold }])
}

/// A successor leaked, too, or does not do: it is given up, and whatever is still to be done is done in a new plan, which kills first. Refused
/// where there is none.
pub fn distrust(incident: &Incident, secret: &SecretId, reason: &str) -> Result<Vec<Event>, RefusedBecause> {
    let refused = |why: &str| Err(RefusedBecause::one("the successor was not given up", why));
    if incident.status == Status::Closed {
        return refused("the incident is closed; open a new one: what was its successor is what leaked now");
    }
    if reason.trim().is_empty() {
        return refused("say why (--reason)");
    }
    let Some(new) = incident.new_value(secret) else {
        return refused("none was chosen: either it is not about this secret, or its turn has not come");
    };
    let mut events = vec![Event::SuccessorDistrusted {
        secret: secret.clone(),
        fingerprint: new.fingerprint,
        reason: reason.to_owned(),
    }];
    // Two values are to be refused now, and one of them may stand where the next will: nothing new is made before both are dead.
    if !matches!(incident.strategy_asked, Some((StrategyPolicy::KillFirst, _, _))) {
        let reason = format!("the successor of {secret} was given up: {reason}");
        events.push(Event::StrategyAsked { strategy: StrategyPolicy::KillFirst, reason });
    }
    Ok(events)
}

/// Lets it go on. Refused when it is not held.
pub fn resume(incident: &Incident, reason: &str) -> Result<Vec<Event>, RefusedBecause> {
    let held = incident.machine.as_ref().and_then(|m| m.held());
    if held.is_none() {
        return Err(RefusedBecause::one("nothing was resumed", "the plan is not paused"));
    }
    Ok(vec![Event::PlanResumed { reason: reason.to_owned() }])
}

/// Recomputes the severity from evidence; events only if the result or its reasons changed. A stricter severity
/// starts stricter clocks; a milder one leaves the running ones as they are (the strictest deadline wins).
pub fn reassess(incident: &Incident, evidence: &Evidence, now: Timestamp) -> Vec<Event> {
    let assessment = assess(evidence, incident.profile);
    if incident.severities.last().is_some_and(|(_, last)| *last == assessment) {
        return Vec::new();
    }
    let mut events = Vec::new();
    let (response, update) = limits(assessment.severity, incident.profile);
    let label = assessment.label.clone();
    let stricter = assessment.severity > incident.severity();
    events.push(Event::SeverityAssessed { assessment });
    if stricter {
        let responded = incident.clocks.iter().any(|c| c.name == "first-response" && c.met.is_some());
        if !responded {
            events.push(clock(
                "first-response",
                now,
                response,
                &format!("{label}: first response, counted from the new evidence"),
            ));
        }
        events.push(clock(
            "next-update",
            now,
            update,
            &format!("{label}: next update, counted from the new evidence"),
        ));
    }
    events
}

/// Notes an action item as done. One that is to ship a gate is done when that gate was `proven`, and not by words.
pub fn item_done(
    item: &ActionItem,
    evidence: &str,
    proven: Option<Gate>,
) -> Result<Vec<Event>, RefusedBecause> {
    if let Some(gate) = item.gate.filter(|gate| proven != Some(*gate)) {
        let what = format!("{} ships the gate {} and is not done by words", item.item, gate.word());
        let unmet = format!(
            "only a proof closes it: `quell gate prove INC --gate {} --item {}`",
            gate.word(),
            item.item
        );
        return Err(RefusedBecause { what, unmet: vec![unmet] });
    }
    Ok(vec![Event::ActionItemDone { item: item.item.clone(), evidence: evidence.to_owned() }])
}

/// Closes, or says everything that is missing.
pub fn close(incident: &Incident, summary: &str) -> Result<Vec<Event>, RefusedBecause> {
    if incident.status == Status::Closed {
        return Err(RefusedBecause::one("it is closed already", "nothing to do"));
    }
    let missing = unmet(incident);
    if missing.is_empty() {
        let mut events = vec![Event::Closed { summary: summary.to_owned() }];
        // What closing asks for (verdict, proof, action items) is what the post-mortem is made of.
        if incident.clocks.iter().any(|c| c.name == "post-mortem" && c.met.is_none()) {
            events.insert(0, Event::ClockMet { clock: "post-mortem".to_owned() });
        }
        Ok(events)
    } else {
        Err(RefusedBecause { what: format!("{} cannot be closed yet", incident.id), unmet: missing })
    }
}

#[cfg(test)]
#[path = "decide_tests.rs"]
mod tests;
