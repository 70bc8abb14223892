//! A credential in Google Cloud Secret Manager: on a real Redis, and a model of Google Cloud.

use quell_testkit::model::gcp::Gcp;
use quell_testkit::redis::{Keeps, Server};
use serde_json::json;

use super::{
    Around, Kind, MAKE_BEFORE_BREAK, is_answered_in, redis, survives_crashes_around,
    survives_lost_answers_around,
};

/// A secret whose versions are of other times; Google is at this port.
fn place(redis: &Server, gcp: &Gcp, name: &str, port: u16) -> (Kind, Around) {
    let kind = redis::kind(redis, name, redis.port());
    gcp.secret(name, &["older", &kind.old], &json!({}));
    let store = json!({"gcp_secret_manager": {
        "credentials": "exec:printf boss", "project": "acme-prod", "secret": name,
        "endpoint": format!("http://127.0.0.1:{port}"),
    }});
    (kind, Around { stores: vec![store], ..Around::default() })
}

/// The last version is the new value, and the leaked one is destroyed.
#[track_caller]
fn assert_moved(gcp: &Gcp, redis: &Server, name: &str) {
    let old = redis.url(name, &format!("canary-{name}-{}", "Zx9".repeat(6)));
    let held = gcp.values(name);
    assert_eq!((held[0].as_deref(), &held[1]), (Some("older"), &None), "{name}");
    assert!(held.last().unwrap().as_deref().is_some_and(|new| new != old && new.contains(name)), "{name}");
    assert!(!held.contains(&Some(old)), "{name}");
}

#[test]
fn a_secret_of_google_follows_and_the_leaked_version_is_destroyed() {
    let (redis, gcp) = (Server::start(Keeps::File).unwrap(), Gcp::start().unwrap());
    is_answered_in(|name| place(&redis, &gcp, name, gcp.port()));
    for name in ["kf", "mb"] {
        assert_moved(&gcp, &redis, name);
        assert_eq!(gcp.values(name).len(), 3, "one version was made");
    }
    assert!(gcp.lines().iter().all(|line| !line.contains("canary") && !line.contains("redis")));
}

#[test]
fn a_crash_around_a_secret_of_google_makes_no_version_twice() {
    let (redis, gcp) = (Server::start(Keeps::File).unwrap(), Gcp::start().unwrap());
    let steps = ["store-1", "purge-1"];
    survives_crashes_around(MAKE_BEFORE_BREAK, &steps, |name| place(&redis, &gcp, name, gcp.port()));
    for name in ["m00", "m01", "m02", "m10", "m11", "m12"] {
        assert_moved(&gcp, &redis, name);
        assert_eq!(gcp.values(name).len(), 3, "{name}");
    }
}

#[test]
fn an_answer_of_google_that_is_lost_is_found_again() {
    let (redis, gcp) = (Server::start(Keeps::File).unwrap(), Gcp::start().unwrap());
    let requests = [":addVersion", ":destroy", "/versions?"];
    survives_lost_answers_around(&requests, |name, port| place(&redis, &gcp, name, port), gcp.port());
    for n in 0..requests.len() {
        assert_moved(&gcp, &redis, &format!("l{n}"));
    }
}
