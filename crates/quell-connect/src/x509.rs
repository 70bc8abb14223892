//! Certificates as PEM: which one it is, and whether a client that looks at the revocation list would trust it.
//!
//! Grammar: RFC 5280, 4.1 (the serial number), RFC 7468 (PEM). Trust is decided by the TLS library's own verifier, as a client's.

use std::sync::Arc;

use quell_core::secret::SecretValue;
use rustls::client::WebPkiServerVerifier;
use rustls::client::danger::ServerCertVerifier as _;
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, CertificateRevocationListDer, ServerName, UnixTime};
use rustls::{CertificateError, Error, RootCertStore};
use zeroize::Zeroizing;

/// A certificate with its chain, and the key that may stand beside them.
pub(crate) struct Bundle {
    certificates: Vec<CertificateDer<'static>>,
    /// The first certificate as written.
    pub(crate) leaf: String,
    /// The private key as written.
    pub(crate) key: Option<Zeroizing<String>>,
    /// `54:e7:2a`, as OpenBao and openssl show it.
    pub(crate) serial: String,
}

/// What a client says to a certificate.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(crate) enum Trust {
    Expired,
    Good,
    Revoked,
    Unclear(String),
}

impl Bundle {
    /// Takes a value apart. Failures never repeat it.
    pub(crate) fn read(value: &SecretValue) -> Result<Self, &'static str> {
        let text = value.expose_text().ok_or("it is not text")?;
        let mut certificates = Vec::new();
        let (mut leaf, mut key) = (None, None);
        for (label, section) in sections(text) {
            if label == "CERTIFICATE" {
                let der = CertificateDer::from_pem_slice(section.as_bytes());
                certificates.push(der.map_err(|_e| "a certificate in it cannot be read")?);
                leaf.get_or_insert_with(|| section.to_string());
            } else if label.ends_with("PRIVATE KEY") {
                key.get_or_insert(section);
            }
        }
        let first = certificates.first().ok_or("there is no certificate in it")?;
        let serial = serial(first).ok_or("the certificate in it has no serial number")?;
        Ok(Self { serial, leaf: leaf.unwrap_or_default(), key, certificates })
    }

    /// Whether a client that trusts this authority and has this revocation list would take the certificate, whatever it is called.
    pub(crate) fn trust(&self, authority: &str, list: &str) -> Trust {
        let verify = || -> Result<Trust, String> {
            let bad = |error: &dyn std::fmt::Display| error.to_string();
            let root = CertificateDer::from_pem_slice(authority.as_bytes()).map_err(|e| bad(&e))?;
            let list = CertificateRevocationListDer::from_pem_slice(list.as_bytes()).map_err(|e| bad(&e))?;
            let mut roots = RootCertStore::empty();
            roots.add(root).map_err(|e| bad(&e))?;
            let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
            let verifier = WebPkiServerVerifier::builder_with_provider(Arc::new(roots), provider)
                .with_crls([list])
                .only_check_end_entity_revocation()
                .enforce_revocation_expiration()
                .build()
                .map_err(|e| bad(&e))?;
            let (first, chain) = self.certificates.split_first().ok_or("there is no certificate")?;
            // The name is looked at last, so that a wrong one says that all else is well.
            let name = ServerName::try_from("name.invalid").map_err(|e| bad(&e))?;
            Ok(read(verifier.verify_server_cert(first, chain, &name, &[], UnixTime::now()).err()))
        };
        verify().unwrap_or_else(Trust::Unclear)
    }
}

fn read(error: Option<Error>) -> Trust {
    use CertificateError as Bad;
    let Some(error) = error else { return Trust::Good };
    if matches!(error, Error::InvalidCertificate(Bad::NotValidForName | Bad::NotValidForNameContext { .. })) {
        return Trust::Good;
    }
    if matches!(error, Error::InvalidCertificate(Bad::Revoked)) {
        return Trust::Revoked;
    }
    if matches!(error, Error::InvalidCertificate(Bad::Expired | Bad::ExpiredContext { .. })) {
        return Trust::Expired;
    }
    Trust::Unclear(error.to_string())
}

/// The PEM sections of a text, each with its label.
fn sections(text: &str) -> Vec<(&str, Zeroizing<String>)> {
    let mut out = Vec::new();
    let mut rest = text;
    while let Some((_, after)) = rest.split_once("-----BEGIN ") {
        let Some((label, body)) = after.split_once("-----") else { break };
        let end = format!("-----END {label}-----");
        let Some((body, after)) = body.split_once(end.as_str()) else { break };
        out.push((label, Zeroizing::new(format!("-----BEGIN {label}-----{body}{end}"))));
        rest = after;
    }
    out
}

/// The serial number of a certificate in DER.
pub(crate) fn serial(der: &[u8]) -> Option<String> {
    const SEQUENCE: u8 = 0x30;
    const VERSION: u8 = 0xa0;
    const INTEGER: u8 = 0x02;
    let (certificate, _) = element(der, SEQUENCE)?;
    let (body, _) = element(certificate, SEQUENCE)?;
    let body = element(body, VERSION).map_or(body, |(_, rest)| rest);
    let (number, _) = element(body, INTEGER)?;
    // A zero in front keeps the number positive.
    let number = number.strip_prefix(&[0]).filter(|rest| !rest.is_empty()).unwrap_or(number);
    let digits: Vec<String> = number.iter().map(|byte| format!("{byte:02x}")).collect();
    Some(digits.join(":"))
}

/// The content of the first element, which must have this tag, and what follows it.
fn element(der: &[u8], wanted: u8) -> Option<(&[u8], &[u8])> {
    let (tag, rest) = der.split_first()?;
    let (first, rest) = rest.split_first()?;
    let (length, rest) = if *first < 0x80 {
        (usize::from(*first), rest)
    } else {
        let (bytes, rest) = rest.split_at_checked(usize::from(first & 0x7f))?;
        let more = |length: usize, byte: &u8| length.checked_mul(256)?.checked_add(usize::from(*byte));
        (bytes.iter().try_fold(0, more)?, rest)
    };
    let parts = rest.split_at_checked(length)?;
    (*tag == wanted).then_some(parts)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_no_bundle_is_said_without_repeating_it() {
        let read = |text: &str| Bundle::read(&SecretValue::from_text(text.to_owned())).err();
        assert_eq!(read("hunter2"), Some("there is no certificate in it"));
        let key = "-----BEGIN PRIVATE KEY-----\nAAAA\n-----END PRIVATE KEY-----\n";
        assert_eq!(read(key), Some("there is no certificate in it"));
        let broken = "-----BEGIN CERTIFICATE-----\n!!\n-----END CERTIFICATE-----\n";
        assert_eq!(read(broken), Some("a certificate in it cannot be read"));
        let empty = "-----BEGIN CERTIFICATE-----\nMAA=\n-----END CERTIFICATE-----\n";
        assert_eq!(read(empty), Some("the certificate in it has no serial number"));
    }

    #[test]
    fn a_serial_is_shown_without_its_sign() {
        let der = |number: &[u8]| {
            let len = u8::try_from(number.len()).unwrap();
            let mut body = vec![0xa0, 3, 2, 1, 2, 2, len];
            body.extend_from_slice(number);
            let inner = [&[0x30, 0x81, u8::try_from(body.len()).unwrap()], body.as_slice()].concat();
            [&[0x30, u8::try_from(inner.len()).unwrap()], inner.as_slice()].concat()
        };
        assert_eq!(serial(&der(&[0, 0x9a, 1])).as_deref(), Some("9a:01"));
        assert_eq!(serial(&der(&[0])).as_deref(), Some("00"));
        for cut in 0..12 {
            assert_eq!(serial(&der(&[0, 0x9a, 1])[..cut]), None);
        }
    }
}
