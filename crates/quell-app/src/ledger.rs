//! The ledger as people browse it: entries, what was hashed of each, and proofs to take home.

use quell_core::event::Entry;
use quell_ledger::VerifierKey;
use quell_store::LedgerReport;
use sha2::Digest as _;

use crate::report::{TimelineRow, timeline};
use crate::{App, AppError, projection};

/// One entry.
#[derive(Clone, Debug)]
pub struct Line {
    /// The incident that it belongs to, or `installation`.
    pub stream: String,
    /// Its kind, as written.
    pub kind: String,
    /// What it says.
    pub row: TimelineRow,
}

/// One entry with everything that was hashed of it.
#[derive(Clone, Debug)]
pub struct Whole {
    /// What it says.
    pub line: Line,
    /// The canonical bytes, as stored and hashed.
    pub bytes: String,
    /// SHA-256 of `0x00` and the bytes: its leaf in the tree (RFC 6962).
    pub leaf: String,
}

/// Hashes everything anew, and compares what lists show with it. `trusted` is the key as kept outside, `kept` are checkpoints that were kept.
pub async fn verify(
    app: &App,
    trusted: Option<VerifierKey>,
    kept: &[String],
) -> Result<LedgerReport, AppError> {
    let mut report = app.store.verify(trusted, kept).await?;
    // A ledger that is not right itself is no measure for anything.
    if report.ok {
        let wrong = projection::check(app).await?;
        if !wrong.is_empty() {
            report.ok = false;
            report.problems.extend(wrong);
            report
                .problems
                .push("the entries are right; `quell ledger rebuild` computes lists anew".to_owned());
        }
    }
    Ok(report)
}

/// Entries before this number, newest first; and how many there are.
pub async fn before(app: &App, number: Option<u64>, count: u64) -> Result<(Vec<Line>, u64), AppError> {
    let size = app.store.size().await?;
    let end = number.unwrap_or(size).min(size);
    let from = end.saturating_sub(count);
    let limit = i64::try_from(end - from).unwrap_or(0);
    let entries = app.store.read_all(from, limit).await?;
    Ok((entries.iter().rev().map(line).collect(), size))
}

/// One entry.
pub async fn entry(app: &App, seq: u64) -> Result<Whole, AppError> {
    let found = app.store.read_all(seq, 1).await?.into_iter().find(|entry| entry.seq == seq);
    let found = found.ok_or_else(|| missing(seq))?;
    let raw = app.store.raw_stream(&found.stream).await?;
    let (_, bytes) = raw.into_iter().find(|(own, _)| *own == seq).ok_or_else(|| missing(seq))?;
    let mut leaf = sha2::Sha256::new();
    leaf.update([0]);
    leaf.update(&bytes);
    Ok(Whole {
        line: line(&found),
        bytes: String::from_utf8_lossy(&bytes).into_owned(),
        leaf: hex::encode(leaf.finalize()),
    })
}

/// The proof that an entry is in the tree of the newest checkpoint, as a `.tlog-proof` file.
pub async fn proof(app: &App, seq: u64) -> Result<String, AppError> {
    let checkpoint = app.store.checkpoint().await?;
    let (size, note) =
        checkpoint.ok_or_else(|| AppError::Evidence("the ledger has no checkpoint".to_owned()))?;
    if seq >= size {
        return Err(missing(seq));
    }
    Ok(app.store.inclusion(seq, size, &note).await?.to_text())
}

fn missing(seq: u64) -> AppError {
    AppError::NotFound { what: "entry", id: seq.to_string() }
}

fn line(entry: &Entry) -> Line {
    let row = timeline(std::slice::from_ref(entry)).into_iter().next();
    let row = row.unwrap_or_else(|| TimelineRow {
        seq: entry.seq,
        at: entry.at,
        actor: entry.actor.id.clone(),
        what: String::new(),
        detail: String::new(),
        step: None,
        decision: false,
    });
    Line { stream: entry.stream.clone(), kind: entry.event.kind(), row }
}
