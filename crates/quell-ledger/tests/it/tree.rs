//! The tree against `ct-merkle` as an independent implementation, and against altered proofs.

use ct_merkle::mem_backed_tree::MemoryBackedTree;
use proptest::prelude::*;
use quell_ledger::tree::{
    self, BadProof, Frontier, Hash, MemoryTree, TreeError, leaf_hash, needs_append, needs_consistency,
    needs_inclusion, needs_root, prefix_root, verify_consistency, verify_inclusion,
};
use sha2::Sha256;

fn record(n: u64) -> Vec<u8> {
    format!("record {n}").into_bytes()
}

fn pair(size: u64) -> (MemoryTree, MemoryBackedTree<Sha256, Vec<u8>>) {
    let (mut ours, mut theirs) = (MemoryTree::new(), MemoryBackedTree::new());
    for n in 0..size {
        ours.push(leaf_hash(&record(n)));
        theirs.push(record(n));
    }
    (ours, theirs)
}

fn bytes(path: &[Hash]) -> Vec<u8> {
    path.concat()
}

#[test]
fn roots_and_proofs_equal_those_of_ct_merkle() {
    for size in 0..70_u64 {
        let (ours, theirs) = pair(size);
        let root = ours.root(size).unwrap();
        assert_eq!(root.as_slice(), theirs.root().as_bytes().as_slice(), "root of {size}");
        for index in 0..size {
            let path = ours.inclusion(index, size).unwrap();
            let at = usize::try_from(index).unwrap();
            assert_eq!(bytes(&path), theirs.prove_inclusion(at).as_bytes(), "entry {index} of {size}");
            verify_inclusion(index, size, &leaf_hash(&record(index)), &path, &root).unwrap();
        }
        for old in 1..size {
            let path = ours.consistency(old, size).unwrap();
            let added = usize::try_from(size - old).unwrap();
            assert_eq!(bytes(&path), theirs.prove_consistency(added).as_bytes(), "{old} to {size}");
            verify_consistency(old, size, &path, &ours.root(old).unwrap(), &root).unwrap();
        }
    }
}

#[test]
fn known_roots_of_rfc_6962_hashing() {
    // SHA-256 of nothing, and of one zero byte (the leaf hash of an empty record).
    assert_eq!(
        hex::encode(tree::empty_root()),
        "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"
    );
    assert_eq!(
        hex::encode(leaf_hash(b"")),
        "6e340b9cffb37a989ca544e6bb780a2c78901d3fb33738768511a30617afa01d"
    );
}

#[test]
fn an_audit_path_also_proves_the_log_before_the_entry() {
    let (ours, _) = pair(70);
    for size in 1..=70 {
        let root = ours.root(size).unwrap();
        for index in 0..size {
            let (leaf, path) = (leaf_hash(&record(index)), ours.inclusion(index, size).unwrap());
            assert_eq!(prefix_root(index, size, &leaf, &path, &root), Ok(ours.root(index).unwrap()));
        }
    }
}

#[test]
fn storage_is_asked_for_exactly_the_announced_nodes() {
    let (ours, _) = pair(70);
    let mut frontier = Frontier::new();
    for size in 0..69 {
        let mut asked = Vec::new();
        let mut get = |level, idx| {
            asked.push((level, idx));
            ours.node(level, idx)
        };
        let leaf = leaf_hash(&record(size));
        let nodes = tree::append(size, &mut get, leaf).unwrap();
        assert_eq!(std::mem::take(&mut asked), needs_append(size));
        assert_eq!(frontier, Frontier::load(size, &mut |level, idx| ours.node(level, idx)).unwrap());
        assert_eq!(nodes, frontier.push(leaf), "the frontier makes the same nodes");
        for (level, idx, hash) in nodes {
            assert_eq!(ours.node(level, idx), Ok(hash));
        }
        assert_eq!(frontier.root(), ours.root(size + 1).unwrap());
    }
    let get = |level, idx| ours.node(level, idx);
    assert!(needs_root(69).iter().all(|(level, idx)| get(*level, *idx).is_ok()));
    assert!(needs_inclusion(5, 69).iter().all(|(level, idx)| get(*level, *idx).is_ok()));
    assert!(needs_consistency(5, 69).iter().all(|(level, idx)| get(*level, *idx).is_ok()));
}

#[test]
fn questions_out_of_range_are_errors() {
    let (ours, _) = pair(5);
    assert!(matches!(ours.inclusion(5, 5), Err(TreeError::Range { value: 5, size: 5, .. })));
    assert!(matches!(ours.consistency(6, 5), Err(TreeError::Range { value: 6, size: 5, .. })));
    assert!(matches!(ours.inclusion(0, 6), Err(TreeError::Node(_))), "node 5 is not stored");
    let (leaf, root) = (leaf_hash(b"x"), [0; 32]);
    let nowhere = BadProof::NoSuchEntry { index: 5, size: 5 };
    assert_eq!(verify_inclusion(5, 5, &leaf, &[], &root), Err(nowhere));
    assert_eq!(verify_consistency(6, 5, &[], &root, &root), Err(BadProof::Shrunk { old: 6, new: 5 }));
    assert_eq!(verify_consistency(5, 5, &[leaf], &root, &root), Err(BadProof::Length(1)));
    assert_eq!(verify_consistency(0, 5, &[], &root, &root), Err(BadProof::OldRoot));
    assert_eq!(verify_consistency(3, 5, &[], &root, &root), Err(BadProof::Length(0)));
}

proptest! {
    #[test]
    fn an_altered_inclusion_proof_fails(size in 1..300_u64, index: u64, at: usize, bit in 0..8_u8, shift in 1..300_u64) {
        let (ours, _) = pair(size);
        let index = index % size;
        let (leaf, root) = (leaf_hash(&record(index)), ours.root(size).unwrap());
        let path = ours.inclusion(index, size).unwrap();
        prop_assert_eq!(verify_inclusion(index, size, &leaf, &path, &root), Ok(()));
        let moved = (index + shift) % size;
        if moved != index {
            prop_assert!(verify_inclusion(moved, size, &leaf, &path, &root).is_err());
        }
        let mut longer = path.clone();
        longer.push(root);
        prop_assert!(verify_inclusion(index, size, &leaf, &longer, &root).is_err());
        if !path.is_empty() {
            prop_assert!(verify_inclusion(index, size, &leaf, &path[1..], &root).is_err());
            let mut flipped = path.clone();
            let at = at % (path.len() * 32);
            flipped[at / 32][at % 32] ^= 1 << bit;
            prop_assert_eq!(verify_inclusion(index, size, &leaf, &flipped, &root), Err(BadProof::Root));
        }
    }

    #[test]
    fn an_altered_consistency_proof_fails(new in 2..300_u64, old: u64, at: usize, bit in 0..8_u8) {
        let (ours, _) = pair(new);
        let old = 1 + old % (new - 1);
        let (first, last) = (ours.root(old).unwrap(), ours.root(new).unwrap());
        let path = ours.consistency(old, new).unwrap();
        prop_assert_eq!(verify_consistency(old, new, &path, &first, &last), Ok(()));
        prop_assert!(verify_consistency(old, new, &path, &last, &first).is_err());
        let mut longer = path.clone();
        longer.push(first);
        prop_assert!(verify_consistency(old, new, &longer, &first, &last).is_err());
        prop_assert!(verify_consistency(old, new, &path[1..], &first, &last).is_err());
        let mut flipped = path.clone();
        let at = at % (path.len() * 32);
        flipped[at / 32][at % 32] ^= 1 << bit;
        prop_assert!(verify_consistency(old, new, &flipped, &first, &last).is_err());
    }

    #[test]
    fn verification_takes_any_input(index: u64, size: u64, path: Vec<Hash>, leaf: Hash) {
        // Only that it returns: nothing made of random hashes can hold.
        prop_assert!(verify_inclusion(index, size, &leaf, &path, &[0; 32]).is_err());
        if index != size {
            prop_assert!(verify_consistency(index, size, &path, &leaf, &[0; 32]).is_err());
        }
    }
}
