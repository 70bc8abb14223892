//! `many-networks`: one key was used from several networks at once.
//!
//! * Looks at: whose the public addresses are, without the owner's own. Where no data tells the autonomous system, a /16 of IPv4
//!   and a /32 of IPv6 stand in for it ([`super::network`]); a large holder has many of them, so these weigh little. AWS's own
//!   networks do not count for reads and writes of data: its services and the owner's machines there fetch those all day.
//! * Speaks from: 2 in 30 minutes; it weighs more if the kind of program differs, too.
//! * Idea: Elastic's rule for a token used from several addresses.

use std::collections::BTreeSet;

use jiff::SignedDuration;

use super::Weight;
use super::agent::family;
use super::call::Call;
use super::network::{Holder, is_public};
use super::run::{Detector, Finding, Scene, Soft};
use super::trail::Use;
use super::window::{Event, bursts, events};
use super::wording::listed;
use crate::format::Format;

pub(super) const DETECTOR: Detector = Detector { id: "many-networks", soft: Soft::Habit, find };

const LEAST: usize = 2;
const SPAN: SignedDuration = SignedDuration::from_mins(30);

fn find(scene: &Scene<'_>) -> Vec<Finding> {
    let events = events(scene.uses, |it| {
        it.address.filter(|address| is_public(*address) && !it.is_known)?;
        it.holder().filter(|holder| !(holder.is_aws() && is_about_data(it)))
    });
    let bursts = bursts(&events, SPAN, LEAST).into_iter();
    let findings = bursts.map(|burst| {
        let holders: BTreeSet<Holder> = burst.iter().map(|event| event.key).collect();
        let systems = holders.iter().filter(|holder| holder.is_system()).count() >= LEAST;
        let differs = programs_differ(burst);
        let also = if differs { ", by different programs" } else { "" };
        Finding {
            // Many networks by one program are not the habit that makes two programs ordinary.
            kind: if differs { "programs" } else { "networks" }.to_owned(),
            weight: match (systems, differs) {
                (true, true) => Weight::High,
                (true, false) | (false, true) => Weight::Medium,
                (false, false) => Weight::Low,
            },
            title: format!(
                "It was used from {} networks within half an hour{also}: {}",
                holders.len(),
                listed(holders.iter().map(|holder| told(*holder, burst)))
            ),
            records: burst.iter().map(|event| event.it.index).collect(),
        }
    });
    findings.collect()
}

/// A system with its name.
fn told(holder: Holder, burst: &[Event<'_, Holder>]) -> String {
    let event = burst.iter().find(|event| event.key == holder && holder.is_system());
    let registered = event.and_then(|event| event.it.registered);
    registered.map_or_else(|| holder.to_string(), ToString::to_string)
}

/// Calls on data, as CloudTrail's data events of S3, Lambda and `DynamoDB` tell them
/// (<https://docs.aws.amazon.com/awscloudtrail/latest/userguide/logging-data-events-with-cloudtrail.html>), and all of S3's own log.
fn is_about_data(it: &Use<'_>) -> bool {
    const ITEMS: [&str; 11] = [
        "BatchGetItem",
        "BatchWriteItem",
        "DeleteItem",
        "ExecuteStatement",
        "GetItem",
        "PutItem",
        "Query",
        "Scan",
        "TransactGetItems",
        "TransactWriteItems",
        "UpdateItem",
    ];
    match it.call() {
        Call::Aws { service: "s3", name } => {
            name.contains("Object") || name.contains("Part") || name.contains("MultipartUpload")
        }
        Call::Aws { service: "lambda", name } => name.starts_with("Invoke"),
        Call::Aws { service: "dynamodb", name } => ITEMS.contains(&name),
        Call::Named(_) => it.access.format == Format::S3,
        Call::Aws { .. } | Call::Http { .. } | Call::Other | Call::Vault { .. } => false,
    }
}

/// Whether some network has none of the programs of another one.
fn programs_differ(burst: &[Event<'_, Holder>]) -> bool {
    let pairs: BTreeSet<(Holder, &str)> =
        burst.iter().filter_map(|event| Some((event.key, event.it.access.agent.as_deref()?))).collect();
    let mut by_network: Vec<(Holder, BTreeSet<String>)> = Vec::new();
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
    use crate::detect::planted::{self, AWAY, CLOUD, HOME, by, context, fires, ordinary, said, silent, used};
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
    fn with_registrations_systems_weigh_more_than_blocks() {
        let data = planted::registered();
        let context = || Context { registered: Some(&data), ..context() };
        let log = |more| ordinary(&[used(36_000, "s3:GetObject", HOME), more]);
        let all = said("many-networks", &log(used(36_009, "s3:GetObject", AWAY)), &context());
        insta::assert_snapshot!(
            all[0].title,
            @"It was used from 2 networks within half an hour: `AS64496 Owner's Provider, NL` and `AS64500 Example Net, BR`"
        );
        assert_eq!(all[0].weight, Weight::Medium);
        let other = by(used(36_009, "s3:GetObject", AWAY), "curl/8");
        assert_eq!(said("many-networks", &log(other), &context())[0].weight, Weight::High);
        // Two blocks of one provider are one, and AWS's networks fetch data all day.
        for own in [used(36_009, "s3:GetObject", "192.0.2.80"), used(36_009, "s3:GetObject", CLOUD)] {
            assert_eq!(said("many-networks", &log(own), &context()), []);
        }
        assert_eq!(said("many-networks", &log(used(36_009, "iam:ListUsers", CLOUD)), &context()).len(), 1);
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
