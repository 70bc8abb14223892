//! Key rotation inside the log: an entry of kind `key.rotation` hands the log over to a new key.
//!
//! Its `data` is `{seq, prev_checkpoint, new_vkey, reason, sig_old, sig_new}`. `seq` is the entry's own number n;
//! `prev_checkpoint` is the checkpoint of size n, signed by the old key. Both keys sign
//!
//! ```text
//! quell-key-rotation-v1
//! <origin>
//! <n>
//! <base64 of the root at n>
//! <new_vkey>
//! ```
//!
//! with a last newline, as bare Ed25519 signatures in base64. From size n+1 on only the new key counts (the old
//! one may sign along). When the old key is compromised there is no `sig_old`: its holder could have written it
//! as well as the owner. Then the old key vouches for nothing after n, and for the history before n only a
//! revoked key does; [`Vouched`] says so.

use serde_json::{Map, Value, json};

use crate::checkpoint::{Checkpoint, CheckpointError};
use crate::encoding::b64;
use crate::note::{NoteError, SigningKey, VerifierKey, signature_from_b64};
use crate::tree::Hash;

/// The `kind` of the entry.
pub const KIND: &str = "key.rotation";

/// The key that the log had so far.
#[derive(Debug)]
pub enum OldKey<'a> {
    /// It is still trusted and signs the hand-over.
    Signs(&'a SigningKey),
    /// It is compromised: it does not get to sign.
    Compromised(&'a VerifierKey),
}

/// Who stands behind a rotation.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Vouched {
    /// Old and new key signed.
    ByBoth,
    /// Only the new key signed: history before the rotation is vouched for only by a revoked key.
    ByNewKeyOnly,
}

/// The `data` of a `key.rotation` entry.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Rotation {
    /// Number of the entry.
    pub seq: u64,
    /// The checkpoint of size `seq`, verbatim.
    pub prev_checkpoint: String,
    /// The key from now on.
    pub new_vkey: VerifierKey,
    /// Why, for people. Not part of the signed message; the log itself covers it.
    pub reason: String,
    /// The old key's signature; absent when the old key is compromised.
    pub sig_old: Option<[u8; 64]>,
    /// The new key's signature, which proves possession.
    pub sig_new: [u8; 64],
}

/// What is wrong with a rotation.
#[derive(Clone, Debug, Eq, PartialEq, thiserror::Error)]
pub enum RotationError {
    /// A field is missing or has the wrong form.
    #[error("key.rotation: `{field}` {why}")]
    Field {
        /// The field of `data`.
        field: &'static str,
        /// What is wrong with it.
        why: &'static str,
    },
    /// The previous checkpoint is not one of the old key.
    #[error("key.rotation: previous {0}")]
    Checkpoint(#[from] CheckpointError),
    /// The previous checkpoint is of another size.
    #[error("key.rotation: the entry is number {seq}, but its previous checkpoint has size {size}")]
    Size {
        /// The entry's number.
        seq: u64,
        /// The checkpoint's size.
        size: u64,
    },
    /// The previous checkpoint is not of this log's history.
    #[error("key.rotation: the previous checkpoint has another root than the log before entry {0}")]
    Root(u64),
    /// A signature over the hand-over is wrong.
    #[error("key.rotation: `{field}`: {source}")]
    Signature {
        /// `sig_old` or `sig_new`.
        field: &'static str,
        /// Whose.
        source: NoteError,
    },
}

impl Rotation {
    /// Hands the log over. `prev_checkpoint` is the log's newest checkpoint; the rotation becomes the next entry.
    pub fn make(
        origin: &str,
        prev_checkpoint: &str,
        old: &OldKey<'_>,
        new: &SigningKey,
        reason: &str,
    ) -> Result<Self, RotationError> {
        let old_key = match old {
            OldKey::Signs(key) => key.verifier(),
            OldKey::Compromised(key) => key,
        };
        let previous = Checkpoint::open(prev_checkpoint, origin, &[old_key])?;
        let message = message(origin, &previous, new.verifier());
        let rotation = Self {
            seq: previous.size,
            prev_checkpoint: prev_checkpoint.to_owned(),
            new_vkey: new.verifier().clone(),
            reason: reason.to_owned(),
            sig_old: match old {
                OldKey::Signs(key) => Some(key.sign_bytes(&message)),
                OldKey::Compromised(_) => None,
            },
            sig_new: new.sign_bytes(&message),
        };
        // Make nothing that the verifier would refuse.
        rotation.verify(origin, Some(&previous.root), old_key)?;
        Ok(rotation)
    }

    /// The `data` object of the entry.
    pub fn to_data(&self) -> Value {
        let mut data = json!({
            "seq": self.seq,
            "prev_checkpoint": self.prev_checkpoint,
            "new_vkey": self.new_vkey.to_string(),
            "reason": self.reason,
            "sig_new": b64(&self.sig_new),
        });
        if let (Some(sig), Some(map)) = (&self.sig_old, data.as_object_mut()) {
            map.insert("sig_old".to_owned(), Value::String(b64(sig)));
        }
        data
    }

    /// Reads the rotation out of an entry; `None` when the entry is of another kind.
    pub fn from_entry(entry: &Map<String, Value>) -> Result<Option<Self>, RotationError> {
        if entry.get("kind").and_then(Value::as_str) != Some(KIND) {
            return Ok(None);
        }
        let field = |field, why| RotationError::Field { field, why };
        let data = entry
            .get("data")
            .and_then(Value::as_object)
            .ok_or(field("data", "is missing or not an object"))?;
        let text = |name: &'static str| {
            data.get(name).and_then(Value::as_str).ok_or(field(name, "is missing or not a text"))
        };
        let signature = |name: &'static str| {
            signature_from_b64(text(name)?).ok_or(field(name, "is not 64 bytes in canonical base64"))
        };
        let seq =
            data.get("seq").and_then(Value::as_u64).ok_or(field("seq", "is missing or not a number"))?;
        Ok(Some(Self {
            seq,
            prev_checkpoint: text("prev_checkpoint")?.to_owned(),
            new_vkey: text("new_vkey")?.parse().map_err(|_e| field("new_vkey", "is not a verifier key"))?,
            reason: text("reason")?.to_owned(),
            sig_old: if data.contains_key("sig_old") { Some(signature("sig_old")?) } else { None },
            sig_new: signature("sig_new")?,
        }))
    }

    /// Checks the hand-over from `old`. `root` is the root of the log before entry `seq`; `None` when the caller
    /// cannot know it any more because the log is already found to be broken.
    pub fn verify(
        &self,
        origin: &str,
        root: Option<&Hash>,
        old: &VerifierKey,
    ) -> Result<Vouched, RotationError> {
        let previous = Checkpoint::open(&self.prev_checkpoint, origin, &[old])?;
        if previous.size != self.seq {
            return Err(RotationError::Size { seq: self.seq, size: previous.size });
        }
        if root.is_some_and(|root| *root != previous.root) {
            return Err(RotationError::Root(self.seq));
        }
        let field = |why| RotationError::Field { field: "new_vkey", why };
        if self.new_vkey.name() != origin {
            return Err(field("has another name than the log's origin"));
        }
        if self.new_vkey == *old {
            return Err(field("is the old key"));
        }
        let message = message(origin, &previous, &self.new_vkey);
        self.new_vkey
            .verify_bytes(&message, &self.sig_new)
            .map_err(|source| RotationError::Signature { field: "sig_new", source })?;
        let Some(sig_old) = &self.sig_old else { return Ok(Vouched::ByNewKeyOnly) };
        old.verify_bytes(&message, sig_old)
            .map_err(|source| RotationError::Signature { field: "sig_old", source })?;
        Ok(Vouched::ByBoth)
    }
}

fn message(origin: &str, previous: &Checkpoint, new: &VerifierKey) -> Vec<u8> {
    let Checkpoint { size, root, .. } = previous;
    format!("quell-key-rotation-v1\n{origin}\n{size}\n{}\n{new}\n", b64(root)).into_bytes()
}
