//! Requests under way: they land or not, early or late, and their answers reach somebody or nobody.

use super::invariants::{self as inv, Id};
use super::run::Sim;
use super::scenario::Wrong;
use super::seen::Seen;
use super::world::{Answer, Deed, Effect, Value, Weather};
use crate::outcome::Outcome;
use crate::plan::{Action, Phase};

const MAIL_MAX: usize = 8;

/// A request under way.
#[derive(Clone, Debug)]
pub(super) struct Call {
    step: usize,
    attempt: u32,
    phase: Phase,
    /// Who waits for the answer; none once nobody does and the request may still land.
    owner: Option<(usize, u32)>,
    value: Option<Value>,
    fresh: Value,
    answer: Option<Outcome>,
}

/// A report that may be delivered once more, or late, or to somebody else.
#[derive(Clone, Debug)]
pub(super) struct Letter {
    step: usize,
    attempt: u32,
    phase: Phase,
    outcome: Outcome,
}

impl Sim {
    /// Carries out what the committed events ask for; may die before or in the middle.
    pub(super) fn act(&mut self, w: usize) {
        let mut done = 0;
        while let Some(action) = self.workers[w].machine.poll_action() {
            if self.fault(3) {
                let seen = if done == 0 { Seen::CrashBeforeAction } else { Seen::CrashBetweenActions };
                return self.crash(w, seen);
            }
            done += 1;
            match action {
                Action::Run { step, attempt, phase } => {
                    self.begin(w, self.books.index[&step], attempt, phase);
                }
                Action::AskApproval { .. } | Action::HandOver { .. } | Action::Page { .. } => {}
            }
        }
    }

    fn begin(&mut self, w: usize, step: usize, attempt: u32, phase: Phase) {
        let p1 = inv::p1(&self.books, step, attempt, phase);
        self.hold(Id::P1, p1);
        let executed = &mut self.books.steps[step].executed;
        let k = usize::try_from(attempt).unwrap();
        executed.resize(executed.len().max(k + 1), 0);
        executed[k] = executed[k].saturating_add(1);
        let p10 = inv::p10_executed(&self.books, step, attempt);
        self.hold(Id::P10, p10);
        let secret = self.effects[step].secret;
        if phase == Phase::Observe && secret.is_some_and(|s| self.world.secrets[s].naive) {
            self.settle_fates(step);
        }
        self.fresh += 1;
        self.calls.push(Call {
            step,
            attempt,
            phase,
            owner: Some((w, self.workers[w].life)),
            value: secret.and_then(|s| self.books.minted[s]),
            fresh: self.fresh,
            answer: None,
        });
    }

    /// Before a naive connector looks, earlier requests of the step have arrived or never will.
    fn settle_fates(&mut self, step: usize) {
        for k in (0..self.calls.len()).rev() {
            let call = &self.calls[k];
            if call.step == step && call.phase == Phase::Perform && call.answer.is_none() {
                let call = self.calls.swap_remove(k);
                if self.rng.chance(50) {
                    let outcome = self.reach(&call);
                    self.post(&call, outcome);
                }
            }
        }
    }

    fn post(&mut self, call: &Call, outcome: Outcome) {
        if self.mail.len() == MAIL_MAX {
            self.mail.remove(0);
        }
        self.mail.push(Letter { step: call.step, attempt: call.attempt, phase: call.phase, outcome });
    }

    /// The request arrives at the outside system; what comes back, if it comes back.
    fn reach(&mut self, call: &Call) -> Outcome {
        let effect = self.effects[call.step];
        let weather = effect.secret.map_or(Weather::Fine, |s| self.world.secrets[s].weather);
        let kills = matches!(effect.deed, Deed::Disable | Deed::Sever);
        match weather {
            Weather::Down if call.phase == Phase::Observe || self.rng.chance(50) => {
                return Outcome::unknown("no route");
            }
            Weather::Down => return Outcome::retry("connection refused"),
            Weather::Pretends if kills => {
                self.world.secrets[effect.secret.unwrap()].pretended = true;
                return Outcome::applied([]);
            }
            Weather::Fine | Weather::Denies | Weather::Pretends => {}
        }
        let answer = match call.phase {
            Phase::Observe => self.world.observe(effect, call.value),
            Phase::Perform => self.land(call, effect),
        };
        self.note(|| format!("  {:?} {} of {effect:?}: {answer:?}", call.phase, call.attempt));
        match answer {
            Answer::Done(_) if weather == Weather::Denies && call.phase == Phase::Perform => {
                Outcome::retry("it says no")
            }
            Answer::Done(None) => Outcome::applied([]),
            Answer::Done(Some(value)) => Outcome::applied([("value", value.into())]),
            Answer::No(true) => Outcome::retry("not yet"),
            Answer::No(false) => Outcome::refused("not so"),
        }
    }

    fn land(&mut self, call: &Call, effect: Effect) -> Answer {
        let p1 = inv::p1(&self.books, call.step, call.attempt, Phase::Perform);
        self.hold(Id::P1, p1);
        for (id, verdict) in inv::of_landing(&self.world, effect, call.value) {
            self.hold(id, verdict);
        }
        let was = effect.secret.is_some_and(|s| self.world.secrets[s].old_valid);
        let answer = self.world.perform(effect, call.value, call.fresh);
        if let Some(s) = effect.secret {
            let p14 = inv::p14(was, &self.world.secrets[s], self.classes[call.step]);
            self.hold(Id::P14, p14);
            let down = matches!((effect.deed, answer), (Deed::Confirm(_), Answer::No(_)));
            if down && self.wrong == Some(Wrong::RollBack) {
                self.world.secrets[s].roll_back();
            }
        }
        answer
    }

    /// Something happens to one request under way.
    pub(super) fn call_moves(&mut self) {
        let k = self.rng.below(self.calls.len());
        let mut call = self.calls.swap_remove(k);
        let Some(w) = call.owner.map(|(w, _)| w) else {
            return match self.rng.below(10) {
                0..6 => self.ghost_lands(&call),
                6..8 => self.calls.push(call),
                _ => self.coverage.hit(Seen::EffectLost),
            };
        };
        if !self.owner_lives(&call) {
            return self.orphan(call);
        }
        if let Some(outcome) = call.answer.take() {
            if self.fault(8) {
                self.coverage.hit(Seen::AnswerLost);
                return self.deliver(w, &call, Outcome::unknown("no answer"));
            }
            return self.deliver(w, &call, outcome);
        }
        let Some(outcome) = self.fate(&call) else { return self.calls.push(call) };
        if self.rng.chance(60) {
            self.deliver(w, &call, outcome);
        } else {
            call.answer = Some(outcome);
            self.calls.push(call);
        }
    }

    /// What becomes of a request; none: it takes longer.
    fn fate(&mut self, call: &Call) -> Option<Outcome> {
        let naive = self.effects[call.step].secret.is_some_and(|s| self.world.secrets[s].naive);
        let perform = call.phase == Phase::Perform;
        if self.fault(15) {
            return None;
        }
        if self.fault(6) {
            self.coverage.hit(Seen::EffectLost);
            return Some(Outcome::unknown("cut off"));
        }
        if perform && self.fault(6) {
            self.coverage.hit(Seen::AnswerLost);
            if naive {
                let _seen_by_nobody = self.reach(call);
            } else {
                self.calls.push(Call { owner: None, ..call.clone() });
            }
            return Some(Outcome::unknown("timed out"));
        }
        if perform && self.fault(7) {
            let mut outcome = Outcome::retry("busy");
            if let Outcome::NotApplied { retry_after_ms, .. } = &mut outcome
                && self.rng.chance(40)
            {
                *retry_after_ms = Some(self.rng.pick(&[1, 500, 20_000, 900_000]));
                self.coverage.hit(Seen::RetryAfter);
            }
            return Some(outcome);
        }
        if perform && self.fault(2) {
            return Some(Outcome::refused("denied"));
        }
        Some(self.reach(call))
    }

    fn owner_lives(&self, call: &Call) -> bool {
        call.owner.is_some_and(|(w, life)| self.workers[w].alive && self.workers[w].life == life)
    }

    fn ghost_lands(&mut self, call: &Call) {
        self.coverage.hit(Seen::GhostLanded);
        let _nobody_listens = self.reach(call);
    }

    /// The one who asked is dead. The answer may reach another, the request may still land.
    fn orphan(&mut self, call: Call) {
        if let Some(outcome) = call.answer.clone() {
            self.coverage.hit(Seen::ReportOfTheDead);
            self.post(&call, outcome);
        } else if call.phase == Phase::Perform && self.rng.chance(60) {
            self.calls.push(Call { owner: None, ..call });
        } else {
            self.coverage.hit(Seen::EffectLost);
        }
    }

    fn deliver(&mut self, w: usize, call: &Call, outcome: Outcome) {
        if self.fault(15) {
            self.coverage.hit(Seen::ReportDuplicated);
            self.post(call, outcome.clone());
        }
        if !self.fault(25) {
            self.catch_up(w);
        }
        self.report(w, &Letter { step: call.step, attempt: call.attempt, phase: call.phase, outcome }, true);
    }

    fn report(&mut self, w: usize, letter: &Letter, again: bool) {
        let now = self.now(w);
        let knows_all = self.workers[w].seen == self.log.len();
        let machine = &mut self.workers[w].machine;
        let id = &self.ids[letter.step];
        let taken = machine.report(now, id, letter.attempt, letter.phase, letter.outcome.clone()).is_ok();
        if knows_all {
            let it = (Some(letter.step), letter.attempt, letter.phase);
            let p6 = inv::p6_refused(&self.books, it, taken);
            self.hold(Id::P6, p6);
        }
        if !taken {
            return self.unchanged(w, knows_all);
        }
        if self.fault(2) {
            return self.crash(w, Seen::CrashBeforeReportCommit);
        }
        if self.commit(w, now) {
            self.act(w);
            if self.workers[w].alive && self.rng.chance(60) {
                self.tick(w);
            }
            return;
        }
        self.coverage.hit(Seen::ConflictOnReport);
        if again && !self.fault(15) {
            self.report(w, letter, false);
        }
    }

    /// A refused report left no trace.
    fn unchanged(&mut self, w: usize, knows_all: bool) {
        let machine = &mut self.workers[w].machine;
        let silent = machine.poll_event().is_none() && machine.poll_action().is_none();
        let same = !knows_all || machine.same_state(&self.console);
        let verdict = if silent && same { Ok(()) } else { Err("a refused report had an effect".to_owned()) };
        self.hold(Id::P6, verdict);
    }

    pub(super) fn mail_comes_late(&mut self) {
        let Some(w) = self.some_worker() else { return };
        if self.mail.is_empty() {
            return;
        }
        let k = self.rng.below(self.mail.len());
        let mut letter = self.mail[k].clone();
        if self.rng.chance(20) {
            self.coverage.hit(Seen::ReportForeign);
            match self.rng.below(3) {
                0 => letter.attempt += 1,
                1 => letter.step = self.rng.below(self.ids.len()),
                _ => {
                    letter.phase =
                        if letter.phase == Phase::Observe { Phase::Perform } else { Phase::Observe };
                }
            }
            // A forged report of what runs is no late one; the driver never makes it.
            if self.books.steps[letter.step].running == Some((letter.attempt, letter.phase)) {
                return;
            }
            self.catch_up(w);
        } else if !self.fault(25) {
            self.catch_up(w);
        }
        self.coverage.hit(Seen::ReportByAnother);
        self.report(w, &letter, true);
    }

    /// Everything under way arrives and is answered truthfully.
    pub(super) fn all_arrive(&mut self) {
        while let Some(mut call) = self.calls.pop() {
            match call.owner {
                None => self.ghost_lands(&call),
                Some((w, _)) if self.owner_lives(&call) => {
                    let answer = call.answer.take();
                    let outcome = answer.unwrap_or_else(|| self.reach(&call));
                    self.deliver(w, &call, outcome);
                }
                Some(_) => self.orphan(call),
            }
        }
    }

    pub(super) fn all_mail(&mut self) {
        for letter in std::mem::take(&mut self.mail) {
            if let Some(w) = self.some_worker() {
                self.catch_up(w);
                self.report(w, &letter, true);
            }
        }
    }
}
