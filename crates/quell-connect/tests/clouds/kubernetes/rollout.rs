//! A workload as consumer: what is seen of its pods while they are replaced.

use std::time::Duration;

use quell_connect::conformance::{self, Fault, FlakyProxy, Subject};
use quell_connect::connector::{Observe, Reload, Seen};
use quell_connect::kubernetes_rollout::CONNECTOR;
use quell_core::outcome::Outcome;
use quell_testkit::model::kubernetes::{Cluster, Kind, Pace};
use serde_json::{Value, json};

use crate::{LONG, SHORT, context, failed, is_unknown, reason, refused};

const KINDS: [(Kind, &str); 3] = [
    (Kind::Deployment, "deployment/api"),
    (Kind::StatefulSet, "statefulset/api"),
    (Kind::DaemonSet, "daemonset/api"),
];

fn config(server: &str, workload: &str) -> Value {
    let cluster = json!({ "server": server, "token": "env:TOKEN" });
    json!({ "kubernetes_rollout": {
        "namespace": "shop", "workload": workload, "secret": "orders", "cluster": cluster,
    } })
}

fn both(server: &str, token: &str, workload: &str) -> (Box<dyn Reload>, Box<dyn Observe>) {
    let (config, context) = (config(server, workload), context(token, LONG));
    (
        CONNECTOR.reload.unwrap()(&config, &context).unwrap(),
        CONNECTOR.observe.unwrap()(&config, &context).unwrap(),
    )
}

/// Three pods that read `old` when they started.
fn running(kind: Kind, pace: Pace) -> Cluster {
    let cluster = Cluster::start().unwrap();
    cluster.secret("orders", "url", "old", &json!({}));
    cluster.workload(kind, "api", 3, ("orders", "url"), pace);
    cluster
}

fn write_new(cluster: &Cluster) {
    cluster.edit("orders", &json!({ "data": { "url": "bmV3" } }));
}

fn why(seen: &Seen) -> &str {
    assert!(!seen.healthy, "{seen:?}");
    seen.why.as_deref().unwrap()
}

#[tokio::test]
async fn the_contract_is_kept_for_every_kind() {
    for (kind, workload) in KINDS {
        let cluster = running(kind, Pace::EachLook);
        let (reload, observe) = both(&cluster.addr(), "boss", workload);
        conformance::observe(&*observe, &[]).await.unwrap();
        conformance::reload(&*reload, &[]).await.unwrap();
    }
}

#[tokio::test]
async fn it_is_seen_only_when_no_pod_holds_the_old_value() {
    for (kind, workload) in KINDS {
        let cluster = running(kind, Pace::Held);
        let (reload, observe) = both(&cluster.addr(), "boss", workload);
        let before = observe.see().await.unwrap();
        assert!(before.healthy && before.generation.is_some(), "{before:?}");
        write_new(&cluster);
        // Pods do not see it by themselves, and nothing is claimed.
        assert_eq!(observe.see().await.unwrap(), before);
        assert!(reload.reload().await.is_applied());
        let seen = observe.see().await.unwrap();
        assert!(why(&seen).contains("has not seen the last change"), "{seen:?}");
        let mut ending_seen = false;
        for _ in 0..40 {
            cluster.tick(kind, "api");
            let seen = observe.see().await.unwrap();
            let held = cluster.held(kind, "api");
            if seen.healthy {
                assert!(held.len() == 3 && held.iter().all(|value| value == "new"), "{workload}: {held:?}");
                assert_ne!(seen.generation, before.generation, "{workload}");
                break;
            }
            ending_seen |= why(&seen).contains("1 pods of an older template are left, 1 of them ending");
        }
        assert!(observe.see().await.unwrap().healthy, "{workload}: it comes to an end");
        // The trap: the status counts three new pods that are ready while an old one still ends.
        assert!(ending_seen, "{workload}");
    }
}

#[tokio::test]
async fn more_pods_are_no_new_template() {
    let cluster = running(Kind::Deployment, Pace::EachLook);
    let (_, observe) = both(&cluster.addr(), "boss", "deployment/api");
    let before = observe.see().await.unwrap();
    write_new(&cluster);
    cluster.edit_workload(Kind::Deployment, "api", &json!({ "spec": { "replicas": 5 } }));
    for _ in 0..20 {
        observe.see().await.unwrap();
    }
    let after = observe.see().await.unwrap();
    assert!(after.healthy && cluster.held(Kind::Deployment, "api").contains(&"old".to_owned()));
    assert_eq!(after.generation, before.generation, "the two new pods say nothing about the three old ones");
    assert!(before.generation.unwrap().parse::<u64>().is_err(), "it is never compared as a number");
}

#[tokio::test]
async fn a_rollout_that_stands_still_is_named() {
    let cluster = running(Kind::Deployment, Pace::EachLook);
    let (reload, observe) = both(&cluster.addr(), "boss", "deployment/api");
    cluster.stall(Kind::Deployment, "api");
    assert!(reload.reload().await.is_applied());
    for _ in 0..10 {
        observe.see().await.unwrap();
    }
    let seen = observe.see().await.unwrap();
    assert!(why(&seen).contains("ProgressDeadlineExceeded") && why(&seen).contains("timed out"), "{seen:?}");
    assert!(failed(&observe.check().await).concat().contains("ProgressDeadlineExceeded"));
    assert!(cluster.held(Kind::Deployment, "api").contains(&"old".to_owned()));
}

#[tokio::test]
async fn what_a_restart_would_not_reach_is_refused_before() {
    for (kind, workload, change, words) in [
        (Kind::Deployment, "deployment/api", json!({ "paused": true }), "kubectl rollout resume"),
        (
            Kind::DaemonSet,
            "daemonset/api",
            json!({ "updateStrategy": { "type": "OnDelete" } }),
            "use RollingUpdate",
        ),
        (
            Kind::StatefulSet,
            "statefulset/api",
            json!({ "updateStrategy": { "type": "RollingUpdate", "rollingUpdate": { "partition": 2 } } }),
            "its partition is 2",
        ),
    ] {
        let cluster = running(kind, Pace::EachLook);
        cluster.edit_workload(kind, "api", &json!({ "spec": change }));
        let (reload, _) = both(&cluster.addr(), "boss", workload);
        refused(&reload.reload().await, words);
        assert!(failed(&reload.check().await).concat().contains(words));
        assert!(!cluster.lines().iter().any(|line| line.starts_with("PATCH")));
    }
}

/// The trap of generated names: the pods are new and healthy, and read a Secret that nobody wrote.
#[tokio::test]
async fn pods_that_read_another_secret_are_not_confirmed() {
    let cluster = Cluster::start().unwrap();
    cluster.secret("orders", "url", "new", &json!({}));
    cluster.secret("orders-7h2k", "url", "old", &json!({}));
    cluster.workload(Kind::Deployment, "api", 2, ("orders-7h2k", "url"), Pace::EachLook);
    let (reload, observe) = both(&cluster.addr(), "boss", "deployment/api");
    let seen = observe.see().await.unwrap();
    assert!(why(&seen).contains("does not refer to the Secret `orders`, but to: orders-7h2k"), "{seen:?}");
    refused(&reload.reload().await, "orders-7h2k");
    assert_eq!(cluster.held(Kind::Deployment, "api"), ["old", "old"]);
}

#[tokio::test]
async fn missing_rights_and_lost_answers_are_named() {
    let cluster = running(Kind::Deployment, Pace::EachLook);
    let all = ["get deployments", "patch deployments", "list replicasets", "list pods"];
    cluster.allow("least", &all);
    let (reload, observe) = both(&cluster.addr(), "least", "deployment/api");
    conformance::observe(&*observe, &[]).await.unwrap();
    conformance::reload(&*reload, &[]).await.unwrap();
    for missing in all {
        let rest: Vec<&str> = all.into_iter().filter(|may| *may != missing).collect();
        cluster.allow("less", &rest);
        let (reload, observe) = both(&cluster.addr(), "less", "deployment/api");
        let told = format!("{:?} {:?}", reload.reload().await, observe.see().await);
        let (verb, resource) = missing.split_once(' ').unwrap();
        assert!(told.contains(&format!("give `{verb}` on {resource}")), "{missing}: {told}");
    }
    let proxy = FlakyProxy::start(([127, 0, 0, 1], cluster.port()).into()).unwrap();
    let (reload, _) = both(&format!("http://{}", proxy.address()), "boss", "deployment/api");
    proxy.once(Fault::DropAnswerTo(b"PATCH /apis".to_vec())).await;
    let outcome = reload.reload().await;
    assert!(is_unknown(&outcome), "{outcome:?}");
    cluster.hold_back(1);
    let outcome = reload.reload().await;
    assert!(matches!(outcome, Outcome::NotApplied { retry_after_ms: Some(7000), .. }), "{outcome:?}");
    assert!(reason(&outcome).contains("flow control"));
    for role in ["reload", "observe"] {
        conformance::hung(Duration::from_secs(5), |address| {
            let (config, context) =
                (config(&format!("http://{address}"), "deployment/api"), context("boss", SHORT));
            if role == "reload" {
                Subject::Reload(CONNECTOR.reload.unwrap()(&config, &context).unwrap())
            } else {
                Subject::Observe(CONNECTOR.observe.unwrap()(&config, &context).unwrap())
            }
        })
        .await
        .unwrap();
    }
}

/// The trap: with `revisionHistoryLimit: 0` the old `ReplicaSet` is gone while its last pod still ends.
#[tokio::test]
async fn a_pod_whose_replica_set_is_gone_still_counts() {
    let cluster = running(Kind::Deployment, Pace::Held);
    let (reload, observe) = both(&cluster.addr(), "boss", "deployment/api");
    write_new(&cluster);
    assert!(reload.reload().await.is_applied());
    cluster.clean(Kind::Deployment, "api");
    let mut ended = false;
    for _ in 0..40 {
        cluster.tick(Kind::Deployment, "api");
        let seen = observe.see().await.unwrap();
        if seen.healthy {
            let held = cluster.held(Kind::Deployment, "api");
            assert!(held.iter().all(|value| value == "new"), "{held:?}");
            ended = true;
        }
    }
    assert!(ended, "it comes to an end");
}

#[tokio::test]
async fn lists_of_large_objects_are_asked_for_in_smaller_parts() {
    let cluster = running(Kind::Deployment, Pace::EachLook);
    cluster.make_pods_large(20);
    let (_, observe) = both(&cluster.addr(), "boss", "deployment/api");
    assert!(observe.see().await.unwrap().healthy);
    assert!(cluster.lines().iter().any(|line| line.contains("limit=12")));
}
