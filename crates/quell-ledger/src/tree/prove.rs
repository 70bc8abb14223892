//! Roots and proofs from stored nodes.

use super::{GetNode, Hash, Node, TreeError, empty_root, node_hash};

/// Adds `leaf` as entry number `size`. Returns the new full-subtree nodes to store, the leaf first.
///
/// `get_node` is asked for left siblings only. In a batch it must also know the nodes of the earlier appends of
/// the same batch; [`super::Frontier`] does that without any storage.
pub fn append<E>(size: u64, get_node: GetNode<'_, E>, leaf: Hash) -> Result<Vec<Node>, E> {
    let (mut level, mut idx, mut hash) = (0_u8, size, leaf);
    let mut nodes = vec![(level, idx, hash)];
    while idx & 1 == 1 {
        hash = node_hash(&get_node(level, idx - 1)?, &hash);
        level += 1;
        idx >>= 1;
        nodes.push((level, idx, hash));
    }
    Ok(nodes)
}

/// The root of the first `size` entries.
pub fn root<E>(size: u64, get_node: GetNode<'_, E>) -> Result<Hash, E> {
    if size == 0 { Ok(empty_root()) } else { subtree(0, size, get_node) }
}

/// The audit path of entry `index` in the log of `size` entries (RFC 6962 §2.1.1), from the leaf's sibling up.
pub fn inclusion_proof<E>(
    index: u64,
    size: u64,
    get_node: GetNode<'_, E>,
) -> Result<Vec<Hash>, TreeError<E>> {
    if index >= size {
        return Err(TreeError::Range { what: "entry", value: index, size });
    }
    let (mut start, mut len) = (0, size);
    let mut path = Vec::new();
    while len > 1 {
        let left = left_size(len);
        if index - start < left {
            path.push(subtree(start + left, len - left, get_node).map_err(TreeError::Node)?);
            len = left;
        } else {
            path.push(subtree(start, left, get_node).map_err(TreeError::Node)?);
            start += left;
            len -= left;
        }
    }
    path.reverse();
    Ok(path)
}

/// The proof that the log of `new` entries begins with the log of `old` entries (RFC 6962 §2.1.2).
/// It is empty for `old == new` and for `old == 0`.
pub fn consistency_proof<E>(old: u64, new: u64, get_node: GetNode<'_, E>) -> Result<Vec<Hash>, TreeError<E>> {
    if old > new {
        return Err(TreeError::Range { what: "earlier size", value: old, size: new });
    }
    if old == 0 || old == new {
        return Ok(Vec::new());
    }
    let (mut start, mut len) = (0, new);
    let mut path = Vec::new();
    // SUBPROOF(m, D, b): `rest` is m; b is "no left part was split off yet", that is `start == 0`.
    let mut rest = old;
    while rest != len {
        let left = left_size(len);
        if rest <= left {
            path.push(subtree(start + left, len - left, get_node).map_err(TreeError::Node)?);
            len = left;
        } else {
            path.push(subtree(start, left, get_node).map_err(TreeError::Node)?);
            start += left;
            len -= left;
            rest -= left;
        }
    }
    if start != 0 {
        path.push(subtree(start, len, get_node).map_err(TreeError::Node)?);
    }
    path.reverse();
    Ok(path)
}

/// The nodes that [`append`] will ask for.
pub fn needs_append(size: u64) -> Vec<(u8, u64)> {
    recorded(|get| append(size, get, [0; 32]))
}

/// The nodes that [`root`] will ask for.
pub fn needs_root(size: u64) -> Vec<(u8, u64)> {
    recorded(|get| root(size, get))
}

/// The nodes that [`inclusion_proof`] will ask for.
pub fn needs_inclusion(index: u64, size: u64) -> Vec<(u8, u64)> {
    recorded(|get| inclusion_proof(index, size, get))
}

/// The nodes that [`consistency_proof`] will ask for.
pub fn needs_consistency(old: u64, new: u64) -> Vec<(u8, u64)> {
    recorded(|get| consistency_proof(old, new, get))
}

/// Runs a computation on zeroes and notes what it read: which nodes are read depends on sizes only.
fn recorded<R>(run: impl FnOnce(GetNode<'_, std::convert::Infallible>) -> R) -> Vec<(u8, u64)> {
    let mut asked = Vec::new();
    let _zeroes = run(&mut |level, idx| {
        asked.push((level, idx));
        Ok([0; 32])
    });
    asked
}

/// The largest power of two below `len` (RFC 6962's k). `len` is at least 2.
fn left_size(len: u64) -> u64 {
    1 << (len - 1).ilog2()
}

/// The hash over `len` leaves from `start`; `start` is a multiple of the largest power of two in `len`.
fn subtree<E>(start: u64, len: u64, get_node: GetNode<'_, E>) -> Result<Hash, E> {
    // Full subtrees from left to right, then folded from the right: a lone node is promoted.
    let (mut at, mut parts) = (start, Vec::new());
    let end = start + len;
    while at < end {
        let log = (end - at).ilog2();
        let level = u8::try_from(log).unwrap_or(63);
        parts.push(get_node(level, at >> log)?);
        at += 1 << log;
    }
    let mut parts = parts.into_iter().rev();
    let last = parts.next().unwrap_or_else(empty_root);
    Ok(parts.fold(last, |right, left| node_hash(&left, &right)))
}
