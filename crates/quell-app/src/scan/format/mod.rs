//! A scan's result in the formats that other programs read. Redacted, all of them: a finding holds no value.

mod github;
mod gitleaks;
mod html;
mod sarif;
#[cfg(test)]
mod schema;
#[cfg(test)]
mod tests;

use jiff::Timestamp;
use quell_scan::{Report, RuleSet};
use serde::Serialize;
use serde_json::{Value, json};

use super::{Matched, Scanned};
use crate::AppError;

/// The version of `json` and `jsonl`. Fields may be added under one version.
pub const VERSION: u32 = 1;

/// A format for programs, or a page.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Format {
    /// Workflow commands of GitHub Actions, one annotation a line.
    GitHub,
    /// The JSON array that gitleaks writes.
    Gitleaks,
    /// One page that needs nothing else.
    Html,
    /// One object.
    Json,
    /// One finding a line, and a last line about the scan.
    JsonLines,
    /// SARIF 2.1.0.
    Sarif,
}

impl Format {
    /// All of them.
    pub const ALL: [Self; 6] =
        [Self::GitHub, Self::Gitleaks, Self::Html, Self::Json, Self::JsonLines, Self::Sarif];
}

/// What is known beside the findings.
#[derive(Clone, Copy, Debug)]
pub struct About<'a> {
    /// The version of the program.
    pub version: &'a str,
    /// What was scanned, as the caller named it.
    pub target: &'a str,
    /// When it ended.
    pub at: Timestamp,
    /// The rules that took part.
    pub rules: &'a RuleSet,
}

/// The whole text of a result, with a newline at its end.
pub fn render(format: Format, scanned: &Scanned, about: About<'_>) -> Result<String, AppError> {
    match format {
        Format::GitHub => Ok(github::render(scanned)),
        Format::Gitleaks => pretty(&gitleaks::render(scanned)),
        Format::Html => html::render(scanned, about),
        Format::Json => pretty(&whole(scanned)?),
        Format::JsonLines => lines(scanned),
        Format::Sarif => pretty(&sarif::render(scanned, about)),
    }
}

fn whole(scanned: &Scanned) -> Result<Value, AppError> {
    let mut value = value(scanned)?;
    if let Value::Object(map) = &mut value {
        map.insert("v".to_owned(), VERSION.into());
    }
    Ok(value)
}

fn lines(scanned: &Scanned) -> Result<String, AppError> {
    let mut text = String::new();
    for matched in &scanned.findings {
        let mut finding = value(matched)?;
        if let Value::Object(map) = &mut finding {
            map.insert("type".to_owned(), "finding".into());
            map.insert("v".to_owned(), VERSION.into());
        }
        text.push_str(&finding.to_string());
        text.push('\n');
    }
    let summary = json!({
        "type": "summary",
        "v": VERSION,
        "complete": scanned.complete,
        "findings": scanned.findings.len(),
        "ignored": scanned.ignored,
        "allowed": scanned.allowed,
        "files": scanned.files,
        "commits": scanned.commits,
        "blobs": scanned.blobs,
        "bytes_scanned": scanned.bytes_scanned,
        "incomplete": scanned.incomplete,
        "incomplete_more": scanned.incomplete_more,
    });
    text.push_str(&summary.to_string());
    text.push('\n');
    Ok(text)
}

fn value<T: Serialize>(of: &T) -> Result<Value, AppError> {
    serde_json::to_value(of)
        .map_err(|e| AppError::Usage(format!("the result cannot be written as JSON: {e}")))
}

fn pretty(value: &Value) -> Result<String, AppError> {
    let text = serde_json::to_string_pretty(value)
        .map_err(|e| AppError::Usage(format!("the result cannot be written as JSON: {e}")))?;
    Ok(text + "\n")
}

/// What a finding is, in a sentence without markup.
fn sentence(matched: &Matched) -> String {
    let finding = &matched.finding;
    let mut text = finding.description.clone();
    if !finding.preview.trim_matches('…').is_empty() {
        text = format!("{text} ({})", finding.preview);
    }
    if let Some(secret) = &matched.secret {
        text = format!("{text}, the inventory's secret {secret}");
    }
    text = format!("{text}; {}", super::group::seen(finding.still_visible));
    if let Some(commit) = &finding.first_seen_commit {
        text = format!("{text}, since commit {}", super::group::short(commit));
    }
    text = format!("{text}. Finding {}.", finding.id);
    text
}

/// The part of a result that was cut from `incomplete`, in words.
fn more(scanned: &Scanned) -> Option<String> {
    (scanned.incomplete_more > 0).then(|| {
        format!(
            "and {} more were not read; the first {} are named",
            scanned.incomplete_more,
            Report::MAX_INCOMPLETE
        )
    })
}
