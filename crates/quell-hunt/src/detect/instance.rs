//! `instance-credential`: the credential of a machine in AWS was used outside of AWS.
//!
//! * Looks at: sessions whose name is the id of an instance (`…:assumed-role/ROLE/i-0123456789abcdef0`), as the metadata service
//!   hands them out (<https://docs.aws.amazon.com/AWSEC2/latest/UserGuide/instance-metadata-security-credentials.html>), and to
//!   whom their public addresses are registered. The owner's own addresses are left out: machines go out through them.
//! * Speaks from: any address that is not AWS's. Without data about registrations, or about an address, it says that it cannot
//!   judge.
//! * Idea: `InstanceCredentialExfiltration.OutsideAWS` of Amazon's `GuardDuty`.

use std::collections::BTreeMap;

use super::Weight;
use super::network::is_public;
use super::run::{Detector, Finding, Scene, Soft};
use super::trail::Use;
use super::wording::{listed, quoted};
use crate::registration::Registration;

pub(super) const DETECTOR: Detector = Detector { id: "instance-credential", soft: Soft::Never, find };

fn find(scene: &Scene<'_>) -> Vec<Finding> {
    let mut outside: BTreeMap<&str, Vec<Use<'_>>> = BTreeMap::new();
    let mut unclear: BTreeMap<&str, Vec<Use<'_>>> = BTreeMap::new();
    for it in scene.uses.iter().filter(|it| !it.is_known && it.address.is_some_and(is_public)) {
        let Some((instance, holder)) = it.access.actor.as_deref().and_then(instance).zip(it.holder()) else {
            continue;
        };
        if !holder.is_system() {
            unclear.entry(instance).or_default().push(*it);
        } else if !holder.is_aws() {
            outside.entry(instance).or_default().push(*it);
        }
    }
    let addresses =
        |uses: &[Use<'_>]| listed(uses.iter().filter_map(|it| it.address).map(|address| address.to_string()));
    let outside = outside.into_iter().map(|(instance, uses)| Finding {
        kind: "outside".to_owned(),
        weight: Weight::High,
        title: format!(
            "The credential of the instance {} was used outside of AWS: from {}, registered to {}",
            quoted(instance),
            addresses(&uses),
            listed(uses.iter().filter_map(|it| it.registered).map(Registration::to_string))
        ),
        records: uses.iter().map(|it| it.index).collect(),
    });
    let why = if scene.trail.has_registrations {
        "the data do not tell to whom these addresses are registered"
    } else {
        "without data about registrations (--geo)"
    };
    let unclear = unclear.into_iter().map(|(instance, uses)| Finding {
        kind: "unclear".to_owned(),
        weight: Weight::Info,
        title: format!(
            "Whether the credential of the instance {} was used outside of AWS, from {}, cannot be judged: {why}",
            quoted(instance),
            addresses(&uses)
        ),
        records: uses.iter().map(|it| it.index).collect(),
    });
    outside.chain(unclear).collect()
}

/// The id in the name of a session: eight or seventeen digits
/// (<https://docs.aws.amazon.com/AWSEC2/latest/UserGuide/resource-ids.html>).
fn instance(actor: &str) -> Option<&str> {
    let (_, session) = actor.split_once(":assumed-role/")?;
    let name = session.rsplit('/').next()?;
    let digits = name.strip_prefix("i-")?;
    let is_id = matches!(digits.len(), 8 | 17) && digits.bytes().all(|byte| byte.is_ascii_hexdigit());
    is_id.then_some(name)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::detect::Context;
    use crate::detect::planted::{AWAY, CLOUD, context, ordinary, registered, said, used};
    use crate::record::Access;

    const MACHINE: &str = "arn:aws:sts::111122223333:assumed-role/web/i-0123456789abcdef0";

    fn by_machine(address: &str) -> Access {
        Access { actor: Some(MACHINE.to_owned()), ..used(40_000, "s3:ListBuckets", address) }
    }

    #[test]
    fn a_machines_credential_elsewhere_is_told() {
        let data = registered();
        let context = Context { registered: Some(&data), ..context() };
        let all = said("instance-credential", &ordinary(&[by_machine(AWAY)]), &context);
        insta::assert_snapshot!(
            all[0].title,
            @"The credential of the instance `i-0123456789abcdef0` was used outside of AWS: from `203.0.113.9`, registered to `AS64500 Example Net, BR`"
        );
        assert_eq!((all.len(), all[0].weight), (1, Weight::High));
    }

    #[test]
    fn in_aws_at_the_owners_and_of_people_it_is_not() {
        let data = registered();
        let known = [AWAY.to_owned()];
        let context = Context { registered: Some(&data), ..context() };
        for silent in [CLOUD, "10.0.0.9", "ec2.amazonaws.com"] {
            assert_eq!(
                said("instance-credential", &ordinary(&[by_machine(silent)]), &context),
                [],
                "{silent}"
            );
        }
        let own = Context { known: &known, ..context };
        assert_eq!(said("instance-credential", &ordinary(&[by_machine(AWAY)]), &own), []);
        let person = used(40_000, "s3:ListBuckets", AWAY);
        assert_eq!(said("instance-credential", &ordinary(&[person]), &context), []);
        assert_eq!(said("instance-credential", &ordinary(&[]), &context), []);
    }

    #[test]
    fn without_data_it_says_that_it_cannot_judge() {
        let all = said("instance-credential", &ordinary(&[by_machine(AWAY)]), &context());
        insta::assert_snapshot!(
            all[0].title,
            @"Whether the credential of the instance `i-0123456789abcdef0` was used outside of AWS, from `203.0.113.9`, cannot be judged: without data about registrations (--geo)"
        );
        assert_eq!(all[0].weight, Weight::Info);
        let data = registered();
        let context = Context { registered: Some(&data), ..context() };
        let all = said("instance-credential", &ordinary(&[by_machine("203.0.113.77")]), &context);
        assert!(all[0].title.contains("the data do not tell"), "{}", all[0].title);
    }

    #[test]
    fn ids_of_instances_are_told_from_other_names() {
        assert_eq!(instance(MACHINE), Some("i-0123456789abcdef0"));
        assert_eq!(instance("arn:aws:sts::1:assumed-role/web/i-12345678"), Some("i-12345678"));
        for other in
            ["arn:aws:sts::1:assumed-role/web/i-ann", "arn:aws:iam::1:user/i-12345678", "i-12345678", ""]
        {
            assert_eq!(instance(other), None, "{other}");
        }
    }
}
