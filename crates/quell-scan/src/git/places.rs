//! Paths and blobs as numbers: attribution asks for the same places millions of times.

use std::collections::{BTreeMap, BTreeSet};

use super::Oid;

/// The blobs that are looked for; each has a number.
pub(super) struct Interest {
    sorted: Vec<Oid>,
    /// Where the names begin whose first twelve bits are as high: nearly all that is asked for is decided by them.
    first: Vec<u32>,
}

/// What the first twelve bits of a name can be.
const HEADS: usize = 1 << 12;

impl Interest {
    pub(super) fn new(blobs: BTreeSet<Oid>) -> Self {
        let sorted: Vec<Oid> = blobs.into_iter().collect();
        let begin = |head: usize| sorted.partition_point(|oid| head_of(*oid) < head);
        let first = (0..=HEADS).map(|head| u32::try_from(begin(head)).unwrap_or(u32::MAX)).collect();
        Self { sorted, first }
    }

    pub(super) fn number(&self, blob: Oid) -> Option<u32> {
        let head = head_of(blob);
        let (low, high) = (*self.first.get(head)?, *self.first.get(head + 1)?);
        let at = self.sorted.get(wide(low)..wide(high))?.binary_search(&blob).ok()?;
        low.checked_add(u32::try_from(at).ok()?)
    }

    pub(super) fn oid(&self, number: u32) -> Option<Oid> {
        self.sorted.get(wide(number)).copied()
    }

    pub(super) fn has(&self, blob: Oid) -> bool {
        self.number(blob).is_some()
    }
}

fn head_of(oid: Oid) -> usize {
    let head = oid.as_bytes().first_chunk::<2>().map_or(0, |head| u16::from_be_bytes(*head));
    usize::from(head >> 4)
}

/// The path of the top.
pub(super) const TOP: u32 = 0;

/// Paths with files in them that were met. Each has a number.
pub(super) struct Paths {
    all: Vec<Path>,
    max: usize,
    refused: u64,
}

#[derive(Default)]
struct Path {
    above: u32,
    name: u32,
    /// Names and paths in this folder.
    below: BTreeMap<u32, u32>,
}

/// Paths beyond the most that may be asked for.
const MAX_REFUSED: u64 = 50_000_000;

impl Paths {
    /// None but the top, and never more than `max`.
    pub(super) fn new(max: usize) -> Self {
        Self { all: vec![Path::default()], max, refused: 0 }
    }

    /// The path of a name in a folder; `None` when there are too many.
    pub(super) fn below(&mut self, folder: u32, name: u32) -> Option<u32> {
        if let Some(path) = self.all.get(wide(folder))?.below.get(&name) {
            return Some(*path);
        }
        let Some(next) = u32::try_from(self.all.len()).ok().filter(|_| !self.are_full()) else {
            self.refused = self.refused.saturating_add(1);
            return None;
        };
        self.all.get_mut(wide(folder))?.below.insert(name, next);
        self.all.push(Path { above: folder, name, below: BTreeMap::new() });
        Some(next)
    }

    /// Whether so many paths were refused that to go on would take for ever.
    pub(super) fn are_exhausted(&self) -> bool {
        self.refused > MAX_REFUSED
    }

    pub(super) fn are_full(&self) -> bool {
        self.all.len() >= self.max
    }

    /// The path as it is written.
    pub(super) fn text(&self, path: u32, names: &[Vec<u8>]) -> Vec<u8> {
        let mut parts: Vec<&[u8]> = Vec::new();
        let mut at = path;
        while let Some(path) = self.all.get(wide(at)).filter(|_| at != TOP) {
            parts.push(names.get(wide(path.name)).map(Vec::as_slice).unwrap_or_default());
            at = path.above;
        }
        parts.reverse();
        parts.join(&b'/')
    }
}

/// Numbers are 32 bits wide, sizes of memory at least that.
pub(super) fn wide(number: u32) -> usize {
    usize::try_from(number).unwrap_or(usize::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn paths_have_numbers_until_there_are_too_many() {
        let names = [b"src".to_vec(), b"a".to_vec(), b"b".to_vec()];
        let mut paths = Paths::new(4);
        let src = paths.below(TOP, 0).unwrap();
        let b = paths.below(src, 2).unwrap();
        let a = paths.below(src, 1).unwrap();
        assert_eq!((paths.below(src, 2), paths.below(src, 1)), (Some(b), Some(a)));
        assert_eq!(paths.text(a, &names), b"src/a");
        assert_eq!(paths.text(TOP, &names), b"");
        assert!(paths.are_full());
        assert_eq!(paths.below(TOP, 1), None);
    }
}
