//! From what a delivery says to what is recorded. Done again, it finds what was done.

use std::collections::BTreeSet;

use quell_core::SecretId;
use quell_core::event::Event;
use quell_core::exposure::Audience;
use quell_core::incident::{self as domain, Status};
use quell_core::inventory::StrategyPolicy;
use quell_core::secret::SecretValue;
use quell_core::severity::Signal;
use quell_core::{IncidentId, exposure::Channel};
use quell_store::{Batch, Delivery, NewEntry, StoreError};

use super::config::{Kind, Source};
use super::sender::{Findings, Page};
use super::{fetch, revoke};
use crate::clock::now;
use crate::incident::{Report, open_about};
use crate::ingest::{self, Done, Foreign, Group, Response};
use crate::systems::{Systems, stores_of};
use crate::{App, AppError, Options, projection, scan};

/// Records findings, opens or joins incidents, and adds to them what else the delivery says. What was done, in words.
pub(super) async fn findings(
    app: &App,
    options: &Options,
    source: &Source,
    delivery: &Delivery,
    said: Findings,
) -> Result<String, AppError> {
    let Findings { tool, found, signals, remarks, kill_first, alert } = said;
    let mut all = Vec::with_capacity(found.len());
    let mut tellable = false;
    for one in found {
        tellable |= one.principal.is_some();
        all.push(named(app, one.foreign, one.principal.as_deref()).await);
    }
    let mut missing = None;
    if let (Kind::Github { api: Some(api) }, Some(which)) = (&source.kind, &alert) {
        match fetch::alert(app, api, which).await? {
            fetch::Fetched::Alert(fetched) => all = fetch::merge(all, fetched),
            fetch::Fetched::Gone(why) => missing = Some(format!("the alert could not be looked at: {why}")),
        }
    }
    all.iter_mut().for_each(scrub);
    tellable |= all.iter().any(|one| !one.values.is_empty());
    let mut groups = ingest::group_of(app, tool, all).await?;
    for group in &mut groups {
        if group.secret.is_none() {
            group.secret = by_record(app, group).await?;
        }
    }
    record(app, source, delivery, &groups).await?;
    let mut did = Vec::new();
    for group in &mut groups {
        // What a delivery says of the place goes before what is configured, when it is stricter.
        let response = if group.public == Some(true) { Response::default() } else { source.response };
        let done = ingest::respond(app, std::slice::from_mut(group), response).await?;
        did.extend(done.iter().map(|done| sentence(done, group)));
        for id in about(app, group, &done).await? {
            signal_all(app, id, group, &signals, tool).await?;
            if kill_first {
                ask_kill_first(app, id, tool).await?;
            }
            for remark in &remarks {
                note(app, id, &format!("{remark} (delivery {})", delivery.id)).await?;
            }
        }
    }
    if let Kind::GitlabRevocation { kill: true, .. } = source.kind {
        Box::pin(revoke_all(app, options, source, &groups, &mut did)).await?;
    }
    did.sort();
    did.dedup();
    let did = did.join("; ");
    let open = groups.iter().any(|group| group.secret.is_none() && group.resolved.is_none());
    if tellable && open && !matches!(source.kind, Kind::GitlabRevocation { kill: true, .. }) {
        all_stores_were_read(app, &did).await?;
    }
    match missing {
        None => Ok(did),
        // What can be done without is done; a person has to put the rest right, so it is not called done.
        Some(missing) => Err(AppError::Usage(format!("{did}; but {missing}"))),
    }
}

/// What a delivery says in words must not repeat the value that it tells.
fn scrub(foreign: &mut Foreign) {
    let Foreign { rule, description, values, file, link, resolved, reference, author, .. } = foreign;
    let mut texts: Vec<&mut String> = vec![rule, description, file];
    texts.extend([link, resolved, reference, author].into_iter().flatten());
    for value in values.iter().filter_map(SecretValue::expose_text).filter(|value| value.len() >= 4) {
        for text in texts.iter_mut().filter(|text| text.contains(value)) {
            **text = text.replace(value, "…");
        }
    }
}

/// A secret that is not known may be one whose store was down: that is found out another time.
async fn all_stores_were_read(app: &App, did: &str) -> Result<(), AppError> {
    let (_, missed) = scan::known_and_missed(app).await?;
    if missed.is_empty() {
        return Ok(());
    }
    let missed: Vec<String> = missed.into_iter().map(|one| format!("{}: {}", one.what, one.why)).collect();
    Err(AppError::Evidence(format!(
        "{did}; it is compared again when all stores can be read: {}",
        missed.join("; ")
    )))
}

/// Kills what the inventory does not know; what it knows has consumers, and its incident goes the usual way.
async fn revoke_all(
    app: &App,
    options: &Options,
    source: &Source,
    groups: &[Group],
    did: &mut Vec<String>,
) -> Result<(), AppError> {
    // Provider files of the inventory count here: it is the operator's own, and `kill: true` stands in it.
    let options = Options { providers: app.context.providers.to_vec(), ..options.clone() };
    let mut trouble = None;
    for group in groups.iter().filter(|group| group.secret.is_none() && group.resolved.is_none()) {
        let Some(value) = &group.value else { continue };
        let place = group.findings.first().map(|finding| finding.place.file.clone()).unwrap_or_default();
        // Whoever chooses the name of a file must not keep a key alive with it.
        let clean = crate::words::refuse_values(app, None, &[&place]).await.is_ok();
        let place = if clean { place } else { "a place whose name looks like a secret itself".to_owned() };
        let report = Report {
            channel: Some(source.response.channel.unwrap_or(Channel::PublicRepo)),
            audience: source.response.audience,
            place,
            ..Report::default()
        };
        // One token that does not go must not keep the others alive.
        match Box::pin(revoke::revoke(&options, value, report)).await {
            Ok(done) => did.push(done),
            Err(error) => trouble = Some(error),
        }
    }
    trouble.map_or(Ok(()), Err)
}

/// The finding with the secret that its sender names: by its id here, or by the credential's id at its issuer. An id that
/// the inventory does not have is none.
async fn named(app: &App, mut foreign: Foreign, principal: Option<&str>) -> Foreign {
    foreign.secret = foreign.secret.filter(|id| app.inventory.secrets.contains_key(id));
    let Some(principal) = principal.filter(|_| foreign.secret.is_none()) else { return foreign };
    if let Some((secret, value)) = of_principal(app, principal).await {
        foreign.secret = Some(secret);
        foreign.values.push(value);
    }
    foreign
}

/// The secret whose stores hold the credential of this id, with the credential. A store that is down says nothing.
async fn of_principal(app: &App, principal: &str) -> Option<(SecretId, SecretValue)> {
    for secret in app.inventory.secrets.values() {
        let Ok(systems) = Systems::build(secret, &app.context) else { continue };
        for store in stores_of(secret, &app.context).into_iter().flatten() {
            let Ok(Some(stored)) = store.read().await else { continue };
            let known = systems.issuer.identify(&stored.value);
            if known.is_ok_and(|credential| credential.principal == principal) {
                return Some((secret.id.clone(), stored.value));
            }
        }
    }
    // One that was replaced meanwhile: its id stands beside what was sealed.
    let newest = projection::ids(app, &projection::mentioned("principal", principal), 1).await.ok()?.pop()?;
    let incident = app.incident_shared(newest).await.ok()?;
    let sealed = incident.sealed.iter().find(|one| one.principal == principal)?;
    let value = app.store.unseal(&sealed.sealed).await.ok()?;
    app.inventory.secrets.contains_key(&sealed.secret).then(|| (sealed.secret.clone(), value))
}

/// The secret of an earlier delivery about the same record, which a person or a value told.
async fn by_record(app: &App, group: &Group) -> Result<Option<SecretId>, AppError> {
    let mut known: Vec<scan::Matched> = Vec::new();
    for finding in &group.findings {
        known.extend(scan::recorded_like(app, &finding.fingerprint).await?);
    }
    if let Some(secret) = known.iter().find_map(|found| found.secret.clone()) {
        return Ok(Some(secret));
    }
    let ids: BTreeSet<&str> = known.iter().map(|found| found.finding.id.as_str()).collect();
    let mut from = BTreeSet::new();
    for id in ids {
        from.extend(projection::ids(app, &projection::mentioned("exposure", id), usize::MAX).await?);
    }
    for id in from.into_iter().rev() {
        if let Some(affected) = app.incident_shared(id).await?.secrets.first() {
            return Ok(Some(affected.secret.clone()));
        }
    }
    Ok(None)
}

/// Records the findings, once for a delivery.
async fn record(app: &App, source: &Source, delivery: &Delivery, groups: &[Group]) -> Result<(), AppError> {
    let name = format!("{} (delivery {})", source.name, delivery.id);
    ingest::record_once(app, &name, delivery.size, groups).await?;
    Ok(())
}

fn sentence(done: &Done, group: &Group) -> String {
    let secret = group.secret.as_ref().map(ToString::to_string).unwrap_or_default();
    match done {
        Done::Opened { incident } => format!("opened {incident} about {secret}"),
        Done::Joined { incident } => format!("joined {incident} about {secret}"),
        Done::Known { incident } => format!("known in {incident}"),
        Done::Unmatched => {
            let id = group.findings.first().map(|finding| finding.id.clone()).unwrap_or_default();
            format!(
                "recorded; which secret it is, is not known: quell incident open --finding {id} --secret ID"
            )
        }
        Done::Resolved => "resolved there; recorded, and nothing opened".to_owned(),
    }
}

/// The incidents that a group is about: what was done, or those that have one of its findings.
async fn about(app: &App, group: &Group, done: &[Done]) -> Result<Vec<IncidentId>, AppError> {
    let mut ids: Vec<IncidentId> = Vec::new();
    for one in done {
        match one {
            Done::Opened { incident } | Done::Joined { incident } | Done::Known { incident } => {
                ids.push(*incident)
            }
            Done::Unmatched | Done::Resolved => {}
        }
    }
    if ids.is_empty()
        && let Some(secret) = &group.secret
    {
        ids = projection::ids(app, &open_about(secret), usize::MAX).await?;
    }
    Ok(ids)
}

/// Evidence that raises the severity, each once.
async fn signal_all(
    app: &App,
    id: IncidentId,
    group: &Group,
    signals: &[(Option<SecretId>, Signal, String)],
    tool: &str,
) -> Result<(), AppError> {
    let of_group =
        |(secret, ..): &&(Option<SecretId>, Signal, String)| secret.is_none() || *secret == group.secret;
    let mut all: Vec<(Signal, String)> =
        signals.iter().filter(of_group).map(|(_, signal, why)| (*signal, why.clone())).collect();
    if group.live == Some(true) {
        all.push((Signal::Live, format!("{tool}: it was tried, and works")));
    }
    if group.public == Some(true) {
        all.push((Signal::Public, format!("{tool}: anybody can read the place")));
    }
    for (signal, why) in all {
        app.decide(id, |incident, at| {
            let public = signal == Signal::Public
                && !signals.iter().any(|(_, told, _)| *told == Signal::Public)
                && incident.exposures.iter().any(|exposure| exposure.audience == Audience::Public);
            let known = incident.signals.iter().any(|(_, known, _)| *known == signal);
            if incident.status == Status::Closed || known || public {
                return Ok((Vec::new(), ()));
            }
            Ok((domain::signal(incident, signal, &why, at)?, ()))
        })
        .await?;
    }
    Ok(())
}

/// The issuer itself says that strangers have it: what people chose earlier holds all the same.
async fn ask_kill_first(app: &App, id: IncidentId, tool: &str) -> Result<(), AppError> {
    let reason = format!("{tool}: the issuer itself saw it in public");
    app.decide(id, |incident, _at| {
        let left = incident.status == Status::Closed || incident.strategy_asked.is_some();
        let event = Event::StrategyAsked { strategy: StrategyPolicy::KillFirst, reason: reason.clone() };
        Ok((if left { Vec::new() } else { vec![event] }, ()))
    })
    .await?;
    Ok(())
}

/// Somebody did something about a page: it is written down, and taking it up meets the first-response clock.
pub(super) async fn page(app: &App, delivery: &Delivery, said: &Page) -> Result<String, AppError> {
    let mut ours: Vec<IncidentId> = Vec::new();
    for id in &said.incidents {
        if app.store.next_pos(&id.to_string()).await? > 0 {
            ours.push(*id);
        }
    }
    for id in &ours {
        note(app, *id, &format!("{} (delivery {})", said.remark, delivery.id)).await?;
        if said.responded {
            app.decide(*id, |incident, _at| {
                let open = incident
                    .clocks
                    .iter()
                    .filter(|clock| clock.name == "first-response" && clock.met.is_none());
                let met = open.map(|clock| Event::ClockMet { clock: clock.name.clone() });
                Ok((met.collect(), ()))
            })
            .await?;
        }
    }
    if ours.is_empty() {
        return Ok("the page is about no incident of this installation".to_owned());
    }
    let ids: Vec<String> = ours.iter().map(ToString::to_string).collect();
    Ok(format!("noted in {}", ids.join(", ")))
}

/// Adds a remark, once. It meets no clock: nobody was told anything by it.
async fn note(app: &App, id: IncidentId, text: &str) -> Result<(), AppError> {
    loop {
        let (incident, entries) = app.incident_with_entries(id).await?;
        if entries
            .iter()
            .any(|entry| matches!(&entry.event, Event::NoteAdded { text: known } if known == text))
        {
            return Ok(());
        }
        let mut batch = Batch::new(id, incident.next_pos);
        batch.push(NewEntry::new(app.actor.clone(), Event::NoteAdded { text: text.to_owned() }));
        match app.store.append(batch, now().max(incident.last_at)).await {
            Ok(_) => return Ok(()),
            Err(StoreError::Conflict { .. }) => {}
            Err(error) => return Err(error.into()),
        }
    }
}
