//! What people decide about single steps.

use jiff::Timestamp;

#[cfg(test)]
use super::Flaw;
use super::{Approval, Machine, Refusal, StepEvent, StepState};
use crate::id::StepId;
use crate::plan::step::{ChannelAct, Step, StepAction};

impl Machine {
    /// A person approves exactly what runs: this step of this plan, until then. May come before the step is ready.
    pub fn approve(&mut self, now: Timestamp, approval: &Approval<'_>) -> Result<(), Refusal> {
        let i = self.find(approval.step)?;
        if approval.plan_hash != self.plan_hash {
            return Err(Refusal::OtherPlan {
                given: approval.plan_hash.to_owned(),
                now: self.plan_hash.clone(),
            });
        }
        if approval.expires_at <= now {
            return Err(Refusal::Expired(approval.expires_at));
        }
        let slot = self.slot(i)?;
        match slot.state {
            StepState::Waiting | StepState::AwaitingApproval | StepState::Deferred { .. } => {}
            StepState::WithPeople
            | StepState::Running { .. }
            | StepState::Applied
            | StepState::Skipped
            | StepState::Failed { .. } => {
                return Err(self.wrong_state(i, "approve"));
            }
        }
        // Two spellings of a name are one person.
        if slot.approvals.iter().any(|(by, until)| *until > now && crate::person::is_alike(by, approval.by)) {
            return Err(Refusal::SamePerson(approval.by.to_owned()));
        }
        self.emit(StepEvent::ApprovalGranted {
            step: approval.step.clone(),
            plan_hash: approval.plan_hash.to_owned(),
            by: approval.by.to_owned(),
            expires_at: approval.expires_at,
        });
        Ok(())
    }

    /// A person says no. The step fails until somebody retries, skips or resolves it.
    pub fn refuse(&mut self, step: &StepId, by: &str, reason: &str) -> Result<(), Refusal> {
        let i = self.find(step)?;
        match self.slot(i)?.state {
            StepState::Waiting
            | StepState::AwaitingApproval
            | StepState::WithPeople
            | StepState::Deferred { .. } => {
                self.emit(StepEvent::ApprovalRefused {
                    step: step.clone(),
                    by: by.to_owned(),
                    reason: reason.to_owned(),
                });
                Ok(())
            }
            StepState::Running { .. }
            | StepState::Applied
            | StepState::Skipped
            | StepState::Failed { .. } => Err(self.wrong_state(i, "refuse")),
        }
    }

    /// A person asks for another try of a failed step.
    pub fn retry(&mut self, step: &StepId, by: &str) -> Result<(), Refusal> {
        let i = self.find(step)?;
        match self.slot(i)?.state {
            StepState::Failed { .. } => {
                self.emit(StepEvent::Retried { step: step.clone(), by: by.to_owned() });
                Ok(())
            }
            StepState::Waiting
            | StepState::AwaitingApproval
            | StepState::WithPeople
            | StepState::Running { .. }
            | StepState::Deferred { .. }
            | StepState::Applied
            | StepState::Skipped => Err(self.wrong_state(i, "retry")),
        }
    }

    /// A person decides to go on without it. Refused for steps whose result later steps need, and for proofs.
    pub fn skip(&mut self, step: &StepId, by: &str, reason: &str) -> Result<(), Refusal> {
        let i = self.find(step)?;
        if let Some(why) = self.essential(i) {
            return Err(Refusal::Essential { step: step.clone(), input: "skipped", why });
        }
        self.settle(
            i,
            "skip",
            StepEvent::Skipped { step: step.clone(), by: by.to_owned(), reason: reason.to_owned() },
        )
    }

    /// A person states that the effect is in force, with the reason. Refused where only a machine can know.
    pub fn resolve(&mut self, step: &StepId, by: &str, statement: &str) -> Result<(), Refusal> {
        let i = self.find(step)?;
        if let Some(why) = self.essential(i) {
            return Err(Refusal::Essential { step: step.clone(), input: "resolved", why });
        }
        self.settle(
            i,
            "resolve",
            StepEvent::Resolved { step: step.clone(), by: by.to_owned(), statement: statement.to_owned() },
        )
    }

    /// Why a person's word cannot stand in for a step; none when it can.
    pub fn must_run(&self, step: &StepId) -> Option<&'static str> {
        self.essential(self.find(step).ok()?)
    }

    fn essential(&self, i: usize) -> Option<&'static str> {
        #[cfg(test)]
        if self.flaw == Some(Flaw::BelieveAnything) {
            return None;
        }
        let step = self.plan.steps.get(i)?;
        essential(step).or_else(|| self.keeps_evidence(step))
    }

    fn settle(&mut self, i: usize, input: &'static str, event: StepEvent) -> Result<(), Refusal> {
        match self.slot(i)?.state {
            StepState::Waiting
            | StepState::AwaitingApproval
            | StepState::WithPeople
            | StepState::Deferred { .. }
            | StepState::Failed { .. } => {
                self.emit(event);
                Ok(())
            }
            StepState::Running { .. } | StepState::Applied | StepState::Skipped => {
                Err(self.wrong_state(i, input))
            }
        }
    }
}

impl Machine {
    /// What is to be taken away must have been preserved; where nothing is, or a person said so, it may be left out.
    fn keeps_evidence(&self, step: &Step) -> Option<&'static str> {
        let StepAction::Channel { channel, act: ChannelAct::Preserve, .. } = &step.action else {
            return None;
        };
        let remove = self.plan.channel_step(channel, ChannelAct::Remove)?;
        let open = self.state(&remove.id).is_some_and(|state| *state != StepState::Skipped);
        open.then_some("what is taken away unseen cannot be examined; skip the removal first, or fix the cause and retry it")
    }
}

/// Why a person's word cannot stand in for the step.
fn essential(step: &Step) -> Option<&'static str> {
    match step.action {
        StepAction::Capture | StepAction::Mint => {
            Some("later steps use what it makes; fix the cause and retry it")
        }
        StepAction::Prove | StepAction::ProveRefused => {
            Some("a proof is a test, not a statement; close with a recorded exception if you must")
        }
        StepAction::Install
        | StepAction::Look
        | StepAction::ProbeNew
        | StepAction::WriteStore { .. }
        | StepAction::Reload { .. }
        | StepAction::Confirm { .. }
        | StepAction::Disable
        | StepAction::Sever
        | StepAction::Purge { .. }
        | StepAction::Retire
        | StepAction::Person { .. }
        | StepAction::Channel { .. }
        | StepAction::Notify { .. } => None,
    }
}
