//! Packs: <https://git-scm.com/docs/pack-format>.

use std::fs::File;
use std::io::Read;
use std::os::unix::fs::FileExt as _;
use std::path::Path;
use std::sync::Arc;

use super::index::Index;
use super::inflate::Inflater;
use super::{Kind, MAX_IN_MEMORY, ObjectFormat, Oid, Trouble, delta, inflate};
use crate::git::cache::{Cache, Object};

/// Git itself makes chains of at most 4095 deltas; a longer one is a cycle or an attack.
const MAX_CHAIN: usize = 4200;

/// Ten bytes of size and a base of 32.
const HEADER_SIZE: usize = 48;

/// Bytes that are read at once: headers in pack order, and entries of usual size.
const WINDOW: usize = 128 << 10;
const READ: usize = 64 << 10;

/// A piece of a pack in memory.
#[derive(Debug, Default)]
pub(super) struct Window {
    bytes: Vec<u8>,
    start: u64,
}

/// An opened pack and its index.
#[derive(Debug)]
pub(super) struct Pack {
    pub(super) index: Arc<Index>,
    file: File,
    /// Where the trailing checksum begins.
    end: u64,
    format: ObjectFormat,
}

/// What an entry's header says.
#[derive(Clone, Copy, Debug)]
pub(super) struct Entry {
    pub(super) form: Form,
    /// Bytes after inflating: of the object, or of the delta.
    pub(super) size: u64,
    /// Where the compressed bytes begin.
    data: u64,
    offset: u64,
}

/// How an entry is stored.
#[derive(Clone, Copy, Debug)]
pub(super) enum Form {
    /// Made from the object at this offset.
    Delta {
        base: u64,
    },
    /// Made from an object that is not in this pack.
    Foreign {
        base: Oid,
    },
    Whole(Kind),
}

impl Pack {
    /// Opens the pack beside an index file.
    pub(super) fn open(index_path: &Path, format: ObjectFormat) -> Result<Self, Trouble> {
        let index = Arc::new(Index::parse(std::fs::read(index_path)?, format)?);
        let file = File::open(index_path.with_extension("pack"))?;
        let length = file.metadata()?.len();
        let end = length
            .checked_sub(u64::try_from(format.length()).unwrap_or(32))
            .filter(|end| *end >= 12)
            .ok_or(Trouble::Broken("the pack is cut off"))?;
        let mut header = [0; 8];
        file.read_exact_at(&mut header, 0)?;
        if header != *b"PACK\0\0\0\x02" && header != *b"PACK\0\0\0\x03" {
            return Err(Trouble::Broken("the pack does not start with `PACK` and version 2 or 3"));
        }
        let mut checksum = vec![0; format.length()];
        file.read_exact_at(&mut checksum, end)?;
        if checksum != index.pack_checksum {
            return Err(Trouble::Broken("the index belongs to another pack, or the pack is cut off"));
        }
        Ok(Self { index, file, end, format })
    }

    pub(super) fn entry(&self, offset: u64) -> Result<Entry, Trouble> {
        let mut header = [0_u8; HEADER_SIZE];
        let length = self.room(offset)?.min(header.len());
        let header = header.get_mut(..length).unwrap_or_default();
        self.file.read_exact_at(header, offset)?;
        self.parse(offset, header)
    }

    /// The same for many entries in the order of their offsets.
    pub(super) fn entry_near(&self, offset: u64, window: &mut Window) -> Result<Entry, Trouble> {
        let length = self.room(offset)?.min(HEADER_SIZE);
        let inside = |window: &Window| {
            let start = usize::try_from(offset.checked_sub(window.start)?).ok()?;
            (window.bytes.len().checked_sub(start)? >= length).then_some(start)
        };
        if inside(window).is_none() {
            window.start = offset;
            window.bytes.resize(self.room(offset)?.min(WINDOW), 0);
            self.file.read_exact_at(&mut window.bytes, offset)?;
        }
        let start = inside(window).unwrap_or(0);
        self.parse(offset, window.bytes.get(start..start.saturating_add(length)).unwrap_or_default())
    }

    /// Reads an entry's header, and what follows it as far as is cheap, into `buffer`.
    pub(super) fn head(&self, offset: u64, buffer: &mut Vec<u8>) -> Result<Entry, Trouble> {
        let next = self.index.next_offset(offset).unwrap_or(self.end).saturating_sub(offset);
        let length = self.room(offset)?.min(usize::try_from(next).unwrap_or(usize::MAX).max(HEADER_SIZE));
        buffer.resize(length.min(READ), 0);
        self.file.read_exact_at(buffer, offset)?;
        self.parse(offset, buffer)
    }

    /// The compressed bytes of the entry that [`Pack::head`] has just read into `buffer`.
    pub(super) fn body<'b>(&self, entry: Entry, buffer: &'b mut Vec<u8>) -> Result<&'b [u8], Trouble> {
        let skip = usize::try_from(entry.data.saturating_sub(entry.offset)).unwrap_or(usize::MAX);
        let length = self.compressed_length(entry)?.saturating_add(skip);
        let read = buffer.len();
        if length > read {
            buffer.resize(length, 0);
            let at = entry.offset.saturating_add(u64::try_from(read).unwrap_or(u64::MAX));
            self.file.read_exact_at(buffer.get_mut(read..).unwrap_or_default(), at)?;
        }
        Ok(buffer.get(skip..).unwrap_or_default())
    }

    /// Bytes from an offset to the end of what the pack holds.
    fn room(&self, offset: u64) -> Result<usize, Trouble> {
        let room = self.end.checked_sub(offset).filter(|room| *room > 0 && offset >= 12);
        let room = room.ok_or(Trouble::Broken("its place is outside the pack"))?;
        Ok(usize::try_from(room).unwrap_or(usize::MAX))
    }

    fn parse(&self, offset: u64, header: &[u8]) -> Result<Entry, Trouble> {
        let length = header.len();
        let mut rest = header;
        let (code, size) = type_and_size(&mut rest)?;
        let form = match code {
            1 => Form::Whole(Kind::Commit),
            2 => Form::Whole(Kind::Tree),
            3 => Form::Whole(Kind::Blob),
            4 => Form::Whole(Kind::Tag),
            6 => {
                let distance = base_distance(&mut rest)?;
                let base = offset.checked_sub(distance).filter(|_| distance > 0);
                Form::Delta { base: base.ok_or(Trouble::Broken("its delta base is outside the pack"))? }
            }
            7 => {
                let (name, after) = rest.split_at_checked(self.format.length()).ok_or(HEADER)?;
                rest = after;
                let base = Oid::from_bytes(name).ok_or(HEADER)?;
                self.index.find(base).map_or(Form::Foreign { base }, |base| Form::Delta { base })
            }
            _ => return Err(Trouble::Broken("its type is unknown")),
        };
        let used = u64::try_from(length.saturating_sub(rest.len())).unwrap_or(0);
        Ok(Entry { form, size, data: offset.saturating_add(used), offset })
    }

    /// The content of an entry that is no delta, as a stream.
    pub(super) fn stream(&self, entry: Entry) -> impl Read {
        let section = Section { file: &self.file, at: entry.data, end: self.end_of(entry) };
        flate2::read::ZlibDecoder::new(section).take(entry.size)
    }

    /// Rebuilds an object, however long its delta chain.
    pub(super) fn read(
        &self,
        number: usize,
        offset: u64,
        cache: &mut Cache,
        state: &mut Inflater,
    ) -> Result<Object, Trouble> {
        let mut chain = Vec::new();
        let mut at = offset;
        let mut object = loop {
            if let Some(object) = cache.get((number, at)) {
                break object;
            }
            let entry = self.entry(at)?;
            match entry.form {
                Form::Whole(kind) => {
                    let object = Object { kind, data: self.inflate(entry, state)?.into() };
                    cache.put((number, at), object.clone());
                    break object;
                }
                Form::Delta { base } => {
                    chain.push(entry);
                    at = base;
                }
                Form::Foreign { .. } => return Err(Trouble::Broken("its delta base is not in the pack")),
            }
            if chain.len() > MAX_CHAIN {
                return Err(Trouble::Broken("its delta chain is longer than 4200, or a cycle"));
            }
        };
        for entry in chain.into_iter().rev() {
            let data = delta::apply(&object.data, &self.inflate(entry, state)?, MAX_IN_MEMORY)?;
            object = Object { kind: object.kind, data: data.into() };
            cache.put((number, entry.offset), object.clone());
        }
        Ok(object)
    }

    fn inflate(&self, entry: Entry, state: &mut Inflater) -> Result<Vec<u8>, Trouble> {
        let mut compressed = vec![0; self.compressed_length(entry)?];
        self.file.read_exact_at(&mut compressed, entry.data)?;
        inflate::inflate(state, &compressed, entry.size)
    }

    /// How many bytes an entry can take in the pack.
    fn compressed_length(&self, entry: Entry) -> Result<usize, Trouble> {
        if entry.size > MAX_IN_MEMORY {
            return Err(Trouble::TooLarge(entry.size, MAX_IN_MEMORY));
        }
        // Stored blocks cost five bytes per 64 KiB, zlib's frame six; a gap in the pack is not read.
        let most = entry.size.saturating_add(entry.size / 512).saturating_add(1024);
        let length = self.end_of(entry).saturating_sub(entry.data).min(most);
        usize::try_from(length).map_err(|_large| Trouble::Broken("is larger than the address space"))
    }

    /// Where the compressed bytes of an entry end at the latest.
    fn end_of(&self, entry: Entry) -> u64 {
        self.index.next_offset(entry.offset).unwrap_or(self.end).min(self.end)
    }
}

const HEADER: Trouble = Trouble::Broken("its header is cut off");

/// Three bits of type, then the size: four bits, then seven a byte, low ones first.
fn type_and_size(rest: &mut &[u8]) -> Result<(u8, u64), Trouble> {
    let mut next = || {
        let (byte, after) = rest.split_first().ok_or(HEADER)?;
        *rest = after;
        Ok::<u8, Trouble>(*byte)
    };
    let first = next()?;
    let mut size = u64::from(first & 0x0f);
    let mut more = first & 0x80 != 0;
    let mut shift = 4;
    while more {
        if shift > 57 {
            return Err(Trouble::Broken("declares an impossible size"));
        }
        let byte = next()?;
        size |= u64::from(byte & 0x7f) << shift;
        more = byte & 0x80 != 0;
        shift += 7;
    }
    Ok((first >> 4 & 7, size))
}

/// The distance back to a base: seven bits a byte, high ones first, plus one for each byte that goes on.
fn base_distance(rest: &mut &[u8]) -> Result<u64, Trouble> {
    let mut distance = 0_u64;
    for index in 0..9 {
        let (byte, after) = rest.split_first().ok_or(HEADER)?;
        *rest = after;
        let before = if index == 0 { 0 } else { distance.saturating_add(1) << 7 };
        distance = before | u64::from(byte & 0x7f);
        if byte & 0x80 == 0 {
            return Ok(distance);
        }
    }
    Err(Trouble::Broken("its delta base is impossibly far away"))
}

/// A part of a file as a stream that has its own position.
struct Section<'a> {
    file: &'a File,
    at: u64,
    end: u64,
}

impl Read for Section<'_> {
    fn read(&mut self, buffer: &mut [u8]) -> std::io::Result<usize> {
        let left = usize::try_from(self.end.saturating_sub(self.at)).unwrap_or(usize::MAX);
        let length = left.min(buffer.len());
        let read = self.file.read_at(buffer.get_mut(..length).unwrap_or_default(), self.at)?;
        self.at = self.at.saturating_add(u64::try_from(read).unwrap_or(0));
        Ok(read)
    }
}
