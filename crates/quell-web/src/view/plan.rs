//! Plans and steps.

use quell_app::precheck;
use quell_core::inventory::Tier;
use quell_core::plan::{self as domain, Machine, StepState};
use quell_core::{IncidentId, StepId};
use schemars::JsonSchema;
use serde::Serialize;

use super::shape;

/// The plan that holds.
#[derive(Clone, Debug, JsonSchema, Serialize)]
pub struct Plan {
    /// The plan.
    #[schemars(with = "shape::Plan")]
    pub plan: domain::Plan,
    /// What approvals bind to.
    pub hash: String,
    /// How each step stands.
    pub states: Vec<Stated>,
}

impl Plan {
    /// Of a plan in motion.
    pub fn of(machine: &Machine) -> Self {
        let stated =
            |(step, state): (&domain::Step, &StepState)| Stated { id: step.id.clone(), state: state.clone() };
        Self {
            plan: machine.plan().clone(),
            hash: machine.plan_hash().to_owned(),
            states: machine.states().map(stated).collect(),
        }
    }
}

/// How one step stands.
#[derive(Clone, Debug, JsonSchema, Serialize)]
pub struct Stated {
    /// Which.
    #[schemars(with = "String")]
    pub id: StepId,
    /// How it stands.
    #[schemars(with = "shape::StepState")]
    pub state: StepState,
}

/// What was approved.
#[derive(Clone, Debug, JsonSchema, Serialize)]
pub struct Approved {
    /// Which incident.
    #[schemars(with = "String")]
    pub incident: IncidentId,
    /// Hash of the plan.
    pub plan: String,
    /// The steps.
    #[schemars(with = "Vec<String>")]
    pub approved: Vec<StepId>,
    /// By whom.
    pub by: String,
}

/// One step after a decision.
#[derive(Clone, Debug, JsonSchema, Serialize)]
pub struct Stepped {
    /// Which incident.
    #[schemars(with = "String")]
    pub incident: IncidentId,
    /// Which step.
    #[schemars(with = "String")]
    pub step: StepId,
    /// How it stands; absent when the plan has no such step any more.
    #[schemars(with = "Option<shape::StepState>")]
    pub state: Option<StepState>,
}

/// What is missing before a plan is carried out.
#[derive(Debug, JsonSchema, Serialize)]
pub struct Ready {
    /// Which incident.
    #[schemars(with = "String")]
    pub incident: IncidentId,
    /// Nothing is missing.
    pub ok: bool,
    /// Each secret.
    #[schemars(with = "Vec<ReadySecret>")]
    pub secrets: Vec<precheck::Ready>,
}

impl Ready {
    /// Of what the systems said.
    pub fn of(incident: IncidentId, secrets: Vec<precheck::Ready>) -> Self {
        Self { incident, ok: secrets.iter().all(|row| row.missing.is_empty()), secrets }
    }
}

/// One secret of a plan, before anything is done.
#[derive(Debug, JsonSchema, Serialize)]
pub struct ReadySecret {
    /// Its id.
    pub secret: String,
    /// In which order it goes.
    #[schemars(with = "shape::Tier")]
    pub tier: Tier,
    /// Whom to ask.
    pub owners: Vec<String>,
    /// Who uses it.
    pub consumers: Vec<String>,
    /// What its steps break.
    pub breaks: Vec<String>,
    /// Where a consumer can go when the successor turns out bad.
    pub way_back: String,
    /// What would stop it or go unseen.
    pub missing: Vec<String>,
}
