//! Keyed hash of a value: how a finding is matched to a secret without keeping the value.

use std::fmt;
use std::str::FromStr;

use hmac::{Hmac, KeyInit as _, Mac as _};
use serde::{Deserialize, Serialize};
use sha2::Sha256;
use zeroize::Zeroizing;

use super::SecretValue;
use crate::id::BadId;

/// The installation's fingerprint key (32 bytes). Without it a low-entropy password could be guessed from a log.
pub struct FingerprintKey(Box<Zeroizing<[u8; 32]>>);

impl FingerprintKey {
    /// Wraps key bytes that the caller unsealed.
    pub fn new(bytes: [u8; 32]) -> Self {
        Self(Box::new(Zeroizing::new(bytes)))
    }

    /// HMAC-SHA-256 (RFC 2104) of the value, cut to 16 bytes.
    pub fn fingerprint(&self, value: &SecretValue) -> Fingerprint {
        self.fingerprint_bytes(value.expose())
    }

    /// The same for bytes that are not owned, such as a scanner's match.
    pub fn fingerprint_bytes(&self, value: &[u8]) -> Fingerprint {
        #[expect(clippy::expect_used, reason = "HMAC takes a key of any length")]
        let mut mac = Hmac::<Sha256>::new_from_slice(self.0.as_slice()).expect("any key length is fine");
        mac.update(b"quell-fingerprint-v1\0");
        mac.update(value);
        let full = mac.finalize().into_bytes();
        let mut cut = [0_u8; 16];
        for (to, from) in cut.iter_mut().zip(full) {
            *to = from;
        }
        Fingerprint(cut)
    }
}

impl fmt::Debug for FingerprintKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("FingerprintKey(…)")
    }
}

/// The name of a value: `fp:` and 32 hex digits. Safe to show, store and compare.
#[derive(Clone, Copy, Debug, Eq, Hash, Ord, PartialEq, PartialOrd)]
pub struct Fingerprint([u8; 16]);

impl fmt::Display for Fingerprint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "fp:{}", hex::encode(self.0))
    }
}

impl FromStr for Fingerprint {
    type Err = BadId;

    fn from_str(text: &str) -> Result<Self, BadId> {
        let bad = || BadId { text: text.to_owned(), expected: "a fingerprint: `fp:` and 32 hex digits" };
        let mut bytes = [0_u8; 16];
        hex::decode_to_slice(text.strip_prefix("fp:").ok_or_else(bad)?, &mut bytes).map_err(|_e| bad())?;
        Ok(Self(bytes))
    }
}

impl Serialize for Fingerprint {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for Fingerprint {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        String::deserialize(deserializer)?.parse().map_err(serde::de::Error::custom)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_key_decides_the_fingerprint() {
        let value = SecretValue::from_text("same".to_owned());
        let one = FingerprintKey::new([1; 32]).fingerprint(&value);
        assert_eq!(one, FingerprintKey::new([1; 32]).fingerprint(&value));
        assert_ne!(one, FingerprintKey::new([2; 32]).fingerprint(&value));
        assert_eq!(one.to_string().parse::<Fingerprint>().unwrap(), one);
        insta::assert_snapshot!(format!("{:?}", FingerprintKey::new([1; 32])), @"FingerprintKey(…)");
    }
}
