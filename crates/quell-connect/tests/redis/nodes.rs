//! Several nodes: ACLs are not replicated.

use quell_connect::connector::IssuerOp;
use quell_core::outcome::{Outcome, Probe};
use quell_testkit::redis::{Keeps, Server};

use crate::{OLD, credential, fact, is_accepted, is_refused, issuer, prepare, reason};

fn two() -> (Server, Server) {
    let primary = Server::start(Keeps::File).unwrap();
    let boss = format!("masterauth {}", primary.password());
    let follow = format!("replicaof 127.0.0.1 {}", primary.port());
    let replica = Server::start_with(Keeps::File, &["masteruser boss", &boss, &follow]).unwrap();
    prepare(&[&primary, &replica]);
    (primary, replica)
}

#[tokio::test]
async fn a_replica_that_is_left_out_still_takes_the_old_password_and_that_is_said() {
    let (primary, replica) = two();
    let (one, both) = (issuer(&[&primary]), issuer(&[&primary, &replica]));
    let old = credential(OLD);
    for _ in 0..200 {
        if primary.ask(&["INFO", "replication"]).unwrap().contains("connected_slaves:1") {
            break;
        }
        std::thread::sleep(std::time::Duration::from_millis(50));
    }
    assert!(one.warnings(None).await.iter().any(|it| it.contains("1 replicas and 1 nodes are listed")));
    assert!(!both.warnings(None).await.iter().any(|it| it.contains("replicas and")));

    assert!(one.perform(IssuerOp::Disable { old: &old }).await.outcome.is_applied());
    assert!(is_refused(&one.probe(&old).await));
    // Whoever knows both nodes is not fooled.
    let Probe::Inconclusive { reason: why } = both.probe(&old).await else {
        panic!("one of two is no answer")
    };
    assert!(why.contains(&format!("accepted by {}", replica.address())), "{why}");
    let seen = both.observe(IssuerOp::Disable { old: &old }).await.outcome;
    assert!(matches!(seen, Outcome::NotApplied { retryable: true, .. }), "{seen:?}");
    let done = both.perform(IssuerOp::Disable { old: &old }).await.outcome;
    assert_eq!(fact(&done, "nodes")[primary.address()]["already"], true);
    assert_eq!(fact(&done, "nodes")[replica.address()]["already"], false);
    assert!(is_refused(&both.probe(&old).await));
}

#[tokio::test]
async fn a_node_that_is_away_keeps_nothing_from_the_others_and_nothing_is_called_done() {
    let (primary, mut replica) = two();
    let both = issuer(&[&primary, &replica]);
    let (old, new) = (credential(OLD), both.choose(Some(&credential(OLD)), "tag").await.unwrap());
    replica.stop();
    let half = both.perform(IssuerOp::Install { new: &new }).await.outcome;
    assert!(matches!(half, Outcome::Unknown { .. }), "{half:?}");
    assert!(reason(&half).contains(&format!("done on {}", primary.address())), "{half:?}");
    assert!(matches!(both.probe(&new).await, Probe::Inconclusive { .. }));
    assert!(matches!(both.observe(IssuerOp::Install { new: &new }).await.outcome, Outcome::Unknown { .. }));
    assert!(both.sessions(&old, None).await.is_err());
    replica.restart().unwrap();
    // The replica kept nothing of its users: it was never told to save them.
    prepare(&[&primary, &replica]);
    let whole = both.perform(IssuerOp::Install { new: &new }).await.outcome;
    assert_eq!(fact(&whole, "nodes")[primary.address()]["already"], true);
    assert_eq!(fact(&whole, "nodes")[replica.address()]["already"], false);
    assert!(is_accepted(&both.probe(&new).await) && is_accepted(&both.probe(&old).await));
}
