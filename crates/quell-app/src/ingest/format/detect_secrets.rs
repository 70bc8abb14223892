//! detect-secrets' baseline (`.secrets.baseline`): <https://github.com/Yelp/detect-secrets#baseline>. Written from the
//! output of 1.5. It holds SHA-1 hashes of values, by which values of the inventory are recognised.

use std::collections::BTreeMap;

use serde::Deserialize;

use crate::AppError;
use crate::ingest::foreign::{Foreign, time};
use crate::ingest::read::Report;

#[derive(Deserialize)]
struct Baseline {
    results: BTreeMap<String, Vec<Found>>,
    generated_at: Option<String>,
}

#[derive(Deserialize)]
struct Found {
    #[serde(rename = "type")]
    kind: String,
    hashed_secret: String,
    #[serde(default)]
    is_verified: bool,
    /// Set by `detect-secrets audit`.
    is_secret: Option<bool>,
    #[serde(default)]
    line_number: u64,
}

pub(in crate::ingest) fn read(report: &Report<'_>) -> Result<Vec<Foreign>, AppError> {
    let baseline: Baseline = report.object()?;
    let seen = time(baseline.generated_at.as_deref());
    let mut findings = Vec::new();
    for (file, found) in baseline.results {
        findings.extend(found.into_iter().map(|found| Foreign {
            rule: found.kind.to_ascii_lowercase().replace(' ', "-"),
            description: found.kind,
            reference: Some(found.hashed_secret.clone()),
            sha1: Some(found.hashed_secret),
            file: file.clone(),
            line: found.line_number,
            seen,
            // It only says whether it was tried with success.
            live: found.is_verified.then_some(true),
            resolved: (found.is_secret == Some(false)).then(|| "audited: not a secret".to_owned()),
            ..Foreign::default()
        }));
    }
    Ok(findings)
}
