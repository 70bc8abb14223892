use super::*;
use crate::id::StepId;
use crate::inventory::Tier;
use crate::issuer::ValidAtOnce;
use crate::outcome::Facts;
use crate::plan::testing::{input, secret_with};
use crate::plan::{Action, SecretInput, Strategy, compile};

fn t(seconds: i64) -> Timestamp {
    Timestamp::from_second(1_800_000_000 + seconds).unwrap()
}

fn step(text: &str) -> StepId {
    text.parse().unwrap()
}

fn secret(id: &str, tier: Tier) -> SecretInput {
    let mut secret = secret_with(id, ValidAtOnce::Many);
    secret.tier = tier;
    secret.consumers.truncate(1);
    secret
}

fn machine(strategy: Strategy, secrets: Vec<SecretInput>, stop_after: u32) -> Machine {
    let mut input = input(strategy, secrets);
    input.approvals.destructive = 0;
    input.channels.clear();
    input.stop_after = stop_after;
    Machine::new(compile(&input).unwrap())
}

/// Starts what may start and gives its names.
fn started(m: &mut Machine, at: i64) -> Vec<String> {
    m.advance(t(at), "w", 1000);
    std::iter::from_fn(|| m.poll_action())
        .filter_map(|a| match a {
            Action::Run { step, .. } => Some(step.to_string()),
            Action::AskApproval { .. } | Action::HandOver { .. } | Action::Page { .. } => None,
        })
        .collect()
}

/// Every running step ends as `outcome` says.
fn end(m: &mut Machine, at: i64, outcome: impl Fn(&Step) -> Outcome) {
    let running: Vec<_> = m
        .states()
        .filter_map(|(s, state)| match state {
            StepState::Running { attempt, phase, .. } => Some((s.clone(), *attempt, *phase)),
            StepState::Waiting
            | StepState::AwaitingApproval
            | StepState::WithPeople
            | StepState::Deferred { .. }
            | StepState::Applied
            | StepState::Skipped
            | StepState::Failed { .. } => None,
        })
        .collect();
    for (s, attempt, phase) in running {
        m.report(t(at), &s.id, attempt, phase, outcome(&s)).unwrap();
    }
}

fn good(_: &Step) -> Outcome {
    Outcome::applied([])
}

/// Runs until nothing starts any more; gives everything that started, in order.
fn run(m: &mut Machine, from: i64, outcome: impl Fn(&Step) -> Outcome) -> Vec<String> {
    let mut all = Vec::new();
    let mut at = from;
    loop {
        let now = started(m, at);
        if now.is_empty() && m.poll_timeout().is_none() {
            return all;
        }
        all.extend(now);
        end(m, at, &outcome);
        at += 1;
    }
}

fn at(order: &[String], name: &str) -> usize {
    order.iter().position(|s| s == name).unwrap_or_else(|| panic!("{name} did not start: {order:?}"))
}

fn three() -> Vec<SecretInput> {
    vec![
        secret("human", Tier::Human),
        secret("infra", Tier::Infrastructure),
        secret("service", Tier::Service),
    ]
}

#[test]
fn every_successor_is_made_first_and_then_one_tier_goes_after_the_other() {
    let mut m = machine(Strategy::MakeBeforeBreak, three(), 0);
    let order = run(&mut m, 0, good);
    assert!(m.is_done());
    let last_made =
        ["infra", "service", "human"].iter().map(|s| at(&order, &format!("{s}.probe-new"))).max().unwrap();
    assert!(last_made < at(&order, "infra.store-0"), "{order:?}");
    assert!(at(&order, "infra.prove") < at(&order, "service.store-0"), "{order:?}");
    assert!(at(&order, "service.prove") < at(&order, "human.store-0"), "{order:?}");
}

#[test]
fn kill_first_waits_for_nobody() {
    let mut m = machine(Strategy::KillFirst, three(), 0);
    started(&mut m, 0);
    end(&mut m, 0, good);
    let second = started(&mut m, 1);
    assert_eq!(second, ["infra.disable", "service.disable", "human.disable"]);
}

#[test]
fn one_that_cannot_be_made_does_not_keep_the_others() {
    let mut m = machine(Strategy::MakeBeforeBreak, three(), 0);
    let order = run(&mut m, 0, |s| match s.id.as_str() {
        "infra.install" => Outcome::refused("quota reached"),
        _ => Outcome::applied([]),
    });
    assert!(at(&order, "service.prove") > 0 && at(&order, "human.prove") > 0);
    assert!(!order.iter().any(|s| s == "infra.store-0"), "{order:?}");
    assert_eq!(m.gave_up().len(), 1);
}

#[test]
fn a_retry_in_an_earlier_wave_does_not_stop_what_is_half_way() {
    let mut m = machine(Strategy::MakeBeforeBreak, three(), 0);
    let failing = |s: &Step| match s.id.as_str() {
        "human.install" => Outcome::refused("no"),
        "infra.confirm-api" => Outcome::refused("still the old one"),
        _ => Outcome::applied([]),
    };
    run(&mut m, 0, failing);
    // Both are tried again; the made-up issuer now takes its time.
    m.retry(&step("infra.confirm-api"), "ana").unwrap();
    m.retry(&step("human.install"), "ana").unwrap();
    let now = started(&mut m, 100);
    assert_eq!(now, ["infra.confirm-api", "human.install"], "both look first");
    let run = |m: &Machine, s: &str| match m.state(&step(s)) {
        Some(StepState::Running { attempt, phase, .. }) => (*attempt, *phase),
        other => panic!("{s}: {other:?}"),
    };
    let (attempt, phase) = run(&m, "infra.confirm-api");
    m.report(t(101), &step("infra.confirm-api"), attempt, phase, Outcome::applied([])).unwrap();
    assert_eq!(started(&mut m, 101), ["infra.disable"], "the first wave is open again, and it goes on");
}

#[test]
fn after_too_many_failures_no_further_secret_is_begun_and_those_under_way_end() {
    let secrets = (0..6).map(|i| secret(&format!("s{i}"), Tier::Service)).collect::<Vec<_>>();
    let mut m = machine(Strategy::KillFirst, secrets, 2);
    started(&mut m, 0);
    // Four are captured, one of them is killed already; two cannot be captured.
    let running: Vec<_> = (0..6).map(|i| step(&format!("s{i}.capture"))).collect();
    m.report(t(1), &running[0], 1, Phase::Perform, Outcome::applied([])).unwrap();
    assert_eq!(started(&mut m, 1), ["s0.disable"]);
    for s in &running[1..3] {
        m.report(t(2), s, 1, Phase::Perform, Outcome::refused("denied")).unwrap();
    }
    for s in &running[3..] {
        m.report(t(2), s, 1, Phase::Perform, Outcome::applied([])).unwrap();
    }
    assert_eq!(started(&mut m, 2), Vec::<String>::new(), "s3 to s5 are not begun");
    let hold = m.poll_hold().expect("it is to be made durable");
    assert_eq!(hold.scope, HoldScope::NextSecrets);
    assert!(hold.reason.contains("s1, s2"), "{}", hold.reason);
    assert!(m.poll_hold().is_none() && !m.is_held_still(t(2)));

    let order = run(&mut m, 3, good);
    assert!(at(&order, "s0.prove") > 0, "what is under way ends: {order:?}");
    assert!(order.iter().all(|s| s.starts_with("s0.")), "{order:?}");
    assert!(m.is_held_still(t(200)) && m.poll_timeout().is_none());

    // A person looked: these two do not count again, two more would.
    m.resume();
    assert_eq!(started(&mut m, 201), ["s3.disable", "s4.disable", "s5.disable"]);
    assert!(m.poll_hold().is_none());
}

#[test]
fn a_hold_of_everything_lets_only_looks_go_on() {
    let mut m = machine(Strategy::MakeBeforeBreak, three(), 0);
    run(&mut m, 0, |s| match s.id.as_str() {
        "infra.store-0" | "service.store-0" => Outcome::refused("down"),
        _ => Outcome::applied([]),
    });
    for s in ["infra.store-0", "service.store-0"] {
        m.retry(&step(s), "ana").unwrap();
    }
    m.hold(Hold { scope: HoldScope::Everything, reason: "the change freeze".to_owned() });
    assert_eq!(started(&mut m, 100), ["infra.store-0", "service.store-0"]);
    assert!(m.states().all(|(_, s)| !matches!(s, StepState::Running { phase: Phase::Perform, .. })));
    end(&mut m, 101, |_| Outcome::refused("it is not there"));
    assert_eq!(started(&mut m, 102), Vec::<String>::new());
    assert!(m.is_held_still(t(102)));
    assert_eq!(m.poll_timeout(), None, "it does not wake for what it may not do");
    m.resume();
    assert_eq!(started(&mut m, 103), ["infra.store-0", "service.store-0"]);
}

#[test]
fn a_system_that_says_not_before_says_it_to_all_who_call_it() {
    let lane = |s: SecretInput, name: &str| SecretInput {
        lane: Some((name.to_owned(), Lane { at_once: 2, interval_ms: 0 })),
        ..s
    };
    let secrets = vec![
        lane(secret("a", Tier::Service), "iam"),
        lane(secret("b", Tier::Service), "iam"),
        lane(secret("c", Tier::Service), "iam"),
        lane(secret("d", Tier::Service), "other"),
    ];
    let mut m = machine(Strategy::KillFirst, secrets, 0);
    assert_eq!(started(&mut m, 0), ["a.capture", "b.capture", "d.capture"], "two at once, in order");
    let slow = Outcome::NotApplied {
        reason: "rate limit".to_owned(),
        retryable: true,
        retry_after_ms: Some(60_000),
        facts: Facts::new(),
    };
    m.report(t(1), &step("a.capture"), 1, Phase::Perform, slow).unwrap();
    m.report(t(1), &step("b.capture"), 1, Phase::Perform, Outcome::applied([])).unwrap();
    m.report(t(1), &step("d.capture"), 1, Phase::Perform, Outcome::applied([])).unwrap();
    assert_eq!(started(&mut m, 1), ["d.disable"], "the others wait with `a`");
    end(&mut m, 2, good);
    while started(&mut m, 3) != Vec::<String>::new() {
        end(&mut m, 3, good);
    }
    assert_eq!(m.poll_timeout(), Some(t(61)));
    assert_eq!(started(&mut m, 61), ["a.capture", "b.disable"]);
}

#[test]
fn starts_keep_their_distance() {
    let secrets = ["a", "b", "c"]
        .map(|id| SecretInput {
            lane: Some(("api".to_owned(), Lane { at_once: 9, interval_ms: 1500 })),
            ..secret(id, Tier::Service)
        })
        .to_vec();
    let mut m = machine(Strategy::KillFirst, secrets, 0);
    assert_eq!(started(&mut m, 0), ["a.capture"]);
    assert_eq!(m.poll_timeout(), Some(t(0) + SignedDuration::from_millis(1500)));
    assert_eq!(started(&mut m, 1), Vec::<String>::new());
    assert_eq!(started(&mut m, 2), ["b.capture"]);
    assert_eq!(started(&mut m, 3), Vec::<String>::new());
    assert_eq!(started(&mut m, 4), ["c.capture"]);
}

#[test]
fn not_all_are_begun_at_once_so_that_a_stop_saves_somebody() {
    let secrets = (0..6).map(|i| secret(&format!("s{i}"), Tier::Service)).collect::<Vec<_>>();
    let mut input = input(Strategy::MakeBeforeBreak, secrets);
    input.approvals.destructive = 0;
    input.channels.clear();
    (input.stop_after, input.under_way) = (2, 2);
    let mut m = Machine::new(compile(&input).unwrap());
    let mut began = Vec::new();
    let mut at = 0;
    // No consumer ever comes up.
    while m.held().is_none() {
        began.extend(started(&mut m, at));
        end(&mut m, at, |s| {
            let confirms = s.id.as_str().ends_with(".confirm-api");
            if confirms { Outcome::refused("still the old one") } else { Outcome::applied([]) }
        });
        at += 1;
    }
    let switched: Vec<&String> = began.iter().filter(|s| s.ends_with(".store-0")).collect();
    assert_eq!(switched, ["s0.store-0", "s1.store-0"], "two failed, and nobody else was touched");

    // With a limit of one, they go one after the other, all of them.
    input.under_way = 1;
    let mut m = Machine::new(compile(&input).unwrap());
    let order = run(&mut m, 0, good);
    assert!(m.is_done());
    for i in 0..5 {
        assert!(at_of(&order, i, "prove") < at_of(&order, i + 1, "store-0"), "{order:?}");
    }
}

fn at_of(order: &[String], secret: usize, step: &str) -> usize {
    at(order, &format!("s{secret}.{step}"))
}

#[test]
fn what_an_earlier_plan_has_begun_goes_on_although_it_is_held() {
    let secrets = || vec![secret("killed", Tier::Service), secret("whole", Tier::Service)];
    let mut before = machine(Strategy::KillFirst, secrets(), 0);
    started(&mut before, 0);
    end(&mut before, 0, |s| match s.id.as_str() {
        "whole.capture" => Outcome::refused("down"),
        _ => Outcome::applied([]),
    });
    assert_eq!(started(&mut before, 1), ["killed.disable"]);
    end(&mut before, 1, good);
    let hold = Hold { scope: HoldScope::NextSecrets, reason: "x".to_owned() };
    let again = |done: bool| {
        let mut m = machine(Strategy::KillFirst, secrets(), 0);
        m.carry(&before, |_| done);
        m.hold(hold.clone());
        run(&mut m, 10, good)
    };
    let order = again(false);
    assert!(at(&order, "killed.prove") > 0, "{order:?}");
    assert!(!order.iter().any(|s| s == "whole.disable"), "{order:?}");
    assert!(!again(true).iter().any(|s| s == "killed.disable"), "what is proven is not under way");
}

#[test]
fn who_is_tried_again_and_fails_again_counts_again() {
    let secrets = (0..3).map(|i| secret(&format!("s{i}"), Tier::Service)).collect::<Vec<_>>();
    let mut m = machine(Strategy::KillFirst, secrets, 2);
    let fails = |s: &Step| match s.id.as_str() {
        "s0.capture" | "s1.capture" => Outcome::refused("down"),
        _ => Outcome::applied([]),
    };
    run(&mut m, 0, fails);
    assert!(m.poll_hold().is_some());
    m.resume();
    run(&mut m, 100, fails);
    assert!(m.poll_hold().is_none(), "a person has seen these");
    for s in ["s0.capture", "s1.capture"] {
        m.retry(&step(s), "ana").unwrap();
    }
    run(&mut m, 200, fails);
    assert!(m.poll_hold().is_some());
}

#[test]
fn a_step_that_waits_for_its_lane_is_not_the_end() {
    let secrets = ["a", "b"]
        .map(|id| SecretInput {
            lane: Some(("api".to_owned(), Lane { at_once: 9, interval_ms: 1500 })),
            ..secret(id, Tier::Service)
        })
        .to_vec();
    let mut m = machine(Strategy::KillFirst, secrets, 0);
    assert_eq!(started(&mut m, 0), ["a.capture"]);
    end(&mut m, 0, |_| Outcome::refused("denied"));
    assert_eq!(started(&mut m, 0), Vec::<String>::new());
    assert!(!m.is_idle(), "`b` has its turn soon");
    assert_eq!(started(&mut m, 2), ["b.capture"]);
}
