//! A git object database, read without the git program: loose objects, packs, alternates, refs.
//!
//! Every object in the database counts, reachable or not: a commit that was amended away still leaks. Each unique blob is
//! searched once; only blobs with hits are then attributed to commits and paths.

mod attribute;
mod cache;
mod commits;
mod database;
mod delta;
mod index;
mod inflate;
mod loose;
mod object;
mod pack;
mod refs;
mod repository;
mod scan;
#[cfg(test)]
mod tests;

use std::fmt;

pub(crate) use repository::{Repository, discover};
pub(crate) use scan::scan;

/// An object that is rebuilt in memory may be this large; larger blobs are streamed, which only deltas prevent.
const MAX_IN_MEMORY: u64 = 512 << 20;

/// The SHA-1 name of an object.
#[derive(Clone, Copy, Eq, Ord, PartialEq, PartialOrd)]
pub(crate) struct Oid([u8; 20]);

impl Oid {
    pub(crate) fn from_bytes(bytes: &[u8]) -> Option<Self> {
        bytes.try_into().ok().map(Self)
    }

    pub(crate) fn from_hex(text: &str) -> Option<Self> {
        let mut bytes = [0; 20];
        hex::decode_to_slice(text, &mut bytes).ok()?;
        Some(Self(bytes))
    }
}

impl fmt::Display for Oid {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&hex::encode(self.0))
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
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
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
