//! Steps that tell people. None of them stops anything: what a channel refuses is seen in the plan, and the rest goes on.

use quell_connect::connector::{Ask, Notice, Notify, Repeat, Stage};
use quell_core::incident::Incident;
use quell_core::outcome::{Facts, Outcome};
use quell_core::plan::{CONTAINED, FIRST_RESPONSE, Machine, OPENED, Phase, StepAction, StepState};
use quell_core::{IncidentId, StepId};
use serde_json::json;

use super::perform::{Job, Performed, gone};
use crate::{App, AppError};

pub(super) async fn perform(job: &Job, name: &str, kind: &str) -> Result<Performed, AppError> {
    let incident = job.known.incident.as_deref().ok_or_else(|| gone("incident"))?;
    let machine = crate::plan::machine(incident)?;
    if let Some(later) = overtaken_by(machine, &job.step.id, name) {
        // A person asked for another try of an early one. A page that is resolved must not ring again.
        return Ok(Outcome::applied([("sent", json!(false)), ("overtaken_by", json!(later))]).into());
    }
    let channel = crate::systems::notifier(&job.app.inventory, name, &job.app.context)?;
    let notice = notice(job, incident, machine, name, kind).await?;
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

async fn notice(
    job: &Job,
    incident: &Incident,
    machine: &Machine,
    channel: &str,
    kind: &str,
) -> Result<Notice, AppError> {
    let (stage, mut title, body) = words(incident, kind);
    if incident.drill {
        title = format!("DRILL: {title}");
    }
    let checkpoint = job.app.store.checkpoint().await?.map(|(_, note)| note).unwrap_or_default();
    let first: Option<StepId> = format!("notice.{OPENED}.{channel}").parse().ok();
    let first = first.and_then(|step| incident.facts.get(&step));
    Ok(Notice {
        // A second plan tells the same things anew.
        id: format!("{}/{}/{}", incident.id, machine.plan().revision, job.step.id),
        incident: incident.id.to_string(),
        installation: installation(&job.app).to_owned(),
        stage,
        severity: incident.severity().word().to_owned(),
        title,
        body,
        link: link(&job.app, incident.id),
        asks: asks(incident, machine),
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
