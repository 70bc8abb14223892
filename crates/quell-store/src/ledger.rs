//! Appending and reading entries.

use std::sync::Arc;

use jiff::Timestamp;
use quell_core::event::{Actor, Entry, Event, EvidenceRef};
use quell_ledger::proof::Proof;
use quell_ledger::tree::{self, Frontier, Hash};
use quell_ledger::{Checkpoint, SigningKey};
use sha2::Digest as _;

use crate::asked::{Asked, STILL_HELD};
use crate::db::{in_write, on_db};
use crate::keys::KekRecord;
use crate::sealed::{Kek, from_row};
use crate::{Sealed, Store, StoreError};

/// An entry before it has a place.
#[derive(Clone, Debug)]
pub struct NewEntry {
    /// Who.
    pub actor: Actor,
    /// What.
    pub event: Event,
    /// Content kept outside the entry, by name.
    pub evidence: Vec<(String, Vec<u8>)>,
}

impl NewEntry {
    /// An entry without evidence.
    pub fn new(actor: Actor, event: Event) -> Self {
        Self { actor, event, evidence: Vec::new() }
    }
}

/// What is written together: entries of one stream, the values sealed with them.
#[derive(Clone, Debug)]
pub struct Batch {
    stream: String,
    expected_pos: u64,
    pub(crate) expected_seq: Option<u64>,
    entries: Vec<NewEntry>,
    /// Values that the entries speak of.
    pub sealed: Vec<Sealed>,
    pub(crate) meta: Vec<(String, String)>,
    /// Re-wrap every data key under this one, and add the entry that says so.
    pub(crate) rotate: Option<Arc<Kek>>,
}

impl Batch {
    /// `expected_pos` is the next free position of the stream as the caller knows it.
    pub fn new(stream: impl std::fmt::Display, expected_pos: u64) -> Self {
        Self {
            stream: stream.to_string(),
            expected_pos,
            expected_seq: None,
            entries: Vec::new(),
            sealed: Vec::new(),
            meta: Vec::new(),
            rotate: None,
        }
    }

    /// Adds one entry.
    pub fn push(&mut self, entry: NewEntry) {
        self.entries.push(entry);
    }

    /// True when there is nothing to write.
    pub fn is_empty(&self) -> bool {
        self.entries.is_empty()
    }
}

/// One entry with everything that is stored beside it.
struct Row {
    entry: Entry,
    bytes: Vec<u8>,
    leaf: Hash,
    nodes: Vec<(u8, u64, Hash)>,
    evidence: Vec<(String, Vec<u8>)>,
}

pub(crate) const KEYS: &str = "SELECT name, value FROM meta WHERE name IN ('kek', 'ledger-key', 'moved-to')";
const ALL_SEALED: &str = "SELECT id, kek, wrapped, body FROM sealed ORDER BY id";
const REWRAP: &str = "UPDATE sealed SET kek = $1, wrapped = $2 WHERE id = $3";
const LAST: &str = "SELECT seq, at_us FROM event ORDER BY seq DESC LIMIT 1";
const LAST_POS: &str = "SELECT pos FROM event WHERE stream = $1 ORDER BY pos DESC LIMIT 1";
const NODE: &str = "SELECT hash FROM node WHERE level = $1 AND idx = $2";
const INSERT_EVENT: &str =
    "INSERT INTO event (seq, stream, pos, kind, at_us, entry, leaf) VALUES ($1, $2, $3, $4, $5, $6, $7)";
const INSERT_NODE: &str = "INSERT INTO node (level, idx, hash) VALUES ($1, $2, $3)";
const INSERT_CHECKPOINT: &str = "INSERT INTO checkpoint (size, note) VALUES ($1, $2)";
const INSERT_SEALED: &str = "INSERT INTO sealed (id, kek, wrapped, body) VALUES ($1, $2, $3, $4)";
const INSERT_EVIDENCE: &str =
    "INSERT INTO evidence (sha256, body) VALUES ($1, $2) ON CONFLICT (sha256) DO NOTHING";
const UPSERT_META: &str =
    "INSERT INTO meta (name, value) VALUES ($1, $2) ON CONFLICT (name) DO UPDATE SET value = excluded.value";

fn signed(value: u64) -> i64 {
    i64::try_from(value).unwrap_or(i64::MAX)
}

impl Store {
    /// Appends all or nothing. Entries get their numbers and times here; times never go back, even if the clock does.
    pub async fn append(&self, batch: Batch, now: Timestamp) -> Result<Vec<Entry>, StoreError> {
        self.append_signed(batch, now, &self.keys.signing).await
    }

    /// Appends one entry at the end of a stream, whatever others do meanwhile.
    pub async fn append_to_end(
        &self,
        stream: &str,
        entry: NewEntry,
        now: Timestamp,
    ) -> Result<Entry, StoreError> {
        loop {
            let mut batch = Batch::new(stream, self.next_pos(stream).await?);
            batch.push(entry.clone());
            match self.append(batch, now).await {
                Ok(mut entries) => {
                    return entries
                        .pop()
                        .ok_or_else(|| StoreError::Ledger("nothing was appended".to_owned()));
                }
                Err(StoreError::Conflict { .. }) => {}
                Err(error) => return Err(error),
            }
        }
    }

    pub(crate) async fn append_signed(
        &self,
        mut batch: Batch,
        now: Timestamp,
        key: &SigningKey,
    ) -> Result<Vec<Entry>, StoreError> {
        // One appender per process at a time: SQLite would make them wait anyway, and the frontier stays warm.
        let mut cached = self.frontier.lock().await;
        let asked = Asked::current();
        let rows = in_write!(&self.db, tx => {
            if let Some(Asked { kind, id, worker }) = &asked {
                let still = sqlx::query(STILL_HELD).bind(kind).bind(id).bind(worker).execute(&mut *tx).await?;
                if still.rows_affected() == 0 {
                    return Err(StoreError::CutOff);
                }
            }
            let held = sqlx::query_as::<_, (String, String)>(KEYS).fetch_all(&mut *tx).await?;
            self.keys_still_hold(&held)?;
            let last = sqlx::query_as::<_, (i64, i64)>(LAST).fetch_optional(&mut *tx).await?;
            let size = last.map_or(0, |(seq, _)| u64::try_from(seq).unwrap_or(0) + 1);
            let last_pos = sqlx::query_scalar::<_, i64>(LAST_POS).bind(&batch.stream).fetch_optional(&mut *tx).await?;
            let found = last_pos.map_or(0, |p| u64::try_from(p).unwrap_or(0) + 1);
            if found != batch.expected_pos || batch.expected_seq.is_some_and(|s| s != size) {
                return Err(StoreError::Conflict { stream: batch.stream, expected: batch.expected_pos, found });
            }
            if cached.size() != size {
                let mut nodes = Vec::new();
                for (level, idx) in tree::needs_root(size) {
                    let hash = sqlx::query_scalar::<_, Vec<u8>>(NODE)
                        .bind(i64::from(level)).bind(signed(idx)).fetch_optional(&mut *tx).await?;
                    nodes.push(((level, idx), hash.and_then(|h| Hash::try_from(h).ok())));
                }
                *cached = Frontier::load(size, &mut |level, idx| {
                    nodes.iter().find(|(at, _)| *at == (level, idx)).and_then(|(_, hash)| *hash)
                        .ok_or_else(|| StoreError::Ledger(format!("node {level}/{idx} is missing")))
                })?;
            }
            if let Some(new) = &batch.rotate {
                let mut rewrapped = 0_u64;
                for row in sqlx::query_as::<_, (String, String, Vec<u8>, Vec<u8>)>(ALL_SEALED).fetch_all(&mut *tx).await? {
                    let sealed = self.keys.kek.rewrap(&from_row(row), new)?;
                    sqlx::query(REWRAP).bind(&sealed.kek).bind(&sealed.wrapped).bind(&sealed.id).execute(&mut *tx).await?;
                    rewrapped += 1;
                }
                let event = Event::KekRotated { from: self.keys.kek.id.clone(), to: new.id.clone(), rewrapped };
                batch.entries.push(NewEntry::new(Actor::engine("keys"), event));
            }
            let mut frontier = cached.clone();
            let not_before = last.and_then(|(_, us)| Timestamp::from_microsecond(us).ok()).unwrap_or(Timestamp::UNIX_EPOCH);
            let rows = lay_out(&batch, size, now.max(not_before), &mut frontier)?;
            for row in &rows {
                sqlx::query(INSERT_EVENT)
                    .bind(signed(row.entry.seq)).bind(&row.entry.stream).bind(signed(row.entry.pos))
                    .bind(row.entry.event.kind()).bind(row.entry.at.as_microsecond())
                    .bind(&row.bytes).bind(row.leaf.as_slice())
                    .execute(&mut *tx).await?;
                for (level, idx, hash) in &row.nodes {
                    sqlx::query(INSERT_NODE).bind(i64::from(*level)).bind(signed(*idx)).bind(hash.as_slice())
                        .execute(&mut *tx).await?;
                }
                for (sha256, body) in &row.evidence {
                    sqlx::query(INSERT_EVIDENCE).bind(sha256).bind(body).execute(&mut *tx).await?;
                }
            }
            let checkpoint = Checkpoint { origin: self.origin().to_owned(), size: frontier.size(), root: frontier.root() };
            let note = checkpoint.sign(&[key]).map_err(|e| StoreError::Ledger(e.to_string()))?;
            sqlx::query(INSERT_CHECKPOINT).bind(signed(checkpoint.size)).bind(note).execute(&mut *tx).await?;
            for sealed in &batch.sealed {
                sqlx::query(INSERT_SEALED).bind(&sealed.id).bind(&sealed.kek).bind(&sealed.wrapped).bind(&sealed.body)
                    .execute(&mut *tx).await?;
            }
            for (name, value) in &batch.meta {
                sqlx::query(UPSERT_META).bind(name).bind(value).execute(&mut *tx).await?;
            }
            // If the commit fails the sizes differ and the next append loads it from the database again.
            *cached = frontier;
            rows
        });
        Ok(rows.into_iter().map(|row| row.entry).collect())
    }

    /// Another process may have rotated the keys since we read them: what we would seal could never be opened, and
    /// what we would sign could not be verified.
    pub(crate) fn keys_still_hold(&self, held: &[(String, String)]) -> Result<(), StoreError> {
        for (name, value) in held {
            let same = match name.as_str() {
                "kek" => serde_json::from_str::<KekRecord>(value)
                    .is_ok_and(|record| record.id() == self.keys.kek.id),
                crate::portable::MOVED => return Err(StoreError::Moved(value.clone())),
                _ => value.parse() == Ok(self.keys.number),
            };
            if !same {
                return Err(StoreError::KeysRotated);
            }
        }
        Ok(())
    }

    /// The next free position of a stream.
    pub async fn next_pos(&self, stream: &str) -> Result<u64, StoreError> {
        let last = on_db!(&self.db, pool => sqlx::query_scalar::<_, i64>(LAST_POS).bind(stream).fetch_optional(pool).await?);
        Ok(last.map_or(0, |p| u64::try_from(p).unwrap_or(0) + 1))
    }

    /// The entries of one stream from a position on, in order.
    pub async fn read_stream(&self, stream: &str, from: u64) -> Result<Vec<Entry>, StoreError> {
        // A connection that is cut is no answer; reading again on another one harms nobody.
        let mut tries = 1;
        loop {
            match self.read_stream_once(stream, from).await {
                Err(error) if error.is_away() && tries < 3 => tries += 1,
                done => return done,
            }
        }
    }

    async fn read_stream_once(&self, stream: &str, from: u64) -> Result<Vec<Entry>, StoreError> {
        const SQL: &str = "SELECT seq, entry FROM event WHERE stream = $1 AND pos >= $2 ORDER BY pos";
        let rows = on_db!(&self.db, pool => {
            sqlx::query_as::<_, (i64, Vec<u8>)>(SQL).bind(stream).bind(signed(from)).fetch_all(pool).await?
        });
        rows.iter().map(decode).collect()
    }

    /// Every entry from a number on, at most `limit`.
    pub async fn read_all(&self, from: u64, limit: i64) -> Result<Vec<Entry>, StoreError> {
        const SQL: &str = "SELECT seq, entry FROM event WHERE seq >= $1 ORDER BY seq LIMIT $2";
        let rows = on_db!(&self.db, pool => {
            sqlx::query_as::<_, (i64, Vec<u8>)>(SQL).bind(signed(from)).bind(limit).fetch_all(pool).await?
        });
        rows.iter().map(decode).collect()
    }

    /// Entries of one kind from a number on, in order, at most `limit`.
    pub async fn read_kind(&self, kind: &str, from: u64, limit: i64) -> Result<Vec<Entry>, StoreError> {
        const SQL: &str = "SELECT seq, entry FROM event WHERE kind = $1 AND seq >= $2 ORDER BY seq LIMIT $3";
        let rows = on_db!(&self.db, pool => {
            sqlx::query_as::<_, (i64, Vec<u8>)>(SQL).bind(kind).bind(signed(from)).bind(limit).fetch_all(pool).await?
        });
        rows.iter().map(decode).collect()
    }

    /// One entry.
    pub async fn read_one(&self, seq: u64) -> Result<Option<Entry>, StoreError> {
        const SQL: &str = "SELECT seq, entry FROM event WHERE seq = $1";
        let row = on_db!(&self.db, pool => {
            sqlx::query_as::<_, (i64, Vec<u8>)>(SQL).bind(signed(seq)).fetch_optional(pool).await?
        });
        row.as_ref().map(decode).transpose()
    }

    /// The raw bytes of one stream's entries, with their numbers.
    pub async fn raw_stream(&self, stream: &str) -> Result<Vec<(u64, Vec<u8>)>, StoreError> {
        const SQL: &str = "SELECT seq, entry FROM event WHERE stream = $1 ORDER BY pos";
        let rows = on_db!(&self.db, pool => sqlx::query_as::<_, (i64, Vec<u8>)>(SQL).bind(stream).fetch_all(pool).await?);
        Ok(rows.into_iter().map(|(seq, bytes)| (u64::try_from(seq).unwrap_or(0), bytes)).collect())
    }

    /// Entries as they are stored: of one stream from a position on, or of all from a number on; at most `limit`.
    pub async fn raw_from(
        &self,
        stream: Option<&str>,
        from: u64,
        limit: i64,
    ) -> Result<Vec<Vec<u8>>, StoreError> {
        const ALL: &str = "SELECT entry FROM event WHERE seq >= $1 ORDER BY seq LIMIT $2";
        const ONE: &str = "SELECT entry FROM event WHERE stream = $1 AND pos >= $2 ORDER BY pos LIMIT $3";
        Ok(on_db!(&self.db, pool => match stream {
            None => sqlx::query_scalar::<_, Vec<u8>>(ALL).bind(signed(from)).bind(limit).fetch_all(pool).await?,
            Some(stream) => sqlx::query_scalar::<_, Vec<u8>>(ONE).bind(stream).bind(signed(from)).bind(limit).fetch_all(pool).await?,
        }))
    }

    /// Names of all streams, in order.
    pub async fn streams(&self) -> Result<Vec<String>, StoreError> {
        const SQL: &str = "SELECT DISTINCT stream FROM event ORDER BY stream";
        Ok(on_db!(&self.db, pool => sqlx::query_scalar::<_, String>(SQL).fetch_all(pool).await?))
    }

    /// The newest checkpoint: its size and the signed note.
    pub async fn checkpoint(&self) -> Result<Option<(u64, String)>, StoreError> {
        const SQL: &str = "SELECT size, note FROM checkpoint ORDER BY size DESC LIMIT 1";
        let row =
            on_db!(&self.db, pool => sqlx::query_as::<_, (i64, String)>(SQL).fetch_optional(pool).await?);
        Ok(row.map(|(size, note)| (u64::try_from(size).unwrap_or(0), note)))
    }

    /// Evidence by content.
    pub async fn evidence(&self, sha256: &str) -> Result<Option<Vec<u8>>, StoreError> {
        const SQL: &str = "SELECT body FROM evidence WHERE sha256 = $1";
        Ok(
            on_db!(&self.db, pool => sqlx::query_scalar::<_, Vec<u8>>(SQL).bind(sha256).fetch_optional(pool).await?),
        )
    }

    /// The audit path of one entry under a checkpoint of `size`.
    pub async fn inclusion(&self, seq: u64, size: u64, checkpoint: &str) -> Result<Proof, StoreError> {
        let wrong = |e: &dyn std::fmt::Display| StoreError::Ledger(e.to_string());
        let mut nodes = Vec::new();
        for (level, idx) in tree::needs_inclusion(seq, size) {
            let hash = on_db!(&self.db, pool => {
                sqlx::query_scalar::<_, Vec<u8>>(NODE).bind(i64::from(level)).bind(signed(idx)).fetch_optional(pool).await?
            });
            nodes.push(((level, idx), hash.and_then(|h| Hash::try_from(h).ok())));
        }
        let path = tree::inclusion_proof(seq, size, &mut |level, idx| {
            let found = nodes.iter().find(|(at, _)| *at == (level, idx)).and_then(|(_, hash)| *hash);
            found.ok_or_else(|| format!("node {level}/{idx} is missing"))
        })
        .map_err(|e| wrong(&e))?;
        Ok(Proof { index: seq, path, checkpoint: checkpoint.to_owned() })
    }
}

pub(crate) fn decode((seq, bytes): &(i64, Vec<u8>)) -> Result<Entry, StoreError> {
    Entry::from_bytes(u64::try_from(*seq).unwrap_or(0), bytes).map_err(|e| StoreError::Ledger(e.to_string()))
}

fn lay_out(batch: &Batch, size: u64, at: Timestamp, frontier: &mut Frontier) -> Result<Vec<Row>, StoreError> {
    // Whole microseconds, so that the time in the entry and the look-up column are the same.
    let at = Timestamp::from_microsecond(at.as_microsecond()).unwrap_or(at);
    let mut rows = Vec::with_capacity(batch.entries.len());
    for (offset, new) in (0_u64..).zip(&batch.entries) {
        let mut evidence = Vec::new();
        let mut refs = Vec::new();
        for (name, body) in &new.evidence {
            let sha256 = hex::encode(sha2::Sha256::digest(body));
            refs.push(EvidenceRef {
                sha256: sha256.clone(),
                size: u64::try_from(body.len()).unwrap_or(0),
                name: name.clone(),
            });
            evidence.push((sha256, body.clone()));
        }
        let entry = Entry {
            seq: size + offset,
            at,
            stream: batch.stream.clone(),
            pos: batch.expected_pos + offset,
            actor: new.actor.clone(),
            evidence: refs,
            event: new.event.clone(),
        };
        let bytes = entry.to_bytes().map_err(|e| StoreError::Ledger(e.to_string()))?;
        let leaf = quell_ledger::leaf_hash(&bytes);
        let nodes = frontier.push(leaf);
        rows.push(Row { entry, bytes, leaf, nodes, evidence });
    }
    Ok(rows)
}
