//! Three servers on one PostgreSQL are asked to work off incidents, take webhooks in and tell the news, while they are killed and stopped at random,
//! their connections are cut and the database restarts. Nothing is done twice, nothing is lost, everything is proven.
//!
//! `QUELL_CHAOS=50 cargo nextest run --workspace -E 'test(chaos)'` is the big size; `QUELL_CHAOS_SEED` repeats a run.

mod company;
mod field;
mod random;

use std::io::Write as _;
use std::path::PathBuf;
use std::process::Command;
use std::sync::Mutex;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use quell_testkit::postgres::Server;
use rustix::process::Signal;
use serde_json::{Value, json};

use self::company::{Company, old_url};
use self::field::Field;
use self::random::Random;
use super::intake::signed;
use super::replicas::{cut, signal};
use super::world::World;

/// Incidents in the ordinary size.
const FEW: usize = 6;
const REPLICAS: usize = 3;
/// Deliveries for each incident.
const DELIVERIES: usize = 5;
/// Whoever waits longer, for each incident, waits for ever.
const PATIENCE: Duration = Duration::from_mins(2);

/// What is asked for, and what was heard of it.
struct Work<'a> {
    company: &'a Company,
    field: &'a Field,
    size: usize,
    until: Instant,
    /// Numbers of the entries of the incident about the first secret, as a watcher was told them.
    told: Mutex<Vec<u64>>,
}

fn told(log: &str, words: &str) -> usize {
    log.lines().filter(|line| line.contains("statement:") && line.contains(words)).count()
}

/// Seen when the test fails, or with `--no-capture`.
fn tell(line: &str) {
    std::io::stderr().write_all(format!("{line}\n").as_bytes()).unwrap();
}

#[expect(clippy::disallowed_methods, reason = "a bounded wait in a test")]
fn now() -> Instant {
    Instant::now()
}

impl Work<'_> {
    /// Has something done, as a careful program does: under the same key until there is an answer; and when that says that the request was cut off, what it is
    /// about is looked at before it is asked for under another key.
    fn have_done(
        &self,
        random: &mut Random,
        key: &str,
        (path, body): (&str, &str),
        done: &dyn Fn(&mut Random) -> Option<Option<String>>,
    ) -> Option<String> {
        let mut number = 0;
        loop {
            let headers = [
                format!("Authorization: Bearer {}", self.company.token),
                format!("Idempotency-Key: {key}-{number}"),
            ];
            let answer = self.field.ask(random, ("POST", path), &headers, body.as_bytes());
            let again = answer.as_ref().is_none_or(|it| matches!(it.status, 429 | 500..) || it.is_under_way);
            if again {
                assert!(now() < self.until, "nothing becomes of {path}: {}", self.field.logs());
                std::thread::sleep(Duration::from_millis(200));
                continue;
            }
            if let Some(found) = done(random)? {
                return Some(found);
            }
            number += 1;
        }
    }

    fn get(&self, random: &mut Random, path: &str) -> Option<Value> {
        assert!(now() < self.until, "it does not come to an end at {path}: {}", self.field.logs());
        let who = vec![format!("Authorization: Bearer {}", self.company.token)];
        self.field.insist(random, ("GET", &format!("/api/v1{path}")), &who, b"")
    }

    /// The incident about a secret, as a person would open it: looked for when no answer came, and asked for again under the same key.
    fn open(&self, random: &mut Random, n: usize) -> Option<String> {
        // Half of them kill first.
        let channel = if n.is_multiple_of(2) { "chat" } else { "public-repo" };
        let body = json!({"secrets": [format!("c{n}")], "channel": channel}).to_string();
        let opened = |random: &mut Random| {
            let listed = self.get(random, &format!("/incidents?secret=c{n}"))?;
            Some(listed.pointer("/incidents/0/incident").and_then(Value::as_str).map(str::to_owned))
        };
        self.have_done(random, &format!("open-{n}"), ("/api/v1/incidents", &body), &opened)
    }

    /// Opens one incident, has its plan made, and asks the servers to carry it out; then waits until it is proven.
    fn one(&self, random: &mut Random, n: usize) -> Option<()> {
        let id = self.open(random, n)?;
        let planned = format!("/api/v1/incidents/{id}/plan");
        let made = |random: &mut Random| {
            let shown = self.get(random, &format!("/incidents/{id}"))?;
            Some(shown["plan_hash"].as_str().map(str::to_owned))
        };
        let hash = self.have_done(random, &format!("plan-{n}"), (&planned, "{}"), &made)?;
        let body = json!({ "plan": hash }).to_string();
        let driven = format!("/api/v1/incidents/{id}/respond");
        let asked = |random: &mut Random| {
            let asked = self.get(random, &format!("/incidents/{id}/respond"))?["asked"].clone();
            Some(asked.as_str().filter(|asked| *asked == hash).map(str::to_owned))
        };
        self.have_done(random, &format!("go-{n}"), (&driven, &body), &asked)?;
        while self.get(random, &format!("/incidents/{id}"))?["contained"] != true {
            std::thread::sleep(Duration::from_millis(100));
        }
        Some(())
    }

    /// Sends every delivery until somebody takes it.
    fn deliver(&self, random: &mut Random) {
        for number in 0..self.size * DELIVERIES {
            let leak = json!({"rule": "wiki-password", "value": format!("found-{number}-{}", "Zk4".repeat(6)), "place": format!("wiki/{number}")});
            let body = json!({ "leaks": [leak] }).to_string();
            loop {
                assert!(now() < self.until, "a delivery is not taken: {}", self.field.logs());
                let at = quell_app::clock::now().as_second().to_string();
                let signature = signed(&[at.as_bytes(), b".", body.as_bytes()]);
                let headers =
                    [format!("X-Quell-Timestamp: {at}"), format!("X-Quell-Signature: v1={signature}")];
                let reply = self.field.ask(random, ("POST", "/hooks/wiki"), &headers, body.as_bytes());
                if reply.is_some_and(|reply| reply.status < 300) || self.field.is_over() {
                    break;
                }
                std::thread::sleep(Duration::from_millis(50));
            }
            std::thread::sleep(Duration::from_millis(random.below(100)));
        }
    }

    /// Follows the incident about the first secret from its first entry on. Others may have been opened before it.
    fn watch(&self, random: &mut Random) {
        let opened = |random: &mut Random| {
            let listed = self.get(random, "/incidents?secret=c0")?;
            Some(listed.pointer("/incidents/0/incident").and_then(Value::as_str).map(str::to_owned))
        };
        let id = loop {
            match opened(random) {
                Some(Some(id)) => break id,
                Some(None) => std::thread::sleep(Duration::from_millis(20)),
                None => return,
            }
        };
        self.field.watch(random, &self.company.token, &id, &self.told);
    }
}

/// A number that stands for a kind of harm that was not done yet.
fn missing(counts: &[usize; 4]) -> u64 {
    [0, 3, 6, 9].into_iter().zip(counts).find(|(_, count)| **count == 0).map_or(0, |(kind, _)| kind)
}

/// Does harm until everything that was asked for is done; gives the checkpoints that were kept and how often each kind of harm was done.
fn harm(
    work: &Work<'_>,
    state: &mut Server,
    random: &mut Random,
    done: &dyn Fn() -> bool,
) -> (Vec<PathBuf>, [usize; 4]) {
    let (mut kept, mut counts) = (Vec::new(), [0; 4]);
    // Each kind at least once, however quickly the rest is done.
    while (!done() || counts.contains(&0)) && !work.field.is_over() {
        std::thread::sleep(Duration::from_millis(100 + random.below(300)));
        let replica = usize::try_from(random.below(REPLICAS as u64)).unwrap();
        let kind = if done() { missing(&counts) } else { random.below(10) };
        match kind {
            0..3 => {
                counts[0] += 1;
                work.field.send(replica, Signal::KILL);
            }
            3..6 => {
                counts[1] += 1;
                work.field.send(replica, Signal::STOP);
                // Sometimes longer than others wait for it.
                let pause = if random.below(4) == 0 { 7000 } else { 300 };
                std::thread::sleep(Duration::from_millis(pause));
                work.field.send(replica, Signal::CONT);
            }
            6..9 => {
                counts[2] += 1;
                cut(state);
                kept.extend(work.company.keep_checkpoint(kept.len()));
            }
            _ => {
                counts[3] += 1;
                state.stop().unwrap();
                std::thread::sleep(Duration::from_millis(random.below(1500)));
                state.restart().unwrap();
            }
        }
    }
    (kept, counts)
}

/// Waits for what the servers still do once nobody harms them: deliveries are worked off, the watcher has heard the last entry.
fn settle(work: &Work<'_>) {
    let watched = work.company.incident_about("c0");
    loop {
        let deliveries = work.company.json(&["intake", "list", "--most", "1000"]);
        let open: Vec<&Value> = deliveries["deliveries"]
            .as_array()
            .unwrap()
            .iter()
            .filter(|one| one["state"] != "done")
            .collect();
        let last = work.company.numbers(&watched).last().copied();
        let heard = work.told.lock().unwrap().last().copied();
        if open.is_empty() && heard == last {
            return;
        }
        assert!(
            now() < work.until,
            "it does not settle: heard {heard:?} of {last:?}; {open:?}: {}",
            work.field.logs()
        );
        // One that met the database away several times waits for minutes; a person need not.
        for one in open {
            let id = one["id"].as_str().unwrap();
            // It may be worked on just now.
            let _refused = work.company.quell(&["intake", "retry", id]).output().unwrap();
        }
        std::thread::sleep(Duration::from_millis(200));
    }
}

fn chaos(size: usize, seed: u64) {
    tell(&format!("{size} incidents, QUELL_CHAOS_SEED={seed}"));
    let mut state = Server::start(&[]).unwrap();
    let company = Company::found(&state, size);
    let field = Field::new(&company, REPLICAS);
    let until = now() + PATIENCE * u32::try_from(size).unwrap();
    let work = Work { company: &company, field: &field, size, until, told: Mutex::default() };
    let mut random = Random(seed);
    // Whatever fails, the others must not go on for ever.
    let guarded = |body: &mut dyn FnMut()| {
        if let Err(why) = std::panic::catch_unwind(std::panic::AssertUnwindSafe(body)) {
            field.end();
            std::panic::resume_unwind(why);
        }
    };
    let (kept, done) = std::thread::scope(|scope| {
        for replica in 0..REPLICAS {
            let (field, company, guarded) = (&field, &company, &guarded);
            scope.spawn(move || guarded(&mut || field.keep(replica, company)));
        }
        let mut asked = Vec::new();
        for lane in 0..REPLICAS {
            let (work, guarded, mut random) = (&work, &guarded, random.other());
            asked.push(scope.spawn(move || {
                guarded(&mut || {
                    for n in (lane..size).step_by(REPLICAS) {
                        work.one(&mut random, n);
                    }
                });
            }));
        }
        let (sender, watcher) = (random.other(), random.other());
        let (work, guarded) = (&work, &guarded);
        asked.push(scope.spawn(move || {
            let mut random = sender;
            guarded(&mut || work.deliver(&mut random));
        }));
        scope.spawn(move || {
            let mut random = watcher;
            guarded(&mut || work.watch(&mut random));
        });
        let mut harmed = None;
        guarded(&mut || {
            let all = || asked.iter().all(std::thread::ScopedJoinHandle::is_finished);
            harmed = Some(harm(work, &mut state, &mut random, &all));
            settle(work);
        });
        field.end();
        harmed.unwrap()
    });
    let unanswered = field.unanswered.load(Ordering::Relaxed);
    tell(&format!(
        "killed {}, stopped {}, cut {}, restarted {}; {unanswered} requests had no good answer",
        done[0], done[1], done[2], done[3]
    ));
    assert!(done.iter().sum::<usize>() >= size / 2, "it was over before anything happened: {done:?}");
    assert!(!done.contains(&0), "a kind of harm was not done: {done:?}");
    nothing_is_lost(&work, &kept);
    nothing_is_done_twice(&company, size, seed);
}

/// The ledger, what webhooks brought, and what the watcher heard.
fn nothing_is_lost(work: &Work<'_>, kept: &[PathBuf]) {
    let company = work.company;
    let mut verify = vec!["ledger", "verify"];
    for path in kept {
        verify.extend(["--checkpoint", path.to_str().unwrap()]);
    }
    let report = company.json(&verify);
    assert_eq!(report["ok"], true, "{report}");
    // Each delivery is in the ledger, once.
    let deliveries = company.json(&["intake", "list", "--most", "1000"]);
    let deliveries = deliveries["deliveries"].as_array().unwrap().clone();
    assert_eq!(deliveries.len(), work.size * DELIVERIES, "a delivery is lost or doubled");
    let entries = company.json(&["incident", "list"]);
    let incidents = entries["incidents"].as_array().unwrap();
    assert_eq!(incidents.len(), work.size, "an incident was opened twice: {entries}");
    let runs = company.ingested();
    let mut names = runs.clone();
    names.sort();
    names.dedup();
    assert_eq!((runs.len(), names.len()), (deliveries.len(), deliveries.len()), "{runs:?}");
    // The watcher heard every number, each once, in order.
    assert_eq!(*work.told.lock().unwrap(), company.numbers(&company.incident_about("c0")));
}

fn nothing_is_done_twice(company: &Company, size: usize, seed: u64) {
    let log = company.issuer.log();
    for n in 0..size {
        let secret = format!("c{n}");
        let listed = company.json(&["incident", "list"]);
        let about = |it: &&Value| it["secrets"][0]["id"] == secret.as_str();
        let shown = listed["incidents"].as_array().unwrap().iter().find(about).unwrap().clone();
        assert_eq!(shown["secrets"][0]["inert"], true, "{secret}: {shown}");
        let refused = World::login(&old_url(&company.issuer, n)).expect_err("the old value opens the door");
        assert!(refused.contains("password authentication failed") || refused.contains("not permitted"));
        for (role, words) in [("b", "LOGIN PASSWORD 'SCRAM"), ("a", "NOLOGIN PASSWORD NULL")] {
            let times = told(&log, &format!("ALTER ROLE \"c{n}_{role}\" {words}"))
                + told(&log, &format!("ALTER ROLE c{n}_{role} {words}"));
            assert_eq!(times, 1, "{secret}: {words} for c{n}_{role} was sent {times} times, seed {seed}");
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
