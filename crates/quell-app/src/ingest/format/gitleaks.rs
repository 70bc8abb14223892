//! gitleaks' JSON report: `report.Finding` of gitleaks 8, <https://github.com/gitleaks/gitleaks#report>.

use serde::Deserialize;

use crate::AppError;
use crate::ingest::foreign::{Foreign, Told, some, time};
use crate::ingest::read::Report;

#[derive(Deserialize)]
struct Finding {
    #[serde(rename = "RuleID", alias = "ruleID")]
    rule: String,
    #[serde(rename = "Description", alias = "description", default)]
    description: String,
    #[serde(rename = "StartLine", alias = "startLine", default)]
    line: u64,
    #[serde(rename = "StartColumn", alias = "startColumn", default)]
    column: u64,
    #[serde(rename = "Secret", alias = "secret", default)]
    secret: Told,
    #[serde(rename = "File", alias = "file", default)]
    file: String,
    #[serde(rename = "Commit", alias = "commit", default)]
    commit: String,
    #[serde(rename = "Author", alias = "author", default)]
    author: String,
    #[serde(rename = "Date", alias = "date", default)]
    date: String,
    #[serde(rename = "Link", default)]
    link: String,
    #[serde(rename = "Fingerprint", alias = "fingerprint", default)]
    fingerprint: String,
}

pub(in crate::ingest) fn read(report: &Report<'_>) -> Result<Vec<Foreign>, AppError> {
    let found: Vec<Finding> = report.elements()?;
    Ok(found
        .into_iter()
        .map(|finding| Foreign {
            rule: finding.rule,
            description: finding.description,
            values: finding.secret.0.into_iter().collect(),
            file: finding.file,
            line: finding.line,
            column: finding.column,
            commit: some(finding.commit),
            author: some(finding.author),
            seen: time(Some(&finding.date)),
            link: some(finding.link),
            reference: some(finding.fingerprint),
            ..Foreign::default()
        })
        .collect())
}
