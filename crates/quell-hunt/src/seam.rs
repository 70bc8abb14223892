//! Where two pieces of a large log meet: a needle with a line break in it may lie across.

use crate::format::Format;
use crate::needle::Needles;
use crate::search::{Seen, line_at, over_lines};

/// The end of what was searched: a value of several lines may begin there and end in the next piece.
#[derive(Default)]
pub(crate) struct Seam {
    tail: Vec<u8>,
}

impl Seam {
    /// Looks for needles that begin before a piece and end in it, and keeps its end.
    pub(crate) fn search(
        &mut self,
        name: &str,
        format: Format,
        (text, offset): (&[u8], u64),
        needles: &Needles,
        seen: &mut Seen,
    ) {
        // No other needle has a line break in it, at which pieces end.
        let Some(reach) = needles.reach().checked_sub(1) else { return };
        let before = self.tail.len();
        self.tail.extend_from_slice(text.get(..reach.min(text.len())).unwrap_or_default());
        let mut at = 0;
        while let Some((end, needle)) = needles.next(&self.tail, at) {
            let start = end - needle.bytes().len();
            if let Some(end) = end.checked_sub(before).filter(|end| start < before && *end > 0) {
                let (start, bytes) = line_at(text, end);
                over_lines(name, format, (bytes, offset + start as u64), needle, seen);
            }
            at = start + 1;
        }
        // All of the piece stands in the tail now, if it is a short one.
        self.tail.extend_from_slice(
            text.get(reach.min(text.len())..)
                .and_then(|rest| rest.get(rest.len().saturating_sub(reach)..))
                .unwrap_or_default(),
        );
        let surplus = self.tail.len().saturating_sub(reach);
        self.tail.drain(..surplus);
    }
}
