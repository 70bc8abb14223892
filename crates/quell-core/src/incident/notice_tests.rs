use super::*;
use crate::event::Entry;
use crate::incident::testing::seen_in_chat;
use crate::incident::{alarm, open as declare};
use crate::plan::{Flow, Phase};

fn t(minutes: i64) -> Timestamp {
    Timestamp::from_second(1_795_000_000 + minutes * 60).unwrap()
}

fn incident() -> Incident {
    let events = declare(&seen_in_chat(t(0)), t(0)).unwrap();
    let entries: Vec<Entry> =
        events.into_iter().zip(0..).map(|(event, pos)| entry(pos, t(0), event)).collect();
    Incident::fold("INC-2026-0001".parse().unwrap(), &entries).unwrap()
}

fn entry(pos: u64, at: Timestamp, event: Event) -> Entry {
    let (stream, actor) = ("INC-2026-0001".to_owned(), Actor::user("ines"));
    Entry { seq: pos, at, stream, pos, actor, evidence: Vec::new(), event }
}

fn take(incident: &mut Incident, events: Vec<Event>, at: Timestamp) {
    for event in events {
        // As it is read back.
        let bytes = entry(incident.next_pos, at, event).to_bytes().unwrap();
        incident.apply(&Entry::from_bytes(incident.next_pos, &bytes).unwrap());
    }
}

fn drafted(incident: &mut Incident) -> String {
    let (events, id) =
        draft(incident, "update", Some(NEXT_UPDATE), "where it stands", "it is cut off").unwrap();
    take(incident, events, t(1));
    id
}

fn sent_by(incident: &mut Incident, channels: &[&str]) -> String {
    let id = drafted(incident);
    let channels: Vec<String> = channels.iter().map(|it| (*it).to_owned()).collect();
    let read = incident.notice(&id).unwrap().sha256();
    let events = send(incident, &id, &channels, Some(&read)).unwrap();
    take(incident, events, t(2));
    id
}

fn finished(incident: &Incident, id: &str, channel: &str, outcome: Outcome) -> StepEvent {
    let step = step_id(id, channel).unwrap();
    assert!(incident.notice(id).unwrap().sent.is_some());
    let flow = if outcome.is_applied() { Flow::Done } else { Flow::Stuck };
    StepEvent::Finished { step, attempt: 1, phase: Phase::Perform, outcome, flow }
}

fn ends(incident: &mut Incident, id: &str, channel: &str, outcome: Outcome, at: Timestamp) {
    let event = finished(incident, id, channel, outcome);
    let mut events = met(incident, id, &event, at);
    events.insert(0, Event::NoticeStep { notice: id.to_owned(), event });
    take(incident, events, at);
}

fn owed(incident: &Incident) -> Vec<Timestamp> {
    let open = |c: &&crate::incident::Clock| c.name == NEXT_UPDATE && c.met.is_none();
    incident.clocks.iter().filter(open).map(|c| c.due).collect()
}

#[test]
fn the_first_channel_that_has_an_update_meets_the_clock_and_the_next_one_starts() {
    let mut incident = incident();
    let before = owed(&incident);
    let interval = before[0].duration_since(t(0));
    let id = sent_by(&mut incident, &["ops", "mail", "ops"]);
    assert_eq!(incident.notice(&id).unwrap().state(), NoticeState::Sending);
    assert_eq!(owed(&incident), before, "nobody was told anything yet");
    ends(&mut incident, &id, "mail", Outcome::refused("no such mailbox"), t(3));
    assert_eq!(owed(&incident), before, "a refusal tells nobody");
    ends(&mut incident, &id, "ops", Outcome::applied([]), t(4));
    assert_eq!(owed(&incident), [t(4) + interval]);
    let notice = incident.notice(&id).unwrap();
    assert_eq!(notice.state(), NoticeState::InPart);
    let sent = notice.sent.as_ref().unwrap();
    assert_eq!(sent.told().collect::<Vec<_>>(), ["ops"]);
    assert_eq!(sent.failed().map(|(_, why)| why).collect::<Vec<_>>(), ["no such mailbox"]);
    assert_eq!(sent.sha256, notice.sha256());
    // Another try of the one that gave up does not meet the next clock.
    let events = again(&incident, &id, "omar").unwrap();
    take(&mut incident, events, t(5));
    assert_eq!(incident.notice(&id).unwrap().state(), NoticeState::Sending);
    ends(&mut incident, &id, "mail", Outcome::applied([]), t(6));
    assert_eq!(incident.notice(&id).unwrap().state(), NoticeState::Sent);
    assert_eq!(owed(&incident), [t(4) + interval]);
}

#[test]
fn what_went_out_stays_as_it_is_and_what_was_read_is_what_goes_out() {
    let mut incident = incident();
    let id = drafted(&mut incident);
    let read = incident.notice(&id).unwrap().sha256();
    let events = edit(&incident, &id, ("where it stands", "it is not cut off"), None).unwrap();
    take(&mut incident, events, t(2));
    let ops = ["ops".to_owned()];
    let other = send(&incident, &id, &ops, Some(&read)).unwrap_err();
    assert!(other.unmet[0].contains("another one than you have read"), "{other:?}");
    assert!(send(&incident, &id, &[], None).is_err(), "to nobody");
    let events = send(&incident, &id, &ops, Some(&incident.notice(&id).unwrap().sha256())).unwrap();
    take(&mut incident, events, t(3));
    for refused in [
        edit(&incident, &id, ("other", "text"), None).unwrap_err(),
        drop_draft(&incident, &id, "not needed").unwrap_err(),
        send(&incident, &id, &ops, None).unwrap_err(),
    ] {
        assert!(refused.unmet[0].contains("stays as it is"), "{refused:?}");
    }
    assert!(
        again(&incident, &id, "omar").unwrap().is_empty(),
        "nothing gave up; whoever tries again goes on with it"
    );
    let dropped = drafted(&mut incident);
    assert_eq!(dropped, "N2");
    assert!(drop_draft(&incident, &dropped, " ").is_err());
    let events = drop_draft(&incident, &dropped, "told by telephone").unwrap();
    take(&mut incident, events, t(4));
    assert_eq!(incident.notice(&dropped).unwrap().state(), NoticeState::Dropped);
    assert!(send(&incident, &dropped, &ops, None).is_err());
}

#[test]
fn a_title_is_one_line_and_a_text_is_there() {
    let incident = incident();
    for (title, body) in [("", "a"), ("a", ""), ("a\nb", "a"), (&*"x".repeat(201), "a")] {
        assert!(draft(&incident, "update", None, title, body).is_err(), "{title:?}");
    }
    assert!(met(&incident, "N9", &StepEvent::HandedOver { step: "a".parse().unwrap() }, t(1)).is_empty());
}

#[test]
fn a_deadline_that_has_passed_is_told_once_and_not_after_a_day() {
    let mut incident = incident();
    let mut clocks: Vec<_> = incident.clocks.iter().map(|it| (it.due, it.name.replace('-', " "))).collect();
    clocks.sort();
    let [(first, name), (second, next), ..] = &clocks[..] else { panic!("{clocks:?}") };
    let after = |due: &Timestamp| due.checked_add(SignedDuration::from_secs(1)).unwrap();
    assert_eq!(alarm::due(&incident, *first), []);
    let due = alarm::due(&incident, after(first));
    assert_eq!(due.len(), 1, "{due:?}");
    assert_eq!(due[0].title, format!("missed: {name}, due at {first}"));
    let late = first.checked_add(SignedDuration::from_hours(24)).unwrap();
    assert!(alarm::due(&incident, late).iter().all(|it| it.title != due[0].title), "it has lain for a day");
    // Two servers that see it at once: what the first wrote is there when the second decides anew.
    let events = alarm::raise(&incident, &due, &["ops".to_owned()]);
    take(&mut incident, events, after(first));
    assert_eq!(alarm::due(&incident, after(first)), []);
    let told = incident.notice("N1").unwrap();
    assert_eq!((told.kind.as_str(), told.state()), (alarm::KIND, NoticeState::Sending));
    assert_eq!(told.sent.as_ref().unwrap().sha256, told.sha256(), "it is sent as it was written");
    // The next one that passes is another one.
    let due = alarm::due(&incident, after(second));
    assert_eq!(due.len(), 1, "{due:?}");
    assert!(due[0].title.starts_with(&format!("missed: {next}")), "{due:?}");
    // Drills call nobody out of bed.
    incident.drill = true;
    assert_eq!(alarm::due(&incident, after(second)), []);
}

#[test]
fn a_step_that_goes_no_further_is_told_once_for_each_attempt() {
    let mut incident = incident();
    let plan = plan(incident.id, "N9", &["ops".to_owned()]).unwrap();
    let mut plan = Plan { revision: 2, ..plan };
    plan.steps[0].best_effort = false;
    plan.steps[0].max_attempts = 1;
    let step = plan.steps[0].id.clone();
    let mut machine = Machine::new(plan);
    let mut fail = |incident: &mut Incident, at: i64| {
        // After another try it is looked for first.
        for _ in 0..4 {
            machine.advance(t(at), "w", 8);
            while machine.poll_event().is_some() {}
            if let Some(StepState::Running { attempt, phase, .. }) = machine.state(&step).cloned() {
                let is_look = phase == Phase::Observe;
                let outcome = if is_look { Outcome::retry("not there") } else { Outcome::refused("denied") };
                machine.report(t(at), &step, attempt, phase, outcome).unwrap();
            }
        }
        assert!(matches!(machine.state(&step), Some(StepState::Failed { .. })), "{:?}", machine.state(&step));
        incident.machine = Some(machine.clone());
        machine.retry(&step, "ines").unwrap();
    };
    fail(&mut incident, 1);
    let due = alarm::due(&incident, t(1));
    assert_eq!(due.len(), 1, "{due:?}");
    assert_eq!(due[0].title, format!("stuck: {step} of plan 2, attempt 1"));
    assert!(
        due[0].body.contains("denied") && due[0].body.contains("quell step retry INC-2026-0001"),
        "{due:?}"
    );
    let events = alarm::raise(&incident, &due, &["ops".to_owned()]);
    take(&mut incident, events, t(1));
    assert_eq!(alarm::due(&incident, t(1)), []);
    fail(&mut incident, 2);
    let again = alarm::due(&incident, t(2));
    assert_eq!(again.len(), 1, "another try, another call: {again:?}");
    assert_ne!(again[0].title, due[0].title);
}
