//! Signatures of what Quell sends, so that a receiver can tell it from anybody else's.
//!
//! `v1` = HMAC-SHA-256 (RFC 2104) over `<timestamp>.<raw body>`, as hex: the shape that Stripe and Slack use, so
//! that receivers know it. The timestamp (Unix seconds) is signed with the body; a receiver refuses old ones.

use hmac::{Hmac, KeyInit as _, Mac as _};
use jiff::Timestamp;
use quell_core::secret::SecretValue;
use sha2::Sha256;

use crate::error::ConnectError;
use crate::error::ConnectErrorKind;

/// Carries `v1=<hex>`.
pub(crate) const SIGNATURE: &str = "X-Quell-Signature";
/// Carries Unix seconds.
pub(crate) const TIMESTAMP: &str = "X-Quell-Timestamp";
/// Shorter keys can be guessed.
const KEY_MIN: usize = 16;

/// `v1=<hex>` over `<timestamp>.<body>`.
pub(crate) fn signature(key: &SecretValue, timestamp: i64, body: &[u8]) -> Result<String, ConnectError> {
    let failed = |why| ConnectError::new("signature", "signing", ConnectErrorKind::Denied, why);
    if key.expose().len() < KEY_MIN {
        return Err(failed("the key is shorter than 16 bytes; make a longer one"));
    }
    let mut mac =
        Hmac::<Sha256>::new_from_slice(key.expose()).map_err(|_e| failed("the key cannot be used"))?;
    mac.update(timestamp.to_string().as_bytes());
    mac.update(b".");
    mac.update(body);
    Ok(format!("v1={}", hex::encode(mac.finalize().into_bytes())))
}

/// The moment of sending.
#[expect(
    clippy::disallowed_methods,
    reason = "a signature and a log line need the wall clock; the receiver checks the replay window"
)]
pub(crate) fn wall_clock() -> Timestamp {
    Timestamp::now()
}

#[cfg(test)]
mod tests {
    use sha2::Digest as _;

    use super::*;

    /// RFC 2104 written out, so that the test does not trust the library under test.
    fn by_hand(key: &[u8], message: &[u8]) -> String {
        let mut block = [0_u8; 64];
        block[..key.len()].copy_from_slice(key);
        let inner = Sha256::digest([block.map(|b| b ^ 0x36).as_slice(), message].concat());
        let outer = Sha256::digest([block.map(|b| b ^ 0x5c).as_slice(), inner.as_slice()].concat());
        hex::encode(outer)
    }

    #[test]
    fn a_receiver_can_verify_by_hand() {
        let key = SecretValue::from_text("a key of the receiver".to_owned());
        let told = signature(&key, 1_767_225_600, br#"{"id":"n-1"}"#).unwrap();
        assert_eq!(told, format!("v1={}", by_hand(b"a key of the receiver", br#"1767225600.{"id":"n-1"}"#)));
    }

    #[test]
    fn a_short_key_is_refused() {
        let error = signature(&SecretValue::from_text("short".to_owned()), 0, b"").unwrap_err();
        assert_eq!(error.kind, ConnectErrorKind::Denied);
    }
}
