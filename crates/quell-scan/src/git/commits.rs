//! The commits of a repository in parents-first order, and which of them a ref reaches.

use std::cmp::Reverse;
use std::collections::{BTreeMap, BinaryHeap};

use super::Oid;
use super::object::Commit;

/// Commits, oldest first.
#[derive(Debug, Default)]
pub(super) struct History {
    pub(super) commits: Vec<Commit>,
    pub(super) reachable: Vec<bool>,
    position: BTreeMap<Oid, usize>,
}

impl History {
    /// Orders commits so that parents come first (Kahn), and older ones first where that leaves a choice.
    pub(super) fn new(mut found: Vec<Commit>) -> Self {
        found.sort_by_key(|commit| (commit.committed_at, commit.oid));
        found.dedup_by_key(|commit| commit.oid);
        let by_age: BTreeMap<Oid, usize> =
            found.iter().enumerate().map(|(at, commit)| (commit.oid, at)).collect();
        let mut waiting_for = vec![0_usize; found.len()];
        let mut children: Vec<Vec<usize>> = vec![Vec::new(); found.len()];
        for (at, commit) in found.iter().enumerate() {
            for parent in commit.parents.iter().filter_map(|parent| by_age.get(parent)) {
                if let (Some(count), Some(list)) = (waiting_for.get_mut(at), children.get_mut(*parent)) {
                    *count += 1;
                    list.push(at);
                }
            }
        }
        let mut ready: BinaryHeap<Reverse<usize>> = waiting_for
            .iter()
            .enumerate()
            .filter(|(_, count)| **count == 0)
            .map(|(at, _)| Reverse(at))
            .collect();
        let mut order = Vec::with_capacity(found.len());
        while let Some(Reverse(at)) = ready.pop() {
            order.push(at);
            for child in children.get(at).into_iter().flatten() {
                if let Some(count) = waiting_for.get_mut(*child) {
                    *count = count.saturating_sub(1);
                    if *count == 0 {
                        ready.push(Reverse(*child));
                    }
                }
            }
        }
        // Only a forged database has cycles; its commits come last.
        order.extend(waiting_for.iter().enumerate().filter(|(_, count)| **count > 0).map(|(at, _)| at));
        let mut slots: Vec<Option<Commit>> = found.into_iter().map(Some).collect();
        let commits: Vec<Commit> =
            order.into_iter().filter_map(|at| slots.get_mut(at).and_then(Option::take)).collect();
        let position = commits.iter().enumerate().map(|(at, commit)| (commit.oid, at)).collect();
        Self { reachable: vec![false; commits.len()], commits, position }
    }

    pub(super) fn find(&self, oid: Oid) -> Option<(usize, &Commit)> {
        let at = *self.position.get(&oid)?;
        self.commits.get(at).map(|commit| (at, commit))
    }

    pub(super) fn contains_reachable(&self, oid: Oid) -> bool {
        self.position.get(&oid).and_then(|at| self.reachable.get(*at)).copied().unwrap_or(false)
    }

    /// Marks a commit and all its ancestors.
    pub(super) fn reach(&mut self, tip: Oid) {
        let mut stack = vec![tip];
        while let Some(oid) = stack.pop() {
            let Some(at) = self.position.get(&oid) else { continue };
            let Some(mark) = self.reachable.get_mut(*at).filter(|mark| !**mark) else { continue };
            *mark = true;
            stack.extend(self.commits.get(*at).map(|commit| commit.parents.as_slice()).unwrap_or_default());
        }
    }
}
