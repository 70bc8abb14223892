//! A leaked dynamic credential of OpenBao: it dies with its sessions, and nobody comes with its retired lease again.

use std::process::{Child, Command, Output, Stdio};

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

/// A credential of the role that leaked, a stranger who is logged in with it, and an inventory.
struct Leak<'a> {
    servers: &'a Servers,
    folder: tempfile::TempDir,
    password: String,
    lease: String,
    url: String,
    stranger: Child,
}

impl Drop for Leak<'_> {
    fn drop(&mut self) {
        drop(self.stranger.kill());
        drop(self.stranger.wait());
    }
}

impl<'a> Leak<'a> {
    fn new(servers: &'a Servers) -> Self {
        let given = servers.openbao.request("GET", "database/creds/orders", &Value::Null).unwrap();
        let text = |pointer: &str| given.pointer(pointer).unwrap().as_str().unwrap().to_owned();
        let (user, password) = (text("/data/username"), text("/data/password"));
        let url = servers.postgres.url(&user, &password, "postgres");
        let stranger = Command::new("psql")
            .args(["-X", "-q", "-d", &url, "-c", "SELECT pg_sleep(120)"])
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        let live = format!("SELECT count(*) FROM pg_stat_activity WHERE usename = '{user}'");
        let logged_in = || servers.postgres.psql(&live).unwrap().trim() == "1";
        wait_for(logged_in, "the stranger is not logged in");

        let folder = tempfile::tempdir().unwrap();
        let at = |name: &str| folder.path().join(name);
        private(&at("token"), servers.openbao.root_token());
        private(&at("watch.url"), &servers.postgres.admin_url());
        private(&at("leaked"), &url);
        let database = json!({"mount": "database", "role": "orders", "postgres": "file:watch.url"});
        let inventory = json!({
            "connections": {"openbao": {"address": servers.openbao.addr(), "token": "file:token"}},
            "secrets": [{
                "id": "orders-dyn", "kind": "openbao-dynamic", "env": "prod",
                "issuer": {"openbao": {"database": database}},
            }],
            "policy": {"approvals": {"destructive": 0}},
        });
        std::fs::write(at("quell.yaml"), inventory.to_string()).unwrap();
        let leak = Self { servers, folder, password, lease: text("/lease_id"), url, stranger };
        leak.ok(&["init"]);
        leak
    }

    fn quell(&self, args: &[&str], failpoint: Option<&str>) -> Output {
        let mut command = Command::new(quell_program());
        let data = self.folder.path().join("data");
        command.args(args).current_dir(&self.folder).env("QUELL_DATA_DIR", data).env("QUELL_ACTOR", "ines");
        if let Some(failpoint) = failpoint {
            command.env("QUELL_FAILPOINT", failpoint);
        }
        command.output().unwrap()
    }

    #[track_caller]
    fn ok(&self, args: &[&str]) -> String {
        let output = self.quell(args, None);
        assert!(output.status.success(), "{args:?}: {}", text(&output.stderr));
        text(&output.stdout)
    }

    fn open(&self) -> String {
        let args =
            ["incident", "open", "--secret", "orders-dyn", "--channel", "chat", "--value-file", "leaked"];
        self.ok(&args).trim().to_owned()
    }

    #[track_caller]
    fn assert_dead(&mut self, id: &str) {
        let shown: Value = serde_json::from_str(&self.ok(&["incident", "show", id, "--json"])).unwrap();
        assert_eq!(shown["secrets"][0]["inert"], true, "{shown}");
        assert!(World::login(&self.url).is_err());
        assert!(!self.stranger.wait().unwrap().success(), "the session that outlived its account was ended");
        let lookup = json!({"lease_id": self.lease});
        let root = self.servers.openbao.root_token();
        let port = self.servers.openbao.port();
        assert_eq!(openbao::ask(port, root, "PUT", "sys/leases/lookup", &lookup).unwrap().0, 400);
        self.ok(&["ledger", "verify"]);
    }
}

#[test]
fn a_leaked_dynamic_credential_dies_and_its_retired_lease_is_watched_for() {
    let servers = Servers::start();
    enable(&servers);
    let mut leak = Leak::new(&servers);
    let id = leak.open();
    leak.ok(&["respond", &id]);
    // From the kill on: nobody comes with the retired lease.
    let log = servers.openbao.audit_log().display().to_string();
    let killed = last_record(&log);
    let watch = || {
        let output = leak.quell(&["hunt", &id, "--logs", &log, "--from", &killed, "--json"], None);
        let said = text(&output.stderr);
        assert!(said.contains("a retired lease of orders-dyn in `main`"), "{said}");
        assert!(!said.contains(&leak.password));
        let report: Value = serde_json::from_str(&text(&output.stdout)).unwrap();
        report["accesses"].as_array().unwrap().clone()
    };
    assert_eq!(watch(), Vec::<Value>::new(), "zero hits");
    // Somebody does: the log has its id as an HMAC only, and it is found.
    let body = json!({"lease_id": leak.lease});
    let root = servers.openbao.root_token();
    let renewed = openbao::ask(servers.openbao.port(), root, "PUT", "sys/leases/renew", &body);
    assert_eq!(renewed.unwrap().0, 400);
    let hits = watch();
    assert_eq!(hits.len(), 1, "{hits:?}");
    assert!(hits[0]["action"].as_str().unwrap().contains("sys/leases/renew"), "{hits:?}");
    leak.assert_dead(&id);
}

#[test]
fn a_crash_leaves_no_lease_and_no_session() {
    let servers = Servers::start();
    enable(&servers);
    for step in ["disable", "sever", "prove"] {
        for place in ["after-intent", "after-effect", "after-result"] {
            let mut leak = Leak::new(&servers);
            let id = leak.open();
            let failpoint = format!("orders-dyn.{step}:{place}");
            let killed = leak.quell(&["respond", &id], Some(&failpoint));
            assert_eq!(killed.status.code(), None, "{failpoint} was not reached: {}", text(&killed.stderr));
            leak.ok(&["respond", &id]);
            leak.assert_dead(&id);
        }
    }
}
