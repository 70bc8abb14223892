//! The fold: the only place where a slot changes.

use jiff::Timestamp;

#[cfg(test)]
use super::Flaw;
use super::{Flow, Machine, StepEvent, StepState, reason_of};
use crate::plan::step::Phase;

impl Machine {
    /// The fold. Total: an event that does not fit the state is taken as written, since it is a fact.
    pub fn apply(&mut self, event: &StepEvent) {
        let Some(i) = self.index.get(event.step()).copied() else { return };
        #[cfg(test)]
        let perform_after_lost = self.flaw == Some(Flaw::PerformAfterLost);
        #[cfg(not(test))]
        let perform_after_lost = false;
        self.pace_apply(i, event);
        let Some(slot) = self.slots.get_mut(i) else { return };
        slot.gave_up = matches!(event, StepEvent::Finished { flow: Flow::Stuck, .. });
        match event {
            StepEvent::ApprovalRequested { .. } => {
                slot.asked = true;
                slot.state = StepState::AwaitingApproval;
            }
            StepEvent::ApprovalGranted { by, expires_at, .. } => {
                slot.approvals.insert(by.clone(), *expires_at);
            }
            StepEvent::ApprovalRefused { by, reason, .. } => {
                slot.approvals.clear();
                slot.state = StepState::Failed { reason: format!("refused by {by}: {reason}") };
            }
            StepEvent::HandedOver { .. } => slot.state = StepState::WithPeople,
            StepEvent::Started { attempt, phase, worker, deadline, .. } => {
                slot.attempts = *attempt;
                match phase {
                    Phase::Perform => {
                        slot.performs += 1;
                        slot.observes = 0;
                    }
                    Phase::Observe => slot.observes += 1,
                }
                slot.state = StepState::Running {
                    attempt: *attempt,
                    phase: *phase,
                    worker: worker.clone(),
                    deadline: *deadline,
                };
            }
            StepEvent::Finished { attempt, outcome, flow, .. } => {
                slot.state = match flow {
                    Flow::Done => StepState::Applied,
                    Flow::Again { phase, at } => StepState::Deferred {
                        attempt: *attempt,
                        phase: *phase,
                        until: *at,
                        reason: reason_of(outcome),
                    },
                    Flow::Stuck => StepState::Failed { reason: reason_of(outcome) },
                };
            }
            StepEvent::Lost { attempt, why, .. } => {
                let phase = if perform_after_lost { Phase::Perform } else { Phase::Observe };
                slot.state = StepState::Deferred {
                    attempt: *attempt,
                    phase,
                    until: Timestamp::UNIX_EPOCH,
                    reason: why.clone(),
                };
            }
            StepEvent::Retried { by, .. } => {
                slot.asked = false;
                slot.observes = 0;
                slot.performs = 0;
                slot.state = if slot.attempts > 0 {
                    let reason = format!("another try asked for by {by}");
                    StepState::Deferred {
                        attempt: slot.attempts,
                        phase: Phase::Observe,
                        until: Timestamp::UNIX_EPOCH,
                        reason,
                    }
                } else {
                    StepState::Waiting
                };
            }
            StepEvent::Skipped { .. } => slot.state = StepState::Skipped,
            StepEvent::Resolved { .. } => slot.state = StepState::Applied,
        }
    }
}
