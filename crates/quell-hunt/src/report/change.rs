//! What is otherwise when a hunt ran again: later logs arrived, somebody said whose an address is, a finding was looked at.

use std::collections::BTreeSet;

use quell_core::event::Verdict;
use serde::Serialize;

use super::Report;
use super::saved::Saved;
use crate::gap::{Gap, Strength};
use crate::record::Access;

/// From an earlier report to this one.
#[derive(Clone, Debug, Eq, PartialEq, Serialize)]
pub struct Changes {
    /// The verdict before; [`Report::verdict`] is the one now.
    pub verdict_before: Verdict,
    /// Records that were not there before, by their place among this report's.
    pub new_records: Vec<usize>,
    /// Records that were there before and are not now: logs that were not given this time, or that are gone.
    pub lost_records: usize,
    /// Findings that were not there before, by id.
    pub new_anomalies: Vec<String>,
    /// Findings that were there before, or that have other records now, by id.
    pub other_anomalies: Vec<String>,
    /// Gaps that are closed now.
    pub closed_gaps: Vec<Gap>,
    /// Gaps that were not there before.
    pub new_gaps: Vec<Gap>,
    /// Conditions that are met now and were not, as they read now.
    pub now_met: Vec<String>,
    /// Conditions that were met and are not now.
    pub now_unmet: Vec<String>,
    /// Objects that were searched before.
    pub scanned_before: u64,
}

impl Changes {
    /// Compares; the earlier report is judged by what people said then.
    pub fn between(before: &Saved, now: &Report<'_>) -> Self {
        let opinion = before.opinion();
        let earlier = before.report(&opinion);
        let (old, new) = (records(&earlier.hunt.accesses), records(&now.hunt.accesses));
        let accesses = now.hunt.accesses.iter().enumerate();
        let fresh = accesses.filter(|(_, access)| !old.contains(&key(access))).map(|(place, _)| place);
        let anomalies = |report: &Report<'_>| -> BTreeSet<(String, String)> {
            report.anomalies.iter().map(|it| (it.id.clone(), it.content.clone())).collect()
        };
        let (then, today) = (anomalies(&earlier), anomalies(now));
        let ids = |all: &BTreeSet<(String, String)>| -> BTreeSet<String> {
            all.iter().map(|(id, _)| id.clone()).collect()
        };
        let changed: BTreeSet<String> = ids(&then.difference(&today).cloned().collect());
        Self {
            verdict_before: earlier.verdict,
            new_records: fresh.collect(),
            lost_records: old.difference(&new).count(),
            new_anomalies: ids(&today).difference(&ids(&then)).cloned().collect(),
            other_anomalies: changed.into_iter().collect(),
            closed_gaps: gaps_beyond(&earlier.hunt.gaps, &now.hunt.gaps),
            new_gaps: gaps_beyond(&now.hunt.gaps, &earlier.hunt.gaps),
            now_met: turned(&earlier, now, true),
            now_unmet: turned(&earlier, now, false),
            scanned_before: earlier.hunt.coverage.scanned,
        }
    }
}

fn key(access: &Access) -> (&str, &str) {
    (&access.sha256, &access.credential)
}

fn records(accesses: &[Access]) -> BTreeSet<(&str, &str)> {
    accesses.iter().map(key).collect()
}

/// Gaps of one list that are not in the other. What is too quiet to judge is no gap.
fn gaps_beyond(all: &[Gap], without: &[Gap]) -> Vec<Gap> {
    let same =
        |a: &Gap, b: &Gap| (&a.stream, a.from, a.to, a.strength) == (&b.stream, b.from, b.to, b.strength);
    let loud = all.iter().filter(|gap| gap.strength > Strength::TooQuiet);
    loud.filter(|gap| !without.iter().any(|other| same(gap, other))).cloned().collect()
}

/// Conditions that came to be met, or unmet. They are always the same ones in the same order, but for those about shards at the
/// end.
fn turned(before: &Report<'_>, now: &Report<'_>, met: bool) -> Vec<String> {
    let pairs = before.conditions.iter().zip(now.conditions);
    let turned = pairs.filter(|(then, now)| then.met != now.met && now.met == met);
    turned.map(|(_, now)| now.text.clone()).collect()
}
