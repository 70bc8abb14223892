//! Look-ups. Each takes in what is new first.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use jiff::Timestamp;
use quell_core::event::{Entry, INSTALLATION};
use quell_core::incident::Incident;
use quell_core::{IncidentId, SecretId};
use quell_store::Wanted;

use super::row::{Summary, name, number};
use super::{FORM, catch_up};
use crate::{App, AppError, fold};

/// Incidents that fit, newest first: at most `limit`, after so many.
pub async fn page(
    app: &App,
    wanted: &Wanted,
    (limit, offset): (usize, usize),
) -> Result<Vec<Summary>, AppError> {
    catch_up(app).await?;
    let number = |count: usize| i64::try_from(count).unwrap_or(i64::MAX);
    let rows = app.store.incident_rows(FORM, wanted, (number(limit), number(offset))).await?;
    rows.iter().map(Summary::read).collect()
}

/// Every incident, oldest first. Kept in memory from the first time on, so that only what is new is read.
pub(crate) async fn all(app: &App) -> Result<Vec<Arc<Summary>>, AppError> {
    catch_up(app).await?;
    let mut all = app.folds.all.lock().await;
    let reach = app.store.reach(FORM).await?;
    if all.epoch == Some(reach.epoch) {
        for (stream, _) in app.store.streams_between(all.seq, reach.seq).await? {
            if let Some((row, _)) = app.store.incident_row(FORM, &stream).await? {
                let known = Arc::new(Summary::read(&row)?);
                all.known.insert(known.id, known);
            }
        }
    } else {
        let rows = app.store.incident_rows(FORM, &Wanted::default(), (i64::MAX, 0)).await?;
        let known: Result<Vec<Summary>, AppError> = rows.iter().map(Summary::read).collect();
        all.known = known?.into_iter().map(|known| (known.id, Arc::new(known))).collect();
        all.epoch = Some(reach.epoch);
    }
    all.seq = reach.seq;
    Ok(all.known.values().map(Arc::clone).collect())
}

/// How many fit.
pub async fn count(app: &App, wanted: &Wanted) -> Result<u64, AppError> {
    catch_up(app).await?;
    Ok(app.store.incident_count(FORM, wanted).await?)
}

/// Ids of those that fit, newest first.
pub async fn ids(app: &App, wanted: &Wanted, limit: usize) -> Result<Vec<IncidentId>, AppError> {
    catch_up(app).await?;
    let limit = i64::try_from(limit).unwrap_or(i64::MAX);
    let rows = app.store.incident_rows(FORM, wanted, (limit, 0)).await?;
    Ok(rows.iter().filter_map(|row| row.stream.parse().ok()).collect())
}

/// Those that fit, newest first, with everything that is known of them.
pub async fn incidents(app: &App, wanted: &Wanted) -> Result<Vec<Incident>, AppError> {
    let mut all = Vec::new();
    for id in ids(app, wanted, usize::MAX).await? {
        all.push(Incident::clone(&*fold::incident(app, id).await?));
    }
    Ok(all)
}

/// Open incidents with a deadline that has passed: how many of theirs have. No drills.
pub async fn overdue(app: &App, now: Timestamp) -> Result<Vec<(IncidentId, usize)>, AppError> {
    let passed = |known: &Summary| known.clocks.iter().filter(|(_, due)| *due < now).count();
    let all = all(app).await?;
    let open = all.iter().filter(|known| known.open && !known.drill);
    Ok(open.map(|known| (known.id, passed(known))).filter(|(_, passed)| *passed > 0).collect())
}

/// Incidents whose plan the server is to carry out, or whose notices it is to send.
pub async fn driven(app: &App) -> Result<Vec<IncidentId>, AppError> {
    ids(app, &Wanted { driven: true, ..Wanted::default() }, usize::MAX).await
}

/// What is asked for of a list, with the mark of the page before it.
pub(crate) fn mentioned(kind: &'static str, value: &str) -> Wanted {
    Wanted { mentions: [Some((kind, name(value))), None], ..Wanted::default() }
}

/// Those about a secret.
pub fn about(secret: &SecretId) -> Wanted {
    mentioned("secret", secret.as_str())
}

/// Those in which somebody has a role.
pub fn in_a_role(person: &str) -> Wanted {
    mentioned("role", person)
}

/// Those with an action item that is to ship a gate.
pub fn with_gate() -> Wanted {
    mentioned("gate", "any")
}

/// The highest number of a year.
pub(crate) async fn highest(app: &App, year: i16) -> Result<Option<u32>, AppError> {
    let before = Some(number(IncidentId { year: year.saturating_add(1), number: 0 }));
    let newest = ids(app, &Wanted { before, ..Wanted::default() }, 1).await?;
    Ok(newest.first().filter(|id| id.year == year).map(|id| id.number))
}

/// The entries that speak of this, oldest first.
pub(crate) async fn entries_about(app: &App, kind: &str, value: &str) -> Result<Vec<Entry>, AppError> {
    catch_up(app).await?;
    let mut entries = Vec::new();
    for mention in app.store.mentions(FORM, kind, &name(value)).await? {
        entries.extend(app.store.read_one(u64::try_from(mention.seq).unwrap_or(u64::MAX)).await?);
    }
    Ok(entries)
}

/// Is there an entry, or an incident, that speaks of this?
pub(crate) async fn is_spoken_of(app: &App, kind: &str, value: &str) -> Result<bool, AppError> {
    catch_up(app).await?;
    Ok(!app.store.mentions(FORM, kind, &name(value)).await?.is_empty())
}

/// The place of an incident in lists: what stands before the next page.
pub fn before(id: IncidentId) -> i64 {
    number(id)
}

/// Ids of findings after one, in order; with `waiting`, only of those of which nobody has said what they are.
pub(crate) async fn findings_after(
    app: &App,
    after: &str,
    waiting: bool,
    limit: usize,
) -> Result<Vec<String>, AppError> {
    catch_up(app).await?;
    let limit = i64::try_from(limit).unwrap_or(i64::MAX);
    Ok(app.store.findings_after(FORM, after, waiting, limit).await?)
}

/// Ids of findings with the number of the entry that first spoke of each, the newest first, before a number.
pub(crate) async fn findings_before(
    app: &App,
    before: i64,
    waiting: bool,
    limit: usize,
) -> Result<Vec<(String, i64)>, AppError> {
    catch_up(app).await?;
    let limit = i64::try_from(limit).unwrap_or(i64::MAX);
    Ok(app.store.findings_before(FORM, INSTALLATION, before, waiting, limit).await?)
}

/// How many findings there are, and of how many nobody has said what they are.
pub(crate) async fn findings_count(app: &App) -> Result<(u64, u64), AppError> {
    catch_up(app).await?;
    Ok(app.store.findings_count(FORM).await?)
}

/// The entries that speak of each of these, oldest first. Nothing new is taken in: whoever found the values did.
pub(crate) async fn entries_of(
    app: &App,
    kind: &str,
    values: &[String],
) -> Result<BTreeMap<String, Vec<Entry>>, AppError> {
    let mentions = app.store.mentions_in(FORM, kind, values).await?;
    let numbers: BTreeSet<i64> = mentions.iter().map(|mention| mention.seq).collect();
    let read = app.store.read_many(&numbers).await?;
    let read: BTreeMap<u64, Entry> = read.into_iter().map(|entry| (entry.seq, entry)).collect();
    let mut all: BTreeMap<String, Vec<Entry>> = BTreeMap::new();
    for mention in mentions {
        let entry = u64::try_from(mention.seq).ok().and_then(|seq| read.get(&seq));
        all.entry(mention.value).or_default().extend(entry.cloned());
    }
    Ok(all)
}

/// The incidents that have each of these findings as an exposure, newest first.
pub(crate) async fn exposed(
    app: &App,
    findings: &[String],
) -> Result<BTreeMap<String, Vec<IncidentId>>, AppError> {
    let mut all: BTreeMap<String, Vec<IncidentId>> = BTreeMap::new();
    for mention in app.store.mentions_in(FORM, "exposure", findings).await? {
        all.entry(mention.value).or_default().extend(mention.place.parse::<IncidentId>().ok());
    }
    for incidents in all.values_mut() {
        incidents.sort_by_key(|id| std::cmp::Reverse(*id));
    }
    Ok(all)
}
