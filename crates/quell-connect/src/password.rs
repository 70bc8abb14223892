//! Passwords that Quell chooses.

use zeroize::Zeroizing;

/// Bytes of randomness in a chosen password.
const BYTES: usize = 32;

/// A fresh password of 256 bits. Letters and digits only: it needs no quoting in a URL, a shell or a file.
pub(crate) fn random() -> Result<Zeroizing<String>, &'static str> {
    let mut bytes = Zeroizing::new([0_u8; BYTES]);
    getrandom::fill(bytes.as_mut_slice()).map_err(|_e| "the system gave no randomness")?;
    Ok(Zeroizing::new(hex::encode(bytes.as_slice())))
}
