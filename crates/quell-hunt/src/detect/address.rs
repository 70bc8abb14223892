//! `new-address`: it came from where it never came from before.
//!
//! * Looks at: addresses of uses since the exposure. Names of services and the owner's own addresses are left out.
//! * Speaks from: one that the baseline does not have; without a baseline it is silent. A network that the baseline does not
//!   have weighs more than an address, see [`super::network`] for what a network is here.
//! * Idea: Elastic's rules on new terms (key and address over ten days); the `AnomalousBehavior` findings of Amazon's `GuardDuty`.

use std::collections::BTreeMap;
use std::net::IpAddr;

use super::Weight;
use super::network::Network;
use super::run::{Detector, Finding, Scene, Soft};
use super::trail::Use;
use super::wording::listed;

pub(super) const DETECTOR: Detector = Detector { id: "new-address", soft: Soft::Never, find };

fn find(scene: &Scene<'_>) -> Vec<Finding> {
    let Some(habits) = scene.habits else { return Vec::new() };
    let mut networks: BTreeMap<Network, Vec<(IpAddr, Use<'_>)>> = BTreeMap::new();
    for it in scene.uses.iter().filter(|it| !it.is_known) {
        if let Some(address) = it.address.filter(|address| !habits.addresses.contains(address)) {
            networks.entry(Network::of(address)).or_default().push((address, *it));
        }
    }
    let findings = networks.into_iter().map(|(network, uses)| {
        let is_new = !habits.networks.contains(&network);
        let network = network.to_string();
        let rest = if is_new { "in a network that is new, too" } else { "in a network that is not new" };
        Finding {
            kind: rest.to_owned(),
            weight: if is_new { Weight::Medium } else { Weight::Low },
            title: format!(
                "It came from {}, which it never did before, {rest} ({})",
                listed(uses.iter().map(|(address, _)| address.to_string())),
                listed([network])
            ),
            records: uses.iter().map(|(_, it)| it.index).collect(),
        }
    });
    findings.collect()
}

#[cfg(test)]
mod tests {
    use crate::detect::planted::{AWAY, HOME, context, fires, ordinary, said, silent, used};
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
