//! The one-file form of a bundle: a plain, deterministic `ustar` archive (POSIX.1-1988, IEEE Std 1003.1 `pax`).
//!
//! Exactly one archive exists for a set of files: regular files only, sorted by path, mode 0644, owner and time
//! zero, two zero blocks at the end and nothing after them. The reader rebuilds every header from its name and
//! size and compares, so each byte of the file, padding included, is checked.

use std::collections::BTreeMap;

use crate::encoding::shown;

/// Files by path.
pub type Files = BTreeMap<String, Vec<u8>>;

/// Longest path: the `name` field of the header; the `prefix` field is not used.
pub const MAX_PATH: usize = 100;
/// Largest archive that is read or written: 1 GiB.
pub const MAX_SIZE: usize = 1 << 30;

const BLOCK: usize = 512;

/// `(first byte, length, name)` of the fields of a ustar header.
const FIELDS: [(usize, usize, &str); 17] = [
    (0, 100, "name"),
    (100, 8, "mode"),
    (108, 8, "uid"),
    (116, 8, "gid"),
    (124, 12, "size"),
    (136, 12, "mtime"),
    (148, 8, "checksum"),
    (156, 1, "type"),
    (157, 100, "link name"),
    (257, 6, "magic"),
    (263, 2, "version"),
    (265, 32, "user name"),
    (297, 32, "group name"),
    (329, 8, "device major"),
    (337, 8, "device minor"),
    (345, 155, "prefix"),
    (500, 12, "padding"),
];

/// What is wrong with an archive.
#[derive(Clone, Debug, Eq, PartialEq, thiserror::Error)]
pub enum ArchiveError {
    /// A path that must not be in a bundle.
    #[error("bad path `{path}`: {why}")]
    Path {
        /// The path, cut.
        path: String,
        /// The rule that it breaks.
        why: &'static str,
    },
    /// More than [`MAX_SIZE`].
    #[error("the archive is larger than 1 GiB")]
    TooLarge,
    /// The file ends too early.
    #[error("at byte {offset}: the archive ends in the middle of {what}")]
    Truncated {
        /// Where the missing part begins.
        offset: usize,
        /// Which part.
        what: String,
    },
    /// A header that the writer of this format would not write.
    #[error("at byte {offset}: the header of `{path}` is not canonical in its {field}")]
    Header {
        /// First wrong byte.
        offset: usize,
        /// The path in that header, cut.
        path: String,
        /// The field it is in.
        field: &'static str,
    },
    /// Padding that is not zero.
    #[error("at byte {offset}: the padding after {what} is not zero")]
    Padding {
        /// First wrong byte.
        offset: usize,
        /// What comes before.
        what: String,
    },
    /// A path that comes twice or too late.
    #[error("at byte {offset}: `{path}` is a duplicate or out of order")]
    Order {
        /// The header's place.
        offset: usize,
        /// The path.
        path: String,
    },
    /// Bytes after the end.
    #[error("at byte {offset}: there are bytes after the end of the archive")]
    Trailing {
        /// First byte too many.
        offset: usize,
    },
}

/// Checks that a path is plain, relative and portable: parts of `A-Z a-z 0-9 . _ - + @` joined by `/`.
pub fn check_path(path: &str) -> Result<(), ArchiveError> {
    let bad = |why| Err(ArchiveError::Path { path: shown(path), why });
    let plain = |c: char| c.is_ascii_alphanumeric() || "._-+@/".contains(c);
    if path.len() > MAX_PATH {
        bad("longer than 100 bytes")
    } else if !path.chars().all(plain) {
        bad("only letters, digits and `._-+@/` are allowed")
    } else if path.split('/').any(|part| part.is_empty() || part == "." || part == "..") {
        bad("each part between slashes must be a name, not empty, `.` or `..`")
    } else {
        Ok(())
    }
}

/// Checks every path, and that no file is also the folder of another one.
pub fn check_paths<'a>(paths: impl Iterator<Item = &'a str> + Clone) -> Result<(), ArchiveError> {
    let all: std::collections::BTreeSet<&str> = paths.clone().collect();
    for path in paths {
        check_path(path)?;
        let mut parent = path;
        while let Some((above, _)) = parent.rsplit_once('/') {
            if all.contains(above) {
                return Err(ArchiveError::Path {
                    path: above.to_owned(),
                    why: "it is both a file and a folder",
                });
            }
            parent = above;
        }
    }
    Ok(())
}

/// Writes the archive. The same files always give the same bytes.
pub fn write(files: &Files) -> Result<Vec<u8>, ArchiveError> {
    check_paths(files.keys().map(String::as_str))?;
    let total = files.values().try_fold(2 * BLOCK, |sum, content| {
        sum.checked_add(content.len().checked_next_multiple_of(BLOCK)?)?.checked_add(BLOCK)
    });
    let total = total.filter(|total| *total <= MAX_SIZE).ok_or(ArchiveError::TooLarge)?;
    let mut out = Vec::with_capacity(total);
    for (path, content) in files {
        out.extend_from_slice(&header(path, content.len()));
        out.extend_from_slice(content);
        out.resize(out.len().next_multiple_of(BLOCK), 0);
    }
    out.resize(out.len() + 2 * BLOCK, 0);
    Ok(out)
}

/// Reads an archive that [`write()`] wrote, and nothing else.
pub fn read(bytes: &[u8]) -> Result<Files, ArchiveError> {
    if bytes.len() > MAX_SIZE {
        return Err(ArchiveError::TooLarge);
    }
    let mut files = Files::new();
    let mut at = 0;
    loop {
        let block = part(bytes, at, BLOCK, "a header")?;
        if block.iter().all(|byte| *byte == 0) {
            break;
        }
        let (path, size) = read_header(block, at)?;
        check_path(&path)?;
        if files.last_key_value().is_some_and(|(last, _)| *last >= path) {
            return Err(ArchiveError::Order { offset: at, path });
        }
        at += BLOCK;
        let what = format!("`{path}`");
        let content = part(bytes, at, size, &what)?;
        at += size;
        let padding = part(bytes, at, size.next_multiple_of(BLOCK) - size, &what)?;
        all_zero(padding, at, what)?;
        at += padding.len();
        files.insert(path, content.to_vec());
    }
    all_zero(part(bytes, at, 2 * BLOCK, "the end mark")?, at, "the last file".to_owned())?;
    at += 2 * BLOCK;
    if bytes.len() > at {
        return Err(ArchiveError::Trailing { offset: at });
    }
    check_paths(files.keys().map(String::as_str))?;
    Ok(files)
}

fn part<'a>(bytes: &'a [u8], at: usize, len: usize, what: &str) -> Result<&'a [u8], ArchiveError> {
    let missing = || ArchiveError::Truncated { offset: at.min(bytes.len()), what: what.to_owned() };
    bytes.get(at..).and_then(|rest| rest.get(..len)).ok_or_else(missing)
}

fn all_zero(bytes: &[u8], at: usize, what: String) -> Result<(), ArchiveError> {
    match bytes.iter().position(|byte| *byte != 0) {
        None => Ok(()),
        Some(wrong) => Err(ArchiveError::Padding { offset: at + wrong, what }),
    }
}

/// Name and size of a header, after comparing all 512 bytes with the header that those two make.
fn read_header(block: &[u8], at: usize) -> Result<(String, usize), ArchiveError> {
    let name: Vec<u8> = block.iter().take(MAX_PATH).copied().take_while(|byte| *byte != 0).collect();
    let path = String::from_utf8_lossy(&name).into_owned();
    let wrong =
        |offset: usize, field| ArchiveError::Header { offset: at + offset, path: shown(&path), field };
    let digits = block.get(124..135).and_then(|field| std::str::from_utf8(field).ok()).unwrap_or_default();
    let size = usize::from_str_radix(digits, 8).map_err(|_e| wrong(124, "size"))?;
    if size > MAX_SIZE {
        return Err(ArchiveError::TooLarge);
    }
    let differs = header(&path, size).iter().zip(block).position(|(ours, theirs)| ours != theirs);
    if let Some(offset) = differs {
        let inside = |(start, len, _): &&(usize, usize, &str)| (*start..start + len).contains(&offset);
        let field = FIELDS.iter().find(inside).map_or("padding", |(_, _, field)| field);
        return Err(wrong(offset, field));
    }
    Ok((path, size))
}

fn header(path: &str, size: usize) -> [u8; BLOCK] {
    let mut block = [0; BLOCK];
    put(&mut block, 0, path.as_bytes());
    put(&mut block, 100, b"0000644\0");
    put(&mut block, 108, b"0000000\0");
    put(&mut block, 116, b"0000000\0");
    put(&mut block, 124, format!("{size:011o}\0").as_bytes());
    put(&mut block, 136, b"00000000000\0");
    put(&mut block, 148, b"        ");
    put(&mut block, 156, b"0");
    put(&mut block, 257, b"ustar\x0000");
    put(&mut block, 329, b"0000000\0");
    put(&mut block, 337, b"0000000\0");
    let sum: u32 = block.iter().map(|byte| u32::from(*byte)).sum();
    put(&mut block, 148, format!("{sum:06o}\0 ").as_bytes());
    block
}

fn put(block: &mut [u8; BLOCK], at: usize, bytes: &[u8]) {
    for (to, from) in block.iter_mut().skip(at).zip(bytes) {
        *to = *from;
    }
}
