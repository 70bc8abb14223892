use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use quell_connect::connector::{Observe, Seen};
use quell_connect::consumer_sandbox::{SandboxConsumer, SandboxSource, run};
use quell_connect::http::Client;
use quell_connect::postgres::sandbox::{Sandbox, Setup};
use quell_testkit::postgres::Server;
use serde_json::json;
use tempfile::TempDir;

use super::{LONG, PAUSE, context, observe, reload, secret, store, with_limit};

/// Set for the process that is the consumer; names its folder.
const FOLDER: &str = "QUELL_TEST_SANDBOX_FOLDER";

/// Not a test by itself: [`Consumer::start`] runs it in a process of its own, as the drill runs the product's.
#[test]
fn the_consumer_itself() {
    let Some(folder) = std::env::var_os(FOLDER).map(PathBuf::from) else { return };
    let options = SandboxConsumer {
        source: SandboxSource::EnvFile { path: folder.join(".env"), key: "DATABASE_URL".to_owned() },
        port_file: folder.join("port"),
        pid_file: folder.join("pid"),
        reload_token_file: Some(folder.join("token")),
        http: Client::new(Duration::from_secs(5), None).unwrap(),
    };
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    runtime.block_on(run(options)).unwrap();
}

struct Consumer {
    folder: TempDir,
    child: Child,
}

impl Drop for Consumer {
    fn drop(&mut self) {
        self.child.kill().ok();
        self.child.wait().ok();
    }
}

impl Consumer {
    fn start(url: &str) -> Self {
        let folder = tempfile::tempdir().unwrap();
        fs::write(folder.path().join(".env"), format!("DATABASE_URL='{url}'\n")).unwrap();
        fs::write(folder.path().join("token"), "token-for-the-hook\n").unwrap();
        let child = Command::new(std::env::current_exe().unwrap())
            .args(["--exact", "consumer_sandbox::the_consumer_itself", "--nocapture"])
            .env(FOLDER, folder.path())
            .stdin(Stdio::null())
            .stdout(fs::File::create(folder.path().join("output")).unwrap())
            .stderr(fs::File::create(folder.path().join("errors")).unwrap())
            .spawn()
            .unwrap();
        let consumer = Self { folder, child };
        super::wait_for("the consumer's port", || consumer.at("port").exists());
        consumer
    }

    fn at(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    fn url(&self, path: &str) -> String {
        format!("http://127.0.0.1:{}{path}", fs::read_to_string(self.at("port")).unwrap().trim())
    }

    fn page(&self) -> Box<dyn Observe> {
        let config = json!({
            "http": self.url("/healthz"), "generation": ".gen", "principal": ".principal", "healthy": ".status",
        });
        observe("http", &config, &context(self.folder.path()))
    }

    async fn wait(&self, what: &str, wanted: impl Fn(&Seen) -> bool) -> Seen {
        let page = self.page();
        let mut last = Seen::default();
        for _ in 0..LONG.as_millis() / PAUSE.as_millis() {
            last = page.see().await.unwrap();
            if wanted(&last) {
                return last;
            }
            tokio::time::sleep(PAUSE).await;
        }
        panic!("{what}: {last:?}");
    }
}

fn sessions(server: &Server, role: &str) -> String {
    let sql = format!("SELECT count(*) FROM pg_stat_activity WHERE usename = '{role}'");
    server.psql(&sql).unwrap().trim().to_owned()
}

#[tokio::test]
async fn a_rotation_as_the_consumer_sees_it() {
    let server = Server::start(&[]).unwrap();
    server.psql("CREATE ROLE orders_a LOGIN PASSWORD 'CANARY-password-a'").unwrap();
    server.psql("CREATE ROLE owner; GRANT owner TO orders_a; ALTER ROLE orders_a SET role = owner").unwrap();
    server.psql("CREATE ROLE orders_b LOGIN PASSWORD 'CANARY-password-b'").unwrap();
    let (a, b) = (
        server.url("orders_a", "CANARY-password-a", "postgres"),
        server.url("orders_b", "CANARY-password-b", "postgres"),
    );
    let consumer = Consumer::start(&a);
    let context = with_limit(context(consumer.folder.path()), LONG);
    let file = store("env_file", &json!({ "path": ".env", "key": "DATABASE_URL" }), &context);
    let hangup = reload("process", &json!({ "process": { "pidfile": "pid" } }), &context);
    let seen = consumer.wait("on a", |seen| seen.healthy).await;
    assert_eq!((seen.generation.as_deref(), seen.principal.as_deref()), (Some("1"), Some("orders_a")));
    assert_eq!(sessions(&server, "orders_a"), "1");

    // A value that does not work: the old session stays, and the consumer says that it fails.
    assert!(file.write(&secret(&server.url("orders_b", "wrong", "postgres"))).await.is_applied());
    assert!(hangup.reload().await.is_applied());
    consumer.wait("failing", |seen| !seen.healthy).await;
    assert_eq!(sessions(&server, "orders_a"), "1");

    assert!(file.write(&secret(&b)).await.is_applied());
    assert!(hangup.reload().await.is_applied());
    let seen = consumer.wait("on b", |seen| seen.healthy).await;
    assert_eq!((seen.generation.as_deref(), seen.principal.as_deref()), (Some("2"), Some("orders_b")));
    assert_eq!(
        (sessions(&server, "orders_a"), sessions(&server, "orders_b")),
        ("0".to_owned(), "1".to_owned())
    );

    // The hook needs its token; a reload of the same value is no new generation.
    let config = json!({ "http": { "url": consumer.url("/reload") } });
    assert!(!super::not_applied(reload("http", &config, &context).reload().await).1);
    let config = json!({ "http": { "url": consumer.url("/reload"), "token": "file:token" } });
    assert!(reload("http", &config, &context).reload().await.is_applied());
    assert_eq!(consumer.page().see().await.unwrap().generation.as_deref(), Some("2"));

    // Kill-first: the session is cut and the door closed; the consumer fails, and recovers when it may.
    server.psql("ALTER ROLE orders_b NOLOGIN").unwrap();
    server.psql("SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE usename = 'orders_b'").unwrap();
    consumer.wait("cut off", |seen| !seen.healthy).await;
    server.psql("ALTER ROLE orders_b LOGIN").unwrap();
    consumer.wait("back", |seen| seen.healthy).await;

    let terminate =
        reload("process", &json!({ "process": { "pidfile": "pid", "signal": "TERM" } }), &context);
    assert!(terminate.reload().await.is_applied());
    super::wait_for("an orderly end", || !consumer.at("pid").exists() && !consumer.at("port").exists());
    hygiene(consumer.folder.path());
}

#[tokio::test(flavor = "multi_thread")]
async fn it_also_lives_on_the_sandbox_server() {
    let setup = Setup { database: "orders", group: Some("owner"), roles: &["orders_a"] };
    let server = Sandbox::start(setup).await.unwrap();
    server.set_password("orders_a", &secret("CANARY-password-a")).unwrap();
    let url = server.url("orders_a", "CANARY-password-a");
    let consumer =
        tokio::task::spawn_blocking(move || Consumer::start(url.expose_text().unwrap())).await.unwrap();
    let seen = consumer.wait("on a", |seen| seen.healthy).await;
    assert_eq!(seen.principal.as_deref(), Some("orders_a"));
    hygiene(consumer.folder.path());
}

/// Nothing that it said has a value in it.
fn hygiene(folder: &Path) {
    for name in ["output", "errors"] {
        let text = String::from_utf8_lossy(&fs::read(folder.join(name)).unwrap()).into_owned();
        assert!(!text.contains("CANARY"), "{name}: {text}");
    }
}
