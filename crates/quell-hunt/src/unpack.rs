//! From stored bytes to log text: plain, gzip or zstd, told by their first bytes and not by their name.

use std::fs::File;
use std::io::{self, Read};

use flate2::bufread::MultiGzDecoder;
use libdeflater::Decompressor;

use crate::hash::sha256;
use crate::object::{Fate, Object};
use crate::source::{Fetch, WHOLE as WHOLE_STORED};

/// What is unpacked in one go. Larger objects are read as a stream of lines.
const WHOLE: usize = 64 << 20;

/// Buffers of one worker, used again for each object.
#[derive(Default)]
pub(crate) struct Unpacker {
    stored: Vec<u8>,
    text: Vec<u8>,
    inflate: Option<Decompressor>,
}

/// An object's text.
pub(crate) enum Text<'a> {
    /// All of it.
    Whole(&'a [u8]),
    /// To be read piece by piece.
    Stream(Box<dyn Read + 'a>),
}

impl Unpacker {
    /// Opens an object, or takes what was fetched of it; with its stored size.
    pub(crate) fn open(&mut self, object: &Object, fetch: Option<Fetch>) -> Result<(Text<'_>, u64), Fate> {
        let unreadable = |error: io::Error| Fate::Unreadable(error.to_string());
        if let Some(fetch) = fetch.or_else(|| object.fetch()) {
            return self.read(fetch, object.size);
        }
        let file = File::open(object.path()?).map_err(unreadable)?;
        // A small one is read whole in any case. Asking for the size of each would be a call of the system for nothing.
        let size = if object.size < WHOLE_STORED / 2 {
            object.size
        } else {
            file.metadata().map_err(unreadable)?.len()
        };
        self.read(file, size)
    }

    /// Whether what was read last is stored as it is.
    pub(crate) fn is_plain(&self) -> bool {
        match Packing::of(&self.stored) {
            Packing::None => true,
            Packing::Gzip | Packing::Zstd => false,
        }
    }

    /// SHA-256 in hex of the object that was opened last, of `size` bytes as stored; `None` if it is too large to be held.
    pub(crate) fn hash(&self, size: u64) -> Option<String> {
        let held = self.stored.len() as u64;
        (held == size && held < WHOLE_STORED).then(|| sha256(&self.stored))
    }

    /// The text of what a reader gives; `size` is what it holds as stored.
    pub(crate) fn read<'a>(
        &'a mut self,
        mut stored: impl Read + 'a,
        size: u64,
    ) -> Result<(Text<'a>, u64), Fate> {
        let unreadable = |error: io::Error| Fate::Unreadable(error.to_string());
        self.stored.clear();
        Read::by_ref(&mut stored).take(WHOLE_STORED).read_to_end(&mut self.stored).map_err(unreadable)?;
        let packing = Packing::of(&self.stored);
        let read = self.stored.len() as u64;
        if read < WHOLE_STORED {
            let inflate = self.inflate.get_or_insert_with(Decompressor::new);
            return Ok(match packing {
                Packing::None => (Text::Whole(&self.stored), read),
                Packing::Gzip => match whole(inflate, &self.stored, &mut self.text) {
                    Some(length) => (Text::Whole(self.text.get(..length).unwrap_or_default()), read),
                    // Several members, more than is unpacked at once, or damaged: the slower way tells which.
                    None => (Text::Stream(packing.reader(self.stored.as_slice()).map_err(unreadable)?), read),
                },
                Packing::Zstd => {
                    (Text::Stream(packing.reader(self.stored.as_slice()).map_err(unreadable)?), read)
                }
            });
        }
        let all = self.stored.as_slice().chain(stored);
        if matches!(packing, Packing::None) {
            // A buffer between would only be one more copy.
            return Ok((Text::Stream(Box::new(all)), size));
        }
        let all = io::BufReader::with_capacity(256 << 10, all);
        Ok((Text::Stream(packing.reader(all).map_err(unreadable)?), size))
    }
}

/// How an object is stored.
#[derive(Clone, Copy)]
enum Packing {
    Gzip,
    None,
    Zstd,
}

impl Packing {
    /// By the first bytes (RFC 1952, RFC 8878).
    fn of(head: &[u8]) -> Self {
        if head.starts_with(&[0x1f, 0x8b]) {
            Self::Gzip
        } else if head.starts_with(&[0x28, 0xb5, 0x2f, 0xfd]) {
            Self::Zstd
        } else {
            Self::None
        }
    }

    fn reader<'a>(self, stored: impl io::BufRead + 'a) -> io::Result<Box<dyn Read + 'a>> {
        Ok(match self {
            Self::Gzip => Box::new(MultiGzDecoder::new(stored)),
            Self::None => Box::new(stored),
            Self::Zstd => Box::new(zstd::Decoder::with_buffer(stored)?),
        })
    }
}

/// Inflates a single gzip member (RFC 1952) whose trailer says how long it is; the length, or `None` if it is not that simple.
fn whole(inflate: &mut Decompressor, stored: &[u8], text: &mut Vec<u8>) -> Option<usize> {
    let size =
        usize::try_from(u32::from_le_bytes(*stored.last_chunk()?)).ok().filter(|size| *size <= WHOLE)?;
    if text.len() < size {
        text.resize(size, 0);
    }
    let out = text.get_mut(..size)?;
    let length = inflate.gzip_decompress(stored, out).ok()?;
    // With several members what was inflated is the first one only. A second header can only be where its three fixed bytes are;
    // where these stand by chance, the slower way reads the same.
    let one = memchr::memmem::find(stored.get(3..)?, &[0x1f, 0x8b, 8]).is_none();
    (length == size && one).then_some(length)
}

#[cfg(test)]
mod tests {
    use std::io::Write as _;

    use flate2::Compression;
    use flate2::write::GzEncoder;

    use super::*;

    fn gz(text: &[u8]) -> Vec<u8> {
        let mut out = GzEncoder::new(Vec::new(), Compression::default());
        out.write_all(text).unwrap();
        out.finish().unwrap()
    }

    fn read(stored: &[u8]) -> (Vec<u8>, bool) {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("o");
        std::fs::write(&path, stored).unwrap();
        let mut unpacker = Unpacker::default();
        match unpacker.open(&crate::object::list(&[path]).unwrap()[0], None).unwrap().0 {
            Text::Whole(text) => (text.to_vec(), true),
            Text::Stream(mut text) => {
                let mut out = Vec::new();
                text.read_to_end(&mut out).unwrap();
                (out, false)
            }
        }
    }

    #[test]
    fn every_packing_gives_the_same_text() {
        let text = b"one\ntwo\nthree\n".repeat(1000);
        assert_eq!(read(&gz(&text)), (text.clone(), true));
        assert_eq!(read(&zstd::encode_all(text.as_slice(), 1).unwrap()), (text.clone(), false));
        assert_eq!(read(&text), (text.clone(), true));
        let large = b"0123456789abcde\n".repeat(1 << 20);
        assert!(read(&large) == (large.clone(), false));
        assert!(read(&zstd::encode_all(large.as_slice(), 1).unwrap()) == (large, false));
    }

    #[test]
    fn all_members_are_read_even_when_they_are_of_one_size() {
        let (one, two) = (b"a line of text\n".repeat(9), b"another line!!\n".repeat(9));
        assert_eq!(read(&[gz(&one), gz(&two)].concat()), ([one.clone(), two.clone()].concat(), false));
        assert_eq!(read(&[gz(&one), gz(&two), gz(&one)].concat()), ([one.clone(), two, one].concat(), false));
    }
}
