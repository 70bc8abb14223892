//! Findings of other tools: read, matched to the inventory, deduplicated by secret, recorded; incidents opened or joined.

mod foreign;
mod format;
mod matching;
mod read;
mod respond;
#[cfg(test)]
mod tests;

use quell_core::SecretId;
use quell_core::event::{Event, INSTALLATION};
use quell_core::secret::{Fingerprint, SecretValue};
use quell_scan::{Finding, Place, Visibility};
use quell_store::{Batch, NewEntry, StoreError};
use serde::{Deserialize, Serialize};

pub use foreign::Foreign;
pub(crate) use foreign::{Told, some, time};
pub(crate) use format::{gitguardian, github};
pub use read::{Format, read};
pub use respond::{Done, Response, respond};

use crate::clock::now;
use crate::{App, AppError, projection};
use matching::Known;

/// A report larger than this is refused: it is held in memory as a whole.
pub const MAX_REPORT: u64 = 512 << 20;

/// All findings about one secret.
#[derive(Debug, Deserialize, Serialize)]
pub struct Group {
    /// The secret of the inventory, when a value or its hash is known.
    pub secret: Option<SecretId>,
    /// The value's name under the installation's key, when the report told the value.
    pub fingerprint: Option<Fingerprint>,
    /// Where it was found; never empty. Redacted.
    pub findings: Vec<Finding>,
    /// Whether a tool tried it and it worked.
    pub live: Option<bool>,
    /// Whether anybody can read one of the places.
    pub public: Option<bool>,
    /// Why the tool's users consider all of it done; such groups open nothing.
    pub resolved: Option<String>,
    /// The leaked value, to be sealed when an incident is opened.
    #[serde(skip)]
    pub(crate) value: Option<SecretValue>,
}

/// What a report came to.
#[derive(Debug)]
pub struct Taken {
    /// Findings of which nothing was known before.
    pub fresh: usize,
    /// By secret, in the order of the report.
    pub groups: Vec<Group>,
    /// What was done about each; none when only recording was asked for.
    pub done: Vec<Done>,
}

/// Takes a report over, under a name for people: findings are recorded, and with `response` incidents are opened or joined.
pub async fn take(
    app: &App,
    (name, bytes): (&str, u64),
    (format, found): (Format, Vec<Foreign>),
    response: Option<Response>,
) -> Result<Taken, AppError> {
    let mut groups = group(app, format, found).await?;
    let fresh = record(app, name, bytes, &groups).await?;
    let done = match response {
        Some(response) => respond(app, &mut groups, response).await?,
        None => Vec::new(),
    };
    Ok(Taken { fresh, groups, done })
}

/// Maps findings to the inventory and puts those about the same secret together, in the order of the report.
pub async fn group(app: &App, format: Format, found: Vec<Foreign>) -> Result<Vec<Group>, AppError> {
    group_of(app, format.word(), found).await
}

/// The same for any tool, by its word.
pub(crate) async fn group_of(app: &App, tool: &str, found: Vec<Foreign>) -> Result<Vec<Group>, AppError> {
    let known = Known::of(app, &found).await?;
    let mut groups: Vec<(String, Group)> = Vec::new();
    for foreign in found {
        let secret = known.secret_of(&foreign);
        let names: Vec<Fingerprint> = foreign.values.iter().flat_map(|value| known.names(value)).collect();
        let finding = finding(app, tool, &foreign, &names);
        let fingerprint = names.first().copied();
        // The same secret, the same value, the same hash, or at least the same record of the tool.
        let key = secret
            .as_ref()
            .map(|id| format!("secret {id}"))
            .or_else(|| fingerprint.map(|name| format!("value {name}")))
            .or_else(|| foreign.sha1.as_ref().map(|hash| format!("sha1 {hash}")))
            .or_else(|| foreign.reference.as_ref().map(|name| format!("record {name}")))
            .unwrap_or_else(|| format!("finding {}", finding.id));
        let matching = known.matching_value(secret.as_ref(), foreign.values);
        let (live, public, resolved) = (foreign.live, foreign.public, foreign.resolved);
        if let Some((_, group)) = groups.iter_mut().find(|(other, _)| *other == key) {
            if !group.findings.iter().any(|other| other.id == finding.id) {
                group.findings.push(finding);
            }
            group.live = worst(group.live, live);
            group.public = worst(group.public, public);
            // One open finding keeps the whole group open.
            group.resolved = group.resolved.take().filter(|_| resolved.is_some());
            group.value = group.value.take().or(matching);
        } else {
            let findings = vec![finding];
            groups.push((
                key,
                Group { secret, fingerprint, findings, live, public, resolved, value: matching },
            ));
        }
    }
    Ok(groups.into_iter().map(|(_, group)| group).collect())
}

/// Yes beats no, and no beats not knowing.
fn worst(one: Option<bool>, other: Option<bool>) -> Option<bool> {
    match (one, other) {
        (Some(true), _) | (_, Some(true)) => Some(true),
        (Some(false), _) | (_, Some(false)) => Some(false),
        (None, None) => None,
    }
}

/// The finding as Quell records it. Where the tool told no value, the tool's own record is what is fingerprinted, so that
/// the finding keeps its name when it is ingested again.
fn finding(app: &App, tool: &str, foreign: &Foreign, names: &[Fingerprint]) -> Finding {
    let key = &app.store.keys().fingerprint;
    let rule = format!("{tool}:{}", foreign.rule);
    let unknown = || {
        let record = foreign.sha1.as_ref().or(foreign.reference.as_ref());
        let record = record.cloned().unwrap_or_else(|| format!("{}:{}", foreign.file, foreign.line));
        key.fingerprint_bytes(format!("no value told: {rule} {record}").as_bytes())
    };
    let fingerprint = names.first().copied().unwrap_or_else(unknown);
    let told = if names.is_empty() { "the report does not tell the value" } else { "" };
    let notes: Vec<String> = [
        (!told.is_empty()).then(|| told.to_owned()),
        foreign.live.map(|live| {
            if live { "tried by the tool: it works" } else { "tried by the tool: refused" }.to_owned()
        }),
        foreign.resolved.as_ref().map(|why| format!("resolved there: {why}")),
        foreign.link.as_ref().map(|link| format!("see {link}")),
    ]
    .into_iter()
    .flatten()
    .collect();
    let file = clean(&foreign.file);
    Finding {
        id: Finding::id_of(&rule, &fingerprint, &file),
        description: clean(&foreign.description),
        kind: foreign.rule.clone(),
        place: Place {
            file,
            line: foreign.line,
            column: foreign.column,
            commit: foreign.commit.clone(),
            author_time: foreign.seen,
            author: foreign.author.as_deref().map(clean),
        },
        first_seen_commit: foreign.commit.clone(),
        last_seen_commit: None,
        last_seen_time: None,
        refs: Vec::new(),
        // Nobody has looked: what a tool found is taken to be there still.
        still_visible: if foreign.commit.is_some() { Visibility::Reachable } else { Visibility::Current },
        still_reachable: true,
        preview: "…".to_owned(),
        fingerprint,
        baseline: None,
        parts: names.iter().skip(1).copied().collect(),
        principal: None,
        details: std::collections::BTreeMap::new(),
        joined: Vec::new(),
        encoding: None,
        confidence: quell_scan::Confidence::default(),
        occurrences: 1,
        note: (!notes.is_empty()).then(|| clean(&notes.join("; "))),
        rule,
    }
}

/// Text of a stranger's file, without what could drive a terminal.
fn clean(text: &str) -> String {
    text.chars().map(|c| if c.is_control() { ' ' } else { c }).take(2000).collect()
}

/// Records what is new of these groups, with one entry for the run itself. Returns how many findings were new.
pub async fn record(app: &App, name: &str, bytes: u64, groups: &[Group]) -> Result<usize, AppError> {
    record_run(app, name, bytes, groups, false).await
}

/// The same, unless a run of this name is recorded: a worker that stood still finds, when it wakes, what another one recorded in its place.
pub(crate) async fn record_once(
    app: &App,
    name: &str,
    bytes: u64,
    groups: &[Group],
) -> Result<usize, AppError> {
    record_run(app, name, bytes, groups, true).await
}

async fn record_run(
    app: &App,
    name: &str,
    bytes: u64,
    groups: &[Group],
    once: bool,
) -> Result<usize, AppError> {
    let target = format!("ingested {name}");
    loop {
        // The position first: what somebody else records after the look is refused by it.
        let mut batch = Batch::new(INSTALLATION, app.store.next_pos(INSTALLATION).await?);
        if once && projection::is_spoken_of(app, "scan", &target).await? {
            return Ok(0);
        }
        let mut fresh = 0;
        let mut all = 0_u64;
        for group in groups {
            for found in &group.findings {
                all += 1;
                if !projection::is_spoken_of(app, "finding", &found.id).await? {
                    fresh += 1;
                    let finding =
                        serde_json::to_value(found).map_err(|error| AppError::Evidence(error.to_string()))?;
                    let event = Event::FindingRecorded { finding, secret: group.secret.clone() };
                    batch.push(NewEntry::new(app.actor.clone(), event));
                }
            }
        }
        let event = Event::ScanRun { target: target.clone(), findings: all, bytes, incomplete: 0 };
        batch.push(NewEntry::new(app.actor.clone(), event));
        match app.store.append(batch, now()).await {
            Ok(_) => return Ok(fresh),
            Err(StoreError::Conflict { .. }) => {}
            Err(error) => return Err(error.into()),
        }
    }
}
