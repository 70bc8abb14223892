//! The text of Office Open XML (ECMA-376) and `OpenDocument` (ISO/IEC 26300) files: what a reader sees in one piece may be
//! in many runs, each in tags of its own.

use std::io::Read;

use super::lookahead::Lookahead;
use super::{Job, Place};
use crate::hit::Hits;

/// True for the parts that hold text.
pub(super) fn is_text(path: &str) -> bool {
    let name = path.rsplit("!/").next().unwrap_or(path);
    let in_office = ["word/", "xl/", "ppt/", "docProps/"].iter().any(|folder| name.starts_with(folder));
    (in_office && has_xml_extension(name)) || ["content.xml", "styles.xml", "meta.xml"].contains(&name)
}

fn has_xml_extension(name: &str) -> bool {
    name.rsplit_once('.').is_some_and(|(_, extension)| extension.eq_ignore_ascii_case("xml"))
}

/// Scans tags and text apart.
pub(super) fn scan(job: &mut Job<'_, '_>, place: &Place, reader: &mut dyn Read) {
    job.with_buffer(place, &mut Lookahead::new(reader), |job, bytes, rest| {
        let (text, tags) = apart(bytes);
        job.text(place, &text, &Hits::default());
        job.text(place, &tags, &Hits::default());
        if let Some(rest) = rest {
            job.skip(
                place,
                "the text is long; in the rest of it a secret that is split over tags was not found",
            );
            job.raw(place, rest);
        }
    });
}

/// Text without tags, lines where paragraphs, cells and breaks end; and the tags, one a line.
pub(super) fn apart(xml: &[u8]) -> (Vec<u8>, Vec<u8>) {
    let mut text = Vec::new();
    let mut tags = Vec::new();
    let mut rest = xml;
    while let Some(open) = memchr::memchr(b'<', rest) {
        let (before, tag) = rest.split_at(open);
        unescape(before, &mut text);
        let end = memchr::memchr(b'>', tag).map_or(tag.len(), |at| at + 1);
        let (tag, after) = tag.split_at(end);
        tags.extend_from_slice(tag);
        tags.push(b'\n');
        if breaks(tag) {
            text.push(b'\n');
        }
        rest = after;
    }
    unescape(rest, &mut text);
    (text, tags)
}

/// True for the ends of paragraphs, strings and cells, and for breaks.
fn breaks(tag: &[u8]) -> bool {
    let closing = tag.starts_with(b"</");
    let name =
        tag.trim_start_with(b"</").split(|byte| b" />\t\r\n".contains(byte)).next().unwrap_or_default();
    let local = name.rsplit(|byte| *byte == b':').next().unwrap_or_default();
    if closing {
        [b"p".as_slice(), b"h", b"si", b"c", b"row", b"tc", b"comment", b"Company", b"title"].contains(&local)
    } else {
        [b"br".as_slice(), b"cr", b"tab", b"line-break", b"s"].contains(&local)
    }
}

trait TrimStartWith {
    fn trim_start_with(&self, signs: &[u8]) -> &[u8];
}

impl TrimStartWith for [u8] {
    fn trim_start_with(&self, signs: &[u8]) -> &[u8] {
        let at = self.iter().position(|byte| !signs.contains(byte)).unwrap_or(self.len());
        self.get(at..).unwrap_or_default()
    }
}

/// XML 1.0, 4.6 and 4.1: the five entities, and numbers.
fn unescape(text: &[u8], out: &mut Vec<u8>) {
    let mut rest = text;
    while let Some(at) = memchr::memchr(b'&', rest) {
        let (before, entity) = rest.split_at(at);
        out.extend_from_slice(before);
        let end = entity.iter().take(12).position(|byte| *byte == b';');
        let name = end.and_then(|end| entity.get(1..end)).unwrap_or_default();
        let Some(sign) = sign(name) else {
            out.push(b'&');
            rest = entity.get(1..).unwrap_or_default();
            continue;
        };
        out.extend_from_slice(sign.encode_utf8(&mut [0; 4]).as_bytes());
        rest = entity.get(name.len() + 2..).unwrap_or_default();
    }
    out.extend_from_slice(rest);
}

fn sign(name: &[u8]) -> Option<char> {
    let name = std::str::from_utf8(name).ok()?;
    match name {
        "amp" => Some('&'),
        "lt" => Some('<'),
        "gt" => Some('>'),
        "quot" => Some('"'),
        "apos" => Some('\''),
        _ => {
            let number = name.strip_prefix('#')?;
            let code = match number.strip_prefix('x') {
                Some(hex) => u32::from_str_radix(hex, 16).ok()?,
                None => number.parse().ok()?,
            };
            char::from_u32(code)
        }
    }
}
