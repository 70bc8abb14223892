//! Scanning, matching findings to the inventory, recording them.

use std::collections::BTreeMap;
use std::io::Read;
use std::path::{Path, PathBuf};

use quell_core::SecretId;
use quell_core::event::{Event, INSTALLATION};
use quell_core::secret::{Fingerprint, FingerprintKey, SecretValue};
use quell_scan::{Finding, Progress, Report, RuleSet, Scanner};
use quell_store::{Batch, NewEntry, StoreError};
use serde::Serialize;

use crate::clock::now;
use crate::systems::Systems;
use crate::{App, AppError};

/// A finding, and the secret of the inventory that it is.
#[derive(Clone, Debug, Serialize)]
pub struct Matched {
    /// The finding.
    #[serde(flatten)]
    pub finding: Finding,
    /// The secret whose current or earlier value it is.
    pub secret: Option<SecretId>,
}

/// What a scan gave.
#[derive(Clone, Debug, Serialize)]
pub struct Scanned {
    /// Findings with their secrets.
    pub findings: Vec<Matched>,
    /// Bytes searched.
    pub bytes_scanned: u64,
    /// Git blobs searched.
    pub blobs: u64,
    /// Git commits walked.
    pub commits: u64,
    /// Files searched.
    pub files: u64,
    /// What could not be read.
    pub incomplete: Vec<quell_scan::Incomplete>,
    /// How many more could not be read.
    pub incomplete_more: u64,
}

/// The rules: built in, or the user's.
pub fn rules(paths: &[PathBuf]) -> Result<RuleSet, AppError> {
    Ok(if paths.is_empty() { RuleSet::builtin()? } else { RuleSet::load(paths)? })
}

/// Scans a path. Needs no installation: without one the fingerprints are good for this run only.
pub fn path(
    path: &Path,
    rules: &RuleSet,
    key: &FingerprintKey,
    progress: &mut dyn FnMut(Progress),
) -> Result<Report, AppError> {
    Ok(Scanner::new(rules, key).path(path, progress)?)
}

/// Scans a stream.
pub fn reader(
    name: &str,
    input: &mut dyn Read,
    rules: &RuleSet,
    key: &FingerprintKey,
) -> Result<Report, AppError> {
    Ok(Scanner::new(rules, key).reader(name, input, &mut |_| {})?)
}

/// A key for one run.
pub fn throwaway_key() -> Result<FingerprintKey, AppError> {
    let mut key = [0_u8; 32];
    getrandom::fill(&mut key).map_err(|e| AppError::Usage(format!("no randomness: {e}")))?;
    Ok(FingerprintKey::new(key))
}

/// Matches a report to the inventory without recording the findings.
pub async fn matched(app: &App, report: Report) -> Result<Scanned, AppError> {
    Ok(with_secrets(report, &known(app).await?))
}

/// Without an installation: nothing can be matched.
pub fn unmatched(report: Report) -> Scanned {
    with_secrets(report, &BTreeMap::new())
}

fn with_secrets(report: Report, known: &BTreeMap<Fingerprint, SecretId>) -> Scanned {
    let findings = report
        .findings
        .into_iter()
        .map(|finding| {
            let secret = known.iter().find(|(fp, _)| finding.concerns(fp)).map(|(_, id)| id.clone());
            Matched { finding, secret }
        })
        .collect();
    Scanned {
        findings,
        bytes_scanned: report.bytes_scanned,
        blobs: report.blobs,
        commits: report.commits,
        files: report.files,
        incomplete: report.incomplete,
        incomplete_more: report.incomplete_more,
    }
}

/// Fingerprints of every value that the stores hold now (whole, and the password inside a URL), and of those that
/// were seen earlier. A store that cannot be reached only adds nothing.
pub async fn known(app: &App) -> Result<BTreeMap<Fingerprint, SecretId>, AppError> {
    let mut known = BTreeMap::new();
    for entry in app.store.read_stream(INSTALLATION, 0).await? {
        if let Event::SecretObserved { secret, fingerprints } = entry.event {
            known.extend(fingerprints.into_iter().map(|f| (f, secret.clone())));
        }
    }
    let key = &app.store.keys().fingerprint;
    let mut reads = tokio::task::JoinSet::new();
    for secret in app.inventory.secrets.values().cloned() {
        let context = app.context.clone();
        reads.spawn(async move {
            let mut values = Vec::new();
            if let Ok(systems) = Systems::build(&secret, &context) {
                for store in &systems.stores {
                    if let Ok(Some(stored)) = store.read().await {
                        values.push(stored.value);
                    }
                }
            }
            (secret.id, values)
        });
    }
    while let Some(Ok((id, values))) = reads.join_next().await {
        let mut fresh: Vec<Fingerprint> = values.iter().flat_map(|v| names_of(key, v)).collect();
        fresh.sort();
        fresh.dedup();
        fresh.retain(|f| !known.contains_key(f));
        if !fresh.is_empty() {
            known.extend(fresh.iter().map(|f| (*f, id.clone())));
            let event = Event::SecretObserved { secret: id, fingerprints: fresh };
            app.store.append_to_end(INSTALLATION, NewEntry::new(app.actor.clone(), event), now()).await?;
        }
    }
    Ok(known)
}

/// A value's own fingerprint, and that of the password inside if it is a URL.
pub(crate) fn names_of(key: &FingerprintKey, value: &SecretValue) -> Vec<Fingerprint> {
    values_of(value).iter().map(|part| key.fingerprint(part)).collect()
}

/// A value, and the password inside if it is a URL.
pub(crate) fn values_of(value: &SecretValue) -> Vec<SecretValue> {
    let password = value.expose_text().and_then(password_in_url);
    std::iter::once(value.duplicate()).chain(password).collect()
}

fn password_in_url(text: &str) -> Option<SecretValue> {
    let (_, rest) = text.split_once("://")?;
    let authority = rest.split(['/', '?', '#']).next()?;
    let (user_info, _) = authority.rsplit_once('@')?;
    let (_, password) = user_info.split_once(':')?;
    let mut bytes = Vec::with_capacity(password.len());
    let mut rest = password.bytes();
    while let Some(byte) = rest.next() {
        if byte == b'%' {
            let pair = [rest.next()?, rest.next()?];
            bytes.push(u8::from_str_radix(std::str::from_utf8(&pair).ok()?, 16).ok()?);
        } else {
            bytes.push(byte);
        }
    }
    (!bytes.is_empty()).then(|| SecretValue::new(bytes))
}

/// Matches a report to the inventory and records what is new, with one entry for the run itself.
pub async fn record(app: &App, target: &str, report: Report) -> Result<Scanned, AppError> {
    let known = known(app).await?;
    let scanned = with_secrets(report, &known);
    loop {
        let seen = recorded(app).await?;
        let mut batch = Batch::new(INSTALLATION, app.store.next_pos(INSTALLATION).await?);
        for matched in scanned.findings.iter().filter(|m| !seen.contains_key(&m.finding.id)) {
            let finding =
                serde_json::to_value(&matched.finding).map_err(|e| AppError::Evidence(e.to_string()))?;
            let event = Event::FindingRecorded { finding, secret: matched.secret.clone() };
            batch.push(NewEntry::new(app.actor.clone(), event));
        }
        let count = |n: usize| u64::try_from(n).unwrap_or(u64::MAX);
        let event = Event::ScanRun {
            target: target.to_owned(),
            findings: count(scanned.findings.len()),
            bytes: scanned.bytes_scanned,
            incomplete: count(scanned.incomplete.len()) + scanned.incomplete_more,
        };
        batch.push(NewEntry::new(app.actor.clone(), event));
        match app.store.append(batch, now()).await {
            Ok(_) => return Ok(scanned),
            Err(StoreError::Conflict { .. }) => {}
            Err(error) => return Err(error.into()),
        }
    }
}

/// Every recorded finding, by id.
pub async fn recorded(app: &App) -> Result<BTreeMap<String, Matched>, AppError> {
    let mut out = BTreeMap::new();
    for entry in app.store.read_stream(INSTALLATION, 0).await? {
        if let Event::FindingRecorded { finding, secret } = entry.event {
            let finding: Finding = serde_json::from_value(finding)
                .map_err(|e| AppError::Evidence(format!("entry {}: {e}", entry.seq)))?;
            out.insert(finding.id.clone(), Matched { finding, secret });
        }
    }
    Ok(out)
}

/// Reads the leaked value of a finding again from where it was found, to seal it for the proof.
pub fn recover(
    app: &App,
    place: &Path,
    rules: &RuleSet,
    finding: &str,
) -> Result<Option<SecretValue>, AppError> {
    Ok(Scanner::new(rules, &app.store.keys().fingerprint).recover(place, finding)?)
}
