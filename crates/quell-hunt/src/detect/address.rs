//! `new-address`: it came from where it never came from before.
//!
//! * Looks at: addresses of uses since the exposure. Names of services and the owner's own addresses are left out.
//! * Speaks from: one that the baseline does not have; without a baseline it is silent. An autonomous system that the baseline
//!   does not have weighs more than an address; without data about registrations a network does, see [`super::network`].
//! * Idea: Elastic's rules on new terms (key and address over ten days); the `AnomalousBehavior` findings of Amazon's `GuardDuty`.

use std::collections::BTreeMap;
use std::net::IpAddr;

use super::Weight;
use super::network::Holder;
use super::run::{Detector, Finding, Scene, Soft};
use super::trail::Use;
use super::wording::listed;

pub(super) const DETECTOR: Detector = Detector { id: "new-address", soft: Soft::Never, find };

fn find(scene: &Scene<'_>) -> Vec<Finding> {
    let Some(habits) = scene.habits else { return Vec::new() };
    let mut holders: BTreeMap<Holder, Vec<(IpAddr, Use<'_>)>> = BTreeMap::new();
    for it in scene.uses.iter().filter(|it| !it.is_known) {
        if let Some(address) = it.address.filter(|address| !habits.addresses.contains(address)) {
            holders.entry(Holder::of(address, it.registered)).or_default().push((address, *it));
        }
    }
    let findings = holders.into_iter().map(|(holder, uses)| {
        let is_new = !habits.holders.contains(&holder);
        let rest = match (holder, is_new) {
            (Holder::Block(_), true) => "in a network that is new, too",
            (Holder::Block(_), false) => "in a network that is not new",
            (Holder::System(_), true) => "registered to one that is new, too",
            (Holder::System(_), false) => "registered to one that is not new",
        };
        let abroad = uses.iter().any(|(_, it)| it.country().is_some_and(|it| !habits.countries.contains(it)));
        // Where no country of before is known, none can be new.
        let country = if abroad && !habits.countries.is_empty() { ", in a country that is new" } else { "" };
        Finding {
            kind: rest.to_owned(),
            weight: if is_new { Weight::Medium } else { Weight::Low },
            title: format!(
                "It came from {}, which it never did before, {rest} ({}){country}",
                listed(uses.iter().map(|(address, _)| address.to_string())),
                listed(uses.iter().map(|(_, it)| match (holder, it.registered) {
                    (Holder::System(_), Some(registered)) => registered.to_string(),
                    (Holder::System(_) | Holder::Block(_), _) => holder.to_string(),
                }))
            ),
            records: uses.iter().map(|(_, it)| it.index).collect(),
        }
    });
    findings.collect()
}

#[cfg(test)]
mod tests {
    use crate::detect::planted::{self, AWAY, HOME, context, fires, ordinary, said, silent, used};
    use crate::detect::{Context, Weight};

    #[test]
    fn a_new_address_is_told_and_a_new_network_weighs_more() {
        let all = fires(
            "new-address",
            &[used(40_000, "s3:GetObject", AWAY), used(40_001, "s3:GetObject", "198.51.9.9")],
        );
        insta::assert_snapshot!(
            all[0].title,
            @"It came from `203.0.113.9`, which it never did before, in a network that is new, too (`203.0.0.0/16`)"
        );
        assert_eq!((all[0].weight, all[1].weight), (Weight::Medium, Weight::Low));
    }

    #[test]
    fn with_registrations_a_system_weighs_more_than_an_address() {
        let data = planted::registered();
        let context = || Context { registered: Some(&data), ..context() };
        // Another block of the owner's provider; without data it would be a network that is new.
        let log = ordinary(&[used(75_600, "s3:GetObject", "192.0.2.80"), used(79_200, "s3:GetObject", AWAY)]);
        let all = said("new-address", &log, &context());
        let titles: Vec<(&str, Weight)> = all.iter().map(|it| (it.title.as_str(), it.weight)).collect();
        insta::assert_debug_snapshot!(titles, @r#"
        [
            (
                "It came from `192.0.2.80`, which it never did before, registered to one that is not new (`AS64496 Owner's Provider, NL`)",
                Low,
            ),
            (
                "It came from `203.0.113.9`, which it never did before, registered to one that is new, too (`AS64500 Example Net, BR`), in a country that is new",
                Medium,
            ),
        ]
        "#);
        assert_eq!(said("new-address", &ordinary(&[]), &context()), []);
    }

    #[test]
    fn old_known_and_services_addresses_are_none() {
        silent("new-address", &[used(1, "s3:GetObject", HOME), used(2, "s3:GetObject", "AWS Internal")]);
        let known = ["203.0.113.0/24".to_owned()];
        let log = ordinary(&[used(1, "s3:GetObject", AWAY)]);
        assert_eq!(said("new-address", &log, &Context { known: &known, ..context() }), []);
    }

    #[test]
    fn without_a_baseline_nothing_is_new() {
        let log = ordinary(&[used(1, "s3:GetObject", AWAY)]);
        assert_eq!(said("new-address", &log, &Context { exposed: None, ..context() }), []);
        assert_eq!(said("new-address", &log[100..], &context()), []);
    }
}
