//! A proof in one file that an entry is in the log, as in C2SP `tlog-proof` (<https://c2sp.org/tlog-proof>).
//!
//! ```text
//! c2sp.org/tlog-proof@v1
//! index <n>
//! <base64 hash>            (zero or more, the leaf's sibling first)
//!
//! <checkpoint, verbatim>
//! ```
//!
//! The optional `extra` line is refused: nothing authenticates it, and this log writes none.

use std::fmt;
use std::str::FromStr;

use crate::checkpoint::{Checkpoint, CheckpointError};
use crate::encoding::{b64, decimal, unb64_array};
use crate::note::VerifierKey;
use crate::tree::{BadProof, Hash, verify_inclusion};

const HEADER: &str = "c2sp.org/tlog-proof@v1";
/// A tree of 2^64 leaves has paths of 64 hashes.
const MAX_PATH: usize = 64;

/// An inclusion proof with the checkpoint it leads to.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Proof {
    /// Which entry.
    pub index: u64,
    /// Audit path, the leaf's sibling first.
    pub path: Vec<Hash>,
    /// The signed checkpoint, verbatim.
    pub checkpoint: String,
}

/// What is wrong with a proof.
#[derive(Clone, Debug, Eq, PartialEq, thiserror::Error)]
pub enum ProofError {
    /// The text is not a proof.
    #[error("tlog-proof: line {line}: {why}")]
    Format {
        /// Counted from 1.
        line: usize,
        /// What is wrong with it.
        why: &'static str,
    },
    /// The checkpoint in it.
    #[error("tlog-proof: {0}")]
    Checkpoint(#[from] CheckpointError),
    /// The path.
    #[error("tlog-proof: {0}")]
    Path(#[from] BadProof),
}

impl Proof {
    /// The text of a `.tlog-proof` file.
    pub fn to_text(&self) -> String {
        self.to_string()
    }

    /// Reads a `.tlog-proof` file; nothing is verified yet.
    pub fn parse(text: &str) -> Result<Self, ProofError> {
        text.parse()
    }

    /// Checks the checkpoint's signature and that `leaf` is entry `index` under it. Returns the checkpoint.
    pub fn verify(&self, leaf: &Hash, origin: &str, keys: &[&VerifierKey]) -> Result<Checkpoint, ProofError> {
        let checkpoint = Checkpoint::open(&self.checkpoint, origin, keys)?;
        verify_inclusion(self.index, checkpoint.size, leaf, &self.path, &checkpoint.root)?;
        Ok(checkpoint)
    }
}

impl fmt::Display for Proof {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "{HEADER}\nindex {}", self.index)?;
        self.path.iter().try_for_each(|hash| writeln!(f, "{}", b64(hash)))?;
        write!(f, "\n{}", self.checkpoint)
    }
}

impl FromStr for Proof {
    type Err = ProofError;

    fn from_str(text: &str) -> Result<Self, ProofError> {
        let bad = |line, why| ProofError::Format { line, why };
        let no_end = "the empty line before the checkpoint is missing";
        let (header, rest) = text.split_once('\n').ok_or(bad(1, no_end))?;
        if header != HEADER {
            return Err(bad(1, "expected `c2sp.org/tlog-proof@v1`"));
        }
        let (index, mut rest) = rest.split_once('\n').ok_or(bad(2, no_end))?;
        if index.starts_with("extra ") {
            return Err(bad(2, "`extra` data is not part of this log's proofs"));
        }
        let index = index
            .strip_prefix("index ")
            .and_then(decimal)
            .ok_or(bad(2, "expected `index` and a plain decimal number"))?;
        let mut path = Vec::new();
        loop {
            let at = path.len() + 3;
            let (line, after) = rest.split_once('\n').ok_or(bad(at, no_end))?;
            rest = after;
            if line.is_empty() {
                return Ok(Self { index, path, checkpoint: rest.to_owned() });
            }
            if path.len() == MAX_PATH {
                return Err(bad(at, "more than 64 hashes"));
            }
            path.push(unb64_array(line).ok_or(bad(at, "expected a hash, 32 bytes in canonical base64"))?);
        }
    }
}
