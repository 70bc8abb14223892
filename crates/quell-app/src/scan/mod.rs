//! Scanning: what is scanned, what of it is ignored, which secrets of the inventory it is, and how it is written down.

mod baseline;
mod check;
pub mod format;
mod group;
mod ignore;
mod ledger;
mod own;
mod reported;
#[cfg(test)]
mod tests;
mod values;

use std::collections::BTreeMap;
use std::io::Read;
use std::path::{Path, PathBuf};

use quell_core::SecretId;
use quell_core::secret::{Fingerprint, FingerprintKey, SecretValue};
use quell_scan::known::Known;
use quell_scan::{Finding, Progress, Received, Report, RuleSet, Scanner, Selection, Staged};
use serde::{Deserialize, Serialize};

pub use baseline::{Baseline, Entry};
pub use check::{Checked, check_rules};
pub use group::Group;
pub use ignore::IgnoreFile;
pub(crate) use ledger::matched_in;
pub(crate) use ledger::{earlier, known_and_missed, names_of, observed_now, recorded_like, values_of};
pub use ledger::{known, matched, record, recorded, recorded_one};
pub(crate) use own::{KnownOf, known_of};
pub(crate) use reported::last_scan_of;
pub use reported::report_from;
pub use values::{Values, values};
pub(crate) use values::{current, looked_for};

use crate::{App, AppError};

/// A finding, and the secret of the inventory that it is.
#[derive(Clone, Debug, Deserialize, Serialize)]
pub struct Matched {
    /// The finding.
    #[serde(flatten)]
    pub finding: Finding,
    /// The secret whose current or earlier value it is.
    pub secret: Option<SecretId>,
}

/// What a scan gave.
#[derive(Clone, Debug, Serialize)]
pub struct Scanned {
    /// Findings with their secrets.
    pub findings: Vec<Matched>,
    /// The same findings, those of one value together; the most urgent first.
    pub groups: Vec<Group>,
    /// True when everything was read. Only then does no finding mean that there is nothing.
    pub complete: bool,
    /// What was found and left out because somebody said so.
    pub ignored: Ignored,
    /// What comments in the text except, with their reasons. Not all, if there are very many.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub allowed: Vec<quell_scan::Suppressed>,
    /// Bytes searched.
    pub bytes_scanned: u64,
    /// Git blobs searched.
    pub blobs: u64,
    /// Git commits walked.
    pub commits: u64,
    /// Files searched.
    pub files: u64,
    /// What could not be read.
    pub incomplete: Vec<quell_scan::Incomplete>,
    /// How many more could not be read.
    pub incomplete_more: u64,
    /// What a reader should know about the scan as a whole.
    pub notes: Vec<String>,
    /// Where in a repository the scan looked.
    pub sources: quell_scan::Sources,
}

impl Scanned {
    /// How many parts were not read.
    pub fn missed(&self) -> u64 {
        count(self.incomplete.len()).saturating_add(self.incomplete_more)
    }
}

/// Findings that were left out, by what asked for it.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq, Serialize)]
pub struct Ignored {
    /// Their values are in the baseline.
    pub baseline: u64,
    /// Their places are in the ignore file.
    pub ignore_file: u64,
    /// A comment on their line allows them; each occurrence counts.
    pub comments: u64,
}

/// What to scan.
pub enum Target<'a> {
    /// A file, a folder, or a repository with its history.
    Path(&'a Path),
    /// The files of a folder only, even when it is a repository.
    Tree(&'a Path),
    /// What chosen commits of a repository introduced.
    Selected(&'a Path, Selection),
    /// What is staged in a repository.
    Staged(&'a Path, Staged),
    /// What a push brings.
    Received(&'a Path, Received),
    /// A stream, under a name that stands in for its path.
    Stream(&'a str, &'a mut dyn Read),
}

impl std::fmt::Debug for Target<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Path(path) => write!(f, "Path({})", path.display()),
            Self::Tree(folder) => write!(f, "Tree({})", folder.display()),
            Self::Selected(path, selection) => write!(f, "Selected({}, {selection:?})", path.display()),
            Self::Staged(path, staged) => write!(f, "Staged({}, {staged:?})", path.display()),
            Self::Received(path, received) => write!(f, "Received({}, {received:?})", path.display()),
            Self::Stream(name, _) => write!(f, "Stream({name})"),
        }
    }
}

/// With what to scan.
#[derive(Clone, Copy, Debug)]
pub struct Tools<'a> {
    /// The rules.
    pub rules: &'a RuleSet,
    /// The key of the findings' fingerprints.
    pub key: &'a FingerprintKey,
    /// Values to ignore.
    pub baseline: Option<&'a Baseline>,
    /// Places to ignore.
    pub ignore_file: Option<&'a IgnoreFile>,
    /// Values to look for beside what the rules describe.
    pub known: Option<&'a Known>,
    /// How to go about it.
    pub way: Way,
}

impl<'a> Tools<'a> {
    /// For these values, wherever they stand: no comment and no list excepts one.
    pub(crate) fn for_known(rules: &'a RuleSet, key: &'a FingerprintKey, known: &'a Known) -> Self {
        let way = Way { despite_comments: true, ..Way::default() };
        Self { rules, key, baseline: None, ignore_file: None, known: Some(known), way }
    }
}

/// How a scan goes about its work.
#[derive(Clone, Copy, Debug, Default)]
pub struct Way {
    /// Threads; as many as there are cores when not said.
    pub threads: Option<usize>,
    /// Search all objects of a history in full instead of what differs. What is found is the same.
    pub full: bool,
    /// Report what comments such as `quell:allow` except, with a note.
    pub despite_comments: bool,
    /// How deep archives in archives are unpacked; the scanner's own bound when not said.
    pub archive_depth: Option<u32>,
}

/// Scans, and leaves out what is to be ignored. Needs no installation.
pub fn run(
    target: Target<'_>,
    tools: Tools<'_>,
    progress: &mut dyn FnMut(Progress),
) -> Result<(Report, Ignored), AppError> {
    let mut scanner = Scanner::new(tools.rules, tools.key)
        .incremental(!tools.way.full)
        .ignore_allow_comments(tools.way.despite_comments);
    if let Some(threads) = tools.way.threads {
        scanner = scanner.threads(threads);
    }
    if let Some(depth) = tools.way.archive_depth {
        scanner = scanner.archive_depth(depth);
    }
    if let Some(baseline) = tools.baseline {
        scanner = scanner.with_baseline_key(baseline.key());
    }
    if let Some(known) = tools.known {
        scanner = scanner.with_known(known);
    }
    let mut report = match target {
        Target::Path(path) => scanner.path(path, progress)?,
        Target::Selected(path, selection) => scanner.selected(path, &selection, progress)?,
        Target::Staged(path, staged) => scanner.staged(path, &staged, progress)?,
        Target::Received(path, received) => scanner.received(path, &received, progress)?,
        Target::Tree(folder) => scanner.tree(folder, progress)?,
        Target::Stream(name, input) => scanner.reader(name, input, progress)?,
    };
    let mut ignored = Ignored { comments: report.suppressed, ..Ignored::default() };
    report.findings.retain(|finding| {
        let by_value = tools.baseline.is_some_and(|baseline| baseline.has(finding));
        let by_place = !by_value && tools.ignore_file.is_some_and(|file| file.has(finding));
        ignored.baseline += u64::from(by_value);
        ignored.ignore_file += u64::from(by_place);
        !by_value && !by_place
    });
    Ok((report, ignored))
}

/// The rules: built in, or the user's.
pub fn rules(paths: &[PathBuf]) -> Result<RuleSet, AppError> {
    Ok(if paths.is_empty() { RuleSet::builtin()? } else { RuleSet::load(paths)? })
}

/// Scans a path, with nothing ignored.
pub fn path(
    path: &Path,
    rules: &RuleSet,
    key: &FingerprintKey,
    progress: &mut dyn FnMut(Progress),
) -> Result<Report, AppError> {
    Ok(Scanner::new(rules, key).path(path, progress)?)
}

/// A key for one run.
pub fn throwaway_key() -> Result<FingerprintKey, AppError> {
    Ok(FingerprintKey::new(random()?))
}

fn random() -> Result<[u8; 32], AppError> {
    let mut bytes = [0_u8; 32];
    getrandom::fill(&mut bytes).map_err(|e| AppError::Usage(format!("no randomness: {e}")))?;
    Ok(bytes)
}

/// Without an installation: nothing can be matched.
pub fn unmatched(report: Report) -> Scanned {
    with_secrets(report, &BTreeMap::new())
}

fn with_secrets(report: Report, known: &BTreeMap<Fingerprint, SecretId>) -> Scanned {
    let complete = report.complete();
    let findings: Vec<Matched> = report
        .findings
        .into_iter()
        .map(|finding| {
            let mut names = std::iter::once(&finding.fingerprint).chain(&finding.parts);
            let secret = names.find_map(|name| known.get(name)).cloned();
            Matched { finding, secret }
        })
        .collect();
    Scanned {
        groups: group::groups(&findings),
        findings,
        complete,
        ignored: Ignored::default(),
        allowed: report.suppressions,
        bytes_scanned: report.bytes_scanned,
        blobs: report.blobs,
        commits: report.commits,
        files: report.files,
        incomplete: report.incomplete,
        incomplete_more: report.incomplete_more,
        notes: report.notes,
        sources: report.sources,
    }
}

/// Reads the leaked value of a finding again from where it was found, to seal it for the proof.
pub fn recover(
    app: &App,
    place: &Path,
    rules: &RuleSet,
    finding: &str,
) -> Result<Option<SecretValue>, AppError> {
    Ok(Scanner::new(rules, &app.store.keys().fingerprint).recover(place, finding)?)
}

fn count(n: usize) -> u64 {
    u64::try_from(n).unwrap_or(u64::MAX)
}
