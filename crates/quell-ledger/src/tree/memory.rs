//! A whole tree in memory, for tests and for verifiers that re-hash everything.

use super::{Hash, TreeError, append, consistency_proof, inclusion_proof, root};

/// Every full-subtree node, by level.
#[derive(Clone, Debug, Default)]
pub struct MemoryTree {
    levels: Vec<Vec<Hash>>,
}

/// The node asked for does not exist in this tree.
#[derive(Clone, Copy, Debug, Eq, PartialEq, thiserror::Error)]
#[error("the tree has no node {idx} at level {level}")]
pub struct NoNode {
    level: u8,
    idx: u64,
}

impl MemoryTree {
    /// A tree without leaves.
    pub fn new() -> Self {
        Self::default()
    }

    /// A tree over these records.
    pub fn of_records<'a>(records: impl IntoIterator<Item = &'a [u8]>) -> Self {
        let mut tree = Self::new();
        for record in records {
            tree.push(super::leaf_hash(record));
        }
        tree
    }

    /// The number of leaves.
    pub fn size(&self) -> u64 {
        self.levels.first().and_then(|leaves| u64::try_from(leaves.len()).ok()).unwrap_or(0)
    }

    /// Adds a leaf.
    pub fn push(&mut self, leaf: Hash) {
        // The left siblings exist by construction, so the error is impossible and nothing is lost by ignoring it.
        let nodes = append(self.size(), &mut |level, idx| self.node(level, idx), leaf).unwrap_or_default();
        for (level, _, hash) in nodes {
            let level = usize::from(level);
            if self.levels.len() <= level {
                self.levels.resize_with(level + 1, Vec::new);
            }
            if let Some(row) = self.levels.get_mut(level) {
                row.push(hash);
            }
        }
    }

    /// One stored node.
    pub fn node(&self, level: u8, idx: u64) -> Result<Hash, NoNode> {
        usize::try_from(idx)
            .ok()
            .and_then(|at| self.levels.get(usize::from(level))?.get(at).copied())
            .ok_or(NoNode { level, idx })
    }

    /// The root of the first `size` leaves.
    pub fn root(&self, size: u64) -> Result<Hash, NoNode> {
        root(size, &mut |level, idx| self.node(level, idx))
    }

    /// The audit path of leaf `index` in the tree of the first `size` leaves.
    pub fn inclusion(&self, index: u64, size: u64) -> Result<Vec<Hash>, TreeError<NoNode>> {
        inclusion_proof(index, size, &mut |level, idx| self.node(level, idx))
    }

    /// The consistency proof from the first `old` to the first `new` leaves.
    pub fn consistency(&self, old: u64, new: u64) -> Result<Vec<Hash>, TreeError<NoNode>> {
        consistency_proof(old, new, &mut |level, idx| self.node(level, idx))
    }
}
