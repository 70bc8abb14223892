//! Deliberate mistakes: each must be noticed, by the invariant that is about it.

use std::collections::BTreeMap;

use super::invariants::{ALL, Id};
use super::run::run;
use super::scenario::{RUNS_PER_PLAN, Scenario, Wrong};
use crate::plan::machine::Flaw;

/// In how many of these seeds each invariant was broken. Stops when all `wanted` have shown themselves.
fn tally(wrong: Wrong, seeds: u64, wanted: &[Id]) -> BTreeMap<Id, u64> {
    let mut broken = BTreeMap::new();
    for plan in 0..seeds / RUNS_PER_PLAN {
        let first = plan * RUNS_PER_PLAN;
        let scenario = Scenario::of(first, Some(wrong));
        for seed in first..first + RUNS_PER_PLAN {
            for (id, _) in run(seed, &scenario, false).breaches {
                *broken.entry(id).or_default() += 1;
            }
        }
        if !wanted.is_empty() && wanted.iter().all(|id| broken.contains_key(id)) {
            break;
        }
    }
    broken
}

/// The mistake, and which invariants must name it.
const MISTAKES: &[(Wrong, &[Id])] = &[
    // P8 shows in the world what P4 and P10 show in the ledger: a second successor.
    (Wrong::Machine(Flaw::RetryUnknownBlindly), &[Id::P4, Id::P8]),
    (Wrong::Machine(Flaw::IgnoreApprovals), &[Id::P3]),
    (Wrong::Machine(Flaw::IgnoreNeeds), &[Id::P2, Id::P9, Id::P16]),
    (Wrong::Machine(Flaw::AcceptLateReports), &[Id::P6]),
    (Wrong::Machine(Flaw::PerformAfterLost), &[Id::P4, Id::P8]),
    (Wrong::Machine(Flaw::StartTwice), &[Id::P8, Id::P10]),
    (Wrong::Machine(Flaw::BlockEverything), &[Id::P13]),
    (Wrong::Machine(Flaw::Oversleep), &[Id::P12]),
    (Wrong::Machine(Flaw::BelieveAnything), &[Id::P15]),
    (Wrong::Machine(Flaw::IgnoreLanes), &[Id::P18]),
    (Wrong::Machine(Flaw::IgnoreWaves), &[Id::P19]),
    (Wrong::ActBeforeCommit, &[Id::P1]),
    (Wrong::AppendBlindly, &[Id::P5, Id::P10]),
    (Wrong::RollBack, &[Id::P7]),
    (Wrong::SoftenClasses, &[Id::P14]),
    (Wrong::DropNeeds("disable", "capture"), &[Id::P16]),
    (Wrong::DropNeeds("disable", "confirm"), &[Id::P9]),
    (Wrong::DropNeeds("sever", "confirm"), &[Id::P9]),
    (Wrong::DropNeeds("mint", "prove-refused"), &[Id::P9]),
    (Wrong::DropNeeds("store", "probe-new"), &[Id::P16]),
    (Wrong::DropNeeds("purge", "prove"), &[Id::P7]),
    (Wrong::DropNeeds("retire", "prove"), &[Id::P7]),
    (Wrong::DropNeeds("capture", "confirm"), &[Id::P17]),
    (Wrong::DropNeeds("remove", "preserve"), &[Id::P20]),
    // These do no harm but end nowhere: what ran too early is not run again.
    (Wrong::DropNeeds("reload", "store"), &[Id::P11]),
    (Wrong::DropNeeds("sever", "disable"), &[Id::P11]),
];

#[test]
fn every_mistake_is_noticed_by_the_invariant_that_is_about_it() {
    let mut missed = Vec::new();
    for (wrong, wanted) in MISTAKES {
        let broken = tally(*wrong, 4000, wanted);
        if wanted.iter().any(|id| !broken.contains_key(id)) {
            missed.push(format!("{wrong:?}: wanted {wanted:?}, seen {broken:?}"));
        }
    }
    assert!(missed.is_empty(), "{}", missed.join("\n"));
}

#[test]
fn every_invariant_has_a_mistake_that_breaks_it() {
    let idle: Vec<Id> =
        ALL.iter().copied().filter(|id| !MISTAKES.iter().any(|(_, ids)| ids.contains(id))).collect();
    assert!(idle.is_empty(), "nothing shows that these can fail: {idle:?}");
}

/// Needs whose loss shows only as a refusal and another try, since the step looks before it acts.
const HARMLESS: &[(&str, &str)] = &[
    ("install", "mint"),
    ("probe-new", "install"),
    ("probe-new", "mint"),
    ("confirm", "reload"),
    ("confirm", "store"),
    ("confirm", "probe-new"),
    ("reload", "probe-new"),
    ("prove", "sever"),
    ("prove", "disable"),
    ("prove", "confirm"),
    ("prove", "store"),
    ("prove", "probe-new"),
    ("prove-refused", "sever"),
    ("prove-refused", "disable"),
    ("preserve", "capture"),
    ("person", "prove"),
    ("person", "person"),
    ("confirm", "person"),
    ("unlock", "lock"),
    ("unlock", "scan"),
    ("scan", "prove"),
    ("scan", "prove-refused"),
    ("reload", "person"),
    ("notify", "prove"),
    ("notify", "prove-refused"),
    ("notify", "capture"),
    ("notify", "mint"),
    ("notify", "install"),
    ("notify", "disable"),
    ("notify", "person"),
    ("notify", "notify"),
];

#[test]
fn a_need_that_the_compiler_forgets_is_noticed_in_the_world() {
    let mut edges: BTreeMap<(&str, &str), (u64, u64)> = BTreeMap::new();
    for plan in 0..1500 {
        let scenario = Scenario::of(plan * RUNS_PER_PLAN, Some(Wrong::DropAnyNeed));
        let Some(dropped) = scenario.dropped else { continue };
        for seed in plan * RUNS_PER_PLAN..(plan + 1) * RUNS_PER_PLAN {
            let ran = run(seed, &scenario, false);
            let (noticed, of) = edges.entry(dropped).or_default();
            *noticed += u64::from(!ran.breaches.is_empty());
            *of += 1;
        }
    }
    let unnoticed: Vec<_> =
        edges.iter().filter(|(edge, (n, of))| *n == 0 && *of >= 40 && !HARMLESS.contains(edge)).collect();
    assert!(unnoticed.is_empty(), "nobody noticed: {unnoticed:?}\nall: {edges:?}");
}
