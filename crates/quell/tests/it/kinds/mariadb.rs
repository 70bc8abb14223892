//! A password of an account on a real MariaDB.

use std::sync::Arc;

use quell_testkit::mariadb::Server;
use serde_json::json;
use sqlx::{Connection as _, MySqlConnection};
use tokio::runtime::{Builder, Runtime};

use super::{Kept, Kind, Session, is_answered, is_not_believed, survives_crashes, survives_lost_answers};

struct Open(Runtime, MySqlConnection);

impl Session for Open {
    fn is_alive(&mut self) -> bool {
        self.0.block_on(self.1.ping()).is_ok()
    }
}

pub(crate) fn kind(server: &Server, name: &str, port: u16) -> Kind {
    let password = format!("canary-{name}-{}", "Zx9".repeat(6));
    server.sql(&format!("CREATE USER {name}@'%' IDENTIFIED BY '{password}'")).unwrap();
    Kind {
        name: "mariadb-password",
        issuer: json!({"mariadb": {"admin": "file:admin.url", "user": name, "settle": "100ms"}}),
        connections: json!({}),
        admin: format!("mysql://root:{}@127.0.0.1:{port}", server.password()),
        old: server.url(name, &password),
        kept: Kept::Key,
        door: Arc::new(|url| {
            let runtime = Builder::new_current_thread().enable_all().build().unwrap();
            let connection = runtime.block_on(MySqlConnection::connect(url)).ok()?;
            Some(Box::new(Open(runtime, connection)) as Box<dyn Session>)
        }),
    }
}

/// Each account has one password, and one that fits something.
#[track_caller]
fn assert_one_each(server: &Server) {
    let all =
        server.sql("SELECT Priv FROM mysql.global_priv WHERE User NOT IN ('root', 'mariadb.sys')").unwrap();
    for account in all.lines() {
        assert_eq!(account.matches("\"authentication_string\":\"*").count(), 1, "{account}");
    }
}

#[test]
fn a_mariadb_password_is_replaced_and_proven() {
    let server = Server::start().unwrap();
    is_answered(|name| kind(&server, name, server.port()));
    assert_one_each(&server);
}

#[test]
fn a_value_for_another_server_or_in_another_shape_is_never_called_dead() {
    let (server, other) = (Server::start().unwrap(), Server::start().unwrap());
    let here = kind(&server, "orders", server.port());
    // A URL that works, on a server that nobody asked.
    let stranger = kind(&other, "orders", other.port()).old.replace("canary", "canary2");
    other.sql("ALTER USER orders@'%' IDENTIFIED BY 'canary2-orders-Zx9Zx9Zx9Zx9Zx9Zx9'").unwrap();
    let (issuer, admin) = (here.issuer.clone(), here.admin.clone());
    let kind = Kind { old: stranger, issuer: issuer.clone(), admin: admin.clone(), ..here };
    let door = Arc::clone(&kind.door);
    is_not_believed(&kind, "leads to another address");
    // What the Go driver reads.
    let old = format!("orders:canary-orders-{}@tcp(127.0.0.1:{})/", "Zx9".repeat(6), server.port());
    let url = server.url("orders", &format!("canary-orders-{}", "Zx9".repeat(6)));
    let text = old.clone();
    let door: super::Door = Arc::new(move |value| (value == text).then(|| door(&url)).flatten());
    is_not_believed(
        &Kind { name: "mariadb-password", issuer, connections: json!({}), admin, old, kept: Kept::Key, door },
        "a name and a password",
    );
}

#[test]
fn a_crash_leaves_one_live_mariadb_password() {
    let server = Server::start().unwrap();
    survives_crashes(|name| kind(&server, name, server.port()));
    assert_one_each(&server);
}

#[test]
fn an_answer_of_mariadb_that_is_lost_is_found_again() {
    let server = Server::start().unwrap();
    let requests = ["ALTER USER", "UPTIME", "KILL CONNECTION"];
    survives_lost_answers(&requests, |name, port| kind(&server, name, port), server.port());
}
