//! From run to run, within a log and from one log to the next.

use std::cmp::Ordering;
use std::collections::BTreeMap;

use jiff::Timestamp;

use super::check::{self, GENESIS};
use super::{Log, Marks, Run};
use crate::gap::{Gap, Strength};

/// Gaps of all logs. In each, runs come in the order of its lines.
pub(super) fn gaps(logs: &[Log]) -> Vec<Gap> {
    let all = All::new(logs);
    let mut gaps = Vec::new();
    for log in logs {
        let mut before: Option<&Run> = None;
        for run in &log.chain.runs {
            gaps.extend(all.before(log, before, run));
            before = Some(run);
        }
        marks(log, &mut gaps);
    }
    gaps
}

/// Every run, by where it ends.
struct All<'a> {
    ends: BTreeMap<u64, Vec<(&'a Log, &'a Run)>>,
}

impl<'a> All<'a> {
    fn new(logs: &'a [Log]) -> Self {
        let mut ends: BTreeMap<u64, Vec<(&Log, &Run)>> = BTreeMap::new();
        for log in logs {
            for run in &log.chain.runs {
                ends.entry(run.to).or_default().push((log, run));
            }
        }
        Self { ends }
    }

    /// What is wrong with the beginning of a run.
    fn before(&self, log: &Log, before: Option<&Run>, run: &Run) -> Option<Gap> {
        let Some(last) = run.from.checked_sub(1) else {
            return first(log, before, run);
        };
        let ends = self.ends.get(&last).map(Vec::as_slice).unwrap_or_default();
        if ends.iter().any(|(_, it)| check::next(&it.tail, &run.record) == run.head) {
            return None;
        }
        // A copy that begins earlier and ends alike has the same records up to there.
        let alike = self.ends.get(&run.to).map(Vec::as_slice).unwrap_or_default();
        if alike.iter().any(|(_, it)| it.tail == run.tail && it.from < run.from) {
            return None;
        }
        let (number, place) = (run.from, run.place);
        if let Some(before) = before {
            let (strength, why) = match before.to.cmp(&last) {
                Ordering::Equal => {
                    let why =
                        format!("record {number} at byte {place} does not follow from the one before it");
                    (Strength::Altered, why)
                }
                Ordering::Less => {
                    let (from, since) = (before.to.saturating_add(1), before.place);
                    let why =
                        format!("records {from} to {last} are not there, between bytes {since} and {place}");
                    (Strength::Missing, why)
                }
                Ordering::Greater => {
                    let why = format!("record {number} at byte {place} stands behind record {}", before.to);
                    (Strength::Altered, why)
                }
            };
            return Some(gap(log, (before.last, run.first), strength, why));
        }
        Some(self.alone(log, last, run))
    }

    /// A log that begins within a chain, and no other log ends before.
    fn alone(&self, log: &Log, last: u64, run: &Run) -> Gap {
        let number = run.from;
        let within = self.ends.range(number..).flat_map(|(_, runs)| runs);
        if let Some((other, _)) = within.into_iter().find(|(_, it)| it.from < number && it.to > last) {
            let why = format!(
                "it begins with record {number}, which `{}` has, too: whether both tell the same cannot be seen",
                other.object
            );
            return gap(log, (run.first, run.first), Strength::Suggestive, why);
        }
        let lower = self.ends.range(..=last).next_back().and_then(|(_, runs)| runs.first());
        let (from, since) = match lower {
            Some((_, it)) if it.to == last => {
                let why = format!(
                    "it begins with record {number}, and no log ends with the record that this one follows from: that was changed, \
                     deleted or not given"
                );
                return gap(log, (it.last.min(run.first), run.first), Strength::Missing, why);
            }
            Some((_, it)) => (it.to.saturating_add(1), it.last.min(run.first)),
            None => (0, run.first),
        };
        let why = format!("records {from} to {last} are not there: deleted, or not given");
        gap(log, (since, run.first), Strength::Missing, why)
    }
}

/// A run that begins a chain.
fn first(log: &Log, before: Option<&Run>, run: &Run) -> Option<Gap> {
    let place = run.place;
    if check::next(GENESIS, &run.record) != run.head {
        let why = format!("record 0 at byte {place} is not the beginning of its chain");
        return Some(gap(log, (run.first, run.first), Strength::Altered, why));
    }
    let before = before?;
    let why = format!(
        "the chain begins anew at byte {place}: two logs were put one behind the other, or what was before was taken away"
    );
    Some(gap(log, (before.last, run.first), Strength::Suggestive, why))
}

/// What was counted within a log.
fn marks(log: &Log, gaps: &mut Vec<Gap>) {
    let mut add = |marks: &Marks, strength, what: &str| {
        if let Some((from, to)) = marks.span {
            let why = format!("{} records {what}, the first at byte {}", marks.count, marks.place);
            gaps.push(gap(log, (from, to), strength, why));
        }
    };
    add(
        &log.chain.altered,
        Strength::Altered,
        "are not what their hash says: changed, or written anew by somebody",
    );
    add(
        &log.chain.unsigned,
        Strength::Suggestive,
        "are signed with none of the keys: changed, written by somebody else, or signed with another key",
    );
    if log.chain.more > 0
        && let Some((first, last)) = log.chain.runs.first().zip(log.chain.runs.last())
    {
        let why = format!("its chain has {} more breaks than are told", log.chain.more);
        gaps.push(gap(log, (first.first, last.last), Strength::Altered, why));
    }
}

fn gap(log: &Log, (from, to): (Timestamp, Timestamp), strength: Strength, why: String) -> Gap {
    Gap { stream: log.object.clone(), from: from.min(to), to: to.max(from), strength, why }
}
