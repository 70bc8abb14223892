//! Copies that editors and people leave beside a file.

use std::fs::{self, File, Metadata, OpenOptions};
use std::io::{self, Write as _};
use std::os::unix::fs::{MetadataExt as _, OpenOptionsExt as _};
use std::path::{Path, PathBuf};

use quell_core::secret::SecretValue;
use rustix::fs::OFlags;

use super::dotenv::Dotenv;
use super::place::{Place, read_all};

/// Shorter values are looked for as whole values only: as part of other text they appear by chance.
const SHORTEST_PART: usize = 8;

/// Names under which a copy of `name` is usual: Emacs (`~`, `#…#`), vim (`.swp`, `.swo`, `.swn`, `~`), nano (`.save`),
/// `sed -i.bak`, `patch` (`.orig`, `.rej`), Debian's package manager, and our own unfinished write.
fn names(place: &Place) -> Vec<String> {
    const ENDINGS: [&str; 15] = [
        "~",
        "-",
        ".bak",
        ".backup",
        ".bkp",
        ".old",
        ".orig",
        ".save",
        ".tmp",
        ".copy",
        ".prev",
        ".rej",
        ".1",
        ".dpkg-old",
        ".dpkg-dist",
    ];
    let name = &place.name;
    let mut names: Vec<_> = ENDINGS.iter().map(|ending| format!("{name}{ending}")).collect();
    for ending in [".swp", ".swo", ".swn"] {
        names.push(format!("{name}{ending}"));
        names.push(format!(".{name}{ending}"));
    }
    names.push(format!("#{name}#"));
    names.extend(place.temporary().file_name().and_then(|n| n.to_str()).map(str::to_owned));
    names
}

/// Copies that hold one of `values`, and those that could not be looked at.
#[derive(Debug, Default)]
pub(super) struct Found {
    pub(super) holding: Vec<String>,
    pub(super) unreadable: Vec<String>,
}

/// Looks at every usual name. The file itself is never among them, even if a link makes it look so.
pub(super) fn find(place: &Place, values: &[&SecretValue]) -> Found {
    let current = fs::metadata(&place.file).ok();
    let mut found = Found::default();
    for name in names(place) {
        let path = place.folder.join(&name);
        match look(&path, current.as_ref()) {
            Ok(Some(bytes)) if values.iter().any(|value| holds(&bytes, value)) => found.holding.push(name),
            Ok(_) => {}
            Err(_) => found.unreadable.push(name),
        }
    }
    found
}

/// The content of a regular file that is not the current one.
fn look(path: &Path, current: Option<&Metadata>) -> io::Result<Option<zeroize::Zeroizing<Vec<u8>>>> {
    let metadata = match fs::symlink_metadata(path) {
        Ok(metadata) => metadata,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        Err(error) => return Err(error),
    };
    // A link is not a copy: what it points to is somebody else's file, or ours.
    let ours = current.is_some_and(|c| (c.dev(), c.ino()) == (metadata.dev(), metadata.ino()));
    if !metadata.is_file() || ours {
        return Ok(None);
    }
    read_all(open(path, OpenOptions::new().read(true))?).map(Some)
}

/// Never through a link, and never waiting for a pipe's other end.
fn open(path: &Path, options: &mut OpenOptions) -> io::Result<File> {
    let flags = (OFlags::NOFOLLOW | OFlags::NONBLOCK).bits();
    options.custom_flags(i32::try_from(flags).unwrap_or_default()).open(path)
}

/// Overwrites, flushes and removes one copy.
pub(super) fn destroy(place: &Place, name: &str) -> io::Result<()> {
    let path: PathBuf = place.folder.join(name);
    let mut file = open(&path, OpenOptions::new().write(true))?;
    let metadata = file.metadata()?;
    if metadata.nlink() > 1 {
        return Err(io::Error::new(io::ErrorKind::TooManyLinks, "it has another name too"));
    }
    let zeros = vec![0_u8; usize::try_from(metadata.len()).unwrap_or_default()];
    file.write_all(&zeros)?;
    file.sync_all()?;
    fs::remove_file(&path)?;
    File::open(&place.folder)?.sync_all()
}

/// Is the value in there: as the value of any key, or (if it is long enough not to be chance) anywhere.
pub(super) fn holds(bytes: &[u8], value: &SecretValue) -> bool {
    let needle = value.expose();
    if needle.len() >= SHORTEST_PART && bytes.windows(needle.len()).any(|window| window == needle) {
        return true;
    }
    let Ok(text) = std::str::from_utf8(bytes) else { return false };
    let Ok(file) = Dotenv::parse(text) else { return false };
    file.assignments().iter().any(|a| !needle.is_empty() && file.value(a).as_bytes() == needle)
}
