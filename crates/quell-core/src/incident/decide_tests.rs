use super::*;
use crate::event::{Actor, Entry, Verdict};
use crate::exposure::{Audience, Channel};
use crate::incident::ClockState;
use crate::outcome::{ACCEPTED_BEFORE, Facts, Outcome, Probe, TAKEN_AWAY};
use crate::plan::{Flow, HoldScope, OldProof, Phase, Proof, StepEvent, Strategy, compile, judge};
use crate::secret::{FingerprintKey, SecretValue};
use crate::severity::Severity;

fn t(minutes: i64) -> Timestamp {
    Timestamp::from_second(1_795_000_000 + minutes * 60).unwrap()
}

fn command(channel: Channel) -> OpenIncident {
    OpenIncident {
        title: "orders-db leaked".to_owned(),
        secrets: vec![Affected { secret: "orders-db".parse().unwrap(), because: "it leaked".to_owned() }],
        exposures: vec![Exposure {
            channel,
            audience: channel.default_audience(),
            first_exposed: Some(t(-600)),
            discovered: t(-5),
            still_visible: None,
            place: "git".to_owned(),
            fingerprint: None,
            sealed: None,
            finding: None,
            channel_name: None,
        }],
        production: true,
        opens_others: 0,
        profile: Profile::Sev,
        drill: false,
    }
}

fn fold(events: Vec<Event>) -> Incident {
    let entries: Vec<Entry> = events
        .into_iter()
        .enumerate()
        .map(|(i, event)| Entry {
            seq: i as u64,
            at: t(0),
            stream: "INC-2026-0001".to_owned(),
            pos: i as u64,
            actor: Actor::user("ines"),
            evidence: Vec::new(),
            event,
        })
        .collect();
    Incident::fold("INC-2026-0001".parse().unwrap(), &entries).unwrap()
}

fn proof(accepted_old: bool) -> Event {
    let yes = || Probe::Accepted { facts: Facts::new() };
    let no = || Probe::Refused { code: "28P01".to_owned(), message: String::new() };
    let old = if accepted_old { yes() } else { no() };
    let proof = Proof {
        secret: "orders-db".parse().unwrap(),
        at: t(3),
        target: "pg".to_owned(),
        old: vec![OldProof {
            fingerprint: FingerprintKey::new([0; 32]).fingerprint(&SecretValue::from_text("x".to_owned())),
            principal: "a".to_owned(),
            probes: vec![no(), old],
            sessions: 0,
        }],
        control_is: "successor".to_owned(),
        control: vec![yes(), yes()],
        settle_ms: 1,
        inert: false,
        unmet: Vec::new(),
    };
    Event::ProofRecorded { proof: judge(proof, &["28P01".to_owned()]) }
}

#[test]
fn opening_starts_three_clocks_from_three_moments() {
    let incident = fold(open(&command(Channel::PublicRepo), t(0)).unwrap());
    assert_eq!(incident.severity(), Severity::Sev1);
    assert_eq!(
        (incident.first_exposed(), incident.discovered(), incident.declared),
        (Some(t(-600)), t(-5), t(0))
    );
    let due: Vec<(&str, Timestamp)> = incident.clocks.iter().map(|c| (c.name.as_str(), c.due)).collect();
    assert_eq!(due, [("first-response", t(10)), ("next-update", t(15)), ("post-mortem", t(48 * 60))]);
    assert_eq!(incident.clocks[0].state(t(9)), ClockState::Running);
    assert_eq!(incident.clocks[0].state(t(11)), ClockState::Missed);
}

#[test]
fn impossible_moments_are_refused() {
    let mut future = command(Channel::Chat);
    future.exposures[0].discovered = t(1);
    assert!(open(&future, t(0)).is_err());
    let mut backwards = command(Channel::Chat);
    backwards.exposures[0].first_exposed = Some(t(-1));
    assert!(open(&backwards, t(0)).is_err());
}

#[test]
fn new_evidence_recomputes_and_keeps_history() {
    let mut events = open(&command(Channel::Chat), t(0)).unwrap();
    let before = fold(events.clone());
    assert_eq!(before.severity(), Severity::Sev2);
    events.extend(signal(&before, Signal::UsedByUnknown, "login from an unknown network", t(1)).unwrap());
    let after = fold(events);
    assert_eq!(after.severity(), Severity::Sev1);
    assert_eq!(after.severities.len(), 2);
    assert_eq!(after.clocks.iter().filter(|c| c.name == "first-response").count(), 2);
    assert!(signal(&after, Signal::NotLive, "", t(2)).is_err(), "a downgrade needs a reason");
}

/// A plan of which every step is done, and an old value that was accepted before.
fn carried_out(events: &mut Vec<Event>) {
    planned(events);
    let facts = naming(ACCEPTED_BEFORE);
    events.push(finished("orders-db.capture", Outcome::Applied { facts }));
}

/// Facts of a step that name the old value.
fn naming(fact: &str) -> Facts {
    let fingerprint = FingerprintKey::new([0; 32]).fingerprint(&SecretValue::from_text("x".to_owned()));
    Facts::from_iter([(fact.to_owned(), serde_json::json!([fingerprint]))])
}

fn finished(step: &str, outcome: Outcome) -> Event {
    let (step, phase, flow) = (step.parse().unwrap(), Phase::Perform, Flow::Done);
    Event::Step(StepEvent::Finished { step, attempt: 1, phase, outcome, flow })
}

/// A plan of which every step is done, and a store that held the old value.
fn planned(events: &mut Vec<Event>) {
    let input =
        crate::plan::testing::input(Strategy::KillFirst, vec![crate::plan::testing::secret("orders-db")]);
    let plan = compile(&input).unwrap();
    let done = plan.steps.iter().map(|s| {
        let (by, statement) = ("ines".to_owned(), "done".to_owned());
        Event::Step(StepEvent::Resolved { step: s.id.clone(), by, statement })
    });
    let done: Vec<Event> = done.collect();
    events.push(Event::PlanMade { hash: plan.hash(), plan: Box::new(plan) });
    events.extend(done);
    events.push(held("kv"));
}

fn held(place: &str) -> Event {
    Event::ValueSealed(crate::event::SealedRef {
        secret: "orders-db".parse().unwrap(),
        role: crate::event::ValueRole::Old,
        sealed: "x".to_owned(),
        fingerprint: FingerprintKey::new([0; 32]).fingerprint(&SecretValue::from_text("x".to_owned())),
        principal: "a".to_owned(),
        place: place.to_owned(),
    })
}

#[test]
fn a_refused_value_that_nobody_ever_saw_work_proves_nothing() {
    let mut events = open(&command(Channel::PublicRepo), t(0)).unwrap();
    events.push(held("reported"));
    events.push(proof(false));
    let unmet = close(&fold(events), "").unwrap_err().unmet;
    assert!(unmet.iter().any(|u| u.contains("ever seen to be valid")), "{unmet:?}");
    assert!(unmet.iter().any(|u| u.contains("no plan was carried out")), "{unmet:?}");
}

#[test]
fn a_value_counts_as_valid_when_it_was_accepted_or_found_and_not_when_a_store_held_it() {
    let never = |more: Option<Event>| {
        let mut events = open(&command(Channel::PublicRepo), t(0)).unwrap();
        planned(&mut events);
        events.push(proof(false));
        events.extend(more);
        let unmet = close(&fold(events), "").unwrap_err().unmet;
        unmet.iter().any(|u| u.contains("ever seen to be valid"))
    };
    assert!(never(None), "a store held it");
    let applied = |fact: &str| Outcome::Applied { facts: naming(fact) };
    assert!(never(Some(finished("orders-db.sever", applied(ACCEPTED_BEFORE)))));
    assert!(!never(Some(finished("orders-db.capture", applied(ACCEPTED_BEFORE)))));
    // The issuer was down at the capture, and then had it.
    assert!(!never(Some(finished("orders-db.disable", applied(TAKEN_AWAY)))));
    let (reason, facts) = ("a namesake takes it".to_owned(), naming(TAKEN_AWAY));
    let half = Outcome::NotApplied { reason, retryable: true, retry_after_ms: None, facts };
    assert!(!never(Some(finished("orders-db.disable", half))), "the next try finds nothing any more");
}

#[test]
fn the_leaked_value_itself_must_have_been_tried() {
    let mut command = command(Channel::PublicRepo);
    let other = SecretValue::from_text("another".to_owned());
    command.exposures[0].fingerprint = Some(FingerprintKey::new([0; 32]).fingerprint(&other));
    let mut events = open(&command, t(0)).unwrap();
    carried_out(&mut events);
    events.push(proof(false));
    let unmet = close(&fold(events), "").unwrap_err().unmet;
    assert!(unmet[0].contains("is not among the values that were tried"), "{unmet:?}");
}

#[test]
fn no_close_without_proof_and_cleaning_is_not_containing() {
    let mut events = open(&command(Channel::PublicRepo), t(0)).unwrap();
    carried_out(&mut events);
    events.push(Event::ChannelCleaned { what: "history rewritten, message deleted".to_owned() });
    events.push(Event::VerdictRecorded { verdict: Verdict::CannotTell, reason: String::new() });
    events.push(Event::ActionItemAdded {
        item: "A1".to_owned(),
        title: "pre-commit gate".to_owned(),
        owner: "team-orders".to_owned(),
        due: "2026-12-01".to_owned(),
        gate: None,
    });
    let said = |events: &[Event]| close(&fold(events.to_vec()), "done").map_err(|r| r.unmet);
    assert_eq!(said(&events), Err(vec!["orders-db is not proven inert at the issuer".to_owned()]));
    let mut failed = events.clone();
    failed.push(proof(true));
    assert!(said(&failed).unwrap_err()[0].contains("STILL OPENS THE DOOR"));
    let mut proven = events.clone();
    proven.push(proof(false));
    assert!(said(&proven).is_ok());
    let mut later = proven.clone();
    later.push(proof(true));
    assert!(said(&later).is_err(), "the newest proof counts");
    let mut accepted = events.clone();
    accepted.push(Event::ExceptionRecorded {
        secret: "orders-db".parse().unwrap(),
        reason: "issuer is gone".to_owned(),
    });
    assert!(said(&accepted).is_ok());
    let silent: Vec<Event> =
        proven.into_iter().filter(|e| !matches!(e, Event::VerdictRecorded { .. })).collect();
    assert!(said(&silent).unwrap_err()[0].contains("verdict"));
}

#[test]
fn an_unconfirmed_consumer_keeps_it_open() {
    let mut events = open(&command(Channel::PublicRepo), t(0)).unwrap();
    let input =
        crate::plan::testing::input(Strategy::KillFirst, vec![crate::plan::testing::secret("orders-db")]);
    let plan = compile(&input).unwrap();
    events.push(Event::PlanMade { hash: plan.hash(), plan: Box::new(plan) });
    events.push(proof(false));
    events.push(Event::VerdictRecorded { verdict: Verdict::CannotTell, reason: String::new() });
    let unmet = close(&fold(events), "").unwrap_err().unmet;
    assert!(unmet.iter().any(|u| u.contains("api is not confirmed")), "{unmet:?}");
    assert!(Audience::Public > Audience::Internal);
}

#[test]
fn an_item_that_ships_a_gate_is_done_by_a_proof_of_that_gate_only() {
    let mut events = open(&command(Channel::PublicRepo), t(0)).unwrap();
    for (item, gate) in [("A1", Some(Gate::PreCommit)), ("A2", None)] {
        events.push(Event::ActionItemAdded {
            item: item.to_owned(),
            title: "stop the next one".to_owned(),
            owner: "team-orders".to_owned(),
            due: "2026-12-01".to_owned(),
            gate,
        });
    }
    let items = fold(events.clone()).items;
    let refused = item_done(&items[0], "it is installed, honestly", None).unwrap_err();
    assert!(refused.what.contains("A1") && refused.unmet[0].contains("quell gate prove"), "{refused:?}");
    assert!(item_done(&items[0], "another gate", Some(Gate::PrePush)).is_err());
    events.extend(item_done(&items[0], "refused and accepted", Some(Gate::PreCommit)).unwrap());
    events.extend(item_done(&items[1], "read by all", None).unwrap());
    let done: Vec<_> = fold(events).items.into_iter().map(|item| item.done).collect();
    assert_eq!(done, [Some("refused and accepted".to_owned()), Some("read by all".to_owned())]);
}

#[test]
fn an_item_without_a_gate_is_written_as_before() {
    let old =
        r#"{"kind":"action-item.added","data":{"item":"A1","title":"t","owner":"o","due":"2026-12-01"}}"#;
    let event: Event = serde_json::from_str(old).unwrap();
    let Event::ActionItemAdded { gate, .. } = &event else { panic!("{event:?}") };
    assert_eq!(*gate, None);
    assert_eq!(
        serde_json::to_value(&event).unwrap(),
        serde_json::from_str::<serde_json::Value>(old).unwrap()
    );
}

#[test]
fn a_plan_is_held_and_resumed_by_people_and_a_new_one_stays_held() {
    let mut events = open(&command(Channel::PublicRepo), t(0)).unwrap();
    let stop = |reason: &str| Hold { scope: HoldScope::Everything, reason: reason.to_owned() };
    assert!(hold(&fold(events.clone()), &stop("x")).is_err(), "there is no plan");
    let input =
        crate::plan::testing::input(Strategy::KillFirst, vec![crate::plan::testing::secret("orders-db")]);
    let plan = compile(&input).unwrap();
    let made = Event::PlanMade { hash: plan.hash(), plan: Box::new(plan) };
    events.push(made.clone());
    assert!(hold(&fold(events.clone()), &stop(" ")).is_err(), "it needs a reason");
    assert!(resume(&fold(events.clone()), "on").is_err(), "it is not held");
    events.extend(hold(&fold(events.clone()), &stop("freeze")).unwrap());
    assert!(hold(&fold(events.clone()), &stop("freeze")).is_err(), "once is enough");
    events.push(made);
    // A milder one does not let more happen, and takes nobody's reason away.
    let milder = Hold { scope: HoldScope::NextSecrets, reason: "errors".to_owned() };
    let both = fold([events.clone(), hold(&fold(events.clone()), &milder).unwrap()].concat());
    let held = both.machine.as_ref().and_then(|m| m.held()).unwrap();
    assert_eq!((held.scope, held.reason.as_str()), (HoldScope::Everything, "freeze; errors"));
    let again = fold(events.clone());
    assert_eq!(again.machine.as_ref().and_then(|m| m.held()), Some(&stop("freeze")));
    events.extend(resume(&again, "the freeze is over").unwrap());
    assert!(fold(events).machine.unwrap().held().is_none());
}

#[test]
fn an_incident_that_turns_out_wider_is_as_severe_as_if_it_had_been_known() {
    let affected = |id: &str| Affected { secret: id.parse().unwrap(), because: "adjacent".to_owned() };
    let mut small = command(Channel::Chat);
    small.production = false;
    let mut events = open(&small, t(0)).unwrap();
    let before = fold(events.clone());
    let add = |incident: &Incident, ids: &[&str], reason: &str| {
        let secrets: Vec<Affected> = ids.iter().map(|id| affected(id)).collect();
        widen(incident, &secrets, true, 1, reason, t(1))
    };
    assert!(add(&before, &["more"], "").is_err(), "it needs a reason");
    assert!(add(&before, &["orders-db"], "x").is_err(), "it is known already");
    events.extend(add(&before, &["orders-db", "more"], "same file").unwrap());
    let after = fold(events);
    let names: Vec<&str> = after.secrets.iter().map(|a| a.secret.as_str()).collect();
    assert_eq!(names, ["orders-db", "more"]);
    assert!(after.production && after.opens_others == small.opens_others + 1);
    small.production = true;
    small.opens_others += 1;
    let known = fold(open(&small, t(0)).unwrap());
    assert_eq!(after.severity(), known.severity());
    assert!(after.severity() > before.severity(), "{} {}", after.severity(), before.severity());
}
