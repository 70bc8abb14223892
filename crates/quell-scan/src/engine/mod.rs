//! Bytes in, matches out.
//!
//! The trait is small on purpose: everything around it (blocks, lines, git, grouping) stays when a faster engine comes.

mod filter;
mod generic;
mod keyword;
mod letters;
mod name;
mod placeholder;
#[cfg(test)]
mod tests;
mod value;

use std::ops::Range;

pub(crate) use filter::confidence;
pub use keyword::KeywordEngine;

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

/// The line around a span, cut to a bounded length on both sides.
pub(crate) fn line_around<'a>(bytes: &'a [u8], span: &Range<usize>) -> &'a [u8] {
    const SIDE: usize = 2 << 10;
    let first = span.start.saturating_sub(SIDE);
    let before = bytes.get(first..span.start).unwrap_or_default();
    let start = before.iter().rposition(|byte| *byte == b'\n').map_or(first, |at| first + at + 1);
    let last = span.end.saturating_add(SIDE).min(bytes.len());
    let after = bytes.get(span.end..last).unwrap_or_default();
    let end = after.iter().position(|byte| *byte == b'\n').map_or(last, |at| span.end + at);
    bytes.get(start..end).unwrap_or_default()
}
