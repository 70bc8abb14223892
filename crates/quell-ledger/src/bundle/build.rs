//! Making a bundle.

use std::collections::BTreeMap;

use serde_json::json;

use super::{
    CHECKPOINT, ENTRIES, EVIDENCE, FORMAT, KEYS, MANIFEST, MANIFEST_NOTE, PROOFS, ROTATIONS, Report, VERSION,
    manifest_text, proof_path, verify,
};
use crate::archive::{ArchiveError, Files, check_paths};
use crate::canonical::{self, CanonicalError};
use crate::encoding::sha256;
use crate::note::{Note, NoteError, SigningKey, VerifierKey};
use crate::proof::Proof;
use crate::tree::Hash;

/// Why no bundle was made.
#[derive(Debug, thiserror::Error)]
pub enum BuildError {
    /// A path that the layout reserves, or that was given twice.
    #[error("`{path}` cannot be added to the bundle: {why}")]
    File {
        /// The path.
        path: String,
        /// Why not.
        why: &'static str,
    },
    /// An entry was given twice.
    #[error("entry {0} was added to the bundle twice")]
    Twice(u64),
    /// A path that cannot be in an archive.
    #[error(transparent)]
    Path(#[from] ArchiveError),
    /// The manifest cannot be written.
    #[error("the manifest: {0}")]
    Manifest(#[from] CanonicalError),
    /// The manifest cannot be signed.
    #[error("the manifest: {0}")]
    Note(#[from] NoteError),
    /// What was put in does not make a bundle that verifies; nothing like that leaves the house.
    #[error("the bundle would not verify:\n{0}")]
    WouldNotVerify(Box<Report>),
}

/// Collects what belongs into a bundle. The order of the calls does not matter.
#[derive(Debug)]
pub struct Builder {
    incident: String,
    origin: String,
    checkpoint: String,
    former_keys: Vec<VerifierKey>,
    entries: BTreeMap<u64, (Vec<u8>, Vec<Hash>)>,
    rotations: BTreeMap<u64, (Vec<u8>, Vec<Hash>)>,
    files: Files,
}

impl Builder {
    /// For one incident of the log `origin`. All proofs must lead to `checkpoint`, the signed note of it.
    pub fn new(incident: &str, origin: &str, checkpoint: &str) -> Self {
        Self {
            incident: incident.to_owned(),
            origin: origin.to_owned(),
            checkpoint: checkpoint.to_owned(),
            former_keys: Vec::new(),
            entries: BTreeMap::new(),
            rotations: BTreeMap::new(),
            files: Files::new(),
        }
    }

    /// The log's keys before the present one, the oldest first: one for each rotation.
    pub fn former_keys(&mut self, keys: Vec<VerifierKey>) -> &mut Self {
        self.former_keys = keys;
        self
    }

    /// One of the incident's entries: the bytes as stored, and its audit path under the checkpoint.
    pub fn entry(&mut self, seq: u64, bytes: Vec<u8>, path: Vec<Hash>) -> Result<&mut Self, BuildError> {
        self.free(seq)?;
        self.entries.insert(seq, (bytes, path));
        Ok(self)
    }

    /// A `key.rotation` entry. All rotations of the log belong into each bundle.
    pub fn rotation(&mut self, seq: u64, bytes: Vec<u8>, path: Vec<Hash>) -> Result<&mut Self, BuildError> {
        self.free(seq)?;
        self.rotations.insert(seq, (bytes, path));
        Ok(self)
    }

    /// A file that an entry names in its `evidence`. Returns its SHA-256 in hex. The same content twice is one file.
    pub fn evidence(&mut self, content: Vec<u8>) -> String {
        let hash = hex::encode(sha256(&[&content]));
        self.files.insert(format!("{EVIDENCE}{hash}"), content);
        hash
    }

    /// Any other file: `report.md`, `custody.csv`, `coverage.json`, `verdict.json`, …
    pub fn file(&mut self, path: &str, content: Vec<u8>) -> Result<&mut Self, BuildError> {
        let no = |why| Err(BuildError::File { path: path.to_owned(), why });
        let fixed = [MANIFEST, MANIFEST_NOTE, CHECKPOINT, ENTRIES, ROTATIONS, KEYS];
        if fixed.contains(&path) || path.starts_with(PROOFS) || path.starts_with(EVIDENCE) {
            return no("this path belongs to the layout");
        }
        if self.files.contains_key(path) {
            return no("it was added already");
        }
        self.files.insert(path.to_owned(), content);
        Ok(self)
    }

    /// Signs the manifest with the log's present key and verifies the whole; a bundle that does not verify is an error.
    pub fn build(self, key: &SigningKey) -> Result<Files, BuildError> {
        let mut files = self.files;
        for (path, records) in [(ENTRIES, &self.entries), (ROTATIONS, &self.rotations)] {
            let mut lines = Vec::new();
            for (seq, (bytes, audit_path)) in records {
                lines.extend_from_slice(bytes);
                lines.push(b'\n');
                let proof =
                    Proof { index: *seq, path: audit_path.clone(), checkpoint: self.checkpoint.clone() };
                files.insert(proof_path(*seq), proof.to_text().into_bytes());
            }
            files.insert(path.to_owned(), lines);
        }
        let keys: String = self
            .former_keys
            .iter()
            .chain([key.verifier()])
            .flat_map(|key| [key.to_string(), "\n".to_owned()])
            .collect();
        files.insert(KEYS.to_owned(), keys.into_bytes());
        files.insert(CHECKPOINT.to_owned(), self.checkpoint.into_bytes());
        check_paths(files.keys().map(String::as_str))?;

        let listed: Vec<_> = files
            .iter()
            .map(|(path, content)| {
                json!({"path": path, "size": content.len(), "sha256": hex::encode(sha256(&[content]))})
            })
            .collect();
        let manifest = canonical::to_bytes(&json!({
            "v": VERSION,
            "format": FORMAT,
            "incident": self.incident,
            "origin": self.origin,
            "vkey": key.verifier().to_string(),
            "files": listed,
        }))?;
        let note = Note::sign(&manifest_text(&self.origin, &manifest), &[key])?.to_string();
        files.insert(MANIFEST.to_owned(), manifest);
        files.insert(MANIFEST_NOTE.to_owned(), note.into_bytes());

        let report = verify(&files, Some(key.verifier()));
        if report.ok() { Ok(files) } else { Err(BuildError::WouldNotVerify(Box::new(report))) }
    }

    fn free(&self, seq: u64) -> Result<(), BuildError> {
        let taken = self.entries.contains_key(&seq) || self.rotations.contains_key(&seq);
        if taken { Err(BuildError::Twice(seq)) } else { Ok(()) }
    }
}
