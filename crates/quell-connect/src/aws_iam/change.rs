//! Inactive, sessions denied, and whether that is so.
//!
//! A session of `GetSessionToken` or `GetFederationToken` has the permissions of its user at the moment of each request, and tells in
//! `aws:TokenIssueTime` when it began. A key's own requests carry no such time, so the user's other key is not hurt (IAM user guide,
//! "AWS global condition context keys"). A session of an assumed role has the role's permissions and is denied there.

use jiff::{SignedDuration, Timestamp, Unit};
use quell_core::outcome::{Facts, Outcome};
use quell_core::secret::Credential;
use serde_json::{Value, json};

use super::admin::{Admin, Held};
use super::{ConnectError, ConnectErrorKind, Iam, Keys, Known, Node, REFUSAL, Service};
use crate::webhook::sign::wall_clock;

const DISABLING: &str = "making the access key inactive";
const SEVERING: &str = "denying older sessions";
const DELETING: &str = "deleting the access key";
const LOOKING: &str = "looking at the access key";

/// What has become of a key.
enum State {
    Held(Held),
    /// Deleted, or its user was: STS itself says that it does not know it. With the account that it was of, where AWS tells.
    Gone(Result<String, String>),
}

/// The one policy that denies older sessions. A user has room for about ten such policies, and leaks can be more.
pub(super) const POLICY: &str = "QuellRevokesOlderSessions";

/// Whose policy it is.
#[derive(Clone, Copy)]
enum Bearer<'a> {
    User(&'a str),
    Role(&'a str),
}

impl<'a> Bearer<'a> {
    fn parameter(self) -> (&'static str, &'a str) {
        match self {
            Self::User(name) => ("UserName", name),
            Self::Role(name) => ("RoleName", name),
        }
    }

    fn action(self, verb: &str) -> String {
        match self {
            Self::User(_) => format!("{verb}UserPolicy"),
            Self::Role(_) => format!("{verb}RolePolicy"),
        }
    }
}

impl Iam {
    pub(super) async fn disable(&self, old: &Credential) -> Result<Outcome, ConnectError> {
        let keys = self.key_of(old)?;
        let admin = self.admin().await?;
        let found = matches!(self.state(&admin, &keys).await?, State::Held(held) if held.is_active());
        if found {
            let parameters = [("AccessKeyId", keys.id.as_str()), ("Status", "Inactive")];
            match admin.call(DISABLING, "UpdateAccessKey", &parameters).await {
                Err(error) if error.kind != ConnectErrorKind::Missing => return Err(error),
                _ => {}
            }
        }
        // Something was sent: what cannot be seen now is unknown, whatever the reason.
        let state = match self.state(&admin, &keys).await {
            Ok(state) => state,
            Err(error) => return Ok(error.unseen()),
        };
        let mut facts = facts_of(&keys, &state);
        if facts.is_empty() {
            return Ok(Outcome::retry(format!("the key {} is still active", keys.id)));
        }
        facts
            .insert("cutoff".to_owned(), json!(self.cutoff(None, admin.clock(DISABLING).await)?.to_string()));
        facts.insert("already".to_owned(), json!(!found));
        facts.insert("user".to_owned(), json!(self.user));
        facts.insert("by".to_owned(), json!(admin.arn));
        facts.insert("account".to_owned(), json!(admin.account));
        facts.insert("last_used".to_owned(), admin.last_used(&keys.id).await);
        facts.insert("quarantine".to_owned(), admin.quarantine_fact().await);
        Ok(Outcome::Applied { facts })
    }

    pub(super) async fn observe_disable(&self, old: &Credential) -> Result<Outcome, ConnectError> {
        let keys = self.key_of(old)?;
        let admin = self.admin().await?;
        let mut facts = facts_of(&keys, &self.state(&admin, &keys).await?);
        if facts.is_empty() {
            return Ok(Outcome::retry(format!("the key {} is active", keys.id)));
        }
        facts.insert("cutoff".to_owned(), json!(self.cutoff(None, admin.clock(LOOKING).await)?.to_string()));
        Ok(Outcome::Applied { facts })
    }

    /// Deletes a key that is not active any more.
    pub(super) async fn delete(&self, old: &Credential) -> Result<Outcome, ConnectError> {
        let keys = self.key_of(old)?;
        let admin = self.admin().await?;
        let State::Held(held) = self.state(&admin, &keys).await? else {
            return Ok(deleted(&keys, None));
        };
        if held.is_active() {
            let words = format!("the key {} is active; it is made inactive and proven dead first", keys.id);
            return Ok(Outcome::refused(words));
        }
        let lost = admin.described(&[held]).await;
        admin.delete_key(DELETING, &keys.id).await?;
        // It was sent: what cannot be seen now is unknown, whatever the reason.
        Ok(match self.state(&admin, &keys).await {
            Ok(State::Gone(_)) => deleted(&keys, Some(lost)),
            Ok(State::Held(_)) => Outcome::retry(format!("AWS still shows the key {}", keys.id)),
            Err(error) => error.unseen(),
        })
    }

    pub(super) async fn observe_delete(&self, old: &Credential) -> Result<Outcome, ConnectError> {
        let keys = self.key_of(old)?;
        let admin = self.admin().await?;
        Ok(match self.state(&admin, &keys).await? {
            State::Gone(_) => deleted(&keys, None),
            State::Held(held) => Outcome::retry(format!("the key {} is there, {}", keys.id, held.status)),
        })
    }

    /// The key as IAM lists it. One that is not listed may be another user's: STS is asked, which knows the keys of all.
    async fn state(&self, admin: &Admin<'_>, keys: &Keys) -> Result<State, ConnectError> {
        let held = admin.list_keys(LOOKING).await?.unwrap_or_default();
        if let Some(key) = held.into_iter().find(|key| key.id == keys.id) {
            return Ok(State::Held(key));
        }
        let denied = |words: String| Err(self.failed(LOOKING, ConnectErrorKind::Denied, words));
        match self.ask_sts(keys, LOOKING).await? {
            Known::Refused(refusal) if refusal.code == REFUSAL => {
                let account = admin.account_of(&keys.id, LOOKING).await?;
                match account {
                    Ok(other) if other != admin.account => denied(format!(
                        "the key {} is of account {other}, and `admin` is of account {}: correct `admin` and `user`",
                        keys.id, admin.account
                    )),
                    told => Ok(State::Gone(told)),
                }
            }
            Known::Refused(refusal) => {
                let said = refusal.said();
                denied(format!("user {} has no key {}, and STS knows it: {said}", self.user, keys.id))
            }
            Known::Alive(caller) => denied(format!(
                "the key {} is of {}, not of user {}; correct `user` or `admin`",
                keys.id, caller.arn, self.user
            )),
        }
    }

    pub(super) async fn sever(
        &self,
        old: &Credential,
        cutoff: Option<&str>,
    ) -> Result<Outcome, ConnectError> {
        let keys = self.key_of(old)?;
        let admin = self.admin().await?;
        // Its answer brings AWS's own clock; ours may be minutes behind, and spare what began in them.
        let (listed, now) = match admin.call(SEVERING, "ListAccessKeys", &[]).await {
            Ok((_, now)) => (true, now),
            Err(error) if error.kind == ConnectErrorKind::Missing => (false, None),
            Err(error) => return Err(error),
        };
        let wanted = self.cutoff(cutoff, now)?;
        let user = listed.then_some(Bearer::User(&self.user));
        let (mut denied, mut before) = (Vec::new(), wanted);
        for bearer in user.into_iter().chain(self.roles.iter().map(|role| Bearer::Role(role))) {
            // An earlier leak's cutoff may be later than this one's: it only ever moves forward.
            let held = self.held(&admin, bearer).await?.ok().map(|(held, _)| held);
            let cutoff = held.map_or(wanted, |held| held.max(wanted));
            before = before.max(cutoff);
            let document = document(cutoff, &keys.id);
            let parameters =
                [bearer.parameter(), ("PolicyName", POLICY), ("PolicyDocument", document.as_str())];
            let action = bearer.action("Put");
            if let Err(refusal) = admin.try_call(SEVERING, &action, &parameters).await? {
                let mut error = self.cloud.refused(SEVERING, &refusal, "admin");
                error.detail = format!("iam:{action} on {}: {}", bearer.parameter().1, error.detail);
                return Err(error);
            }
            denied.push(bearer.parameter().1);
        }
        let mut facts = Facts::new();
        facts.insert("policy".to_owned(), json!(POLICY));
        facts.insert("sessions_before".to_owned(), json!(before.to_string()));
        facts.insert("denied_to".to_owned(), json!(denied));
        self.look_around(&admin, &keys, &mut facts).await;
        Ok(Outcome::Applied { facts })
    }

    /// What the key may have left behind, for people to judge.
    async fn look_around(&self, admin: &Admin<'_>, keys: &Keys, facts: &mut Facts) {
        let described = match admin.list_keys(SEVERING).await {
            Ok(held) => {
                let others: Vec<Held> =
                    held.unwrap_or_default().into_iter().filter(|key| key.id != keys.id).collect();
                admin.described(&others).await
            }
            Err(error) => json!(format!("not known: {}", error.detail)),
        };
        facts.insert("other_keys_of_the_user".to_owned(), described);
        facts.insert("console_password".to_owned(), admin.login_profile().await);
        facts.insert("made_with_the_key".to_owned(), admin.trail_of(&keys.id).await);
    }

    /// Sessions that begin until the key's end has bound are the old key's, too.
    fn cutoff(&self, given: Option<&str>, now: Option<Timestamp>) -> Result<Timestamp, ConnectError> {
        let bad = || self.failed(SEVERING, ConnectErrorKind::Denied, "the cutoff is not an RFC 3339 time");
        if let Some(given) = given {
            return given.parse().map_err(|_e| bad());
        }
        let settle = SignedDuration::from_millis(i64::try_from(self.settle_ms).unwrap_or(i64::MAX));
        // One second more: AWS's clock is told in whole ones.
        let until = settle.checked_add(SignedDuration::from_secs(1)).ok_or_else(bad)?;
        let cutoff = now.unwrap_or_else(wall_clock).checked_add(until).map_err(|_e| bad())?;
        cutoff.round(Unit::Second).map_err(|_e| bad())
    }

    pub(super) async fn observe_sever(
        &self,
        old: &Credential,
        cutoff: Option<&str>,
    ) -> Result<Outcome, ConnectError> {
        let keys = self.key_of(old)?;
        let admin = self.admin().await?;
        Ok(match self.missing(&admin, &keys, cutoff).await? {
            Ok(since) => Outcome::applied([("policy", json!(POLICY)), ("sessions_before", json!(since))]),
            Err(missing) => Outcome::retry(missing),
        })
    }

    pub(super) async fn live_sessions(
        &self,
        old: &Credential,
        cutoff: Option<&str>,
    ) -> Result<u64, ConnectError> {
        const WHAT: &str = "counting sessions";
        let keys = self.key_of(old)?;
        let admin = self.admin().await?;
        if let State::Held(held) = self.state(&admin, &keys).await?
            && held.is_active()
        {
            let words = format!("the key {} is active, so sessions can begin; AWS counts none", keys.id);
            return Err(self.failed(WHAT, ConnectErrorKind::Denied, words));
        }
        match self.missing(&admin, &keys, cutoff).await? {
            Ok(_) => Ok(0),
            Err(missing) => {
                let words = format!("{missing}, so sessions may live; AWS counts none");
                Err(self.failed(WHAT, ConnectErrorKind::Denied, words))
            }
        }
    }

    /// Since when sessions are denied wherever they should be, or where they are not. A policy of an earlier leak counts when it denies
    /// all that began before `cutoff`; without one, only a policy that was written for this very key does.
    async fn missing(
        &self,
        admin: &Admin<'_>,
        keys: &Keys,
        cutoff: Option<&str>,
    ) -> Result<Result<Option<String>, String>, ConnectError> {
        let wanted = cutoff.map(|given| self.cutoff(Some(given), None)).transpose()?;
        let user_is_gone = admin.list_keys(SEVERING).await?.is_none();
        let user = (!user_is_gone).then_some(Bearer::User(&self.user));
        let mut since = None;
        for bearer in user.into_iter().chain(self.roles.iter().map(|role| Bearer::Role(role))) {
            let whose = bearer.parameter().1;
            let (before, key) = match self.held(admin, bearer).await? {
                Ok(held) => held,
                Err(missing) => return Ok(Err(missing)),
            };
            if wanted.map_or(key != keys.id, |wanted| before < wanted) {
                return Ok(Err(format!(
                    "the policy {POLICY} of `{whose}` is of an earlier leak: it denies sessions from before {before}"
                )));
            }
            since = Some(before.to_string());
        }
        Ok(Ok(since))
    }

    /// From when on a bearer's sessions are spared, and for which key that was written last; or why none are denied.
    async fn held(
        &self,
        admin: &Admin<'_>,
        bearer: Bearer<'_>,
    ) -> Result<Result<(Timestamp, String), String>, ConnectError> {
        let parameters = [bearer.parameter(), ("PolicyName", POLICY)];
        let action = bearer.action("Get");
        let whose = bearer.parameter().1;
        let answer = match admin.try_call(SEVERING, &action, &parameters).await? {
            Ok((answer, _)) => answer,
            Err(refusal) if refusal.code == "NoSuchEntity" => {
                return Ok(Err(format!("no policy of `{whose}` denies sessions from before")));
            }
            Err(refusal) => return Err(self.cloud.refused(SEVERING, &refusal, "admin")),
        };
        let changed = || format!("the policy {POLICY} of `{whose}` was changed");
        Ok(denied_before(&answer, &format!("{action}Result")).ok_or_else(changed))
    }
}

fn deleted(keys: &Keys, lost: Option<Value>) -> Outcome {
    Outcome::applied([
        ("key", json!(keys.id)),
        ("status", json!("deleted")),
        ("as_it_was", lost.unwrap_or_default()),
    ])
}

/// Nothing while the key is active.
fn facts_of(keys: &Keys, state: &State) -> Facts {
    let mut facts = Facts::new();
    match state {
        State::Held(held) if held.is_active() => return facts,
        State::Held(held) => {
            facts.insert("status".to_owned(), json!(held.status));
            facts.insert("created".to_owned(), json!(held.created.map(|at| at.to_string())));
        }
        State::Gone(Ok(account)) => {
            facts.insert("status".to_owned(), json!("deleted"));
            facts.insert("account".to_owned(), json!(account));
        }
        State::Gone(Err(said)) => {
            let status = "not known to STS: deleted, or a key of another partition";
            facts.insert("status".to_owned(), json!(status));
            facts.insert("account_not_told".to_owned(), json!(said));
        }
    }
    facts.insert("key".to_owned(), json!(keys.id));
    facts
}

/// What AWS's console writes under "Revoke active sessions" (IAM user guide, "Revoke IAM role temporary security credentials").
/// The statement's id names the key that it was written for last; AWS lets it have letters and digits only.
fn document(cutoff: Timestamp, key: &str) -> String {
    let before = json!({ "aws:TokenIssueTime": cutoff.to_string() });
    let statement = json!({
        "Sid": format!("{POLICY}{key}"),
        "Effect": "Deny",
        "Action": ["*"],
        "Resource": ["*"],
        "Condition": { "DateLessThan": before },
    });
    json!({ "Version": "2012-10-17", "Statement": [statement] }).to_string()
}

/// The time and the key in a policy that still says what [`document`] wrote. IAM gives documents percent-encoded (RFC 3986).
fn denied_before(answer: &Node, result: &str) -> Option<(Timestamp, String)> {
    let text = answer.text(&[result, "PolicyDocument"])?;
    let decoded = if text.starts_with('{') {
        text.to_owned()
    } else {
        let pair = format!("d={text}");
        url::form_urlencoded::parse(pair.as_bytes()).next()?.1.into_owned()
    };
    let json: Value = serde_json::from_str(&decoded).ok()?;
    let before = json.pointer("/Statement/0/Condition/DateLessThan/aws:TokenIssueTime")?.as_str()?;
    let cutoff: Timestamp = before.parse().ok()?;
    let key = json.pointer("/Statement/0/Sid")?.as_str()?.strip_prefix(POLICY)?;
    let ours: Value = serde_json::from_str(&document(cutoff, key)).ok()?;
    (json == ours).then(|| (cutoff, key.to_owned()))
}

/// Refusals that are about who asks, not about the key that is asked for ("Common errors" in the STS API reference).
const OURS: [&str; 9] = [
    "AccessDenied",
    "AccessDeniedException",
    "ExpiredToken",
    "ExpiredTokenException",
    "IncompleteSignature",
    "MissingAuthenticationToken",
    "RequestExpired",
    "SignatureDoesNotMatch",
    "UnauthorizedOperation",
];

impl Admin<'_> {
    /// AWS's own time, where the user is there to ask for.
    async fn clock(&self, what: &'static str) -> Option<Timestamp> {
        self.call(what, "ListAccessKeys", &[]).await.ok().and_then(|(_, date)| date)
    }

    /// The account that a key is or was of. Not every deleted key is known: then with what STS says (STS API reference, `GetAccessKeyInfo`,
    /// read 2026-11-23).
    pub(super) async fn account_of(
        &self,
        id: &str,
        what: &'static str,
    ) -> Result<Result<String, String>, ConnectError> {
        const ACTION: &str = "GetAccessKeyInfo";
        let parameters = [("Action", ACTION), ("AccessKeyId", id)];
        match self.iam.cloud.query(self.keys(), Service::Sts, what, &parameters).await? {
            Ok(said) => {
                let account = said.body.text(&["GetAccessKeyInfoResult", "Account"]);
                account.map(|account| Ok(account.to_owned())).ok_or_else(|| self.iam.cloud.odd(what))
            }
            Err(refusal) => {
                let mut error = self.iam.cloud.refused(what, &refusal, "admin");
                let later = matches!(error.kind, ConnectErrorKind::Transient { .. });
                // AWS names no code for a key that it does not know; what it says of the administrator is something else.
                if !later && !OURS.contains(&refusal.code.as_str()) {
                    return Ok(Err(refusal.said()));
                }
                error.detail = format!("sts:{ACTION}: {}", error.detail);
                Err(error)
            }
        }
    }

    /// Whether somebody can log in to the console as the user.
    async fn login_profile(&self) -> Value {
        const WHAT: &str = "looking for a console password";
        match self.call(WHAT, "GetLoginProfile", &[]).await {
            Ok((answer, _)) => {
                let created = answer.text(&["GetLoginProfileResult", "LoginProfile", "CreateDate"]);
                json!({ "created": created })
            }
            Err(error) if error.kind == ConnectErrorKind::Missing => json!("none"),
            Err(error) => json!(format!("not known: {}", error.detail)),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn answer(document: &str) -> Node {
        let xml = format!(
            "<R><GetUserPolicyResult><PolicyDocument>{document}</PolicyDocument></GetUserPolicyResult></R>"
        );
        Node::parse(xml.as_bytes()).unwrap()
    }

    #[test]
    fn a_policy_counts_only_while_it_says_the_same() {
        let cutoff: Timestamp = "2026-11-23T02:00:15Z".parse().unwrap();
        let whole = document(cutoff, "AKIDMODEL");
        let encoded: String = url::form_urlencoded::byte_serialize(whole.as_bytes()).collect();
        let seen = |text: &str| denied_before(&answer(text), "GetUserPolicyResult");
        let wanted = Some((cutoff, "AKIDMODEL".to_owned()));
        assert_eq!(seen(&encoded.replace('+', "%20")), wanted);
        assert_eq!(seen(&whole.replace('"', "&quot;")), wanted);
        for (from, to) in
            [("Deny", "Allow"), ("\"*\"", "\"s3:*\""), ("DateLessThan", "DateGreaterThan"), ("15Z", "99Z")]
        {
            assert_eq!(seen(&whole.replace(from, to).replace('"', "&quot;")), None, "{from}");
        }
        assert_eq!(seen("%7B"), None);
    }
}
