//! Opens sealed boxes of libsodium ("Sealed boxes").

use blake2::Blake2b;
use blake2::digest::Digest as _;
use blake2::digest::consts::U24;
use curve25519_dalek::MontgomeryPoint;
use poly1305::Poly1305;
use poly1305::universal_hash::KeyInit as _;
use salsa20::XSalsa20;
use salsa20::cipher::consts::U10;
use salsa20::cipher::{KeyIvInit as _, StreamCipher as _};

/// The private key of a number.
pub(super) fn private(number: u8) -> [u8; 32] {
    [number.wrapping_add(40); 32]
}

pub(super) fn public(number: u8) -> [u8; 32] {
    MontgomeryPoint::mul_base_clamped(private(number)).to_bytes()
}

/// `None` for a box that is for another key, or changed.
pub(super) fn open(number: u8, sealed: &[u8]) -> Option<String> {
    let (sender, rest) = sealed.split_at_checked(32)?;
    let (tag, text) = rest.split_at_checked(16)?;
    let sender: [u8; 32] = sender.try_into().ok()?;
    let shared = MontgomeryPoint(sender).mul_clamped(private(number));
    let key = salsa20::hsalsa::<U10>(&shared.to_bytes().into(), &[0_u8; 16].into());
    let nonce = Blake2b::<U24>::new().chain_update(sender).chain_update(public(number)).finalize();
    let mut stream = XSalsa20::new(&key, &nonce);
    let mut tag_key = [0_u8; 32];
    stream.apply_keystream(&mut tag_key);
    if Poly1305::new(&tag_key.into()).compute_unpadded(text).as_slice() != tag {
        return None;
    }
    let mut text = text.to_vec();
    stream.apply_keystream(&mut text);
    String::from_utf8(text).ok()
}
