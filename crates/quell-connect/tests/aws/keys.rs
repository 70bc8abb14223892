//! One user: the contract, sessions, who may do it.

use quell_connect::conformance;
use quell_connect::connector::IssuerOp;
use quell_core::outcome::{Outcome, Probe};
use quell_core::secret::{Credential, SecretValue};
use quell_testkit::moto::Keys;
use serde_json::{Value, json};

use crate::{
    credential, facts, failed, is_accepted, is_refused, issuer, issuer_at, keys_of, prepared, reason,
};

#[tokio::test]
async fn the_contract_is_kept_for_json_and_for_a_pair() {
    for as_json in [true, false] {
        let (aws, old) = prepared();
        let text = if as_json {
            json!({ "region": "eu-west-1", "AccessKeyId": old.id, "SecretAccessKey": old.secret }).to_string()
        } else {
            old.pair()
        };
        let value = SecretValue::from_text(text);
        conformance::issuer(&*issuer(&aws), &Credential { principal: old.id.clone(), value }).await.unwrap();
        let held = aws.keys_of("orders").unwrap();
        let states: Vec<&str> = held.iter().map(|(_, status)| status.as_str()).collect();
        assert_eq!(states, ["Active"], "one live key, whatever was tried");
    }
}

#[tokio::test]
async fn the_page_grants_what_is_needed_and_not_less() {
    let (aws, old) = prepared();
    let page = quell_connect::aws_iam::CONNECTOR.readme;
    let policy = page.split("```json\n").nth(1).unwrap().split("```").next().unwrap();
    let policy: Value = serde_json::from_str(policy).unwrap();
    let statements = policy["Statement"].as_array().unwrap();
    let actions: Vec<&str> = statements
        .iter()
        .flat_map(|one| one["Action"].as_array().unwrap())
        .map(|it| it.as_str().unwrap())
        .collect();
    let least = aws.user("quell", &actions).unwrap();
    let arn = "arn:aws:iam::123456789012:user/orders";
    aws.role("deploy", arn, &["s3:ListAllMyBuckets"]).unwrap();
    let with = json!({ "roles": ["deploy"] });
    let issuer = issuer_at(&aws.addr(), &least.json(), &with);
    assert_eq!(failed(&issuer.check().await), Vec::<&str>::new());
    conformance::issuer(&*issuer, &credential(&old)).await.unwrap();

    // Without one of them something fails, or is said to be not known.
    for (n, action) in actions.iter().enumerate() {
        let rest: Vec<&str> = actions.iter().filter(|other| *other != action).copied().collect();
        let (user, admin) = (format!("orders{n}"), aws.user(&format!("less{n}"), &rest).unwrap());
        let old = credential(&aws.user(&user, &["s3:ListAllMyBuckets"]).unwrap());
        let issuer = issuer_at(&aws.addr(), &admin.json(), &json!({ "roles": ["deploy"], "user": user }));
        let chosen = issuer.choose(Some(&old), "tag").await.unwrap();
        let mut told = vec![format!("{:?}", issuer.check().await)];
        let install = IssuerOp::Install { new: &chosen };
        let sever = IssuerOp::Sever { old: &old, cutoff: None };
        for op in [install, install, IssuerOp::Disable { old: &old }, sever] {
            told.push(format!(
                "{:?} {:?}",
                issuer.perform(op).await.outcome,
                issuer.observe(op).await.outcome
            ));
        }
        // moto has no event history, so what is needed for that is not missed.
        let told = told.concat();
        let missed = told.contains("AccessDenied") || *action == "cloudtrail:LookupEvents";
        assert!(missed, "{action}: {told}");
    }
}

#[tokio::test]
async fn a_probe_tells_that_a_key_is_active_and_no_more() {
    let (aws, old) = prepared();
    let issuer = issuer(&aws);
    // Denied everything, and still alive: that is no proof of anything.
    let deny = r#"{"Version":"2012-10-17","Statement":[{"Effect":"Deny","Action":"*","Resource":"*"}]}"#;
    aws.iam(&[
        ("Action", "PutUserPolicy"),
        ("UserName", "orders"),
        ("PolicyName", "no"),
        ("PolicyDocument", deny),
    ])
    .unwrap();
    assert!(is_accepted(&issuer.probe(&credential(&old)).await));
    let wrong = Keys { secret: "x".repeat(40), ..old.clone() };
    let probe = issuer.probe(&credential(&wrong)).await;
    assert!(
        matches!(&probe, Probe::Inconclusive { reason } if reason.starts_with("SignatureDoesNotMatch")),
        "{probe:?}"
    );
    assert!(issuer.perform(IssuerOp::Disable { old: &credential(&old) }).await.outcome.is_applied());
    assert!(is_refused(&issuer.probe(&credential(&old)).await));
    assert!(is_refused(&issuer.probe(&credential(&wrong)).await));
    aws.iam(&[("Action", "DeleteAccessKey"), ("UserName", "orders"), ("AccessKeyId", &old.id)]).unwrap();
    assert!(is_refused(&issuer.probe(&credential(&old)).await));
}

#[tokio::test]
async fn sessions_from_before_are_denied_and_later_ones_are_spared() {
    let (aws, old) = prepared();
    let arn = "arn:aws:iam::123456789012:user/orders";
    let role = aws.role("deploy", arn, &["iam:ListUsers"]).unwrap();
    let also = json!({ "Version": "2012-10-17", "Statement": [{ "Effect": "Allow", "Action": "sts:AssumeRole", "Resource": "*" }] });
    aws.iam(&[
        ("Action", "PutUserPolicy"),
        ("UserName", "orders"),
        ("PolicyName", "assume"),
        ("PolicyDocument", &also.to_string()),
    ])
    .unwrap();
    let may = |keys: &Keys| aws.caller().query("iam", keys, &[("Action", "ListUsers")]).unwrap().0 == 200;
    let stranger = aws.caller().assume(&old, &role).unwrap();
    assert!(may(&stranger));
    let issuer = issuer_at(&aws.addr(), &aws.admin().json(), &json!({ "roles": ["deploy"] }));
    let disabled = issuer.perform(IssuerOp::Disable { old: &credential(&old) }).await.outcome;
    assert!(facts(&disabled)["last_used"]["service"] == "sts", "{disabled:?}");
    // The trap: the key is dead and what it opened is not.
    assert!(may(&stranger));
    let open = issuer.sessions(&credential(&old), None).await.unwrap_err();
    assert!(open.to_string().contains("sessions may live"), "{open}");
    let severed = issuer.perform(IssuerOp::Sever { old: &credential(&old), cutoff: None }).await.outcome;
    assert_eq!(facts(&severed)["denied_to"], json!(["orders", "deploy"]));
    assert!(facts(&severed)["made_with_the_key"]["not_known"].is_string(), "moto has no event history");
    assert!(!may(&stranger));
    assert_eq!(issuer.sessions(&credential(&old), None).await.unwrap(), 0);
    // The user's next key is not hurt, and neither are sessions that begin after the cut.
    let other = aws.key("orders").unwrap();
    assert!(aws.caller().who(&other).unwrap().is_ok());
    std::thread::sleep(std::time::Duration::from_millis(2100));
    assert!(may(&aws.caller().assume(&other, &role).unwrap()));
    // Somebody takes the policy away.
    let name = facts(&severed)["policy"].as_str().unwrap().to_owned();
    aws.iam(&[("Action", "DeleteRolePolicy"), ("RoleName", "deploy"), ("PolicyName", &name)]).unwrap();
    let seen = issuer.observe(IssuerOp::Sever { old: &credential(&old), cutoff: None }).await.outcome;
    assert!(reason(&seen).contains("no policy of `deploy`"), "{seen:?}");
    assert!(issuer.sessions(&credential(&old), None).await.is_err());
}

#[tokio::test]
async fn one_policy_serves_all_leaks_and_an_earlier_one_is_not_believed() {
    let (aws, first) = prepared();
    let (issuer, first) = (issuer(&aws), credential(&first));
    let cutoff = |disabled: &Outcome| facts(disabled)["cutoff"].as_str().unwrap().to_owned();
    let early = cutoff(&issuer.perform(IssuerOp::Disable { old: &first }).await.outcome);
    let first_sever = IssuerOp::Sever { old: &first, cutoff: Some(&early) };
    assert!(issuer.perform(first_sever).await.outcome.is_applied());
    assert!(issuer.observe(first_sever).await.outcome.is_applied());

    // The user's next key leaks, later.
    std::thread::sleep(std::time::Duration::from_millis(2100));
    let second = credential(&aws.key("orders").unwrap());
    let late = cutoff(&issuer.perform(IssuerOp::Disable { old: &second }).await.outcome);
    assert_eq!(
        late,
        cutoff(&issuer.observe(IssuerOp::Disable { old: &second }).await.outcome).min(late.clone())
    );
    assert!(late > early, "{late} {early}");
    for cutoff in [Some(late.as_str()), None] {
        let seen = issuer.observe(IssuerOp::Sever { old: &second, cutoff }).await.outcome;
        assert!(reason(&seen).contains("is of an earlier leak"), "{seen:?}");
        assert!(issuer.sessions(&second, cutoff).await.is_err());
    }
    let second_sever = IssuerOp::Sever { old: &second, cutoff: Some(&late) };
    assert!(issuer.perform(second_sever).await.outcome.is_applied());
    assert!(issuer.observe(second_sever).await.outcome.is_applied());
    assert_eq!(issuer.sessions(&second, Some(&late)).await.unwrap(), 0);

    // What is done late about the first leak does not move the time back.
    let again = issuer.perform(first_sever).await.outcome;
    assert_eq!(facts(&again)["sessions_before"], json!(late));
    assert!(issuer.observe(first_sever).await.outcome.is_applied());
    assert!(issuer.observe(second_sever).await.outcome.is_applied());
    let names = aws.iam(&[("Action", "ListUserPolicies"), ("UserName", "orders")]).unwrap();
    assert_eq!(names.matches("Quell").count(), 1, "{names}");
}

#[tokio::test]
async fn a_key_of_another_account_is_not_called_deleted() {
    let (aws, _) = prepared();
    let issuer = issuer(&aws);
    // As AWS writes the account 210987654321 into an id.
    let id = format!("AKIA{}{}", "TCH6YDSY", "RAAAAAAA");
    let secret = "x".repeat(40);
    let foreign =
        Credential { principal: id.clone(), value: SecretValue::from_text(format!("{id}:{secret}")) };
    for outcome in
        [issuer.perform(IssuerOp::Disable { old: &foreign }).await.outcome, issuer.retire(&foreign).await]
    {
        assert!(matches!(outcome, Outcome::NotApplied { retryable: false, .. }), "{outcome:?}");
        let words = "is of account 210987654321, and `admin` is of account 123456789012";
        assert!(reason(&outcome).contains(words), "{outcome:?}");
    }
    let seen = issuer.observe(IssuerOp::Disable { old: &foreign }).await.outcome;
    assert!(matches!(seen, Outcome::Unknown { .. }), "{seen:?}");
}

#[tokio::test]
async fn keys_and_users_that_are_gone_or_elsewhere_are_told_apart() {
    let (aws, old) = prepared();
    let elsewhere = aws.user("billing", &["s3:*"]).unwrap();
    let issuer = issuer(&aws);
    let outcome = issuer.perform(IssuerOp::Disable { old: &credential(&elsewhere) }).await.outcome;
    assert!(matches!(outcome, Outcome::NotApplied { retryable: false, .. }), "{outcome:?}");
    assert!(reason(&outcome).contains("user/billing, not of user orders"), "{outcome:?}");
    assert!(aws.caller().who(&elsewhere).unwrap().is_ok(), "another user's key is not touched");
    aws.iam(&[("Action", "DeleteAccessKey"), ("UserName", "orders"), ("AccessKeyId", &old.id)]).unwrap();
    let outcome = issuer.perform(IssuerOp::Disable { old: &credential(&old) }).await.outcome;
    assert_eq!(facts(&outcome)["status"], "deleted");
    assert_eq!(facts(&outcome)["account"], "123456789012");
    aws.iam(&[("Action", "DeleteUserPolicy"), ("UserName", "orders"), ("PolicyName", "may")]).unwrap();
    aws.iam(&[("Action", "DeleteUser"), ("UserName", "orders")]).unwrap();
    for op in [
        IssuerOp::Disable { old: &credential(&old) },
        IssuerOp::Sever { old: &credential(&old), cutoff: None },
    ] {
        let outcome = issuer.perform(op).await.outcome;
        assert!(outcome.is_applied(), "{outcome:?}");
        assert!(issuer.observe(op).await.outcome.is_applied());
    }
    assert_eq!(issuer.sessions(&credential(&old), None).await.unwrap(), 0);
    let chosen = issuer.choose(Some(&credential(&old)), "tag").await.unwrap();
    let outcome = issuer.perform(IssuerOp::Install { new: &chosen }).await.outcome;
    assert!(reason(&outcome).contains("there is no user orders"), "{outcome:?}");
    assert!(failed(&issuer.check().await)[0].contains("there is no user orders"));
}

#[tokio::test]
async fn the_user_itself_is_no_administrator_of_its_keys() {
    let aws = quell_testkit::moto::Aws::start().unwrap();
    let old = aws.user("orders", &["*"]).unwrap();
    let second = aws.key("orders").unwrap();
    for admin in [&old, &second] {
        let issuer = issuer_at(&aws.addr(), &admin.json(), &json!({}));
        let outcome = issuer.perform(IssuerOp::Disable { old: &credential(&old) }).await.outcome;
        assert!(matches!(outcome, Outcome::NotApplied { retryable: false, .. }), "{outcome:?}");
        assert!(reason(&outcome).contains("use a key or a role of another principal"), "{outcome:?}");
        assert!(matches!(issuer.control().await, Probe::Inconclusive { .. }));
        assert_eq!(failed(&issuer.check().await).len(), 1);
    }
    assert!(aws.caller().who(&old).unwrap().is_ok());
    // A session of a role that it may assume is another principal.
    let role = aws.role("keys", "arn:aws:iam::123456789012:user/orders", &["iam:*"]).unwrap();
    let session = aws.caller().assume(&old, &role).unwrap();
    // Unless its own sessions are to be denied.
    let suicidal = issuer_at(&aws.addr(), &session.json(), &json!({ "roles": ["keys"] }));
    let outcome = suicidal.perform(IssuerOp::Disable { old: &credential(&old) }).await.outcome;
    assert!(reason(&outcome).contains("would stop Quell"), "{outcome:?}");
    assert!(aws.caller().who(&old).unwrap().is_ok());
    let issuer = issuer_at(&aws.addr(), &session.json(), &json!({}));
    assert!(is_accepted(&issuer.control().await));
    assert!(issuer.perform(IssuerOp::Disable { old: &credential(&old) }).await.outcome.is_applied());
}

#[tokio::test]
async fn the_leaked_key_is_deleted_when_it_is_dead_and_its_last_use_is_kept() {
    let (aws, old) = prepared();
    aws.caller().who(&old).unwrap().unwrap();
    let (old, issuer) = (credential(&old), issuer(&aws));
    let refused = issuer.retire(&old).await;
    assert!(matches!(refused, Outcome::NotApplied { retryable: false, .. }), "{refused:?}");
    assert!(reason(&refused).contains("is active"), "{refused:?}");
    assert!(issuer.perform(IssuerOp::Disable { old: &old }).await.outcome.is_applied());
    assert!(reason(&issuer.observe_retire(&old).await).contains("is there, Inactive"));
    let deleted = issuer.retire(&old).await;
    assert_eq!(facts(&deleted)["as_it_was"][0]["last_used"]["service"], "sts", "{deleted:?}");
    assert_eq!(aws.keys_of("orders").unwrap(), []);
    assert!(issuer.observe_retire(&old).await.is_applied() && issuer.retire(&old).await.is_applied());
    let keeps = issuer_at(&aws.addr(), &aws.admin().json(), &json!({ "when_proven": "keep" }));
    assert!(issuer.retires() && !keeps.retires());
}

#[tokio::test]
async fn a_quarantine_of_awss_is_said_and_left() {
    let (aws, old) = prepared();
    let name = "AWSCompromisedKeyQuarantineV3";
    // Some of what AWS's own denies.
    let deny = r#"{"Version":"2012-10-17","Statement":[{"Effect":"Deny","Action":["iam:CreateAccessKey","iam:UpdateAccessKey"],"Resource":"*"}]}"#;
    aws.iam(&[("Action", "CreatePolicy"), ("PolicyName", name), ("PolicyDocument", deny)]).unwrap();
    let policy = "arn:aws:iam::123456789012:policy/AWSCompromisedKeyQuarantineV3";
    aws.iam(&[("Action", "AttachUserPolicy"), ("UserName", "orders"), ("PolicyArn", policy)]).unwrap();
    let issuer = issuer(&aws);
    let warnings = issuer.warnings(Some(&credential(&old).value)).await.join("\n");
    assert!(warnings.contains("attached AWSCompromisedKeyQuarantineV3"), "{warnings}");
    assert!(warnings.contains("Quell acts as arn:aws:iam::123456789012:user/boss"), "{warnings}");
    let outcome = issuer.perform(IssuerOp::Disable { old: &credential(&old) }).await.outcome;
    assert_eq!(facts(&outcome)["quarantine"], json!(["AWSCompromisedKeyQuarantineV3"]));
    let chosen = issuer.choose(Some(&credential(&old)), "tag").await.unwrap();
    let minted = issuer.perform(IssuerOp::Install { new: &chosen }).await.minted.unwrap();
    assert!(aws.caller().who(&keys_of(&minted)).unwrap().is_ok());
    let left = aws.iam(&[("Action", "ListAttachedUserPolicies"), ("UserName", "orders")]).unwrap();
    assert!(left.contains("AWSCompromisedKeyQuarantineV3"));
}
