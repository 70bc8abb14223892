//! A credential in Azure Key Vault: on a real Redis, and a model of the vault.

use quell_testkit::model::azure::Azure;
use quell_testkit::redis::{Keeps, Server};
use serde_json::json;

use super::{
    Around, Kind, MAKE_BEFORE_BREAK, is_answered_in, redis, survives_crashes_around,
    survives_lost_answers_around,
};

/// A secret whose versions are of other times; the vault is at this port.
fn place(redis: &Server, azure: &Azure, name: &str, port: u16) -> (Kind, Around) {
    let kind = redis::kind(redis, name, redis.port());
    azure.secret(name, &["older", &kind.old], &json!({"tags": {"team": "a"}}));
    let store = json!({"azure_key_vault": {
        "vault": format!("http://127.0.0.1:{port}"), "secret": name, "login": {"token": "exec:printf boss"},
    }});
    (kind, Around { stores: vec![store], ..Around::default() })
}

/// The last version is the new value, and the leaked one cannot be read.
#[track_caller]
fn assert_moved(azure: &Azure, redis: &Server, name: &str) {
    let old = redis.url(name, &format!("canary-{name}-{}", "Zx9".repeat(6)));
    let held = azure.values(name);
    assert_eq!(held.len(), 3, "{name}: one version was made");
    assert_eq!((&held[0], &held[1]), (&("older".to_owned(), true), &(old.clone(), false)), "{name}");
    assert!(held[2].1 && held[2].0 != old && azure.more(name)["tags"]["team"] == "a", "{name}");
}

#[test]
fn a_secret_of_azure_follows_and_the_leaked_version_is_disabled() {
    let (redis, azure) = (Server::start(Keeps::File).unwrap(), Azure::start().unwrap());
    is_answered_in(|name| place(&redis, &azure, name, azure.port()));
    for name in ["kf", "mb"] {
        assert_moved(&azure, &redis, name);
    }
    assert!(azure.lines().iter().all(|line| !line.contains("canary") && !line.contains("redis")));
}

#[test]
fn a_crash_around_a_secret_of_azure_makes_no_version_twice() {
    let (redis, azure) = (Server::start(Keeps::File).unwrap(), Azure::start().unwrap());
    let steps = ["store-1", "purge-1"];
    survives_crashes_around(MAKE_BEFORE_BREAK, &steps, |name| place(&redis, &azure, name, azure.port()));
    for name in ["m00", "m01", "m02", "m10", "m11", "m12"] {
        assert_moved(&azure, &redis, name);
    }
}

#[test]
fn an_answer_of_azure_that_is_lost_is_found_again() {
    let (redis, azure) = (Server::start(Keeps::File).unwrap(), Azure::start().unwrap());
    let requests = ["PUT /secrets", "PATCH /secrets", "/versions?"];
    survives_lost_answers_around(&requests, |name, port| place(&redis, &azure, name, port), azure.port());
    for n in 0..requests.len() {
        assert_moved(&azure, &redis, &format!("l{n}"));
    }
}
