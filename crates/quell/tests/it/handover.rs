//! Two servers on one PostgreSQL: one is told to end in the middle of a step, is replaced, or is older than the database.

use std::io::{BufRead as _, BufReader};
use std::process::{Child, Stdio};
use std::sync::{Arc, Mutex};

use quell_testkit::postgres::Server;
use rustix::process::Signal;
use serde_json::{Value, json};
use sqlx::{Connection as _, PgConnection};

use super::replicas::{shared, signal, told};
use super::world::{Roles, Servers, World, ask, text, wait_for};

/// A server of a world's installation, and where it is.
struct Replica {
    child: Child,
    url: String,
    log: Arc<Mutex<Vec<String>>>,
}

impl Drop for Replica {
    fn drop(&mut self) {
        drop(self.child.kill());
        drop(self.child.wait());
    }
}

impl Replica {
    fn start(world: &World<'_>) -> Self {
        let serve = ["serve", "--listen", "127.0.0.1:0", "--call-limit", "60"];
        let mut child = world.quell(&serve).stdout(Stdio::null()).stderr(Stdio::piped()).spawn().unwrap();
        let mut lines = BufReader::new(child.stderr.take().unwrap()).lines().map(Result::unwrap);
        let line = lines.find(|line| line.starts_with("listening on")).expect("it does not listen");
        let log = Arc::new(Mutex::new(Vec::new()));
        let keep = Arc::clone(&log);
        std::thread::spawn(move || lines.for_each(|line| keep.lock().unwrap().push(line)));
        Self { child, url: line.split_whitespace().last().unwrap().to_owned(), log }
    }

    /// Has it told that it did this step?
    fn did(&self, id: &str, step: &str) -> bool {
        let words = format!("INFO  step incident={id} step={step} attempt=1 doing=perform outcome=applied");
        self.log.lock().unwrap().iter().any(|line| line.ends_with(&words))
    }
}

/// Holds a row of the issuer's roles, so that whoever changes that role waits.
struct Held {
    runtime: tokio::runtime::Runtime,
    session: PgConnection,
}

impl Held {
    fn hold(servers: &Servers, role: &str) -> Self {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        let hold = async {
            let mut session = PgConnection::connect(&servers.postgres.admin_url()).await.unwrap();
            let change = format!("BEGIN; ALTER ROLE {role} CONNECTION LIMIT 50");
            sqlx::raw_sql(sqlx::AssertSqlSafe(change)).execute(&mut session).await.unwrap();
            session
        };
        let session = runtime.block_on(hold);
        Self { runtime, session }
    }

    fn let_go(mut self) {
        self.runtime.block_on(async { sqlx::raw_sql("ROLLBACK").execute(&mut self.session).await.unwrap() });
    }
}

/// What the ledger says about a step, in order.
fn history(world: &World<'_>, id: &str, step: &str) -> Vec<(String, String)> {
    let timeline = world.json(&["incident", "timeline", id]);
    let about = timeline["timeline"]
        .as_array()
        .unwrap()
        .iter()
        .filter(|row| row["what"].as_str().unwrap().contains(step));
    about.map(|row| (row["actor"].to_string(), row["what"].as_str().unwrap().to_owned())).collect()
}

#[test]
fn a_server_that_is_told_to_end_finishes_its_step_and_another_goes_on() {
    let servers = Servers::start();
    let state = Server::start(&[]).unwrap();
    let world = shared(&servers, &state, "gsd");
    let id = world.open("chat");
    let plan = world.json(&["plan", &id]);
    let hash = plan["hash"].as_str().unwrap();
    let token = world.json(&["token", "make", "--name", "test", "--role", "responder"]);
    let bearer = format!("authorization: Bearer {}", token["token"].as_str().unwrap());

    let mut first = Replica::start(&world);
    let held = Held::hold(&servers, "gsd_b");
    let headers = [bearer.as_str(), "content-type: application/json"];
    let path = format!("/api/v1/incidents/{id}/respond");
    let (status, _, said) = ask(&first.url, "POST", &path, &headers, &json!({ "plan": hash }).to_string());
    assert_eq!(status, 200, "{said}");
    let words = "LOGIN PASSWORD 'SCRAM";
    wait_for(|| told(&servers, words) == 1, "the step did not begin");

    let second = Replica::start(&world);
    signal(&first.child, Signal::TERM);
    // It takes nothing new, and does not leave its step alone.
    wait_for(
        || {
            std::net::TcpStream::connect(first.url.trim_start_matches("http://").trim_end_matches('/'))
                .is_err()
        },
        "it goes on to listen",
    );
    assert!(first.child.try_wait().unwrap().is_none(), "it left a step that runs");
    assert_eq!(told(&servers, words), 1, "another one did it, too");
    held.let_go();
    let mut ended = None;
    wait_for(
        || {
            ended = first.child.try_wait().unwrap();
            ended.is_some()
        },
        "it does not end",
    );
    assert!(ended.unwrap().success());
    let done = || {
        let (_, _, said) = ask(&second.url, "GET", &path, &headers, "");
        serde_json::from_str::<Value>(&said).unwrap()["ended"] == "done"
    };
    wait_for(done, "the other one does not go on");
    assert_eq!(told(&servers, words), 1, "done once");
    wait_for(|| first.did(&id, "gsd-db.install"), "the first one does not tell of its step");
    wait_for(|| second.did(&id, "gsd-db.disable"), "the second one does not tell of its steps");
    assert!(!second.did(&id, "gsd-db.install"));
    world.assert_inert(&id, Roles::Alternating);
    let install = history(&world, &id, "gsd-db.install");
    assert!(install.len() >= 2, "{install:?}");
    assert!(
        install.iter().all(|(_, what)| !what.contains("lost")),
        "it was handed over, not lost: {install:?}"
    );
}

#[test]
fn a_server_that_is_older_than_the_database_is_refused_and_one_that_runs_says_so() {
    let servers = Servers::start();
    let state = Server::start(&[]).unwrap();
    let world = shared(&servers, &state, "old");
    let running = Replica::start(&world);
    assert_eq!(ask(&running.url, "GET", "/readyz", &[], "").0, 200);
    let newer = "INSERT INTO _sqlx_migrations (version, description, success, checksum, execution_time) VALUES (9999, 'newer', true, '', 1)";
    state.psql(newer).unwrap();
    let (status, _, said) = ask(&running.url, "GET", "/readyz", &[], "");
    assert_eq!(status, 503);
    assert!(said.contains("upgrade this replica"), "{said}");
    let refused = world.quell(&["serve", "--listen", "127.0.0.1:0"]).output().unwrap();
    let said = text(&refused.stderr);
    assert!(!refused.status.success() && said.contains("newer") && said.contains("hint:"), "{said}");
}
