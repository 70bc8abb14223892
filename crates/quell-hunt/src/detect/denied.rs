//! `denied-burst`: somebody tries what the credential may not do.
//!
//! * Looks at: refusals, but for those after the kill.
//! * Speaks from: 10 within 10 minutes.
//! * Idea: suzaku-rules #63 (10 in 10 minutes); Panther's rules say 15 in 10 minutes for reconnaissance.

use jiff::SignedDuration;

use super::Weight;
use super::run::{Detector, Finding, Scene, Soft};
use super::window::{bursts, events};
use super::wording::{counted, listed};
use crate::record::Outcome;

pub(super) const DETECTOR: Detector = Detector { id: "denied-burst", soft: Soft::Habit, find };

const LEAST: usize = 10;
const SPAN: SignedDuration = SignedDuration::from_mins(10);

fn find(scene: &Scene<'_>) -> Vec<Finding> {
    let denied = events(scene.uses, |it| matches!(it.access.outcome, Outcome::Denied(_)).then_some(it.index));
    let bursts = bursts(&denied, SPAN, LEAST).into_iter();
    let findings = bursts.map(|burst| Finding {
        kind: "denied".to_owned(),
        weight: Weight::Medium,
        title: format!(
            "{} in a short time were refused: {}",
            counted(burst.len(), "call"),
            listed(burst.iter().map(|event| event.it.call().name()))
        ),
        records: burst.iter().map(|event| event.it.index).collect(),
    });
    findings.collect()
}

#[cfg(test)]
mod tests {
    use crate::detect::planted::{AWAY, denied, fires, silent, used};

    #[test]
    fn ten_refusals_in_ten_minutes_are_a_burst() {
        let try_it = |n: i64| {
            denied(used(n * 60, if n % 2 == 0 { "iam:ListUsers" } else { "ec2:RunInstances" }, AWAY))
        };
        let all = fires("denied-burst", &(0..10).map(try_it).collect::<Vec<_>>());
        insta::assert_snapshot!(all[0].title, @"10 calls in a short time were refused: `iam:ListUsers` and `ec2:RunInstances`");
        silent("denied-burst", &(0..9).map(try_it).collect::<Vec<_>>());
        silent("denied-burst", &(0..30).map(|n| try_it(n * 2)).collect::<Vec<_>>());
    }
}
