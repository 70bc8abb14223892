//! Words, marks and moments for pages. A tone is a colour; beside it always stand a word and a shape.

use askama::Template;
use jiff::{SignedDuration, Timestamp};
use quell_core::incident::{Clock, ClockState, Inert};
use quell_core::plan::{Phase, StepState};
use quell_core::severity::Severity;

/// A state in a word, with a shape and a tone.
#[derive(Clone, Debug, Template)]
#[template(
    source = r#"<span class="badge {{ tone }}"><span class="mark" aria-hidden="true">{{ mark }}</span> {{ word }}</span>"#,
    ext = "html"
)]
pub(crate) struct Badge {
    pub(crate) tone: &'static str,
    pub(crate) mark: &'static str,
    pub(crate) word: String,
}

impl Badge {
    pub(crate) fn new(tone: &'static str, mark: &'static str, word: impl Into<String>) -> Self {
        Self { tone, mark, word: word.into() }
    }
}

/// A moment, for people and for programs.
#[derive(Clone, Debug, Template)]
#[template(source = r#"<time datetime="{{ at }}">{{ self.words() }}</time>"#, ext = "html")]
pub(crate) struct When {
    pub(crate) at: Timestamp,
}

impl When {
    pub(crate) fn words(&self) -> String {
        self.at.strftime("%d %b %Y, %H:%M:%S UTC").to_string()
    }
}

impl From<Timestamp> for When {
    fn from(at: Timestamp) -> Self {
        Self { at }
    }
}

/// How bad.
pub(crate) fn severity(severity: Severity, label: &str) -> Badge {
    let (tone, mark) = match severity {
        Severity::Sev1 => ("bad", "▲"),
        Severity::Sev2 => ("warn", "▲"),
        Severity::Sev3 => ("info", "■"),
        Severity::Sev4 => ("", "○"),
    };
    Badge::new(tone, mark, label)
}

/// Can the old value still be used?
pub(crate) fn inert(inert: Inert) -> Badge {
    let (tone, mark) = match inert {
        Inert::Yes => ("good", "✓"),
        Inert::CannotTell => ("warn", "?"),
        Inert::No => ("bad", "✕"),
    };
    Badge::new(tone, mark, inert.word())
}

/// Where a step stands.
pub(crate) fn step(state: &StepState) -> Badge {
    let (tone, mark) = match state {
        StepState::Waiting => ("", "○"),
        StepState::AwaitingApproval | StepState::WithPeople => ("warn", "◆"),
        StepState::Running { .. } => ("info", "▶"),
        StepState::Deferred { phase: Phase::Observe, .. } => ("warn", "?"),
        StepState::Deferred { .. } => ("info", "↻"),
        StepState::Applied => ("good", "✓"),
        StepState::Skipped => ("", "–"),
        StepState::Failed { .. } => ("bad", "✕"),
    };
    Badge::new(tone, mark, quell_core::plan::word(state))
}

/// How a clock stands: tone, mark, and what is left or lacking in words.
pub(crate) fn clock(clock: &Clock, now: Timestamp) -> (&'static str, &'static str, String) {
    match clock.state(now) {
        ClockState::Met => ("good", "✓", "met in time".to_owned()),
        ClockState::Late => ("warn", "!", "met, but late".to_owned()),
        ClockState::Missed | ClockState::Running => due(clock.due, now),
    }
}

/// The same of a clock that nobody has met, by what it is due.
pub(crate) fn due(due: Timestamp, now: Timestamp) -> (&'static str, &'static str, String) {
    let left = due.duration_since(now);
    if left.is_negative() {
        ("bad", "✕", format!("missed {} ago", length(left)))
    } else if left < SignedDuration::from_mins(5) {
        ("warn", "▲", format!("{} left", length(left)))
    } else {
        ("", "●", format!("{} left", length(left)))
    }
}

/// A length of time, as `quell.js` says it, so that nothing jumps when it takes over.
pub(crate) fn length(length: SignedDuration) -> String {
    let s = length.as_secs().unsigned_abs();
    let (days, hours, minutes) = (s / 86_400, s / 3_600 % 24, s / 60 % 60);
    match (days, hours, minutes) {
        (0, 0, 0) => format!("{s} s"),
        (0, 0, _) => format!("{minutes} min {} s", s % 60),
        (0, _, _) => format!("{hours} h {minutes} min"),
        (_, _, _) => format!("{days} d {hours} h"),
    }
}

/// Milliseconds for people; a dash where there are none.
pub(crate) fn milliseconds(ms: Option<i64>) -> String {
    ms.map_or_else(|| "–".to_owned(), |ms| quell_app::report::duration(SignedDuration::from_millis(ms)))
}

/// What a stranger wrote must not steer a terminal, turn the line around or hide: such characters are shown as `�`.
pub(crate) fn visible(html: String) -> String {
    if hides(&html) { html.replace(hidden, "\u{fffd}") } else { html }
}

fn hidden(c: char) -> bool {
    (c.is_control() && c != '\n' && c != '\t')
        || matches!(c, '\u{61c}' | '\u{200b}'..='\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2060}'..='\u{2069}' | '\u{feff}')
        || matches!(c, '\u{e0000}'..='\u{e007f}')
}

/// Is there any such character? Only where a byte is its own control character, or the first one of those that hide in UTF-8, a character is looked at:
/// every page goes through here.
fn hides(html: &str) -> bool {
    html.bytes().enumerate().any(|(at, byte)| match byte {
        b'\n' | b'\t' => false,
        0..0x20 | 0x7f => true,
        0xc2 | 0xd8 | 0xe2 | 0xef | 0xf3 => {
            html.get(at..).and_then(|rest| rest.chars().next()).is_some_and(hidden)
        }
        _other => false,
    })
}

/// `a, b and 3 more`.
pub(crate) fn some(all: &[String], most: usize) -> String {
    let shown = all.iter().take(most).cloned().collect::<Vec<_>>().join(", ");
    match all.len().saturating_sub(most) {
        0 => shown,
        more => format!("{shown} and {more} more"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_hides_and_nothing_becomes_markup() {
        let bad = Badge::new("bad", "✕", "<script>\u{202e}\u{1b}[31m");
        assert_eq!(
            visible(bad.render().unwrap()),
            r#"<span class="badge bad"><span class="mark" aria-hidden="true">✕</span> &#60;script&#62;��[31m</span>"#
        );
        assert_eq!(visible("a\n\tb".to_owned()), "a\n\tb");
    }

    /// The quick look at bytes and the slow one at characters say the same of every character there is.
    #[test]
    fn whatever_hides_is_seen_by_its_first_byte() {
        for c in char::MIN..=char::MAX {
            assert_eq!(hides(&format!("é✕{c}")), hidden(c), "U+{:04x}", u32::from(c));
        }
    }

    #[test]
    fn lengths_are_said_as_the_script_says_them() {
        let said: Vec<String> =
            [0, 59, 61, 3_600, 90_061].into_iter().map(|s| length(SignedDuration::from_secs(s))).collect();
        assert_eq!(said, ["0 s", "59 s", "1 min 1 s", "1 h 0 min", "1 d 1 h"]);
        assert_eq!(some(&["a".to_owned(), "b".to_owned(), "c".to_owned()], 2), "a, b and 1 more");
    }
}
