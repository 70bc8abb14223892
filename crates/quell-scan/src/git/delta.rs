//! Deltas of packs: <https://git-scm.com/docs/pack-format#_deltified_representation>.

use super::Trouble;
use crate::engine::Piece;

const CUT_OFF: Trouble = Trouble::Broken("its delta is cut off");

/// Copies shorter than this count as new bytes: to search them costs less than to keep books about them.
const MIN_PIECE: usize = 32;

/// Rebuilds an object from its base.
pub(super) fn apply(base: &[u8], delta: &[u8], limit: u64) -> Result<Vec<u8>, Trouble> {
    let mut out = Vec::new();
    apply_into(base, delta, limit, &mut out, &mut Vec::new())?;
    Ok(out)
}

/// The same into a buffer, whose old content goes, with the parts of it that are the base's.
pub(super) fn apply_into(
    base: &[u8],
    delta: &[u8],
    limit: u64,
    out: &mut Vec<u8>,
    pieces: &mut Vec<Piece>,
) -> Result<(), Trouble> {
    out.clear();
    pieces.clear();
    let mut rest = delta;
    let base_size = size(&mut rest)?;
    let result_size = size(&mut rest)?;
    if base_size != u64::try_from(base.len()).unwrap_or(u64::MAX) {
        return Err(Trouble::Broken("its delta is for another base"));
    }
    if result_size > limit {
        return Err(Trouble::TooLarge(result_size, limit));
    }
    let result_size = usize::try_from(result_size).map_err(|_large| CUT_OFF)?;
    // The declared size is not believed before the instructions have borne it out.
    out.reserve(result_size.min(1 << 20));
    let mut last = Piece::default();
    while let Some((command, after)) = rest.split_first() {
        rest = after;
        let piece = if command & 0x80 != 0 {
            let offset = number(*command, 4, &mut rest)?;
            let length = match number(command >> 4, 3, &mut rest)? {
                0 => 0x1_0000,
                length => length,
            };
            let to = out.len();
            if last.from + last.length == offset && last.to + last.length == to {
                // A long copy is cut into several instructions; there is no seam between them.
                last.length = last.length.saturating_add(length);
            } else {
                pieces.extend(Some(last).filter(|piece| piece.length >= MIN_PIECE));
                last = Piece { to, from: offset, length };
            }
            base.get(offset..offset.saturating_add(length))
                .ok_or(Trouble::Broken("its delta copies from beyond its base"))?
        } else if *command == 0 {
            return Err(Trouble::Broken("its delta has a reserved instruction"));
        } else {
            let (piece, after) = rest.split_at_checked(usize::from(*command)).ok_or(CUT_OFF)?;
            rest = after;
            piece
        };
        if out.len().saturating_add(piece.len()) > result_size {
            return Err(Trouble::Broken("its delta makes more bytes than it declares"));
        }
        out.extend_from_slice(piece);
    }
    pieces.extend(Some(last).filter(|piece| piece.length >= MIN_PIECE));
    if out.len() == result_size {
        Ok(())
    } else {
        Err(Trouble::Broken("its delta makes fewer bytes than it declares"))
    }
}

/// A size: seven bits a byte, low ones first.
fn size(rest: &mut &[u8]) -> Result<u64, Trouble> {
    let mut value = 0_u64;
    for shift in (0..63).step_by(7) {
        let (byte, after) = rest.split_first().ok_or(CUT_OFF)?;
        *rest = after;
        value |= u64::from(byte & 0x7f) << shift;
        if byte & 0x80 == 0 {
            return Ok(value);
        }
    }
    Err(Trouble::Broken("its delta declares an impossible size"))
}

/// The bytes of an offset or length that the low bits of a copy instruction announce.
fn number(bits: u8, bytes: u32, rest: &mut &[u8]) -> Result<usize, Trouble> {
    let mut value = 0_usize;
    for index in 0..bytes {
        if bits >> index & 1 == 1 {
            let (byte, after) = rest.split_first().ok_or(CUT_OFF)?;
            *rest = after;
            value |= usize::from(*byte) << (8 * index);
        }
    }
    Ok(value)
}
