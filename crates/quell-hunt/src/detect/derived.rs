//! `derived-credential`: the credential made others, which have to be followed and killed, too.
//!
//! * Looks at: what records say was made (sessions, keys, tokens), and calls that make such things when the log does not say
//!   what they made: `sts:AssumeRole*`, `GetSessionToken`, `GetFederationToken`, `iam:CreateAccessKey`, Vault's
//!   `auth/token/create*` and logins; what [`super::acts`] lists of other logs.
//! * Speaks from: any that may have been done. A role that was assumed weighs less: programs do it all day.
//! * Idea: own.

use std::collections::BTreeMap;

use super::Weight;
use super::acts::Act;
use super::call::Call;
use super::run::{Detector, Finding, Scene, Soft};
use super::trail::Use;
use super::wording::{counted, listed, quoted, times};
use crate::record::MadeKind;

pub(super) const DETECTOR: Detector = Detector { id: "derived-credential", soft: Soft::Habit, find };

fn find(scene: &Scene<'_>) -> Vec<Finding> {
    let mut sorts: BTreeMap<String, Vec<Use<'_>>> = BTreeMap::new();
    for it in scene.uses.iter().filter(|it| it.may_be_done()) {
        let makes = maker(it.call());
        if makes || it.access.made.iter().any(|made| made.kind.is_credential()) {
            sorts.entry(it.call().long_name()).or_default().push(*it);
        }
    }
    sorts.into_iter().map(|(name, list)| finding(name, &list)).collect()
}

fn finding(name: String, list: &[Use<'_>]) -> Finding {
    let made: BTreeMap<&str, MadeKind> = list
        .iter()
        .flat_map(|it| &it.access.made)
        .filter(|made| made.kind.is_credential())
        .map(|made| (made.id.as_str(), made.kind))
        .collect();
    let called = format!("{} was called {}", quoted(&name), times(list.len()));
    let first = made.values().next();
    let title = match first {
        Some(kind) => {
            // Kinds differ only if a service hands out several; the first then stands for all.
            let noun = if made.values().all(|other| other == kind) { kind.word() } else { "credential" };
            format!("{called} and made {} ({})", counted(made.len(), noun), listed(made.keys()))
        }
        None => format!("{called}, and the log does not say which credential it made"),
    };
    let weight = if name.starts_with("sts:AssumeRole") { Weight::Low } else { Weight::Medium };
    let records = list.iter().map(|it| it.index).collect();
    Finding { kind: name, weight, title, records }
}

fn maker(call: Call<'_>) -> bool {
    match call {
        Call::Aws { service: "sts", name } => {
            name.starts_with("AssumeRole") || matches!(name, "GetFederationToken" | "GetSessionToken")
        }
        Call::Aws { service, name } => {
            service == "iam" && matches!(name, "CreateAccessKey" | "CreateServiceSpecificCredential")
        }
        Call::Vault { operation, path } => {
            let rest = path.strip_prefix("auth/").unwrap_or_default();
            matches!(operation, "create" | "update")
                && (rest.starts_with("token/create") || rest.ends_with("/login") || rest.contains("/login/"))
        }
        Call::Named(named) => named.does(Act::Derives),
        Call::Http { .. } | Call::Other => false,
    }
}

#[cfg(test)]
mod tests {
    use crate::detect::Weight;
    use crate::detect::planted::{self, AWAY, denied, fires, made, ordinary, said, silent, used, vault};
    use crate::record::MadeKind;

    #[test]
    fn what_it_made_is_named() {
        let session = |at, id| made(used(at, "sts:AssumeRole", AWAY), MadeKind::Session, id);
        let all = fires("derived-credential", &[session(60, "ASIAONE"), session(99, "ASIATWO")]);
        insta::assert_snapshot!(
            all[0].title,
            @"`sts:AssumeRole` was called twice and made 2 sessions (`ASIAONE` and `ASIATWO`)"
        );
        assert_eq!(all[0].weight, Weight::Low);
        let all = fires("derived-credential", &[vault(60, "update auth/token/create", AWAY)]);
        insta::assert_snapshot!(
            all[0].title,
            @"`update auth/token` was called once, and the log does not say which credential it made"
        );
        let other = made(used(60, "cognito-identity:Something", AWAY), MadeKind::Session, "ASIATHREE");
        assert_eq!(fires("derived-credential", &[other])[0].weight, Weight::Medium);
    }

    #[test]
    fn what_was_refused_or_is_no_credential_is_none() {
        silent("derived-credential", &[denied(used(60, "sts:GetFederationToken", AWAY))]);
        silent("derived-credential", &[made(used(60, "iam:CreateUser", AWAY), MadeKind::User, "eve")]);
        silent("derived-credential", &[used(60, "sts:GetCallerIdentity", AWAY)]);
    }

    #[test]
    fn a_role_that_was_always_assumed_is_worth_knowing() {
        let assume = |day: i64| used(day * 86_400, "sts:AssumeRole", planted::HOME);
        let all = said("derived-credential", &ordinary(&[assume(-3), assume(1)]), &planted::context());
        assert_eq!(all[0].weight, Weight::Info);
    }
}
