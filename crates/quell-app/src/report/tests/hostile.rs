//! Data that wants to be more than data.

use quell_core::event::Event;
use quell_core::severity::Signal;

use super::super::{render, timeline};
use super::check_shape;
use super::story::{CHECKPOINT, Story};

const EVIL: &str = "a | b\n| c | d |\n# head ``` `x` {{ 7 * 7 }} {% for x in y %} <img src=x onerror=y> [k](http://k) \u{202e}\u{1b}[2J";

#[test]
fn hostile_text_is_inert_wherever_it_comes_from() {
    let mut story = Story::opened(|c| {
        c.title = EVIL.to_owned();
        c.secrets[0].because = EVIL.to_owned();
        c.exposures[0].place = EVIL.to_owned();
        c.exposures[0].finding = Some(EVIL.to_owned());
    });
    story
        .by(EVIL, Event::NoteAdded { text: EVIL.to_owned() })
        .evidence(EVIL)
        .by(EVIL, Event::SignalRecorded { signal: Signal::Live, reason: EVIL.to_owned() })
        .by(EVIL, Event::ChannelCleaned { what: EVIL.to_owned() })
        .by(
            EVIL,
            Event::ActionItemAdded {
                item: EVIL.to_owned(),
                title: EVIL.to_owned(),
                owner: EVIL.to_owned(),
                due: EVIL.to_owned(),
                gate: None,
            },
        );
    let text = render(&story.incident(), &story.entries, CHECKPOINT, story.now, None).unwrap();
    check_shape(&text);
    let shown = r"a \| b \| c \| d \| # head \`\`\` \`x\` {{ 7 \* 7 }} {% for x in y %} &lt;img src=x onerror=y> \[k\](http://k) ��\[2J";
    assert!(text.lines().next().unwrap().ends_with(shown), "{text}");
    assert!(!text.contains("<img") && !text.contains(['\u{202e}', '\u{1b}']) && !text.contains("[k]("));
    assert_eq!(text.matches("```").count(), 2, "only the fence around the checkpoint");
}

#[test]
fn a_hostile_checkpoint_cannot_leave_its_fence() {
    let story = Story::opened(|_| {});
    let text = render(&story.incident(), &story.entries, "x\n```\n# out", story.now, None).unwrap();
    assert!(text.contains("\n````text\nx\n```\n# out\n````\n"), "{text}");
}

#[test]
fn long_fields_are_cut_and_long_incidents_are_not() {
    let mut story = Story::opened(|_| {});
    for _ in 0..3_000 {
        story.by("ines", Event::NoteAdded { text: "looked again".to_owned() });
    }
    story.by("ines", Event::NoteAdded { text: "x".repeat(100_000) });
    let text = render(&story.incident(), &story.entries, CHECKPOINT, story.now, None).unwrap();
    check_shape(&text);
    assert_eq!(text.matches("note: looked again").count(), 3_000);
    assert!(text.len() < 600_000, "{}", text.len());
    assert!(timeline(&story.entries).iter().all(|r| r.what.chars().count() < 1_100));
}
