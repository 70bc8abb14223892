//! Findings of scans, and hunts.

use quell_app::finding::{Said, Standing};
use quell_app::scan::Matched;
use quell_core::event::FindingSays;
use quell_core::{IncidentId, Timestamp};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::shape;

/// One secret at one path, and what became of it. Never a value.
#[derive(Clone, Debug, Deserialize, JsonSchema, Serialize)]
pub struct Finding {
    /// As it was recorded.
    #[schemars(with = "shape::Finding")]
    #[serde(flatten)]
    pub finding: Matched,
    /// What a person said it is.
    pub said: Option<FindingSaid>,
    /// Incidents that have it as an exposure.
    #[schemars(with = "Vec<String>")]
    pub incidents: Vec<IncidentId>,
}

/// What a person said of a finding.
#[derive(Clone, Debug, Deserialize, JsonSchema, Serialize)]
pub struct FindingSaid {
    /// What it is.
    pub is: FindingIs,
    /// Leak: the incident about it.
    #[schemars(with = "Option<String>")]
    pub incident: Option<IncidentId>,
    /// Duplicate: of which finding.
    pub of: Option<String>,
    /// Who said so.
    pub by: String,
    /// When.
    pub at: Timestamp,
    /// Why.
    pub reason: String,
}

/// What a finding is.
#[derive(Clone, Copy, Debug, Deserialize, Eq, JsonSchema, PartialEq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum FindingIs {
    /// The same as another finding.
    Duplicate,
    /// A leak.
    Leak,
    /// Nothing that opens anything: an example, a decoy, a test.
    NotALeak,
}

impl From<Standing> for Finding {
    fn from(Standing { matched, said, incidents }: Standing) -> Self {
        Self { finding: matched, said: said.map(FindingSaid::from), incidents }
    }
}

impl From<Said> for FindingSaid {
    fn from(Said { says, by, at, reason }: Said) -> Self {
        let (is, incident, of) = match says {
            FindingSays::Leak { incident } => (FindingIs::Leak, Some(incident), None),
            FindingSays::NotALeak => (FindingIs::NotALeak, None, None),
            FindingSays::Duplicate { of } => (FindingIs::Duplicate, None, Some(of)),
        };
        Self { is, incident, of, by, at, reason }
    }
}

/// A page of findings, by id.
#[derive(Clone, Debug, Deserialize, JsonSchema, Serialize)]
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
