//! Checkpoints: the signed size and root of a log, as in C2SP `tlog-checkpoint`
//! (<https://c2sp.org/tlog-checkpoint>).
//!
//! ```text
//! quell/<install-id>/ledger/1
//! <size>
//! <base64 of the root>
//!
//! — quell/<install-id>/ledger/1 <signature>
//! ```
//!
//! Extension lines are refused: this log writes none, and C2SP recommends against them.

use crate::encoding::{b64, decimal, shown, unb64_array};
use crate::note::{Note, NoteError, SigningKey, VerifierKey};
use crate::tree::Hash;

/// The head of a log at one size.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Checkpoint {
    /// Which log: also the name of the key that signs.
    pub origin: String,
    /// Number of entries.
    pub size: u64,
    /// RFC 6962 root over them.
    pub root: Hash,
}

/// What is wrong with a checkpoint.
#[derive(Clone, Debug, Eq, PartialEq, thiserror::Error)]
pub enum CheckpointError {
    /// The note around it, or its signature.
    #[error("checkpoint: {0}")]
    Note(#[from] NoteError),
    /// The text is not a checkpoint.
    #[error("checkpoint: line {line}: {why}")]
    Body {
        /// Counted from 1.
        line: usize,
        /// What is wrong with it.
        why: &'static str,
    },
    /// It belongs to another log.
    #[error("checkpoint: it is of the log `{found}`, not of `{wanted}`")]
    Origin {
        /// The log that was asked for.
        wanted: String,
        /// The log in the checkpoint.
        found: String,
    },
    /// The bytes are not text.
    #[error("checkpoint: not UTF-8 text")]
    NotText,
}

impl Checkpoint {
    /// The text that is signed.
    pub fn body(&self) -> String {
        format!("{}\n{}\n{}\n", self.origin, self.size, b64(&self.root))
    }

    /// The signed note. The first key is the log's own; a second signs along during a key rotation.
    pub fn sign(&self, keys: &[&SigningKey]) -> Result<String, CheckpointError> {
        let body = self.body();
        if Self::parse_body(&body)? != *self {
            return Err(CheckpointError::Body { line: 1, why: "the origin must be one line" });
        }
        Ok(Note::sign(&body, keys)?.to_string())
    }

    /// Reads a checkpoint of `origin` that at least one of `keys` signed.
    pub fn open(note: &str, origin: &str, keys: &[&VerifierKey]) -> Result<Self, CheckpointError> {
        let note: Note = note.parse()?;
        note.verify(keys)?;
        let checkpoint = Self::parse_body(&note.text)?;
        if checkpoint.origin != origin {
            let (wanted, found) = (shown(origin), shown(&checkpoint.origin));
            return Err(CheckpointError::Origin { wanted, found });
        }
        Ok(checkpoint)
    }

    /// Reads a checkpoint *without* checking any signature: to learn a size, never to believe a root.
    pub fn parse_unverified(note: &str) -> Result<Self, CheckpointError> {
        Self::parse_body(&note.parse::<Note>()?.text)
    }

    fn parse_body(text: &str) -> Result<Self, CheckpointError> {
        let bad = |line, why| CheckpointError::Body { line, why };
        let mut lines = text.strip_suffix('\n').unwrap_or(text).split('\n');
        let origin = lines.next().filter(|line| !line.is_empty()).ok_or(bad(1, "the origin is missing"))?;
        let size =
            lines.next().and_then(decimal).ok_or(bad(2, "expected the size as a plain decimal number"))?;
        let root = lines
            .next()
            .and_then(unb64_array)
            .ok_or(bad(3, "expected the root, 32 bytes in canonical base64"))?;
        if lines.next().is_some() {
            return Err(bad(4, "extension lines are not part of this log's checkpoints"));
        }
        Ok(Self { origin: origin.to_owned(), size, root })
    }
}
