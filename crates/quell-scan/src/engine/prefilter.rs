//! Where one of many literals may stand: a filter that looks at every three bytes once.
//!
//! The idea is that of the FDR matcher of Hyperscan (Wang et al., "Hyperscan: A Fast Multi-pattern Regex Matcher for
//! Modern CPUs", NSDI 2019): the literals are put into eight buckets, and a table says for three bytes at which places of
//! which buckets they may stand. Places of many start positions are combined by shifts, without a chain of states. What
//! passes is looked up by four of its bytes, and compared. Plain safe code: the table of 32 KiB stays in the first-level
//! cache.

use std::collections::BTreeMap;

/// Values of three folded bytes, hashed.
const TRIPLES: usize = 1 << 13;

/// Triples that are looked at: a literal counts by up to six bytes of it.
const PLACES: usize = 4;
const FRAME: usize = PLACES + 2;

/// Lists of literals by the last four bytes of their piece.
const QUADS: usize = 1 << 12;

/// Values of a pair of folded bytes.
const PAIRS: usize = 64 * 64;

/// The bucket of pieces of two and three bytes.
const SHORT: u8 = 1;

/// A literal that was found: its number, and where it starts.
#[derive(Clone, Copy, Debug, Eq, Ord, PartialEq, PartialOrd)]
pub(super) struct Spot {
    pub(super) start: u32,
    pub(super) literal: u32,
}

/// A literal, and the piece of it that the table knows.
#[derive(Debug)]
struct Entry {
    folded: Box<[u8]>,
    /// The last four bytes of the piece, folded; 0 for shorter pieces.
    quad: u32,
    /// Where the piece ends in the literal. A piece of two bytes ends one byte after it, as only triples are seen.
    end: usize,
    number: u32,
}

/// Finds literals in any case.
#[derive(Debug)]
pub(super) struct Prefilter {
    /// Per triple: byte 3 - j has a zero bit for each bucket that may have this triple at place j.
    table: Box<[u32]>,
    /// Entries of short pieces by their first pair.
    by_pair: Vec<Vec<Entry>>,
    /// Which hashes the last four bytes of longer pieces have.
    quads: Box<[u64]>,
    /// Longer pieces by the hash of their last four bytes: few share one.
    by_quad: Vec<Vec<Entry>>,
    longest: usize,
}

impl Prefilter {
    /// A filter for these literals, in lower case and of two bytes or more; shorter ones are never found.
    pub(super) fn new(literals: &[Vec<u8>]) -> Self {
        let common = common();
        let mut pieces: Vec<(usize, &[u8], usize)> = Vec::new();
        for (number, literal) in literals.iter().enumerate().filter(|(_, literal)| literal.len() >= 2) {
            let end = rarest(literal, &common);
            let start = end.saturating_sub(FRAME);
            pieces.push((number, literal.get(start..end).unwrap_or_default(), end));
        }
        // Pieces that end alike share a bucket, and short ones are apart from the others, whose places they would open.
        pieces.sort_by_cached_key(|(_, piece, _)| {
            (piece.len(), piece.iter().rev().copied().collect::<Vec<u8>>())
        });
        let mut filter = Self {
            table: vec![u32::MAX; TRIPLES].into_boxed_slice(),
            by_pair: std::iter::repeat_with(Vec::new).take(PAIRS).collect(),
            quads: vec![0; 1024].into_boxed_slice(),
            by_quad: std::iter::repeat_with(Vec::new).take(QUADS).collect(),
            longest: literals.iter().map(Vec::len).max().unwrap_or(0),
        };
        let short = pieces.iter().filter(|(_, piece, _)| piece.len() < FRAME).count();
        let whole = pieces.len().saturating_sub(short).max(1);
        for (at, (number, piece, end)) in pieces.iter().enumerate() {
            let bucket = match piece.len() {
                ..=3 => 0,
                4 => 1,
                5 => 2,
                _ => 3 + at.saturating_sub(short).saturating_mul(5) / whole,
            };
            open(&mut filter.table, piece, bucket);
            if let (Some(literal), Ok(number)) = (literals.get(*number), u32::try_from(*number)) {
                filter.list(piece, literal, *end, number);
            }
        }
        filter
    }

    fn list(&mut self, piece: &[u8], literal: &[u8], end: usize, number: u32) {
        let folded = literal.into();
        if let Some(last) = piece.last_chunk::<4>() {
            let quad = quad(*last);
            let hash = hash(quad);
            if let Some(word) = self.quads.get_mut(hash >> 6) {
                *word |= 1 << (hash & 63);
            }
            if let Some(list) = self.by_quad.get_mut(hash % QUADS) {
                list.push(Entry { folded, quad, end, number });
            }
        } else if let Some([first, second]) = piece.first_chunk::<2>() {
            let end = end + 3_usize.saturating_sub(piece.len());
            if let Some(list) = self.by_pair.get_mut(pair(*first, *second)) {
                list.push(Entry { folded, quad: 0, end, number });
            }
        }
    }

    /// Bytes of the longest literal.
    pub(super) fn longest(&self) -> usize {
        self.longest
    }

    /// Calls `sink` for every literal in `bytes`, in the order of the places where their pieces end.
    pub(super) fn find(&self, bytes: &[u8], sink: &mut dyn FnMut(Spot)) {
        // Starts of frames are three bytes behind: a frame of six may begin before the text when its piece is shorter.
        // A table whose size is known needs no checks.
        let Some(table) = self.table.first_chunk::<TRIPLES>() else { return };
        let mut spill = 0_u64;
        let mut base = 0_usize;
        while base.saturating_add(2) <= bytes.len() {
            let mut last = [0_u8; 10];
            let chunk: &[u8; 10] = if let Some(chunk) = bytes.get(base..).and_then(|rest| rest.first_chunk())
            {
                chunk
            } else {
                let rest = bytes.get(base..).unwrap_or_default();
                last.iter_mut().zip(rest).for_each(|(to, from)| *to = *from);
                &last
            };
            let word = |from: usize| chunk.get(from..).and_then(|part| part.first_chunk::<8>()).copied();
            let folded = |from: usize| pairs(fold8(u64::from_le_bytes(word(from).unwrap_or_default())));
            // Pairs of the bytes from 0, 2, 4, 6, from 1, 3, 5, 7, and from 2, 4, 6, 8: see `triple`.
            let (even, odd, next) = (folded(0), folded(1), folded(2));
            let (even, odd) = (even ^ odd << 1, odd ^ next << 1);
            let at = |triples: u64, index: u32| u64::from(entry(table, triples >> (16 * index)));
            let (five, six, seven) = (at(odd, 2), at(even, 3), at(odd, 3));
            let low = spill
                | at(even, 0)
                | at(odd, 0) << 8
                | at(even, 1) << 16
                | at(odd, 1) << 24
                | at(even, 2) << 32
                | five << 40
                | six << 48
                | seven << 56;
            spill = five >> 24 | six >> 16 | seven >> 8;
            if low != u64::MAX {
                self.verify(bytes, base, !low, sink);
            }
            base += 8;
        }
    }

    /// Compares the literals whose piece may end where a lane says so: lane 0 ends three bytes after `base`.
    fn verify(&self, bytes: &[u8], base: usize, mut lanes: u64, sink: &mut dyn FnMut(Spot)) {
        while lanes != 0 {
            let shift = lanes.trailing_zeros() & !7;
            let buckets = (lanes >> shift & 0xff) as u8;
            lanes &= !(0xff << shift);
            let start = base + (shift / 8) as usize;
            let end = start + 3;
            if buckets & SHORT != 0 {
                let pair_at = bytes.get(start..).and_then(|rest| rest.first_chunk::<2>());
                let list = pair_at.and_then(|[first, second]| self.by_pair.get(pair(*first, *second)));
                list.into_iter().flatten().for_each(|entry| compare(entry, bytes, end, sink));
            }
            if buckets & !SHORT != 0 {
                let Some(last) = bytes.get(..end).and_then(|head| head.last_chunk::<4>()) else { continue };
                let quad = quad(*last);
                let hash = hash(quad);
                if self.quads.get(hash >> 6).is_none_or(|word| word >> (hash & 63) & 1 == 0) {
                    continue;
                }
                for entry in self.by_quad.get(hash % QUADS).into_iter().flatten() {
                    if entry.quad == quad {
                        compare(entry, bytes, end, sink);
                    }
                }
            }
        }
    }
}

#[inline]
fn entry(table: &[u32; TRIPLES], triples: u64) -> u32 {
    let index = (triples & 0x1fff) as usize;
    table.get(index).copied().unwrap_or(u32::MAX)
}

/// Compares a literal whose piece may end at `end`.
fn compare(entry: &Entry, bytes: &[u8], end: usize, sink: &mut dyn FnMut(Spot)) {
    let Some(start) = end.checked_sub(entry.end) else { return };
    let Some(text) = bytes.get(start..start.saturating_add(entry.folded.len())) else { return };
    if text.eq_ignore_ascii_case(&entry.folded) {
        if let Ok(start) = u32::try_from(start) {
            sink(Spot { start, literal: entry.number });
        }
    }
}

/// Opens the places of a piece of two to six bytes; a shorter one leaves the first places open for everything.
fn open(table: &mut [u32], piece: &[u8], bucket: usize) {
    let missing = FRAME.saturating_sub(piece.len().max(3));
    for place in 0..PLACES {
        // Byte 3 of an entry is the first place: its start lies furthest back.
        let mask = !(1_u32 << (8 * (PLACES - 1 - place) + bucket));
        let here =
            place.checked_sub(missing).and_then(|at| Some((*piece.get(at)?, *piece.get(at + 1)?, at + 2)));
        let Some((first, second, third)) = here else {
            for entry in &mut *table {
                *entry &= mask;
            }
            continue;
        };
        let mut open = |third: u8| {
            if let Some(entry) = table.get_mut(triple(first, second, third)) {
                *entry &= mask;
            }
        };
        // What follows a piece of two bytes may be anything.
        match piece.get(third) {
            Some(third) => open(*third),
            None => (0..=u8::MAX).for_each(open),
        }
    }
}

/// Six bits of a byte: letters of both cases fall together, as do some signs that are far apart.
fn fold(byte: u8) -> usize {
    usize::from(byte & 0x1f | (byte & 0x40) >> 1)
}

fn pair(first: u8, second: u8) -> usize {
    fold(first) | fold(second) << 6
}

/// Thirteen bits of three bytes.
fn triple(first: u8, second: u8, third: u8) -> usize {
    pair(first, second) ^ pair(second, third) << 1
}

/// Four bytes, folded: 24 bits.
fn quad(bytes: [u8; 4]) -> u32 {
    let word = u32::from_le_bytes(bytes);
    let folded = word & 0x1f1f_1f1f | word >> 1 & 0x2020_2020;
    folded & 0x3f | folded >> 2 & 0xfc0 | folded >> 4 & 0x3_f000 | folded >> 6 & 0xfc_0000
}

/// Spreads the 24 bits over 16 (Knuth's multiplicative hashing).
fn hash(quad: u32) -> usize {
    (quad.wrapping_mul(0x9e37_79b1) >> 16) as usize
}

/// [`fold`] for eight bytes at once.
fn fold8(word: u64) -> u64 {
    word & 0x1f1f_1f1f_1f1f_1f1f | word >> 1 & 0x2020_2020_2020_2020
}

/// Four [`pair`]s, of bytes 0 and 1, 2 and 3, and so on, in sixteen bits each.
fn pairs(folded: u64) -> u64 {
    folded & 0x003f_003f_003f_003f | folded >> 2 & 0x0fc0_0fc0_0fc0_0fc0
}

/// How common four characters are; those that are not listed are rare.
fn common() -> BTreeMap<[u8; 4], u32> {
    let lines = include_str!("common.txt").lines().filter(|line| !line.starts_with("# "));
    let words: Vec<[u8; 4]> = lines
        .flat_map(str::split_ascii_whitespace)
        .filter_map(|word| word.as_bytes().try_into().ok())
        .collect();
    words.into_iter().rev().zip(1..).collect()
}

/// The end of the piece of a literal that is rarest by its last four bytes, then by its letters.
fn rarest(literal: &[u8], common: &BTreeMap<[u8; 4], u32>) -> usize {
    let weight = |byte: &u8| match byte {
        b'e' | b't' | b'a' | b'o' | b'i' | b'n' | b's' | b'r' | b' ' | b'-' => 1_u32,
        b'l' | b'c' | b'd' | b'u' | b'p' | b'm' | b'f' | b'h' => 2,
        b'q' | b'z' | b'x' | b'j' | b'~' => 5,
        _ => 3,
    };
    let often = |window: &[u8]| window.last_chunk().and_then(|last| common.get(last)).copied().unwrap_or(0);
    let size = literal.len().min(FRAME);
    let best = literal
        .windows(size)
        .enumerate()
        .min_by_key(|(_, window)| (often(window), std::cmp::Reverse(window.iter().map(weight).sum::<u32>())));
    best.map_or(literal.len(), |(at, _)| at + size)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn find(literals: &[&str], text: &[u8]) -> Vec<(u32, u32)> {
        let literals: Vec<Vec<u8>> = literals.iter().map(|literal| literal.as_bytes().to_vec()).collect();
        let mut found = Vec::new();
        Prefilter::new(&literals).find(text, &mut |spot| found.push((spot.start, spot.literal)));
        found.sort_unstable();
        found
    }

    /// What a search at every position finds.
    fn slow(literals: &[&str], text: &[u8]) -> Vec<(u32, u32)> {
        let mut found = Vec::new();
        for start in 0..text.len() {
            for (number, literal) in literals.iter().enumerate() {
                if text[start..]
                    .get(..literal.len())
                    .is_some_and(|part| part.eq_ignore_ascii_case(literal.as_bytes()))
                {
                    found.push((u32::try_from(start).unwrap(), u32::try_from(number).unwrap()));
                }
            }
        }
        found
    }

    const WORDS: &[&str] = &[
        "q~",
        "eyj",
        "ghp_",
        "secret",
        "password",
        "-----begin ",
        "api_key",
        "k=",
        "aaaa",
        "aa",
        "sk_live_",
        "\u{fc}ber",
    ];

    #[test]
    fn a_literal_is_found_at_every_offset() {
        for word in WORDS {
            for offset in 0..40 {
                for after in 0..12 {
                    let text = [".".repeat(offset), word.to_ascii_uppercase(), "!".repeat(after)].concat();
                    let found = find(WORDS, text.as_bytes());
                    assert_eq!(found, slow(WORDS, text.as_bytes()), "{text}");
                    assert!(!found.is_empty(), "{text}");
                }
            }
        }
    }

    proptest::proptest! {
        #[test]
        fn it_finds_what_a_slow_search_finds(
            literals in proptest::collection::vec("[a-c_.]{2,9}", 1..30),
            text in "[a-cA-C_.]{0,200}",
        ) {
            let literals: Vec<&str> = literals.iter().map(String::as_str).collect();
            proptest::prop_assert_eq!(find(&literals, text.as_bytes()), slow(&literals, text.as_bytes()));
        }
    }
}
