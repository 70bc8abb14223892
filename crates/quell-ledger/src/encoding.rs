//! Strict text encodings. Each has exactly one accepted spelling of a value, so that no flipped bit goes unseen.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use sha2::{Digest as _, Sha256};

use crate::tree::Hash;

/// SHA-256 of the parts, one after the other.
pub(crate) fn sha256(parts: &[&[u8]]) -> Hash {
    let mut hasher = Sha256::new();
    for part in parts {
        hasher.update(part);
    }
    hasher.finalize().into()
}

/// RFC 4648 §4 with padding.
pub(crate) fn b64(bytes: &[u8]) -> String {
    STANDARD.encode(bytes)
}

/// The reverse of [`b64`]; refuses missing padding and non-zero trailing bits.
pub(crate) fn unb64(text: &str) -> Option<Vec<u8>> {
    STANDARD.decode(text).ok().filter(|bytes| STANDARD.encode(bytes) == text)
}

/// Base64 of exactly `N` bytes.
pub(crate) fn unb64_array<const N: usize>(text: &str) -> Option<[u8; N]> {
    unb64(text)?.try_into().ok()
}

/// Lower-case hex of exactly 32 bytes.
pub(crate) fn unhex_hash(text: &str) -> Option<Hash> {
    let mut hash = [0_u8; 32];
    hex::decode_to_slice(text, &mut hash).ok()?;
    (hex::encode(hash) == text).then_some(hash)
}

/// ASCII decimal without sign or leading zeroes.
pub(crate) fn decimal(text: &str) -> Option<u64> {
    text.parse::<u64>().ok().filter(|value| value.to_string() == text)
}

/// A foreign text cut for an error message: one line, at most 60 characters, nothing that moves a cursor.
pub(crate) fn shown(text: &str) -> String {
    let mut cut: String = text.chars().take(60).flat_map(char::escape_debug).collect();
    if text.chars().nth(60).is_some() {
        cut.push('…');
    }
    cut
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_one_spelling_is_accepted() {
        assert_eq!(unb64("AAE="), Some(vec![0, 1]));
        for bad in ["AAE", "AAF=", "AAE=\n", " AAE=", "AA-_"] {
            assert_eq!(unb64(bad), None, "{bad}");
        }
        assert_eq!(decimal("10"), Some(10));
        for bad in ["", "+1", "01", "-1", "1 ", "18446744073709551616"] {
            assert_eq!(decimal(bad), None, "{bad}");
        }
        assert!(unhex_hash(&"ab".repeat(32)).is_some());
        assert_eq!(unhex_hash(&"AB".repeat(32)), None);
        assert_eq!(shown("a\nb"), "a\\nb");
    }
}
