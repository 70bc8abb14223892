//! `quell ledger verify`: re-hashes everything and names what was changed, removed, reordered or added.

use quell_core::event::{Entry, Event};
use quell_ledger::VerifierKey;
use quell_ledger::tree::Frontier;
use quell_ledger::verify::{Findings, LogVerifier};
use serde::Serialize;
use sha2::Digest as _;

use crate::db::on_db;
use crate::{Store, StoreError};

/// What a full verification found.
#[derive(Debug, Serialize)]
pub struct LedgerReport {
    /// No problem at all.
    pub ok: bool,
    /// Entries read.
    pub entries: u64,
    /// Checkpoints checked.
    pub checkpoints: u64,
    /// The key trusted at the end.
    pub vkey: String,
    /// The newest checkpoint of what was verified; others may write meanwhile.
    pub checkpoint: String,
    /// Each problem, in words.
    pub problems: Vec<String>,
    /// Things to know that are not problems.
    pub warnings: Vec<String>,
}

/// Entries read at a time.
const PAGE: i64 = 500;

type EventRow = (i64, String, i64, String, i64, Vec<u8>, Vec<u8>);

impl Store {
    /// Verifies the whole ledger. `trusted` is the *current* key as kept outside; without it the genesis entry's
    /// own key is believed, and the report says so. `kept` are checkpoints that somebody else kept.
    pub async fn verify(
        &self,
        trusted: Option<VerifierKey>,
        kept: &[String],
    ) -> Result<LedgerReport, StoreError> {
        let mut problems = Vec::new();
        let first = self.first_key(&mut problems).await?;
        let mut verifier = LogVerifier::new(self.origin(), first, trusted);
        let mut frontier = Frontier::new();
        // Others write meanwhile, and entries and their checkpoint become visible together. So: every checkpoint that was there before the end was looked
        // for, whose entries must all be there; and those that came up to that end, so that no entry is without one.
        let mut checkpoints = self.checkpoints().await?;
        let end = self.size().await?;
        let seen = checkpoints.last().map_or(0, |(size, _)| *size);
        let newer = self.checkpoints().await?;
        checkpoints.extend(newer.into_iter().filter(|(size, _)| *size > seen && *size <= end));
        let newest = checkpoints.last().map(|(_, note)| note.clone()).unwrap_or_default();
        let mut kept_sizes = Vec::new();
        for note in kept {
            let size = quell_ledger::Checkpoint::parse_unverified(note)
                .map_err(|e| StoreError::Kept(e.to_string()))?
                .size;
            kept_sizes.push((size, note.clone()));
        }
        checkpoints.extend(kept_sizes);
        checkpoints.sort();
        let mut due = checkpoints.into_iter().peekable();
        let mut next = -1_i64;
        loop {
            const SQL: &str = "SELECT seq, stream, pos, kind, at_us, entry, leaf FROM event WHERE seq > $1 AND seq < $3 ORDER BY seq LIMIT $2";
            let end = i64::try_from(end).unwrap_or(i64::MAX);
            let rows = on_db!(&self.db, pool => {
                sqlx::query_as::<_, EventRow>(SQL).bind(next).bind(PAGE).bind(end).fetch_all(pool).await?
            });
            let Some(last) = rows.last() else { break };
            next = last.0;
            for row in &rows {
                let seq = u64::try_from(row.0).unwrap_or(u64::MAX);
                verifier.entry(seq, &row.5, &row.6);
                columns(row, &mut problems);
                self.check_row(seq, row, &mut frontier, &mut problems).await?;
                while let Some((_, note)) = due.next_if(|(size, _)| *size <= seq + 1) {
                    let size = quell_ledger::Checkpoint::parse_unverified(&note).map_or(seq + 1, |c| c.size);
                    verifier.checkpoint(size, note.as_bytes());
                }
            }
        }
        for (size, note) in due {
            verifier.checkpoint(size, note.as_bytes());
        }
        self.surplus(&mut problems).await?;
        Ok(report(&verifier.finish(), problems, newest))
    }

    /// The key in the genesis entry; if that is gone, the key we hold.
    async fn first_key(&self, problems: &mut Vec<String>) -> Result<VerifierKey, StoreError> {
        let ours = self.keys.signing.verifier().clone();
        match self.read_all(0, 1).await.as_deref() {
            Ok([Entry { event: Event::Genesis { vkey, .. }, .. }]) => match vkey.parse() {
                Ok(key) => Ok(key),
                Err(error) => {
                    problems.push(format!("entry 0: its key cannot be read: {error}"));
                    Ok(ours)
                }
            },
            Ok(_) => {
                problems.push("entry 0 is not a genesis entry".to_owned());
                Ok(ours)
            }
            Err(StoreError::Ledger(detail)) => {
                problems.push(detail.clone());
                Ok(ours)
            }
            Err(_) => Ok(ours),
        }
    }

    async fn checkpoints(&self) -> Result<Vec<(u64, String)>, StoreError> {
        const SQL: &str = "SELECT size, note FROM checkpoint ORDER BY size";
        let rows = on_db!(&self.db, pool => sqlx::query_as::<_, (i64, String)>(SQL).fetch_all(pool).await?);
        Ok(rows.into_iter().map(|(size, note)| (u64::try_from(size).unwrap_or(u64::MAX), note)).collect())
    }

    /// Tree nodes, evidence and sealed values that belong to one entry.
    async fn check_row(
        &self,
        seq: u64,
        row: &EventRow,
        frontier: &mut Frontier,
        problems: &mut Vec<String>,
    ) -> Result<(), StoreError> {
        const NODE: &str = "SELECT hash FROM node WHERE level = $1 AND idx = $2";
        for (level, idx, hash) in frontier.push(quell_ledger::leaf_hash(&row.5)) {
            let stored = on_db!(&self.db, pool => {
                sqlx::query_scalar::<_, Vec<u8>>(NODE).bind(i64::from(level)).bind(i64::try_from(idx).unwrap_or(i64::MAX)).fetch_optional(pool).await?
            });
            if stored.as_deref() != Some(hash.as_slice()) {
                problems.push(format!("entry {seq}: tree node {level}/{idx} was changed or removed"));
            }
        }
        let Ok(entry) = Entry::from_bytes(seq, &row.5) else { return Ok(()) };
        for evidence in &entry.evidence {
            match self.evidence(&evidence.sha256).await? {
                None => problems.push(format!("entry {seq}: its evidence `{}` was removed", evidence.name)),
                Some(body) if hex::encode(sha2::Sha256::digest(&body)) != evidence.sha256 => {
                    problems.push(format!("entry {seq}: its evidence `{}` was changed", evidence.name));
                }
                Some(_) => {}
            }
        }
        if let Event::ValueSealed(named) = &entry.event {
            // Opening authenticates it, with its id; the value is dropped at once.
            match self.unseal(&named.sealed).await {
                Ok(_) => {}
                Err(StoreError::NoSuchValue(id)) => {
                    problems.push(format!("entry {seq}: its sealed value `{id}` was removed"));
                }
                Err(StoreError::Unsealable(id)) => {
                    problems.push(format!("entry {seq}: its sealed value `{id}` was changed"));
                }
                Err(error) => return Err(error),
            }
        }
        Ok(())
    }

    /// Both counts in one statement: of one state, whoever writes meanwhile.
    async fn surplus(&self, problems: &mut Vec<String>) -> Result<(), StoreError> {
        const COUNTS: &str = "SELECT (SELECT COUNT(*) FROM node), (SELECT COUNT(*) FROM event)";
        let (nodes, entries) =
            on_db!(&self.db, pool => sqlx::query_as::<_, (i64, i64)>(COUNTS).fetch_one(pool).await?);
        let size = u64::try_from(entries).unwrap_or_default();
        // A tree of n leaves has 2n - popcount(n) full subtrees.
        let expected = (2 * size).saturating_sub(u64::from(size.count_ones()));
        if u64::try_from(nodes).ok() != Some(expected) {
            problems.push(format!("the tree has {nodes} nodes, {expected} belong to {size} entries"));
        }
        Ok(())
    }
}

fn report(findings: &Findings, more: Vec<String>, checkpoint: String) -> LedgerReport {
    let mut problems: Vec<String> = findings.problems.iter().map(ToString::to_string).collect();
    if findings.omitted > 0 {
        problems.push(format!("and {} more", findings.omitted));
    }
    problems.extend(more);
    LedgerReport {
        ok: findings.ok() && problems.is_empty(),
        entries: findings.entries,
        checkpoints: findings.checkpoints,
        vkey: findings.key.to_string(),
        checkpoint,
        problems,
        warnings: findings.warnings.iter().map(ToString::to_string).collect(),
    }
}

/// The look-up columns repeat what the entry says; a row moved to another stream would hide there.
fn columns((seq, stream, pos, kind, at_us, bytes, _): &EventRow, problems: &mut Vec<String>) {
    match Entry::from_bytes(u64::try_from(*seq).unwrap_or(0), bytes) {
        Err(error) => problems.push(error.to_string()),
        Ok(entry) => {
            let same = entry.stream == *stream
                && i64::try_from(entry.pos).ok() == Some(*pos)
                && entry.event.kind() == *kind
                && entry.at.as_microsecond() == *at_us;
            if !same {
                problems.push(format!("entry {seq}: its look-up columns say something else than the entry"));
            }
        }
    }
}
