//! The report for a terminal: the verdict first, what is not known last, nothing left out without saying so.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::{self, Write as _};

use jiff::Timestamp;

use super::{Report, clean, removal};
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
    addresses(out, report)?;
    anomalies(out, report)?;
    made(out, report)?;
    timeline(out, report)?;
    coverage(out, report)?;
    writeln!(out, "\nWhat \"logs complete\" asks for")?;
    for condition in report.conditions {
        writeln!(out, "  {} {}", if condition.met { "yes" } else { "NO " }, clean(&condition.text))?;
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
    for access in report.accesses.iter().filter(|access| access.role == Role::Used) {
        let key = (access.address.as_deref().unwrap_or("(no address)"), access.credential.as_str());
        let row =
            rows.entry(key).or_insert(Row { allowed: 0, other: 0, first: None, last: None, agent: None });
        let count = if access.outcome == Outcome::Allowed { &mut row.allowed } else { &mut row.other };
        *count += 1;
        row.first = row.first.or(access.time);
        row.last = access.time.or(row.last);
        row.agent = row.agent.or(access.agent.as_deref());
    }
    let uses = report.accesses.iter().filter(|access| access.role == Role::Used).count();
    writeln!(out, "\nUses: {uses} ({} records name it besides)", report.accesses.len() - uses)?;
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
    }
    more(out, rows.len(), "addresses")
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
        writeln!(out, "  {weight:<6} {when}{} ({})", clean(&anomaly.title), anomaly.detector)?;
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
        report.followed.len(),
        report.made.len()
    )?;
    for followed in report.followed.iter().take(ROWS) {
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
    more(out, report.followed.len(), "credentials")?;
    for made in report.made.iter().take(ROWS) {
        writeln!(out, "  {} {}: {}", made.kind.word(), clean(&made.id), removal(made.kind))?;
    }
    more(out, report.made.len(), "things")
}

/// What was done, without the owner's own uses; records that differ in time and resource alone are one row.
fn timeline(out: &mut String, report: &Report<'_>) -> fmt::Result {
    let owner = Owner::new(report.known);
    let own = |access: &&Access| owner.owns(access);
    // A record that is a use of one credential and names another is listed once.
    let used: BTreeSet<&str> =
        report.accesses.iter().filter(|it| it.role == Role::Used).map(|it| it.sha256.as_str()).collect();
    let repeats = |access: &&Access| access.role == Role::Mentioned && used.contains(access.sha256.as_str());
    let left_out = report.accesses.iter().filter(own).count();
    let shown: Vec<&Access> =
        report.accesses.iter().filter(|access| !own(access) && !repeats(access)).collect();
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
    let it = report.coverage;
    writeln!(
        out,
        "\nLogs: {} objects = {} scanned + {} pruned + {} unreadable + {} corrupt + {} too large + {} in no known format",
        it.objects, it.scanned, it.pruned, it.unreadable, it.corrupt, it.too_large, it.wrong_format
    )?;
    writeln!(
        out,
        "  {} bytes read, {} searched, in {} passes",
        it.bytes_read, it.bytes_searched, report.passes
    )?;
    for (format, count) in &it.formats {
        writeln!(out, "  {format}: {count}")?;
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
    for gap in report.gaps.iter().take(ROWS) {
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
    more(out, report.gaps.len(), "gaps")
}

fn more(out: &mut String, count: usize, what: &str) -> fmt::Result {
    if count > ROWS {
        writeln!(out, "  … and {} more {what}", count - ROWS)?;
    }
    Ok(())
}
