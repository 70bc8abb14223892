//! What the administrator asks IAM. `UserName` is always given: IAM takes a call without it to be about the caller itself.

use jiff::Timestamp;
use serde_json::{Value, json};

use super::{Iam, Known, Node, REFUSAL, Service};
use crate::aws::{Keys, Refusal};
use crate::error::{ConnectError, ConnectErrorKind};

/// A logged-in administrator, who is not the user that is rotated.
pub(super) struct Admin<'a> {
    pub(super) iam: &'a Iam,
    keys: Keys,
    pub(super) arn: String,
    pub(super) account: String,
}

/// A key of the user as IAM lists it.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(super) struct Held {
    pub(super) id: String,
    /// `Active`, `Inactive` or `Expired`.
    pub(super) status: String,
    pub(super) created: Option<Timestamp>,
}

/// Marks a user's policies that AWS itself attaches when it sees a key of his in public.
const QUARANTINE: &str = "AWSCompromisedKeyQuarantine";

/// More pages than any user fills.
const PAGES_MAX: usize = 20;

impl Held {
    pub(super) fn is_active(&self) -> bool {
        self.status == "Active"
    }
}

impl Iam {
    /// Reads the administrator's key and asks who that is.
    pub(super) async fn admin(&self) -> Result<Admin<'_>, ConnectError> {
        const WHAT: &str = "logging in as the administrator";
        let keys = self.cloud.keys(&self.admin).await?;
        let denied = |words: String| Err(self.failed(WHAT, ConnectErrorKind::Denied, words));
        let caller = match self.ask_sts(&keys, WHAT).await? {
            Known::Alive(caller) => caller,
            Known::Refused(refusal) => {
                let mut error = self.cloud.refused(WHAT, &refusal, "admin");
                if refusal.code == REFUSAL {
                    error.detail.push_str(" (the key is inactive or gone)");
                }
                return Err(error);
            }
        };
        // arn:aws:iam::123456789012:user/path/NAME, for a session of GetSessionToken too.
        let name = caller.arn.split_once(":user/").and_then(|(_, path)| path.rsplit('/').next());
        if name == Some(self.user.as_str()) {
            return denied(format!(
                "`admin` is {}, the user whose key is to be ended: what stops an intruder would stop Quell, and a quarantine \
                 policy forbids that user to change its keys; use a key or a role of another principal",
                caller.arn
            ));
        }
        // arn:aws:sts::123456789012:assumed-role/NAME/SESSION, without the role's path.
        let role = caller.arn.split_once(":assumed-role/").and_then(|(_, path)| path.split('/').next());
        if let Some(role) = role.filter(|role| self.roles.iter().any(|denied| denied == role)) {
            return denied(format!(
                "`admin` is a session of the role {role}, which is in `roles`: denying its older sessions would stop Quell; use another principal"
            ));
        }
        Ok(Admin { iam: self, keys, arn: caller.arn, account: caller.account })
    }
}

impl Admin<'_> {
    pub(super) fn keys(&self) -> &Keys {
        &self.keys
    }

    /// One action on the user, with AWS's clock in the answer. A refusal is left to the caller.
    pub(super) async fn try_call(
        &self,
        what: &'static str,
        action: &str,
        parameters: &[(&str, &str)],
    ) -> Result<Result<(Node, Option<Timestamp>), Refusal>, ConnectError> {
        let mut all = vec![("Action", action)];
        all.extend_from_slice(parameters);
        let reply = self.iam.cloud.query(&self.keys, Service::Iam, what, &all).await?;
        Ok(reply.map(|said| (said.body, said.date)))
    }

    /// One action on the user.
    pub(super) async fn call(
        &self,
        what: &'static str,
        action: &str,
        parameters: &[(&str, &str)],
    ) -> Result<(Node, Option<Timestamp>), ConnectError> {
        let mut all = vec![("UserName", self.iam.user.as_str())];
        all.extend_from_slice(parameters);
        let reply = self.try_call(what, action, &all).await?;
        reply.map_err(|refusal| {
            let mut error = self.iam.cloud.refused(what, &refusal, "admin");
            error.detail = format!("iam:{action}: {}", error.detail);
            error
        })
    }

    /// The user's keys and AWS's clock. `None` when there is no such user.
    pub(super) async fn list_keys(&self, what: &'static str) -> Result<Option<Vec<Held>>, ConnectError> {
        let mut held = Vec::new();
        let mut marker: Option<String> = None;
        for _ in 0..PAGES_MAX {
            let page: Vec<(&str, &str)> = marker.iter().map(|marker| ("Marker", marker.as_str())).collect();
            let answer = match self.call(what, "ListAccessKeys", &page).await {
                Err(error) if error.kind == ConnectErrorKind::Missing => return Ok(None),
                other => other?.0,
            };
            let list = answer.at(&["ListAccessKeysResult"]).ok_or_else(|| self.iam.cloud.odd(what))?;
            for member in list.members(&["AccessKeyMetadata"]) {
                let (Some(id), Some(status)) = (member.text(&["AccessKeyId"]), member.text(&["Status"]))
                else {
                    return Err(self.iam.cloud.odd(what));
                };
                let created = member.text(&["CreateDate"]).and_then(|text| text.parse().ok());
                held.push(Held { id: id.to_owned(), status: status.to_owned(), created });
            }
            marker = list.text(&["Marker"]).map(str::to_owned);
            if list.text(&["IsTruncated"]) != Some("true") || marker.is_none() {
                return Ok(Some(held));
            }
        }
        Err(self.iam.cloud.odd(what))
    }

    /// When and where a key was last used, as evidence. It lags, and is lost with the key.
    pub(super) async fn last_used(&self, id: &str) -> Value {
        const WHAT: &str = "asking when the key was last used";
        match self.try_call(WHAT, "GetAccessKeyLastUsed", &[("AccessKeyId", id)]).await {
            Ok(Ok((answer, _))) => {
                let text = |name| answer.text(&["GetAccessKeyLastUsedResult", "AccessKeyLastUsed", name]);
                match text("LastUsedDate") {
                    Some(at) => json!({ "at": at, "service": text("ServiceName"), "region": text("Region") }),
                    None => json!("never"),
                }
            }
            Ok(Err(refusal)) => json!(format!("not known: {}", refusal.code)),
            Err(error) => json!(format!("not known: {}", error.detail)),
        }
    }

    /// The keys as facts.
    pub(super) async fn described(&self, held: &[Held]) -> Value {
        let mut list = Vec::new();
        for key in held {
            let created = key.created.map(|at| at.to_string());
            let used = self.last_used(&key.id).await;
            list.push(json!({ "key": key.id, "status": key.status, "created": created, "last_used": used }));
        }
        Value::Array(list)
    }

    /// Policies by which AWS itself holds the user in quarantine. They are never removed.
    pub(super) async fn quarantine(&self) -> Result<Vec<String>, ConnectError> {
        const WHAT: &str = "looking for a quarantine of AWS's";
        let (answer, _) = self.call(WHAT, "ListAttachedUserPolicies", &[]).await?;
        let names = answer
            .members(&["ListAttachedUserPoliciesResult", "AttachedPolicies"])
            .filter_map(|policy| policy.text(&["PolicyName"]))
            .filter(|name| name.starts_with(QUARANTINE));
        Ok(names.map(str::to_owned).collect())
    }

    /// The same as a fact.
    pub(super) async fn quarantine_fact(&self) -> Value {
        match self.quarantine().await {
            Ok(names) => json!(names),
            Err(error) => json!(format!("not known: {}", error.detail)),
        }
    }

    pub(super) async fn delete_key(&self, what: &'static str, id: &str) -> Result<(), ConnectError> {
        match self.call(what, "DeleteAccessKey", &[("AccessKeyId", id)]).await {
            Err(error) if error.kind != ConnectErrorKind::Missing => Err(error),
            _ => Ok(()),
        }
    }
}
