//! One run: workers that share a ledger, requests under way, and a scheduler that picks by seed what happens next.

use jiff::Timestamp;

use super::books::Books;
use super::invariants::{self as inv, Id, Verdict};
use super::rng::Rng;
use super::scenario::{Scenario, Wrong};
use super::seen::{Coverage, Seen};
use super::world::{Answer, Deed, Effect, Value, Weather, World};
use crate::id::StepId;
use crate::outcome::Outcome;
use crate::plan::{Action, Class, Flow, Machine, Phase, StepEvent};

/// What came of one seed.
#[derive(Debug)]
pub(super) struct Ran {
    pub(super) breaches: Vec<(Id, String)>,
    pub(super) coverage: Coverage,
    pub(super) dropped: Option<(&'static str, &'static str)>,
    pub(super) tail: Vec<String>,
    pub(super) moves: usize,
}

#[derive(Debug)]
pub(super) struct Worker {
    /// A new name with every life.
    pub(super) name: String,
    pub(super) life: u32,
    pub(super) alive: bool,
    pub(super) machine: Machine,
    /// How much of the ledger its machine knows.
    pub(super) seen: usize,
    /// Its clock never goes back.
    last: i64,
    skew: i64,
}

/// A request under way.
#[derive(Clone, Debug)]
struct Call {
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

#[derive(Debug)]
pub(super) struct Sim {
    pub(super) rng: Rng,
    wrong: Option<Wrong>,
    /// How much goes wrong, in percent of the usual.
    storm: u64,
    pub(super) calm: bool,
    pub(super) effects: Vec<Effect>,
    classes: Vec<Class>,
    pub(super) ids: Vec<StepId>,
    pub(super) world: World,
    pub(super) books: Books,
    pub(super) log: Vec<(Timestamp, StepEvent)>,
    template: Machine,
    /// Knows the whole ledger at every moment; the machine of whoever types commands.
    pub(super) console: Machine,
    pub(super) workers: Vec<Worker>,
    calls: Vec<Call>,
    mail: Vec<Letter>,
    pub(super) wall: i64,
    last_at: i64,
    fresh: Value,
    /// Steps about which a person gave their word.
    pub(super) spoken: Vec<bool>,
    /// People skip and resolve in this run.
    pub(super) meddling: bool,
    pub(super) coverage: Coverage,
    breaches: Vec<(Id, String)>,
    trace: Option<Vec<String>>,
}

pub(super) const START: i64 = 1_800_000_000_000;
const MAIL_MAX: usize = 8;

pub(super) fn at(ms: i64) -> Timestamp {
    Timestamp::from_millisecond(ms).unwrap()
}

/// Runs one seed. With `wrong` it goes on after the first breach, to show all that notice.
pub(super) fn run(seed: u64, wrong: Option<Wrong>, trace: bool) -> Ran {
    let mut rng = Rng::new(seed);
    let scenario = Scenario::random(&mut rng, wrong);
    let mut sim = Sim::new(rng, &scenario, wrong, trace);
    let mut moves = 0;
    let limit = 20 + sim.rng.below(120);
    let mut after = 10;
    while moves < limit && after > 0 && !sim.stopped() {
        sim.turn();
        moves += 1;
        after -= usize::from(sim.console.is_done());
    }
    if sim.console.is_done() {
        sim.coverage.hit(Seen::DoneUnderFaults);
    }
    if !sim.stopped() {
        moves += sim.calm_down(&scenario.plan);
    }
    let tail = sim.trace.take().unwrap_or_else(|| {
        let last = sim.log.len().saturating_sub(30);
        sim.log[last..].iter().map(|(at, e)| format!("{at} {e:?}")).collect()
    });
    Ran { breaches: sim.breaches, coverage: sim.coverage, dropped: scenario.dropped, tail, moves }
}

impl Sim {
    fn new(mut rng: Rng, scenario: &Scenario, wrong: Option<Wrong>, trace: bool) -> Self {
        let plan = &scenario.plan;
        let world = scenario.world(&mut rng);
        let mut coverage = Coverage::new();
        scenario.count(&world, &mut coverage);
        let mut template = Machine::new(plan.clone());
        if let Some(Wrong::Machine(flaw)) = wrong {
            template.flaw = Some(flaw);
        }
        let effects: Vec<Effect> = plan.steps.iter().map(|s| World::effect(&scenario.input, s)).collect();
        let count = rng.pick(&[1, 2, 2, 3]);
        let worker = |k: usize, rng: &mut Rng| Worker {
            name: format!("w{k}.0"),
            life: 0,
            alive: true,
            machine: template.clone(),
            seen: 0,
            last: START,
            skew: rng.ms(-2000, 2000),
        };
        Self {
            workers: (0..count).map(|k| worker(k, &mut rng)).collect(),
            storm: rng.pick(&[30, 100, 100, 200]),
            meddling: rng.chance(25),
            calm: false,
            classes: plan.steps.iter().map(|s| s.class).collect(),
            ids: plan.steps.iter().map(|s| s.id.clone()).collect(),
            books: Books::new(plan, template.plan_hash(), |i| effects[i].secret),
            spoken: vec![false; plan.steps.len()],
            effects,
            world,
            log: Vec::new(),
            console: template.clone(),
            template,
            calls: Vec::new(),
            mail: Vec::new(),
            wall: START,
            last_at: START,
            fresh: 0,
            coverage,
            breaches: Vec::new(),
            trace: trace.then(Vec::new),
            wrong,
            rng,
        }
    }

    pub(super) fn stopped(&self) -> bool {
        !self.breaches.is_empty() && self.wrong.is_none()
    }

    pub(super) fn note(&mut self, what: impl FnOnce() -> String) {
        if let Some(trace) = &mut self.trace {
            trace.push(what());
        }
    }

    pub(super) fn hold(&mut self, id: Id, verdict: Verdict) {
        if let Err(what) = verdict {
            self.note(|| format!("BREACH {id:?}: {what}"));
            if !self.breaches.iter().any(|(known, _)| *known == id) {
                self.breaches.push((id, what));
            }
        }
    }

    /// A fault that strikes `percent` times of a hundred, before people and weather calm down.
    fn fault(&mut self, percent: u64) -> bool {
        !self.calm && self.rng.chance((percent * self.storm / 100).min(90))
    }

    pub(super) fn now(&mut self, w: usize) -> Timestamp {
        let worker = &mut self.workers[w];
        worker.last = worker.last.max(self.wall + worker.skew).max(self.last_at);
        at(worker.last)
    }

    pub(super) fn console_now(&self) -> Timestamp {
        at(self.wall.max(self.last_at))
    }

    pub(super) fn some_worker(&mut self) -> Option<usize> {
        let alive: Vec<usize> = (0..self.workers.len()).filter(|w| self.workers[*w].alive).collect();
        if alive.is_empty() { None } else { Some(self.rng.pick(&alive)) }
    }

    /// One move of the scheduler.
    fn turn(&mut self) {
        match self.rng.below(100) {
            0..25 => self.tick_somebody(),
            25..60 if self.calls.is_empty() => self.tick_somebody(),
            25..60 => self.call_moves(),
            60..78 => self.clock_moves(),
            78..80 => {
                if let Some(w) = self.some_worker().filter(|_| self.rng.chance(self.storm)) {
                    self.crash(w, Seen::CrashInFlight);
                }
            }
            80..86 => self.restart(),
            86..88 => self.detect_dead(),
            88..94 => self.people(),
            94 => self.weather_changes(),
            95..97 => self.mail_comes_late(),
            _ => {
                let s = self.rng.below(self.world.secrets.len());
                self.world.secrets[s].pick_up();
                self.world.secrets[s].log_in();
            }
        }
        self.look();
    }

    /// What must hold at every moment.
    pub(super) fn look(&mut self) {
        for s in 0..self.world.secrets.len() {
            let (p7, p8) = (inv::p7(&self.world.secrets[s]), inv::p8(&self.world.secrets[s]));
            self.hold(Id::P7, p7);
            self.hold(Id::P8, p8);
        }
        let p12 = inv::p12(&self.console);
        self.hold(Id::P12, p12);
    }

    fn tick_somebody(&mut self) {
        if let Some(w) = self.some_worker() {
            self.tick(w);
        }
    }

    /// Advance, commit, act: the driver's loop.
    pub(super) fn tick(&mut self, w: usize) {
        if self.fault(20) && self.workers[w].seen < self.log.len() {
            self.coverage.hit(Seen::StaleWorker);
        } else {
            self.catch_up(w);
        }
        let now = self.now(w);
        let room = if self.calm { 64 } else { 1 + self.rng.below(8) };
        let worker = &mut self.workers[w];
        worker.machine.advance(now, &worker.name, room);
        if self.wrong == Some(Wrong::ActBeforeCommit) {
            self.act(w);
        }
        if self.fault(2) {
            return self.crash(w, Seen::CrashBeforeCommit);
        }
        if self.commit(w, now) {
            self.act(w);
        } else {
            self.coverage.hit(Seen::Conflict);
        }
        if self.workers[w].seen == self.log.len() {
            let p12 = inv::p12(&self.workers[w].machine);
            self.hold(Id::P12, p12);
        }
    }

    pub(super) fn catch_up(&mut self, w: usize) {
        let worker = &mut self.workers[w];
        for (_, event) in &self.log[worker.seen..] {
            worker.machine.apply(event);
        }
        worker.seen = self.log.len();
    }

    /// Discards the machine and replays the ledger.
    fn replay(&mut self, w: usize) {
        // The console is such a replay already, as P5 checks with every commit; now and then do it in full.
        if self.rng.chance(20) {
            self.workers[w].machine = self.template.clone();
            self.workers[w].seen = 0;
            self.catch_up(w);
        } else {
            self.workers[w].machine = self.console.clone();
            self.workers[w].seen = self.log.len();
        }
    }

    /// Appends what the machine decided at the position that it knows. False: somebody else was faster.
    pub(super) fn commit(&mut self, w: usize, now: Timestamp) -> bool {
        let worker = &mut self.workers[w];
        let batch: Vec<StepEvent> = std::iter::from_fn(|| worker.machine.poll_event()).collect();
        if batch.is_empty() {
            return true;
        }
        if worker.seen != self.log.len() && self.wrong != Some(Wrong::AppendBlindly) {
            self.replay(w);
            return false;
        }
        for event in batch {
            self.record(now, event, true);
        }
        self.workers[w].seen = self.log.len();
        let p5 = inv::p5(&self.workers[w].machine, &self.console, &self.books);
        self.hold(Id::P5, p5);
        true
    }

    pub(super) fn record(&mut self, now: Timestamp, event: StepEvent, apply: bool) {
        self.note(|| format!("{now} {event:?}"));
        for (id, verdict) in inv::of_event(&self.books, &event, now) {
            self.hold(id, verdict);
        }
        self.count(&event);
        self.books.fold(&event);
        if apply {
            self.console.apply(&event);
        }
        self.last_at = self.last_at.max(now.as_millisecond());
        self.log.push((now, event));
    }

    fn count(&mut self, event: &StepEvent) {
        let seen = match event {
            StepEvent::ApprovalRequested { .. } => Seen::ApprovalRequested,
            StepEvent::ApprovalGranted { .. } => Seen::ApprovalGranted,
            StepEvent::ApprovalRefused { .. } => Seen::ApprovalRefused,
            StepEvent::Started { phase: Phase::Perform, .. } => Seen::StartedPerform,
            StepEvent::Started { phase: Phase::Observe, .. } => Seen::StartedObserve,
            StepEvent::Lost { why, .. } => {
                let why = if why.contains("deadline") { Seen::DeadlinePassed } else { Seen::WorkerLost };
                self.coverage.hit(why);
                Seen::Lost
            }
            StepEvent::Retried { .. } => Seen::Retried,
            StepEvent::Skipped { .. } => Seen::Skipped,
            StepEvent::Resolved { .. } => Seen::Resolved,
            StepEvent::Finished { outcome, flow, .. } => {
                self.coverage.hit(match outcome {
                    Outcome::Applied { .. } => Seen::Applied,
                    Outcome::NotApplied { retryable: true, .. } => Seen::NotAppliedRetryable,
                    Outcome::NotApplied { retryable: false, .. } => Seen::NotAppliedRefused,
                    Outcome::Unknown { .. } => Seen::Unknown,
                });
                self.coverage.hit(match flow {
                    Flow::Done => Seen::FlowDone,
                    Flow::Again { phase: Phase::Perform, .. } => Seen::FlowPerformAgain,
                    Flow::Again { phase: Phase::Observe, .. } => Seen::FlowObserveAgain,
                    Flow::Stuck => Seen::FlowStuck,
                });
                Seen::Finished
            }
        };
        self.coverage.hit(seen);
    }

    /// Carries out what the committed events ask for; may die before or in the middle.
    fn act(&mut self, w: usize) {
        let mut done = 0;
        while let Some(action) = self.workers[w].machine.poll_action() {
            if self.fault(3) {
                let seen = if done == 0 { Seen::CrashBeforeAction } else { Seen::CrashBetweenActions };
                return self.crash(w, seen);
            }
            done += 1;
            match action {
                Action::Run { step, attempt, phase } => {
                    self.begin(w, self.books.index[&step], attempt, phase)
                }
                Action::AskApproval { .. } | Action::Page { .. } => {}
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
    fn call_moves(&mut self) {
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
            return self.act(w);
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

    fn mail_comes_late(&mut self) {
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

    pub(super) fn crash(&mut self, w: usize, how: Seen) {
        self.note(|| format!("crash of worker {w}: {how:?}"));
        self.coverage.hit(how);
        self.workers[w].alive = false;
    }

    pub(super) fn restart(&mut self) {
        for w in 0..self.workers.len() {
            if !self.workers[w].alive && (self.calm || self.rng.chance(70)) {
                self.coverage.hit(Seen::Restart);
                let worker = &mut self.workers[w];
                worker.life += 1;
                worker.name = format!("w{w}.{}", worker.life);
                worker.alive = true;
                worker.last = START;
                self.replay(w);
            }
        }
    }

    /// One worker notices that others are gone; rarely it is mistaken.
    pub(super) fn detect_dead(&mut self) {
        let Some(w) = self.some_worker() else { return };
        self.catch_up(w);
        let owners: Vec<String> = self.workers[w].machine.workers().into_iter().map(str::to_owned).collect();
        for name in owners {
            let dead = !self.workers.iter().any(|o| o.alive && o.name == name);
            if dead || self.fault(5) {
                self.workers[w].machine.worker_lost(&name);
            }
        }
        let now = self.now(w);
        if self.commit(w, now) {
            self.act(w);
        }
    }

    fn clock_moves(&mut self) {
        match self.rng.below(20) {
            0..10 => self.wall += self.rng.ms(1, 400),
            10..15 => {
                if let Some(next) = self.console.poll_timeout().map(Timestamp::as_millisecond) {
                    // A wait is slept out; a deadline usually is not.
                    if next - self.wall < 2000 || self.rng.chance(30) {
                        self.wall = self.wall.max(next);
                    }
                }
            }
            15..18 => self.wall += self.rng.ms(400, 8000),
            18 => {
                self.coverage.hit(Seen::ClockBack);
                self.wall -= self.rng.ms(1, 120_000);
            }
            _ => self.wall += self.rng.ms(30_000, 90_000),
        }
    }

    fn weather_changes(&mut self) {
        let s = self.rng.below(self.world.secrets.len());
        let secret = &mut self.world.secrets[s];
        if secret.weather != Weather::Fine {
            secret.weather = Weather::Fine;
            return;
        }
        // A naive connector that said "no" of something done would break the contract of outcomes.
        let can_deny = !secret.naive;
        secret.weather = match self.rng.below(4) {
            0 if self.rng.chance(40) => Weather::Pretends,
            1 if can_deny => Weather::Denies,
            _ => Weather::Down,
        };
        self.coverage.hit(match secret.weather {
            Weather::Pretends => Seen::IssuerPretends,
            Weather::Denies => Seen::IssuerDenies,
            Weather::Fine | Weather::Down => Seen::IssuerDown,
        });
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

    pub(super) fn full_replay(&mut self, plan: &crate::plan::Plan) {
        let mut again = Machine::replay(plan.clone(), self.log.iter().map(|(_, e)| e));
        again.flaw = self.template.flaw;
        let p5 = inv::p5(&self.console, &again, &self.books);
        self.hold(Id::P5, p5);
    }
}
