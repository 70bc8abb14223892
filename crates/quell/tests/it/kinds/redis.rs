//! A password of an ACL user on a real Redis.

use std::sync::Arc;

use quell_testkit::redis::{Keeps, Server};
use redis::{Client, Connection, cmd};
use serde_json::json;

use super::{
    Kept, Kind, Session, is_answered, is_found_when_the_issuer_is_back, is_not_believed,
    is_not_taken_for_another, survives_crashes, survives_lost_answers,
};

impl Session for Connection {
    fn is_alive(&mut self) -> bool {
        cmd("PING").query::<String>(self).is_ok()
    }
}

pub(crate) fn kind(server: &Server, name: &str, port: u16) -> Kind {
    let password = format!("canary-{name}-{}", "Zx9".repeat(6));
    server.ask(&["ACL", "SETUSER", name, "on", &format!(">{password}"), "~*", "+@read", "+ping"]).unwrap();
    server.ask(&["ACL", "SAVE"]).unwrap();
    Kind {
        name: "redis-password",
        issuer: json!({"redis": {"admin": "file:admin.url", "user": name, "settle": "100ms"}}),
        connections: json!({}),
        admin: format!("redis://boss:{}@127.0.0.1:{port}", server.password()),
        old: server.url(name, &password),
        kept: Kept::Key,
        door: Arc::new(|url| {
            let client = Client::open(url).unwrap();
            client.get_connection().ok().map(|it| Box::new(it) as Box<dyn Session>)
        }),
    }
}

#[test]
fn a_redis_password_is_replaced_and_proven() {
    let server = Server::start(Keeps::File).unwrap();
    is_answered(|name| kind(&server, name, server.port()));
    // One live credential for each, and the old ones are gone from what a restart reads.
    let users = std::fs::read_to_string(server.folder().join("users.acl")).unwrap();
    for user in
        users.lines().filter(|line| !line.starts_with("user boss") && !line.starts_with("user default"))
    {
        assert_eq!(user.matches(" #").count(), 1, "{user}");
    }
}

#[test]
fn a_value_for_another_server_or_in_another_shape_is_never_called_dead() {
    let (server, other) = (Server::start(Keeps::File).unwrap(), Server::start(Keeps::File).unwrap());
    let here = kind(&server, "orders", server.port());
    // A URL that works, on a server that nobody asked.
    other.ask(&["ACL", "SETUSER", "orders", "on", ">canary-of-another", "~*", "+@read", "+ping"]).unwrap();
    let (issuer, admin, url, door) =
        (here.issuer.clone(), here.admin.clone(), here.old.clone(), Arc::clone(&here.door));
    is_not_believed(
        &Kind { old: other.url("orders", "canary-of-another"), ..here },
        "leads to another address",
    );
    // What StackExchange.Redis reads.
    let password = format!("canary-orders-{}", "Zx9".repeat(6));
    let old = format!("{},user=orders,password={password},ssl=False", server.address());
    let text = old.clone();
    let door: super::Door = Arc::new(move |value| (value == text).then(|| door(&url)).flatten());
    let kind =
        Kind { name: "redis-password", issuer, connections: json!({}), admin, old, kept: Kept::Key, door };
    is_not_believed(&kind, "a connection string");
}

#[test]
fn a_leaked_url_to_another_server_is_not_proven_by_the_one_in_the_store() {
    let (server, other) = (Server::start(Keeps::File).unwrap(), Server::start(Keeps::File).unwrap());
    other.ask(&["ACL", "SETUSER", "orders", "on", ">canary-of-another", "~*", "+@read", "+ping"]).unwrap();
    let stranger = other.url("orders", "canary-of-another");
    is_not_taken_for_another(kind(&server, "orders", server.port()), &stranger);
}

#[test]
fn a_password_is_found_when_a_redis_that_was_down_is_back() {
    let mut server = Server::start(Keeps::File).unwrap();
    let kind = kind(&server, "back", server.port());
    is_found_when_the_issuer_is_back(kind, |up| if up { server.restart().unwrap() } else { server.stop() });
}

#[test]
fn a_crash_leaves_one_live_redis_password() {
    let server = Server::start(Keeps::File).unwrap();
    survives_crashes(|name| kind(&server, name, server.port()));
    let users = server.ask(&["ACL", "LIST"]).unwrap();
    for user in
        users.lines().filter(|line| !line.starts_with("user boss") && !line.starts_with("user default"))
    {
        assert_eq!(user.matches(" #").count(), 1, "{user}");
    }
}

#[test]
fn an_answer_of_redis_that_is_lost_is_found_again() {
    let server = Server::start(Keeps::File).unwrap();
    let requests = ["SETUSER", "SAVE", "KILL"];
    survives_lost_answers(&requests, |name, port| kind(&server, name, port), server.port());
}

/// A successor that leaks, too: the plan stops, both values are killed and proven, and a third one is made.
#[test]
fn a_successor_that_is_given_up_is_killed_like_the_leaked_value() {
    let server = Server::start(Keeps::File).unwrap();
    for (n, until) in
        ["orders.confirm-api:after-result", "orders.prove:after-result", ""].into_iter().enumerate()
    {
        let mut place = super::Place::new(kind(&server, &format!("given{n}"), server.port()));
        let id = place.leak(super::MAKE_BEFORE_BREAK.1);
        let first = place.quell(&["respond", &id], (!until.is_empty()).then_some(until));
        assert_eq!(first.status.code(), until.is_empty().then_some(0), "{until}");
        let file = std::fs::read_to_string(place.kind.kept.file(place.folder.path())).unwrap();
        let second = place.kind.kept.value(&file).to_owned();
        let mut thief = (place.kind.door)(&second).unwrap();
        place.ok(&["incident", "distrust", &id, "orders", "--reason", "printed in a log"], None);
        let stopped = place.quell(&["respond", &id], None);
        let said = super::text(&stopped.stderr);
        assert!(!stopped.status.success() && said.contains("was given up"), "{said}");
        let table = place.ok(&["incident", "secrets", &id, "--json"], None);
        assert!(!table.contains("\"yes\""), "{table}");
        place.ok(&["plan", &id, "--again"], None);
        place.ok(&["respond", &id], None);
        place.assert_inert(&id);
        assert!((place.kind.door)(&second).is_none() && !thief.is_alive(), "{until}: the second value lives");
        let again = place.quell(&["incident", "distrust", &id, "cache", "--reason", "no such"], None);
        assert!(!again.status.success(), "{}", super::text(&again.stderr));
    }
}

/// Somebody restarts the consumer with the old value while the plan waits: that is not taken for having moved.
#[test]
fn a_restart_with_the_old_value_before_the_write_is_no_confirmation() {
    let server = Server::start(Keeps::File).unwrap();
    let place = super::Place::new(kind(&server, "restarted", server.port()));
    let id = place.leak(super::MAKE_BEFORE_BREAK.1);
    for (failpoint, generation) in
        [("orders.probe-new:after-result", "1"), ("orders.reload-api:after-intent", "2")]
    {
        let killed = place.quell(&["respond", &id], Some(failpoint));
        assert_eq!(killed.status.code(), None, "{}", super::text(&killed.stderr));
        let events = place.ok(&["incident", "timeline", &id, "--json"], None);
        let events: serde_json::Value = serde_json::from_str(&events).unwrap();
        let rows = events["timeline"].as_array().unwrap().iter();
        let mut looks = rows.filter(|row| row["what"].as_str().unwrap().starts_with("api looked at"));
        let seen = looks.next_back().unwrap()["detail"].as_str().unwrap().to_owned();
        assert!(seen.contains(&format!("generation {generation}")), "{failpoint}: {seen}");
        place.consumer.restart();
    }
}
