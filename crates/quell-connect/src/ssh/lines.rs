//! `authorized_keys` as text: which lines hold a key, and the file with one line more or less.
//!
//! A line is options, kind, key and comment; options may hold quoted spaces (sshd(8), "`AUTHORIZED_KEYS` FILE FORMAT"). A key that was taken
//! away stays as a comment, so that people see what happened and the successor gets the same options. Everything else is kept byte for
//! byte.

use base64::Engine as _;
use base64::engine::general_purpose::{STANDARD, STANDARD_NO_PAD};
use sha2::{Digest as _, Sha256};

/// What a line that was taken away begins with; the time and the line as it was follow.
const MARK: &str = "# quell took this key away ";

/// A line that holds a key.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(super) struct Line {
    /// From 1.
    pub(super) number: usize,
    /// As written; empty if there are none.
    pub(super) options: String,
    /// Whether it lets the key in.
    pub(super) active: bool,
}

/// The lines with a key, given as base64.
pub(super) fn find(text: &str, base64: &str) -> Vec<Line> {
    let lines = text.lines().enumerate();
    let found = lines.filter_map(|(n, line)| {
        let (line, active) = match taken(line) {
            Some(line) => (line, false),
            None => (line, true),
        };
        Some(Line { number: n + 1, options: options(line, base64)?.to_owned(), active })
    });
    found.collect()
}

/// The lines with the key of a fingerprint (`SHA256:…`).
pub(super) fn of_fingerprint(text: &str, fingerprint: &str) -> Vec<Line> {
    let mut found = Vec::new();
    for line in text.lines() {
        let line = taken(line).unwrap_or(line);
        for (_, word) in words(line.trim_start()) {
            if word.starts_with("AAAA") && named(word).as_deref() == Some(fingerprint) {
                found.extend(find(text, word));
            }
        }
    }
    found.dedup();
    found
}

/// The fingerprint of a key in base64 (`ssh-keygen -l`): SHA-256 of its bytes, in base64 without padding.
fn named(base64: &str) -> Option<String> {
    let bytes = STANDARD.decode(base64).ok()?;
    Some(format!("SHA256:{}", STANDARD_NO_PAD.encode(Sha256::digest(bytes))))
}

/// The file with the key as a line of its own.
pub(super) fn with(text: &str, options: &str, public_line: &str) -> String {
    let mut out = text.to_owned();
    if !out.is_empty() && !out.ends_with('\n') {
        out.push('\n');
    }
    for part in [options, if options.is_empty() { "" } else { " " }, public_line, "\n"] {
        out.push_str(part);
    }
    out
}

/// The file in which the key lets nobody in; `at` is when.
pub(super) fn without(text: &str, base64: &str, at: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for line in text.split_inclusive('\n') {
        if taken(line).is_none() && options(line.trim_end_matches(['\r', '\n']), base64).is_some() {
            for part in [MARK, at, ": "] {
                out.push_str(part);
            }
        }
        out.push_str(line);
    }
    out
}

/// A line that was taken away, as it was.
fn taken(line: &str) -> Option<&str> {
    line.strip_prefix(MARK)?.split_once(": ").map(|(_, line)| line)
}

/// The options of a line, if it is one with the key.
fn options<'a>(line: &'a str, base64: &str) -> Option<&'a str> {
    let line = line.trim_start_matches([' ', '\t']);
    if line.starts_with('#') {
        return None;
    }
    let words = words(line);
    let at = words.iter().position(|(_, word)| *word == base64)?;
    let (kind, _) = words.get(at.checked_sub(1)?)?;
    line.get(..*kind).map(|options| options.trim_end_matches([' ', '\t']))
}

/// Words and where they begin; a quoted part is no end of one.
fn words(line: &str) -> Vec<(usize, &str)> {
    let mut words = Vec::new();
    let (mut start, mut quoted, mut before) = (None, false, ' ');
    for (at, c) in line.char_indices() {
        let space = matches!(c, ' ' | '\t') && !quoted;
        match (space, start) {
            (true, Some(begin)) => {
                words.extend(line.get(begin..at).map(|word| (begin, word)));
                start = None;
            }
            (false, None) => start = Some(at),
            (true, None) | (false, Some(_)) => {}
        }
        // As sshd does it: whatever stands before the backslash.
        if c == '"' && before != '\\' {
            quoted = !quoted;
        }
        before = c;
    }
    words.extend(start.and_then(|begin| line.get(begin..).map(|word| (begin, word))));
    words
}

#[cfg(test)]
mod tests {
    use super::*;

    const FILE: &str = "# people\nssh-ed25519 AAAAone ines@example.com\n\
        from=\"10.0.0.0/8, ::1\",command=\"echo \\\"hi you\\\" AAAAtwo\" ssh-rsa AAAAtwo deploy\r\n\
        \tssh-ed25519 AAAAthree";

    #[test]
    fn lines_are_found_with_their_options() {
        let line = |number, options: &str, active| Line { number, options: options.to_owned(), active };
        assert_eq!(find(FILE, "AAAAone"), [line(2, "", true)]);
        let two = "from=\"10.0.0.0/8, ::1\",command=\"echo \\\"hi you\\\" AAAAtwo\"";
        assert_eq!(find(FILE, "AAAAtwo"), [line(3, two, true)]);
        assert_eq!(find(FILE, "AAAAthree"), [line(4, "", true)]);
        assert_eq!(find(FILE, "AAAAfour"), []);
        assert_eq!(find("AAAAone", "AAAAone"), [], "a key without a kind is none");
        assert_eq!(find(r#"from="x,\\"" ssh-ed25519 AAAAone c"#, "AAAAone").len(), 1);
        let gone = without(FILE, "AAAAtwo", "2026-03-02T10:00:00Z");
        assert_eq!(find(&gone, "AAAAtwo"), [line(3, two, false)]);
    }

    #[test]
    fn everything_else_is_kept() {
        let gone = without(FILE, "AAAAthree", "T");
        assert_eq!(gone, FILE.replace("\tssh", "# quell took this key away T: \tssh"));
        assert_eq!(without(&gone, "AAAAthree", "U"), gone, "once");
        assert_eq!(without(FILE, "AAAAfour", "T"), FILE);
        assert_eq!(with("", "", "ssh-ed25519 B c"), "ssh-ed25519 B c\n");
        assert_eq!(with(FILE, "restrict", "ssh-ed25519 B c"), format!("{FILE}\nrestrict ssh-ed25519 B c\n"));
    }

    proptest::proptest! {
        #[test]
        fn any_text_is_borne(text in "[ -~\t\r\nä\"\\\\#]{0,200}", key in "[A-C]{1,3}") {
            let gone = without(&text, &key, "T");
            proptest::prop_assert!(find(&gone, &key).iter().all(|line| !line.active));
            proptest::prop_assert!(gone.lines().count() == text.lines().count());
        }
    }
}
