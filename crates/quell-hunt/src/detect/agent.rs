//! `new-agent`: a program used it that never did before.
//!
//! * Looks at: the family of the user agent, which is its first word without the version.
//! * Speaks from: one that the baseline does not have; without a baseline it is silent. A user agent is whatever the caller
//!   writes, so it weighs little.
//! * Idea: the `AnomalousBehavior` findings of Amazon's `GuardDuty`, which compare user agents.

use std::collections::BTreeMap;

use super::Weight;
use super::run::{Detector, Finding, Scene, Soft};
use super::trail::Use;
use super::wording::quoted;

pub(super) const DETECTOR: Detector = Detector { id: "new-agent", soft: Soft::Known, find };

/// Longer ones are cut: no program has such a name.
const LONGEST: usize = 40;

/// What kind of program a user agent says it is.
pub(super) fn family(agent: &str) -> String {
    let agent = agent.trim_start_matches(|c: char| !c.is_alphanumeric());
    let end = agent.find(|c: char| c == '/' || c == ';' || c == ',' || c.is_whitespace());
    let word = agent.get(..end.unwrap_or(agent.len())).unwrap_or_default();
    word.chars().take(LONGEST).flat_map(char::to_lowercase).collect()
}

fn find(scene: &Scene<'_>) -> Vec<Finding> {
    let Some(habits) = scene.habits else { return Vec::new() };
    let mut agents: BTreeMap<&str, Vec<Use<'_>>> = BTreeMap::new();
    for it in scene.uses.iter().filter(|it| !it.is_by_service()) {
        if let Some(agent) = it.access.agent.as_deref() {
            agents.entry(agent).or_default().push(*it);
        }
    }
    let mut families: BTreeMap<String, Vec<usize>> = BTreeMap::new();
    for (agent, uses) in agents {
        let family = family(agent);
        if !family.is_empty() && !habits.families.contains(&family) {
            families.entry(family).or_default().extend(uses.iter().map(|it| it.index));
        }
    }
    let findings = families.into_iter().map(|(family, records)| Finding {
        kind: "agent".to_owned(),
        weight: Weight::Low,
        title: format!("{} used it, which it never did before by its user agent", quoted(&family)),
        records,
    });
    findings.collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::detect::Context;
    use crate::detect::planted::{HOME, by, context, fires, ordinary, said, silent, used};

    #[test]
    fn a_family_is_the_first_word() {
        for (agent, is) in [
            ("aws-cli/2.15.0 Python/3.11", "aws-cli"),
            ("[S3Console/0.4, aws-internal/3]", "s3console"),
            ("Mozilla/5.0 (X11)", "mozilla"),
            ("", ""),
            ("[[[", ""),
        ] {
            assert_eq!(family(agent), is);
        }
    }

    #[test]
    fn a_program_that_never_used_it_is_told() {
        let all = fires("new-agent", &[by(used(36_000, "s3:GetObject", HOME), "python-requests/2.31")]);
        insta::assert_snapshot!(all[0].title, @"`python-requests` used it, which it never did before by its user agent");
    }

    #[test]
    fn another_version_is_none_and_nothing_is_without_a_baseline() {
        silent("new-agent", &[by(used(36_000, "s3:GetObject", HOME), "Boto3/2.0 new")]);
        let log = ordinary(&[by(used(1, "s3:GetObject", HOME), "curl/8")]);
        assert_eq!(said("new-agent", &log, &Context { exposed: None, ..context() }), []);
    }
}
