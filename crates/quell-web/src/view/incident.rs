//! Incidents.

use quell_app::report::TimelineRow;
use quell_app::{driver, proof};
use quell_core::event::Entry;
use quell_core::exposure::Exposure;
use quell_core::gate::Gate;
use quell_core::incident::task::Task;
use quell_core::incident::{
    self as domain, ActionItem, Clock, ClockState, Inertness, Status, inertness, unmet,
};
use quell_core::inventory::Adjacent;
use quell_core::plan::{Machine, Proof, StepState, Strategy};
use quell_core::severity::{Assessment, Severity};
use quell_core::{IncidentId, SecretId, StepId, Timestamp, event};
use schemars::JsonSchema;
use serde::Serialize;

use super::shape;

/// One incident as it stands.
#[derive(Clone, Debug, JsonSchema, Serialize)]
pub struct Incident {
    /// `INC-2026-0007`.
    #[schemars(with = "String")]
    pub incident: IncidentId,
    /// In a line.
    pub title: String,
    /// Open or closed.
    #[schemars(with = "shape::Status")]
    pub status: Status,
    /// A rehearsal.
    pub drill: bool,
    /// Every secret's newest proof says inert.
    pub contained: bool,
    /// What holds now.
    #[schemars(with = "shape::Severity")]
    pub severity: Severity,
    /// Every assessment, oldest first.
    pub severities: Vec<Assessed>,
    /// Moment one, if it is known.
    pub first_exposed: Option<Timestamp>,
    /// Moment two.
    pub discovered: Timestamp,
    /// Moment three.
    pub declared: Timestamp,
    /// When it was closed.
    pub closed: Option<Timestamp>,
    /// Where it leaked.
    #[schemars(with = "Vec<shape::Exposure>")]
    pub exposures: Vec<Exposure>,
    /// The secrets, each with its newest proof.
    pub secrets: Vec<Proven>,
    /// Deadlines.
    pub clocks: Vec<Clocked>,
    /// Of the plan, if there is one.
    #[schemars(with = "Option<shape::Strategy>")]
    pub strategy: Option<Strategy>,
    /// What approvals bind to.
    pub plan_hash: Option<String>,
    /// The plan's steps.
    pub steps: Vec<StepLine>,
    /// Was it used?
    pub verdict: Option<Judged>,
    /// What people do beside the plan.
    #[schemars(with = "Vec<shape::Task>")]
    pub tasks: Vec<Task>,
    /// Things to do afterwards.
    #[schemars(with = "Vec<shape::ActionItem>")]
    pub action_items: Vec<ActionItem>,
    /// What is missing before it can close.
    pub unmet: Vec<String>,
}

impl Incident {
    /// As it stands at a moment.
    pub fn of(incident: &domain::Incident, at: Timestamp) -> Self {
        let states = incident.machine.iter().flat_map(Machine::states);
        let proven = |affected: &event::Affected| Proven {
            id: affected.secret.clone(),
            because: affected.because.clone(),
            inert: incident.proof(&affected.secret).is_some_and(|proof| proof.inert),
            proof: incident.proof(&affected.secret).cloned(),
        };
        let assessed =
            |(at, assessment): &(Timestamp, Assessment)| Assessed { at: *at, assessment: assessment.clone() };
        Self {
            incident: incident.id,
            title: incident.title.clone(),
            status: incident.status,
            drill: incident.drill,
            contained: incident.is_contained(),
            severity: incident.severity(),
            severities: incident.severities.iter().map(assessed).collect(),
            first_exposed: incident.first_exposed(),
            discovered: incident.discovered(),
            declared: incident.declared,
            closed: incident.closed,
            exposures: incident.exposures.clone(),
            secrets: incident.secrets.iter().map(proven).collect(),
            clocks: incident
                .clocks
                .iter()
                .map(|clock| Clocked { clock: clock.clone(), state: clock.state(at) })
                .collect(),
            strategy: incident.machine.as_ref().map(|machine| machine.plan().strategy),
            plan_hash: incident.machine.as_ref().map(|machine| machine.plan_hash().to_owned()),
            steps: states
                .map(|(step, state)| StepLine {
                    id: step.id.clone(),
                    state: state.clone(),
                    what: step.what.clone(),
                })
                .collect(),
            verdict: incident
                .verdict
                .as_ref()
                .map(|(verdict, reason)| Judged { verdict: *verdict, reason: reason.clone() }),
            tasks: incident.tasks.clone(),
            action_items: incident.items.clone(),
            unmet: unmet(incident),
        }
    }
}

/// A severity, and when it was found.
#[derive(Clone, Debug, JsonSchema, Serialize)]
pub struct Assessed {
    /// When.
    pub at: Timestamp,
    /// What, and why.
    #[schemars(with = "shape::Assessment")]
    pub assessment: Assessment,
}

/// One secret of an incident.
#[derive(Clone, Debug, JsonSchema, Serialize)]
pub struct Proven {
    /// Which.
    #[schemars(with = "String")]
    pub id: SecretId,
    /// Why it belongs to the incident.
    pub because: String,
    /// The newest proof says so.
    pub inert: bool,
    /// The newest proof.
    #[schemars(with = "Option<shape::Proof>")]
    pub proof: Option<Proof>,
}

/// A deadline and how it stands.
#[derive(Clone, Debug, JsonSchema, Serialize)]
pub struct Clocked {
    /// The deadline.
    #[schemars(with = "shape::Clock")]
    pub clock: Clock,
    /// How it stands now.
    #[schemars(with = "shape::ClockState")]
    pub state: ClockState,
}

/// A step and how it stands.
#[derive(Clone, Debug, JsonSchema, Serialize)]
pub struct StepLine {
    /// Which.
    #[schemars(with = "String")]
    pub id: StepId,
    /// How it stands.
    #[schemars(with = "shape::StepState")]
    pub state: StepState,
    /// What it does.
    pub what: String,
}

/// Whether it was used, and what that rests on.
#[derive(Clone, Debug, JsonSchema, Serialize)]
pub struct Judged {
    /// The verdict.
    #[schemars(with = "shape::Verdict")]
    pub verdict: event::Verdict,
    /// What it rests on.
    pub reason: String,
}

/// A page of incidents, newest first.
#[derive(Clone, Debug, JsonSchema, Serialize)]
pub struct Incidents {
    /// The incidents.
    pub incidents: Vec<Incident>,
    /// Where the next page begins; absent on the last one.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub next: Option<String>,
}

/// An incident that was just opened.
#[derive(Clone, Debug, JsonSchema, Serialize)]
pub struct Opened {
    /// As it stands.
    #[serde(flatten)]
    pub incident: Incident,
    /// What issuers could not tell, or told of what no secret of the inventory is.
    pub remarks: Vec<String>,
}

/// An incident after its plan was carried out as far as it goes.
#[derive(Clone, Debug, Serialize)]
pub struct Responded {
    /// As it stands.
    #[serde(flatten)]
    pub incident: Incident,
    /// Why it goes no further.
    pub ended: driver::Ended,
}

/// Whether the server carries out the plan, and what it waits for.
#[derive(Clone, Debug, JsonSchema, Serialize)]
pub struct Response {
    /// Which incident.
    #[schemars(with = "String")]
    pub incident: IncidentId,
    /// Hash of the plan that the server was asked to carry out.
    pub asked: Option<String>,
    /// It is the plan that holds, and it is not done.
    pub driven: bool,
    /// Why it goes no further; absent while something is to be done.
    #[schemars(with = "Option<shape::Ended>")]
    pub ended: Option<driver::Ended>,
    /// Why this server cannot carry it out now; another one may.
    pub trouble: Option<String>,
}

/// What happened, in order.
#[derive(Clone, Debug, JsonSchema, Serialize)]
pub struct Timeline {
    /// The rows.
    #[schemars(with = "Vec<shape::TimelineRow>")]
    pub timeline: Vec<TimelineRow>,
}

/// How each secret stands.
#[derive(Clone, Debug, JsonSchema, Serialize)]
pub struct Secrets {
    /// Which incident.
    #[schemars(with = "String")]
    pub incident: IncidentId,
    /// Those first that need somebody.
    #[schemars(with = "Vec<shape::Inertness>")]
    pub secrets: Vec<Inertness>,
}

impl Secrets {
    /// Of an incident.
    pub fn of(incident: &domain::Incident) -> Self {
        Self { incident: incident.id, secrets: inertness(incident) }
    }
}

/// What lies beside the secrets of an incident.
#[derive(Clone, Debug, JsonSchema, Serialize)]
pub struct Adjacents {
    /// Which incident.
    #[schemars(with = "String")]
    pub incident: IncidentId,
    /// The secrets, with reasons.
    #[schemars(with = "Vec<shape::Adjacent>")]
    pub adjacent: Vec<Adjacent>,
}

/// What a verification found for one secret.
#[derive(Clone, Debug, JsonSchema, Serialize)]
pub struct Retried {
    /// The new proof.
    #[schemars(with = "shape::Proof")]
    pub proof: Proof,
    /// What the newest earlier proof said.
    pub before: Option<bool>,
    /// True when the answer is another than before.
    pub changed: bool,
}

/// Every old value tried again.
#[derive(Clone, Debug, JsonSchema, Serialize)]
pub struct Verified {
    /// Which incident.
    #[schemars(with = "String")]
    pub incident: IncidentId,
    /// Every secret is proven inert.
    pub inert: bool,
    /// Each with its proof.
    pub secrets: Vec<Retried>,
}

impl Verified {
    /// Of what was found.
    pub fn of(incident: IncidentId, found: Vec<proof::Verified>) -> Self {
        let inert = !found.is_empty() && found.iter().all(|one| one.proof.inert);
        let action =
            |one: proof::Verified| Retried { proof: one.proof, before: one.before, changed: one.changed };
        Self { incident, inert, secrets: found.into_iter().map(action).collect() }
    }
}

/// A piece of evidence.
#[derive(Clone, Debug, JsonSchema, Serialize)]
pub struct Evidence {
    /// SHA-256 of its content, in hex.
    pub sha256: String,
    /// Bytes.
    pub size: u64,
    /// What it is called.
    pub name: String,
    /// The entry that names it.
    pub seq: u64,
    /// When.
    pub at: Timestamp,
    /// Who.
    pub actor: String,
}

/// The evidence of an incident.
#[derive(Clone, Debug, JsonSchema, Serialize)]
pub struct EvidenceList {
    /// Which incident.
    #[schemars(with = "String")]
    pub incident: IncidentId,
    /// In the order in which it was collected.
    pub evidence: Vec<Evidence>,
}

impl EvidenceList {
    /// Of an incident's entries.
    pub fn of(incident: IncidentId, entries: &[Entry]) -> Self {
        let of_one = |entry: &Entry| {
            let (seq, at, actor) = (entry.seq, entry.at, entry.actor.id.clone());
            let one = move |it: &event::EvidenceRef| Evidence {
                sha256: it.sha256.clone(),
                size: it.size,
                name: it.name.clone(),
                seq,
                at,
                actor: actor.clone(),
            };
            entry.evidence.iter().map(one).collect::<Vec<_>>()
        };
        Self { incident, evidence: entries.iter().flat_map(of_one).collect() }
    }
}

/// An action item that is to ship a gate.
#[derive(Clone, Debug, JsonSchema, Serialize)]
pub struct GateItem {
    /// Which incident.
    #[schemars(with = "String")]
    pub incident: IncidentId,
    /// The gate.
    #[schemars(with = "shape::Gate")]
    pub gate: Gate,
    /// The item.
    #[schemars(with = "shape::ActionItem")]
    pub item: ActionItem,
}

/// Gates that incidents asked for.
#[derive(Clone, Debug, JsonSchema, Serialize)]
pub struct Gates {
    /// Newest incident first.
    pub gates: Vec<GateItem>,
}

/// A rehearsal.
#[derive(Clone, Debug, JsonSchema, Serialize)]
pub struct Drill {
    /// Its incident.
    #[schemars(with = "String")]
    pub incident: IncidentId,
    /// In a line.
    pub title: String,
    /// When it began.
    pub declared: Timestamp,
    /// Every secret was proven inert.
    pub inert: bool,
    /// From the declaration to the last proof, in milliseconds; absent when it was not proven.
    pub inert_ms: Option<i64>,
    /// Steps of its plan.
    pub steps: u64,
}

impl Drill {
    /// Of an incident that is one.
    pub fn of(incident: &domain::Incident) -> Self {
        let inert = incident.is_contained();
        let proofs = incident.secrets.iter().filter_map(|affected| incident.proof(&affected.secret));
        let last = proofs.map(|proof| proof.at).max().filter(|_| inert);
        let took = last.map(|at| at.as_millisecond().saturating_sub(incident.declared.as_millisecond()));
        let steps = incident.machine.as_ref().map_or(0, |machine| machine.plan().steps.len());
        Self {
            incident: incident.id,
            title: incident.title.clone(),
            declared: incident.declared,
            inert,
            inert_ms: took,
            steps: u64::try_from(steps).unwrap_or(u64::MAX),
        }
    }
}

/// All rehearsals.
#[derive(Clone, Debug, JsonSchema, Serialize)]
pub struct Drills {
    /// Newest first.
    pub drills: Vec<Drill>,
}
