//! `rare-call`: calls and errors that it never had before.
//!
//! * Looks at: the kind of each call (of Vault the operation and mount, of HTTP the method) and the word of each error.
//! * Speaks from: the first of each that the baseline does not have; those of one go are told together. Without a baseline it is
//!   silent. It is mostly noise, and folded into what else is told about the same records. With data about registrations, also
//!   the first of a call that is not new from each country.
//! * Idea: Elastic's machine-learning jobs for rare errors and rare methods (by country, too) in CloudTrail, as plain first-seen.

use std::collections::BTreeSet;

use super::Weight;
use super::run::{Detector, Finding, Scene, Soft};
use super::trail::Use;
use super::window::{self, GAP};
use super::wording::listed;

pub(super) const DETECTOR: Detector = Detector { id: "rare-call", soft: Soft::Known, find };

fn find(scene: &Scene<'_>) -> Vec<Finding> {
    let Some(habits) = scene.habits else { return Vec::new() };
    let (mut calls, mut errors, mut places) = (BTreeSet::new(), BTreeSet::new(), BTreeSet::new());
    let (mut new_calls, mut new_errors, mut new_places) = (Vec::new(), Vec::new(), Vec::new());
    for it in scene.uses {
        if let Some(sort) = it.call().sort()
            && !habits.calls.contains(&sort)
            && calls.insert(sort)
        {
            new_calls.push(*it);
        }
        if let Some(error) = it.access.outcome.code()
            && !habits.errors.contains(error)
            && errors.insert(error)
        {
            new_errors.push(*it);
        }
        if let Some(place) = it.country().zip(it.call().sort())
            && habits.calls.contains(&place.1)
            && !habits.countries.is_empty()
            && !habits.calls_by_country.contains(&place)
            && places.insert(place)
        {
            new_places.push(*it);
        }
    }
    let mut findings = told(&new_calls, "call", Weight::Info, |it| it.call().name());
    findings.extend(told(&new_errors, "error", Weight::Low, |it| {
        it.access.outcome.code().unwrap_or_default().to_owned()
    }));
    findings.extend(told(&new_places, "call from this country", Weight::Info, |it| {
        format!("{} from {}", it.call().name(), it.country().unwrap_or_default())
    }));
    findings
}

fn told(uses: &[Use<'_>], kind: &str, weight: Weight, name: impl Fn(&Use<'_>) -> String) -> Vec<Finding> {
    let findings = window::runs(uses, GAP).into_iter().map(|run| Finding {
        kind: kind.to_owned(),
        weight,
        title: format!("It never had this {kind} before: {}", listed(run.iter().map(&name))),
        records: run.iter().map(|it| it.index).collect(),
    });
    findings.collect()
}

#[cfg(test)]
mod tests {
    use crate::detect::Context;
    use crate::detect::planted::{
        self, AWAY, HOME, context, denied, fires, ordinary, said, silent, used, vault,
    };

    #[test]
    fn first_calls_and_errors_are_told_by_go() {
        let more = [
            used(36_100, "ec2:RunInstances", HOME),
            denied(used(36_200, "s3:GetObject", HOME)),
            used(36_300, "ec2:RunInstances", HOME),
            used(39_900, "ses:SendEmail", HOME),
        ];
        let mut again = denied(used(36_400, "s3:GetObject", HOME));
        again.outcome = crate::record::Outcome::Denied("AccessDenied: to something else".to_owned());
        let more = [&more[..], &[again]].concat();
        let all = fires("rare-call", &more);
        let titles: Vec<&str> = all.iter().map(|it| it.title.as_str()).collect();
        insta::assert_debug_snapshot!(titles, @r#"
        [
            "It never had this call before: `ec2:RunInstances`",
            "It never had this error before: `AccessDenied`",
            "It never had this call before: `ses:SendEmail`",
        ]
        "#);
    }

    #[test]
    fn a_usual_call_from_another_country_is_told() {
        let data = planted::registered();
        let context = Context { registered: Some(&data), ..context() };
        let log = ordinary(&[used(36_100, "s3:GetObject", AWAY), used(36_101, "s3:GetObject", "192.0.2.80")]);
        let all = said("rare-call", &log, &context);
        assert!(all.iter().any(|it| it.records.len() == 1 && it.addresses == [AWAY]), "{all:?}");
        assert_eq!(said("rare-call", &ordinary(&[]), &context), []);
        assert_eq!(said("rare-call", &log, &Context { registered: None, ..context }), []);
    }

    #[test]
    fn usual_calls_and_no_baseline_are_none() {
        silent("rare-call", &[used(1, "s3:PutObject", AWAY)]);
        let log = ordinary(&[vault(1, "read kv/data/x", AWAY)]);
        assert_eq!(said("rare-call", &log, &Context { exposed: None, ..context() }), []);
    }
}
