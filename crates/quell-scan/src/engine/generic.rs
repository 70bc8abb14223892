//! The context of an assignment: what is assigned to what, and how that is written.

use super::Match;
use super::name::{self, Class};
use super::value::{self, Written};
use crate::rule::Rule;

/// How far before a match its name may begin, in bytes.
const NAME: usize = 64;

/// Half bits of randomness of a value that may be a secret by what it is assigned to; `None` for one that is none.
///
/// Tags of the rule say what the pattern promises: `password` or `token`; else the name decides.
pub(super) fn score(rule: &Rule, bytes: &[u8], found: &Match) -> Option<i32> {
    let secret = found.password.as_ref().unwrap_or(&found.secret);
    let text = bytes.get(secret.clone())?;
    let tagged = |tag: &str| rule.tags.iter().any(|own| own == tag);
    let written = written(bytes, found);
    if tagged("prose") {
        return prose(bytes, found, text);
    }
    if !tagged("named") {
        let class = if tagged("password") { Class::Password } else { Class::Token };
        return value::judge(text, class, Written::Quoted);
    }
    let name = name_of(bytes, found)?;
    let class = name::class(&name)?;
    // In a list or a call the name is only a neighbour, so it must be all that is said.
    let listed = bytes.get(found.span.start..found.secret.start)?.iter().any(|byte| b",(".contains(byte));
    if listed && !name::ends_secret(&name) {
        return None;
    }
    // A bare word with a bracket or a dot behind it is a call, or a part of something longer.
    if written != Written::Quoted && bytes.get(found.secret.end).is_some_and(|next| b"([{".contains(next)) {
        return None;
    }
    // `$request->password` as far as the pattern takes it.
    if text.first() == Some(&b'$') && text.last() == Some(&b'-') && bytes.get(secret.end) == Some(&b'>') {
        return None;
    }
    let score = value::judge(text, class, written)?;
    let echo = name::words(&name) == name::words(text);
    if echo { None } else { Some(score) }
}

/// Nothing but a blank stands between name and value, as in `--token x` and "the token is x": only a value that is
/// clearly random counts, or one that a flag takes.
fn prose(bytes: &[u8], found: &Match, text: &[u8]) -> Option<i32> {
    let name = name_of(bytes, found)?;
    let flag = name.starts_with(b"--");
    let class = name::class(name.strip_suffix(b" is").unwrap_or(&name))?;
    let digits = text.iter().filter(|byte| byte.is_ascii_digit()).count();
    let score = value::judge(text, if flag { class } else { Class::Token }, Written::Spaced)?;
    (flag || (score >= value::VERY_RANDOM && digits >= 2 && text.len() >= 12)).then_some(score)
}

/// The whole name: what stands before the match, and the match up to the first sign that ends a name.
fn name_of(bytes: &[u8], found: &Match) -> Option<Vec<u8>> {
    let before = bytes.get(found.span.start.saturating_sub(NAME)..found.span.start)?;
    let inside = |byte: &u8| byte.is_ascii_alphanumeric() || b"_-.".contains(byte);
    let head = before.iter().rposition(|byte| !inside(byte)).map_or(0, |at| at + 1);
    let matched = bytes.get(found.span.start..found.secret.start)?;
    let end =
        matched.iter().position(|byte| b"\"'`\\]):=>,(|?!\t\r\n<".contains(byte)).unwrap_or(matched.len());
    let mut name = before.get(head..)?.to_vec();
    name.extend_from_slice(matched.get(..end)?);
    Some(name)
}

fn written(bytes: &[u8], found: &Match) -> Written {
    let before = bytes.get(found.span.start..found.secret.start).unwrap_or_default();
    match before {
        [.., b'"' | b'\'' | b'`' | b'>'] => Written::Quoted,
        [.., b' ' | b'\t', sign, b' ' | b'\t'] if *sign != b':' => Written::Spaced,
        _ => Written::Bare,
    }
}
