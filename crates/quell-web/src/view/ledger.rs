//! The ledger.

use schemars::JsonSchema;
use serde::Serialize;
use serde_json::Value;

use super::shape;

/// A page of entries, as they are stored.
#[derive(Clone, Debug, JsonSchema, Serialize)]
pub struct Entries {
    /// Each as it was hashed: its canonical JSON (RFC 8785) has the hash that the ledger proves.
    #[schemars(with = "Vec<shape::Entry>")]
    pub entries: Vec<Value>,
    /// Position or number to ask for next; whatever is written later begins there.
    pub next: u64,
    /// There is more already.
    pub more: bool,
}

/// The newest signed checkpoint. Keep it elsewhere.
#[derive(Clone, Debug, JsonSchema, Serialize)]
pub struct Checkpoint {
    /// Entries that it covers.
    pub size: u64,
    /// The signed note, verbatim.
    pub checkpoint: String,
}

/// Lists were computed anew.
#[derive(Clone, Debug, JsonSchema, Serialize)]
pub struct Rebuilt {
    /// How many incidents there are.
    pub incidents: u64,
}

/// The key that verifies checkpoints and bundles.
#[derive(Clone, Debug, JsonSchema, Serialize)]
pub struct Key {
    /// Name, hash and key, as in signed notes.
    pub vkey: String,
}

/// A proof that an entry is in the ledger.
#[derive(Clone, Debug, JsonSchema, Serialize)]
pub struct Inclusion {
    /// Which entry.
    pub seq: u64,
    /// Entries that the checkpoint covers.
    pub size: u64,
    /// The proof with its checkpoint, in the form of C2SP `tlog-proof`.
    pub proof: String,
}

/// What a verification of the whole ledger found.
#[derive(Debug, JsonSchema, Serialize)]
pub struct Verification {
    /// No problem at all.
    pub ok: bool,
    /// Entries read.
    pub entries: u64,
    /// Checkpoints checked.
    pub checkpoints: u64,
    /// The key trusted at the end.
    pub vkey: String,
    /// The newest checkpoint.
    pub checkpoint: String,
    /// Each problem, in words.
    pub problems: Vec<String>,
    /// Things to know that are not problems.
    pub warnings: Vec<String>,
}
