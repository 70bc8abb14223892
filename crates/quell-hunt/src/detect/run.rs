//! Runs the detectors over a trail.

use std::collections::{BTreeMap, BTreeSet};

use super::baseline::Habits;
use super::trail::{Trail, Use};
use super::{
    Anomaly, Weight, address, agent, climb, denied, derived, enumeration, evasion, export, hours, instance,
    network, networks, pagination, persistence, quarantine, rare, revocation, root, sweep, tool, validation,
};
use crate::record::Access;

/// More of the same kind are told as one.
const MOST: usize = 20;

/// A name for a way of looking.
pub(super) struct Detector {
    pub(super) id: &'static str,
    pub(super) soft: Soft,
    pub(super) find: fn(&Scene<'_>) -> Vec<Finding>,
}

/// What makes it weigh one step less.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum Soft {
    /// Nothing does.
    Never,
    /// That all of it came from the owner's own addresses.
    Known,
    /// That, and that the same was found before the exposure.
    Habit,
}

/// What a detector sees.
#[derive(Clone, Copy, Debug)]
pub(super) struct Scene<'s> {
    pub(super) trail: &'s Trail<'s>,
    /// Uses before those that are looked at.
    pub(super) earlier: &'s [Use<'s>],
    /// Those that are looked at.
    pub(super) uses: &'s [Use<'s>],
    /// `None` if novelty cannot be judged.
    pub(super) habits: Option<&'s Habits<'s>>,
}

/// What a detector says.
#[derive(Debug)]
pub(super) struct Finding {
    /// Findings of the same kind before the exposure make a habit.
    pub(super) kind: String,
    pub(super) weight: Weight,
    pub(super) title: String,
    pub(super) records: Vec<usize>,
}

const DETECTORS: [Detector; 20] = [
    validation::DETECTOR,
    persistence::DETECTOR,
    evasion::DETECTOR,
    derived::DETECTOR,
    revocation::DETECTOR,
    quarantine::DETECTOR,
    denied::DETECTOR,
    enumeration::DETECTOR,
    sweep::DETECTOR,
    export::DETECTOR,
    address::DETECTOR,
    agent::DETECTOR,
    tool::DETECTOR,
    networks::DETECTOR,
    instance::DETECTOR,
    hours::DETECTOR,
    climb::DETECTOR,
    root::DETECTOR,
    pagination::DETECTOR,
    rare::DETECTOR,
];

/// All anomalies of one credential.
pub(super) fn run(trail: &Trail<'_>, accesses: &[Access]) -> Vec<Anomaly> {
    let known: BTreeSet<usize> = trail.all.iter().filter(|it| it.is_known).map(|it| it.index).collect();
    let mut anomalies = Vec::new();
    for detector in DETECTORS {
        let scene =
            Scene { trail, earlier: &trail.before, uses: &trail.since, habits: trail.habits.as_ref() };
        let mut findings = (detector.find)(&scene);
        if findings.is_empty() {
            continue;
        }
        let before = if detector.soft == Soft::Habit && trail.habits.is_some() {
            (detector.find)(&Scene { trail, earlier: &[], uses: &trail.before, habits: None })
        } else {
            Vec::new()
        };
        let habits: BTreeSet<&str> = before.iter().map(|finding| finding.kind.as_str()).collect();
        for finding in &mut findings {
            if habits.contains(finding.kind.as_str()) {
                finding.weight = finding.weight.lower();
                finding.title.push_str(", as it was before the exposure");
            }
            if detector.soft != Soft::Never && finding.records.iter().all(|record| known.contains(record)) {
                finding.weight = finding.weight.lower();
                finding.title.push_str(", from addresses of the owner's own");
            }
        }
        anomalies
            .extend(few(findings).into_iter().map(|finding| anomaly(&detector, finding, trail, accesses)));
    }
    anomalies
}

/// Joins findings of a kind of which there are too many for anybody to read.
fn few(findings: Vec<Finding>) -> Vec<Finding> {
    let mut kinds: BTreeMap<String, Vec<Finding>> = BTreeMap::new();
    for finding in findings {
        kinds.entry(finding.kind.clone()).or_default().push(finding);
    }
    let mut few = Vec::new();
    for list in kinds.into_values() {
        if list.len() <= MOST {
            few.extend(list);
            continue;
        }
        let others = list.len() - 1;
        let joined = list.into_iter().reduce(|mut one, other| {
            if other.weight > one.weight {
                one.weight = other.weight;
                one.title = other.title;
            }
            one.records.extend(other.records);
            one
        });
        few.extend(
            joined.map(|one| Finding { title: format!("{}, and {others} more like it", one.title), ..one }),
        );
    }
    few
}

fn anomaly(detector: &Detector, finding: Finding, trail: &Trail<'_>, accesses: &[Access]) -> Anomaly {
    let mut records = finding.records;
    records.sort_unstable();
    records.dedup();
    let all = || records.iter().filter_map(|record| accesses.get(*record));
    let times = || all().filter_map(|access| access.time);
    let addresses: BTreeSet<String> = all()
        .filter_map(|access| access.address.as_deref().and_then(network::address))
        .map(|address| address.to_string())
        .collect();
    Anomaly {
        id: String::new(),
        content: String::new(),
        detector: detector.id,
        weight: finding.weight,
        title: finding.title,
        credential: trail.credential.to_owned(),
        from: times().min(),
        to: times().max(),
        addresses: addresses.into_iter().collect(),
        records,
        folded: Vec::new(),
    }
}
