//! Opening, changing and closing incidents.

use futures_util::StreamExt as _;
use jiff::Timestamp;
use quell_core::event::{Affected, Entry, Event, INSTALLATION, SealedRef, ValueRole, Verdict};
use quell_core::exposure::{Audience, Channel, Exposure};
use quell_core::gate::Gate;
use quell_core::incident::{
    self as domain, Incident, OpenIncident, RoomRole, Section, Status, TaskEnd, notice, post_mortem, task,
};
use quell_core::inventory::{self, Adjacent, SeenAt, Sightings, StrategyPolicy};
use quell_core::plan::Hold;
use quell_core::secret::{Fingerprint, SecretValue};
use quell_core::severity::Signal;
use quell_core::{IncidentId, SecretId};
use quell_store::{Batch, NewEntry, StoreError, Wanted};
use serde_json::Value;

use crate::clock::now;
use crate::inventory::ASKED_AT_ONCE;
use crate::reach::Reach;
use crate::scan::names_of;
use crate::systems::{Systems, stores_of};
use crate::words::{refuse_values, refuse_with};
use crate::{App, AppError, projection};

/// A report of a leak, by hand or from a finding.
#[derive(Debug, Default)]
pub struct Report {
    /// The leaked secrets.
    pub secrets: Vec<SecretId>,
    /// Where.
    pub channel: Option<Channel>,
    /// To whom.
    pub audience: Option<Audience>,
    /// Moment one.
    pub first_exposed: Option<Timestamp>,
    /// Moment two; now if not given.
    pub discovered: Option<Timestamp>,
    /// Can it still be seen there?
    pub still_visible: Option<bool>,
    /// Where, in words.
    pub place: String,
    /// The channel of the inventory that it is.
    pub channel_name: Option<String>,
    /// In a line.
    pub title: Option<String>,
    /// The finding that it came from.
    pub finding: Option<String>,
    /// The leaked value, if it is at hand: it is sealed and used for the proof.
    pub value: Option<SecretValue>,
    /// Names of the leaked value, from a finding, when the value itself is not at hand.
    pub fingerprints: Vec<Fingerprint>,
    /// A drill.
    pub drill: bool,
}

/// Declares an incident: the leaked secrets and everything that they open.
pub async fn open(app: &App, report: Report) -> Result<Incident, AppError> {
    let key = &app.store.keys().fingerprint;
    let names = report.value.as_ref().map(|value| names_of(key, value)).unwrap_or_default();
    let title = report.title.as_deref().unwrap_or_default();
    // The place of a finding is where a machine looked: its name must not keep anybody from opening an incident.
    let place = if report.finding.is_none() { report.place.as_str() } else { "" };
    Box::pin(refuse_with(app, None, &names, &[title, place])).await?;
    let opened = open_unless(app, report, None).await?;
    opened.ok_or_else(|| AppError::Usage("the incident was not opened".to_owned()))
}

/// The same, unless an incident about this secret is open: any number of workers may try at once, and one of them opens it.
pub(crate) async fn open_the_only_one(
    app: &App,
    report: Report,
    secret: &SecretId,
) -> Result<Option<Incident>, AppError> {
    open_unless(app, report, Some(secret)).await
}

async fn is_open_about(app: &App, secret: &SecretId) -> Result<bool, AppError> {
    Ok(!projection::ids(app, &open_about(secret), 1).await?.is_empty())
}

/// Open incidents about a secret that are no drills.
pub(crate) fn open_about(secret: &SecretId) -> Wanted {
    Wanted { status: "open", drill: Some(false), ..projection::about(secret) }
}

async fn open_unless(
    app: &App,
    report: Report,
    open_about: Option<&SecretId>,
) -> Result<Option<Incident>, AppError> {
    for id in &report.secrets {
        known(app, id)?;
    }
    if let Some(name) = &report.channel_name {
        crate::systems::must_leak_in(&app.inventory, name, &app.context)?;
    }
    let reach = crate::reach::ask(app, &report.secrets, report.value.as_ref()).await;
    let affected = affected_by(&reach, &report.secrets, "it leaked");
    let opens_others = affected.iter().filter(|it| !report.secrets.contains(&it.secret)).count();
    let production = affected.is_empty() || any_production(app, &affected);
    let mut at = now();
    let channel = report.channel.unwrap_or(Channel::Unknown);
    let key = &app.store.keys().fingerprint;
    let own = report.value.as_ref().map(|v| key.fingerprint(v));
    let names = report.value.as_ref().map_or_else(|| report.fingerprints.clone(), |v| names_of(key, v));
    // A leaked password is the password inside the URL that a store holds: that URL is what will be tried.
    let fingerprint = held_by_stores(app, &report.secrets, &names).await.or(own).or(names.first().copied());
    let mut command = OpenIncident {
        title: report.title.clone().unwrap_or_else(|| title_of(&report.secrets, channel)),
        secrets: affected,
        exposures: vec![Exposure {
            channel,
            audience: report.audience.unwrap_or_else(|| channel.default_audience()),
            first_exposed: report.first_exposed,
            discovered: report.discovered.unwrap_or(at),
            still_visible: report.still_visible,
            place: report.place.clone(),
            fingerprint,
            sealed: None,
            finding: report.finding.clone(),
            channel_name: report.channel_name.clone(),
        }],
        production,
        opens_others,
        profile: app.inventory.policy.severity_profile,
        drill: report.drill,
    };
    loop {
        // The number first: whoever opens one after the look takes this number, and the append is refused.
        let id = next_id(app, at).await?;
        if let Some(secret) = open_about
            && is_open_about(app, secret).await?
        {
            return Ok(None);
        }
        let mut sealed = Vec::new();
        let mut value_events = Vec::new();
        if let (Some(value), Some(fingerprint)) = (&report.value, own) {
            let name = format!("{id}/reported");
            sealed.push(app.store.seal(&name, value)?);
            for secret in &report.secrets {
                let systems = Systems::build(known(app, secret)?, &app.context)?;
                // A bare password of one of several roles: it stays sealed with the exposure, and closing will ask
                // for it, but it cannot be tried as anybody's.
                let Ok(credential) = systems.issuer.identify(value) else { continue };
                let principal = credential.principal;
                value_events.push(Event::ValueSealed(SealedRef {
                    secret: secret.clone(),
                    role: ValueRole::Old,
                    sealed: name.clone(),
                    fingerprint,
                    principal,
                    place: "reported".to_owned(),
                }));
            }
            if let Some(exposure) = command.exposures.first_mut() {
                exposure.sealed = Some(name);
            }
        }
        let mut batch = Batch::new(id, 0);
        let remarks = reach.sentences().into_iter().map(|text| Event::NoteAdded { text });
        for event in domain::open(&command, at)?.into_iter().chain(value_events).chain(remarks) {
            batch.push(NewEntry::new(app.actor.clone(), event));
        }
        batch.sealed = sealed;
        match app.store.append(batch, at).await {
            Ok(_) => return app.incident(id).await.map(Some),
            // Somebody took the number; take the next.
            Err(StoreError::Conflict { .. }) => at = now(),
            Err(error) => return Err(error.into()),
        }
    }
}

fn title_of(secrets: &[SecretId], channel: Channel) -> String {
    let names: Vec<&str> = secrets.iter().map(SecretId::as_str).collect();
    let what = if names.is_empty() { "an unknown secret".to_owned() } else { names.join(", ") };
    format!("{what} leaked ({})", channel.word())
}

fn any_production(app: &App, affected: &[Affected]) -> bool {
    let production = inventory::Secret::is_production;
    affected.iter().any(|a| app.inventory.secrets.get(&a.secret).is_none_or(production))
}

/// The named secrets, then everything that they open.
fn affected_by(reach: &Reach, named: &[SecretId], because: &str) -> Vec<Affected> {
    let mut affected: Vec<Affected> = Vec::new();
    for id in named {
        add(&mut affected, id, because.to_owned());
    }
    for id in named {
        for reached in reach.graph.exposed_secrets(id) {
            add(&mut affected, &reached, reach.because(id, &reached));
        }
    }
    affected
}

/// The value of one of these secrets' stores that goes by one of these names. A store that is down says nothing.
async fn held_by_stores(app: &App, secrets: &[SecretId], names: &[Fingerprint]) -> Option<Fingerprint> {
    let key = &app.store.keys().fingerprint;
    for secret in secrets.iter().filter_map(|id| app.inventory.secrets.get(id)) {
        let Ok(systems) = Systems::build(secret, &app.context) else { continue };
        for store in &systems.stores {
            if let Ok(Some(stored)) = store.read().await
                && names_of(key, &stored.value).iter().any(|n| names.contains(n))
            {
                return Some(key.fingerprint(&stored.value));
            }
        }
    }
    None
}

fn known<'a>(app: &'a App, id: &SecretId) -> Result<&'a inventory::Secret, AppError> {
    app.inventory.secrets.get(id).ok_or_else(|| AppError::NotFound { what: "secret", id: id.to_string() })
}

fn add(affected: &mut Vec<Affected>, id: &SecretId, because: String) {
    if !affected.iter().any(|a| a.secret == *id) {
        affected.push(Affected { secret: id.clone(), because });
    }
}

async fn next_id(app: &App, at: Timestamp) -> Result<IncidentId, AppError> {
    let year = at.to_zoned(jiff::tz::TimeZone::UTC).year();
    let last = projection::highest(app, year).await?;
    Ok(IncidentId { year, number: last.unwrap_or(0) + 1 })
}

/// Ids of all incidents, oldest first.
pub async fn list_ids(app: &App) -> Result<Vec<IncidentId>, AppError> {
    let mut ids = projection::ids(app, &Wanted::default(), usize::MAX).await?;
    ids.sort();
    Ok(ids)
}

/// Secrets that lie where those of the incident lay, with reasons. Reads the inventory, what scans recorded, and what
/// the stores hold now; a store that is down is passed over.
pub async fn adjacent(app: &App, incident: &Incident) -> Result<Vec<Adjacent>, AppError> {
    let mut sightings = seen(&app.store.read_stream(INSTALLATION, 0).await?);
    // The ledger has each value once, under the secret that had it first: that two have the same, only stores tell,
    // and what was sealed of those that are replaced already. It may be deleted by now.
    for sealed in &incident.sealed {
        if let Ok(value) = app.store.unseal(&sealed.sealed).await {
            let names = names_of(&app.store.keys().fingerprint, &value);
            let of = sightings.values.entry(sealed.secret.clone()).or_default();
            of.extend(names.iter().map(ToString::to_string));
        }
    }
    let each: Vec<_> = app.inventory.secrets.values().map(|secret| held_now(app, secret)).collect();
    let mut held = futures_util::stream::iter(each).buffered(ASKED_AT_ONCE);
    while let Some((secret, names)) = held.next().await {
        sightings.values.entry(secret).or_default().extend(names.iter().map(ToString::to_string));
    }
    let known: Vec<SecretId> = incident.secrets.iter().map(|a| a.secret.clone()).collect();
    Ok(inventory::adjacent(&app.inventory, &known, &known, &sightings))
}

/// What the installation's entries tell of where secrets were seen.
#[expect(clippy::wildcard_enum_match_arm, reason = "the other entries say nothing of it")]
fn seen(entries: &[Entry]) -> Sightings {
    let mut sightings = Sightings::default();
    // A scan's findings come before the entry of the scan, which says where it looked.
    let mut found: Vec<(SecretId, String)> = Vec::new();
    for entry in entries {
        match &entry.event {
            Event::FindingRecorded { finding, secret: Some(secret) } => {
                let file = finding.pointer("/place/file").and_then(Value::as_str);
                found.extend(file.map(|file| (secret.clone(), file.to_owned())));
            }
            Event::ScanRun { target, .. } => {
                for (secret, file) in found.drain(..) {
                    let place = SeenAt { target: target.clone(), file };
                    sightings.places.entry(secret).or_default().insert(place);
                }
            }
            Event::SecretObserved { secret, fingerprints } => {
                let names = fingerprints.iter().map(ToString::to_string);
                sightings.values.entry(secret.clone()).or_default().extend(names);
            }
            _ => {}
        }
    }
    sightings
}

/// Names of the values that the stores of a secret hold now.
async fn held_now(app: &App, secret: &inventory::Secret) -> (SecretId, Vec<Fingerprint>) {
    let mut names = Vec::new();
    for store in stores_of(secret, &app.context).into_iter().flatten() {
        if let Ok(Some(stored)) = store.read().await {
            names.extend(names_of(&app.store.keys().fingerprint, &stored.value));
        }
    }
    (secret.id.clone(), names)
}

/// A change that a person makes to an incident.
#[derive(Clone, Debug)]
pub enum Change {
    /// Evidence that changes the severity.
    Signal(Signal, String),
    /// Was it used?
    Verdict(Verdict, String),
    /// Overrides the strategy.
    Strategy(StrategyPolicy, String),
    /// Accepts closing without proof for one secret.
    Exception(SecretId, String),
    /// A person unlocked a channel by hand.
    Unlocked(String, String),
    /// Gives up the successor of a secret.
    Distrust(SecretId, String),
    /// A remark; meets the update clock.
    Note(String),
    /// A message deleted, history rewritten.
    Cleaned(String),
    /// Something to do afterwards: title, owner, due date, and the gate that it is to ship.
    ActionItem(String, String, String, Option<Gate>),
    /// It is done: item, evidence.
    ActionItemDone(String, String),
    /// Stops the plan for now.
    Hold(Hold),
    /// Lets it go on.
    Resume(String),
    /// Somebody takes a role in the response.
    Role(RoomRole, String),
    /// Something to do now: title, owner, due.
    Task(String, Option<String>, Option<Timestamp>),
    /// Somebody does it from now on: task, owner (whoever asks, when empty).
    TaskGiven(String, String),
    /// It is over: task, how, and what came of it or why.
    TaskEnded(String, TaskEnd, String),
    /// A section of the post-mortem.
    PostMortem(Section, String),
    /// The end, with a summary.
    Close(String),
}

impl Change {
    /// What people wrote themselves.
    pub fn words(&self) -> Vec<&str> {
        match self {
            Self::Signal(_, text)
            | Self::Verdict(_, text)
            | Self::Strategy(_, text)
            | Self::Exception(_, text)
            | Self::Distrust(_, text)
            | Self::Note(text)
            | Self::Cleaned(text)
            | Self::Resume(text)
            | Self::Role(_, text)
            | Self::PostMortem(_, text)
            | Self::Close(text) => vec![text],
            Self::Unlocked(one, other)
            | Self::ActionItemDone(one, other)
            | Self::TaskGiven(one, other)
            | Self::TaskEnded(one, _, other) => vec![one, other],
            Self::Task(title, owner, _) => [title].into_iter().chain(owner).map(String::as_str).collect(),
            Self::ActionItem(title, owner, due, _) => vec![title, owner, due],
            Self::Hold(hold) => vec![&hold.reason],
        }
    }
}

/// The same change with the name of whoever asks, where nobody is named.
#[expect(clippy::wildcard_enum_match_arm, reason = "the other changes are about no person")]
fn of_whoever_asks(app: &App, change: &Change) -> Result<Option<Change>, AppError> {
    Ok(match change {
        Change::Role(role, person) if person.is_empty() => Some(Change::Role(*role, app.named_actor()?)),
        Change::TaskGiven(task, owner) if owner.is_empty() => {
            Some(Change::TaskGiven(task.clone(), app.named_actor()?))
        }
        _ => None,
    })
}

/// Carries out a change.
pub async fn change(app: &App, id: IncidentId, change: &Change) -> Result<Incident, AppError> {
    let own = of_whoever_asks(app, change)?;
    let change = own.as_ref().unwrap_or(change);
    if matches!(
        change,
        Change::Exception(..) | Change::Distrust(..) | Change::Unlocked(..) | Change::PostMortem(..)
    ) {
        app.named_actor()?;
    }
    refuse_values(app, Some(id), &change.words()).await?;
    let (incident, ()) = app.decide(id, |incident, at| Ok((events_of(incident, change, at)?, ()))).await?;
    Ok(incident)
}

/// Remarks of an incident: what people noted, and what issuers could not tell when it was opened.
pub fn remarks(entries: &[Entry]) -> Vec<String> {
    let text = |entry: &Entry| {
        if let Event::NoteAdded { text } = &entry.event { Some(text.clone()) } else { None }
    };
    entries.iter().filter_map(text).collect()
}

/// Adds secrets, and everything that they open, to an incident.
pub async fn widen(
    app: &App,
    id: IncidentId,
    secrets: &[SecretId],
    reason: &str,
) -> Result<Incident, AppError> {
    for secret in secrets {
        known(app, secret)?;
    }
    refuse_values(app, Some(id), &[reason]).await?;
    let reach = crate::reach::ask(app, secrets, None).await;
    let affected = affected_by(&reach, secrets, reason);
    let (incident, ()) = app
        .decide(id, |incident, at| {
            let mut fresh = affected.clone();
            fresh.retain(|a| !incident.secrets.iter().any(|k| k.secret == a.secret));
            let opens_others = fresh.iter().filter(|a| !secrets.contains(&a.secret)).count();
            let production = any_production(app, &fresh);
            let mut events = domain::widen(incident, &fresh, production, opens_others, reason, at)?;
            events.extend(reach.sentences().into_iter().map(|text| Event::NoteAdded { text }));
            Ok((events, ()))
        })
        .await?;
    Ok(incident)
}

fn role_taken(incident: &Incident, role: RoomRole, person: &str) -> Result<Vec<Event>, AppError> {
    if person.trim().is_empty() || incident.status == Status::Closed {
        return Err(AppError::Usage(format!(
            "a role is of a named person, and of an open incident; {} is {}",
            incident.id,
            if incident.status == Status::Closed { "closed" } else { "open" }
        )));
    }
    let known = incident.roles.get(&role).is_some_and(|holder| holder == person);
    Ok(if known { Vec::new() } else { vec![Event::RoleTaken { role, person: person.to_owned() }] })
}

fn unlocked(incident: &Incident, channel: &str, reason: &str) -> Result<Vec<Event>, AppError> {
    if !incident.locked.iter().any(|(name, _)| name == channel) {
        return Err(AppError::NotFound { what: "lock of the channel", id: channel.to_owned() });
    }
    Ok(vec![Event::ChannelUnlocked { channel: channel.to_owned(), reason: reason.to_owned() }])
}

fn known_task<'a>(incident: &Incident, task: &'a str) -> Result<&'a str, AppError> {
    let missing = || AppError::NotFound { what: "task", id: task.to_owned() };
    incident.task(task).map(|_| task).ok_or_else(missing)
}

/// What a verdict says about the severity.
fn implied_by(verdict: Verdict) -> Option<Signal> {
    match verdict {
        Verdict::Used | Verdict::Likely => Some(Signal::UsedByUnknown),
        Verdict::NoEvidenceLogsIncomplete => Some(Signal::LogGap),
        Verdict::NoEvidenceLogsComplete | Verdict::CannotTell => None,
    }
}

pub(crate) fn events_of(incident: &Incident, change: &Change, at: Timestamp) -> Result<Vec<Event>, AppError> {
    let needs = |text: &str, what: &str| {
        if text.trim().is_empty() {
            Err(AppError::Usage(format!("{what} must not be empty")))
        } else {
            Ok(())
        }
    };
    Ok(match change {
        Change::Signal(signal, reason) => domain::signal(incident, *signal, reason, at)?,
        Change::Verdict(verdict, reason) => {
            needs(reason, "the reason of a verdict")?;
            let mut events = vec![Event::VerdictRecorded { verdict: *verdict, reason: reason.clone() }];
            if let Some(signal) =
                implied_by(*verdict).filter(|s| !incident.signals.iter().any(|(_, known, _)| known == s))
            {
                events.extend(domain::signal(
                    incident,
                    signal,
                    &format!("verdict: {}", verdict.sentence()),
                    at,
                )?);
            }
            events
        }
        Change::Strategy(strategy, reason) => {
            needs(reason, "the reason of an override")?;
            vec![Event::StrategyAsked { strategy: *strategy, reason: reason.clone() }]
        }
        Change::Exception(secret, reason) => {
            needs(reason, "the reason of an exception")?;
            if !incident.secrets.iter().any(|a| a.secret == *secret) {
                return Err(AppError::NotFound { what: "secret", id: secret.to_string() });
            }
            vec![Event::ExceptionRecorded { secret: secret.clone(), reason: reason.clone() }]
        }
        Change::Unlocked(channel, reason) => {
            needs(reason, "how it was unlocked")?;
            unlocked(incident, channel, reason)?
        }
        Change::Distrust(secret, reason) => domain::distrust(incident, secret, reason)?,
        Change::Note(text) => {
            needs(text, "a note")?;
            let mut events = vec![Event::NoteAdded { text: text.clone() }];
            events.extend(notice::meet(incident, notice::NEXT_UPDATE, at));
            events
        }
        Change::Cleaned(what) => {
            needs(what, "what was cleaned")?;
            vec![Event::ChannelCleaned { what: what.clone() }]
        }
        Change::ActionItem(title, owner, due, gate) => {
            needs(title, "the title")?;
            needs(owner, "the owner")?;
            if due.parse::<jiff::civil::Date>().is_err() {
                return Err(AppError::Usage("the due date is not a date such as 2026-12-01".to_owned()));
            }
            let item = format!("A{}", incident.items.len() + 1);
            vec![Event::ActionItemAdded {
                item,
                title: title.clone(),
                owner: owner.clone(),
                due: due.clone(),
                gate: *gate,
            }]
        }
        Change::ActionItemDone(item, evidence) => {
            needs(evidence, "the evidence")?;
            let found = incident.items.iter().find(|i| i.item == *item);
            let found = found.ok_or_else(|| AppError::NotFound { what: "action item", id: item.clone() })?;
            domain::item_done(found, evidence, None)?
        }
        Change::Hold(hold) => domain::hold(incident, hold)?,
        Change::Resume(reason) => domain::resume(incident, reason)?,
        Change::Role(role, person) => role_taken(incident, *role, person)?,
        Change::Task(title, owner, due) => task::add(incident, title, owner.as_deref(), *due)?,
        Change::TaskGiven(it, owner) => task::give(incident, known_task(incident, it)?, owner)?,
        Change::TaskEnded(it, how, reason) => task::end(incident, known_task(incident, it)?, *how, reason)?,
        Change::PostMortem(section, text) => post_mortem::write(incident, *section, text)?,
        Change::Close(summary) => domain::close(incident, summary)?,
    })
}

#[cfg(test)]
mod tests {
    use jiff::SignedDuration;
    use quell_core::event::Actor;
    use quell_core::severity::Profile;
    use serde_json::json;

    use super::*;

    fn t(minutes: i64) -> Timestamp {
        "2026-11-22T03:00:00Z".parse::<Timestamp>().unwrap() + SignedDuration::from_mins(minutes)
    }

    fn id(text: &str) -> SecretId {
        text.parse().unwrap()
    }

    fn entry(pos: u64, at: Timestamp, event: Event) -> Entry {
        let (stream, actor) = ("INC-2026-0001".to_owned(), Actor::user("ines"));
        Entry { seq: pos, at, stream, pos, actor, evidence: Vec::new(), event }
    }

    fn take(incident: &mut Incident, at: Timestamp, change: &Change) {
        for event in events_of(incident, change, at).unwrap() {
            incident.apply(&entry(incident.next_pos, at, event));
        }
    }

    /// Due times of the updates that somebody still waits for.
    fn owed(incident: &Incident) -> Vec<Timestamp> {
        incident.clocks.iter().filter(|c| c.name == "next-update" && c.met.is_none()).map(|c| c.due).collect()
    }

    #[test]
    fn a_note_meets_all_updates_that_are_due_and_starts_the_stricter_one() {
        let command = OpenIncident {
            title: "orders-db leaked".to_owned(),
            secrets: vec![Affected { secret: id("orders-db"), because: "it leaked".to_owned() }],
            exposures: vec![Exposure {
                channel: Channel::Chat,
                audience: Channel::Chat.default_audience(),
                first_exposed: None,
                discovered: t(0),
                still_visible: None,
                place: "chat".to_owned(),
                fingerprint: None,
                sealed: None,
                finding: None,
                channel_name: None,
            }],
            production: false,
            opens_others: 0,
            profile: Profile::Sev,
            drill: false,
        };
        let events = domain::open(&command, t(0)).unwrap();
        let entries: Vec<Entry> = events.into_iter().zip(0..).map(|(e, pos)| entry(pos, t(0), e)).collect();
        let mut incident = Incident::fold("INC-2026-0001".parse().unwrap(), &entries).unwrap();
        let slow = owed(&incident);
        take(&mut incident, t(1), &Change::Signal(Signal::UsedByUnknown, "logins from elsewhere".to_owned()));
        let both = owed(&incident);
        let stricter = both.last().unwrap().duration_since(t(1));
        assert_eq!(both.len(), 2, "the severity was raised: {:?}", incident.clocks);
        assert!(stricter < slow[0].duration_since(t(0)), "{both:?}");

        take(&mut incident, t(2), &Change::Note("the database is cut off".to_owned()));
        assert_eq!(owed(&incident), [t(2) + stricter], "one update is owed from now on");
        take(&mut incident, t(3), &Change::Note("nobody was let in".to_owned()));
        assert_eq!(owed(&incident), [t(3) + stricter]);
    }

    #[test]
    fn files_of_one_name_in_two_repositories_are_two_places() {
        let found = |secret: &str| {
            let finding = json!({ "id": "F-1", "place": { "file": ".env", "line": 3 } });
            Event::FindingRecorded { finding, secret: Some(id(secret)) }
        };
        let run =
            |target: &str| Event::ScanRun { target: target.to_owned(), findings: 1, bytes: 9, incomplete: 0 };
        let events = [
            found("orders-db"),
            found("orders-mail"),
            run("/src/orders"),
            found("billing"),
            run("/src/billing"),
        ];
        let entries: Vec<Entry> = events.into_iter().zip(0..).map(|(e, pos)| entry(pos, t(0), e)).collect();
        let places = seen(&entries).places;
        assert_eq!(places[&id("orders-db")], places[&id("orders-mail")]);
        assert!(places[&id("orders-db")].is_disjoint(&places[&id("billing")]), "{places:?}");
    }
}
