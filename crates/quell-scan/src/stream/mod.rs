//! Inputs of any length through the engine, in bounded memory.
//!
//! An input is read in blocks. A block is searched together with what lies around it, and answers only for the matches
//! whose secret starts inside it: so each match is found once, wherever the borders fall.

mod allow;
#[cfg(test)]
mod tests;

use std::collections::BTreeMap;
use std::io::{self, Read};
use std::ops::Range;

use quell_core::secret::FingerprintKey;

use crate::engine::{Engine, MAX_MATCH, Match};
use crate::hit::{self, Hit, Hits, Keep};
use crate::known::Known;
use crate::rule::Rank;
use crate::{RuleSet, decode};

pub(crate) use allow::Allow;

/// How inputs are cut.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Sizes {
    /// Bytes that one search answers for.
    pub(crate) block: usize,
    /// Bytes around them, on each side. At least the longest match.
    pub(crate) overlap: usize,
}

impl Default for Sizes {
    fn default() -> Self {
        Self { block: 4 << 20, overlap: MAX_MATCH }
    }
}

/// Git looks at this many bytes for a NUL to call content binary (`buffer_is_binary` in its `xdiff-interface.c`).
const BINARY_PROBE: usize = 8000;

/// Rules, engine and key: all that it takes to turn bytes into hits.
pub(crate) struct Searcher<'a> {
    pub(crate) rules: &'a RuleSet,
    pub(crate) engine: &'a dyn Engine,
    pub(crate) key: &'a FingerprintKey,
    pub(crate) keep: Keep,
    pub(crate) sizes: Sizes,
    pub(crate) also: Also<'a>,
}

/// What a search may do beside the rules.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Also<'a> {
    /// The key of a baseline file: hits get a second fingerprint under it.
    pub(crate) baseline_key: Option<&'a FingerprintKey>,
    /// Values to look for.
    pub(crate) known: Option<&'a Known>,
}

/// What was found in an input, and how far it was read.
#[derive(Debug)]
pub(crate) struct Outcome {
    pub(crate) hits: Hits,
    #[cfg_attr(not(test), expect(dead_code, reason = "callers hear of bytes as they are read"))]
    pub(crate) bytes: u64,
    /// Why reading stopped early. What was read before is in `hits`.
    pub(crate) error: Option<io::Error>,
}

impl Searcher<'_> {
    /// Searches bytes that are in memory already.
    pub(crate) fn slice(&self, bytes: &[u8]) -> Hits {
        if bytes.len() <= self.sizes.block {
            let mut state = State::new(self);
            state.block(bytes, 0, 0, u64::MAX);
            return state.hits;
        }
        self.reader(&mut &*bytes, &mut |_| {}).hits
    }

    /// Searches a stream; `on_bytes` hears of every block.
    pub(crate) fn reader(&self, reader: &mut dyn Read, on_bytes: &mut dyn FnMut(u64)) -> Outcome {
        let mut state = State::new(self);
        let mut buffer: Vec<u8> = Vec::new();
        let mut base = 0_u64;
        let mut from = 0_u64;
        let mut bytes = 0_u64;
        let capacity = self.sizes.block.saturating_add(self.sizes.overlap.saturating_mul(2));
        loop {
            let space = capacity.saturating_sub(buffer.len());
            let before = buffer.len();
            let error = reader.take(wide(space)).read_to_end(&mut buffer).err();
            let fresh = buffer.len().saturating_sub(before);
            bytes = bytes.saturating_add(wide(fresh));
            on_bytes(wide(fresh));
            let last = fresh < space || error.is_some();
            let end = base.saturating_add(wide(buffer.len()));
            let until = if last { u64::MAX } else { end.saturating_sub(wide(self.sizes.overlap)) };
            state.block(&buffer, base, from, until);
            if last {
                return Outcome { hits: state.hits, bytes, error };
            }
            from = until;
            let next = until.saturating_sub(wide(self.sizes.overlap));
            let gone = usize::try_from(next.saturating_sub(base)).unwrap_or(0).min(buffer.len());
            buffer.drain(..gone);
            base = base.saturating_add(wide(gone));
        }
    }
}

/// Where a search stands in its input.
struct State<'s, 'a> {
    searcher: &'s Searcher<'a>,
    hits: Hits,
    binary: Option<bool>,
    /// Everything before this offset has been counted into `line` and `line_start`.
    counted: u64,
    line: u64,
    line_start: u64,
}

impl<'s, 'a> State<'s, 'a> {
    fn new(searcher: &'s Searcher<'a>) -> Self {
        Self { searcher, hits: Hits::default(), binary: None, counted: 0, line: 1, line_start: 0 }
    }

    /// Searches `bytes`, which lie at `base`, and keeps the matches whose secret starts in `from..until`.
    fn block(&mut self, bytes: &[u8], base: u64, from: u64, until: u64) {
        let probe = bytes.get(..BINARY_PROBE).unwrap_or(bytes);
        let binary = *self.binary.get_or_insert_with(|| probe.contains(&0));
        let rules = self.searcher.rules.rules();
        let mark = (self.counted, self.line, self.line_start);
        let mut matches = Vec::new();
        self.searcher.engine.scan(bytes, &mut |found| {
            let generic = rules.get(found.rule).is_none_or(|rule| rule.rank == Rank::Generic);
            if !(binary && generic) {
                matches.push(found);
            }
        });
        let mut hits: Vec<(Range<usize>, Hit)> = resolve(matches, self.searcher.rules)
            .into_iter()
            .filter_map(|found| Some((found.secret.clone(), self.redacted(bytes, &found)?)))
            .collect();
        decode::search(bytes, self.searcher.engine, &mut |run, text, matches| {
            for found in resolve(matches, self.searcher.rules) {
                if let Some(hit) = self.redacted(text, &found) {
                    hits.push((run.range.clone(), Hit { encoding: Some(run.encoding), ..hit }));
                }
            }
        });
        hits.sort_by_key(|(span, _)| span.start);
        for (span, hit) in hits {
            let start = base.saturating_add(wide(span.start));
            if start >= from && start < until {
                self.keep(bytes, base, start, &span, hit);
            }
        }
        // Lines are counted forward only, and known values are in an order of their own.
        (self.counted, self.line, self.line_start) = mark;
        self.known(bytes, base, from, until);
        let end = base.saturating_add(wide(bytes.len()));
        self.count(bytes, base, until.min(end));
    }

    fn redacted(&self, bytes: &[u8], found: &Match) -> Option<Hit> {
        let mut hit = hit::redact(bytes, found, self.searcher.rules, self.searcher.key, self.searcher.keep)?;
        let secret = bytes.get(found.secret.clone()).unwrap_or_default();
        hit.baseline = self.searcher.also.baseline_key.map(|key| key.fingerprint_bytes(secret));
        Some(hit)
    }

    fn keep(&mut self, bytes: &[u8], base: u64, start: u64, span: &Range<usize>, mut hit: Hit) {
        allow::mark(bytes, span, &mut hit);
        self.count(bytes, base, start);
        hit.line = self.line;
        hit.column = start.saturating_sub(self.line_start).saturating_add(1);
        self.hits.add(hit);
    }

    /// Keeps the known values that start in `from..until`. Neither comments nor lists of exceptions hide them.
    fn known(&mut self, bytes: &[u8], base: u64, from: u64, until: u64) {
        let Some(known) = self.searcher.also.known else { return };
        let mut all = Vec::new();
        known.find(bytes, self.searcher.key, &mut |seen| all.push(seen));
        all.sort_by_key(|seen| seen.span.start);
        for seen in all {
            let start = base.saturating_add(wide(seen.span.start));
            if start < from || start >= until {
                continue;
            }
            let mut hit = seen.hit();
            let text = bytes.get(seen.span.clone()).unwrap_or_default();
            hit.baseline = self.searcher.also.baseline_key.map(|key| key.fingerprint_bytes(text));
            self.count(bytes, base, start);
            hit.line = self.line;
            hit.column = start.saturating_sub(self.line_start).saturating_add(1);
            self.hits.add(hit);
        }
    }

    /// Counts lines up to an offset.
    fn count(&mut self, bytes: &[u8], base: u64, until: u64) {
        let from = usize::try_from(self.counted.saturating_sub(base)).unwrap_or(usize::MAX);
        let to = usize::try_from(until.saturating_sub(base)).unwrap_or(usize::MAX);
        let Some(part) = bytes.get(from..to) else { return };
        if let Some(last) = part.iter().rposition(|byte| *byte == b'\n') {
            let newlines: u64 = part.iter().map(|byte| u64::from(*byte == b'\n')).sum();
            self.line = self.line.saturating_add(newlines);
            self.line_start = self.counted.saturating_add(wide(last)).saturating_add(1);
        }
        self.counted = until;
    }
}

/// One match per place: the better rank wins, then the longer secret, then the earlier rule. In order of their secrets.
///
/// Rules for some paths only stand apart: whether they count is known once the path is (see the collector).
pub(crate) fn resolve(matches: Vec<Match>, rules: &RuleSet) -> Vec<Match> {
    let rule = |found: &Match| rules.rules().get(found.rule);
    let rank = |found: &Match| rule(found).map_or(Rank::Generic, |rule| rule.rank);
    let (mut all, mut open): (Vec<_>, Vec<_>) =
        matches.into_iter().partition(|found| rule(found).is_some_and(|rule| rule.path.is_some()));
    open.sort_by_key(|found| {
        (rank(found), std::cmp::Reverse(found.secret.len()), found.rule, found.secret.start)
    });
    // Start to (end, match). Kept secrets never overlap, so one neighbour on each side decides.
    let mut kept: BTreeMap<usize, Match> = BTreeMap::new();
    for found in open {
        let before = kept
            .range(..=found.secret.start)
            .next_back()
            .is_some_and(|(_, other)| other.secret.end > found.secret.start);
        let after =
            kept.range(found.secret.start..).next().is_some_and(|(start, _)| *start < found.secret.end);
        if !before && !after {
            kept.insert(found.secret.start, found);
        }
    }
    all.extend(kept.into_values());
    all.sort_by_key(|found| (found.secret.start, found.rule));
    all
}

fn wide(size: usize) -> u64 {
    u64::try_from(size).unwrap_or(u64::MAX)
}
