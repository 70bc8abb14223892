//! What people do: approve, refuse, retry, skip, resolve, sometimes wrongly; and how a run comes to its end.

use jiff::{SignedDuration, Timestamp};

use super::invariants::{self as inv, Id};
use super::run::Sim;
use super::seen::Seen;
use super::world::{Deed, Weather};
use crate::plan::{Approval, Machine, Plan, Refusal, StepState};

const NAMES: [&str; 3] = ["ines", "otto", "uma"];

/// Calm rounds in which everything must come to its end.
const ROUNDS_MAX: usize = 500;

impl Sim {
    /// A command against the console's machine or a worker's, committed like everything else.
    fn command(&mut self, mut f: impl FnMut(&mut Machine, Timestamp) -> Result<(), Refusal>) -> bool {
        let through = if self.calm || self.rng.chance(65) { None } else { self.some_worker() };
        let result = if let Some(w) = through {
            let now = self.now(w);
            let mut result = f(&mut self.workers[w].machine, now);
            if result.is_ok() && !self.commit(w, now) {
                self.coverage.hit(Seen::Conflict);
                result = f(&mut self.workers[w].machine, now);
                let committed = self.commit(w, now);
                assert!(committed, "a replayed machine knows the whole ledger");
            }
            result
        } else {
            let now = self.console_now();
            let result = f(&mut self.console, now);
            while let Some(event) = self.console.poll_event() {
                self.record(now, event, false);
            }
            result
        };
        match &result {
            Ok(()) => {}
            Err(Refusal::OtherPlan { .. }) => self.coverage.hit(Seen::WrongHash),
            Err(Refusal::Expired(_)) => self.coverage.hit(Seen::Expired),
            Err(Refusal::SamePerson(_)) => self.coverage.hit(Seen::SamePerson),
            Err(Refusal::Essential { .. }) => self.coverage.hit(Seen::Essential),
            Err(Refusal::WrongState { .. } | Refusal::NoSuchStep(_)) => self.coverage.hit(Seen::WrongState),
        }
        result.is_ok()
    }

    /// The steps that are in such a state.
    fn those(&self, wanted: impl Fn(&StepState) -> bool) -> Vec<usize> {
        self.console.states().enumerate().filter(|(_, (_, s))| wanted(s)).map(|(i, _)| i).collect()
    }

    /// A person does something.
    pub(super) fn people(&mut self) {
        let asking = self.those(|s| *s == StepState::AwaitingApproval);
        let failed = self.those(|s| matches!(s, StepState::Failed { .. }));
        let any = self.rng.below(self.ids.len());
        match self.rng.below(20) {
            0..11 => {
                let i = if asking.is_empty() || self.rng.chance(10) { any } else { self.rng.pick(&asking) };
                let by = self.rng.pick(&NAMES);
                let right = self.rng.chance(85);
                let lasts = self.rng.pick(&[-10_000, 300, 5000, 60_000, 3_600_000]);
                self.approve(i, by, right, lasts);
            }
            11..16 => {
                let i = if failed.is_empty() { any } else { self.rng.pick(&failed) };
                let id = self.ids[i].clone();
                self.command(|m, _| m.retry(&id, "ines"));
            }
            16 if self.rng.chance(50) => {
                let handed = self.those(|s| *s == StepState::WithPeople);
                if !handed.is_empty() {
                    let i = self.rng.pick(&handed);
                    self.do_task(i);
                }
            }
            16 => {
                let i = if asking.is_empty() { any } else { self.rng.pick(&asking) };
                let id = self.ids[i].clone();
                self.command(|m, _| m.refuse(&id, "otto", "not now"));
            }
            _ if self.meddling => {
                let i = if failed.is_empty() || self.rng.chance(40) { any } else { self.rng.pick(&failed) };
                self.give_word(i);
            }
            _ => {}
        }
    }

    fn approve(&mut self, i: usize, by: &str, right: bool, lasts: i64) {
        let id = self.ids[i].clone();
        let hash = if right { self.books.plan_hash.clone() } else { "0".repeat(64) };
        let expires_at = self.console_now() + SignedDuration::from_millis(lasts);
        self.command(|m, now| m.approve(now, &Approval { step: &id, plan_hash: &hash, by, expires_at }));
    }

    /// Skip or resolve, with or without having done it.
    fn give_word(&mut self, i: usize) {
        let id = self.ids[i].clone();
        let skip = self.rng.chance(50);
        let taken = self.command(|m, _| {
            if skip { m.skip(&id, "ines", "later") } else { m.resolve(&id, "ines", "it is done") }
        });
        if !taken {
            return;
        }
        self.spoken[i] = true;
        if let Some(s) = self.effects[i].secret {
            self.world.secrets[s].by_hand = true;
            if !skip && self.rng.chance(50) {
                self.world.secrets[s].by_hand(self.effects[i].deed, self.books.minted[s]);
            }
        }
    }

    /// People make good by hand what they said, and what an issuer only pretended.
    fn make_good(&mut self) {
        for i in 0..self.ids.len() {
            let effect = self.effects[i];
            let Some(s) = effect.secret else { continue };
            let secret = &mut self.world.secrets[s];
            let owed = match effect.deed {
                Deed::Reload(_) => secret.by_hand,
                Deed::Disable => secret.pretended,
                // Ended while the old value still worked, because of what a person said of the step before.
                Deed::Sever => secret.pretended || secret.by_hand,
                Deed::Capture
                | Deed::Look
                | Deed::Mint
                | Deed::Install
                | Deed::ProbeNew
                | Deed::WriteStore(_)
                | Deed::Confirm(_)
                | Deed::ProveRefused
                | Deed::Prove
                | Deed::Purge(_)
                | Deed::Retire
                | Deed::Task
                | Deed::Channel(_)
                | Deed::Notify => false,
            };
            if self.books.steps[i].satisfied && (owed || self.spoken[i]) {
                secret.by_hand(effect.deed, self.books.minted[s]);
            }
        }
    }

    /// People approve what is asked and retry what failed.
    fn help(&mut self) {
        self.make_good();
        for i in self.those(|s| matches!(s, StepState::Failed { .. })) {
            let id = self.ids[i].clone();
            self.command(|m, _| m.retry(&id, "uma"));
        }
        for i in self.those(|s| *s == StepState::AwaitingApproval) {
            for by in NAMES {
                self.approve(i, by, true, 86_400_000);
            }
        }
        for i in self.those(|s| *s == StepState::WithPeople) {
            self.do_task(i);
        }
    }

    /// A person does what was handed over, and says so.
    fn do_task(&mut self, i: usize) {
        if let Some(s) = self.effects[i].secret {
            self.world.secrets[s].renewed = true;
        }
        let id = self.ids[i].clone();
        self.command(|m, _| m.resolve(&id, "uma", "it is done, see the ticket"));
    }

    /// One round without faults. True when nothing moved and nothing will by itself.
    fn round(&mut self, people: bool) -> bool {
        let before = self.log.len();
        self.restart();
        if people {
            self.help();
        }
        for w in 0..self.workers.len() {
            self.tick(w);
        }
        self.all_arrive();
        for secret in &mut self.world.secrets {
            secret.pick_up();
        }
        if self.rng.chance(50) {
            self.detect_dead();
        }
        self.look();
        if self.log.len() > before {
            return false;
        }
        // Only a worker knows that it left a step for its lane.
        let workers = self.workers.iter().filter(|w| w.alive).filter_map(|w| w.machine.poll_timeout()).min();
        let Some(next) = self.console.poll_timeout().or(workers) else { return true };
        self.wall = self.wall.max(next.as_millisecond()) + 2000;
        false
    }

    /// A part of the plan goes well.
    pub(super) fn go_ahead(&mut self, steps: usize) {
        self.calm = true;
        for _ in 0..self.rng.below(steps) {
            self.round(true);
        }
        self.calm = false;
    }

    /// Faults stop; first nobody helps, then people do. Returns the number of rounds.
    pub(super) fn calm_down(&mut self, plan: &Plan) -> usize {
        let done_before = self.console.is_done();
        self.calm = true;
        self.wall = self.console_now().as_millisecond();
        for secret in &mut self.world.secrets {
            secret.weather = Weather::Fine;
        }
        let mut rounds = 0;
        while rounds < ROUNDS_MAX && !self.stopped() && !self.round(false) {
            rounds += 1;
        }
        if self.stopped() {
            return rounds;
        }
        let p13 = inv::p13(&self.console, &self.books);
        self.hold(Id::P13, p13);
        if !self.console.is_done() {
            self.coverage.hit(Seen::WaitedForPeople);
        }
        while rounds < ROUNDS_MAX && !self.stopped() && !self.console.is_done() {
            // Time passes also while nobody does anything: approvals expire.
            self.wall += 1000;
            self.round(true);
            rounds += 1;
        }
        self.all_arrive();
        self.make_good();
        self.all_mail();
        self.look();
        if self.stopped() {
            return rounds;
        }
        let p11 = inv::p11(&self.console, &self.world, rounds);
        self.hold(Id::P11, p11);
        self.full_replay(plan);
        if !done_before {
            self.coverage.hit(Seen::DoneWhenCalm);
        }
        rounds
    }
}
