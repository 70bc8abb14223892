//! `quell backup`: one moment of the installation, while others write.

use std::fs::File;
use std::io::{BufWriter, Write as _};
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::{Path, PathBuf};

use jiff::Timestamp;
use quell_ledger::Checkpoint;
use serde::Serialize;
use sha2::Digest as _;

use super::{FORMAT, Head, Line, Manifest, Tx, walk};
use crate::keys::KekRecord;
use crate::{Db, StoreError};

/// A backup that was written.
#[derive(Debug, Serialize)]
pub struct Backup {
    /// Where.
    pub path: PathBuf,
    /// Entries of the ledger in it.
    pub entries: u64,
    /// What is in it.
    pub manifest: Manifest,
    /// The key file that it is worthless without; none when the key comes from a passphrase.
    pub key_file: Option<String>,
}

/// Writes everything into `to`, which must not be there: a file, or in a folder a file named after the installation
/// and the ledger's size. Needs no key.
pub async fn backup(db: &Db, to: &Path, now: Timestamp) -> Result<Backup, StoreError> {
    let mut tx = Tx::snapshot(db).await?;
    let head = head(db, now).await?;
    let beside = part_of(to)?;
    let done = dump(&mut tx, head, &beside).await;
    let (head, manifest) = match done {
        Ok(done) => done,
        Err(error) => {
            // Best effort: what is left is named `.part`, and has no end.
            drop(std::fs::remove_file(&beside));
            return Err(error);
        }
    };
    let entries = entries_of(&manifest.checkpoint);
    let path =
        if to.is_dir() { to.join(format!("quell-{}-{entries}.backup", head.install)) } else { to.to_owned() };
    let io = |e| StoreError::io(&path, e);
    let placed = place(&beside, &path).map_err(io);
    drop(std::fs::remove_file(&beside));
    placed?;
    let folder = path.parent().filter(|p| !p.as_os_str().is_empty()).unwrap_or(Path::new("."));
    File::open(folder).and_then(|f| f.sync_all()).map_err(|e| StoreError::io(folder, e))?;
    let record = db.meta("kek").await?.and_then(|text| serde_json::from_str::<KekRecord>(&text).ok());
    let key_file = match record {
        Some(KekRecord::File { path, .. }) => Some(path),
        Some(KekRecord::Passphrase { .. }) | None => None,
    };
    Ok(Backup { path, entries, manifest, key_file })
}

/// A name of its own, so that two backups at once do not write into one file.
fn part_of(to: &Path) -> Result<PathBuf, StoreError> {
    let mut random = [0_u8; 6];
    getrandom::fill(&mut random).map_err(|e| StoreError::Kek(format!("no randomness: {e}")))?;
    let name = format!(".quell-{}.part", hex::encode(random));
    Ok(if to.is_dir() { to.join(name) } else { to.with_file_name(name) })
}

/// Gives a whole file its name, which nothing else may have.
fn place(beside: &Path, path: &Path) -> std::io::Result<()> {
    match std::fs::hard_link(beside, path) {
        Err(error) if error.kind() == std::io::ErrorKind::AlreadyExists => Err(error),
        // A file system without links.
        Err(_) if !path.exists() => std::fs::rename(beside, path),
        done => done,
    }
}

/// How many entries a checkpoint is over.
pub(super) fn entries_of(checkpoint: &str) -> u64 {
    Checkpoint::parse_unverified(checkpoint).map_or(0, |checkpoint| checkpoint.size)
}

pub(super) async fn head(db: &Db, now: Timestamp) -> Result<Head, StoreError> {
    let install = db.meta("install").await?.ok_or_else(|| StoreError::NotInitialised(db.place()))?;
    // It becomes a part of a file's name.
    if !install.bytes().all(|b| b.is_ascii_alphanumeric()) {
        return Err(StoreError::Backup("the installation's id is damaged".to_owned()));
    }
    Ok(Head { format: FORMAT, schema: db.schema().await?, install, made_at: now })
}

/// Writes a whole file at `to` and makes it durable.
pub(super) async fn dump(tx: &mut Tx, head: Head, to: &Path) -> Result<(Head, Manifest), StoreError> {
    let io = |e| StoreError::io(to, e);
    // One that a crash left behind is no backup.
    drop(std::fs::remove_file(to));
    let file = std::fs::OpenOptions::new().write(true).create_new(true).mode(0o600).open(to).map_err(io)?;
    let mut out = BufWriter::with_capacity(1 << 20, file);
    let mut hash = sha2::Sha256::new();
    let first = Line::Head(head.clone()).bytes()?;
    hash.update(&first);
    out.write_all(&first).map_err(io)?;
    let tables = walk(tx, |bytes| {
        hash.update(bytes);
        out.write_all(bytes).map_err(io)
    })
    .await?;
    let checkpoint = tx.checkpoint().await?;
    let manifest = Manifest { tables, checkpoint, sha256: hex::encode(hash.finalize()) };
    out.write_all(&Line::Manifest(manifest.clone()).bytes()?).map_err(io)?;
    let file = out.into_inner().map_err(|e| io(e.into_error()))?;
    file.sync_all().map_err(io)?;
    Ok((head, manifest))
}
