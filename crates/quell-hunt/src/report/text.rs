//! The report for a terminal: the verdict first, what is not known last, nothing left out without saying so.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::{self, Write as _};

use jiff::Timestamp;

use super::{Report, Row, clean, removal, said};
use crate::detect::{Baseline, Weight};
use crate::record::{Access, Outcome, Role};
use crate::verdict::Owner;

/// Rows of a list that are shown; what is more is counted.
const ROWS: usize = 30;

/// The whole report.
pub fn text(report: &Report<'_>) -> String {
    let mut out = String::new();
    match write(&mut out, report) {
        Ok(()) => out,
        // Writing to a string cannot fail; if it did, half a report must not look like a whole one.
        Err(fmt::Error) => "the report could not be written".to_owned(),
    }
}

fn write(out: &mut String, report: &Report<'_>) -> fmt::Result {
    writeln!(out, "Verdict: {}", report.verdict.sentence())?;
    writeln!(out, "  {}", clean(report.because))?;
    changes(out, report)?;
    addresses(out, report)?;
    anomalies(out, report)?;
    made(out, report)?;
    timeline(out, report)?;
    coverage(out, report)?;
    compared(out, report)?;
    writeln!(out, "\nWhat \"logs complete\" asks for")?;
    for condition in report.conditions {
        writeln!(out, "  {} {}", if condition.met { "yes" } else { "NO " }, clean(&condition.text))?;
    }
    Ok(())
}

/// What is otherwise than before.
fn changes(out: &mut String, report: &Report<'_>) -> fmt::Result {
    let Some(it) = &report.changes else { return Ok(()) };
    writeln!(out, "\nSince the hunt before")?;
    if it.verdict_before == report.verdict {
        writeln!(out, "  the verdict is the same")?;
    } else {
        writeln!(out, "  the verdict was: {}", it.verdict_before.sentence())?;
    }
    writeln!(
        out,
        "  {} new records, {} that are not found any more; {} objects searched, {} before",
        it.new_records.len(),
        it.lost_records,
        report.hunt.coverage.scanned,
        it.scanned_before
    )?;
    writeln!(
        out,
        "  {} new findings, {} that are gone or have other records now",
        it.new_anomalies.len(),
        it.other_anomalies.len()
    )?;
    for (word, gaps) in [("closed", &it.closed_gaps), ("new", &it.new_gaps)] {
        for gap in gaps.iter().take(ROWS) {
            writeln!(out, "  {word} gap: {} {} to {}", clean(&gap.stream), gap.from, gap.to)?;
        }
        more(out, gaps.len(), "gaps")?;
    }
    for (word, texts) in [("now met", &it.now_met), ("NO LONGER MET", &it.now_unmet)] {
        for text in texts {
            writeln!(out, "  {word}: {}", clean(text))?;
        }
    }
    Ok(())
}

/// Uses by where they came from.
fn addresses(out: &mut String, report: &Report<'_>) -> fmt::Result {
    struct Row<'a> {
        allowed: u64,
        other: u64,
        first: Option<Timestamp>,
        last: Option<Timestamp>,
        agent: Option<&'a str>,
    }
    let mut rows: BTreeMap<(&str, &str), Row<'_>> = BTreeMap::new();
    for access in report.hunt.accesses.iter().filter(|access| access.role == Role::Used) {
        let key = (access.address.as_deref().unwrap_or("(no address)"), access.credential.as_str());
        let row =
            rows.entry(key).or_insert(Row { allowed: 0, other: 0, first: None, last: None, agent: None });
        let count = if access.outcome == Outcome::Allowed { &mut row.allowed } else { &mut row.other };
        *count += 1;
        row.first = row.first.or(access.time);
        row.last = access.time.or(row.last);
        row.agent = row.agent.or(access.agent.as_deref());
    }
    let uses = report.hunt.accesses.iter().filter(|access| access.role == Role::Used).count();
    writeln!(out, "\nUses: {uses} ({} records name it besides)", report.hunt.accesses.len() - uses)?;
    for ((address, credential), row) in rows.iter().take(ROWS) {
        let span = match (row.first, row.last) {
            (Some(first), Some(last)) => format!("{first} to {last}"),
            _ => "no time".to_owned(),
        };
        writeln!(
            out,
            "  {:<39} {} allowed, {} not; {span}; {}; {}",
            clean(address),
            row.allowed,
            row.other,
            clean(credential),
            clean(row.agent.unwrap_or("no agent"))
        )?;
        if let Some(registered) = report.hunt.registered.as_ref().and_then(|all| all.of(address)) {
            writeln!(out, "    registered to {}", clean(&registered.to_string()))?;
        }
    }
    more(out, rows.len(), "addresses")?;
    registrations(out, report)
}

/// Which data tell to whom addresses are registered, with the texts that have to stay with them.
fn registrations(out: &mut String, report: &Report<'_>) -> fmt::Result {
    let Some(registered) = &report.hunt.registered else {
        return writeln!(out, "  No registration data: whose networks these are is not known (--geo)");
    };
    let mut licences = BTreeSet::new();
    for set in &registered.sets {
        let built = set.built.map(|at| at.to_string());
        writeln!(
            out,
            "  Registrations by {} {} ({}, SHA-256 {})",
            clean(&set.name),
            clean(set.version.as_deref().or(built.as_deref()).unwrap_or("of an unknown version")),
            clean(&set.file),
            set.sha256
        )?;
        if let Some(overlaps) = set.overlaps {
            let (one, other) = overlaps.lines;
            let count = overlaps.count;
            writeln!(
                out,
                "    {count} ranges overlap, such as lines {one} and {other}: the narrowest counts"
            )?;
        }
        for licence in set.licences.iter().filter(|licence| licences.insert(&licence.sha256)) {
            let text = licence.text.as_deref().unwrap_or_default();
            let first = text.lines().find(|line| !line.trim().is_empty()).unwrap_or("see the file");
            writeln!(out, "    {}: {}", clean(&licence.file), clean(first))?;
        }
    }
    Ok(())
}

fn anomalies(out: &mut String, report: &Report<'_>) -> fmt::Result {
    writeln!(out, "\nUnusual: {}", report.anomalies.len())?;
    for anomaly in report.anomalies.iter().take(ROWS) {
        let weight = match anomaly.weight {
            Weight::Info => "info",
            Weight::Low => "low",
            Weight::Medium => "medium",
            Weight::High => "HIGH",
        };
        let when = anomaly.from.map(|from| format!("{from} ")).unwrap_or_default();
        writeln!(
            out,
            "  {weight:<6} {} {when}{} ({}){}",
            anomaly.id,
            clean(&anomaly.title),
            anomaly.detector,
            said(report.asked.knowledge.standing(anomaly)).map(|it| format!("; {it}")).unwrap_or_default()
        )?;
    }
    more(out, report.anomalies.len(), "findings")?;
    if let Baseline::None { why } = report.baseline {
        writeln!(out, "  No baseline: novelty cannot be judged ({})", clean(why))?;
    }
    Ok(())
}

fn made(out: &mut String, report: &Report<'_>) -> fmt::Result {
    writeln!(
        out,
        "\nWhat it made: {} credentials, {} other things",
        report.hunt.followed.len(),
        report.made.len()
    )?;
    for followed in report.hunt.followed.iter().take(ROWS) {
        let at = followed.at.map_or_else(|| "at an unknown time".to_owned(), |at| at.to_string());
        writeln!(
            out,
            "  {} {} made {at} with {}, used {} times: {}",
            followed.kind.word(),
            clean(&followed.id),
            clean(&followed.made_with),
            followed.uses,
            removal(followed.kind)
        )?;
    }
    more(out, report.hunt.followed.len(), "credentials")?;
    for made in report.made.iter().take(ROWS) {
        writeln!(out, "  {} {}: {}", made.kind.word(), clean(&made.id), removal(made.kind))?;
    }
    more(out, report.made.len(), "things")
}

/// What was done, without the owner's own uses; records that differ in time and resource alone are one row.
fn timeline(out: &mut String, report: &Report<'_>) -> fmt::Result {
    let owner = Owner::new(&report.asked.knowledge.known);
    let own = |access: &&Access| owner.owns(access);
    // A record that is a use of one credential and names another is listed once.
    let used: BTreeSet<&str> =
        report.hunt.accesses.iter().filter(|it| it.role == Role::Used).map(|it| it.sha256.as_str()).collect();
    let repeats = |access: &&Access| access.role == Role::Mentioned && used.contains(access.sha256.as_str());
    let left_out = report.hunt.accesses.iter().filter(own).count();
    let shown: Vec<&Access> =
        report.hunt.accesses.iter().filter(|access| !own(access) && !repeats(access)).collect();
    writeln!(out, "\nTimeline")?;
    if left_out > 0 {
        writeln!(out, "  ({left_out} records from the owner's addresses are not listed here)")?;
    }
    let like = |a: &Access, b: &Access| {
        (a.role, &a.credential, &a.address, &a.action) == (b.role, &b.credential, &b.address, &b.action)
            && a.outcome == b.outcome
    };
    let rows: Vec<&[&Access]> = shown.chunk_by(|a, b| like(a, b)).collect();
    for row in rows.iter().take(ROWS) {
        let (Some(access), Some(last)) = (row.first(), row.last()) else { continue };
        let time = access.time.map_or_else(|| "(no time)".to_owned(), |time| time.to_string());
        let outcome = match access.outcome.detail() {
            Some(detail) => format!("{}: {}", access.outcome.word(), clean(detail)),
            None => access.outcome.word().to_owned(),
        };
        let role = match access.role {
            Role::Mentioned => "named  ",
            Role::Used => "used   ",
        };
        write!(
            out,
            "  {time} {role} {} {} {} [{outcome}]",
            clean(access.address.as_deref().unwrap_or("-")),
            clean(&access.action),
            clean(access.resource.as_deref().unwrap_or(""))
        )?;
        match (row.len(), last.time) {
            (1, _) => writeln!(out)?,
            (count, Some(until)) => writeln!(out, ", {count} times until {until}")?,
            (count, None) => writeln!(out, ", {count} times")?,
        }
    }
    more(out, rows.len(), "rows (all of them: --format csv)")
}

fn coverage(out: &mut String, report: &Report<'_>) -> fmt::Result {
    let it = &report.hunt.coverage;
    writeln!(
        out,
        "\nLogs: {} objects = {} scanned + {} pruned + {} unreadable + {} corrupt + {} too large + {} in no known format",
        it.objects, it.scanned, it.pruned, it.unreadable, it.corrupt, it.too_large, it.wrong_format
    )?;
    if let Some(zone) = &report.asked.zone {
        writeln!(out, "  times without a zone were read as of {}", clean(zone))?;
    }
    if let Some(mapping) = &report.asked.mapping {
        writeln!(out, "  logs were read as the mapping file with SHA-256 {} says", clean(mapping))?;
    }
    writeln!(
        out,
        "  {} bytes read, {} searched, in {} passes",
        it.bytes_read, it.bytes_searched, report.hunt.passes
    )?;
    let hit = report.hunt.objects.len();
    match report.hunt.objects.iter().filter(|object| object.sha256.is_some()).count() {
        0 => writeln!(out, "  {hit} objects with a hit; --hash or --record takes their SHA-256")?,
        hashed => writeln!(out, "  {hit} objects with a hit, {hashed} with their SHA-256 (--format json)")?,
    }
    for (format, count) in &it.formats {
        writeln!(out, "  {}: {count}", format.word())?;
    }
    if it.not_listed > 0 {
        writeln!(out, "  {} folders of buckets lie outside and were not listed:", it.not_listed)?;
        for folder in it.not_listed_folders.iter().take(ROWS) {
            writeln!(out, "    {}", clean(folder))?;
        }
    }
    for problem in it.problems.iter().take(ROWS) {
        let why = problem.fate.why().unwrap_or_default();
        writeln!(out, "  {}: {} ({})", problem.fate.word(), clean(&problem.object), clean(why))?;
    }
    for gap in report.hunt.gaps.iter().take(ROWS) {
        writeln!(
            out,
            "  gap ({}) {} {} to {}: {}",
            gap.strength.word(),
            clean(&gap.stream),
            gap.from,
            gap.to,
            clean(&gap.why)
        )?;
    }
    more(out, report.hunt.gaps.len(), "gaps")
}

/// What two logs say of the same requests.
fn compared(out: &mut String, report: &Report<'_>) -> fmt::Result {
    let sentences = report.hunt.cross.sentences();
    if sentences.is_empty() {
        return Ok(());
    }
    writeln!(out, "\nLogs compared with each other")?;
    for sentence in sentences {
        writeln!(out, "  {}", clean(&sentence))?;
    }
    let rows = report.hunt.cross.s3.as_ref().map(|it| it.joined.as_slice()).unwrap_or_default();
    for row in rows.iter().take(ROWS).map(Row::of) {
        writeln!(
            out,
            "  row {} {} {} {} {} ({})",
            row.time, row.address, row.action, row.resource, row.bytes, row.at
        )?;
    }
    more(out, rows.len(), "rows (all of them: --format json)")
}

fn more(out: &mut String, count: usize, what: &str) -> fmt::Result {
    if count > ROWS {
        writeln!(out, "  … and {} more {what}", count - ROWS)?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::report::sample::Sample;

    #[test]
    fn rows_of_the_access_log_and_what_was_said_of_the_logs_are_told_and_escaped() {
        let told = text(&Sample::of("a\u{1b}[2J\u{202e}b").report());
        assert!(told.contains("  times without a zone were read as of a\\u{1b}[2J\\u{202e}b\n"), "{told}");
        assert!(told.contains("mapping file with SHA-256 a\\u{1b}[2J"), "{told}");
        let row = told.lines().find(|line| line.starts_with("  row ")).unwrap();
        assert!(row.starts_with("  row 2026-03-01T00:00:00Z a\\u{1b}[2J\\u{202e}b (another one) "), "{row}");
        assert!(row.contains(" 113 bytes (a"), "{row}");
        let read = told.lines().find(|line| line.contains("audit.csv was not asked for")).unwrap();
        assert!(read.contains(" by a\\u{1b}[2J\\u{202e}b from a\\u{1b}[2J"), "{read}");
        assert!(!told.chars().any(|it| it.is_control() && it != '\n'));
    }
}
