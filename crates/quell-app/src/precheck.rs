//! What to know before many secrets are touched: who owns them, what is missing, what breaks, and what the way back is.

use futures_util::StreamExt as _;
use quell_core::IncidentId;
use quell_core::inventory::{Secret, Tier};
use quell_core::plan::{Plan, Step, StepAction};
use serde::{Deserialize, Serialize};

use crate::inventory::{ASKED_AT_ONCE, CheckLine, check_secret};
use crate::{App, AppError, plan};

/// One secret of a plan, before anything is done.
#[derive(Debug, Deserialize, Serialize)]
pub struct Ready {
    /// Its id.
    pub secret: String,
    /// In which order it goes.
    pub tier: Tier,
    /// Whom to ask.
    pub owners: Vec<String>,
    /// Who uses it.
    pub consumers: Vec<String>,
    /// What its steps break, with the step.
    pub breaks: Vec<String>,
    /// Where a consumer can go when the successor turns out bad. Never to the leaked value.
    pub way_back: String,
    /// What would stop it or go unseen: permissions, systems that do not answer, gaps of the inventory.
    pub missing: Vec<String>,
}

/// Asks every system that the plan will touch. Changes nothing.
pub async fn precheck(app: &App, id: IncidentId) -> Result<Vec<Ready>, AppError> {
    let incident = app.incident(id).await?;
    let plan = plan::machine(&incident)?.plan().clone();
    let mut secrets = Vec::new();
    for id in &plan.secrets {
        let secret = app.inventory.secrets.get(id);
        secrets.push(secret.ok_or_else(|| AppError::NotFound { what: "secret", id: id.to_string() })?);
    }
    let each: Vec<_> = secrets.iter().map(|secret| check_secret(app, secret)).collect();
    let checked: Vec<Vec<CheckLine>> =
        futures_util::stream::iter(each).buffered(ASKED_AT_ONCE).collect().await;
    Ok(secrets.into_iter().zip(checked).map(|(secret, lines)| ready(secret, &plan, &lines)).collect())
}

fn ready(secret: &Secret, plan: &Plan, lines: &[CheckLine]) -> Ready {
    let steps: Vec<&Step> = plan.steps_of(&secret.id).collect();
    let breaks =
        steps.iter().filter_map(|step| Some(format!("{}: {}", step.id, step.breaks.as_ref()?))).collect();
    let failed = lines.iter().filter(|line| !line.check.ok);
    let failed = failed.map(|l| format!("{} ({}): {}: {}", l.part, l.target, l.check.what, l.check.detail));
    let mut missing: Vec<String> = failed.collect();
    if secret.owners.is_empty() {
        missing.push(format!("nobody owns it: write `owners` ({})", secret.place));
    }
    if secret.consumers.is_empty() {
        let why = "no consumer is named: whoever uses it breaks, and nobody is seen to be on the successor";
        missing.push(format!("{why} ({})", secret.place));
    }
    Ready {
        secret: secret.id.to_string(),
        tier: secret.tier,
        owners: secret.owners.clone(),
        consumers: secret.consumers.iter().map(|c| c.name.clone()).collect(),
        breaks,
        way_back: way_back(&steps).to_owned(),
        missing,
    }
}

/// What is left when the successor turns out bad.
fn way_back(steps: &[&Step]) -> &'static str {
    let at = |wanted: fn(&StepAction) -> bool| steps.iter().position(|s| wanted(&s.action));
    let disabled = at(|a| *a == StepAction::Disable);
    let moved = at(|a| matches!(a, StepAction::WriteStore { .. } | StepAction::Confirm { .. }));
    let makes = at(|a| *a == StepAction::Mint);
    match (makes, disabled, moved) {
        (None, _, _) => {
            "none: it is only revoked, and nobody gets another one from Quell, and never back to the leaked value"
        }
        (Some(_), Some(disabled), Some(moved)) if disabled > moved => {
            "until `disable` the old value goes on working for who still has it; after that only forward: never to the leaked value"
        }
        (Some(_), _, _) => "only forward, never to the leaked value: consumers wait for the successor",
    }
}
