//! What was found in one text, carried to a text that is made of pieces of it.
//!
//! Literals are found again only where bytes are new, and around the seams where pieces meet. A site is tried again only
//! where something within its reach has changed. Everything else moves by arithmetic. As each result depends on its
//! surroundings alone, the outcome is that of a full search.

use std::ops::Range;

use super::Match;
use super::keyword::KeywordEngine;
use super::plan::LOOK;
use super::prefilter::Spot;
use super::worker::{Outcome, Worker, index, line_at};
use crate::decode::{self, Run};

/// A piece of the new text that stands in the old one.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub(crate) struct Piece {
    /// Where it starts in the new text.
    pub(crate) to: usize,
    /// Where it starts in the old text.
    pub(crate) from: usize,
    pub(crate) length: usize,
}

/// What a search of a text leaves for the texts that are made from it.
#[derive(Debug, Default, Eq, PartialEq)]
pub(crate) struct Searched {
    /// Sorted.
    pub(super) spots: Vec<Spot>,
    /// Sorted by place and site.
    pub(super) outcomes: Vec<Outcome>,
    /// Encoded runs with matches in them, in order.
    decoded: Vec<Run>,
    length: usize,
}

/// A piece, and whether it stands at the very start or end of both texts: there it has no neighbour that could differ.
struct Clean {
    from: usize,
    end: usize,
    at_start: bool,
    at_end: bool,
}

impl Clean {
    /// Whether everything within these distances is in the piece.
    fn holds(&self, at: u32, before: usize, after: usize) -> bool {
        let at = index(at);
        (self.at_start || at.checked_sub(before).is_some_and(|low| low >= self.from))
            && (self.at_end || at.saturating_add(after) <= self.end)
    }

    /// Whether the whole line around a place in the old text is in the piece.
    fn holds_line(&self, bytes: &[u8], piece: Piece, at: usize) -> bool {
        let (before, after) = (at.saturating_sub(piece.from), self.end.saturating_sub(at));
        let (to_start, to_end) = line_at(bytes, at - piece.from + piece.to, before, after);
        let at = u32::try_from(at).unwrap_or(u32::MAX);
        self.holds(at, to_start.saturating_add(LOOK), to_end.saturating_add(LOOK))
    }
}

impl KeywordEngine<'_> {
    /// Searches a text of less than 4 GiB in full.
    pub(crate) fn full(&self, bytes: &[u8]) -> Searched {
        let mut next = Searched { length: bytes.len(), ..Searched::default() };
        self.spots(bytes, 0..bytes.len(), &mut |spot| next.spots.push(spot));
        next.spots.sort_unstable();
        self.with_worker(|worker| {
            for spot in &next.spots {
                self.wake(worker, bytes, *spot, &mut next.outcomes);
            }
        });
        // Without the worker, since what is decoded is searched with one.
        self.decode(bytes, 0..bytes.len(), &mut next.decoded);
        next.settle();
        next
    }

    /// Searches a text that is made of pieces of another one, in the order of the new text and without overlaps.
    pub(crate) fn carried(&self, old: &Searched, bytes: &[u8], pieces: &[Piece]) -> Searched {
        let mut next = Searched::after(old, bytes.len());
        let seams = self.seams(bytes.len(), pieces);
        self.with_worker(|worker| {
            for piece in pieces {
                self.carry(worker, old, bytes, *piece, &mut next);
            }
            let mut fresh = Vec::new();
            for range in seams.iter().cloned() {
                self.spots(bytes, range, &mut |spot| {
                    if !self.inside(pieces, spot) {
                        fresh.push(spot);
                    }
                });
            }
            for spot in &fresh {
                self.wake(worker, bytes, *spot, &mut next.outcomes);
            }
            next.spots.append(&mut fresh);
        });
        for range in edges(old, bytes.len(), pieces).into_iter().chain(seams) {
            self.decode(bytes, range, &mut next.decoded);
        }
        // Two sorted lists, one behind the other: that is what this way of sorting is good at.
        next.spots.sort();
        next.settle();
        next
    }

    /// The matches of a text, from what was found in it: what only the text as a whole decides is decided here.
    pub(crate) fn matches(&self, bytes: &[u8], searched: &Searched) -> Vec<Match> {
        let plan = self.plan();
        let open = |rule: usize| {
            let gate = plan.rules.get(rule).map(|rule| rule.gate.as_slice()).unwrap_or_default();
            gate.is_empty() || searched.spots.iter().any(|spot| gate.contains(&spot.literal))
        };
        let mut all: Vec<Match> = Vec::new();
        for outcome in &searched.outcomes {
            all.extend(outcome.found(plan).filter(|found| open(found.rule)));
        }
        // To look for what a rule requires is cheaper than to look for what it describes.
        let possible = |rule: usize| self.rules().rules().get(rule).is_some_and(|rule| rule.possible(bytes));
        for rule in plan.whole.iter().filter(|rule| open(**rule) && possible(**rule)) {
            self.with_worker(|worker| {
                worker.everywhere(self.rules(), plan, bytes, *rule, &mut |found| all.push(found));
            });
        }
        let order = |found: &Match| (found.rule, found.secret.start, found.secret.end, found.span.start);
        all.sort_unstable_by_key(order);
        all.dedup_by_key(|found| (found.rule, found.secret.clone()));
        all
    }

    /// Literals that matter in a part of the text.
    fn spots(&self, bytes: &[u8], range: Range<usize>, sink: &mut dyn FnMut(Spot)) {
        let plan = self.plan();
        let Some(part) = bytes.get(range.clone()) else { return };
        plan.prefilter.find(part, &mut |spot| {
            let Some(literal) = plan.literals.get(index(spot.literal)) else { return };
            let start = index(spot.start);
            if literal.gate || literal.links.iter().any(|link| link.holds(part, start)) {
                let start = u32::try_from(start.saturating_add(range.start)).unwrap_or(u32::MAX);
                sink(Spot { start, ..spot });
            }
        });
    }

    /// Encoded runs that touch a part of the text and have matches in them.
    fn decode(&self, bytes: &[u8], range: Range<usize>, out: &mut Vec<Run>) {
        decode::runs(bytes, range, &mut |run| {
            decode::search_run(bytes, &run, self, &mut |decoded, _| out.push(decoded.run.clone()));
        });
    }

    /// Tries all sites of a literal.
    fn wake(&self, worker: &mut Worker, bytes: &[u8], spot: Spot, out: &mut Vec<Outcome>) {
        let plan = self.plan();
        for link in plan.literals.get(index(spot.literal)).map(|literal| &literal.links).into_iter().flatten()
        {
            if link.holds(bytes, index(spot.start)) {
                out.extend(worker.evaluate(self.rules(), plan, bytes, link.site, spot.start));
            }
        }
    }

    /// Moves what a piece brings along, and tries again what its neighbours may have changed.
    fn carry(&self, worker: &mut Worker, old: &Searched, bytes: &[u8], piece: Piece, next: &mut Searched) {
        let plan = self.plan();
        let end = piece.from.saturating_add(piece.length);
        let clean = Clean {
            from: piece.from,
            end,
            at_start: piece.from == 0 && piece.to == 0,
            at_end: end == old.length && piece.to.saturating_add(piece.length) == bytes.len(),
        };
        // A run depends on its own bytes, on two before it (a line break or a name may be written there), and on one behind
        // it.
        let within = |run: &&Run| {
            let at = u32::try_from(run.range.start).unwrap_or(u32::MAX);
            run.range.start >= piece.from && run.range.end <= end && clean.holds(at, 2, run.range.len() + 1)
        };
        next.decoded.extend(old.decoded.iter().filter(within).map(|run| Run {
            range: run.range.start - piece.from + piece.to..run.range.end - piece.from + piece.to,
            encoding: run.encoding,
        }));
        let first = old.spots.partition_point(|spot| index(spot.start) < piece.from);
        let mut rest = old.outcomes.partition_point(|outcome| index(outcome.at) < piece.from);
        for spot in old.spots.get(first..).unwrap_or_default() {
            let at = index(spot.start);
            if at >= end {
                break;
            }
            let Some(literal) = plan.literals.get(index(spot.literal)) else { continue };
            if at.saturating_add(literal.length) > end {
                continue;
            }
            let Ok(start) = u32::try_from(at - piece.from + piece.to) else { continue };
            let moved = Spot { start, ..*spot };
            next.spots.push(moved);
            while old.outcomes.get(rest).is_some_and(|outcome| outcome.at < spot.start) {
                rest += 1;
            }
            let known = old.outcomes.get(rest..).unwrap_or_default();
            let known = known.iter().take_while(|outcome| outcome.at == spot.start);
            let usual = clean.holds(spot.start, literal.before, literal.after);
            if usual && known.clone().next().is_none() {
                continue;
            }
            let mut in_line = None;
            for link in &literal.links {
                let outcome = known.clone().find(|outcome| index(outcome.site) == link.site);
                let site = plan.sites.get(link.site);
                let kept = match (outcome, site) {
                    (Some(outcome), _) => {
                        clean.holds(spot.start, index(outcome.before), index(outcome.after))
                    }
                    (None, Some(site)) => {
                        let (before, after) =
                            (site.before.saturating_add(LOOK), site.after.saturating_add(LOOK));
                        usual
                            || clean.holds(spot.start, before, after)
                            || (*in_line.get_or_insert_with(|| clean.holds_line(bytes, piece, at))
                                && plan.rules.get(site.rule).is_some_and(|rule| site.form(rule).in_line))
                    }
                    (None, None) => true,
                };
                if kept {
                    next.outcomes.extend(outcome.map(|outcome| outcome.moved(start)));
                } else if link.holds(bytes, index(start)) {
                    next.outcomes.extend(worker.evaluate(self.rules(), plan, bytes, link.site, start));
                }
            }
        }
    }

    /// Where literals can stand that no piece holds whole: new bytes, and a literal's length around them.
    fn seams(&self, length: usize, pieces: &[Piece]) -> Vec<Range<usize>> {
        // A run begins or ends where it does because of at most two bytes beside it.
        let margin = self.plan().prefilter.longest().saturating_sub(1).max(2);
        let mut ranges: Vec<Range<usize>> = Vec::new();
        let mut add = |gap: Range<usize>| {
            let range = gap.start.saturating_sub(margin)..gap.end.saturating_add(margin).min(length);
            match ranges.last_mut() {
                Some(last) if range.start <= last.end => last.end = last.end.max(range.end),
                _ => ranges.push(range),
            }
        };
        let mut at = 0;
        for piece in pieces {
            if piece.to > 0 {
                add(at..piece.to);
            }
            at = piece.to.saturating_add(piece.length);
        }
        if at < length {
            add(at..length);
        }
        ranges
    }

    /// Whether one piece holds a literal whole.
    fn inside(&self, pieces: &[Piece], spot: Spot) -> bool {
        let start = index(spot.start);
        let length = self.plan().literals.get(index(spot.literal)).map_or(0, |literal| literal.length);
        let after = pieces.partition_point(|piece| piece.to <= start);
        let piece = after.checked_sub(1).and_then(|at| pieces.get(at));
        piece.is_some_and(|piece| start.saturating_add(length) <= piece.to.saturating_add(piece.length))
    }
}

/// Where the text begins or ends in the middle of what was the old one: a run may be whole there that was none.
fn edges(old: &Searched, length: usize, pieces: &[Piece]) -> Vec<Range<usize>> {
    let mut edges = Vec::new();
    if pieces.first().is_some_and(|piece| piece.to == 0 && piece.from > 0) {
        // It may begin behind a quote.
        edges.push(0..2.min(length));
    }
    let cut = |piece: &Piece| {
        piece.to.saturating_add(piece.length) == length
            && piece.from.saturating_add(piece.length) < old.length
    };
    if pieces.last().is_some_and(cut) {
        edges.push(length.saturating_sub(1)..length);
    }
    edges
}

impl Searched {
    /// Nothing yet, with space for about as much as was found in the text that this one is made from.
    fn after(old: &Self, length: usize) -> Self {
        let space = |found: usize| found.saturating_add(found / 16);
        Self {
            spots: Vec::with_capacity(space(old.spots.len())),
            outcomes: Vec::with_capacity(space(old.outcomes.len())),
            decoded: Vec::new(),
            length,
        }
    }

    /// Encoded runs with matches in them.
    pub(crate) fn decoded(&self) -> &[Run] {
        &self.decoded
    }

    /// Bytes of memory that this takes, roughly.
    pub(crate) fn weight(&self) -> usize {
        self.spots.capacity() * size_of::<Spot>()
            + self.outcomes.capacity() * size_of::<Outcome>()
            + self.decoded.capacity() * size_of::<Run>()
    }

    fn settle(&mut self) {
        self.outcomes.sort_by_key(|outcome| (outcome.at, outcome.site));
        self.outcomes.dedup_by_key(|outcome| (outcome.at, outcome.site));
        self.decoded.sort_by_key(|run| (run.range.start, run.range.end, run.encoding));
        self.decoded.dedup();
        self.spots.shrink_to(self.spots.len() + self.spots.len() / 4);
        self.outcomes.shrink_to(self.outcomes.len() + self.outcomes.len() / 4);
    }
}
