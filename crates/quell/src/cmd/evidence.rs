//! `quell verify`, `quell report`, `quell evidence …`, `quell ledger …`.

use std::path::PathBuf;

use quell_app::clock::now;
use quell_app::{AppError, evidence, files, report};
use quell_web::view;
use serde_json::Value;

use super::incident_id;
use crate::cli::{EvidenceCommand, LedgerCommand, ReportArgs};
use crate::desk::Seat;
use crate::exit;
use crate::output::{Out, Tone, tone};

/// Largest template or kept checkpoint, in bytes.
const TEXT_MAX: u64 = 1 << 20;

pub(crate) async fn verify_incident(seat: &Seat, id: &str, out: &Out) -> Result<u8, AppError> {
    let id = incident_id(id)?;
    let verified = seat.desk_about(id).await?.verify(id).await?;
    let inert = !verified.is_empty() && verified.iter().all(|v| v.proof.inert);
    if out.json() {
        out.object(&view::Verified::of(id, verified))?;
    } else {
        for v in &verified {
            let line =
                if v.proof.inert { tone(Tone::Good, "proven inert") } else { tone(Tone::Bad, "NOT inert") };
            out.data(format!("{} {line} on {} at {}", v.proof.secret, v.proof.target, v.proof.at))?;
            for unmet in &v.proof.unmet {
                out.data(format!("    {unmet}"))?;
            }
            if v.changed {
                out.warning(format!("{}: the answer is another than before", v.proof.secret));
            }
        }
    }
    Ok(if inert { exit::OK } else { exit::REMOTE })
}

pub(crate) async fn report(seat: &Seat, args: &ReportArgs, out: &Out) -> Result<u8, AppError> {
    let desk = seat.desk().await?;
    let (incident, entries) = desk.incident_with_entries(incident_id(&args.id)?).await?;
    let checkpoint = desk.checkpoint().await?.map(|(_, note)| note).unwrap_or_default();
    let failed = |e: &dyn std::fmt::Display| AppError::Usage(format!("the report cannot be rendered: {e}"));
    if out.json() {
        let context = report::context(&incident, &entries, &checkpoint, now());
        match &args.output {
            Some(path) => {
                evidence::write_whole(path, out.text_of(&context)?.as_bytes())?;
                out.status(format!("wrote {}", path.display()));
            }
            None => out.object(&context)?,
        }
        return Ok(exit::OK);
    }
    let template = match &args.template {
        Some(path) => Some(
            files::read_text(path, TEXT_MAX)
                .map_err(|source| AppError::Io { path: path.display().to_string(), source })?,
        ),
        None => None,
    };
    let text = report::render(&incident, &entries, &checkpoint, now(), template.as_deref())
        .map_err(|e| failed(&e))?;
    match &args.output {
        Some(path) => {
            evidence::write_whole(path, text.as_bytes())?;
            out.status(format!("wrote {}", path.display()));
        }
        None => out.data(text.trim_end())?,
    }
    Ok(exit::OK)
}

pub(crate) async fn run(seat: &Seat, command: &EvidenceCommand, out: &Out) -> Result<u8, AppError> {
    match command {
        EvidenceCommand::Export { id, output } => {
            let desk = seat.desk().await?;
            let id = incident_id(id)?;
            let path = output.clone().unwrap_or_else(|| PathBuf::from(format!("{id}.quell.tar")));
            let exported = desk.export(id, &path).await?;
            if out.json() {
                out.object(&exported)?;
            } else {
                out.data(&exported.path)?;
                out.status(format!("{} entries, sha256 {}", exported.entries, exported.sha256));
                out.hint(format!("give the key on another way: {}", exported.vkey));
            }
            Ok(exit::OK)
        }
        EvidenceCommand::Verify { file, key } => {
            let report = evidence::verify(file, key.as_deref())?;
            if out.json() {
                out.object(&report.to_json())?;
            } else {
                out.data(report.to_string().trim_end())?;
            }
            Ok(if report.ok() { exit::OK } else { exit::FINDINGS })
        }
    }
}

pub(crate) async fn ledger(seat: &Seat, command: &LedgerCommand, out: &Out) -> Result<u8, AppError> {
    let desk = seat.ledger().await?;
    match command {
        LedgerCommand::Key => {
            let vkey = desk.key().await?;
            if out.json() { out.object(&view::Key { vkey })? } else { out.data(vkey)? }
        }
        LedgerCommand::Checkpoint => {
            let (size, note) = desk.checkpoint().await?.unwrap_or_default();
            if out.json() {
                out.object(&view::Checkpoint { size, checkpoint: note })?;
            } else {
                out.data(note.trim_end())?;
            }
        }
        LedgerCommand::Rebuild => {
            let incidents = desk.rebuild().await?;
            if out.json() {
                out.object(&view::Rebuilt { incidents })?;
            } else {
                out.data(format!("lists of {incidents} incidents were computed anew"))?;
            }
        }
        LedgerCommand::Verify { key, checkpoint } => {
            let mut kept = Vec::new();
            for path in checkpoint {
                let text = files::read_text(path, TEXT_MAX);
                kept.push(text.map_err(|source| AppError::Io { path: path.display().to_string(), source })?);
            }
            let report = desk.verify_ledger(key.as_deref(), &kept).await?;
            return Ok(if told(&report, out)? { exit::OK } else { exit::FINDINGS });
        }
    }
    Ok(exit::OK)
}

/// What a verification found. True when nothing is wrong.
fn told(report: &Value, out: &Out) -> Result<bool, AppError> {
    let ok = report.get("ok").and_then(Value::as_bool).unwrap_or(false);
    if out.json() {
        out.object(report)?;
        return Ok(ok);
    }
    let lines = |name: &str| {
        report.get(name).and_then(Value::as_array).into_iter().flatten().filter_map(Value::as_str)
    };
    let count = |name: &str| report.get(name).and_then(Value::as_u64).unwrap_or(0);
    for problem in lines("problems") {
        out.data(format!("{} {problem}", tone(Tone::Bad, "PROBLEM")))?;
    }
    for warning in lines("warnings") {
        out.warning(warning);
    }
    let verdict = if ok { tone(Tone::Good, "consistent") } else { tone(Tone::Bad, "NOT consistent") };
    out.data(format!("{} entries, {} checkpoints: {verdict}", count("entries"), count("checkpoints")))?;
    Ok(ok)
}
