//! Bursts and runs: which records lie close together in time.

use std::collections::BTreeMap;

use jiff::{SignedDuration, Timestamp};

use super::trail::Use;

/// Records further apart than this are not of one go.
pub(super) const GAP: SignedDuration = SignedDuration::from_mins(10);

/// A use with a time, and what is counted about it.
#[derive(Clone, Copy, Debug)]
pub(super) struct Event<'a, K> {
    pub(super) time: Timestamp,
    pub(super) it: Use<'a>,
    pub(super) key: K,
}

/// The uses that have a time and a key, in order.
pub(super) fn events<'a, K>(uses: &[Use<'a>], key: impl Fn(&Use<'a>) -> Option<K>) -> Vec<Event<'a, K>> {
    let timed = uses.iter().filter_map(|it| it.access.time.map(|time| (time, it)));
    timed.filter_map(|(time, it)| key(it).map(|key| Event { time, it: *it, key })).collect()
}

/// Stretches in which `least` different keys or more lie within `span`; stretches that overlap are one.
pub(super) fn bursts<'e, 'a, K: Ord + Copy>(
    events: &'e [Event<'a, K>],
    span: SignedDuration,
    least: usize,
) -> Vec<&'e [Event<'a, K>]> {
    let mut ranges: Vec<(usize, usize)> = Vec::new();
    let mut inside: BTreeMap<K, usize> = BTreeMap::new();
    let mut window = events.iter();
    let mut start = 0;
    for (end, event) in events.iter().enumerate() {
        *inside.entry(event.key).or_default() += 1;
        while let Some(first) = window.as_slice().first()
            && event.time.duration_since(first.time) > span
        {
            window.next();
            start += 1;
            if let Some(count) = inside.get_mut(&first.key) {
                *count -= 1;
                if *count == 0 {
                    inside.remove(&first.key);
                }
            }
        }
        if inside.len() >= least.max(1) {
            match ranges.last_mut() {
                Some((_, to)) if start < *to => *to = end + 1,
                _ => ranges.push((start, end + 1)),
            }
        }
    }
    ranges.into_iter().filter_map(|(from, to)| events.get(from..to)).collect()
}

/// Uses of one go each, with at most `gap` between two; those without a time are together.
pub(super) fn runs<'a>(uses: &[Use<'a>], gap: SignedDuration) -> Vec<Vec<Use<'a>>> {
    let close = |a: &Use<'_>, b: &Use<'_>| match (a.access.time, b.access.time) {
        (Some(a), Some(b)) => b.duration_since(a) <= gap,
        (None, None) => true,
        (Some(_), None) | (None, Some(_)) => false,
    };
    uses.chunk_by(close).map(<[Use<'_>]>::to_vec).collect()
}

/// How many different keys a stretch of this length had, but for the busiest hundredth of those that had any: what a burst is
/// compared with.
pub(super) fn usual<K: Ord + Copy>(events: &[Event<'_, K>], span: SignedDuration) -> usize {
    let seconds = span.as_secs().max(1);
    let mut bins: BTreeMap<i64, std::collections::BTreeSet<K>> = BTreeMap::new();
    for event in events {
        bins.entry(event.time.as_second().div_euclid(seconds)).or_default().insert(event.key);
    }
    let mut counts: Vec<usize> = bins.values().map(std::collections::BTreeSet::len).collect();
    counts.sort_unstable();
    let at = (counts.len() * 99).div_ceil(100).saturating_sub(1);
    counts.get(at).copied().unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::detect::planted;
    use crate::record::Access;

    fn uses(log: &[Access]) -> Vec<Use<'_>> {
        let uses = log.iter().enumerate();
        uses.map(|(index, access)| Use { index, access, address: None, is_known: false, registered: None })
            .collect()
    }

    #[test]
    fn a_burst_counts_different_keys_within_its_span() {
        let at = |seconds, name: &str| planted::used(seconds, name, "203.0.113.9");
        let log =
            [at(0, "a"), at(10, "b"), at(20, "b"), at(30, "c"), at(500, "a"), at(505, "b"), at(507, "c")];
        let uses = uses(&log);
        let events = events(&uses, |it| Some(it.access.action.as_str()));
        let places = |seconds, least| -> Vec<Vec<usize>> {
            let bursts = bursts(&events, SignedDuration::from_secs(seconds), least);
            bursts.into_iter().map(|burst| burst.iter().map(|event| event.it.index).collect()).collect()
        };
        assert_eq!(places(30, 3), [vec![0, 1, 2, 3], vec![4, 5, 6]]);
        assert_eq!(places(29, 3), [vec![4, 5, 6]]);
        assert_eq!(places(30, 4), Vec::<Vec<usize>>::new());
        assert_eq!(places(0, 0).len(), 7);
        assert_eq!(runs(&uses, SignedDuration::from_secs(60)).len(), 2);
        assert_eq!(usual(&events, SignedDuration::from_mins(1)), 3);
    }
}
