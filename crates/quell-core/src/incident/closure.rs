//! What must be true before an incident may close. Rules 1, 2 and 7 of the design.

use super::state::Incident;
use crate::event::ValueRole;
use crate::id::SecretId;
use crate::plan::{Machine, Step, StepAction, StepState, word};
use crate::severity::Severity;

/// Everything that is not yet so; empty when it may close.
///
/// Deleted messages and rewritten history are not looked at here, on purpose.
pub fn unmet(incident: &Incident) -> Vec<String> {
    let mut out = Vec::new();
    if incident.secrets.is_empty() {
        out.push("no secret of the inventory is named; add it, or record an exception".to_owned());
    }
    for affected in &incident.secrets {
        if !incident.exceptions.contains_key(&affected.secret) {
            secret_unmet(incident, &affected.secret, &mut out);
        }
    }
    // A place where people work must not stay locked when everybody has gone home.
    for (name, target) in &incident.locked {
        out.push(format!(
            "`{name}` ({target}) may still be locked: let the plan's unlock step run (skip the lock step if that gave up), or unlock it by hand and say so with `quell incident unlocked`"
        ));
    }
    let tried = |fp| incident.sealed.iter().any(|s| s.role == ValueRole::Old && s.fingerprint == fp);
    let excepted = incident.secrets.iter().any(|a| incident.exceptions.contains_key(&a.secret));
    for fingerprint in incident.exposures.iter().filter_map(|e| e.fingerprint) {
        if !tried(fingerprint) && !excepted {
            out.push(format!(
                "the leaked value {fingerprint} itself is not among the values that were tried"
            ));
        }
    }
    if incident.verdict.is_none() {
        out.push(
            "no verdict says whether it was used; `cannot-tell` is a verdict, silence is not".to_owned(),
        );
    }
    if !incident.drill && incident.severity() >= Severity::Sev2 && incident.items.is_empty() {
        out.push("SEV-1 and SEV-2 need at least one action item with owner and due date".to_owned());
    }
    out
}

/// What is said when nobody ever saw a value of a secret work.
pub fn never_valid(secret: &SecretId) -> String {
    format!("no tried value of {secret} was ever seen to be valid, so its refusal proves nothing")
}

/// Nobody but people can end it; what they say is recorded, and is no proof.
fn unproven_by_people(machine: &Machine, secret: &SecretId) -> bool {
    let mut steps = machine.plan().steps_of(secret).peekable();
    steps.peek().is_some() && steps.all(Step::is_for_people)
}

/// What is missing for one secret.
fn secret_unmet(incident: &Incident, secret: &SecretId, out: &mut Vec<String>) {
    if let Some(machine) = incident.machine.as_ref().filter(|m| unproven_by_people(m, secret)) {
        for (step, state) in machine.states().filter(|(s, _)| s.secret.as_ref() == Some(secret)) {
            if !state.satisfies() {
                out.push(format!("{} is {}: {}", step.id, word(state), step.what));
            }
        }
        out.push(format!(
            "{secret} is ended by people, and no machine can try it: a named approver records an exception that says what was seen"
        ));
        return;
    }
    match incident.proof(secret) {
        None => out.push(format!("{secret} is not proven inert at the issuer")),
        Some(proof) if !proof.inert => {
            out.push(format!("{secret}'s newest proof failed: {}", proof.unmet.join("; ")));
        }
        Some(_) => {}
    }
    if incident.seen_valid(secret).is_empty() {
        out.push(never_valid(secret));
    }
    let Some(machine) = &incident.machine else {
        out.push(format!("no plan was carried out for {secret}"));
        return;
    };
    if !machine.plan().secrets.contains(secret) {
        out.push(format!("the plan does not cover {secret}"));
    }
    for (step, state) in machine.states().filter(|(s, _)| s.secret.as_ref() == Some(secret)) {
        let open = !matches!(state, StepState::Applied);
        match &step.action {
            StepAction::Confirm { consumer } if open => {
                out.push(format!(
                    "{consumer} is not confirmed on the new value of {secret} ({})",
                    word(state)
                ));
            }
            StepAction::Purge { .. } if open => {
                out.push(format!(
                    "copies of the old value of {secret} are not purged ({}: {})",
                    step.id,
                    word(state)
                ));
            }
            StepAction::Retire if open => {
                out.push(format!(
                    "the old credential of {secret} is not deleted at its issuer ({}: {})",
                    step.id,
                    word(state)
                ));
            }
            StepAction::WriteStore { .. } | StepAction::Reload { .. } | StepAction::Person { .. }
                if !state.satisfies() =>
            {
                out.push(format!("{} is {}", step.id, word(state)));
            }
            StepAction::Capture
            | StepAction::Look
            | StepAction::Mint
            | StepAction::Install
            | StepAction::ProbeNew
            | StepAction::WriteStore { .. }
            | StepAction::Reload { .. }
            | StepAction::Confirm { .. }
            | StepAction::Disable
            | StepAction::Sever
            | StepAction::ProveRefused
            | StepAction::Prove
            | StepAction::Purge { .. }
            | StepAction::Retire
            | StepAction::Person { .. }
            | StepAction::Channel { .. }
            | StepAction::Notify { .. } => {}
        }
    }
}
