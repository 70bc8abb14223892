//! `quell hunt` on logs that real databases wrote.

use std::process::Command;

use quell_testkit::mariadb;
use serde_json::Value;

use super::world::{quell_program, text};

fn hunt(args: &[&str], code: i32) -> Value {
    let folder = tempfile::tempdir().unwrap();
    let mut command = Command::new(quell_program());
    command.args(["hunt", "--json"]).args(args).env("QUELL_DATA_DIR", folder.path());
    let output = command.output().unwrap();
    assert_eq!(output.status.code(), Some(code), "{}{}", text(&output.stdout), text(&output.stderr));
    serde_json::from_str(&text(&output.stdout)).unwrap()
}

/// Action, outcome and resource of each record in which the credential was used.
fn uses(report: &Value) -> Vec<String> {
    let used = report["accesses"].as_array().unwrap().iter().filter(|access| access["role"] == "used");
    used.map(|access| {
        let outcome = &access["outcome"];
        let word = outcome.as_str().or_else(|| outcome.as_object()?.keys().next().map(String::as_str));
        format!(
            "{} {} {}",
            access["action"].as_str().unwrap(),
            word.unwrap(),
            access["resource"].as_str().unwrap_or("-")
        )
    })
    .collect()
}

#[test]
fn an_account_of_mariadb_is_found_in_the_log_of_its_audit_plugin() {
    let server = mariadb::Server::start().unwrap();
    let password = format!("pw-{}", std::process::id());
    let account = "CREATE USER orders_app@'127.0.0.1' IDENTIFIED BY";
    server
        .sql(&format!(
            "CREATE DATABASE orders; CREATE TABLE orders.t (a text); {account} '{password}'; \
             GRANT SELECT, INSERT ON orders.* TO orders_app@'127.0.0.1';"
        ))
        .unwrap();
    let as_app = |password: &str, sql: &str| server.sql_as("orders_app", password, sql).unwrap();
    let quoted = "USE orders; INSERT INTO t VALUES ('a, \\'b\\'\nc'); SELECT * FROM t;";
    assert!(as_app(&password, quoted).status.success());
    assert!(!as_app(&password, "SELECT * FROM mysql.global_priv").status.success());
    assert!(!as_app("not-the-password", "SELECT 1").status.success());
    // A client may call itself whatever it likes: this is no record of the account.
    server.sql_as("x,orders_app,10.0.0.1,9,0,CONNECT,,,0", "", "SELECT 1").unwrap();

    let log = server.audit_log();
    let log = log.to_str().unwrap();
    let report = hunt(&["--id", "orders_app", "--logs", log, "--zone", "UTC", "--known", "192.0.2.0/24"], 10);
    let told = uses(&report);
    for expected in [
        "connect allowed -",
        "WRITE table unknown orders.t",
        "INSERT allowed orders",
        "READ table unknown orders.t",
        "SELECT allowed orders",
        "SELECT denied -",
        "connect denied -",
        "disconnect allowed orders",
    ] {
        assert!(told.iter().any(|one| one == expected), "no `{expected}` among {told:#?}");
    }
    let all = report["accesses"].as_array().unwrap();
    let used = all.iter().filter(|access| access["role"] == "used");
    assert!(used.clone().all(|access| access["address"] == "127.0.0.1"), "{report}");
    assert!(used.clone().all(|access| access["time"].is_string()), "{report}");
    assert!(all.iter().any(|access| access["role"] == "mentioned" && access["action"] == "GRANT"));
    assert_eq!(report["verdict"], "used");
    assert!(!report.to_string().contains(&password));
    assert_eq!(report["coverage"]["formats"]["mariadb"], 1);
    // Its refused login, and the end of that connection.
    assert_eq!(report["coverage"]["unparsed"], 2, "the forged name is told, and not believed: {report}");
    assert!(used.clone().all(|access| access["actor"] == "orders_app" && access["address"] != "10.0.0.1"));
}
