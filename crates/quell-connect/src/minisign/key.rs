//! Keys and signatures as minisign writes them.
//!
//! Formats: <https://jedisct1.github.io/minisign/>, "Signature format", "Public key format" and "Secret key format", and minisign 0.11 itself (2026-11-23):
//! a key without a password has two zero bytes for its derivation and nothing but zeros for its checksum; a signature's comment is
//! `timestamp:SECONDS`, `file:NAME` and `hashed`, with tabs in between; what is signed is the BLAKE2b-512 of the file (`ED`), and in old
//! signatures the file (`Ed`).

use std::fmt;

use aws_lc_rs::encoding::AsBigEndian as _;
use aws_lc_rs::signature::{ED25519, Ed25519KeyPair, KeyPair as _, UnparsedPublicKey};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use quell_core::secret::SecretValue;
use zeroize::Zeroizing;

pub(crate) const COMMENT: &str = "untrusted comment: ";
const TRUSTED: &str = "trusted comment: ";

/// A public key with the name that its owner gave it.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(crate) struct Public {
    id: [u8; 8],
    key: [u8; 32],
}

/// A secret key. `Debug` shows its name only.
pub(crate) struct Secret {
    pair: Ed25519KeyPair,
    public: Public,
}

/// A signature, of which nothing is verified yet.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(crate) struct Signature {
    pub(crate) hashed: bool,
    id: [u8; 8],
    bytes: Vec<u8>,
    pub(crate) comment: String,
    global: Vec<u8>,
}

/// Why a key does not take a signature.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum Refusal {
    /// It is by another key.
    OtherKey,
    /// It has the key's name, and is not of it, or not of this file.
    Invalid,
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Secret").field(&self.public.name()).finish()
    }
}

/// As minisign shows it: `3FE02B5147A84D7E`, without zeros at its beginning.
fn name(id: [u8; 8]) -> String {
    format!("{:X}", u64::from_le_bytes(id))
}

impl Public {
    /// Reads the second line of a key file.
    pub(crate) fn read(line: &str) -> Option<Self> {
        let bytes = STANDARD.decode(line.trim()).ok()?;
        let (algorithm, rest) = bytes.split_first_chunk::<2>()?;
        let (id, key) = rest.split_first_chunk::<8>()?;
        (algorithm == b"Ed").then_some(Self { id: *id, key: key.try_into().ok()? })
    }

    pub(crate) fn name(&self) -> String {
        name(self.id)
    }

    /// Tells it from another one that was given the same name; the same key under another name is the same, since no signature is of a name.
    pub(crate) fn digest(&self) -> String {
        use sha2::Digest as _;
        let digest = sha2::Sha256::digest(self.key);
        format!("SHA256:{}", base64::engine::general_purpose::STANDARD_NO_PAD.encode(digest))
    }

    /// Whether it is the same key, whatever it is called.
    pub(crate) fn is(&self, other: &Self) -> bool {
        self.key == other.key
    }

    /// Whether a signature is its, whatever name it says: whoever has the key writes there what a trust root calls it.
    pub(crate) fn takes(&self, signature: &Signature, message: &[u8]) -> bool {
        UnparsedPublicKey::new(&ED25519, &self.key).verify(message, &signature.bytes).is_ok()
    }

    /// Whether the comment of a signature is signed with it.
    pub(crate) fn commented(&self, signature: &Signature) -> bool {
        let global = [signature.bytes.as_slice(), signature.comment.as_bytes()].concat();
        UnparsedPublicKey::new(&ED25519, &self.key).verify(&global, &signature.global).is_ok()
    }

    /// Both lines of a key file.
    pub(crate) fn lines(&self) -> String {
        let line = STANDARD.encode([&b"Ed"[..], &self.id, &self.key].concat());
        format!("{COMMENT}minisign public key {}\n{line}\n", self.name())
    }

    /// Verifies a signature and its comment. `message` is the file, or its hash for a signature that is `hashed`.
    pub(crate) fn verify(&self, signature: &Signature, message: &[u8]) -> Result<(), Refusal> {
        if signature.id != self.id {
            return Err(Refusal::OtherKey);
        }
        let key = UnparsedPublicKey::new(&ED25519, &self.key);
        let global = [signature.bytes.as_slice(), signature.comment.as_bytes()].concat();
        let both =
            key.verify(message, &signature.bytes).and_then(|()| key.verify(&global, &signature.global));
        both.map_err(|_e| Refusal::Invalid)
    }
}

impl Secret {
    /// Reads a key file. What is wrong is said without any of it.
    pub(crate) fn read(value: &SecretValue) -> Result<Self, &'static str> {
        const NONE: &str =
            "it is no secret key of minisign (two lines, the second of which begins with RWQAAE)";
        const DAMAGED: &str = "the secret key is damaged";
        let text = value.expose_text().ok_or(NONE)?;
        let line = text.lines().map(str::trim).rfind(|line| !line.is_empty()).ok_or(NONE)?;
        let bytes = Zeroizing::new(STANDARD.decode(line).map_err(|_e| NONE)?);
        let (head, rest) = bytes.split_first_chunk::<6>().ok_or(NONE)?;
        if bytes.len() == 42 && head.starts_with(b"Ed") {
            return Err("it is a public key of minisign, which is no secret");
        }
        match head {
            b"Ed\0\0B2" => {}
            b"EdScB2" => {
                return Err(
                    "the secret key is encrypted with a password: keep it in the store without one (minisign -C -W)",
                );
            }
            _ => return Err(NONE),
        }
        // A salt and two limits, which mean nothing without a password.
        let rest = rest.get(48..).ok_or(DAMAGED)?;
        let (id, rest) = rest.split_first_chunk::<8>().ok_or(DAMAGED)?;
        let (seed, rest) = rest.split_first_chunk::<32>().ok_or(DAMAGED)?;
        let (key, checksum) = rest.split_first_chunk::<32>().ok_or(DAMAGED)?;
        let pair = Ed25519KeyPair::from_seed_and_public_key(seed, key).map_err(|_e| DAMAGED)?;
        if checksum.len() == 32 {
            Ok(Self { pair, public: Public { id: *id, key: *key } })
        } else {
            Err(DAMAGED)
        }
    }

    /// A fresh key file. `newline`: whether a line break ends it.
    pub(crate) fn fresh(newline: bool) -> Result<SecretValue, &'static str> {
        const BAD: &str = "the system made no key";
        let pair = Ed25519KeyPair::generate().map_err(|_e| BAD)?;
        let seed = pair.seed().and_then(|seed| seed.as_be_bytes()).map_err(|_e| BAD)?;
        let mut id = [0_u8; 8];
        getrandom::fill(&mut id).map_err(|_e| BAD)?;
        let mut bytes = Zeroizing::new(b"Ed\0\0B2".to_vec());
        let parts = [&[0_u8; 48][..], &id, seed.as_ref(), pair.public_key().as_ref(), &[0; 32]];
        for part in parts {
            bytes.extend_from_slice(part);
        }
        let line = Zeroizing::new(STANDARD.encode(bytes.as_slice()));
        let end = if newline { "\n" } else { "" };
        let text = Zeroizing::new(format!("{COMMENT}minisign secret key {}\n{}{end}", name(id), *line));
        Ok(SecretValue::new(text.as_bytes().to_vec()))
    }

    pub(crate) fn public(&self) -> &Public {
        &self.public
    }

    /// Signs the hash of a file.
    pub(crate) fn sign(&self, hash: &[u8], comment: String) -> Result<Signature, &'static str> {
        const BAD: &str = "the key signs nothing";
        let signature = self.pair.try_sign(hash).map_err(|_e| BAD)?.as_ref().to_vec();
        let global = [signature.as_slice(), comment.as_bytes()].concat();
        let global = self.pair.try_sign(&global).map_err(|_e| BAD)?.as_ref().to_vec();
        Ok(Signature { hashed: true, id: self.public.id, bytes: signature, comment, global })
    }
}

impl Signature {
    /// Reads the four lines of a `.minisig`.
    pub(crate) fn read(text: &str) -> Option<Self> {
        let mut lines = text.lines();
        lines.next().filter(|line| line.starts_with(COMMENT))?;
        let bytes = STANDARD.decode(lines.next()?.trim()).ok()?;
        let comment = lines.next()?.strip_prefix(TRUSTED)?.to_owned();
        let global = STANDARD.decode(lines.next()?.trim()).ok()?;
        let (algorithm, rest) = bytes.split_first_chunk::<2>()?;
        let (id, signature) = rest.split_first_chunk::<8>()?;
        let hashed = match algorithm {
            b"ED" => true,
            b"Ed" => false,
            _ => return None,
        };
        let whole = signature.len() == 64 && global.len() == 64;
        whole.then(|| Self { hashed, id: *id, bytes: signature.to_vec(), comment, global })
    }

    /// As it stands in a `.minisig`.
    pub(crate) fn text(&self) -> String {
        let algorithm: &[u8] = if self.hashed { b"ED" } else { b"Ed" };
        let line = STANDARD.encode([algorithm, &self.id, &self.bytes].concat());
        let global = STANDARD.encode(&self.global);
        format!("{COMMENT}signature from minisign secret key\n{line}\n{TRUSTED}{}\n{global}\n", self.comment)
    }

    /// By whose key it says that it is.
    pub(crate) fn name(&self) -> String {
        name(self.id)
    }

    /// When it says that it was made. Whoever has the key writes there what he likes.
    pub(crate) fn said_at(&self) -> Option<String> {
        let seconds = self.comment.split('\t').find_map(|part| part.strip_prefix("timestamp:"))?;
        let at = jiff::Timestamp::from_second(seconds.parse().ok()?).ok()?;
        Some(at.to_string())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_written_is_read() {
        let value = Secret::fresh(true).unwrap();
        let secret = Secret::read(&value).unwrap();
        let text = value.expose_text().unwrap();
        assert!(text.ends_with('\n') && text.contains(&secret.public().name()));
        let lines = secret.public().lines();
        assert_eq!(Public::read(lines.lines().nth(1).unwrap()).as_ref(), Some(secret.public()));
        let signature = secret.sign(b"hash", "timestamp:1795424803\tfile:f\thashed".to_owned()).unwrap();
        assert_eq!(Signature::read(&signature.text()), Some(signature.clone()));
        assert_eq!(signature.said_at().as_deref(), Some("2026-11-23T09:06:43Z"));
        assert_eq!(secret.public().verify(&signature, b"hash"), Ok(()));
        assert_eq!(secret.public().verify(&signature, b"other"), Err(Refusal::Invalid));
        let changed = Signature { comment: "timestamp:1\tfile:f\thashed".to_owned(), ..signature.clone() };
        assert_eq!(secret.public().verify(&changed, b"hash"), Err(Refusal::Invalid));
        let other = Secret::read(&Secret::fresh(false).unwrap()).unwrap();
        assert_eq!(other.public().verify(&signature, b"hash"), Err(Refusal::OtherKey));
        // A name is what its owner says it is.
        let same_name = Public { id: secret.public().id, ..other.public().clone() };
        assert_eq!(same_name.verify(&signature, b"hash"), Err(Refusal::Invalid));
        assert_ne!(same_name.digest(), secret.public().digest());
        // And the same key by another name takes what the key signs.
        let alias = Public { id: *b"another!", ..secret.public().clone() };
        assert_eq!(alias.verify(&signature, b"hash"), Err(Refusal::OtherKey));
        assert!(alias.is(secret.public()) && alias.digest() == secret.public().digest());
        assert!(alias.takes(&signature, b"hash") && alias.commented(&signature));
        assert!(!same_name.is(secret.public()) && !same_name.takes(&signature, b"hash"));
        assert!(!format!("{secret:?}").contains("seed"));
    }

    #[test]
    fn what_is_no_secret_key_is_said_without_it() {
        let why = |text: &str| Secret::read(&SecretValue::from_text(text.to_owned())).unwrap_err();
        assert!(why("hunter2").contains("no secret key of minisign"));
        assert!(why("untrusted comment: x\n").contains("no secret key of minisign"));
        let secret = Secret::read(&Secret::fresh(false).unwrap()).unwrap();
        assert!(why(&secret.public().lines()).contains("no secret"));
        let mut bytes = b"EdScB2".to_vec();
        bytes.extend([7; 152]);
        assert!(why(&STANDARD.encode(&bytes)).contains("password"));
        bytes.splice(2..4, [0, 0]);
        assert!(why(&STANDARD.encode(&bytes)).contains("damaged"));
        bytes.truncate(60);
        assert!(why(&STANDARD.encode(&bytes)).contains("damaged"));
    }
}
