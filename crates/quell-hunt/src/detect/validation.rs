//! `key-validation`: whoever finds a key asks first whose it is.
//!
//! * Looks at: the first use from each address; `sts:GetCallerIdentity`, Vault's `auth/token/lookup-self`, Kubernetes's
//!   `selfsubject…reviews`, `/me` of Microsoft's Graph.
//! * Speaks from: any, if the address was not seen before in the log and is not the owner's own. No baseline is needed;
//!   machines that change their address and start with the same call make it a habit.
//! * Idea: the observed first move on keys in leaked `.env` files (Yamato Security's suzaku-rules, #63).

use std::collections::BTreeSet;
use std::net::IpAddr;

use super::Weight;
use super::acts::Act;
use super::call::Call;
use super::run::{Detector, Finding, Scene, Soft};
use super::wording::{listed, quoted};

pub(super) const DETECTOR: Detector = Detector { id: "key-validation", soft: Soft::Habit, find };

fn find(scene: &Scene<'_>) -> Vec<Finding> {
    let mut seen: BTreeSet<IpAddr> = scene.earlier.iter().filter_map(|it| it.address).collect();
    let mut findings = Vec::new();
    for it in scene.uses.iter().filter(|it| it.access.time.is_some()) {
        let Some(address) = it.address else { continue };
        if !seen.insert(address) || it.is_known || !asks_who(it.call()) {
            continue;
        }
        findings.push(Finding {
            kind: "validation".to_owned(),
            weight: Weight::Medium,
            title: format!(
                "{} was the first call from {}",
                quoted(&it.access.action),
                listed([address.to_string()])
            ),
            records: vec![it.index],
        });
    }
    findings
}

fn asks_who(call: Call<'_>) -> bool {
    match call {
        Call::Aws { service, name } => service == "sts" && name == "GetCallerIdentity",
        Call::Vault { path, .. } => path == "auth/token/lookup-self",
        Call::Named(named) => named.does(Act::AsksWho),
        Call::Http { .. } | Call::Other => false,
    }
}

#[cfg(test)]
mod tests {
    use crate::detect::planted::{AWAY, HOME, fires, ordinary, said, silent, used, vault};
    use crate::detect::{Weight, planted};

    #[test]
    fn the_first_call_from_a_new_address_asks_whose_key_it_is() {
        let all = fires(
            "key-validation",
            &[used(60, "sts:GetCallerIdentity", AWAY), used(90, "s3:ListBuckets", AWAY)],
        );
        insta::assert_snapshot!(all[0].title, @"`sts:GetCallerIdentity` was the first call from `203.0.113.9`");
        assert_eq!((all[0].weight, all[0].records.len()), (Weight::Medium, 1));
        assert_eq!(all[0].addresses, [AWAY]);
        fires("key-validation", &[vault(60, "read auth/token/lookup-self", AWAY)]);
    }

    #[test]
    fn a_later_call_or_an_old_address_is_no_validation() {
        silent("key-validation", &[used(60, "sts:GetCallerIdentity", HOME)]);
        silent(
            "key-validation",
            &[used(60, "s3:ListBuckets", AWAY), used(61, "sts:GetCallerIdentity", AWAY)],
        );
        silent("key-validation", &[used(60, "sts:GetCallerIdentity", "cloudformation.amazonaws.com")]);
    }

    #[test]
    fn a_habit_and_a_known_address_weigh_less() {
        let runner = |day: i64, address: &str| used(day * 86_400, "sts:GetCallerIdentity", address);
        let log = ordinary(&[runner(-4, "192.0.2.1"), runner(-3, "192.0.2.2"), runner(1, "192.0.2.3")]);
        let all = said("key-validation", &log, &planted::context());
        assert_eq!((all.len(), all[0].weight), (1, Weight::Low));
        insta::assert_snapshot!(
            all[0].title,
            @"`sts:GetCallerIdentity` was the first call from `192.0.2.3`, as it was before the exposure"
        );
        let known = ["192.0.2.0/24".to_owned()];
        let context = crate::detect::Context { known: &known, ..planted::context() };
        assert_eq!(said("key-validation", &log, &context), []);
    }
}
