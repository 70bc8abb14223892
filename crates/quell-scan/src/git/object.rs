//! What commits, trees and tags say: <https://git-scm.com/docs/git-cat-file> and the sources of `git fsck`.

use jiff::Timestamp;

use super::{ObjectFormat, Oid};

/// A commit, as far as attribution needs it.
#[derive(Clone, Debug)]
pub(super) struct Commit {
    pub(super) oid: Oid,
    pub(super) tree: Oid,
    pub(super) parents: Vec<Oid>,
    pub(super) author: String,
    pub(super) authored_at: Option<Timestamp>,
    /// Seconds since 1970 by the committer's clock; orders commits that are no ancestors of each other.
    pub(super) committed_at: i64,
}

/// More parents than this are a mistake or an attack.
const MAX_PARENTS: usize = 1024;

impl Commit {
    /// Reads the headers; `None` when there is no tree.
    pub(super) fn parse(oid: Oid, data: &[u8]) -> Option<Self> {
        let headers = headers_and_message(data).0;
        let mut tree = None;
        let mut commit = Self {
            oid,
            tree: oid,
            parents: Vec::new(),
            author: String::new(),
            authored_at: None,
            committed_at: 0,
        };
        for line in headers.split(|byte| *byte == b'\n') {
            if let Some(name) = line.strip_prefix(b"tree ") {
                tree = tree.or_else(|| oid_of(name));
            } else if let Some(name) = line.strip_prefix(b"parent ") {
                commit.parents.extend(oid_of(name).filter(|_| commit.parents.len() < MAX_PARENTS));
            } else if let Some(person) = line.strip_prefix(b"author ") {
                let (name, seconds) = person_and_time(person);
                commit.author = name;
                commit.authored_at = seconds.and_then(|seconds| Timestamp::from_second(seconds).ok());
            } else if let Some(person) = line.strip_prefix(b"committer ") {
                commit.committed_at = person_and_time(person).1.unwrap_or(0);
            }
        }
        commit.tree = tree?;
        Some(commit)
    }
}

/// The headers and the text of a commit or tag; they are apart by an empty line.
pub(super) fn headers_and_message(data: &[u8]) -> (&[u8], &[u8]) {
    let at = data.windows(2).position(|pair| pair == b"\n\n").unwrap_or(data.len());
    (data.get(..at).unwrap_or_default(), data.get(at.saturating_add(2)..).unwrap_or_default())
}

/// Headers that people can write into: authors, tags that were merged, and whatever else is there. Ids and signatures are
/// left out.
pub(super) fn free_headers(data: &[u8]) -> Vec<u8> {
    const FIXED: [&[u8]; 6] = [b"tree ", b"parent ", b"object ", b"type ", b"gpgsig ", b"gpgsig-sha256 "];
    let mut out = Vec::new();
    let mut free = false;
    for line in headers_and_message(data).0.split_inclusive(|byte| *byte == b'\n') {
        // Lines that go on begin with a space.
        if !line.starts_with(b" ") {
            free = !FIXED.iter().any(|fixed| line.starts_with(fixed));
        }
        if free {
            out.extend_from_slice(line);
        }
    }
    out
}

/// What a tag points to.
pub(super) fn tag_target(data: &[u8]) -> Option<Oid> {
    headers_and_message(data)
        .0
        .split(|byte| *byte == b'\n')
        .find_map(|line| oid_of(line.strip_prefix(b"object ")?))
}

/// What a tree's entry is.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum Mode {
    /// A file or a link.
    Blob,
    /// A commit of another repository (mode 160000).
    Submodule,
    Tree,
}

/// One entry of a tree.
#[derive(Clone, Copy, Debug)]
pub(super) struct Entry<'a> {
    pub(super) name: &'a [u8],
    pub(super) oid: Oid,
    pub(super) mode: Mode,
}

/// A tree is broken from here on.
#[derive(Clone, Copy, Debug)]
pub(super) struct BrokenTree;

/// The entries of a tree in stored order; see [`entries`].
#[derive(Clone, Debug)]
pub(super) struct Entries<'a> {
    rest: &'a [u8],
    format: ObjectFormat,
}

/// The entries of a tree: `<mode> <name>\0<id>` each. Ends after the first broken one.
pub(super) fn entries(data: &[u8], format: ObjectFormat) -> Entries<'_> {
    Entries { rest: data, format }
}

impl<'a> Iterator for Entries<'a> {
    type Item = Result<Entry<'a>, BrokenTree>;

    fn next(&mut self) -> Option<Self::Item> {
        if self.rest.is_empty() {
            return None;
        }
        let entry = self.entry();
        if entry.is_none() {
            self.rest = &[];
        }
        Some(entry.ok_or(BrokenTree))
    }
}

impl<'a> Entries<'a> {
    fn entry(&mut self) -> Option<Entry<'a>> {
        let end = self.rest.iter().position(|byte| *byte == 0)?;
        let (head, after) = self.rest.split_at_checked(end)?;
        let (oid, after) = after.get(1..)?.split_at_checked(self.format.length())?;
        let oid = Oid::from_bytes(oid)?;
        self.rest = after;
        let space = head.iter().position(|byte| *byte == b' ')?;
        let mode = match head.get(..space)? {
            b"40000" | b"040000" => Mode::Tree,
            b"160000" => Mode::Submodule,
            _ => Mode::Blob,
        };
        Some(Entry { name: head.get(space + 1..)?, oid, mode })
    }
}

fn oid_of(name: &[u8]) -> Option<Oid> {
    Oid::from_hex(std::str::from_utf8(name).ok()?.trim_end())
}

/// `Name <address> seconds zone`. The seconds count from 1970 in UTC; the zone only says how the author's clock was set.
fn person_and_time(line: &[u8]) -> (String, Option<i64>) {
    let close = line.iter().rposition(|byte| *byte == b'>').map_or(line.len(), |at| at + 1);
    let (person, rest) = line.split_at_checked(close).unwrap_or((line, b""));
    let seconds =
        std::str::from_utf8(rest).ok().and_then(|rest| rest.split_whitespace().next()?.parse().ok());
    (String::from_utf8_lossy(person).into_owned(), seconds)
}
