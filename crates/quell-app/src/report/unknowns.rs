//! What is still unknown or open. Said to the reader, never left out.

use std::collections::BTreeSet;

use quell_core::StepId;
use quell_core::event::Verdict;
use quell_core::exposure::Exposure;
use quell_core::incident::task::Task;
use quell_core::incident::{Incident, unmet};
use quell_core::plan::{Machine, StepState, word};
use quell_core::severity::Signal;

use super::exposed::{SecretStanding, place};
use super::plan::Tallies;
use super::words::{count, text};

/// Steps named one by one before the rest is only counted.
const NAMED_MAX: usize = 30;

pub(super) fn unknowns(incident: &Incident, tallies: &Tallies) -> Vec<String> {
    let mut out: Vec<String> = unmet(incident);
    out.extend(verdict(incident));
    out.extend(incident.exposures.iter().flat_map(exposure));
    if incident.exposures.is_empty() {
        out.push("where it was exposed is unknown; it is treated as public".to_owned());
    }
    for (secret, (by, reason)) in &incident.exceptions {
        if SecretStanding::of(incident, secret) == SecretStanding::Excepted {
            out.push(format!(
                "whether {secret} still opens the door is not proven; {by} accepted that: {reason}"
            ));
        }
    }
    match &incident.machine {
        None => out.push("no plan was made".to_owned()),
        Some(machine) => {
            out.extend(decided(machine, tallies));
            out.extend(unfinished(machine));
        }
    }
    out.extend(incident.open_tasks().map(open_task));
    let mut said = BTreeSet::new();
    out.iter().map(|line| text(line)).filter(|line| said.insert(line.clone())).collect()
}

fn open_task(task: &Task) -> String {
    let whose = task.owner.as_deref().unwrap_or("nobody's");
    format!("what came of the task {} ({whose}): {}", task.task, task.title)
}

fn verdict(incident: &Incident) -> Vec<String> {
    let mut out = Vec::new();
    match &incident.verdict {
        Some((verdict @ (Verdict::CannotTell | Verdict::NoEvidenceLogsIncomplete), reason)) => {
            out.push(format!("whether it was used: {} ({reason})", verdict.sentence()));
        }
        Some((Verdict::Likely, reason)) => {
            out.push(format!("whether it was used is likely, not certain ({reason})"));
        }
        Some((Verdict::Used | Verdict::NoEvidenceLogsComplete, _)) | None => {}
    }
    if incident.signals.iter().any(|(_, s, _)| *s == Signal::LogGap) {
        out.push("what happened in the gap of the logs; the worst is assumed for it".to_owned());
    }
    out
}

fn exposure(exposure: &Exposure) -> Vec<String> {
    let place = place(exposure);
    let mut out = Vec::new();
    if exposure.first_exposed.is_none() {
        out.push(format!("since when it could be seen in {place}"));
    }
    match exposure.still_visible {
        None => out.push(format!("whether it can still be seen in {place}")),
        Some(true) => out.push(format!("it can still be seen in {place}")),
        Some(false) => {}
    }
    if exposure.channel == quell_core::exposure::Channel::Unknown {
        out.push(format!("who could see it in {place}; it is treated as public"));
    }
    out
}

/// Steps whose effect rests on a decision and was not seen.
fn decided(machine: &Machine, tallies: &Tallies) -> Vec<String> {
    let mut out = Vec::new();
    for (step, state) in machine.states() {
        let Some(tally) = tallies.get(&step.id) else { continue };
        match state {
            StepState::Skipped => {
                let (by, why) = tally.skipped.clone().unwrap_or_default();
                out.push(format!("{} was skipped by {by}: {why}", step.id));
            }
            StepState::Applied => {
                if let Some((by, said)) = &tally.resolved {
                    out.push(format!("{} rests on {by}'s statement and was not seen: {said}", step.id));
                }
            }
            StepState::Waiting
            | StepState::AwaitingApproval
            | StepState::WithPeople
            | StepState::Running { .. }
            | StepState::Deferred { .. }
            | StepState::Failed { .. } => {}
        }
    }
    out
}

fn unfinished(machine: &Machine) -> Vec<String> {
    let mut out = Vec::new();
    let mut waiting: Vec<&StepId> = Vec::new();
    for (step, state) in machine.states() {
        let said = word(state);
        match state {
            StepState::Applied | StepState::Skipped => {}
            StepState::Waiting => waiting.push(&step.id),
            StepState::AwaitingApproval | StepState::WithPeople | StepState::Running { .. } => {
                out.push(format!("{} is {said}", step.id));
            }
            StepState::Failed { reason } | StepState::Deferred { reason, .. } => {
                out.push(format!("{} is {said}: {reason}", step.id));
            }
        }
    }
    if out.len() > NAMED_MAX {
        let more = out.len() - NAMED_MAX;
        out.truncate(NAMED_MAX);
        out.push(format!("{} more not finished; the table of steps names them", count(more, "step")));
    }
    if !waiting.is_empty() {
        let named: Vec<String> = waiting.iter().take(NAMED_MAX).map(ToString::to_string).collect();
        let dots = if waiting.len() > NAMED_MAX { ", …" } else { "" };
        let verb = if waiting.len() == 1 { "has" } else { "have" };
        out.push(format!("{} {verb} not begun: {}{dots}", count(waiting.len(), "step"), named.join(", ")));
    }
    out
}
