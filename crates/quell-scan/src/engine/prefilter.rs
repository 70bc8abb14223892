//! Where one of many literals may stand: a filter that looks at every pair of bytes once.
//!
//! The idea is that of the FDR matcher of Hyperscan (Wang et al., "Hyperscan: A Fast Multi-pattern Regex Matcher for
//! Modern CPUs", NSDI 2019): the literals are put into eight buckets, and a table says for each pair of bytes at which
//! places of which buckets it may stand. Places of many start positions are combined by shifts, without a chain of states.
//! What passes is compared with the literals. Plain safe code: the table of 16 KiB stays in the first-level cache.

/// Values of a pair of folded bytes.
const PAIRS: usize = 64 * 64;

/// Pairs that are looked at: a literal counts by up to five bytes of it.
const PLACES: usize = 4;
const FRAME: usize = PLACES + 1;

/// Lists of literals by the last four bytes of their piece.
const QUADS: usize = 1 << 12;

/// The buckets of pieces of two and three bytes.
const SHORT: u8 = 0b11;

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
    /// Where the piece ends in the literal.
    end: usize,
    number: u32,
}

/// Finds literals in any case.
#[derive(Debug)]
pub(super) struct Prefilter {
    /// Per pair: byte 3 - j has a zero bit for each bucket that may have this pair at place j.
    table: Box<[u32; PAIRS]>,
    /// Entries of short pieces by their last pair.
    by_pair: Vec<Vec<Entry>>,
    /// All others by the hash of the last four bytes of their piece: few share one.
    by_quad: Vec<Vec<Entry>>,
    longest: usize,
}

impl Prefilter {
    /// A filter for these literals, in lower case and of two bytes or more; shorter ones are never found.
    pub(super) fn new(literals: &[Vec<u8>]) -> Self {
        let mut pieces: Vec<(usize, &[u8], usize)> = Vec::new();
        for (number, literal) in literals.iter().enumerate().filter(|(_, literal)| literal.len() >= 2) {
            let end = rarest(literal);
            let start = end.saturating_sub(FRAME);
            pieces.push((number, literal.get(start..end).unwrap_or_default(), end));
        }
        // Pieces that end alike share a bucket, and short ones are apart from the others, whose places they would open.
        pieces.sort_by_cached_key(|(_, piece, _)| {
            (piece.len().min(4), piece.iter().rev().copied().collect::<Vec<u8>>())
        });
        let mut table = Box::new([u32::MAX; PAIRS]);
        let mut by_pair: Vec<Vec<Entry>> = std::iter::repeat_with(Vec::new).take(PAIRS).collect();
        let mut by_quad: Vec<Vec<Entry>> = std::iter::repeat_with(Vec::new).take(QUADS).collect();
        let short = pieces.iter().filter(|(_, piece, _)| piece.len() < 4).count();
        let long = pieces.len().saturating_sub(short).max(1);
        for (at, (number, piece, end)) in pieces.iter().enumerate() {
            let bucket = match piece.len() {
                2 => 0,
                3 => 1,
                _ => 2 + at.saturating_sub(short).saturating_mul(6) / long,
            };
            open(&mut table, piece, bucket);
            let quad = piece.last_chunk::<4>().map_or(0, |bytes| quad(*bytes));
            let list = if piece.len() < 4 {
                by_pair.get_mut(piece.last_chunk::<2>().map_or(0, |[a, b]| pair(*a, *b)))
            } else {
                by_quad.get_mut(bucket_of(quad))
            };
            if let (Some(list), Some(literal), Ok(number)) =
                (list, literals.get(*number), u32::try_from(*number))
            {
                list.push(Entry { folded: literal.as_slice().into(), quad, end: *end, number });
            }
        }
        let longest = literals.iter().map(Vec::len).max().unwrap_or(0);
        Self { table, by_pair, by_quad, longest }
    }

    /// Bytes of the longest literal.
    pub(super) fn longest(&self) -> usize {
        self.longest
    }

    /// Calls `sink` for every literal in `bytes`, in the order of the places where their pieces end.
    pub(super) fn find(&self, bytes: &[u8], sink: &mut dyn FnMut(Spot)) {
        // Starts of frames are three bytes behind: a frame of five may begin before the text when its piece is shorter.
        let mut spill = 0_u64;
        let mut base = 0_usize;
        while base.saturating_add(2) <= bytes.len() {
            let mut last = [0_u8; 9];
            let chunk: &[u8; 9] = if let Some(chunk) = bytes.get(base..).and_then(|rest| rest.first_chunk()) {
                chunk
            } else {
                let rest = bytes.get(base..).unwrap_or_default();
                last.iter_mut().zip(rest).for_each(|(to, from)| *to = *from);
                &last
            };
            let word = |from: usize| chunk.get(from..).and_then(|part| part.first_chunk::<8>()).copied();
            let even = pairs(fold8(u64::from_le_bytes(word(0).unwrap_or_default())));
            let odd = pairs(fold8(u64::from_le_bytes(word(1).unwrap_or_default())));
            let at = |pairs: u64, index: u32| u64::from(self.entry(pairs >> (16 * index)));
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
                self.verify(bytes, base, low, sink);
            }
            base += 8;
        }
    }

    #[inline]
    fn entry(&self, pairs: u64) -> u32 {
        let index = (pairs & 0xfff) as usize;
        self.table.get(index).copied().unwrap_or(u32::MAX)
    }

    /// Compares the literals whose piece may end where a lane says so: lane 0 ends two bytes after `base`.
    fn verify(&self, bytes: &[u8], base: usize, lanes: u64, sink: &mut dyn FnMut(Spot)) {
        for (lane, buckets) in lanes.to_le_bytes().into_iter().enumerate() {
            let end = base + lane + 2;
            if buckets == 0xff || end > bytes.len() {
                continue;
            }
            let Some(head) = bytes.get(..end) else { continue };
            let short = buckets & SHORT != SHORT;
            if let Some([first, second]) = head.last_chunk::<2>().filter(|_| short) {
                for entry in self.by_pair.get(pair(*first, *second)).into_iter().flatten() {
                    compare(entry, bytes, end, sink);
                }
            }
            let long = buckets | SHORT != 0xff;
            if let Some(last) = head.last_chunk::<4>().filter(|_| long) {
                let quad = quad(*last);
                for entry in self.by_quad.get(bucket_of(quad)).into_iter().flatten() {
                    if entry.quad == quad {
                        compare(entry, bytes, end, sink);
                    }
                }
            }
        }
    }
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

/// Opens the places of a piece of two to five bytes; a shorter one leaves the first places open for everything.
fn open(table: &mut [u32; PAIRS], piece: &[u8], bucket: usize) {
    let missing = FRAME.saturating_sub(piece.len());
    for place in 0..PLACES {
        // Byte 3 of an entry is the first place: its start lies furthest back.
        let mask = !(1_u32 << (8 * (PLACES - 1 - place) + bucket));
        let here = place.checked_sub(missing).and_then(|at| Some((*piece.get(at)?, *piece.get(at + 1)?)));
        match here {
            Some((a, b)) => {
                if let Some(entry) = table.get_mut(pair(a, b)) {
                    *entry &= mask;
                }
            }
            None => table.iter_mut().for_each(|entry| *entry &= mask),
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

/// Four bytes, folded: 24 bits.
fn quad(bytes: [u8; 4]) -> u32 {
    let word = u32::from_le_bytes(bytes);
    let folded = word & 0x1f1f_1f1f | word >> 1 & 0x2020_2020;
    folded & 0x3f | folded >> 2 & 0xfc0 | folded >> 4 & 0x3_f000 | folded >> 6 & 0xfc_0000
}

/// Spreads the 24 bits over the lists (Knuth's multiplicative hashing).
fn bucket_of(quad: u32) -> usize {
    (quad.wrapping_mul(0x9e37_79b1) >> 20) as usize
}

/// [`fold`] for eight bytes at once.
fn fold8(word: u64) -> u64 {
    word & 0x1f1f_1f1f_1f1f_1f1f | word >> 1 & 0x2020_2020_2020_2020
}

/// Four [`pair`]s, of bytes 0 and 1, 2 and 3, and so on, in sixteen bits each.
fn pairs(folded: u64) -> u64 {
    folded & 0x003f_003f_003f_003f | folded >> 2 & 0x0fc0_0fc0_0fc0_0fc0
}

/// The end of the piece of a literal that is rarest by its bytes.
fn rarest(literal: &[u8]) -> usize {
    let weight = |byte: &u8| match byte {
        b'e' | b't' | b'a' | b'o' | b'i' | b'n' | b's' | b'r' | b' ' | b'-' => 1_u32,
        b'l' | b'c' | b'd' | b'u' | b'p' | b'm' | b'f' | b'h' => 2,
        b'q' | b'z' | b'x' | b'j' | b'~' => 5,
        _ => 3,
    };
    let size = literal.len().min(FRAME);
    let best = literal
        .windows(size)
        .enumerate()
        .max_by_key(|(at, window)| (window.iter().map(weight).sum::<u32>(), std::cmp::Reverse(*at)));
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
