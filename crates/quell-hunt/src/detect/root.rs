//! `vault-root`: a token with the policy `root` was used, or one was being made.
//!
//! * Looks at: records of Vault whose caller had the policy (the reader of the format writes ` (root)` behind the caller), and
//!   `sys/generate-root`.
//! * Speaks from: any. Root is for the setup and for emergencies.
//! * Idea: Datadog's rule for root tokens of Vault; `HashiCorp`'s list of alerts for the first day.

use super::Weight;
use super::call::Call;
use super::run::{Detector, Finding, Scene, Soft};
use super::trail::Use;
use super::wording::times;
use crate::format::Format;

pub(super) const DETECTOR: Detector = Detector { id: "vault-root", soft: Soft::Known, find };

fn find(scene: &Scene<'_>) -> Vec<Finding> {
    let (mut made, mut used) = (Vec::new(), Vec::new());
    for it in scene.uses {
        if makes_root(it) {
            made.push(it.index);
        } else if it.access.format == Format::Vault
            && it.access.actor.as_deref().is_some_and(|actor| actor.ends_with(" (root)"))
        {
            used.push(it.index);
        }
    }
    // The weight of use is less, so that what was done with it is not folded away.
    let used_title = format!("It has the policy `root`, and was used {}", times(used.len()));
    let made_title = format!("A root token was asked for {}", times(made.len()));
    let both = [("used", Weight::Medium, used_title, used), ("made", Weight::High, made_title, made)];
    let findings = both.into_iter().filter(|(_, _, _, records)| !records.is_empty());
    findings
        .map(|(kind, weight, title, records)| Finding { kind: kind.to_owned(), weight, title, records })
        .collect()
}

fn makes_root(it: &Use<'_>) -> bool {
    match it.call() {
        Call::Vault { operation, path } => operation != "read" && path.starts_with("sys/generate-root"),
        Call::Aws { .. } | Call::Http { .. } | Call::Other => false,
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
        let all = fires("vault-root", &[by(vault(60, "read kv/data/x", AWAY), "token (root)")]);
        insta::assert_snapshot!(all[0].title, @"It has the policy `root`, and was used once");
        let all = fires("vault-root", &[vault(60, "update sys/generate-root/attempt", AWAY)]);
        assert_eq!(all[0].weight, Weight::High);
    }

    #[test]
    fn others_are_none() {
        silent("vault-root", &[by(vault(60, "read kv/data/x", AWAY), "root-cause-bot")]);
        silent("vault-root", &[by(used(60, "s3:GetObject", AWAY), "arn:aws:iam::1:user/x (root)")]);
        silent("vault-root", &[vault(60, "read sys/generate-root/attempt", AWAY)]);
    }
}
