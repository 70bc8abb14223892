//! One place where a rule matched, already redacted.

use std::collections::BTreeMap;
use std::ops::Range;

use quell_core::secret::{Fingerprint, FingerprintKey, SecretValue};

use crate::engine::Match;
use crate::finding::printable;
use crate::rule::{Rank, Rule, contains};
use crate::{Confidence, Encoding, Joined};

/// A recovered value and its parts.
#[derive(Debug)]
pub struct Recovered {
    /// The secret as written: for a URL, the whole URL.
    pub secret: SecretValue,
    /// The percent-decoded password of a URL.
    pub password: Option<SecretValue>,
    /// The user in a URL.
    pub principal: Option<String>,
    /// The fingerprint of `secret`.
    pub fingerprint: Fingerprint,
}

impl Recovered {
    pub(crate) fn duplicate(&self) -> Self {
        Self {
            secret: self.secret.duplicate(),
            password: self.password.as_ref().map(SecretValue::duplicate),
            principal: self.principal.clone(),
            fingerprint: self.fingerprint,
        }
    }
}

/// Whether hits keep their values. Only recovery does.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum Keep {
    Nothing,
    Values,
}

/// A match without its bytes.
#[derive(Debug)]
pub(crate) struct Hit {
    pub(crate) rule: usize,
    pub(crate) line: u64,
    pub(crate) column: u64,
    pub(crate) fingerprint: Fingerprint,
    /// Under the key of a baseline file.
    pub(crate) baseline: Option<Fingerprint>,
    pub(crate) parts: Vec<Fingerprint>,
    pub(crate) principal: Option<String>,
    pub(crate) preview: String,
    pub(crate) note: Option<String>,
    pub(crate) details: BTreeMap<String, String>,
    pub(crate) joined: Vec<Joined>,
    pub(crate) encoding: Option<Encoding>,
    pub(crate) confidence: Confidence,
    pub(crate) count: u64,
    pub(crate) kept: Option<Recovered>,
}

/// Hits of one blob or file: one per rule and secret.
#[derive(Debug, Default)]
pub(crate) struct Hits {
    by_secret: BTreeMap<(usize, Fingerprint), Hit>,
    /// Different secrets beyond [`Hits::MAX`], which are only counted.
    pub(crate) dropped: u64,
}

impl Hits {
    /// Different secrets kept per blob or file.
    const MAX: usize = 10_000;

    pub(crate) fn add(&mut self, hit: Hit) {
        let key = (hit.rule, hit.fingerprint);
        if let Some(first) = self.by_secret.get_mut(&key) {
            first.count = first.count.saturating_add(hit.count);
        } else if self.by_secret.len() < Self::MAX {
            self.by_secret.insert(key, hit);
        } else {
            self.dropped = self.dropped.saturating_add(1);
        }
    }

    pub(crate) fn iter(&self) -> impl Iterator<Item = &Hit> {
        self.by_secret.values()
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.by_secret.is_empty()
    }
}

/// What a match is, once its bytes are reduced to a fingerprint.
pub(crate) fn redact(
    bytes: &[u8],
    found: &Match,
    rule: &Rule,
    key: &FingerprintKey,
    keep: Keep,
) -> Option<Hit> {
    let secret = bytes.get(found.secret.clone())?;
    let fingerprint = key.fingerprint_bytes(secret);
    let text_of = |range: &Range<usize>| bytes.get(range.clone());
    let password = found.password.as_ref().and_then(text_of).map(|raw| SecretValue::new(percent_decode(raw)));
    let principal = found.principal.as_ref().and_then(text_of).and_then(public_name);
    let mut parts = Vec::new();
    if let Some(password) = &password {
        parts.push(key.fingerprint(password));
    }
    let kept = (keep == Keep::Values).then(|| Recovered {
        secret: SecretValue::new(secret.to_vec()),
        password,
        principal: principal.clone(),
        fingerprint,
    });
    Some(Hit {
        rule: found.rule,
        line: 0,
        column: 0,
        fingerprint,
        baseline: None,
        parts,
        preview: preview(secret, rule, principal.as_deref()),
        principal,
        note: None,
        details: BTreeMap::new(),
        joined: Vec::new(),
        encoding: None,
        confidence: if rule.rank == Rank::Generic { Confidence::Low } else { Confidence::Medium },
        count: 1,
        kept,
    })
}

/// The public prefix and `…`; nothing at all for secrets without one.
fn preview(secret: &[u8], rule: &Rule, principal: Option<&str>) -> String {
    if rule.rank == Rank::Url {
        let scheme = secret.split(|byte| *byte == b':').next().unwrap_or_default();
        return format!("{}://{}:…", String::from_utf8_lossy(scheme), principal.unwrap_or("…"));
    }
    // A prefix that is most of the secret would say too much.
    let shown = secret.get(..rule.prefix).filter(|_| rule.prefix.saturating_mul(2) <= secret.len());
    format!("{}…", printable(&String::from_utf8_lossy(shown.unwrap_or_default())))
}

/// The user beside a secret, unless it looks like a secret itself (tokens are given as users, too).
fn public_name(raw: &[u8]) -> Option<String> {
    let name = std::str::from_utf8(raw).ok().filter(|name| !name.is_empty() && name.len() <= 200)?;
    let digits = name.bytes().filter(u8::is_ascii_digit).count();
    let token_like = name.len() >= 16 && digits >= 3 && !name.contains('@');
    if token_like || contains(raw, b"%") { None } else { Some(printable(name)) }
}

/// Undoes percent-encoding (RFC 3986, 2.1); a `%` that starts no escape stands for itself.
pub(crate) fn percent_decode(raw: &[u8]) -> Vec<u8> {
    // Never longer than the input, so the vector does not grow and leave a copy behind.
    let mut out = Vec::with_capacity(raw.len());
    let mut rest = raw;
    while let Some((first, after)) = rest.split_first() {
        let decoded = match (first, after) {
            (b'%', [high, low, tail @ ..]) => hex_pair(*high, *low).map(|byte| (byte, tail)),
            _ => None,
        };
        let (byte, tail) = decoded.unwrap_or((*first, after));
        out.push(byte);
        rest = tail;
    }
    out
}

fn hex_pair(high: u8, low: u8) -> Option<u8> {
    let digit = |byte: u8| char::from(byte).to_digit(16).and_then(|digit| u8::try_from(digit).ok());
    Some(digit(high)? << 4 | digit(low)?)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn percent_decoding() {
        assert_eq!(percent_decode(b"a%2Fb%zz%4"), b"a/b%zz%4");
    }

    #[test]
    fn users_that_look_like_tokens_are_not_named() {
        assert_eq!(public_name(b"orders_app").as_deref(), Some("orders_app"));
        assert_eq!(
            public_name(b"ci@orders-123456.iam.gserviceaccount.com").as_deref(),
            Some("ci@orders-123456.iam.gserviceaccount.com")
        );
        assert_eq!(public_name(b"a1b2c3d4e5f6g7h8"), None);
        assert_eq!(public_name(b""), None);
    }
}
