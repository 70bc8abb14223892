//! Steps at the place where it leaked.

use std::collections::BTreeSet;
use std::path::PathBuf;
use std::sync::Arc;

use quell_connect::connector::{Channel, Leak};
use quell_core::event::Event;
use quell_core::incident::Incident;
use quell_core::outcome::Outcome;
use quell_core::plan::{ChannelAct, Phase};
use quell_core::secret::Fingerprint;
use quell_scan::Report;
use quell_scan::known::Known;
use quell_store::NewEntry;
use serde_json::{Value, json};

use super::perform::{Job, Performed, gone};
use crate::proof::unseal;
use crate::scan::{Target, Tools, current, looked_for, names_of};
use crate::{App, AppError};

pub(super) async fn perform(job: &Job, name: &str, act: ChannelAct) -> Result<Performed, AppError> {
    let incident = job.known.incident.as_deref().ok_or_else(|| gone("incident"))?;
    let channel = crate::systems::channel(&job.app.inventory, name, &job.app.context)?;
    let (id, exposures) = (incident.id.to_string(), incident.exposures_in(name));
    let leak = Leak { incident: &id, exposures: &exposures };
    match (act, job.phase) {
        (ChannelAct::Preserve, _) => preserve(job, incident, name, channel.as_ref(), &leak).await,
        (ChannelAct::Scan, _) => scan(job, incident, channel.as_ref()).await,
        (ChannelAct::Lock | ChannelAct::Remove | ChannelAct::Unlock, Phase::Perform) => {
            Ok(done(job, act, channel.as_ref(), channel.perform(act, &leak).await))
        }
        (ChannelAct::Lock | ChannelAct::Remove | ChannelAct::Unlock, Phase::Observe) => {
            Ok(done(job, act, channel.as_ref(), channel.observe(act, &leak).await))
        }
    }
}

/// What was taken away is told in the incident, too. It changes nothing there.
fn done(job: &Job, act: ChannelAct, channel: &dyn Channel, outcome: Outcome) -> Performed {
    let mut done = Performed::just(outcome);
    if act == ChannelAct::Remove && done.outcome.is_applied() {
        let event = Event::ChannelCleaned { what: channel.target() };
        done.entries.push(NewEntry::new(job.actor.clone(), event));
    }
    done
}

/// What is to be seen there of the leaked values, to whom and since when, as a file of evidence. Looked at again, it is recorded again: the
/// first record stays.
async fn preserve(
    job: &Job,
    incident: &Incident,
    name: &str,
    channel: &dyn Channel,
    leak: &Leak<'_>,
) -> Result<Performed, AppError> {
    let mut document = json!({
        "channel": name,
        "place": channel.target(),
        "incident": leak.incident,
        "exposures": leak.exposures,
        "seen": channel.preserve(leak).await?,
    });
    if let (Some(folder), Some(object)) = (channel.repository(), document.as_object_mut()) {
        let (known, refused) = leaked(&job.app, incident).await?;
        let report = look(job, folder, known).await?;
        object.insert("leak".to_owned(), found(&report, &refused));
    }
    let own = crate::scan::known_of(&job.app, incident).await?;
    crate::evidence::black_out(&job.app, &own, &mut document)?;
    let body = serde_json::to_vec_pretty(&document)
        .map_err(|error| AppError::Evidence(format!("the evidence cannot be written: {error}")))?;
    let sha256 = hex::encode(<sha2::Sha256 as sha2::Digest>::digest(&body));
    let places = document.pointer("/leak/places").and_then(Value::as_array).map(Vec::len);
    let mut done =
        Performed::just(Outcome::applied([("evidence_sha256", sha256.into()), ("places", places.into())]));
    done.entries.push(NewEntry {
        evidence: vec![(format!("channel-{name}.json"), body)],
        ..NewEntry::new(
            job.actor.clone(),
            Event::NoteAdded { text: format!("recorded what {} shows of the leak", channel.target()) },
        )
    });
    Ok(done)
}

/// The compromised values of the incident, whole and as the parts that stand alone; and those that cannot be looked for.
async fn leaked(app: &App, incident: &Incident) -> Result<(Known, Vec<String>), AppError> {
    let key = &app.store.keys().fingerprint;
    let mut values = Vec::new();
    for affected in &incident.secrets {
        for sealed in incident.old_values(&affected.secret) {
            values.extend(looked_for(&affected.secret, &unseal(app, sealed).await?.value));
        }
    }
    // What was reported by its fingerprint alone is found where it stands as a token of its own.
    let names = incident.exposures.iter().filter_map(|e| e.fingerprint).collect();
    let known = Known::new(key, &values, names)?;
    let refused = refused(&known);
    Ok((known, refused))
}

fn refused(known: &Known) -> Vec<String> {
    known
        .refused()
        .iter()
        .map(|it| format!("a value of {} is not looked for: {}", it.secret, it.why))
        .collect()
}

/// A scan without rules, of everything that the repository holds.
async fn look(job: &Job, folder: PathBuf, known: Known) -> Result<Report, AppError> {
    let app = Arc::clone(&job.app);
    tokio::task::spawn_blocking(move || {
        let rules = quell_scan::RuleSet::none()?;
        let tools = Tools::for_known(&rules, &app.store.keys().fingerprint, &known);
        crate::scan::run(Target::Path(&folder), tools, &mut |_| {}).map(|(report, _)| report)
    })
    .await
    .map_err(|error| AppError::Usage(format!("the scan ended early: {error}")))?
}

fn found(report: &Report, refused: &[String]) -> Value {
    json!({
        "places": report.findings,
        "complete": report.complete() && refused.is_empty(),
        "not_read": report.incomplete,
        "not_looked_for": refused,
        "commits": report.commits,
    })
}

/// No value that a store holds now may stand there: the successor of a leaked value would be the next leak. One that is proven inert, and was
/// left in its store since nothing takes its place, is none.
async fn scan(job: &Job, incident: &Incident, channel: &dyn Channel) -> Result<Performed, AppError> {
    let Some(folder) = channel.repository() else {
        return Ok(Outcome::refused(format!("{} cannot be scanned from here", channel.target())).into());
    };
    let key = &job.app.store.keys().fingerprint;
    let mut now = current(&job.app).await;
    // A successor that no store holds is known to the ledger alone.
    for affected in &incident.secrets {
        if let Some(new) = incident.new_value(&affected.secret) {
            now.values.extend(looked_for(&affected.secret, &unseal(&job.app, new).await?.value));
        }
    }
    let dead = dead(&job.app, incident).await?;
    now.values.retain(|known| !dead.contains(&key.fingerprint(&known.value)));
    let known = Known::new(key, &now.values, BTreeSet::new())?;
    let refused = refused(&known);
    let searched = now.values.len() - refused.len();
    let report = look(job, folder, known).await?;
    Ok(if !report.findings.is_empty() {
        Outcome::refused(format!(
            "{} place(s) hold a value that works now; that is a leak of its own: `quell scan --known {}` names secrets and places",
            report.findings.len(),
            channel.repository().unwrap_or_default().display()
        ))
    } else if let Some(why) = refused.first() {
        Outcome::refused(format!("nothing was found, but {why}; look for it by hand, then skip this step and say so"))
    } else if !report.complete() || !now.missed.is_empty() {
        Outcome::retry(format!(
            "nothing was found, but {} part(s) of the repository and {} store(s) could not be read",
            report.incomplete.len(),
            now.missed.len()
        ))
    } else {
        Outcome::applied([
            ("blobs", report.blobs.into()),
            ("commits", report.commits.into()),
            ("values", searched.into()),
        ])
    }
    .into())
}

/// Names of the compromised values that are proven inert, whole and in parts.
async fn dead(app: &App, incident: &Incident) -> Result<BTreeSet<Fingerprint>, AppError> {
    let mut names = BTreeSet::new();
    for affected in incident.secrets.iter().filter(|it| incident.is_inert(&it.secret)) {
        for sealed in incident.old_values(&affected.secret) {
            let value = unseal(app, sealed).await?.value;
            names.extend(names_of(&app.store.keys().fingerprint, &value));
        }
    }
    Ok(names)
}
