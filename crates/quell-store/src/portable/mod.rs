//! Everything an installation holds, in one file that either database can be restored from: `quell backup`,
//! `quell restore`, `quell move`.
//!
//! The file is lines of JSON: a head, then for each table its columns and its rows in the order of the primary key,
//! then a manifest with the newest checkpoint, each table's count and hash, and the hash of everything before it. A file
//! without its last line is no backup. It names no paths, and nothing in it is executed. Values are in it as they lie
//! in the database: sealed. The key-encryption key never is.

mod dump;
mod file;
mod moving;
mod restore;
mod table;

#[cfg(test)]
mod tests;

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

pub use dump::{Backup, backup};
pub use moving::{Moved, Pause, move_to};
pub use restore::{Restore, Restored, restore};

use crate::{Db, StoreError};
use table::{Tx, Value};

/// The version of the format.
const FORMAT: u32 = 1;

/// Rows of `meta` that say something about one database and not about the installation.
pub(crate) const MOVED: &str = "moved-to";
/// In a copy that is not complete yet.
pub(crate) const ARRIVING: &str = "arriving";

/// One line of the file.
#[derive(Debug, Deserialize, Serialize)]
#[serde(rename_all = "kebab-case")]
enum Line {
    Head(Head),
    Manifest(Manifest),
    Row(Vec<Value>),
    Table { name: String, columns: Vec<String> },
}

#[derive(Clone, Debug, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
struct Head {
    format: u32,
    /// The version of the schema.
    schema: i64,
    install: String,
    made_at: jiff::Timestamp,
}

/// What is in a backup.
#[derive(Clone, Debug, Deserialize, Eq, PartialEq, Serialize)]
#[serde(deny_unknown_fields)]
pub struct Manifest {
    /// Each table with its count and hash.
    pub tables: BTreeMap<String, Sum>,
    /// The newest signed checkpoint.
    pub checkpoint: String,
    /// SHA-256 of everything before the manifest.
    sha256: String,
}

/// A table's rows, counted and hashed.
#[derive(Clone, Debug, Deserialize, Eq, PartialEq, Serialize)]
#[serde(deny_unknown_fields)]
pub struct Sum {
    /// How many.
    pub rows: u64,
    /// SHA-256 over its lines.
    pub sha256: String,
}

impl Line {
    fn bytes(&self) -> Result<Vec<u8>, StoreError> {
        let mut bytes = serde_json::to_vec(self).map_err(|e| StoreError::Backup(e.to_string()))?;
        bytes.push(b'\n');
        Ok(bytes)
    }
}

/// Reads every row of every table in one order, gives each line to `sink`, and sums up. Marks are left out.
async fn walk(
    tx: &mut Tx,
    mut sink: impl FnMut(&[u8]) -> Result<(), StoreError>,
) -> Result<BTreeMap<String, Sum>, StoreError> {
    use sha2::Digest as _;
    let mut sums = BTreeMap::new();
    for table in tx.tables().await? {
        let columns = table.names().into_iter().map(str::to_owned).collect();
        let title = Line::Table { name: table.name.clone(), columns }.bytes()?;
        sink(&title)?;
        let mut hash = sha2::Sha256::new();
        hash.update(&title);
        let (mut rows, mut last) = (0, None::<Vec<Value>>);
        loop {
            let page = tx.page(&table, last.as_deref()).await?;
            if page.is_empty() {
                break;
            }
            last = page.last().cloned();
            for row in page {
                if table.name == "meta" && is_mark(&row) {
                    continue;
                }
                let line = Line::Row(row).bytes()?;
                hash.update(&line);
                sink(&line)?;
                rows += 1;
            }
        }
        sums.insert(table.name, Sum { rows, sha256: hex::encode(hash.finalize()) });
    }
    Ok(sums)
}

fn is_mark(row: &[Value]) -> bool {
    matches!(row.first(), Some(Value::Text(name)) if name == MOVED || name == ARRIVING)
}

/// No row in any table, or no table at all.
async fn is_empty(db: &Db) -> Result<bool, StoreError> {
    let mut tx = Tx::snapshot(db).await?;
    for table in tx.tables().await? {
        if !tx.page(&table, None).await?.is_empty() {
            return Ok(false);
        }
    }
    Ok(true)
}
