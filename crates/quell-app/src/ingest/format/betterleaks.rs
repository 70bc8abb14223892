//! betterleaks 2: `schema_version` "1" in JSON, the same findings one a line in JSONL. Written from the output of 2.0.0-rc.4.

use std::collections::BTreeMap;

use serde::Deserialize;

use crate::AppError;
use crate::ingest::foreign::{Foreign, Told, some, time};
use crate::ingest::read::{Layout, Report};

#[derive(Deserialize)]
struct Whole {
    findings: Option<Vec<Finding>>,
}

#[derive(Deserialize)]
struct Finding {
    rule_id: String,
    #[serde(default)]
    description: String,
    #[serde(rename = "match", default)]
    matched: Match,
    #[serde(default)]
    attributes: BTreeMap<String, String>,
    #[serde(default)]
    location: Location,
    #[serde(default)]
    component_sets: Vec<Components>,
}

#[derive(Default, Deserialize)]
struct Match {
    #[serde(default)]
    value: Told,
    #[serde(default)]
    fingerprint: String,
}

#[derive(Default, Deserialize)]
struct Location {
    #[serde(default)]
    path: String,
    #[serde(default)]
    start_line: u64,
    #[serde(default)]
    start_column: u64,
}

#[derive(Deserialize)]
struct Components {
    #[serde(default)]
    components: Vec<Component>,
}

#[derive(Deserialize)]
struct Component {
    #[serde(rename = "match", default)]
    matched: Match,
}

pub(in crate::ingest) fn read(report: &Report<'_>) -> Result<Vec<Foreign>, AppError> {
    let whole = report.layout == Layout::Values
        && report.object::<Whole>().is_ok_and(|whole| whole.findings.is_some());
    let found =
        if whole { report.object::<Whole>()?.findings.unwrap_or_default() } else { report.elements()? };
    Ok(found.into_iter().map(foreign).collect())
}

fn foreign(mut finding: Finding) -> Foreign {
    let parts = finding.component_sets.into_iter().flat_map(|set| set.components);
    let values = std::iter::once(finding.matched.value).chain(parts.map(|part| part.matched.value));
    Foreign {
        rule: finding.rule_id,
        description: finding.description,
        values: values.filter_map(|told| told.0).collect(),
        file: finding.location.path,
        line: finding.location.start_line,
        column: finding.location.start_column,
        commit: finding.attributes.remove("git.sha").and_then(some),
        author: finding.attributes.remove("git.author_name").and_then(some),
        seen: time(finding.attributes.get("git.date").map(String::as_str)),
        reference: some(finding.matched.fingerprint),
        ..Foreign::default()
    }
}
