//! Trees beside each other: what one holds that others do not have at the same path.

use std::cmp::Ordering;

use super::database::Database;
use super::object::{self, Entry, Mode};
use super::{Kind, ObjectFormat, Oid, Trouble};
use crate::git::cache::Object;

/// Trees are followed this deep.
pub(super) const MAX_DEPTH: usize = 256;

/// The entries of one tree, walked along those of another. Both are in git's order; where a forged tree is not, entries
/// look new, which costs a search and hides nothing.
pub(super) struct Side<'a> {
    entries: std::iter::Peekable<object::Entries<'a>>,
}

impl<'a> Side<'a> {
    pub(super) fn new(tree: &'a Object, format: ObjectFormat) -> Self {
        Self { entries: object::entries(&tree.data, format).peekable() }
    }

    /// The entry with the name and type of `wanted`. Ask in the order of the other tree.
    pub(super) fn find(&mut self, wanted: &Entry<'_>) -> Option<Entry<'a>> {
        loop {
            let next = self.entries.peek().and_then(|entry| entry.as_ref().ok())?;
            match order(next, wanted) {
                Ordering::Less => drop(self.entries.next()),
                Ordering::Equal => return Some(*next),
                Ordering::Greater => return None,
            }
        }
    }
}

/// Git's order: by bytes, a folder as if its name ended in `/`.
fn order(a: &Entry<'_>, b: &Entry<'_>) -> Ordering {
    let tail = |entry: &Entry<'_>| (entry.mode == Mode::Tree).then_some(b'/');
    a.name.iter().copied().chain(tail(a)).cmp(b.name.iter().copied().chain(tail(b)))
}

/// A tree in memory, or why not.
pub(super) fn read(database: &mut Database, tree: Oid) -> Result<Object, String> {
    match database.read(tree) {
        Ok(Some(object)) if object.kind == Kind::Tree => Ok(object),
        Ok(Some(_other)) => Err("it is used as a tree and is none".to_owned()),
        Ok(None) => Err("the tree is not here".to_owned()),
        Err(trouble) => Err(trouble.to_string()),
    }
}

/// Something that a walk over trees meets.
pub(super) enum Met<'a> {
    /// A file or link that is new.
    Blob(Oid),
    /// A commit of another repository.
    Submodule,
    /// A tree that could not be read.
    Unread(Oid, &'a str),
}

/// Walks what `tree` holds and none of `others` has at the same path. Others that cannot be read hide nothing.
pub(super) fn new_in(
    database: &mut Database,
    tree: Oid,
    others: &[Oid],
    met: &mut dyn FnMut(&[u8], Met<'_>),
) {
    let mut walk = Walk { database, met, path: Vec::new(), left: MAX_STEPS };
    if !others.contains(&tree) {
        walk.tree(tree, others, 0);
    }
}

/// Trees walked at most for one commit: one that holds itself many times over must end.
const MAX_STEPS: u64 = 10_000_000;

struct Walk<'a> {
    database: &'a mut Database,
    met: &'a mut dyn FnMut(&[u8], Met<'_>),
    path: Vec<u8>,
    left: u64,
}

impl Walk<'_> {
    fn tree(&mut self, tree: Oid, others: &[Oid], depth: usize) {
        self.left = self.left.saturating_sub(1);
        if depth > MAX_DEPTH || self.left == 0 {
            return (self.met)(&self.path, Met::Unread(tree, "the trees are nested too deep or too often"));
        }
        let object = match read(self.database, tree) {
            Ok(object) => object,
            Err(why) => return (self.met)(&self.path, Met::Unread(tree, &why)),
        };
        let others: Vec<Object> =
            others.iter().filter_map(|other| read(self.database, *other).ok()).collect();
        let format = self.database.format;
        let mut sides: Vec<Side<'_>> = others.iter().map(|other| Side::new(other, format)).collect();
        for entry in object::entries(&object.data, format) {
            let Ok(entry) = entry else {
                return (self.met)(&self.path, Met::Unread(tree, "the tree is broken"));
            };
            let before: Vec<Oid> =
                sides.iter_mut().filter_map(|side| side.find(&entry)).map(|other| other.oid).collect();
            if before.contains(&entry.oid) {
                continue;
            }
            let length = self.path.len();
            if length > 0 {
                self.path.push(b'/');
            }
            self.path.extend_from_slice(entry.name);
            match entry.mode {
                Mode::Blob => (self.met)(&self.path, Met::Blob(entry.oid)),
                Mode::Submodule => (self.met)(&self.path, Met::Submodule),
                Mode::Tree => self.tree(entry.oid, &before, depth.saturating_add(1)),
            }
            self.path.truncate(length);
        }
    }
}

/// The blob or tree at a path below a tree.
pub(super) fn at_path(database: &mut Database, tree: Oid, path: &[u8]) -> Result<Option<Oid>, Trouble> {
    let mut at = tree;
    for name in path.split(|byte| *byte == b'/') {
        let Some(object) = database.read(at)?.filter(|object| object.kind == Kind::Tree) else {
            return Ok(None);
        };
        let found = object::entries(&object.data, database.format)
            .filter_map(Result::ok)
            .find(|entry| entry.name == name && entry.mode != Mode::Submodule);
        match found {
            Some(entry) => at = entry.oid,
            None => return Ok(None),
        }
    }
    Ok(Some(at))
}
