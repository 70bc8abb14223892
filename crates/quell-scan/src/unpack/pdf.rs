//! The text of PDF files (ISO 32000-1): what operators show, one after another, without a layout.
//!
//! Read are plain and deflated streams and literal and hex strings. Encrypted files, other filters and fonts with codes
//! of their own are said, not guessed.

use std::io::Read as _;

use super::lookahead::Lookahead;
use super::meter::Metered;
use super::{Job, Place};
use crate::hit::Hits;

/// Bytes of one inflated stream that are read.
const MAX_STREAM: u64 = 32 << 20;
/// How far before a stream its dictionary begins.
const MAX_DICTIONARY: usize = 4096;
/// Moving back by this much between two strings is a space, in thousandths of an em.
const SPACE: f64 = -200.0;

/// Scans the file as it is, then the text of its streams.
pub(super) fn scan(job: &mut Job<'_, '_>, place: &Place, reader: &mut Lookahead<'_>) {
    job.with_buffer(place, reader, |job, bytes, rest| {
        if let Some(rest) = rest {
            job.skip(place, "the document is large; only its bytes were searched, not its text");
            return job.raw(place, &mut bytes.chain(rest));
        }
        job.sink.bytes(bytes.len() as u64);
        let known = job.searcher.slice(bytes);
        if has(bytes, b"/Encrypt") {
            job.skip(place, "the document is encrypted; its text was not read");
        } else {
            streams(job, place, bytes, &known);
        }
        if !known.is_empty() {
            job.sink.hits(&place.path, known);
        }
    });
}

fn streams(job: &mut Job<'_, '_>, place: &Place, bytes: &[u8], known: &Hits) {
    let mut at = 0;
    let mut unread = 0_u64;
    let mut shown = Shown::default();
    while let Some(found) = bytes.get(at..).and_then(|rest| memchr::memmem::find(rest, b"stream")) {
        let keyword = at + found;
        at = keyword + 6;
        let Some(data) = bytes.get(at..).and_then(after_line) else { continue };
        let before = bytes.get(keyword.saturating_sub(MAX_DICTIONARY)..keyword).unwrap_or_default();
        let dictionary =
            memchr::memmem::rfind(before, b" obj").and_then(|at| before.get(at..)).unwrap_or(before);
        if before.ends_with(b"end") || !before.trim_ascii_end().ends_with(b">>") || is_picture(dictionary) {
            continue;
        }
        let end = memchr::memmem::find(data, b"endstream").unwrap_or(data.len());
        let plain = data.get(..end).unwrap_or_default();
        if !has(dictionary, b"/Filter") {
            shown.operators(plain);
        } else if has(dictionary, b"FlateDecode") && !other_filter(dictionary) {
            let mut inflated = Vec::new();
            let mut decoder = flate2::read::ZlibDecoder::new(data);
            let mut metered = Metered::new(&mut decoder, job.meter);
            let outcome = (&mut metered).take(MAX_STREAM).read_to_end(&mut inflated);
            unread += u64::from(outcome.is_err() || inflated.len() as u64 >= MAX_STREAM);
            shown.operators(&inflated);
            // Objects in a stream, attachments and forms are no operators.
            job.text(place, &inflated, known);
        } else {
            unread += 1;
        }
        at += end;
        if job.meter.is_stopped() {
            return job.trouble(place, &std::io::Error::other("a limit was reached"));
        }
    }
    job.text(&place.part("text"), &shown.text, known);
    if unread > 0 {
        job.skip(place, format!("{unread} streams are damaged, too large, or use a filter that is not read"));
    }
    if shown.coded {
        job.skip(place, "text in a font with codes of its own was not read");
    }
}

fn has(bytes: &[u8], word: &[u8]) -> bool {
    memchr::memmem::find(bytes, word).is_some()
}

/// Images, fonts and colour profiles hold no text of the document.
fn is_picture(dictionary: &[u8]) -> bool {
    [
        b"/Image".as_slice(),
        b"/Length1",
        b"/FontFile",
        b"/Alternate",
        b"/XRef",
        b"/Type1C",
        b"/CIDFontType0C",
        b"/OpenType",
    ]
    .iter()
    .any(|word| has(dictionary, word))
}

fn other_filter(dictionary: &[u8]) -> bool {
    [b"ASCII85".as_slice(), b"ASCIIHex", b"LZW", b"RunLength", b"DCT", b"JPX", b"JBIG2", b"CCITT", b"/Crypt"]
        .iter()
        .any(|word| has(dictionary, word))
}

/// The data of a stream begin after the end of the keyword's line.
fn after_line(rest: &[u8]) -> Option<&[u8]> {
    rest.strip_prefix(b"\r\n").or_else(|| rest.strip_prefix(b"\n")).or_else(|| rest.strip_prefix(b"\r"))
}

/// Text as it is shown.
#[derive(Default)]
pub(super) struct Shown {
    pub(super) text: Vec<u8>,
    /// Strings that are not text were met.
    coded: bool,
    strings: Vec<u8>,
}

impl Shown {
    /// Runs through the operators of a content stream.
    pub(super) fn operators(&mut self, content: &[u8]) {
        if !has(content, b"BT") {
            return;
        }
        let mut rest = content;
        let mut numbers = [0.0_f64; 2];
        while let Some((first, after)) = rest.split_first() {
            rest = match first {
                b'(' => literal(after, &mut self.strings),
                b'<' if after.first() != Some(&b'<') => self.hex(after),
                b'%' => after
                    .get(memchr::memchr2(b'\n', b'\r', after).unwrap_or(after.len())..)
                    .unwrap_or_default(),
                byte if b"[]<>{}/ \t\r\n\0\x0c".contains(byte) => after,
                _ => {
                    let length = rest.iter().position(|byte| b"()[]<>{}/% \t\r\n\0\x0c".contains(byte));
                    let (word, after) = rest.split_at(length.unwrap_or(rest.len()).max(1));
                    self.word(word, &mut numbers);
                    after
                }
            };
        }
        self.show();
        self.text.push(b'\n');
    }

    fn word(&mut self, word: &[u8], numbers: &mut [f64; 2]) {
        if let Some(number) = std::str::from_utf8(word).ok().and_then(|word| word.parse::<f64>().ok()) {
            if !self.strings.is_empty() && number < SPACE {
                self.strings.push(b' ');
            }
            let [_, last] = *numbers;
            *numbers = [last, number];
            return;
        }
        match word {
            b"Tj" | b"TJ" => self.show(),
            b"'" | b"\"" => {
                self.text.push(b'\n');
                self.show();
            }
            b"Td" | b"TD" => {
                self.text.push(if numbers.get(1).is_some_and(|down| *down == 0.0) { b' ' } else { b'\n' })
            }
            b"T*" | b"Tm" | b"ET" => self.text.push(b'\n'),
            _ => self.strings.clear(),
        }
    }

    fn show(&mut self) {
        let control = self.strings.iter().filter(|byte| **byte < b' ' && !byte.is_ascii_whitespace()).count();
        self.coded |= control * 4 > self.strings.len();
        self.text.append(&mut self.strings);
    }

    fn hex<'a>(&mut self, rest: &'a [u8]) -> &'a [u8] {
        let end = memchr::memchr(b'>', rest).unwrap_or(rest.len());
        let (digits, after) = rest.split_at(end);
        let mut digits: Vec<u8> = digits.iter().copied().filter(u8::is_ascii_hexdigit).collect();
        if digits.len() % 2 == 1 {
            digits.push(b'0');
        }
        self.strings.extend(hex::decode(digits).unwrap_or_default());
        after.get(1..).unwrap_or_default()
    }
}

/// A literal string after its parenthesis (7.3.4.2): nested ones, escapes, octal codes, lines that go on.
fn literal<'a>(rest: &'a [u8], out: &mut Vec<u8>) -> &'a [u8] {
    let mut depth = 1_u32;
    let mut at = 0;
    while let Some(byte) = rest.get(at) {
        at += 1;
        match byte {
            b'(' => depth += 1,
            b')' if depth == 1 => break,
            b')' => depth -= 1,
            b'\\' => {
                at += escape(rest.get(at..).unwrap_or_default(), out);
                continue;
            }
            _ => {}
        }
        out.push(*byte);
    }
    rest.get(at..).unwrap_or_default()
}

/// Returns how many bytes an escape has after its backslash.
fn escape(rest: &[u8], out: &mut Vec<u8>) -> usize {
    let octal = rest.iter().take(3).take_while(|byte| (b'0'..=b'7').contains(byte)).count();
    if octal > 0 {
        let digits = rest.get(..octal).unwrap_or_default();
        let code = digits.iter().fold(0_u32, |code, digit| code * 8 + u32::from(digit - b'0'));
        out.push(code.to_le_bytes()[0]);
        return octal;
    }
    match rest {
        [b'\r', b'\n', ..] => return 2,
        [b'\n' | b'\r', ..] => {}
        [b'n', ..] => out.push(b'\n'),
        [b'r', ..] => out.push(b'\r'),
        [b't', ..] => out.push(b'\t'),
        [b'b' | b'f', ..] => out.push(b' '),
        [other, ..] => out.push(*other),
        [] => return 0,
    }
    1
}
