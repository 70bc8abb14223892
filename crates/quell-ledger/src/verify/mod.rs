//! Verification of a whole log, entry by entry, in bounded memory.
//!
//! Every record is hashed again (roots that only agree with each other prove nothing about the records), every
//! checkpoint is compared with the root so computed and must be signed by the key that the log had at that size.

mod findings;

use std::collections::BTreeMap;

use serde_json::Value;

use crate::canonical;
use crate::checkpoint::Checkpoint;
use crate::note::VerifierKey;
use crate::rotation::{Rotation, Vouched};
use crate::tree::{Frontier, Hash, leaf_hash};

pub use findings::{Findings, Problem, Trust, Warning};

/// Findings that are kept; more are only counted, so that a ruined log cannot fill the memory.
const MAX_FINDINGS: usize = 1_000;

/// Feed it entries in order and checkpoints in any order (best: each after its last entry), then [`Self::finish`].
///
/// A checkpoint that somebody else kept is fed like a stored one; it is what shows a log that was rewritten and
/// signed again by the holder of the key.
#[derive(Debug)]
pub struct LogVerifier {
    origin: String,
    key: VerifierKey,
    outside: Option<VerifierKey>,
    outside_seen: bool,
    /// Number that the next entry must have.
    next: u64,
    /// The tree over what the records hash to. `None` once its root cannot be known any more.
    tree: Option<Frontier>,
    /// The tree over the stored leaf hashes, from the first place on where they differ from `tree`.
    stored: Option<Frontier>,
    /// Entries since the last good checkpoint whose stored leaf is not their hash.
    suspects: Vec<u64>,
    /// Checkpoints of sizes not reached yet.
    waiting: BTreeMap<u64, Vec<String>>,
    /// `(first size, how many)` checkpoints that could not be compared with a root.
    unchecked: Option<(u64, u64)>,
    /// Size of the last checkpoint whose root and signature were right.
    good: u64,
    findings: Findings,
}

impl LogVerifier {
    /// A verifier for the log `origin`, whose first key is `first_key`.
    ///
    /// `outside` is a key that the person who verifies holds from elsewhere: the first key or a later one. Without
    /// it the result is at best [`Trust::InternallyConsistent`].
    pub fn new(origin: &str, first_key: VerifierKey, outside: Option<VerifierKey>) -> Self {
        Self::resume(origin, first_key, outside, Frontier::new())
    }

    /// The same for the end of a log: `start` is the frontier (of stored nodes) at a size where the log is believed
    /// and `key` the key at that size. Checks only what comes after; the first checkpoint shows whether the
    /// stored nodes are right.
    pub fn resume(origin: &str, key: VerifierKey, outside: Option<VerifierKey>, start: Frontier) -> Self {
        let mut this = Self {
            origin: origin.to_owned(),
            outside_seen: outside.as_ref() == Some(&key),
            next: start.size(),
            good: start.size(),
            tree: Some(start),
            stored: None,
            suspects: Vec::new(),
            waiting: BTreeMap::new(),
            unchecked: None,
            findings: Findings::new(key.clone()),
            key,
            outside,
        };
        if this.key.name() != origin {
            this.problem(Problem::KeyName { key: this.key.short(), origin: origin.to_owned() });
        }
        this
    }

    /// The next row: its number, its bytes and the leaf hash stored next to it.
    pub fn entry(&mut self, row_seq: u64, bytes: &[u8], stored_leaf: &[u8]) {
        if row_seq < self.next {
            // A second row with a number that was there already. It is not part of the tree.
            self.problem(Problem::OutOfOrder { row: row_seq, expected: self.next });
            return;
        }
        if row_seq > self.next {
            self.problem(Problem::Missing { from: self.next, to: row_seq - 1 });
            self.flush_suspects();
            self.tree = None;
            self.next = row_seq;
        }
        self.due();
        self.content(row_seq, bytes);
        let leaf = leaf_hash(bytes);
        let same = leaf.as_slice() == stored_leaf;
        if !same {
            if self.stored.is_none() {
                self.stored.clone_from(&self.tree);
            }
            if self.suspects.len() < MAX_FINDINGS {
                self.suspects.push(row_seq);
            } else {
                self.findings.omitted += 1;
            }
        }
        if let Some(stored) = &mut self.stored {
            stored.push(Hash::try_from(stored_leaf).unwrap_or([0; 32]));
        }
        if let Some(tree) = &mut self.tree {
            tree.push(leaf);
        }
        self.findings.entries += 1;
        self.next = self.next.saturating_add(1);
        self.due();
    }

    /// A checkpoint: the size under which it is stored, and its note.
    pub fn checkpoint(&mut self, size: u64, note: &[u8]) {
        let Ok(note) = std::str::from_utf8(note) else {
            let why = crate::checkpoint::CheckpointError::NotText;
            self.problem(Problem::Checkpoint { size, why });
            return;
        };
        if size < self.next && self.tree.is_none() {
            // Behind a gap the numbers of the rows run ahead of those who count them.
            self.not_compared(size);
            return;
        }
        if size < self.next {
            self.problem(Problem::CheckpointLate { size, position: self.next });
            return;
        }
        self.waiting.entry(size).or_default().push(note.to_owned());
        self.due();
    }

    /// All entries and checkpoints were fed.
    pub fn finish(mut self) -> Findings {
        self.due();
        for size in std::mem::take(&mut self.waiting).into_keys() {
            self.problem(Problem::EndsBefore { size, have: self.next });
        }
        self.flush_suspects();
        if self.next == 0 {
            self.problem(Problem::Empty);
        }
        if let Some((from, count)) = self.unchecked {
            self.problem(Problem::Unchecked { from, count });
        }
        let covered = self.findings.last_checkpoint.as_ref().map_or(self.good, |last| last.size);
        if self.next > covered {
            self.problem(Problem::AfterLastCheckpoint { from: covered, count: self.next - covered });
        }
        match &self.outside {
            None => self.findings.warnings.push(Warning::NoOutsideKey),
            Some(key) if !self.outside_seen => {
                let key = key.short();
                self.problem(Problem::OutsideKeyUnused { key });
            }
            Some(_) => self.findings.trust = Trust::OutsideKey,
        }
        self.findings.size = self.next;
        self.findings.key = self.key;
        self.findings
    }

    /// What the record itself says: its number, and whether it moves the trust to another key.
    fn content(&mut self, seq: u64, bytes: &[u8]) {
        let entry = match canonical::parse_object(bytes) {
            Ok(entry) => entry,
            Err(why) => return self.problem(Problem::NotAnEntry { seq, why: why.to_string() }),
        };
        match entry.get("seq").and_then(Value::as_u64) {
            Some(inside) if inside == seq => {}
            Some(inside) => return self.problem(Problem::WrongPlace { seq, inside }),
            None => {
                return self.problem(Problem::NotAnEntry { seq, why: "it has no number `seq`".to_owned() });
            }
        }
        match Rotation::from_entry(&entry) {
            Ok(None) => {}
            Ok(Some(rotation)) => self.rotate(seq, rotation),
            Err(why) => self.problem(Problem::Rotation { seq, why }),
        }
    }

    fn rotate(&mut self, seq: u64, rotation: Rotation) {
        if rotation.seq != seq {
            return self.problem(Problem::WrongPlace { seq, inside: rotation.seq });
        }
        // When records were changed before this entry, the root of the stored leaves may still be the signed one.
        let roots = [&self.tree, &self.stored].map(|tree| tree.as_ref().map(Frontier::root));
        let [first, second] = roots;
        let mut result = rotation.verify(&self.origin, first.as_ref(), &self.key);
        if result.is_err() && second.is_some() {
            result = rotation.verify(&self.origin, second.as_ref(), &self.key);
        }
        match result {
            Err(why) => return self.problem(Problem::Rotation { seq, why }),
            Ok(Vouched::ByBoth) => {}
            Ok(Vouched::ByNewKeyOnly) => {
                // Without the old key's word only somebody outside can say that the new key is the owner's.
                let known = self.outside.as_ref() == Some(&rotation.new_vkey);
                if self.outside_seen && !known {
                    let (old, new) = (self.key.short(), rotation.new_vkey.short());
                    self.problem(Problem::Unvouched { seq, old, new });
                }
                self.findings.warnings.push(Warning::RevokedKey { before: seq, key: self.key.short() });
            }
        }
        self.key = rotation.new_vkey;
        self.outside_seen |= self.outside.as_ref() == Some(&self.key);
    }

    /// Checks the checkpoints whose size is reached.
    fn due(&mut self) {
        while let Some(first) = self.waiting.first_entry()
            && *first.key() <= self.next
        {
            let (size, notes) = first.remove_entry();
            for note in notes {
                self.check(size, &note);
            }
        }
    }

    fn check(&mut self, size: u64, note: &str) {
        let checkpoint = match Checkpoint::open(note, &self.origin, &[&self.key]) {
            Ok(checkpoint) => checkpoint,
            Err(why) => return self.problem(Problem::Checkpoint { size, why }),
        };
        if checkpoint.size != size {
            return self.problem(Problem::CheckpointSize { row: size, inside: checkpoint.size });
        }
        self.findings.checkpoints += 1;
        if let Some(tree) = self.tree.as_ref().filter(|tree| tree.size() == size) {
            if tree.root() == checkpoint.root {
                for seq in std::mem::take(&mut self.suspects) {
                    self.problem(Problem::LeafChanged { seq });
                }
                (self.stored, self.good) = (None, size);
            } else if let Some(stored) = self.stored.take_if(|stored| stored.root() == checkpoint.root) {
                // The stored leaves are what was signed: exactly the suspects were changed. Go on from there.
                self.flush_suspects();
                (self.tree, self.good) = (Some(stored), size);
            } else {
                self.flush_suspects();
                self.problem(Problem::Root { after: self.good, size });
                self.tree = None;
            }
        } else {
            self.not_compared(size);
        }
        self.findings.last_checkpoint = Some(checkpoint);
    }

    fn not_compared(&mut self, size: u64) {
        self.unchecked =
            self.unchecked.map_or(Some((size, 1)), |(from, count)| Some((from.min(size), count + 1)));
    }

    fn flush_suspects(&mut self) {
        for seq in std::mem::take(&mut self.suspects) {
            self.problem(Problem::EntryChanged { seq });
        }
        self.stored = None;
    }

    fn problem(&mut self, problem: Problem) {
        if self.findings.problems.len() < MAX_FINDINGS {
            self.findings.problems.push(problem);
        } else {
            self.findings.omitted += 1;
        }
    }
}
