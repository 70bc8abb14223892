//! What people do beside the plan.

use quell_core::IncidentId;
use quell_core::incident::Incident;
use quell_core::incident::task::Task;
use quell_core::person::People;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::shape;

/// The tasks of a response.
#[derive(Clone, Debug, Deserialize, JsonSchema, Serialize)]
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

    /// Those of one person, by whichever of their names.
    pub fn mine(incident: &Incident, people: &People, person: &str) -> Self {
        let mut all = Self::of(incident);
        all.tasks.retain(|task| is_mine(task, people, person));
        all
    }
}

/// Has this person the task, by whichever of their names?
pub(crate) fn is_mine(task: &Task, people: &People, person: &str) -> bool {
    task.owner.as_deref().is_some_and(|owner| people.is_linked(owner, person))
}
