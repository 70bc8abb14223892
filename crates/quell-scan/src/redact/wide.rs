//! UTF-16 in a stream of bytes: what Windows programs write into logs, and `PowerShell` into files.
//!
//! Of ASCII every second byte is zero. Where that is so, the other bytes are the text, in either order of bytes. Neither a mark
//! at the start nor the place of a byte in the stream matters, so that mixed streams are read, too.

/// Shorter texts hold no secret.
const MIN: usize = 8;

/// Bytes with zeros between them.
#[derive(Debug, Eq, PartialEq)]
pub(super) struct Stretch {
    /// Where the first byte of the text stands; the others follow at every second place.
    pub(super) at: usize,
    pub(super) text: Vec<u8>,
}

impl Stretch {
    /// Where a byte of the text stands.
    pub(super) fn place(&self, at: usize) -> usize {
        self.at.saturating_add(at.saturating_mul(2))
    }
}

/// The texts in some bytes, in order.
///
/// Beside a character of other languages it cannot be told which byte is a half of it: then both readings are given.
pub(super) fn stretches(bytes: &[u8]) -> Vec<Stretch> {
    let mut all = Vec::new();
    let mut from = 0;
    while let Some(next) = memchr::memchr(0, bytes.get(from..).unwrap_or_default()) {
        let zero = from + next;
        // The byte before the zero, unless it belongs to what came before; then every second byte until two are alike.
        let at = if next > 0 { zero - 1 } else { zero + 1 };
        let mut end = at;
        while bytes.get(end).is_some_and(|byte| *byte != 0) {
            end += 2;
            if bytes.get(end - 1) != Some(&0) {
                break;
            }
        }
        let first_unsure = next > 0 && at > 0;
        let last_unsure = end > at && bytes.get(end - 1).is_some_and(|byte| *byte != 0);
        let text = bytes.get(at..end.min(bytes.len())).unwrap_or_default();
        let text: Vec<u8> = text.iter().step_by(2).copied().collect();
        if text.len() >= MIN {
            if first_unsure {
                let rest = text.get(1..).unwrap_or_default().to_vec();
                all.push(Stretch { at: at + 2, text: rest });
            }
            if last_unsure {
                let rest = text.get(..text.len() - 1).unwrap_or_default().to_vec();
                all.push(Stretch { at, text: rest });
            }
            if !(first_unsure && last_unsure) {
                all.push(Stretch { at, text });
            }
        }
        from = if last_unsure { end - 1 } else { end.max(zero + 1) };
    }
    all
}

/// True when a text of this sort begins here.
pub(super) fn begins(bytes: &[u8]) -> bool {
    let head = bytes.get(..4 * MIN).unwrap_or(bytes);
    stretches(head).iter().any(|stretch| stretch.at <= 2 && stretch.text.len() + 2 >= head.len() / 2)
}

/// A marker that takes the place of some text, from its first byte to its last: what stands around it stays as it was.
pub(super) fn marker(text: &str) -> String {
    text.chars().flat_map(|character| ['\0', character]).skip(1).collect()
}

/// The bytes of a line without the zeros, if there are any.
pub(super) fn narrow(line: &[u8]) -> Option<Vec<u8>> {
    line.contains(&0).then(|| line.iter().copied().filter(|byte| *byte != 0).collect())
}
