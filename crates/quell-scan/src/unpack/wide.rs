//! UTF-16 as UTF-8. Two bytes at the start are no promise: where other text goes on behind them (`echo >>` onto a file that
//! `PowerShell` wrote), or where they only pretend, the bytes come out as they are, too.

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
    /// The last bytes of the part before, for what goes on from there.
    before: Vec<u8>,
}

/// So many printable bytes of ASCII in a row are no UTF-16 of the languages that secrets are written in.
const PLAIN: usize = 16;

/// How far plain text is shown once more, so that nothing is cut in two.
const OVERLAP: usize = 4 << 10;

fn holds_plain_text(bytes: &[u8]) -> bool {
    let printable = |byte: &u8| matches!(byte, b' '..=b'~' | b'\t');
    bytes.split(|byte| !printable(byte)).any(|run| run.len() >= PLAIN)
}

impl<'a, 'r> Reader<'a, 'r> {
    pub(super) fn new(inner: &'a mut Lookahead<'r>, order: Order) -> Self {
        Self { inner, order, out: Vec::new(), taken: 0, half: None, before: Vec::new() }
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
        if holds_plain_text(&bytes) {
            self.out.push(b'\n');
            self.out.extend_from_slice(&self.before);
            self.out.extend_from_slice(&bytes);
            self.out.push(b'\n');
        }
        self.before = bytes.get(bytes.len().saturating_sub(OVERLAP)..).unwrap_or_default().to_vec();
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
