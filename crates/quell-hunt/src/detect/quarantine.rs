//! `provider-quarantine`: AWS saw the leak itself and put its policy on the user.
//!
//! * Looks at: every record about the credential, uses or not, for the names of AWS's quarantine policies in the action, the
//!   resource, what was made, and the text of a refusal.
//! * Speaks from: any. The time is an independent "exposed since"; one that lies before the exposure that was given says that
//!   the exposure began earlier.
//! * Idea: Panther's `aws_iam_compromised_key_quarantine` (panther-analysis #59).

use super::Weight;
use super::run::{Detector, Finding, Scene, Soft};
use super::trail::Use;
use super::wording::quoted;

pub(super) const DETECTOR: Detector = Detector { id: "provider-quarantine", soft: Soft::Never, find };

/// Their beginnings: versions follow.
const POLICIES: [&str; 2] = ["AWSCompromisedKeyQuarantine", "AWSExposedCredentialPolicy_DO_NOT_REMOVE"];

fn find(scene: &Scene<'_>) -> Vec<Finding> {
    let seen: Vec<(&Use<'_>, &str)> =
        scene.trail.all.iter().filter_map(|it| policy(it).map(|policy| (it, policy))).collect();
    let Some((first, policy)) = seen.first() else { return Vec::new() };
    let begun = first.access.time.zip(scene.trail.exposed).is_some_and(|(time, exposed)| time < exposed);
    let when = match (begun, first.access.time) {
        (true, _) => "before the exposure that was given: it began earlier",
        (false, Some(_)) => "it was exposed by then at the latest",
        (false, None) => "the log does not say when",
    };
    vec![Finding {
        kind: "quarantine".to_owned(),
        weight: Weight::High,
        title: format!("The provider saw the leak itself and attached {}, {when}", quoted(policy)),
        records: seen.iter().map(|(it, _)| it.index).collect(),
    }]
}

/// The name of the policy with its version.
fn policy<'a>(it: &Use<'a>) -> Option<&'a str> {
    let access = it.access;
    let made = access.made.iter().map(|made| made.id.as_str());
    let texts = [Some(access.action.as_str()), access.resource.as_deref(), access.outcome.detail()];
    texts.into_iter().flatten().chain(made).find_map(|text| {
        let (at, name) = POLICIES.iter().find_map(|name| Some((text.find(name)?, name)))?;
        let rest = text.get(at..)?;
        let more = rest.get(name.len()..)?.find(|c: char| !(c.is_ascii_alphanumeric() || c == '_'));
        more.map_or(Some(rest), |more| rest.get(..name.len() + more))
    })
}

#[cfg(test)]
mod tests {
    use crate::detect::Weight;
    use crate::detect::planted::{AWAY, fires, on, silent, used};
    use crate::record::Role;

    #[test]
    fn the_policy_of_the_provider_is_told_though_it_is_no_use() {
        for (seconds, policy) in
            [(60, "AWSCompromisedKeyQuarantineV3"), (-99, "AWSExposedCredentialPolicy_DO_NOT_REMOVE")]
        {
            let arn = format!("arn:aws:iam::aws:policy/{policy} for ci");
            let mut attached = on(used(seconds, "iam:AttachUserPolicy", "AWS Internal"), &arn);
            attached.role = Role::Mentioned;
            let all = fires("provider-quarantine", &[attached]);
            assert!(all[0].title.contains(&format!("`{policy}`")), "{}", all[0].title);
            assert_eq!((all[0].weight, all[0].title.contains("earlier")), (Weight::High, seconds < 0));
            assert!(all[0].addresses.is_empty());
        }
    }

    #[test]
    fn other_policies_are_none() {
        silent(
            "provider-quarantine",
            &[on(used(60, "iam:AttachUserPolicy", AWAY), "arn:aws:iam::aws:policy/ReadOnlyAccess")],
        );
    }
}
