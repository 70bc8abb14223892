//! `privilege-climb`: from one address came first reads, then a write, then something for administrators.
//!
//! * Looks at: uses that may have been done, by address; what is for administrators is what `persistence` and
//!   `defence-evasion` list, and of other logs what [`super::acts`] says that only administrators should do. The owner's own addresses and those of the baseline are left out.
//! * Speaks from: one such order within a day. Without a baseline every address counts, and it weighs less.
//! * Idea: own.

use std::collections::BTreeMap;
use std::net::IpAddr;

use jiff::SignedDuration;

use super::acts::Act;
use super::run::{Detector, Finding, Scene, Soft};
use super::trail::Use;
use super::wording::{listed, quoted};
use super::{Weight, evasion, persistence};

pub(super) const DETECTOR: Detector = Detector { id: "privilege-climb", soft: Soft::Never, find };

const SPAN: SignedDuration = SignedDuration::from_hours(24);

/// How far it got from an address.
#[derive(Clone, Copy, Debug, Default)]
struct Climb {
    read: Option<usize>,
    write: Option<usize>,
    admin: Option<usize>,
}

fn find(scene: &Scene<'_>) -> Vec<Finding> {
    let mut climbs: BTreeMap<IpAddr, Climb> = BTreeMap::new();
    for (place, it) in scene.uses.iter().enumerate() {
        let Some(address) = it.address.filter(|_| !it.is_known && it.may_be_done()) else { continue };
        if it.access.time.is_none() || scene.habits.is_some_and(|habits| habits.addresses.contains(&address))
        {
            continue;
        }
        let climb = climbs.entry(address).or_default();
        let call = it.call();
        if persistence::lasts(call) || evasion::evades(call) || call.does(Act::Rules) {
            climb.admin.get_or_insert(place);
        } else if it.access.reads == Some(true) {
            climb.read.get_or_insert(place);
        } else if it.access.reads == Some(false) {
            climb.write.get_or_insert(place);
        }
    }
    climbs.into_iter().filter_map(|(address, climb)| finding(scene, address, climb)).collect()
}

fn finding(scene: &Scene<'_>, address: IpAddr, climb: Climb) -> Option<Finding> {
    let at = |place: Option<usize>| -> Option<Use<'_>> { scene.uses.get(place?).copied() };
    let (read, write, admin) = (at(climb.read)?, at(climb.write)?, at(climb.admin)?);
    let in_order = climb.read < climb.write && climb.write < climb.admin;
    let took = admin.access.time?.duration_since(read.access.time?);
    if !in_order || took > SPAN {
        return None;
    }
    Some(Finding {
        kind: "climb".to_owned(),
        weight: if scene.habits.is_some() { Weight::Medium } else { Weight::Low },
        title: format!(
            "{} read first ({}), then wrote ({}), then called {}",
            listed([address.to_string()]),
            quoted(&read.call().name()),
            quoted(&write.call().name()),
            quoted(&admin.call().name())
        ),
        records: vec![read.index, write.index, admin.index],
    })
}

#[cfg(test)]
mod tests {
    use crate::detect::planted::{AWAY, HOME, context, denied, fires, ordinary, reads, said, silent, used};
    use crate::detect::{Context, Weight};
    use crate::record::Access;

    fn climb(address: &str) -> Vec<Access> {
        vec![
            reads(used(3_600, "s3:ListBuckets", address), true),
            reads(used(7_200, "s3:PutObject", address), false),
            reads(used(10_800, "iam:CreateUser", address), false),
        ]
    }

    #[test]
    fn reading_writing_ruling_is_a_climb() {
        let all = fires("privilege-climb", &climb(AWAY));
        insta::assert_snapshot!(
            all[0].title,
            @"`203.0.113.9` read first (`s3:ListBuckets`), then wrote (`s3:PutObject`), then called `iam:CreateUser`"
        );
        assert_eq!((all[0].weight, all[0].records.len()), (Weight::Medium, 3));
        let unjudged = Context { exposed: None, ..context() };
        assert_eq!(said("privilege-climb", &ordinary(&climb(AWAY)), &unjudged)[0].weight, Weight::Low);
    }

    #[test]
    fn another_order_or_an_old_address_is_none() {
        silent("privilege-climb", &climb(HOME));
        silent("privilege-climb", &climb(AWAY)[1..]);
        silent("privilege-climb", &climb(AWAY).into_iter().map(denied).collect::<Vec<_>>());
        let mut written_first = climb(AWAY);
        written_first[1].time = Some(crate::detect::planted::exposed());
        silent("privilege-climb", &written_first);
        let mut slow = climb(AWAY);
        slow[2].time = used(3_600 + 86_401, "", AWAY).time;
        silent("privilege-climb", &slow);
        let mut other = climb(AWAY);
        other[2].time = Some(crate::detect::planted::exposed());
        silent("privilege-climb", &other);
    }
}
