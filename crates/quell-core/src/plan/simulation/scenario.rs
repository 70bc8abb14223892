//! Random inputs for the real compiler, and the deliberate mistakes that the simulation must catch.

use super::rng::Rng;
use super::seen::{Coverage, Seen};
use super::world::{Deed, Order, World};
use crate::inventory::Tier;
use crate::issuer::{Capabilities, Chooser, Overlap, Task, TaskTime, ValidAtOnce};
use crate::plan::machine::Flaw;
use crate::plan::{
    Approvals, ChannelAct, ChannelInput, Class, ConsumerInput, Lane, Machine, Plan, PlanInput, SecretInput,
    StepAction, StoreInput, Strategy, compile,
};

/// A deliberate mistake.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum Wrong {
    /// In the machine.
    Machine(Flaw),
    /// The driver acts before its events are durable.
    ActBeforeCommit,
    /// The driver appends wherever the log ends, without looking whether it knows all that is in it.
    AppendBlindly,
    /// A connector that puts the old value back when a consumer does not come up.
    RollBack,
    /// The compiler forgets that steps of the first kind need steps of the second.
    DropNeeds(&'static str, &'static str),
    /// The compiler forgets one need, whichever.
    DropAnyNeed,
    /// The compiler takes nothing for destructive.
    SoftenClasses,
}

/// One random case.
#[derive(Debug)]
pub(super) struct Scenario {
    pub(super) input: PlanInput,
    pub(super) plan: Plan,
    /// The plan's machine, before anything has happened.
    pub(super) template: Machine,
    pub(super) wrong: Option<Wrong>,
    /// The dropped need, for [`Wrong::DropAnyNeed`].
    pub(super) dropped: Option<(&'static str, &'static str)>,
}

const NAMES: [&str; 3] = ["s0", "s1", "s2"];
const CONSUMERS: [&str; 3] = ["api", "job", "web"];

/// Seeds that share a plan, since compiling and hashing one costs as much as running it.
pub(super) const RUNS_PER_PLAN: u64 = 4;

impl Scenario {
    /// The case of which `seed` is one run.
    pub(super) fn of(seed: u64, wrong: Option<Wrong>) -> Self {
        let rng = &mut Rng::new(u64::MAX - seed / RUNS_PER_PLAN);
        let count = rng.pick(&[1, 1, 1, 1, 1, 1, 2, 2, 2, 3]);
        let secrets: Vec<SecretInput> = (0..count).map(|i| secret(rng, i)).collect();
        let input = PlanInput {
            incident: "INC-2026-0001".parse().unwrap(),
            revision: 1,
            strategy: (rng.pick(&[Strategy::KillFirst, Strategy::MakeBeforeBreak]), Vec::new()),
            secrets,
            approvals: Approvals {
                destructive: rng.pick(&[0, 0, 1, 2]),
                reversible: rng.pick(&[0, 0, 0, 0, 1, 2]),
            },
            leaked_in: if rng.chance(20) { leaked_in() } else { Vec::new() },
            channels: if rng.chance(30) { vec!["ops".to_owned()] } else { Vec::new() },
            warnings: Vec::new(),
            stop_after: 0,
            under_way: rng.pick(&[0, 0, 1, 2]),
        };
        let mut plan = compile(&input).unwrap();
        let mut dropped = None;
        if let Some(wrong) = wrong {
            dropped = spoil(&mut plan, rng, wrong);
        }
        let mut template = Machine::new(plan.clone());
        if let Some(Wrong::Machine(flaw)) = wrong {
            template.flaw = Some(flaw);
        }
        Self { input, plan, template, wrong, dropped }
    }

    pub(super) fn world(&self, rng: &mut Rng) -> World {
        World::new(&self.input, rng)
    }

    pub(super) fn count(&self, world: &World, coverage: &mut Coverage) {
        for (input, secret) in self.input.secrets.iter().zip(&world.secrets) {
            coverage.hit(match secret.order {
                Order::KillFirst => Seen::KillFirst,
                Order::MakeBeforeBreak => Seen::MakeBeforeBreak,
                Order::Shared => Seen::SharedValue,
                Order::RevokeOnly => Seen::RevokeOnly,
            });
            coverage.hit(match input.capabilities.valid_at_once {
                ValidAtOnce::One => Seen::ValidOne,
                ValidAtOnce::Two => Seen::ValidTwo,
                ValidAtOnce::Many => Seen::ValidMany,
                ValidAtOnce::AlternatePrincipals => Seen::ValidAlternate,
            });
            let flags = [
                (secret.issuer_chooses, Seen::IssuerChooses),
                (!secret.after.is_empty(), Seen::Depends),
                (secret.stores.is_empty(), Seen::NoStore),
                (secret.consumers.is_empty(), Seen::NoConsumer),
                (secret.naive, Seen::NaiveConnector),
            ];
            for (_, seen) in flags.into_iter().filter(|(is, _)| *is) {
                coverage.hit(seen);
            }
        }
        coverage.hit(match self.input.approvals.destructive {
            0 => Seen::NobodyApproves,
            1 => Seen::OneApproves,
            _ => Seen::TwoApprove,
        });
    }
}

fn secret(rng: &mut Rng, i: usize) -> SecretInput {
    let can_mint = !rng.chance(10);
    let stores = rng.pick(&[0, 1, 1, 1, 2, 3]);
    let consumers = rng.pick(&[0, 1, 1, 2, 2, 3]);
    let capabilities = Capabilities {
        chooser: if rng.chance(35) { Chooser::Issuer } else { Chooser::Client },
        valid_at_once: rng.pick(&[
            ValidAtOnce::One,
            ValidAtOnce::Two,
            ValidAtOnce::Many,
            ValidAtOnce::AlternatePrincipals,
        ]),
        sessions_survive: rng.chance(60),
        // A secret that can be neither replaced nor refused has no plan that works.
        can_disable: !can_mint || rng.chance(75),
        self_revocable: rng.chance(30),
        can_mint,
        can_probe: true,
        settle_ms: rng.pick(&[0, 1000, 5000]),
        refusals: vec!["28P01".to_owned()],
    };
    SecretInput {
        id: NAMES[i].parse().unwrap(),
        tier: rng.pick(&[Tier::Infrastructure, Tier::Service, Tier::Integration]),
        target: "issuer".to_owned(),
        capabilities,
        retires: rng.chance(40),
        overlap: if rng.chance(15) { Overlap::Never { why: "x" } } else { Overlap::Allowed },
        has_control: true,
        stores: (0..stores)
            .map(|_| StoreInput { target: "kv".to_owned(), lane: rng.chance(30).then(|| "kv".to_owned()) })
            .collect(),
        consumers: (0..consumers)
            .map(|c| ConsumerInput {
                name: CONSUMERS[c].to_owned(),
                reload: rng.chance(75).then(|| "reload".to_owned()),
                // Some are one process that reads several secrets.
                observe: if rng.chance(50) { "shared".to_owned() } else { format!("{i} {c}") },
            })
            .collect(),
        after: NAMES[..i].iter().filter(|_| rng.chance(50)).map(|n| n.parse().unwrap()).collect(),
        because: "leaked".to_owned(),
        tasks: if rng.chance(20) { tasks() } else { Vec::new() },
        lane: rng.chance(60).then(|| {
            let name = rng.pick(&["one", "two"]);
            (name.to_owned(), Lane { at_once: if name == "one" { 1 } else { 2 }, interval_ms: 0 })
        }),
    }
}

/// People make a new one, and then tell others.
fn tasks() -> Vec<Task> {
    let task = |name: &str| Task {
        name: name.to_owned(),
        when: TaskTime::Renew,
        what: "do it".to_owned(),
        why: "only people can".to_owned(),
    };
    vec![task("consent"), task("tell")]
}

fn leaked_in() -> Vec<ChannelInput> {
    use ChannelAct::{Lock, Preserve, Remove, Scan, Unlock};
    let acts = vec![Lock, Preserve, Remove, Scan, Unlock];
    vec![ChannelInput {
        name: "forge".to_owned(),
        target: "the forge".to_owned(),
        acts,
        lock: "nobody can push".to_owned(),
    }]
}

/// Takes needs out of a compiled plan.
fn spoil(plan: &mut Plan, rng: &mut Rng, wrong: Wrong) -> Option<(&'static str, &'static str)> {
    let kinds: Vec<_> = plan.steps.iter().map(|s| (s.id.clone(), Deed::word(&s.action))).collect();
    let kind = |id: &crate::id::StepId| kinds.iter().find(|(i, _)| i == id).map_or("", |(_, k)| *k);
    match wrong {
        Wrong::DropNeeds(of, need) => {
            for step in plan.steps.iter_mut().filter(|s| Deed::word(&s.action) == of) {
                step.needs.retain(|n| kind(n) != need);
            }
            Some((of, need))
        }
        Wrong::DropAnyNeed => {
            let edges: usize = plan.steps.iter().map(|s| s.needs.len()).sum();
            let mut left = rng.below(edges);
            for step in &mut plan.steps {
                if left < step.needs.len() {
                    let need = step.needs.remove(left);
                    return Some((Deed::word(&step.action), kind(&need)));
                }
                left -= step.needs.len();
            }
            None
        }
        Wrong::SoftenClasses => {
            for step in &mut plan.steps {
                step.class = Class::Reversible;
            }
            None
        }
        Wrong::Machine(_) | Wrong::ActBeforeCommit | Wrong::AppendBlindly | Wrong::RollBack => None,
    }
}

impl Deed {
    pub(super) fn word(action: &StepAction) -> &'static str {
        match action {
            StepAction::Capture => "capture",
            StepAction::Look => "look",
            StepAction::Mint => "mint",
            StepAction::Install => "install",
            StepAction::ProbeNew => "probe-new",
            StepAction::WriteStore { .. } => "store",
            StepAction::Reload { .. } => "reload",
            StepAction::Confirm { .. } => "confirm",
            StepAction::Disable => "disable",
            StepAction::Sever => "sever",
            StepAction::ProveRefused => "prove-refused",
            StepAction::Prove => "prove",
            StepAction::Purge { .. } => "purge",
            StepAction::Retire => "retire",
            StepAction::Person { .. } => "person",
            StepAction::Channel { act, .. } => act.word(),
            StepAction::Notify { .. } => "notify",
        }
    }
}
