//! Findings of scans, hunts, gates and drills.

use axum::http::StatusCode;
use axum::routing::{get, post};
use quell_app::AppError;
use quell_app::clock::now;
use quell_app::finding;
use quell_app::hunt::{self, triage};
use quell_app::projection::{self, Wanted};
use quell_core::IncidentId;
use quell_core::event::{Decision, FindingSays};
use quell_core::person::Role;
use schemars::JsonSchema;
use serde::Deserialize;
use serde_json::Value;

use super::ask::{Asked, At, Deciding, Words, word};
use super::incident::limit;
use super::operation::{Operation, of};
use super::tell::Told;
use crate::caller::Caller;
use crate::problem::Problem;
use crate::view;

pub(super) static OPERATIONS: &[Operation] = &[
    Operation::get("/api/v1/findings", Role::Viewer, "finding_list", || get(findings))
        .says("What scans recorded, by id. A page of one secret or one rule may hold fewer than `limit`, and be followed by another")
        .query(of::<Listed>)
        .json(of::<view::Findings>),
    Operation::get("/api/v1/findings/{finding}", Role::Viewer, "finding_show", || get(one))
        .says("One finding")
        .json(of::<view::Finding>),
    Operation::post("/api/v1/findings/{finding}/triage", Role::Responder, "finding_triage", || post(say))
        .says("It is no leak, or the same as another finding; a leak is declared as an incident")
        .body(of::<Triaged>)
        .json(of::<view::Finding>),
    Operation::get("/api/v1/incidents/{id}/hunts", Role::Viewer, "hunt_list", || get(hunts))
        .says("The hunts of an incident, by the hash of their reports")
        .json(of::<view::Hunts>)
        .tagged(),
    Operation::get("/api/v1/incidents/{id}/hunt", Role::Viewer, "hunt_show", || get(newest))
        .says("The newest hunt's report, judged by what people said since")
        .json(of::<serde_json::Map<String, Value>>),
    Operation::post("/api/v1/incidents/{id}/hunt/triage", Role::Responder, "hunt_triage", || post(judge))
        .says("Say what an anomaly of the newest hunt is; the verdict follows")
        .body(of::<Judged>)
        .json(of::<view::Incident>)
        .tagged(),
    Operation::get("/api/v1/gates", Role::Viewer, "gate_list", || get(gates))
        .says("Gates that action items of incidents are to ship, and whether one was proven")
        .json(of::<view::Gates>),
    Operation::get("/api/v1/drills", Role::Viewer, "drill_list", || get(drills))
        .says("Rehearsals, newest first, with the time to proof")
        .json(of::<view::Drills>),
];

#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct Listed {
    /// Findings on a page; 50 without it.
    #[schemars(range(min = 1, max = 200))]
    limit: Option<usize>,
    /// `next` of the page before.
    cursor: Option<String>,
    /// Only those of this secret.
    secret: Option<String>,
    /// Only those of this rule.
    rule: Option<String>,
    /// Only those of which nobody has said what they are, and that no incident is about.
    #[serde(default)]
    open: bool,
}

async fn findings(caller: Caller, Words(asked): Words<Listed>) -> Result<Told<view::Findings>, Problem> {
    let limit = limit(asked.limit)?;
    let after = asked.cursor.as_deref().map(finding::id).transpose()?.unwrap_or_default();
    let wanted = finding::Wanted { secret: asked.secret.clone(), rule: asked.rule.clone(), open: asked.open };
    let (found, next) = finding::list(&caller.app, &wanted, after, limit).await?;
    Ok(Told::new(view::Findings { findings: found.into_iter().map(view::Finding::from).collect(), next }))
}

async fn one(caller: Caller, At(id): At<String>) -> Result<Told<view::Finding>, Problem> {
    Ok(Told::new(finding::show(&caller.app, &id).await?.into()))
}

/// What a finding is.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct Triaged {
    /// `not-a-leak` or `duplicate`.
    says: SaysWhat,
    /// Duplicate: of which finding.
    of: Option<String>,
    /// Why.
    reason: String,
}

#[derive(Clone, Copy, Debug, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
enum SaysWhat {
    /// Nothing that opens anything: an example, a decoy, a test.
    NotALeak,
    /// The same as another finding.
    Duplicate,
}

async fn say(
    caller: Caller,
    At(id): At<String>,
    Asked(asked): Asked<Triaged>,
) -> Result<Told<view::Finding>, Problem> {
    let says = match (asked.says, &asked.of) {
        (SaysWhat::NotALeak, None) => FindingSays::NotALeak,
        (SaysWhat::Duplicate, Some(of)) => FindingSays::Duplicate { of: finding::id(of)?.to_owned() },
        (SaysWhat::NotALeak, Some(_)) | (SaysWhat::Duplicate, None) => {
            let words = "`of` names the other finding of a duplicate, and stands with nothing else";
            return Err(Problem::new(StatusCode::UNPROCESSABLE_ENTITY, words));
        }
    };
    finding::triage(&caller.app, finding::id(&id)?, says, &asked.reason).await?;
    one(caller, At(id)).await
}

/// What an anomaly is.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct Judged {
    /// The anomaly, as the report names it.
    anomaly: String,
    /// `benign` or `confirmed`.
    decision: JudgedAs,
    /// Why.
    reason: String,
}

#[derive(Clone, Copy, Debug, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
enum JudgedAs {
    /// The owner did it.
    Benign,
    /// A stranger did it.
    Confirmed,
}

async fn judge(
    Deciding(app): Deciding,
    At(id): At<String>,
    Asked(asked): Asked<Judged>,
) -> Result<Told<view::Incident>, Problem> {
    let id: IncidentId = word(&id)?;
    let decision = match asked.decision {
        JudgedAs::Benign => Decision::Benign,
        JudgedAs::Confirmed => Decision::Confirmed,
    };
    let incident = triage::triage(&app, id, &asked.anomaly, decision, &asked.reason).await?;
    Ok(Told::about(&incident, view::Incident::of(&incident, now())))
}

async fn hunts(caller: Caller, At(id): At<String>) -> Result<Told<view::Hunts>, Problem> {
    let (incident, entries) = caller.app.incident_with_entries(word(&id)?).await?;
    let mut hunts = Vec::new();
    for entry in &entries {
        hunts.extend(entry.evidence.iter().filter(|it| it.name == hunt::EVIDENCE).map(|it| view::Hunt {
            seq: entry.seq,
            at: entry.at,
            actor: entry.actor.id.clone(),
            sha256: it.sha256.clone(),
            size: it.size,
        }));
    }
    Ok(Told::about(&incident, view::Hunts { incident: incident.id, hunts }))
}

async fn newest(caller: Caller, At(id): At<String>) -> Result<Told<Value>, Problem> {
    let id: IncidentId = word(&id)?;
    let (saved, opinion) = triage::newest(&caller.app, id).await?;
    let report = serde_json::to_value(saved.report(&opinion));
    Ok(Told::new(report.map_err(|error| AppError::Evidence(error.to_string()))?))
}

async fn gates(caller: Caller) -> Result<Told<view::Gates>, Problem> {
    let mut gates = Vec::new();
    for incident in projection::incidents(&caller.app, &projection::with_gate()).await? {
        gates.extend(incident.items.iter().filter_map(|item| {
            let gate = item.gate?;
            Some(view::GateItem { incident: incident.id, gate, item: item.clone() })
        }));
    }
    Ok(Told::new(view::Gates { gates }))
}

async fn drills(caller: Caller) -> Result<Told<view::Drills>, Problem> {
    let wanted = Wanted { drill: Some(true), ..Wanted::default() };
    let drills = projection::incidents(&caller.app, &wanted).await?.iter().map(view::Drill::of).collect();
    Ok(Told::new(view::Drills { drills }))
}
