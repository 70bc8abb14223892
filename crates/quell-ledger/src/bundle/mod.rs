//! Evidence bundles: what happened in one incident, for a stranger to verify offline.
//!
//! A bundle is a set of files by path ([`crate::archive`] makes one file of it):
//!
//! | path | content |
//! |---|---|
//! | `manifest.json` | every other file except `manifest.note`, with size and SHA-256 |
//! | `manifest.note` | the ledger key's signature over the hash of `manifest.json` |
//! | `checkpoint` | the signed checkpoint that all proofs lead to |
//! | `entries.jsonl` | the incident's entries, one per line, the bytes as stored |
//! | `rotations.jsonl` | all `key.rotation` entries, likewise; may be empty |
//! | `proofs/<seq>.tlog-proof` | one for each of those entries |
//! | `keys.txt` | the log's keys, the oldest first: one more than there are rotations |
//! | `evidence/<sha256>` | the files named in the entries' `evidence` |
//! | anything else | reports and tables: covered by the manifest, named by it alone |

mod build;
mod checks;
mod report;
mod verify;

pub use build::{BuildError, Builder};
pub use report::{Problem, Report, Verdict, Warning};
pub use verify::verify;

/// Every other file, canonical JSON.
pub const MANIFEST: &str = "manifest.json";
/// The signature over the manifest.
pub const MANIFEST_NOTE: &str = "manifest.note";
/// The checkpoint of all proofs.
pub const CHECKPOINT: &str = "checkpoint";
/// The incident's entries.
pub const ENTRIES: &str = "entries.jsonl";
/// The key rotations.
pub const ROTATIONS: &str = "rotations.jsonl";
/// The log's keys.
pub const KEYS: &str = "keys.txt";
/// Folder of the proofs.
pub const PROOFS: &str = "proofs/";
/// Folder of the evidence files.
pub const EVIDENCE: &str = "evidence/";
/// The `format` of the manifest.
pub const FORMAT: &str = "quell-evidence";
/// The `v` of the manifest.
pub const VERSION: u64 = 1;

/// The path of an entry's proof.
pub fn proof_path(seq: u64) -> String {
    format!("{PROOFS}{seq}.tlog-proof")
}

/// The text of `manifest.note`.
fn manifest_text(origin: &str, manifest: &[u8]) -> String {
    format!("quell-evidence-manifest-v1\n{origin}\n{}\n", hex::encode(crate::encoding::sha256(&[manifest])))
}
