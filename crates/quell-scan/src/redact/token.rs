//! What no rule knows and nobody can rule out: only strict mode asks.

use std::ops::Range;

/// Something that cannot be decided.
#[derive(Debug)]
pub(super) struct Odd {
    pub(super) range: Range<usize>,
    pub(super) what: &'static str,
}

/// What [`Odd::what`] says of whole lines.
pub(super) const LINE: &str = "a line that is no text";

/// Shorter tokens are words, numbers, and ids.
const MIN: usize = 20;

/// Tokens that look random, and lines that are no text, in order.
pub(super) fn undecided(text: &[u8]) -> Vec<Odd> {
    let mut odd = Vec::new();
    let mut at = 0;
    for line in text.split_inclusive(|byte| *byte == b'\n') {
        let content = line.strip_suffix(b"\n").unwrap_or(line);
        if content.contains(&0) || std::str::from_utf8(content).is_err() {
            odd.push(Odd { range: at..at + content.len(), what: LINE });
        } else {
            tokens(content, at, &mut odd);
        }
        at += line.len();
    }
    odd
}

fn tokens(line: &[u8], base: usize, odd: &mut Vec<Odd>) {
    let mut start = 0;
    for token in line.split(|byte| !of_token(*byte)) {
        if token.len() >= MIN && random(token) {
            let from = base + start;
            odd.push(Odd { range: from..from + token.len(), what: "an unknown token" });
        }
        start += token.len() + 1;
    }
}

fn of_token(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || b"+/_=~".contains(&byte)
}

/// Digits and letters mixed as no word, path or name mixes them: a change between letter and digit, or between cases other
/// than at the start of a word, at least every sixth byte. A token of hexadecimal digits only has changes enough.
fn random(token: &[u8]) -> bool {
    let class = |byte: u8| match byte {
        b'0'..=b'9' => 0,
        b'A'..=b'Z' => 1,
        b'a'..=b'z' => 2,
        _ => 3,
    };
    let digits = token.iter().any(u8::is_ascii_digit);
    let letters = token.iter().any(u8::is_ascii_alphabetic);
    let changes = token
        .windows(2)
        .filter(|pair| match pair {
            // `Word`: a capital before a small letter starts a word.
            [a, b] => {
                class(*a) != class(*b)
                    && !(class(*a) == 1 && class(*b) == 2)
                    && class(*a) != 3
                    && class(*b) != 3
            }
            _ => false,
        })
        .count();
    digits && letters && changes.saturating_mul(6) >= token.len()
}
