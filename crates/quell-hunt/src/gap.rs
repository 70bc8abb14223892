//! Where logs are missing, or seem to be.
//!
//! CloudTrail delivers about every five minutes while there is activity. A long silence of one account and region, against
//! what is usual there, suggests that objects are missing; it proves nothing, as there may have been no activity.

use std::collections::BTreeMap;

use jiff::{SignedDuration, Timestamp};
use serde::{Deserialize, Serialize};

use crate::layout::Stream;
use crate::object::Object;

/// A stretch without objects.
#[derive(Clone, Debug, Deserialize, Eq, PartialEq, Serialize)]
pub struct Gap {
    /// The account and region that it is of.
    pub stream: String,
    /// The last object before it, or the start of the window.
    pub from: Timestamp,
    /// The first object after it, or the end of the window.
    pub to: Timestamp,
    /// How sure it is that something is missing.
    pub strength: Strength,
    /// Why it was taken for one, or why that cannot be judged.
    pub why: String,
}

/// What a gap is worth.
#[derive(Clone, Copy, Debug, Deserialize, Eq, Ord, PartialEq, PartialOrd, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Strength {
    /// Too few objects to say what is usual.
    TooQuiet,
    /// Longer than is usual; there may have been no activity.
    Suggestive,
    /// A digest proves that something is not there: deleted, or not given.
    Missing,
    /// A digest proves that something was changed.
    Altered,
}

impl Strength {
    /// The word for people.
    pub fn word(self) -> &'static str {
        match self {
            Self::TooQuiet => "too quiet to judge",
            Self::Suggestive => "suggestive",
            Self::Missing => "proven: missing",
            Self::Altered => "proven: altered",
        }
    }
}

/// What is proven first, then by stream and time.
pub(crate) fn sort(gaps: &mut [Gap]) {
    gaps.sort_by(|a, b| {
        b.strength
            .cmp(&a.strength)
            .then_with(|| (&a.stream, a.from, a.to, &a.why).cmp(&(&b.stream, b.from, b.to, &b.why)))
    });
}

/// Fewer objects say nothing about what is usual.
const ENOUGH: usize = 20;

/// Gaps in the delivery of CloudTrail objects, per account and region.
pub(crate) fn find(objects: &[&Object], window: (Option<Timestamp>, Option<Timestamp>)) -> Vec<Gap> {
    let mut streams: BTreeMap<&Stream, Vec<Timestamp>> = BTreeMap::new();
    for delivery in objects.iter().filter_map(|object| object.delivery.as_ref()).filter(|it| !it.digest) {
        streams.entry(&*delivery.stream).or_default().push(delivery.at);
    }
    let mut gaps = Vec::new();
    for (name, mut times) in streams {
        times.sort_unstable();
        times.dedup();
        stream(&name.to_string(), &times, window, &mut gaps);
    }
    gaps
}

fn stream(
    name: &str,
    times: &[Timestamp],
    window: (Option<Timestamp>, Option<Timestamp>),
    gaps: &mut Vec<Gap>,
) {
    let [Some(first), Some(last)] = [times.first(), times.last()] else { return };
    if times.len() < ENOUGH {
        let why = format!("{} objects are too few to say what is usual", times.len());
        let (from, to) = (window.0.unwrap_or(*first), window.1.unwrap_or(*last));
        gaps.push(Gap { stream: name.to_owned(), from, to, strength: Strength::TooQuiet, why });
        return;
    }
    let mut steps: Vec<SignedDuration> =
        times.windows(2).filter_map(|pair| step(pair.first()?, pair.last()?)).collect();
    steps.sort_unstable();
    // Not the longest ones of few: they may be the gaps themselves, and would measure themselves.
    let (place, most) = (steps.len() * 99 / 100, steps.len().saturating_sub(3));
    let usual = steps.get(place.min(most)).copied().unwrap_or_default();
    let of = if place > most { "all but two" } else { "99 of 100" };
    let limit = SignedDuration::from_hours(1).max(usual.saturating_mul(6));
    // The edges of the window count, too: logs that begin late or end early are the commonest gap.
    let (start, end) = (window.0.unwrap_or(*first).min(*first), window.1.unwrap_or(*last).max(*last));
    let all: Vec<Timestamp> = std::iter::once(start).chain(times.iter().copied()).chain([end]).collect();
    for pair in all.windows(2) {
        let (Some(from), Some(to)) = (pair.first(), pair.last()) else { continue };
        let Some(length) = step(from, to).filter(|length| *length > limit) else { continue };
        let why = format!(
            "no object for {} minutes, where {} minutes pass between {of}",
            length.as_mins(),
            usual.as_mins().max(1)
        );
        gaps.push(Gap { stream: name.to_owned(), from: *from, to: *to, strength: Strength::Suggestive, why });
    }
}

fn step(from: &Timestamp, to: &Timestamp) -> Option<SignedDuration> {
    Some(to.duration_since(*from)).filter(|length| !length.is_negative())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(minute: i64) -> Timestamp {
        "2026-03-02T00:00:00Z"
            .parse::<Timestamp>()
            .unwrap()
            .checked_add(SignedDuration::from_mins(minute))
            .unwrap()
    }

    fn gaps(minutes: &[i64], window: (Option<Timestamp>, Option<Timestamp>)) -> Vec<Gap> {
        let times: Vec<Timestamp> = minutes.iter().map(|minute| at(*minute)).collect();
        let mut gaps = Vec::new();
        stream("1 eu-west-1", &times, window, &mut gaps);
        gaps
    }

    #[test]
    fn a_planted_gap_is_found_and_nothing_else() {
        let minutes: Vec<i64> =
            (0..400).map(|n| n * 5).filter(|minute| !(600..780).contains(minute)).collect();
        let found = gaps(&minutes, (None, None));
        let [gap] = found.as_slice() else { panic!("{found:?}") };
        assert_eq!((gap.from, gap.to, gap.strength), (at(595), at(780), Strength::Suggestive));
        let whole: Vec<i64> = (0..400).map(|n| n * 5).collect();
        assert_eq!(gaps(&whole, (None, None)), []);
        // A stream that is quiet by nature has none either.
        let slow: Vec<i64> = (0..50).map(|n| n * 50).collect();
        assert_eq!(gaps(&slow, (None, None)), []);
    }

    #[test]
    fn a_planted_gap_among_few_objects_does_not_hide_itself() {
        for count in [20, 30, 60, 99, 100, 101, 150, 250] {
            let minutes: Vec<i64> =
                (0..count).map(|n| n * 5 + if n >= count / 2 { 600 } else { 0 }).collect();
            let found = gaps(&minutes, (None, None));
            let [gap] = found.as_slice() else { panic!("{count}: {found:?}") };
            let from = (count / 2 - 1) * 5;
            assert_eq!((gap.from, gap.to, gap.strength), (at(from), at(from + 605), Strength::Suggestive));
            // A second one does not hide the first.
            let two: Vec<i64> =
                minutes.iter().enumerate().map(|(n, it)| it + if n > 15 { 700 } else { 0 }).collect();
            assert_eq!(gaps(&two, (None, None)).len(), 2 - usize::from(count / 2 == 16), "{count}");
        }
        // A silence that comes each night is usual.
        let nights: Vec<i64> = (0..5).flat_map(|day| (0..20).map(move |n| day * 1440 + n * 5)).collect();
        assert_eq!(gaps(&nights, (None, None)), []);
    }

    #[test]
    fn logs_that_begin_late_or_end_early_have_gaps() {
        let minutes: Vec<i64> = (0..100).map(|n| n * 5).collect();
        let found = gaps(&minutes, (Some(at(-300)), Some(at(900))));
        assert_eq!(
            found.iter().map(|gap| (gap.from, gap.to)).collect::<Vec<_>>(),
            [(at(-300), at(0)), (at(495), at(900))]
        );
    }

    #[test]
    fn few_objects_cannot_be_judged() {
        let found = gaps(&[0, 500], (None, None));
        assert_eq!(found[0].strength, Strength::TooQuiet);
    }
}
