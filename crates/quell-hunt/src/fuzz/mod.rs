//! What fuzzers call: each function takes any bytes and must neither panic, nor hang, nor make up what is not there.
//!
//! Only with the feature `fuzz` and in tests. The targets in `fuzz/` call these; so do tests with a mutator of their own.

#[cfg(test)]
mod tests;

use std::io::Write as _;
use std::sync::LazyLock;
use std::sync::atomic::AtomicI64;

use jiff::Timestamp;
use quell_core::secret::SecretValue;

use crate::digest::{self, Digests};
use crate::format::{self, Format, Spot, cloudtrail};
use crate::hint::Hints;
use crate::layout::Delivery;
use crate::needle::{Needle, Needles};
use crate::object::{Coverage, Fate};
use crate::record::Access;
use crate::search::{self, Seen, Task};
use crate::unpack::Unpacker;

/// The public id that is looked for.
pub const ID: &str = "AKIAEXAMPLEEXAMPLE01";

/// Stands for a secret value, which nothing may tell.
pub const VALUE: &str = "s3cr3t-value";

/// Needles of both kinds; `None` never: both are long enough.
fn needles() -> Option<&'static Needles> {
    static NEEDLES: LazyLock<Option<Needles>> = LazyLock::new(|| {
        let mut list = Needle::value("the value", &SecretValue::from_text(VALUE.to_owned())).ok()?;
        list.push(Needle::id(ID).ok()?);
        Needles::new(list).ok()
    });
    NEEDLES.as_ref()
}

/// A line of a log, read as every format.
pub fn line(bytes: &[u8]) {
    let hints = Hints { zone: Some(jiff::tz::TimeZone::UTC), ..Hints::default() };
    let Some(needles) = needles() else { return };
    let _detected = Format::detect(bytes);
    for format in Format::ALL {
        let _time = format::time_of(format, bytes, &hints);
        for credential in [ID, "the value"] {
            let spot = Spot { object: "o", place: 1, bytes, credential };
            if let Ok(Some(access)) = format::line(format, spot, needles, &hints) {
                assert!(access.format == format && access.place == 1, "another record: {access:?}");
                is_of(&access, bytes);
            }
        }
    }
}

/// A document of CloudTrail's.
pub fn cloudtrail(bytes: &[u8]) {
    let Some(needles) = needles() else { return };
    let (records, unparsed) = cloudtrail::records("o", bytes, needles);
    assert!(unparsed <= 1 + records.len() as u64, "more records that nobody read than there are");
    for access in &records {
        is_of(access, bytes);
    }
    let mut edges = 0;
    cloudtrail::edges(bytes, &mut |from, to| {
        edges += 1;
        assert!(has(bytes, from) && has(bytes, to), "an edge between what is not there");
    });
    assert!(edges <= bytes.len(), "more edges than bytes");
}

/// Digests of CloudTrail's, one a line.
pub fn digest(bytes: &[u8]) {
    let at = |text: &str| text.parse::<Timestamp>().ok();
    let lines = bytes.split(|byte| *byte == b'\n').count();
    for window in [(None, None), (at("2026-03-02T10:30:00Z"), at("2026-03-02T11:30:00Z"))] {
        let (read, digests, gaps) = digest::of_lines(bytes, window);
        assert!(read <= lines, "more digests than lines");
        // A window's edges, a link and an account for each digest, and the logs that these name.
        assert!(gaps.len() <= 2 + 2 * read + bytes.len(), "more gaps than there can be");
        assert_eq!(digests.span().is_some(), read > 0, "what digests cover");
    }
}

/// The name of an object.
pub fn layout(bytes: &[u8]) {
    let name = String::from_utf8_lossy(bytes);
    let Some(delivery) = Delivery::of(&name) else { return };
    assert!(
        name.contains(&*delivery.stream.account) && name.contains(&*delivery.stream.region),
        "not of the name"
    );
    assert!(delivery.stream.account.len() == 12, "an account has 12 digits");
    assert!(delivery.may_hold(None, None), "a window without an end holds all");
    assert!(delivery.may_hold(Some(delivery.at), Some(delivery.at)), "its own minute is in it");
}

/// An object as it is stored. The first byte says what is done with the others before: nothing, gzip or zstd.
///
/// What is packed must be told as it is when it is not.
pub fn object(bytes: &[u8]) {
    let Some((packing, text)) = bytes.split_first() else { return };
    let plain = search(text);
    let packed = match packing % 3 {
        0 => return,
        1 => {
            let mut out = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
            out.write_all(text).and_then(|()| out.finish())
        }
        _ => zstd::encode_all(text, 1),
    };
    let Ok(packed) = packed else { return };
    // What begins like a packed object was unpacked once already.
    if text.starts_with(&[0x1f, 0x8b]) || text.starts_with(&[0x28, 0xb5, 0x2f, 0xfd]) {
        let _seen = search(&packed);
        return;
    }
    let other = search(&packed);
    assert!(plain.fate == other.fate, "{:?} plain, {:?} packed", plain.fate, other.fate);
    assert!(plain.accesses == other.accesses, "other records when it is packed");
    assert_eq!((plain.unparsed, plain.searched), (other.unparsed, other.searched), "other counts");
}

fn search(stored: &[u8]) -> Seen {
    let mut seen = Seen::new(Fate::Scanned);
    let Some(needles) = needles() else { return seen };
    let digests = Digests::default();
    let hints = Hints { record_keys: vec![SecretValue::from_text(VALUE.to_owned())], ..Hints::default() };
    let (edges, first) = (AtomicI64::new(1000), true);
    let task = Task { needles, hints: &hints, digests: &digests, edges, first, hash: false };
    let mut unpacker = Unpacker::default();
    search::opened("o", unpacker.read(stored, stored.len() as u64), &task, &mut seen);
    let mut coverage = Coverage::default();
    coverage.add("o", &seen.fate);
    let parts = coverage.scanned + coverage.pruned + coverage.not_searched();
    assert!((coverage.objects, parts) == (1, 1), "an object counts once: {coverage:?}");
    assert!(seen.stored == stored.len() as u64, "{} of {} bytes read", seen.stored, stored.len());
    assert!(seen.unparsed <= seen.accesses.len() as u64 + 1, "more that nobody read than there are");
    for access in &seen.accesses {
        is_told(access);
        assert!(access.place <= seen.searched + 1, "a place beyond the end");
    }
    seen
}

/// What a record says must be what its line says: nobody is accused of what no log tells.
fn is_of(access: &Access, bytes: &[u8]) {
    is_told(access);
    // A text with an escape in it is another one when it is read, and so is what is not UTF-8.
    let escapes = memchr::memchr3(b'\\', b'%', b'&', bytes).is_some() || has(bytes, "\"\"");
    if escapes || std::str::from_utf8(bytes).is_err() {
        return;
    }
    // What a parser says instead of a text that may hold the credential.
    let hidden = |text: &str| text.contains("may hold the credential");
    if let Some(address) = access.address.as_deref().filter(|text| !hidden(text)) {
        assert!(has(bytes, address), "an address that is not there: {access:?}");
    }
    let unread = access.action.starts_with("a record that could not be read");
    if !hidden(&access.action) && !unread {
        let words = access.action.split([' ', ':', '/', '.']).filter(|word| !OWN.contains(word));
        for word in words {
            assert!(has(bytes, word), "`{word}` is not there: {access:?}");
        }
    }
}

/// Words that parsers say themselves, where a log has no name for what was done.
const OWN: [&str; 17] = [
    "",
    "a",
    "an",
    "connect",
    "disconnect",
    "event",
    "in",
    "line",
    "method",
    "name",
    "named",
    "operation",
    "request",
    "something",
    "ssh",
    "vsync",
    "without",
];

/// What holds for every record: it is named by its hash, and no value is in it.
fn is_told(access: &Access) {
    assert!(access.sha256.len() == 64, "{access:?}");
    assert!(!format!("{access:?}").contains(VALUE), "the value is told");
}

fn has(bytes: &[u8], text: &str) -> bool {
    memchr::memmem::find(bytes, text.as_bytes()).is_some()
}
