//! SARIF 2.1.0 (OASIS, 27 March 2020): <https://docs.oasis-open.org/sarif/sarif/v2.1.0/sarif-v2.1.0.html>. The value is taken
//! from the region's snippet when the snippet is the value and nothing else; most tools redact it, and should.

use std::collections::BTreeMap;

use serde::Deserialize;

use crate::AppError;
use crate::ingest::foreign::{Foreign, Told, some};
use crate::ingest::read::Report;

#[derive(Deserialize)]
struct Log {
    runs: Vec<Run>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Run {
    tool: Tool,
    #[serde(default)]
    results: Option<Vec<Finding>>,
    #[serde(default)]
    version_control_provenance: Vec<Provenance>,
}

#[derive(Deserialize)]
struct Tool {
    driver: Driver,
}

#[derive(Deserialize)]
struct Driver {
    name: String,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Provenance {
    #[serde(default)]
    revision_id: String,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Finding {
    #[serde(default)]
    rule_id: String,
    rule: Option<Rule>,
    #[serde(default)]
    locations: Vec<Location>,
    #[serde(default)]
    suppressions: Vec<Suppression>,
    #[serde(default)]
    partial_fingerprints: BTreeMap<String, String>,
}

#[derive(Deserialize)]
struct Rule {
    #[serde(default)]
    id: String,
}

#[derive(Deserialize)]
struct Suppression {
    /// Absent means accepted (3.35.3).
    status: Option<String>,
    justification: Option<String>,
}

#[derive(Default, Deserialize)]
#[serde(rename_all = "camelCase")]
struct Location {
    #[serde(default)]
    physical_location: Physical,
}

#[derive(Default, Deserialize)]
#[serde(rename_all = "camelCase")]
struct Physical {
    #[serde(default)]
    artifact_location: Artifact,
    #[serde(default)]
    region: Region,
}

#[derive(Default, Deserialize)]
struct Artifact {
    #[serde(default)]
    uri: String,
}

#[derive(Default, Deserialize)]
#[serde(rename_all = "camelCase")]
struct Region {
    #[serde(default)]
    start_line: u64,
    #[serde(default)]
    start_column: u64,
    snippet: Option<Snippet>,
}

#[derive(Deserialize)]
struct Snippet {
    #[serde(default)]
    text: Told,
}

pub(in crate::ingest) fn read(report: &Report<'_>) -> Result<Vec<Foreign>, AppError> {
    let log: Log = report.object()?;
    let mut findings = Vec::new();
    for run in log.runs {
        let commit = run.version_control_provenance.into_iter().find_map(|from| some(from.revision_id));
        for result in run.results.unwrap_or_default() {
            findings.extend(foreign(&run.tool.driver.name, commit.as_deref(), result));
        }
    }
    Ok(findings)
}

/// One finding per location.
fn foreign(tool: &str, commit: Option<&str>, result: Finding) -> Vec<Foreign> {
    let rule = some(result.rule_id).or_else(|| some(result.rule?.id)).unwrap_or_else(|| "unnamed".to_owned());
    let suppressed =
        result.suppressions.into_iter().find(|one| one.status.as_deref().is_none_or(|s| s == "accepted"));
    let resolved = suppressed.map(|one| one.justification.unwrap_or_else(|| "suppressed".to_owned()));
    let reference = result.partial_fingerprints.into_values().next();
    let mut locations = result.locations;
    if locations.is_empty() {
        locations.push(Location::default());
    }
    let rule = format!("{}:{rule}", tool.to_ascii_lowercase().replace(' ', "-"));
    locations
        .into_iter()
        .map(|location| {
            let Physical { artifact_location, region } = location.physical_location;
            let value = region.snippet.and_then(|snippet| snippet.text.0);
            Foreign {
                rule: rule.clone(),
                // A message may quote the value; the rule says enough.
                description: rule.clone(),
                values: value.filter(|value| one_word(value.expose())).into_iter().collect(),
                file: some(decoded(&artifact_location.uri)).unwrap_or_else(|| "(no place given)".to_owned()),
                line: region.start_line,
                column: region.start_column,
                commit: commit.map(str::to_owned),
                resolved: resolved.clone(),
                reference: reference.clone(),
                ..Foreign::default()
            }
        })
        .collect()
}

/// A snippet of several words is a line of code, not a value.
fn one_word(text: &[u8]) -> bool {
    !text.iter().any(u8::is_ascii_whitespace)
}

/// A URI reference as a path: `file:` taken off, percent-encoding undone (RFC 3986, 2.1).
fn decoded(uri: &str) -> String {
    let path = uri.strip_prefix("file://").unwrap_or(uri);
    let mut bytes = Vec::with_capacity(path.len());
    let mut rest = path.as_bytes();
    while let Some((first, after)) = rest.split_first() {
        let pair =
            after.get(..2).and_then(|pair| u8::from_str_radix(std::str::from_utf8(pair).ok()?, 16).ok());
        if let Some(byte) = pair.filter(|_| *first == b'%') {
            bytes.push(byte);
            rest = after.get(2..).unwrap_or_default();
        } else {
            bytes.push(*first);
            rest = after;
        }
    }
    String::from_utf8_lossy(&bytes).into_owned()
}
