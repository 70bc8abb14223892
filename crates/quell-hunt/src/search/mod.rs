//! One object: unpacked, searched, and its records with a needle in them read.

use std::io::{self, Read};
use std::sync::atomic::{AtomicI64, Ordering};

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use crate::ahead::Next;
use crate::chain::{self, Chain};
use crate::clock::Clock;
use crate::cross::audit::Audit;
use crate::digest::Digests;
use crate::format::{self, Format, Spot, cloudtrail};
use crate::gap::Gap;
use crate::hint::Hints;
use crate::layout::Delivery;
use crate::mapping::Reader;
use crate::needle::{Needle, Needles};
use crate::object::Fate;
use crate::record::Access;
use crate::seam::Seam;
use crate::unpack::{Text, Unpacker};

/// Lines are searched in pieces of about this size: a good part of a second-level cache.
const BLOCK: usize = 512 << 10;

/// A longer line is no line of any log.
const MAX_LINE: usize = 128 << 20;

/// An object of one JSON document is read whole, up to this size.
const MAX_DOCUMENT: u64 = 512 << 20;

/// Above this size a document must not be one that unpacks to many times its size: all of it is held.
const MAX_DENSE: u64 = 64 << 20;

/// Unpacked bytes that are read whatever the ratio is, and the ratio beyond: logs seldom reach 50, deflate ends at 1032.
const FREE: u64 = 1 << 30;
const MAX_RATIO: u64 = 200;

/// What an object gave. It is kept in this shape by [`crate::memory`]. A pass holds one for each object, so what few have is boxed.
#[derive(Debug, Deserialize, Serialize)]
pub(crate) struct Seen {
    pub(crate) fate: Fate,
    pub(crate) format: Option<Format>,
    pub(crate) accesses: Vec<Access>,
    /// Bytes as stored, and unpacked.
    pub(crate) stored: u64,
    pub(crate) searched: u64,
    /// Records with a needle that no parser understood.
    pub(crate) unparsed: u64,
    pub(crate) cut_off: bool,
    /// Keys and what was made with them: see [`cloudtrail::edges`].
    pub(crate) edges: Vec<(String, String)>,
    /// Whether a digest says that it was something else.
    pub(crate) altered: bool,
    /// How a mapping reads it, once its beginning is known.
    #[serde(skip)]
    pub(crate) reader: Option<Box<Reader>>,
    /// The times of its first and last line, of those that have one.
    pub(crate) first: Option<Timestamp>,
    pub(crate) last: Option<Timestamp>,
    /// Of its bytes as stored, if it has a hit and they were all held.
    pub(crate) sha256: Option<String>,
    /// What its lines say of each other, of a format that chains them.
    pub(crate) chain: Option<Box<Chain>>,
    /// Its rows, of vsync's `audit.csv`.
    pub(crate) audit: Option<Box<Audit>>,
    /// The times of its lines, until it was searched to its end.
    #[serde(skip)]
    clock: Option<Box<Clock>>,
    /// What is wrong with these; whoever has the name of the object puts it in.
    pub(crate) gaps: Vec<Gap>,
}

/// What all objects of a pass are asked.
pub(crate) struct Task<'a> {
    pub(crate) needles: &'a Needles,
    pub(crate) digests: &'a Digests,
    pub(crate) hints: &'a Hints,
    /// How many edges may still be kept: they only save passes.
    pub(crate) edges: AtomicI64,
    /// Whether objects with a hit are hashed.
    pub(crate) hash: bool,
    /// Whether nothing was asked before: what needs no needle is looked at once.
    pub(crate) first: bool,
}

/// Searches an object. What was found before it turned out to be damaged is kept.
pub(crate) fn object(next: Next<'_>, task: &Task<'_>, unpacker: &mut Unpacker) -> Seen {
    let Next { object, fetch, .. } = next;
    let mut seen = Seen::new(Fate::Scanned);
    if object.is_signature() {
        // What is in it is read with the digests.
        seen.format = Some(Format::CloudtrailDigest);
        seen.stored = object.size;
        return seen;
    }
    opened(&object.name, unpacker.open(object, fetch), task, &mut seen);
    let read = if unpacker.is_plain() { seen.searched.min(seen.stored) } else { seen.stored };
    if seen.fate == Fate::Scanned && read < object.size {
        let why = format!("it shrank from {} to {read} bytes while it was read", object.size);
        seen.fate = Fate::Corrupt(why);
    }
    if task.hash && !seen.accesses.is_empty() {
        seen.sha256 = unpacker.hash(seen.stored);
    }
    seen
}

/// Searches what could be opened. [`object`] without a file.
pub(crate) fn opened(name: &str, text: Result<(Text<'_>, u64), Fate>, task: &Task<'_>, seen: &mut Seen) {
    let searched = text.and_then(|(text, stored)| {
        seen.stored = stored;
        match text {
            Text::Whole(text) => whole(name, text, task, seen),
            Text::Stream(mut text) => stream(name, &mut *text, task, seen),
        }
    });
    if let Err(fate) = searched {
        seen.fate = fate;
    }
    seen.gaps = seen.clock.take().map(|clock| clock.gaps()).unwrap_or_default();
}

fn whole(name: &str, text: &[u8], task: &Task<'_>, seen: &mut Seen) -> Result<(), Fate> {
    seen.searched = text.len() as u64;
    seen.altered = task.digests.fits(name, text) == Some(false);
    if text.trim_ascii().is_empty() {
        return blank(name);
    }
    let format = detect(name, text, task.hints)?;
    seen.format = Some(format);
    if format.is_document() {
        return document(name, text, task, seen);
    }
    lines(name, format, (text, 0), task, seen);
    seen.note_last(format, text, task.hints);
    Ok(())
}

/// What it is; what people say goes before what it looks like.
fn detect(name: &str, head: &[u8], hints: &Hints) -> Result<Format, Fate> {
    let head = head.get(..8 << 10).unwrap_or(head);
    // A byte order mark (Unicode 16, section 23.8): what an editor or a shell of Windows writes.
    let wide = head.starts_with(&[0xff, 0xfe]) || head.starts_with(&[0xfe, 0xff]);
    let why = if wide { "it is UTF-16: convert it to UTF-8, and hunt again" } else { "it is not text" };
    let format = Format::detect(head).filter(|_| !wide).ok_or_else(|| Fate::WrongFormat(why.to_owned()))?;
    Ok(hints.mapping.as_ref().and_then(|mapping| mapping.of(name)).map_or(format, |map| map.format()))
}

/// A document that is one object of JSON. What its digest says was compared by the caller: a second SHA-256 would cost more than
/// the search.
fn document(name: &str, text: &[u8], task: &Task<'_>, seen: &mut Seen) -> Result<(), Fate> {
    let whole = is_whole(text);
    if seen.format == Some(Format::Cloudtrail) {
        if task.edges.load(Ordering::Relaxed) > 0 {
            cloudtrail::edges(text, &mut |from, to| seen.edges.push((from.to_owned(), to.to_owned())));
            task.edges.fetch_sub(i64::try_from(seen.edges.len()).unwrap_or(i64::MAX), Ordering::Relaxed);
        }
        // AWS escapes no character that stands in an id; whoever wrote a list of events anew may have.
        let by_aws = Delivery::of(name).is_some();
        if task.needles.within(text).is_some() || !by_aws && task.needles.escape(text, 0).is_some() {
            let (accesses, unparsed) = cloudtrail::records(name, text, task.needles);
            seen.accesses = accesses;
            seen.unparsed += unparsed;
        }
    }
    if whole {
        Ok(())
    } else {
        Err(Fate::Corrupt("it ends in the middle of a record, or is not JSON".to_owned()))
    }
}

/// Whether a document ends where it should. What ends like a list in an object is taken for whole: to parse every document
/// costs three times as much as to unpack it.
fn is_whole(text: &[u8]) -> bool {
    let inner = text.trim_ascii_end().strip_suffix(b"}").map(<[u8]>::trim_ascii_end);
    inner.is_some_and(|inner| inner.ends_with(b"]"))
        || serde_json::from_slice::<serde::de::IgnoredAny>(text).is_ok()
}

/// An object without anything in it: no service delivers such a one under CloudTrail's name.
fn blank(name: &str) -> Result<(), Fate> {
    match Delivery::of(name) {
        Some(_) => Err(Fate::Corrupt("it is empty".to_owned())),
        None => Ok(()),
    }
}

/// Reads piece by piece, always up to the end of a line.
fn stream(name: &str, text: &mut dyn Read, task: &Task<'_>, seen: &mut Seen) -> Result<(), Fate> {
    let mut buffer: Vec<u8> = Vec::new();
    // Where the buffer starts in the text.
    let mut offset = 0_u64;
    let mut seam = Seam::default();
    loop {
        let before = buffer.len();
        let read = Read::take(&mut *text, BLOCK as u64).read_to_end(&mut buffer);
        // What was unpacked before the damage is searched: half a log proves no absence, but it may prove a use.
        let damaged = read.as_ref().map(|_read| ()).map_err(damage);
        let read = buffer.len() - before;
        seen.searched += read as u64;
        if seen.searched > FREE && seen.searched / MAX_RATIO > seen.stored {
            let why =
                format!("it unpacks to more than {MAX_RATIO} times its size: {offset} bytes were searched");
            return Err(Fate::TooLarge(why));
        }
        let end = read == 0 || damaged.is_err();
        let format = match seen.format {
            Some(format) => format,
            None if buffer.trim_ascii().is_empty() && end => {
                seen.altered = task.digests.fits(name, &buffer) == Some(false);
                return damaged.and_then(|()| blank(name));
            }
            None => *seen.format.insert(detect(name, &buffer, task.hints)?),
        };
        if format.is_document() {
            if end {
                seen.altered = task.digests.fits(name, &buffer) == Some(false);
                let document = document(name, &buffer, task, seen);
                return damaged.and(document);
            }
            let bomb = seen.searched > MAX_DENSE && seen.searched / MAX_RATIO > seen.stored;
            if bomb || seen.searched > MAX_DOCUMENT {
                return Err(Fate::TooLarge(format!("a document of more than {} MiB", MAX_DOCUMENT >> 20)));
            }
            continue;
        }
        // What was there before has no end of a line: it would have been searched.
        let whole = if end { buffer.len() } else { format::complete(format, &buffer, before) };
        let complete = buffer.get(..whole).unwrap_or_default();
        lines(name, format, (complete, offset), task, seen);
        seam.search(name, format, (complete, offset), task.needles, seen);
        if end {
            seen.note_last(format, complete, task.hints);
            return damaged;
        }
        if whole > 0 {
            seen.note_last(format, complete, task.hints);
            buffer.drain(..whole);
            offset += whole as u64;
        } else if buffer.len() > MAX_LINE {
            return Err(Fate::TooLarge(format!(
                "a line of more than {} MiB at byte {offset}",
                MAX_LINE >> 20
            )));
        }
    }
}

/// The line that the byte before `end` is in, and where it begins.
pub(crate) fn line_at(text: &[u8], end: usize) -> (usize, &[u8]) {
    let (start, stop) = format::bounds(Format::Text, text, 0, end);
    (start, text.get(start..stop).unwrap_or_default())
}

/// A value of several lines is told by the one that it ends in.
pub(crate) fn over_lines(
    name: &str,
    format: Format,
    (bytes, place): (&[u8], u64),
    needle: &Needle,
    seen: &mut Seen,
) {
    seen.unparsed += 1;
    let spot = Spot { object: name, place, bytes, credential: &needle.label };
    seen.accesses.push(format::unparsed(format, spot, "it spans several lines"));
}

/// Whether a reader failed because of what it read, or because it could not.
#[expect(clippy::wildcard_enum_match_arm, reason = "kinds of errors are many, and more come")]
fn damage(error: &io::Error) -> Fate {
    match error.kind() {
        io::ErrorKind::InvalidData | io::ErrorKind::InvalidInput | io::ErrorKind::UnexpectedEof => {
            Fate::Corrupt(format!("its compressed data is damaged or cut off: {error}"))
        }
        // zstd tells all of its errors as `Other`.
        io::ErrorKind::Other => Fate::Corrupt(error.to_string()),
        _ => Fate::Unreadable(error.to_string()),
    }
}

/// The lines with a needle in them.
fn lines(name: &str, format: Format, (text, offset): (&[u8], u64), task: &Task<'_>, seen: &mut Seen) {
    let (needles, hints) = (task.needles, task.hints);
    if seen.reader.is_none()
        && let Some(map) = hints.mapping.as_ref().and_then(|mapping| mapping.of(name))
    {
        seen.reader = Reader::new(map, text, offset).map(Box::new);
    }
    if seen.first.is_none() {
        // A header has no time.
        let count = if seen.reader.is_some() { 2 } else { 1 };
        let mut first = text.split(|byte| *byte == b'\n').take(count);
        seen.first = first.find_map(|line| seen.time_of(format, line, hints));
    }
    if task.first {
        all_lines(format, (text, offset), hints, seen);
    }
    let mut at = 0;
    while let Some((end, needle)) = needles.next(text, at) {
        let (start, stop) = format::bounds(format, text, at, end);
        let bytes = text.get(start..stop).unwrap_or_default();
        let place = offset + start as u64;
        let labels = if format.is_json() { needles.labels_in_json(bytes) } else { needles.labels(bytes) };
        if labels.is_empty() {
            over_lines(name, format, (bytes, place), needle, seen);
        }
        line(name, format, (bytes, place), &labels, task, seen);
        at = start + bytes.len();
    }
    if format.is_json() {
        escaped_lines(name, format, (text, offset), task, seen);
    }
}

/// Lines in which a needle stands only when escapes are read.
fn escaped_lines(name: &str, format: Format, (text, offset): (&[u8], u64), task: &Task<'_>, seen: &mut Seen) {
    let needles = task.needles;
    let mut at = 0;
    while let Some(escape) = needles.escape(text, at) {
        let (start, bytes) = line_at(text, escape);
        if needles.within(bytes).is_none() {
            let labels = needles.labels_in_json(bytes);
            line(name, format, (bytes, offset + start as u64), &labels, task, seen);
        }
        at = start + bytes.len();
    }
}

/// What a line says about each credential in it.
fn line(
    name: &str,
    format: Format,
    (bytes, place): (&[u8], u64),
    labels: &[&str],
    task: &Task<'_>,
    seen: &mut Seen,
) {
    for credential in labels {
        let spot = Spot { object: name, place, bytes, credential };
        let read = match &seen.reader {
            Some(reader) => reader.line(spot, task.needles),
            None => format::line(format, spot, task.needles, task.hints),
        };
        match read {
            Ok(access) => seen.accesses.extend(access),
            Err(why) => {
                seen.unparsed += 1;
                seen.accesses.push(format::unparsed(format, spot, &why));
            }
        }
    }
}

/// What lines say of each other, whether there is a needle in them or not. It costs little but where lines are chained.
fn all_lines(format: Format, (text, offset): (&[u8], u64), hints: &Hints, seen: &mut Seen) {
    if format == Format::Tradepulse {
        let chain = seen.chain.get_or_insert_default();
        chain.look((text, offset), &chain::keys(&hints.record_keys));
    }
    if format == Format::Vsync {
        seen.audit.get_or_insert_default().look(text);
    }
    seen.clock
        .get_or_insert_default()
        .look(format, (text, offset), &|line| format::time_of(format, line, hints));
}

impl Seen {
    /// Nothing yet.
    pub(crate) fn new(fate: Fate) -> Self {
        Self {
            fate,
            format: None,
            accesses: Vec::new(),
            stored: 0,
            searched: 0,
            unparsed: 0,
            cut_off: false,
            edges: Vec::new(),
            altered: false,
            reader: None,
            first: None,
            last: None,
            sha256: None,
            chain: None,
            audit: None,
            clock: None,
            gaps: Vec::new(),
        }
    }

    /// Looks at the last line of what was read so far.
    fn note_last(&mut self, format: Format, text: &[u8], hints: &Hints) {
        self.cut_off =
            !text.is_empty() && !text.ends_with(b"\n") && format.is_json() && !text.ends_with(b"}");
        let text = text.strip_suffix(b"\n").unwrap_or(text);
        let start = memchr::memrchr(b'\n', text).map_or(0, |newline| newline + 1);
        let time = self.time_of(format, text.get(start..).unwrap_or_default(), hints);
        self.last = time.or(self.last);
    }

    fn time_of(&self, format: Format, line: &[u8], hints: &Hints) -> Option<Timestamp> {
        match &self.reader {
            Some(reader) => reader.time(line),
            None => format::time_of(format, line, hints),
        }
    }
}

#[cfg(test)]
mod tests;
