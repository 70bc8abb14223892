//! Many secrets of several kinds in one incident, beside the bare calls of the same connectors in the same run.
//!
//! `bench/mass` runs it. Two companies are made alike on the same servers. In one the connectors are called as the plan
//! would, in the same order and as many at a time, with no ledger, no seal and no engine; the other is answered by
//! `quell respond`. The ratio of the two wall-clock times is what the engine costs.

#![allow(
    dead_code,
    unused_imports,
    unreachable_pub,
    reason = "only the company is used of the tests' modules"
)]
#![expect(
    clippy::disallowed_methods,
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::panic,
    clippy::print_stdout,
    clippy::unwrap_used,
    reason = "a benchmark says what it measured, and ends when it cannot"
)]

#[path = "../tests/it/fault.rs"]
mod fault;
#[path = "../tests/it/kinds/mod.rs"]
mod kinds;
#[path = "../tests/it/world.rs"]
mod world;

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::{Duration, Instant};

use kinds::company::{Company, Entry, a_token, on_postgres, one_role_on_postgres};
use kinds::{approle, aws, mariadb, redis, ssh};
use quell_app::systems::Systems;
use quell_connect::connector::{IssuerOp, Performed};
use quell_core::issuer::{Chooser, ValidAtOnce};
use quell_core::outcome::{Outcome, Probe};
use quell_testkit::{mariadb as mariadb_server, moto, openbao, postgres, redis as redis_server, sshd};
use serde_json::json;
use tokio::sync::Semaphore;
use tokio::task::JoinSet;

/// Steps at once against one system, as the plan has it.
const AT_ONCE: usize = 8;
/// The settling time of all of them.
const SETTLE: Duration = Duration::from_millis(100);

struct Servers {
    postgres: postgres::Server,
    mariadb: mariadb_server::Server,
    redis: redis_server::Server,
    bao: openbao::Server,
    aws: moto::Aws,
    ssh: Arc<sshd::Server>,
}

impl Servers {
    fn start() -> Self {
        let bao = openbao::Server::start().unwrap();
        approle::enable(&bao);
        Self {
            postgres: postgres::Server::start(&[("max_connections", "1000")]).unwrap(),
            mariadb: mariadb_server::Server::start().unwrap(),
            redis: redis_server::Server::start(redis_server::Keeps::File).unwrap(),
            bao,
            aws: moto::Aws::start().unwrap(),
            ssh: Arc::new(sshd::Server::start().unwrap()),
        }
    }

    /// The `n`th secret of a company.
    fn entry(&self, company: &str, n: usize) -> Entry {
        let name = format!("{company}{n}");
        let kind = match n % 8 {
            0 => on_postgres(&self.postgres, &name),
            1 => one_role_on_postgres(&self.postgres, &name),
            2 => mariadb::kind(&self.mariadb, &name, self.mariadb.port()),
            3 => redis::kind(&self.redis, &name, self.redis.port()),
            4 => a_token(&self.bao),
            5 => aws::kind(&self.aws, &name, self.aws.port()),
            6 => approle::kind(&self.bao, &name, self.bao.port()),
            _ => ssh::kind(&self.ssh, self.ssh.port()),
        };
        let tier = ["infrastructure", "service", "service", "integration"][n / 8 % 4];
        Entry::new(&name, kind).tier(tier)
    }

    fn company(&self, name: &str, secrets: usize) -> Company {
        let token = tempfile::NamedTempFile::new().unwrap().into_temp_path().keep().unwrap();
        std::fs::write(&token, self.bao.root_token()).unwrap();
        let connections =
            json!({"openbao": {"address": self.bao.addr(), "token": format!("file:{}", token.display())}});
        let entries = (0..secrets).map(|n| self.entry(name, n)).collect();
        Company::new(entries, &connections, &json!({"approvals": {"destructive": 0}}))
    }
}

/// What the plan does for one secret, with nothing but the connectors.
async fn bare(systems: &Systems, tag: &str) -> Result<(), String> {
    let issuer = &systems.issuer;
    let can = issuer.capabilities();
    let applied = |what: &str, outcome: &Outcome| {
        if outcome.is_applied() { Ok(()) } else { Err(format!("{tag}: {what}: {outcome:?}")) }
    };
    let stored = systems.stores[0].read().await.map_err(|e| e.to_string())?.ok_or("empty")?;
    let old = issuer.identify(&stored.value).map_err(|e| e.to_string())?;
    let accepted = |probe: &Probe| matches!(probe, Probe::Accepted { .. });
    if !accepted(&issuer.probe(&old).await) {
        return Err(format!("{tag}: the old value is refused"));
    }
    let chosen = issuer.choose(Some(&old), tag).await.map_err(|e| e.to_string())?;
    let made = again(|| issuer.perform(IssuerOp::Install { new: &chosen })).await;
    applied("install", &made.outcome)?;
    let cutoff = cutoff_of(&made.outcome);
    let new = match can.chooser {
        Chooser::Client => chosen,
        Chooser::Issuer => made.minted.ok_or("nothing was minted")?,
    };
    if !accepted(&issuer.probe(&new).await) {
        return Err(format!("{tag}: the successor is refused"));
    }
    applied("store", &systems.stores[0].write(&new.value).await)?;
    for consumer in &systems.consumers {
        if let Some(reload) = &consumer.reload {
            applied("reload", &reload.reload().await)?;
        }
        consumer.observe.see().await.map_err(|e| e.to_string())?;
    }
    let mut cutoff = cutoff;
    if can.valid_at_once != ValidAtOnce::One {
        let disabled = again(|| issuer.perform(IssuerOp::Disable { old: &old })).await;
        applied("disable", &disabled.outcome)?;
        cutoff = cutoff_of(&disabled.outcome).or(cutoff);
    }
    let cutoff = cutoff.filter(|_| old.principal == new.principal);
    if can.sessions_survive {
        let severed = issuer.perform(IssuerOp::Sever { old: &old, cutoff: cutoff.as_deref() }).await;
        applied("sever", &severed.outcome)?;
    }
    for round in 0..2 {
        if round > 0 {
            tokio::time::sleep(SETTLE).await;
        }
        if !matches!(issuer.probe(&old).await, Probe::Refused { .. }) || !accepted(&issuer.probe(&new).await)
        {
            return Err(format!("{tag}: not proven"));
        }
    }
    let left = issuer.sessions(&old, cutoff.as_deref()).await.map_err(|e| e.to_string())?;
    if left > 0 {
        return Err(format!("{tag}: {left} sessions are left"));
    }
    applied("purge", &systems.stores[0].purge(&[&old.value]).await)?;
    if issuer.retires() {
        applied("retire", &issuer.retire(&old).await)?;
    }
    Ok(())
}

/// Tries again what two did at the same moment, as the plan would.
async fn again<F: Future<Output = Performed>>(mut one: impl FnMut() -> F) -> Performed {
    for attempt in 0..5 {
        let done = one().await;
        if !matches!(done.outcome, Outcome::NotApplied { retryable: true, .. }) {
            return done;
        }
        tokio::time::sleep(Duration::from_millis(200 << attempt)).await;
    }
    one().await
}

fn cutoff_of(outcome: &Outcome) -> Option<String> {
    match outcome {
        Outcome::Applied { facts } => Some(facts.get("cutoff")?.as_str()?.to_owned()),
        Outcome::NotApplied { .. } | Outcome::Unknown { .. } => None,
    }
}

/// All secrets of a company, by the connectors alone.
fn bare_calls(company: &Company) -> Duration {
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build().unwrap();
    let options = quell_app::Options {
        data: company.folder.path().join("data"),
        database: None,
        inventory: company.folder.path().join("quell.yaml"),
        environment: BTreeMap::new(),
        actor: "ines".to_owned(),
        call_limit: Duration::from_secs(30),
        passphrase_file: None,
        providers: Vec::new(),
    };
    runtime.block_on(async {
        let app = quell_app::App::open(&options, || panic!("no passphrase")).await.unwrap();
        let mut lanes = BTreeMap::new();
        let begun = Instant::now();
        let mut tasks = JoinSet::new();
        for secret in app.inventory.secrets.values() {
            let systems = Systems::build(secret, &app.context).unwrap();
            let (name, fewer) = systems.issuer.lane();
            let room = fewer.map_or(AT_ONCE, |n| AT_ONCE.min(n.into()));
            let lane = Arc::clone(lanes.entry(name).or_insert_with(|| Arc::new(Semaphore::new(room))));
            let tag = format!("bare/{}", secret.id);
            tasks.spawn(async move {
                let _room = lane.acquire().await.unwrap();
                bare(&systems, &tag).await
            });
        }
        while let Some(done) = tasks.join_next().await {
            done.unwrap().unwrap();
        }
        begun.elapsed()
    })
}

fn main() {
    let secrets = std::env::args().skip(1).find_map(|a| a.parse().ok()).unwrap_or(300);
    let servers = Servers::start();
    println!("{secrets} secrets of 8 kinds on PostgreSQL, MariaDB, Redis, OpenBao, moto and OpenSSH");
    let mut company = servers.company("r", secrets);
    let watch = company.watch();
    let raw = bare_calls(&company);
    watch.end();
    company.assert_inert_all();
    drop(company);
    println!("bare calls: {:.1} s, {:.0} ms each", raw.as_secs_f64(), per(raw, secrets));

    let mut company = servers.company("q", secrets);
    let all: Vec<String> = company.all().into_iter().map(str::to_owned).collect();
    let all: Vec<&str> = all.iter().map(String::as_str).collect();
    let id = company.leak(&all, "chat");
    let begun = Instant::now();
    company.ok(&["plan", &id, "--json"]);
    let planned = begun.elapsed();
    let watch = company.watch();
    let begun = Instant::now();
    company.ok(&["respond", &id]);
    let answered = begun.elapsed();
    let (outage, asked) = watch.end();
    company.assert_inert_all();
    let standing = company.standing(&id);
    assert!(standing.len() == secrets && standing.iter().all(|(_, inert)| inert == "yes"));
    company.ok(&["ledger", "verify"]);
    println!("plan: {:.1} s", planned.as_secs_f64());
    println!("respond: {:.1} s, {:.0} ms each", answered.as_secs_f64(), per(answered, secrets));
    println!("ratio to the bare calls: {:.2} (goal 1.2)", answered.as_secs_f64() / raw.as_secs_f64());
    println!(
        "longest time in which a consumer could not log in: {} ms (each was asked {asked} times)",
        outage.as_millis()
    );
}

fn per(all: Duration, secrets: usize) -> f64 {
    all.as_secs_f64() * 1000.0 / f64::from(u32::try_from(secrets).unwrap())
}
