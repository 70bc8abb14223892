//! The records of a zip: APPNOTE 4.3.7 (header of a member), 4.3.12 (directory), 4.3.14 to 4.3.16 (its end), 4.5.3 (zip64).

use std::io::{self, Read as _, SeekFrom};

use super::super::Random;

pub(super) const LOCAL: &[u8] = b"PK\x03\x04";
const CENTRAL: &[u8] = b"PK\x01\x02";
const END: &[u8] = b"PK\x05\x06";
const END_64: &[u8] = b"PK\x06\x06";
const END_64_LOCATOR: &[u8] = b"PK\x06\x07";
/// In place of a number that is in the zip64 field.
const IN_64: u64 = 0xffff_ffff;
/// The end record with the longest comment, and the locator before it.
const MAX_TAIL: u64 = 22 + 0xffff + 20;

/// What the header before a member says.
pub(super) struct Local {
    pub(super) name: Vec<u8>,
    pub(super) flags: u16,
    pub(super) method: u16,
    pub(super) compressed: u64,
    /// `None` when it is said after the data.
    pub(super) size: Option<u64>,
    pub(super) data_at: u64,
}

impl Local {
    /// Bytes of the fixed part.
    pub(super) const LENGTH: usize = 30;

    pub(super) fn read(source: &mut dyn Random, at: u64) -> io::Result<Self> {
        source.seek(SeekFrom::Start(at))?;
        let mut header = [0; Self::LENGTH];
        source.read_exact(&mut header)?;
        let broken =
            || io::Error::new(io::ErrorKind::InvalidData, "there is no member where the directory says");
        let rest = Self::variable(&header).ok_or_else(broken)?;
        let mut variable = vec![0; rest];
        source.read_exact(&mut variable)?;
        let mut local = Self::parse(&header, &variable).ok_or_else(broken)?;
        local.data_at = at.saturating_add((Self::LENGTH + rest) as u64);
        Ok(local)
    }

    /// Bytes of name and extra field.
    pub(super) fn variable(header: &[u8]) -> Option<usize> {
        header.starts_with(LOCAL).then_some(())?;
        Some(usize::from(u16_at(header, 26)?) + usize::from(u16_at(header, 28)?))
    }

    pub(super) fn parse(header: &[u8], variable: &[u8]) -> Option<Self> {
        let (name, extra) = variable.split_at_checked(usize::from(u16_at(header, 26)?))?;
        let flags = u16_at(header, 6)?;
        let mut compressed = u64::from(u32_at(header, 18)?);
        let mut size = u64::from(u32_at(header, 22)?);
        in_64(extra, &mut [&mut size, &mut compressed]);
        let later = flags & 8 != 0 && compressed == 0;
        Some(Self {
            name: name.to_vec(),
            flags,
            method: u16_at(header, 8)?,
            compressed,
            size: (!later).then_some(size),
            data_at: 0,
        })
    }

    /// Bit 0, or the whole directory (bit 13), or strong encryption (bit 6).
    pub(super) fn is_encrypted(&self) -> bool {
        self.flags & 0x2041 != 0
    }

    /// True when reading it by the directory's entry gives the same.
    pub(super) fn agrees(&self, entry: &Entry) -> bool {
        let sizes = self.size.is_none() || self.compressed == entry.compressed;
        self.method == entry.method && sizes
    }
}

/// What the directory says about a member.
pub(super) struct Entry {
    pub(super) name: Vec<u8>,
    pub(super) flags: u16,
    pub(super) method: u16,
    pub(super) compressed: u64,
    pub(super) size: u64,
    pub(super) header_at: u64,
}

impl Entry {
    /// Data as the directory describes them, at the place that the header tells.
    pub(super) fn over(&self, local: &Local) -> Local {
        Local {
            name: self.name.clone(),
            flags: self.flags,
            method: self.method,
            compressed: self.compressed,
            size: Some(self.size),
            data_at: local.data_at,
        }
    }
}

/// The directory at the end.
pub(super) struct Directory {
    pub(super) entries: Vec<Entry>,
    pub(super) at: u64,
    pub(super) end: u64,
    /// What could not be read of it.
    pub(super) trouble: Option<String>,
}

impl Directory {
    /// Finds and reads it; `None` when there is none.
    pub(super) fn read(source: &mut dyn Random, most: u64) -> io::Result<Option<Self>> {
        let Some(place) = find_end(source)? else { return Ok(None) };
        source.seek(SeekFrom::Start(place.at))?;
        let mut bytes = Vec::new();
        source.take(place.length.min(most)).read_to_end(&mut bytes)?;
        let mut entries = Vec::new();
        let mut rest = bytes.as_slice();
        while let Some((mut entry, after)) = entry(rest) {
            entry.header_at = entry.header_at.wrapping_add(place.shift);
            entries.push(entry);
            rest = after;
        }
        let trouble = if place.length > most {
            Some(
                "its directory is larger than the memory for it; members without an entry were looked for"
                    .to_owned(),
            )
        } else if rest.is_empty() && entries.len() as u64 & 0xffff == place.count & 0xffff {
            None
        } else {
            Some(format!(
                "{} of {} entries of its directory can be read; the rest was looked for",
                entries.len(),
                place.count
            ))
        };
        Ok(Some(Self { entries, at: place.at, end: place.at.saturating_add(place.length), trouble }))
    }
}

fn entry(bytes: &[u8]) -> Option<(Entry, &[u8])> {
    let (fixed, rest) = bytes.strip_prefix(CENTRAL).and_then(|_| bytes.split_at_checked(46))?;
    let (name, rest) = rest.split_at_checked(usize::from(u16_at(fixed, 28)?))?;
    let (extra, rest) = rest.split_at_checked(usize::from(u16_at(fixed, 30)?))?;
    let (_comment, rest) = rest.split_at_checked(usize::from(u16_at(fixed, 32)?))?;
    let mut compressed = u64::from(u32_at(fixed, 20)?);
    let mut size = u64::from(u32_at(fixed, 24)?);
    let mut header_at = u64::from(u32_at(fixed, 42)?);
    in_64(extra, &mut [&mut size, &mut compressed, &mut header_at]);
    let (flags, method) = (u16_at(fixed, 8)?, u16_at(fixed, 10)?);
    Some((Entry { name: name.to_vec(), flags, method, compressed, size, header_at }, rest))
}

/// Where the directory lies.
struct End {
    at: u64,
    length: u64,
    count: u64,
    /// What to add to offsets: the length of something put before the zip.
    shift: u64,
}

fn find_end(source: &mut dyn Random) -> io::Result<Option<End>> {
    let length = source.seek(SeekFrom::End(0))?;
    let tail_at = length.saturating_sub(MAX_TAIL);
    source.seek(SeekFrom::Start(tail_at))?;
    let mut tail = Vec::new();
    source.take(MAX_TAIL).read_to_end(&mut tail)?;
    for found in memchr::memmem::rfind_iter(&tail, END) {
        let record = tail.get(found..).unwrap_or_default();
        let (Some(count), Some(size), Some(offset)) =
            (u16_at(record, 10), u32_at(record, 12), u32_at(record, 16))
        else {
            continue;
        };
        let comment = u16_at(record, 20).map_or(usize::MAX, usize::from);
        if record.len().saturating_sub(22) < comment {
            continue;
        }
        let at = tail_at + found as u64;
        let locator = found.checked_sub(20).and_then(|from| tail.get(from..found));
        let wide = match locator.filter(|locator| locator.starts_with(END_64_LOCATOR)) {
            Some(locator) => end_64(source, at, u64_at(locator, 8).unwrap_or(0))?,
            None => None,
        };
        let (ends, count, size, offset) =
            wide.unwrap_or((at, u64::from(count), u64::from(size), u64::from(offset)));
        // The directory ends where its end record begins, whatever was put before the whole.
        for begins in [ends.wrapping_sub(size), offset] {
            if begins < length && (size == 0 || starts_with(source, begins, CENTRAL)?) {
                return Ok(Some(End { at: begins, length: size, count, shift: begins.wrapping_sub(offset) }));
            }
        }
    }
    Ok(None)
}

/// Place, count, size and offset from the zip64 end record.
fn end_64(source: &mut dyn Random, locator_end: u64, said: u64) -> io::Result<Option<(u64, u64, u64, u64)>> {
    for at in [said, locator_end.saturating_sub(20 + 56)] {
        source.seek(SeekFrom::Start(at))?;
        let mut record = Vec::new();
        source.take(56).read_to_end(&mut record)?;
        if record.starts_with(END_64) {
            let fields = (u64_at(&record, 32), u64_at(&record, 40), u64_at(&record, 48));
            let (Some(count), Some(size), Some(offset)) = fields else { continue };
            return Ok(Some((at, count, size, offset)));
        }
    }
    Ok(None)
}

fn starts_with(source: &mut dyn Random, at: u64, magic: &[u8]) -> io::Result<bool> {
    source.seek(SeekFrom::Start(at))?;
    let mut head = Vec::new();
    source.take(magic.len() as u64).read_to_end(&mut head)?;
    Ok(head == magic)
}

/// True for programs and scripts, which zips are appended to.
pub(crate) fn may_follow(head: &[u8]) -> bool {
    [b"#!".as_slice(), b"MZ", b"\x7fELF"].iter().any(|magic| head.starts_with(magic))
}

/// True when the source ends as a zip does.
pub(crate) fn ends(source: &mut dyn Random) -> bool {
    matches!(find_end(source), Ok(Some(End { length: 1.., .. })))
}

/// Puts the numbers of a zip64 field in place of those that say so.
fn in_64(mut extra: &[u8], numbers: &mut [&mut u64]) {
    while let (Some(id), Some(length)) = (u16_at(extra, 0), u16_at(extra, 2)) {
        let Some((mut field, rest)) =
            extra.get(4..).and_then(|rest| rest.split_at_checked(usize::from(length)))
        else {
            return;
        };
        extra = rest;
        if id == 1 {
            for number in numbers.iter_mut().filter(|number| ***number == IN_64) {
                let Some((bytes, after)) = field.split_first_chunk::<8>() else { return };
                **number = u64::from_le_bytes(*bytes);
                field = after;
            }
        }
    }
}

fn u16_at(bytes: &[u8], at: usize) -> Option<u16> {
    bytes.get(at..)?.first_chunk().map(|bytes| u16::from_le_bytes(*bytes))
}

fn u32_at(bytes: &[u8], at: usize) -> Option<u32> {
    bytes.get(at..)?.first_chunk().map(|bytes| u32::from_le_bytes(*bytes))
}

fn u64_at(bytes: &[u8], at: usize) -> Option<u64> {
    bytes.get(at..)?.first_chunk().map(|bytes| u64::from_le_bytes(*bytes))
}
