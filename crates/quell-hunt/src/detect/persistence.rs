//! `persistence`: something was made that outlives the credential.
//!
//! * Looks at: calls of AWS that make users, keys, passwords, rights and trust; Vault's writes of policies, auth methods,
//!   roles, users and tokens without a parent; what [`super::acts`] lists of other logs.
//! * Speaks from: any. One that was done weighs most, one that was refused shows what somebody wanted.
//! * Idea: the rules for CloudTrail of Sigma (such as `aws_iam_backdoor_users_keys`), Panther (`aws_iam_*`) and Suzaku.
//!
//! The lifetime of a token of Vault's is not in a record: a token with a long one is `derived-credential` only.

use std::collections::BTreeMap;

use super::Weight;
use super::acts::Act;
use super::call::{Call, Table};
use super::run::{Detector, Finding, Scene, Soft};
use super::trail::Use;
use super::window::{self, GAP};
use super::wording::{listed, quoted, times};
use crate::record::Outcome;

pub(super) const DETECTOR: Detector = Detector { id: "persistence", soft: Soft::Habit, find };

const CALLS: &Table = &[
    (
        "iam",
        &[
            "AddClientIDToOpenIDConnectProvider",
            "AddRoleToInstanceProfile",
            "AddUserToGroup",
            "AttachGroupPolicy",
            "AttachRolePolicy",
            "AttachUserPolicy",
            "CreateAccessKey",
            "CreateLoginProfile",
            "CreateOpenIDConnectProvider",
            "CreatePolicyVersion",
            "CreateRole",
            "CreateSAMLProvider",
            "CreateServiceSpecificCredential",
            "CreateUser",
            "DeactivateMFADevice",
            "DeleteRolePermissionsBoundary",
            "DeleteUserPermissionsBoundary",
            "PutGroupPolicy",
            "PutRolePolicy",
            "PutUserPolicy",
            "SetDefaultPolicyVersion",
            "UpdateAccessKey",
            "UpdateAssumeRolePolicy",
            "UpdateLoginProfile",
            "UpdateSAMLProvider",
            "UploadSSHPublicKey",
            "UploadSigningCertificate",
        ],
    ),
    ("ec2", &["CreateKeyPair", "ImportKeyPair"]),
    ("identitystore", &["CreateGroupMembership", "CreateUser"]),
    ("kms", &["CreateGrant", "PutKeyPolicy"]),
    ("lambda", &["AddPermission", "CreateFunctionUrlConfig"]),
    ("rolesanywhere", &["CreateProfile", "CreateTrustAnchor"]),
    ("s3", &["PutBucketPolicy"]),
    ("secretsmanager", &["PutResourcePolicy"]),
    ("sso", &["CreateAccountAssignment", "CreatePermissionSet"]),
];

/// Whether a call makes something that outlives the credential.
pub(super) fn lasts(call: Call<'_>) -> bool {
    call.is_in(CALLS) || call.vault_write().is_some_and(vault) || call.does(Act::Lasts)
}

fn vault(path: &str) -> bool {
    let begins =
        ["sys/policy/", "sys/policies/", "sys/auth/", "auth/token/create-orphan", "auth/token/roles/"];
    let rest = path.strip_prefix("auth/").and_then(|rest| rest.split_once('/')).map(|(_, rest)| rest);
    begins.iter().any(|start| path.starts_with(start))
        // Of whatever method: `auth/approle/role/x`, `auth/userpass/users/x`.
        || rest.is_some_and(|rest| ["role/", "users/", "groups/", "config"].iter().any(|it| rest.starts_with(it)))
        || path.starts_with("identity/entity-alias")
}

fn find(scene: &Scene<'_>) -> Vec<Finding> {
    let mut findings = grouped(scene.uses, lasts, |kind, group| {
        let made: Vec<&str> =
            group.iter().flat_map(|it| &it.access.made).map(|made| made.id.as_str()).collect();
        let called = format!("{} was called {}", quoted(kind), times(group.len()));
        match how(group) {
            How::Done if made.is_empty() => {
                (Weight::High, format!("{called}: what it made outlives the credential"))
            }
            How::Done => {
                (Weight::High, format!("{called}: what it made ({}) outlives the credential", listed(made)))
            }
            How::Untold => {
                (Weight::Medium, format!("{called}, and the log does not say whether it was done"))
            }
            How::Not => (Weight::Low, format!("{called} and was not done: somebody wanted what lasts")),
        }
    });
    let may_last = |call: Call<'_>| call.does(Act::MayLast) && !lasts(call);
    findings.extend(grouped(scene.uses, may_last, |kind, group| {
        let called = format!("{} was called {}", quoted(kind), times(group.len()));
        match how(group) {
            How::Done => (Weight::Medium, format!("{called}: what it made may outlive the credential")),
            How::Untold | How::Not => {
                (Weight::Low, format!("{called}: what it would have made may outlive the credential"))
            }
        }
    }));
    findings
}

/// How the best of several ended.
#[derive(Clone, Copy, Debug, Eq, Ord, PartialEq, PartialOrd)]
pub(super) enum How {
    Not,
    Untold,
    Done,
}

/// How the best of several ended.
pub(super) fn how(group: &[Use<'_>]) -> How {
    let ends = group.iter().map(|it| match it.access.outcome {
        Outcome::Allowed => How::Done,
        Outcome::Unknown => How::Untold,
        Outcome::Denied(_) | Outcome::Failed(_) => How::Not,
    });
    ends.max().unwrap_or(How::Not)
}

/// One finding for each call and go among those that `wanted` picks.
pub(super) fn grouped(
    uses: &[Use<'_>],
    wanted: impl Fn(Call<'_>) -> bool,
    told: impl Fn(&str, &[Use<'_>]) -> (Weight, String),
) -> Vec<Finding> {
    let mut kinds: BTreeMap<String, Vec<Use<'_>>> = BTreeMap::new();
    for it in uses.iter().filter(|it| wanted(it.call())) {
        kinds.entry(it.call().long_name()).or_default().push(*it);
    }
    let mut findings = Vec::new();
    for (kind, list) in kinds {
        for group in window::runs(&list, GAP) {
            let (weight, title) = told(&kind, &group);
            let records = group.iter().map(|it| it.index).collect();
            findings.push(Finding { kind: kind.clone(), weight, title, records });
        }
    }
    findings
}

#[cfg(test)]
mod tests {
    use crate::detect::planted::{
        self, AWAY, HOME, denied, fires, made, ordinary, said, silent, used, vault,
    };
    use crate::detect::{Context, Weight};
    use crate::record::{MadeKind, Outcome, Role};

    #[test]
    fn what_lasts_is_told_with_its_name() {
        let key = made(used(60, "iam:CreateAccessKey", AWAY), MadeKind::Key, "AKIABACKDOOR");
        let all = fires("persistence", &[key]);
        insta::assert_snapshot!(
            all[0].title,
            @"`iam:CreateAccessKey` was called once: what it made (`AKIABACKDOOR`) outlives the credential"
        );
        assert_eq!(all[0].weight, Weight::High);
        assert_eq!(all[0].folded, ["derived-credential", "new-address", "rare-call"]);
        for path in [
            "sys/policies/acl/x",
            "sys/auth/github",
            "auth/userpass/users/eve",
            "auth/token/create-orphan",
            "auth/approle/role/x",
        ] {
            let all = fires("persistence", &[vault(60, &format!("update {path}"), AWAY)]);
            assert_eq!(all[0].weight, Weight::High, "{path}");
        }
    }

    #[test]
    fn an_attempt_counts_less() {
        let all = fires("persistence", &[denied(used(60, "iam:CreateUser", AWAY))]);
        assert_eq!(all[0].weight, Weight::Low);
        let mut untold = used(60, "iam:CreateUser", AWAY);
        untold.outcome = Outcome::Unknown;
        assert_eq!(fires("persistence", &[untold])[0].weight, Weight::Medium);
        let mut undated = used(60, "iam:CreateUser", AWAY);
        undated.time = None;
        assert_eq!(fires("persistence", &[undated])[0].from, None);
    }

    #[test]
    fn reads_and_mentions_are_none() {
        let mut mentioned = used(60, "iam:CreateAccessKey", HOME);
        mentioned.role = Role::Mentioned;
        silent(
            "persistence",
            &[mentioned, used(61, "iam:ListUsers", AWAY), used(62, "ec2:CreateUser", AWAY)],
        );
        silent(
            "persistence",
            &[vault(60, "read sys/policies/acl/x", AWAY), vault(60, "update kv/data/x", AWAY)],
        );
    }

    #[test]
    fn a_habit_of_the_same_call_weighs_less_but_not_of_another() {
        let attach = |day: i64| used(day * 86_400 + 30_000, "iam:AttachRolePolicy", HOME);
        let log = ordinary(&[attach(-5), attach(-3), attach(1), used(60, "iam:CreateUser", AWAY)]);
        let all = said("persistence", &log, &planted::context());
        assert_eq!(all.iter().map(|it| it.weight).collect::<Vec<_>>(), [Weight::High, Weight::Medium]);
        let known = [HOME.to_owned()];
        let all = said("persistence", &log, &Context { known: &known, ..planted::context() });
        assert_eq!(all.iter().map(|it| it.weight).collect::<Vec<_>>(), [Weight::High, Weight::Low]);
        insta::assert_snapshot!(
            all[1].title,
            @"`iam:AttachRolePolicy` was called once: what it made outlives the credential, as it was before the exposure, from addresses of the owner's own"
        );
    }

    #[test]
    fn many_of_a_kind_are_told_as_one() {
        let many: Vec<_> = (0..30).map(|hour| used(hour * 3_600, "iam:CreateUser", AWAY)).collect();
        let all = fires("persistence", &many);
        assert_eq!((all.len(), all[0].records.len()), (1, 30));
        assert!(all[0].title.ends_with(", and 29 more like it"), "{}", all[0].title);
    }
}
