//! One thread's way through the trees (folders) of a pack, along their deltas: each is made once, and only the entries that
//! its base does not have are looked at.

use super::forest::Forest;
use super::inflate::Inflater;
use super::object::{self, Mode};
use super::pack::{Form, Pack};
use super::ways::{Edge, MAX_EDGES, Shared, TREE};
use super::{MAX_IN_MEMORY, Trouble, delta, inflate};
use crate::engine::Piece;

/// Bytes of trees that one thread keeps for children to come. What would need more is read by name when it is asked for.
const KEPT: usize = 64 << 20;

/// Buffers that are kept for reuse.
const SPARE: usize = 8;

/// Up to this many pairs are compared to find entries that only moved.
const MAX_PAIRS: usize = 4096;

/// What one thread has found.
#[derive(Default)]
pub(super) struct Grown {
    /// Places of trees that were made: all their entries are known.
    pub(super) known: Vec<u32>,
    /// Entries of note that a tree has and its base has not.
    pub(super) came: Vec<Edge>,
    /// Entries of note that a tree's base has and it has not.
    pub(super) went: Vec<Edge>,
}

/// A tree whose children are being made.
#[derive(Default)]
struct Frame {
    number: u32,
    next_child: usize,
    data: Vec<u8>,
    /// Where each entry begins, and then where the last one ends.
    bounds: Vec<usize>,
}

/// Scratch memory of one thread.
pub(super) struct Grower<'a> {
    pack: &'a Pack,
    forest: &'a Forest,
    /// The place of the pack's first object.
    first: u32,
    shared: &'a Shared<'a>,
    state: Inflater,
    compressed: Vec<u8>,
    instructions: Vec<u8>,
    pieces: Vec<Piece>,
    spare: Vec<Frame>,
    pub(super) grown: Grown,
}

impl<'a> Grower<'a> {
    pub(super) fn new(pack: &'a Pack, forest: &'a Forest, first: u32, shared: &'a Shared<'a>) -> Self {
        Self {
            pack,
            forest,
            first,
            shared,
            state: Inflater::new(),
            compressed: Vec::new(),
            instructions: Vec::new(),
            pieces: Vec::new(),
            spare: Vec::new(),
            grown: Grown::default(),
        }
    }

    /// Makes a whole tree and all trees that are made from it. What cannot be made stays unknown.
    pub(super) fn tree(&mut self, root: u32) {
        let mut stack = Vec::new();
        let mut kept = 0_usize;
        stack.extend(self.make(root, None));
        while let Some(frame) = stack.last_mut() {
            if self.grown.came.len().saturating_add(self.grown.went.len()) > MAX_EDGES {
                return;
            }
            let Some(child) = self.forest.children(frame.number).get(frame.next_child).copied() else {
                if let Some(frame) = stack.pop() {
                    kept = kept.saturating_sub(frame.data.len());
                    self.recycle(frame);
                }
                continue;
            };
            frame.next_child += 1;
            let Some(made) = self.make(child, Some(frame)) else { continue };
            let weight = made.data.len();
            if self.forest.children(child).is_empty() || kept.saturating_add(weight) > KEPT {
                self.recycle(made);
            } else {
                kept = kept.saturating_add(weight);
                stack.push(made);
            }
        }
    }

    fn recycle(&mut self, frame: Frame) {
        if self.spare.len() < SPARE {
            self.spare.push(frame);
        }
    }

    fn make(&mut self, number: u32, base: Option<&Frame>) -> Option<Frame> {
        let mut frame = self.spare.pop().unwrap_or_default();
        frame.number = number;
        frame.next_child = 0;
        frame.bounds.clear();
        self.pieces.clear();
        let made = self.read(number, base, &mut frame.data).is_ok() && self.compare(base, &mut frame);
        if made {
            self.grown.known.push(self.first.saturating_add(number));
            return Some(frame);
        }
        self.recycle(frame);
        None
    }

    fn read(&mut self, number: u32, base: Option<&Frame>, out: &mut Vec<u8>) -> Result<(), Trouble> {
        let offset = self.pack.index.place(number).ok_or(Trouble::Broken("its place is unknown"))?;
        let entry = self.pack.head(offset, &mut self.compressed)?;
        let compressed = self.pack.body(entry, &mut self.compressed)?;
        match (entry.form, base) {
            (Form::Whole(_), None) => inflate::into(&mut self.state, compressed, entry.size, out),
            (Form::Delta { .. }, Some(base)) => {
                inflate::into(&mut self.state, compressed, entry.size, &mut self.instructions)?;
                let pieces = &mut self.pieces;
                delta::apply_into(&base.data, &self.instructions, MAX_IN_MEMORY, out, pieces)
            }
            _ => Err(Trouble::Broken("its delta base is not in the pack")),
        }
    }

    /// Finds the entries, and tells those that came and went. False when the tree is broken.
    fn compare(&mut self, base: Option<&Frame>, frame: &mut Frame) -> bool {
        let (old, old_bounds) =
            base.map_or((&[][..], &[][..]), |base| (base.data.as_slice(), base.bounds.as_slice()));
        let mut kept: Vec<(usize, usize)> = Vec::new();
        let mut came: Vec<&[u8]> = Vec::new();
        let data = frame.data.as_slice();
        let mut pieces = self.pieces.iter().peekable();
        let mut at = 0;
        while at < data.len() {
            while pieces.next_if(|piece| piece.to.saturating_add(piece.length) <= at).is_some() {}
            let same = pieces.peek().and_then(|piece| entries_in(piece, at, old_bounds));
            if let Some((first, end)) = same {
                let entries = old_bounds.get(first..end).unwrap_or_default();
                let start = entries.first().copied().unwrap_or(0);
                frame.bounds.extend(entries.iter().map(|bound| bound - start + at));
                at += old_bounds.get(end).copied().unwrap_or(start).saturating_sub(start);
                kept.push((first, end));
                continue;
            }
            let rest = data.get(at..).unwrap_or_default();
            let Some(length) = entry_length(rest, self.shared.format.length()) else { return false };
            came.extend(rest.get(..length));
            frame.bounds.push(at);
            at += length;
        }
        frame.bounds.push(at);
        // An entry that is there twice makes a tree that git would not write.
        kept.sort_unstable();
        if kept.windows(2).any(|pair| matches!(pair, [(_, end), (next, _)] if next < end)) {
            return false;
        }
        let mut went = gone(old, old_bounds, &mut kept);
        cancel(&mut came, &mut went);
        let tree = self.first.saturating_add(frame.number);
        let format = self.shared.format;
        let note = |raw: &[u8], fresh: bool, to: &mut Vec<Edge>| {
            let Some(Ok(entry)) = object::entries(raw, format).next() else { return false };
            let child = match entry.mode {
                Mode::Submodule => None,
                Mode::Tree => Some(self.shared.number(entry.oid)),
                Mode::Blob => self.shared.blob_of_note(entry.oid, fresh),
            };
            let flag = if entry.mode == Mode::Tree { TREE } else { 0 };
            to.extend(child.map(|child| Edge { child, tree, name: self.shared.name(entry.name) | flag }));
            true
        };
        let Grown { came: all_came, went: all_went, .. } = &mut self.grown;
        came.iter().all(|raw| note(raw, true, all_came)) && went.iter().all(|raw| note(raw, false, all_went))
    }
}

/// The entries of the base that stand whole in a piece, from `at` in the new tree on, if an entry begins there.
fn entries_in(piece: &Piece, at: usize, bounds: &[usize]) -> Option<(usize, usize)> {
    let start = at.checked_sub(piece.to)?.checked_add(piece.from)?;
    let first = bounds.binary_search(&start).ok()?;
    let end = bounds.partition_point(|bound| *bound <= piece.from.saturating_add(piece.length));
    let end = end.saturating_sub(1);
    (end > first).then_some((first, end))
}

/// Bytes of an entry: `<mode> <name>\0<id>`.
fn entry_length(rest: &[u8], id: usize) -> Option<usize> {
    let length = memchr::memchr(0, rest)?.checked_add(1)?.checked_add(id)?;
    (length <= rest.len()).then_some(length)
}

/// Entries of the base that were not kept.
fn gone<'d>(old: &'d [u8], bounds: &[usize], kept: &mut Vec<(usize, usize)>) -> Vec<&'d [u8]> {
    kept.push((bounds.len().saturating_sub(1), usize::MAX));
    let mut went = Vec::new();
    let mut next = 0;
    for (first, end) in kept {
        for entry in next..*first {
            let range = bounds.get(entry).copied().zip(bounds.get(entry + 1).copied());
            went.extend(range.and_then(|(from, to)| old.get(from..to)));
        }
        next = next.max(*end);
    }
    went
}

/// Deltas copy in pieces of any size: what both sides have as it was has not changed.
fn cancel(came: &mut Vec<&[u8]>, went: &mut Vec<&[u8]>) {
    if went.is_empty() || came.len().saturating_mul(went.len()) > MAX_PAIRS {
        return;
    }
    came.retain(|raw| match went.iter().position(|other| other == raw) {
        Some(at) => {
            went.swap_remove(at);
            false
        }
        None => true,
    });
}
