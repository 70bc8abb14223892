//! Making a plan from inventory, capabilities and evidence; approving; deciding about single steps.

use std::collections::BTreeSet;

use futures_util::{StreamExt as _, TryStreamExt as _};
use jiff::{SignedDuration, Timestamp};
use quell_connect::connector::Leak;
use quell_core::event::Event;
use quell_core::exposure::Audience;
use quell_core::incident::{Incident, RefusedBecause, Status};
use quell_core::inventory::{Node, Secret, StrategyPolicy};
use quell_core::person::{People, Same};
use quell_core::plan::{
    self, Approval, Approvals, CannotPlan, ChannelInput, Class, ConsumerInput, Lane, Machine, Plan,
    PlanInput, SecretInput, Step, StepAction, StepState, StoreInput, Strategy,
};
use quell_core::severity::Severity;
use quell_core::{IncidentId, SecretId, StepId};

use crate::inventory::ASKED_AT_ONCE;
use crate::systems::{Systems, inventory_hash};
use crate::{App, AppError, projection};
use quell_store::Wanted;

/// The plan that holds, made first if there is none. `again` makes a new revision.
pub async fn make(app: &App, id: IncidentId, again: bool) -> Result<Incident, AppError> {
    let incident = app.incident(id).await?;
    if incident.machine.is_some() && !again {
        return Ok(incident);
    }
    refuse_rivals(app, &incident).await?;
    let prepared = prepare(app, &incident).await?;
    let dead = dead_workers(app, &incident).await?;
    let (incident, ()) = app
        .decide(id, |incident, _| {
            if incident.status == Status::Closed {
                return Err(AppError::Usage(format!("{id} is closed")));
            }
            if let Some(machine) = &incident.machine {
                if !again {
                    return Ok((Vec::new(), ()));
                }
                let running: Vec<&str> =
                    machine.workers().into_iter().filter(|worker| !dead.contains(*worker)).collect();
                if !running.is_empty() {
                    return Err(AppError::Usage(format!(
                        "steps of {id} are running ({}); stop `quell respond` first",
                        running.join(", ")
                    )));
                }
            }
            let mut plan = compile(app, incident, &prepared)?;
            plan.inventory.clone_from(&prepared.hash);
            Ok((vec![Event::PlanMade { hash: plan.hash(), plan: Box::new(plan) }], ()))
        })
        .await?;
    Ok(incident)
}

/// Workers whose steps count as running and who are gone: what they began is found again by whoever does it next.
async fn dead_workers(app: &App, incident: &Incident) -> Result<BTreeSet<String>, AppError> {
    let mut dead = BTreeSet::new();
    let mut watch = quell_store::Watch::default();
    for worker in incident.machine.iter().flat_map(Machine::workers) {
        // A lock that is free now may be taken again in a moment: it is watched for as long as its worker may act.
        while !app.store.is_alive(worker).await? {
            if watch.is_gone(&app.store, worker).await? {
                dead.insert(worker.to_owned());
                break;
            }
            tokio::time::sleep(LOOK).await;
        }
    }
    Ok(dead)
}

const LOOK: std::time::Duration = std::time::Duration::from_millis(100);

/// Two plans for one secret would overwrite each other's successor and end each other's sessions.
async fn refuse_rivals(app: &App, incident: &Incident) -> Result<(), AppError> {
    let mut others = BTreeSet::new();
    for affected in &incident.secrets {
        let about = Wanted { status: "open", ..projection::about(&affected.secret) };
        others.extend(projection::ids(app, &about, usize::MAX).await?);
    }
    others.remove(&incident.id);
    for other in others.into_iter().rev() {
        let other = app.incident_shared(other).await?;
        if other.status == Status::Closed {
            continue;
        }
        let Some(machine) = &other.machine else { continue };
        if let Some(secret) = in_motion(machine, incident) {
            return Err(AppError::Refused(RefusedBecause {
                what: format!("{} already has a plan in motion for {secret}", other.id),
                unmet: vec![
                    match machine.held() {
                        None => {
                            format!("`quell respond {}` finishes it; then plan {}", other.id, incident.id)
                        }
                        Some(hold) => format!(
                            "it is paused ({}): `quell resume {}`, then `quell respond {}` finishes it",
                            hold.reason, other.id, other.id
                        ),
                    },
                    format!("or add what you know to {} and leave this one", other.id),
                ],
            }));
        }
    }
    Ok(())
}

/// What had to be asked of the systems before compiling.
struct Prepared {
    secrets: Vec<SecretInput>,
    warnings: Vec<String>,
    hash: String,
}

async fn prepare(app: &App, incident: &Incident) -> Result<Prepared, AppError> {
    let mut entries: Vec<(&Secret, &str)> = Vec::new();
    for affected in &incident.secrets {
        let secret = app
            .inventory
            .secrets
            .get(&affected.secret)
            .ok_or_else(|| AppError::NotFound { what: "secret", id: affected.secret.to_string() })?;
        entries.push((secret, &affected.because));
    }
    // A list, since a lazy closure of references cannot be sent to another thread.
    let asked: Vec<_> = entries.iter().map(|(secret, because)| ask(app, secret, because)).collect();
    let asked: Vec<_> = futures_util::stream::iter(asked).buffered(ASKED_AT_ONCE).try_collect().await?;
    let (secrets, warnings): (Vec<_>, Vec<_>) = asked.into_iter().unzip();
    let mut warnings = warnings.concat();
    warnings.extend(beyond(app, incident).await);
    let hash = inventory_hash(app, entries.into_iter().map(|(secret, _)| secret));
    Ok(Prepared { secrets, warnings, hash })
}

async fn ask(app: &App, secret: &Secret, because: &str) -> Result<(SecretInput, Vec<String>), AppError> {
    let systems = Systems::build(secret, &app.context)?;
    // A store that is down must not stop the planning; the capture step will say so.
    let current = match systems.stores.iter().find(|store| store.readable()) {
        Some(store) => store.read().await.ok().flatten(),
        None => None,
    };
    let warnings = systems.issuer.warnings(current.as_ref().map(|s| &s.value)).await;
    let warnings = warnings.into_iter().map(|warning| format!("{}: {warning}", secret.id)).collect();
    Ok((secret_input(app, secret, &systems, because), warnings))
}

/// What the secrets of the incident open today and the incident does not cover, and what of it cannot be found out.
async fn beyond(app: &App, incident: &Incident) -> Vec<String> {
    let covered: Vec<SecretId> = incident.secrets.iter().map(|affected| affected.secret.clone()).collect();
    let reach = crate::reach::ask(app, &covered, None).await;
    let mut warnings = reach.sentences();
    for edge in &reach.told {
        if let Node::Secret(other) = &edge.to
            && !covered.contains(other)
        {
            let from = &edge.from;
            warnings.push(format!(
                "{from} opens {other}, which {0} does not cover ({1}): `quell incident add {0} --secret {other} --reason WHY`",
                incident.id, edge.why
            ));
        }
    }
    warnings.dedup();
    warnings
}

fn secret_input(app: &App, secret: &Secret, systems: &Systems, because: &str) -> SecretInput {
    let mut after = secret.depends_on.clone();
    after.extend(app.inventory.uses(&secret.id));
    after.sort();
    after.dedup();
    SecretInput {
        id: secret.id.clone(),
        tier: secret.tier,
        target: systems.issuer.target(),
        capabilities: systems.issuer.capabilities(),
        retires: systems.issuer.retires(),
        overlap: systems.issuer.overlap(),
        has_control: systems.issuer.has_control(),
        stores: systems
            .stores
            .iter()
            .zip(&secret.stores)
            .map(|(store, at)| StoreInput { target: store.target(), lane: Some(at.place_in_words()) })
            .collect(),
        consumers: systems
            .consumers
            .iter()
            .map(|c| ConsumerInput {
                name: c.name.clone(),
                reload: c.reload.as_ref().map(|r| r.target()),
                observe: c.observe.target(),
            })
            .collect(),
        after,
        because: because.to_owned(),
        lane: Some(lane(app, systems)),
        tasks: systems.issuer.tasks(),
    }
}

/// What the issuer's system bears, shared by all secrets of it.
fn lane(app: &App, systems: &Systems) -> (String, Lane) {
    let (name, fewer) = systems.issuer.lane();
    let usual = app.inventory.policy.mass.at_once.max(1);
    (name, Lane { at_once: fewer.map_or(usual, |n| n.min(usual)), interval_ms: 0 })
}

fn compile(app: &App, incident: &Incident, prepared: &Prepared) -> Result<Plan, AppError> {
    let policy = &app.inventory.policy;
    let asked = incident.strategy_asked.as_ref().and_then(|(strategy, by, _)| match strategy {
        StrategyPolicy::KillFirst => Some((Strategy::KillFirst, by.as_str())),
        StrategyPolicy::MakeBeforeBreak => Some((Strategy::MakeBeforeBreak, by.as_str())),
        StrategyPolicy::Auto => None,
    });
    let (strategy, mut reasons) = plan::choose_strategy(&incident.evidence(), policy.strategy, asked);
    if let Some((_, _, why)) = &incident.strategy_asked {
        reasons.push(why.clone());
    }
    let mut approvals =
        Approvals { destructive: policy.approvals.destructive, reversible: policy.approvals.reversible };
    if let Some(playbook) = pre_approved(app, incident) {
        approvals = Approvals::default();
        reasons.push(format!("policy pre-approves `{playbook}`: no step waits for a person"));
    }
    let channels = policy.told(incident.severity());
    let (leaked_in, unusable) = leaked_in(app, incident);
    let mut warnings = prepared.warnings.clone();
    warnings.extend(unusable);
    let input = PlanInput {
        incident: incident.id,
        revision: incident.revision + 1,
        strategy: (strategy, reasons),
        secrets: prepared.secrets.clone(),
        approvals,
        channels,
        leaked_in,
        warnings,
        stop_after: policy.mass.stop_after,
        under_way: policy.mass.under_way,
    };
    plan::compile(&input).map_err(|error| match error {
        CannotPlan::Circle(circle) => AppError::Refused(way_out(app, &circle)),
        CannotPlan::NoSecret
        | CannotPlan::BadStepId(_)
        | CannotPlan::CannotProve(_)
        | CannotPlan::CannotKill(_)
        | CannotPlan::TooLarge => error.into(),
    })
}

/// A secret of the incident that another plan has not done yet. People, and what is done where it leaked, keep nobody from it.
fn in_motion<'a>(machine: &'a Machine, incident: &Incident) -> Option<&'a SecretId> {
    let ours = |id: &SecretId| incident.secrets.iter().any(|affected| affected.secret == *id);
    let open = |(step, state): (&'a Step, &StepState)| {
        let secret = step.secret.as_ref().filter(|id| ours(id))?;
        (!state.satisfies() && !step.is_for_people()).then_some(secret)
    };
    machine.states().find_map(open)
}

/// The places where it leaked at which something can be done, each once.
/// One that cannot be used is a warning: no secret waits for the place where it leaked.
fn leaked_in(app: &App, incident: &Incident) -> (Vec<ChannelInput>, Vec<String>) {
    let (mut places, mut warnings) = (Vec::new(), Vec::new());
    let id = incident.id.to_string();
    for name in incident.leaked_in() {
        let exposures = incident.exposures_in(&name);
        if format!("channel.{name}.preserve").parse::<StepId>().is_err() {
            warnings.push(format!("nothing is done at the channel `{name}`: its name is too long for steps"));
            continue;
        }
        match crate::systems::channel(&app.inventory, &name, &app.context) {
            Ok(channel) => {
                let acts = channel.acts(&Leak { incident: &id, exposures: &exposures });
                let (target, lock) = (channel.target(), channel.lock_in_words().to_owned());
                places.push(ChannelInput { target, acts, lock, name });
            }
            Err(error) => warnings.push(format!("nothing is done at the channel `{name}`: {error}")),
        }
    }
    (places, warnings)
}

/// Why the secrets of a circle need each other, and what would cut it.
fn way_out(app: &App, circle: &[SecretId]) -> RefusedBecause {
    let what = CannotPlan::Circle(circle.to_vec()).to_string();
    let mut unmet = Vec::new();
    for (one, next) in circle.iter().zip(circle.iter().skip(1)) {
        let Some(secret) = app.inventory.secrets.get(one) else { continue };
        if secret.depends_on.contains(next) {
            unmet.push(format!(
                "{one} says `depends_on: [{next}]` ({}): take that out if {one} also works while {next} is rotated",
                secret.place
            ));
        }
        if app.inventory.uses(one).contains(next) {
            unmet.push(format!(
                "the issuer of {one} is administered with {next} ({}): name a break-glass credential there that no secret of this incident holds (`env:`, `file:`), and rotate that one afterwards",
                secret.place
            ));
        }
    }
    RefusedBecause { what, unmet }
}

/// The pre-approved playbook that fits, if any.
fn pre_approved(app: &App, incident: &Incident) -> Option<&'static str> {
    let public = incident.exposures.iter().any(|e| e.audience == Audience::Public);
    let fits = [
        ("sev1-public-leak", incident.severity() == Severity::Sev1 && public),
        ("sev1", incident.severity() == Severity::Sev1),
        ("drill", incident.drill),
    ];
    let allowed = &app.inventory.policy.approvals.pre_approved;
    fits.into_iter().find(|(name, fits)| *fits && allowed.iter().any(|a| a == name)).map(|(name, _)| name)
}

/// The machine of an incident, or what to do to get one.
pub fn machine(incident: &Incident) -> Result<&Machine, AppError> {
    incident.machine.as_ref().ok_or_else(|| {
        AppError::Usage(format!("{} has no plan yet; `quell plan {}` makes one", incident.id, incident.id))
    })
}

/// Approves steps of exactly this plan. `steps` empty means every step that still waits for approval.
pub async fn approve(
    app: &App,
    id: IncidentId,
    plan_hash: &str,
    steps: &[StepId],
) -> Result<(Incident, Vec<StepId>), AppError> {
    let minutes = i64::from(app.inventory.policy.approvals.expire_minutes);
    let by = app.actor.id.clone();
    let people = crate::person::people(app).await?;
    app.decide(id, |incident, now| {
        let expires_at = now.checked_add(SignedDuration::from_mins(minutes)).unwrap_or(Timestamp::MAX);
        enough_people(app, incident)?;
        let machine =
            incident.machine.as_mut().ok_or_else(|| AppError::Usage(format!("{id} has no plan yet")))?;
        let wanted = if steps.is_empty() { waiting_for(machine, &by, now) } else { steps.to_vec() };
        if !wanted.is_empty() {
            app.named_actor()?;
        }
        for step in &wanted {
            another_person(&people, machine, step, &by, now)?;
            machine.approve(now, &Approval { step, plan_hash, by: &by, expires_at })?;
        }
        Ok((drain(machine), wanted))
    })
    .await
}

/// Refuses a plan with a step that is still to be done for which today's policy asks for more people than the plan does: a policy that became stricter
/// holds from that moment on, and a plan says for itself how many it needs.
pub(crate) fn enough_people(app: &App, incident: &Incident) -> Result<(), AppError> {
    let Some(machine) = &incident.machine else { return Ok(()) };
    if pre_approved(app, incident).is_some() {
        return Ok(());
    }
    let policy = &app.inventory.policy.approvals;
    let wanted = |step: &Step| match step.class {
        Class::Read => 0,
        Class::Reversible => policy.reversible,
        Class::Destructive => policy.destructive,
    };
    // A notice waits for nobody, and what people do by hand is theirs.
    let counts = |step: &Step| !step.is_for_people() && !matches!(step.action, StepAction::Notify { .. });
    let open = machine.states().filter(|(step, state)| !state.satisfies() && counts(step));
    let Some(step) = open.map(|(step, _)| step).find(|step| step.approvals < wanted(step)) else {
        return Ok(());
    };
    let (id, hash) = (incident.id, crate::driver::short(machine.plan_hash()));
    Err(AppError::Refused(RefusedBecause {
        what: format!(
            "plan {hash} asks for {} to approve {}, and `policy.approvals` for {}",
            people_in_words(step.approvals),
            step.id,
            people_in_words(wanted(step)),
        ),
        unmet: vec![format!("`quell plan {id} --again` makes one by today's policy")],
    }))
}

fn people_in_words(count: u8) -> String {
    match count {
        0 => "nobody".to_owned(),
        1 => "one person".to_owned(),
        many => format!("{many} people"),
    }
}

/// Two people means two humans: a second name of the first, or somebody who signed in with the first one's code, is none.
fn another_person(
    people: &People,
    machine: &Machine,
    step: &StepId,
    by: &str,
    now: Timestamp,
) -> Result<(), AppError> {
    for first in machine.approvals(step, now).0 {
        // The machine itself refuses a name that has approved already.
        match people.one_person(first, by, now) {
            Some(why @ (Same::Linked | Same::Code)) => {
                return Err(AppError::Usage(format!(
                    "{first} approved {step}, and {by} may be the same person: {}. Somebody else approves; codes made at the machine (`quell person code`) and the identity provider count",
                    why.words()
                )));
            }
            Some(Same::Spelling) | None => {}
        }
    }
    Ok(())
}

/// Steps that need approval, have not finished, and that this person has not approved.
fn waiting_for(machine: &Machine, by: &str, now: Timestamp) -> Vec<StepId> {
    machine
        .states()
        .filter(|(step, _)| step.approvals > 0)
        .filter(|(_, state)| {
            matches!(state, StepState::Waiting | StepState::AwaitingApproval | StepState::Deferred { .. })
        })
        .filter(|(step, _)| !machine.approvals(&step.id, now).0.contains(&by))
        .map(|(step, _)| step.id.clone())
        .collect()
}

/// Lets the server carry out exactly this plan. Asked for once, it goes on through restarts until it is done, paused or replaced.
pub async fn carry_out(app: &App, id: IncidentId, plan_hash: &str) -> Result<Incident, AppError> {
    app.named_actor()?;
    let (incident, ()) = app
        .decide(id, |incident, _| {
            let machine = machine(incident)?;
            if machine.plan_hash() != plan_hash {
                let (given, now) = (plan_hash.to_owned(), machine.plan_hash().to_owned());
                return Err(plan::Refusal::OtherPlan { given, now }.into());
            }
            let events = if incident.asked.as_deref() == Some(plan_hash) {
                Vec::new()
            } else {
                vec![Event::ResponseAsked { plan: plan_hash.to_owned() }]
            };
            Ok((events, ()))
        })
        .await?;
    Ok(incident)
}

/// What a person can decide about a single step.
#[derive(Clone, Debug)]
pub enum StepCommand {
    /// Try again.
    Retry,
    /// Go on without it.
    Skip(String),
    /// It is in force.
    Resolve {
        /// What was seen.
        statement: String,
        /// Files that show it: name and bytes.
        evidence: Vec<(String, Vec<u8>)>,
    },
    /// No.
    Refuse(String),
}

impl StepCommand {
    /// What a person wrote themselves.
    fn words(&self) -> &str {
        match self {
            Self::Retry => "",
            Self::Skip(text) | Self::Refuse(text) | Self::Resolve { statement: text, .. } => text,
        }
    }
}

/// Carries out a person's decision about a single step.
pub async fn step(
    app: &App,
    id: IncidentId,
    step: &StepId,
    command: &StepCommand,
) -> Result<Incident, AppError> {
    let by = app.named_actor()?;
    crate::words::refuse_values(app, Some(id), &[command.words()]).await?;
    let evidence = match command {
        StepCommand::Resolve { statement, evidence } => {
            said(&app.incident(id).await?, step, statement)?;
            crate::evidence::attach(app, id, evidence).await?
        }
        StepCommand::Retry | StepCommand::Skip(_) | StepCommand::Refuse(_) => Vec::new(),
    };
    let (incident, ()) = app
        .decide_with(id, &evidence, |incident, _| {
            let machine =
                incident.machine.as_mut().ok_or_else(|| AppError::Usage(format!("{id} has no plan yet")))?;
            match command {
                StepCommand::Retry => machine.retry(step, &by)?,
                StepCommand::Skip(reason) => machine.skip(step, &by, reason)?,
                StepCommand::Resolve { statement, .. } => machine.resolve(step, &by, statement)?,
                StepCommand::Refuse(reason) => machine.refuse(step, &by, reason)?,
            }
            Ok((drain(machine), ()))
        })
        .await?;
    Ok(incident)
}

/// What a person did is known by what they say and by nothing else, so a word is not enough.
fn said(incident: &Incident, step: &StepId, statement: &str) -> Result<(), AppError> {
    let theirs = incident.machine.as_ref().and_then(|m| m.plan().step(step)).is_some_and(Step::is_for_people);
    if theirs && statement.trim().chars().count() < 10 {
        return Err(AppError::Usage(format!(
            "{step} is done by people, and nothing else will ever show it: say in a sentence what was seen (--statement)"
        )));
    }
    Ok(())
}

fn drain(machine: &mut Machine) -> Vec<Event> {
    std::iter::from_fn(|| machine.poll_event()).map(Event::Step).collect()
}

/// How many steps of each class a plan has, for its last line.
pub fn tally(plan: &Plan) -> (usize, usize, usize) {
    let of = |class| plan.steps.iter().filter(|s| s.class == class).count();
    (of(Class::Read), of(Class::Reversible), of(Class::Destructive))
}
