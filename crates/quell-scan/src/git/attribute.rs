//! From blobs with hits to the commits that introduced them, and whether they can still be reached.
//!
//! A blob at a path is introduced by a commit whose tree has it there while no parent's tree does. It is reachable exactly
//! when a reachable commit introduces it, since every ancestor of a reachable commit is reachable, too.

use std::collections::{BTreeMap, BTreeSet};

use super::cache::Object;
use super::commits::History;
use super::database::Database;
use super::object::{self, TreeEntry};
use super::{Kind, Oid};
use crate::Report;

/// Trees are followed this deep.
const MAX_DEPTH: usize = 256;

/// Places kept at most: a tree that holds itself many times over must not fill the memory.
const MAX_PLACES: usize = 200_000;

/// Trees compared at most, for the same reason.
const MAX_STEPS: u64 = 50_000_000;

/// Where a blob lies, and who brought it there.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Sight {
    /// Position in the history of the oldest commit that introduced it.
    pub(super) first: Option<usize>,
    pub(super) reachable: bool,
    pub(super) current: bool,
}

/// Places of blobs: blob, then path.
pub(super) type Sights = BTreeMap<Oid, BTreeMap<Vec<u8>, Sight>>;

/// Finds the places of the blobs of interest.
pub(super) struct Attribution<'a> {
    pub(super) database: &'a mut Database,
    pub(super) report: &'a mut Report,
    sights: Sights,
    places: usize,
    steps: u64,
    max_steps: u64,
    /// Whether a tree holds a blob of interest, at any depth.
    holds: BTreeMap<Oid, bool>,
    /// Blobs of interest and whether they were asked for.
    interest: BTreeSet<Oid>,
}

/// Who is asking: a commit, or the tree of `HEAD`.
#[derive(Clone, Copy)]
struct View {
    commit: Option<usize>,
    reachable: bool,
    current: bool,
}

impl<'a> Attribution<'a> {
    pub(super) fn new(database: &'a mut Database, report: &'a mut Report, interest: BTreeSet<Oid>) -> Self {
        Self::limited(database, report, interest, MAX_STEPS)
    }

    /// The same with another limit of trees to compare.
    pub(super) fn limited(
        database: &'a mut Database,
        report: &'a mut Report,
        interest: BTreeSet<Oid>,
        max_steps: u64,
    ) -> Self {
        let (sights, holds) = (Sights::new(), BTreeMap::new());
        Self { database, report, sights, places: 0, steps: 0, max_steps, holds, interest }
    }

    /// Walks all commits, then the tree of `HEAD`.
    pub(super) fn run(mut self, history: &History, head: Option<Oid>, bare_tips: &[Object]) -> Sights {
        for (at, commit) in history.commits.iter().enumerate() {
            let parents: Vec<Oid> = commit
                .parents
                .iter()
                .filter_map(|parent| history.find(*parent))
                .map(|(_, parent)| parent.tree)
                .collect();
            let reachable = history.reachable.get(at).copied().unwrap_or(false);
            self.tree(commit.tree, &parents, View { commit: Some(at), reachable, current: false });
        }
        if let Some((_, commit)) = head.and_then(|head| history.find(head)) {
            self.tree(commit.tree, &[], View { commit: None, reachable: true, current: true });
        }
        for tip in bare_tips {
            if let Some(entries) =
                object::tree(&tip.data, self.database.format).filter(|_| tip.kind == Kind::Tree)
            {
                let view = View { commit: None, reachable: true, current: false };
                self.entries(&entries, &[], view, &mut Vec::new(), 0);
            }
        }
        self.sights
    }

    fn tree(&mut self, tree: Oid, parents: &[Oid], view: View) {
        if self.holds(tree, 0) && !parents.contains(&tree) {
            let entries = self.read_tree(tree).unwrap_or_default();
            self.entries(&entries, parents, view, &mut Vec::new(), 0);
        }
    }

    fn entries(
        &mut self,
        entries: &[TreeEntry],
        parents: &[Oid],
        view: View,
        path: &mut Vec<u8>,
        depth: usize,
    ) {
        self.steps += 1;
        if depth > MAX_DEPTH || self.steps > self.max_steps {
            self.report
                .skip("attribution", "the trees are nested too deep or too often; some places are missing");
            return;
        }
        let before: Vec<BTreeMap<Vec<u8>, Oid>> = parents
            .iter()
            .filter_map(|parent| self.read_tree(*parent))
            .map(|entries| entries.into_iter().map(|entry| (entry.name, entry.oid)).collect())
            .collect();
        for entry in entries {
            let wanted =
                if entry.tree { self.holds(entry.oid, depth) } else { self.interest.contains(&entry.oid) };
            let inherited: Vec<Oid> =
                before.iter().filter_map(|names| names.get(&entry.name)).copied().collect();
            if !wanted || inherited.contains(&entry.oid) {
                continue;
            }
            let length = path.len();
            if length > 0 {
                path.push(b'/');
            }
            path.extend_from_slice(&entry.name);
            if !entry.tree {
                self.see(entry.oid, path, view);
            } else if let Some(below) = self.read_tree(entry.oid) {
                // Where a parent has a file of this name, it is no tree to compare with.
                self.entries(&below, &inherited, view, path, depth + 1);
            }
            path.truncate(length);
        }
    }

    fn see(&mut self, blob: Oid, path: &[u8], view: View) {
        let places = self.sights.entry(blob).or_default();
        if !places.contains_key(path) {
            if self.places >= MAX_PLACES {
                self.report.skip("attribution", "there are more than 200000 places; some are missing");
                return;
            }
            self.places += 1;
        }
        let sight = places.entry(path.to_vec()).or_default();
        sight.first = sight.first.or(view.commit);
        sight.reachable |= view.reachable;
        sight.current |= view.current;
    }

    /// Whether a tree holds a blob of interest. Each tree is read once for this.
    fn holds(&mut self, tree: Oid, depth: usize) -> bool {
        if let Some(known) = self.holds.get(&tree) {
            return *known;
        }
        // A forged tree that holds itself ends here.
        self.holds.insert(tree, false);
        if depth > MAX_DEPTH {
            self.report.skip(tree.to_string(), "the tree is nested too deep");
            return false;
        }
        let Some(entries) = self.read_tree(tree) else {
            self.report.skip(
                tree.to_string(),
                "the tree is missing or broken: commits that use it are not attributed",
            );
            return false;
        };
        let mut any = false;
        for entry in entries {
            any |= if entry.tree {
                self.holds(entry.oid, depth + 1)
            } else {
                self.interest.contains(&entry.oid)
            };
        }
        self.holds.insert(tree, any);
        any
    }

    fn read_tree(&mut self, tree: Oid) -> Option<Vec<TreeEntry>> {
        let object = self.database.read(tree).ok().flatten().filter(|object| object.kind == Kind::Tree)?;
        object::tree(&object.data, self.database.format)
    }
}
