//! The file that says what is staged: <https://git-scm.com/docs/index-format>, versions 2, 3 and 4.

use std::collections::BTreeMap;

use sha1::{Digest as _, Sha1};
use sha2::Sha256;

use super::{ObjectFormat, Oid};

/// One entry.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(super) struct Entry {
    pub(super) path: Vec<u8>,
    pub(super) oid: Oid,
    pub(super) kind: EntryKind,
}

/// What an entry stands for.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum EntryKind {
    /// A file or link, of any stage of a merge.
    Blob,
    /// A folder that is not checked out, in a sparse index; its path ends in `/`.
    Folder,
    /// `git add --intent-to-add`: nothing of it is staged yet.
    Intended,
    Submodule,
}

/// What is staged.
#[derive(Debug, Default)]
pub(super) struct Stage {
    /// In order of their paths.
    pub(super) entries: Vec<Entry>,
    /// Folders, with a `/` behind each part, whose tree git has written already: the next commit takes it as it is.
    pub(super) trees: BTreeMap<Vec<u8>, Oid>,
}

/// What is wrong with an index.
#[derive(Clone, Copy, Debug, Eq, PartialEq, thiserror::Error)]
pub(super) enum StageError {
    #[error("is broken: {0}")]
    Broken(&'static str),
    #[error("is split into two files")]
    Split,
    #[error("has a part that is not read yet")]
    UnknownPart,
    #[error("has a version that is not read yet")]
    Version,
}

const CUT_OFF: StageError = StageError::Broken("it is cut off");

/// Ten numbers of what `stat` said about a file come before its id.
const STAT: usize = 40;

/// Longest path: a folder is left by recursion, and no file system has longer ones.
const MAX_DEPTH: usize = 512;

pub(super) fn parse(data: &[u8], format: ObjectFormat) -> Result<Stage, StageError> {
    let end = data.len().checked_sub(format.length()).ok_or(CUT_OFF)?;
    let (content, checksum) = data.split_at_checked(end).ok_or(CUT_OFF)?;
    check(content, checksum, format)?;
    let mut reader = Reader { rest: content };
    if reader.take(4)? != b"DIRC" {
        return Err(StageError::Broken("it does not start with `DIRC`"));
    }
    let version = reader.number()?;
    if !(2..=4).contains(&version) {
        return Err(StageError::Version);
    }
    let count = reader.number()?;
    let mut stage = Stage::default();
    let mut path = Vec::new();
    for _ in 0..count {
        let entry = reader.entry(version, format, &mut path)?;
        stage.entries.push(entry);
    }
    if !stage.entries.is_sorted_by(|a, b| a.path <= b.path) {
        return Err(StageError::Broken("its paths are not in order"));
    }
    while !reader.rest.is_empty() {
        let name = reader.take(4)?;
        let size = usize::try_from(reader.number()?).map_err(|_large| CUT_OFF)?;
        let body = reader.take(size)?;
        match name {
            b"TREE" => trees(&mut Reader { rest: body }, format, &mut Vec::new(), 0, &mut stage.trees)?,
            // Entries of folders, which are read above.
            b"sdir" => {}
            // All zeros: there is no second file.
            b"link" if body.get(..format.length()).is_some_and(|base| base.iter().all(|byte| *byte == 0)) => {
            }
            b"link" => return Err(StageError::Split),
            // Capital letters: may be passed over.
            [b'A'..=b'Z', ..] => {}
            _ => return Err(StageError::UnknownPart),
        }
    }
    Ok(stage)
}

/// All zeros where `index.skipHash` is set.
fn check(content: &[u8], checksum: &[u8], format: ObjectFormat) -> Result<(), StageError> {
    let right = checksum.iter().all(|byte| *byte == 0)
        || match format {
            ObjectFormat::Sha1 => checksum == Sha1::digest(content).as_slice(),
            ObjectFormat::Sha256 => checksum == Sha256::digest(content).as_slice(),
        };
    if right { Ok(()) } else { Err(StageError::Broken("its checksum is wrong")) }
}

/// The trees that git has written: name, NUL, number of entries (-1: no tree), space, number of subtrees, newline, id.
fn trees(
    reader: &mut Reader<'_>,
    format: ObjectFormat,
    path: &mut Vec<u8>,
    depth: usize,
    found: &mut BTreeMap<Vec<u8>, Oid>,
) -> Result<(), StageError> {
    if depth > MAX_DEPTH {
        return Err(StageError::Broken("its folders are nested too deep"));
    }
    let length = path.len();
    path.extend_from_slice(reader.until(0)?);
    if depth > 0 {
        path.push(b'/');
    }
    let count = reader.until(b' ')?;
    let below = reader.until(b'\n')?;
    let below: u32 = std::str::from_utf8(below).ok().and_then(|text| text.parse().ok()).ok_or(CUT_OFF)?;
    if !count.starts_with(b"-") {
        let oid = Oid::from_bytes(reader.take(format.length())?).ok_or(CUT_OFF)?;
        found.insert(path.clone(), oid);
    }
    for _ in 0..below {
        trees(reader, format, path, depth.saturating_add(1), found)?;
    }
    path.truncate(length);
    Ok(())
}

struct Reader<'a> {
    rest: &'a [u8],
}

impl<'a> Reader<'a> {
    fn take(&mut self, length: usize) -> Result<&'a [u8], StageError> {
        let (taken, rest) = self.rest.split_at_checked(length).ok_or(CUT_OFF)?;
        self.rest = rest;
        Ok(taken)
    }

    fn number(&mut self) -> Result<u32, StageError> {
        let (bytes, rest) = self.rest.split_first_chunk::<4>().ok_or(CUT_OFF)?;
        self.rest = rest;
        Ok(u32::from_be_bytes(*bytes))
    }

    fn short(&mut self) -> Result<u16, StageError> {
        let (bytes, rest) = self.rest.split_first_chunk::<2>().ok_or(CUT_OFF)?;
        self.rest = rest;
        Ok(u16::from_be_bytes(*bytes))
    }

    /// What comes before a byte, which is passed over.
    fn until(&mut self, byte: u8) -> Result<&'a [u8], StageError> {
        let at = self.rest.iter().position(|other| *other == byte).ok_or(CUT_OFF)?;
        let taken = self.take(at)?;
        self.take(1)?;
        Ok(taken)
    }

    /// Reads an entry; `path` is that of the one before, and then its own.
    fn entry(&mut self, version: u32, format: ObjectFormat, path: &mut Vec<u8>) -> Result<Entry, StageError> {
        let before = self.rest.len();
        let stat = self.take(STAT)?;
        let mode = stat.get(24..28).and_then(|mode| mode.try_into().ok()).map_or(0, u32::from_be_bytes);
        let oid = Oid::from_bytes(self.take(format.length())?).ok_or(CUT_OFF)?;
        let flags = self.short()?;
        // Bit 14: more flags follow. Bit 13 of those: intent to add.
        let more = if flags & 0x4000 == 0 {
            0
        } else if version == 2 {
            return Err(StageError::Broken("an entry has flags that its version does not have"));
        } else {
            self.short()?
        };
        if version == 4 {
            // Paths share their beginning with the one before.
            let dropped = self.varint()?;
            let kept =
                path.len().checked_sub(dropped).ok_or(StageError::Broken("a path is shortened too far"))?;
            path.truncate(kept);
            path.extend_from_slice(self.until(0)?);
        } else {
            path.clear();
            path.extend_from_slice(self.until(0)?);
            // Up to eight NULs, one of which was read, make the length a multiple of eight.
            let used = before.saturating_sub(self.rest.len()).saturating_sub(1);
            self.take(7_usize.saturating_sub(used % 8))?;
        }
        let deep = path.split(|byte| *byte == b'/').count() > MAX_DEPTH;
        // What stands in for an entry of the other half of a split index has no path.
        if path.is_empty() {
            return Err(StageError::Split);
        }
        if deep {
            return Err(StageError::Broken("a path is too deep"));
        }
        let kind = match mode >> 12 {
            0o4 => EntryKind::Folder,
            0o16 => EntryKind::Submodule,
            _ if more & 0x2000 != 0 => EntryKind::Intended,
            _ => EntryKind::Blob,
        };
        Ok(Entry { path: path.clone(), oid, kind })
    }

    /// Seven bits a byte, high ones first, plus one for each byte that goes on, as in packs.
    fn varint(&mut self) -> Result<usize, StageError> {
        let mut value = 0_usize;
        for index in 0..5 {
            let byte = self.take(1)?.first().copied().ok_or(CUT_OFF)?;
            let before = if index == 0 { 0 } else { value.saturating_add(1).saturating_mul(128) };
            value = before | usize::from(byte & 0x7f);
            if byte & 0x80 == 0 {
                return Ok(value);
            }
        }
        Err(StageError::Broken("a path is shortened too far"))
    }
}
