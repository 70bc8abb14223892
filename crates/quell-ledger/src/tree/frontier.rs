//! The right edge of a growing tree: all that is needed to add a leaf and to know the root.

use super::{GetNode, Hash, Node, empty_root, node_hash};

/// At most 64 hashes: the full subtrees that make up a log of `size` entries, the largest first.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub struct Frontier {
    size: u64,
    parts: Vec<Hash>,
}

impl Frontier {
    /// The frontier of an empty log.
    pub fn new() -> Self {
        Self::default()
    }

    /// The frontier of a stored log; it asks for the nodes of [`super::needs_root`].
    pub fn load<E>(size: u64, get_node: GetNode<'_, E>) -> Result<Self, E> {
        let mut parts = Vec::new();
        for (level, idx) in super::needs_root(size) {
            parts.push(get_node(level, idx)?);
        }
        Ok(Self { size, parts })
    }

    /// The number of entries.
    pub fn size(&self) -> u64 {
        self.size
    }

    /// Adds a leaf; returns the new full-subtree nodes to store, the leaf first, as [`super::append`] does.
    pub fn push(&mut self, leaf: Hash) -> Vec<Node> {
        let (mut level, mut idx, mut hash) = (0_u8, self.size, leaf);
        let mut nodes = vec![(level, idx, hash)];
        while idx & 1 == 1
            && let Some(left) = self.parts.pop()
        {
            hash = node_hash(&left, &hash);
            level += 1;
            idx >>= 1;
            nodes.push((level, idx, hash));
        }
        self.parts.push(hash);
        self.size += 1;
        nodes
    }

    /// The root of the log so far.
    pub fn root(&self) -> Hash {
        let mut parts = self.parts.iter().rev();
        let Some(last) = parts.next() else { return empty_root() };
        parts.fold(*last, |right, left| node_hash(left, &right))
    }
}
