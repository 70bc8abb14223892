//! A git object database, read without the git program: loose objects, packs, alternates, refs.
//!
//! Every object in the database counts, reachable or not: a commit that was amended away still leaks. Each unique blob is
//! searched once; only blobs with hits are then attributed to commits and paths.
//!
//! Map: `scan` (everything), `chosen` (commits by `revision` and `walk`), `staged` (the index, parsed by `stage`), `received`
//! (a push); `attribute` over `shape` over `ways` and `grow` (who had a blob, and when), `tips` and `tell` (which refs reach it), `survey` (what
//! is not entered), `second` (what git moved meanwhile), `diff` (trees beside each other), `database` (objects by name).

mod attribute;
mod cache;
mod chosen;
mod commits;
mod database;
mod delta;
mod descend;
mod diff;
mod forest;
#[cfg(any(test, feature = "fuzz"))]
pub mod fuzz;
mod grow;
mod index;
mod inflate;
mod introduced;
mod loose;
mod object;
mod pack;
mod places;
mod received;
mod reflog;
mod refs;
mod repository;
mod revision;
mod scan;
mod search;
mod second;
mod shape;
mod stage;
mod staged;
mod survey;
mod tell;
#[cfg(test)]
mod tests;
mod tips;
mod walk;
mod ways;

use std::fmt;

pub(crate) use chosen::scan as scan_selected;
pub(crate) use received::scan as scan_received;
pub(crate) use repository::{Repository, discover, discover_above};
pub(crate) use scan::scan;
pub(crate) use staged::{scan as scan_staged, tracked};

/// An object that is rebuilt in memory may be this large; larger blobs are streamed, which only deltas prevent.
const MAX_IN_MEMORY: u64 = 512 << 20;

/// The hash that names the objects of a repository: <https://git-scm.com/docs/hash-function-transition>.
#[derive(Clone, Copy, Debug, Default, Eq, Hash, Ord, PartialEq, PartialOrd)]
pub(crate) enum ObjectFormat {
    #[default]
    Sha1,
    Sha256,
}

impl ObjectFormat {
    /// Bytes of a name.
    pub(crate) fn length(self) -> usize {
        match self {
            Self::Sha1 => 20,
            Self::Sha256 => Oid::MAX,
        }
    }
}

/// The name of an object: a SHA-1 or a SHA-256. Names of one repository have one length.
#[derive(Clone, Copy, Eq, Hash, Ord, PartialEq, PartialOrd)]
pub(crate) struct Oid {
    bytes: [u8; Self::MAX],
    format: ObjectFormat,
}

impl Oid {
    const MAX: usize = 32;

    /// A name of 20 or 32 bytes.
    pub(crate) fn from_bytes(name: &[u8]) -> Option<Self> {
        let format = match name.len() {
            20 => ObjectFormat::Sha1,
            Self::MAX => ObjectFormat::Sha256,
            _ => return None,
        };
        let mut bytes = [0; Self::MAX];
        bytes.get_mut(..name.len())?.copy_from_slice(name);
        Some(Self { bytes, format })
    }

    pub(crate) fn from_hex(text: &str) -> Option<Self> {
        let mut bytes = [0; Self::MAX];
        let name = bytes.get_mut(..text.len() / 2)?;
        hex::decode_to_slice(text, name).ok()?;
        Self::from_bytes(name)
    }

    pub(crate) fn as_bytes(&self) -> &[u8] {
        self.bytes.get(..self.format.length()).unwrap_or_default()
    }
}

impl fmt::Display for Oid {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&hex::encode(self.as_bytes()))
    }
}

impl fmt::Debug for Oid {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{self}")
    }
}

/// Why an object, pack or index was not read. Never carries content.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Trouble {
    #[error("{0}")]
    Broken(&'static str),
    #[error("declares {0} bytes, more than the limit of {1}")]
    TooLarge(u64, u64),
    #[error("reading failed: {0}")]
    Io(#[from] std::io::Error),
}

/// The four kinds of objects.
#[derive(Clone, Copy, Debug, Eq, Ord, PartialEq, PartialOrd)]
pub(crate) enum Kind {
    Blob,
    Commit,
    Tag,
    Tree,
}

impl Kind {
    fn name(self) -> &'static str {
        match self {
            Self::Blob => "blob",
            Self::Commit => "commit",
            Self::Tag => "tag",
            Self::Tree => "tree",
        }
    }

    fn from_name(name: &[u8]) -> Option<Self> {
        [Self::Blob, Self::Commit, Self::Tag, Self::Tree]
            .into_iter()
            .find(|kind| kind.name().as_bytes() == name)
    }
}
