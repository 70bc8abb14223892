//! `quell inventory check`, and what an operator must know before a rotation.

use quell_core::secret::SecretValue;

use super::admin::Admin;
use super::{Iam, Keys};
use crate::connector::Check;

const WHAT: &str = "checking permissions";

fn line(what: impl Into<String>, ok: bool, detail: impl Into<String>) -> Check {
    Check { what: what.into(), ok, detail: detail.into() }
}

impl Iam {
    pub(super) async fn checks(&self) -> Vec<Check> {
        let admin = match self.admin().await {
            Ok(admin) => admin,
            Err(error) => return vec![line("log in to AWS as `admin`", false, error.to_string())],
        };
        let mut checks = vec![line("log in to AWS as `admin`", true, admin.arn.clone())];
        match admin.list_keys(WHAT).await {
            Ok(Some(held)) => {
                let words: Vec<String> =
                    held.iter().map(|key| format!("{} ({})", key.id, key.status)).collect();
                checks.push(line("see the user's keys", true, words.join(", ")));
                if let Some(first) = held.first() {
                    let parameters = [("AccessKeyId", first.id.as_str())];
                    checks.push(admin.may("GetAccessKeyLastUsed", &parameters).await);
                }
            }
            Ok(None) => {
                let words = format!("there is no user {} in account {}", self.user, admin.account);
                checks.push(line("see the user's keys", false, words));
                return checks;
            }
            Err(error) => checks.push(line("see the user's keys", false, error.detail)),
        }
        let user = ("UserName", self.user.as_str());
        let policy = ("PolicyName", super::change::POLICY);
        checks.push(match admin.account_of(&admin.keys().id, WHAT).await {
            Ok(_) => line("may sts:GetAccessKeyInfo", true, "yes"),
            Err(error) => line("may sts:GetAccessKeyInfo", false, error.detail),
        });
        checks.push(admin.may("ListUserTags", &[user]).await);
        checks.push(admin.may("GetUserPolicy", &[user, policy]).await);
        checks.push(admin.may("ListAttachedUserPolicies", &[user]).await);
        checks.push(admin.may("GetLoginProfile", &[user]).await);
        for role in &self.roles {
            checks.push(admin.may("GetRole", &[("RoleName", role)]).await);
            checks.push(admin.may("GetRolePolicy", &[("RoleName", role), policy]).await);
        }
        let words = "iam:CreateAccessKey, UpdateAccessKey, DeleteAccessKey, TagUser, PutUserPolicy are not tried: that would change something";
        checks.push(line("change the user's keys", true, words));
        checks
    }

    pub(super) async fn all_warnings(&self, current: Option<&SecretValue>) -> Vec<String> {
        let mut warnings = Vec::new();
        let Ok(admin) = self.admin().await else {
            return warnings;
        };
        for policy in admin.quarantine().await.unwrap_or_default() {
            warnings.push(format!(
                "AWS saw a key of user {} in public and attached {policy}, which denies the user much and its own keys; Quell acts as {} \
                 and leaves it: AWS asks not to remove it before the user is clean",
                self.user, admin.arn
            ));
        }
        let current = current.and_then(|value| Keys::of(value).ok()).map(|keys| keys.id);
        if let Ok(Some(held)) = admin.list_keys("listing keys").await {
            let others: Vec<String> = held
                .iter()
                .filter(|key| current.as_ref() != Some(&key.id))
                .map(|key| format!("{} ({})", key.id, key.status))
                .collect();
            if !others.is_empty() {
                warnings.push(format!(
                    "user {} has another key: {}; AWS allows two, and Quell neither tests nor ends that one",
                    self.user,
                    others.join(", ")
                ));
            }
        }
        if self.roles.is_empty() {
            warnings.push(
                "sessions of roles that were assumed with the key live on until they end by themselves, up to 12 hours: name the roles in `roles`"
                    .to_owned(),
            );
        }
        warnings.push(format!(
            "sessions that consumers opened with any key of user {} before the cut must be opened anew",
            self.user
        ));
        warnings
    }
}

impl Admin<'_> {
    /// Whether a reading action is permitted. That the thing is not there is permission enough.
    async fn may(&self, action: &str, parameters: &[(&str, &str)]) -> Check {
        let what = format!("may iam:{action}");
        match self.try_call(WHAT, action, parameters).await {
            Ok(Ok(_)) => line(what, true, "yes"),
            Ok(Err(refusal)) if refusal.code == "NoSuchEntity" && action != "GetRole" => {
                line(what, true, "yes")
            }
            Ok(Err(refusal)) => line(what, false, self.iam.cloud.refused(WHAT, &refusal, "admin").detail),
            Err(error) => line(what, false, error.detail),
        }
    }
}
