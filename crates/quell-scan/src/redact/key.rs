//! Private keys over many lines (RFC 7468, and `OpenPGP`'s RFC 9580, 6.2).

use super::wide;

/// A key that has not ended after this many bytes is withheld without its end. The largest RSA keys in use take 13 KiB.
pub(super) const MAX: usize = 64 << 10;

const BEGIN: &[u8] = b"-----BEGIN ";
const PRIVATE: &[u8] = b"PRIVATE KEY";
const END: &[u8] = b"-----END ";

/// Where the line starts that begins a private key which does not end in `lines`.
pub(super) fn unfinished(lines: &[u8]) -> Option<usize> {
    let wide = wide::stretches(lines).into_iter();
    let wide = wide.filter_map(|stretch| Some(stretch.place(of_text(&stretch.text)?)));
    of_text(lines).into_iter().chain(wide).min()
}

fn of_text(lines: &[u8]) -> Option<usize> {
    let begin = last(lines, BEGIN)?;
    let after = lines.get(begin..)?;
    let header = after.get(..after.len().min(80))?;
    if !header.windows(PRIVATE.len()).any(|window| window == PRIVATE) || last(after, END).is_some() {
        return None;
    }
    let line = lines.get(..begin)?.iter().rposition(|byte| *byte == b'\n').map_or(0, |newline| newline + 1);
    Some(line)
}

/// How much of `text` belongs to a key that began earlier, and whether the key is over.
pub(super) fn rest(text: &[u8], end: bool) -> (usize, bool) {
    let mut at = 0;
    for line in text.split_inclusive(|byte| *byte == b'\n') {
        if !line.ends_with(b"\n") && !end {
            return (at, false);
        }
        let narrow = wide::narrow(line);
        let text = narrow.as_deref().unwrap_or(line);
        if last(text, END).is_some() {
            return (at + line.len(), true);
        }
        if !of_key(text) {
            return (at, true);
        }
        at += line.len();
    }
    (at, end)
}

/// The first line, one of base64, an empty one, or a header such as `Proc-Type: 4,ENCRYPTED`. Log prefixes and indentation
/// before it do not matter, since the base64 is looked for from the end.
fn of_key(line: &[u8]) -> bool {
    let text = line.trim_ascii();
    let base64 = |byte: &u8| byte.is_ascii_alphanumeric() || b"+/=".contains(byte);
    let tail = text.iter().rev().take_while(|byte| base64(byte)).count();
    let header =
        text.split(|byte| *byte == b':').next().is_some_and(|name| name.contains(&b'-') && name.len() < 20);
    text.is_empty() || tail >= 40 || tail == text.len() || last(text, BEGIN).is_some() || header
}

/// Where the needle is last. From the front, which is several times faster than from the back.
fn last(text: &[u8], needle: &[u8]) -> Option<usize> {
    memchr::memmem::find_iter(text, needle).last()
}
