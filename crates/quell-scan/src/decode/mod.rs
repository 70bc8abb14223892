//! Text inside text: base64, hex, percent-encoding and JSON's escapes, one level down.
//!
//! A *run* is a stretch of bytes that one of the encodings could have written. Where it begins and ends depends on its own
//! bytes, on two before it and on one behind it only, so that a search may look at any part of an input and see the same runs as a
//! search of the whole. Almost every run of ordinary text is a name, a path or a hash; the first bytes that it would
//! decode to tell.

mod json;
#[cfg(test)]
mod tests;

use std::ops::Range;

use crate::Encoding;
use crate::engine::{Engine, MAX_MATCH, Match};
use crate::hit::percent_decode;
use crate::rule::contains;

/// Longer runs are no runs: bytes that a search may have to look at beside the part that it is asked about.
pub(crate) const MAX_RUN: usize = MAX_MATCH;

/// Characters of a base64 run with its padding: 16 bytes or more.
const MIN_BASE64: usize = 24;
/// The same without the padding.
const MIN_BASE64_BODY: usize = MIN_BASE64 - 2;
/// Digits of a hex run: 16 bytes.
const MIN_HEX: usize = 32;
/// Escapes that make a token worth decoding; one or two are a space in a name.
const MIN_ESCAPES: usize = 3;
/// Encoded characters that are decoded first, to see whether the rest is worth it: 18 bytes of base64, 12 of hex.
const HEAD: usize = 24;

/// A stretch that may be encoded text.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(crate) struct Run {
    pub(crate) range: Range<usize>,
    pub(crate) encoding: Encoding,
}

/// What a run stands for.
#[derive(Debug)]
pub(crate) struct Decoded<'a> {
    pub(crate) run: &'a Run,
    pub(crate) text: Vec<u8>,
    /// For an encoding that leaves most bytes as they are: where in the run each byte of the text comes from.
    origins: Option<Vec<usize>>,
}

impl Decoded<'_> {
    /// Where in the input a part of the text is written: for most encodings, somewhere in the run.
    pub(crate) fn place(&self, part: &Range<usize>) -> Range<usize> {
        let Run { range, .. } = self.run;
        let origin = |at: usize| self.origins.as_ref().and_then(|all| all.get(at)).map(|at| range.start + at);
        origin(part.start).unwrap_or(range.start)..origin(part.end).unwrap_or(range.end)
    }

    /// True when a part of the text stands in the run as it is, so that it is found or refused without decoding.
    fn plain(&self, found: &Match, encoded: &[u8]) -> bool {
        match self.origins {
            // A value may be plain although its name is not, or what divides the two. So may be what stands beside it, where
            // a rule asks for the border of a word.
            Some(_) => {
                let around = found.span.start.saturating_sub(1)..(found.span.end + 1).min(self.text.len());
                self.place(&around).len() == around.len()
            }
            // Percent-encoding leaves most characters as they are.
            None => self.text.get(found.secret.clone()).is_none_or(|secret| contains(encoded, secret)),
        }
    }
}

/// Hears of a run with matches in it.
pub(crate) type Sink<'a> = &'a mut dyn FnMut(&Decoded<'_>, Vec<Match>);

/// Calls `sink` with every run that shares a byte with `within`, in order for each encoding.
pub(crate) fn runs(bytes: &[u8], within: Range<usize>, sink: &mut dyn FnMut(Run)) {
    let within = within.start..within.end.min(bytes.len());
    if within.is_empty() {
        return;
    }
    let mut keep = |range: Range<usize>, encoding| {
        if range.start < within.end && range.end > within.start {
            sink(Run { range, encoding });
        }
    };
    // Padding is no member: the body that it belongs to lies before it.
    let from = within.start.saturating_sub(2);
    // Hex digits are characters of base64, too.
    stretches(bytes, from..within.end, &BASE64, MIN_BASE64_BODY, &mut |body| {
        if body.len() >= MIN_HEX {
            stretches(bytes, body.clone(), &HEX, MIN_HEX, &mut |digits| {
                if digits.len() <= MAX_RUN && hex_run(bytes, &digits) {
                    keep(digits, Encoding::Hex);
                }
            });
        }
        if body.len() <= MAX_RUN
            && let Some(range) = base64_run(bytes, body)
        {
            keep(range, Encoding::Base64);
        }
    });
    tokens(bytes, &within, &PERCENT, &mut |token| keep(token, Encoding::Percent));
    let near =
        within.start.saturating_sub(json::BEHIND)..within.end.saturating_add(json::BEFORE).min(bytes.len());
    tokens(bytes, &near, &JSON, &mut |stretch| {
        let range = json::with_name(bytes, &stretch);
        if range.len() <= MAX_RUN {
            keep(range, Encoding::Json);
        }
    });
}

/// The text that a run stands for, or `None` when it is none: control characters or broken UTF-8 mean a hash, a key, an
/// image or a name. UTF-16 of ASCII text (as `powershell -EncodedCommand` takes it) comes out as that text.
pub(crate) fn decode(run: &[u8], encoding: Encoding) -> Option<Vec<u8>> {
    match encoding {
        Encoding::Base64 => {
            let body = run.strip_suffix(b"==").or_else(|| run.strip_suffix(b"=")).unwrap_or(run);
            checked(body, base64)
        }
        Encoding::Hex => checked(run, hex),
        Encoding::Percent => {
            let decoded = percent_decode(run);
            (is_text(&decoded) && decoded.len() < run.len()).then_some(decoded)
        }
        Encoding::Json => {
            let decoded = json::decode(run);
            (is_text(&decoded) && decoded.len() < run.len()).then_some(decoded)
        }
    }
}

/// True when some bytes have an escape of JSON in them that is more than a character.
pub(crate) fn has_json_escape(bytes: &[u8]) -> bool {
    memchr::memchr_iter(JSON.sign, bytes).any(|at| json::escape(bytes, at))
}

/// Finds what rules describe inside the decoded runs of `bytes`. `sink` gets each run with any.
#[cfg(test)]
pub(crate) fn search(bytes: &[u8], engine: &dyn Engine, sink: Sink<'_>) {
    runs(bytes, 0..bytes.len(), &mut |run| search_run(bytes, &run, engine, sink));
}

/// The same for one run.
pub(crate) fn search_run(bytes: &[u8], run: &Run, engine: &dyn Engine, sink: Sink<'_>) {
    let Some(encoded) = bytes.get(run.range.clone()) else { return };
    let Some(text) = decode(encoded, run.encoding) else { return };
    let mut matches = Vec::new();
    engine.scan(&text, &mut |found| matches.push(found));
    if matches.is_empty() {
        return;
    }
    let origins = (run.encoding == Encoding::Json).then(|| json::origins(encoded));
    let decoded = Decoded { run, text, origins };
    matches.retain(|found| !decoded.plain(found, encoded));
    if !matches.is_empty() {
        sink(&decoded, matches);
    }
}

/// Calls `sink` with every longest stretch of `least` members or more that shares a byte with `within`; of one that is
/// longer than [`MAX_RUN`], with all that lies in `within`.
///
/// Looks at the last byte of the shortest stretch that could begin here, then backwards: most bytes are never looked at.
fn stretches(
    bytes: &[u8],
    within: Range<usize>,
    members: &[bool; 256],
    least: usize,
    sink: &mut dyn FnMut(Range<usize>),
) {
    let is_member = |byte: &u8| members.get(usize::from(*byte)).copied().unwrap_or(false);
    let mut at = within.start;
    if bytes.get(at).is_some_and(is_member) {
        // A stretch that began before; one byte more than it may have makes it too long below.
        let floor = at.saturating_sub(MAX_RUN.saturating_add(1));
        let before = bytes.get(floor..at).unwrap_or_default();
        at = before.iter().rposition(|byte| !is_member(byte)).map_or(floor, |last| floor + last + 1);
    }
    while at < within.end {
        let Some(shortest) = bytes.get(at..at.saturating_add(least)) else { return };
        if let Some(other) = shortest.iter().rposition(|byte| !is_member(byte)) {
            at += other + 1;
            continue;
        }
        let limit = at.saturating_add(MAX_RUN).saturating_add(1).max(within.end).min(bytes.len());
        let rest = bytes.get(at + least..limit).unwrap_or_default();
        let end = rest.iter().position(|byte| !is_member(byte)).map_or(limit, |length| at + least + length);
        sink(at..end);
        at = end.saturating_add(1);
    }
}

/// The whole run around a body of base64 characters.
fn base64_run(bytes: &[u8], body: Range<usize>) -> Option<Range<usize>> {
    let escaped = body.start.checked_sub(1).and_then(|before| bytes.get(before)) == Some(&b'\\')
        && bytes.get(body.start).is_some_and(|first| b"nrt".contains(first));
    // `\n` inside a quoted string is a line break before the run.
    let start = if escaped { body.start + 1 } else { body.start };
    let padding = bytes.get(body.end..).unwrap_or_default().iter().take(2).take_while(|byte| **byte == b'=');
    let range = start..body.end + padding.count();
    let text = bytes.get(start..body.end).unwrap_or_default();
    let only_hex = text.len() >= MIN_HEX && text.iter().all(u8::is_ascii_hexdigit);
    ((MIN_BASE64..=MAX_RUN).contains(&range.len()) && !only_hex).then_some(range)
}

/// True when hex digits stand alone, or after the `x` of `0x` and `\x`.
fn hex_run(bytes: &[u8], digits: &Range<usize>) -> bool {
    let before = digits.start.checked_sub(1).and_then(|before| bytes.get(before));
    let after = bytes.get(digits.end);
    digits.len().is_multiple_of(2)
        && before.is_none_or(|byte| !byte.is_ascii_alphanumeric() || *byte == b'x' || *byte == b'X')
        && after.is_none_or(|byte| !byte.is_ascii_alphanumeric())
}

/// Text with escapes in it.
struct Escapes {
    /// What an escape begins with.
    sign: u8,
    escape: fn(&[u8], usize) -> bool,
    /// Escapes that make it worth decoding.
    least: usize,
    /// What the text is made of.
    members: [bool; 256],
}

static JSON: Escapes = Escapes { sign: b'\\', escape: json::escape, least: 1, members: json::MEMBERS };
static PERCENT: Escapes = Escapes { sign: b'%', escape, least: MIN_ESCAPES, members: URL };

/// Tokens with escapes in them.
fn tokens(bytes: &[u8], within: &Range<usize>, escapes: &Escapes, sink: &mut dyn FnMut(Range<usize>)) {
    let is_member = |byte: &u8| escapes.members.get(usize::from(*byte)).copied().unwrap_or(false);
    // The token around the first byte may have its escapes outside of `within`.
    let mut seen = within.start;
    if bytes.get(seen).is_some_and(is_member) {
        seen = token(bytes, seen, escapes, sink);
    }
    let mut at = seen;
    while at < within.end {
        let rest = bytes.get(at..within.end).unwrap_or_default();
        let Some(next) = memchr::memchr(escapes.sign, rest) else { break };
        at += next;
        if (escapes.escape)(bytes, at) {
            seen = token(bytes, at, escapes, sink);
            at = seen;
        } else {
            at += 1;
        }
    }
    // So may the token around the last one.
    let last = within.end - 1;
    if seen <= last && bytes.get(last).is_some_and(is_member) {
        token(bytes, last, escapes, sink);
    }
}

/// Gives out the token around a byte if it has enough escapes, and returns the first byte after what was looked at.
fn token(bytes: &[u8], around: usize, escapes: &Escapes, sink: &mut dyn FnMut(Range<usize>)) -> usize {
    let is_member = |byte: &u8| escapes.members.get(usize::from(*byte)).copied().unwrap_or(false);
    let floor = around.saturating_sub(MAX_RUN);
    let before = bytes.get(floor..around).unwrap_or_default();
    let start = before.iter().rposition(|byte| !is_member(byte)).map_or(floor, |last| floor + last + 1);
    let after = bytes.get(around..).unwrap_or_default();
    let length = after.iter().take(MAX_RUN + 1).position(|byte| !is_member(byte));
    let end = around + length.unwrap_or_else(|| after.len().min(MAX_RUN + 1));
    let cut_off = start > 0 && bytes.get(start - 1).is_some_and(is_member);
    if !cut_off && end - start <= MAX_RUN {
        let signs = memchr::memchr_iter(escapes.sign, bytes.get(start..end).unwrap_or_default());
        if signs.filter(|at| (escapes.escape)(bytes, start + at)).nth(escapes.least - 1).is_some() {
            sink(start..end);
        }
    }
    end
}

/// True for `%` and two hex digits.
fn escape(bytes: &[u8], at: usize) -> bool {
    matches!(bytes.get(at..at.saturating_add(3)), Some([b'%', high, low])
        if high.is_ascii_hexdigit() && low.is_ascii_hexdigit())
}

/// Decodes the beginning, and the whole when that is text.
fn checked(body: &[u8], decode: impl Fn(&[u8]) -> Option<Vec<u8>>) -> Option<Vec<u8>> {
    let head = decode(body.get(..HEAD).unwrap_or(body))?;
    if is_wide(&head) {
        let wide = decode(body)?;
        let narrow: Vec<u8> = wide.iter().step_by(2).copied().collect();
        return (is_wide(&wide) && is_text(&narrow)).then_some(narrow);
    }
    if !begins_as_text(&head) {
        return None;
    }
    decode(body).filter(|decoded| is_text(decoded))
}

fn is_text(bytes: &[u8]) -> bool {
    begins_as_text(bytes) && std::str::from_utf8(bytes).is_ok()
}

/// True for text, even when it is cut off inside a character.
fn begins_as_text(bytes: &[u8]) -> bool {
    !bytes.iter().any(|byte| (*byte < b' ' && !b"\t\n\r\x1b\x0c".contains(byte)) || *byte == 0x7f)
        && std::str::from_utf8(bytes).map_or_else(|error| error.error_len().is_none(), |_text| true)
}

/// True for ASCII as UTF-16, low byte first.
fn is_wide(bytes: &[u8]) -> bool {
    bytes.len() >= 2 && bytes.as_chunks::<2>().0.iter().all(|[low, high]| *high == 0 && *low != 0)
}

/// RFC 4648, sections 4 and 5, without padding. A mixture of the two alphabets is none of them.
fn base64(body: &[u8]) -> Option<Vec<u8>> {
    let standard = body.iter().any(|byte| matches!(byte, b'+' | b'/'));
    let for_urls = body.iter().any(|byte| matches!(byte, b'-' | b'_'));
    if body.len() % 4 == 1 || (standard && for_urls) {
        return None;
    }
    let mut out = Vec::with_capacity(body.len() / 4 * 3 + 2);
    for group in body.chunks(4) {
        let mut bits = 0_u32;
        for at in 0..4 {
            bits = bits << 6 | group.get(at).map_or(Some(0), |byte| sextet(*byte))?;
        }
        let [_, bytes @ ..] = bits.to_be_bytes();
        out.extend(bytes.get(..group.len().saturating_sub(1))?);
    }
    Some(out)
}

fn sextet(byte: u8) -> Option<u32> {
    let value = match byte {
        b'A'..=b'Z' => byte - b'A',
        b'a'..=b'z' => byte - b'a' + 26,
        b'0'..=b'9' => byte - b'0' + 52,
        b'+' | b'-' => 62,
        b'/' | b'_' => 63,
        _ => return None,
    };
    Some(u32::from(value))
}

fn hex(digits: &[u8]) -> Option<Vec<u8>> {
    hex::decode(digits).ok()
}

const BASE64: [bool; 256] = table(b"+/-_");
const URL: [bool; 256] = table(b"-._~%!$&*+,;=:@/?#[]");
const HEX: [bool; 256] = {
    let mut table = [false; 256];
    let mut byte = 0_u8;
    while byte < 128 {
        #[expect(clippy::indexing_slicing, reason = "a byte is below 256")]
        {
            table[byte as usize] = byte.is_ascii_hexdigit();
        }
        byte += 1;
    }
    table
};

/// Letters, digits and these signs.
const fn table(signs: &[u8]) -> [bool; 256] {
    let mut table = [false; 256];
    #[expect(clippy::indexing_slicing, reason = "evaluated by the compiler; a byte is below 256")]
    {
        let mut byte = 0_u8;
        while byte < 128 {
            table[byte as usize] = byte.is_ascii_alphanumeric();
            byte += 1;
        }
        let mut at = 0;
        while at < signs.len() {
            table[signs[at] as usize] = true;
            at += 1;
        }
    }
    table
}
