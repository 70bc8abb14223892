//! Signed notes: text with Ed25519 signature lines, as in C2SP `signed-note` (<https://c2sp.org/signed-note>).
//!
//! ```text
//! <text, ends in a newline>
//!
//! — <key name> <base64(key id ‖ signature)>
//! ```
//!
//! Signature lines of unknown keys or types are kept and ignored, so a witness or a post-quantum signature can be
//! added later. A line of a *known* key that does not verify makes the whole note invalid.

use std::fmt;
use std::str::FromStr;

use ed25519_dalek::{Signature as Ed25519Signature, Signer as _};

use crate::encoding::{b64, sha256, shown, unb64, unb64_array};

/// Signature type byte of Ed25519 in key ids and verifier keys.
const ED25519: u8 = 1;
/// C2SP asks for at least 16.
const MAX_SIGNATURES: usize = 64;
/// Far above any checkpoint with 64 post-quantum signatures.
const MAX_NOTE: usize = 1 << 20;

/// What is wrong with a note or a key.
#[derive(Clone, Debug, Eq, PartialEq, thiserror::Error)]
pub enum NoteError {
    /// A key name that could not be written into a signature line.
    #[error("bad key name `{0}`: it must be non-empty, without spaces, `+` and control characters")]
    KeyName(String),
    /// A verifier key that does not read `name+hash+base64`.
    #[error("bad verifier key `{text}`: {why}")]
    VerifierKey {
        /// What was given, cut.
        text: String,
        /// What is wrong with it.
        why: &'static str,
    },
    /// The text to sign cannot be the text of a note.
    #[error("the text of a note must be non-empty, end in a newline and hold no other control character")]
    Text,
    /// The note as a whole cannot be read.
    #[error("not a signed note: {0}")]
    Malformed(&'static str),
    /// One signature line cannot be read.
    #[error("signature line {line} of the note cannot be read: {why}")]
    SignatureLine {
        /// Counted from 1, signature lines only.
        line: usize,
        /// What is wrong with it.
        why: &'static str,
    },
    /// A known key's signature is wrong.
    #[error("the signature of key {key} does not fit the text")]
    BadSignature {
        /// `name+hash` of the key.
        key: String,
    },
    /// None of the expected keys signed.
    #[error("not signed by {wanted} (signed by: {found})")]
    NotSigned {
        /// `name+hash` of each expected key.
        wanted: String,
        /// `name+hash` of each signature line.
        found: String,
    },
}

/// A public key with its name: `name+<key id in hex>+base64(0x01 ‖ public key)`.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct VerifierKey {
    name: String,
    id: [u8; 4],
    public: ed25519_dalek::VerifyingKey,
}

impl VerifierKey {
    fn new(name: &str, public: ed25519_dalek::VerifyingKey) -> Result<Self, NoteError> {
        check_name(name)?;
        let hash = sha256(&[name.as_bytes(), b"\n", &[ED25519], public.as_bytes()]);
        let id = hash.first_chunk().copied().unwrap_or_default();
        Ok(Self { name: name.to_owned(), id, public })
    }

    /// The name in signature lines; for a ledger key it is the log's origin.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// First four bytes of SHA-256(name ‖ 0x0A ‖ 0x01 ‖ public key).
    pub fn id(&self) -> [u8; 4] {
        self.id
    }

    /// `name+<key id>`: short, for messages. Four bytes name a key among friends, they do not authenticate it.
    pub fn short(&self) -> String {
        format!("{}+{}", self.name, hex::encode(self.id))
    }

    /// Checks a bare Ed25519 signature (RFC 8032, with the strict checks against weak keys).
    pub fn verify_bytes(&self, message: &[u8], signature: &[u8; 64]) -> Result<(), NoteError> {
        self.public
            .verify_strict(message, &Ed25519Signature::from_bytes(signature))
            .map_err(|_e| NoteError::BadSignature { key: self.short() })
    }
}

impl fmt::Display for VerifierKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut key = vec![ED25519];
        key.extend_from_slice(self.public.as_bytes());
        write!(f, "{}+{}+{}", self.name, hex::encode(self.id), b64(&key))
    }
}

impl FromStr for VerifierKey {
    type Err = NoteError;

    fn from_str(text: &str) -> Result<Self, NoteError> {
        let bad = |why| NoteError::VerifierKey { text: shown(text), why };
        // The name holds no `+`, base64 may.
        let mut parts = text.splitn(3, '+');
        let (Some(name), Some(id), Some(key)) = (parts.next(), parts.next(), parts.next()) else {
            return Err(bad("expected `name+hash+base64`"));
        };
        let key = unb64(key).ok_or_else(|| bad("the last part is not canonical base64"))?;
        let public = match key.split_first() {
            Some((&ED25519, public)) => public,
            Some(_) => return Err(bad("only Ed25519 keys (type 0x01) are supported")),
            None => return Err(bad("the key is empty")),
        };
        let public = <&[u8; 32]>::try_from(public).map_err(|_e| bad("an Ed25519 key has 32 bytes"))?;
        let public = ed25519_dalek::VerifyingKey::from_bytes(public)
            .map_err(|_e| bad("the bytes are not an Ed25519 public key"))?;
        if public.is_weak() {
            return Err(bad("the public key is a weak point that accepts forged signatures"));
        }
        let key = Self::new(name, public)?;
        if hex::encode(key.id) == id { Ok(key) } else { Err(bad("the hash does not fit the name and key")) }
    }
}

/// A private key with its name. It is boxed and wiped on drop, and has no way to give the seed back.
pub struct SigningKey {
    key: Box<ed25519_dalek::SigningKey>,
    public: VerifierKey,
}

impl SigningKey {
    /// From the 32-byte seed of RFC 8032. The caller wipes its own copy.
    pub fn from_seed(name: &str, seed: &[u8; 32]) -> Result<Self, NoteError> {
        let key = Box::new(ed25519_dalek::SigningKey::from_bytes(seed));
        let public = VerifierKey::new(name, key.verifying_key())?;
        Ok(Self { key, public })
    }

    /// The public half.
    pub fn verifier(&self) -> &VerifierKey {
        &self.public
    }

    /// A bare Ed25519 signature. The message must begin with a text that no other use of the key begins with.
    pub fn sign_bytes(&self, message: &[u8]) -> [u8; 64] {
        self.key.sign(message).to_bytes()
    }
}

impl fmt::Debug for SigningKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "SigningKey({}, …)", self.public.short())
    }
}

/// One signature line, of whatever type.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Signature {
    /// The name of the key.
    pub name: String,
    /// The key id.
    pub id: [u8; 4],
    /// What follows the id: 64 bytes for Ed25519.
    pub bytes: Vec<u8>,
}

impl fmt::Display for Signature {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut bytes = self.id.to_vec();
        bytes.extend_from_slice(&self.bytes);
        writeln!(f, "— {} {}", self.name, b64(&bytes))
    }
}

/// A note as read: nothing is verified yet. `to_string` gives back the exact bytes that were parsed.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Note {
    /// What is signed, with its last newline.
    pub text: String,
    /// At least one.
    pub signatures: Vec<Signature>,
}

impl fmt::Display for Note {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "{}", self.text)?;
        self.signatures.iter().try_for_each(|signature| signature.fmt(f))
    }
}

impl FromStr for Note {
    type Err = NoteError;

    fn from_str(note: &str) -> Result<Self, NoteError> {
        if note.len() > MAX_NOTE {
            return Err(NoteError::Malformed("it is longer than 1 MiB"));
        }
        // The last empty line separates the text from the signatures.
        let (text, lines) = note
            .rsplit_once("\n\n")
            .ok_or(NoteError::Malformed("there is no empty line before the signatures"))?;
        let text = format!("{text}\n");
        check_text(&text)?;
        let lines = lines.strip_suffix('\n').ok_or(NoteError::Malformed("it does not end in a newline"))?;
        let mut signatures: Vec<Signature> = Vec::new();
        for (at, line) in lines.split('\n').enumerate() {
            if at == MAX_SIGNATURES {
                return Err(NoteError::Malformed("it has more than 64 signatures"));
            }
            let bad = |why| NoteError::SignatureLine { line: at + 1, why };
            let signature = signature_line(line).map_err(bad)?;
            if signatures.iter().any(|other| other.name == signature.name && other.id == signature.id) {
                return Err(bad("the same key signed twice"));
            }
            signatures.push(signature);
        }
        Ok(Self { text, signatures })
    }
}

fn signature_line(line: &str) -> Result<Signature, &'static str> {
    let rest = line.strip_prefix("— ").ok_or("it does not begin with an em dash and a space")?;
    let (name, value) = rest.split_once(' ').ok_or("it has no space between key name and signature")?;
    check_name(name).map_err(|_e| "the key name is not valid")?;
    let value = unb64(value).ok_or("the signature is not canonical base64")?;
    let (id, bytes) = value.split_first_chunk::<4>().ok_or("the signature is shorter than a key id")?;
    if bytes.is_empty() {
        return Err("there is a key id, but no signature");
    }
    Ok(Signature { name: name.to_owned(), id: *id, bytes: bytes.to_vec() })
}

impl Note {
    /// Signs a text with each of the keys, in this order.
    pub fn sign(text: &str, keys: &[&SigningKey]) -> Result<Self, NoteError> {
        check_text(text)?;
        if keys.is_empty() {
            return Err(NoteError::Malformed("there is no key to sign it with"));
        }
        let line = |key: &&SigningKey| Signature {
            name: key.public.name.clone(),
            id: key.public.id,
            bytes: key.sign_bytes(text.as_bytes()).to_vec(),
        };
        Ok(Self { text: text.to_owned(), signatures: keys.iter().map(line).collect() })
    }

    /// Adds the signature line of somebody else (a witness). It replaces an earlier line of the same key.
    pub fn add(&mut self, signature: Signature) {
        self.signatures.retain(|other| other.name != signature.name || other.id != signature.id);
        self.signatures.push(signature);
    }

    /// Checks the signatures of the known keys: each one that is there must be right, and one must be there.
    /// Returns the keys that signed.
    pub fn verify<'k>(&self, keys: &[&'k VerifierKey]) -> Result<Vec<&'k VerifierKey>, NoteError> {
        let mut signed = Vec::new();
        for signature in &self.signatures {
            let Some(key) = keys.iter().find(|key| key.name == signature.name && key.id == signature.id)
            else {
                continue;
            };
            let bytes = <&[u8; 64]>::try_from(signature.bytes.as_slice())
                .map_err(|_e| NoteError::BadSignature { key: key.short() })?;
            key.verify_bytes(self.text.as_bytes(), bytes)?;
            signed.push(*key);
        }
        if signed.is_empty() {
            let found: Vec<String> =
                self.signatures.iter().map(|s| format!("{}+{}", shown(&s.name), hex::encode(s.id))).collect();
            let wanted: Vec<String> = keys.iter().map(|key| key.short()).collect();
            return Err(NoteError::NotSigned { wanted: wanted.join(" or "), found: found.join(", ") });
        }
        Ok(signed)
    }
}

/// Reads 64 signature bytes from base64.
pub(crate) fn signature_from_b64(text: &str) -> Option<[u8; 64]> {
    unb64_array(text)
}

fn check_name(name: &str) -> Result<(), NoteError> {
    let bad = |c: char| c == '+' || c.is_whitespace() || c.is_control();
    if name.is_empty() || name.contains(bad) { Err(NoteError::KeyName(shown(name))) } else { Ok(()) }
}

fn check_text(text: &str) -> Result<(), NoteError> {
    let control = |c: char| c < ' ' && c != '\n';
    if text.len() > 1 && text.ends_with('\n') && !text.contains(control) {
        Ok(())
    } else {
        Err(NoteError::Text)
    }
}
