//! What looks like a secret and is none: too regular, a placeholder, allowed by a list.

use super::{Match, line_around};
use crate::RuleSet;
use crate::rule::{Candidate, Rank, Rule, contains};

pub(super) fn accepts(rules: &RuleSet, rule: &Rule, bytes: &[u8], found: &Match) -> bool {
    let Some(secret) = bytes.get(found.secret.clone()) else { return false };
    let core = found.password.clone().and_then(|range| bytes.get(range)).unwrap_or(secret);
    if rule.entropy.is_some_and(|least| entropy(core) <= least) {
        return false;
    }
    if rule.placeholders && placeholder(core) {
        return false;
    }
    if rule.rank == Rank::Generic && (reference(core) || identifier(core)) {
        return false;
    }
    let candidate = Candidate {
        secret,
        matched: bytes.get(found.span.clone()).unwrap_or(secret),
        line: line_around(bytes, &found.span),
    };
    !rules.lists_for(rule).any(|list| list.allows_text(&candidate)) && rule.confirms(bytes, found)
}

/// Shannon entropy in bits per byte.
pub(super) fn entropy(bytes: &[u8]) -> f64 {
    let mut counts = [0_u32; 256];
    for byte in bytes {
        if let Some(count) = counts.get_mut(usize::from(*byte)) {
            *count = count.saturating_add(1);
        }
    }
    #[expect(clippy::cast_precision_loss, reason = "matches are at most 64 KiB long")]
    let length = bytes.len() as f64;
    counts
        .iter()
        .filter(|count| **count > 0)
        .map(|count| {
            let share = f64::from(*count) / length;
            -share * share.log2()
        })
        .sum()
}

/// Words that people write where a password goes.
const TRIVIAL: &[&str] = &[
    "password",
    "passwd",
    "pass",
    "pwd",
    "secret",
    "token",
    "postgres",
    "root",
    "admin",
    "user",
    "username",
    "test",
    "mysql",
    "guest",
    "redis",
    "mongo",
    "mypassword",
    "123456",
    "12345678",
    "none",
    "null",
    "true",
    "false",
    "undefined",
];

/// Parts of words that stand for a value.
const STAND_INS: &[&str] = &[
    "changeme",
    "change-me",
    "change_me",
    "example",
    "placeholder",
    "redacted",
    "your-",
    "your_",
    "yourpass",
    "insert-",
    "insert_",
    "replace-",
    "replace_",
    "replaceme",
    "xxxx",
    "****",
    "....",
    "<",
    "not-a-real",
    "notreal",
    "dummy",
];

/// True for variables, templates, and words that stand for a value.
pub(super) fn placeholder(text: &[u8]) -> bool {
    let lower = text.to_ascii_lowercase();
    let starts = |prefix: &str| lower.starts_with(prefix.as_bytes());
    let wrapped = |open: &str, close: &str| starts(open) && lower.ends_with(close.as_bytes());
    let variable = text.strip_prefix(b"$").is_some_and(|name| {
        !name.is_empty()
            && name.iter().all(|byte| byte.is_ascii_uppercase() || byte.is_ascii_digit() || *byte == b'_')
    });
    let one_byte = text.first().is_some_and(|first| text.iter().all(|byte| byte == first));
    variable
        || one_byte
        || starts("${")
        || starts("$(")
        || contains(&lower, b"{{")
        || contains(&lower, b"#{")
        || wrapped("%", "%")
        || wrapped("{", "}")
        || wrapped("[", "]")
        || wrapped("%(", ")s")
        || TRIVIAL.iter().any(|word| lower == word.as_bytes())
        || STAND_INS.iter().any(|word| contains(&lower, word.as_bytes()))
}

/// True for a path or URL, which only says where a secret is.
fn reference(text: &[u8]) -> bool {
    text.starts_with(b"/") || text.starts_with(b"./") || text.starts_with(b"~/") || contains(text, b"://")
}

/// True for names in code and words of any language: letters with `_ . - : \` between them, but no digit and no other
/// ASCII sign.
fn identifier(text: &[u8]) -> bool {
    text.iter().all(|byte| byte.is_ascii_alphabetic() || !byte.is_ascii() || b"_.-:\\".contains(byte))
}
