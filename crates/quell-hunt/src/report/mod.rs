//! What a hunt found, for people and for programs. All of it was written by strangers: nothing goes out unescaped.

pub mod change;
pub mod csv;
pub mod html;
pub mod ocsf;
pub mod parquet;
#[cfg(test)]
mod sample;
pub mod saved;
pub mod text;

use std::fmt::Write as _;

use jiff::Timestamp;
use quell_core::event::Verdict;
use serde::{Deserialize, Serialize};

use self::change::Changes;
use crate::cross::s3::Joined;
use crate::detect::{Anomaly, Baseline, Detection};
use crate::hunt::Hunt;
use crate::record::{Made, MadeKind};
use crate::verdict::{Condition, Judgement, Knowledge, Standing};

/// What was asked: with the same logs it gives the same report, byte for byte.
#[derive(Clone, Debug, Default, Deserialize, Eq, PartialEq, Serialize)]
pub struct Asked {
    /// What was looked for: public ids, or names that stand for values.
    pub credentials: Vec<String>,
    /// Events before are left out.
    pub from: Option<Timestamp>,
    /// Events after are left out.
    pub to: Option<Timestamp>,
    /// Only these accounts, as far as names tell; empty: all.
    pub accounts: Vec<String>,
    /// Only these regions; empty: all.
    pub regions: Vec<String>,
    /// The zone of times that have none.
    #[serde(default)]
    pub zone: Option<String>,
    /// SHA-256 of the mapping file, in hex.
    #[serde(default)]
    pub mapping: Option<String>,
    /// What people said.
    pub knowledge: Knowledge,
}

/// Everything, in the shape in which it is printed as JSON and kept as evidence.
#[derive(Debug, Serialize)]
pub struct Report<'a> {
    /// Of this shape: [`VERSION`].
    pub version: u32,
    /// In the closed vocabulary.
    pub verdict: Verdict,
    /// Why.
    pub because: &'a str,
    /// What must be so for "logs complete".
    pub conditions: &'a [Condition],
    /// Uses after the exposure began from elsewhere than the owner's addresses, and from there.
    pub foreign_uses: u64,
    /// See above.
    pub own_uses: u64,
    /// What was asked.
    pub asked: &'a Asked,
    /// What was made and is no credential: it outlives the access, too.
    pub made: Vec<&'a Made>,
    /// What is unusual.
    pub anomalies: &'a [Anomaly],
    /// Whether novelty could be judged.
    pub baseline: &'a Baseline,
    /// What is otherwise than in an earlier report.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub changes: Option<Changes>,
    /// What was found and how much was looked at.
    #[serde(flatten)]
    pub hunt: &'a Hunt,
}

/// The version of the shape of [`Report`].
pub const VERSION: u32 = 1;

impl<'a> Report<'a> {
    /// Puts together what was found and judged.
    pub fn new(asked: &'a Asked, hunt: &'a Hunt, detection: &'a Detection, judgement: &'a Judgement) -> Self {
        let mut made: Vec<&Made> = hunt.accesses.iter().flat_map(|access| &access.made).collect();
        made.retain(|made| !made.kind.is_credential());
        made.sort_unstable();
        made.dedup();
        Self {
            version: VERSION,
            verdict: judgement.verdict,
            because: &judgement.because,
            conditions: &judgement.conditions,
            foreign_uses: judgement.foreign,
            own_uses: judgement.own,
            asked,
            made,
            anomalies: &detection.anomalies,
            baseline: &detection.baseline,
            changes: None,
            hunt,
        }
    }
}

/// A row of S3's access log that belongs to a record of CloudTrail's, safe to show.
#[derive(Serialize)]
struct Row {
    time: String,
    address: String,
    action: String,
    resource: String,
    bytes: String,
    /// Object and byte.
    at: String,
}

impl Row {
    fn of(joined: &Joined) -> Self {
        let Joined { row, same_address, .. } = joined;
        let address = clean(row.address.as_deref().unwrap_or("-"));
        Self {
            time: row.time.map_or_else(|| "(no time)".to_owned(), |time| time.to_string()),
            address: if *same_address { address } else { format!("{address} (another one)") },
            action: clean(&row.action),
            resource: clean(row.resource.as_deref().unwrap_or("")),
            bytes: row.bytes.map_or_else(|| "unknown size".to_owned(), |bytes| format!("{bytes} bytes")),
            at: format!("{}, byte {}", clean(&row.object), row.place),
        }
    }
}

/// How somebody would remove what was made.
pub fn removal(kind: MadeKind) -> &'static str {
    match kind {
        MadeKind::Key => "deactivate it, then delete it",
        MadeKind::Policy => "compare it with what was reviewed, and put that back",
        MadeKind::Session => "deny what was issued before now (AWS: aws:TokenIssueTime), or revoke the lease",
        MadeKind::Token => "revoke it by its accessor, with its children",
        MadeKind::User => "disable it; delete it once its traces are kept",
    }
}

/// What people said of an anomaly, safe to show; `None` if nobody looked at it.
pub fn said(standing: Standing<'_>) -> Option<String> {
    match standing {
        Standing::Open => None,
        Standing::Said(it, by) => {
            Some(format!("{} by {}: {}", it.decision.word(), clean(by), clean(&it.reason)))
        }
        Standing::Changed(it, by) => Some(format!(
            "LOOK AGAIN: {} called it benign ({}), and it has other records now",
            clean(by),
            clean(&it.reason)
        )),
    }
}

/// Text that a terminal shows as it is: control characters, and those that turn the order of others around, are escaped.
pub fn clean(text: &str) -> String {
    const LONGEST: usize = 300;
    let mut out = String::with_capacity(text.len().min(LONGEST));
    for (count, character) in text.chars().enumerate() {
        if count == LONGEST {
            out.push('…');
            break;
        }
        if character.is_control() || is_deceptive(character) {
            out.extend(character.escape_unicode());
        } else {
            out.push(character);
        }
    }
    out
}

/// The same JSON, with the characters escaped that a terminal would obey or hide: but for the line ends of whoever laid it out, they
/// only stand within texts, where an escape says the same (RFC 8259, 7).
pub fn escaped(json: &str) -> String {
    let mut out = String::with_capacity(json.len());
    for character in json.chars() {
        if character != '\n' && (character.is_control() || is_deceptive(character)) {
            for unit in character.encode_utf16(&mut [0; 2]) {
                // Writing to a string cannot fail.
                let _written = write!(out, "\\u{unit:04x}");
            }
        } else {
            out.push(character);
        }
    }
    out
}

/// Unicode 16: bidirectional controls (UAX 9), line and paragraph separators, and characters without width or picture.
fn is_deceptive(character: char) -> bool {
    matches!(
        character,
        '\u{ad}'
            | '\u{61c}'
            | '\u{180e}'
            | '\u{200b}'..='\u{200f}'
            | '\u{2028}'..='\u{202e}'
            | '\u{2060}'..='\u{2069}'
            | '\u{feff}'
            | '\u{fff9}'..='\u{fffb}'
            | '\u{e0000}'..='\u{e007f}'
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_terminal_would_obey_is_escaped() {
        assert_eq!(clean("a\u{1b}[2Jb\r\n\u{202e}c"), "a\\u{1b}[2Jb\\u{d}\\u{a}\\u{202e}c");
        assert_eq!(clean("\u{61c}\u{2028}\u{e0041}\u{ad}"), "\\u{61c}\\u{2028}\\u{e0041}\\u{ad}");
        assert_eq!(clean(&"x".repeat(400)).chars().count(), 301);
        assert_eq!(clean("Zoë 10.0.0.1"), "Zoë 10.0.0.1");
        let value = serde_json::json!({"a\u{202e}": ["\u{9b}2J\u{7f}\n\u{e0041}", "ë🎉"]});
        let text = escaped(&serde_json::to_string_pretty(&value).unwrap());
        assert!(text.contains("\\u202e") && text.contains("\\u009b2J\\u007f\\n\\udb40\\udc41"), "{text}");
        assert!(text.contains("ë🎉") && text.lines().count() == 6, "{text}");
        assert_eq!(serde_json::from_str::<serde_json::Value>(&text).unwrap(), value);
    }
}
