//! Moments, durations and other people's text, in words.

use jiff::{SignedDuration, Timestamp};
use serde::Serialize;

/// Longest text taken over from data, in characters. A report is read by people; the ledger keeps the whole.
const TEXT_MAX: usize = 1_000;

/// A moment: absolute, and as distance from the declaration.
#[derive(Clone, Debug, Eq, PartialEq, Serialize)]
pub struct Moment {
    /// RFC 3339 in UTC, to the second.
    pub utc: String,
    /// `23 November 2026, 22:41 UTC`: for people who are written to.
    pub words: String,
    /// `T+4 min 12 s`; T is the declaration.
    pub relative: String,
}

impl Moment {
    /// A moment, seen from `origin`.
    pub fn new(at: Timestamp, origin: Timestamp) -> Self {
        let apart = at.duration_since(origin);
        let sign = if apart.is_negative() { '-' } else { '+' };
        let words = at.strftime("%-d %B %Y, %H:%M UTC").to_string();
        Self { utc: utc(at), words, relative: format!("T{sign}{}", duration(apart)) }
    }
}

/// RFC 3339 in UTC, to the second (fractions are cut off).
pub(super) fn utc(at: Timestamp) -> String {
    format!("{at:.0}")
}

/// A length of time as people say it: `0.12 s`, `4 min 12 s`, `2 h 5 min`, `3 d 4 h`. The sign is not shown.
pub fn duration(length: SignedDuration) -> String {
    let millis = length.as_millis().unsigned_abs();
    let seconds = millis / 1000;
    let pair = |big: u128, big_unit: &str, small: u128, small_unit: &str| match small {
        0 => format!("{big} {big_unit}"),
        _ => format!("{big} {big_unit} {small} {small_unit}"),
    };
    match seconds {
        0 if (1..10).contains(&millis) => format!("{millis} ms"),
        0..10 => {
            let text = format!("{seconds}.{:02}", millis % 1000 / 10);
            format!("{} s", text.trim_end_matches('0').trim_end_matches('.'))
        }
        10..60 => format!("{seconds} s"),
        60..3600 => pair(seconds / 60, "min", seconds % 60, "s"),
        3600..86_400 => pair(seconds / 3600, "h", seconds % 3600 / 60, "min"),
        _ => pair(seconds / 86_400, "d", seconds % 86_400 / 3600, "h"),
    }
}

/// A length of time in milliseconds, as people say it.
pub(super) fn milliseconds(length: u64) -> String {
    duration(SignedDuration::from_millis(i64::try_from(length).unwrap_or(i64::MAX)))
}

/// `1 step`, `2 steps`.
pub(super) fn count(n: usize, noun: &str) -> String {
    if n == 1 { format!("1 {noun}") } else { format!("{n} {noun}s") }
}

/// Foreign text on one line: no control characters, nothing that reorders what is shown, of bounded length.
pub(super) fn text(foreign: &str) -> String {
    bounded(foreign, TEXT_MAX)
}

/// The same for what people wrote for this very document: its length was bounded when it was written down.
pub(super) fn line(foreign: &str) -> String {
    bounded(foreign, usize::MAX)
}

fn bounded(foreign: &str, most: usize) -> String {
    // Nearly all of it is plain, and a room says some hundred of them at once.
    let plain = foreign.trim();
    if plain.len() <= most && plain.bytes().all(|b| matches!(b, b' '..=b'~')) && !plain.contains("  ") {
        return plain.to_owned();
    }
    let mut out = String::new();
    let mut kept = 0_usize;
    let mut left_out = 0_usize;
    for c in foreign.trim().chars() {
        if kept >= most {
            left_out += 1;
            continue;
        }
        let shown = match c {
            '\n' | '\r' | '\t' | '\u{2028}' | '\u{2029}' => ' ',
            _ if c.is_control() || invisible(c) => '\u{fffd}',
            _ => c,
        };
        if shown == ' ' && out.ends_with(' ') {
            continue;
        }
        out.push(shown);
        kept += 1;
    }
    if left_out > 0 {
        let end = format!("… ({left_out} more characters in the ledger)");
        out.push_str(&end);
    }
    out
}

/// Characters that change the direction of text, or are not seen at all.
fn invisible(c: char) -> bool {
    matches!(c, '\u{200b}'..='\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{2060}'..='\u{2069}' | '\u{feff}' | '\u{061c}')
}

/// The first twelve characters of a hash, for tables.
pub(super) fn short(hash: &str) -> String {
    let cut: String = hash.chars().take(12).collect();
    text(&cut)
}

/// Names and observations of a connector as `key=value`, sorted.
pub(super) fn pairs(facts: &serde_json::Map<String, serde_json::Value>) -> String {
    let one = |(key, value): (&String, &serde_json::Value)| match value.as_str() {
        Some(plain) => format!("{key}={plain}"),
        None => format!("{key}={value}"),
    };
    let mut all: Vec<String> = facts.iter().map(one).collect();
    all.sort_unstable();
    text(&all.join(", "))
}

/// Non-empty parts, joined.
pub(super) fn joined(parts: impl IntoIterator<Item = String>) -> String {
    text(&parts.into_iter().filter(|p| !p.is_empty()).collect::<Vec<_>>().join("; "))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations_as_people_say_them() {
        let said: Vec<String> =
            [0, 7, 120, 1_000, 1_500, 9_999, 42_000, 252_000, 3_600_000, 7_500_000, 273_600_000]
                .map(milliseconds)
                .to_vec();
        insta::assert_snapshot!(said.join(", "), @"0 s, 7 ms, 0.12 s, 1 s, 1.5 s, 9.99 s, 42 s, 4 min 12 s, 1 h, 2 h 5 min, 3 d 4 h");
        assert_eq!(milliseconds(u64::MAX), duration(SignedDuration::from_millis(i64::MAX)));
    }

    #[test]
    fn moments_look_both_ways() {
        let t: Timestamp = "2026-11-22T03:04:05.678901Z".parse().unwrap();
        let before = Moment::new(t - SignedDuration::from_mins(5), t);
        assert_eq!((before.utc.as_str(), before.relative.as_str()), ("2026-11-22T02:59:05Z", "T-5 min"));
        assert_eq!(before.words, "22 November 2026, 02:59 UTC");
        assert_eq!(Moment::new(Timestamp::MIN, Timestamp::MAX).utc, "-009999-01-02T01:59:59Z");
    }

    #[test]
    fn foreign_text_stays_on_one_line_and_is_bounded() {
        assert_eq!(text(" a\r\nb\u{1b}[31m\u{202e}c "), "a b\u{fffd}[31m\u{fffd}c");
        let long = text(&"x".repeat(5_000));
        assert!(long.ends_with("… (4000 more characters in the ledger)"), "{long}");
    }
}
