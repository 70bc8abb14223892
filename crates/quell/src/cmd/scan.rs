//! `quell scan`.

use std::path::Path;

use quell_app::StoreError;
use quell_app::scan::{self, Scanned};
use quell_app::{AppError, Options};

use super::app_without_inventory;
use crate::cli::ScanArgs;
use crate::exit;
use crate::output::{Out, Tone, can_ask, tone};

pub(crate) async fn scan(options: &Options, args: &ScanArgs, out: &Out) -> Result<u8, AppError> {
    let rules = scan::rules(&args.rules)?;
    for warning in rules.warnings() {
        out.warning(warning);
    }
    let app = match app_without_inventory(options).await {
        Ok(app) => Some(app),
        Err(AppError::Store(StoreError::NotInitialised(_))) => None,
        Err(error) => return Err(error),
    };
    let throwaway;
    let key = if let Some(app) = &app {
        &app.store.keys().fingerprint
    } else {
        throwaway = scan::throwaway_key()?;
        &throwaway
    };
    let report = if args.path == Path::new("-") {
        scan::reader("-", &mut std::io::stdin().lock(), &rules, key)?
    } else {
        let mut last = 0;
        let show = can_ask() && !out.json();
        let mut progress = |p: quell_scan::Progress| {
            // Every 64 MiB is often enough for a person and rare enough for speed.
            if show && p.bytes >= last + (64 << 20) {
                last = p.bytes;
                let total = p.total.map(|t| format!(" of {t}")).unwrap_or_default();
                out.status(tone(
                    Tone::Quiet,
                    format!("{} MiB searched, {}{total} objects", p.bytes >> 20, p.done),
                ));
            }
        };
        scan::path(&args.path, &rules, key, &mut progress)?
    };
    // Absolute, so that the value can be read again from any folder when an incident is opened.
    let target = std::path::absolute(&args.path).unwrap_or_else(|_| args.path.clone()).display().to_string();
    let recorded = app.is_some() && !args.no_record && args.path != Path::new("-");
    let scanned = match &app {
        Some(app) if recorded => scan::record(app, &target, report).await?,
        Some(app) => scan::matched(app, report).await?,
        None => scan::unmatched(report),
    };
    print(out, &scanned, recorded)?;
    Ok(if scanned.findings.is_empty() { exit::OK } else { exit::FINDINGS })
}

fn print(out: &Out, scanned: &Scanned, recorded: bool) -> Result<(), AppError> {
    if out.json() {
        return out.object(scanned);
    }
    for matched in &scanned.findings {
        let finding = &matched.finding;
        let place = &finding.place;
        out.data(format!(
            "{}  {}  {}",
            tone(Tone::Name, &finding.id),
            tone(Tone::Strong, &finding.description),
            finding.preview
        ))?;
        out.data(format!("    at {}:{}:{}", place.file, place.line, place.column))?;
        if let Some(commit) = &finding.first_seen_commit {
            let when = place.author_time.map(|t| format!(", {t}")).unwrap_or_default();
            out.data(format!("    first seen in commit {}{when}", commit.get(..12).unwrap_or(commit)))?;
        }
        let visible =
            if finding.still_reachable { "still reachable from a ref" } else { "not reachable from a ref" };
        out.data(format!(
            "    {visible}; rule {}; {} occurrence(s); {}",
            finding.rule, finding.occurrences, finding.fingerprint
        ))?;
        if let Some(secret) = &matched.secret {
            out.data(format!("    {} {secret}", tone(Tone::Bad, "is the inventory's secret")))?;
        }
        if let Some(note) = &finding.note {
            out.data(format!("    note: {note}"))?;
        }
    }
    for missed in &scanned.incomplete {
        out.warning(format!("not searched: {}: {}", missed.what, missed.why));
    }
    if scanned.incomplete_more > 0 {
        out.warning(format!("and {} more not searched", scanned.incomplete_more));
    }
    out.status(format!(
        "{} finding(s) in {} files, {} commits, {} blobs, {:.1} MB",
        scanned.findings.len(),
        scanned.files,
        scanned.commits,
        scanned.blobs,
        megabytes(scanned.bytes_scanned)
    ));
    if !recorded && !scanned.findings.is_empty() {
        out.hint(
            "these findings are not recorded and fingerprints are good for this run only; `quell init` first",
        );
    } else if let Some(first) = scanned.findings.first() {
        out.hint(format!("`quell incident open --finding {}` declares an incident", first.finding.id));
    }
    Ok(())
}

#[expect(clippy::cast_precision_loss, reason = "shown with one decimal")]
fn megabytes(bytes: u64) -> f64 {
    bytes as f64 / 1e6
}
