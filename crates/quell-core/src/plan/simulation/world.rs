//! The modelled outside: issuers, stores, consumers. Performing changes it, observing reads the truth.
//!
//! Two kinds of connector are modelled. A *contract* connector is idempotent: a repeated perform finds what the
//! first one made, and a request in flight may land at any later time. A *naive* one makes something new with every
//! perform; for it the fate of a request is decided before an observation of the same step reads.

use super::rng::Rng;
use crate::issuer::{Chooser, Overlap, ValidAtOnce};
use crate::plan::{ChannelAct, PlanInput, StepAction, Strategy};

/// A value, by number. 0 is the compromised one.
pub(super) type Value = u32;
pub(super) const OLD: Value = 0;

/// The order that capabilities and strategy ask for, worked out here apart from the compiler.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum Order {
    KillFirst,
    MakeBeforeBreak,
    /// One value at a time: installing kills.
    Shared,
    /// No successor.
    RevokeOnly,
}

/// How the issuer behaves at the moment.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum Weather {
    Fine,
    /// Nothing arrives, nothing is read.
    Down,
    /// Does it and says that it did not.
    Denies,
    /// Says that the old value is refused and its sessions ended, and does nothing.
    Pretends,
}

#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum Deed {
    Capture,
    Look,
    Mint,
    Install,
    ProbeNew,
    WriteStore(usize),
    Reload(usize),
    Confirm(usize),
    Disable,
    Sever,
    ProveRefused,
    Prove,
    Purge(usize),
    Retire,
    /// A person's.
    Task,
    Channel(ChannelAct),
    Notify,
}

/// What one step does to whom.
#[derive(Clone, Copy, Debug)]
pub(super) struct Effect {
    pub(super) secret: Option<usize>,
    pub(super) deed: Deed,
}

/// The truth after a perform, or as an observation reads it.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum Answer {
    Done(Option<Value>),
    /// Certainly not in force; true when it may be by itself later.
    No(bool),
}

#[derive(Clone, Debug)]
pub(super) struct Store {
    /// The last is the current one.
    pub(super) versions: Vec<Value>,
    pub(super) purged: bool,
}

impl Store {
    pub(super) fn current(&self) -> Option<Value> {
        self.versions.last().copied()
    }

    fn write(&mut self, value: Value) {
        if self.current() != Some(value) {
            self.versions.push(value);
        }
    }

    fn purge(&mut self) {
        self.versions.retain(|v| *v != OLD);
        self.purged = true;
    }
}

#[derive(Clone, Debug)]
pub(super) struct Consumer {
    pub(super) uses: Value,
    pub(super) reloads: bool,
    pub(super) store: Option<usize>,
}

#[derive(Clone, Debug)]
pub(super) struct Secret {
    pub(super) order: Order,
    pub(super) issuer_chooses: bool,
    one_at_once: bool,
    sessions_survive: bool,
    can_disable: bool,
    pub(super) naive: bool,
    pub(super) after: Vec<usize>,
    pub(super) weather: Weather,
    pub(super) captured: bool,
    pub(super) old_valid: bool,
    /// The old value was refused at some time.
    pub(super) died: bool,
    /// The issuer keeps nothing of the old value: nobody can make it valid again.
    pub(super) retired: bool,
    retires: bool,
    pub(super) sessions: u32,
    pub(super) live: Vec<Value>,
    /// Values chosen or made, ever.
    pub(super) mints: u32,
    sealed: Option<Value>,
    pub(super) stores: Vec<Store>,
    pub(super) consumers: Vec<Consumer>,
    /// A person skipped or resolved a step: their word, not Quell's.
    pub(super) by_hand: bool,
    /// People made a new one, where Quell cannot.
    pub(super) renewed: bool,
    /// The issuer pretended at least once.
    pub(super) pretended: bool,
}

#[derive(Clone, Debug)]
pub(super) struct World {
    pub(super) secrets: Vec<Secret>,
    pub(super) forge: Forge,
    notified: bool,
}

/// Where it leaked.
#[derive(Clone, Debug, Default)]
pub(super) struct Forge {
    pub(super) locked: bool,
    pub(super) preserved: bool,
    pub(super) removed: bool,
    pub(super) scanned: bool,
}

impl Forge {
    fn perform(&mut self, act: ChannelAct) -> Answer {
        match act {
            ChannelAct::Lock => self.locked = true,
            ChannelAct::Preserve => self.preserved = true,
            ChannelAct::Remove => self.removed = true,
            ChannelAct::Scan => self.scanned = true,
            ChannelAct::Unlock => self.locked = false,
        }
        Answer::Done(None)
    }

    fn observe(&self, act: ChannelAct) -> Answer {
        let holds = match act {
            ChannelAct::Lock => self.locked,
            ChannelAct::Preserve => self.preserved,
            ChannelAct::Remove => self.removed,
            ChannelAct::Scan => self.scanned,
            ChannelAct::Unlock => !self.locked,
        };
        if holds { Answer::Done(None) } else { Answer::No(true) }
    }
}

impl World {
    pub(super) fn new(input: &PlanInput, rng: &mut Rng) -> Self {
        let place = |id: &crate::id::SecretId| input.secrets.iter().position(|s| s.id == *id);
        let secrets = input.secrets.iter().map(|s| {
            let c = &s.capabilities;
            let kill = input.strategy.0 == Strategy::KillFirst || s.overlap != Overlap::Allowed;
            let order = if !c.can_mint {
                Order::RevokeOnly
            } else if kill && c.can_disable {
                Order::KillFirst
            } else if c.valid_at_once == ValidAtOnce::One {
                Order::Shared
            } else {
                Order::MakeBeforeBreak
            };
            let stores = s.stores.len();
            Secret {
                order,
                issuer_chooses: c.chooser == Chooser::Issuer,
                one_at_once: c.valid_at_once == ValidAtOnce::One,
                sessions_survive: c.sessions_survive,
                can_disable: c.can_disable,
                naive: rng.chance(30),
                after: s.after.iter().filter_map(place).collect(),
                weather: Weather::Fine,
                captured: false,
                old_valid: true,
                died: false,
                retired: false,
                retires: s.retires,
                sessions: u32::try_from(rng.below(3)).unwrap(),
                live: Vec::new(),
                mints: 0,
                sealed: None,
                stores: (0..stores)
                    .map(|_| Store { versions: vec![OLD; 1 + rng.below(2)], purged: false })
                    .collect(),
                consumers: s
                    .consumers
                    .iter()
                    .enumerate()
                    .map(|(k, c)| Consumer {
                        uses: OLD,
                        reloads: c.reload.is_some(),
                        store: (stores > 0).then(|| k % stores),
                    })
                    .collect(),
                by_hand: false,
                renewed: false,
                pretended: false,
            }
        });
        Self { secrets: secrets.collect(), forge: Forge::default(), notified: false }
    }

    pub(super) fn effect(input: &PlanInput, step: &crate::plan::Step) -> Effect {
        let secret = step.secret.as_ref().and_then(|id| input.secrets.iter().position(|s| s.id == *id));
        let consumer = |name: &str| {
            let of = &input.secrets[secret.unwrap()];
            of.consumers.iter().position(|c| c.name == name).unwrap()
        };
        let deed = match &step.action {
            StepAction::Capture => Deed::Capture,
            StepAction::Look => Deed::Look,
            StepAction::Mint => Deed::Mint,
            StepAction::Install => Deed::Install,
            StepAction::ProbeNew => Deed::ProbeNew,
            StepAction::WriteStore { store } => Deed::WriteStore(*store),
            StepAction::Reload { consumer: c } => Deed::Reload(consumer(c)),
            StepAction::Confirm { consumer: c } => Deed::Confirm(consumer(c)),
            StepAction::Disable => Deed::Disable,
            StepAction::Sever => Deed::Sever,
            StepAction::ProveRefused => Deed::ProveRefused,
            StepAction::Prove => Deed::Prove,
            StepAction::Purge { store } => Deed::Purge(*store),
            StepAction::Retire => Deed::Retire,
            StepAction::Person { .. } => Deed::Task,
            StepAction::Channel { act, .. } => Deed::Channel(*act),
            StepAction::Notify { .. } => Deed::Notify,
        };
        Effect { secret, deed }
    }

    /// `value` is the successor as the ledger records it; `fresh` is one nobody has used.
    pub(super) fn perform(&mut self, effect: Effect, value: Option<Value>, fresh: Value) -> Answer {
        if let Some(s) = effect.secret {
            return self.secrets[s].perform(effect.deed, value, fresh);
        }
        if let Deed::Channel(act) = effect.deed {
            return self.forge.perform(act);
        }
        self.notified = true;
        Answer::Done(None)
    }

    pub(super) fn observe(&self, effect: Effect, value: Option<Value>) -> Answer {
        match effect.secret {
            Some(s) => self.secrets[s].observe(effect.deed, value),
            None if let Deed::Channel(act) = effect.deed => self.forge.observe(act),
            None if self.notified => Answer::Done(None),
            None => Answer::No(true),
        }
    }
}

impl Secret {
    pub(super) fn die(&mut self) {
        self.old_valid = false;
        self.died = true;
        if !self.sessions_survive {
            self.sessions = 0;
        }
    }

    fn retire(&mut self) {
        self.retired = true;
        self.die();
    }

    fn make_live(&mut self, value: Value) {
        if self.one_at_once {
            self.live.clear();
            self.die();
        }
        if !self.live.contains(&value) {
            self.live.push(value);
        }
    }

    fn mint(&mut self, fresh: Value) -> Value {
        let found = if self.issuer_chooses { self.live.first().copied() } else { self.sealed };
        if let Some(value) = found.filter(|_| !self.naive) {
            return value;
        }
        self.mints += 1;
        if self.issuer_chooses {
            self.make_live(fresh);
        } else {
            self.sealed = Some(fresh);
        }
        fresh
    }

    fn perform(&mut self, deed: Deed, value: Option<Value>, fresh: Value) -> Answer {
        match (deed, value) {
            (Deed::Mint, _) => return Answer::Done(Some(self.mint(fresh))),
            (Deed::Capture, _) => self.captured = true,
            (Deed::Look, _) => {}
            (Deed::Install, Some(value)) => self.make_live(value),
            (Deed::WriteStore(i), Some(value)) => self.stores[i].write(value),
            (Deed::Reload(c), Some(value)) => self.reload(c, value),
            (Deed::Disable, _) if self.can_disable || !self.live.is_empty() => self.die(),
            (Deed::Sever, _) => self.sessions = 0,
            (Deed::Purge(i), _) => self.stores[i].purge(),
            (Deed::Retire, _) => self.retire(),
            // Without a successor, or the kinds that only look.
            (
                Deed::Install
                | Deed::WriteStore(_)
                | Deed::Reload(_)
                | Deed::Disable
                | Deed::Task
                | Deed::Channel(_)
                | Deed::Notify
                | Deed::ProbeNew
                | Deed::Confirm(_)
                | Deed::ProveRefused
                | Deed::Prove,
                _,
            ) => return self.observe(deed, value),
        }
        Answer::Done(None)
    }

    fn observe(&self, deed: Deed, value: Option<Value>) -> Answer {
        let works = value.is_some_and(|v| self.live.contains(&v));
        let refused = !self.old_valid && self.sessions == 0;
        let (holds, later) = match deed {
            Deed::Mint => {
                let made = if self.issuer_chooses { self.live.last().copied() } else { self.sealed };
                return made.map_or(Answer::No(true), |v| Answer::Done(Some(v)));
            }
            Deed::Capture => (self.captured, true),
            Deed::Look => (true, true),
            Deed::Install | Deed::ProbeNew => (works, false),
            Deed::WriteStore(i) => (value.is_some() && self.stores[i].current() == value, false),
            Deed::Reload(_) | Deed::Confirm(_) if self.order == Order::RevokeOnly => (self.renewed, true),
            Deed::Reload(c) => (Some(self.consumers[c].uses) == value, false),
            Deed::Confirm(c) => (works && Some(self.consumers[c].uses) == value, true),
            Deed::Disable => (!self.old_valid, false),
            Deed::Sever => (self.sessions == 0, true),
            Deed::ProveRefused => (refused, false),
            Deed::Prove => (refused && works, false),
            Deed::Purge(i) => (!self.stores[i].versions.contains(&OLD), true),
            Deed::Retire => (self.retired, true),
            Deed::Task | Deed::Channel(_) | Deed::Notify => (false, true),
        };
        if holds { Answer::Done(None) } else { Answer::No(later) }
    }

    /// A consumer reads its store; without one it is handed the successor.
    pub(super) fn reload(&mut self, c: usize, handed: Value) {
        let read = self.consumers[c].store.map_or(Some(handed), |i| self.stores[i].current());
        if let Some(value) = read {
            self.consumers[c].uses = value;
        }
    }

    /// Consumers that pick values up by themselves do.
    pub(super) fn pick_up(&mut self) {
        let Some(handed) = self.live.first().copied() else { return };
        for c in (0..self.consumers.len()).filter(|c| !self.consumers[*c].reloads).collect::<Vec<_>>() {
            self.reload(c, handed);
        }
    }

    /// Somebody logs in with the old value.
    pub(super) fn log_in(&mut self) {
        if self.old_valid {
            self.sessions += 1;
        }
    }

    /// What [`super::scenario::Wrong::RollBack`] does.
    pub(super) fn roll_back(&mut self) {
        self.old_valid = true;
        for store in &mut self.stores {
            store.versions.push(OLD);
        }
    }

    /// A person does by hand what they said about a step, as far as it can be done now.
    pub(super) fn by_hand(&mut self, deed: Deed, value: Option<Value>) {
        match (deed, value) {
            (Deed::Install, Some(value)) => self.make_live(value),
            (Deed::WriteStore(i), Some(value)) => self.stores[i].write(value),
            (Deed::Reload(c) | Deed::Confirm(c), Some(value)) if self.live.contains(&value) => {
                self.reload(c, value);
            }
            (Deed::Task, _) => self.renewed = true,
            (Deed::Disable, _) => self.die(),
            (Deed::Sever, _) if !self.old_valid => self.sessions = 0,
            (Deed::Purge(i), _) if self.died => self.stores[i].purge(),
            (Deed::Retire, _) if self.died => self.retire(),
            _ => {}
        }
    }

    /// Nothing of the old value is left anywhere, everybody is on the one successor.
    pub(super) fn inert(&self) -> Result<(), String> {
        let mut left = Vec::new();
        if self.old_valid {
            left.push("the old value is accepted".to_owned());
        }
        if self.sessions > 0 {
            left.push(format!("{} sessions live", self.sessions));
        }
        if self.retires && !self.retired {
            left.push("the issuer keeps the old value".to_owned());
        }
        if self.order != Order::RevokeOnly {
            if self.live.len() != 1 {
                left.push(format!("{} successors are live", self.live.len()));
            }
            if self.consumers.iter().any(|c| !self.live.contains(&c.uses)) {
                left.push("a consumer is not on the successor".to_owned());
            }
            for store in &self.stores {
                if store.versions.contains(&OLD) || !store.current().is_some_and(|v| self.live.contains(&v)) {
                    left.push(format!("a store holds {:?}", store.versions));
                }
            }
        }
        if left.is_empty() { Ok(()) } else { Err(left.join(", ")) }
    }
}
