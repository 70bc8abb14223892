//! `many-networks`: one key was used from several networks at once.
//!
//! * Looks at: networks of public addresses, without the owner's own; see [`super::network`]: a /16 of IPv4 and a /32 of IPv6
//!   stand in for the holder (ASN), which is not known here. A large holder has many of them, so it weighs little.
//! * Speaks from: 2 in 30 minutes; it weighs more if the kind of program differs, too.
//! * Idea: Elastic's rule for a token used from several addresses.

use std::collections::BTreeSet;

use jiff::SignedDuration;

use super::Weight;
use super::agent::family;
use super::network::{Network, is_public};
use super::run::{Detector, Finding, Scene, Soft};
use super::window::{Event, bursts, events};
use super::wording::listed;

pub(super) const DETECTOR: Detector = Detector { id: "many-networks", soft: Soft::Habit, find };

const LEAST: usize = 2;
const SPAN: SignedDuration = SignedDuration::from_mins(30);

fn find(scene: &Scene<'_>) -> Vec<Finding> {
    let events = events(scene.uses, |it| {
        let address = it.address.filter(|address| is_public(*address) && !it.is_known)?;
        Some(Network::of(address))
    });
    let bursts = bursts(&events, SPAN, LEAST).into_iter();
    let findings = bursts.map(|burst| {
        let networks: BTreeSet<Network> = burst.iter().map(|event| event.key).collect();
        let differs = programs_differ(burst);
        let also = if differs { ", by different programs" } else { "" };
        Finding {
            // Many networks by one program are not the habit that makes two programs ordinary.
            kind: if differs { "programs" } else { "networks" }.to_owned(),
            weight: if differs { Weight::Medium } else { Weight::Low },
            title: format!(
                "It was used from {} networks within half an hour{also}: {}",
                networks.len(),
                listed(networks.iter().map(Network::to_string))
            ),
            records: burst.iter().map(|event| event.it.index).collect(),
        }
    });
    findings.collect()
}

/// Whether some network has none of the programs of another one.
fn programs_differ(burst: &[Event<'_, Network>]) -> bool {
    let pairs: BTreeSet<(Network, &str)> =
        burst.iter().filter_map(|event| Some((event.key, event.it.access.agent.as_deref()?))).collect();
    let mut by_network: Vec<(Network, BTreeSet<String>)> = Vec::new();
    for (network, agent) in pairs {
        match by_network.last_mut() {
            Some((last, families)) if *last == network => {
                families.insert(family(agent));
            }
            _ => by_network.push((network, BTreeSet::from([family(agent)]))),
        }
    }
    by_network
        .split_first()
        .is_some_and(|((_, first), rest)| rest.iter().any(|(_, other)| first.is_disjoint(other)))
}

#[cfg(test)]
mod tests {
    use crate::detect::planted::{AWAY, HOME, by, context, fires, ordinary, said, silent, used};
    use crate::detect::{Context, Weight};

    #[test]
    fn two_networks_in_half_an_hour_are_told() {
        let at = 36_000;
        let all = fires("many-networks", &[used(at + 1_700, "s3:GetObject", AWAY)]);
        insta::assert_snapshot!(
            all[0].title,
            @"It was used from 2 networks within half an hour: `198.51.0.0/16` and `203.0.0.0/16`"
        );
        assert_eq!(all[0].weight, Weight::Low);
        let all = fires("many-networks", &[by(used(at + 9, "s3:GetObject", AWAY), "curl/8")]);
        assert_eq!(all[0].weight, Weight::Medium);
    }

    #[test]
    fn one_network_private_ones_and_slow_changes_are_none() {
        let at = 36_000;
        silent(
            "many-networks",
            &[used(at, "s3:GetObject", "198.51.200.1"), used(at, "s3:GetObject", "10.0.0.1")],
        );
        silent("many-networks", &[used(3_600, "s3:GetObject", AWAY)]);
        let known = [HOME.to_owned()];
        let log = ordinary(&[used(at, "s3:GetObject", AWAY)]);
        assert_eq!(said("many-networks", &log, &Context { known: &known, ..context() }), []);
    }
}
