//! What must hold, each as one pure function. `Err` says what was seen instead.

use jiff::Timestamp;

use super::books::Books;
use super::world::{Deed, Effect, OLD, Order, Secret, World};
use crate::outcome::Outcome;
use crate::plan::{ChannelAct, Class, Flow, Machine, Phase, StepEvent, StepState};

/// The name of an invariant.
#[derive(Clone, Copy, Debug, Eq, Ord, PartialEq, PartialOrd)]
pub(super) enum Id {
    /// No effect without a durable intent.
    P1,
    /// Nothing starts before what it needs.
    P2,
    /// Enough different people approved exactly this plan, and their word was still good.
    P3,
    /// After an unknown outcome comes an observation.
    P4,
    /// The ledger alone gives the same machine.
    P5,
    /// A late, repeated or foreign report changes nothing.
    P6,
    /// A compromised value has no way back, and purge leaves no copy.
    P7,
    /// One successor: never a second one minted or live.
    P8,
    /// The strategy's order holds in the world.
    P9,
    /// Each attempt has one owner and is executed once.
    P10,
    /// When faults stop and people help, it ends, and everything is inert.
    P11,
    /// Whatever is running or put off wakes up by itself.
    P12,
    /// A failed step blocks its dependants and nothing else.
    P13,
    /// What ends the old value is a destructive step, so that its approvals are asked.
    P14,
    /// Nobody's word stands in for a proof or for what later steps use.
    P15,
    /// Nothing is changed before the old value is captured; nothing that does not work reaches a store.
    P16,
    /// No credential is used after the step that kills it.
    P17,
    /// No system is asked for more at once than it bears.
    P18,
    /// Nothing is switched while a successor could still be made in an earlier wave.
    P19,
    /// What leaked is taken away only after it was preserved; nothing is unlocked before everything is inert and scanned.
    P20,
}

pub(super) const ALL: &[Id] = &[
    Id::P1,
    Id::P2,
    Id::P3,
    Id::P4,
    Id::P5,
    Id::P6,
    Id::P7,
    Id::P8,
    Id::P9,
    Id::P10,
    Id::P11,
    Id::P12,
    Id::P13,
    Id::P14,
    Id::P15,
    Id::P16,
    Id::P17,
    Id::P18,
    Id::P19,
    Id::P20,
];

pub(super) type Verdict = Result<(), String>;

fn must(holds: bool, what: impl FnOnce() -> String) -> Verdict {
    if holds { Ok(()) } else { Err(what()) }
}

/// At the begin and at the landing of every effect.
pub(super) fn p1(books: &Books, step: usize, attempt: u32, phase: Phase) -> Verdict {
    let at = usize::try_from(attempt).unwrap();
    must(at > 0 && books.steps[step].started.get(at - 1) == Some(&phase), || {
        format!("{phase:?} {attempt} of step {step} is carried out, and the ledger does not intend it")
    })
}

pub(super) fn p2(books: &Books, i: usize, event: &StepEvent) -> Verdict {
    let begins = performs(event) || matches!(event, StepEvent::HandedOver { .. });
    let open = if begins { books.open_before(i) } else { None };
    // A person may ask for another try of what was only tried, when this has begun already: it goes on.
    let goes_on = |n: &usize| !books.steps[i].started.is_empty() && books.steps[*n].best_effort;
    let open = open.filter(|n| !goes_on(n));
    must(open.is_none(), || format!("step {i} starts, and step {open:?} is open"))
}

pub(super) fn p3(books: &Books, i: usize, event: &StepEvent, at: Timestamp) -> Verdict {
    let step = &books.steps[i];
    let good = step.grants.iter().filter(|(_, until)| *until > at).count();
    must(!performs(event) || good >= usize::from(step.approvals), || {
        format!("step {i} performs with {good} of {} approvals at {at}", step.approvals)
    })
}

pub(super) fn p4(books: &Books, i: usize, event: &StepEvent) -> Verdict {
    must(!performs(event) || !books.steps[i].doubt, || {
        format!("step {i} performs again, and nobody has looked since the outcome is unknown")
    })
}

/// The writer's machine against one that only ever read the ledger.
pub(super) fn p5(live: &Machine, replayed: &Machine, books: &Books) -> Verdict {
    must(live.same_state(replayed), || {
        let pairs = live.states().zip(replayed.states());
        let other = pairs.into_iter().find(|((_, a), (_, b))| a != b);
        other.map_or_else(
            || "they differ in counters, approvals or requests".to_owned(),
            |((s, a), (_, b))| format!("{}: live {a:?}, replayed {b:?}", s.id),
        )
    })?;
    let odd = live.states().enumerate().find(|(i, (_, state))| !books.agrees(*i, state));
    must(odd.is_none(), || {
        format!("the ledger tells another story: {:?}", odd.map(|(_, (s, st))| (&s.id, st)))
    })
}

/// Every `Finished` and `Lost` ends the attempt that runs.
pub(super) fn p6(books: &Books, i: usize, event: &StepEvent) -> Verdict {
    let running = books.steps[i].running;
    let fits = match event {
        StepEvent::Finished { attempt, phase, .. } => running == Some((*attempt, *phase)),
        StepEvent::Lost { attempt, .. } => running.is_some_and(|(a, _)| a == *attempt),
        StepEvent::Started { .. }
        | StepEvent::ApprovalRequested { .. }
        | StepEvent::ApprovalGranted { .. }
        | StepEvent::ApprovalRefused { .. }
        | StepEvent::HandedOver { .. }
        | StepEvent::Retried { .. }
        | StepEvent::Skipped { .. }
        | StepEvent::Resolved { .. } => true,
    };
    must(fits, || format!("{event:?} ends an attempt, and {running:?} runs"))
}

/// A machine that knows the whole ledger takes a report of the running attempt and no other.
pub(super) fn p6_refused(books: &Books, report: (Option<usize>, u32, Phase), taken: bool) -> Verdict {
    let (step, attempt, phase) = report;
    let runs = step.is_some_and(|i| books.steps[i].running == Some((attempt, phase)));
    must(runs == taken, || format!("report {report:?} was taken: {taken}, and it runs: {runs}"))
}

/// At every moment.
pub(super) fn p7(secret: &Secret) -> Verdict {
    must(!(secret.died && secret.old_valid), || "the compromised value is accepted again".to_owned())?;
    let kept = secret.stores.iter().find(|s| s.purged && s.versions.contains(&OLD));
    must(kept.is_none(), || format!("a purged store holds {:?}", kept.map(|s| &s.versions)))
}

/// Before the effect lands: purging and deleting wait for the proof, since until then somebody may need the old value.
pub(super) fn p7_landing(secret: &Secret, deed: Deed) -> Verdict {
    let needless =
        !matches!(deed, Deed::Purge(_) | Deed::Retire) || (!secret.old_valid && secret.sessions == 0);
    must(needless, || "copies are destroyed before the old value is proven inert".to_owned())
}

/// At every moment.
pub(super) fn p8(secret: &Secret) -> Verdict {
    must(secret.live.len() <= 1 && secret.mints <= 1, || {
        format!("{} minted, live are {:?}", secret.mints, secret.live)
    })
}

/// Before the effect lands.
pub(super) fn p9_landing(secret: &Secret, deed: Deed) -> Verdict {
    let makes = deed == Deed::Install || (deed == Deed::Mint && secret.issuer_chooses);
    let stored = || secret.stores.iter().all(|s| s.current().is_some_and(|v| secret.live.contains(&v)));
    let moved = || secret.consumers.iter().all(|c| secret.live.contains(&c.uses)) && stored();
    match secret.order {
        Order::KillFirst => must(!makes || (!secret.old_valid && secret.sessions == 0), || {
            "kill-first: a successor is made before the old value is refused".to_owned()
        }),
        Order::MakeBeforeBreak if deed == Deed::Disable && secret.old_valid => {
            must(secret.by_hand || moved(), || {
                "make-before-break: the old value is refused, and a consumer still uses it".to_owned()
            })
        }
        Order::Shared if deed == Deed::Sever && secret.sessions > 0 => {
            must(secret.by_hand || moved(), || {
                "sessions are ended, and a consumer is not on the successor".to_owned()
            })
        }
        Order::MakeBeforeBreak | Order::Shared | Order::RevokeOnly => Ok(()),
    }
}

pub(super) fn p10(books: &Books, i: usize, event: &StepEvent) -> Verdict {
    let StepEvent::Started { attempt, .. } = event else { return Ok(()) };
    let step = &books.steps[i];
    let next = step.started.len() + 1;
    must(step.running.is_none() && usize::try_from(*attempt) == Ok(next), || {
        format!("attempt {attempt} of step {i} starts; {next} would be next, {:?} runs", step.running)
    })
}

/// When the driver carries an attempt out.
pub(super) fn p10_executed(books: &Books, step: usize, attempt: u32) -> Verdict {
    let at = usize::try_from(attempt).unwrap();
    let times = books.steps[step].executed.get(at).copied().unwrap_or_default();
    must(times <= 1, || format!("attempt {attempt} of step {step} is carried out {times} times"))
}

/// At the very end.
pub(super) fn p11(machine: &Machine, world: &World, rounds: usize) -> Verdict {
    let open = || machine.states().find(|(_, s)| !s.satisfies()).map(|(s, st)| (&s.id, st));
    must(machine.is_done(), || format!("not done after {rounds} calm rounds: {:?}", open()))?;
    world.secrets.iter().enumerate().try_for_each(|(i, s)| s.inert().map_err(|e| format!("secret {i}: {e}")))
}

/// At every moment.
pub(super) fn p12(machine: &Machine) -> Verdict {
    let mut first: Option<Timestamp> = None;
    for (_, state) in machine.states() {
        if let StepState::Running { deadline: at, .. } | StepState::Deferred { until: at, .. } = state {
            first = Some(first.map_or(*at, |f| f.min(*at)));
        }
    }
    let wakes = machine.poll_timeout();
    // A system that said "not before" may put it off, and its lane may wake for nobody.
    let in_time = match (wakes, first) {
        (Some(at), Some(due)) => at <= due.max(machine.lanes_free()),
        (None, Some(_)) => false,
        (Some(at), None) => at <= machine.lanes_free(),
        (None, None) => true,
    };
    must(in_time && machine.is_idle() == wakes.is_none(), || {
        format!("wakes at {wakes:?}, and something is due at {first:?}")
    })
}

/// When faults have stopped, nothing moves any more and nobody has helped yet.
pub(super) fn p13(machine: &Machine, books: &Books) -> Verdict {
    let mut blocked = vec![false; books.steps.len()];
    // What was only tried and failed blocks nobody; what is before it may.
    let mut blocks = blocked.clone();
    let mut asking = vec![false; books.steps.len()];
    let asks = |state: &StepState| matches!(state, StepState::AwaitingApproval | StepState::WithPeople);
    for (i, (_, state)) in machine.states().enumerate() {
        asking[i] = asks(state) || books.steps[i].needs.iter().any(|n| asking[*n]);
    }
    for (i, (step, state)) in machine.states().enumerate() {
        let people = matches!(state, StepState::Failed { .. }) || asks(state);
        // Whoever could still say yes to an earlier wave keeps the later ones waiting.
        let earlier = |n: usize| {
            let other = &books.steps[n];
            asking[n] && other.wave > 0 && other.wave < books.steps[i].wave && !other.tidies
        };
        // Nor is anybody begun while those under way, who wait for people, take all the room.
        let crowded = machine.plan().under_way > 0 && asking.contains(&true);
        let behind = books.steps[i].needs.iter().any(|n| blocks[*n]);
        blocked[i] = people
            || behind
            || (0..books.steps.len()).any(earlier)
            || crowded && step.switches() && *state == StepState::Waiting;
        let tried = step.best_effort && matches!(state, StepState::Failed { .. });
        blocks[i] = if tried { behind } else { blocked[i] };
        must(blocked[i] || state.satisfies(), || {
            format!("{} is {state:?}, and nothing that it needs has failed", step.id)
        })?;
    }
    Ok(())
}

/// After the effect landed, `was` being how it stood before.
pub(super) fn p14(was_valid: bool, now: &Secret, class: Class) -> Verdict {
    must(!was_valid || now.old_valid || class == Class::Destructive, || {
        format!("a {class:?} step ended the old value")
    })
}

pub(super) fn p15(books: &Books, i: usize, event: &StepEvent) -> Verdict {
    let word = matches!(event, StepEvent::Skipped { .. } | StepEvent::Resolved { .. });
    must(!(word && books.steps[i].essential), || format!("{event:?}"))
}

/// Before the effect lands.
pub(super) fn p16_landing(secret: &Secret, deed: Deed, value: Option<u32>) -> Verdict {
    let changes = matches!(
        deed,
        Deed::Mint
            | Deed::Install
            | Deed::WriteStore(_)
            | Deed::Disable
            | Deed::Sever
            | Deed::Purge(_)
            | Deed::Retire
    );
    must(secret.captured || !changes, || format!("{deed:?} before the old value is captured"))?;
    let dud = matches!(deed, Deed::WriteStore(_)) && value.is_some_and(|v| !secret.live.contains(&v));
    must(!dud || secret.by_hand, || "a value that does not work reaches a store".to_owned())
}

/// Before the effect lands at the place where it leaked.
pub(super) fn p20_landing(world: &World, effect: Effect) -> Verdict {
    let by_hand = world.secrets.iter().any(|s| s.by_hand);
    if effect.deed == Deed::Channel(ChannelAct::Remove) {
        return must(world.forge.preserved, || "it is taken away, and nothing was preserved".to_owned());
    }
    let unlocks = effect.deed == Deed::Channel(ChannelAct::Unlock) && !by_hand;
    let lives = world.secrets.iter().position(|s| s.old_valid || s.sessions > 0);
    must(!unlocks || lives.is_none(), || format!("unlocked, and secret {lives:?} is not inert"))
}

/// Before the effect lands: what this secret's issuer is reached with must work.
pub(super) fn p17_landing(world: &World, effect: Effect) -> Verdict {
    let Some(secret) = effect.secret else { return Ok(()) };
    for needed in world.secrets[secret].after.iter().map(|a| &world.secrets[*a]) {
        if needed.by_hand || needed.order == Order::RevokeOnly {
            continue;
        }
        let held = needed.stores.first().and_then(super::world::Store::current);
        let works = |v| needed.live.contains(&v) || (v == OLD && needed.old_valid);
        // Until something is switched, what it depends on may still be as it was.
        let staging = matches!(effect.deed, Deed::Capture | Deed::Mint | Deed::Install | Deed::ProbeNew);
        let early = staging && needed.order == Order::MakeBeforeBreak;
        must(held.is_none_or(works) && (early || held != Some(OLD)), || {
            format!("it logs in with value {held:?} of a secret it depends on")
        })?;
    }
    Ok(())
}

pub(super) fn p18(books: &Books, i: usize, event: &StepEvent) -> Verdict {
    let Some((lane, bears)) =
        books.steps[i].lane.clone().filter(|_| matches!(event, StepEvent::Started { .. }))
    else {
        return Ok(());
    };
    let same = |s: &&super::books::Entry| s.lane.as_ref().is_some_and(|(name, _)| *name == lane);
    let busy = books.steps.iter().filter(same).filter(|s| s.running.is_some()).count();
    must(busy < usize::from(bears), || format!("step {i} starts, and {busy} run in lane {lane} already"))
}

/// A step of a later wave: nobody of the waves before it is open who could still end by himself.
pub(super) fn p19(books: &Books, i: usize, event: &StepEvent) -> Verdict {
    let step = &books.steps[i];
    if step.wave == 0 || !performs(event) {
        return Ok(());
    }
    let first_of_its =
        !books.steps.iter().any(|s| s.secret == step.secret && s.wave == step.wave && !s.started.is_empty());
    if !first_of_its {
        return Ok(());
    }
    let open = (0..books.steps.len()).find(|n| {
        let other = &books.steps[*n];
        other.wave > 0 && other.wave < step.wave && !other.tidies && !other.satisfied && !books.is_stuck(*n)
    });
    must(open.is_none(), || format!("step {i} of wave {} starts, and step {open:?} is open", step.wave))
}

fn performs(event: &StepEvent) -> bool {
    matches!(event, StepEvent::Started { phase: Phase::Perform, .. })
}

/// All that are asked before an event is taken into the books.
pub(super) fn of_event(books: &Books, event: &StepEvent, at: Timestamp) -> Vec<(Id, Verdict)> {
    let Some(i) = books.index.get(event.step()).copied() else { return Vec::new() };
    vec![
        (Id::P2, p2(books, i, event)),
        (Id::P3, p3(books, i, event, at)),
        (Id::P4, p4(books, i, event)),
        (Id::P6, p6(books, i, event)),
        (Id::P10, p10(books, i, event)),
        (Id::P15, p15(books, i, event)),
        (Id::P18, p18(books, i, event)),
        (Id::P19, p19(books, i, event)),
        (Id::P4, flow_fits(event)),
    ]
}

/// The recorded flow never performs after an unknown outcome.
fn flow_fits(event: &StepEvent) -> Verdict {
    let blind = matches!(
        event,
        StepEvent::Finished {
            outcome: Outcome::Unknown { .. },
            flow: Flow::Again { phase: Phase::Perform, .. } | Flow::Done,
            ..
        }
    );
    must(!blind, || format!("{event:?}"))
}

/// All that are asked before an effect lands.
pub(super) fn of_landing(world: &World, effect: Effect, value: Option<u32>) -> Vec<(Id, Verdict)> {
    let Some(s) = effect.secret else { return vec![(Id::P20, p20_landing(world, effect))] };
    let secret = &world.secrets[s];
    vec![
        (Id::P7, p7_landing(secret, effect.deed)),
        (Id::P9, p9_landing(secret, effect.deed)),
        (Id::P16, p16_landing(secret, effect.deed, value)),
        (Id::P17, p17_landing(world, effect)),
    ]
}
