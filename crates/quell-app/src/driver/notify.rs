//! Steps that tell people. None of them stops anything: what a channel refuses is seen in the plan, and the rest goes on.

use quell_connect::connector::{Ask, Notice, Notify, Repeat, Stage};
use quell_core::incident::{Incident, alarm};
use quell_core::outcome::{Facts, Outcome};
use quell_core::plan::{CONTAINED, FIRST_RESPONSE, Machine, OPENED, Phase, StepAction, StepState};
use quell_core::{IncidentId, StepId};
use serde_json::json;

use super::perform::{Job, Performed, gone};
use crate::{App, AppError};

pub(super) async fn perform(job: &Job, name: &str, kind: &str) -> Result<Performed, AppError> {
    let incident = job.known.incident.as_deref().ok_or_else(|| gone("incident"))?;
    let notice = if let Some(own) = &job.notice {
        written(job, incident, own, name).await?
    } else {
        let machine = crate::plan::machine(incident)?;
        if let Some(later) = overtaken_by(machine, &job.step.id, name) {
            // A person asked for another try of an early one. A page that is resolved must not ring again.
            return Ok(Outcome::applied([("sent", json!(false)), ("overtaken_by", json!(later))]).into());
        }
        of_plan(job, incident, machine, name, kind).await?
    };
    let channel = crate::systems::notifier(&job.app.inventory, name, &job.app.context)?;
    Ok(send(channel.as_ref(), &notice, job.phase).await.into())
}

/// After an unknown outcome it is looked for, or sent again where a repeat is dropped.
async fn send(channel: &dyn Notify, notice: &Notice, phase: Phase) -> Outcome {
    match (phase, channel.repeat()) {
        (Phase::Perform, _) | (Phase::Observe, Repeat::Dropped) => channel.send(notice).await,
        (Phase::Observe, Repeat::Seen) => channel.seen(notice).await,
    }
}

/// A later notice that this channel has got already.
fn overtaken_by(machine: &Machine, step: &StepId, name: &str) -> Option<StepId> {
    let mut notices = machine
        .states()
        .filter(|(other, _)| matches!(&other.action, StepAction::Notify { channel, .. } if channel == name));
    notices.find(|(other, _)| other.id == *step)?;
    notices.find(|(_, state)| **state == StepState::Applied).map(|(later, _)| later.id.clone())
}

/// What the plan tells at its beginning, at the first response, and at its end.
async fn of_plan(
    job: &Job,
    incident: &Incident,
    machine: &Machine,
    channel: &str,
    kind: &str,
) -> Result<Notice, AppError> {
    let (stage, title, body) = words(incident, kind);
    // A second plan tells the same things anew.
    let id = format!("{}/{}/{}", incident.id, machine.plan().revision, job.step.id);
    let notice = about(job, incident, channel, id).await?;
    Ok(Notice { stage, title: marked(incident, title), body, asks: asks(incident, machine), ..notice })
}

/// What a person wrote, word for word, and nothing beside it: whoever gets it may be a stranger. What a server calls for by itself is for those inside.
async fn written(job: &Job, incident: &Incident, own: &str, channel: &str) -> Result<Notice, AppError> {
    let missing = || AppError::NotFound { what: "notice", id: own.to_owned() };
    let text = incident.notice(own).ok_or_else(missing)?;
    let notice = about(job, incident, channel, format!("{}/{}", incident.id, job.step.id)).await?;
    let body = text.body.clone();
    if text.kind == alarm::KIND {
        let title = marked(incident, format!("{}: {}", incident.id, text.title));
        return Ok(Notice { update: true, title, body, ..notice });
    }
    Ok(Notice { update: true, title: marked(incident, text.title.clone()), body, link: None, ..notice })
}

fn marked(incident: &Incident, title: String) -> String {
    if incident.drill { format!("DRILL: {title}") } else { title }
}

/// How far it is, by what was proven and begun.
fn stage(incident: &Incident) -> Stage {
    let responded = |c: &quell_core::incident::Clock| c.name == "first-response" && c.met.is_some();
    let done = incident.machine.as_ref().is_some_and(Machine::is_done);
    if incident.is_contained() {
        Stage::Proven
    } else if done {
        Stage::WithPeople
    } else if incident.clocks.iter().any(responded) {
        Stage::FirstResponse
    } else {
        Stage::Opened
    }
}

/// What every notice carries.
async fn about(job: &Job, incident: &Incident, channel: &str, id: String) -> Result<Notice, AppError> {
    let checkpoint = job.app.store.checkpoint().await?.map(|(_, note)| note).unwrap_or_default();
    let first: Option<StepId> = format!("notice.{OPENED}.{channel}").parse().ok();
    let first = first.and_then(|step| incident.facts.get(&step));
    Ok(Notice {
        id,
        incident: incident.id.to_string(),
        installation: installation(&job.app).to_owned(),
        stage: stage(incident),
        update: false,
        severity: incident.severity().word().to_owned(),
        title: String::new(),
        body: String::new(),
        link: link(&job.app, incident.id),
        asks: Vec::new(),
        first: first.cloned().unwrap_or_else(Facts::new),
        checkpoint,
    })
}

/// The second part of the ledger's name, `quell/<install-id>/ledger/1`.
fn installation(app: &App) -> &str {
    app.store.origin().split('/').nth(1).unwrap_or_else(|| app.store.origin())
}

/// Where people read on.
fn link(app: &App, incident: IncidentId) -> Option<String> {
    let site = app.inventory.policy.site.as_deref()?;
    Some(format!("{}/incidents/{incident}", site.trim_end_matches('/')))
}

/// Steps that people could approve now. An approval may come before the step's turn.
fn asks(incident: &Incident, machine: &Machine) -> Vec<Ask> {
    let open = machine.states().filter(|(_, state)| match state {
        StepState::Waiting | StepState::AwaitingApproval => true,
        StepState::WithPeople
        | StepState::Running { .. }
        | StepState::Deferred { .. }
        | StepState::Applied
        | StepState::Skipped
        | StepState::Failed { .. } => false,
    });
    let missing = |(step, _): (&quell_core::plan::Step, _)| {
        let (by, needed) = machine.approvals(&step.id, incident.last_at);
        let given = u8::try_from(by.len()).unwrap_or(u8::MAX);
        (needed > given).then(|| Ask {
            step: step.id.to_string(),
            plan_hash: machine.plan_hash().to_owned(),
            what: step.what.clone(),
            needed: needed - given,
        })
    };
    open.filter_map(missing).collect()
}

fn words(incident: &Incident, kind: &str) -> (Stage, String, String) {
    let id = incident.id;
    let secrets: Vec<&str> = incident.secrets.iter().map(|a| a.secret.as_str()).collect();
    let secrets = secrets.join(", ");
    match kind {
        CONTAINED if incident.is_contained() => (
            Stage::Proven,
            format!("{id}: proven inert: {secrets}"),
            "Every old value is refused by its issuer beside an accepted control, and no session is left that the issuer counts; the plan's warnings say what lives on elsewhere."
                .to_owned(),
        ),
        CONTAINED => {
            let open = incident.secrets.iter().filter(|a| !incident.is_inert(&a.secret));
            let people: Vec<&str> = open.map(|a| a.secret.as_str()).collect();
            (
                Stage::WithPeople,
                format!("{id}: done as far as machines can; by people: {}", people.join(", ")),
                "What people ended rests on what they recorded: no machine can try it. Everything else is refused by its issuer beside an accepted control."
                    .to_owned(),
            )
        }
        FIRST_RESPONSE => (
            Stage::FirstResponse,
            format!("{id}: the response has begun: {}", incident.title),
            format!("Affected: {secrets}. Where it stands: `quell incident show {id}`."),
        ),
        _ => (
            Stage::Opened,
            format!("{id}: {}", incident.title),
            format!("Affected: {secrets}. Strategy and steps: `quell plan {id}`."),
        ),
    }
}
