//! Verification of proofs, by the algorithms of RFC 9162 §2.1.3.2 and §2.1.4.2.
//! They share no code with the making of proofs.

use super::{Hash, empty_root, node_hash};

/// Why a proof does not hold.
#[derive(Clone, Copy, Debug, Eq, PartialEq, thiserror::Error)]
pub enum BadProof {
    /// There is no such entry.
    #[error("entry {index} is not in a log of {size} entries")]
    NoSuchEntry {
        /// The entry asked about.
        index: u64,
        /// The size of the log.
        size: u64,
    },
    /// The sizes are in the wrong order.
    #[error("a log of {new} entries cannot begin with {old} entries")]
    Shrunk {
        /// The earlier size.
        old: u64,
        /// The later size.
        new: u64,
    },
    /// Too few or too many hashes for these sizes.
    #[error("the proof has {0} hashes, which is not the number for this place and size")]
    Length(usize),
    /// The hashes lead to another root.
    #[error("the proof leads to another root than the one of the checkpoint")]
    Root,
    /// The hashes lead to another root of the earlier log.
    #[error("the proof leads to another root than the one of the earlier checkpoint")]
    OldRoot,
}

/// Checks that `leaf` is entry `index` of the log with this size and root.
pub fn verify_inclusion(
    index: u64,
    size: u64,
    leaf: &Hash,
    proof: &[Hash],
    root: &Hash,
) -> Result<(), BadProof> {
    if root_from_inclusion(index, size, leaf, proof)? == *root { Ok(()) } else { Err(BadProof::Root) }
}

/// The root that an audit path leads to (RFC 9162 §2.1.3.2).
pub fn root_from_inclusion(index: u64, size: u64, leaf: &Hash, proof: &[Hash]) -> Result<Hash, BadProof> {
    walk(index, size, leaf, proof).map(|(root, _)| root)
}

/// The root of the log *before* entry `index`, out of that entry's audit path.
///
/// The left siblings on the path are exactly the full subtrees of the first `index` entries, so a proof of
/// inclusion of a record also proves what the log was when the record was added. `leaf` and `root` make sure
/// that the path is genuine.
pub fn prefix_root(
    index: u64,
    size: u64,
    leaf: &Hash,
    proof: &[Hash],
    root: &Hash,
) -> Result<Hash, BadProof> {
    let (found, before) = walk(index, size, leaf, proof)?;
    if found == *root { Ok(before) } else { Err(BadProof::Root) }
}

fn walk(index: u64, size: u64, leaf: &Hash, proof: &[Hash]) -> Result<(Hash, Hash), BadProof> {
    if index >= size {
        return Err(BadProof::NoSuchEntry { index, size });
    }
    let bad_length = BadProof::Length(proof.len());
    let (mut fnode, mut snode, mut acc) = (index, size - 1, *leaf);
    let mut before = None;
    for sibling in proof {
        if snode == 0 {
            return Err(bad_length);
        }
        if fnode & 1 == 1 || fnode == snode {
            acc = node_hash(sibling, &acc);
            before = Some(before.map_or(*sibling, |right| node_hash(sibling, &right)));
            while fnode & 1 == 0 && fnode != 0 {
                fnode >>= 1;
                snode >>= 1;
            }
        } else {
            acc = node_hash(&acc, sibling);
        }
        fnode >>= 1;
        snode >>= 1;
    }
    if snode == 0 { Ok((acc, before.unwrap_or_else(empty_root))) } else { Err(bad_length) }
}

/// Checks that the log (`new`, `new_root`) begins with the log (`old`, `old_root`) (RFC 9162 §2.1.4.2).
pub fn verify_consistency(
    old: u64,
    new: u64,
    proof: &[Hash],
    old_root: &Hash,
    new_root: &Hash,
) -> Result<(), BadProof> {
    let bad_length = BadProof::Length(proof.len());
    if old > new {
        return Err(BadProof::Shrunk { old, new });
    }
    if old == new || old == 0 {
        if !proof.is_empty() {
            return Err(bad_length);
        }
        let expected = if old == new { *new_root } else { empty_root() };
        return if *old_root == expected { Ok(()) } else { Err(BadProof::OldRoot) };
    }
    // A full earlier tree is its own first node, and is left out of the proof.
    let (first, rest) = if old.is_power_of_two() {
        (*old_root, proof)
    } else {
        proof.split_first().map(|(first, rest)| (*first, rest)).ok_or(bad_length)?
    };
    let (mut fnode, mut snode) = (old - 1, new - 1);
    while fnode & 1 == 1 {
        fnode >>= 1;
        snode >>= 1;
    }
    let (mut old_acc, mut new_acc) = (first, first);
    for hash in rest {
        if snode == 0 {
            return Err(bad_length);
        }
        if fnode & 1 == 1 || fnode == snode {
            old_acc = node_hash(hash, &old_acc);
            new_acc = node_hash(hash, &new_acc);
            while fnode & 1 == 0 && fnode != 0 {
                fnode >>= 1;
                snode >>= 1;
            }
        } else {
            new_acc = node_hash(&new_acc, hash);
        }
        fnode >>= 1;
        snode >>= 1;
    }
    if snode != 0 {
        Err(bad_length)
    } else if old_acc != *old_root {
        Err(BadProof::OldRoot)
    } else if new_acc != *new_root {
        Err(BadProof::Root)
    } else {
        Ok(())
    }
}
