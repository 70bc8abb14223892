//! Pack indexes, versions 1 and 2: <https://git-scm.com/docs/pack-format#_original_version_1_pack_idx_files_have_the_following_format>.
//!
//! The file's bytes are kept as they are: to look up a few objects costs no more than to read them. The order of objects in
//! the pack is made when it is first asked for.

use std::sync::OnceLock;

use super::places::wide;
use super::{ObjectFormat, Oid, Trouble};

/// Object names and where they lie in a pack.
///
/// An object has two numbers: its position among the sorted names, and its place in the order of the pack.
#[derive(Debug)]
pub(super) struct Index {
    bytes: Vec<u8>,
    count: usize,
    format: ObjectFormat,
    /// Where the names and offsets begin, and how far apart they are.
    names: Column,
    offsets: Column,
    /// Where the table of large offsets begins; version 1 has none.
    large: Option<usize>,
    /// Whether names lie where the fan-out table says; otherwise it is not used.
    fan_fits: bool,
    order: OnceLock<Order>,
    /// The checksum of the pack that this index is for.
    pub(super) pack_checksum: Vec<u8>,
}

/// A column of a table.
#[derive(Clone, Copy, Debug)]
struct Column {
    start: usize,
    step: usize,
}

impl Column {
    fn cell(self, bytes: &[u8], row: usize, length: usize) -> Option<&[u8]> {
        let at = row.checked_mul(self.step)?.checked_add(self.start)?;
        bytes.get(at..at.checked_add(length)?)
    }
}

/// The order of the pack.
#[derive(Debug)]
struct Order {
    offsets: Vec<u64>,
    /// Positions among the names.
    positions: Vec<u32>,
}

const CUT_OFF: Trouble = Trouble::Broken("the index is cut off");
const FANOUT: usize = 256 * 4;

impl Index {
    pub(super) fn parse(bytes: Vec<u8>, format: ObjectFormat) -> Result<Self, Trouble> {
        let width = format.length();
        let version_2 = match bytes.strip_prefix(b"\xfftOc") {
            None => false,
            Some([0, 0, 0, 2, ..]) => true,
            Some(_) => return Err(Trouble::Broken("the index has an unknown version")),
        };
        let fanout_at = if version_2 { 8 } else { 0 };
        let table = fanout_at + FANOUT;
        let count = count(bytes.get(fanout_at..table).ok_or(CUT_OFF)?)?;
        let after = |start: usize, size: usize| {
            count.checked_mul(size).and_then(|length| length.checked_add(start)).ok_or(CUT_OFF)
        };
        let (names, offsets, large) = if version_2 {
            let checksums = after(table, width)?;
            let offsets = after(checksums, 4)?;
            let large = after(offsets, 4)?;
            (Column { start: table, step: width }, Column { start: offsets, step: 4 }, Some(large))
        } else {
            after(table, 4 + width)?;
            (Column { start: table + 4, step: 4 + width }, Column { start: table, step: 4 + width }, None)
        };
        let trailer = bytes.len().checked_sub(2 * width).ok_or(CUT_OFF)?;
        if trailer < large.unwrap_or(after(table, 4 + width)?) {
            return Err(CUT_OFF);
        }
        if u32::try_from(count).is_err() {
            return Err(Trouble::Broken("the index is too large"));
        }
        let pack_checksum = bytes.get(trailer..trailer + width).ok_or(CUT_OFF)?.to_vec();
        let order = OnceLock::new();
        let mut index =
            Self { bytes, count, format, names, offsets, large, fan_fits: true, order, pack_checksum };
        if !(1..count).all(|row| index.raw_name(row.saturating_sub(1)) <= index.raw_name(row)) {
            return Err(Trouble::Broken("the names in the index are not sorted"));
        }
        index.fan_fits = (0..=u8::MAX).all(|byte| {
            let end = index.fan(byte);
            let begins = |row: usize| index.raw_name(row).and_then(|name| name.first().copied());
            end.checked_sub(1).and_then(begins).is_none_or(|last| last <= byte)
                && begins(end).is_none_or(|next| end >= count || next > byte)
        });
        Ok(index)
    }

    pub(super) fn find(&self, oid: Oid) -> Option<u64> {
        self.position_of(oid).and_then(|position| self.offset_at(wide(position)))
    }

    /// The position of a name among all.
    pub(super) fn position_of(&self, oid: Oid) -> Option<u32> {
        let name = oid.as_bytes();
        let first = *name.first()?;
        let (mut low, mut high) = (0, self.count);
        if self.fan_fits {
            low = first.checked_sub(1).map_or(0, |before| self.fan(before));
            high = self.fan(first);
        }
        while low < high {
            let middle = low + (high - low) / 2;
            match self.raw_name(middle)?.cmp(name) {
                std::cmp::Ordering::Less => low = middle + 1,
                std::cmp::Ordering::Equal => return u32::try_from(middle).ok(),
                std::cmp::Ordering::Greater => high = middle,
            }
        }
        None
    }

    /// How many names begin with at most this byte, as the fan-out table says.
    fn fan(&self, byte: u8) -> usize {
        let start = if self.large.is_some() { 8 } else { 0 };
        let cell = Column { start, step: 4 }.cell(&self.bytes, usize::from(byte), 4);
        let count = cell.and_then(|cell| cell.first_chunk::<4>()).map_or(0, |cell| u32::from_be_bytes(*cell));
        wide(count).min(self.count)
    }

    /// All names, sorted.
    pub(super) fn names(&self) -> impl Iterator<Item = Oid> {
        (0..self.count).filter_map(|row| Oid::from_bytes(self.raw_name(row)?))
    }

    /// Names and offsets in pack order.
    pub(super) fn in_pack_order(&self) -> impl Iterator<Item = (Oid, u64)> {
        let order = self.order();
        order
            .positions
            .iter()
            .zip(&order.offsets)
            .filter_map(|(row, offset)| Some((self.name_at(*row)?, *offset)))
    }

    /// Where the entry after this offset begins.
    pub(super) fn next_offset(&self, offset: u64) -> Option<u64> {
        let offsets = &self.order().offsets;
        offsets.get(offsets.partition_point(|other| *other <= offset)).copied()
    }

    /// How many objects there are.
    pub(super) fn len(&self) -> usize {
        self.count
    }

    /// The number of the object at this offset, counted in pack order.
    pub(super) fn position(&self, offset: u64) -> Option<u32> {
        let found = self.order().offsets.partition_point(|other| *other < offset);
        let number = u32::try_from(found).ok()?;
        (self.place(number) == Some(offset)).then_some(number)
    }

    /// The offset of an object by its number in pack order.
    pub(super) fn place(&self, number: u32) -> Option<u64> {
        self.order().offsets.get(wide(number)).copied()
    }

    /// The name of an object by its number in pack order.
    pub(super) fn name(&self, number: u32) -> Option<Oid> {
        self.name_at(self.row(number)?)
    }

    /// The position among the names of an object, by its number in pack order.
    pub(super) fn row(&self, number: u32) -> Option<u32> {
        self.order().positions.get(wide(number)).copied()
    }

    /// The name at a position among the names.
    pub(super) fn name_at(&self, row: u32) -> Option<Oid> {
        Oid::from_bytes(self.raw_name(wide(row))?)
    }

    fn raw_name(&self, row: usize) -> Option<&[u8]> {
        self.names.cell(&self.bytes, row, self.format.length())
    }

    fn offset_at(&self, row: usize) -> Option<u64> {
        let small = u32::from_be_bytes(*self.offsets.cell(&self.bytes, row, 4)?.first_chunk::<4>()?);
        let Some(start) = self.large.filter(|_| small & 0x8000_0000 != 0) else {
            return Some(u64::from(small));
        };
        // The upper bit set: the rest is a position in the table of large offsets.
        let end = self.bytes.len().checked_sub(2 * self.format.length())?;
        let table = Column { start, step: 8 };
        let cell = table.cell(self.bytes.get(..end)?, wide(small & 0x7fff_ffff), 8)?;
        Some(u64::from_be_bytes(*cell.first_chunk::<8>()?))
    }

    fn order(&self) -> &Order {
        self.order.get_or_init(|| {
            // An offset that the index does not have is beyond every pack: reading there says so.
            let offset = |row: u32| self.offset_at(wide(row)).unwrap_or(u64::MAX);
            let rows = 0..u32::try_from(self.count).unwrap_or(u32::MAX);
            let mut pairs: Vec<(u64, u32)> = rows.map(|row| (offset(row), row)).collect();
            pairs.sort_unstable();
            let (offsets, positions) = pairs.into_iter().unzip();
            Order { offsets, positions }
        })
    }
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
