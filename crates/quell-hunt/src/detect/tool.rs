//! `attack-tool`: the user agent names a tool of attackers, or a system made for them.
//!
//! * Looks at: user agents of all uses, also of those before the exposure: nobody's baseline should have them.
//! * Speaks from: any. Tools that defenders run as well weigh less.
//! * Idea: Sigma's `aws_cloudtrail_pua_trufflehog` and `aws_iam_s3browser_*`; Suzaku's rules from honeypots. The list is own.

use std::collections::{BTreeMap, BTreeSet};

use super::Weight;
use super::run::{Detector, Finding, Scene, Soft};
use super::wording::{quoted, times};

pub(super) const DETECTOR: Detector = Detector { id: "attack-tool", soft: Soft::Known, find };

/// In lower case.
const TOOLS: [(&str, Weight); 28] = [
    ("aws_consoler", Weight::High),
    ("aws-pentest", Weight::High),
    ("blackarch", Weight::High),
    ("cloudfox", Weight::High),
    ("enumerate-iam", Weight::High),
    ("feroxbuster", Weight::High),
    ("gobuster", Weight::High),
    ("kali", Weight::High),
    ("masscan", Weight::High),
    ("nikto", Weight::High),
    ("pacu", Weight::High),
    ("parrot", Weight::High),
    ("peirates", Weight::High),
    ("pentoo", Weight::High),
    ("sqlmap", Weight::High),
    ("weirdaal", Weight::High),
    ("zgrab", Weight::High),
    ("cloudmapper", Weight::Medium),
    ("gitleaks", Weight::Medium),
    ("kingfisher", Weight::Medium),
    ("nuclei", Weight::Medium),
    ("prowler", Weight::Medium),
    ("rclone", Weight::Medium),
    ("s3browser", Weight::Medium),
    ("s3 browser", Weight::Medium),
    ("scoutsuite", Weight::Medium),
    ("stratus-red-team", Weight::Medium),
    ("trufflehog", Weight::Medium),
];

fn find(scene: &Scene<'_>) -> Vec<Finding> {
    let mut seen: BTreeMap<&str, Option<(&'static str, Weight)>> = BTreeMap::new();
    let mut found: BTreeMap<&'static str, (Weight, BTreeSet<usize>)> = BTreeMap::new();
    for it in scene.earlier.iter().chain(scene.uses).chain(&scene.trail.dead) {
        let Some(agent) = it.access.agent.as_deref() else { continue };
        if let Some((tool, weight)) = *seen.entry(agent).or_insert_with(|| tool(agent)) {
            found.entry(tool).or_insert((weight, BTreeSet::new())).1.insert(it.index);
        }
    }
    let findings = found.into_iter().map(|(tool, (weight, records))| Finding {
        kind: tool.to_owned(),
        weight,
        title: format!("The user agent named {}, {}", quoted(tool), times(records.len())),
        records: records.into_iter().collect(),
    });
    findings.collect()
}

/// The strongest that stands in it as a word: `kali` in `Linux/5.15.0-kali3-amd64`, not in `kaliningrad`.
fn tool(agent: &str) -> Option<(&'static str, Weight)> {
    let agent = agent.to_lowercase();
    let is_letter = |c: Option<char>| c.is_some_and(char::is_alphabetic);
    let stands = |name: &str| {
        agent.match_indices(name).any(|(at, _)| {
            let before = agent.get(..at).and_then(|before| before.chars().next_back());
            let after = agent.get(at + name.len()..).and_then(|after| after.chars().next());
            !is_letter(before) && !is_letter(after)
        })
    };
    TOOLS.into_iter().find(|(name, _)| stands(name))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::detect::Context;
    use crate::detect::planted::{AWAY, HOME, by, context, fires, ordinary, said, silent, used};

    #[test]
    fn tools_are_told_by_their_names() {
        let kali = "aws-cli/1.22 Python/3.9 Linux/5.15.0-kali3-amd64 botocore/1.23";
        let all = fires("attack-tool", &[by(used(1, "s3:ListBuckets", AWAY), kali)]);
        insta::assert_snapshot!(all[0].title, @"The user agent named `kali`, once");
        assert_eq!(all[0].weight, Weight::High);
        for (agent, is) in [
            ("TruffleHog", "trufflehog"),
            ("S3 Browser/11", "s3 browser"),
            ("Linux/5.18.0-14parrot1", "parrot"),
        ] {
            assert_eq!(tool(agent).unwrap().0, is);
        }
    }

    #[test]
    fn no_baseline_is_needed_and_one_does_not_help() {
        let log = ordinary(&[by(used(-99_999, "s3:ListBuckets", AWAY), "pacu/1")]);
        assert_eq!(said("attack-tool", &log, &context()).len(), 1);
        assert_eq!(said("attack-tool", &log, &Context { exposed: None, ..context() }).len(), 1);
    }

    #[test]
    fn words_that_only_contain_a_name_are_none() {
        silent("attack-tool", &[by(used(1, "s3:ListBuckets", HOME), "kaliningrad/1 impacus nucleic")]);
        assert_eq!(tool(""), None);
    }
}
