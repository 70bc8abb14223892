//! The Merkle tree of RFC 6962 §2.1 (the same as RFC 9162 §2.1 with SHA-256).
//!
//! A tree is stored as the hashes of its *full* subtrees: node `(level, idx)` covers the leaves
//! `idx·2^level .. (idx+1)·2^level` and is written once, when its last leaf arrives. Every root and every proof
//! of every earlier size can be computed from them. The functions ask for nodes through `get_node`; a storage
//! that is async asks [`needs_append`], [`needs_root`], [`needs_inclusion`] or [`needs_consistency`] first,
//! fetches those, and answers from memory.

mod frontier;
mod memory;
mod prove;
mod verify;

use crate::encoding::sha256;

pub use frontier::Frontier;
pub use memory::{MemoryTree, NoNode};
pub use prove::{
    append, consistency_proof, inclusion_proof, needs_append, needs_consistency, needs_inclusion, needs_root,
    root,
};
pub use verify::{BadProof, prefix_root, root_from_inclusion, verify_consistency, verify_inclusion};

/// A SHA-256 value.
pub type Hash = [u8; 32];

/// `(level, idx, hash)` of a full subtree; level 0 are the leaves.
pub type Node = (u8, u64, Hash);

/// A question for one stored node: `(level, idx)`.
pub type GetNode<'a, E> = &'a mut dyn FnMut(u8, u64) -> Result<Hash, E>;

/// Why a root or a proof could not be computed.
#[derive(Debug, thiserror::Error)]
pub enum TreeError<E> {
    /// The question makes no sense for this tree.
    #[error("{what} {value} is out of range for a log of {size} entries")]
    Range {
        /// What was asked for: `entry`, `earlier size`.
        what: &'static str,
        /// The value given.
        value: u64,
        /// The size of the tree.
        size: u64,
    },
    /// The storage failed.
    #[error("cannot read a node of the tree: {0}")]
    Node(E),
}

/// Leaf hash: SHA-256(0x00 ‖ record).
pub fn leaf_hash(record: &[u8]) -> Hash {
    sha256(&[&[0], record])
}

/// Inner hash: SHA-256(0x01 ‖ left ‖ right).
pub fn node_hash(left: &Hash, right: &Hash) -> Hash {
    sha256(&[&[1], left, right])
}

/// The root of a log without entries: SHA-256 of nothing.
pub fn empty_root() -> Hash {
    sha256(&[])
}
