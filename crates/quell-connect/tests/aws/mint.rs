//! `CreateAccessKey` cannot be repeated, and a user has room for two.

use quell_connect::conformance::{Fault, FlakyProxy};
use quell_connect::connector::IssuerOp;
use quell_core::outcome::Outcome;
use serde_json::json;

use crate::{credential, facts, is_accepted, issuer, issuer_at, keys_of, prepared, reason};

#[tokio::test]
async fn a_lost_answer_never_leaves_two_new_keys() {
    let (aws, old) = prepared();
    let proxy = FlakyProxy::start(([127, 0, 0, 1], aws.port()).into()).unwrap();
    let far =
        issuer_at(&format!("http://{}", proxy.address()), &aws.admin().json(), &json!({ "settle": "1s" }));
    let chosen = far.choose(Some(&credential(&old)), "here/INC-2026-0001/orders.mint").await.unwrap();
    let op = IssuerOp::Install { new: &chosen };
    for action in ["GetCallerIdentity", "ListAccessKeys", "ListUserTags", "TagUser", "CreateAccessKey"] {
        // What an earlier turn left is found first.
        std::thread::sleep(std::time::Duration::from_millis(1100));
        let struck = proxy.struck();
        proxy.once(Fault::DropAnswerTo(format!("Action={action}").into_bytes())).await;
        let outcome = far.perform(op).await.outcome;
        assert_eq!(proxy.struck(), struck + 1, "{action} was not sent");
        assert!(matches!(outcome, Outcome::Unknown { .. }), "{action}: {outcome:?}");
        let made = action == "CreateAccessKey";
        assert_eq!(aws.keys_of("orders").unwrap().len(), if made { 2 } else { 1 }, "{action}");
    }
    let seen = far.observe(op).await.outcome;
    assert!(reason(&seen).contains("its secret was lost with the answer"), "{seen:?}");
    let lost = aws.keys_of("orders").unwrap()[1].0.clone();
    // The answer to the deletion is lost, too.
    proxy.once(Fault::DropAnswerTo(b"Action=DeleteAccessKey".to_vec())).await;
    assert!(matches!(far.perform(op).await.outcome, Outcome::Unknown { .. }));
    assert_eq!(aws.keys_of("orders").unwrap().len(), 1);
    std::thread::sleep(std::time::Duration::from_millis(1100));
    let performed = far.perform(op).await;
    let minted = performed.minted.unwrap();
    assert_ne!(minted.principal, lost);
    let held: Vec<String> = aws.keys_of("orders").unwrap().into_iter().map(|(id, _)| id).collect();
    assert_eq!(held, [old.id.clone(), minted.principal.clone()]);
    assert!(aws.caller().who(&keys_of(&minted)).unwrap().is_ok() && is_accepted(&far.probe(&minted).await));
    assert!(far.observe(IssuerOp::Install { new: &minted }).await.outcome.is_applied());
}

#[tokio::test]
async fn what_aws_does_not_show_yet_is_waited_for() {
    let (aws, old) = prepared();
    let slow = issuer_at(&aws.addr(), &aws.admin().json(), &json!({ "settle": "1h" }));
    let chosen = slow.choose(Some(&credential(&old)), "tag").await.unwrap();
    let op = IssuerOp::Install { new: &chosen };
    let minted = slow.perform(op).await.minted.unwrap();
    // As if the list lagged behind: the key that was made is not in it.
    aws.iam(&[("Action", "DeleteAccessKey"), ("UserName", "orders"), ("AccessKeyId", &minted.principal)])
        .unwrap();
    for outcome in [slow.perform(op).await.outcome, slow.observe(op).await.outcome] {
        let Outcome::NotApplied { retryable: true, retry_after_ms: Some(wait), .. } = outcome else {
            panic!("{outcome:?}")
        };
        assert!((3_000_000..=3_600_000).contains(&wait), "{wait}");
    }
    assert_eq!(aws.keys_of("orders").unwrap().len(), 1);
}

#[tokio::test]
async fn a_key_that_somebody_else_made_is_not_taken_for_ours() {
    let (aws, old) = prepared();
    let issuer = issuer(&aws);
    let other = issuer.choose(Some(&credential(&old)), "another step").await.unwrap();
    let theirs = issuer.perform(IssuerOp::Install { new: &other }).await.minted.unwrap();
    let chosen = issuer.choose(Some(&credential(&old)), "this step").await.unwrap();
    let outcome = issuer.perform(IssuerOp::Install { new: &chosen }).await.outcome;
    assert!(reason(&outcome).contains("user orders has two keys"), "{outcome:?}");
    assert!(is_accepted(&issuer.probe(&theirs).await));
}

#[tokio::test]
async fn a_full_house_is_named_and_emptied_only_when_the_inventory_says_so() {
    let (aws, old) = prepared();
    let second = aws.key("orders").unwrap();
    aws.caller().who(&second).unwrap().unwrap();
    let may = issuer_at(&aws.addr(), &aws.admin().json(), &json!({ "when_full": "delete_inactive" }));
    let chosen = may.choose(Some(&credential(&old)), "tag").await.unwrap();
    let op = IssuerOp::Install { new: &chosen };
    let outcome = issuer(&aws).perform(op).await.outcome;
    assert!(matches!(outcome, Outcome::NotApplied { retryable: false, .. }), "{outcome:?}");
    for word in [old.id.as_str(), &second.id, "\"service\":\"sts\"", "never", "when_full: delete_inactive"] {
        assert!(reason(&outcome).contains(word), "{word}: {outcome:?}");
    }
    // Both are active: nothing is deleted.
    assert!(reason(&may.perform(op).await.outcome).contains("both are active"));
    assert_eq!(aws.keys_of("orders").unwrap().len(), 2);
    assert!(may.perform(IssuerOp::Disable { old: &credential(&old) }).await.outcome.is_applied());
    let outcome = issuer(&aws).perform(op).await.outcome;
    assert!(reason(&outcome).contains("Inactive"), "{outcome:?}");
    let performed = may.perform(op).await;
    assert_eq!(facts(&performed.outcome)["deleted_for_room"]["key"], json!(old.id));
    let held: Vec<String> = aws.keys_of("orders").unwrap().into_iter().map(|(id, _)| id).collect();
    assert_eq!(held, [second.id, performed.minted.unwrap().principal]);
    // What was deleted is as dead as what is inactive.
    for op in [
        IssuerOp::Disable { old: &credential(&old) },
        IssuerOp::Sever { old: &credential(&old), cutoff: None },
    ] {
        assert!(may.perform(op).await.outcome.is_applied());
    }
}
