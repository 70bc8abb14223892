//! Drills: the same engine, the same connectors, the same ledger; a decoy, and a stopwatch.

mod compare;
mod git;
mod world;

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use quell_core::event::Verdict;
use quell_core::exposure::Channel;
use quell_core::incident::{Incident, RefusedBecause};
use quell_core::inventory::{StrategyPolicy, Tier};
use quell_core::plan::{Hold, Proof, Strategy};
use quell_core::{IncidentId, SecretId, Timestamp};
use quell_store::{KekSource, Store, StoreError};
use serde::Serialize;

use crate::clock::now;
use crate::driver::{self, Ended, Progress, Run};
use crate::incident::{self, Change, Report};
use crate::{App, AppError, Options, evidence, plan, proof, scan};

use compare::steps;
pub use compare::{Compared, Pair, compared};
pub use world::World;

/// How long one part took.
#[derive(Clone, Debug, Serialize)]
pub struct Timed {
    /// The step's id, or the phase's name.
    pub id: String,
    /// Milliseconds.
    pub ms: u64,
    /// Attempts that were needed.
    pub attempts: u32,
}

/// One secret at the end of a drill.
#[derive(Clone, Debug, Serialize)]
pub struct DrilledSecret {
    /// Which.
    pub id: SecretId,
    /// Proven inert.
    pub inert: bool,
    /// The proof.
    pub proof: Option<Proof>,
}

/// An earlier drill over the same steps.
#[derive(Clone, Debug, Serialize)]
pub struct Earlier {
    /// Which.
    pub incident: IncidentId,
    /// From declaration to the last step, in milliseconds.
    pub inert_ms: u64,
}

/// Everything that a drill shows.
#[derive(Clone, Debug, Serialize)]
pub struct DrillReport {
    /// The incident in the ledger.
    pub incident: IncidentId,
    /// What was rehearsed.
    pub strategy: Strategy,
    /// Scan, open, plan, respond, verify, close, report, bundle, check.
    pub phases: Vec<Timed>,
    /// Every step of the plan.
    pub steps: Vec<Timed>,
    /// The slowest steps, slowest first.
    pub slowest: Vec<String>,
    /// The secrets with their proofs.
    pub secrets: Vec<DrilledSecret>,
    /// True when every secret is proven inert.
    pub inert: bool,
    /// From declaration to proof, in milliseconds.
    pub inert_ms: u64,
    /// The same of the newest earlier drill with the same steps.
    pub earlier: Option<Earlier>,
    /// The evidence bundle.
    pub bundle: PathBuf,
    /// It verified, with the key from outside.
    pub bundle_verified: bool,
    /// The post-mortem.
    pub report: PathBuf,
    /// The ledger verified.
    pub ledger_verified: bool,
    /// The key that verifies the bundle.
    pub vkey: String,
}

/// What the caller sees while it runs.
#[derive(Clone, Debug)]
pub enum DrillProgress {
    /// A phase began.
    Phase(&'static str),
    /// Something happened in the plan.
    Step(Progress),
}

type On<'a> = &'a mut (dyn FnMut(&DrillProgress) + Send);

/// Rehearses in a sandbox that it starts on loopback. `program` is this binary: it also plays the consumers.
pub async fn sandbox(
    options: &Options,
    program: &Path,
    strategy: StrategyPolicy,
    on: On<'_>,
) -> Result<DrillReport, AppError> {
    on(&DrillProgress::Phase("sandbox"));
    if let Err(error) = initialise(options).await
        && !matches!(error, StoreError::AlreadyInitialised(_))
    {
        return Err(error.into());
    }
    let folder = options.data.join("drills");
    std::fs::create_dir_all(&folder).map_err(|e| AppError::io(&folder, e))?;
    let started = now();
    let world = World::start(&folder.join(format!("world-{}", started.as_microsecond())), program).await?;
    let options = Options { inventory: world.inventory.clone(), ..options.clone() };
    let app = App::open(&options, no_passphrase).await?;
    let mut stopwatch = Stopwatch { phases: vec![timed("sandbox", started)], on };

    let rules = scan::rules(&[])?;
    let at = stopwatch.begin("scan");
    let report = scan::path(&world.repository, &rules, &app.store.keys().fingerprint, &mut |_| {})?;
    let scanned = scan::record(&app, &world.repository.display().to_string(), report).await?;
    let found = scanned
        .findings
        .iter()
        .find(|m| m.secret.is_some())
        .ok_or_else(|| AppError::Evidence("the scanner did not find the planted leak".to_owned()))?;
    stopwatch.end("scan", at);

    let at = stopwatch.begin("open");
    let finding = &found.finding;
    let incident = incident::open(
        &app,
        Report {
            secrets: found.secret.iter().cloned().collect(),
            channel: Some(Channel::PublicRepo),
            first_exposed: finding.place.author_time,
            still_visible: Some(finding.still_reachable),
            place: format!("{}:{}", finding.place.file, finding.place.line),
            finding: Some(finding.id.clone()),
            value: scan::recover(&app, &world.repository, &rules, &finding.id)?,
            title: Some("drill: a decoy database password in a public repository".to_owned()),
            drill: true,
            ..Report::default()
        },
    )
    .await?;
    stopwatch.end("open", at);
    let done = rehearse(&app, incident.id, strategy, &folder, &mut stopwatch).await;
    // The world goes in any case: it holds decoy values in clear.
    world.stop();
    done
}

fn no_passphrase() -> Result<quell_core::secret::SecretValue, StoreError> {
    Err(StoreError::Kek("this installation needs a passphrase; give it with --passphrase-file".to_owned()))
}

async fn initialise(options: &Options) -> Result<(), StoreError> {
    let store =
        Store::init(&options.data, options.database.as_deref(), &KekSource::File(None), now()).await?;
    store.db().close().await;
    Ok(())
}

/// Rehearses on a secret of the user's own.
pub async fn own(
    app: &Arc<App>,
    secret: &SecretId,
    critical_too: bool,
    strategy: StrategyPolicy,
    on: On<'_>,
) -> Result<DrillReport, AppError> {
    let entry = app
        .inventory
        .secrets
        .get(secret)
        .ok_or_else(|| AppError::NotFound { what: "secret", id: secret.to_string() })?;
    let mut affected = vec![entry];
    // What would be rotated with it, by the word of its issuer too.
    let reached =
        crate::reach::ask(app, std::slice::from_ref(secret), None).await.graph.exposed_secrets(secret);
    affected.extend(reached.iter().filter_map(|id| app.inventory.secrets.get(id)));
    let critical = affected.iter().find(|s| s.tier == Tier::Infrastructure || s.is_production());
    if let Some(critical) = critical.filter(|_| !critical_too) {
        let tier =
            if critical.tier == Tier::Infrastructure { "infrastructure" } else { "not infrastructure" };
        let why = if critical.id == *secret { String::new() } else { format!(", which {secret} opens,") };
        return Err(AppError::Refused(RefusedBecause {
            what: format!(
                "{}{why} is not for drills: its tier is {tier} and its environment is `{}`",
                critical.id, critical.env
            ),
            unmet: vec![
                "pick a non-critical secret (env dev, test or staging; tier service, integration or human)"
                    .to_owned(),
                format!("or say it twice: --even-production {secret} --really"),
            ],
        }));
    }
    let folder = app.data.join("drills");
    std::fs::create_dir_all(&folder).map_err(|e| AppError::io(&folder, e))?;
    let mut stopwatch = Stopwatch { phases: Vec::new(), on };
    let at = stopwatch.begin("open");
    let report = Report {
        secrets: vec![secret.clone()],
        channel: Some(Channel::LocalCommit),
        title: Some(format!("drill on {secret}")),
        place: "drill".to_owned(),
        drill: true,
        ..Report::default()
    };
    let incident = incident::open(app, report).await?;
    stopwatch.end("open", at);
    rehearse(app, incident.id, strategy, &folder, &mut stopwatch).await
}

struct Stopwatch<'a> {
    phases: Vec<Timed>,
    on: On<'a>,
}

impl Stopwatch<'_> {
    fn begin(&mut self, phase: &'static str) -> Timestamp {
        (self.on)(&DrillProgress::Phase(phase));
        now()
    }

    fn end(&mut self, phase: &'static str, since: Timestamp) {
        self.phases.push(timed(phase, since));
    }
}

fn timed(id: &str, since: Timestamp) -> Timed {
    Timed { id: id.to_owned(), ms: between(since, now()), attempts: 1 }
}

fn between(from: Timestamp, to: Timestamp) -> u64 {
    u64::try_from(to.duration_since(from).as_millis()).unwrap_or(0)
}

/// Why a drill is not done, and how it goes on.
fn stopped(id: IncidentId, ended: Ended, held: Option<&Hold>) -> RefusedBecause {
    if let (Ended::Held, Some(hold)) = (ended, held) {
        return RefusedBecause {
            what: format!("the drill is paused: {}", hold.reason),
            unmet: vec![format!("`quell resume {id} --reason WHY`; then `quell respond {id}` goes on")],
        };
    }
    RefusedBecause {
        what: format!("the drill stopped at {ended:?}").to_lowercase(),
        unmet: vec![format!("`quell incident show {id}` says where; `quell respond {id}` goes on")],
    }
}

/// From the opened incident to the verified bundle. The same use cases as a real incident.
async fn rehearse(
    app: &Arc<App>,
    id: IncidentId,
    strategy: StrategyPolicy,
    folder: &Path,
    stopwatch: &mut Stopwatch<'_>,
) -> Result<DrillReport, AppError> {
    let at = stopwatch.begin("plan");
    if strategy != StrategyPolicy::Auto {
        incident::change(app, id, &Change::Strategy(strategy, "this is what the drill rehearses".to_owned()))
            .await?;
    }
    let planned = plan::make(app, id, false).await?;
    let hash = plan::machine(&planned)?.plan_hash().to_owned();
    // Whoever starts a drill approves it; where policy asks for a second person, that person is still needed.
    plan::approve(app, id, &hash, &[]).await?;
    stopwatch.end("plan", at);

    let at = stopwatch.begin("respond");
    let mut tell = |p: &Progress| (stopwatch.on)(&DrillProgress::Step(p.clone()));
    let ended = driver::run(Arc::clone(app), id, Run::until_idle(), &mut tell).await?;
    stopwatch.end("respond", at);
    if ended != Ended::Done {
        let incident = app.incident(id).await?;
        let held = incident.machine.as_ref().and_then(|machine| machine.held());
        return Err(AppError::Refused(stopped(id, ended, held)));
    }

    let at = stopwatch.begin("verify");
    proof::verify(app, id).await?;
    stopwatch.end("verify", at);

    let at = stopwatch.begin("close");
    incident::change(
        app,
        id,
        &Change::Verdict(Verdict::CannotTell, "a drill: no logs were searched".to_owned()),
    )
    .await?;
    incident::change(app, id, &Change::Close("drill".to_owned())).await?;
    stopwatch.end("close", at);

    let at = stopwatch.begin("report");
    let (incident, entries) = app.incident_with_entries(id).await?;
    let checkpoint = app.store.checkpoint().await?.map(|(_, note)| note).unwrap_or_default();
    let text = crate::report::render(&incident, &entries, &checkpoint, now(), None)
        .map_err(|e| AppError::Evidence(e.to_string()))?;
    let report = folder.join(format!("{id}.md"));
    evidence::write_whole(&report, text.as_bytes())?;
    stopwatch.end("report", at);

    let at = stopwatch.begin("bundle");
    let bundle = folder.join(format!("{id}.quell.tar"));
    let exported = evidence::export(app, id, &bundle).await?;
    let bundle_verified = evidence::verify(&bundle, Some(&exported.vkey))?.ok();
    stopwatch.end("bundle", at);

    let at = stopwatch.begin("ledger");
    let ledger_verified = app.store.verify(Some(app.store.signing_key().verifier().clone()), &[]).await?.ok;
    stopwatch.end("ledger", at);

    let earlier = compare::earlier(app, &incident).await?;
    let earlier = earlier.map(|it| Earlier { incident: it.id, inert_ms: inert_ms(&it) });
    Ok(DrillReport {
        incident: id,
        strategy: plan::machine(&incident)?.plan().strategy,
        phases: std::mem::take(&mut stopwatch.phases),
        slowest: slowest(&steps(&entries)),
        steps: steps(&entries),
        secrets: incident
            .secrets
            .iter()
            .map(|a| DrilledSecret {
                id: a.secret.clone(),
                inert: incident.proof(&a.secret).is_some_and(|p| p.inert),
                proof: incident.proof(&a.secret).cloned(),
            })
            .collect(),
        inert: incident.is_contained(),
        inert_ms: inert_ms(&incident),
        earlier,
        bundle,
        bundle_verified,
        report,
        ledger_verified,
        vkey: exported.vkey,
    })
}

/// From the declaration to the first moment at which every secret was proven.
fn inert_ms(incident: &Incident) -> u64 {
    let proven = incident.secrets.iter().filter_map(|a| {
        incident.proofs.get(&a.secret)?.iter().find(|p| p.inert && p.control_is == "successor").map(|p| p.at)
    });
    proven.max().map_or(0, |at| between(incident.declared, at))
}

fn slowest(steps: &[Timed]) -> Vec<String> {
    let mut sorted: Vec<&Timed> = steps.iter().collect();
    sorted.sort_by_key(|t| std::cmp::Reverse(t.ms));
    sorted.into_iter().take(3).map(|t| t.id.clone()).collect()
}

/// Longest wait for a sandbox consumer to come up.
const CONSUMER_START: Duration = Duration::from_secs(20);

#[cfg(test)]
mod tests {
    use quell_core::plan::HoldScope;

    use super::*;

    #[test]
    fn a_drill_that_is_paused_says_who_lets_it_go_on() {
        let id: IncidentId = "INC-2026-0001".parse().unwrap();
        let hold = Hold { scope: HoldScope::Everything, reason: "the wrong cluster".to_owned() };
        let paused = stopped(id, Ended::Held, Some(&hold));
        assert_eq!(paused.what, "the drill is paused: the wrong cluster");
        assert_eq!(
            paused.unmet,
            ["`quell resume INC-2026-0001 --reason WHY`; then `quell respond INC-2026-0001` goes on"]
        );
        let stuck = stopped(id, Ended::Stuck, None);
        assert_eq!(stuck.what, "the drill stopped at stuck");
        assert!(stuck.unmet[0].starts_with("`quell incident show INC-2026-0001`"), "{:?}", stuck.unmet);
    }
}
