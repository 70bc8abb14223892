//! GitLab's secret detection report, `gl-secret-detection-report.json`, schema 14 and 15:
//! <https://docs.gitlab.com/user/application_security/secret_detection/>. The value is in `raw_source_code_extract`.

use serde::Deserialize;

use crate::AppError;
use crate::ingest::foreign::{Foreign, Told, some, time};
use crate::ingest::read::Report;

#[derive(Deserialize)]
struct Whole {
    vulnerabilities: Vec<Vulnerability>,
}

#[derive(Deserialize)]
struct Vulnerability {
    #[serde(default)]
    id: String,
    #[serde(default)]
    name: String,
    #[serde(default)]
    description: String,
    #[serde(default)]
    raw_source_code_extract: Told,
    #[serde(default)]
    location: Location,
    #[serde(default)]
    identifiers: Vec<Identifier>,
}

#[derive(Default, Deserialize)]
struct Location {
    #[serde(default)]
    file: String,
    #[serde(default)]
    start_line: u64,
    commit: Option<Commit>,
}

#[derive(Deserialize)]
struct Commit {
    #[serde(default)]
    author: String,
    #[serde(default)]
    date: String,
    #[serde(default)]
    sha: String,
}

#[derive(Deserialize)]
struct Identifier {
    #[serde(default)]
    value: String,
}

/// What GitLab writes when it does not look at history.
const NO_COMMIT: &str = "0000000";

pub(in crate::ingest) fn read(report: &Report<'_>) -> Result<Vec<Foreign>, AppError> {
    let whole: Whole = report.object()?;
    Ok(whole.vulnerabilities.into_iter().map(foreign).collect())
}

fn foreign(found: Vulnerability) -> Foreign {
    let rule = found.identifiers.into_iter().find_map(|identifier| some(identifier.value));
    let commit = found.location.commit;
    Foreign {
        rule: rule.unwrap_or_else(|| found.name.clone()),
        description: some(found.name).unwrap_or(found.description),
        values: found.raw_source_code_extract.0.into_iter().collect(),
        file: found.location.file,
        line: found.location.start_line,
        seen: commit.as_ref().and_then(|commit| time(Some(&commit.date))),
        author: commit.as_ref().and_then(|commit| some(commit.author.clone())),
        commit: commit.and_then(|commit| some(commit.sha)).filter(|sha| sha != NO_COMMIT),
        reference: some(found.id),
        ..Foreign::default()
    }
}
