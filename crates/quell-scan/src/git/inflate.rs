//! zlib (RFC 1950) into memory, with the size known and believed only as far as the input can bear it.

use libdeflater::DecompressionError;

use super::Trouble;

/// Deflate cannot expand by more than this (RFC 1951: a 258-byte match takes at least two bits).
const MAX_RATIO: u64 = 1032;

/// What a thread needs to inflate; it may be used again and again.
pub(super) struct Inflater(libdeflater::Decompressor);

impl Inflater {
    pub(super) fn new() -> Self {
        Self(libdeflater::Decompressor::new())
    }
}

impl std::fmt::Debug for Inflater {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Inflater")
    }
}

/// Inflates exactly `size` bytes.
pub(super) fn inflate(state: &mut Inflater, compressed: &[u8], size: u64) -> Result<Vec<u8>, Trouble> {
    let mut out = Vec::new();
    into(state, compressed, size, &mut out)?;
    Ok(out)
}

/// The same into a buffer, whose old content goes.
pub(super) fn into(
    state: &mut Inflater,
    compressed: &[u8],
    size: u64,
    out: &mut Vec<u8>,
) -> Result<(), Trouble> {
    let possible =
        u64::try_from(compressed.len()).unwrap_or(u64::MAX).saturating_mul(MAX_RATIO).saturating_add(64);
    if size > possible {
        return Err(Trouble::Broken("declares more bytes than its data can hold"));
    }
    let size = usize::try_from(size).map_err(|_large| Trouble::Broken("is larger than the address space"))?;
    // What the buffer held before is overwritten, not cleared.
    out.resize(size, 0);
    match state.0.zlib_decompress(compressed, out) {
        Ok(made) if made == size => Ok(()),
        Ok(_fewer) => Err(Trouble::Broken("does not hold as many bytes as it declares")),
        Err(DecompressionError::InsufficientSpace) => {
            Err(Trouble::Broken("holds more bytes than it declares"))
        }
        Err(DecompressionError::BadData) => Err(Trouble::Broken("its compressed data is corrupt or cut off")),
    }
}
