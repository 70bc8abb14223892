//! What lists, numbers and look-ups read, so that none of them folds the whole ledger: a row for each incident, and an index of what is spoken of where.
//!
//! It is computed from entries and from nothing else ([0020](../../../docs/decisions/0020-projection.md)): it can be dropped at any time, goes exactly as far
//! as its mark says, and whoever reads takes in what is newer first. `quell ledger verify` compares it with the entries, `quell ledger rebuild` begins anew.

mod find;
mod row;
#[cfg(test)]
mod tests;

use std::collections::BTreeSet;

use futures_util::StreamExt as _;
use quell_core::IncidentId;
use quell_core::event::INSTALLATION;
use quell_store::{IncidentRow, Mention, Reach, StoreError};

pub use find::{about, before, count, driven, ids, in_a_role, incidents, overdue, page, with_gate};
pub(crate) use find::{
    all, entries_about, entries_of, exposed, findings_after, findings_before, findings_count, highest,
    is_spoken_of, mentioned,
};
pub use quell_store::Wanted;
pub use row::Summary;

use crate::{App, AppError, fold};

/// The shape of the rows. Raised when what is computed of an incident or an entry changes: rows of another shape are not read.
pub(crate) const FORM: i64 = 2;
/// Streams whose rows are written at once.
const AT_ONCE: usize = 200;
/// Streams that are read at the same time.
const READERS: usize = 4;
/// Of so many incidents with something new, none is kept in memory for it.
const MANY: usize = 64;
/// Entries of the installation that are read at once.
const PAGE: usize = 1000;
/// Problems that a check names; the rest is counted.
const NAMED: usize = 20;

/// Takes in everything that is in the ledger now.
pub async fn catch_up(app: &App) -> Result<(), AppError> {
    let wanted = app.store.reach(FORM).await?;
    if wanted.is_whole() {
        return Ok(());
    }
    let _alone = app.folds.projecting.lock().await;
    loop {
        let found = app.store.reach(FORM).await?;
        // What was written after we were asked is the next one's; a busy ledger would keep us for ever.
        if found.seq >= wanted.size {
            return Ok(());
        }
        take_in(app, found).await?;
        if app.store.projection_advance(FORM, found, found.size).await? && found.seq == 0 {
            for other in app.store.projection_others(FORM).await? {
                app.store.projection_drop(other).await?;
            }
        }
    }
}

/// Writes what the entries from the mark to the end say.
async fn take_in(app: &App, found: Reach) -> Result<(), AppError> {
    let streams = app.store.streams_between(found.seq, found.size).await?;
    let ids: Vec<IncidentId> = streams.iter().filter_map(|(stream, _)| stream.parse().ok()).collect();
    let keep = ids.len() <= MANY;
    for some in ids.chunks(AT_ONCE) {
        let rows = rows(app, some, keep).await?;
        app.store.projection_put(FORM, found, &rows).await?;
    }
    if streams.iter().any(|(stream, _)| stream == INSTALLATION) {
        for kind in row::KINDS {
            spoken(app, kind, found).await?;
        }
    }
    Ok(())
}

/// Rows of these incidents as they are now. One that cannot be read has none: `quell ledger verify` says why.
async fn rows(
    app: &App,
    ids: &[IncidentId],
    keep: bool,
) -> Result<Vec<(IncidentRow, Vec<Mention>)>, AppError> {
    // A list, since a lazy closure of references cannot be sent to another thread.
    let each: Vec<_> = ids.iter().map(|id| one(app, *id, keep)).collect();
    let mut rows = Vec::with_capacity(ids.len());
    let mut read = futures_util::stream::iter(each).buffered(READERS);
    while let Some(row) = read.next().await {
        rows.extend(row?);
    }
    Ok(rows)
}

async fn one(app: &App, id: IncidentId, keep: bool) -> Result<Option<(IncidentRow, Vec<Mention>)>, AppError> {
    let read = if keep { fold::incident(app, id).await } else { fold::incident_once(app, id).await };
    match read {
        Ok(incident) => row::of(&incident).map(Some),
        Err(AppError::Store(StoreError::Ledger(_)) | AppError::NotFound { .. }) => Ok(None),
        Err(error) => Err(error),
    }
}

async fn spoken(app: &App, kind: &str, found: Reach) -> Result<(), AppError> {
    let mut from = found.seq;
    loop {
        let limit = i64::try_from(PAGE).unwrap_or(i64::MAX);
        let entries = app.store.read_kind(kind, from, limit).await?;
        let mentions: Vec<Mention> = entries.iter().flat_map(row::spoken).collect();
        app.store.projection_mention(FORM, found, &mentions).await?;
        match entries.last() {
            Some(last) if entries.len() == PAGE && last.seq + 1 < found.size => from = last.seq + 1,
            Some(_) | None => return Ok(()),
        }
    }
}

/// Drops everything and computes it anew. How many incidents there are.
pub async fn rebuild(app: &App) -> Result<u64, AppError> {
    app.store.projection_drop(FORM).await?;
    catch_up(app).await?;
    count(app, &Wanted::default()).await
}

/// Compares every row with what its entries say. Each difference in words.
pub async fn check(app: &App) -> Result<Vec<String>, AppError> {
    catch_up(app).await?;
    let mut wrong = Vec::new();
    let streams = app.store.streams_between(0, u64::MAX).await?;
    let known: BTreeSet<&String> = streams.iter().map(|(stream, _)| stream).collect();
    for id in known.iter().filter_map(|stream| stream.parse::<IncidentId>().ok()) {
        let stored = app.store.incident_row(FORM, &id.to_string()).await?;
        let computed = rows(app, &[id], false).await?.pop();
        // Entries that cannot be read are a matter of the ledger.
        let Some(mut computed) = computed else { continue };
        computed.1.sort();
        // Written between the two looks: compared another time.
        let behind = stored.as_ref().is_none_or(|(row, _)| row.next_pos < computed.0.next_pos);
        if stored.as_ref() != Some(&computed) && !(behind && is_busy(app, id).await?) {
            wrong.push(id.to_string());
        }
    }
    for row in app.store.incident_rows(FORM, &Wanted::default(), (i64::MAX, 0)).await? {
        if !known.contains(&row.stream) {
            // One that was opened since the look is no surplus.
            let new = app.store.next_pos(&row.stream).await? > 0;
            wrong.extend((!new).then(|| row.stream.clone()));
        }
    }
    if !findings_are_right(app).await? {
        wrong.push(INSTALLATION.to_owned());
    }
    let more = wrong.len().saturating_sub(NAMED);
    let words = |place: &String| format!("lists do not say what the entries of {place} say");
    let mut all: Vec<String> = wrong.iter().take(NAMED).map(words).collect();
    if more > 0 {
        all.push(format!("and {more} more"));
    }
    Ok(all)
}

/// Is its row right once everything that is there now is taken in?
async fn is_busy(app: &App, id: IncidentId) -> Result<bool, AppError> {
    let before = rows(app, &[id], false).await?.pop();
    catch_up(app).await?;
    let stored = app.store.incident_row(FORM, &id.to_string()).await?;
    Ok(stored.zip(before).is_some_and(|((stored, _), (before, _))| stored.next_pos >= before.next_pos))
}

/// Everything that the installation's entries speak of is in the index, and nothing else.
async fn findings_are_right(app: &App) -> Result<bool, AppError> {
    let reach = app.store.reach(FORM).await?;
    let mut computed = Vec::new();
    for kind in row::KINDS {
        computed.extend(app.store.read_kind(kind, 0, i64::MAX).await?.iter().flat_map(row::spoken));
    }
    let end = i64::try_from(reach.seq).unwrap_or(i64::MAX);
    let mut stored = app.store.mentions_by(FORM, INSTALLATION).await?;
    computed.retain(|mention| mention.seq < end);
    stored.retain(|mention| mention.seq < end);
    computed.sort();
    computed.dedup();
    Ok(computed == stored)
}
