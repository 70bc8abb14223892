//! Private keys in PEM: type, size, and whether a passphrase protects them.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD_NO_PAD;
use zeroize::Zeroizing;

use super::der::{self, Der, INTEGER, OCTETS, OID, SEQUENCE};
use super::{Details, pgp, put};

/// A key of more bytes is not read.
const MAX_BODY: usize = 32 << 10;

pub(super) fn read(secret: &[u8], all: &mut Details) {
    let Some((label, block)) = block(secret) else { return };
    let body = Body::read(block);
    let encrypted = body.encrypted;
    let known = match label {
        "RSA PRIVATE KEY" if encrypted => {
            named("PKCS#1", "RSA", all);
            Some(())
        }
        "RSA PRIVATE KEY" => pkcs1(&body.bytes, "PKCS#1", all),
        "EC PRIVATE KEY" if encrypted => {
            named("SEC 1", "EC", all);
            Some(())
        }
        "EC PRIVATE KEY" => sec1(&body.bytes, None, all),
        "DSA PRIVATE KEY" => {
            named("OpenSSL", "DSA", all);
            Some(())
        }
        "PRIVATE KEY" => pkcs8(&body.bytes, all),
        "ENCRYPTED PRIVATE KEY" => {
            put(all, "format", "PKCS#8");
            put(all, "encrypted", "yes");
            return;
        }
        // These say by themselves whether they are encrypted.
        "OPENSSH PRIVATE KEY" => openssh(&body.bytes, all),
        "PGP PRIVATE KEY BLOCK" => pgp::read(&body.bytes, all),
        _ => None,
    };
    if known.is_some() && !all.contains_key("encrypted") {
        put(all, "encrypted", if encrypted { "yes" } else { "no" });
    }
}

/// The label and what is between the two lines.
pub(super) fn block(text: &[u8]) -> Option<(&str, &[u8])> {
    let rest = text.strip_prefix(b"-----BEGIN ")?;
    let end = rest.get(..64.min(rest.len()))?.windows(5).position(|window| window == b"-----")?;
    let label = std::str::from_utf8(rest.get(..end)?).ok()?;
    let body = rest.get(end + 5..)?;
    let end = body.windows(9).position(|window| window == b"-----END ")?;
    Some((label, body.get(..end)?))
}

/// A decoded body, wiped on drop.
pub(super) struct Body {
    pub(super) bytes: Zeroizing<Vec<u8>>,
    encrypted: bool,
}

impl Body {
    /// Reads lines that may be indented, quoted, or separated by a written `\n`.
    pub(super) fn read(block: &[u8]) -> Self {
        let mut text = Zeroizing::new(Vec::with_capacity(block.len()));
        let mut encrypted = false;
        let block = block.get(..MAX_BODY * 2).unwrap_or(block);
        let mut rest = block;
        while !rest.is_empty() {
            let (line, after) = line(rest);
            rest = after;
            if line.contains(&b':') {
                // `Proc-Type: 4,ENCRYPTED` of RFC 1421; other headers say nothing of interest.
                encrypted |= line.windows(9).any(|window| window == b"ENCRYPTED");
                continue;
            }
            let trimmed = line.trim_ascii();
            if trimmed.first() == Some(&b'=') {
                continue; // The checksum of RFC 9580, section 6.1.
            }
            let data = |byte: &&u8| byte.is_ascii_alphanumeric() || matches!(byte, b'+' | b'/');
            text.extend(line.iter().filter(data));
        }
        let bytes = if text.len() <= MAX_BODY { STANDARD_NO_PAD.decode(&*text).ok() } else { None };
        Self { bytes: Zeroizing::new(bytes.unwrap_or_default()), encrypted }
    }
}

/// Up to a line break, as a byte or as its escape in JSON and in source code.
fn line(text: &[u8]) -> (&[u8], &[u8]) {
    let end = text.iter().position(|byte| matches!(byte, b'\n' | b'\r' | b'\\')).unwrap_or(text.len());
    let (line, rest) = text.split_at_checked(end).unwrap_or((text, &[]));
    let slashes = rest.iter().take_while(|byte| **byte == b'\\').count();
    let rest = rest.get(slashes..).unwrap_or_default();
    // After a backslash one more byte belongs to the escape; otherwise it is the line break itself.
    (line, rest.get(1..).unwrap_or_default())
}

fn named(format: &str, kind: &str, all: &mut Details) {
    put(all, "format", format);
    put(all, "type", kind);
}

/// RFC 8017, appendix A.1.2: version, modulus, …
fn pkcs1(der: &[u8], format: &str, all: &mut Details) -> Option<()> {
    let mut key = Der(der).inside(SEQUENCE)?;
    key.expect(INTEGER)?;
    let modulus = key.expect(INTEGER)?;
    named(format, "RSA", all);
    put(all, "bits", &der::bits(modulus).to_string());
    Some(())
}

/// RFC 5915, section 3: version, key, curve.
fn sec1(der: &[u8], curve: Option<&'static str>, all: &mut Details) -> Option<()> {
    let mut key = Der(der).inside(SEQUENCE)?;
    key.expect(INTEGER)?;
    key.expect(OCTETS)?;
    let inside = key.inside(0xa0).and_then(|mut curve| curve.expect(OID)).and_then(der::name);
    named("SEC 1", "EC", all);
    put(all, "curve", curve.or(inside).unwrap_or_default());
    Some(())
}

/// RFC 5958, section 2: version, algorithm, key.
fn pkcs8(der: &[u8], all: &mut Details) -> Option<()> {
    let mut key = Der(der).inside(SEQUENCE)?;
    key.expect(INTEGER)?;
    let mut algorithm = key.inside(SEQUENCE)?;
    let kind = der::name(algorithm.expect(OID)?)?;
    let inner = key.expect(OCTETS)?;
    match kind {
        "RSA" => pkcs1(inner, "PKCS#8", all),
        "EC" => {
            named("PKCS#8", "EC", all);
            put(all, "curve", algorithm.expect(OID).and_then(der::name).unwrap_or_default());
            Some(())
        }
        other => {
            named("PKCS#8", other, all);
            Some(())
        }
    }
}

/// OpenSSH's `PROTOCOL.key`: magic, cipher, kdf, its options, number of keys, public key, …
fn openssh(body: &[u8], all: &mut Details) -> Option<()> {
    let mut rest = body.strip_prefix(b"openssh-key-v1\0")?;
    let cipher = string(&mut rest)?;
    let (_kdf, _options) = (string(&mut rest)?, string(&mut rest)?);
    let count = rest.split_off(..4)?;
    let mut public = string(&mut rest).filter(|_| count == [0, 0, 0, 1])?;
    let kind = std::str::from_utf8(string(&mut public)?).ok()?;
    named("OpenSSH", kind, all);
    if kind == "ssh-rsa" {
        let (_exponent, modulus) = (string(&mut public)?, string(&mut public)?);
        put(all, "bits", &der::bits(modulus).to_string());
    }
    put(all, "encrypted", if cipher == b"none" { "no" } else { "yes" });
    Some(())
}

/// A string of RFC 4251, section 5: four bytes of length, then the bytes.
fn string<'a>(rest: &mut &'a [u8]) -> Option<&'a [u8]> {
    let length = rest.split_off(..4)?.iter().fold(0_usize, |sum, byte| sum << 8 | usize::from(*byte));
    rest.split_off(..length)
}
