//! A small log of an invented installation, with one key rotation.

use quell_ledger::rotation::{OldKey, Rotation};
use quell_ledger::tree::{MemoryTree, leaf_hash};
use quell_ledger::{Checkpoint, SigningKey, VerifierKey, bundle, canonical};
use serde_json::{Value, json};

pub(crate) const ORIGIN: &str = "quell/00000000-test/ledger/1";
pub(crate) const INCIDENT: &str = "INC-2026-0001";
/// Number of the rotation entry.
pub(crate) const ROTATION: u64 = 4;

pub(crate) fn key(seed: u8) -> SigningKey {
    SigningKey::from_seed(ORIGIN, &[seed; 32]).unwrap()
}

#[derive(Clone)]
pub(crate) struct Log {
    pub(crate) entries: Vec<Vec<u8>>,
    pub(crate) tree: MemoryTree,
    /// `(size, note)`, one after each entry.
    pub(crate) checkpoints: Vec<(u64, String)>,
    pub(crate) keys: Vec<VerifierKey>,
}

impl Log {
    /// Entries 0..9, entry 4 hands over from key 1 to key 2; a checkpoint after every entry.
    pub(crate) fn new(compromised: bool) -> Self {
        let (first, second) = (key(1), key(2));
        let mut log = Self {
            entries: Vec::new(),
            tree: MemoryTree::new(),
            checkpoints: Vec::new(),
            keys: vec![first.verifier().clone()],
        };
        for seq in 0..9 {
            let mut signer = &first;
            let mut entry = json!({"actor": "drill", "data": {"text": format!("step {}", seq + 1)}, "incident": INCIDENT, "kind": "note", "seq": seq, "ts": "2026-01-01T00:00:00.000Z"});
            if seq == 2 {
                entry["evidence"] = json!([evidence_ref(b"the log lines\n", "access.log")]);
            }
            if seq == ROTATION {
                let old =
                    if compromised { OldKey::Compromised(first.verifier()) } else { OldKey::Signs(&first) };
                let previous = &log.checkpoints.last().unwrap().1;
                let rotation = Rotation::make(ORIGIN, previous, &old, &second, "yearly change").unwrap();
                entry = json!({"data": rotation.to_data(), "kind": "key.rotation", "seq": seq});
                log.keys.push(second.verifier().clone());
            }
            if seq >= ROTATION {
                signer = &second;
            }
            log.add(&entry, signer);
        }
        log
    }

    pub(crate) fn add(&mut self, entry: &Value, signer: &SigningKey) {
        let bytes = canonical::to_bytes(entry).unwrap();
        self.tree.push(leaf_hash(&bytes));
        self.entries.push(bytes);
        let size = self.tree.size();
        let checkpoint = Checkpoint { origin: ORIGIN.to_owned(), size, root: self.tree.root(size).unwrap() };
        self.checkpoints.push((size, checkpoint.sign(&[signer]).unwrap()));
    }

    /// The bundle of entries 1, 2, 3, 6 under the last checkpoint.
    pub(crate) fn builder(&self) -> bundle::Builder {
        let (size, note) = self.checkpoints.last().unwrap();
        let mut builder = bundle::Builder::new(INCIDENT, ORIGIN, note);
        for seq in [6, 1, 2, 3] {
            builder.entry(seq, self.bytes(seq), self.tree.inclusion(seq, *size).unwrap()).unwrap();
        }
        builder
            .rotation(ROTATION, self.bytes(ROTATION), self.tree.inclusion(ROTATION, *size).unwrap())
            .unwrap()
            .former_keys(self.keys[..self.keys.len() - 1].to_vec());
        builder.evidence(b"the log lines\n".to_vec());
        builder.file("custody.csv", b"seq,who\n1,drill\n".to_vec()).unwrap();
        builder.file("coverage.json", b"{}".to_vec()).unwrap();
        builder.file("report.md", b"# Report\n".to_vec()).unwrap();
        builder.file("verdict.json", b"{\"verdict\":\"cannot tell\"}".to_vec()).unwrap();
        builder
    }

    pub(crate) fn bytes(&self, seq: u64) -> Vec<u8> {
        self.entries[usize::try_from(seq).unwrap()].clone()
    }
}

pub(crate) fn evidence_ref(content: &[u8], name: &str) -> Value {
    use sha2::Digest as _;
    json!({"name": name, "sha256": hex::encode(sha2::Sha256::digest(content)), "size": content.len()})
}
