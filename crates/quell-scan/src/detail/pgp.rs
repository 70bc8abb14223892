//! `OpenPGP` private keys (RFC 9580, and RFC 4880 before it).

use super::{Details, put, put_time};

/// Packets looked at for the user's name.
const MAX_PACKETS: usize = 16;

pub(super) fn read(mut body: &[u8], all: &mut Details) -> Option<()> {
    let (5, key) = packet(&mut body)? else { return None };
    let (4, rest) = key.split_first().map(|(version, rest)| (*version, rest))? else {
        put(all, "format", "OpenPGP");
        return None;
    };
    let (created, rest) = rest.split_at_checked(4)?;
    let (algorithm, rest) = rest.split_first()?;
    put(all, "format", "OpenPGP");
    let created = created.iter().fold(0_i64, |sum, byte| sum << 8 | i64::from(*byte));
    put_time(all, "created", created);
    let protection = match algorithm {
        1..=3 => {
            put(all, "type", "RSA");
            put(all, "bits", &mpi_bits(rest)?.to_string());
            mpi(mpi(rest)?)
        }
        17 => {
            put(all, "type", "DSA");
            None
        }
        19 | 22 => {
            put(all, "type", if *algorithm == 19 { "ECDSA" } else { "EdDSA" });
            let (length, rest) = rest.split_first()?;
            mpi(rest.get(usize::from(*length)..)?)
        }
        27 => {
            put(all, "type", "Ed25519");
            rest.get(32..)
        }
        _ => None,
    };
    if let Some(usage) = protection.and_then(<[u8]>::first) {
        put(all, "encrypted", if *usage == 0 { "no" } else { "yes" });
    }
    for _ in 0..MAX_PACKETS {
        let (tag, content) = packet(&mut body)?;
        if tag == 13 {
            put(all, "user", std::str::from_utf8(content).ok()?);
            break;
        }
    }
    Some(())
}

/// The next packet's tag and content (section 4.2). Partial lengths are not read.
fn packet<'a>(body: &mut &'a [u8]) -> Option<(u8, &'a [u8])> {
    let header = *body.split_off_first()?;
    let big = |bytes: &[u8]| bytes.iter().fold(0_usize, |sum, byte| sum << 8 | usize::from(*byte));
    let (tag, length) = if header & 0xc0 == 0xc0 {
        let length = match *body.split_off_first()? {
            short @ 0..192 => usize::from(short),
            first @ 192..224 => {
                let second = *body.split_off_first()?;
                (usize::from(first) - 192) * 256 + usize::from(second) + 192
            }
            255 => big(body.split_off(..4)?),
            _ => return None,
        };
        (header & 0x3f, length)
    } else if header & 0x80 != 0 {
        let size = match header & 3 {
            0 => 1,
            1 => 2,
            2 => 4,
            _ => return None,
        };
        (header >> 2 & 0x0f, big(body.split_off(..size)?))
    } else {
        return None;
    };
    Some((tag, body.split_off(..length)?))
}

/// The size of the number at the start (section 3.2).
fn mpi_bits(bytes: &[u8]) -> Option<usize> {
    let (size, _) = bytes.split_at_checked(2)?;
    Some(size.iter().fold(0_usize, |sum, byte| sum << 8 | usize::from(*byte)))
}

/// What follows the number at the start.
fn mpi(bytes: &[u8]) -> Option<&[u8]> {
    bytes.get(2 + mpi_bits(bytes)?.div_ceil(8)..)
}
