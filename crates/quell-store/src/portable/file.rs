//! Reading a backup that a stranger may have made: every length is bounded, and nothing is believed before the hash
//! of the whole fits.

use std::collections::BTreeMap;
use std::fs::File;
use std::io::{BufRead as _, BufReader, Read as _};
use std::path::Path;

use sha2::Digest as _;

use super::{FORMAT, Head, Line, Manifest, Sum, Value};
use crate::StoreError;

/// The longest line: evidence is the largest thing that is kept in one row.
const LINE_MAX: u64 = 512 << 20;

/// A backup whose every byte was read, and fits its manifest.
#[derive(Debug)]
pub(super) struct Checked {
    pub(super) head: Head,
    pub(super) manifest: Manifest,
    /// The rows of `meta`.
    pub(super) meta: BTreeMap<String, String>,
}

/// The lines of a file, hashed as they are read.
pub(super) struct Lines {
    from: BufReader<File>,
    hash: sha2::Sha256,
    number: u64,
}

impl Lines {
    pub(super) fn open(path: &Path) -> Result<Self, StoreError> {
        let file = File::open(path).map_err(|e| StoreError::io(path, e))?;
        let plain = file.metadata().is_ok_and(|about| about.is_file());
        if !plain {
            return Err(StoreError::Backup(format!("{} is not a file", path.display())));
        }
        Ok(Self { from: BufReader::new(file), hash: sha2::Sha256::new(), number: 0 })
    }

    /// The next line with its bytes.
    pub(super) fn next(&mut self) -> Result<Option<(Line, Vec<u8>)>, StoreError> {
        let mut bytes = Vec::new();
        let wrong = |number: u64, why: &str| StoreError::Backup(format!("line {number} {why}"));
        self.number += 1;
        (&mut self.from)
            .take(LINE_MAX)
            .read_until(b'\n', &mut bytes)
            .map_err(|e| wrong(self.number, &format!("cannot be read: {e}")))?;
        if bytes.is_empty() {
            return Ok(None);
        }
        if bytes.last() != Some(&b'\n') {
            return Err(wrong(self.number, "does not end: the file was cut off, or is no backup"));
        }
        // What serde says may repeat a part of the line, and a line is data of others.
        let line: Line = serde_json::from_slice(&bytes)
            .map_err(|_e| wrong(self.number, "is not a line of a backup of this version"))?;
        Ok(Some((line, bytes)))
    }
}

/// Reads the whole file before anything is done with it.
pub(super) fn check(path: &Path) -> Result<Checked, StoreError> {
    let wrong = |why: &str| StoreError::Backup(format!("{}: {why}", path.display()));
    let mut lines = Lines::open(path)?;
    let Some((Line::Head(head), bytes)) = lines.next()? else {
        return Err(wrong("it does not begin as a backup does"));
    };
    if head.format != FORMAT {
        return Err(wrong(
            "it was made by another version of the format; use the quell that made it, or a newer one",
        ));
    }
    lines.hash.update(&bytes);
    let mut sums: BTreeMap<String, (u64, sha2::Sha256)> = BTreeMap::new();
    let (mut meta, mut current) = (BTreeMap::new(), None::<String>);
    // Checkpoints come in the order of their sizes.
    let mut checkpoint = None;
    loop {
        let Some((line, bytes)) = lines.next()? else {
            return Err(wrong("its end is missing: it was cut off while it was written or copied"));
        };
        match line {
            Line::Head(_) => return Err(wrong("it has two heads")),
            Line::Table { name, .. } => {
                let mut hash = sha2::Sha256::new();
                hash.update(&bytes);
                if sums.insert(name.clone(), (0, hash)).is_some() {
                    return Err(wrong("it has a table twice"));
                }
                current = Some(name);
            }
            Line::Row(row) => {
                let Some((rows, hash)) = current.as_ref().and_then(|name| sums.get_mut(name)) else {
                    return Err(wrong("it has a row before its table"));
                };
                *rows += 1;
                hash.update(&bytes);
                if current.as_deref() == Some("meta")
                    && let [Value::Text(name), Value::Text(value)] = row.as_slice()
                {
                    meta.insert(name.clone(), value.clone());
                }
                if current.as_deref() == Some("checkpoint") {
                    checkpoint = row.into_iter().nth(1);
                }
            }
            Line::Manifest(manifest) => {
                let found: BTreeMap<String, Sum> = sums
                    .into_iter()
                    .map(|(name, (rows, hash))| (name, Sum { rows, sha256: hex::encode(hash.finalize()) }))
                    .collect();
                let same = hex::encode(lines.hash.finalize_reset()) == manifest.sha256
                    && found == manifest.tables
                    && checkpoint == Some(Value::Text(manifest.checkpoint.clone()));
                if !same {
                    return Err(wrong("it is not what its manifest says: it was changed or damaged"));
                }
                if lines.next()?.is_some() {
                    return Err(wrong("something follows its end"));
                }
                return Ok(Checked { head, manifest, meta });
            }
        }
        lines.hash.update(&bytes);
    }
}
