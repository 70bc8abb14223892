//! Regexes written for Go's `regexp` (RE2), as gitleaks has them, to the syntax of the `regex` crate.
//!
//! Sources: Go's package documentation of `regexp/syntax`, RE2's wiki page "Syntax", the `regex` crate's page "Syntax".
//! The two differ in: `\Q…\E`, octal escapes, `\C`, `\<` (a literal there, a word border here), a literal `{`, a literal
//! `[` and doubled signs inside a class, `\s` without the vertical tab, and ASCII classes and word borders whatever else
//! is in the pattern.

use std::iter::Peekable;
use std::str::Chars;

/// Why a pattern cannot be taken.
#[derive(Debug)]
pub(super) struct Refused {
    pub(super) detail: String,
    pub(super) hint: String,
}

const LINEAR: &str = "look-around and backreferences do not exist here: matching is linear in time";

fn refused<T>(detail: impl Into<String>, hint: &str) -> Result<T, Refused> {
    Err(Refused { detail: detail.into(), hint: hint.to_owned() })
}

/// What to tell the author of a pattern that does not compile.
pub(super) fn explain(error: &regex::Error) -> (String, &'static str) {
    if let regex::Error::CompiledTooBig(limit) = error {
        let detail = format!("the compiled regex would take more than {} MiB", limit >> 20);
        return (detail, "lower its `{n,m}` counts, or leave out classes of Unicode");
    }
    // The crate shows the pattern with a marker below it; the last line says what is wrong.
    let text = error.to_string();
    let last = text.lines().last().unwrap_or_default().trim_start_matches("error: ");
    (format!("the regex does not compile: {last}"), LINEAR)
}

/// The same pattern in our syntax.
pub(super) fn translate(pattern: &str) -> Result<String, Refused> {
    let mut out = String::with_capacity(pattern.len() + 16);
    let mut rest = pattern.chars().peekable();
    while let Some(next) = rest.next() {
        match next {
            '\\' => escape(&mut rest, &mut out)?,
            '[' => class(&mut rest, &mut out)?,
            '{' if !counts(&rest) => out.push_str("\\{"),
            '(' => {
                let ahead: String = rest.clone().take(3).collect();
                let around = ["?=", "?!", "?<=", "?<!"].iter().find(|start| ahead.starts_with(**start));
                if let Some(start) = around {
                    return refused(format!("`({start}` is look-around"), LINEAR);
                }
                out.push('(');
            }
            other => out.push(other),
        }
    }
    Ok(out)
}

/// Whether `{` starts `{n}`, `{n,}` or `{n,m}`; anything else is a literal in Go.
fn counts(rest: &Peekable<Chars<'_>>) -> bool {
    let body: String = rest.clone().take_while(|c| *c != '}').take(12).collect();
    let closed = rest.clone().nth(body.chars().count()) == Some('}');
    let number = |text: &str| !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
    let valid = match body.split_once(',') {
        None => number(&body),
        Some((low, high)) => number(low) && (high.is_empty() || number(high)),
    };
    closed && valid
}

/// An escape outside a class.
fn escape(rest: &mut Peekable<Chars<'_>>, out: &mut String) -> Result<(), Refused> {
    let Some(next) = rest.next() else { return refused("it ends in `\\`", "write `\\\\` for a backslash") };
    match next {
        'd' => out.push_str("[0-9]"),
        'D' => out.push_str("[^0-9]"),
        'w' => out.push_str("[0-9A-Za-z_]"),
        'W' => out.push_str("[^0-9A-Za-z_]"),
        's' => out.push_str(r"[\t\n\f\r ]"),
        'S' => out.push_str(r"[^\t\n\f\r ]"),
        'b' => out.push_str(r"(?-u:\b)"),
        'B' => out.push_str(r"(?-u:\B)"),
        'C' => out.push_str("(?s-u:.)"),
        'A' => out.push_str(r"\A"),
        'z' => out.push_str(r"\z"),
        'Z' => return refused("`\\Z` does not exist in Go's syntax", "write `\\z` for the end of the text"),
        'Q' => quoted(rest, out),
        'p' | 'P' => property(next, rest, out),
        other => {
            let literal = character(other, rest)?;
            push_literal(literal, out);
        }
    }
    Ok(())
}

/// `\Q…\E`, or to the end.
fn quoted(rest: &mut Peekable<Chars<'_>>, out: &mut String) {
    while let Some(next) = rest.next() {
        if next == '\\' && rest.peek() == Some(&'E') {
            rest.next();
            return;
        }
        push_literal(next, out);
    }
}

/// `\pN`, `\p{Greek}`, `\p{^Greek}`.
fn property(letter: char, rest: &mut Peekable<Chars<'_>>, out: &mut String) {
    let negated = rest.peek() == Some(&'{') && rest.clone().nth(1) == Some('^');
    let flip = |letter: char| if letter == 'p' { 'P' } else { 'p' };
    out.push('\\');
    out.push(if negated { flip(letter) } else { letter });
    if rest.peek() != Some(&'{') {
        out.extend(rest.next());
        return;
    }
    for next in rest.by_ref() {
        if next != '^' {
            out.push(next);
        }
        if next == '}' {
            return;
        }
    }
}

/// The character that an escape stands for.
fn character(letter: char, rest: &mut Peekable<Chars<'_>>) -> Result<char, Refused> {
    let octal = |c: &char| c.is_digit(8);
    let value = match letter {
        'a' => Some('\x07'),
        'f' => Some('\x0c'),
        't' => Some('\t'),
        'n' => Some('\n'),
        'r' => Some('\r'),
        'v' => Some('\x0b'),
        'x' => hexadecimal(rest),
        '0' => char::from_u32(digits(0, rest, 2)),
        '1'..='7' if rest.peek().is_some_and(octal) => {
            char::from_u32(digits(letter.to_digit(8).unwrap_or(0), rest, 2))
        }
        '1'..='9' => return refused(format!("`\\{letter}` is a backreference"), LINEAR),
        other if other.is_ascii_alphanumeric() => None,
        other => Some(other),
    };
    match value {
        Some(value) => Ok(value),
        None => {
            refused(format!("`\\{letter}` is not known"), "see the syntax of Go's package `regexp/syntax`")
        }
    }
}

/// Up to `most` octal digits.
fn digits(first: u32, rest: &mut Peekable<Chars<'_>>, most: usize) -> u32 {
    let mut value = first;
    for _ in 0..most {
        let Some(digit) = rest.peek().and_then(|c| c.to_digit(8)) else { break };
        value = value * 8 + digit;
        rest.next();
    }
    value
}

/// `\x7F` or `\x{10FFFF}`, after the `x`.
fn hexadecimal(rest: &mut Peekable<Chars<'_>>) -> Option<char> {
    let body: String = if rest.peek() == Some(&'{') {
        rest.next();
        rest.by_ref().take_while(|c| *c != '}').take(8).collect()
    } else {
        rest.by_ref().take(2).collect()
    };
    u32::from_str_radix(&body, 16).ok().and_then(char::from_u32)
}

fn push_literal(literal: char, out: &mut String) {
    if literal.is_ascii_punctuation() && !matches!(literal, '<' | '>' | '"' | '\'' | '/' | '_') {
        out.push('\\');
    }
    out.push(literal);
}

/// A class, after its `[`.
fn class(rest: &mut Peekable<Chars<'_>>, out: &mut String) -> Result<(), Refused> {
    out.push('[');
    if rest.peek() == Some(&'^') {
        rest.next();
        out.push('^');
    }
    let mut first = true;
    loop {
        let Some(next) = rest.next() else {
            return refused("a class `[` has no end", "write `\\[` for a bracket");
        };
        match next {
            ']' if !first => {
                out.push(']');
                return Ok(());
            }
            '[' if rest.peek() == Some(&':') => named(rest, out)?,
            '\\' if set(rest, out) => {}
            other => member(other, rest, out)?,
        }
        first = false;
    }
}

/// `[:alnum:]` and its like, after the bracket.
fn named(rest: &mut Peekable<Chars<'_>>, out: &mut String) -> Result<(), Refused> {
    let body: String = rest.clone().take_while(|c| *c != ']').take(16).collect();
    if !body.ends_with(':') || body.len() < 3 {
        return member('[', rest, out);
    }
    for _ in 0..=body.chars().count() {
        rest.next();
    }
    out.push('[');
    out.push_str(&body);
    out.push(']');
    Ok(())
}

/// An escape that stands for many characters. False, and nothing taken, for others.
fn set(rest: &mut Peekable<Chars<'_>>, out: &mut String) -> bool {
    let text = match rest.peek() {
        Some('d') => "0-9",
        Some('D') => "[^0-9]",
        Some('w') => "0-9A-Za-z_",
        Some('W') => "[^0-9A-Za-z_]",
        Some('s') => r"\t\n\f\r ",
        Some('S') => r"[^\t\n\f\r ]",
        Some(letter @ ('p' | 'P')) => {
            let letter = *letter;
            rest.next();
            property(letter, rest, out);
            return true;
        }
        _ => return false,
    };
    rest.next();
    out.push_str(text);
    true
}

/// One character or a range; every sign is written so that it means nothing else here.
fn member(first: char, rest: &mut Peekable<Chars<'_>>, out: &mut String) -> Result<(), Refused> {
    let low = literal(first, rest)?;
    push_member(low, out);
    let mut ahead = rest.clone();
    if ahead.next() != Some('-') || matches!(ahead.peek(), None | Some(']')) {
        return Ok(());
    }
    // `a-\d` is no range: the sign stands for itself.
    let escaped = ahead.clone().nth(1).filter(|_| ahead.peek() == Some(&'\\'));
    if escaped.is_some_and(|letter| "dDwWsSpP".contains(letter)) {
        return Ok(());
    }
    rest.next();
    let Some(next) = rest.next() else { return Ok(()) };
    let high = literal(next, rest)?;
    out.push('-');
    push_member(high, out);
    Ok(())
}

fn literal(first: char, rest: &mut Peekable<Chars<'_>>) -> Result<char, Refused> {
    if first != '\\' {
        return Ok(first);
    }
    match rest.next() {
        Some(letter) => character(letter, rest),
        None => refused("it ends in `\\`", "write `\\\\` for a backslash"),
    }
}

fn push_member(literal: char, out: &mut String) {
    if matches!(literal, '[' | ']' | '\\' | '^' | '-' | '&' | '~') {
        out.push('\\');
    }
    out.push(literal);
}

#[cfg(test)]
mod tests {
    use super::*;

    fn matches(pattern: &str, text: &str) -> bool {
        let translated = translate(pattern).unwrap();
        super::super::Pattern::checked(translated).unwrap().matches(text.as_bytes())
    }

    #[test]
    fn what_go_accepts_means_the_same() {
        for (pattern, yes, no) in [
            (r"(?P<x>a)\z", "xa", "ax"),
            (r"^\pN+$", "12٣", "1a"),
            (r"^[\pL_]+$", "é_a", "1"),
            (r"^\p{^Greek}$", "a", "α"),
            (r"^[[:alnum:]]+$", "a1", "a-"),
            (r"a(?i)b", "aB", "AB"),
            (r"^\Qa.b{2}\E+$", "a.b{2}}", "aXb"),
            (r"^\Qa.b", "a.b", "axb"),
            (r"^a\Cb$", "a\nb", "ab"),
            (r"^\<a\>$", "<a>", "a"),
            (r#"^{"a": [0-9]{2}}$"#, r#"{"a": 12}"#, r#"{"a": 1}"#),
            (r"^a{,3}$", "a{,3}", "aa"),
            (r"^[[a]+$", "[a[", "b"),
            (r"^[a&&b]+$", "a&b", "c"),
            (r"^[a~~b\--]+$", "a~-b", "c"),
            (r"^[+--]+$", "+,-", "."),
            (r"^[\w-.]+$", "a-.", "+"),
            (r"^[]a]+$", "]a", "b"),
            (r"^[^]a]+$", "bc", "]"),
            (r"^\s$", " ", "\x0b"),
            (r"^[\s]$", "\t", "\x0b"),
            (r"^\101\x41\x{41}$", "AAA", "AAB"),
        ] {
            assert!(matches(pattern, yes), "{pattern} should match {yes}");
            assert!(!matches(pattern, no), "{pattern} should not match {no}");
        }
    }

    #[test]
    fn borders_and_classes_stay_ascii_beside_unicode() {
        assert!(matches(r"\pL\bx", "éx"), "`é` is no word character in Go");
        assert!(!matches(r"^\d\pL$", "٣a"));
    }

    #[test]
    fn what_cannot_be_is_refused_with_a_hint() {
        for (pattern, part) in [
            ("(?=a)", "look-around"),
            ("(?<!a)b", "look-around"),
            (r"(a)\1", "backreference"),
            (r"a\Z", "\\Z"),
            (r"\K", "not known"),
            (r"[a", "no end"),
            ("a\\", "ends in"),
        ] {
            let refused = translate(pattern).unwrap_err();
            assert!(refused.detail.contains(part), "{pattern}: {}", refused.detail);
            assert!(!refused.hint.is_empty());
        }
    }

    proptest::proptest! {
        #[test]
        fn any_text_is_translated_or_refused(text in "\\PC{0,60}") {
            drop(translate(&text));
        }

        #[test]
        fn hostile_patterns_end(text in r"[\[\](){}\\^$.|?*+a\-:&~0-9,pPQEdwsb<>x]{0,40}") {
            if let Ok(translated) = translate(&text) {
                drop(super::super::Pattern::checked(translated));
            }
        }
    }
}
