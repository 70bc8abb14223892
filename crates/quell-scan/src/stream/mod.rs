//! Inputs of any length through the engine, in bounded memory.
//!
//! An input is read in blocks. A block is searched together with what lies around it, and answers only for the matches
//! whose secret starts inside it: so each match is found once, wherever the borders fall.

mod allow;
#[cfg(test)]
mod tests;

use std::cmp::Reverse;
use std::collections::BTreeMap;
use std::io::{self, Read};
use std::ops::Range;
use std::sync::{Arc, Mutex, PoisonError, mpsc};

use quell_core::secret::FingerprintKey;

use crate::decode::{self, Run};
use crate::engine::{KeywordEngine, MAX_MATCH, Match, Searched};
use crate::hit::{self, Hit, Hits, Keep};
use crate::known::Known;
use crate::rule::Rank;
use crate::unpack::Limits;
use crate::{Encoding, RuleSet};

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
    pub(crate) engine: &'a KeywordEngine<'a>,
    pub(crate) key: &'a FingerprintKey,
    pub(crate) keep: Keep,
    pub(crate) sizes: Sizes,
    pub(crate) also: Also<'a>,
    /// Whether what was found in an object is carried to the objects that are stored as changes of it.
    pub(crate) incremental: bool,
    /// Threads that search at the same time.
    pub(crate) threads: usize,
    /// How far archives are unpacked.
    pub(crate) limits: Limits,
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

impl<'a> Searcher<'a> {
    /// A searcher with the usual settings, on all cores.
    pub(crate) fn new(engine: &'a KeywordEngine<'a>, key: &'a FingerprintKey, keep: Keep) -> Self {
        let threads = std::thread::available_parallelism().map_or(1, usize::from);
        let rules = engine.rules();
        let (sizes, also) = (Sizes::default(), Also::default());
        let limits = Limits::default();
        Self { rules, engine, key, keep, sizes, also, incremental: true, threads, limits }
    }

    /// Searches bytes that are in memory already.
    pub(crate) fn slice(&self, bytes: &[u8]) -> Hits {
        if bytes.len() <= self.sizes.block {
            return self.finish(bytes, &self.engine.full(bytes));
        }
        self.reader(&mut &*bytes, &mut |_| {}).hits
    }

    /// The hits of bytes that the engine has searched, unless all that it found counts at certain paths only.
    pub(crate) fn finish_if(&self, bytes: &[u8], searched: &Searched) -> Finished {
        let seen = Seen::of(self.engine, bytes, searched);
        let rules = self.rules.rules();
        let gated = |found: &Match| rules.get(found.rule).is_some_and(|rule| rule.path.is_some());
        if seen.is_empty() {
            Finished::Nothing
        } else if seen.decoded.is_empty()
            && seen.matches.iter().all(gated)
            && self.rules.path_rules().is_empty()
        {
            Finished::Elsewhere
        } else {
            Finished::Hits(self.hits(bytes, seen))
        }
    }

    /// The hits of bytes that the engine has searched.
    pub(crate) fn finish(&self, bytes: &[u8], searched: &Searched) -> Hits {
        let seen = Seen::of(self.engine, bytes, searched);
        if seen.is_empty() && self.also.known.is_none() {
            return Hits::default();
        }
        self.hits(bytes, seen)
    }

    fn hits(&self, bytes: &[u8], seen: Seen) -> Hits {
        let mut state = State::new(self);
        state.block(&Block { bytes, base: 0, from: 0, until: u64::MAX }, seen);
        state.hits
    }

    /// Searches a stream; `on_bytes` hears of every block.
    pub(crate) fn reader(&self, reader: &mut dyn Read, on_bytes: &mut dyn FnMut(u64)) -> Outcome {
        let mut blocks = Blocks::new(self.sizes);
        let first = blocks.next(reader, on_bytes);
        if blocks.ended || self.threads < 2 {
            return self.in_order(first, blocks, reader, on_bytes);
        }
        self.in_parallel(first, blocks, reader, on_bytes)
    }

    fn in_order(
        &self,
        first: Owned,
        mut blocks: Blocks,
        reader: &mut dyn Read,
        on_bytes: &mut dyn FnMut(u64),
    ) -> Outcome {
        let mut state = State::new(self);
        let mut block = first;
        loop {
            state.block(&block.borrow(), self.seen(&block.bytes));
            if blocks.ended {
                return blocks.outcome(state);
            }
            block = blocks.next(reader, on_bytes);
        }
    }

    /// Blocks are searched by several threads; reading and counting lines stays here, in order.
    fn in_parallel(
        &self,
        first: Owned,
        mut blocks: Blocks,
        reader: &mut dyn Read,
        on_bytes: &mut dyn FnMut(u64),
    ) -> Outcome {
        let mut state = State::new(self);
        let (give, take) = mpsc::channel::<(usize, Arc<[u8]>)>();
        let (tell, told) = mpsc::channel();
        let take = Mutex::new(take);
        std::thread::scope(|scope| {
            for _ in 0..self.threads {
                let (take, tell) = (&take, tell.clone());
                scope.spawn(move || {
                    while let Some((number, bytes)) = next_of(take) {
                        if tell.send((number, self.seen(&bytes))).is_err() {
                            break;
                        }
                    }
                });
            }
            drop(tell);
            // Blocks that are not done, oldest first, and what was seen in those whose turn has not come.
            let mut open = BTreeMap::from([(0, first)]);
            let mut early = BTreeMap::new();
            let (mut given, mut done) = (0, 0);
            loop {
                while open.len() <= self.threads && !blocks.ended {
                    let number = done + open.len();
                    open.insert(number, blocks.next(reader, on_bytes));
                }
                while let Some(block) = open.get(&given) {
                    drop(give.send((given, Arc::clone(&block.bytes))));
                    given += 1;
                }
                if open.is_empty() {
                    break;
                }
                let Ok((number, seen)) = told.recv() else { break };
                early.insert(number, seen);
                while let Some(seen) = early.remove(&done) {
                    if let Some(block) = open.remove(&done) {
                        state.block(&block.borrow(), seen);
                    }
                    done += 1;
                }
            }
            drop(give);
        });
        blocks.outcome(state)
    }

    fn seen(&self, bytes: &[u8]) -> Seen {
        Seen::of(self.engine, bytes, &self.engine.full(bytes))
    }
}

/// What became of bytes whose path is not known.
pub(crate) enum Finished {
    Nothing,
    Hits(Hits),
    /// All that was found counts at certain paths only.
    Elsewhere,
}

/// What the engine saw in some bytes.
struct Seen {
    matches: Vec<Match>,
    /// Encoded runs with matches in them.
    decoded: Vec<Run>,
}

impl Seen {
    fn of(engine: &KeywordEngine<'_>, bytes: &[u8], searched: &Searched) -> Self {
        Self { matches: engine.matches(bytes, searched), decoded: searched.decoded().to_vec() }
    }

    fn is_empty(&self) -> bool {
        self.matches.is_empty() && self.decoded.is_empty()
    }
}

/// The next thing to do for one of several threads.
fn next_of<T>(queue: &Mutex<mpsc::Receiver<T>>) -> Option<T> {
    queue.lock().unwrap_or_else(PoisonError::into_inner).recv().ok()
}

/// A part of an input: it lies at `base`, and answers for what starts in `from..until`.
struct Block<'b> {
    bytes: &'b [u8],
    base: u64,
    from: u64,
    until: u64,
}

struct Owned {
    bytes: Arc<[u8]>,
    base: u64,
    from: u64,
    until: u64,
}

impl Owned {
    fn borrow(&self) -> Block<'_> {
        Block { bytes: &self.bytes, base: self.base, from: self.from, until: self.until }
    }
}

/// Cuts a stream into blocks.
struct Blocks {
    sizes: Sizes,
    /// What the next block begins with, and where that lies.
    tail: Vec<u8>,
    base: u64,
    from: u64,
    bytes: u64,
    ended: bool,
    error: Option<io::Error>,
}

impl Blocks {
    fn new(sizes: Sizes) -> Self {
        Self { sizes, tail: Vec::new(), base: 0, from: 0, bytes: 0, ended: false, error: None }
    }

    fn next(&mut self, reader: &mut dyn Read, on_bytes: &mut dyn FnMut(u64)) -> Owned {
        let overlap = self.sizes.overlap;
        let capacity = self.sizes.block.saturating_add(overlap.saturating_mul(2));
        let mut bytes = std::mem::take(&mut self.tail);
        let before = bytes.len();
        let space = capacity.saturating_sub(before);
        self.error = reader.take(wide(space)).read_to_end(&mut bytes).err();
        let fresh = bytes.len().saturating_sub(before);
        self.bytes = self.bytes.saturating_add(wide(fresh));
        on_bytes(wide(fresh));
        self.ended = fresh < space || self.error.is_some();
        let (base, from) = (self.base, self.from);
        let end = base.saturating_add(wide(bytes.len()));
        let until = if self.ended { u64::MAX } else { end.saturating_sub(wide(overlap)) };
        if !self.ended {
            let keep = bytes.len().saturating_sub(overlap.saturating_mul(2));
            self.tail.reserve_exact(capacity);
            self.tail.extend_from_slice(bytes.get(keep..).unwrap_or_default());
            self.base = base.saturating_add(wide(keep));
            self.from = until;
        }
        Owned { bytes: bytes.into(), base, from, until }
    }

    fn outcome(self, state: State<'_, '_>) -> Outcome {
        Outcome { hits: state.hits, bytes: self.bytes, error: self.error }
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

    /// Keeps what a block answers for. Blocks come in order.
    fn block(&mut self, block: &Block<'_>, seen: Seen) {
        let &Block { bytes, base, from, until } = block;
        let probe = bytes.get(..BINARY_PROBE).unwrap_or(bytes);
        let binary = *self.binary.get_or_insert_with(|| probe.contains(&0));
        let rules = self.searcher.rules;
        let generic =
            |found: &Match| rules.rules().get(found.rule).is_none_or(|rule| rule.rank == Rank::Generic);
        let Seen { mut matches, decoded } = seen;
        matches.retain(|found| !(binary && generic(found)));
        let mut hits: Vec<(Range<usize>, Hit)> = Vec::new();
        let escapes = decoded.iter().any(|run| run.encoding == Encoding::Json);
        let plain = |found: Match| {
            // One that takes escapes for a part of the secret knows less than one that undoes them.
            let second = escapes && bytes.get(found.secret.clone()).is_some_and(decode::has_json_escape);
            Standing { found, hit: None, second }
        };
        let mut standing: Vec<Standing> = matches.into_iter().map(plain).collect();
        for run in &decoded {
            decode::search_run(bytes, run, self.searcher.engine, &mut |decoded, matches| {
                for found in resolve(matches, rules) {
                    let Some(hit) = self.redacted(&decoded.text, &found) else { continue };
                    let hit = Hit { encoding: Some(run.encoding), ..hit };
                    let place = decoded.place(&found.secret);
                    if run.encoding != Encoding::Json {
                        hits.push((place, hit));
                    } else if !(binary && generic(&found)) {
                        // The text around the escapes was searched as it is, too.
                        let found = Match { secret: place, ..found };
                        standing.push(Standing { found, hit: Some(Box::new(hit)), second: false });
                    }
                }
            });
        }
        for Standing { found, hit, .. } in resolve(standing, rules) {
            let hit = hit.map(|hit| *hit).or_else(|| self.redacted(bytes, &found));
            hits.extend(hit.map(|hit| (found.secret, hit)));
        }
        // Lines are counted forward only.
        hits.sort_by_key(|(span, _)| span.start);
        let mark = (self.counted, self.line, self.line_start);
        for (span, hit) in hits {
            let start = base.saturating_add(wide(span.start));
            if start >= from && start < until {
                self.keep(bytes, base, start, &span, hit);
            }
        }
        // Known values are in an order of their own.
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
        if let Some(last) = memchr::memrchr(b'\n', part) {
            self.line = self.line.saturating_add(wide(memchr::memchr_iter(b'\n', part).count()));
            self.line_start = self.counted.saturating_add(wide(last)).saturating_add(1);
        }
        self.counted = until;
    }
}

/// A match that may win its place.
pub(crate) trait Claim {
    /// Where its secret lies, and the rule.
    fn found(&self) -> &Match;

    /// True when what it says is less than what another may say about the place.
    fn second(&self) -> bool {
        false
    }
}

impl Claim for Match {
    fn found(&self) -> &Match {
        self
    }
}

/// A match in the text as it is, or between escapes.
struct Standing {
    /// With the place in the input.
    found: Match,
    /// What it is, when that takes decoding.
    hit: Option<Box<Hit>>,
    second: bool,
}

impl Claim for Standing {
    fn found(&self) -> &Match {
        &self.found
    }

    fn second(&self) -> bool {
        self.second
    }
}

/// One match per place: the better rank wins, then the longer secret, then the earlier rule, then the earlier of two that are
/// the same. In order of their secrets.
///
/// Rules for some paths only stand apart: whether they count is known once the path is (see the collector).
pub(crate) fn resolve<C: Claim>(claims: Vec<C>, rules: &RuleSet) -> Vec<C> {
    let rule = |claim: &C| rules.rules().get(claim.found().rule);
    let rank = |claim: &C| rule(claim).map_or(Rank::Generic, |rule| rule.rank);
    let (mut all, mut open): (Vec<_>, Vec<_>) =
        claims.into_iter().partition(|claim| rule(claim).is_some_and(|rule| rule.path.is_some()));
    open.sort_by_key(|claim| {
        let found = claim.found();
        (rank(claim), claim.second(), Reverse(found.secret.len()), found.rule, found.secret.start)
    });
    // By start. Kept secrets never overlap, so one neighbour on each side decides.
    let mut kept: BTreeMap<usize, C> = BTreeMap::new();
    for claim in open {
        let secret = &claim.found().secret;
        let before = kept
            .range(..=secret.start)
            .next_back()
            .is_some_and(|(_, other)| other.found().secret.end > secret.start);
        let after = kept.range(secret.start..).next().is_some_and(|(start, _)| *start < secret.end);
        if !before && !after {
            kept.insert(secret.start, claim);
        }
    }
    all.extend(kept.into_values());
    all.sort_by_key(|claim| (claim.found().secret.start, claim.found().rule));
    all.dedup_by_key(|claim| (claim.found().rule, claim.found().secret.clone()));
    all
}

fn wide(size: usize) -> u64 {
    u64::try_from(size).unwrap_or(u64::MAX)
}
