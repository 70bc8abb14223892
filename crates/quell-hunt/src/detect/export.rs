//! `bulk-export`: many objects were fetched.
//!
//! * Looks at: different objects that `s3:GetObject` read. Bytes sent, clones of repositories and dumps of databases are not
//!   in an access record.
//! * Speaks from: 20 objects in 10 minutes, and with a baseline more than five times what ten minutes usually had. Without a
//!   baseline it weighs less: programs read many objects.
//! * Idea: Panther's rule for large downloads from S3, Elastic's for clones; the factor is own.

use jiff::SignedDuration;

use super::Weight;
use super::call::Call;
use super::run::{Detector, Finding, Scene, Soft};
use super::trail::Use;
use super::window::{bursts, events, usual};
use super::wording::{counted, listed};

pub(super) const DETECTOR: Detector = Detector { id: "bulk-export", soft: Soft::Known, find };

const LEAST: usize = 20;
const SPAN: SignedDuration = SignedDuration::from_mins(10);

fn find(scene: &Scene<'_>) -> Vec<Finding> {
    let now = events(scene.uses, object);
    if now.is_empty() {
        return Vec::new();
    }
    let usual = if scene.habits.is_some() { usual(&events(scene.earlier, object), SPAN) } else { 0 };
    let least = LEAST.max(usual.saturating_mul(5).saturating_add(1));
    let bursts = bursts(&now, SPAN, least).into_iter();
    let findings = bursts.map(|burst| {
        let mut names: Vec<&str> = burst.iter().map(|event| event.key).collect();
        names.sort_unstable();
        names.dedup();
        Finding {
            kind: "objects".to_owned(),
            weight: if scene.habits.is_some() { Weight::High } else { Weight::Medium },
            title: format!(
                "{} were fetched one after another: {}",
                counted(names.len(), "object"),
                listed(names)
            ),
            records: burst.iter().map(|event| event.it.index).collect(),
        }
    });
    findings.collect()
}

fn object<'a>(it: &Use<'a>) -> Option<&'a str> {
    let is_fetch = it.call() == Call::Aws { service: "s3", name: "GetObject" };
    if is_fetch && it.may_be_done() { it.access.resource.as_deref() } else { None }
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
