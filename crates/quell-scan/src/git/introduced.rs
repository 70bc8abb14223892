//! What chosen commits introduced, searched.

use std::collections::{BTreeMap, BTreeSet};

use super::commits::History;
use super::database::Database;
use super::diff::{self, Met};
use super::object::Commit;
use super::search::{self, Found};
use super::{Kind, Oid};
use crate::collect::Collector;
use crate::finding::name_text;
use crate::stream::Searcher;
use crate::unpack::Input;

/// A blob at a path, and the position of the oldest chosen commit that introduced it there.
pub(super) type Places = BTreeMap<(Oid, Vec<u8>), usize>;

/// Searches what commits introduced, each blob once.
pub(super) struct Introduced<'i, 's, 'a> {
    pub(super) database: &'i mut Database,
    pub(super) searcher: &'i Searcher<'s>,
    pub(super) all: &'i mut Collector<'a>,
    pub(super) found: Found,
    pub(super) places: Places,
    done: BTreeSet<Oid>,
    trees: BTreeMap<Oid, Option<Oid>>,
    /// Commits whose parents were cut off on purpose.
    shallow: BTreeSet<Oid>,
}

impl<'i, 's, 'a> Introduced<'i, 's, 'a> {
    pub(super) fn new(
        database: &'i mut Database,
        searcher: &'i Searcher<'s>,
        all: &'i mut Collector<'a>,
        shallow: BTreeSet<Oid>,
    ) -> Self {
        Self {
            database,
            searcher,
            all,
            found: Found::default(),
            places: Places::new(),
            done: BTreeSet::new(),
            trees: BTreeMap::new(),
            shallow,
        }
    }

    /// Searches the commits of a history, oldest first.
    pub(super) fn history(&mut self, history: &History) {
        self.all.expect(history.commits.len());
        self.all.report.commits = u64::try_from(history.commits.len()).unwrap_or(u64::MAX);
        for (at, commit) in history.commits.iter().enumerate() {
            self.message(commit.oid);
            let parents: Vec<Oid> =
                commit.parents.iter().filter_map(|parent| self.tree_of(commit, *parent)).collect();
            self.tree(commit.tree, &parents, at);
            self.all.advance(0, 1);
        }
    }

    /// Searches what `tree` has and `others` have not.
    pub(super) fn tree(&mut self, tree: Oid, others: &[Oid], at: usize) {
        let mut blobs = Vec::new();
        let mut unread = Vec::new();
        diff::new_in(self.database, tree, others, &mut |path, met| match met {
            Met::Blob(oid) => blobs.push((oid, path.to_vec())),
            Met::Submodule => {}
            Met::Unread(oid, why) => unread.push((oid, why.to_owned())),
        });
        for (oid, why) in unread {
            self.all.report.skip(oid.to_string(), why);
        }
        for (oid, path) in blobs {
            self.blob(oid, &path);
            if self.found.blobs.contains_key(&oid) {
                self.places.entry((oid, path)).or_insert(at);
            }
        }
    }

    /// Searches the message of a commit or tag, or a blob that a ref points to.
    pub(super) fn message(&mut self, oid: Oid) {
        if !self.done.insert(oid) {
            return;
        }
        match self.database.read(oid) {
            Ok(Some(object)) => {
                let written = search::written(object.kind, &object.data, self.searcher);
                self.all.advance(u64::try_from(object.data.len()).unwrap_or(0), 0);
                self.found.messages.extend(written.into_iter().map(|(spot, hits)| (oid, spot, hits)));
            }
            Ok(None) => self.all.report.skip(oid.to_string(), "it is not here"),
            Err(trouble) => self.all.report.skip(oid.to_string(), trouble.to_string()),
        }
    }

    pub(super) fn blob(&mut self, oid: Oid, path: &[u8]) {
        if !self.done.insert(oid) {
            return;
        }
        match self.database.read(oid) {
            Ok(Some(object)) if object.kind == Kind::Blob => {
                let (_, parts) = search::inside(oid, Input::Bytes(&object.data), self.searcher, self.all);
                self.all.report.blobs = self.all.report.blobs.saturating_add(1);
                self.all.advance(u64::try_from(object.data.len()).unwrap_or(0), 0);
                self.found.keep(oid, parts, self.searcher);
            }
            Ok(Some(_other)) => self.skip(oid, path, "is used as a file and is none"),
            Ok(None) if self.database.promisor => {
                self.skip(
                    oid,
                    path,
                    "was never fetched into this partial clone; `git fetch --refetch --no-filter` gets it",
                );
            }
            Ok(None) => self.skip(oid, path, "is not here"),
            Err(trouble) => self.skip(oid, path, &trouble.to_string()),
        }
    }

    fn skip(&mut self, oid: Oid, path: &[u8], why: &str) {
        self.all.report.skip(oid.to_string(), format!("`{}` {why}", name_text(path)));
    }

    fn tree_of(&mut self, child: &Commit, parent: Oid) -> Option<Oid> {
        if let Some(tree) = self.trees.get(&parent) {
            return *tree;
        }
        let read = self.database.read(parent).ok().flatten().filter(|object| object.kind == Kind::Commit);
        let tree = read.and_then(|object| Commit::parse(parent, &object.data)).map(|commit| commit.tree);
        if tree.is_none() && !self.shallow.contains(&child.oid) {
            let why = format!("it is a parent of commit {} and cannot be read", child.oid);
            self.all.report.skip(parent.to_string(), why);
        }
        self.trees.insert(parent, tree);
        tree
    }
}
