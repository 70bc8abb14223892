//! Comments beside a secret that say: this is known and fine.

use std::ops::Range;
use std::sync::LazyLock;

use aho_corasick::AhoCorasick;

use crate::engine::line_around;
use crate::finding::printable;
use crate::hit::Hit;

/// An allow comment that counts.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(crate) struct Allow {
    /// The marker, such as `quell:allow`.
    pub(crate) marker: &'static str,
    /// What it gives as a reason; without one it does not count.
    pub(crate) reason: Option<String>,
}

/// What the surroundings of a secret say about it.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(super) enum Said {
    Nothing,
    /// This marker with no reason behind it, which does not count.
    WithoutReason(&'static str),
    Allowed(Allow),
}

/// Our own marker and those of other tools.
const MARKERS: &[&str] = &[
    "quell:allow",
    "gitleaks:allow",
    "betterleaks:allow",
    "kingfisher:allow",
    "kingfisher:ignore",
    "trufflehog:ignore",
    "pragma: allowlist secret",
    "secretlint-disable-line",
];

/// Fewer letters and digits than this are no reason.
const MIN_REASON: usize = 3;

/// Longest reason that is kept, in characters.
const MAX_REASON: usize = 120;

/// Notes on a hit what the comments beside it say.
pub(super) fn mark(bytes: &[u8], secret: &Range<usize>, hit: &mut Hit) {
    match around(bytes, secret) {
        Said::Nothing => {}
        Said::WithoutReason(marker) => hit.note = Some(format!("`{marker}` without a reason does not count")),
        Said::Allowed(allow) => hit.allow = Some(allow),
    }
}

/// Reads the line of a secret: of one that spans lines, the first and the last.
pub(super) fn around(bytes: &[u8], secret: &Range<usize>) -> Said {
    let first = line_around(bytes, &(secret.start..secret.start));
    let start = secret.start.saturating_sub(before(bytes, secret.start).len());
    let mut said = on_line(first, secret, start);
    if matches!(said, Said::Nothing) {
        let last = line_around(bytes, &(secret.end..secret.end));
        let last_start = secret.end.saturating_sub(before(bytes, secret.end).len());
        // Of a secret on one line, both are the same.
        if (last_start, last.len()) != (start, first.len()) {
            said = on_line(last, secret, last_start);
        }
    }
    said
}

/// The part of the line before an offset, as far as [`line_around`] shows it.
fn before(bytes: &[u8], at: usize) -> &[u8] {
    let head = bytes.get(..at).unwrap_or_default();
    line_around(head, &(head.len()..head.len()))
}

fn on_line(line: &[u8], secret: &Range<usize>, start: usize) -> Said {
    static FINDER: LazyLock<Option<AhoCorasick>> =
        LazyLock::new(|| AhoCorasick::builder().ascii_case_insensitive(true).build(MARKERS).ok());
    let mut said = Said::Nothing;
    for found in FINDER.iter().flat_map(|finder| finder.find_iter(line)) {
        let Some(marker) = MARKERS.get(found.pattern().as_usize()) else { continue };
        let end = found.end();
        let begins = found.start().checked_sub(1).and_then(|before| line.get(before));
        // A marker inside the secret itself says nothing, nor does one that is the end of another word.
        if begins.is_some_and(u8::is_ascii_alphanumeric)
            || (secret.start < start + end && start + end <= secret.end)
        {
            continue;
        }
        let stop = secret.start.checked_sub(start).filter(|at| *at >= end).unwrap_or(line.len());
        match reason(line.get(end..stop.min(line.len())).unwrap_or_default()) {
            Some(reason) => return Said::Allowed(Allow { marker, reason: Some(reason) }),
            None => said = Said::WithoutReason(marker),
        }
    }
    said
}

/// The words after a marker, without the end of the comment and without anything that could be a value: a reason is
/// shown in reports.
fn reason(rest: &[u8]) -> Option<String> {
    let text = String::from_utf8_lossy(rest);
    let end = ["*/", "-->", "--}}", "#}", "\"", "'", "`", "="].iter().filter_map(|end| text.find(end)).min();
    let text = text.get(..end.unwrap_or(text.len())).unwrap_or_default();
    let trimmed = text.trim_matches(|c: char| !c.is_alphanumeric() && !matches!(c, '(' | ')'));
    if trimmed.bytes().filter(u8::is_ascii_alphanumeric).count() < MIN_REASON {
        return None;
    }
    let words: Vec<&str> = trimmed.split_whitespace().map(shown).collect();
    Some(printable(&words.join(" ").chars().take(MAX_REASON).collect::<String>()))
}

/// A word, unless it is long or mixed enough to be a value.
fn shown(word: &str) -> &str {
    let digits = word.bytes().any(|byte| byte.is_ascii_digit());
    let letters = word.bytes().any(|byte| byte.is_ascii_alphabetic());
    if word.len() > 24 || (word.len() >= 8 && digits && letters) { "…" } else { word }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn said(text: &str, secret: &str) -> Said {
        let at = text.find(secret).unwrap();
        around(text.as_bytes(), &(at..at + secret.len()))
    }

    fn allowed(text: &str) -> Option<(&'static str, Option<String>)> {
        match said(text, "VALUE") {
            Said::Allowed(Allow { marker, reason }) => Some((marker, reason)),
            Said::Nothing | Said::WithoutReason(_) => None,
        }
    }

    #[test]
    fn a_marker_needs_a_reason() {
        assert_eq!(said("x = VALUE", "VALUE"), Said::Nothing);
        for marker in MARKERS {
            let bare = Said::WithoutReason(marker);
            for comment in [format!("# {marker}"), format!("/* {marker} */"), format!("// {marker}: -")] {
                assert_eq!(said(&format!("x = VALUE {comment}"), "VALUE"), bare, "{comment}");
            }
            let reason = Some("rotated in May".to_owned());
            assert_eq!(
                allowed(&format!("x = VALUE # {marker} rotated in May")),
                Some((*marker, reason.clone()))
            );
            assert_eq!(
                allowed(&format!("/* {marker}: rotated in May */ x = VALUE")),
                Some((*marker, reason))
            );
            assert_eq!(said(&format!("x = VALUE # x{marker} rotated in May"), "VALUE"), Said::Nothing);
            assert_eq!(allowed(&format!("y # {marker} test\nx = VALUE")), None);
        }
        assert!(allowed("x = VALUE # gitleaks:allow # quell:allow rotated in May").is_some());
    }

    #[test]
    fn a_value_of_many_lines_has_two_lines_for_comments() {
        let first = "key = \"BEGIN # gitleaks:allow sample\nmore\nEND\"";
        let last = "key = \"BEGIN\nmore\nEND\" # quell:allow sample key";
        let middle = "key = \"BEGIN\nmore quell:allow sample\nEND\"";
        for (text, yes) in [(last, true), (middle, false)] {
            let range = text.find("BEGIN").unwrap()..text.find("END").unwrap() + 3;
            assert_eq!(matches!(around(text.as_bytes(), &range), Said::Allowed(_)), yes, "{text}");
        }
        // Here the comment would be inside the value.
        let range = first.find("BEGIN").unwrap()..first.find("END").unwrap() + 3;
        assert_eq!(around(first.as_bytes(), &range), Said::Nothing);
        let above = "# gitleaks:allow sample \"BEGIN\nmore\nEND\"";
        let range = above.find("BEGIN").unwrap()..above.find("END").unwrap() + 3;
        assert!(matches!(around(above.as_bytes(), &range), Said::Allowed(_)));
    }

    #[test]
    fn a_reason_holds_no_value() {
        let text = "/* quell:allow see VALUE */ key";
        assert_eq!(allowed(text), Some(("quell:allow", Some("see".to_owned()))));
        let text = "x = VALUE # quell:allow old one was abc123def456 and \"more\"";
        assert_eq!(allowed(text), Some(("quell:allow", Some("old one was … and".to_owned()))));
    }
}
