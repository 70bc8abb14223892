//! One run: workers that share a ledger, requests under way, and a scheduler that picks by seed what happens next.

use jiff::Timestamp;

use super::books::Books;
use super::calls::{Call, Letter};
use super::invariants::{self as inv, Id, Verdict};
use super::rng::Rng;
use super::scenario::{Scenario, Wrong};
use super::seen::{Coverage, Seen};
use super::world::{Deed, Effect, Value, Weather, World};
use crate::id::StepId;
use crate::outcome::Outcome;
use crate::plan::{Class, Flow, Machine, Phase, StepEvent};

/// What came of one seed.
#[derive(Debug)]
pub(super) struct Ran {
    pub(super) breaches: Vec<(Id, String)>,
    pub(super) coverage: Coverage,
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

#[derive(Debug)]
pub(super) struct Sim {
    pub(super) rng: Rng,
    pub(super) wrong: Option<Wrong>,
    /// How much goes wrong, in percent of the usual.
    storm: u64,
    pub(super) calm: bool,
    pub(super) effects: Vec<Effect>,
    pub(super) classes: Vec<Class>,
    pub(super) ids: Vec<StepId>,
    pub(super) world: World,
    pub(super) books: Books,
    pub(super) log: Vec<(Timestamp, StepEvent)>,
    template: Machine,
    /// Knows the whole ledger at every moment; the machine of whoever types commands.
    pub(super) console: Machine,
    pub(super) workers: Vec<Worker>,
    pub(super) calls: Vec<Call>,
    pub(super) mail: Vec<Letter>,
    pub(super) wall: i64,
    last_at: i64,
    pub(super) fresh: Value,
    /// Steps about which a person gave their word.
    pub(super) spoken: Vec<bool>,
    /// People skip and resolve in this run.
    pub(super) meddling: bool,
    pub(super) coverage: Coverage,
    breaches: Vec<(Id, String)>,
    trace: Option<Vec<String>>,
}

pub(super) const START: i64 = 1_800_000_000_000;

pub(super) fn at(ms: i64) -> Timestamp {
    Timestamp::from_millisecond(ms).unwrap()
}

/// Runs one seed. With something wrong it goes on after the first breach, to show all that notice.
pub(super) fn run(seed: u64, scenario: &Scenario, trace: bool) -> Ran {
    let mut sim = Sim::new(Rng::new(seed), scenario, trace);
    // Half of the runs have their faults late in the plan.
    if sim.rng.chance(50) {
        sim.go_ahead(scenario.plan.steps.len());
    }
    let mut moves = 0;
    let limit = sim.rng.pick(&[30, 60, 120, 300]);
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
    Ran { breaches: sim.breaches, coverage: sim.coverage, tail, moves }
}

impl Sim {
    fn new(mut rng: Rng, scenario: &Scenario, trace: bool) -> Self {
        let plan = &scenario.plan;
        let world = scenario.world(&mut rng);
        let mut coverage = Coverage::new();
        scenario.count(&world, &mut coverage);
        let template = &scenario.template;
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
            storm: rng.pick(&[20, 50, 100, 150]),
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
            template: template.clone(),
            calls: Vec::new(),
            mail: Vec::new(),
            wall: START,
            last_at: START,
            fresh: 0,
            coverage,
            breaches: Vec::new(),
            trace: trace.then(Vec::new),
            wrong: scenario.wrong,
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
    pub(super) fn fault(&mut self, percent: u64) -> bool {
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
            0..22 => self.tick_somebody(),
            22..62 if self.calls.is_empty() => self.tick_somebody(),
            22..62 => self.call_moves(),
            62..75 => self.clock_moves(),
            75..77 => {
                if let Some(w) = self.some_worker().filter(|_| self.rng.chance(self.storm / 3)) {
                    self.crash(w, Seen::CrashInFlight);
                }
            }
            77..85 => self.restart(),
            85..87 => self.detect_dead(),
            87..95 => self.people(),
            95 => self.weather_changes(),
            96..98 => self.mail_comes_late(),
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
        let worker = &mut self.workers[w];
        if self.rng.chance(20) {
            worker.machine.become_replay_of(&self.template);
            worker.seen = 0;
            self.catch_up(w);
        } else {
            worker.machine.become_replay_of(&self.console);
            worker.seen = self.log.len();
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
        self.count_doubt(&event);
        self.books.fold(&event);
        if apply {
            self.console.apply(&event);
        }
        self.last_at = self.last_at.max(now.as_millisecond());
        self.log.push((now, event));
    }

    /// Which kinds of step had an unknown outcome.
    fn count_doubt(&mut self, event: &StepEvent) {
        let doubt = matches!(
            event,
            StepEvent::Lost { .. } | StepEvent::Finished { outcome: Outcome::Unknown { .. }, .. }
        );
        let Some(i) = self.books.index.get(event.step()).filter(|_| doubt) else { return };
        self.coverage.hit(match self.effects[*i].deed {
            Deed::Capture => Seen::DoubtCapture,
            Deed::Look => Seen::DoubtLook,
            Deed::Mint => Seen::DoubtMint,
            Deed::Install => Seen::DoubtInstall,
            Deed::ProbeNew => Seen::DoubtProbeNew,
            Deed::WriteStore(_) => Seen::DoubtStore,
            Deed::Reload(_) => Seen::DoubtReload,
            Deed::Confirm(_) => Seen::DoubtConfirm,
            Deed::Disable => Seen::DoubtDisable,
            Deed::Sever => Seen::DoubtSever,
            Deed::ProveRefused => Seen::DoubtProveRefused,
            Deed::Prove => Seen::DoubtProve,
            Deed::Purge(_) => Seen::DoubtPurge,
            Deed::Retire => Seen::DoubtRetire,
            Deed::Channel(_) => Seen::DoubtChannel,
            // Nobody starts what is a person's to do, so it has no outcome.
            Deed::Task => return self.hold(Id::P1, Err("a person's task was started".to_owned())),
            Deed::Notify => Seen::DoubtNotify,
        });
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
            StepEvent::HandedOver { .. } => Seen::HandedOver,
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

    pub(super) fn full_replay(&mut self, plan: &crate::plan::Plan) {
        let events = self.log.iter().map(|(_, e)| e);
        // Making a machine hashes the plan, which costs as much as a fifth of a run.
        let again = if self.rng.chance(10) {
            Machine::replay(plan.clone(), events)
        } else {
            let mut again = self.template.clone();
            events.for_each(|e| again.apply(e));
            again
        };
        let p5 = inv::p5(&self.console, &again, &self.books);
        self.hold(Id::P5, p5);
    }
}
