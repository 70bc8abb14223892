//! The baseline file: values that are known and accepted, by fingerprints under a key of the file's own.
//!
//! A value stays ignored when its line, its file or the whole history changes, and any other value in the same place does
//! not. The key lies in the file: it keeps fingerprints of different baselines apart and makes prepared tables useless, but
//! whoever reads the file can test guesses of a weak value, as with any salted hash.

use std::collections::BTreeMap;
use std::path::Path;

use jiff::Timestamp;
use jiff::civil::Date;
use jiff::tz::TimeZone;
use quell_core::secret::{Fingerprint, FingerprintKey};
use quell_scan::Finding;
use serde::{Deserialize, Serialize};

use super::random;
use crate::{AppError, evidence, files};

/// Larger files are no baselines, in bytes.
const MAX_FILE: u64 = 64 << 20;

/// The version of the format.
const VERSION: u32 = 1;

/// The shortest reason, in letters and digits: as for allow comments.
const MIN_REASON: usize = 3;

/// One accepted value.
#[derive(Clone, Debug, Deserialize, Eq, PartialEq, Serialize)]
#[serde(deny_unknown_fields)]
pub struct Entry {
    /// Of the value, under the file's key.
    pub fingerprint: Fingerprint,
    /// The rule that found it. For people: the value alone decides.
    pub rule: String,
    /// Where it was found first. For people, too.
    pub path: String,
    /// When it was accepted (UTC).
    pub added: Date,
    /// Why.
    pub reason: String,
}

#[derive(Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
struct Content {
    quell_baseline: u32,
    /// 32 bytes, as hex. Not named `salt`: the rules for assigned values would report the file itself.
    #[serde(rename = "seed")]
    salt: String,
    entries: Vec<Entry>,
}

/// A baseline in memory.
#[derive(Debug)]
pub struct Baseline {
    salt: String,
    key: FingerprintKey,
    entries: BTreeMap<Fingerprint, Entry>,
}

impl Baseline {
    /// An empty one with a key of its own.
    pub fn new() -> Result<Self, AppError> {
        let key = random()?;
        Ok(Self { salt: hex::encode(key), key: FingerprintKey::new(key), entries: BTreeMap::new() })
    }

    /// Reads one. A file that is not exactly a baseline is an error: a damaged one must not ignore more or less in silence.
    pub fn load(path: &Path) -> Result<Self, AppError> {
        let bytes = files::read(path, MAX_FILE).map_err(|error| AppError::io(path, error))?;
        // The parser's own words may quote the file; somebody may have named the wrong one.
        let damaged =
            |why: String| AppError::Usage(format!("the baseline {} cannot be used: {why}", path.display()));
        let content: Content = serde_json::from_slice(&bytes).map_err(|error| {
            damaged(format!("it is no baseline, line {}, column {}", error.line(), error.column()))
        })?;
        if content.quell_baseline != VERSION {
            return Err(damaged(format!("its version is not {VERSION}")));
        }
        let mut key = [0_u8; 32];
        hex::decode_to_slice(&content.salt, &mut key)
            .map_err(|_e| damaged("its seed is not 64 hex digits".to_owned()))?;
        if let Some(entry) = content.entries.iter().find(|entry| !is_reason(&entry.reason)) {
            return Err(damaged(format!("{} has no reason", entry.fingerprint)));
        }
        let entries = content.entries.into_iter().map(|entry| (entry.fingerprint, entry)).collect();
        Ok(Self { salt: content.salt, key: FingerprintKey::new(key), entries })
    }

    /// Reads one, or starts one where there is no file.
    pub fn load_or_new(path: &Path) -> Result<Self, AppError> {
        if path.exists() { Self::load(path) } else { Self::new() }
    }

    /// The key of its fingerprints.
    pub fn key(&self) -> &FingerprintKey {
        &self.key
    }

    /// True when the value of a finding is accepted.
    pub fn has(&self, finding: &Finding) -> bool {
        finding.baseline.is_some_and(|fingerprint| self.entries.contains_key(&fingerprint))
    }

    /// How many values are accepted.
    pub fn len(&self) -> usize {
        self.entries.len()
    }

    /// True when none is.
    pub fn is_empty(&self) -> bool {
        self.entries.is_empty()
    }

    /// Accepts the values of findings; says how many of them are new. Earlier entries keep their date and reason.
    pub fn accept(&mut self, findings: &[Finding], reason: &str, at: Timestamp) -> Result<usize, AppError> {
        if !is_reason(reason) {
            return Err(AppError::Usage("a baseline needs a reason of a few letters".to_owned()));
        }
        let before = self.entries.len();
        let added = at.to_zoned(TimeZone::UTC).date();
        for finding in findings {
            let Some(fingerprint) = finding.baseline else { continue };
            self.entries.entry(fingerprint).or_insert_with(|| Entry {
                fingerprint,
                rule: finding.rule.clone(),
                path: finding.place.file.clone(),
                added,
                reason: reason.to_owned(),
            });
        }
        Ok(self.entries.len() - before)
    }

    /// Writes it whole or not at all. Sorted, so that the same entries give the same bytes.
    pub fn save(&self, path: &Path) -> Result<(), AppError> {
        let content = Content {
            quell_baseline: VERSION,
            salt: self.salt.clone(),
            entries: self.entries.values().cloned().collect(),
        };
        let mut text = serde_json::to_string_pretty(&content).map_err(|e| AppError::Usage(e.to_string()))?;
        text.push('\n');
        evidence::write_whole(path, text.as_bytes())
    }
}

fn is_reason(text: &str) -> bool {
    text.chars().filter(|c| c.is_alphanumeric()).count() >= MIN_REASON
}
