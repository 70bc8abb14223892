//! Pack indexes, versions 1 and 2: <https://git-scm.com/docs/pack-format#_original_version_1_pack_idx_files_have_the_following_format>.

use super::{ObjectFormat, Oid, Trouble};

/// Object names and where they lie in a pack.
#[derive(Debug)]
pub(super) struct Index {
    /// Sorted by name.
    entries: Vec<(Oid, u64)>,
    /// Positions in `entries`, sorted by offset.
    by_offset: Vec<u32>,
    /// The checksum of the pack that this index is for.
    pub(super) pack_checksum: Vec<u8>,
}

const CUT_OFF: Trouble = Trouble::Broken("the index is cut off");
const FANOUT: usize = 256 * 4;

impl Index {
    pub(super) fn parse(bytes: &[u8], format: ObjectFormat) -> Result<Self, Trouble> {
        let entries = match bytes.strip_prefix(b"\xfftOc") {
            None => version_1(bytes, format)?,
            Some(rest) => match rest.split_first_chunk::<4>() {
                Some(([0, 0, 0, 2], rest)) => version_2(rest, format)?,
                _ => return Err(Trouble::Broken("the index has an unknown version")),
            },
        };
        if !entries.is_sorted_by(|(a, _), (b, _)| a <= b) {
            return Err(Trouble::Broken("the names in the index are not sorted"));
        }
        let trailer =
            bytes.len().checked_sub(2 * format.length()).and_then(|at| bytes.get(at..)).ok_or(CUT_OFF)?;
        let pack_checksum = trailer.get(..format.length()).ok_or(CUT_OFF)?.to_vec();
        let count =
            u32::try_from(entries.len()).map_err(|_large| Trouble::Broken("the index is too large"))?;
        let mut by_offset: Vec<u32> = (0..count).collect();
        by_offset.sort_by_key(|position| at(&entries, *position).map(|(_, offset)| offset));
        Ok(Self { entries, by_offset, pack_checksum })
    }

    pub(super) fn find(&self, oid: Oid) -> Option<u64> {
        let at = self.entries.binary_search_by(|(name, _)| name.cmp(&oid)).ok()?;
        self.entries.get(at).map(|(_, offset)| *offset)
    }

    /// All names, sorted.
    pub(super) fn names(&self) -> impl Iterator<Item = Oid> {
        self.entries.iter().map(|(oid, _)| *oid)
    }

    /// Names and offsets in pack order.
    pub(super) fn in_pack_order(&self) -> impl Iterator<Item = (Oid, u64)> {
        self.by_offset.iter().filter_map(|position| at(&self.entries, *position))
    }

    /// Where the entry after this offset begins.
    pub(super) fn next_offset(&self, offset: u64) -> Option<u64> {
        let after = self.by_offset.partition_point(|position| {
            at(&self.entries, *position).is_some_and(|(_, other)| other <= offset)
        });
        at(&self.entries, *self.by_offset.get(after)?).map(|(_, next)| next)
    }

    /// How many objects there are.
    pub(super) fn len(&self) -> usize {
        self.by_offset.len()
    }

    /// The number of the object at this offset, counted in pack order.
    pub(super) fn position(&self, offset: u64) -> Option<u32> {
        let found = self.by_offset.partition_point(|position| {
            at(&self.entries, *position).is_some_and(|(_, other)| other < offset)
        });
        let number = u32::try_from(found).ok()?;
        (self.place(number) == Some(offset)).then_some(number)
    }

    /// The offset of an object by its number in pack order.
    pub(super) fn place(&self, number: u32) -> Option<u64> {
        at(&self.entries, *self.by_offset.get(usize::try_from(number).ok()?)?).map(|(_, offset)| offset)
    }

    /// The name of an object by its number in pack order.
    pub(super) fn name(&self, number: u32) -> Option<Oid> {
        at(&self.entries, *self.by_offset.get(usize::try_from(number).ok()?)?).map(|(oid, _)| oid)
    }
}

fn at(entries: &[(Oid, u64)], position: u32) -> Option<(Oid, u64)> {
    entries.get(usize::try_from(position).ok()?).copied()
}

/// Checks the fan-out table and returns how many objects there are.
fn count(fanout: &[u8]) -> Result<usize, Trouble> {
    let mut last = 0;
    for entry in fanout.as_chunks::<4>().0 {
        let next = u32::from_be_bytes(*entry);
        if next < last {
            return Err(Trouble::Broken("the fan-out table of the index goes backwards"));
        }
        last = next;
    }
    usize::try_from(last).map_err(|_large| CUT_OFF)
}

fn version_1(bytes: &[u8], format: ObjectFormat) -> Result<Vec<(Oid, u64)>, Trouble> {
    let (fanout, rest) = bytes.split_at_checked(FANOUT).ok_or(CUT_OFF)?;
    let size = 4 + format.length();
    let length = count(fanout)?.checked_mul(size).ok_or(CUT_OFF)?;
    let table = rest.get(..length).ok_or(CUT_OFF)?;
    let entry = |entry: &[u8]| {
        let (offset, name) = entry.split_first_chunk::<4>()?;
        Some((Oid::from_bytes(name)?, u64::from(u32::from_be_bytes(*offset))))
    };
    Ok(table.chunks_exact(size).filter_map(entry).collect())
}

fn version_2(bytes: &[u8], format: ObjectFormat) -> Result<Vec<(Oid, u64)>, Trouble> {
    let (fanout, rest) = bytes.split_at_checked(FANOUT).ok_or(CUT_OFF)?;
    let count = count(fanout)?;
    let section = |size: usize| count.checked_mul(size).ok_or(CUT_OFF);
    let (names, rest) = rest.split_at_checked(section(format.length())?).ok_or(CUT_OFF)?;
    let (_checksums, rest) = rest.split_at_checked(section(4)?).ok_or(CUT_OFF)?;
    let (offsets, large) = rest.split_at_checked(section(4)?).ok_or(CUT_OFF)?;
    let large = large.as_chunks::<8>().0;
    let mut entries = Vec::with_capacity(count);
    for (name, offset) in names.chunks_exact(format.length()).zip(offsets.as_chunks::<4>().0) {
        let small = u32::from_be_bytes(*offset);
        let offset = if small & 0x8000_0000 == 0 {
            u64::from(small)
        } else {
            // The upper bit set: the rest is a position in the table of large offsets.
            let position = usize::try_from(small & 0x7fff_ffff).map_err(|_large| CUT_OFF)?;
            u64::from_be_bytes(*large.get(position).ok_or(CUT_OFF)?)
        };
        entries.push((Oid::from_bytes(name).ok_or(CUT_OFF)?, offset));
    }
    Ok(entries)
}
