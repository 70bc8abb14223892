use super::*;
use crate::event::{Actor, Entry};
use crate::incident::testing::seen_in_chat;
use crate::incident::{Status, open};

fn t(minutes: i64) -> Timestamp {
    Timestamp::from_second(1_795_000_000 + minutes * 60).unwrap()
}

fn entry(pos: u64, who: &str, event: Event) -> Entry {
    let (stream, actor) = ("INC-2026-0001".to_owned(), Actor::user(who));
    Entry {
        seq: pos + 40,
        at: t(i64::try_from(pos).unwrap()),
        stream,
        pos,
        actor,
        evidence: Vec::new(),
        event,
    }
}

fn incident() -> Incident {
    let events = open(&seen_in_chat(t(0)), t(0)).unwrap();
    let entries: Vec<Entry> =
        events.into_iter().zip(0..).map(|(event, pos)| entry(pos, "ines", event)).collect();
    Incident::fold("INC-2026-0001".parse().unwrap(), &entries).unwrap()
}

fn take(incident: &mut Incident, who: &str, events: Vec<Event>) {
    for event in events {
        // As it is read back.
        let written = entry(incident.next_pos, who, event);
        incident.apply(&Entry::from_bytes(written.seq, &written.to_bytes().unwrap()).unwrap());
    }
}

#[test]
fn of_each_section_the_newest_text_stands_with_who_wrote_it_and_where() {
    let mut it = incident();
    let events =
        write(&it, Section::RootCause, "no gate before the push\r\nwhy: none was asked for\n\n").unwrap();
    take(&mut it, "ines", events);
    let first = it.post_mortem[&Section::RootCause].clone();
    assert_eq!(first.text, "no gate before the push\nwhy: none was asked for");
    let place = it.next_pos;
    let events = write(&it, Section::RootCause, "the template of the service has no gate").unwrap();
    take(&mut it, "omar", events);
    let events = write(&it, Section::Lucky, "nobody cloned it").unwrap();
    take(&mut it, "ines", events);
    let newest = &it.post_mortem[&Section::RootCause];
    assert_eq!(
        (newest.by.as_str(), newest.seq, newest.at),
        ("omar", place + 40, t(i64::try_from(place).unwrap()))
    );
    assert_eq!(newest.text, "the template of the service has no gate");
    assert_eq!(it.post_mortem[&Section::Lucky].by, "ines");
    assert_eq!(it.post_mortem.len(), 2);
    // The same once more says nothing new.
    assert_eq!(write(&it, Section::Lucky, "nobody cloned it\n").unwrap(), []);
    assert_eq!(write(&it, Section::Impact, " \n").unwrap(), []);
    // It can be taken back, and who did so is known.
    let events = write(&it, Section::Lucky, "").unwrap();
    take(&mut it, "omar", events);
    assert_eq!(
        (it.post_mortem[&Section::Lucky].text.as_str(), it.post_mortem[&Section::Lucky].by.as_str()),
        ("", "omar")
    );
}

#[test]
fn it_is_written_when_all_is_over_and_never_without_end() {
    let mut it = incident();
    take(&mut it, "ines", vec![Event::Closed { summary: "done".to_owned() }]);
    assert_eq!(it.status, Status::Closed);
    let longest = "ä".repeat(SECTION_MAX / 2);
    assert_eq!(write(&it, Section::Lessons, &longest).unwrap().len(), 1);
    let refused = write(&it, Section::Lessons, &format!("{longest}.")).unwrap_err();
    assert!(refused.what.contains("lessons was not written: it has 20001 bytes"), "{refused:?}");
    assert!(it.post_mortem.is_empty());
}

#[test]
fn every_section_has_a_word_that_is_read_back() {
    for section in Section::ALL {
        assert_eq!(section.word().parse::<Section>().unwrap(), section);
        assert_eq!(serde_json::to_value(section).unwrap(), section.word());
        let known = "".parse::<Section>().unwrap_err().expected;
        assert!(known.contains(section.word()), "{known} leaves out {section}");
        assert!(section.asks().ends_with(['?', '.']) && !section.title().is_empty());
    }
}
