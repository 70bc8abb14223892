//! `root`: a credential that no rule holds was used, or one was being made.
//!
//! * Looks at: records of Vault whose caller had the policy `root`, those of Kubernetes whose caller was in the group
//!   `system:masters` (the readers of the formats write ` (root)` and ` (system:masters)` behind the caller), those of AWS whose
//!   caller is an account's own user, and `sys/generate-root`. Logs of databases do not say who is a superuser.
//! * Speaks from: any. Root is for the setup and for emergencies.
//! * Idea: Datadog's rule for root tokens of Vault; `HashiCorp`'s list of alerts for the first day.

use super::Weight;
use super::acts::Named;
use super::call::Call;
use super::run::{Detector, Finding, Scene, Soft};
use super::trail::Use;
use super::wording::times;

pub(super) const DETECTOR: Detector = Detector { id: "root", soft: Soft::Known, find };

fn find(scene: &Scene<'_>) -> Vec<Finding> {
    let (mut made, mut used, mut whats) = (Vec::new(), Vec::new(), Vec::new());
    for it in scene.uses {
        if makes_root(it) {
            made.push(it.index);
        } else if let Some(what) = above_rules(it) {
            used.push(it.index);
            whats.push(what);
        }
    }
    // The weight of use is less, so that what was done with it is not folded away.
    let used_title = format!("It {}, and was used {}", whats.first().unwrap_or(&""), times(used.len()));
    let made_title = format!("A root token was asked for {}", times(made.len()));
    let both = [("used", Weight::Medium, used_title, used), ("made", Weight::High, made_title, made)];
    let findings = both.into_iter().filter(|(_, _, _, records)| !records.is_empty());
    findings
        .map(|(kind, weight, title, records)| Finding { kind: kind.to_owned(), weight, title, records })
        .collect()
}

/// Why no rule holds the caller.
fn above_rules(it: &Use<'_>) -> Option<&'static str> {
    let actor = it.access.actor.as_deref()?;
    match it.call() {
        Call::Vault { .. } => actor.ends_with(" (root)").then_some("has the policy `root`"),
        Call::Named(Named::Kubernetes { .. }) => {
            actor.ends_with(" (system:masters)").then_some("is in the group `system:masters`")
        }
        Call::Aws { .. } | Call::Named(Named::S3 { .. }) => {
            (actor.starts_with("arn:") && actor.ends_with(":root")).then_some("is an account's own user")
        }
        Call::Http { .. } | Call::Named(_) | Call::Other => None,
    }
}

fn makes_root(it: &Use<'_>) -> bool {
    match it.call() {
        Call::Vault { operation, path } => operation != "read" && path.starts_with("sys/generate-root"),
        Call::Aws { .. } | Call::Http { .. } | Call::Named(_) | Call::Other => false,
    }
}

#[cfg(test)]
mod tests {
    use crate::detect::Weight;
    use crate::detect::planted::{AWAY, fires, silent, used, vault};
    use crate::record::Access;

    fn by(access: Access, actor: &str) -> Access {
        Access { actor: Some(actor.to_owned()), ..access }
    }

    #[test]
    fn root_is_told() {
        let all = fires("root", &[by(vault(60, "read kv/data/x", AWAY), "token (root)")]);
        insta::assert_snapshot!(all[0].title, @"It has the policy `root`, and was used once");
        let all = fires("root", &[vault(60, "update sys/generate-root/attempt", AWAY)]);
        assert_eq!(all[0].weight, Weight::High);
    }

    #[test]
    fn the_user_of_an_account_is_told() {
        let all = fires("root", &[by(used(60, "s3:GetObject", AWAY), "arn:aws:iam::111122223333:root")]);
        insta::assert_snapshot!(all[0].title, @"It is an account's own user, and was used once");
    }

    #[test]
    fn others_are_none() {
        silent("root", &[by(vault(60, "read kv/data/x", AWAY), "root-cause-bot")]);
        silent("root", &[by(used(60, "s3:GetObject", AWAY), "arn:aws:iam::1:user/x (root)")]);
        silent("root", &[vault(60, "read sys/generate-root/attempt", AWAY)]);
    }
}
