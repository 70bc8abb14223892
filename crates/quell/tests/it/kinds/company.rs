//! A company with many secrets of several kinds in one inventory, and a consumer for each.

use std::path::Path;
use std::process::{Command, Output};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use quell_testkit::{openbao, postgres};
use serde_json::{Value, json};
use sqlx::{Connection as _, PgConnection};
use tokio::runtime::{Builder, Runtime};

use super::consumer::Consumer;
use super::{Kept, Kind, Session};
use crate::world::{private, quell_program, text};

struct Open(Runtime, PgConnection);

impl Session for Open {
    fn is_alive(&mut self) -> bool {
        self.0.block_on(self.1.ping()).is_ok()
    }
}

/// Two roles that take turns.
pub(crate) fn on_postgres(server: &postgres::Server, name: &str) -> Kind {
    let password = format!("canary-{name}-{}", "Zx9".repeat(6));
    let (a, b, group) = (format!("{name}_a"), format!("{name}_b"), format!("{name}_owner"));
    server
        .psql(&format!(
            "CREATE ROLE {group} NOLOGIN; CREATE ROLE {a} LOGIN PASSWORD '{password}' IN ROLE {group}; \
             CREATE ROLE {b} NOLOGIN IN ROLE {group}; ALTER ROLE {a} SET role {group}; ALTER ROLE {b} SET role {group}"
        ))
        .unwrap();
    Kind {
        name: "postgres-password",
        issuer: json!({"postgres": {"admin": "file:admin.url", "roles": [a, b], "group": group, "settle_ms": 100}}),
        connections: json!({}),
        admin: server.admin_url(),
        old: format!("postgresql://{a}:{password}@127.0.0.1:{}/postgres", server.port()),
        kept: Kept::Key,
        door: Arc::new(|url| {
            let runtime = Builder::new_current_thread().enable_all().build().unwrap();
            let connection = runtime.block_on(PgConnection::connect(url)).ok()?;
            Some(Box::new(Open(runtime, connection)) as Box<dyn Session>)
        }),
    }
}

/// One role whose password changes: the old one ends in the instant in which the new one is set.
pub(crate) fn one_role_on_postgres(server: &postgres::Server, name: &str) -> Kind {
    let password = format!("canary-{name}-{}", "Zx9".repeat(6));
    server.psql(&format!("CREATE ROLE {name} LOGIN PASSWORD '{password}'")).unwrap();
    let pair = on_postgres(server, &format!("{name}_idle"));
    Kind {
        issuer: json!({"postgres": {"admin": "file:admin.url", "roles": [name], "settle_ms": 100}}),
        old: format!("postgresql://{name}:{password}@127.0.0.1:{}/postgres", server.port()),
        ..pair
    }
}

/// What a token opens; OpenBao keeps no session, so asking again is what a bearer does.
struct Bearer(u16, String);

impl Session for Bearer {
    fn is_alive(&mut self) -> bool {
        openbao::ask(self.0, &self.1, "GET", "auth/token/lookup-self", &Value::Null)
            .is_ok_and(|(code, _)| code == 200)
    }
}

pub(crate) fn a_token(server: &openbao::Server) -> Kind {
    let asked = json!({"policies": ["default"], "ttl": "1h"});
    let made = server.request("POST", "auth/token/create", &asked).unwrap();
    let port = server.port();
    Kind {
        name: "openbao-token",
        issuer: json!({"openbao": {"token": asked}}),
        connections: json!({}),
        admin: String::new(),
        old: made["auth"]["client_token"].as_str().unwrap().to_owned(),
        kept: Kept::Key,
        door: Arc::new(move |token| {
            let mut bearer = Bearer(port, token.to_owned());
            bearer.is_alive().then(|| Box::new(bearer) as Box<dyn Session>)
        }),
    }
}

/// A secret of the company.
pub(crate) struct Member {
    id: String,
    kind: Kind,
    consumer: Consumer,
    /// A stranger's session with the leaked value.
    stranger: Box<dyn Session>,
}

impl Member {
    /// What its store holds.
    fn value(&self, folder: &Path) -> String {
        let file = std::fs::read_to_string(self.kind.kept.file(&folder.join(&self.id))).unwrap();
        self.kind.kept.value(&file).to_owned()
    }
}

/// The longest time in which a consumer could not log in with what it held.
pub(crate) struct Watch {
    stop: Arc<AtomicBool>,
    thread: std::thread::JoinHandle<(Duration, u64)>,
}

impl Watch {
    #[expect(clippy::disallowed_methods, reason = "how long somebody was down is measured")]
    fn over(consumers: Vec<Consumer>) -> Self {
        let stop = Arc::new(AtomicBool::new(false));
        let stopped = Arc::clone(&stop);
        let thread = std::thread::spawn(move || {
            let mut down: Vec<Option<Instant>> = vec![None; consumers.len()];
            let (mut longest, mut rounds) = (Duration::ZERO, 0);
            while !stopped.load(Ordering::Relaxed) {
                for (consumer, since) in consumers.iter().zip(&mut down) {
                    if consumer.state().1 {
                        longest = longest.max(since.take().map_or(Duration::ZERO, |s| s.elapsed()));
                    } else {
                        since.get_or_insert_with(Instant::now);
                    }
                }
                rounds += 1;
                std::thread::sleep(Duration::from_millis(50));
            }
            (longest, rounds)
        });
        Self { stop, thread }
    }

    /// It, and how often every consumer was asked.
    pub(crate) fn end(self) -> (Duration, u64) {
        self.stop.store(true, Ordering::Relaxed);
        self.thread.join().unwrap()
    }
}

/// Secrets with a consumer each, in one inventory.
pub(crate) struct Company {
    pub(crate) folder: tempfile::TempDir,
    members: Vec<Member>,
}

/// How a secret stands in the inventory beside its kind.
pub(crate) struct Entry {
    pub(crate) id: String,
    pub(crate) tier: &'static str,
    pub(crate) depends_on: Vec<String>,
    pub(crate) kind: Kind,
}

impl Entry {
    /// A service's, that depends on none.
    pub(crate) fn new(id: &str, kind: Kind) -> Self {
        Self { id: id.to_owned(), tier: "service", depends_on: Vec::new(), kind }
    }

    pub(crate) fn tier(self, tier: &'static str) -> Self {
        Self { tier, ..self }
    }

    pub(crate) fn after(self, id: &str) -> Self {
        Self { depends_on: vec![id.to_owned()], ..self }
    }
}

impl Company {
    pub(crate) fn new(entries: Vec<Entry>, connections: &Value, policy: &Value) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let mut members = Vec::new();
        let mut secrets = Vec::new();
        for Entry { id, tier, depends_on, kind } in entries {
            let path = folder.path().join(&id);
            std::fs::create_dir(&path).unwrap();
            let store = kind.kept.file(&path);
            private(&store, &kind.kept.text(&kind.old));
            private(&path.join("admin.url"), &kind.admin);
            let consumer = Consumer::start(store, kind.kept, Arc::clone(&kind.door));
            let at = |what: &str| format!("http://127.0.0.1:{}/{what}", consumer.port());
            let issuer = kind.issuer.to_string().replace("file:admin.url", &format!("file:{id}/admin.url"));
            secrets.push(json!({
                "id": id,
                "kind": kind.name,
                "env": "prod",
                "tier": tier,
                "depends_on": depends_on,
                "issuer": serde_json::from_str::<Value>(&issuer).unwrap(),
                "stores": [kind.kept.store(&id)],
                "consumers": [{
                    "name": format!("{id}-api"),
                    "reload": {"http": {"url": at("reload")}},
                    "observe": {"http": at("healthz"), "generation": ".gen"},
                }],
            }));
            let stranger = (kind.door)(&kind.old).expect("the value is good before it is killed");
            members.push(Member { id, kind, consumer, stranger });
        }
        let inventory = json!({"connections": connections, "secrets": secrets, "policy": policy});
        std::fs::write(folder.path().join("quell.yaml"), inventory.to_string()).unwrap();
        let company = Self { folder, members };
        company.ok(&["init"]);
        company
    }

    pub(crate) fn command(&self, args: &[&str]) -> Command {
        let mut command = Command::new(quell_program());
        command.args(args).current_dir(self.folder.path()).env_clear();
        command.env("PATH", std::env::var_os("PATH").unwrap_or_default());
        command.env("HOME", self.folder.path()).env("QUELL_ACTOR", "ines");
        command.env("QUELL_DATA_DIR", self.folder.path().join("data"));
        command
    }

    pub(crate) fn quell(&self, args: &[&str], failpoint: Option<&str>) -> Output {
        let mut command = self.command(args);
        if let Some(failpoint) = failpoint {
            command.env("QUELL_FAILPOINT", failpoint);
        }
        let output = command.output().unwrap();
        for member in &self.members {
            for said in [&output.stdout, &output.stderr] {
                assert!(!text(said).contains(&member.kind.old), "quell {args:?} says a value");
            }
        }
        output
    }

    #[track_caller]
    pub(crate) fn ok(&self, args: &[&str]) -> String {
        let output = self.quell(args, None);
        let (out, err) = (text(&output.stdout), text(&output.stderr));
        assert!(output.status.success(), "quell {args:?}: {out}\n{err}");
        out
    }

    #[track_caller]
    pub(crate) fn json(&self, args: &[&str]) -> Value {
        serde_json::from_str(&self.ok(args)).unwrap()
    }

    /// Opens an incident about these secrets.
    #[track_caller]
    pub(crate) fn leak(&self, secrets: &[&str], channel: &str) -> String {
        let mut args = vec!["incident", "open", "--json", "--channel", channel];
        for secret in secrets {
            args.extend(["--secret", secret]);
        }
        self.json(&args)["incident"].as_str().unwrap().to_owned()
    }

    #[track_caller]
    pub(crate) fn assert_inert_all(&mut self) {
        let all: Vec<String> = self.all().into_iter().map(str::to_owned).collect();
        let all: Vec<&str> = all.iter().map(String::as_str).collect();
        self.assert_inert(&all);
    }

    /// Asks every consumer again and again whether what it holds opens the door, until the guard is dropped or read.
    pub(crate) fn watch(&self) -> Watch {
        let consumers: Vec<Consumer> = self.members.iter().map(|m| m.consumer.again()).collect();
        Watch::over(consumers)
    }

    /// What the store of a secret holds.
    pub(crate) fn value(&self, id: &str) -> String {
        self.members.iter().find(|m| m.id == id).unwrap().value(self.folder.path())
    }

    pub(crate) fn all(&self) -> Vec<&str> {
        self.members.iter().map(|m| m.id.as_str()).collect()
    }

    /// Steps in the order in which they began.
    pub(crate) fn began(&self, id: &str) -> Vec<String> {
        let timeline = self.json(&["incident", "timeline", id, "--json"]);
        let rows = timeline["timeline"].as_array().unwrap();
        let begun = |row: &Value| {
            let (step, what) = row["what"].as_str()?.split_once(": attempt ")?;
            (what.contains(" begun by ") && !what.ends_with("only looking")).then(|| step.to_owned())
        };
        rows.iter().filter_map(begun).collect()
    }

    /// How each secret stands: `inert`, `not inert`, `cannot tell`.
    pub(crate) fn standing(&self, id: &str) -> Vec<(String, String)> {
        let table = self.json(&["incident", "secrets", id, "--json"]);
        let word = |row: &Value, key: &str| row[key].as_str().unwrap().to_owned();
        table["secrets"].as_array().unwrap().iter().map(|r| (word(r, "secret"), word(r, "inert"))).collect()
    }

    /// The state that every answer must end in.
    #[track_caller]
    pub(crate) fn assert_inert(&mut self, only: &[&str]) {
        for member in self.members.iter_mut().filter(|m| only.contains(&m.id.as_str())) {
            let id = &member.id;
            assert!((member.kind.door)(&member.kind.old).is_none(), "{id}: the old value opens the door");
            assert!(!member.stranger.is_alive(), "{id}: a stranger's session lives on");
            let new = member.value(self.folder.path());
            assert_ne!(new, member.kind.old, "{id}");
            assert!((member.kind.door)(&new).is_some(), "{id}: the new value must open the door");
            assert_eq!(member.consumer.state(), (new, true), "{id}: the consumer uses the new value");
        }
    }

    /// Nothing was done to these.
    #[track_caller]
    pub(crate) fn assert_untouched(&mut self, only: &[&str]) {
        for member in self.members.iter_mut().filter(|m| only.contains(&m.id.as_str())) {
            assert!(member.stranger.is_alive(), "{}: its session was ended", member.id);
            assert_eq!(member.value(self.folder.path()), member.kind.old, "{}", member.id);
        }
    }
}
