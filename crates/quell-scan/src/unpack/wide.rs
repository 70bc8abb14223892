//! UTF-16 as UTF-8.

use std::io::{self, Read};

use super::lookahead::Lookahead;

/// Which byte of a unit comes first.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum Order {
    HighFirst,
    LowFirst,
}

/// Transcodes; halves of pairs become U+FFFD.
pub(super) struct Reader<'a, 'r> {
    inner: &'a mut Lookahead<'r>,
    order: Order,
    out: Vec<u8>,
    taken: usize,
    /// The first half of a pair.
    half: Option<u16>,
}

impl<'a, 'r> Reader<'a, 'r> {
    pub(super) fn new(inner: &'a mut Lookahead<'r>, order: Order) -> Self {
        Self { inner, order, out: Vec::new(), taken: 0, half: None }
    }

    fn fill(&mut self) -> io::Result<()> {
        const CHUNK: usize = 16 << 10;
        self.out.clear();
        self.taken = 0;
        let bytes = self.inner.peek(CHUNK).to_vec();
        if bytes.is_empty() {
            // An error that waits comes out here.
            self.inner.ended()?;
        }
        let ends = bytes.len() < CHUNK;
        let units = bytes.as_chunks::<2>().0.iter().map(|unit| match self.order {
            Order::HighFirst => u16::from_be_bytes(*unit),
            Order::LowFirst => u16::from_le_bytes(*unit),
        });
        let mut units: Vec<u16> = self.half.take().into_iter().chain(units).collect();
        if !ends {
            self.half = units.pop_if(|unit| (0xd800..0xdc00).contains(unit));
        }
        let text: String =
            char::decode_utf16(units).map(|unit| unit.unwrap_or(char::REPLACEMENT_CHARACTER)).collect();
        self.out = text.trim_start_matches('\u{feff}').as_bytes().to_vec();
        io::BufRead::consume(self.inner, bytes.len());
        Ok(())
    }
}

impl Read for Reader<'_, '_> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        while self.taken == self.out.len() {
            if self.inner.peek(1).is_empty() && self.half.is_none() {
                return self.inner.read(buffer);
            }
            self.fill()?;
        }
        let left = self.out.get(self.taken..).unwrap_or_default();
        let count = left.len().min(buffer.len());
        if let (Some(to), Some(from)) = (buffer.get_mut(..count), left.get(..count)) {
            to.copy_from_slice(from);
        }
        self.taken += count;
        Ok(count)
    }
}
