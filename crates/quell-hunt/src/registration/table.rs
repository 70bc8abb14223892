//! Ranges of addresses without overlaps, in order: a table for searching in halves.

use std::cmp::Reverse;
use std::collections::BTreeSet;

use super::Overlaps;

/// A range as a file has it.
#[derive(Clone, Copy, Debug)]
pub(super) struct Row<A> {
    pub(super) first: A,
    pub(super) last: A,
    /// A place in a list of what is said of ranges.
    pub(super) value: u32,
    /// Where it stands in the file, from 1.
    pub(super) line: u32,
}

/// First, last and value of each range. Addresses are `u32` of IPv4 or `u128` of IPv6.
#[derive(Debug)]
pub(super) struct Table<A>(Vec<(A, A, u32)>);

impl<A: Copy + Ord + Into<u128> + TryFrom<u128>> Table<A> {
    /// From ranges in any order. Of those that overlap the narrowest counts, and of two alike the later one.
    pub(super) fn new(mut rows: Vec<Row<A>>) -> (Self, Option<Overlaps>) {
        rows.sort_by_key(|row| (row.first, row.last, row.line));
        let overlaps = overlaps(&rows);
        let flat = match overlaps {
            None => rows.iter().map(|row| (row.first, row.last, row.value)).collect(),
            Some(_) => flatten(&rows),
        };
        (Self(flat), overlaps)
    }

    /// The value of the range that an address is in.
    pub(super) fn find(&self, address: A) -> Option<u32> {
        let behind = self.0.partition_point(|(first, _, _)| *first <= address);
        let (_, last, value) = self.0.get(behind.checked_sub(1)?)?;
        (address <= *last).then_some(*value)
    }

    pub(super) fn len(&self) -> usize {
        self.0.len()
    }
}

/// Ranges that begin before one that was before them ends.
fn overlaps<A: Copy + Ord>(rows: &[Row<A>]) -> Option<Overlaps> {
    let mut found: Option<Overlaps> = None;
    let mut widest: Option<&Row<A>> = None;
    for row in rows {
        if let Some(before) = widest.filter(|before| row.first <= before.last) {
            found.get_or_insert(Overlaps { count: 0, lines: (before.line, row.line) }).count += 1;
        }
        if widest.is_none_or(|before| row.last > before.last) {
            widest = Some(row);
        }
    }
    found
}

/// Cuts ranges at every beginning and end of another, and keeps of each piece the narrowest range that it is in.
fn flatten<A: Copy + Ord + Into<u128> + TryFrom<u128>>(rows: &[Row<A>]) -> Vec<(A, A, u32)> {
    let ends = rows.iter().filter_map(|row| row.last.into().checked_add(1));
    let cuts: BTreeSet<u128> = rows.iter().map(|row| row.first.into()).chain(ends).collect();
    let mut pieces: Vec<(A, A, u32)> = Vec::new();
    let mut waiting = rows.iter().enumerate().peekable();
    let mut narrow: BTreeSet<(u128, Reverse<u32>, usize)> = BTreeSet::new();
    let mut ending: BTreeSet<(A, u128, Reverse<u32>, usize)> = BTreeSet::new();
    for (at, next) in cuts.iter().zip(cuts.iter().skip(1).map(|next| next - 1).chain([u128::MAX])) {
        while let Some((place, row)) = waiting.next_if(|(_, row)| row.first.into() <= *at) {
            let width = row.last.into() - row.first.into();
            narrow.insert((width, Reverse(row.line), place));
            ending.insert((row.last, width, Reverse(row.line), place));
        }
        while let Some((last, width, line, place)) = ending.first().copied().filter(|it| it.0.into() < *at) {
            ending.remove(&(last, width, line, place));
            narrow.remove(&(width, line, place));
        }
        let Some(row) = narrow.first().and_then(|(_, _, place)| rows.get(*place)) else { continue };
        // The last piece ends where its range does, which is where the addresses end.
        let (Ok(first), Ok(last)) = (A::try_from(*at), A::try_from(next.min(row.last.into()))) else {
            continue;
        };
        pieces.push((first, last, row.value));
    }
    pieces
}

#[cfg(test)]
mod tests {
    use super::*;

    fn table(ranges: &[(u32, u32)]) -> (Table<u32>, Option<Overlaps>) {
        let rows = ranges.iter().zip(1..).map(|((first, last), line)| Row {
            first: *first,
            last: *last,
            value: line,
            line,
        });
        Table::new(rows.collect())
    }

    #[test]
    fn ranges_in_any_order_are_found_with_both_of_their_ends() {
        let (table, overlaps) = table(&[(20, 29), (0, 9), (u32::MAX - 1, u32::MAX)]);
        assert_eq!((overlaps, table.len()), (None, 3));
        for (address, found) in
            [(0, Some(2)), (9, Some(2)), (10, None), (20, Some(1)), (30, None), (u32::MAX, Some(3))]
        {
            assert_eq!(table.find(address), found, "{address}");
        }
    }

    #[test]
    fn overlaps_are_told_and_the_narrowest_counts() {
        let (table, overlaps) = table(&[(0, 99), (10, 19), (15, 30), (15, 30), (90, u32::MAX)]);
        assert_eq!(overlaps, Some(Overlaps { count: 4, lines: (1, 2) }));
        for (address, found) in [(0, 1), (12, 2), (17, 2), (20, 4), (31, 1), (95, 1), (100, 5), (u32::MAX, 5)]
        {
            assert_eq!(table.find(address), Some(found), "{address}");
        }
    }

    proptest::proptest! {
        #[test]
        fn a_table_answers_like_a_look_at_every_range(
            ranges in proptest::collection::vec((0..60_u32, 0..20_u32), 0..12)
        ) {
            let ranges: Vec<(u32, u32)> = ranges.iter().map(|(first, width)| (*first, first + width)).collect();
            let (table, _) = table(&ranges);
            for address in 0..90 {
                let inside = ranges.iter().zip(1_u32..).filter(|((first, last), _)| (*first..=*last).contains(&address));
                let narrowest = inside.min_by_key(|((first, last), line)| (last - first, Reverse(*line)));
                proptest::prop_assert_eq!(table.find(address), narrowest.map(|(_, line)| line));
            }
        }
    }
}
