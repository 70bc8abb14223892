//! Several nodes: ACLs are not replicated.

use quell_connect::connector::IssuerOp;
use quell_core::outcome::{Outcome, Probe};
use quell_testkit::redis::{Keeps, Server};
use serde_json::json;

use crate::{OLD, credential, fact, failed, is_accepted, is_refused, issuer, issuer_with, prepare, reason};

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
    let missing = "there are 1 replicas and 1 nodes are listed";
    assert!(one.warnings(None).await.iter().any(|it| it.contains(missing)));
    assert!(failed(&one.check().await)[0].contains(missing));
    assert!(!both.warnings(None).await.iter().any(|it| it.contains("replicas and")));
    assert_eq!(failed(&both.check().await), Vec::<&str>::new());
    let alone = issuer_with(
        &replica.url("boss", primary.password()),
        &json!({ "admin": "env:ADMIN", "user": "orders", "settle": "50ms" }),
    );
    assert!(failed(&alone.check().await)[0].contains("is a replica, and its primary is not listed"));

    assert!(one.perform(IssuerOp::Disable { old: &old }).await.outcome.is_applied());
    // It is refused where we asked, and that is no proof.
    let Probe::Inconclusive { reason: why } = one.probe(&old).await else {
        panic!("one of two is no answer")
    };
    assert!(why.contains(missing), "{why}");
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

#[tokio::test]
async fn a_node_that_hangs_keeps_nothing_from_the_others() {
    let server = Server::start(Keeps::File).unwrap();
    prepare(&[&server]);
    // It takes connections, and says nothing. Nodes are in order of their names.
    let hung = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let nodes = [hung.local_addr().unwrap().to_string(), format!("localhost:{}", server.port())];
    let config = json!({ "admin": "env:ADMIN", "user": "orders", "nodes": nodes });
    let limit = std::time::Duration::from_secs(2);
    let both = crate::built(&quell_connect::redis::CONNECTOR, &server.admin_url(), &config, limit);
    let half = both.perform(IssuerOp::Disable { old: &credential(OLD) }).await.outcome;
    assert!(matches!(half, Outcome::Unknown { .. }), "{half:?}");
    assert!(reason(&half).contains(&format!("done on {}", nodes[1])), "{half:?}");
    assert!(is_refused(&issuer(&[&server]).probe(&credential(OLD)).await));
    assert!(matches!(both.probe(&credential(OLD)).await, Probe::Inconclusive { .. }));
    assert!(both.sessions(&credential(OLD), None).await.is_err());
}

#[tokio::test]
async fn replicas_that_log_in_as_the_rotated_user_are_told() {
    let primary = Server::start(Keeps::File).unwrap();
    primary.ask(&["ACL", "SETUSER", "default", "on", &format!(">{OLD}"), "~*", "&*", "+@all"]).unwrap();
    let follow = format!("replicaof 127.0.0.1 {}", primary.port());
    let replica = Server::start_with(Keeps::File, &[&format!("masterauth {OLD}"), &follow]).unwrap();
    prepare(&[&primary, &replica]);
    let nodes = [primary.address(), replica.address()];
    let config = json!({ "admin": "env:ADMIN", "user": "default", "nodes": nodes });
    let issuer = issuer_with(&primary.admin_url(), &config);
    let linked = || primary.ask(&["CLIENT", "LIST"]).unwrap().lines().any(|line| line.contains("flags=S"));
    for _ in 0..200 {
        if linked() {
            break;
        }
        std::thread::sleep(std::time::Duration::from_millis(50));
    }
    let warnings = issuer.warnings(None).await;
    for words in [
        format!("{} logs in to its primary as `default`", replica.address()),
        format!("1 replicas are logged in to {} as `default`", primary.address()),
        "stay in redis.conf".to_owned(),
    ] {
        assert!(warnings.iter().any(|it| it.contains(&words)), "{words}: {warnings:?}");
    }
    assert!(!format!("{warnings:?}").contains(OLD));
}

#[tokio::test]
async fn a_node_of_a_cluster_that_is_left_out_is_counted() {
    let bus = [quell_testkit::free_port().unwrap(), quell_testkit::free_port().unwrap()];
    let start = |bus: u16| {
        let port = format!("cluster-port {bus}");
        Server::start_with(Keeps::File, &["cluster-enabled yes", &port]).unwrap()
    };
    let (first, second) = (start(bus[0]), start(bus[1]));
    prepare(&[&first, &second]);
    let (one, both) = (issuer(&[&first]), issuer(&[&first, &second]));
    let old = credential(OLD);
    assert_eq!(failed(&one.check().await), Vec::<&str>::new());
    let (port, bus) = (second.port().to_string(), bus[1].to_string());
    first.ask(&["CLUSTER", "MEET", "127.0.0.1", &port, &bus]).unwrap();
    for _ in 0..200 {
        if second.ask(&["CLUSTER", "INFO"]).unwrap().contains("cluster_known_nodes:2") {
            break;
        }
        std::thread::sleep(std::time::Duration::from_millis(50));
    }
    assert!(failed(&one.check().await)[0].contains("the cluster has 2 nodes and 1 are listed"));
    assert!(one.perform(IssuerOp::Disable { old: &old }).await.outcome.is_applied());
    assert!(matches!(one.probe(&old).await, Probe::Inconclusive { reason } if reason.contains("2 nodes")));
    assert!(is_accepted(&issuer(&[&second]).probe(&old).await), "this is why");
    assert_eq!(failed(&both.check().await), Vec::<&str>::new());
    assert!(both.perform(IssuerOp::Disable { old: &old }).await.outcome.is_applied());
    assert!(is_refused(&both.probe(&old).await));
}
