//! What is under attack: a company whose secrets are roles of one PostgreSQL, and an installation on another.

use std::fmt::Write as _;
use std::path::PathBuf;
use std::process::{Command, Output, Stdio};

use quell_testkit::postgres::Server;
use serde_json::{Value, json};
use sqlx::Connection as _;

use crate::intake::KEY;
use crate::world::{private, quell_program, text};

/// A company.
pub(super) struct Company {
    pub(super) issuer: Server,
    pub(super) folder: tempfile::TempDir,
    /// Of a responder.
    pub(super) token: String,
}

/// The value that leaked.
pub(super) fn old_url(issuer: &Server, n: usize) -> String {
    issuer.url(&format!("c{n}_a"), &format!("canary-{n}-{}", "Qx7".repeat(5)), "postgres")
}

impl Company {
    pub(super) fn found(state: &Server, size: usize) -> Self {
        let issuer = Server::start(&[("log_statement", "all"), ("max_connections", "200")]).unwrap();
        let folder = tempfile::tempdir().unwrap();
        let (mut roles, mut secrets) = (String::new(), Vec::new());
        for n in 0..size {
            let old = format!("canary-{n}-{}", "Qx7".repeat(5));
            writeln!(
                roles,
                "CREATE ROLE c{n}_o NOLOGIN; CREATE ROLE c{n}_a LOGIN PASSWORD '{old}' IN ROLE c{n}_o; \
                 CREATE ROLE c{n}_b NOLOGIN IN ROLE c{n}_o;"
            )
            .unwrap();
            let file = folder.path().join(format!("{n}.env"));
            private(&file, &format!("URL={}\n", old_url(&issuer, n)));
            let roles = [format!("c{n}_a"), format!("c{n}_b")];
            let postgres = json!({"admin": "file:admin.url", "roles": roles, "group": format!("c{n}_o"), "settle_ms": 50});
            secrets.push(json!({
                "id": format!("c{n}"), "kind": "postgres-password", "env": "prod", "issuer": {"postgres": postgres},
                "stores": [{"env_file": {"path": file, "key": "URL"}}],
            }));
        }
        issuer.psql(&roles).unwrap();
        let map = json!({"list": "/leaks", "rule": "/rule", "value": "/value", "place": "/place", "public": "/public"});
        let inventory = json!({
            "secrets": secrets,
            "policy": {"approvals": {"destructive": 0}},
            "intake": {"wiki": {"json": {"secret": "file:hook.key", "channel": "chat", "map": map}}},
        });
        std::fs::write(folder.path().join("quell.yaml"), inventory.to_string()).unwrap();
        private(&folder.path().join("hook.key"), KEY);
        private(&folder.path().join("admin.url"), &issuer.admin_url());
        private(&folder.path().join("state.url"), &state.admin_url());
        let mut company = Self { issuer, folder, token: String::new() };
        company.ok(&["init"]);
        company.ok(&["person", "add", "ines", "--role", "admin"]);
        let made = company.ok(&["token", "make", "--name", "chaos", "--role", "responder"]);
        made.split_whitespace()
            .find(|word| word.starts_with("qll_"))
            .expect("a token is printed")
            .clone_into(&mut company.token);
        company
    }

    pub(super) fn quell(&self, args: &[&str]) -> Command {
        let mut command = Command::new(quell_program());
        command
            .args(args)
            .current_dir(self.folder.path())
            .env("QUELL_DATA_DIR", self.folder.path().join("data"))
            .env("QUELL_DATABASE_FILE", self.folder.path().join("state.url"))
            .env("QUELL_ACTOR", "ines")
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped());
        command
    }

    #[track_caller]
    pub(super) fn ok(&self, args: &[&str]) -> String {
        let output: Output = self.quell(args).output().unwrap();
        assert!(output.status.success(), "{args:?}: {}", text(&output.stderr));
        text(&output.stdout)
    }

    #[track_caller]
    pub(super) fn json(&self, args: &[&str]) -> Value {
        let args: Vec<&str> = args.iter().copied().chain(["--json"]).collect();
        serde_json::from_str(&self.ok(&args)).unwrap()
    }

    /// A checkpoint as somebody outside keeps it, if the database answers.
    pub(super) fn keep_checkpoint(&self, n: usize) -> Option<PathBuf> {
        let output = self.quell(&["ledger", "checkpoint"]).output().unwrap();
        let path = self.folder.path().join(format!("kept-{n}"));
        output.status.success().then(|| std::fs::write(&path, &output.stdout).unwrap())?;
        Some(path)
    }

    /// The one incident about a secret.
    #[track_caller]
    pub(super) fn incident_about(&self, secret: &str) -> String {
        let listed = self.json(&["incident", "list"]);
        let about = |it: &&Value| it["secrets"][0]["id"] == secret;
        let found: Vec<&Value> = listed["incidents"].as_array().unwrap().iter().filter(about).collect();
        assert_eq!(found.len(), 1, "incidents about {secret}: {listed}");
        found[0]["incident"].as_str().unwrap().to_owned()
    }

    /// Numbers of an incident's entries.
    pub(super) fn numbers(&self, incident: &str) -> Vec<u64> {
        let entries = self.entries("SELECT entry FROM event WHERE stream = $1 ORDER BY seq", incident);
        entries.iter().map(|entry| entry["seq"].as_u64().unwrap()).collect()
    }

    /// What the ledger says was ingested: one name for each delivery that was worked off.
    pub(super) fn ingested(&self) -> Vec<String> {
        let entries = self.entries("SELECT entry FROM event WHERE kind = $1 ORDER BY seq", "scan.run");
        entries.iter().map(|entry| entry["data"]["target"].as_str().unwrap().to_owned()).collect()
    }

    fn entries(&self, sql: &'static str, of: &str) -> Vec<Value> {
        let state = std::fs::read_to_string(self.folder.path().join("state.url")).unwrap();
        let runtime = tokio::runtime::Runtime::new().unwrap();
        runtime.block_on(async {
            let mut connection = sqlx::PgConnection::connect(state.trim()).await.unwrap();
            let rows: Vec<Vec<u8>> =
                sqlx::query_scalar(sql).bind(of).fetch_all(&mut connection).await.unwrap();
            rows.iter().map(|bytes| serde_json::from_slice(bytes).unwrap()).collect()
        })
    }
}
