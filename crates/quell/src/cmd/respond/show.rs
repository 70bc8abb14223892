//! What a person sees while a plan runs.

use std::collections::BTreeMap;

use quell_app::driver::{Progress, short};
use quell_core::outcome::Outcome;
use quell_core::plan::{Flow, Phase, StepEvent};
use quell_core::{StepId, Timestamp};

use super::many::Many;
use crate::output::{Out, Tone, duration, tone};

/// Tells what happens while a plan runs.
pub(in crate::cmd) struct Show<'a> {
    out: &'a Out,
    started: BTreeMap<StepId, Timestamp>,
    /// Where a line for each step would be too many.
    many: Option<Many>,
}

impl<'a> Show<'a> {
    pub(in crate::cmd) fn new(out: &'a Out) -> Self {
        Self { out, started: BTreeMap::new(), many: None }
    }

    pub(in crate::cmd) fn progress(&mut self, progress: &Progress) {
        if self.out.json() {
            return;
        }
        match progress {
            Progress::Begun { plan_hash, proven, secrets, done, all } => {
                self.out.status(format!("plan {}: {done} of {all} steps are done", short(plan_hash)));
                self.many = Many::of(*secrets, proven, *done, *all);
            }
            Progress::Event { at, event } => {
                if let Some(many) = &mut self.many {
                    if let Some(line) = many.event(*at, event) {
                        self.clear();
                        self.out.status(line);
                    }
                    if let Some(many) = &mut self.many {
                        many.draw(self.out, *at);
                    }
                } else {
                    self.event(*at, event);
                }
            }
            Progress::NeedsApproval { .. } if self.many.as_mut().is_some_and(Many::one_more_to_approve) => {}
            Progress::NeedsApproval { step } => {
                self.clear();
                self.out.status(format!(
                    "{} {}: {}",
                    tone(Tone::Careful, "needs approval"),
                    step.id,
                    step.what
                ));
            }
            Progress::ForPeople { step } => {
                self.clear();
                self.out.status(format!("{} {}: {}", tone(Tone::Careful, "for you "), step.id, step.what));
            }
            Progress::Held { hold } => {
                self.clear();
                self.out.status(format!(
                    "{} {}; no further secret is begun, those under way go on",
                    tone(Tone::Bad, "paused  "),
                    hold.reason
                ));
            }
            Progress::Away { why } => {
                self.clear();
                self.out.status(format!(
                    "{} the database does not answer ({why}); nothing new is begun until it does",
                    tone(Tone::Careful, "waiting ")
                ));
            }
            Progress::Back => {
                self.clear();
                self.out.status(format!("{} the database answers again", tone(Tone::Good, "going on")));
            }
            Progress::NewWorker { id } => {
                self.clear();
                self.out.status(format!(
                    "{} its lock was lost, so it goes on as {id}; what was under way is looked at first",
                    tone(Tone::Careful, "anew    ")
                ));
            }
            Progress::Stuck { step, reason } => {
                self.clear();
                self.out.status(format!("{} {step}: {reason}", tone(Tone::Bad, "gave up")));
            }
        }
    }

    /// Takes the line that is redrawn away.
    pub(in crate::cmd) fn clear(&self) {
        if let Some(many) = &self.many {
            many.clear(self.out);
        }
    }

    fn event(&mut self, at: Timestamp, event: &StepEvent) {
        match event {
            StepEvent::Started { step, phase: Phase::Perform, .. } => {
                self.started.insert(step.clone(), at);
            }
            StepEvent::Started { step, phase: Phase::Observe, .. } => {
                self.out.status(format!("{} {step}", tone(Tone::Quiet, "looking ")));
            }
            StepEvent::Finished { step, outcome, flow, .. } => {
                let took = self
                    .started
                    .get(step)
                    .and_then(|t| u64::try_from(at.duration_since(*t).as_millis()).ok())
                    .map(|ms| format!(" in {}", duration(ms)))
                    .unwrap_or_default();
                let line = match (outcome, flow) {
                    (Outcome::Applied { .. }, _) => format!("{} {step}{took}", tone(Tone::Good, "applied ")),
                    (Outcome::Unknown { reason }, _) => {
                        format!("{} {step}: {reason}", tone(Tone::Careful, "unknown "))
                    }
                    (Outcome::NotApplied { reason, .. }, Flow::Stuck) => {
                        format!("{} {step}: {reason}", tone(Tone::Bad, "failed  "))
                    }
                    (Outcome::NotApplied { reason, .. }, _) => {
                        format!("{} {step}: {reason}", tone(Tone::Careful, "again   "))
                    }
                };
                self.out.status(line);
            }
            StepEvent::Lost { step, why, .. } => {
                self.out.status(format!(
                    "{} {step}: {why}; its outcome is unknown, so it is looked at first",
                    tone(Tone::Careful, "lost    ")
                ));
            }
            StepEvent::ApprovalGranted { step, by, .. } => {
                self.out.status(format!("{} {step} by {by}", tone(Tone::Good, "approved")));
            }
            StepEvent::ApprovalRequested { .. }
            | StepEvent::ApprovalRefused { .. }
            | StepEvent::HandedOver { .. }
            | StepEvent::Retried { .. }
            | StepEvent::Skipped { .. }
            | StepEvent::Resolved { .. } => {}
        }
    }
}
