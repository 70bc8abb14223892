//! A box that only the owner of a public key can open: libsodium's `crypto_box_seal`.
//!
//! libsodium documentation, "Sealed boxes": an ephemeral X25519 key, the nonce is BLAKE2b-192 of both public keys, XSalsa20-Poly1305 with a key
//! by `HSalsa20`; the ephemeral public key comes first. Made of parts that are here anyway: the crate `crypto_box` 0.9 would bring a second copy
//! of each of them, and 0.10 is not released. The tests open these boxes with libsodium itself.

use blake2::Blake2b;
use blake2::digest::Digest as _;
use blake2::digest::consts::U24;
use curve25519_dalek::MontgomeryPoint;
use poly1305::Poly1305;
use poly1305::universal_hash::KeyInit as _;
use salsa20::XSalsa20;
use salsa20::cipher::consts::U10;
use salsa20::cipher::{KeyIvInit as _, StreamCipher as _};
use zeroize::{Zeroize as _, Zeroizing};

/// `None` for a public key that is none, or without randomness.
pub(crate) fn seal(public: &[u8], message: &[u8]) -> Option<Vec<u8>> {
    let public = MontgomeryPoint(public.try_into().ok()?);
    let mut secret = Zeroizing::new([0_u8; 32]);
    getrandom::fill(secret.as_mut_slice()).ok()?;
    let own = MontgomeryPoint::mul_base_clamped(*secret);
    let mut shared = public.mul_clamped(*secret);
    // A key of small order would make the same box key for everybody.
    if shared.as_bytes().iter().all(|byte| *byte == 0) {
        return None;
    }
    let mut key = salsa20::hsalsa::<U10>(&(*shared.as_bytes()).into(), &[0_u8; 16].into());
    shared.zeroize();
    let nonce = Blake2b::<U24>::new().chain_update(own.as_bytes()).chain_update(public.as_bytes()).finalize();
    let mut stream = XSalsa20::new(&key, &nonce);
    key.zeroize();
    let mut tag_key = Zeroizing::new([0_u8; 32]);
    stream.apply_keystream(tag_key.as_mut_slice());
    let mut text = message.to_vec();
    stream.apply_keystream(&mut text);
    let tag = Poly1305::new(&(*tag_key).into()).compute_unpadded(&text);
    Some([own.as_bytes().as_slice(), tag.as_slice(), &text].concat())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_box_is_longer_by_48_bytes_and_never_the_same() {
        let public = MontgomeryPoint::mul_base_clamped([7; 32]);
        let (one, other) =
            (seal(public.as_bytes(), b"hunter2").unwrap(), seal(public.as_bytes(), b"hunter2").unwrap());
        assert_eq!(one.len(), 7 + 48);
        assert_ne!(one, other);
        assert!(seal(&[0; 32], b"x").is_none(), "a point of small order");
        assert!(seal(&[9; 31], b"x").is_none());
    }
}
