//! What a scan hands out: redacted findings, and what it could not look at.

use std::collections::BTreeMap;

use jiff::Timestamp;
use quell_core::secret::Fingerprint;
use serde::{Deserialize, Serialize};
use sha2::{Digest as _, Sha256};

/// One secret at one path, however often it occurs there.
#[derive(Clone, Debug, Deserialize, Eq, PartialEq, Serialize)]
pub struct Finding {
    /// `F-` and 12 hex digits over rule, fingerprint and path: the same across runs, lines and commits.
    pub id: String,
    /// The id of the rule that matched.
    pub rule: String,
    /// The rule's description.
    pub description: String,
    /// The inventory kind that such a secret would have, such as `postgres-password`.
    pub kind: String,
    /// The first occurrence: in git, the one in the oldest commit that introduced it.
    pub place: Place,
    /// The oldest commit that introduced this secret at this path.
    pub first_seen_commit: Option<String>,
    /// The newest commit whose tree still had it at this path. `None` outside git, and when nothing names its blob.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub last_seen_commit: Option<String>,
    /// When that commit was authored: with `place.author_time` the window of the exposure.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub last_seen_time: Option<Timestamp>,
    /// Refs that reach a commit that has it, such as `refs/heads/main`; at most [`Finding::MAX_REFS`].
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub refs: Vec<String>,
    /// Where it can still be seen.
    pub still_visible: Visibility,
    /// False when it is only in objects that no ref reaches. True outside git.
    pub still_reachable: bool,
    /// The public prefix of the secret and `…`; never a part that helps to guess it.
    pub preview: String,
    /// Keyed hash of the secret (for a URL: of the whole URL as written).
    pub fingerprint: Fingerprint,
    /// The same under the key of a baseline file, which is not the installation's. Not part of any output.
    #[serde(skip)]
    pub baseline: Option<Fingerprint>,
    /// Keyed hashes of the parts that are secrets by themselves: the percent-decoded password of a URL.
    pub parts: Vec<Fingerprint>,
    /// The user in a URL, or another name beside the secret that is not secret.
    pub principal: Option<String>,
    /// What the secret says about itself without being one: claims and expiry of a JWT, size of a key, place of a blob.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub details: BTreeMap<String, String>,
    /// Other parts of the same credential that were found beside it: the id of a key, the passphrase of a blob.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub joined: Vec<Joined>,
    /// How it was written there, when not as it is: decoded from base64, hex, percent-encoding or JSON's escapes.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub encoding: Option<Encoding>,
    /// How sure the scanner is.
    #[serde(default)]
    pub confidence: Confidence,
    /// How often it was seen at this path (each blob of a history counts).
    pub occurrences: u64,
    /// What a reader should know, such as an allow comment without a reason.
    pub note: Option<String>,
}

/// Another part of a credential, found beside a finding.
#[derive(Clone, Debug, Deserialize, Eq, Ord, PartialEq, PartialOrd, Serialize)]
pub struct Joined {
    /// What it is, such as `access key id`.
    pub name: String,
    /// Its keyed hash.
    pub fingerprint: Fingerprint,
    /// Its text where it is no secret by itself (an id), else `None`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub text: Option<String>,
}

/// How a secret was written where it was found.
#[derive(Clone, Copy, Debug, Deserialize, Eq, Ord, PartialEq, PartialOrd, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Encoding {
    /// RFC 4648, sections 4 and 5.
    Base64,
    /// RFC 4648, section 8.
    Hex,
    /// RFC 8259, section 7.
    Json,
    /// RFC 3986, section 2.1.
    Percent,
}

/// How sure the scanner is that a finding is a secret.
#[derive(Clone, Copy, Debug, Default, Deserialize, Eq, Ord, PartialEq, PartialOrd, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Confidence {
    /// The name or the place of a value says so, not its form.
    Low,
    /// The form is the issuer's.
    #[default]
    Medium,
    /// The form is the issuer's and its checksum is right, or its parts were found together.
    High,
}

impl Finding {
    /// Refs kept in [`Finding::refs`].
    pub const MAX_REFS: usize = 20;

    /// The stable name of a finding.
    pub fn id_of(rule: &str, fingerprint: &Fingerprint, file: &str) -> String {
        let mut hash = Sha256::new();
        hash.update(format!("quell-finding-v1\0{rule}\0{fingerprint}\0{file}"));
        let digest = hex::encode(hash.finalize());
        format!("F-{}", digest.get(..12).unwrap_or(&digest))
    }

    /// True when the finding is about this value: whole, or one of its parts.
    pub fn concerns(&self, fingerprint: &Fingerprint) -> bool {
        self.fingerprint == *fingerprint || self.parts.contains(fingerprint)
    }
}

/// Where a secret was seen.
#[derive(Clone, Debug, Deserialize, Eq, PartialEq, Serialize)]
pub struct Place {
    /// Path inside the scanned folder or repository, with `/`; or the name given to a stream.
    pub file: String,
    /// Line of the secret, from 1.
    pub line: u64,
    /// Column of the secret in bytes, from 1.
    pub column: u64,
    /// The commit, for findings in a history.
    pub commit: Option<String>,
    /// When that commit was authored.
    pub author_time: Option<Timestamp>,
    /// Who authored it, as recorded: `Name <address>`.
    pub author: Option<String>,
}

/// Where a secret can still be seen.
#[derive(Clone, Copy, Debug, Deserialize, Eq, Ord, PartialEq, PartialOrd, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Visibility {
    /// In the working tree, in the tree of `HEAD`, or in the file or stream that was scanned.
    Current,
    /// Not there any more, but a ref reaches a commit that has it: whoever clones gets it.
    Reachable,
    /// Only in objects that no ref reaches; hosts and old clones may still serve them.
    Unreachable,
}

/// Something that was not scanned, and why. A scan with any of these must not say "nothing found".
#[derive(Clone, Debug, Deserialize, Eq, Ord, PartialEq, PartialOrd, Serialize)]
pub struct Incomplete {
    /// A path, an object id, a pack.
    pub what: String,
    /// Why it was not read.
    pub why: String,
}

/// Something that would be a finding, but a comment beside it says that it is known and fine.
#[derive(Clone, Debug, Deserialize, Eq, PartialEq, Serialize)]
pub struct Suppressed {
    /// The id of the rule that matched.
    pub rule: String,
    /// Where the first one is.
    pub place: Place,
    /// The comment's marker, such as `quell:allow`.
    pub marker: String,
    /// The reason that it gives. `quell:allow` counts only with one; the markers of other tools need none.
    pub reason: Option<String>,
}

/// The outcome of a scan.
#[derive(Clone, Debug, Default, Deserialize, Eq, PartialEq, Serialize)]
pub struct Report {
    /// In order of path, line, column, rule, fingerprint.
    pub findings: Vec<Finding>,
    /// Bytes that went through the engine.
    pub bytes_scanned: u64,
    /// Unique blobs scanned.
    pub blobs: u64,
    /// Commits seen, reachable or not.
    pub commits: u64,
    /// Files scanned.
    pub files: u64,
    /// What was not scanned; at most [`Report::MAX_INCOMPLETE`] entries.
    pub incomplete: Vec<Incomplete>,
    /// How many further things were not scanned.
    pub incomplete_more: u64,
    /// How many matches comments have allowed.
    #[serde(default)]
    pub suppressed: u64,
    /// Which: at most [`Report::MAX_SUPPRESSED`] entries, in the order of findings.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub suppressions: Vec<Suppressed>,
    /// What a reader should know although nothing is missing, such as submodules. At most [`Report::MAX_INCOMPLETE`].
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub notes: Vec<String>,
    /// Where in a repository the scan looked.
    #[serde(default)]
    pub sources: Sources,
}

/// Where in a repository a scan looked, counted. All zero outside git.
#[derive(Clone, Copy, Debug, Default, Deserialize, Eq, PartialEq, Serialize)]
#[serde(default)]
pub struct Sources {
    /// Refs of all kinds, with the `HEAD` of each work tree that stands on no branch.
    pub refs: u64,
    /// Refs below `refs/tags/`.
    pub tags: u64,
    /// Refs below `refs/notes/`.
    pub notes: u64,
    /// Entries of the stash.
    pub stashes: u64,
    /// Different commits named in reflogs.
    pub reflog_entries: u64,
    /// Commits that no ref reaches (some of them a reflog does).
    pub unreachable_commits: u64,
}

impl Report {
    /// Entries kept in [`Report::incomplete`]; the rest is only counted.
    pub const MAX_INCOMPLETE: usize = 1000;

    /// Entries kept in [`Report::suppressions`]; the rest is only counted.
    pub const MAX_SUPPRESSED: usize = 1000;

    /// True when everything was read.
    pub fn complete(&self) -> bool {
        self.incomplete.is_empty() && self.incomplete_more == 0
    }

    /// Adds a note, once.
    pub(crate) fn note(&mut self, text: impl Into<String>) {
        let text = printable(&text.into());
        if self.notes.len() < Self::MAX_INCOMPLETE && !self.notes.contains(&text) {
            self.notes.push(text);
        }
    }

    pub(crate) fn skip(&mut self, what: impl Into<String>, why: impl Into<String>) {
        if self.incomplete.len() < Self::MAX_INCOMPLETE {
            self.incomplete.push(Incomplete { what: printable(&what.into()), why: why.into() });
        } else {
            self.incomplete_more = self.incomplete_more.saturating_add(1);
        }
    }
}

/// How far a scan is.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub struct Progress {
    /// Bytes that went through the engine.
    pub bytes: u64,
    /// Files or objects done.
    pub done: u64,
    /// Files or objects in total, once known.
    pub total: Option<u64>,
}

/// Text from a hostile input with control characters escaped, so that it cannot drive a terminal.
pub(crate) fn printable(text: &str) -> String {
    if !text.chars().any(char::is_control) {
        return text.to_owned();
    }
    text.chars()
        .flat_map(|c| if c.is_control() { c.escape_default().collect::<Vec<_>>() } else { vec![c] })
        .collect()
}

/// A path or name that need not be UTF-8: bytes that are none are written `\xff`, so that different names stay different.
pub(crate) fn name_text(name: &[u8]) -> String {
    let mut text = String::with_capacity(name.len());
    for chunk in name.utf8_chunks() {
        text.push_str(chunk.valid());
        for byte in chunk.invalid() {
            text.extend(std::ascii::escape_default(*byte).map(char::from));
        }
    }
    text
}
