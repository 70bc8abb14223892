use super::*;
use crate::event::Actor;
use crate::incident::testing::seen_in_chat;

fn t(minutes: i64) -> Timestamp {
    Timestamp::from_second(1_795_000_000 + minutes * 60).unwrap()
}

fn entry(pos: u64, who: &str, event: Event) -> Entry {
    let (stream, actor) = ("INC-2026-0001".to_owned(), Actor::user(who));
    Entry { seq: pos, at: t(i64::try_from(pos).unwrap()), stream, pos, actor, evidence: Vec::new(), event }
}

fn incident() -> Incident {
    let events = crate::incident::open(&seen_in_chat(t(0)), t(0)).unwrap();
    let entries: Vec<Entry> =
        events.into_iter().zip(0..).map(|(event, pos)| entry(pos, "ines", event)).collect();
    Incident::fold("INC-2026-0001".parse().unwrap(), &entries).unwrap()
}

fn take(incident: &mut Incident, who: &str, events: Result<Vec<Event>, RefusedBecause>) {
    for event in events.unwrap() {
        // As it is read back.
        let bytes = entry(incident.next_pos, who, event).to_bytes().unwrap();
        incident.apply(&Entry::from_bytes(incident.next_pos, &bytes).unwrap());
    }
}

fn now_open(incident: &Incident) -> Vec<(&str, Option<&str>)> {
    incident.open_tasks().map(|it| (it.task.as_str(), it.owner.as_deref())).collect()
}

fn unmet(decided: Result<Vec<Event>, RefusedBecause>) -> String {
    decided.unwrap_err().unmet.join("; ")
}

#[test]
fn a_task_is_nobodys_then_somebodys_until_it_is_over() {
    let mut it = incident();
    let added = add(&it, " ask the vendor ", None, Some(t(60)));
    take(&mut it, "ines", added);
    let added = add(&it, "watch the graph", Some(" ines "), None);
    take(&mut it, "omar", added);
    assert_eq!(now_open(&it), [("T1", None), ("T2", Some("ines"))]);
    let given = give(&it, "T1", "tom ");
    take(&mut it, "omar", given);
    assert_eq!(give(&it, "T1", " tom").unwrap(), [], "it is theirs already");
    let first = it.task("T1").unwrap();
    assert_eq!(
        (first.title.as_str(), first.owner.as_deref(), first.due, first.by.as_str()),
        ("ask the vendor", Some("tom"), Some(t(60)), "ines"),
        "handing it over changes nothing else"
    );
    let given = give(&it, "T1", "ines");
    take(&mut it, "ines", given);
    assert_eq!(now_open(&it), [("T1", Some("ines")), ("T2", Some("ines"))]);
    let pos = it.next_pos;
    let dropped = end(&it, "T2", TaskEnd::Dropped, " the service is off ");
    take(&mut it, "omar", dropped);
    let done = end(&it, "T1", TaskEnd::Done, "");
    take(&mut it, "tom", done);
    assert_eq!(now_open(&it), []);
    let ended = it.task("T2").unwrap().ended.clone().unwrap();
    assert_eq!(
        (ended.how, ended.by.as_str(), ended.reason.as_str(), ended.at),
        (TaskEnd::Dropped, "omar", "the service is off", t(i64::try_from(pos).unwrap()))
    );
    // A number is never given twice.
    let added = add(&it, "call", Some("tom"), None);
    take(&mut it, "ines", added);
    assert_eq!(now_open(&it), [("T3", Some("tom"))]);
}

#[test]
fn what_is_late_is_so_only_while_it_is_open() {
    let mut it = incident();
    let added = add(&it, "ask the vendor", None, Some(t(60)));
    take(&mut it, "ines", added);
    let words = |it: &Incident| [t(60), t(61)].map(|now| it.task("T1").unwrap().word(now));
    assert_eq!(words(&it), ["open", "overdue"]);
    let done = end(&it, "T1", TaskEnd::Done, "they answered");
    take(&mut it, "ines", done);
    assert_eq!(words(&it), ["done", "done"]);
    assert!(!it.task("T1").unwrap().is_overdue(t(99)));
}

#[test]
fn what_is_over_stays_over_and_says_what_to_do_instead() {
    let mut it = incident();
    let added = add(&it, "ask the vendor", Some("omar"), None);
    take(&mut it, "ines", added);
    let added = add(&it, "watch the graph", None, None);
    take(&mut it, "ines", added);
    let done = end(&it, "T1", TaskEnd::Done, "they kept none");
    take(&mut it, "omar", done);
    for again in [
        end(&it, "T1", TaskEnd::Done, "again"),
        end(&it, "T1", TaskEnd::Dropped, "no"),
        give(&it, "T1", "tom"),
    ] {
        let said = unmet(again);
        assert!(said.starts_with("it is done already (omar, 20"), "{said}");
        assert!(said.ends_with("a task of its own: add one"), "{said}");
    }
    assert_eq!(unmet(end(&it, "T7", TaskEnd::Done, "")), "the incident has no such task");
    assert_eq!(give(&it, "T7", "tom").unwrap_err().what, "T7 was not handed over");
    take(&mut it, "ines", Ok(vec![Event::Closed { summary: "done".to_owned() }]));
    assert!(unmet(add(&it, "call", None, None)).contains("action item"));
    assert!(unmet(give(&it, "T1", "tom")).contains("action item"));
    // What is known is written down, also later.
    let dropped = end(&it, "T2", TaskEnd::Dropped, "all is over");
    take(&mut it, "ines", dropped);
    assert_eq!(now_open(&it), []);
}

#[test]
fn it_is_said_in_a_line_and_dropped_for_a_reason() {
    let mut it = incident();
    let added = add(&it, &"ä".repeat(LINE_MAX), None, None);
    take(&mut it, "ines", added);
    let long = "x".repeat(LINE_MAX + 1);
    for title in ["", " \t ", "two\nlines", "\u{1b}[31mred", &long] {
        assert!(unmet(add(&it, title, None, None)).starts_with("what is to be done is said in one line"));
    }
    for owner in ["", " ", "ines\nomar", &long] {
        assert!(unmet(add(&it, "call", Some(owner), None)).starts_with("whoever does it is said"));
        assert!(unmet(give(&it, "T1", owner)).starts_with("whoever does it is said"));
    }
    assert_eq!(unmet(end(&it, "T1", TaskEnd::Dropped, " \n")), "say why nobody needs it any more");
    assert_eq!(end(&it, "T1", TaskEnd::Done, " ").unwrap().len(), 1);
}
