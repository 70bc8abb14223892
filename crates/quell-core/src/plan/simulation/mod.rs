//! Simulation of the plan machine: workers that crash, answers that get lost, clocks that jump, people who are wrong.
//!
//! One seed is one run, from a random plan of the real compiler to the end in which everything is inert.
//! [`invariants`] names what must hold; [`seen`] counts what was gone through. Replay one seed, with a trace:
//! `QUELL_SIM_SEED=17 cargo nextest run -p quell-core --no-capture simulation_holds`.

mod books;
mod invariants;
mod people;
mod rng;
mod run;
mod scenario;
mod seen;
mod world;

use std::collections::BTreeMap;

use self::invariants::Id;
use self::run::{Ran, run};
use self::scenario::Wrong;
use self::seen::{Coverage, Seen};
use super::machine::Flaw;

const SEEDS: u64 = 100_000;

/// Runs seeds until one breaks an invariant.
fn sweep(seeds: impl Iterator<Item = u64>) -> Result<(Coverage, usize), String> {
    let mut coverage = Coverage::new();
    let mut moves = 0;
    for seed in seeds {
        let ran = run(seed, None, false);
        if !ran.breaches.is_empty() {
            return Err(story(seed, &ran));
        }
        coverage.add(&ran.coverage);
        moves += ran.moves;
    }
    Ok((coverage, moves))
}

fn story(seed: u64, ran: &Ran) -> String {
    format!(
        "seed {seed} breaks {:?} after {} moves; replay with QUELL_SIM_SEED={seed}\n{}",
        ran.breaches,
        ran.moves,
        ran.tail.join("\n")
    )
}

#[test]
#[expect(clippy::disallowed_methods, reason = "a developer's switch, read by a test only")]
#[expect(clippy::print_stderr, reason = "the trace that the developer asked for")]
fn simulation_holds_for_100_000_seeds() {
    if let Ok(seed) = std::env::var("QUELL_SIM_SEED") {
        let seed = seed.parse().unwrap();
        let ran = run(seed, None, true);
        eprintln!("{}", story(seed, &ran));
        assert!(ran.breaches.is_empty());
        return;
    }
    let halves: Vec<Result<(Coverage, usize), String>> = std::thread::scope(|scope| {
        let threads: Vec<_> =
            (0..2).map(|k| scope.spawn(move || sweep((0..SEEDS).filter(|s| s % 2 == k)))).collect();
        threads.into_iter().map(|t| t.join().unwrap()).collect()
    });
    let mut all = Coverage::new();
    let mut moves = 0;
    for half in halves {
        let (coverage, m) = half.unwrap_or_else(|story| panic!("{story}"));
        all.add(&coverage);
        moves += m;
    }
    for (seen, count) in all.counts() {
        eprintln!("{count:>10} {seen:?}");
    }
    eprintln!("{moves:>10} moves");
    // It cannot silently become trivial: everything was gone through many times.
    let rare: Vec<(Seen, u64)> = all.counts().filter(|(_, n)| *n < SEEDS / 100).collect();
    assert!(rare.is_empty(), "seen too rarely: {rare:?}");
}

#[test]
#[ignore]
fn survey() {
    let mut tally: BTreeMap<Id, (usize, u64, String)> = BTreeMap::new();
    for seed in 0..5000 {
        let ran = run(seed, None, false);
        for (id, what) in ran.breaches {
            let entry = tally.entry(id).or_insert((0, seed, what));
            entry.0 += 1;
        }
    }
    for t in &tally {
        eprintln!("{t:?}");
    }
    assert!(tally.is_empty());
}
