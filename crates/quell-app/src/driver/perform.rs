//! One attempt at one step: from what the ledger knows to what the connectors answer.

use std::sync::Arc;
use std::time::Duration;

use quell_connect::connector::{IssuerOp, Performed as Issued};
use quell_core::event::{Actor, Event, SealedRef, ValueRole};
use quell_core::incident::Incident;
use quell_core::issuer::{Chooser, Overlap, ValidAtOnce};
use quell_core::outcome::{ACCEPTED_BEFORE, Facts, Outcome, Probe, TAKEN_AWAY, took_away};
use quell_core::plan::{Phase, Step, StepAction, Strategy, confirmed};
use quell_core::secret::{Credential, Fingerprint, SecretValue};
use quell_core::{IncidentId, SecretId};
use quell_store::{NewEntry, Sealed};
use serde_json::{Value, json};

use crate::proof::{Old, cutoff_for, prove, unseal, unseal_old};
use crate::systems::{ConsumerSystem, Systems};
use crate::{App, AppError};

/// What the ledger knows about the step's secret.
#[derive(Debug, Default)]
pub(super) struct Known {
    pub(super) old: Vec<SealedRef>,
    pub(super) new: Option<SealedRef>,
    pub(super) baselines: std::collections::BTreeMap<String, (Option<String>, Option<String>)>,
    pub(super) cutoff: Option<String>,
    /// For [`StepAction::Look`]: a store of it was written in this incident, or may have been.
    pub(super) written: bool,
    /// The issuer was told to refuse the old values, in this plan or an earlier one.
    pub(super) ended: bool,
    /// Successors that were given up.
    pub(super) given_up: usize,
    /// Old values that were valid once.
    pub(super) seen_valid: std::collections::BTreeSet<Fingerprint>,
    /// For notices: the whole incident.
    pub(super) incident: Option<Box<Incident>>,
}

/// One attempt.
#[derive(Debug)]
pub(super) struct Job {
    pub(super) app: Arc<App>,
    pub(super) incident: IncidentId,
    /// The notice that goes out, if it is one that people wrote.
    pub(super) notice: Option<String>,
    pub(super) strategy: Strategy,
    pub(super) actor: Actor,
    pub(super) systems: Option<Arc<Systems>>,
    pub(super) known: Known,
    pub(super) step: Step,
    pub(super) attempt: u32,
    pub(super) phase: Phase,
}

/// What an attempt gave: the outcome, and what is written in the same commit.
#[derive(Debug)]
pub(super) struct Performed {
    pub(super) outcome: Outcome,
    pub(super) entries: Vec<NewEntry>,
    pub(super) sealed: Vec<Sealed>,
}

impl Performed {
    pub(super) fn just(outcome: Outcome) -> Self {
        Self { outcome, entries: Vec::new(), sealed: Vec::new() }
    }
}

impl From<Outcome> for Performed {
    fn from(outcome: Outcome) -> Self {
        Self::just(outcome)
    }
}

/// Performs or observes. Errors of our own (a value that cannot be unsealed) happen before anything was sent.
pub(super) async fn perform(job: &Job) -> Performed {
    match step(job).await {
        Ok(done) => done,
        // What could not be looked at is not known, whatever the reason.
        Err(error) if job.phase == Phase::Observe => Outcome::unknown(error.to_string()).into(),
        Err(AppError::Remote(error)) => error.outcome().into(),
        Err(error @ AppError::Store(_)) => Outcome::retry(error.to_string()).into(),
        Err(error) => Outcome::refused(error.to_string()).into(),
    }
}

async fn step(job: &Job) -> Result<Performed, AppError> {
    if let StepAction::Notify { channel, notice } = &job.step.action {
        return super::notify::perform(job, channel, notice).await;
    }
    if let StepAction::Channel { channel, act, .. } = &job.step.action {
        return super::channel::perform(job, channel, *act).await;
    }
    let systems =
        job.systems.as_deref().ok_or_else(|| AppError::Usage("the step names no secret".to_owned()))?;
    match &job.step.action {
        StepAction::Capture => capture(job, systems).await,
        StepAction::Look => look(job, systems).await,
        StepAction::Mint => mint(job, systems).await,
        StepAction::Install => {
            let new = new_value(job).await?;
            let op = IssuerOp::Install { new: &new };
            Ok(issuer(job, systems, op).await.outcome.into())
        }
        StepAction::ProbeNew => {
            let new = new_value(job).await?;
            Ok(accepted(bound(systems, &new).await).into())
        }
        StepAction::WriteStore { store } => write_store(job, systems, *store).await,
        StepAction::Reload { consumer } => reload(job, systems, consumer).await,
        StepAction::Confirm { consumer } => confirm(job, systems, consumer).await,
        StepAction::Disable => disable(job, systems).await,
        StepAction::Sever => {
            let old = unseal_old(&job.app, &job.known.old).await?;
            let cutoff = job.known.cutoff.as_deref();
            let new = job.known.new.as_ref();
            each_old(
                &old,
                |o| {
                    let cutoff = cutoff_for(systems, &o.credential, new, cutoff);
                    issuer(job, systems, IssuerOp::Sever { old: &o.credential, cutoff })
                },
                drop,
            )
            .await
        }
        StepAction::ProveRefused => proof(job, systems, false).await,
        StepAction::Prove => proof(job, systems, true).await,
        StepAction::Purge { store } => purge(job, systems, *store).await,
        StepAction::Retire => {
            let old = unseal_old(&job.app, &job.known.old).await?;
            each_old(
                &old,
                async |o: &Old| match job.phase {
                    Phase::Perform => systems.issuer.retire(&o.credential).await.into(),
                    Phase::Observe => systems.issuer.observe_retire(&o.credential).await.into(),
                },
                drop,
            )
            .await
        }
        StepAction::Person { .. } => Err(AppError::Usage("it is a person's to do".to_owned())),
        StepAction::Channel { .. } | StepAction::Notify { .. } => {
            Err(AppError::Usage("handled above".to_owned()))
        }
    }
}

async fn write_store(job: &Job, systems: &Systems, store: usize) -> Result<Performed, AppError> {
    let new = new_value(job).await?;
    let seen = before_the_write(job, systems).await;
    let store = systems.stores.get(store).ok_or_else(|| gone("store"))?;
    let mut done = Performed::just(match job.phase {
        Phase::Perform => store.write(&new.value).await,
        Phase::Observe => store.observe_write(&new.value).await,
    });
    done.entries = seen;
    Ok(done)
}

/// What consumers say in the last moment before the successor can reach them. Between the capture and now somebody may have restarted one of them with
/// the old value, and that must not count as having moved. Who says nothing keeps what was seen first. Where several stores are written side by
/// side, one of them may be ahead of this look, so it is left out.
async fn before_the_write(job: &Job, systems: &Systems) -> Vec<NewEntry> {
    let only = job.phase == Phase::Perform && !job.known.written && systems.stores.len() == 1;
    let Some(secret) = job.step.secret.as_ref().filter(|_| only) else { return Vec::new() };
    let mut entries = Vec::new();
    for consumer in &systems.consumers {
        let Ok(seen) = consumer.observe.see().await else { continue };
        let known = job.known.baselines.get(&consumer.name);
        let generation = seen.generation.or_else(|| known.and_then(|(generation, _)| generation.clone()));
        let principal = seen.principal.or_else(|| known.and_then(|(_, principal)| principal.clone()));
        if known == Some(&(generation.clone(), principal.clone())) {
            continue;
        }
        let (secret, consumer) = (secret.clone(), consumer.name.clone());
        let event = Event::Baseline { secret, consumer, generation, principal, anew: true };
        entries.push(NewEntry::new(job.actor.clone(), event));
    }
    entries
}

async fn disable(job: &Job, systems: &Systems) -> Result<Performed, AppError> {
    let old = unseal_old(&job.app, &job.known.old).await?;
    let mut taken = Vec::new();
    let mut done = each_old(
        &old,
        |o| issuer(job, systems, IssuerOp::Disable { old: &o.credential }),
        |o| {
            taken.push(json!(o.sealed.fingerprint));
        },
    )
    .await?;
    if let Outcome::Applied { facts } | Outcome::NotApplied { facts, .. } = &mut done.outcome
        && !taken.is_empty()
    {
        facts.insert(TAKEN_AWAY.to_owned(), taken.into());
    }
    Ok(done)
}

pub(super) fn gone(what: &'static str) -> AppError {
    AppError::Usage(format!("the {what} is no longer in the inventory; make a new plan"))
}

async fn new_value(job: &Job) -> Result<Credential, AppError> {
    let sealed =
        job.known.new.as_ref().ok_or_else(|| AppError::Usage("no successor was chosen".to_owned()))?;
    unseal(&job.app, sealed).await
}

async fn issuer(job: &Job, systems: &Systems, op: IssuerOp<'_>) -> Issued {
    match job.phase {
        Phase::Perform => systems.issuer.perform(op).await,
        Phase::Observe => systems.issuer.observe(op).await,
    }
}

/// Tries a new value until it is accepted, for as long as the issuer says that a change takes to bind.
async fn bound(systems: &Systems, new: &Credential) -> Probe {
    let settle = Duration::from_millis(systems.issuer.capabilities().settle_ms);
    let mut waited = Duration::ZERO;
    loop {
        let probe = systems.issuer.probe(new).await;
        if !matches!(probe, Probe::Refused { .. }) || waited >= settle {
            return probe;
        }
        let pause = BIND_LOOK.min(settle.saturating_sub(waited));
        tokio::time::sleep(pause).await;
        waited += pause;
    }
}

/// How often it is looked whether a new value is accepted yet.
const BIND_LOOK: Duration = Duration::from_millis(500);

fn accepted(probe: Probe) -> Outcome {
    match probe {
        Probe::Accepted { facts } => Outcome::Applied { facts },
        // The machine tries again a few times.
        Probe::Refused { code, message } => {
            Outcome::retry(format!("the successor was refused ({code}): {message}"))
        }
        Probe::Inconclusive { reason } => {
            Outcome::retry(format!("the successor could not be tried: {reason}"))
        }
    }
}

/// Does the same for every compromised value; the worst answer counts. `found` is told which ones were there and are gone now.
async fn each_old<'a, F>(
    old: &'a [Old],
    mut one: impl FnMut(&'a Old) -> F,
    mut found: impl FnMut(&'a Old),
) -> Result<Performed, AppError>
where
    F: Future<Output = Issued>,
{
    if old.is_empty() {
        return Ok(Outcome::refused(
            "the old value is not known, so the issuer cannot be told what to refuse",
        )
        .into());
    }
    let mut facts = Facts::new();
    let mut worst: Option<Outcome> = None;
    for o in old {
        let outcome = one(o).await.outcome;
        if let Outcome::Applied { facts } | Outcome::NotApplied { facts, .. } = &outcome
            && took_away(facts)
        {
            found(o);
        }
        match outcome {
            Outcome::Applied { facts: seen } => {
                facts.insert(o.credential.principal.clone(), seen.into());
            }
            unknown @ Outcome::Unknown { .. } => worst = Some(unknown),
            not @ Outcome::NotApplied { .. } => {
                if !matches!(worst, Some(Outcome::Unknown { .. })) {
                    worst = Some(not);
                }
            }
        }
    }
    // What was done for some of them is a fact, although the whole is not done.
    if let Some(Outcome::NotApplied { facts: seen, reason, .. }) = &mut worst
        && !facts.is_empty()
    {
        let done: Vec<&str> = facts.keys().map(String::as_str).collect();
        *reason = format!("done for {}; {reason}", done.join(", "));
        seen.extend(facts.clone());
    }
    Ok(worst.unwrap_or(Outcome::Applied { facts }).into())
}

/// What a consumer says now: an answer may be lost, and what is not known now can never be compared later. One that is down must not hold up
/// the killing.
async fn before(consumer: &ConsumerSystem) -> (Option<String>, Option<String>) {
    let mut seen = consumer.observe.see().await.ok();
    if seen.is_none() {
        seen = tokio::time::timeout(SECOND_LOOK, consumer.observe.see()).await.ok().and_then(Result::ok);
    }
    seen.map(|seen| (seen.generation, seen.principal)).unwrap_or_default()
}

const SECOND_LOOK: Duration = Duration::from_secs(1);

/// Seals what stores hold now as old values, and records what consumers say now. Read-only outside, so that the
/// observing phase may simply do it again.
async fn capture(job: &Job, systems: &Systems) -> Result<Performed, AppError> {
    let secret =
        job.step.secret.clone().ok_or_else(|| AppError::Usage("the step names no secret".to_owned()))?;
    let mut done = Performed::just(Outcome::applied([]));
    let mut facts = Facts::new();
    let mut failed: Option<Outcome> = None;
    let mut names: Vec<_> = job.known.old.iter().map(|o| o.fingerprint).collect();
    let ours = job.known.new.as_ref().map(|n| n.fingerprint);
    let mut found = Vec::new();
    let key = &job.app.store.keys().fingerprint;
    for (i, store) in systems.stores.iter().enumerate() {
        if !store.readable() {
            facts.insert(store.target(), json!("it only takes values: what stands there is not known"));
            continue;
        }
        match store.read().await {
            Ok(Some(stored)) => {
                let fingerprint = key.fingerprint(&stored.value);
                facts.insert(store.target(), json!({"fingerprint": fingerprint, "version": stored.version}));
                // A second plan finds the first plan's successor in the store: that one is not compromised.
                let reported =
                    job.known.old.iter().find(|o| o.fingerprint == fingerprint && o.place == "reported");
                if let Some(reported) = reported {
                    // The leaked value is the one in use: now it is known whose turn is next.
                    let seen = SealedRef { place: store.target(), ..reported.clone() };
                    done.entries.push(NewEntry::new(job.actor.clone(), Event::ValueSealed(seen)));
                }
                if names.contains(&fingerprint) || ours == Some(fingerprint) {
                    continue;
                }
                // Nobody but people can make the successor: what came after the kill is theirs, and is not killed for being there.
                if job.known.ended && !systems.issuer.capabilities().can_mint {
                    facts.insert(format!("{} (came after the kill)", store.target()), json!(fingerprint));
                    continue;
                }
                names.push(fingerprint);
                let credential = systems.issuer.identify(&stored.value)?;
                let name = format!("{}/{secret}/old/{}.{}.{i}", job.incident, job.attempt, fingerprint);
                done.sealed.push(job.app.store.seal(&name, &stored.value)?);
                let sealed = SealedRef {
                    secret: secret.clone(),
                    role: ValueRole::Old,
                    sealed: name,
                    fingerprint,
                    principal: credential.principal.clone(),
                    place: store.target(),
                };
                found.push((fingerprint, credential));
                done.entries.push(NewEntry::new(job.actor.clone(), Event::ValueSealed(sealed)));
            }
            Ok(None) => {
                facts.insert(store.target(), json!("empty"));
            }
            Err(error) => {
                facts.insert(store.target(), json!(error.to_string()));
                failed = Some(error.outcome());
            }
        }
    }
    // Make-before-break must know what is in use; kill-first must not wait for a store that is down.
    let kills_first = job.strategy == Strategy::KillFirst || systems.issuer.overlap() != Overlap::Allowed;
    let blind = !kills_first && failed.is_some();
    if names.is_empty() || blind {
        done.outcome = failed.unwrap_or_else(|| {
            Outcome::refused(
                "no store holds a value that can be read and none was reported; open the incident with --value-file",
            )
        });
        return Ok(Performed::just(done.outcome));
    }
    match accepted_before(job, systems, found).await? {
        Ok(accepted) => facts.insert(ACCEPTED_BEFORE.to_owned(), accepted.into()),
        Err(why) => return Ok(Outcome::refused(why).into()),
    };
    done.entries.extend(baselines(job, systems, &secret).await);
    done.outcome = Outcome::Applied { facts };
    Ok(done)
}

/// What consumers say before anything is changed.
async fn baselines(job: &Job, systems: &Systems, secret: &SecretId) -> Vec<NewEntry> {
    let mut entries = Vec::new();
    for consumer in &systems.consumers {
        let (generation, principal) = before(consumer).await;
        let (secret, consumer) = (secret.clone(), consumer.name.clone());
        let event = Event::Baseline { secret, consumer, generation, principal, anew: false };
        entries.push(NewEntry::new(job.actor.clone(), event));
    }
    entries
}

/// What consumers say just before this secret reaches them. Once it has reached a store, what they said before that
/// is what counts: a later look might see the successor in use already, and would wait for one more change.
async fn look(job: &Job, systems: &Systems) -> Result<Performed, AppError> {
    let secret =
        job.step.secret.clone().ok_or_else(|| AppError::Usage("the step names no secret".to_owned()))?;
    if job.known.written {
        return Ok(Outcome::applied([("written_before", json!(true))]).into());
    }
    let mut done = Performed::just(Outcome::applied([]));
    for consumer in &systems.consumers {
        let seen = match consumer.observe.see().await {
            Ok(seen) => seen,
            Err(error) => {
                let why =
                    format!("{} says nothing, so it could not be told later that it moved", consumer.name);
                return Ok(Outcome::retry(format!("{why}: {error}")).into());
            }
        };
        let event = Event::Baseline {
            secret: secret.clone(),
            consumer: consumer.name.clone(),
            generation: seen.generation,
            principal: seen.principal,
            anew: true,
        };
        done.entries.push(NewEntry::new(job.actor.clone(), event));
    }
    Ok(done)
}

/// The old values that the issuer accepts now; or why one that a store holds cannot be this issuer's, so that it gets no successor.
async fn accepted_before(
    job: &Job,
    systems: &Systems,
    found: Vec<(Fingerprint, Credential)>,
) -> Result<Result<Vec<Value>, String>, AppError> {
    let mut accepted = Vec::new();
    let known = unseal_old(&job.app, &job.known.old).await?;
    let known =
        known.into_iter().map(|old| (old.sealed.fingerprint, old.credential, old.sealed.place != "reported"));
    let found = found.into_iter().map(|(fingerprint, credential)| (fingerprint, credential, true));
    for (fingerprint, credential, stored) in known.chain(found) {
        match systems.issuer.probe(&credential).await {
            Probe::Accepted { .. } => accepted.push(json!(fingerprint)),
            Probe::Refused { .. } if stored && !job.known.seen_valid.contains(&fingerprint) => {
                if let Some(why) = systems.issuer.elsewhere(&credential).await {
                    return Ok(Err(format!("a store holds {fingerprint}, which is refused here, and {why}")));
                }
            }
            Probe::Refused { .. } | Probe::Inconclusive { .. } => {}
        }
    }
    Ok(Ok(accepted))
}

impl Job {
    /// Unique per installation, incident and step (two installations both have an INC-…-0001): marks what an issuer makes for us.
    fn tag(&self) -> String {
        let tag = format!("{}/{}/{}", self.app.store.keys().install, self.incident, self.step.id);
        // What was made for one that was given up must not be found again.
        if self.known.given_up == 0 { tag } else { format!("{tag}/{}", self.known.given_up + 1) }
    }
}

async fn mint(job: &Job, systems: &Systems) -> Result<Performed, AppError> {
    let secret =
        job.step.secret.clone().ok_or_else(|| AppError::Usage("the step names no secret".to_owned()))?;
    // Chosen once per incident, unless it is given up: a second plan, a retry and a crash all find the first choice.
    if let Some(new) = &job.known.new {
        let facts = [
            ("principal", json!(new.principal)),
            ("fingerprint", json!(new.fingerprint)),
            ("already", json!(true)),
        ];
        return Ok(Outcome::applied(facts).into());
    }
    if job.phase == Phase::Observe && systems.issuer.capabilities().chooser == Chooser::Client {
        return Ok(Outcome::retry("nothing was chosen yet").into());
    }
    // The value that stores hold decides the shape and, with alternating principals, who is idle.
    // A reported value says nothing about who is idle; without a store's word the issuer is asked (`choose(None)`).
    let blind = systems.stores.iter().all(|store| !store.readable());
    let alternates = systems.issuer.capabilities().valid_at_once == ValidAtOnce::AlternatePrincipals;
    let decides = blind && (systems.stores.is_empty() || !alternates);
    let reported = job.known.old.first().filter(|_| decides);
    let in_use = job.known.old.iter().find(|o| o.place != "reported").or(reported);
    let old = match in_use {
        Some(sealed) => Some(unseal(&job.app, sealed).await?),
        None => None,
    };
    // Whoever reports a value writes the address in it, and the successor would be sent there by everybody who uses it.
    if let Some(credential) = old.as_ref().filter(|_| in_use == reported)
        && let Some(why) = systems.issuer.leads_away(credential).await
    {
        let words = format!("only a reported value says how the successor is to be written, and {why}");
        return Ok(Outcome::refused(words).into());
    }
    let chosen = systems.issuer.choose(old.as_ref(), &job.tag()).await?;
    let minted = match systems.issuer.capabilities().chooser {
        Chooser::Client => chosen,
        Chooser::Issuer => {
            let issued = issuer(job, systems, IssuerOp::Install { new: &chosen }).await;
            match issued.minted {
                Some(minted) if issued.outcome.is_applied() => minted,
                _ if issued.outcome.is_applied() => {
                    return Ok(
                        Outcome::unknown("the issuer says that it exists, but its value is lost").into()
                    );
                }
                _ => return Ok(issued.outcome.into()),
            }
        }
    };
    let fingerprint = job.app.store.keys().fingerprint.fingerprint(&minted.value);
    if job.known.old.iter().any(|old| old.fingerprint == fingerprint) {
        let words = "the issuer gave out the compromised value again; it must be ended there before there can be another (`kill-first`)";
        return Ok(Outcome::refused(words).into());
    }
    // Attempts are counted anew in each plan.
    let name = match job.known.given_up {
        0 => format!("{}/{secret}/new/{}", job.incident, job.attempt),
        n => format!("{}/{secret}/new/{}-{}", job.incident, n + 1, job.attempt),
    };
    let mut done = Performed::just(Outcome::applied([
        ("principal", json!(minted.principal)),
        ("fingerprint", json!(fingerprint)),
    ]));
    done.sealed.push(job.app.store.seal(&name, &minted.value)?);
    let sealed = SealedRef {
        secret,
        role: ValueRole::New,
        sealed: name,
        fingerprint,
        principal: minted.principal,
        place: "chosen".to_owned(),
    };
    done.entries.push(NewEntry::new(job.actor.clone(), Event::ValueSealed(sealed)));
    Ok(done)
}

async fn reload(job: &Job, systems: &Systems, name: &str) -> Result<Performed, AppError> {
    let consumer = systems.consumer(name).ok_or_else(|| gone("consumer"))?;
    match (&consumer.reload, job.phase) {
        (None, _) => Ok(Outcome::applied([("reload", json!("none"))]).into()),
        (Some(reload), Phase::Perform) => Ok(reload.reload().await.into()),
        // Whether a signal arrived cannot be seen; repeating it is harmless, so it counts as not done.
        (Some(_), Phase::Observe) => {
            Ok(Outcome::retry("it cannot be seen whether the reload arrived").into())
        }
    }
}

/// How long one attempt watches a consumer, and how often it looks.
const WATCH: Duration = Duration::from_secs(15);
const LOOK: Duration = Duration::from_millis(50);

async fn confirm(job: &Job, systems: &Systems, name: &str) -> Result<Performed, AppError> {
    let consumer = systems.consumer(name).ok_or_else(|| gone("consumer"))?;
    // Where people made the successor, nobody knows whose it is: then only a generation can show it.
    let principal = match (&job.known.new, systems.issuer.capabilities().can_mint) {
        (Some(new), _) => Some(new.principal.as_str()),
        (None, false) => None,
        (None, true) => return Err(AppError::Usage("no successor was chosen".to_owned())),
    };
    let (before, _) = job.known.baselines.get(name).cloned().unwrap_or_default();
    let old = job.known.old.iter().find(|o| o.place != "reported").or_else(|| job.known.old.first());
    let mut why = String::new();
    let mut pause = LOOK;
    let mut waited = Duration::ZERO;
    while waited < WATCH {
        match consumer.observe.see().await {
            Ok(seen) => {
                let sign = confirmed(
                    seen.healthy,
                    seen.generation.as_deref(),
                    seen.principal.as_deref(),
                    before.as_deref(),
                    old.map(|o| o.principal.as_str()),
                    principal,
                );
                match sign {
                    Ok(sign) => {
                        return Ok(Outcome::applied([
                            ("sign", json!(sign)),
                            ("generation", json!(seen.generation)),
                            ("principal", json!(seen.principal)),
                        ])
                        .into());
                    }
                    Err(missing) => {
                        why = seen.why.map_or(missing.clone(), |more| format!("{missing}: {more}"));
                    }
                }
            }
            Err(error) => why = error.to_string(),
        }
        tokio::time::sleep(pause).await;
        waited += pause;
        pause = (pause * 2).min(Duration::from_secs(1));
    }
    Ok(Outcome::retry(format!("{name} is not on the successor: {why}")).into())
}

async fn proof(job: &Job, systems: &Systems, with_successor: bool) -> Result<Performed, AppError> {
    let secret =
        job.step.secret.clone().ok_or_else(|| AppError::Usage("the step names no secret".to_owned()))?;
    let old = unseal_old(&job.app, &job.known.old).await?;
    let new = if with_successor { Some(new_value(job).await?) } else { None };
    let successor = if with_successor { job.known.new.as_ref().zip(new.as_ref()) } else { None };
    let proof =
        prove(&secret, systems, &old, successor, job.known.cutoff.as_deref(), &job.known.seen_valid).await;
    let outcome = if proof.inert {
        Outcome::applied([("rounds", json!(2)), ("control", json!(proof.control_is))])
    } else if crate::proof::lacks_only_a_control(&proof, systems) {
        Outcome::refused("refused, and not proven: there is no control; configure one, then retry the step")
    } else if job.known.seen_valid.is_empty() && crate::proof::all_refused(&proof, systems) {
        // To try again would change nothing.
        Outcome::refused(format!("not proven: {}", proof.unmet.join("; ")))
    } else {
        Outcome::retry(format!("not proven: {}", proof.unmet.join("; ")))
    };
    let mut done = Performed::just(outcome);
    done.entries.push(crate::proof::entry(&job.actor, &proof)?);
    Ok(done)
}

async fn purge(job: &Job, systems: &Systems, store: usize) -> Result<Performed, AppError> {
    let store = systems.stores.get(store).ok_or_else(|| gone("store"))?;
    let old = unseal_old(&job.app, &job.known.old).await?;
    let values: Vec<&SecretValue> = old.iter().map(|o| &o.credential.value).collect();
    Ok(match job.phase {
        Phase::Perform => store.purge(&values).await,
        Phase::Observe => store.observe_purge(&values).await,
    }
    .into())
}
