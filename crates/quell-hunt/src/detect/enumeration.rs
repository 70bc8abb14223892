//! `enumeration-burst`: somebody looks around.
//!
//! * Looks at: different `List*`, `Describe*` and `Get*` calls from one address, and of Vault different lists and looks at
//!   mounts and policies; lists and reviews of one's own rights in other logs, see [`super::acts`]; buckets that are asked about.
//! * Speaks from: 6 different ones within 10 minutes from an address, or more than 15 buckets within 10 seconds. What a service
//!   asks in the name of somebody is left out.
//! * Idea: Elastic's rules for discovery by the command line (more than 5 kinds of calls in 10 seconds); Sigma's for buckets (`aws_enum_buckets`).

use std::collections::BTreeMap;
use std::net::IpAddr;

use jiff::SignedDuration;

use super::Weight;
use super::acts::{Act, Named};
use super::call::Call;
use super::run::{Detector, Finding, Scene, Soft};
use super::trail::Use;
use super::window::{bursts, events};
use super::wording::{counted, listed};

pub(super) const DETECTOR: Detector = Detector { id: "enumeration-burst", soft: Soft::Habit, find };

const LEAST: usize = 6;
const SPAN: SignedDuration = SignedDuration::from_mins(10);
const BUCKETS: usize = 16;
const BUCKETS_SPAN: SignedDuration = SignedDuration::from_secs(10);

/// These read what is in things, not which things there are.
const CONTENTS: [&str; 8] = [
    "GetCallerIdentity",
    "GetItem",
    "GetObject",
    "GetParameter",
    "GetParameters",
    "GetParametersByPath",
    "GetRecords",
    "GetSecretValue",
];

fn find(scene: &Scene<'_>) -> Vec<Finding> {
    let mut origins: BTreeMap<Option<IpAddr>, Vec<Use<'_>>> = BTreeMap::new();
    for it in scene.uses.iter().filter(|it| !it.is_by_service() && looks_around(it.call())) {
        origins.entry(it.address).or_default().push(*it);
    }
    let mut findings = Vec::new();
    for uses in origins.values() {
        let calls = events(uses, |it| Some(look(it)));
        findings.extend(bursts(&calls, SPAN, LEAST).into_iter().map(|burst| {
            let names = burst.iter().map(|event| match (event.it.call(), event.key) {
                (Call::Named(named), _) => named.name(),
                (_, (name, _)) => name.to_owned(),
            });
            finding(
                "calls",
                format!("Somebody looked around: {}", listed(names)),
                burst.iter().map(|event| event.it.index),
            )
        }));
    }
    let buckets = events(scene.uses, bucket);
    findings.extend(bursts(&buckets, BUCKETS_SPAN, BUCKETS).into_iter().map(|burst| {
        let mut names: Vec<&str> = burst.iter().map(|event| event.key).collect();
        names.sort_unstable();
        names.dedup();
        let title =
            format!("{} were asked about within seconds: {}", counted(names.len(), "bucket"), listed(names));
        finding("buckets", title, burst.iter().map(|event| event.it.index))
    }));
    findings
}

fn finding(kind: &str, title: String, records: impl Iterator<Item = usize>) -> Finding {
    Finding { kind: kind.to_owned(), weight: Weight::Medium, title, records: records.collect() }
}

fn looks_around(call: Call<'_>) -> bool {
    match call {
        Call::Aws { name, .. } => {
            ["List", "Describe", "Get"].iter().any(|verb| name.starts_with(verb)) && !CONTENTS.contains(&name)
        }
        Call::Vault { operation: "list" | "scan", .. } => true,
        Call::Vault { operation, path } => {
            let about =
                ["sys/mounts", "sys/auth", "sys/policy", "sys/policies", "sys/internal/ui", "sys/audit"];
            operation == "read" && about.iter().any(|start| path.starts_with(start))
        }
        Call::Named(named) => named.does(Act::Looks),
        Call::Http { .. } | Call::Other => false,
    }
}

/// What makes it another look than others.
fn look<'a>(it: &Use<'a>) -> (&'a str, &'a str) {
    match it.call() {
        Call::Named(named) => named.look(),
        Call::Aws { .. } | Call::Http { .. } | Call::Other | Call::Vault { .. } => (&it.access.action, ""),
    }
}

/// The bucket that a call is about, if it asks about the bucket itself.
fn bucket<'a>(it: &Use<'a>) -> Option<&'a str> {
    let asks = match it.call() {
        Call::Aws { service: "s3", name } => {
            ["GetBucket", "HeadBucket", "ListObjects", "ListBucketV", "ListMultipart", "GetPublicAccess"]
                .iter()
                .any(|start| name.starts_with(start))
        }
        Call::Named(named @ Named::S3 { .. }) => named.does(Act::Looks),
        Call::Aws { .. } | Call::Http { .. } | Call::Named(_) | Call::Other | Call::Vault { .. } => false,
    };
    asks.then_some(())?;
    let resource = it.access.resource.as_deref()?;
    let rest = resource.strip_prefix("s3://").or_else(|| resource.strip_prefix("arn:aws:s3:::"))?;
    rest.split('/').next()
}

#[cfg(test)]
mod tests {
    use crate::detect::planted::{AWAY, fires, on, silent, used, vault};
    use crate::record::Access;

    const ASKED: [&str; 6] = [
        "iam:ListUsers",
        "iam:ListRoles",
        "ec2:DescribeInstances",
        "s3:ListBuckets",
        "iam:GetAccountSummary",
        "lambda:ListFunctions20150331",
    ];

    fn look(asked: &[&str], pause: i64, address: &str) -> Vec<Access> {
        asked.iter().zip(1..).map(|(name, n)| used(n * pause, name, address)).collect()
    }

    #[test]
    fn six_kinds_of_looks_in_ten_minutes_are_a_burst() {
        let all = fires("enumeration-burst", &look(&ASKED, 100, AWAY));
        insta::assert_snapshot!(
            all[0].title,
            @"Somebody looked around: `iam:ListUsers`, `iam:ListRoles`, `ec2:DescribeInstances` and 3 more"
        );
        assert_eq!(all[0].records.len(), 6);
        let lists: Vec<Access> = (0..6).map(|n| vault(n, &format!("list kv/metadata/{n}"), AWAY)).collect();
        fires("enumeration-burst", &lists);
    }

    #[test]
    fn slow_few_repeated_or_a_services_looks_are_none() {
        silent("enumeration-burst", &look(&ASKED, 130, AWAY));
        silent("enumeration-burst", &look(&ASKED[1..], 1, AWAY));
        silent("enumeration-burst", &look(&["ec2:DescribeInstances"; 40], 1, AWAY));
        silent("enumeration-burst", &look(&ASKED, 1, "cloudformation.amazonaws.com"));
        let mut two = look(&ASKED[..3], 1, AWAY);
        two.extend(look(&ASKED[3..], 1, "192.0.2.8"));
        silent("enumeration-burst", &two);
    }

    #[test]
    fn buckets_asked_about_at_once_are_a_burst() {
        let ask = |n: i64| on(used(n / 2, "s3:GetBucketAcl", AWAY), &format!("s3://bucket-{n}"));
        let all = fires("enumeration-burst", &(0..16).map(ask).collect::<Vec<_>>());
        assert!(
            all[0].title.starts_with("16 buckets were asked about within seconds: `bucket-0`"),
            "{}",
            all[0].title
        );
        silent("enumeration-burst", &(0..15).map(ask).collect::<Vec<_>>());
    }
}
