//! trufflehog 3 with `--json`: one finding a line, `ResultWithMetadata` of its `pkg/output/json.go`.

use std::collections::BTreeMap;

use serde::Deserialize;
use serde_json::Value;

use crate::AppError;
use crate::ingest::foreign::{Foreign, Told, some, time};
use crate::ingest::read::Report;

#[derive(Deserialize)]
struct Finding {
    #[serde(rename = "SourceMetadata")]
    source: Option<Source>,
    #[serde(rename = "DetectorName", default)]
    detector: String,
    #[serde(rename = "DetectorDescription", default)]
    description: String,
    #[serde(rename = "Verified", default)]
    verified: bool,
    #[serde(rename = "Raw", default)]
    raw: Told,
    #[serde(rename = "RawV2", default)]
    raw_parts: Told,
}

#[derive(Deserialize)]
struct Source {
    /// The kind of source (`Git`, `Github`, `Filesystem`, `S3`, …) and what it says of the place.
    #[serde(rename = "Data", default)]
    data: BTreeMap<String, BTreeMap<String, Value>>,
}

pub(in crate::ingest) fn read(report: &Report<'_>) -> Result<Vec<Foreign>, AppError> {
    let found: Vec<Finding> = report.elements()?;
    Ok(found.into_iter().map(foreign).collect())
}

fn foreign(finding: Finding) -> Foreign {
    let place = finding.source.and_then(|source| source.data.into_iter().next());
    let (kind, place) = place.unwrap_or_default();
    let text = |key: &str| place.get(key).and_then(Value::as_str).map(str::to_owned).and_then(some);
    let file = text("file").or_else(|| text("path")).or_else(|| text("key")).or_else(|| text("link"));
    Foreign {
        description: some(finding.description).unwrap_or_else(|| finding.detector.clone()),
        rule: finding.detector.to_ascii_lowercase(),
        values: [finding.raw, finding.raw_parts].into_iter().filter_map(|told| told.0).collect(),
        file: file.unwrap_or_else(|| format!("({})", if kind.is_empty() { "unknown place" } else { &kind })),
        line: place.get("line").and_then(Value::as_u64).unwrap_or(0),
        commit: text("commit"),
        author: text("email"),
        seen: time(place.get("timestamp").and_then(Value::as_str)),
        link: text("link"),
        // 0 is "public" in its `Visibility`; the zero value is also what it writes when it does not know.
        public: match place.get("visibility") {
            Some(Value::String(word)) => Some(word == "public"),
            Some(Value::Number(number)) => number.as_u64().filter(|number| *number > 0).map(|_| false),
            Some(Value::Null | Value::Bool(_) | Value::Array(_) | Value::Object(_)) | None => None,
        },
        // Not verified: refused, or never tried. Neither proves anything.
        live: finding.verified.then_some(true),
        ..Foreign::default()
    }
}
