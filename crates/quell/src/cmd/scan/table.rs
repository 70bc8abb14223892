//! The result for people: one entry for each value, with all its places.

use std::collections::BTreeMap;

use quell_app::scan::{Group, Matched, Scanned};
use quell_scan::{Confidence, Encoding, Report, Visibility};

use crate::output::{Out, Tone, tone};

/// Places of one value that are printed; the rest is counted. Programs get all of them.
const MAX_PLACES: usize = 20;

/// Parts that were not read and are named on stderr.
const MAX_GAPS: usize = 50;

/// The whole table, with styles.
pub(super) fn render(scanned: &Scanned) -> String {
    let by_id: BTreeMap<&str, &Matched> =
        scanned.findings.iter().map(|matched| (matched.finding.id.as_str(), matched)).collect();
    let mut text = String::new();
    for group in &scanned.groups {
        if !text.is_empty() {
            text.push('\n');
        }
        for line in entry(group, &by_id) {
            text.push_str(&line);
            text.push('\n');
        }
    }
    text
}

fn entry(group: &Group, by_id: &BTreeMap<&str, &Matched>) -> Vec<String> {
    let preview = if group.preview == "…" { String::new() } else { format!("  {}", group.preview) };
    let mut lines = vec![format!("{}{preview}", tone(Tone::Strong, &group.description))];
    if let Some(secret) = &group.secret {
        lines.push(format!("  {} {secret}", tone(Tone::Bad, "is the inventory's secret")));
    }
    lines.push(format!("  {}", window(group)));
    for id in group.findings.iter().take(MAX_PLACES) {
        lines.extend(by_id.get(id.as_str()).map(|matched| place(matched)));
    }
    let more = group.findings.len().saturating_sub(MAX_PLACES);
    if more > 0 {
        lines.push(format!("  and {more} more places"));
    }
    if !group.refs.is_empty() {
        lines.push(format!("  reached by {}", group.refs.join(", ")));
    }
    if let Some(principal) = &group.principal {
        lines.push(format!("  user {principal}"));
    }
    for part in &group.joined {
        lines.push(format!("  with {}: {}", part.name, part.text.as_deref().unwrap_or("found beside it")));
    }
    for (name, text) in &group.details {
        lines.push(format!("  {name}: {text}"));
    }
    for id in &group.findings {
        let note = by_id.get(id.as_str()).and_then(|matched| matched.finding.note.as_deref());
        lines.extend(note.map(|note| format!("  note on {id}: {note}")));
    }
    let sure = match group.confidence {
        Confidence::Low => "low",
        Confidence::Medium => "medium",
        Confidence::High => "high",
    };
    lines.push(tone(Tone::Quiet, format!("  confidence {sure}; {}", group.fingerprint)));
    lines
}

/// Since when, until when, and where it can be seen now.
fn window(group: &Group) -> String {
    let commit = |name: &Option<String>| {
        name.as_deref()
            .map(|name| format!(" (commit {})", name.get(..12).unwrap_or(name)))
            .unwrap_or_default()
    };
    let mut text = match (group.first_seen, &group.first_seen_commit) {
        (Some(time), name) => format!("since {time}{}, ", commit(name)),
        (None, Some(_)) => format!("since an unknown time{}, ", commit(&group.first_seen_commit)),
        (None, None) => String::new(),
    };
    let visible = match group.still_visible {
        Visibility::Current => tone(Tone::Bad, "in the current files"),
        Visibility::Reachable => tone(Tone::Careful, "only in the history; whoever clones gets it"),
        Visibility::Unreachable => tone(Tone::Careful, "only in objects that no ref reaches"),
    };
    if let Some(time) = group.last_seen {
        text = format!("{text}until {time}{}; now ", commit(&group.last_seen_commit));
    }
    text + &visible
}

fn place(matched: &Matched) -> String {
    let (finding, place) = (&matched.finding, &matched.finding.place);
    let mut text =
        format!("  {}  {}:{}:{}", tone(Tone::Name, &finding.id), place.file, place.line, place.column);
    let mut remarks = vec![finding.rule.clone()];
    if finding.still_visible != Visibility::Current {
        remarks.push(if finding.still_reachable { "history" } else { "unreachable" }.to_owned());
    }
    remarks.extend(finding.encoding.map(|encoding| {
        let name = match encoding {
            Encoding::Base64 => "base64",
            Encoding::Hex => "hex",
            Encoding::Json => "JSON",
            Encoding::Percent => "percent-encoding",
        };
        format!("in {name}")
    }));
    if finding.occurrences > 1 {
        remarks.push(format!("{} times", finding.occurrences));
    }
    text.push_str(&tone(Tone::Quiet, format!("  {}", remarks.join(", "))));
    text
}

/// What was not read. Said in every format and although `--quiet`: a gap in silence would look like a clean result.
pub(super) fn gaps(out: &Out, scanned: &Scanned) {
    for missed in scanned.incomplete.iter().take(MAX_GAPS) {
        out.warning(format!("not read: {}: {}", missed.what, missed.why));
    }
    let more = scanned.missed().saturating_sub(u64::try_from(MAX_GAPS).unwrap_or(u64::MAX));
    if more > 0 {
        out.warning(format!("and {more} more not read; --json names up to {}", Report::MAX_INCOMPLETE));
    }
}

/// What was left out, and the sums.
pub(super) fn closing(out: &Out, scanned: &Scanned) {
    for note in &scanned.notes {
        out.status(format!("note: {note}"));
    }
    let ignored = scanned.ignored;
    if ignored.baseline > 0 {
        out.status(format!("{} finding(s) left out: their values are in the baseline", ignored.baseline));
    }
    if ignored.comments > 0 {
        out.status(format!(
            "{} occurrence(s) left out: a comment on the line allows them (--no-ignore reports them, too)",
            ignored.comments
        ));
    }
    if ignored.ignore_file > 0 {
        out.status(format!(
            "{} finding(s) left out: their places are in the ignore file",
            ignored.ignore_file
        ));
    }
    out.status(summary(scanned));
}

fn summary(scanned: &Scanned) -> String {
    let missed = scanned.missed();
    let searched = format!(
        "{} files, {} commits, {} blobs, {:.1} MB searched",
        scanned.files,
        scanned.commits,
        scanned.blobs,
        megabytes(scanned.bytes_scanned)
    );
    let gaps =
        if missed == 1 { "1 part was not read".to_owned() } else { format!("{missed} parts were not read") };
    match (scanned.findings.len(), scanned.complete) {
        (0, true) => format!("nothing found: {searched}, and everything was read"),
        (0, false) => format!("nothing found in what was read; {gaps} ({searched})"),
        (places, complete) => {
            let values = scanned.groups.len();
            let sums = format!("{values} value(s) found in {places} place(s): {searched}");
            if complete { sums } else { format!("{sums}; {gaps}") }
        }
    }
}

/// What to do next.
pub(super) fn hints(out: &Out, scanned: &Scanned, recorded: bool, stable: bool) {
    if !stable {
        out.hint(
            "these findings are not recorded, and their ids and fingerprints are good for this run only; `quell init` \
             first, or give a --baseline",
        );
    } else if let Some(first) =
        scanned.groups.first().and_then(|group| group.findings.first()).filter(|_| recorded)
    {
        out.hint(format!("`quell incident open --finding {first}` declares an incident"));
    }
}

#[expect(clippy::cast_precision_loss, reason = "shown with one decimal")]
fn megabytes(bytes: u64) -> f64 {
    bytes as f64 / 1e6
}
