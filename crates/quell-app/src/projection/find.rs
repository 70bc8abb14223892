//! Look-ups. Each takes in what is new first.

use std::sync::Arc;

use jiff::Timestamp;
use quell_core::event::Entry;
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

/// Findings that incidents have as an exposure, each with the incident; the newest incident first.
pub(crate) async fn exposures(app: &App) -> Result<Vec<(String, IncidentId)>, AppError> {
    catch_up(app).await?;
    let mentions = app.store.mentions_of(FORM, "exposure", "", i64::MAX).await?;
    let mut all: Vec<(String, IncidentId)> = mentions
        .into_iter()
        .filter_map(|mention| Some((mention.value, mention.place.parse().ok()?)))
        .collect();
    all.sort_by_key(|(_, incident)| std::cmp::Reverse(*incident));
    Ok(all)
}

/// The place of an incident in lists: what stands before the next page.
pub fn before(id: IncidentId) -> i64 {
    number(id)
}

/// Ids of findings after one, in order.
pub(crate) async fn findings_after(app: &App, after: &str, limit: usize) -> Result<Vec<String>, AppError> {
    catch_up(app).await?;
    let limit = i64::try_from(limit).unwrap_or(i64::MAX);
    let mentions = app.store.mentions_of(FORM, "finding", after, limit).await?;
    let mut ids: Vec<String> = mentions.into_iter().map(|mention| mention.value).collect();
    ids.dedup();
    Ok(ids)
}
