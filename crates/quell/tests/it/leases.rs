//! A leaked dynamic credential of OpenBao: it dies with its sessions, and nobody comes with its retired lease again.

use std::process::{Command, Stdio};

use quell_testkit::openbao::{self, Database};
use serde_json::{Value, json};

use super::world::{Servers, World, private, quell_program, text, wait_for};

/// The database engine with the role `orders`, whose sessions outlive their accounts.
fn enable(servers: &Servers) {
    servers.postgres.psql("CREATE ROLE bao SUPERUSER LOGIN PASSWORD 'bao-admin-password'").unwrap();
    let url = format!(
        "postgresql://{{{{username}}}}:{{{{password}}}}@127.0.0.1:{}/postgres?sslmode=disable",
        servers.postgres.port()
    );
    let database = Database {
        mount: "database",
        url: &url,
        username: "bao",
        password: "bao-admin-password",
        role: "orders",
        creation: &["CREATE ROLE \"{{name}}\" LOGIN PASSWORD '{{password}}' VALID UNTIL '{{expiration}}'"],
        revocation: &["DROP ROLE IF EXISTS \"{{name}}\""],
        ttl: "1h",
    };
    servers.openbao.enable_database(&database).unwrap();
}

/// When the audit log was written last.
fn last_record(log: &str) -> String {
    let text = std::fs::read_to_string(log).unwrap();
    let line: Value = serde_json::from_str(text.lines().next_back().unwrap()).unwrap();
    line["time"].as_str().unwrap().to_owned()
}

#[test]
fn a_leaked_dynamic_credential_dies_and_its_retired_lease_is_watched_for() {
    let servers = Servers::start();
    enable(&servers);
    let given = servers.openbao.request("GET", "database/creds/orders", &Value::Null).unwrap();
    let (user, password) =
        (given["data"]["username"].as_str().unwrap(), given["data"]["password"].as_str().unwrap());
    let lease = given["lease_id"].as_str().unwrap().to_owned();
    let url = servers.postgres.url(user, password, "postgres");
    let mut stranger = Command::new("psql")
        .args(["-X", "-q", "-d", &url, "-c", "SELECT pg_sleep(120)"])
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()
        .unwrap();
    let live = || {
        servers.postgres.psql("SELECT count(*) FROM pg_stat_activity WHERE query = 'SELECT pg_sleep(120)'")
    };
    wait_for(|| live().unwrap().trim() == "1", "the stranger is not logged in");

    let folder = tempfile::tempdir().unwrap();
    let at = |name: &str| folder.path().join(name);
    private(&at("token"), servers.openbao.root_token());
    private(&at("watch.url"), &servers.postgres.admin_url());
    private(&at("leaked"), &url);
    let inventory = json!({
        "connections": {"openbao": {"address": servers.openbao.addr(), "token": "file:token"}},
        "secrets": [{
            "id": "orders-dyn", "kind": "openbao-dynamic", "env": "prod",
            "issuer": {"openbao": {"database": {"mount": "database", "role": "orders", "postgres": "file:watch.url"}}},
        }],
        "policy": {"approvals": {"destructive": 0}},
    });
    std::fs::write(at("quell.yaml"), inventory.to_string()).unwrap();
    let quell = |args: &[&str]| {
        let mut command = Command::new(quell_program());
        command
            .args(args)
            .current_dir(folder.path())
            .env("QUELL_DATA_DIR", at("data"))
            .env("QUELL_ACTOR", "ines");
        command.output().unwrap()
    };
    let ok = |args: &[&str]| {
        let output = quell(args);
        assert!(output.status.success(), "{args:?}: {}", text(&output.stderr));
        text(&output.stdout)
    };
    ok(&["init"]);
    let opened =
        ok(&["incident", "open", "--secret", "orders-dyn", "--channel", "chat", "--value-file", "leaked"]);
    let id = opened.trim();
    ok(&["respond", id]);
    let shown: Value = serde_json::from_str(&ok(&["incident", "show", id, "--json"])).unwrap();
    assert_eq!(shown["secrets"][0]["inert"], true, "{shown}");
    assert!(World::login(&url).is_err());
    assert!(!stranger.wait().unwrap().success(), "the session that outlived its account was ended");

    // From the kill on: nobody comes with the retired lease.
    let log = servers.openbao.audit_log().display().to_string();
    let killed = last_record(&log);
    let watch = || {
        let output = quell(&["hunt", id, "--logs", &log, "--from", &killed, "--json"]);
        let said = text(&output.stderr);
        assert!(said.contains("a retired lease of orders-dyn in `main`"), "{said}");
        assert!(!said.contains(password));
        let report: Value = serde_json::from_str(&text(&output.stdout)).unwrap();
        report["accesses"].as_array().unwrap().clone()
    };
    assert_eq!(watch(), Vec::<Value>::new(), "zero hits");
    // Somebody does: the log has its id as an HMAC only, and it is found.
    let body = json!({"lease_id": lease});
    let renewed =
        openbao::ask(servers.openbao.port(), servers.openbao.root_token(), "PUT", "sys/leases/renew", &body);
    assert_eq!(renewed.unwrap().0, 400);
    let hits = watch();
    assert_eq!(hits.len(), 1, "{hits:?}");
    assert!(hits[0]["action"].as_str().unwrap().contains("sys/leases/renew"), "{hits:?}");
}
