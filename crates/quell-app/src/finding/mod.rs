//! The inbox of findings: what scans and other tools saw, until a person says what it is.

mod many;
#[cfg(test)]
mod tests;

use quell_core::event::{Entry, Event, FindingSays, INSTALLATION};
use quell_core::exposure::{Audience, Channel};
use quell_core::incident::Incident;
use quell_core::{IncidentId, SecretId, Timestamp};
use quell_store::{Batch, NewEntry, StoreError};
use serde_json::Value;

pub use many::{Inbox, InboxPage, count, inbox, list};

use crate::clock::now;
use crate::incident::{self, Report};
use crate::scan::Matched;
use crate::{App, AppError, projection};

/// A finding with what was done about it.
#[derive(Clone, Debug)]
pub struct Found {
    /// `F-…`.
    pub id: String,
    /// When it was recorded.
    pub at: Timestamp,
    /// What looks like a secret there.
    pub description: String,
    /// The rule that says so.
    pub rule: String,
    /// File, line and commit.
    pub place: String,
    /// Its public prefix, never a part that helps to guess it.
    pub preview: String,
    /// Its name.
    pub fingerprint: String,
    /// Which secret of the inventory it is, if that is known.
    pub secret: Option<SecretId>,
    /// It can still be seen there.
    pub still_visible: bool,
    /// What a person said, who, when and why.
    pub said: Option<Said>,
    /// Incidents that have it as an exposure.
    pub incidents: Vec<IncidentId>,
}

/// What a person said of it.
#[derive(Clone, Debug)]
pub struct Said {
    /// What it is.
    pub says: FindingSays,
    /// Who said so.
    pub by: String,
    /// When.
    pub at: Timestamp,
    /// Why.
    pub reason: String,
}

impl Found {
    /// Nobody has said what it is, and no incident is about it.
    pub fn is_open(&self) -> bool {
        self.said.is_none() && self.incidents.is_empty()
    }
}

/// Which findings of the list.
#[derive(Clone, Debug, Default)]
pub struct Wanted {
    /// Only those of this secret.
    pub secret: Option<String>,
    /// Only those of this rule.
    pub rule: Option<String>,
    /// Only those of which nobody has said what they are.
    pub open: bool,
}

/// What was recorded, and what became of it.
#[derive(Clone, Debug)]
pub struct Standing {
    /// As it was recorded.
    pub matched: Matched,
    /// What a person said.
    pub said: Option<Said>,
    /// Incidents that have it as an exposure.
    pub incidents: Vec<IncidentId>,
}

/// The id of a finding, by its looks. What is another text may be a value, and is not said again.
pub fn id(text: &str) -> Result<&str, AppError> {
    let digits = text.strip_prefix("F-").unwrap_or("");
    let fits = (1..=64).contains(&digits.len()) && digits.bytes().all(|b| b.is_ascii_alphanumeric());
    let words = || AppError::Usage("this is no finding's id such as F-1a2b3c4d5e6f".to_owned());
    if fits { Ok(text) } else { Err(words()) }
}

impl Wanted {
    fn fits(&self, found: &Matched) -> bool {
        let is_of = |secret: &String| found.secret.as_ref().is_some_and(|id| id.as_str() == *secret);
        self.secret.as_ref().is_none_or(is_of)
            && self.rule.as_ref().is_none_or(|rule| found.finding.rule == *rule)
    }
}

/// One finding, as it was recorded last, and what became of it.
pub async fn show(app: &App, finding: &str) -> Result<Standing, AppError> {
    let matched = crate::scan::recorded_one(app, id(finding)?).await?;
    standing_of(app, matched.ok_or_else(|| missing(finding))?).await
}

async fn standing_of(app: &App, matched: Matched) -> Result<Standing, AppError> {
    let (said, incidents) = became(app, &matched.finding.id).await?;
    Ok(Standing { matched, said, incidents })
}

/// What a person said of it last, and the incidents that are about it.
async fn became(app: &App, id: &str) -> Result<(Option<Said>, Vec<IncidentId>), AppError> {
    let said = projection::entries_about(app, "triaged", id).await?.pop().and_then(said_in);
    Ok((said, projection::ids(app, &projection::mentioned("exposure", id), usize::MAX).await?))
}

/// One finding.
pub async fn one(app: &App, id: &str) -> Result<Option<Found>, AppError> {
    let entries = projection::entries_about(app, "finding", id).await?;
    let Some(mut found) = found_in(&entries) else { return Ok(None) };
    (found.said, found.incidents) = became(app, id).await?;
    Ok(Some(found))
}

/// As it was recorded first, with the secret that was found last.
fn found_in(entries: &[Entry]) -> Option<Found> {
    let mut out: Option<Found> = None;
    for entry in entries {
        let Event::FindingRecorded { finding: recorded, secret } = &entry.event else { continue };
        match &mut out {
            Some(known) => known.secret = secret.clone().or(known.secret.take()),
            None => out = Some(found(recorded, secret.clone(), entry.at)),
        }
    }
    out
}

fn said_in(entry: Entry) -> Option<Said> {
    let Event::FindingTriaged { says, reason, .. } = entry.event else { return None };
    Some(Said { says, by: entry.actor.id, at: entry.at, reason })
}

fn found(finding: &Value, secret: Option<SecretId>, at: Timestamp) -> Found {
    let word =
        |pointer: &str| finding.pointer(pointer).and_then(Value::as_str).unwrap_or_default().to_owned();
    let line = finding.pointer("/place/line").and_then(Value::as_u64).map(|line| format!(":{line}"));
    let commit = word("/place/commit").chars().take(12).collect::<String>();
    let commit = if commit.is_empty() { String::new() } else { format!(" @{commit}") };
    Found {
        id: word("/id"),
        at,
        description: word("/description"),
        rule: word("/rule"),
        place: format!("{}{}{commit}", word("/place/file"), line.unwrap_or_default()),
        preview: word("/preview"),
        fingerprint: word("/fingerprint"),
        secret,
        still_visible: finding.pointer("/still_reachable").and_then(Value::as_bool).unwrap_or(true),
        said: None,
        incidents: Vec::new(),
    }
}

/// A person says that it is a leak: an incident is opened for it, with what the finding knows.
pub async fn leak(
    app: &App,
    finding: &str,
    secret: Option<SecretId>,
    channel: Option<Channel>,
    audience: Option<Audience>,
) -> Result<Incident, AppError> {
    app.named_actor()?;
    let matched = crate::scan::recorded_one(app, finding).await?;
    let Matched { finding: found, secret: matched } = matched.ok_or_else(|| missing(finding))?;
    if let Some(known) = one(app, finding).await?.filter(|it| !it.is_open()) {
        return Err(AppError::Usage(already(&known)));
    }
    let commit = found.place.commit.as_deref().map(|id| format!(" @{}", id.get(..12).unwrap_or(id)));
    let report = Report {
        secrets: secret.or(matched).into_iter().collect(),
        channel,
        audience,
        first_exposed: found.place.author_time.filter(|seen| *seen <= now()),
        still_visible: Some(found.still_reachable),
        place: format!("{}:{}{}", found.place.file, found.place.line, commit.unwrap_or_default()),
        finding: Some(found.id.clone()),
        fingerprints: std::iter::once(found.fingerprint).chain(found.parts.iter().copied()).collect(),
        ..Report::default()
    };
    let incident = incident::open(app, report).await?;
    say(app, finding, FindingSays::Leak { incident: incident.id }, "an incident was opened for it").await?;
    Ok(incident)
}

/// A person says that it is no leak, or a duplicate, and why.
pub async fn triage(app: &App, finding: &str, says: FindingSays, reason: &str) -> Result<(), AppError> {
    app.named_actor()?;
    if reason.trim().is_empty() {
        return Err(AppError::Usage("why it is so must not be empty".to_owned()));
    }
    crate::words::refuse_values(app, None, &[reason]).await?;
    let found = one(app, finding).await?.ok_or_else(|| missing(finding))?;
    if !found.is_open() {
        return Err(AppError::Usage(already(&found)));
    }
    if let FindingSays::Duplicate { of } = &says
        && (of == finding || !projection::is_spoken_of(app, "finding", of).await?)
    {
        return Err(AppError::Usage(
            "what is named as the original is no other finding; name the one that stays".to_owned(),
        ));
    }
    say(app, finding, says, reason).await
}

/// Nobody else may have said something in between.
async fn say(app: &App, finding: &str, says: FindingSays, reason: &str) -> Result<(), AppError> {
    loop {
        let pos = app.store.next_pos(INSTALLATION).await?;
        if let Some(found) = one(app, finding).await?.filter(|it| it.said.is_some()) {
            return Err(AppError::Usage(already(&found)));
        }
        let mut batch = Batch::new(INSTALLATION, pos);
        let (finding, says, reason) = (finding.to_owned(), says.clone(), reason.to_owned());
        batch.push(NewEntry::new(app.actor.clone(), Event::FindingTriaged { finding, says, reason }));
        match app.store.append(batch, now()).await {
            Ok(_) => return Ok(()),
            Err(StoreError::Conflict { .. }) => {}
            Err(error) => return Err(error.into()),
        }
    }
}

fn missing(finding: &str) -> AppError {
    AppError::NotFound { what: "finding", id: finding.to_owned() }
}

fn already(found: &Found) -> String {
    match (&found.said, found.incidents.first()) {
        (Some(said), _) => {
            format!("{} said already what {} is, at {:.0}: {}", said.by, found.id, said.at, said.reason)
        }
        (None, Some(incident)) => format!("{} is in {incident} already", found.id),
        (None, None) => format!("{} is open", found.id),
    }
}
