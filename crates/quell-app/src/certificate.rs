//! When certificates are good.

use jiff::Timestamp;

/// From when and until when a certificate (DER) is good; `None` for what is no certificate.
pub fn validity(der: &[u8]) -> Option<(Timestamp, Timestamp)> {
    let (from, until) = quell_scan::certificate_validity(der)?;
    Some((from.parse().ok()?, until.parse().ok()?))
}
