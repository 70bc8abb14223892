//! zlib (RFC 1950) into memory, with the size known and believed only as far as the input can bear it.

use std::cmp::Ordering;

use flate2::{Decompress, FlushDecompress, Status};

use super::Trouble;

/// Deflate cannot expand by more than this (RFC 1951: a 258-byte match takes at least two bits).
const MAX_RATIO: u64 = 1032;

/// Inflates exactly `size` bytes.
pub(super) fn inflate(state: &mut Decompress, compressed: &[u8], size: u64) -> Result<Vec<u8>, Trouble> {
    let mut out = Vec::new();
    into(state, compressed, size, &mut out)?;
    Ok(out)
}

/// The same into a buffer, whose old content goes.
pub(super) fn into(
    state: &mut Decompress,
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
    state.reset(true);
    // One spare byte tells "exactly full" from "wants to go on".
    out.clear();
    out.reserve(size.saturating_add(1));
    loop {
        let consumed = usize::try_from(state.total_in()).unwrap_or(usize::MAX);
        let input = compressed.get(consumed..).unwrap_or_default();
        let before = (state.total_in(), out.len());
        let status = state
            .decompress_vec(input, out, FlushDecompress::Finish)
            .map_err(|_error| Trouble::Broken("its compressed data is corrupt"))?;
        if status == Status::StreamEnd {
            break;
        }
        if out.len() > size {
            break;
        }
        if before == (state.total_in(), out.len()) {
            return Err(Trouble::Broken("its compressed data is cut off"));
        }
    }
    match out.len().cmp(&size) {
        Ordering::Greater => Err(Trouble::Broken("holds more bytes than it declares")),
        Ordering::Equal => Ok(()),
        Ordering::Less => Err(Trouble::Broken("does not hold as many bytes as it declares")),
    }
}
