//! One sentence for each event of a step.

use jiff::Timestamp;
use quell_core::StepId;
use quell_core::event::Entry;
use quell_core::outcome::Outcome;
use quell_core::plan::{Flow, Phase, StepEvent};

use super::timeline::{Said, Seen};
use super::words::{count, duration, pairs, short, utc};

pub(super) fn step(entry: &Entry, event: &StepEvent, seen: &Seen) -> Said {
    match event {
        StepEvent::ApprovalRequested { step, plan_hash, needed } => {
            Said::new(format!("{step}: {} asked for", count(usize::from(*needed), "approval")))
                .with(format!("plan {}", short(plan_hash)))
        }
        StepEvent::ApprovalGranted { step, plan_hash, by, expires_at } => {
            Said::new(format!("{step}: approved by {by}"))
                .with(format!("plan {}, good until {}", short(plan_hash), utc(*expires_at)))
                .decided()
        }
        StepEvent::ApprovalRefused { step, by, reason } => {
            Said::new(format!("{step}: approval refused by {by}")).with(reason).decided()
        }
        StepEvent::HandedOver { step } => {
            Said::new(format!("{step}: handed over to people")).with("it is theirs to do and to say so")
        }
        StepEvent::Started { step, attempt, phase: Phase::Perform, worker, deadline } => {
            Said::new(format!("{step}: attempt {attempt} begun by {worker}"))
                .with(format!("an answer is owed by {}", utc(*deadline)))
        }
        StepEvent::Started { step, attempt, phase: Phase::Observe, worker, deadline } => {
            Said::new(format!("{step}: attempt {attempt} begun by {worker}, only looking"))
                .with(format!("an answer is owed by {}", utc(*deadline)))
        }
        StepEvent::Finished { step, attempt, phase, outcome, flow } => {
            let took = took(entry.at, seen.attempt(step, *attempt));
            finished(entry.at, step, *phase, outcome, flow, &took)
        }
        StepEvent::Lost { step, attempt, worker, why } => {
            Said::new(format!("{step}: outcome unknown ({why}), looking again"))
                .with(format!("attempt {attempt} of {worker}"))
        }
        StepEvent::Retried { step, by } => Said::new(format!("{step}: another try asked for by {by}"))
            .with("it begins by looking, if anything was ever started")
            .decided(),
        StepEvent::Skipped { step, by, reason } => {
            Said::new(format!("{step}: skipped by {by}")).with(reason).decided()
        }
        StepEvent::Resolved { step, by, statement } => {
            Said::new(format!("{step}: stated by {by} to be in force")).with(statement).decided()
        }
    }
}

/// ` by w-1 after 0.12 s`, as far as it is known.
fn took(at: Timestamp, attempt: Option<(Timestamp, &str)>) -> String {
    attempt
        .map(|(began, worker)| format!(" by {worker} after {}", duration(at.duration_since(began))))
        .unwrap_or_default()
}

fn finished(at: Timestamp, step: &StepId, phase: Phase, outcome: &Outcome, flow: &Flow, took: &str) -> Said {
    match outcome {
        Outcome::Applied { facts } => {
            let what = match phase {
                Phase::Perform => format!("{step} applied{took}"),
                Phase::Observe => format!("{step} seen to be in force{took}"),
            };
            Said::new(what).with(pairs(facts))
        }
        Outcome::NotApplied { reason, facts, .. } => {
            Said::new(format!("{step}: not applied ({reason}), {}", next(at, flow))).with(pairs(facts))
        }
        Outcome::Unknown { reason } => {
            Said::new(format!("{step}: outcome unknown ({reason}), {}", next(at, flow)))
        }
    }
}

/// What the machine decided to do then.
fn next(at: Timestamp, flow: &Flow) -> String {
    match flow {
        Flow::Done => "done".to_owned(),
        Flow::Stuck => "a person must decide".to_owned(),
        Flow::Again { phase, at: then } => {
            let doing = match phase {
                Phase::Perform => "trying again",
                Phase::Observe => "looking again",
            };
            if *then > at {
                format!("{doing} in {}", duration(then.duration_since(at)))
            } else {
                doing.to_owned()
            }
        }
    }
}
