//! `off-hours`: it was used while its owner sleeps.
//!
//! * Looks at: the hour of the day, in UTC; the owner's zone is not known, and only differs by a shift.
//! * Speaks from: 3 uses, with less than an hour between two, in hours that hold less than one in 200 of the baseline. Without a
//!   baseline it is silent, and so it is if the baseline's hours are flat, as those of a machine are: their entropy is above
//!   nine tenths of the largest possible.
//! * Idea: own.

use jiff::SignedDuration;

use super::Weight;
use super::baseline::clock;
use super::run::{Detector, Finding, Scene, Soft};
use super::trail::Use;
use super::window::runs;
use super::wording::times;

pub(super) const DETECTOR: Detector = Detector { id: "off-hours", soft: Soft::Known, find };

const LEAST: usize = 3;
const GAP: SignedDuration = SignedDuration::from_hours(1);
/// One in so many.
const RARE: u64 = 200;
const FLAT: f64 = 0.9;

fn find(scene: &Scene<'_>) -> Vec<Finding> {
    let Some(habits) = scene.habits.filter(|habits| !is_flat(&habits.hours)) else { return Vec::new() };
    let total: u64 = habits.hours.iter().copied().map(u64::from).sum();
    let is_rare = |hour: usize| {
        habits.hours.get(hour).is_some_and(|count| u64::from(*count).saturating_mul(RARE) < total)
    };
    let is_off = |it: &&Use<'_>| it.access.time.is_some_and(|time| is_rare(clock(time).1));
    let off: Vec<Use<'_>> = scene.uses.iter().filter(is_off).copied().collect();
    let runs = runs(&off, GAP).into_iter().filter(|run| run.len() >= LEAST);
    let findings = runs.map(|run| Finding {
        kind: "hours".to_owned(),
        weight: Weight::Low,
        title: format!("It was used {} at an hour at which it hardly ever was before", times(run.len())),
        records: run.iter().map(|it| it.index).collect(),
    });
    findings.collect()
}

fn is_flat(hours: &[u32; 24]) -> bool {
    let total: f64 = hours.iter().copied().map(f64::from).sum();
    let parts = hours.iter().filter(|count| **count > 0).map(|count| f64::from(*count) / total);
    let entropy: f64 = parts.map(|part| -part * part.ln()).sum();
    entropy > FLAT * 24_f64.ln()
}

#[cfg(test)]
mod tests {
    use super::is_flat;
    use crate::detect::planted::{HOME, context, fires, ordinary, said, silent, used};
    use crate::record::Access;

    fn night(count: i64) -> Vec<Access> {
        (0..count).map(|n| used(2 * 3_600 + n * 900, "s3:GetObject", HOME)).collect()
    }

    #[test]
    fn three_uses_at_night_are_told() {
        let all = fires("off-hours", &night(3));
        insta::assert_snapshot!(all[0].title, @"It was used 3 times at an hour at which it hardly ever was before");
        silent("off-hours", &night(2));
    }

    #[test]
    fn a_machine_has_no_night() {
        let mut log = night(3);
        log.extend((-240..0).map(|hour| used(hour * 3_600 + 60, "s3:GetObject", HOME)));
        silent("off-hours", &log);
        assert_eq!(said("off-hours", &ordinary(&night(3))[100..], &context()), [], "without a baseline");
    }

    #[test]
    fn flat_is_all_day() {
        assert!(is_flat(&[7; 24]));
        assert!(!is_flat(&[0; 24]));
        let mut day = [0; 24];
        day[8..18].fill(9);
        assert!(!is_flat(&day));
    }
}
