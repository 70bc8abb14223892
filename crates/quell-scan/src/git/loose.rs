//! Loose objects: `<kind> <size>\0<content>`, zlib-compressed, in `objects/ab/cdef…`.

use std::fs::File;
use std::io::{BufRead as _, BufReader, Read};
use std::path::{Path, PathBuf};

use flate2::bufread::ZlibDecoder;

use super::{Kind, Oid, Trouble};

/// An opened loose object: its header is read, its content is not.
pub(super) struct Loose {
    pub(super) kind: Kind,
    pub(super) size: u64,
    content: BufReader<ZlibDecoder<BufReader<File>>>,
}

pub(super) fn path(objects: &Path, oid: Oid) -> PathBuf {
    let name = oid.to_string();
    let (folder, file) = name.split_at_checked(2).unwrap_or(("", &name));
    objects.join(folder).join(file)
}

pub(super) fn open(file: &Path) -> Result<Loose, Trouble> {
    let mut content = BufReader::new(ZlibDecoder::new(BufReader::new(File::open(file)?)));
    let mut header = Vec::new();
    // "commit " and twenty digits fit well within this.
    content.by_ref().take(40).read_until(0, &mut header).map_err(corrupt)?;
    let fields = header.strip_suffix(b"\0").and_then(|header| {
        let space = header.iter().position(|byte| *byte == b' ')?;
        let (kind, size) = header.split_at_checked(space)?;
        let size = std::str::from_utf8(size).ok()?.trim_start().parse().ok()?;
        Some((Kind::from_name(kind)?, size))
    });
    let (kind, size) = fields.ok_or(Trouble::Broken("is no git object"))?;
    Ok(Loose { kind, size, content })
}

impl Loose {
    /// The whole content.
    pub(super) fn read(self, limit: u64) -> Result<Vec<u8>, Trouble> {
        if self.size > limit {
            return Err(Trouble::TooLarge(self.size, limit));
        }
        let mut data = Vec::new();
        let size = self.size;
        self.content.take(size.saturating_add(1)).read_to_end(&mut data).map_err(corrupt)?;
        if u64::try_from(data.len()).ok() == Some(size) {
            Ok(data)
        } else {
            Err(Trouble::Broken("does not hold as many bytes as it declares"))
        }
    }

    /// The content as a stream.
    pub(super) fn into_reader(self) -> impl Read {
        self.content.take(self.size)
    }
}

fn corrupt(error: std::io::Error) -> Trouble {
    use std::io::ErrorKind::{InvalidData, InvalidInput, UnexpectedEof};
    let kind = error.kind();
    if kind == InvalidInput || kind == InvalidData {
        Trouble::Broken("its compressed data is corrupt")
    } else if kind == UnexpectedEof {
        Trouble::Broken("its compressed data is cut off")
    } else {
        Trouble::Io(error)
    }
}
