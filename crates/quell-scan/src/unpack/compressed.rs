//! One compressed stream, or several in a row.

use std::io::{self, Read};

use super::lookahead::Lookahead;

/// How it is compressed.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum Form {
    Bzip2,
    Gzip,
    Xz,
    Zstd,
}

/// Memory for one dictionary of xz, in KiB. `xz -9` takes 64 MiB.
const MAX_DICTIONARY: u32 = 72 << 10;

/// Decompresses.
pub(super) fn open<'a>(form: Form, reader: &'a mut Lookahead<'_>) -> io::Result<Box<dyn Read + 'a>> {
    Ok(match form {
        Form::Bzip2 => Box::new(bzip2::bufread::MultiBzDecoder::new(reader)),
        Form::Gzip => Box::new(flate2::bufread::MultiGzDecoder::new(reader)),
        Form::Xz => Box::new(lzma_rust2::XzReader::new_mem_limit(reader, true, MAX_DICTIONARY)),
        // The library takes windows of up to 128 MiB.
        Form::Zstd => Box::new(zstd::stream::read::Decoder::with_buffer(reader)?),
    })
}
