use super::*;
use crate::plan::{StepAction, Strategy};

fn t(seconds: i64) -> Timestamp {
    Timestamp::from_second(1_800_000_000 + seconds).unwrap()
}

fn id(text: &str) -> StepId {
    text.parse().unwrap()
}

fn step(name: &str, needs: &[&str], approvals: u8) -> Step {
    Step {
        id: id(name),
        secret: None,
        action: StepAction::Disable,
        needs: needs.iter().map(|n| id(n)).collect(),
        class: Class::Destructive,
        approvals,
        what: String::new(),
        why: String::new(),
        breaks: None,
        limit_ms: 10_000,
        max_attempts: 2,
        best_effort: false,
        wave: 0,
        lane: None,
    }
}

fn machine(steps: Vec<Step>) -> Machine {
    Machine::new(Plan {
        incident: "INC-2026-0001".parse().unwrap(),
        revision: 1,
        strategy: Strategy::KillFirst,
        reasons: Vec::new(),
        warnings: Vec::new(),
        inventory: String::new(),
        secrets: Vec::new(),
        steps,
        lanes: BTreeMap::new(),
        stop_after: 0,
        under_way: 0,
    })
}

fn actions(machine: &mut Machine) -> Vec<Action> {
    std::iter::from_fn(|| machine.poll_action()).collect()
}

fn run(step: &str, attempt: u32, phase: Phase) -> Action {
    Action::Run { step: id(step), attempt, phase }
}

#[test]
fn unknown_is_observed_before_anything_else() {
    let mut m = machine(vec![step("a", &[], 0)]);
    m.advance(t(0), "w", 8);
    assert_eq!(actions(&mut m), [run("a", 1, Phase::Perform)]);
    m.report(t(1), &id("a"), 1, Phase::Perform, Outcome::unknown("lost")).unwrap();
    m.advance(t(1), "w", 8);
    assert_eq!(actions(&mut m), [run("a", 2, Phase::Observe)]);
    m.report(t(2), &id("a"), 2, Phase::Observe, Outcome::refused("not there")).unwrap();
    m.advance(t(2), "w", 8);
    assert_eq!(actions(&mut m), [run("a", 3, Phase::Perform)]);
    m.report(t(3), &id("a"), 3, Phase::Perform, Outcome::applied([])).unwrap();
    assert!(m.is_done());
}

#[test]
fn a_dead_worker_and_a_passed_deadline_both_lead_to_a_look() {
    let mut m = machine(vec![step("a", &[], 0), step("b", &[], 0)]);
    m.advance(t(0), "dead", 8);
    actions(&mut m);
    m.worker_lost("dead");
    m.advance(t(0), "alive", 8);
    assert_eq!(actions(&mut m), [run("a", 2, Phase::Observe), run("b", 2, Phase::Observe)]);
    assert_eq!(m.poll_timeout(), Some(t(10)));
    m.advance(t(10), "alive", 8);
    m.advance(t(10), "alive", 8);
    assert_eq!(actions(&mut m), [run("a", 3, Phase::Observe), run("b", 3, Phase::Observe)]);
    let late = m.report(t(11), &id("a"), 1, Phase::Perform, Outcome::applied([]));
    assert!(matches!(late, Err(Refusal::WrongState { .. })), "the first performer is too late");
}

#[test]
fn approvals_bind_plan_person_and_time() {
    let mut m = machine(vec![step("a", &[], 2)]);
    m.advance(t(0), "w", 8);
    assert_eq!(actions(&mut m), [Action::AskApproval { step: id("a") }]);
    let hash = m.plan_hash().to_owned();
    let (a, other) = (id("a"), "0".repeat(64));
    let by = |by, hash, until| Approval { step: &a, plan_hash: hash, by, expires_at: t(until) };
    assert!(matches!(m.approve(t(1), &by("ines", &other, 60)), Err(Refusal::OtherPlan { .. })));
    assert!(matches!(m.approve(t(61), &by("ines", &hash, 60)), Err(Refusal::Expired(_))));
    m.approve(t(1), &by("ines", &hash, 60)).unwrap();
    assert_eq!(m.approve(t(2), &by("ines", &hash, 60)), Err(Refusal::SamePerson("ines".to_owned())));
    m.advance(t(2), "w", 8);
    assert!(actions(&mut m).is_empty(), "one of two");
    m.approve(t(3), &by("otto", &hash, 90)).unwrap();
    m.advance(t(70), "w", 8);
    assert!(actions(&mut m).is_empty(), "the first approval has expired meanwhile");
    m.approve(t(71), &by("ines", &hash, 200)).unwrap();
    m.advance(t(72), "w", 8);
    assert_eq!(actions(&mut m), [run("a", 1, Phase::Perform)]);
}

#[test]
fn a_failure_blocks_only_its_dependants() {
    let mut m = machine(vec![step("a", &[], 0), step("b", &["a"], 0), step("c", &[], 0)]);
    m.advance(t(0), "w", 8);
    m.report(t(1), &id("a"), 1, Phase::Perform, Outcome::refused("denied")).unwrap();
    m.report(t(1), &id("c"), 1, Phase::Perform, Outcome::applied([])).unwrap();
    m.advance(t(1), "w", 8);
    assert!(actions(&mut m).contains(&Action::Page { step: id("a"), reason: "denied".to_owned() }));
    assert_eq!(m.state(&id("b")), Some(&StepState::Waiting));
    assert!(m.is_idle() && !m.is_done());
    m.retry(&id("a"), "ines").unwrap();
    m.advance(t(2), "w", 8);
    assert_eq!(actions(&mut m), [run("a", 2, Phase::Observe)], "a retry looks first");
}

#[test]
fn what_was_only_tried_blocks_nobody_and_is_waited_for() {
    let mut m = machine(vec![step("a", &[], 0), step("b", &["a"], 0), step("c", &["b"], 0)]);
    for step in &mut m.plan.steps {
        step.best_effort = step.id == id("a");
    }
    m.advance(t(0), "w", 8);
    assert_eq!(actions(&mut m), [run("a", 1, Phase::Perform)], "b is not begun beside it");
    m.report(t(1), &id("a"), 1, Phase::Perform, Outcome::refused("the pager is down")).unwrap();
    m.advance(t(1), "w", 8);
    assert!(actions(&mut m).contains(&run("b", 1, Phase::Perform)));
    m.report(t(2), &id("b"), 1, Phase::Perform, Outcome::refused("denied")).unwrap();
    m.advance(t(2), "w", 8);
    assert_eq!(m.state(&id("c")), Some(&StepState::Waiting));
    assert!(!m.is_done());
}

#[test]
fn skipping_ahead_lets_nothing_overtake() {
    let mut m = machine(vec![step("a", &[], 0), step("b", &["a"], 0), step("c", &["b"], 0)]);
    m.skip(&id("b"), "ines", "that consumer is gone").unwrap();
    m.advance(t(0), "w", 8);
    assert_eq!(actions(&mut m), [run("a", 1, Phase::Perform)], "c waits for what b waited for");
    m.report(t(1), &id("a"), 1, Phase::Perform, Outcome::applied([])).unwrap();
    m.advance(t(1), "w", 8);
    assert_eq!(actions(&mut m), [run("c", 1, Phase::Perform)]);
}

#[test]
fn nobody_can_talk_a_proof_into_being() {
    let mut proof = step("p", &[], 0);
    proof.action = StepAction::Prove;
    let mut m = machine(vec![proof, step("a", &[], 0)]);
    assert!(matches!(m.skip(&id("p"), "ines", "in a hurry"), Err(Refusal::Essential { .. })));
    assert!(matches!(m.resolve(&id("p"), "ines", "trust me"), Err(Refusal::Essential { .. })));
    m.skip(&id("a"), "ines", "done by hand").unwrap();
    assert_eq!(m.state(&id("a")), Some(&StepState::Skipped));
}

#[test]
fn replay_gives_the_same_machine() {
    let mut m = machine(vec![step("a", &[], 0), step("b", &["a"], 1)]);
    let mut log = Vec::new();
    m.advance(t(0), "w", 8);
    m.report(t(1), &id("a"), 1, Phase::Perform, Outcome::applied([])).unwrap();
    m.advance(t(1), "w", 8);
    while let Some(event) = m.poll_event() {
        log.push(event);
    }
    let again = Machine::replay(m.plan().clone(), &log);
    assert_eq!(again.slots, m.slots);
}
