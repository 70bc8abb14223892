//! The one compiler: capabilities + strategy + inventory graph → ordered steps. No order is written per kind.

mod chain;
mod channel;

use std::collections::{BTreeMap, BTreeSet};

use self::chain::Chain;
use super::step::{
    Approvals, CONTAINED, ChannelAct, Class, FIRST_RESPONSE, Lane, OPENED, Plan, STEPS_MAX, Step, StepAction,
    Strategy,
};
use crate::exposure::Audience;
use crate::id::{IncidentId, SecretId, StepId};
use crate::inventory::{StrategyPolicy, Tier};
use crate::issuer::{Capabilities, Overlap, Task, TaskTime, ValidAtOnce};
use crate::severity::{Evidence, Signal};

/// A store as the compiler sees it.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct StoreInput {
    /// In words.
    pub target: String,
    /// The place whose limits it shares with other stores: the keys of one document are written one after the other.
    pub lane: Option<String>,
}

/// A consumer as the compiler sees it.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct ConsumerInput {
    /// Its name.
    pub name: String,
    /// How it is reloaded, in words; none when it picks values up by itself.
    pub reload: Option<String>,
    /// How it is observed, in words.
    pub observe: String,
}

/// A secret as the compiler sees it.
#[derive(Clone, Debug)]
pub struct SecretInput {
    /// Its id.
    pub id: SecretId,
    /// Order in a mass rotation.
    pub tier: Tier,
    /// The issuer in words.
    pub target: String,
    /// What the issuer can do.
    pub capabilities: Capabilities,
    /// The issuer keeps what it refuses, and can delete it (an inactive access key).
    pub retires: bool,
    /// Whether old and new may be valid at the same time.
    pub overlap: Overlap,
    /// Another principal can serve as control before a successor exists.
    pub has_control: bool,
    /// Where consumers read it.
    pub stores: Vec<StoreInput>,
    /// What breaks.
    pub consumers: Vec<ConsumerInput>,
    /// Secrets that must be done first (`depends_on`, and those whose stored value this one's issuer needs).
    pub after: Vec<SecretId>,
    /// Why it is in the plan: leaked, or reached from a leaked one.
    pub because: String,
    /// The system whose limits it shares with other secrets: its name, and what it bears.
    pub lane: Option<(String, Lane)>,
    /// What only people can do at its issuer.
    pub tasks: Vec<Task>,
}

impl SecretInput {
    /// Nothing but people can end it: no machine can, and none can prove it.
    fn is_ended_by_people(&self) -> bool {
        !self.capabilities.can_disable
            && !self.capabilities.can_mint
            && self.tasks.iter().any(|task| task.when == TaskTime::End)
    }
}

/// A place where it leaked, as the compiler sees it.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct ChannelInput {
    /// Its name in the inventory.
    pub name: String,
    /// In words.
    pub target: String,
    /// What can be done there.
    pub acts: Vec<ChannelAct>,
    /// What a lock stops, in words: nobody can push.
    pub lock: String,
}

/// Everything that a plan is made from.
#[derive(Clone, Debug)]
pub struct PlanInput {
    /// For which incident.
    pub incident: IncidentId,
    /// Which revision.
    pub revision: u32,
    /// Chosen strategy and why.
    pub strategy: (Strategy, Vec<String>),
    /// The secrets.
    pub secrets: Vec<SecretInput>,
    /// How many approvals.
    pub approvals: Approvals,
    /// Channels to tell, by name.
    pub channels: Vec<String>,
    /// Where it leaked.
    pub leaked_in: Vec<ChannelInput>,
    /// Things an operator must know.
    pub warnings: Vec<String>,
    /// After so many secrets of which a step gave up, no further one is begun. 0: never.
    pub stop_after: u32,
    /// With make-before-break so many secrets are under way at the same time, at most. 0: no limit.
    pub under_way: u32,
}

/// Why no plan can be made.
#[derive(Clone, Debug, Eq, PartialEq, thiserror::Error)]
pub enum CannotPlan {
    /// Nothing to do.
    #[error("the incident names no secret of the inventory")]
    NoSecret,
    /// An id would be too long.
    #[error("a step of `{0}` would get an unusable id; shorten the secret's or consumer's name")]
    BadStepId(SecretId),
    /// It could be killed and never proven dead.
    #[error(
        "`{0}` cannot be tried as its bearer would, so nothing could be proven; give the secret an issuer that can probe it"
    )]
    CannotProve(SecretId),
    /// Neither way to end the old value exists.
    #[error("the issuer of `{0}` can neither disable the old value nor replace it")]
    CannotKill(SecretId),
    /// Too big.
    #[error("the plan would have more than {STEPS_MAX} steps")]
    TooLarge,
    /// The order goes round in a circle: each needs the next, and the last one is the first again.
    #[error("secrets need each other in a circle: {}", words(.0))]
    Circle(Vec<SecretId>),
}

fn words(circle: &[SecretId]) -> String {
    circle.iter().map(SecretId::as_str).collect::<Vec<_>>().join(" needs ")
}

/// Picks the strategy. Public exposure of a live production secret, or any sign of use, means kill-first unless
/// policy or an approver says otherwise.
pub fn choose_strategy(
    evidence: &Evidence,
    policy: StrategyPolicy,
    asked: Option<(Strategy, &str)>,
) -> (Strategy, Vec<String>) {
    if let Some((strategy, by)) = asked {
        return (strategy, vec![format!("{by} chose {}", strategy.word())]);
    }
    match policy {
        StrategyPolicy::KillFirst => {
            return (Strategy::KillFirst, vec!["policy.strategy is kill-first".to_owned()]);
        }
        StrategyPolicy::MakeBeforeBreak => {
            return (Strategy::MakeBeforeBreak, vec!["policy.strategy is make-before-break".to_owned()]);
        }
        StrategyPolicy::Auto => {}
    }
    let has = |signal| evidence.signals.contains(&signal);
    let mut why = Vec::new();
    if has(Signal::UsedByUnknown) {
        why.push("there is a sign of use by somebody unknown: every minute of validity is worth more than an outage".to_owned());
    }
    let public = has(Signal::Public) || evidence.exposures.iter().any(|e| e.audience == Audience::Public);
    let dead = has(Signal::NotLive) && !has(Signal::Live);
    if public && evidence.production && !dead {
        why.push("a production secret that counts as live is exposed publicly".to_owned());
    }
    if why.is_empty() {
        let words = "exposure is limited and there is no sign of use: consumers are moved before the old value is killed";
        (Strategy::MakeBeforeBreak, vec![words.to_owned()])
    } else {
        (Strategy::KillFirst, why)
    }
}

/// Compiles a plan.
pub fn compile(input: &PlanInput) -> Result<Plan, CannotPlan> {
    if input.secrets.is_empty() {
        return Err(CannotPlan::NoSecret);
    }
    refuse_what_cannot_end(input)?;
    let order = order(&input.secrets)?;
    let mut steps: Vec<Step> = Vec::new();
    for channel in &input.channels {
        steps.push(notice(input, channel, OPENED, &[])?);
    }
    for channel in &input.leaked_in {
        steps.extend(channel::at_once(input, channel)?);
    }
    let mut last: BTreeMap<SecretId, (Vec<StepId>, u32)> = BTreeMap::new();
    let (mut proofs, mut by_people) = (Vec::new(), Vec::new());
    let mut seen: BTreeMap<String, StepId> = BTreeMap::new();
    let mut lanes = BTreeMap::new();
    for secret in &order {
        let before = || secret.after.iter().filter_map(|id| last.get(id));
        let inherited = before().map(|(_, wave)| *wave).fold(own_wave(input, &order, secret), u32::max);
        // One that is killed first whatever the others do has no wave: later ones would wait for it, and it for a consumer that it shares with
        // them. What depends on it comes after what it depends on.
        let switch = match strategy(input, secret) {
            Strategy::KillFirst => 0,
            Strategy::MakeBeforeBreak => inherited,
        };
        let mut before: Vec<StepId> = before().flat_map(|(usable, _)| usable).cloned().collect();
        let shared = shared_with_earlier(secret, &seen);
        // With kill-first nobody waits with the killing; what is looked at waits.
        if strategy(input, secret) == Strategy::MakeBeforeBreak {
            before.extend(shared.iter().filter(|s| !before.contains(s)).cloned().collect::<Vec<_>>());
        }
        let looks = order.len() > 1 && shares(secret, &order);
        let late =
            strategy(input, secret) == Strategy::KillFirst || needs_what_ends_at_once(input, &order, secret);
        let stage = if late { switch } else { switch.min(STAGE) };
        let mut chain =
            Chain { input, secret, before, shared, looks, stage, switch, wave: stage, steps: Vec::new() };
        let done = chain.build()?;
        last.insert(secret.id.clone(), (done.usable, inherited));
        if secret.is_ended_by_people() {
            by_people.push(done.proof)
        } else {
            proofs.push(done.proof)
        }
        for consumer in &secret.consumers {
            let confirmed = |s: &&Step| s.action == StepAction::Confirm { consumer: consumer.name.clone() };
            if let Some(step) = chain.steps.iter().find(confirmed) {
                seen.insert(consumer.observe.clone(), step.id.clone());
            }
        }
        lanes.extend(secret.stores.iter().filter_map(|s| Some((s.lane.clone()?, ONE_WRITER))));
        steps.extend(chain.steps);
        lanes.extend(secret.lane.clone());
    }
    // Nobody waits for people, unless there is nobody else.
    if proofs.is_empty() {
        proofs = by_people;
    }
    steps.extend(notices(input, &steps, &proofs)?);
    steps.extend(where_it_leaked(input, &steps, &proofs)?);
    if steps.len() > STEPS_MAX {
        return Err(CannotPlan::TooLarge);
    }
    Ok(Plan {
        incident: input.incident,
        revision: input.revision,
        strategy: input.strategy.0,
        reasons: reasons(input, &order),
        warnings: input.warnings.clone(),
        inventory: String::new(),
        secrets: order.iter().map(|s| s.id.clone()).collect(),
        steps,
        lanes,
        stop_after: if order.len() > 1 { input.stop_after } else { 0 },
        under_way: match input.strategy.0 {
            Strategy::MakeBeforeBreak if order.len() > 1 => input.under_way,
            Strategy::MakeBeforeBreak | Strategy::KillFirst => 0,
        },
    })
}

/// What could never be proven dead, or not be ended at all, gets no plan.
fn refuse_what_cannot_end(input: &PlanInput) -> Result<(), CannotPlan> {
    for secret in input.secrets.iter().filter(|secret| !secret.is_ended_by_people()) {
        if !secret.capabilities.can_probe {
            return Err(CannotPlan::CannotProve(secret.id.clone()));
        }
        if !secret.capabilities.can_disable && !secret.capabilities.can_mint {
            return Err(CannotPlan::CannotKill(secret.id.clone()));
        }
    }
    Ok(())
}

/// What channels are told after the first notice. Each waits for the one before it at the same channel, so that none is overtaken: a page that is
/// resolved before it is opened stays open. One that failed holds nobody.
fn notices(input: &PlanInput, before: &[Step], proofs: &[StepId]) -> Result<Vec<Step>, CannotPlan> {
    let of_secrets = || before.iter().filter(|step| step.secret.is_some());
    // Where people approve, nobody has responded before they did: a pager goes on ringing. People's own steps may take a day, so they are
    // waited for only where there is nobody else.
    let proves = |step: &Step| matches!(step.action, StepAction::Prove | StepAction::ProveRefused);
    let approved = of_secrets().take_while(|s| !proves(s)).find(|s| s.approvals > 0 && !s.is_for_people());
    let by_machine = || of_secrets().find(|step| !step.is_for_people());
    let first = approved.or_else(by_machine).or_else(|| of_secrets().next());
    let mut steps = Vec::new();
    for channel in &input.channels {
        let needs = [Some(notice_id(input, channel, OPENED)?), first.map(|step| step.id.clone())];
        steps.push(notice(input, channel, FIRST_RESPONSE, &needs.into_iter().flatten().collect::<Vec<_>>())?);
        let mut needs = proofs.to_vec();
        needs.push(notice_id(input, channel, OPENED)?);
        needs.push(notice_id(input, channel, FIRST_RESPONSE)?);
        steps.push(notice(input, channel, CONTAINED, &needs)?);
    }
    Ok(steps)
}

/// What is done at the places where it leaked, but for their locks.
fn where_it_leaked(input: &PlanInput, before: &[Step], proofs: &[StepId]) -> Result<Vec<Step>, CannotPlan> {
    let captures: Vec<StepId> =
        before.iter().filter(|s| s.action == StepAction::Capture).map(|s| s.id.clone()).collect();
    let mut steps = Vec::new();
    for channel in &input.leaked_in {
        steps.extend(channel::when_captured(input, channel, &captures)?);
        steps.extend(channel::when_rotated(input, channel, proofs)?);
    }
    Ok(steps)
}

/// The order of one secret: the plan's, unless its old value may not be valid beside the new one.
fn strategy(input: &PlanInput, secret: &SecretInput) -> Strategy {
    match secret.overlap {
        Overlap::Never { .. } if secret.capabilities.can_disable => Strategy::KillFirst,
        Overlap::Never { .. } | Overlap::Allowed => input.strategy.0,
    }
}

/// The reasons of the plan's strategy, and of each secret that has another one.
fn reasons(input: &PlanInput, order: &[&SecretInput]) -> Vec<String> {
    let mut reasons = input.strategy.1.clone();
    for secret in order {
        if let Overlap::Never { why } = &secret.overlap
            && strategy(input, secret) != input.strategy.0
        {
            reasons.push(format!("`{}` is killed first all the same: {why}", secret.id));
        }
    }
    reasons
}

/// Two that write one place at the same moment only keep each other from it.
const ONE_WRITER: Lane = Lane { at_once: 1, interval_ms: 0 };

/// A consumer of it is observed where a consumer of another secret of the plan is: it is likely the same process.
fn shares(secret: &SecretInput, all: &[&SecretInput]) -> bool {
    let others = all.iter().filter(|other| other.id != secret.id);
    others
        .flat_map(|other| &other.consumers)
        .any(|c| secret.consumers.iter().any(|own| own.observe == c.observe))
}

/// The confirmations of the last secret before this one, for each consumer that both have.
fn shared_with_earlier(secret: &SecretInput, seen: &BTreeMap<String, StepId>) -> Vec<StepId> {
    let mut shared: Vec<StepId> =
        secret.consumers.iter().filter_map(|consumer| seen.get(&consumer.observe).cloned()).collect();
    shared.sort();
    shared.dedup();
    shared
}

/// The wave in which successors are made, where there is more than one secret.
const STAGE: u32 = 1;

/// It depends on a secret whose old value ends before stores have the successor, in the instant in which that is set or because it may not
/// overlap: nothing of this one is begun in between.
fn needs_what_ends_at_once(input: &PlanInput, order: &[&SecretInput], secret: &SecretInput) -> bool {
    let one = |s: &&&SecretInput| {
        s.capabilities.valid_at_once == ValidAtOnce::One || strategy(input, s) == Strategy::KillFirst
    };
    order.iter().filter(one).any(|s| secret.after.contains(&s.id))
}

/// The wave in which consumers of a secret are moved. With make-before-break every successor is made first, where
/// that breaks nothing; then one tier goes after the other. With kill-first nobody waits for anybody but what he
/// needs: all of it is down already, and the order of tiers is only who comes first where a system is busy.
fn own_wave(input: &PlanInput, order: &[&SecretInput], secret: &SecretInput) -> u32 {
    if order.len() < 2 || input.strategy.0 == Strategy::KillFirst {
        return 0;
    }
    let earlier: BTreeSet<Tier> = order.iter().map(|s| s.tier).filter(|t| *t < secret.tier).collect();
    STAGE + 1 + u32::try_from(earlier.len()).unwrap_or(0)
}

/// Topological order, and by tier (infrastructure → service → integration → human) among those that are free.
fn order(secrets: &[SecretInput]) -> Result<Vec<&SecretInput>, CannotPlan> {
    let present: BTreeSet<&SecretId> = secrets.iter().map(|s| &s.id).collect();
    let mut left: Vec<&SecretInput> = secrets.iter().collect();
    left.sort_by(|a, b| (a.tier, &a.id).cmp(&(b.tier, &b.id)));
    let mut done: BTreeSet<&SecretId> = BTreeSet::new();
    let mut out = Vec::new();
    while !left.is_empty() {
        let free = left.iter().position(|s| s.after.iter().all(|a| !present.contains(a) || done.contains(a)));
        let Some(free) = free else { return Err(CannotPlan::Circle(circle(&left))) };
        let secret = left.remove(free);
        done.insert(&secret.id);
        out.push(secret);
    }
    Ok(out)
}

/// One circle among secrets of which none is free: the first one again at the end.
fn circle(left: &[&SecretInput]) -> Vec<SecretId> {
    let mut path: Vec<&SecretInput> = left.first().copied().into_iter().collect();
    // Each of them needs another one of them, so this ends at one that was passed before.
    while let Some(next) = path.last().and_then(|at| left.iter().find(|s| at.after.contains(&s.id)).copied())
    {
        if let Some(begin) = path.iter().position(|s| s.id == next.id) {
            return path.iter().skip(begin).chain([&next]).map(|s| s.id.clone()).collect();
        }
        path.push(next);
    }
    path.iter().map(|s| s.id.clone()).collect()
}

/// Longest time for one attempt at a call to an outside system.
const CALL_MS: u64 = 30_000;

fn notice_id(input: &PlanInput, channel: &str, notice: &str) -> Result<StepId, CannotPlan> {
    let bad = || CannotPlan::BadStepId(input.secrets.first().map_or_else(nobody, |s| s.id.clone()));
    format!("notice.{notice}.{channel}").parse().map_err(|_e| bad())
}

fn notice(input: &PlanInput, channel: &str, notice: &str, needs: &[StepId]) -> Result<Step, CannotPlan> {
    let what = match notice {
        FIRST_RESPONSE => format!("tell `{channel}` that the response has begun"),
        _ => format!("tell `{channel}` that the incident is {notice}"),
    };
    Ok(Step {
        id: notice_id(input, channel, notice)?,
        secret: None,
        action: StepAction::Notify { channel: channel.to_owned(), notice: notice.to_owned() },
        needs: needs.to_vec(),
        class: Class::Reversible,
        approvals: 0,
        what,
        why: "people must know; a channel that is down never stops the plan".to_owned(),
        breaks: None,
        limit_ms: CALL_MS,
        max_attempts: 4,
        best_effort: true,
        wave: 0,
        lane: None,
    })
}

#[expect(clippy::expect_used, reason = "a constant slug")]
fn nobody() -> SecretId {
    "unknown".parse().expect("a constant slug")
}

#[cfg(test)]
mod tests;
