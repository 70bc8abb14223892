//! One line of `TradePulse`'s: whether its record is what its hash says, and who signed it.

use aws_lc_rs::hmac;
use jiff::Timestamp;
use serde_json::value::RawValue;
use sha2::{Digest as _, Sha256};

use super::canonical::{self, Texts, iso};
use crate::format::tradepulse::{self, Record};

/// What stands in details in place of a value in `TradePulse`'s ordinary log; the signature is of the value.
const REDACTED: &str = "\"[REDACTED]\"";

/// A longer record is none: each of its levels is read once more.
const MAX_RECORD: usize = 4 << 20;

/// The hash before the first record.
pub(super) const GENESIS: &str = "0000000000000000000000000000000000000000000000000000000000000000";

/// What one line is worth.
#[derive(Debug)]
pub(super) struct Checked {
    pub(super) at: Timestamp,
    /// Where it stands in a chain; `None` for a record outside of a store.
    pub(super) link: Option<Link>,
    /// Whether the record is what its hash says.
    pub(super) is_whole: bool,
    pub(super) signature: Signature,
}

/// The place of a record in its chain.
#[derive(Debug)]
pub(super) struct Link {
    pub(super) sequence: u64,
    pub(super) record: String,
    pub(super) chain: String,
}

/// Whether a record was signed with one of the keys.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum Signature {
    /// It was.
    Fits,
    /// With none of them.
    Other,
    /// With none of them as it stands here, but a value was taken out of it.
    Redacted,
    /// There are no keys.
    Unchecked,
}

/// Reads a line; `None` if it is no record.
pub(super) fn line(bytes: &[u8], keys: &[hmac::Key]) -> Option<Checked> {
    if bytes.len() > MAX_RECORD {
        return None;
    }
    let (envelope, record) = tradepulse::unwrap(bytes).ok()?;
    let mut is_whole = true;
    let link = match (envelope.sequence, envelope.record_hash, envelope.chain_hash) {
        (None, None, None) => None,
        (Some(sequence), Some(hash), Some(chain)) if is_hash(&hash) && is_hash(&chain) => {
            is_whole = is_of(envelope.record?, &hash);
            Some(Link { sequence, record: hash, chain })
        }
        _ => return None,
    };
    Some(Checked { at: record.timestamp, link, is_whole, signature: signature(&record, keys) })
}

/// The hash of a chain with one more record.
pub(super) fn next(chain: &str, record: &str) -> String {
    hex::encode(Sha256::new().chain_update(chain).chain_update(record).finalize())
}

fn is_hash(text: &str) -> bool {
    text.len() == 64 && text.bytes().all(|byte| matches!(byte, b'0'..=b'9' | b'a'..=b'f'))
}

/// As it stands there, or as it stood before somebody who ships logs wrote the JSON anew.
fn is_of(record: &RawValue, hash: &str) -> bool {
    let fits = |text: &str| hex::encode(Sha256::digest(text)) == hash;
    let mut written = String::new();
    fits(record.get()) || canonical::value(record, Texts::Plain, &mut written).is_some() && fits(&written)
}

fn signature(record: &Record<'_>, keys: &[hmac::Key]) -> Signature {
    if keys.is_empty() {
        return Signature::Unchecked;
    }
    let given = hex::decode(&record.signature).unwrap_or_default();
    // Times among the details are signed in Python's words and stored in pydantic's: TradePulse cannot check these itself.
    for texts in [Texts::Ascii, Texts::AsciiTimes] {
        let Some(signed) = signed(record, texts) else { continue };
        if keys.iter().any(|key| hmac::verify(key, signed.as_bytes(), &given).is_ok()) {
            return Signature::Fits;
        }
    }
    if record.details.is_some_and(|details| details.get().contains(REDACTED)) {
        Signature::Redacted
    } else {
        Signature::Other
    }
}

/// What is signed: everything but the signature, sorted.
fn signed(record: &Record<'_>, texts: Texts) -> Option<String> {
    let mut out = String::from("{\"actor\":");
    canonical::text(&record.actor, Texts::Ascii, &mut out);
    out.push_str(",\"details\":");
    match record.details {
        Some(details) => canonical::value(details, texts, &mut out)?,
        None => out.push_str("{}"),
    }
    out.push_str(",\"event_type\":");
    canonical::text(&record.event_type, Texts::Ascii, &mut out);
    out.push_str(",\"ip_address\":");
    canonical::text(&record.ip_address, Texts::Ascii, &mut out);
    out.push_str(",\"timestamp\":");
    canonical::text(&iso(record.timestamp), Texts::Ascii, &mut out);
    out.push('}');
    Some(out)
}
