//! The ledger: entries as they are stored, checkpoint, key, proofs, verification.

use axum::routing::{get, post};
use quell_app::{AppError, projection};
use quell_core::IncidentId;
use quell_core::person::Role;
use schemars::JsonSchema;
use serde::Deserialize;
use serde_json::Value;

use super::ask::{Asked, At, Words, word};
use super::incident::unfit;
use super::operation::{Operation, of};
use super::tell::Told;
use crate::caller::Caller;
use crate::problem::Problem;
use crate::view;

pub(super) static OPERATIONS: &[Operation] = &[
    Operation::get("/api/v1/incidents/{id}/entries", Role::Viewer, "incident_entries", || get(of_incident))
        .says("The entries that an incident is made of, from a position on, as they are stored")
        .query(of::<Page>)
        .json(of::<view::Entries>),
    Operation::get("/api/v1/ledger/entries", Role::Viewer, "ledger_entries", || get(all))
        .says("All entries, from a number on, as they are stored")
        .query(of::<Page>)
        .json(of::<view::Entries>),
    Operation::get("/api/v1/ledger/entries/{seq}/proof", Role::Viewer, "ledger_proof", || get(proof))
        .says("A proof that an entry is in the ledger")
        .json(of::<view::Inclusion>),
    Operation::get("/api/v1/ledger/checkpoint", Role::Viewer, "ledger_checkpoint", || get(checkpoint))
        .says("The newest signed checkpoint; keep it elsewhere")
        .json(of::<view::Checkpoint>),
    Operation::get("/api/v1/ledger/key", Role::Viewer, "ledger_key", || get(key))
        .says("The key that verifies checkpoints and bundles")
        .json(of::<view::Key>),
    Operation::post("/api/v1/ledger/verify", Role::Responder, "ledger_verify", || post(verify))
        .says("Hash everything anew; name what was changed, removed, reordered or added")
        .body(of::<Verify>)
        .json(of::<view::Verification>)
        .not_kept(),
    Operation::post("/api/v1/ledger/rebuild", Role::Admin, "ledger_rebuild", || post(rebuild))
        .says("Compute lists and look-ups anew from the entries")
        .json(of::<view::Rebuilt>)
        .not_kept(),
];

/// Entries at once, where nothing else is asked.
const ENTRIES: u64 = 500;

#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct Page {
    /// First position (of one stream) or number (of all) that is wanted; `next` of the page before.
    #[serde(default)]
    from: u64,
    /// Entries on a page; 500 without it.
    #[schemars(range(min = 1, max = 1000))]
    limit: Option<u64>,
}

async fn entries(caller: &Caller, stream: Option<&str>, page: &Page) -> Result<view::Entries, Problem> {
    let limit = page.limit.unwrap_or(ENTRIES);
    if !(1..=1000).contains(&limit) {
        return Err(Problem::bad_request("`limit` is a number from 1 to 1000"));
    }
    let one_more = i64::try_from(limit + 1).unwrap_or(i64::MAX);
    let mut raw = caller.app.store.raw_from(stream, page.from, one_more).await.map_err(AppError::from)?;
    let limit = usize::try_from(limit).unwrap_or(usize::MAX);
    let more = raw.len() > limit;
    raw.truncate(limit);
    let entries: Vec<Value> = raw
        .iter()
        .map(|bytes| serde_json::from_slice(bytes))
        .collect::<Result<_, _>>()
        .map_err(|error| AppError::Evidence(format!("an entry cannot be read: {error}")))?;
    let last =
        entries.last().and_then(|entry| entry.get(if stream.is_some() { "pos" } else { "seq" })?.as_u64());
    let next = last.map_or(page.from, |last| last + 1);
    Ok(view::Entries { entries, next, more })
}

async fn of_incident(
    caller: Caller,
    At(id): At<String>,
    Words(page): Words<Page>,
) -> Result<Told<view::Entries>, Problem> {
    let id: IncidentId = word(&id)?;
    let found = entries(&caller, Some(&id.to_string()), &page).await?;
    if found.entries.is_empty() {
        // There is no such stream, or nothing new in it.
        caller.app.incident(id).await?;
    }
    Ok(Told::new(found))
}

async fn all(caller: Caller, Words(page): Words<Page>) -> Result<Told<view::Entries>, Problem> {
    Ok(Told::new(entries(&caller, None, &page).await?))
}

async fn newest(caller: &Caller) -> Result<(u64, String), Problem> {
    let newest = caller.app.store.checkpoint().await.map_err(AppError::from)?;
    newest.ok_or_else(|| Problem::not_found("the ledger has no checkpoint yet"))
}

async fn proof(caller: Caller, At(seq): At<String>) -> Result<Told<view::Inclusion>, Problem> {
    let seq: u64 = seq.parse().map_err(|_error| Problem::bad_request("this is no number of an entry"))?;
    let (size, note) = newest(&caller).await?;
    if seq >= size {
        return Err(Problem::not_found("the newest checkpoint does not cover such an entry")
            .hint(format!("it covers the entries 0 to {}", size.saturating_sub(1))));
    }
    let proof = caller.app.store.inclusion(seq, size, &note).await.map_err(AppError::from)?;
    Ok(Told::new(view::Inclusion { seq, size, proof: proof.to_string() }))
}

async fn checkpoint(caller: Caller) -> Result<Told<view::Checkpoint>, Problem> {
    let (size, checkpoint) = newest(&caller).await?;
    Ok(Told::new(view::Checkpoint { size, checkpoint }))
}

async fn key(caller: Caller) -> Told<view::Key> {
    Told::new(view::Key { vkey: caller.app.store.signing_key().verifier().to_string() })
}

#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct Verify {
    /// The ledger's key as you keep it elsewhere.
    key: Option<String>,
    /// Checkpoints that you kept.
    #[serde(default)]
    checkpoints: Vec<String>,
}

async fn rebuild(caller: Caller) -> Result<Told<view::Rebuilt>, Problem> {
    Ok(Told::new(view::Rebuilt { incidents: projection::rebuild(&caller.app).await? }))
}

async fn verify(caller: Caller, Asked(asked): Asked<Verify>) -> Result<Told<view::Verification>, Problem> {
    let key = match asked.key {
        Some(text) => Some(text.trim().parse().map_err(|_error| unfit("`key` is no key of a ledger"))?),
        None => None,
    };
    let found = quell_app::ledger::verify(&caller.app, key, &asked.checkpoints).await?;
    Ok(Told::new(view::Verification {
        ok: found.ok,
        entries: found.entries,
        checkpoints: found.checkpoints,
        vkey: found.vkey,
        checkpoint: found.checkpoint,
        problems: found.problems,
        warnings: found.warnings,
    }))
}
