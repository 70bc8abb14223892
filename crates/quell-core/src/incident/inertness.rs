//! One line for each secret of an incident: inert, not inert, or nobody can tell. For the table that people look at
//! while many are rotated at once.

use serde::Serialize;

use super::state::Incident;
use crate::id::{SecretId, StepId};
use crate::issuer::TaskTime;
use crate::outcome::Probe;
use crate::plan::{Machine, Phase, Proof, Step, StepAction, StepState, word};
use crate::secret::Fingerprint;

/// What is known of the old values of one secret.
#[derive(Clone, Copy, Debug, Eq, Ord, PartialEq, PartialOrd, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Inert {
    /// Something shows that it may still be used, or nothing was done about it yet.
    No,
    /// Something was done, and nothing shows what it did.
    CannotTell,
    /// Proven: refused beside an accepted control, no session left.
    Yes,
}

impl Inert {
    /// For people.
    pub fn word(self) -> &'static str {
        match self {
            Self::No => "not inert",
            Self::CannotTell => "cannot tell",
            Self::Yes => "inert",
        }
    }
}

/// How it stands with one secret.
#[derive(Clone, Debug, Eq, PartialEq, Serialize)]
pub struct Inertness {
    /// Which.
    pub secret: SecretId,
    /// Why it belongs to the incident.
    pub because: String,
    /// Can the old value still be used?
    pub inert: Inert,
    /// What that rests on.
    pub why: String,
    /// The step that it waits for, or that gave up; none when nothing is left to do.
    pub at: Option<StepId>,
    /// How that step stands.
    pub state: Option<&'static str>,
    /// Steps that are not done.
    pub left: usize,
}

/// Every secret of the incident, those first that need somebody.
pub fn inertness(incident: &Incident) -> Vec<Inertness> {
    let mut out: Vec<Inertness> =
        incident.secrets.iter().map(|a| of(incident, &a.secret, &a.because)).collect();
    out.sort_by(|a, b| {
        let gave_up = |i: &Inertness| i.state != Some("failed");
        (a.inert, gave_up(a), &a.secret).cmp(&(b.inert, gave_up(b), &b.secret))
    });
    out
}

fn of(incident: &Incident, secret: &SecretId, because: &str) -> Inertness {
    let steps: Vec<(&Step, &StepState)> = incident
        .machine
        .iter()
        .flat_map(Machine::states)
        .filter(|(s, _)| s.secret.as_ref() == Some(secret))
        .collect();
    let open = || steps.iter().filter(|(_, state)| !state.satisfies());
    let failed = open().find(|(_, state)| matches!(state, StepState::Failed { .. }));
    let at = failed.or_else(|| open().next());
    let (inert, why) = match incident.proof(secret) {
        Some(proof) => proven(proof, &incident.untried(secret, proof)),
        None => unproven(incident, &steps),
    };
    let why = match incident.exceptions.get(secret) {
        Some((by, reason)) => format!("{why}; {by} accepted it: {reason}"),
        None => why,
    };
    Inertness {
        secret: secret.clone(),
        because: because.to_owned(),
        inert,
        why,
        at: at.map(|(step, _)| step.id.clone()),
        state: at.map(|(_, state)| word(state)),
        left: open().count(),
    }
}

fn proven(proof: &Proof, untried: &[Fingerprint]) -> (Inert, String) {
    if let Some(one) = untried.first().filter(|_| proof.inert) {
        return (
            Inert::No,
            format!("the proof of {} is not about {one}, which became known later", proof.at),
        );
    }
    if proof.inert {
        return (Inert::Yes, format!("refused on {}, proven {}", proof.target, proof.at));
    }
    let opens = |probe: &Probe| matches!(probe, Probe::Accepted { .. });
    let lives = proof.old.iter().any(|old| old.sessions > 0 || old.probes.iter().any(opens));
    (if lives { Inert::No } else { Inert::CannotTell }, proof.unmet.join("; "))
}

/// A person's task that ends the old value, where no machine can.
fn is_end(step: &Step) -> bool {
    matches!(step.action, StepAction::Person { when: TaskTime::End, .. })
}

/// Without a proof: what was done to the old value, and whether anybody knows how that went.
fn unproven(incident: &Incident, steps: &[(&Step, &StepState)]) -> (Inert, String) {
    let Some(machine) = &incident.machine else { return (Inert::No, "there is no plan yet".to_owned()) };
    let ends = |step: &Step| {
        matches!(step.action, StepAction::Disable)
            || is_end(step)
            || step.switches() && matches!(step.action, StepAction::Install | StepAction::Mint)
    };
    let Some((step, state)) = steps.iter().find(|(step, _)| ends(step)) else {
        return (
            Inert::No,
            "the plan does not cover it; `quell plan --again` makes one that does".to_owned(),
        );
    };
    if let Some(open) = steps.iter().find(|(step, state)| is_end(step) && **state != StepState::Applied) {
        return (Inert::No, format!("{} is {}", open.0.id, word(open.1)));
    }
    let stuck = steps.iter().find_map(|(s, state)| match state {
        StepState::Failed { reason } => Some(format!("{} gave up: {reason}", s.id)),
        StepState::Waiting
        | StepState::AwaitingApproval
        | StepState::WithPeople
        | StepState::Running { .. }
        | StepState::Deferred { .. }
        | StepState::Applied
        | StepState::Skipped => None,
    });
    let held = || machine.held().map(|h| format!("the plan is paused: {}", h.reason));
    match state {
        StepState::Applied if step.is_for_people() => (
            Inert::CannotTell,
            stuck.unwrap_or_else(|| "people say that it is ended; no machine can try it".to_owned()),
        ),
        StepState::Applied => {
            let why = stuck.unwrap_or_else(|| "the issuer was told; the proof is not there yet".to_owned());
            (Inert::CannotTell, why)
        }
        StepState::Running { .. } => (Inert::CannotTell, format!("{} is running", step.id)),
        StepState::Deferred { phase: Phase::Observe, reason, .. } => {
            (Inert::CannotTell, format!("the outcome of {} is unknown: {reason}", step.id))
        }
        StepState::Failed { reason } if incident.doubts.contains(&step.id) => {
            (Inert::CannotTell, format!("the outcome of {} is unknown: {reason}", step.id))
        }
        StepState::Skipped => (Inert::No, format!("{} was skipped", step.id)),
        StepState::AwaitingApproval => (Inert::No, format!("{} waits for approval", step.id)),
        StepState::Waiting
        | StepState::WithPeople
        | StepState::Deferred { .. }
        | StepState::Failed { .. } => {
            let why = stuck.or_else(held).unwrap_or_else(|| "its turn has not come".to_owned());
            (Inert::No, why)
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::event::{Actor, Affected, Entry, Event, SealedRef, ValueRole};
    use crate::exposure::{Channel, Exposure};
    use crate::incident::{OpenIncident, open};
    use crate::outcome::Outcome;
    use crate::plan::testing::{input, secret};
    use crate::plan::{Flow, Hold, HoldScope, OldProof, StepEvent, Strategy, compile};
    use crate::secret::{FingerprintKey, SecretValue};
    use crate::severity::Profile;
    use jiff::Timestamp;

    fn incident(names: &[&str], more: Vec<Event>) -> Incident {
        let now = Timestamp::UNIX_EPOCH;
        let affected = |n: &&str| Affected { secret: n.parse().unwrap(), because: "it leaked".to_owned() };
        let command = OpenIncident {
            title: "many".to_owned(),
            secrets: names.iter().map(affected).collect(),
            exposures: vec![Exposure {
                channel: Channel::Chat,
                audience: Channel::Chat.default_audience(),
                first_exposed: None,
                discovered: now,
                still_visible: None,
                place: String::new(),
                fingerprint: None,
                sealed: None,
                finding: None,
                channel_name: None,
            }],
            production: true,
            opens_others: 0,
            profile: Profile::default(),
            drill: false,
        };
        let mut events = open(&command, now).unwrap();
        let plan = compile(&input(Strategy::KillFirst, names.iter().map(|n| secret(n)).collect())).unwrap();
        events.push(Event::PlanMade { hash: plan.hash(), plan: Box::new(plan) });
        events.extend(more);
        let entries: Vec<Entry> = (0..)
            .zip(events)
            .map(|(seq, event)| Entry {
                seq,
                at: now,
                stream: "INC-2026-0001".to_owned(),
                pos: seq,
                actor: Actor::user("ines"),
                evidence: Vec::new(),
                event,
            })
            .collect();
        Incident::fold("INC-2026-0001".parse().unwrap(), &entries).unwrap()
    }

    fn finished(step: &str, outcome: Outcome, flow: Flow) -> Event {
        let step = step.parse().unwrap();
        Event::Step(StepEvent::Finished { step, attempt: 1, phase: Phase::Perform, outcome, flow })
    }

    fn proof(name: &str, probe: Probe, inert: bool) -> Event {
        let fingerprint = FingerprintKey::new([0; 32]).fingerprint(&SecretValue::from_text("x".to_owned()));
        Event::ProofRecorded {
            proof: Proof {
                secret: name.parse().unwrap(),
                at: Timestamp::UNIX_EPOCH,
                target: "postgres".to_owned(),
                old: vec![OldProof {
                    fingerprint,
                    principal: "a".to_owned(),
                    probes: vec![probe],
                    sessions: 0,
                }],
                control_is: "successor".to_owned(),
                control: Vec::new(),
                settle_ms: 0,
                inert,
                unmet: vec!["not so".to_owned()],
            },
        }
    }

    #[test]
    fn inert_not_inert_and_what_nobody_can_tell_are_three_things() {
        let lost = || Probe::Inconclusive { reason: "time-out".to_owned() };
        let opened = Probe::Accepted { facts: crate::outcome::Facts::new() };
        let names = ["proven", "opens", "lost", "told", "doubt", "denied", "waits"];
        let seen = incident(
            &names,
            vec![
                proof("proven", lost(), true),
                proof("opens", opened, false),
                proof("lost", lost(), false),
                finished("told.disable", Outcome::applied([]), Flow::Done),
                finished("doubt.disable", Outcome::unknown("no answer"), Flow::Stuck),
                finished("denied.disable", Outcome::refused("permission denied"), Flow::Stuck),
                Event::PlanHeld {
                    hold: Hold { scope: HoldScope::NextSecrets, reason: "too many".to_owned() },
                },
            ],
        );
        let table = inertness(&seen);
        let told = |n: &str| table.iter().find(|i| i.secret.as_str() == n).unwrap();
        for (name, inert, why) in [
            ("proven", Inert::Yes, "refused on postgres"),
            ("opens", Inert::No, "not so"),
            ("lost", Inert::CannotTell, "not so"),
            ("told", Inert::CannotTell, "the proof is not there yet"),
            ("doubt", Inert::CannotTell, "the outcome of doubt.disable is unknown: no answer"),
            ("denied", Inert::No, "denied.disable gave up: permission denied"),
            ("waits", Inert::No, "the plan is paused: too many"),
        ] {
            assert_eq!(told(name).inert, inert, "{name}");
            assert!(told(name).why.contains(why), "{name}: {}", told(name).why);
        }
        // A value that turns up after the proof is not proven by it.
        let other = FingerprintKey::new([0; 32]).fingerprint(&SecretValue::from_text("another".to_owned()));
        let later = SealedRef {
            secret: "proven".parse().unwrap(),
            role: ValueRole::Old,
            sealed: "y".to_owned(),
            fingerprint: other,
            principal: "a".to_owned(),
            place: "kv".to_owned(),
        };
        let wider = incident(&names, vec![proof("proven", lost(), true), Event::ValueSealed(later)]);
        let row = inertness(&wider).into_iter().find(|i| i.secret.as_str() == "proven").unwrap();
        assert_eq!(row.inert, Inert::No);
        assert!(row.why.contains("which became known later"), "{}", row.why);
        let order: Vec<&str> = table.iter().map(|i| i.secret.as_str()).collect();
        assert_eq!(order.first(), Some(&"denied"), "what gave up and is not inert comes first: {order:?}");
        assert_eq!(order.last(), Some(&"proven"));
        assert_eq!(told("denied").at.as_ref().unwrap().as_str(), "denied.disable");
    }
}
