//! A whole log: each kind of damage is found and named.

use quell_ledger::rotation::{OldKey, Rotation};
use quell_ledger::tree::{Frontier, leaf_hash};
use quell_ledger::verify::{Findings, LogVerifier, Problem, Trust};
use quell_ledger::{Checkpoint, VerifierKey, canonical};
use serde_json::json;

use super::sample::{INCIDENT, Log, ORIGIN, ROTATION, key};

/// What a store holds: `(seq, entry, leaf)` rows and `(size, note)` rows.
#[derive(Clone)]
struct Store {
    rows: Vec<(u64, Vec<u8>, Vec<u8>)>,
    checkpoints: Vec<(u64, String)>,
}

impl Store {
    fn of(log: &Log) -> Self {
        let rows =
            (0..).zip(&log.entries).map(|(seq, bytes)| (seq, bytes.clone(), leaf_hash(bytes).to_vec()));
        Self { rows: rows.collect(), checkpoints: log.checkpoints.clone() }
    }

    fn new() -> Self {
        Self::of(&Log::new(false))
    }

    fn verify(&self, outside: Option<&VerifierKey>) -> Findings {
        let mut verifier = LogVerifier::new(ORIGIN, key(1).verifier().clone(), outside.cloned());
        let mut checkpoints = self.checkpoints.iter().peekable();
        for (at, (seq, bytes, leaf)) in self.rows.iter().enumerate() {
            verifier.entry(*seq, bytes, leaf);
            while let Some((size, note)) = checkpoints.next_if(|(size, _)| *size <= at as u64 + 1) {
                verifier.checkpoint(*size, note.as_bytes());
            }
        }
        for (size, note) in checkpoints {
            verifier.checkpoint(*size, note.as_bytes());
        }
        verifier.finish()
    }

    /// With the first key as the one from outside; the problems, in words.
    fn problems(&self) -> Vec<String> {
        let findings = self.verify(Some(key(1).verifier()));
        assert_eq!(findings.ok(), findings.problems.is_empty());
        findings.problems.iter().map(ToString::to_string).collect()
    }

    fn edit(&mut self, at: usize, from: &str, to: &str) {
        let text = String::from_utf8(self.rows[at].1.clone()).unwrap();
        assert!(text.contains(from));
        self.rows[at].1 = text.replacen(from, to, 1).into_bytes();
    }

    fn rehash(&mut self, at: usize) {
        self.rows[at].2 = leaf_hash(&self.rows[at].1).to_vec();
    }
}

#[test]
fn an_untouched_log_is_in_order() {
    for outside in [key(1), key(2)] {
        let findings = Store::new().verify(Some(outside.verifier()));
        assert!(findings.ok(), "{findings}");
        assert_eq!((findings.entries, findings.checkpoints, findings.trust), (9, 9, Trust::OutsideKey));
        assert_eq!(&findings.key, key(2).verifier(), "the key moved on");
        assert!(findings.warnings.is_empty());
    }
    let findings = Store::new().verify(None);
    assert!(findings.ok() && findings.to_string().starts_with("INTERNALLY CONSISTENT ONLY"), "{findings}");
    let findings = Store::new().verify(Some(key(3).verifier()));
    assert!(findings.to_string().contains("was never a key of this log"), "{findings}");
}

#[test]
fn checkpoints_may_come_in_any_order() {
    let store = Store::new();
    let mut verifier = LogVerifier::new(ORIGIN, key(1).verifier().clone(), None);
    for (size, note) in store.checkpoints.iter().rev() {
        verifier.checkpoint(*size, note.as_bytes());
    }
    for (seq, bytes, leaf) in &store.rows {
        verifier.entry(*seq, bytes, leaf);
    }
    let late = store.checkpoints[2].1.as_bytes();
    verifier.checkpoint(3, late);
    assert_eq!(verifier.finish().problems, [Problem::CheckpointLate { size: 3, position: 9 }]);
}

#[test]
fn any_flipped_byte_of_an_entry_or_leaf_names_it() {
    let mut store = Store::new();
    store.checkpoints.retain(|(size, _)| [4, 9].contains(size)); // each costs a signature check per flip
    for at in 0..store.rows.len() {
        let seq = at as u64;
        for byte in 0..store.rows[at].1.len() {
            let mut changed = store.clone();
            changed.rows[at].1[byte] ^= 1;
            let findings = changed.verify(None);
            assert!(
                findings.problems.contains(&Problem::EntryChanged { seq }),
                "entry {at} byte {byte}: {findings}"
            );
        }
        for byte in 0..32 {
            let mut changed = store.clone();
            changed.rows[at].2[byte] ^= 1;
            assert_eq!(changed.verify(None).problems, [Problem::LeafChanged { seq }]);
        }
    }
}

#[test]
fn any_flipped_byte_of_a_checkpoint_names_it() {
    let store = Store::new();
    for (at, (size, note)) in store.checkpoints.iter().enumerate().step_by(4) {
        for byte in 0..note.len() {
            let mut bytes = note.clone().into_bytes();
            bytes[byte] ^= 1;
            let mut verifier = LogVerifier::new(ORIGIN, key(1).verifier().clone(), None);
            for ((seq, entry, leaf), (other, good)) in store.rows.iter().zip(&store.checkpoints) {
                verifier.entry(*seq, entry, leaf);
                verifier.checkpoint(*other, if other == size { &bytes } else { good.as_bytes() });
            }
            let findings = verifier.finish();
            let named = findings
                .problems
                .iter()
                .any(|p| matches!(p, Problem::Checkpoint { size: s, .. } if s == size));
            assert!(named, "checkpoint {at} byte {byte}: {findings}");
        }
    }
}

#[test]
fn an_entry_rewritten_with_its_leaf_is_narrowed_down() {
    let mut store = Store::new();
    store.edit(5, "drill", "grill");
    store.rehash(5);
    let problems = store.problems();
    assert_eq!(
        problems,
        [
            "the checkpoint of size 6 was signed over other entries: among entries 5 to 5 at least one was changed, \
             removed, added or moved together with its leaf hash",
            "3 checkpoint(s) from size 7 on could not be compared because of the problems before them",
        ]
    );
}

#[test]
fn a_removed_entry_is_named() {
    let mut store = Store::new();
    store.rows.remove(6);
    let problems = store.problems();
    assert_eq!(problems[0], "entries 6 to 6 were removed");
    assert!(problems[1].contains("from size 7 on could not be compared"), "{problems:?}");

    // Renumbering the rows after it does not help, and neither does hashing them again.
    let mut store = Store::new();
    store.rows.remove(6);
    store.rows[6].0 = 6;
    store.rows[7].0 = 7;
    let problems = store.problems();
    assert!(problems[0].starts_with("the entry in row 6 calls itself entry 7"), "{problems:?}");
    assert!(problems.iter().any(|p| p.contains("among entries 6 to 6")), "{problems:?}");
    assert!(problems.iter().any(|p| p.contains("ends before the checkpoint of size 9")), "{problems:?}");
}

#[test]
fn a_cut_off_end_is_named() {
    let mut store = Store::new();
    store.rows.truncate(7);
    assert_eq!(
        store.problems(),
        [8, 9].map(|size| format!(
            "the log ends before the checkpoint of size {size}: it has only 7 entries, the last ones were removed"
        ))
    );
    // With the checkpoints cut off as well, only one that somebody kept shows it.
    let kept = store.checkpoints.split_off(7);
    assert!(store.problems().is_empty());
    store.checkpoints.push(kept[1].clone());
    assert!(store.problems()[0].contains("before the checkpoint of size 9"));
    store.rows.clear();
    store.checkpoints.clear();
    assert_eq!(store.problems(), ["the log has no entries"]);
}

#[test]
fn swapped_and_added_entries_are_named() {
    let mut store = Store::new();
    store.rows.swap(6, 7);
    (store.rows[6].0, store.rows[7].0) = (6, 7);
    let problems = store.problems();
    assert!(problems[0].starts_with("the entry in row 6 calls itself entry 7"), "{problems:?}");
    assert!(
        problems.iter().any(|p| p.starts_with("the entry in row 7 calls itself entry 6")),
        "{problems:?}"
    );

    let mut store = Store::new();
    store.rows.insert(3, store.rows[2].clone());
    assert_eq!(store.problems()[0], "row 2 comes where entry 3 should be: it was added or moved");

    let mut store = Store::new();
    let bytes = canonical::to_bytes(&json!({"kind": "note", "seq": 9})).unwrap();
    store.rows.push((9, bytes.clone(), leaf_hash(&bytes).to_vec()));
    assert_eq!(
        store.problems(),
        ["1 entries from number 9 on come after the last good checkpoint: nobody signed them"]
    );
    store.checkpoints.clear();
    assert!(
        store.problems().iter().any(|p| p.contains("10 entries from number 0 on")),
        "{:?}",
        store.problems()
    );
}

#[test]
fn a_record_that_is_no_entry_is_named() {
    for bytes in ["not json", "[1]", "{\"kind\":\"note\"}", "{\"seq\": 9}", "{\"seq\":9,\"seq\":9}"] {
        let mut log = Log::new(false);
        log.tree.push(leaf_hash(bytes.as_bytes()));
        log.entries.push(bytes.as_bytes().to_vec());
        let checkpoint = Checkpoint { origin: ORIGIN.to_owned(), size: 10, root: log.tree.root(10).unwrap() };
        log.checkpoints.push((10, checkpoint.sign(&[&key(2)]).unwrap()));
        let problems = Store::of(&log).problems();
        assert_eq!(problems.len(), 1, "{problems:?}");
        assert!(problems[0].starts_with("entry 9 is not a canonical entry"), "{problems:?}");
    }
}

#[test]
fn only_the_key_of_that_time_counts() {
    // The old key signs a checkpoint after it was replaced.
    let mut log = Log::new(false);
    log.add(&json!({"kind": "note", "seq": 9}), &key(1));
    let problems = Store::of(&log).problems();
    assert!(problems[0].contains("size 10: checkpoint: not signed by"), "{problems:?}");
    // During the overlap both may sign.
    let mut log = Log::new(false);
    let last = Checkpoint { origin: ORIGIN.to_owned(), size: 9, root: log.tree.root(9).unwrap() };
    log.checkpoints.last_mut().unwrap().1 = last.sign(&[&key(2), &key(1)]).unwrap();
    assert!(Store::of(&log).problems().is_empty());
    // A checkpoint of another log, or stored under another size.
    let other = Checkpoint { origin: "quell/other/ledger/1".to_owned(), ..last };
    log.checkpoints.last_mut().unwrap().1 = other.sign(&[&key(2)]).unwrap();
    assert!(Store::of(&log).problems()[0].contains("it is of the log `quell/other/ledger/1`"));
    log.checkpoints.last_mut().unwrap().1 = log.checkpoints[7].1.clone();
    assert!(Store::of(&log).problems()[0].contains("the checkpoint stored for size 9 is of size 8"));
}

#[test]
fn a_compromised_old_key_is_a_warning_or_a_problem() {
    let store = Store::of(&Log::new(true));
    let findings = store.verify(Some(key(2).verifier()));
    assert!(findings.ok(), "{findings}");
    assert!(
        findings.to_string().contains("history before 4 vouched for only by a revoked key"),
        "{findings}"
    );
    // Who trusts only the old key has no reason to believe the new one: anybody could have written that entry.
    let findings = store.verify(Some(key(1).verifier()));
    assert!(
        findings.problems.iter().any(|p| matches!(p, Problem::Unvouched { seq: ROTATION, .. })),
        "{findings}"
    );
}

#[test]
fn a_rotation_must_be_signed_and_about_this_history() {
    let log = Log::new(false);
    let previous = &log.checkpoints[3].1;
    let (first, second) = (key(1), key(2));
    let good = Rotation::make(ORIGIN, previous, &OldKey::Signs(&first), &second, "r").unwrap();
    let root = log.tree.root(4).unwrap();
    good.verify(ORIGIN, Some(&root), first.verifier()).unwrap();
    let error = |rotation: &Rotation, origin: &str, old: &VerifierKey| {
        rotation.verify(origin, Some(&root), old).unwrap_err().to_string()
    };
    assert!(error(&good, "quell/other", first.verifier()).contains("it is of the log"));
    assert!(error(&good, ORIGIN, second.verifier()).contains("not signed by"));
    assert!(error(&Rotation { seq: 5, ..good.clone() }, ORIGIN, first.verifier()).contains("has size 4"));
    let stolen = Rotation { new_vkey: key(3).verifier().clone(), ..good.clone() };
    assert!(error(&stolen, ORIGIN, first.verifier()).contains("`sig_new`"));
    let forged = Rotation { sig_old: Some(good.sig_new), ..good.clone() };
    assert!(error(&forged, ORIGIN, first.verifier()).contains("`sig_old`"));
    let elsewhere = good.verify(ORIGIN, Some(&[0; 32]), first.verifier()).unwrap_err();
    assert!(elsewhere.to_string().contains("another root"));
    assert!(Rotation::make(ORIGIN, previous, &OldKey::Signs(&second), &first, "r").is_err());
    assert!(Rotation::make(ORIGIN, previous, &OldKey::Signs(&first), &first, "r").is_err(), "the same key");

    let entry =
        |data: serde_json::Value| json!({"data": data, "kind": "key.rotation"}).as_object().unwrap().clone();
    assert_eq!(Rotation::from_entry(&entry(good.to_data())).unwrap(), Some(good.clone()));
    for field in ["seq", "prev_checkpoint", "new_vkey", "reason", "sig_new"] {
        let mut data = good.to_data();
        data.as_object_mut().unwrap().remove(field);
        assert!(Rotation::from_entry(&entry(data)).unwrap_err().to_string().contains(field));
    }
    let mut data = good.to_data();
    data["sig_old"] = json!(null);
    assert!(Rotation::from_entry(&entry(data)).is_err(), "null is not the same as absent");
}

#[test]
fn a_rewritten_and_signed_log_fails_only_against_a_kept_checkpoint() {
    let kept = Log::new(false).checkpoints[6].clone();
    // The holder of both keys writes another history.
    let mut forged = Log::new(false);
    forged.entries.truncate(6);
    forged.tree = quell_ledger::tree::MemoryTree::of_records(forged.entries.iter().map(Vec::as_slice));
    forged.checkpoints.truncate(6);
    for seq in 6..9 {
        forged.add(&json!({"actor": "nobody", "incident": INCIDENT, "kind": "note", "seq": seq}), &key(2));
    }
    let mut store = Store::of(&forged);
    assert!(store.problems().is_empty(), "a signature cannot show it");
    store.checkpoints.insert(7, kept);
    assert!(store.problems()[0].contains("the checkpoint of size 7 was signed over other entries"));
}

#[test]
fn the_end_of_a_log_can_be_verified_from_its_stored_nodes() {
    let log = Log::new(false);
    let store = Store::of(&log);
    let start = Frontier::load(6, &mut |level, idx| log.tree.node(level, idx)).unwrap();
    let run = |start: Frontier| {
        let mut verifier = LogVerifier::resume(ORIGIN, key(2).verifier().clone(), None, start);
        for (seq, bytes, leaf) in &store.rows[6..] {
            verifier.entry(*seq, bytes, leaf);
        }
        verifier.checkpoint(9, store.checkpoints[8].1.as_bytes());
        verifier.finish()
    };
    let findings = run(start);
    assert!(findings.ok() && findings.entries == 3, "{findings}");
    let wrong = Frontier::load(6, &mut |_, _| Ok::<_, std::convert::Infallible>([7; 32])).unwrap();
    assert_eq!(run(wrong).problems, [Problem::Root { after: 6, size: 9 }]);
}

#[test]
fn findings_are_bounded() {
    let mut verifier = LogVerifier::new(ORIGIN, key(1).verifier().clone(), None);
    for seq in 0..5_000 {
        verifier.entry(seq, b"junk", &[0; 32]);
    }
    let findings = verifier.finish();
    assert_eq!(findings.problems.len(), 1_000);
    assert!(!findings.ok() && findings.to_string().contains("more problems are not listed"));
}
