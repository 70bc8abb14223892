//! Noise: what a weaker detector says about records that a stronger one has said enough about.
//!
//! What was done is never folded into who did it or when: "it came from a new address" would swallow all that came from
//! there, and with it the names of what was made.

use std::cmp::Reverse;
use std::collections::{BTreeMap, BTreeSet};

use super::window::GAP;
use super::{Anomaly, address, agent, hours, instance, networks, rare, revocation, root, tool};
use crate::record::Access;

/// These say who it was, or when, and swallow only each other.
const WHO: [&str; 9] = [
    address::DETECTOR.id,
    agent::DETECTOR.id,
    hours::DETECTOR.id,
    instance::DETECTOR.id,
    networks::DETECTOR.id,
    rare::DETECTOR.id,
    revocation::DETECTOR.id,
    root::DETECTOR.id,
    tool::DETECTOR.id,
];

/// Merges each anomaly whose records are all in a stronger one, if both lie in one stretch of anomalies without ten quiet
/// minutes: its id is then among `folded` of the stronger one.
pub(super) fn fold(mut anomalies: Vec<Anomaly>, accesses: &[Access]) -> Vec<Anomaly> {
    let stretches = stretches(&anomalies, accesses);
    let mut together: BTreeMap<usize, Vec<usize>> = BTreeMap::new();
    for (place, anomaly) in anomalies.iter().enumerate() {
        if let Some(stretch) = only(anomaly, &stretches) {
            together.entry(stretch).or_default().push(place);
        }
    }
    let mut into: BTreeMap<usize, usize> = BTreeMap::new();
    for places in together.values_mut() {
        // The strongest first, so that what is folded never has something folded into it.
        places.sort_by_key(|place| anomalies.get(*place).map(|it| (Reverse(it.weight), it.records.len())));
        for place in places.iter() {
            let Some(weak) = anomalies.get(*place) else { continue };
            let holder = places.iter().find(|other| {
                let strong = anomalies.get(**other);
                strong.is_some_and(|strong| strong.weight > weak.weight && holds(strong, weak))
            });
            into.extend(holder.map(|holder| (*place, *holder)));
        }
    }
    for (place, holder) in &into {
        let Some(detector) = anomalies.get(*place).map(|it| it.detector) else { continue };
        if let Some(strong) = anomalies.get_mut(*holder) {
            strong.folded.push(detector);
            strong.folded.sort_unstable();
            strong.folded.dedup();
        }
    }
    let kept = anomalies.into_iter().enumerate().filter(|(place, _)| !into.contains_key(place));
    kept.map(|(_, anomaly)| anomaly).collect()
}

/// The stretch of each record that has a time.
fn stretches(anomalies: &[Anomaly], accesses: &[Access]) -> BTreeMap<usize, usize> {
    let records: BTreeSet<usize> = anomalies.iter().flat_map(|it| it.records.iter().copied()).collect();
    let timed = records.into_iter().filter_map(|record| {
        let access = accesses.get(record)?;
        Some((access.credential.as_str(), access.time?, record))
    });
    let mut timed: Vec<_> = timed.collect();
    timed.sort_unstable();
    let runs = timed.chunk_by(|a, b| a.0 == b.0 && b.1.duration_since(a.1) <= GAP);
    runs.enumerate()
        .flat_map(|(number, run)| run.iter().map(move |(_, _, record)| (*record, number)))
        .collect()
}

/// The one stretch that all records are in.
fn only(anomaly: &Anomaly, stretches: &BTreeMap<usize, usize>) -> Option<usize> {
    let mut numbers = anomaly.records.iter().map(|record| stretches.get(record).copied());
    let first = numbers.next().flatten()?;
    numbers.all(|number| number == Some(first)).then_some(first)
}

fn holds(strong: &Anomaly, weak: &Anomaly) -> bool {
    // That something could not be judged is said by nothing else.
    weak.detector != instance::DETECTOR.id
        && (WHO.contains(&weak.detector) || !WHO.contains(&strong.detector))
        && weak.records.len() <= strong.records.len()
        && weak.records.iter().all(|record| strong.records.binary_search(record).is_ok())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::detect::{Weight, planted};

    fn anomaly(detector: &'static str, weight: Weight, records: &[usize]) -> Anomaly {
        Anomaly {
            id: String::new(),
            content: String::new(),
            detector,
            weight,
            title: String::new(),
            credential: "AKIAPLANTED".to_owned(),
            from: None,
            to: None,
            records: records.to_vec(),
            addresses: Vec::new(),
            folded: Vec::new(),
        }
    }

    fn told(anomalies: Vec<Anomaly>, seconds: &[i64]) -> Vec<(&'static str, Vec<&'static str>)> {
        let log: Vec<Access> = seconds.iter().map(|at| planted::used(*at, "s3:GetObject", "")).collect();
        fold(anomalies, &log).into_iter().map(|it| (it.detector, it.folded)).collect()
    }

    #[test]
    fn what_a_stronger_one_says_too_is_folded_into_it() {
        let all = || {
            vec![
                anomaly("weak", Weight::Low, &[0, 2]),
                anomaly("strong", Weight::High, &[0, 1, 2]),
                anomaly("middle", Weight::Medium, &[0, 2]),
                anomaly("other", Weight::Low, &[2, 3]),
            ]
        };
        assert_eq!(
            told(all(), &[0, 60, 120, 180]),
            [("strong", vec!["middle", "weak"]), ("other", vec![])],
            "a record of its own keeps the last one"
        );
        assert_eq!(told(all(), &[0, 4_000, 8_000, 9_000]).len(), 4, "far apart in time");
    }

    #[test]
    fn what_was_done_is_not_folded_into_who_did_it() {
        let all = vec![
            anomaly("new-address", Weight::High, &[0, 1]),
            anomaly("pagination", Weight::Low, &[0, 1]),
            anomaly("new-agent", Weight::Low, &[0]),
        ];
        assert_eq!(told(all, &[0, 60]), [("new-address", vec!["new-agent"]), ("pagination", vec![])]);
    }

    #[test]
    fn equals_stand_beside_each_other() {
        let all = vec![anomaly("a", Weight::High, &[0]), anomaly("b", Weight::High, &[0, 1])];
        assert_eq!(told(all, &[0, 1]).len(), 2);
        assert_eq!(told(vec![anomaly("a", Weight::Low, &[7])], &[]).len(), 1, "a place that is not there");
    }
}
