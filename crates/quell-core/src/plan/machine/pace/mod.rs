//! How fast a plan of many secrets goes, and when it stops: waves, lanes, holds.
//!
//! All of it is a fold over what happened, so every worker and every replay comes to the same answer.

use std::collections::{BTreeMap, BTreeSet};

use jiff::{SignedDuration, Timestamp};

#[cfg(test)]
use super::Flaw;
use super::{Flow, Hold, HoldScope, Machine, StepEvent, StepState};
use crate::id::SecretId;
use crate::issuer::TaskTime;
use crate::outcome::Outcome;
use crate::plan::step::{Class, Lane, Phase, Step, StepAction};

/// What `advance` may start now, so far as it does not follow from needs and approvals.
pub(super) struct Pace {
    /// Steps of later waves wait.
    wave: u32,
    /// Secrets of which a step of this wave has started; what has begun is not stopped by somebody's retry
    /// in an earlier wave.
    in_wave: BTreeSet<(usize, u32)>,
    /// Secrets that are under way.
    under_way: BTreeSet<usize>,
    /// Those of them that could still go on by themselves.
    busy: BTreeSet<usize>,
    /// Steps that run, by lane.
    running: BTreeMap<String, u16>,
}

impl Pace {
    fn runs_in(&mut self, lane: &str) {
        match self.running.get_mut(lane) {
            Some(running) => *running += 1,
            None => drop(self.running.insert(lane.to_owned(), 1)),
        }
    }
}

impl Machine {
    /// What people, or too many failures, have stopped.
    pub fn held(&self) -> Option<&Hold> {
        self.held.as_ref()
    }

    /// Stops; takes the place of an earlier hold.
    pub fn hold(&mut self, hold: Hold) {
        self.held = Some(hold);
    }

    /// Goes on. The secrets that failed until now do not count as failures any more.
    pub fn resume(&mut self) {
        self.held = None;
        self.forgiven = self.gave_up();
    }

    /// It is held, nothing runs, and nothing will until somebody resumes or approves.
    pub fn is_held_still(&self, now: Timestamp) -> bool {
        let Some(pace) = self.held.as_ref().map(|_| self.pace()) else { return false };
        let complete = self.complete();
        self.slots.iter().enumerate().all(|(i, slot)| match &slot.state {
            StepState::Running { .. } => false,
            StepState::Deferred { phase, .. } => !self.pace_lets(i, *phase, &pace),
            StepState::Waiting | StepState::AwaitingApproval => {
                !self.needs_met(i, &complete)
                    || !self.pace_lets(i, Phase::Perform, &pace)
                    || !self.approved(i, now)
            }
            StepState::WithPeople | StepState::Applied | StepState::Skipped | StepState::Failed { .. } => {
                true
            }
        })
    }

    /// It waits for the approval of people, and no hold keeps it from them.
    pub fn is_asking(&self) -> bool {
        let pace = self.pace();
        self.slots.iter().enumerate().any(|(i, slot)| {
            slot.state == StepState::AwaitingApproval && self.pace_lets(i, Phase::Perform, &pace)
        })
    }

    /// No step that anything waits for has given up, or somebody has decided about each that did.
    pub fn gave_up_none(&self) -> bool {
        let failed = |(step, state): (&Step, &StepState)| {
            !step.best_effort && matches!(state, StepState::Failed { .. })
        };
        !self.states().any(failed)
    }

    /// Something is a person's to do.
    pub fn is_with_people(&self) -> bool {
        self.slots.iter().any(|slot| slot.state == StepState::WithPeople)
    }

    /// Secrets of which a step gave up.
    pub fn gave_up(&self) -> BTreeSet<SecretId> {
        let steps = self.plan.steps.iter().zip(&self.slots);
        steps
            .filter(|(step, slot)| slot.gave_up && !step.best_effort)
            .filter_map(|(step, _)| step.secret.clone())
            .collect()
    }

    /// Stops the plan when too many secrets failed since a person last looked. The hold is to be made durable with
    /// the failure that caused it.
    pub(super) fn stop_if_too_many(&mut self) {
        if self.held.is_some() || self.plan.stop_after == 0 {
            return;
        }
        let failed: Vec<String> =
            self.gave_up().difference(&self.forgiven).map(|id| id.as_str().to_owned()).collect();
        if usize::try_from(self.plan.stop_after).is_ok_and(|limit| failed.len() >= limit) {
            let reason = format!("{} secrets could not be done ({})", failed.len(), failed.join(", "));
            let hold = Hold { scope: HoldScope::NextSecrets, reason };
            self.held = Some(hold.clone());
            self.newly_held = Some(hold);
        }
    }

    /// The hold that the machine itself has come to since it was last asked. Make it durable with the events.
    pub fn poll_hold(&mut self) -> Option<Hold> {
        self.newly_held.take()
    }

    pub(super) fn pace(&self) -> Pace {
        let (wave, open) = self.open_wave();
        let mut pace = Pace {
            wave,
            in_wave: BTreeSet::new(),
            under_way: self.carried.clone(),
            busy: BTreeSet::new(),
            running: BTreeMap::new(),
        };
        for (i, (step, slot)) in self.plan.steps.iter().zip(&self.slots).enumerate() {
            if let (Some(lane), StepState::Running { .. }) = (&step.lane, &slot.state) {
                pace.runs_in(lane);
            }
            if slot.attempts > 0 {
                self.began(i, step, &mut pace);
            }
        }
        pace.busy = pace
            .under_way
            .intersection(&open)
            .copied()
            .filter(|secret| self.goes_in_waves(*secret))
            .collect();
        pace
    }

    /// The first wave that has not ended, and the secrets that could still go on by themselves. A step has ended when it is done, when it gave up, or when one that it
    /// needs gave up: one secret that cannot be made does not stop the others.
    fn open_wave(&self) -> (u32, BTreeSet<usize>) {
        let mut blocked = Vec::with_capacity(self.slots.len());
        let mut open = u32::MAX;
        let mut secrets = BTreeSet::new();
        let steps = self.plan.steps.iter().zip(&self.slots).zip(&self.needs).enumerate();
        for (i, ((step, slot), needs)) in steps {
            let stuck = matches!(slot.state, StepState::Failed { .. })
                || needs.iter().any(|n| blocked.get(*n).copied().unwrap_or(false));
            blocked.push(stuck);
            if !stuck && !slot.state.satisfies() && step.holds_its_wave() {
                secrets.extend(self.secret(i));
                if step.wave > 0 {
                    open = open.min(step.wave);
                }
            }
        }
        #[cfg(test)]
        if self.flaw == Some(Flaw::IgnoreWaves) {
            open = u32::MAX;
        }
        (open, secrets)
    }

    /// Stopping helps only those that have not been begun, so not all are begun at once.
    pub(super) fn room_under_way(&self, i: usize, pace: &Pace) -> bool {
        let (Some(step), Some(secret)) = (self.plan.steps.get(i), self.secret(i)) else { return true };
        let most = usize::try_from(self.plan.under_way).unwrap_or(usize::MAX);
        let free = || pace.under_way.contains(&secret) || pace.busy.len() < most;
        most == 0 || !step.switches() || !self.goes_in_waves(secret) || free()
    }

    /// One that is killed first whatever the others do has no wave: it waits for nobody's room and takes none, since whoever has to be
    /// switched before its consumers could then wait for it.
    fn goes_in_waves(&self, secret: usize) -> bool {
        self.waved.get(secret).copied().unwrap_or(false)
    }

    /// Takes over from the plan before: what that had begun to switch, and is not `done`, is under way here, too.
    pub fn carry(&mut self, before: &Self, done: impl Fn(&SecretId) -> bool) {
        let old = before.pace().under_way;
        let names = old.iter().filter_map(|i| before.plan.secrets.get(*i)).filter(|id| !done(id));
        self.carried = names.filter_map(|id| self.plan.secrets.iter().position(|own| own == id)).collect();
        // What a person did is done, whichever plan asked for it.
        for (step, slot) in self.plan.steps.iter().zip(&mut self.slots) {
            let same = |(own, state): &(&Step, &StepState)| {
                own.id == step.id && own.what == step.what && **state == StepState::Applied
            };
            // A consent that was given for the last successor is none for the next.
            let ends = matches!(step.action, StepAction::Person { when: TaskTime::End, .. });
            if ends && before.states().any(|it| same(&it)) {
                slot.state = StepState::Applied;
            }
        }
    }

    /// A step may start, so far as waves and holds go.
    pub(super) fn pace_lets(&self, i: usize, phase: Phase, pace: &Pace) -> bool {
        let Some(step) = self.plan.steps.get(i) else { return false };
        // Looking at what is unknown is never wrong.
        phase == Phase::Observe || (self.wave_lets(i, step, pace) && self.hold_lets(i, step, pace))
    }

    fn wave_lets(&self, i: usize, step: &Step, pace: &Pace) -> bool {
        let begun = || self.secret(i).is_some_and(|secret| pace.in_wave.contains(&(secret, step.wave)));
        step.wave <= pace.wave || begun()
    }

    fn hold_lets(&self, i: usize, step: &Step, pace: &Pace) -> bool {
        let Some(hold) = &self.held else { return true };
        match (hold.scope, self.secret(i)) {
            (HoldScope::Everything, _) => false,
            (HoldScope::NextSecrets, None) => true,
            (HoldScope::NextSecrets, Some(secret)) => {
                step.class == Class::Read || pace.under_way.contains(&secret)
            }
        }
    }

    /// The lane of a step, if it has one.
    fn lane(&self, i: usize) -> Option<(&str, Lane)> {
        let name = self.plan.steps.get(i)?.lane.as_deref()?;
        Some((name, *self.plan.lanes.get(name)?))
    }

    /// There is room in the step's lane.
    pub(super) fn lane_lets(&self, i: usize, pace: &Pace) -> bool {
        #[cfg(test)]
        if self.flaw == Some(Flaw::IgnoreLanes) {
            return true;
        }
        self.lane(i)
            .is_none_or(|(name, lane)| pace.running.get(name).copied().unwrap_or(0) < lane.at_once.max(1))
    }

    /// Before this moment the step's lane lets nobody start.
    pub(super) fn lane_free(&self, i: usize) -> Timestamp {
        self.lane(i).and_then(|(name, _)| self.lane_next.get(name).copied()).unwrap_or(Timestamp::MIN)
    }

    /// A step was started in this turn.
    pub(super) fn note_start(&self, i: usize, pace: &mut Pace) {
        let Some(step) = self.plan.steps.get(i) else { return };
        if let Some(lane) = &step.lane {
            pace.runs_in(lane);
        }
        self.began(i, step, pace);
    }

    fn began(&self, i: usize, step: &Step, pace: &mut Pace) {
        let Some(secret) = self.secret(i) else { return };
        if step.wave > 0 {
            pace.in_wave.insert((secret, step.wave));
        }
        if step.switches() && pace.under_way.insert(secret) && self.goes_in_waves(secret) {
            pace.busy.insert(secret);
        }
    }

    fn secret(&self, i: usize) -> Option<usize> {
        self.secret_of.get(i).copied().flatten()
    }

    /// The fold of what a step's start and end mean for the others in its lane.
    pub(super) fn pace_apply(&mut self, i: usize, event: &StepEvent) {
        // Another try is another chance to fail.
        if let (StepEvent::Retried { .. }, Some(secret)) =
            (event, self.plan.steps.get(i).and_then(|s| s.secret.clone()))
        {
            self.forgiven.remove(&secret);
        }
        match event {
            StepEvent::Started { deadline, phase: Phase::Perform, .. } => self.lane_started(i, *deadline),
            StepEvent::Finished { outcome, flow, .. } => self.lane_finished(i, outcome, flow),
            StepEvent::Started { .. }
            | StepEvent::ApprovalRequested { .. }
            | StepEvent::ApprovalGranted { .. }
            | StepEvent::ApprovalRefused { .. }
            | StepEvent::HandedOver { .. }
            | StepEvent::Lost { .. }
            | StepEvent::Retried { .. }
            | StepEvent::Skipped { .. }
            | StepEvent::Resolved { .. } => {}
        }
    }

    /// The fold of a start: the next one in the lane keeps its distance.
    fn lane_started(&mut self, i: usize, deadline: Timestamp) {
        let limit_ms = self.plan.steps.get(i).map_or(0, |s| s.limit_ms);
        let Some((name, lane)) = self.lane(i).filter(|(_, lane)| lane.interval_ms > 0) else { return };
        let name = name.to_owned();
        let millis = |ms: u64| SignedDuration::from_millis(i64::try_from(ms).unwrap_or(i64::MAX / 4));
        let at = deadline.checked_sub(millis(limit_ms)).unwrap_or(Timestamp::MIN);
        self.lane_not_before(name, at.checked_add(millis(lane.interval_ms)).unwrap_or(Timestamp::MAX));
    }

    /// The fold of a result: when a system says "not before", that is said to everybody who calls it.
    fn lane_finished(&mut self, i: usize, outcome: &Outcome, flow: &Flow) {
        if let (Outcome::NotApplied { retry_after_ms: Some(_), .. }, Flow::Again { at, .. }) = (outcome, flow)
            && let Some((name, _)) = self.lane(i)
        {
            self.lane_not_before(name.to_owned(), *at);
        }
    }

    fn lane_not_before(&mut self, name: String, at: Timestamp) {
        let next = self.lane_next.entry(name).or_insert(at);
        *next = (*next).max(at);
    }

    /// The last moment at which a lane, or an attempt that was given up, keeps anybody waiting.
    #[cfg(test)]
    pub(in crate::plan) fn lanes_free(&self) -> Timestamp {
        self.lane_next.values().copied().chain(self.lane_wake).max().unwrap_or(Timestamp::MIN)
    }
}

#[cfg(test)]
mod tests;
