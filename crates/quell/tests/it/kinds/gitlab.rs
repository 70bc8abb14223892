//! A credential in a CI/CD variable of GitLab: on a real Redis, and a model of GitLab whose jobs log in to it.

use quell_testkit::model::gitlab::GitLab;
use quell_testkit::redis::{Keeps, Server};
use serde_json::json;

use super::{
    Around, Kind, MAKE_BEFORE_BREAK, is_answered_in, redis, survives_crashes_around,
    survives_lost_answers_around,
};

/// A deployment that works when its credentials do.
fn gitlab() -> GitLab {
    GitLab::start(|url| ::redis::Client::open(url).is_ok_and(|client| client.get_connection().is_ok()))
        .unwrap()
}

/// A masked variable that a pipeline has used; GitLab is at this port.
fn place(redis: &Server, gitlab: &GitLab, name: &str, port: u16) -> (Kind, Around) {
    let kind = redis::kind(redis, name, redis.port());
    let key = format!("DB_{name}");
    gitlab.variable(&key, &kind.old, &json!({"masked": true, "environment_scope": "production"}));
    gitlab.push();
    gitlab.finish();
    let api = json!({"url": format!("http://127.0.0.1:{port}/api/v4"), "token": "exec:printf boss"});
    let store = json!({"gitlab_ci": {
        "at": {"project": "acme/orders"}, "key": key, "scope": "production", "api": api,
    }});
    let run = json!({"gitlab_ci_pipeline": {"project": "acme/orders", "job": "deploy", "api": api}});
    let consumer = json!({"name": "ci", "reload": run, "observe": run});
    (kind, Around { stores: vec![store], consumers: vec![consumer] })
}

/// The variable is the new value, kept as it was otherwise, and the last pipeline was given that.
#[track_caller]
fn assert_moved(gitlab: &GitLab, redis: &Server, name: &str) {
    let variable = gitlab.variable_now(&format!("DB_{name}"), "production");
    let new = variable["value"].as_str().unwrap().to_owned();
    let old = redis.url(name, &format!("canary-{name}-{}", "Zx9".repeat(6)));
    assert_ne!(new, old);
    assert_eq!(variable["masked"], true);
    assert!(gitlab.held().contains(&new) && !gitlab.held().contains(&old), "{name}");
}

#[test]
fn a_variable_of_gitlab_follows_and_a_pipeline_proves_the_pick_up() {
    let (redis, gitlab) = (Server::start(Keeps::File).unwrap(), gitlab());
    is_answered_in(|name| place(&redis, &gitlab, name, gitlab.port()));
    for name in ["kf", "mb"] {
        assert_moved(&gitlab, &redis, name);
    }
    assert!(gitlab.lines().iter().all(|line| !line.contains("canary") && !line.contains("redis")));
}

#[test]
fn a_crash_around_a_variable_of_gitlab_leaves_no_copy() {
    let (redis, gitlab) = (Server::start(Keeps::File).unwrap(), gitlab());
    let steps = ["store-1", "reload-ci", "confirm-ci", "purge-1"];
    survives_crashes_around(MAKE_BEFORE_BREAK, &steps, |name| place(&redis, &gitlab, name, gitlab.port()));
    for n in 0..steps.len() {
        assert_moved(&gitlab, &redis, &format!("m{n}2"));
    }
}

#[test]
fn an_answer_of_gitlab_that_is_lost_is_found_again() {
    let (redis, gitlab) = (Server::start(Keeps::File).unwrap(), gitlab());
    let requests = ["PUT /api/v4/projects", "POST /api/v4/projects", "GET /api/v4/user"];
    survives_lost_answers_around(&requests, |name, port| place(&redis, &gitlab, name, port), gitlab.port());
    for n in 0..requests.len() {
        assert_moved(&gitlab, &redis, &format!("l{n}"));
    }
}
