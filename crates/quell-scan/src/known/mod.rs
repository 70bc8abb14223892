//! Search for values that are known already: the very bytes, and their common spellings.
//!
//! All spellings go into one automaton. Values that are known by their fingerprint only (a store that cannot be read, a
//! value of earlier) are looked for by fingerprinting every word of the text that could be one.
//!
//! The automaton holds copies of the values for as long as it lives; nothing of them is in what it reports.

use std::collections::{BTreeMap, BTreeSet};
use std::ops::Range;

use aho_corasick::{AhoCorasick, MatchKind};
use base64::Engine as _;
use base64::engine::general_purpose::{STANDARD_NO_PAD, URL_SAFE_NO_PAD};
use quell_core::SecretId;
use quell_core::secret::{Fingerprint, FingerprintKey, SecretValue};

use crate::hit::{Hit, percent_decode};
use crate::{Confidence, Encoding, RuleError, ScanError};

/// The rule that findings of known values name.
pub const RULE: &str = "known-secret";

/// What such a finding is called.
pub(crate) const DESCRIPTION: &str = "A value of the inventory";

/// Stands in for the index of a rule in hits of known values.
pub(crate) const INDEX: usize = usize::MAX;

/// A value to look for.
#[derive(Debug)]
pub struct KnownValue {
    /// The secret that it belongs to.
    pub secret: SecretId,
    /// Its bytes.
    pub value: SecretValue,
}

/// A value that is not looked for, and why.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Refused {
    /// The secret that it belongs to.
    pub secret: SecretId,
    /// Why.
    pub why: &'static str,
}

/// The values to look for, ready for searching.
pub struct Known {
    automaton: AhoCorasick,
    /// By pattern: the value's fingerprint and how it is written.
    forms: Vec<(Fingerprint, Option<Encoding>)>,
    /// Values that are known by their fingerprint only.
    earlier: BTreeSet<Fingerprint>,
    refused: Vec<Refused>,
    several_lines: BTreeSet<SecretId>,
}

impl std::fmt::Debug for Known {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Known({} spellings, {} fingerprints)", self.forms.len(), self.earlier.len())
    }
}

/// Where a known value lies.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(crate) struct Seen {
    pub(crate) span: Range<usize>,
    pub(crate) fingerprint: Fingerprint,
    pub(crate) encoding: Option<Encoding>,
}

impl Known {
    /// Shorter values, in bytes, would be found everywhere by chance.
    pub const MIN: usize = 8;
    /// Longer values, in bytes, are no credentials. Every spelling stays far below the overlap of two blocks.
    pub const MAX: usize = 8 << 10;

    /// Takes values, and fingerprints (under `key`) of values that nobody has any more.
    pub fn new(
        key: &FingerprintKey,
        values: &[KnownValue],
        earlier: BTreeSet<Fingerprint>,
    ) -> Result<Self, ScanError> {
        let mut refused = Vec::new();
        let mut several_lines = BTreeSet::new();
        let mut by_form: BTreeMap<Vec<u8>, (Fingerprint, Option<Encoding>)> = BTreeMap::new();
        for known in values {
            let bytes = known.value.expose();
            let why = match bytes.len() {
                0..Self::MIN => Some("it is shorter than 8 bytes and would be found everywhere"),
                length if length > Self::MAX => Some("it is longer than 8 KiB"),
                _ if bytes.iter().all(|byte| bytes.first() == Some(byte)) => Some("it repeats one byte"),
                _ => None,
            };
            if let Some(why) = why {
                refused.push(Refused { secret: known.secret.clone(), why });
                continue;
            }
            if bytes.trim_ascii_end().contains(&b'\n') {
                several_lines.insert(known.secret.clone());
            }
            let fingerprint = key.fingerprint(&known.value);
            for (form, encoding) in spellings(bytes) {
                by_form.entry(form).or_insert((fingerprint, encoding));
            }
        }
        let automaton = AhoCorasick::builder()
            .match_kind(MatchKind::LeftmostLongest)
            .build(by_form.keys())
            .map_err(|error| {
            Box::new(RuleError {
                file: "(known values)".to_owned(),
                rule: None,
                key: None,
                detail: format!("they do not fit into one search: {error}"),
                hint: "search for fewer secrets at once".to_owned(),
            })
        })?;
        Ok(Self { automaton, forms: by_form.into_values().collect(), earlier, refused, several_lines })
    }

    /// True when there is nothing to look for.
    pub fn is_empty(&self) -> bool {
        self.forms.is_empty() && self.earlier.is_empty()
    }

    /// Values that are not looked for.
    pub fn refused(&self) -> &[Refused] {
        &self.refused
    }

    /// Secrets with a value of several lines, which a search line by line does not find.
    pub fn of_several_lines(&self) -> &BTreeSet<SecretId> {
        &self.several_lines
    }

    /// Calls `sink` for every place of a known value. `key` is the one that made the fingerprints.
    pub(crate) fn find(&self, bytes: &[u8], key: &FingerprintKey, sink: &mut dyn FnMut(Seen)) {
        for hit in self.automaton.find_iter(bytes) {
            let Some((fingerprint, encoding)) = self.forms.get(hit.pattern().as_usize()) else { continue };
            sink(Seen { span: hit.range(), fingerprint: *fingerprint, encoding: *encoding });
        }
        if !self.earlier.is_empty() {
            self.words(bytes, key, sink);
        }
    }

    /// Compares the fingerprints of all words with those of earlier values.
    fn words(&self, bytes: &[u8], key: &FingerprintKey, sink: &mut dyn FnMut(Seen)) {
        let mut at = 0;
        for word in bytes.split(|byte| !in_word(*byte)) {
            let start = at;
            at += word.len() + 1;
            if word.len() < Self::MIN || word.len() > MAX_WORD {
                continue;
            }
            // `KEY=value` and `key:value` are one word: what follows the first sign is a candidate, too.
            let behind = |sign: u8| word.iter().position(|byte| *byte == sign).map(|at| at + 1);
            let mut starts = BTreeSet::from([0]);
            starts.extend(behind(b'='));
            starts.extend(behind(b':'));
            for from in starts {
                let candidate = word.get(from..).unwrap_or_default();
                let span = start + from..start + word.len();
                if candidate.len() >= Self::MIN {
                    self.compare(key, candidate, span, None, sink);
                }
            }
            if let Some((range, password)) = password(word) {
                let span = start + range.start..start + range.end;
                let encoding = (password.expose().len() != range.len()).then_some(Encoding::Percent);
                self.compare(key, password.expose(), span, encoding, sink);
            }
        }
    }

    fn compare(
        &self,
        key: &FingerprintKey,
        candidate: &[u8],
        span: Range<usize>,
        encoding: Option<Encoding>,
        sink: &mut dyn FnMut(Seen),
    ) {
        let fingerprint = key.fingerprint_bytes(candidate);
        if self.earlier.contains(&fingerprint) {
            sink(Seen { span, fingerprint, encoding });
        }
    }
}

impl Seen {
    /// What it is in a report.
    pub(crate) fn hit(&self) -> Hit {
        Hit {
            rule: INDEX,
            line: 0,
            column: 0,
            fingerprint: self.fingerprint,
            baseline: None,
            parts: Vec::new(),
            principal: None,
            preview: "…".to_owned(),
            note: None,
            details: BTreeMap::new(),
            joined: Vec::new(),
            encoding: self.encoding,
            confidence: Confidence::High,
            count: 1,
            kept: None,
            agreed: Vec::new(),
            allow: None,
            more: Vec::new(),
        }
    }
}

/// Longest word that is fingerprinted, in bytes.
const MAX_WORD: usize = 512;

/// What words are made of: printable ASCII without the signs that stand around values in code and configuration.
fn in_word(byte: u8) -> bool {
    byte.is_ascii_graphic() && !b"\"'`<>(){}[],;\\".contains(&byte)
}

/// The password of a URL, and where it lies.
fn password(word: &[u8]) -> Option<(Range<usize>, SecretValue)> {
    let scheme = word.windows(3).position(|three| three == b"://")? + 3;
    let authority = word.get(scheme..)?.split(|byte| b"/?#".contains(byte)).next()?;
    let at = authority.iter().rposition(|byte| *byte == b'@')?;
    let colon = authority.get(..at)?.iter().position(|byte| *byte == b':')? + 1;
    let raw = authority.get(colon..at).filter(|raw| raw.len() >= Known::MIN)?;
    Some((scheme + colon..scheme + at, SecretValue::new(percent_decode(raw))))
}

/// The ways in which programs commonly write a value.
fn spellings(value: &[u8]) -> Vec<(Vec<u8>, Option<Encoding>)> {
    let mut out = vec![(value.to_vec(), None)];
    // RFC 8259, section 7.
    out.extend(json(value).into_iter().map(|text| (text, Some(Encoding::Json))));
    // RFC 3986, section 2.1: what is not unreserved, and everything.
    let percent = |keep: bool, upper: bool| -> Vec<u8> {
        let mut text = String::new();
        for byte in value {
            let plain = byte.is_ascii_alphanumeric() || b"-._~".contains(byte);
            match (keep && plain, upper) {
                (true, _) => text.push(char::from(*byte)),
                (false, true) => text.extend(["%", &hex::encode_upper([*byte])]),
                (false, false) => text.extend(["%", &hex::encode([*byte])]),
            }
        }
        text.into_bytes()
    };
    for (keep, upper) in [(true, true), (true, false), (false, true), (false, false)] {
        out.push((percent(keep, upper), Some(Encoding::Percent)));
    }
    out.push((hex::encode(value).into_bytes(), Some(Encoding::Hex)));
    out.push((hex::encode_upper(value).into_bytes(), Some(Encoding::Hex)));
    // In longer encoded text it lies at any of three offsets; characters that mix bits of its neighbours are left out.
    for shift in 0..3 {
        let mut shifted = vec![0; shift];
        shifted.extend_from_slice(value);
        let whole = (shift * 8).div_ceil(6)..shifted.len() * 8 / 6;
        for engine in [STANDARD_NO_PAD, URL_SAFE_NO_PAD] {
            let text = engine.encode(&shifted).into_bytes();
            out.extend(text.get(whole.clone()).map(|form| (form.to_vec(), Some(Encoding::Base64))));
        }
    }
    out
}

/// A value inside a JSON string, with and without escaped slashes. Only text has one.
fn json(value: &[u8]) -> Vec<Vec<u8>> {
    let Ok(text) = std::str::from_utf8(value) else { return Vec::new() };
    let mut escaped = String::with_capacity(text.len() + 8);
    for character in text.chars() {
        match character {
            '"' => escaped.push_str("\\\""),
            '\\' => escaped.push_str("\\\\"),
            '\n' => escaped.push_str("\\n"),
            '\r' => escaped.push_str("\\r"),
            '\t' => escaped.push_str("\\t"),
            control if u32::from(control) < 0x20 => {
                escaped.extend(["\\u00", &hex::encode([u8::try_from(u32::from(control)).unwrap_or(0)])]);
            }
            other => escaped.push(other),
        }
    }
    vec![escaped.replace('/', "\\/").into_bytes(), escaped.into_bytes()]
}

#[cfg(test)]
mod tests;
