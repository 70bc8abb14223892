//! `quell restore`: a backup becomes an installation again, verified before it may be used.

use std::path::{Path, PathBuf};

use quell_core::secret::SecretValue;
use quell_ledger::VerifierKey;
use serde::Serialize;

use super::file::{Checked, Lines, check};
use super::{ARRIVING, Line, Manifest, Tx, dump, is_empty, table, walk};
use crate::keys::{KekRecord, make_folder, read_key, write_new};
use crate::sealed::Kek;
use crate::{Db, LedgerReport, Store, StoreError};

/// What to restore, and how to tell that it is all there.
#[derive(Debug)]
pub struct Restore<'a> {
    /// The backup.
    pub from: &'a Path,
    /// The data folder, which must be empty or missing for an embedded installation.
    pub folder: &'a Path,
    /// `postgres://…` for a shared one; the database must be empty.
    pub url: Option<&'a str>,
    /// The key file, when the key comes from one.
    pub key_file: Option<&'a Path>,
    /// The ledger's key as it was kept outside.
    pub trusted: Option<VerifierKey>,
    /// Checkpoints that were kept outside.
    pub kept: &'a [String],
}

/// What was restored.
#[derive(Debug, Serialize)]
pub struct Restored {
    /// When the backup was made.
    pub made_at: jiff::Timestamp,
    /// Entries of the ledger.
    pub entries: u64,
    /// What is in it.
    pub manifest: Manifest,
    /// The ledger's verification.
    pub ledger: LedgerReport,
}

/// Restores, verifies the whole ledger, and only then lets it be used.
pub async fn restore(
    what: &Restore<'_>,
    passphrase: impl FnOnce() -> Result<SecretValue, StoreError>,
) -> Result<Restored, StoreError> {
    let checked = check(what.from)?;
    let newest = crate::db::newest();
    if checked.head.schema > newest {
        return Err(StoreError::Newer { there: checked.head.schema, known: newest });
    }
    older_than_kept(&checked.manifest, what.kept)?;
    let key = key_file(&checked, what)?;
    if what.url.is_none() && std::fs::read_dir(what.folder).is_ok_and(|mut found| found.next().is_some()) {
        return Err(StoreError::NotEmpty(what.folder.display().to_string()));
    }
    make_folder(what.folder)?;
    let db = Db::connect(what.folder, what.url).await?;
    if db.schema().await? > checked.head.schema || !is_empty(&db).await? {
        return Err(StoreError::NotEmpty(db.place()));
    }
    if let Some((path, text)) = key {
        make_folder(path.parent().unwrap_or(what.folder))?;
        write_new(&path, &text)?;
    }
    db.migrate(Some(checked.head.schema)).await?;
    load(&db, what.from, &checked.manifest, &format!("restored from a backup of {}", checked.head.made_at))
        .await?;
    db.migrate(None).await?;
    let store = Store::unlock(db, what.folder, passphrase).await?;
    let ledger = store.verify(what.trusted.clone(), what.kept).await?;
    if !ledger.ok || ledger.checkpoint != checked.manifest.checkpoint {
        let mut why = ledger.problems.join("; ");
        if why.is_empty() {
            why.push_str("its newest checkpoint is another one than the manifest's");
        }
        return Err(StoreError::Backup(format!("its ledger does not verify: {why}")));
    }
    let mut tx = Tx::write(&store.db).await?;
    tx.set_meta(ARRIVING, None).await?;
    tx.commit().await?;
    store.db.close().await;
    let entries = dump::entries_of(&checked.manifest.checkpoint);
    Ok(Restored { made_at: checked.head.made_at, entries, manifest: checked.manifest, ledger })
}

/// A checkpoint that was kept outside and is over more entries: what came after the backup is not in it.
fn older_than_kept(manifest: &Manifest, kept: &[String]) -> Result<(), StoreError> {
    let entries = dump::entries_of(&manifest.checkpoint);
    for note in kept {
        let size = quell_ledger::Checkpoint::parse_unverified(note)
            .map_err(|e| StoreError::Ledger(format!("the kept checkpoint: {e}")))?
            .size;
        if size > entries {
            return Err(StoreError::Backup(format!(
                "it is over {entries} entries, and a checkpoint that you kept is over {size}: what came between would be missing, and going on would be a fork of the ledger"
            )));
        }
    }
    Ok(())
}

/// A place and what belongs there.
type KeyFile = (PathBuf, zeroize::Zeroizing<Vec<u8>>);

/// Where the key file belongs and what is in it, if it must be put there. It is tried before anything is made.
fn key_file(checked: &Checked, what: &Restore<'_>) -> Result<Option<KeyFile>, StoreError> {
    let record = checked.meta.get("kek").and_then(|text| serde_json::from_str(text).ok());
    let (id, path) = match record {
        Some(KekRecord::File { id, path }) => (id, path),
        Some(KekRecord::Passphrase { .. }) => return Ok(None),
        None => return Err(StoreError::Backup("it does not say which key it was sealed with".to_owned())),
    };
    let place = what.folder.join(&path);
    let given = match (what.key_file, place.is_file()) {
        (Some(given), _) => given,
        (None, true) => &place,
        (None, false) => {
            return Err(StoreError::Kek(format!(
                "the backup was sealed with the key {id} of the file `{path}`; give that file with --key-file"
            )));
        }
    };
    let key = read_key(given)?;
    let text = zeroize::Zeroizing::new(hex::encode(key.as_slice()).into_bytes());
    if Kek::new(key).id != id {
        return Err(StoreError::Kek(format!(
            "{} is not the key {id} that the backup was sealed with",
            given.display()
        )));
    }
    if place.is_file() {
        return Ok(None);
    }
    // A backup of a stranger does not choose where files are written: below the data folder, by its own name.
    if !is_plain(&path) {
        return Err(StoreError::Kek(format!("put the key file at {} first", place.display())));
    }
    Ok(Some((place, text)))
}

fn is_plain(path: &str) -> bool {
    Path::new(path).components().all(|part| matches!(part, std::path::Component::Normal(_)))
}

/// Puts every row into empty tables, in one transaction, and compares what is there afterwards.
pub(super) async fn load(db: &Db, from: &Path, manifest: &Manifest, mark: &str) -> Result<(), StoreError> {
    let mut tx = Tx::write(db).await?;
    let tables = tx.tables().await?;
    for name in manifest.tables.keys() {
        if !tables.iter().any(|table| table.name == *name) {
            return Err(StoreError::Backup(format!(
                "it has a table `{name}` that this version does not know"
            )));
        }
    }
    let mut lines = Lines::open(from)?;
    let mut current: Option<&table::Table> = None;
    while let Some((line, _)) = lines.next()? {
        match line {
            Line::Head(_) | Line::Manifest(_) => {}
            Line::Table { name, columns } => {
                let table = tables.iter().find(|table| table.name == name);
                current = table.filter(|table| table.names() == columns);
                if current.is_none() {
                    return Err(StoreError::Backup(format!("its table `{name}` has other columns")));
                }
            }
            Line::Row(row) => {
                let table = current.ok_or_else(|| StoreError::Backup("a row has no table".to_owned()))?;
                tx.insert(table, &row).await?;
            }
        }
    }
    tx.set_meta(ARRIVING, Some(mark)).await?;
    let arrived = walk(&mut tx, |_| Ok(())).await?;
    if arrived != manifest.tables {
        let other: Vec<&str> = arrived
            .iter()
            .filter(|(name, sum)| manifest.tables.get(*name) != Some(sum))
            .map(|(name, _)| name.as_str())
            .collect();
        return Err(StoreError::Backup(format!("what arrived differs in {}", other.join(", "))));
    }
    tx.commit().await
}
