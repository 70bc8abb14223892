//! What people do beside the plan.

use quell_core::IncidentId;
use quell_core::incident::Incident;
use quell_core::incident::task::Task;
use schemars::JsonSchema;
use serde::Serialize;

use super::shape;

/// The tasks of a response.
#[derive(Clone, Debug, JsonSchema, Serialize)]
pub struct Tasks {
    /// Of which incident.
    #[schemars(with = "String")]
    pub incident: IncidentId,
    /// All of them, oldest first.
    #[schemars(with = "Vec<shape::Task>")]
    pub tasks: Vec<Task>,
}

impl Tasks {
    /// Those of an incident.
    pub fn of(incident: &Incident) -> Self {
        Self { incident: incident.id, tasks: incident.tasks.clone() }
    }
}
