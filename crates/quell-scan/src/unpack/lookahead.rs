//! A stream whose next bytes can be looked at before they are taken.

use std::io::{self, BufRead, Read};

const CHUNK: usize = 32 << 10;

/// A buffered reader that can be asked for the next bytes without taking them.
pub(super) struct Lookahead<'r> {
    inner: &'r mut dyn Read,
    buffer: Vec<u8>,
    start: usize,
    ended: bool,
    error: Option<io::Error>,
}

impl<'r> Lookahead<'r> {
    pub(super) fn new(inner: &'r mut dyn Read) -> Self {
        Self { inner, buffer: Vec::new(), start: 0, ended: false, error: None }
    }

    /// The next `count` bytes, or all that are left. An error comes when the bytes before it have been taken.
    pub(super) fn peek(&mut self, count: usize) -> &[u8] {
        while self.buffer.len() - self.start < count && !self.ended {
            self.fill();
        }
        let left = self.buffer.get(self.start..).unwrap_or_default();
        left.get(..count).unwrap_or(left)
    }

    /// Takes `count` bytes away, or fails if there are not so many.
    pub(super) fn skip(&mut self, count: u64) -> io::Result<()> {
        let skipped = io::copy(&mut self.by_ref().take(count), &mut io::sink())?;
        if skipped == count { Ok(()) } else { Err(cut_off()) }
    }

    /// The error that ended the stream, once nothing is left.
    pub(super) fn ended(&mut self) -> io::Result<()> {
        self.error.take().map_or(Ok(()), Err)
    }

    fn fill(&mut self) {
        self.buffer.drain(..self.start);
        self.start = 0;
        let before = self.buffer.len();
        self.buffer.resize(before + CHUNK, 0);
        let read = loop {
            match self.inner.read(self.buffer.get_mut(before..).unwrap_or_default()) {
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                other => break other,
            }
        };
        let (count, error) = read.map_or_else(|error| (0, Some(error)), |count| (count.min(CHUNK), None));
        self.buffer.truncate(before + count);
        self.ended = count == 0;
        self.error = error;
    }
}

pub(super) fn cut_off() -> io::Error {
    io::Error::new(io::ErrorKind::UnexpectedEof, "it is cut off")
}

impl BufRead for Lookahead<'_> {
    fn fill_buf(&mut self) -> io::Result<&[u8]> {
        if self.peek(1).is_empty() {
            if let Some(error) = self.error.take() {
                return Err(error);
            }
        }
        Ok(self.buffer.get(self.start..).unwrap_or_default())
    }

    fn consume(&mut self, count: usize) {
        self.start = self.start.saturating_add(count).min(self.buffer.len());
    }
}

impl Read for Lookahead<'_> {
    fn read(&mut self, out: &mut [u8]) -> io::Result<usize> {
        let have = self.fill_buf()?;
        let count = have.len().min(out.len());
        if let (Some(to), Some(from)) = (out.get_mut(..count), have.get(..count)) {
            to.copy_from_slice(from);
        }
        self.consume(count);
        Ok(count)
    }
}
