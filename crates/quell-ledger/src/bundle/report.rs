//! What the verification of a bundle found.

use std::fmt;

use serde_json::{Value, json};

/// One thing that is wrong, and where.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Problem {
    /// The file, with a line where that helps: `entries.jsonl line 3`.
    pub place: String,
    /// What is wrong.
    pub what: String,
}

impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.place, self.what)
    }
}

/// Something that is not wrong, but that the reader must know.
#[derive(Clone, Debug, Eq, PartialEq, thiserror::Error)]
pub enum Warning {
    /// No key from outside was given.
    #[error(
        "internally consistent only: no key from outside was given, so the bundle vouches for itself; get the key \
         of this log from its owner by another way and verify again with it"
    )]
    NoOutsideKey,
    /// The old key was compromised when it was replaced.
    #[error("history before {before} vouched for only by a revoked key ({key})")]
    RevokedKey {
        /// The number of the rotation entry.
        before: u64,
        /// The revoked key.
        key: String,
    },
}

/// The result in one word.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Verdict {
    /// Nothing is wrong, and the key from outside vouches for it.
    Verified,
    /// Nothing is wrong, but only the bundle's own keys vouch for it.
    InternallyConsistent,
    /// At least one problem.
    Failed,
}

impl fmt::Display for Verdict {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Verified => "verified",
            Self::InternallyConsistent => "internally consistent only",
            Self::Failed => "failed",
        })
    }
}

/// The result in full.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub struct Report {
    /// From the manifest; empty when it cannot be read.
    pub incident: String,
    /// From the manifest; empty when it cannot be read.
    pub origin: String,
    /// The key from outside is one of the log's keys, and the newest follows from it.
    pub outside_key: bool,
    /// The bundle's keys, `name+hash`, the oldest first.
    pub keys: Vec<String>,
    /// Size of the log at the checkpoint.
    pub log_size: Option<u64>,
    /// Files in the bundle.
    pub files: usize,
    /// Entries whose proof holds (rotations included).
    pub proven: usize,
    /// Evidence files that an entry names and that are here as named.
    pub evidence: usize,
    /// Empty when every byte is accounted for.
    pub problems: Vec<Problem>,
    /// What the reader must know all the same.
    pub warnings: Vec<Warning>,
}

impl Report {
    /// True when nothing is wrong (see [`Self::verdict`] for what that is worth).
    pub fn ok(&self) -> bool {
        self.problems.is_empty()
    }

    /// The result in one word.
    pub fn verdict(&self) -> Verdict {
        match (self.ok(), self.outside_key) {
            (false, _) => Verdict::Failed,
            (true, true) => Verdict::Verified,
            (true, false) => Verdict::InternallyConsistent,
        }
    }

    /// For programs.
    pub fn to_json(&self) -> Value {
        let texts = |items: &[Warning]| items.iter().map(Warning::to_string).collect::<Vec<_>>();
        let problems: Vec<_> =
            self.problems.iter().map(|p| json!({"place": p.place, "what": p.what})).collect();
        json!({
            "v": 1,
            "verdict": self.verdict().to_string(),
            "incident": self.incident,
            "origin": self.origin,
            "outside_key": self.outside_key,
            "keys": self.keys,
            "log_size": self.log_size,
            "files": self.files,
            "proven_entries": self.proven,
            "evidence_files": self.evidence,
            "problems": problems,
            "warnings": texts(&self.warnings),
        })
    }

    pub(super) fn problem(&mut self, place: impl Into<String>, what: impl fmt::Display) {
        self.problems.push(Problem { place: place.into(), what: what.to_string() });
    }
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "{}: incident {} of log {}", self.verdict(), self.incident, self.origin)?;
        writeln!(
            f,
            "{} files, {} entries proven, {} evidence files, checkpoint of size {}",
            self.files,
            self.proven,
            self.evidence,
            self.log_size.map_or_else(|| "unknown".to_owned(), |size| size.to_string())
        )?;
        self.keys.iter().try_for_each(|key| writeln!(f, "key: {key}"))?;
        self.problems.iter().try_for_each(|problem| writeln!(f, "problem: {problem}"))?;
        self.warnings.iter().try_for_each(|warning| writeln!(f, "warning: {warning}"))
    }
}
