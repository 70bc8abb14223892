//! A credential in a Kubernetes Secret that pods read when they start: on a real Redis, and a model of the API server.

use quell_testkit::model::kubernetes::{Cluster, Kind as Workload, Pace};
use quell_testkit::redis::{Keeps, Server};
use serde_json::json;

use super::{
    Around, Kind, MAKE_BEFORE_BREAK, is_answered_in, redis, survives_crashes_around,
    survives_lost_answers_around,
};

const APPLIED: &str = "kubectl.kubernetes.io/last-applied-configuration";

/// A Secret as `kubectl apply` makes it, and three pods that read it; the API server is at this port.
fn place(redis: &Server, cluster: &Cluster, name: &str, port: u16) -> (Kind, Around) {
    let kind = redis::kind(redis, name, redis.port());
    let manifest = json!({"kind": "Secret", "stringData": {"url": kind.old}}).to_string();
    cluster.secret(name, "url", &kind.old, &json!({"metadata": {"annotations": {APPLIED: manifest}}}));
    cluster.workload(Workload::Deployment, name, 3, (name, "url"), Pace::EachLook);
    let access = json!({"server": format!("http://127.0.0.1:{port}"), "token": "exec:printf boss"});
    let store =
        json!({"kubernetes_secret": {"namespace": "shop", "name": name, "key": "url", "cluster": access}});
    let workload = format!("deployment/{name}");
    let rollout = json!({"kubernetes_rollout": {
        "namespace": "shop", "workload": workload, "secret": name, "cluster": access,
    }});
    let consumer = json!({"name": "pods", "reload": rollout, "observe": rollout});
    (kind, Around { stores: vec![store], consumers: vec![consumer] })
}

/// Every pod holds what the Secret holds, which is no old value, and no copy is left.
#[track_caller]
fn assert_moved(cluster: &Cluster, name: &str, old: &str) {
    let new = cluster.value(name, "url");
    assert_ne!(new, old);
    assert_eq!(cluster.held(Workload::Deployment, name), [&*new, &*new, &*new], "{name}");
    assert!(!cluster.secret_now(name).to_string().contains(old), "{name}");
}

fn old_of(redis: &Server, name: &str) -> String {
    redis.url(name, &format!("canary-{name}-{}", "Zx9".repeat(6)))
}

#[test]
fn a_secret_of_kubernetes_follows_and_no_pod_keeps_the_old_value() {
    let (redis, cluster) = (Server::start(Keeps::File).unwrap(), Cluster::start().unwrap());
    is_answered_in(|name| place(&redis, &cluster, name, cluster.port()));
    for name in ["kf", "mb"] {
        assert_moved(&cluster, name, &old_of(&redis, name));
    }
    for line in cluster.lines() {
        assert!(!line.contains("canary") && !line.contains("redis"), "{line}");
    }
}

#[test]
fn a_crash_between_secret_and_pods_is_made_up_for() {
    let (redis, cluster) = (Server::start(Keeps::File).unwrap(), Cluster::start().unwrap());
    let steps = ["store-1", "reload-pods", "confirm-pods", "purge-1"];
    survives_crashes_around(MAKE_BEFORE_BREAK, &steps, |name| place(&redis, &cluster, name, cluster.port()));
    for n in 0..steps.len() {
        assert_moved(&cluster, &format!("m{n}0"), &old_of(&redis, &format!("m{n}0")));
    }
}

#[test]
fn an_answer_of_kubernetes_that_is_lost_is_found_again() {
    let (redis, cluster) = (Server::start(Keeps::File).unwrap(), Cluster::start().unwrap());
    let requests = ["PATCH /api/v1", "PATCH /apis/apps", "GET /api/v1/namespaces/shop/pods"];
    survives_lost_answers_around(&requests, |name, port| place(&redis, &cluster, name, port), cluster.port());
    for n in 0..requests.len() {
        assert_moved(&cluster, &format!("l{n}"), &old_of(&redis, &format!("l{n}")));
    }
}
