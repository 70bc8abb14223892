//! What people tell others while an incident goes on: drafted from its facts, edited, and sent by channels of the inventory.

mod alarm;
mod kind;

use std::collections::BTreeMap;

use jiff::Timestamp;
use quell_core::IncidentId;
use quell_core::event::{Entry, Verdict};
use quell_core::incident::{Incident, NEXT_UPDATE, RefusedBecause, RoomRole, notice as domain};
use quell_core::severity::{Severity, Signal};
use serde::Serialize;

use crate::clock::now;
use crate::report::{self, Moment, ReportContext};
use crate::words::refuse_values;
use crate::{App, AppError};

pub use alarm::raise;
pub use kind::{Kind, kind, kinds};

/// What somebody must still fill in stands between these.
const TO_FILL: (&str, &str) = ("[[", "]]");

/// What the templates print.
#[derive(Debug, Serialize)]
pub struct Facts {
    /// The same as in the post-mortem.
    pub it: ReportContext,
    /// Who decides.
    pub commander: Option<String>,
    /// Who tells others.
    pub communications: Option<String>,
    /// Who knows the service.
    pub service_owner: Option<String>,
    /// When the next word is due after this one.
    pub next_update: Option<Moment>,
    /// What the secrets open, by the inventory.
    pub opens: Vec<Opens>,
    /// Consumers that are seen on the new value.
    pub confirmed: usize,
    /// Was it used, for people outside: the closed vocabulary and nothing of how it is known.
    pub verdict: String,
    /// What nobody can tell, for people outside.
    pub doubts: Vec<String>,
    /// Where people read on.
    pub link: Option<String>,
}

/// Something that a secret opens.
#[derive(Debug, Serialize)]
pub struct Opens {
    /// By which secret.
    pub secret: String,
    /// A system or a set of data.
    pub resource: String,
    /// `read`, `write`, `admin`.
    pub access: String,
    /// Kinds of data behind it.
    pub data: Vec<String>,
}

/// Everything that a draft may say of an incident.
pub fn facts(app: &App, incident: &Incident, entries: &[Entry], checkpoint: &str, at: Timestamp) -> Facts {
    let it = report::context(incident, entries, checkpoint, at);
    let role = |role| incident.roles.get(&role).cloned();
    let confirmed = it.consumers.iter().filter(|consumer| consumer.confirmed).count();
    Facts {
        commander: role(RoomRole::Commander),
        communications: role(RoomRole::Communications),
        service_owner: role(RoomRole::ServiceOwner),
        next_update: next_update(incident, at),
        opens: opens(app, incident),
        confirmed,
        verdict: match &incident.verdict {
            Some((verdict, _)) => verdict.sentence().to_owned(),
            None => "that is being looked into".to_owned(),
        },
        doubts: doubts(incident),
        link: app
            .inventory
            .policy
            .site
            .as_ref()
            .map(|site| format!("{}/incidents/{}", site.trim_end_matches('/'), incident.id)),
        it,
    }
}

/// As the clock will stand once this one is sent.
fn next_update(incident: &Incident, at: Timestamp) -> Option<Moment> {
    let open = incident.clocks.iter().filter(|clock| clock.name == NEXT_UPDATE && clock.met.is_none());
    let interval = open.map(|clock| clock.due.duration_since(clock.starts)).min()?;
    Some(Moment::new(at.checked_add(interval).ok()?, incident.declared))
}

fn opens(app: &App, incident: &Incident) -> Vec<Opens> {
    let secrets = incident.secrets.iter().filter_map(|it| app.inventory.secrets.get(&it.secret));
    let grants = secrets.flat_map(|secret| secret.grants.iter().map(move |grant| (secret, grant)));
    let named = grants.filter_map(|(secret, grant)| {
        Some(Opens {
            secret: secret.id.to_string(),
            resource: grant.resource.clone()?,
            access: grant.access.clone(),
            data: grant.data.clone(),
        })
    });
    named.collect()
}

/// Without names of systems and steps: those are for the room.
fn doubts(incident: &Incident) -> Vec<String> {
    let mut out = Vec::new();
    match &incident.verdict {
        None => out.push("whether it was used".to_owned()),
        Some((Verdict::CannotTell, _)) => {
            out.push("whether it was used; the records that would tell do not exist".to_owned())
        }
        Some((Verdict::NoEvidenceLogsIncomplete, _)) => {
            out.push("whether it was used in times of which no records exist".to_owned());
        }
        Some((Verdict::Likely, _)) => out.push("whether it was certainly used".to_owned()),
        Some((Verdict::Used | Verdict::NoEvidenceLogsComplete, _)) => {}
    }
    if incident.signals.iter().any(|(_, signal, _)| *signal == Signal::LogGap) {
        out.push("what happened in a gap of the records; the worst is assumed for it".to_owned());
    }
    if incident.exposures.iter().any(|it| it.first_exposed.is_none()) {
        out.push("since when it could be seen".to_owned());
    }
    if !incident.is_contained() {
        out.push("whether the credential can still be used".to_owned());
    }
    out
}

/// Drafts a notice of this kind from what is known now. Gives its id.
pub async fn draft(app: &App, id: IncidentId, kind: &str) -> Result<(Incident, String), AppError> {
    app.named_actor()?;
    let kind = self::kind(app, kind)?;
    let (incident, entries) = app.incident_with_entries(id).await?;
    let checkpoint = app.store.checkpoint().await?.map(|(_, note)| note).unwrap_or_default();
    let text =
        report::plain(&kind.kind, &kind.template, &facts(app, &incident, &entries, &checkpoint, now()));
    let text = text.map_err(|error| AppError::Usage(format!("the notice cannot be drafted: {error}")))?;
    let (title, body) = split(&text);
    refuse_values(app, Some(id), &[&title, &body]).await?;
    app.decide(id, |incident, _| {
        Ok(domain::draft(incident, &kind.kind, kind.meets.as_deref(), &title, &body)?)
    })
    .await
}

/// The first line that is not empty is the title. Of blank lines one is kept.
fn split(text: &str) -> (String, String) {
    let mut lines = text.lines().map(str::trim_end).skip_while(|line| line.is_empty());
    let title: String = lines.next().unwrap_or_default().trim().chars().take(200).collect();
    let mut body: Vec<&str> = Vec::new();
    for line in lines {
        if !line.is_empty() || body.last().is_some_and(|last| !last.is_empty()) {
            body.push(line);
        }
    }
    (title, body.join("\n").trim_end().to_owned())
}

/// Changes a draft.
pub async fn edit(
    app: &App,
    id: IncidentId,
    notice: &str,
    (title, body): (&str, &str),
    read: Option<&str>,
) -> Result<Incident, AppError> {
    app.named_actor()?;
    // Browsers send line ends as mail does.
    let (title, body) = (title.trim(), body.replace("\r\n", "\n"));
    refuse_values(app, Some(id), &[title, &body]).await?;
    known(&app.incident(id).await?, notice)?;
    let (incident, ()) =
        app.decide(id, |incident, _| Ok((domain::edit(incident, notice, (title, &body), read)?, ()))).await?;
    Ok(incident)
}

/// Gives a draft up.
pub async fn drop_draft(app: &App, id: IncidentId, notice: &str, reason: &str) -> Result<Incident, AppError> {
    app.named_actor()?;
    refuse_values(app, Some(id), &[reason]).await?;
    known(&app.incident(id).await?, notice)?;
    let (incident, ()) =
        app.decide(id, |incident, _| Ok((domain::drop_draft(incident, notice, reason)?, ()))).await?;
    Ok(incident)
}

/// Sends a draft out. `channels` empty means those of `policy.notify`; `read` is the hash of the text that whoever sends it has read. It is on its way
/// then: a server goes on by itself, and [`crate::driver::tell`] does it here.
pub async fn send(
    app: &App,
    id: IncidentId,
    notice: &str,
    channels: &[String],
    read: Option<&str>,
) -> Result<Incident, AppError> {
    app.named_actor()?;
    let incident = app.incident(id).await?;
    let told = || app.inventory.policy.told(incident.severity());
    let channels = if channels.is_empty() { told() } else { channels.to_vec() };
    for channel in &channels {
        if !app.inventory.channels.contains_key(channel) {
            return Err(AppError::NotFound { what: "channel", id: channel.clone() });
        }
        drop(crate::systems::notifier(&app.inventory, channel, &app.context)?);
    }
    let draft = known(&incident, notice)?;
    // What is known now may not have been when it was written.
    refuse_values(app, Some(id), &[&draft.title, &draft.body]).await?;
    if [&draft.title, &draft.body].iter().any(|text| text.contains(TO_FILL.0)) {
        return Err(AppError::Refused(RefusedBecause {
            what: format!("{notice} was not sent: somebody must still fill something in"),
            unmet: vec![format!(
                "replace each `{} … {}` in it by what is true, then send it",
                TO_FILL.0, TO_FILL.1
            )],
        }));
    }
    let (incident, ()) =
        app.decide(id, |incident, _| Ok((domain::send(incident, notice, &channels, read)?, ()))).await?;
    Ok(incident)
}

/// Lets the channels that gave up try once more.
pub async fn retry(app: &App, id: IncidentId, notice: &str) -> Result<Incident, AppError> {
    let by = app.named_actor()?;
    known(&app.incident(id).await?, notice)?;
    let (incident, ()) =
        app.decide(id, |incident, _| Ok((domain::again(incident, notice, &by)?, ()))).await?;
    Ok(incident)
}

/// Every channel that can tell people something: its name, and whether the policy names it for incidents this bad.
pub fn channels(app: &App, severity: Severity) -> BTreeMap<String, bool> {
    let usual = app.inventory.policy.told(severity);
    let able = |name: &&String| crate::systems::notifier(&app.inventory, name, &app.context).is_ok();
    let names = app.inventory.channels.keys().filter(able);
    names.map(|name| (name.clone(), usual.contains(name))).collect()
}

fn known<'a>(incident: &'a Incident, notice: &str) -> Result<&'a domain::Notice, AppError> {
    incident.notice(notice).ok_or_else(|| AppError::NotFound { what: "notice", id: notice.to_owned() })
}
