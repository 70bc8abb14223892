use super::*;
use crate::issuer::Chooser;
use crate::plan::testing::{input, secret_with as secret};

fn lines(plan: &Plan) -> String {
    plan.steps
        .iter()
        .map(|s| {
            let needs: Vec<&str> = s.needs.iter().map(StepId::as_str).collect();
            format!("{}{} <- {}", s.id, "!".repeat(s.approvals.into()), needs.join(" "))
        })
        .collect::<Vec<_>>()
        .join("\n")
}

#[test]
fn make_before_break_with_alternating_principals() {
    let plan =
        compile(&input(Strategy::MakeBeforeBreak, vec![secret("db", ValidAtOnce::AlternatePrincipals)]))
            .unwrap();
    insta::assert_snapshot!(lines(&plan), @r"
    notice.opened.ops <- 
    db.capture <- 
    db.mint <- db.capture
    db.install <- db.mint
    db.probe-new <- db.install
    db.store-0 <- db.probe-new
    db.reload-api <- db.store-0
    db.confirm-api <- db.reload-api
    db.reload-worker <- db.store-0
    db.confirm-worker <- db.reload-worker
    db.disable! <- db.confirm-api db.confirm-worker
    db.sever! <- db.disable
    db.prove <- db.sever
    db.purge-0! <- db.prove
    notice.first-response.ops <- notice.opened.ops db.disable
    notice.contained.ops <- db.prove notice.opened.ops notice.first-response.ops
    ");
}

#[test]
fn what_an_issuer_keeps_is_deleted_after_the_proof() {
    let mut key = secret("key", ValidAtOnce::Two);
    key.retires = true;
    for strategy in [Strategy::KillFirst, Strategy::MakeBeforeBreak] {
        let plan = compile(&input(strategy, vec![key.clone()])).unwrap();
        assert!(lines(&plan).contains("\nkey.retire! <- key.prove\n"), "{}", lines(&plan));
    }
    // Where nothing is minted, the proof is the one with another principal.
    key.capabilities.can_mint = false;
    let plan = compile(&input(Strategy::KillFirst, vec![key])).unwrap();
    assert!(lines(&plan).contains("\nkey.retire! <- key.prove\n"), "{}", lines(&plan));
}

#[test]
fn kill_first() {
    let plan =
        compile(&input(Strategy::KillFirst, vec![secret("db", ValidAtOnce::AlternatePrincipals)])).unwrap();
    insta::assert_snapshot!(lines(&plan), @r"
    notice.opened.ops <- 
    db.capture <- 
    db.disable! <- db.capture
    db.sever! <- db.disable
    db.prove-refused <- db.sever
    db.mint <- db.prove-refused
    db.install <- db.mint
    db.probe-new <- db.install
    db.store-0 <- db.probe-new
    db.reload-api <- db.store-0
    db.confirm-api <- db.reload-api
    db.reload-worker <- db.store-0
    db.confirm-worker <- db.reload-worker
    db.prove <- db.confirm-api db.confirm-worker
    db.purge-0! <- db.prove
    notice.first-response.ops <- notice.opened.ops db.disable
    notice.contained.ops <- db.prove notice.opened.ops notice.first-response.ops
    ");
}

#[test]
fn a_response_has_begun_when_what_people_approve_is_done_and_no_proof_waits_for_more() {
    let needs = |input: &PlanInput| {
        let plan = compile(input).unwrap();
        let step = plan.step(&"notice.first-response.ops".parse().unwrap()).unwrap();
        step.needs.last().unwrap().to_string()
    };
    let mut free = input(Strategy::KillFirst, vec![secret("db", ValidAtOnce::Many)]);
    assert_eq!(needs(&free), "db.disable");
    free.approvals = Approvals::default();
    assert_eq!(needs(&free), "db.capture");
    // Only what follows the proof is approved: nobody waits for that.
    let mut token = secret("token", ValidAtOnce::Many);
    token.capabilities.can_disable = false;
    token.capabilities.sessions_survive = false;
    let last = input(Strategy::MakeBeforeBreak, vec![token]);
    let plan = compile(&last).unwrap();
    let first = plan.step(&needs(&last).parse().unwrap()).unwrap();
    let proof = plan.steps.iter().position(|step| step.action == StepAction::Prove).unwrap();
    assert!(plan.steps.iter().position(|step| step.id == first.id).unwrap() < proof, "{}", lines(&plan));
}

#[test]
fn what_may_not_overlap_is_killed_first_whatever_the_strategy() {
    let mut key = secret("key", ValidAtOnce::Many);
    key.overlap = Overlap::Never { why: "whoever holds it can sign as anybody" };
    key.has_control = false;
    let other = secret("other", ValidAtOnce::Many);
    let plan = compile(&input(Strategy::MakeBeforeBreak, vec![key.clone(), other])).unwrap();
    assert_eq!(plan.reasons, ["`key` is killed first all the same: whoever holds it can sign as anybody"]);
    let needs = |step: &str| plan.step(&step.parse().unwrap()).unwrap().needs.clone();
    assert_eq!(needs("key.disable"), ["key.capture".parse().unwrap()]);
    // No other principal: nothing is proven in between, and the successor is the control of the last proof.
    assert_eq!(needs("key.mint"), ["key.sever".parse().unwrap()]);
    assert!(plan.step(&"key.prove-refused".parse().unwrap()).is_none());
    assert!(needs("other.disable").contains(&"other.confirm-api".parse().unwrap()));
    let waves: Vec<u32> = ["key.disable", "key.install", "other.disable"]
        .map(|step| plan.step(&step.parse().unwrap()).unwrap().wave)
        .to_vec();
    assert!(waves == [0, 0, 2], "{waves:?}");

    // What depends on it does not begin with a value that is about to end.
    let mut user = secret("user", ValidAtOnce::Many);
    user.after = vec!["key".parse().unwrap()];
    let plan = compile(&input(Strategy::MakeBeforeBreak, vec![key.clone(), user])).unwrap();
    let capture = plan.step(&"user.capture".parse().unwrap()).unwrap();
    assert!(capture.needs.contains(&"key.confirm-api".parse().unwrap()), "{:?}", capture.needs);

    key.has_control = true;
    let plan = compile(&input(Strategy::KillFirst, vec![key])).unwrap();
    assert!(plan.reasons.is_empty());
    let mint = plan.step(&"key.mint".parse().unwrap()).unwrap();
    assert_eq!(mint.needs, ["key.prove-refused".parse().unwrap()]);
}

#[test]
fn one_shared_principal_has_no_disable_and_says_what_breaks() {
    let plan = compile(&input(Strategy::MakeBeforeBreak, vec![secret("db", ValidAtOnce::One)])).unwrap();
    assert!(!plan.steps.iter().any(|s| s.action == StepAction::Disable));
    let install = plan.step(&"db.install".parse().unwrap()).unwrap();
    assert_eq!(install.class, Class::Destructive);
    assert!(install.breaks.as_ref().unwrap().contains("api, worker"));
    let sever = plan.step(&"db.sever".parse().unwrap()).unwrap();
    assert_eq!(sever.needs.len(), 2, "sessions are cut only after everybody moved");
}

#[test]
fn a_mint_that_ends_the_old_value_asks_for_destructive_approval() {
    let mut shared = secret("db", ValidAtOnce::One);
    shared.capabilities.chooser = Chooser::Issuer;
    let plan = compile(&input(Strategy::MakeBeforeBreak, vec![shared])).unwrap();
    let mint = plan.step(&"db.mint".parse().unwrap()).unwrap();
    assert_eq!((mint.class, mint.approvals), (Class::Destructive, 1));
    assert!(mint.breaks.as_ref().is_some_and(|b| b.contains("api, worker")));
}

#[test]
fn secrets_go_by_tier_and_dependency_and_circles_are_refused() {
    let mut human = secret("a-human", ValidAtOnce::Many);
    human.tier = Tier::Human;
    let mut infra = secret("z-admin", ValidAtOnce::Many);
    infra.tier = Tier::Infrastructure;
    let mut service = secret("m-service", ValidAtOnce::Many);
    service.after = vec!["z-admin".parse().unwrap(), "not-in-this-plan".parse().unwrap()];
    let plan =
        compile(&input(Strategy::MakeBeforeBreak, vec![human, service.clone(), infra.clone()])).unwrap();
    let order: Vec<&str> = plan.secrets.iter().map(SecretId::as_str).collect();
    assert_eq!(order, ["z-admin", "m-service", "a-human"]);
    let needs = |plan: &Plan, step: &str, need: &str| {
        plan.step(&step.parse().unwrap()).unwrap().needs.iter().any(|n| n.as_str() == need)
    };
    // Its successor is made with the credential as it was; nothing is switched before that one is.
    assert!(!needs(&plan, "m-service.capture", "z-admin.confirm-api"));
    assert!(needs(&plan, "m-service.store-0", "z-admin.confirm-api"));
    let wave = |plan: &Plan, step: &str| plan.step(&step.parse().unwrap()).unwrap().wave;
    let waves = |plan: &Plan| {
        ["m-service.probe-new", "z-admin.store-0", "m-service.store-0", "a-human.store-0"]
            .map(|s| wave(plan, s))
    };
    assert_eq!(waves(&plan), [1, 2, 3, 4]);

    // One that ends in the instant in which its successor is set: nothing is begun with it before it is done.
    let mut one = infra.clone();
    one.capabilities.valid_at_once = ValidAtOnce::One;
    let plan = compile(&input(Strategy::MakeBeforeBreak, vec![service.clone(), one])).unwrap();
    assert!(needs(&plan, "m-service.capture", "z-admin.confirm-api"));
    let plan = compile(&input(Strategy::KillFirst, vec![service.clone(), infra.clone()])).unwrap();
    assert!(needs(&plan, "m-service.capture", "z-admin.confirm-api"), "the old one is dead by then");
    assert!(plan.steps.iter().all(|s| s.wave == 0));

    let mut third = secret("b-third", ValidAtOnce::Many);
    third.after = vec!["m-service".parse().unwrap()];
    infra.after = vec!["m-service".parse().unwrap()];
    let circle = compile(&input(Strategy::KillFirst, vec![service, infra, third])).unwrap_err();
    assert_eq!(
        circle.to_string(),
        "secrets need each other in a circle: z-admin needs m-service needs z-admin"
    );
}

#[test]
fn the_hash_covers_every_word() {
    let one = compile(&input(Strategy::KillFirst, vec![secret("db", ValidAtOnce::Two)])).unwrap();
    let mut two = one.clone();
    two.steps[3].what.push('.');
    assert_ne!(one.hash(), two.hash());
    assert_eq!(one.hash().len(), 64);
}

#[test]
fn revoke_only_issuers_get_no_mint() {
    let mut only = secret("lease", ValidAtOnce::Many);
    only.capabilities.can_mint = false;
    only.capabilities.sessions_survive = false;
    let plan = compile(&input(Strategy::MakeBeforeBreak, vec![only])).unwrap();
    let ids: Vec<&str> =
        plan.steps.iter().map(|s| s.id.as_str()).filter(|i| !i.starts_with("notice")).collect();
    assert_eq!(ids, ["lease.capture", "lease.disable", "lease.prove"]);
}

#[test]
fn a_process_that_reads_several_secrets_gets_one_after_the_other() {
    let shared = |id: &str| {
        let mut secret = secret(id, ValidAtOnce::Many);
        secret.consumers.truncate(1);
        secret.consumers[0].observe = "GET /healthz of both".to_owned();
        secret
    };
    let of =
        |strategy| compile(&input(strategy, vec![shared("a"), shared("b"), secret("c", ValidAtOnce::Many)]));
    let needs = |plan: &Plan, step: &str| -> Vec<String> {
        let step = plan.step(&step.parse().unwrap()).unwrap_or_else(|| panic!("no {step}"));
        step.needs.iter().map(ToString::to_string).collect()
    };
    let plan = of(Strategy::MakeBeforeBreak).unwrap();
    assert_eq!(needs(&plan, "b.look"), ["b.probe-new", "a.confirm-api"]);
    assert_eq!(needs(&plan, "b.store-0"), ["b.look"]);
    assert_eq!(needs(&plan, "a.look"), ["a.probe-new"]);
    assert!(plan.step(&"c.look".parse().unwrap()).is_none(), "it has consumers of its own");
    // The killing waits for nobody.
    let plan = of(Strategy::KillFirst).unwrap();
    assert_eq!(needs(&plan, "b.capture"), Vec::<String>::new());
    assert_eq!(needs(&plan, "b.look"), ["b.probe-new", "a.confirm-api"]);
}

#[test]
fn the_keys_of_one_document_are_written_one_after_the_other() {
    let mut one = secret("a", ValidAtOnce::Many);
    one.stores = vec![
        StoreInput { target: "kv/x#a".to_owned(), lane: Some("kv/x".to_owned()) },
        StoreInput { target: "file".to_owned(), lane: None },
    ];
    let plan = compile(&input(Strategy::MakeBeforeBreak, vec![one])).unwrap();
    let lane = |step: &str| plan.step(&step.parse().unwrap()).unwrap().lane.clone();
    assert_eq!(lane("a.store-0"), Some("kv/x".to_owned()));
    assert_eq!(lane("a.purge-0"), Some("kv/x".to_owned()));
    assert_eq!(lane("a.store-1"), None);
    assert_eq!(plan.lanes["kv/x"].at_once, 1);
}

#[test]
fn what_leaked_is_preserved_before_it_is_removed_and_unlocked_after_every_proof() {
    let mut input =
        input(Strategy::KillFirst, vec![secret("db", ValidAtOnce::Many), secret("mq", ValidAtOnce::Many)]);
    let acts = vec![
        ChannelAct::Lock,
        ChannelAct::Preserve,
        ChannelAct::Remove,
        ChannelAct::Scan,
        ChannelAct::Unlock,
    ];
    input.leaked_in = vec![ChannelInput {
        name: "forge".to_owned(),
        target: "git forge".to_owned(),
        acts,
        lock: "nobody can push".to_owned(),
    }];
    let told = |input: &PlanInput| {
        let plan = lines(&compile(input).unwrap());
        plan.lines().filter(|line| line.starts_with("channel")).collect::<Vec<_>>().join("\n")
    };
    insta::assert_snapshot!(told(&input), @r"
    channel.forge.lock <- 
    channel.forge.preserve <- db.capture mq.capture
    channel.forge.remove! <- channel.forge.preserve
    channel.forge.scan <- db.prove mq.prove
    channel.forge.unlock <- channel.forge.lock channel.forge.scan
    ");
    // What cannot be preserved is not removed, and a place that cannot be scanned waits for the proofs alone.
    input.leaked_in[0].acts = vec![ChannelAct::Lock, ChannelAct::Remove, ChannelAct::Unlock];
    insta::assert_snapshot!(told(&input), @r"
    channel.forge.lock <- 
    channel.forge.unlock <- channel.forge.lock db.prove mq.prove
    ");
}

#[test]
fn people_come_after_each_other_and_consumers_are_seen_to_use_what_they_made() {
    let task =
        |name: &str, when| Task { name: name.to_owned(), when, what: "do".to_owned(), why: "why".to_owned() };
    let mut token = secret("token", ValidAtOnce::Many);
    token.capabilities.can_mint = false;
    token.tasks = vec![task("re-consent", TaskTime::Renew), task("tell", TaskTime::Renew)];
    let plan = compile(&input(Strategy::MakeBeforeBreak, vec![token])).unwrap();
    insta::assert_snapshot!(lines(&plan), @r"
    notice.opened.ops <- 
    token.capture <- 
    token.disable! <- token.capture
    token.sever! <- token.disable
    token.prove <- token.sever
    token.re-consent <- token.prove
    token.tell <- token.re-consent
    token.reload-api <- token.tell
    token.confirm-api <- token.reload-api
    token.reload-worker <- token.tell
    token.confirm-worker <- token.reload-worker
    notice.first-response.ops <- notice.opened.ops token.disable
    notice.contained.ops <- token.prove notice.opened.ops notice.first-response.ops
    ");
    // Nobody but people can end it: nothing is captured, and nothing is proven.
    let mut person = secret("ines", ValidAtOnce::One);
    (person.capabilities.can_mint, person.capabilities.can_disable, person.capabilities.can_probe) =
        (false, false, false);
    person.tasks = vec![task("reset", TaskTime::End), task("sessions", TaskTime::End)];
    let plan = compile(&input(Strategy::KillFirst, vec![person.clone()])).unwrap();
    insta::assert_snapshot!(lines(&plan), @r"
    notice.opened.ops <- 
    ines.reset <- 
    ines.sessions <- ines.reset
    notice.first-response.ops <- notice.opened.ops ines.reset
    notice.contained.ops <- ines.sessions notice.opened.ops notice.first-response.ops
    ");
    person.tasks.clear();
    assert!(matches!(compile(&input(Strategy::KillFirst, vec![person])), Err(CannotPlan::CannotProve(_))));
}
