//! A small company on loopback for the tests: one PostgreSQL and one OpenBao, and any number of secrets with two
//! consumers each. The consumers are real processes that hold a session.

use std::collections::BTreeMap;
use std::io::{Read as _, Write as _};
use std::net::TcpStream;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};
use std::time::{Duration, Instant};

use quell_testkit::{openbao, postgres};
use serde_json::{Value, json};

/// Longest wait for a consumer to come up or to be where it should be.
pub(crate) const PATIENCE: Duration = Duration::from_secs(20);

/// The servers; they are shared by many secrets.
pub(crate) struct Servers {
    pub(crate) postgres: postgres::Server,
    pub(crate) openbao: openbao::Server,
}

impl Servers {
    pub(crate) fn start() -> Self {
        let postgres =
            postgres::Server::start(&[("log_statement", "all"), ("log_connections", "on")]).unwrap();
        let openbao = openbao::Server::start().unwrap();
        Self { postgres, openbao }
    }
}

/// How the secret of a [`World`] is set up.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum Roles {
    /// Two roles under a group owner.
    Alternating,
    /// One role whose password changes.
    Single,
}

/// One secret with its stores and consumers, and a data folder of its own.
pub(crate) struct World<'a> {
    pub(crate) servers: &'a Servers,
    pub(crate) folder: tempfile::TempDir,
    pub(crate) name: String,
    pub(crate) old_password: String,
    pub(crate) old_url: String,
    /// More of the environment of every command: passphrases, other data folders.
    pub(crate) env: Vec<(String, PathBuf)>,
    /// The secret as an item of an inventory's list, with absolute paths.
    entry: String,
    consumers: BTreeMap<String, Child>,
}

impl Drop for World<'_> {
    fn drop(&mut self) {
        for consumer in self.consumers.values_mut() {
            drop(consumer.kill());
            drop(consumer.wait());
        }
    }
}

pub(crate) fn quell_program() -> PathBuf {
    PathBuf::from(env!("CARGO_BIN_EXE_quell"))
}

impl<'a> World<'a> {
    /// `policy` is the YAML below `policy:`, one line; more top-level lines may follow it.
    pub(crate) fn new(servers: &'a Servers, name: &str, roles: Roles, policy: &str) -> Self {
        let world = Self::bare(servers, name, roles, policy);
        world.ok(&["init"]);
        world
    }

    /// The same without a data folder.
    pub(crate) fn bare(servers: &'a Servers, name: &str, roles: Roles, policy: &str) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let old_password = format!("canary-{name}-{}", "Zx9".repeat(6));
        let (a, b, group) = (format!("{name}_a"), format!("{name}_b"), format!("{name}_owner"));
        servers.postgres.psql(&format!(
            "CREATE ROLE {group} NOLOGIN; CREATE ROLE {a} LOGIN PASSWORD '{old_password}' IN ROLE {group}; \
             CREATE ROLE {b} NOLOGIN IN ROLE {group}; ALTER ROLE {a} SET role {group}; ALTER ROLE {b} SET role {group}"
        ))
        .unwrap();
        let port = servers.postgres.port();
        let old_url = format!("postgresql://{a}:{old_password}@127.0.0.1:{port}/postgres");
        let bao = &servers.openbao;
        bao.request(
            "POST",
            &format!("kv/data/apps/{name}"),
            &json!({"data": {"DATABASE_URL": old_url, "OTHER": "kept"}}),
        )
        .unwrap();
        bao.request(
            "POST",
            &format!("kv/data/infra/{name}"),
            &json!({"data": {"admin_url": servers.postgres.admin_url()}}),
        )
        .unwrap();
        let path = folder.path();
        std::fs::write(path.join("token"), bao.root_token()).unwrap();
        std::fs::write(path.join("admin.url"), servers.postgres.admin_url()).unwrap();
        private(&path.join("app.env"), &format!("# kept\nDATABASE_URL={old_url}\n"));
        let mut world = Self {
            servers,
            name: name.to_owned(),
            old_password,
            old_url,
            env: Vec::new(),
            entry: String::new(),
            consumers: BTreeMap::new(),
            folder,
        };
        for consumer in ["api", "worker"] {
            world.start_consumer(consumer);
        }
        let roles = match roles {
            Roles::Alternating => format!("[{a}, {b}], group: {group}"),
            Roles::Single => format!("[{a}]"),
        };
        let (api, worker) = (world.port("api"), world.port("worker"));
        let here = world.folder.path().display().to_string();
        world.entry = format!(
            r#"  - id: {name}-db
    kind: postgres-password
    env: prod
    issuer:
      postgres: {{ admin: "openbao:kv/infra/{name}#admin_url", roles: {roles}, settle_ms: 100 }}
    stores:
      - openbao: {{ mount: kv, path: apps/{name}, key: DATABASE_URL }}
      - env_file: {{ path: {here}/app.env, key: DATABASE_URL }}
    consumers:
      - name: api
        reload: {{ http: {{ url: "http://127.0.0.1:{api}/reload" }} }}
        observe: {{ http: "http://127.0.0.1:{api}/healthz", generation: ".gen", principal: ".principal" }}
      - name: worker
        reload: {{ process: {{ pidfile: {here}/worker.pid, signal: HUP }} }}
        observe: {{ http: "http://127.0.0.1:{worker}/healthz", generation: ".gen", principal: ".principal" }}
"#
        );
        world.write_inventory(&[&world], policy);
        world
    }

    /// Writes the inventory anew, with the secrets of these worlds.
    pub(crate) fn write_inventory(&self, worlds: &[&World<'_>], policy: &str) {
        let address = self.servers.openbao.addr();
        let entries: String = worlds.iter().map(|w| w.entry.as_str()).collect();
        let text = format!(
            "connections:\n  openbao: {{ address: \"{address}\", token: \"file:token\" }}\nsecrets:\n{entries}policy: {policy}\n"
        );
        std::fs::write(self.path("quell.yaml"), text).unwrap();
    }

    /// Changes the inventory's text; it must hold `from`.
    #[track_caller]
    pub(crate) fn edit(&self, from: &str, to: &str) {
        let text = std::fs::read_to_string(self.path("quell.yaml")).unwrap();
        assert!(text.contains(from), "the inventory does not hold {from}");
        std::fs::write(self.path("quell.yaml"), text.replace(from, to)).unwrap();
    }

    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    pub(crate) fn secret(&self) -> String {
        format!("{}-db", self.name)
    }

    pub(crate) fn signal_consumer(&self, name: &str, signal: rustix::process::Signal) {
        let pid = rustix::process::Pid::from_child(&self.consumers[name]);
        rustix::process::kill_process(pid, signal).unwrap();
    }

    /// Ends a consumer without a goodbye; its port stays closed.
    pub(crate) fn kill_consumer(&mut self, name: &str) {
        let mut child = self.consumers.remove(name).unwrap();
        child.kill().unwrap();
        child.wait().unwrap();
    }

    fn start_consumer(&mut self, name: &str) {
        let child = Command::new(quell_program())
            .arg("sandbox-consumer")
            .arg("--env-file")
            .arg(self.path("app.env"))
            .arg("--port-file")
            .arg(self.path(&format!("{name}.port")))
            .arg("--pid-file")
            .arg(self.path(&format!("{name}.pid")))
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        self.consumers.insert(name.to_owned(), child);
        wait_for(|| self.path(&format!("{name}.port")).is_file(), "the consumer did not start");
    }

    pub(crate) fn port(&self, consumer: &str) -> u16 {
        std::fs::read_to_string(self.path(&format!("{consumer}.port"))).unwrap().trim().parse().unwrap()
    }

    /// The command, ready to run.
    pub(crate) fn quell(&self, args: &[&str]) -> Command {
        let mut command = Command::new(quell_program());
        command
            .args(args)
            .current_dir(self.folder.path())
            .env_clear()
            .env("PATH", std::env::var_os("PATH").unwrap_or_default())
            .env("HOME", self.folder.path())
            .env("QUELL_DATA_DIR", self.path("data"))
            .env("QUELL_ACTOR", "ines")
            .envs(self.env.iter().map(|(k, v)| (k, v)))
            .stdin(Stdio::null());
        command
    }

    /// Starts the command in the background, its output kept.
    pub(crate) fn spawn(&self, args: &[&str]) -> Child {
        self.quell(args).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap()
    }

    pub(crate) fn run(&self, args: &[&str]) -> Output {
        self.quell(args).output().unwrap()
    }

    /// Runs and expects success; gives stdout.
    #[track_caller]
    pub(crate) fn ok(&self, args: &[&str]) -> String {
        let output = self.run(args);
        assert!(output.status.success(), "quell {args:?}: {}\n{}", output.status, text(&output.stderr));
        text(&output.stdout)
    }

    /// Runs with `--json` and expects success; gives the object.
    #[track_caller]
    pub(crate) fn json(&self, args: &[&str]) -> Value {
        let args: Vec<&str> = args.iter().copied().chain(["--json"]).collect();
        serde_json::from_str(&self.ok(&args)).unwrap()
    }

    /// Opens an incident; gives its id.
    #[track_caller]
    pub(crate) fn open(&self, channel: &str) -> String {
        let opened = self.json(&["incident", "open", "--secret", &self.secret(), "--channel", channel]);
        opened["incident"].as_str().unwrap().to_owned()
    }

    /// A git repository that held the old value once, in its history, and was "cleaned"; as the git program makes it.
    pub(crate) fn leaky_repository(&self, committed: &str) -> PathBuf {
        let repository = self.path("repository");
        std::fs::create_dir(&repository).unwrap();
        let git = |args: &[&str]| {
            let output = Command::new("git")
                .args(args)
                .current_dir(&repository)
                .env("HOME", self.folder.path())
                .env("GIT_CONFIG_NOSYSTEM", "1")
                .env("GIT_AUTHOR_DATE", committed)
                .env("GIT_COMMITTER_DATE", committed)
                .output()
                .unwrap();
            assert!(output.status.success(), "git {args:?}: {}", text(&output.stderr));
        };
        git(&["init", "-q", "-b", "main"]);
        git(&["config", "user.name", "Ines"]);
        git(&["config", "user.email", "ines@example.com"]);
        std::fs::write(
            repository.join("settings.env"),
            format!("# settings\nDATABASE_URL={}\n", self.old_url),
        )
        .unwrap();
        git(&["add", "."]);
        git(&["commit", "-q", "-m", "settings"]);
        git(&["rm", "-q", "settings.env"]);
        std::fs::write(repository.join("README.md"), "clean\n").unwrap();
        git(&["add", "."]);
        git(&["commit", "-q", "-m", "remove settings"]);
        repository
    }

    /// Asks a consumer about itself.
    pub(crate) fn health(&self, consumer: &str) -> Value {
        let url = format!("http://127.0.0.1:{}/healthz", self.port(consumer));
        let output = Command::new("curl").args(["-s", "--max-time", "5", &url]).output().unwrap();
        serde_json::from_slice(&output.stdout).unwrap_or(Value::Null)
    }

    /// Logs in for real, with psql; gives the role, or the server's words.
    pub(crate) fn login(url: &str) -> Result<String, String> {
        let output = Command::new("psql")
            .args(["-X", "-A", "-t", "-w", "-c", "SELECT session_user"])
            .env("PGCONNECT_TIMEOUT", "5")
            .arg("-d")
            .arg(url)
            .output()
            .unwrap();
        if output.status.success() {
            Ok(text(&output.stdout).trim().to_owned())
        } else {
            Err(text(&output.stderr))
        }
    }

    /// What OpenBao holds now.
    pub(crate) fn kv(&self) -> Value {
        self.servers.openbao.request("GET", &format!("kv/data/apps/{}", self.name), &Value::Null).unwrap()["data"].clone()
    }

    /// The full state that every response must end in.
    #[track_caller]
    pub(crate) fn assert_inert(&self, incident: &str, roles: Roles) {
        let refusal = Self::login(&self.old_url).expect_err("the old value still opens the door");
        assert!(
            refusal.contains("password authentication failed") || refusal.contains("not permitted to log in"),
            "{refusal}"
        );
        let kv = self.kv();
        let new_url = kv["data"]["DATABASE_URL"].as_str().unwrap().to_owned();
        assert_eq!(kv["data"]["OTHER"], "kept");
        let expected = match roles {
            Roles::Alternating => format!("{}_b", self.name),
            Roles::Single => format!("{}_a", self.name),
        };
        assert_eq!(
            Self::login(&new_url).as_deref(),
            Ok(expected.as_str()),
            "the new value must open the door"
        );
        let env_file = std::fs::read_to_string(self.path("app.env")).unwrap();
        assert!(
            env_file.starts_with("# kept\n") && env_file.contains(&new_url),
            "the env file holds the same new value"
        );
        for consumer in ["api", "worker"] {
            let health = self.health(consumer);
            assert_eq!(
                (&health["status"], &health["principal"]),
                (&json!("ok"), &json!(expected)),
                "{consumer}: {health}"
            );
        }
        let live = self.servers.postgres
            .psql(&format!("SELECT count(*) FROM pg_authid WHERE rolname LIKE '{}\\_%' AND rolcanlogin AND rolpassword IS NOT NULL", self.name))
            .unwrap();
        assert_eq!(live.trim(), "1", "exactly one live credential");
        let versions = self
            .servers
            .openbao
            .request("GET", &format!("kv/metadata/apps/{}", self.name), &Value::Null)
            .unwrap();
        assert_eq!(
            versions["data"]["versions"]["1"]["destroyed"], true,
            "the store's history keeps the old value"
        );
        assert_eq!(versions["data"]["current_version"], 2, "written once: {versions}");
        let shown = self.json(&["incident", "show", incident]);
        assert!(shown["secrets"].as_array().unwrap().iter().all(|s| s["inert"] == true), "{shown}");
        assert_eq!(self.new_values(incident), 1, "one successor was chosen");
        self.ok(&["ledger", "verify"]);
    }

    /// How many successors the ledger speaks of.
    pub(crate) fn new_values(&self, incident: &str) -> usize {
        let bundle = self.path("count.tar");
        self.ok(&["evidence", "export", incident, "--output", bundle.to_str().unwrap()]);
        let bytes = std::fs::read(&bundle).unwrap();
        let needle = br#""kind":"value.sealed""#;
        let entries: Vec<&[u8]> =
            bytes.split(|b| *b == b'\n').filter(|l| l.windows(needle.len()).any(|w| w == needle)).collect();
        entries.iter().filter(|l| l.windows(12).any(|w| w == br#""role":"new""#)).count()
    }
}

/// Writes a file that only its owner reads.
pub(crate) fn private(path: &Path, content: &str) {
    use std::os::unix::fs::PermissionsExt as _;
    std::fs::write(path, content).unwrap();
    std::fs::set_permissions(path, std::fs::Permissions::from_mode(0o600)).unwrap();
}

/// One request on a connection of its own: status, head and body of the answer.
pub(crate) fn ask(url: &str, verb: &str, path: &str, headers: &[&str], body: &str) -> (u16, String, String) {
    let address = url.trim_start_matches("http://").trim_end_matches('/');
    let mut stream = TcpStream::connect(address).unwrap();
    stream.set_read_timeout(Some(Duration::from_mins(1))).unwrap();
    let more: Vec<String> = headers.iter().map(|header| format!("{header}\r\n")).collect();
    let (length, more) = (body.len(), more.concat());
    let head = format!(
        "{verb} {path} HTTP/1.1\r\nhost: {address}\r\nconnection: close\r\ncontent-length: {length}\r\n{more}\r\n"
    );
    stream.write_all(format!("{head}{body}").as_bytes()).unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).unwrap();
    let (head, body) = answer.split_once("\r\n\r\n").unwrap();
    let status = head.split(' ').nth(1).unwrap().parse().unwrap();
    (status, head.to_owned(), body.to_owned())
}

pub(crate) fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

/// Whether a process has a handler for SIGINT, the second of the signals in its mask (`proc_pid_status(5)`).
pub(crate) fn catches_interrupts(process: &Child) -> bool {
    let status = std::fs::read_to_string(format!("/proc/{}/status", process.id())).unwrap_or_default();
    let mask = status.lines().find_map(|line| line.strip_prefix("SigCgt:"));
    mask.and_then(|mask| u64::from_str_radix(mask.trim(), 16).ok()).is_some_and(|mask| mask & 0b10 != 0)
}

/// Ctrl-C.
pub(crate) fn interrupt(child: &Child) {
    let pid = rustix::process::Pid::from_child(child);
    rustix::process::kill_process(pid, rustix::process::Signal::INT).unwrap();
}

#[track_caller]
pub(crate) fn wait_for(mut holds: impl FnMut() -> bool, otherwise: &str) {
    #[expect(clippy::disallowed_methods, reason = "a bounded wait in a test")]
    let until = Instant::now() + PATIENCE;
    while !holds() {
        #[expect(clippy::disallowed_methods, reason = "a bounded wait in a test")]
        let now = Instant::now();
        assert!(now < until, "{otherwise}");
        std::thread::sleep(Duration::from_millis(20));
    }
}

/// Every file below a folder.
pub(crate) fn files_below(folder: &Path) -> Vec<PathBuf> {
    let mut out = Vec::new();
    let mut todo = vec![folder.to_owned()];
    while let Some(next) = todo.pop() {
        for entry in std::fs::read_dir(next).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() { todo.push(path) } else { out.push(path) }
        }
    }
    out
}
