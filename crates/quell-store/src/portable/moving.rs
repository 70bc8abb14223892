//! `quell move`: an embedded installation goes to PostgreSQL, without losing an entry.
//!
//! Every step leaves either the old one usable or the new one complete, and the same command goes on from there:
//!
//! 0. no worker begins from here on, and none lives;
//! 1. a transaction on the old one excludes every writer until the end;
//! 2. all rows go into the new one in one transaction, marked as arriving, and are compared by count and hash;
//! 3. the old one is marked as moved, for good;
//! 4. the mark of the new one goes away.

use std::collections::BTreeMap;
use std::path::Path;

use jiff::Timestamp;
use quell_core::secret::SecretValue;
use serde::Serialize;

use super::{ARRIVING, MOVED, Sum, Tx, dump, is_empty, restore, walk};
use crate::{Db, LedgerReport, Store, StoreError};

/// Name of the copy on its way, in the data folder. It holds what the database holds.
const COPY: &str = ".moving.part";

/// What was moved.
#[derive(Debug, Serialize)]
pub struct Moved {
    /// Where it lies now, without the password.
    pub to: String,
    /// Entries of the ledger.
    pub entries: u64,
    /// Each table with its count and hash, the same in both places.
    pub tables: BTreeMap<String, Sum>,
    /// The ledger's verification in the new place.
    pub ledger: LedgerReport,
}

/// The places between two steps, in order; for crash tests.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Pause {
    /// The copy lies in a file; the new database has empty tables.
    Copied,
    /// The rows are there.
    Arrived,
    /// The old one says that it was moved.
    Marked,
}

/// Moves. `at` is told the places between two steps.
pub async fn move_to(
    folder: &Path,
    url: &str,
    passphrase: impl FnOnce() -> Result<SecretValue, StoreError>,
    now: Timestamp,
    at: impl Fn(Pause),
) -> Result<Moved, StoreError> {
    if !folder.join(crate::db::FILE).is_file() {
        return Err(StoreError::NotInitialised(folder.display().to_string()));
    }
    let old = Db::connect(folder, None).await?;
    if old.schema().await? == 0 {
        return Err(StoreError::NotInitialised(folder.display().to_string()));
    }
    if let Some(what) = old.meta(ARRIVING).await? {
        return Err(StoreError::Unfinished(what));
    }
    // The schemas must be the same, and a half-finished move is of today's.
    old.migrate(None).await?;
    let (to, mark) = (place_of(url)?, format!("moved from {}", install_of(&old).await?));
    if let Some(place) = old.meta(MOVED).await?
        && place != to
    {
        return Err(StoreError::Moved(place));
    }
    // Workers would go on with an installation that lies elsewhere. First the gate, then the look: none begins in between.
    let _gate = crate::worker::keep_out(folder)?;
    let live = crate::worker::live(folder);
    if !live.is_empty() {
        return Err(StoreError::InUse(live));
    }
    let mut from = Tx::write(&old).await?;
    let new = Db::open(folder, Some(url)).await?;
    if is_empty(&new).await? {
        let copy = folder.join(COPY);
        let head = dump::head(&old, now).await?;
        let (_, manifest) = dump::dump(&mut from, head, &copy).await?;
        at(Pause::Copied);
        let loaded = restore::load(&new, &copy, &manifest, &mark).await;
        drop(std::fs::remove_file(&copy));
        loaded?;
    } else if new.meta(ARRIVING).await?.as_deref() != Some(mark.as_str()) {
        return Err(StoreError::NotEmpty(to));
    }
    // Also when an earlier try brought the rows: the old one may have gone on since.
    let checkpoint = from.checkpoint().await?;
    let tables = walk(&mut from, |_| Ok(())).await?;
    let mut arrived = Tx::snapshot(&new).await?;
    if walk(&mut arrived, |_| Ok(())).await? != tables || arrived.checkpoint().await? != checkpoint {
        return Err(StoreError::NotEmpty(format!(
            "{to} holds an earlier copy, since which was written here: it"
        )));
    }
    drop(arrived);
    at(Pause::Arrived);
    let store = Store::unlock(new, folder, passphrase).await?;
    let ledger = store.verify(None, &[]).await?;
    if !ledger.ok || ledger.checkpoint != checkpoint {
        return Err(StoreError::Ledger(ledger.problems.join("; ")));
    }
    if old.meta(MOVED).await?.is_none() {
        from.set_meta(MOVED, Some(&to)).await?;
        from.freeze().await?;
    }
    from.commit().await?;
    at(Pause::Marked);
    let mut last = Tx::write(&store.db).await?;
    last.set_meta(ARRIVING, None).await?;
    last.commit().await?;
    store.db.close().await;
    old.close().await;
    Ok(Moved { to, entries: dump::entries_of(&checkpoint), tables, ledger })
}

async fn install_of(db: &Db) -> Result<String, StoreError> {
    db.meta("install").await?.ok_or_else(|| StoreError::NotInitialised(db.place()))
}

/// Host, port and database of a URL.
fn place_of(url: &str) -> Result<String, StoreError> {
    let options: sqlx::postgres::PgConnectOptions = url.parse()?;
    let database = options.get_database().unwrap_or("postgres").to_owned();
    Ok(format!("PostgreSQL at {}:{}/{database}", options.get_host(), options.get_port()))
}
