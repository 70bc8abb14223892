//! A credential in a secret of GitHub Actions, which nobody can read back: on a real Redis, and a model of GitHub whose jobs log in to it.

use quell_testkit::model::github::GitHub;
use quell_testkit::redis::{Keeps, Server};
use serde_json::{Value, json};

use super::{
    Around, Kind, MAKE_BEFORE_BREAK, Place, is_answered_in, private, redis, survives_crashes_around,
    survives_lost_answers_around,
};

const REPO: &str = "acme/orders";

/// A deployment that works when its credentials do.
fn github() -> GitHub {
    GitHub::start(|url| ::redis::Client::open(url).is_ok_and(|client| client.get_connection().is_ok()))
        .unwrap()
}

fn secret_of(name: &str) -> String {
    format!("DB_{name}")
}

/// A secret of the repository that its workflow has used; GitHub is at this port.
fn place(redis: &Server, github: &GitHub, name: &str, port: u16) -> (Kind, Around) {
    let kind = redis::kind(redis, name, redis.port());
    let secret = secret_of(name);
    github.secret(REPO, &secret, &kind.old, &[]);
    github.push();
    github.finish();
    let api = json!({"url": format!("http://127.0.0.1:{port}"), "token": "exec:printf boss"});
    let store = json!({"github_actions": {"at": {"repo": REPO}, "name": secret, "api": api}});
    let run = json!({"github_actions_run": {
        "repo": REPO, "workflow": "deploy.yml", "job": "deploy", "secret": secret, "api": api,
    }});
    let consumer = json!({"name": "ci", "reload": run, "observe": run});
    (kind, Around { stores: vec![store], consumers: vec![consumer] })
}

/// The secret is the new value, and the last run was given that.
#[track_caller]
fn assert_moved(github: &GitHub, name: &str, old: &str) {
    let new = github.value(REPO, &secret_of(name)).unwrap();
    assert_ne!(new, old);
    assert!(github.held().contains(&new) && !github.held().contains(&old.to_owned()), "{name}");
}

fn old_of(redis: &Server, name: &str) -> String {
    redis.url(name, &format!("canary-{name}-{}", "Zx9".repeat(6)))
}

#[test]
fn a_secret_of_github_follows_and_a_run_proves_the_pick_up() {
    let (redis, github) = (Server::start(Keeps::File).unwrap(), github());
    is_answered_in(|name| place(&redis, &github, name, github.port()));
    for name in ["kf", "mb"] {
        assert_moved(&github, name, &old_of(&redis, name));
    }
    assert!(github.lines().iter().all(|line| !line.contains("canary") && !line.contains("redis")));
}

/// Nobody knows what stands there: the leaked value comes from whoever found it.
#[test]
fn the_leaked_value_is_told_where_no_store_gives_it_back() {
    let (redis, github) = (Server::start(Keeps::File).unwrap(), github());
    let (kind, around) = place(&redis, &github, "only", github.port());
    let (stores, consumers) = (around.stores.clone(), around.consumers.clone());
    let place = Place::with(kind, around);
    let path = place.folder.path().join("quell.yaml");
    let mut inventory: Value = serde_json::from_str(&std::fs::read_to_string(&path).unwrap()).unwrap();
    inventory["secrets"][0]["stores"] = stores.into();
    inventory["secrets"][0]["consumers"] = consumers.into();
    std::fs::write(&path, inventory.to_string()).unwrap();
    private(&place.folder.path().join("leaked"), &place.kind.old);
    let open = ["incident", "open", "--secret", "orders", "--channel", "chat", "--json"];
    let told = [&open[..], &["--value-file", "leaked"]].concat();
    let opened: Value = serde_json::from_str(&place.ok(&told, None)).unwrap();
    let id = opened["incident"].as_str().unwrap().to_owned();
    place.ok(&["respond", &id], None);
    assert!((place.kind.door)(&place.kind.old).is_none(), "the old value still opens the door");
    assert_moved(&github, "only", &place.kind.old);
    let shown: Value = serde_json::from_str(&place.ok(&["incident", "show", &id, "--json"], None)).unwrap();
    assert_eq!(shown["secrets"][0]["inert"], true, "{shown}");
    place.ok(&["evidence", "export", &id, "--output", "bundle.tar"], None);
    place.ok(&["evidence", "verify", "bundle.tar"], None);
    // Without it there is nothing to tell the issuer to refuse, and nothing is done.
    let opened: Value = serde_json::from_str(&place.ok(&open, None)).unwrap();
    let blind = place.quell(&["respond", opened["incident"].as_str().unwrap()], None);
    let said = crate::world::text(&blind.stderr);
    assert!(!blind.status.success() && said.contains("--value-file"), "{said}");
}

#[test]
fn a_crash_around_a_secret_of_github_writes_it_once_more() {
    let (redis, github) = (Server::start(Keeps::File).unwrap(), github());
    let steps = ["store-1", "reload-ci", "confirm-ci", "purge-1"];
    survives_crashes_around(MAKE_BEFORE_BREAK, &steps, |name| place(&redis, &github, name, github.port()));
}

#[test]
fn an_answer_of_github_that_is_lost_is_made_up_for() {
    let (redis, github) = (Server::start(Keeps::File).unwrap(), github());
    let requests = ["PUT /repos", "/dispatches", "GET /repos/acme/orders/actions/workflows/deploy.yml/runs"];
    survives_lost_answers_around(&requests, |name, port| place(&redis, &github, name, port), github.port());
    for n in 0..requests.len() {
        let name = format!("l{n}");
        assert_ne!(github.value(REPO, &secret_of(&name)).unwrap(), old_of(&redis, &name));
    }
}
