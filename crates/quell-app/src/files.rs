//! Reading files whose size nobody vouches for: a device or a pipe may never end.

use std::fs::File;
use std::io::{Error, ErrorKind, Read};
use std::path::Path;

/// The whole content, or an error if it is more than `most` bytes.
pub fn read(path: &Path, most: u64) -> std::io::Result<Vec<u8>> {
    drain(File::open(path)?, most)
}

/// The same as text.
pub fn read_text(path: &Path, most: u64) -> std::io::Result<String> {
    text_of(File::open(path)?, most)
}

/// The same of something that is open already, such as standard input.
pub fn text_of(source: impl Read, most: u64) -> std::io::Result<String> {
    String::from_utf8(drain(source, most)?)
        .map_err(|_e| Error::new(ErrorKind::InvalidData, "it is not UTF-8 text"))
}

fn drain(source: impl Read, most: u64) -> std::io::Result<Vec<u8>> {
    let mut bytes = Vec::new();
    source.take(most.saturating_add(1)).read_to_end(&mut bytes)?;
    if u64::try_from(bytes.len()).is_ok_and(|length| length > most) {
        return Err(Error::new(ErrorKind::FileTooLarge, format!("larger than {most} bytes")));
    }
    Ok(bytes)
}
