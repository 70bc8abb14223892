//! JSON's escapes (RFC 8259, section 7) in text that is one otherwise: PHP writes `/` as one, Go `&`, `<` and `>`, Gson also
//! `=` and `'`. A URL is none with them.

use std::ops::Range;

/// What is between two quotes or blanks.
pub(super) const MEMBERS: [bool; 256] = {
    let mut table = [true; 256];
    let mut byte = 0_u8;
    #[expect(clippy::indexing_slicing, reason = "evaluated by the compiler; a byte is below 256")]
    while byte < 128 {
        table[byte as usize] = byte > b' ' && !matches!(byte, b'"' | b'\'' | b'`' | 0x7f);
        byte += 1;
    }
    table
};

/// How far a run may begin before the stretch with the escapes: a name of this length, `": "`.
pub(super) const BEFORE: usize = MAX_NAME + 4;

/// How far it may end behind: a quote.
pub(super) const BEHIND: usize = 1;

/// Longer names of values count by their ends.
const MAX_NAME: usize = 60;

/// Backslashes before one escape: JSON in JSON in JSON has seven.
const MAX_DEPTH: usize = 15;

/// True for an escape that hides what rules look for.
pub(super) fn escape(bytes: &[u8], at: usize) -> bool {
    match bytes.get(at..).unwrap_or_default() {
        [b'\\', b'/', ..] => true,
        [b'\\', b'u', b'0', b'0', high, low, ..] => high.is_ascii_hexdigit() && low.is_ascii_hexdigit(),
        _ => false,
    }
}

/// A stretch together with the quotes around it and the name that it is the value of, as `"name": "value"`.
///
/// Each step looks at one or two bytes before those that belong to the run already.
pub(super) fn with_name(bytes: &[u8], stretch: &Range<usize>) -> Range<usize> {
    let head = bytes.get(..stretch.start).unwrap_or_default();
    let Some(head) = head.strip_suffix(b"\"") else { return stretch.clone() };
    let (head, named) = match head.split_last() {
        Some((b':', head)) => (head, true),
        Some((b' ', head)) => head.strip_suffix(b":").map_or((head, false), |head| (head, true)),
        _ => return stretch.clone(),
    };
    let end = stretch.end + usize::from(bytes.get(stretch.end) == Some(&b'"'));
    let Some(head) = head.strip_suffix(b"\"").filter(|_| named) else { return head.len()..end };
    let of_name = |byte: &&u8| byte.is_ascii_alphanumeric() || b"_-.".contains(byte);
    let name = head.iter().rev().take(MAX_NAME).take_while(of_name).count();
    head.len() - name..end
}

/// Undoes the escapes. One that does not stand for text stays as it is.
pub(super) fn decode(run: &[u8]) -> Vec<u8> {
    let mut text = Vec::with_capacity(run.len());
    units(run, &mut |_, unit| text.extend_from_slice(unit));
    text
}

/// For each byte of the decoded text where the escape or byte begins that it comes from; and the end of the run.
pub(super) fn origins(run: &[u8]) -> Vec<usize> {
    let mut origins = Vec::with_capacity(run.len());
    units(run, &mut |at, unit| origins.extend(unit.iter().map(|_| at)));
    origins.push(run.len());
    origins
}

/// Calls `sink` with where each character or escape begins and what it stands for.
fn units(run: &[u8], sink: &mut dyn FnMut(usize, &[u8])) {
    let mut rest = run;
    while let Some((first, after)) = rest.split_first() {
        let at = run.len() - rest.len();
        if let Some((character, tail)) = escaped(rest) {
            sink(at, character.encode_utf8(&mut [0; 4]).as_bytes());
            rest = tail;
        } else {
            sink(at, &[*first]);
            rest = after;
        }
    }
}

/// The character that an escape at the beginning stands for, and what follows it.
///
/// The escapes that hide something are undone with any number of backslashes: JSON inside of a JSON string is common in logs.
fn escaped(text: &[u8]) -> Option<(char, &[u8])> {
    let depth = text.iter().take(MAX_DEPTH).take_while(|byte| **byte == b'\\').count();
    match text.get(depth..)? {
        [b'/', tail @ ..] if depth > 0 => Some(('/', tail)),
        [b'u', a, b, c, d, tail @ ..] if depth > 0 => {
            let mut code = 0;
            for digit in [a, b, c, d] {
                code = code << 4 | char::from(*digit).to_digit(16)?;
            }
            let character = char::from_u32(code)?;
            (!character.is_control() || "\t\n\r".contains(character)).then_some((character, tail))
        }
        [b'n', tail @ ..] if depth == 1 => Some(('\n', tail)),
        [b'r', tail @ ..] if depth == 1 => Some(('\r', tail)),
        [b't', tail @ ..] if depth == 1 => Some(('\t', tail)),
        _ if depth > 1 => Some(('\\', text.get(2..)?)),
        _ => None,
    }
}
