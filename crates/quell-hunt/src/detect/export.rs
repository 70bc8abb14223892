//! `bulk-export`: much was copied out.
//!
//! * Looks at: different objects that `s3:GetObject` read, or what other logs call it; different repositories that were cloned; calls
//!   that copy much at once (`COPY TO`, `SELECT … INTO OUTFILE`, `pg_dump`, an export of a database or a disk; see [`super::acts`]).
//! * Speaks from: 20 objects in 10 minutes, 10 repositories in 6 minutes or 25 in a day, and with a baseline more than five times
//!   what such a stretch usually had; any call that copies much at once, unless the baseline has it. Without a baseline it weighs
//!   less: programs read many objects, and backups are dumps.
//! * Idea: Panther's rule for large downloads from S3, Elastic's for clones; the factor and the dumps are own.

use std::collections::{BTreeMap, BTreeSet};

use jiff::SignedDuration;

use super::Weight;
use super::acts::{Act, Named};
use super::call::Call;
use super::run::{Detector, Finding, Scene, Soft};
use super::trail::Use;
use super::window::{self, GAP, bursts, events, usual};
use super::wording::{counted, listed, quoted, times};

pub(super) const DETECTOR: Detector = Detector { id: "bulk-export", soft: Soft::Known, find };

/// What is counted, from which number on in which time, and a word for it.
#[derive(Clone, Copy)]
struct Limit {
    picks: for<'a, 'b> fn(&'b Use<'a>) -> Option<&'a str>,
    least: usize,
    span: SignedDuration,
    noun: &'static str,
    was: &'static str,
}

const OBJECTS: Limit =
    Limit { picks: object, least: 20, span: SignedDuration::from_mins(10), noun: "object", was: "fetched" };
const CLONES: Limit = Limit {
    picks: repository,
    least: 10,
    span: SignedDuration::from_mins(6),
    noun: "repository",
    was: "cloned",
};
const SLOW_CLONES: Limit = Limit { least: 25, span: SignedDuration::from_hours(24), ..CLONES };

fn find(scene: &Scene<'_>) -> Vec<Finding> {
    let mut findings = many(scene, OBJECTS);
    let clones = many(scene, CLONES);
    // A burst of clones says more than that there were many in a day.
    findings.extend(if clones.is_empty() { many(scene, SLOW_CLONES) } else { clones });
    findings.extend(dumps(scene));
    findings
}

fn many(scene: &Scene<'_>, limit: Limit) -> Vec<Finding> {
    let now = events(scene.uses, limit.picks);
    if now.is_empty() {
        return Vec::new();
    }
    let usual =
        if scene.habits.is_some() { usual(&events(scene.earlier, limit.picks), limit.span) } else { 0 };
    let least = limit.least.max(usual.saturating_mul(5).saturating_add(1));
    let bursts = bursts(&now, limit.span, least).into_iter();
    let findings = bursts.map(|burst| {
        let mut names: Vec<&str> = burst.iter().map(|event| event.key).collect();
        names.sort_unstable();
        names.dedup();
        Finding {
            kind: limit.noun.to_owned(),
            weight: weight(scene),
            title: format!(
                "{} were {} one after another: {}",
                counted(names.len(), limit.noun),
                limit.was,
                listed(names)
            ),
            records: burst.iter().map(|event| event.it.index).collect(),
        }
    });
    findings.collect()
}

fn weight(scene: &Scene<'_>) -> Weight {
    if scene.habits.is_some() { Weight::High } else { Weight::Medium }
}

fn object<'a>(it: &Use<'a>) -> Option<&'a str> {
    let call = it.call();
    let is_fetch = call == Call::Aws { service: "s3", name: "GetObject" } || call.does(Act::Fetches);
    if is_fetch && it.may_be_done() { it.access.resource.as_deref() } else { None }
}

fn repository<'a>(it: &Use<'a>) -> Option<&'a str> {
    if it.call().does(Act::Clones) && it.may_be_done() { it.access.resource.as_deref() } else { None }
}

/// Calls of which one is enough.
fn dumps(scene: &Scene<'_>) -> Vec<Finding> {
    let before: BTreeSet<String> =
        scene.earlier.iter().filter(|it| it.call().does(Act::Dumps)).map(|it| dump(it.call())).collect();
    let mut kinds: BTreeMap<String, Vec<Use<'_>>> = BTreeMap::new();
    for it in scene.uses.iter().filter(|it| it.may_be_done() && it.call().does(Act::Dumps)) {
        kinds.entry(dump(it.call())).or_default().push(*it);
    }
    let new = kinds.into_iter().filter(|(name, _)| scene.habits.is_none() || !before.contains(name));
    let findings = new.flat_map(|(name, list)| {
        let runs = window::runs(&list, GAP).into_iter();
        let findings = runs.map(|run| Finding {
            kind: name.clone(),
            weight: weight(scene),
            title: format!("{} copied data out, {}", quoted(&name), times(run.len())),
            records: run.iter().map(|it| it.index).collect(),
        });
        findings.collect::<Vec<_>>()
    });
    findings.collect()
}

/// What copied: the program, if it is one for dumps, or the call.
fn dump(call: Call<'_>) -> String {
    match call {
        Call::Named(Named::Sql { program, .. }) if program.starts_with("pg_") => program.to_owned(),
        Call::Named(_) | Call::Aws { .. } | Call::Http { .. } | Call::Other | Call::Vault { .. } => {
            call.name()
        }
    }
}

#[cfg(test)]
mod tests {
    use crate::detect::planted::{AWAY, context, fires, ordinary, said, silent, used};
    use crate::detect::{Context, Weight, planted};
    use crate::record::Access;

    fn fetched(count: i64, start: i64) -> Vec<Access> {
        let fetch = |n| planted::on(used(start + n, "s3:GetObject", AWAY), &format!("s3://orders/{n:03}"));
        (0..count).map(fetch).collect()
    }

    #[test]
    fn twenty_objects_in_ten_minutes_are_an_export() {
        let all = fires("bulk-export", &fetched(20, 60));
        insta::assert_snapshot!(
            all[0].title,
            @"20 objects were fetched one after another: `s3://orders/000`, `s3://orders/001`, `s3://orders/002` and 17 more"
        );
        assert_eq!(all[0].weight, Weight::High);
        let unjudged = Context { exposed: None, ..context() };
        assert_eq!(said("bulk-export", &ordinary(&fetched(20, 60)), &unjudged)[0].weight, Weight::Medium);
    }

    #[test]
    fn fewer_and_usual_numbers_are_none() {
        silent("bulk-export", &fetched(19, 60));
        let mut log: Vec<_> = (-5..0).flat_map(|day| fetched(8, day * 86_400)).collect();
        log.extend(fetched(40, 60));
        silent("bulk-export", &log);
        log.extend(fetched(41, 9_000));
        fires("bulk-export", &log);
    }
}
