//! Append-only Merkle log of opaque records, signed checkpoints, proofs, evidence bundles, and their verifiers.
//!
//! Pure: no clock, no files, no random source, no async. A record is bytes; what is hashed is exactly what is stored.
//!
//! Map: [`tree`] (RFC 6962 hashing and proofs), [`note`] (C2SP signed-note), [`checkpoint`] (C2SP
//! tlog-checkpoint), [`proof`] (C2SP tlog-proof), [`canonical`] (the JSON of an entry), [`rotation`] (a new
//! signing key, recorded in the log itself), [`verify`] (a whole log), [`bundle`] (an export for a stranger),
//! [`archive`] (its one-file form). The formats are written down in `docs/reference/ledger-format.md`.
//!
//! What a signature cannot do: the holder of the key can rewrite the log and sign it again. Only a checkpoint
//! that somebody else kept shows it; feed such a checkpoint to [`verify::LogVerifier::checkpoint`].

pub mod archive;
pub mod bundle;
pub mod canonical;
pub mod checkpoint;
mod encoding;
pub mod note;
pub mod proof;
pub mod rotation;
pub mod tree;
pub mod verify;

pub use checkpoint::Checkpoint;
pub use note::{SigningKey, VerifierKey};
pub use proof::Proof;
pub use tree::{Hash, leaf_hash};
