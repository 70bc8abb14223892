//! The X.509 certificate beside a private key (RFC 5280): whose it is and how long it lasts.

use std::ops::Range;

use super::der::{Der, INTEGER, OID, SEQUENCE, SET};
use super::pem::{self, Body};
use super::{CERTIFICATE_WITHIN, Details, put};

const BEGIN: &[u8] = b"-----BEGIN CERTIFICATE-----";

/// Reads the first certificate after a key, or else the last one before it.
pub(super) fn beside(bytes: &[u8], key: &Range<usize>, all: &mut Details) {
    let low = key.start.saturating_sub(CERTIFICATE_WITHIN);
    let high = key.end.saturating_add(CERTIFICATE_WITHIN).min(bytes.len());
    let after = bytes.get(key.end..high).unwrap_or_default();
    let before = bytes.get(low..key.start).unwrap_or_default();
    let starts = |text: &[u8]| text.windows(BEGIN.len()).position(|window| window == BEGIN);
    let last = |text: &[u8]| text.windows(BEGIN.len()).rposition(|window| window == BEGIN);
    let first_after = starts(after).and_then(|at| after.get(at..));
    let last_before = last(before).and_then(|at| before.get(at..));
    for text in [first_after, last_before].into_iter().flatten() {
        if pem::block(text).and_then(|(_, block)| read(&Body::read(block).bytes, all)).is_some() {
            return;
        }
    }
}

/// From when and until when a certificate (DER) is good, as RFC 3339 has it; `None` for what is no certificate.
pub fn certificate_validity(der: &[u8]) -> Option<(String, String)> {
    let (mut validity, _) = validity(der)?;
    Some((time(validity.next()?)?, time(validity.next()?)?))
}

fn read(der: &[u8], all: &mut Details) -> Option<()> {
    let (mut validity, mut body) = validity(der)?;
    validity.next()?;
    let not_after = validity.next()?;
    let subject = body.inside(SEQUENCE)?;
    put(all, "certificate_subject", &names(subject));
    put(all, "certificate_not_after", &time(not_after)?);
    Some(())
}

/// A certificate's body is version, serial, signature, issuer, validity, subject, …: the validity, and what follows it.
fn validity(der: &[u8]) -> Option<(Der<'_>, Der<'_>)> {
    let mut body = Der(der).inside(SEQUENCE)?.inside(SEQUENCE)?;
    let mut ahead = body;
    if ahead.next()?.0 == 0xa0 {
        body = ahead;
    }
    body.expect(INTEGER)?;
    body.expect(SEQUENCE)?;
    body.expect(SEQUENCE)?;
    let validity = body.inside(SEQUENCE)?;
    Some((validity, body))
}

/// `CN=…, O=…`: the common name, the organization and its unit.
fn names(mut subject: Der<'_>) -> String {
    let mut out = Vec::new();
    while let Some(mut pair) = subject.inside(SET).and_then(|mut set| set.inside(SEQUENCE)) {
        let Some(kind) = pair.expect(OID) else { break };
        let Some(text) = pair.next().and_then(|(_, text)| std::str::from_utf8(text).ok()) else { break };
        match kind {
            [0x55, 0x04, 0x03] => out.push(format!("CN={text}")),
            [0x55, 0x04, 0x0a] => out.push(format!("O={text}")),
            [0x55, 0x04, 0x0b] => out.push(format!("OU={text}")),
            _ => {}
        }
    }
    out.join(", ")
}

/// `YYMMDDhhmmssZ` or `YYYYMMDDhhmmssZ` (RFC 5280, section 4.1.2.5) as RFC 3339 has it.
fn time((tag, text): (u8, &[u8])) -> Option<String> {
    let text = std::str::from_utf8(text).ok()?.strip_suffix('Z')?;
    if !text.bytes().all(|byte| byte.is_ascii_digit()) {
        return None;
    }
    let full = match (tag, text.len()) {
        (0x17, 12) if text < "5" => format!("20{text}"),
        (0x17, 12) => format!("19{text}"),
        (0x18, 14) => text.to_owned(),
        _ => return None,
    };
    let part = |range| full.get(range);
    Some(format!(
        "{}-{}-{}T{}:{}:{}Z",
        part(0..4)?,
        part(4..6)?,
        part(6..8)?,
        part(8..10)?,
        part(10..12)?,
        part(12..14)?
    ))
}
