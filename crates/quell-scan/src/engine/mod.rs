//! Bytes in, matches out.
//!
//! Map: [`crate::rule::reach`] says by which literals a regex can be woken and how far a match may lie around them;
//! `plan` gathers that for all rules; `prefilter` finds the literals; `screen` asks what is cheap to ask and `worker` tries a
//! regex at one place; `filter` tells secrets from what only looks like one; `carry` searches a text in full, or from what was
//! found in the text that it was made from.

mod carry;
mod filter;
mod generic;
mod keyword;
mod letters;
mod lexicon;
mod matcher;
mod name;
mod placeholder;
mod plan;
mod prefilter;
mod screen;
#[cfg(test)]
mod tests;
mod value;
mod worker;

use std::ops::Range;

pub(crate) use carry::{Piece, Searched};
pub(crate) use filter::confidence;
pub use keyword::KeywordEngine;
pub(crate) use plan::Plan;

/// Longest match that is found whole, wherever it lies in an input.
pub const MAX_MATCH: usize = 64 << 10;

/// Where a rule matched.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Match {
    /// Index into [`crate::RuleSet::rules`].
    pub rule: usize,
    /// The whole match.
    pub span: Range<usize>,
    /// The secret inside it.
    pub secret: Range<usize>,
    /// The part of the secret that is a secret by itself, as written (a URL's password, not decoded).
    pub password: Option<Range<usize>>,
    /// The user beside it.
    pub principal: Option<Range<usize>>,
}

/// Finds what rules describe.
///
/// Matches may come in any order, but never two with the same rule and secret. What only a path can decide is not decided here.
pub trait Engine: Send + Sync {
    /// Calls `sink` for every match in `bytes`.
    fn scan(&self, bytes: &[u8], sink: &mut dyn FnMut(Match));
}

/// How far the line around a match is looked at, on each side. Nothing that a filter decides may depend on bytes that are
/// further away: results are carried to other versions of a text where these bytes are the same.
pub(crate) const SIDE: usize = 512;

/// How far filters and the parts of a rule look around a match, at most: a part lies within 512 bytes, and its regex reads
/// 128 more.
pub(crate) const AROUND: usize = 704;

/// The line around a span, cut to a bounded length on both sides.
pub(crate) fn line_around<'a>(bytes: &'a [u8], span: &Range<usize>) -> &'a [u8] {
    let first = span.start.saturating_sub(SIDE);
    let before = bytes.get(first..span.start).unwrap_or_default();
    let start = memchr::memrchr(b'\n', before).map_or(first, |at| first + at + 1);
    let last = span.end.saturating_add(SIDE).min(bytes.len());
    let after = bytes.get(span.end..last).unwrap_or_default();
    let end = memchr::memchr(b'\n', after).map_or(last, |at| span.end + at);
    bytes.get(start..end).unwrap_or_default()
}
