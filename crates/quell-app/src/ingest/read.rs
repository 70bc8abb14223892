//! Reports of other tools: which format it is, and from it the findings.

use std::collections::BTreeSet;
use std::str::FromStr;

use serde::de::{DeserializeOwned, IgnoredAny};

use super::foreign::Foreign;
use super::format;
use crate::AppError;

/// Whose report it is.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Format {
    /// betterleaks 2, JSON or JSON lines.
    Betterleaks,
    /// A baseline of detect-secrets.
    DetectSecrets,
    /// Secret scanning alerts of GitHub's REST API.
    Github,
    /// `ggshield … --json`, or incidents of `GitGuardian`'s REST API.
    Gitguardian,
    /// GitLab's secret detection report.
    Gitlab,
    /// gitleaks' JSON, which many tools write.
    Gitleaks,
    /// Kingfisher, JSON or JSON lines.
    Kingfisher,
    /// SARIF 2.1.0 of any tool.
    Sarif,
    /// trufflehog 3, JSON lines.
    Trufflehog,
}

impl Format {
    /// Every format, in the order of their names.
    pub const ALL: [Self; 9] = [
        Self::Betterleaks,
        Self::DetectSecrets,
        Self::Github,
        Self::Gitguardian,
        Self::Gitlab,
        Self::Gitleaks,
        Self::Kingfisher,
        Self::Sarif,
        Self::Trufflehog,
    ];

    /// The name on the command line, and the first part of the rule of an ingested finding.
    pub fn word(self) -> &'static str {
        match self {
            Self::Betterleaks => "betterleaks",
            Self::DetectSecrets => "detect-secrets",
            Self::Github => "github",
            Self::Gitguardian => "gitguardian",
            Self::Gitlab => "gitlab",
            Self::Gitleaks => "gitleaks",
            Self::Kingfisher => "kingfisher",
            Self::Sarif => "sarif",
            Self::Trufflehog => "trufflehog",
        }
    }

    /// Keys that only this format has, at the top of an object or of a list's first element.
    fn marks(self) -> &'static [&'static [&'static str]] {
        match self {
            Self::Betterleaks => &[&["schema_version", "findings"], &["rule_id", "match"]],
            Self::DetectSecrets => &[&["plugins_used", "results"], &["generated_at", "results"]],
            Self::Github => &[&["secret_type", "state"], &["secret_type", "number"]],
            Self::Gitguardian => &[
                &["entities_with_incidents"],
                &["scans", "total_incidents"],
                &["total_occurrences", "total_incidents"],
                &["gitguardian_url", "detector"],
            ],
            Self::Gitlab => &[&["vulnerabilities", "version"]],
            Self::Gitleaks => &[&["RuleID", "File"], &["ruleID", "file"]],
            Self::Kingfisher => &[&["rule", "finding"], &["findings", "audit"], &["findings", "summary"]],
            Self::Sarif => &[&["runs", "version"], &["runs", "$schema"]],
            Self::Trufflehog => &[&["SourceMetadata", "DetectorName"], &["SourceMetadata", "DetectorType"]],
        }
    }
}

impl FromStr for Format {
    type Err = AppError;

    fn from_str(text: &str) -> Result<Self, AppError> {
        Self::ALL
            .into_iter()
            .find(|format| format.word() == text)
            .ok_or_else(|| AppError::Usage(format!("`{text}` is no format; known are {}", words())))
    }
}

fn words() -> String {
    Format::ALL.map(Format::word).join(", ")
}

/// How the text is laid out.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum Layout {
    /// One value, or several after each other: JSON lines.
    Values,
    /// One list.
    List,
}

/// A report as text, for the parsers of single formats.
#[derive(Clone, Copy, Debug)]
pub(super) struct Report<'a> {
    pub(super) text: &'a str,
    pub(super) layout: Layout,
    pub(super) name: &'a str,
}

impl Report<'_> {
    /// All elements: of the list, or one a line.
    pub(super) fn elements<T: DeserializeOwned>(&self) -> Result<Vec<T>, AppError> {
        match self.layout {
            Layout::List => serde_json::from_str(self.text).map_err(|error| self.broken(&error)),
            Layout::Values => serde_json::Deserializer::from_str(self.text)
                .into_iter()
                .collect::<Result<_, _>>()
                .map_err(|error| self.broken(&error)),
        }
    }

    /// The one object that the report is.
    pub(super) fn object<T: DeserializeOwned>(&self) -> Result<T, AppError> {
        serde_json::from_str(self.text).map_err(|error| self.broken(&error))
    }

    /// Says where, but not what: the parser's message may quote a value.
    fn broken(&self, error: &serde_json::Error) -> AppError {
        use serde_json::error::Category;
        let what = match error.classify() {
            Category::Eof => "it ends too early",
            Category::Syntax => "it is not valid JSON",
            Category::Data => "something is not what this format has there",
            Category::Io => "it could not be read",
        };
        let (name, line, column) = (self.name, error.line(), error.column());
        AppError::Usage(format!(
            "{name}: {what}, at line {line}, column {column}; nothing of it was taken over"
        ))
    }
}

/// Reads a report. `format: None` tells it from the keys.
pub fn read(
    name: &str,
    text: &str,
    format: Option<Format>,
) -> Result<(Option<Format>, Vec<Foreign>), AppError> {
    let text = text.trim_start_matches('\u{feff}').trim();
    let layout = if text.starts_with('[') { Layout::List } else { Layout::Values };
    let report = Report { text, layout, name };
    if text.is_empty()
        && !matches!(format, None | Some(Format::Trufflehog | Format::Kingfisher | Format::Betterleaks))
    {
        return Err(AppError::Usage(format!("{name} is empty; a report without findings is not")));
    }
    // JSON lines without a line, and a list without an element, say that there is nothing.
    if text.is_empty() && format.is_none() {
        return Err(AppError::Usage(format!(
            "{name} is empty, so whether its tool ran is not known; if that is how it says `nothing found`, name it with --format"
        )));
    }
    let keys = first_keys(&report)?;
    let Some(format) = format.or_else(|| keys.as_ref().and_then(told_by)) else {
        if keys.is_none() {
            return Ok((None, Vec::new()));
        }
        return Err(AppError::Usage(format!(
            "{name} is of no format that is known; name one with --format: {}",
            words()
        )));
    };
    let findings = match format {
        Format::Betterleaks => format::betterleaks::read(&report),
        Format::DetectSecrets => format::detect_secrets::read(&report),
        Format::Github => format::github::read(&report),
        Format::Gitguardian => format::gitguardian::read(&report),
        Format::Gitlab => format::gitlab::read(&report),
        Format::Gitleaks => format::gitleaks::read(&report),
        Format::Kingfisher => format::kingfisher::read(&report),
        Format::Sarif => format::sarif::read(&report),
        Format::Trufflehog => format::trufflehog::read(&report),
    }?;
    Ok((Some(format), findings))
}

fn told_by(keys: &BTreeSet<String>) -> Option<Format> {
    let all = |mark: &&[&str]| mark.iter().all(|key| keys.contains(*key));
    Format::ALL.into_iter().find(|format| format.marks().iter().any(all))
}

/// The keys of the first object; `None` when there is no object.
#[expect(clippy::zero_sized_map_values, reason = "an object is a map, whatever its values")]
fn first_keys(report: &Report<'_>) -> Result<Option<BTreeSet<String>>, AppError> {
    type Object = std::collections::BTreeMap<String, IgnoredAny>;
    let first = match report.layout {
        Layout::List => {
            let all: Vec<Object> =
                serde_json::from_str(report.text).map_err(|error| report.broken(&error))?;
            all.into_iter().next()
        }
        Layout::Values => {
            let mut all = serde_json::Deserializer::from_str(report.text).into_iter::<Object>();
            all.next().transpose().map_err(|error| report.broken(&error))?
        }
    };
    Ok(first.map(|object| object.into_keys().collect()))
}
