//! The evidence bundle of one incident: one file that a stranger verifies offline.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write as _;
use std::io::Read as _;
use std::path::{Path, PathBuf};

use quell_core::IncidentId;
use quell_core::event::{Entry, Event, INSTALLATION};
use quell_core::incident::{Incident, unmet};
use quell_ledger::bundle::{Builder, Report};
use quell_ledger::{VerifierKey, archive};
use quell_store::NewEntry;
use serde::Serialize;
use serde_json::{Value, json};
use sha2::Digest as _;

use crate::clock::now;
use crate::scan::KnownOf;
use crate::{App, AppError};

/// What was exported.
#[derive(Clone, Debug, Serialize)]
pub struct Exported {
    /// Where it lies.
    pub path: String,
    /// SHA-256 of the file.
    pub sha256: String,
    /// Entries inside.
    pub entries: usize,
    /// The key to verify it with: keep it apart from the bundle.
    pub vkey: String,
}

fn wrong(error: &dyn std::fmt::Display) -> AppError {
    AppError::Evidence(error.to_string())
}

/// Writes the bundle. That it leaves, and its manifest's hash, is an entry of the ledger *before* the file exists;
/// that entry is not in the bundle itself.
pub async fn export(app: &App, id: IncidentId, to: &Path) -> Result<Exported, AppError> {
    let (bytes, entries) = bundle(app, id).await?;
    write_whole(to, &bytes)?;
    Ok(exported(to, &bytes, entries, app.store.signing_key().verifier()))
}

/// What is said of a bundle that was written.
pub fn exported(to: &Path, bytes: &[u8], entries: usize, vkey: &dyn std::fmt::Display) -> Exported {
    Exported {
        path: to.display().to_string(),
        sha256: hex::encode(sha2::Sha256::digest(bytes)),
        entries,
        vkey: vkey.to_string(),
    }
}

/// The bundle as bytes, and how many entries are in it. That it leaves is an entry of the ledger before anybody has it.
pub async fn bundle(app: &App, id: IncidentId) -> Result<(Vec<u8>, usize), AppError> {
    let (incident, entries) = app.incident_with_entries(id).await?;
    let files = build(app, &incident, &entries).await?;
    let manifest = files.get("manifest.json").ok_or_else(|| wrong(&"the bundle has no manifest"))?;
    let event = Event::EvidenceExported {
        manifest_sha256: hex::encode(sha2::Sha256::digest(manifest)),
        entries: u64::try_from(entries.len()).unwrap_or(u64::MAX),
    };
    let bytes = archive::write(&files).map_err(|e| wrong(&e))?;
    app.store.append_to_end(&id.to_string(), NewEntry::new(app.actor.clone(), event), now()).await?;
    Ok((bytes, entries.len()))
}

/// Longest name of a file, in characters.
const NAME_MAX: usize = 200;
/// Largest file that is taken as evidence, in bytes.
pub const ATTACHED_MAX: u64 = 32 << 20;

/// Reads files of people: name and bytes.
pub fn read_files(files: &[PathBuf]) -> Result<Vec<(String, Vec<u8>)>, AppError> {
    let mut read = Vec::new();
    for path in files {
        let failed = |error| AppError::io(path, error);
        let mut bytes = Vec::new();
        let file = std::fs::File::open(path).map_err(failed)?;
        file.take(ATTACHED_MAX + 1).read_to_end(&mut bytes).map_err(failed)?;
        let name =
            path.file_name().map_or_else(|| "evidence".to_owned(), |n| n.to_string_lossy().into_owned());
        read.push((name, bytes));
    }
    Ok(read)
}

/// Files of people as evidence: name and bytes. Refused if one holds a value of the incident, in any spelling that a scan knows, or cannot be
/// read through: what is in the ledger stays there. `words` are what the person says; they are looked at, too.
pub async fn attach(
    app: &App,
    id: IncidentId,
    files: &[(String, Vec<u8>)],
) -> Result<Vec<(String, Vec<u8>)>, AppError> {
    let known = crate::scan::known_of(app, &app.incident(id).await?).await?;
    let mut evidence = Vec::new();
    for (name, bytes) in files {
        // It becomes a line of a table and a file of a bundle's reader: no path, no control characters.
        let plain = |c: char| !c.is_control() && !matches!(c, '/' | '\\');
        let is_folder = matches!(name.as_str(), "" | "." | "..");
        if is_folder || name.chars().count() > NAME_MAX || !name.chars().all(plain) {
            return Err(AppError::Usage(
                "the name of a file is empty, a path, or longer than 200 characters".to_owned(),
            ));
        }
        if u64::try_from(bytes.len()).is_ok_and(|n| n > ATTACHED_MAX) {
            return Err(AppError::Usage(format!(
                "{name} is larger than {} MiB; take the part that shows it",
                ATTACHED_MAX >> 20
            )));
        }
        let named = known.is_in(app, "name", name.as_bytes())?;
        if named || known.is_in(app, name, bytes)? {
            let what = if named { "the name of a file" } else { name };
            return Err(AppError::Usage(format!(
                "{what} holds a value of this incident, and what the ledger holds stays there; black it out and try again"
            )));
        }
        evidence.push((name.clone(), bytes.clone()));
    }
    Ok(evidence)
}

/// Blacks out every text of a document that holds a value of the incident, or looks like one of anybody's.
pub(crate) fn black_out(app: &App, known: &KnownOf, document: &mut Value) -> Result<(), AppError> {
    let rules = quell_scan::RuleSet::builtin()?;
    // Each look names one place of a value, so there are as many as there are texts that hold one.
    loop {
        let mut lines = Vec::new();
        texts(document, &mut |text| lines.push(text.replace(['\n', '\r'], " ")));
        let flagged: BTreeSet<usize> = known
            .lines_with_one(app, &rules, &lines.join("\n"))?
            .into_iter()
            .filter(|line| lines.get(*line).is_some_and(|text| text != BLACK))
            .collect();
        if flagged.is_empty() {
            return Ok(());
        }
        let mut at = 0;
        texts(document, &mut |text| {
            if flagged.contains(&at) {
                BLACK.clone_into(text);
            }
            at += 1;
        });
    }
}

/// Stands for a text that held a value.
const BLACK: &str = "(blacked out: it holds a value, or looks like one)";

fn texts(value: &mut Value, on: &mut dyn FnMut(&mut String)) {
    match value {
        Value::String(text) => on(text),
        Value::Array(items) => items.iter_mut().for_each(|item| texts(item, on)),
        Value::Object(map) => map.values_mut().for_each(|item| texts(item, on)),
        Value::Null | Value::Bool(_) | Value::Number(_) => {}
    }
}

#[expect(
    clippy::wildcard_enum_match_arm,
    reason = "only what concerns keys is taken from the installation's stream"
)]
async fn build(
    app: &App,
    incident: &Incident,
    entries: &[Entry],
) -> Result<BTreeMap<String, Vec<u8>>, AppError> {
    let (size, checkpoint) =
        app.store.checkpoint().await?.ok_or_else(|| wrong(&"the ledger has no checkpoint"))?;
    let stream = incident.id.to_string();
    let mut builder = Builder::new(&stream, app.store.origin(), &checkpoint);
    let mut former: Vec<VerifierKey> = Vec::new();
    for entry in app.store.read_stream(INSTALLATION, 0).await? {
        match &entry.event {
            Event::Genesis { vkey, .. } => former.push(vkey.parse().map_err(|e| wrong(&e))?),
            Event::KeyRotation(data) => {
                let vkey = data.get("new_vkey").and_then(Value::as_str).unwrap_or_default();
                former.push(vkey.parse().map_err(|e| wrong(&e))?);
                let bytes = raw(app, INSTALLATION, entry.seq).await?;
                let proof = app.store.inclusion(entry.seq, size, &checkpoint).await?;
                builder.rotation(entry.seq, bytes, proof.path).map_err(|e| wrong(&e))?;
            }
            _ => {}
        }
    }
    former.retain(|k| k != app.store.signing_key().verifier());
    builder.former_keys(former);
    for (seq, bytes) in app.store.raw_stream(&stream).await? {
        let proof = app.store.inclusion(seq, size, &checkpoint).await?;
        builder.entry(seq, bytes, proof.path).map_err(|e| wrong(&e))?;
    }
    let mut seen = BTreeSet::new();
    let mut hunts = Vec::new();
    for evidence in entries.iter().flat_map(|e| &e.evidence) {
        if seen.insert(evidence.sha256.clone()) {
            let body = app.store.evidence(&evidence.sha256).await?;
            let body = body.ok_or_else(|| wrong(&format!("evidence `{}` is gone", evidence.name)))?;
            if evidence.name == crate::hunt::EVIDENCE {
                hunts.push(hunted(&evidence.sha256, &body)?);
            }
            builder.evidence(body);
        }
    }
    let report = crate::report::render(incident, entries, &checkpoint, now(), None).map_err(|e| wrong(&e))?;
    for (name, body) in [
        ("custody.csv", custody(entries).into_bytes()),
        ("coverage.json", coverage(incident, &hunts)?),
        ("verdict.json", verdict(incident)?),
        ("report.md", report.into_bytes()),
    ] {
        builder.file(name, body).map_err(|e| wrong(&e))?;
    }
    builder.build(app.store.signing_key()).map_err(|e| wrong(&e))
}

async fn raw(app: &App, stream: &str, seq: u64) -> Result<Vec<u8>, AppError> {
    let all = app.store.raw_stream(stream).await?;
    all.into_iter()
        .find(|(s, _)| *s == seq)
        .map(|(_, b)| b)
        .ok_or_else(|| wrong(&format!("entry {seq} is gone")))
}

/// Who made which piece of evidence when, with what (NIST SP 800-86 §3: collection is recorded). RFC 4180.
fn custody(entries: &[Entry]) -> String {
    let mut out = String::from("seq,time_utc,actor,action,sha256,size,name\r\n");
    let quote = |text: &str| {
        // Each of these would begin a formula in a spreadsheet (OWASP, CSV Injection).
        let guard = if text.starts_with(['=', '+', '-', '@', '\t', '\r']) { "'" } else { "" };
        format!("\"{guard}{}\"", text.replace('"', "\"\""))
    };
    for entry in entries {
        for evidence in &entry.evidence {
            let _infallible = write!(
                out,
                "{},{},{},{},{},{},{}\r\n",
                entry.seq,
                entry.at,
                quote(&entry.actor.id),
                quote(&entry.event.kind()),
                evidence.sha256,
                evidence.size,
                quote(&evidence.name)
            );
        }
    }
    out
}

/// What was looked at and what was not.
fn coverage(incident: &Incident, hunts: &[Value]) -> Result<Vec<u8>, AppError> {
    let secrets: Vec<_> = incident
        .secrets
        .iter()
        .map(|a| {
            json!({
                "secret": a.secret,
                "because": a.because,
                "compromised_values": incident.old_values(&a.secret).len(),
                "proofs": incident.proofs.get(&a.secret).map_or(0, Vec::len),
                "inert": incident.proof(&a.secret).is_some_and(|p| p.inert),
                "exception": incident.exceptions.get(&a.secret).map(|(_, why)| why),
            })
        })
        .collect();
    let body = json!({"secrets": secrets, "still_unmet": unmet(incident), "hunts": hunts});
    quell_core::json::canonical(&body).map_err(|e| wrong(&e))
}

/// Of a hunt's report, how much it looked at.
fn hunted(sha256: &str, report: &[u8]) -> Result<Value, AppError> {
    let report: Value = serde_json::from_slice(report).map_err(|e| wrong(&e))?;
    Ok(json!({
        "sha256": sha256,
        "verdict": report.get("verdict"),
        "conditions": report.get("conditions"),
        "logs": report.get("coverage"),
    }))
}

fn verdict(incident: &Incident) -> Result<Vec<u8>, AppError> {
    let body = match &incident.verdict {
        Some((verdict, reason)) => json!({"verdict": verdict, "words": verdict.sentence(), "reason": reason}),
        None => json!({"verdict": null, "words": "no verdict was recorded", "reason": ""}),
    };
    quell_core::json::canonical(&body).map_err(|e| wrong(&e))
}

/// Writes beside and renames, so that a reader never sees half a file. A device or pipe (`/dev/stdout`, `/dev/null`) is written
/// to instead: a file in its place would break whatever else uses it.
pub fn write_whole(to: &Path, bytes: &[u8]) -> Result<(), AppError> {
    use std::io::Write as _;
    use std::os::unix::fs::OpenOptionsExt as _;
    let name =
        to.file_name().ok_or_else(|| AppError::Usage(format!("{} is not a file name", to.display())))?;
    if std::fs::metadata(to).is_ok_and(|there| !there.is_file() && !there.is_dir()) {
        let opened = std::fs::OpenOptions::new().write(true).open(to);
        return opened.and_then(|mut file| file.write_all(bytes)).map_err(|error| AppError::io(to, error));
    }
    let mut random = [0_u8; 8];
    getrandom::fill(&mut random).map_err(|e| wrong(&e))?;
    let beside = to.with_file_name(format!(".{}.{}.part", name.to_string_lossy(), hex::encode(random)));
    let write = || {
        let mut file = std::fs::OpenOptions::new().write(true).create_new(true).mode(0o600).open(&beside)?;
        file.write_all(bytes)?;
        file.sync_all()?;
        std::fs::rename(&beside, to)
    };
    write().map_err(|error| {
        drop(std::fs::remove_file(&beside));
        AppError::io(to, error)
    })
}

/// Verifies a bundle file or folder. `key` comes from outside the bundle.
pub fn verify(path: &Path, key: Option<&str>) -> Result<Report, AppError> {
    let key: Option<VerifierKey> = match key {
        Some(text) => Some(text.trim().parse().map_err(|e| AppError::Usage(format!("--key: {e}")))?),
        None => None,
    };
    let files = if path.is_dir() { read_folder(path)? } else { read_file(path)? };
    Ok(quell_ledger::bundle::verify(&files, key.as_ref()))
}

fn read_file(path: &Path) -> Result<archive::Files, AppError> {
    let most = u64::try_from(archive::MAX_SIZE).unwrap_or(u64::MAX);
    let bytes = crate::files::read(path, most).map_err(|e| AppError::io(path, e))?;
    archive::read(&bytes).map_err(|e| AppError::Evidence(format!("{}: {e}", path.display())))
}

fn read_folder(root: &Path) -> Result<archive::Files, AppError> {
    let mut files = archive::Files::new();
    let mut todo = vec![root.to_owned()];
    while let Some(folder) = todo.pop() {
        for entry in std::fs::read_dir(&folder).map_err(|e| AppError::io(&folder, e))? {
            let path = entry.map_err(|e| AppError::io(&folder, e))?.path();
            let meta = std::fs::symlink_metadata(&path).map_err(|e| AppError::io(&path, e))?;
            if meta.is_dir() {
                todo.push(path);
            } else if meta.is_file() {
                let name = path.strip_prefix(root).unwrap_or(&path).to_string_lossy().into_owned();
                files.insert(name, std::fs::read(&path).map_err(|e| AppError::io(&path, e))?);
            } else {
                return Err(wrong(&format!("{} is neither file nor folder", path.display())));
            }
        }
    }
    Ok(files)
}

#[cfg(test)]
mod tests {
    use std::io::Read as _;
    use std::os::unix::fs::FileTypeExt as _;

    use rustix::fs::{CWD, FileType, Mode};

    use super::*;

    #[test]
    fn no_cell_of_the_custody_table_is_a_formula() {
        use quell_core::event::{Actor, Event, EvidenceRef};
        let at: jiff::Timestamp = "2026-11-23T03:00:00Z".parse().unwrap();
        let evil = ["=cmd|'/C calc'!A0", "+1", "-2+3", "@SUM(A1)", "\tx", "\rx", "a\"b\r\n=1"];
        let entries: Vec<Entry> = evil
            .iter()
            .map(|name| Entry {
                seq: 1,
                stream: "INC-2026-0001".to_owned(),
                pos: 0,
                at,
                actor: Actor::user(*name),
                event: Event::NoteAdded { text: String::new() },
                evidence: vec![EvidenceRef { name: (*name).to_owned(), sha256: "ab".repeat(32), size: 1 }],
            })
            .collect();
        let table = custody(&entries);
        let mut rows = csv::ReaderBuilder::new().from_reader(table.as_bytes());
        let mut read = 0;
        for (row, name) in rows.records().map(Result::unwrap).zip(evil) {
            let guarded = if name.starts_with('a') { name.to_owned() } else { format!("'{name}") };
            assert_eq!((&row[2], &row[6]), (guarded.as_str(), guarded.as_str()));
            read += 1;
        }
        assert_eq!(read, evil.len());
    }

    #[test]
    fn a_pipe_is_written_to_and_stays_one() {
        let folder = tempfile::tempdir().unwrap();
        let pipe = folder.path().join("pipe");
        rustix::fs::mknodat(CWD, &pipe, FileType::Fifo, Mode::RUSR | Mode::WUSR, 0).unwrap();
        let reader = std::thread::spawn({
            let pipe = pipe.clone();
            move || {
                let mut text = String::new();
                std::fs::File::open(pipe).unwrap().read_to_string(&mut text).unwrap();
                text
            }
        });
        write_whole(&pipe, b"all of it").unwrap();
        assert_eq!(reader.join().unwrap(), "all of it");
        assert!(std::fs::metadata(&pipe).unwrap().file_type().is_fifo());
        assert_eq!(std::fs::read_dir(&folder).unwrap().count(), 1, "nothing is left beside it");
    }
}
