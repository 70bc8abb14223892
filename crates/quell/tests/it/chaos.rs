//! Three replicas on one PostgreSQL work off incidents while they are killed and stopped at random, their connections
//! are cut and the database restarts. Nothing is done twice, nothing is lost, everything is proven.
//!
//! `QUELL_CHAOS=50 cargo nextest run --workspace -E 'test(chaos)'` is the big size; `QUELL_CHAOS_SEED` repeats a run.

use std::collections::BTreeSet;
use std::fmt::Write as _;
use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};
use std::sync::Mutex;
use std::time::{Duration, Instant};

use quell_testkit::postgres::Server;
use rustix::process::Signal;
use serde_json::Value;

use super::replicas::{cut, signal};
use super::world::{World, private, quell_program, text};

/// Incidents in the ordinary size.
const FEW: usize = 6;
const REPLICAS: usize = 3;
/// The longest run per incident.
const PATIENCE: Duration = Duration::from_secs(30);

/// `SplitMix64` (Steele, Lea and Flood, 2014): the same run from the same seed, as far as processes let it.
struct Random(u64);

impl Random {
    fn below(&mut self, limit: u64) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        (z ^ (z >> 31)) % limit
    }
}

/// A company whose secrets are roles of one PostgreSQL, and an installation on another.
struct Company {
    issuer: Server,
    folder: tempfile::TempDir,
    incidents: Vec<String>,
}

fn old_url(issuer: &Server, n: usize) -> String {
    issuer.url(&format!("c{n}_a"), &format!("canary-{n}-{}", "Qx7".repeat(5)), "postgres")
}

impl Company {
    fn found(state: &Server, size: usize) -> Self {
        let issuer = Server::start(&[("log_statement", "all"), ("max_connections", "200")]).unwrap();
        let folder = tempfile::tempdir().unwrap();
        let here = folder.path().display().to_string();
        let (mut roles, mut inventory) = (String::new(), String::from("secrets:\n"));
        for n in 0..size {
            let old = format!("canary-{n}-{}", "Qx7".repeat(5));
            writeln!(
                roles,
                "CREATE ROLE c{n}_o NOLOGIN; CREATE ROLE c{n}_a LOGIN PASSWORD '{old}' IN ROLE c{n}_o; \
                 CREATE ROLE c{n}_b NOLOGIN IN ROLE c{n}_o;"
            )
            .unwrap();
            private(&folder.path().join(format!("{n}.env")), &format!("URL={}\n", old_url(&issuer, n)));
            writeln!(
                inventory,
                "  - id: c{n}\n    kind: postgres-password\n    env: prod\n    issuer:\n      \
                 postgres: {{ admin: \"file:admin.url\", roles: [c{n}_a, c{n}_b], group: c{n}_o, settle_ms: 50 }}\n    \
                 stores:\n      - env_file: {{ path: {here}/{n}.env, key: URL }}"
            )
            .unwrap();
        }
        issuer.psql(&roles).unwrap();
        inventory.push_str("policy: { approvals: { destructive: 0 } }\n");
        std::fs::write(folder.path().join("quell.yaml"), inventory).unwrap();
        private(&folder.path().join("admin.url"), &issuer.admin_url());
        private(&folder.path().join("state.url"), &state.admin_url());
        let mut company = Self { issuer, folder, incidents: Vec::new() };
        company.ok(&["init"]);
        for n in 0..size {
            // Half of them kill first.
            let channel = if n % 2 == 0 { "chat" } else { "public-repo" };
            let secret = format!("c{n}");
            let opened = company.ok(&["incident", "open", "--secret", &secret, "--channel", channel]);
            company.incidents.push(opened.trim().to_owned());
        }
        company
    }

    /// How a replica is run for one incident.
    fn replica(&self, incident: &str) -> Command {
        self.quell(&["respond", incident])
    }

    fn quell(&self, args: &[&str]) -> Command {
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
    fn ok(&self, args: &[&str]) -> String {
        let output: Output = self.quell(args).output().unwrap();
        assert!(output.status.success(), "{args:?}: {}", text(&output.stderr));
        text(&output.stdout)
    }

    /// A checkpoint as somebody outside keeps it, if the database answers.
    fn keep_checkpoint(&self, n: usize) -> Option<PathBuf> {
        let output = self.quell(&["ledger", "checkpoint"]).output().unwrap();
        let path = self.folder.path().join(format!("kept-{n}"));
        output.status.success().then(|| std::fs::write(&path, &output.stdout).unwrap())?;
        Some(path)
    }
}

fn told(log: &str, words: &str) -> usize {
    log.lines().filter(|line| line.contains("statement:") && line.contains(words)).count()
}

/// What the processes are doing now.
struct Field {
    running: Mutex<Vec<Option<Child>>>,
    open: Mutex<BTreeSet<String>>,
}

impl Field {
    fn is_over(&self) -> bool {
        self.open.lock().unwrap().is_empty()
    }

    fn send(&self, replica: usize, what: Signal) {
        if let Some(child) = &self.running.lock().unwrap()[replica] {
            // It may have ended by itself; then there is nobody to tell, and it is not reaped yet.
            let pid = rustix::process::Pid::from_child(child);
            let _may_have_ended = rustix::process::kill_process(pid, what);
        }
    }

    /// One replica: takes any open incident, again and again.
    fn work(&self, replica: usize, company: &Company, mut random: Random, until: Instant) {
        while !self.is_over() {
            assert!(now() < until, "it does not come to an end: {:?}", self.open.lock().unwrap());
            let open: Vec<String> = self.open.lock().unwrap().iter().cloned().collect();
            let Some(incident) = open.get(usize::try_from(random.below(64)).unwrap() % open.len().max(1))
            else {
                return;
            };
            let log = company.folder.path().join(format!("replica-{replica}.log"));
            let to = std::fs::OpenOptions::new().create(true).append(true).open(&log).unwrap();
            let child = company.replica(incident).stdout(to.try_clone().unwrap()).stderr(to).spawn().unwrap();
            self.running.lock().unwrap()[replica] = Some(child);
            loop {
                std::thread::sleep(Duration::from_millis(20));
                assert!(now() < until, "a replica hangs on {incident}: {}", tail(&log));
                let ended = self.running.lock().unwrap()[replica].as_mut().unwrap().try_wait().unwrap();
                let Some(status) = ended else { continue };
                self.running.lock().unwrap()[replica] = None;
                // A step that gave up is a person's to decide about: that must not come from chaos.
                assert!(
                    !matches!(status.code(), Some(2..=5)),
                    "{incident} ended with {status}: {}",
                    tail(&log)
                );
                if status.success() {
                    self.open.lock().unwrap().remove(incident);
                }
                break;
            }
        }
    }
}

/// Seen when the test fails, or with `--no-capture`.
fn tell(line: &str) {
    std::io::stderr().write_all(format!("{line}\n").as_bytes()).unwrap();
}

fn tail(log: &Path) -> String {
    let text = std::fs::read_to_string(log).unwrap_or_default();
    let lines: Vec<&str> = text.lines().collect();
    lines[lines.len().saturating_sub(25)..].join("\n")
}

#[expect(clippy::disallowed_methods, reason = "a bounded wait in a test")]
fn now() -> Instant {
    Instant::now()
}

/// Does harm until it is over; gives the checkpoints that were kept and how often each kind of harm was done.
fn harm(
    field: &Field,
    company: &Company,
    state: &mut Server,
    random: &mut Random,
) -> (Vec<PathBuf>, [usize; 4]) {
    let (mut kept, mut done) = (Vec::new(), [0; 4]);
    while !field.is_over() {
        std::thread::sleep(Duration::from_millis(100 + random.below(300)));
        let replica = usize::try_from(random.below(REPLICAS as u64)).unwrap();
        match random.below(10) {
            0..3 => {
                done[0] += 1;
                field.send(replica, Signal::KILL);
            }
            3..6 => {
                done[1] += 1;
                field.send(replica, Signal::STOP);
                // Sometimes longer than others wait for it.
                let pause = if random.below(4) == 0 { 7000 } else { 300 };
                std::thread::sleep(Duration::from_millis(pause));
                field.send(replica, Signal::CONT);
            }
            6..9 => {
                done[2] += 1;
                cut(state);
                kept.extend(company.keep_checkpoint(kept.len()));
            }
            _ => {
                done[3] += 1;
                state.stop().unwrap();
                std::thread::sleep(Duration::from_millis(random.below(1500)));
                state.restart().unwrap();
            }
        }
    }
    (kept, done)
}

fn chaos(size: usize, seed: u64) {
    tell(&format!("{size} incidents, QUELL_CHAOS_SEED={seed}"));
    let mut state = Server::start(&[]).unwrap();
    let company = Company::found(&state, size);
    let field = Field {
        running: Mutex::new((0..REPLICAS).map(|_| None).collect()),
        open: Mutex::new(company.incidents.iter().cloned().collect()),
    };
    let until = now() + PATIENCE * u32::try_from(size).unwrap();
    let mut random = Random(seed);
    let (kept, done) = std::thread::scope(|scope| {
        for replica in 0..REPLICAS {
            let (field, company) = (&field, &company);
            let random = Random(random.below(u64::MAX));
            scope.spawn(move || {
                let ended = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| {
                    field.work(replica, company, random, until);
                }));
                if let Err(why) = ended {
                    // The others must not go on for ever.
                    field.open.lock().unwrap().clear();
                    std::panic::resume_unwind(why);
                }
            });
        }
        harm(&field, &company, &mut state, &mut random)
    });
    tell(&format!("killed {}, stopped {}, cut {}, restarted {}", done[0], done[1], done[2], done[3]));
    assert!(done.iter().sum::<usize>() >= size / 2, "it was over before anything happened: {done:?}");

    let mut verify = vec!["ledger", "verify", "--json"];
    for path in &kept {
        verify.extend(["--checkpoint", path.to_str().unwrap()]);
    }
    let report: Value = serde_json::from_str(&company.ok(&verify)).unwrap();
    assert_eq!(report["ok"], true, "{report}");
    let log = company.issuer.log();
    for (n, incident) in company.incidents.iter().enumerate() {
        let shown: Value =
            serde_json::from_str(&company.ok(&["incident", "show", incident, "--json"])).unwrap();
        assert_eq!(shown["secrets"][0]["inert"], true, "{incident}: {shown}");
        let refused = World::login(&old_url(&company.issuer, n)).expect_err("the old value opens the door");
        assert!(refused.contains("password authentication failed") || refused.contains("not permitted"));
        for (role, words) in [("b", "LOGIN PASSWORD 'SCRAM"), ("a", "NOLOGIN PASSWORD NULL")] {
            let times = told(&log, &format!("ALTER ROLE \"c{n}_{role}\" {words}"))
                + told(&log, &format!("ALTER ROLE c{n}_{role} {words}"));
            assert_eq!(times, 1, "{incident}: {words} for c{n}_{role} was sent {times} times, seed {seed}");
        }
    }
}

#[test]
fn chaos_among_replicas_does_nothing_twice_and_loses_nothing() {
    let number = |name: &str| std::env::var_os(name).and_then(|text| text.to_str()?.parse::<u64>().ok());
    let size = number("QUELL_CHAOS").and_then(|n| usize::try_from(n).ok()).unwrap_or(FEW);
    let seed = number("QUELL_CHAOS_SEED").unwrap_or_else(|| u64::from(std::process::id()));
    chaos(size, seed);
}

/// A signal to a child that is stopped reaches it when it goes on.
#[test]
fn a_replica_that_is_stopped_is_seen_to_be() {
    let mut child = Command::new("sleep").arg("30").spawn().unwrap();
    signal(&child, Signal::STOP);
    super::world::wait_for(|| super::replicas::is_stopped(&child), "it did not stop");
    child.kill().unwrap();
    child.wait().unwrap();
}
