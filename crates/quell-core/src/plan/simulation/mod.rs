//! Simulation of the plan machine: workers that crash, answers that get lost, clocks that jump, people who are wrong.
//!
//! One seed is one run, from a random plan of the real compiler to the end in which everything is inert.
//! [`invariants`] names what must hold; [`seen`] counts what was gone through. Replay one seed, with a trace:
//! `QUELL_SIM_SEED=17 cargo nextest run -p quell-core --no-capture simulation_holds`.

mod books;
mod calls;
mod invariants;
mod mutants;
mod people;
mod rng;
mod run;
mod scenario;
mod seen;
mod world;

use self::run::{Ran, run};
use self::scenario::{RUNS_PER_PLAN, Scenario};
use self::seen::{Coverage, Seen};

const SEEDS: u64 = 100_000;

/// Every kind of event, flow, fault and answer is gone through at least so many times.
const SEEN_MIN: u64 = 1000;

/// Runs the plans `k`, `k + 2`, ... until one breaks an invariant.
fn sweep(k: u64) -> Result<(Coverage, usize), String> {
    let mut coverage = Coverage::new();
    let mut moves = 0;
    for plan in (0..SEEDS / RUNS_PER_PLAN).filter(|p| p % 2 == k) {
        let first = plan * RUNS_PER_PLAN;
        let scenario = Scenario::of(first, None);
        for seed in first..first + RUNS_PER_PLAN {
            let ran = run(seed, &scenario, false);
            if !ran.breaches.is_empty() {
                return Err(story(seed, &ran));
            }
            coverage.add(&ran.coverage);
            moves += ran.moves;
        }
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
#[expect(
    clippy::print_stderr,
    clippy::use_debug,
    reason = "the trace or the counts, shown on failure and with --no-capture"
)]
fn simulation_holds_for_100_000_seeds() {
    if let Ok(seed) = std::env::var("QUELL_SIM_SEED") {
        let seed = seed.parse().unwrap();
        let scenario = Scenario::of(seed, None);
        for step in &scenario.plan.steps {
            let needs: Vec<&str> = step.needs.iter().map(crate::id::StepId::as_str).collect();
            eprintln!("{:>3} {} <- {}", step.wave, step.id, needs.join(" "));
        }
        let ran = run(seed, &scenario, true);
        eprintln!("{}", story(seed, &ran));
        assert!(ran.breaches.is_empty());
        return;
    }
    let halves: Vec<Result<(Coverage, usize), String>> = std::thread::scope(|scope| {
        let threads: Vec<_> = (0..2).map(|k| scope.spawn(move || sweep(k))).collect();
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
    // It cannot silently become trivial.
    let rare: Vec<(Seen, u64)> = all.counts().filter(|(_, n)| *n < SEEN_MIN).collect();
    assert!(rare.is_empty(), "seen too rarely: {rare:?}");
}
