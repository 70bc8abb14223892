//! Findings of scans, and hunts.

use quell_app::scan::Matched;
use quell_core::{IncidentId, Timestamp};
use schemars::JsonSchema;
use serde::Serialize;

use super::shape;

/// One secret at one path. Never a value.
#[derive(Clone, Debug, JsonSchema, Serialize)]
#[serde(transparent)]
pub struct Finding {
    /// As the scan recorded it.
    #[schemars(with = "shape::Finding")]
    pub finding: Matched,
}

/// A page of findings, by id.
#[derive(Clone, Debug, JsonSchema, Serialize)]
pub struct Findings {
    /// The findings.
    pub findings: Vec<Finding>,
    /// Where the next page begins; absent on the last one.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub next: Option<String>,
}

/// A hunt that was recorded.
#[derive(Clone, Debug, JsonSchema, Serialize)]
pub struct Hunt {
    /// The entry that records it.
    pub seq: u64,
    /// When.
    pub at: Timestamp,
    /// Who.
    pub actor: String,
    /// SHA-256 of its report, which is evidence of the incident.
    pub sha256: String,
    /// Bytes.
    pub size: u64,
}

/// The hunts of an incident.
#[derive(Clone, Debug, JsonSchema, Serialize)]
pub struct Hunts {
    /// Which incident.
    #[schemars(with = "String")]
    pub incident: IncidentId,
    /// Oldest first.
    pub hunts: Vec<Hunt>,
}
