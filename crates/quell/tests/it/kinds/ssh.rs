//! A key of an account on a real OpenSSH server, tried with the OpenSSH client.

use std::sync::Arc;

use quell_connect::conformance::Fault;
use quell_testkit::sshd::{Server, Session as Open};
use serde_json::json;

use super::{KILL_FIRST, Kept, Kind, MAKE_BEFORE_BREAK, Place, Session, is_answered, survives_crashes_in};

impl Session for Open {
    fn is_alive(&mut self) -> bool {
        Self::is_alive(self)
    }
}

pub(crate) fn kind(server: &Arc<Server>, port: u16) -> Kind {
    let known = server.folder().join(format!("known-at-{port}"));
    std::fs::write(&known, server.known_at(port).unwrap()).unwrap();
    let door = Arc::clone(server);
    Kind {
        name: "ssh-key",
        issuer: json!({"ssh": {
            "user": server.user(), "hosts": [format!("127.0.0.1:{port}")], "known_hosts": known,
            "admin": "file:admin.url", "admin_user": server.admin(), "authorized_keys": [server.keys()], "settle": "100ms",
        }}),
        connections: json!({}),
        admin: server.admin_key().unwrap(),
        old: server.let_in("ed25519", "from=\"127.0.0.0/8\"").unwrap().trim_end().to_owned(),
        kept: Kept::Whole,
        door: Arc::new(move |key| door.open(key).unwrap().map(|it| Box::new(it) as Box<dyn Session>)),
    }
}

/// Steps that change a host or decide by it; a login takes long, so the others are left to other kinds.
const CHANGES: [&str; 4] = ["install", "disable", "sever", "prove"];

/// Each incident leaves one line in force, with the options of the one before, and one that was taken away.
#[track_caller]
fn assert_one_each(server: &Server, answered: usize) {
    let keys = std::fs::read_to_string(server.keys_of(server.user())).unwrap();
    let lines = |start: &str| keys.lines().filter(|line| line.starts_with(start)).count();
    assert_eq!(lines("from=\"127.0.0.0/8\" ssh-ed25519 "), answered, "{keys}");
    assert_eq!(lines("# quell took this key away "), answered, "{keys}");
}

#[test]
fn an_ssh_key_is_replaced_and_proven() {
    let server = Arc::new(Server::start().unwrap());
    is_answered(|_| kind(&server, server.port()));
    assert_one_each(&server, 2);
}

#[test]
fn a_crash_leaves_one_live_ssh_key_when_the_old_one_goes_first() {
    let server = Arc::new(Server::start().unwrap());
    survives_crashes_in(KILL_FIRST, &CHANGES, |_| kind(&server, server.port()));
    assert_one_each(&server, 12);
}

#[test]
fn a_crash_leaves_one_live_ssh_key_when_the_new_one_comes_first() {
    let server = Arc::new(Server::start().unwrap());
    survives_crashes_in(MAKE_BEFORE_BREAK, &CHANGES, |_| kind(&server, server.port()));
    assert_one_each(&server, 12);
}

/// What is said is encrypted, so the connection is cut after a number of bytes, wherever that is.
#[test]
fn a_connection_to_ssh_that_breaks_is_picked_up() {
    let server = Arc::new(Server::start().unwrap());
    let cuts = [2_000, 4_000, 6_000, 9_000, 14_000, 20_000];
    for cut in cuts {
        let proxy = crate::fault::Proxy::to(server.port());
        let mut place = Place::new(kind(&server, proxy.port()));
        let id = place.leak("chat");
        proxy.once(Fault::CutAfter(cut));
        let first = place.quell(&["respond", &id], None);
        if !first.status.success() {
            place.ok(&["respond", &id], None);
        }
        place.assert_inert(&id);
    }
    assert_one_each(&server, cuts.len());
}
