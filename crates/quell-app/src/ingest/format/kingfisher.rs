//! Kingfisher: an envelope with `findings`, or one finding a line. Written from the output of 2.14.0.
//!
//! Its `validate_command` and `blast_radius_command` carry the value on a command line; they are not read.

use std::collections::BTreeMap;

use serde::Deserialize;

use crate::AppError;
use crate::ingest::foreign::{Foreign, Told, some, time};
use crate::ingest::read::{Layout, Report};

#[derive(Deserialize)]
struct Whole {
    findings: Option<Vec<Record>>,
}

#[derive(Deserialize)]
struct Record {
    rule: Rule,
    finding: Finding,
}

#[derive(Deserialize)]
struct Rule {
    #[serde(default)]
    name: String,
    #[serde(default)]
    id: String,
    #[serde(default)]
    description: String,
}

#[derive(Deserialize)]
struct Finding {
    #[serde(default)]
    snippet: Told,
    #[serde(default)]
    dependent_captures: BTreeMap<String, Told>,
    #[serde(default)]
    fingerprint: String,
    #[serde(default)]
    validation: Validation,
    #[serde(default)]
    line: u64,
    // Counted from 0 there.
    column_start: Option<u64>,
    #[serde(default)]
    path: String,
    git_metadata: Option<Git>,
}

#[derive(Default, Deserialize)]
struct Validation {
    #[serde(default)]
    status: String,
}

#[derive(Deserialize)]
struct Git {
    commit: Option<Commit>,
    file: Option<File>,
}

#[derive(Deserialize)]
struct Commit {
    #[serde(default)]
    id: String,
    #[serde(default)]
    date: String,
    author: Option<Person>,
}

#[derive(Deserialize)]
struct Person {
    #[serde(default)]
    name: String,
}

#[derive(Deserialize)]
struct File {
    #[serde(default)]
    path: String,
}

pub(in crate::ingest) fn read(report: &Report<'_>) -> Result<Vec<Foreign>, AppError> {
    let whole = report.layout == Layout::Values
        && report.object::<Whole>().is_ok_and(|whole| whole.findings.is_some());
    let found =
        if whole { report.object::<Whole>()?.findings.unwrap_or_default() } else { report.elements()? };
    Ok(found.into_iter().map(foreign).collect())
}

fn foreign(record: Record) -> Foreign {
    let Record { rule, finding } = record;
    let (commit, file) = finding.git_metadata.map_or((None, None), |git| (git.commit, git.file));
    let live = match finding.validation.status.to_ascii_lowercase().as_str() {
        "active credential" | "active" => Some(true),
        "inactive credential" | "inactive" => Some(false),
        _ => None,
    };
    let parts = finding.dependent_captures.into_values();
    Foreign {
        rule: some(rule.id).unwrap_or_else(|| rule.name.clone()),
        description: some(rule.description).unwrap_or(rule.name),
        values: std::iter::once(finding.snippet).chain(parts).filter_map(|told| told.0).collect(),
        file: file.and_then(|file| some(file.path)).unwrap_or(finding.path),
        line: finding.line,
        column: finding.column_start.map_or(0, |column| column.saturating_add(1)),
        seen: commit.as_ref().and_then(|commit| time(Some(&commit.date))),
        author: commit.as_ref().and_then(|commit| some(commit.author.as_ref()?.name.clone())),
        commit: commit.and_then(|commit| some(commit.id)),
        live,
        reference: some(finding.fingerprint),
        ..Foreign::default()
    }
}
