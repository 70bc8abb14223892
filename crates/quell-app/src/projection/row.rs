//! What is computed: of an incident as a whole, and of one entry of the installation.

use jiff::Timestamp;
use quell_core::event::{Entry, Event};
use quell_core::incident::notice::NoticeState;
use quell_core::incident::{Incident, RoomRole, Status};
use quell_core::plan::{Machine, StepState};
use quell_core::severity::Severity;
use quell_core::{IncidentId, SecretId};
use quell_store::{IncidentRow, Mention};
use serde::{Deserialize, Serialize};
use serde_json::Value;
use sha2::Digest as _;

use crate::AppError;
use crate::measure::Times;

/// Kinds of entries of the installation that are looked up.
pub(super) const KINDS: [&str; 4] = ["finding.recorded", "finding.triaged", "scan.run", "secret.observed"];
/// Longest name in the index; of a longer one, its hash.
const NAME_MAX: usize = 120;

/// One incident, as lists show it.
#[derive(Clone, Debug, Deserialize, Eq, PartialEq, Serialize)]
pub struct Summary {
    /// Which.
    pub id: IncidentId,
    /// What happened, in a line.
    pub title: String,
    /// Open or closed.
    pub open: bool,
    /// A rehearsal.
    pub drill: bool,
    /// What holds now.
    pub severity: Severity,
    /// What people of the profile call it.
    pub label: String,
    /// When it was declared.
    pub declared: Timestamp,
    /// The secrets that it is about.
    pub secrets: Vec<SecretId>,
    /// How many of them are proven inert.
    pub inert: usize,
    /// Who leads; empty when nobody does.
    pub commander: String,
    /// Moments, from the declaration on.
    pub times: Times,
    /// Deadlines that were not met yet: name, and when they are due.
    pub clocks: Vec<(String, Timestamp)>,
    /// Steps of its plan that failed and wait for somebody.
    pub failed: usize,
}

impl Summary {
    /// Of an incident as it stands.
    pub fn of(incident: &Incident) -> Self {
        let label = incident.severities.last().map_or_else(|| "SEV-1".to_owned(), |(_, it)| it.label.clone());
        let open = incident.clocks.iter().filter(|clock| clock.met.is_none());
        let states = incident.machine.iter().flat_map(Machine::states);
        Self {
            id: incident.id,
            title: incident.title.clone(),
            open: incident.status == Status::Open,
            drill: incident.drill,
            severity: incident.severity(),
            label,
            declared: incident.declared,
            secrets: incident.secrets.iter().map(|it| it.secret.clone()).collect(),
            inert: incident.secrets.iter().filter(|it| incident.is_inert(&it.secret)).count(),
            commander: incident.roles.get(&RoomRole::Commander).cloned().unwrap_or_default(),
            times: Times::of(incident),
            clocks: open.map(|clock| (clock.name.clone(), clock.due)).collect(),
            failed: states.filter(|(_, state)| matches!(state, StepState::Failed { .. })).count(),
        }
    }

    /// Every secret's newest proof says inert.
    pub fn is_contained(&self) -> bool {
        !self.secrets.is_empty() && self.inert == self.secrets.len()
    }

    pub(super) fn read(row: &IncidentRow) -> Result<Self, AppError> {
        let wrong = |error| {
            AppError::Evidence(format!(
                "the row of {} in the projection cannot be read ({error}); `quell ledger rebuild` computes it anew",
                row.stream
            ))
        };
        serde_json::from_str(&row.body).map_err(wrong)
    }
}

/// Its place in lists: by year, then by number.
pub(super) fn number(id: IncidentId) -> i64 {
    i64::from(id.year) * 1_000_000_000 + i64::from(id.number)
}

/// The row of an incident, and what it speaks of.
pub(super) fn of(incident: &Incident) -> Result<(IncidentRow, Vec<Mention>), AppError> {
    let summary = Summary::of(incident);
    let body = serde_json::to_string(&summary).map_err(|error| AppError::Evidence(error.to_string()))?;
    let stream = incident.id.to_string();
    let names: Vec<&str> = summary.secrets.iter().map(SecretId::as_str).collect();
    let row = IncidentRow {
        number: number(incident.id),
        next_pos: i64::try_from(incident.next_pos).unwrap_or(i64::MAX),
        status: status(incident.status).to_owned(),
        severity: summary.severity.word().to_owned(),
        drill: i64::from(incident.drill),
        driven: i64::from(incident.is_to_be_driven() || is_telling(incident)),
        words: storable(&format!("{stream}\n{}\n{}", summary.title, names.join("\n")).to_lowercase()),
        body,
        stream: stream.clone(),
    };
    let mut mentions = Vec::new();
    let mut say = |kind: &str, value: &str| mentions.push(mention(kind, value, &stream, 0));
    summary.secrets.iter().for_each(|secret| say("secret", secret.as_str()));
    incident.exposures.iter().filter_map(|it| it.finding.as_deref()).for_each(|id| say("exposure", id));
    incident.sealed.iter().for_each(|sealed| say("principal", &sealed.principal));
    incident.roles.values().for_each(|person| say("role", person));
    if incident.items.iter().any(|item| item.gate.is_some()) {
        say("gate", "any");
    }
    mentions.sort();
    mentions.dedup();
    Ok((row, mentions))
}

/// The word of the column.
pub(super) fn status(status: Status) -> &'static str {
    match status {
        Status::Open => "open",
        Status::Closed => "closed",
    }
}

/// What an entry of the installation speaks of.
#[expect(clippy::wildcard_enum_match_arm, reason = "the other entries are not looked up")]
pub(super) fn spoken(entry: &Entry) -> Vec<Mention> {
    let seq = i64::try_from(entry.seq).unwrap_or(i64::MAX);
    let say = |kind: &str, value: &str| mention(kind, value, &entry.stream, seq);
    match &entry.event {
        Event::FindingRecorded { finding, .. } => {
            let word = |field: &str| finding.get(field).and_then(Value::as_str).unwrap_or_default();
            vec![say("finding", word("id")), say("fingerprint", word("fingerprint"))]
        }
        Event::FindingTriaged { finding, .. } => vec![say("triaged", finding)],
        Event::ScanRun { target, .. } => vec![say("scan", target)],
        Event::SecretObserved { fingerprints, .. } => {
            fingerprints.iter().map(|name| say("observed", &name.to_string())).collect()
        }
        _ => Vec::new(),
    }
}

fn mention(kind: &str, value: &str, place: &str, seq: i64) -> Mention {
    Mention { kind: kind.to_owned(), value: name(value), place: place.to_owned(), seq }
}

/// A name that fits into an index of any database.
pub(super) fn name(value: &str) -> String {
    if value.len() <= NAME_MAX {
        return storable(value);
    }
    format!("sha256:{}", hex::encode(sha2::Sha256::digest(value)))
}

/// Without what PostgreSQL's texts cannot hold: one title with a NUL would keep every list from being caught up, for everybody.
pub(super) fn storable(text: &str) -> String {
    text.replace('\0', "\u{fffd}")
}

/// A notice of it is on its way.
fn is_telling(incident: &Incident) -> bool {
    incident.notices.iter().any(|notice| notice.state() == NoticeState::Sending)
}
