//! What the verification of a log found, in words that name the place.

use std::fmt;

use crate::checkpoint::{Checkpoint, CheckpointError};
use crate::note::VerifierKey;
use crate::rotation::RotationError;

/// Whether somebody outside vouches for the keys.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Trust {
    /// The key given from outside is one of the log's keys, and the later ones follow from it.
    OutsideKey,
    /// Only the log speaks for its own keys: whoever wrote all of it could have made them.
    InternallyConsistent,
}

/// One thing that is wrong with the log.
#[derive(Clone, Debug, Eq, PartialEq, thiserror::Error)]
pub enum Problem {
    /// The record was changed after it was written.
    #[error("entry {seq} was changed: its bytes are not those that the log has a hash of")]
    EntryChanged {
        /// Which.
        seq: u64,
    },
    /// The record is as signed, but the hash stored next to it is not its hash.
    #[error("entry {seq} is as signed, but the leaf hash stored next to it was changed")]
    LeafChanged {
        /// Which.
        seq: u64,
    },
    /// Rows are gone.
    #[error("entries {from} to {to} were removed")]
    Missing {
        /// First missing number.
        from: u64,
        /// Last missing number.
        to: u64,
    },
    /// A row with a number that was there already.
    #[error("row {row} comes where entry {expected} should be: it was added or moved")]
    OutOfOrder {
        /// Its number.
        row: u64,
        /// The number expected.
        expected: u64,
    },
    /// The record says that it belongs elsewhere.
    #[error(
        "the entry in row {seq} calls itself entry {inside}: it was moved, or entries were added or removed before it"
    )]
    WrongPlace {
        /// The row.
        seq: u64,
        /// The number in the record.
        inside: u64,
    },
    /// The record cannot be an entry.
    #[error("entry {seq} is not a canonical entry: {why}")]
    NotAnEntry {
        /// Which.
        seq: u64,
        /// What is wrong with it.
        why: String,
    },
    /// A checkpoint that nobody trusted at that size signed, or that cannot be read.
    #[error("size {size}: {why}")]
    Checkpoint {
        /// The size under which it is stored.
        size: u64,
        /// What is wrong with it.
        why: CheckpointError,
    },
    /// A checkpoint stored under another size than its own.
    #[error("the checkpoint stored for size {row} is of size {inside}")]
    CheckpointSize {
        /// The size under which it is stored.
        row: u64,
        /// The size in it.
        inside: u64,
    },
    /// A checkpoint that was fed too late to be compared.
    #[error(
        "the checkpoint of size {size} was given only after entry {position} was read, so it was not compared"
    )]
    CheckpointLate {
        /// Its size.
        size: u64,
        /// Where the verifier was.
        position: u64,
    },
    /// The records do not hash to what was signed.
    #[error(
        "the checkpoint of size {size} was signed over other entries: among entries {after} to {} at least one was \
         changed, removed, added or moved together with its leaf hash",
        size.saturating_sub(1)
    )]
    Root {
        /// Size of the last checkpoint that was right (0: none).
        after: u64,
        /// Size of this one.
        size: u64,
    },
    /// Nothing can be said about later checkpoints.
    #[error(
        "{count} checkpoint(s) from size {from} on could not be compared because of the problems before them"
    )]
    Unchecked {
        /// The first one's size.
        from: u64,
        /// How many.
        count: u64,
    },
    /// The end was cut off.
    #[error(
        "the log ends before the checkpoint of size {size}: it has only {have} entries, the last ones were removed"
    )]
    EndsBefore {
        /// The checkpoint's size.
        size: u64,
        /// The number of entries.
        have: u64,
    },
    /// Nobody signed the end.
    #[error("{count} entries from number {from} on come after the last good checkpoint: nobody signed them")]
    AfterLastCheckpoint {
        /// The first one.
        from: u64,
        /// How many.
        count: u64,
    },
    /// A log has at least its first entry.
    #[error("the log has no entries")]
    Empty,
    /// A hand-over that does not hold.
    #[error("entry {seq}: {why}")]
    Rotation {
        /// Which entry.
        seq: u64,
        /// What is wrong with it.
        why: RotationError,
    },
    /// A hand-over that the trusted key did not sign.
    #[error(
        "entry {seq} replaces key {old} by {new} without the old key's signature, and no key from outside says that \
         the new one is genuine: verify again with the new key, from its owner"
    )]
    Unvouched {
        /// Which entry.
        seq: u64,
        /// The key that was trusted.
        old: String,
        /// The key that claims to follow.
        new: String,
    },
    /// The key is another log's.
    #[error("the key {key} has another name than the log `{origin}`")]
    KeyName {
        /// The key.
        key: String,
        /// The log.
        origin: String,
    },
    /// The key from outside is not this log's.
    #[error("the key given from outside, {key}, was never a key of this log")]
    OutsideKeyUnused {
        /// The key.
        key: String,
    },
}

/// Something that is not wrong, but that the reader must know.
#[derive(Clone, Debug, Eq, PartialEq, thiserror::Error)]
pub enum Warning {
    /// No key from outside was given.
    #[error(
        "internally consistent only: no key from outside was given, so whoever wrote the log vouches for itself"
    )]
    NoOutsideKey,
    /// The old key was compromised when it was replaced.
    #[error("history before {before} vouched for only by a revoked key ({key})")]
    RevokedKey {
        /// The number of the rotation entry.
        before: u64,
        /// The revoked key.
        key: String,
    },
}

/// The result.
#[derive(Clone, Debug)]
pub struct Findings {
    /// Empty for a log that is as it was signed.
    pub problems: Vec<Problem>,
    /// Further problems that were only counted.
    pub omitted: u64,
    /// What the reader must know all the same.
    pub warnings: Vec<Warning>,
    /// Who vouches for the keys.
    pub trust: Trust,
    /// Entries that were hashed.
    pub entries: u64,
    /// Checkpoints with a right signature.
    pub checkpoints: u64,
    /// The number of the next entry.
    pub size: u64,
    /// The newest checkpoint with a right signature.
    pub last_checkpoint: Option<Checkpoint>,
    /// The key at the end.
    pub key: VerifierKey,
}

impl Findings {
    pub(super) fn new(key: VerifierKey) -> Self {
        Self {
            problems: Vec::new(),
            omitted: 0,
            warnings: Vec::new(),
            trust: Trust::InternallyConsistent,
            entries: 0,
            checkpoints: 0,
            size: 0,
            last_checkpoint: None,
            key,
        }
    }

    /// True when nothing is wrong (warnings may remain).
    pub fn ok(&self) -> bool {
        self.problems.is_empty() && self.omitted == 0
    }
}

impl fmt::Display for Findings {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let verdict = match (self.ok(), self.trust) {
            (false, _) => "FAILED",
            (true, Trust::OutsideKey) => "OK",
            (true, Trust::InternallyConsistent) => "INTERNALLY CONSISTENT ONLY",
        };
        writeln!(
            f,
            "{verdict}: {} entries hashed again, {} checkpoints signed, log of size {}",
            self.entries, self.checkpoints, self.size
        )?;
        self.problems.iter().try_for_each(|problem| writeln!(f, "problem: {problem}"))?;
        if self.omitted > 0 {
            writeln!(f, "problem: {} more problems are not listed", self.omitted)?;
        }
        self.warnings.iter().try_for_each(|warning| writeln!(f, "warning: {warning}"))
    }
}
