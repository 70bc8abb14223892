//! Findings and the ledger: which secret of the inventory each is, and the record of what is new.

use std::collections::BTreeMap;

use quell_core::SecretId;
use quell_core::event::{Entry, Event, INSTALLATION};
use quell_core::secret::{Fingerprint, FingerprintKey, SecretValue};
use quell_scan::{Finding, Incomplete, Report};
use quell_store::{Batch, NewEntry, StoreError};

use super::values::{Read, read_all};
use super::{Matched, Scanned, count, with_secrets};
use crate::clock::now;
use crate::{App, AppError, projection};

/// Matches a report to the inventory without recording the findings.
pub async fn matched(app: &App, report: Report) -> Result<Scanned, AppError> {
    let known = known_for(app, &report).await?;
    Ok(with_secrets(report, &known))
}

/// Asks the stores only when there is something to match: a clean scan reaches nothing.
async fn known_for(app: &App, report: &Report) -> Result<BTreeMap<Fingerprint, SecretId>, AppError> {
    if report.findings.is_empty() { Ok(BTreeMap::new()) } else { known(app).await }
}

/// Fingerprints of every value that the stores hold now (whole, and the password inside a URL), and of those that
/// were seen earlier. A store that cannot be reached only adds nothing.
pub async fn known(app: &App) -> Result<BTreeMap<Fingerprint, SecretId>, AppError> {
    Ok(known_and_missed(app).await?.0)
}

/// The same, and the stores that gave nothing.
pub(crate) async fn known_and_missed(
    app: &App,
) -> Result<(BTreeMap<Fingerprint, SecretId>, Vec<Incomplete>), AppError> {
    let mut known = earlier(app).await?;
    let read = observed_now(app, &mut known).await?;
    Ok((known, read.into_iter().flat_map(|read| read.missed).collect()))
}

/// Reads every store, and records what was not known.
pub(crate) async fn observed_now(
    app: &App,
    known: &mut BTreeMap<Fingerprint, SecretId>,
) -> Result<Vec<Read>, AppError> {
    let key = &app.store.keys().fingerprint;
    let all = read_all(app).await;
    for read in &all {
        let fresh = read.values.iter().flat_map(|value| names_of(key, value)).collect();
        observe(app, known, read.secret.clone(), fresh).await?;
    }
    Ok(all)
}

/// Fingerprints of values that were seen at any time.
pub(crate) async fn earlier(app: &App) -> Result<BTreeMap<Fingerprint, SecretId>, AppError> {
    let mut known = BTreeMap::new();
    for entry in app.store.read_kind("secret.observed", 0, i64::MAX).await? {
        if let Event::SecretObserved { secret, fingerprints } = entry.event {
            known.extend(fingerprints.into_iter().map(|f| (f, secret.clone())));
        }
    }
    Ok(known)
}

/// Records the fingerprints that were not known, so that the value is known after the next rotation, too.
pub(super) async fn observe(
    app: &App,
    known: &mut BTreeMap<Fingerprint, SecretId>,
    secret: SecretId,
    mut fresh: Vec<Fingerprint>,
) -> Result<(), AppError> {
    fresh.sort();
    fresh.dedup();
    fresh.retain(|f| !known.contains_key(f));
    if fresh.is_empty() {
        return Ok(());
    }
    known.extend(fresh.iter().map(|f| (*f, secret.clone())));
    let event = Event::SecretObserved { secret, fingerprints: fresh };
    app.store.append_to_end(INSTALLATION, NewEntry::new(app.actor.clone(), event), now()).await?;
    Ok(())
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
    let known = known_for(app, &report).await?;
    let scanned = with_secrets(report, &known);
    loop {
        // The position first: what somebody else records after the look is refused by it.
        let mut batch = Batch::new(INSTALLATION, app.store.next_pos(INSTALLATION).await?);
        for matched in &scanned.findings {
            if projection::is_spoken_of(app, "finding", &matched.finding.id).await? {
                continue;
            }
            let finding =
                serde_json::to_value(&matched.finding).map_err(|e| AppError::Evidence(e.to_string()))?;
            let event = Event::FindingRecorded { finding, secret: matched.secret.clone() };
            batch.push(NewEntry::new(app.actor.clone(), event));
        }
        let event = Event::ScanRun {
            target: target.to_owned(),
            findings: count(scanned.findings.len()),
            bytes: scanned.bytes_scanned,
            incomplete: scanned.missed(),
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
    for entry in app.store.read_kind("finding.recorded", 0, i64::MAX).await? {
        if let Some(matched) = matched_in(entry)? {
            out.insert(matched.finding.id.clone(), matched);
        }
    }
    Ok(out)
}

/// One recorded finding.
pub async fn recorded_one(app: &App, id: &str) -> Result<Option<Matched>, AppError> {
    let newest = projection::entries_about(app, "finding", id).await?.pop();
    newest.map_or(Ok(None), matched_in)
}

/// Recorded findings of the same value, or of the same record of a tool.
pub(crate) async fn recorded_like(app: &App, name: &Fingerprint) -> Result<Vec<Matched>, AppError> {
    let mut out = Vec::new();
    for entry in projection::entries_about(app, "fingerprint", &name.to_string()).await? {
        out.extend(matched_in(entry)?);
    }
    Ok(out)
}

pub(crate) fn matched_in(entry: Entry) -> Result<Option<Matched>, AppError> {
    let Event::FindingRecorded { finding, secret } = entry.event else { return Ok(None) };
    let finding: Finding = serde_json::from_value(finding)
        .map_err(|e| AppError::Evidence(format!("entry {}: {e}", entry.seq)))?;
    Ok(Some(Matched { finding, secret }))
}
