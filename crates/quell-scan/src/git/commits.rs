//! The commits of a repository in parents-first order, and which of them a ref reaches.

use std::cmp::Reverse;
use std::collections::{BTreeMap, BinaryHeap};

use super::Oid;
use super::object::Commit;

/// Commits, oldest first.
#[derive(Debug, Default)]
pub(super) struct History {
    pub(super) commits: Vec<Commit>,
    reachable: Vec<bool>,
    parents: Vec<Vec<usize>>,
    position: BTreeMap<Oid, usize>,
}

impl History {
    /// Orders commits so that parents come first (Kahn), and older ones first where that leaves a choice.
    pub(super) fn new(mut found: Vec<Commit>) -> Self {
        found.sort_by_cached_key(|commit| (commit.committed_at, commit.oid));
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
        let position: BTreeMap<Oid, usize> =
            commits.iter().enumerate().map(|(at, commit)| (commit.oid, at)).collect();
        let parents = commits
            .iter()
            .map(|commit| commit.parents.iter().filter_map(|parent| position.get(parent)).copied().collect())
            .collect();
        Self { reachable: vec![false; commits.len()], parents, commits, position }
    }

    /// Positions of the parents that are here.
    pub(super) fn parents(&self, at: usize) -> &[usize] {
        self.parents.get(at).map(Vec::as_slice).unwrap_or_default()
    }

    pub(super) fn is_reachable(&self, at: usize) -> bool {
        self.reachable.get(at) == Some(&true)
    }

    pub(super) fn unreachable(&self) -> usize {
        self.reachable.iter().filter(|reachable| !**reachable).count()
    }

    pub(super) fn find(&self, oid: Oid) -> Option<(usize, &Commit)> {
        let at = *self.position.get(&oid)?;
        self.commits.get(at).map(|commit| (at, commit))
    }

    /// Marks a commit and all its ancestors.
    pub(super) fn reach(&mut self, tip: usize) {
        let Self { reachable, parents, .. } = self;
        mark(reachable, parents, tip);
    }

    /// The commits that any of these reaches.
    pub(super) fn reached_by(&self, tips: impl IntoIterator<Item = usize>) -> Vec<bool> {
        let mut marks = vec![false; self.commits.len()];
        for tip in tips {
            mark(&mut marks, &self.parents, tip);
        }
        marks
    }

    /// For each group of commits the tips that reach one of it, as positions in `tips`: at most `most`, in order.
    ///
    /// Sixty-four tips go through the history at a time, so that ten thousand cost neither memory nor much time.
    pub(super) fn tips_that_reach(
        &self,
        tips: &[usize],
        groups: &[&[usize]],
        most: usize,
    ) -> Vec<Vec<usize>> {
        let mut found: Vec<Vec<usize>> = vec![Vec::new(); groups.len()];
        let mut first = 0;
        for batch in tips.chunks(64) {
            if found.iter().all(|names| names.len() >= most) {
                break;
            }
            let masks = self.spread(batch);
            for (group, names) in groups.iter().zip(&mut found) {
                let mask = group.iter().filter_map(|at| masks.get(*at)).fold(0, |sum, mask| sum | mask);
                let set =
                    (0..batch.len()).filter(|bit| mask & 1_u64.checked_shl(bit_of(*bit)).unwrap_or(0) != 0);
                let room = most.saturating_sub(names.len());
                names.extend(set.take(room).map(|bit| first + bit));
            }
            first += batch.len();
        }
        found
    }

    /// One bit for each tip, on every commit that it reaches.
    fn spread(&self, batch: &[usize]) -> Vec<u64> {
        let mut masks = vec![0_u64; self.commits.len()];
        for (bit, tip) in batch.iter().enumerate() {
            if let Some(mask) = masks.get_mut(*tip) {
                *mask |= 1_u64.checked_shl(bit_of(bit)).unwrap_or(0);
            }
        }
        // Parents come first, so one pass from the newest to the oldest is enough.
        for at in (0..masks.len()).rev() {
            let mask = masks.get(at).copied().unwrap_or(0);
            if mask != 0 {
                for parent in self.parents(at) {
                    if let Some(other) = masks.get_mut(*parent) {
                        *other |= mask;
                    }
                }
            }
        }
        masks
    }
}

fn bit_of(position: usize) -> u32 {
    u32::try_from(position).unwrap_or(u32::MAX)
}

fn mark(marks: &mut [bool], parents: &[Vec<usize>], tip: usize) {
    let mut stack = vec![tip];
    while let Some(at) = stack.pop() {
        if let Some(mark) = marks.get_mut(at).filter(|mark| !**mark) {
            *mark = true;
            stack.extend(parents.get(at).into_iter().flatten());
        }
    }
}
