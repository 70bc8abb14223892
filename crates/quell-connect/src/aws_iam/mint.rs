//! A new key, and never a second one.
//!
//! `CreateAccessKey` cannot be repeated and a key cannot carry a mark. So the user carries it: before the call a tag of the user is set to what
//! the call is for, when it begins and which keys there are. When the answer is lost, the next attempt reads the tag, waits until AWS shows
//! what it made, deletes the key that nobody has the secret of, and begins anew.

use jiff::{SignedDuration, Timestamp};
use quell_core::outcome::{Facts, Outcome};
use quell_core::secret::Credential;
use serde_json::{Value, json};
use sha2::{Digest as _, Sha256};

use super::admin::{Admin, Held};
use super::{ConnectError, ConnectErrorKind, Iam, Keys, Layout, Performed, WhenFull};
use crate::webhook::sign::wall_clock;

/// The tag of the user (IAM user guide, "Rules for tagging": letters, digits, spaces and `_.:/=+-@`).
const TAG: &str = "quell:mint";

/// Two for each user (IAM user guide, "IAM object quotas").
const KEYS_MAX: usize = 2;

/// How far apart our clock and AWS's may be at most: AWS takes no signature beyond that.
const SKEW: SignedDuration = SignedDuration::from_mins(5);

/// Longer than any attempt takes.
const ATTEMPT: SignedDuration = SignedDuration::from_mins(10);

const MAKING: &str = "making the access key";
const LOOKING: &str = "looking for a key that was made";

/// What the tag says.
#[derive(Debug, Eq, PartialEq)]
struct Record {
    purpose: String,
    at: Timestamp,
    known: Vec<String>,
}

impl Record {
    fn new(tag: &str, known: &[Held]) -> Self {
        let known = known.iter().map(|key| key.id.clone()).collect();
        Self { purpose: purpose(tag), at: wall_clock(), known }
    }

    fn parse(text: &str) -> Option<Self> {
        let mut words = text.split(' ');
        let (purpose, at) = (words.next()?.to_owned(), words.next()?.parse().ok()?);
        Some(Self { purpose, at, known: words.map(str::to_owned).collect() })
    }

    fn text(&self) -> String {
        format!("{} {} {}", self.purpose, self.at, self.known.join(" ")).trim_end().to_owned()
    }

    /// Made by the attempt that the record is of: not there before it, and not much later. What somebody else made at another time is his.
    fn made(&self, key: &Held) -> bool {
        let within = key.created.is_none_or(|at| {
            let since = at.duration_since(self.at);
            since >= -SKEW && since <= ATTEMPT + SKEW
        });
        !self.known.contains(&key.id) && within
    }
}

/// The tag of a step may be long and hold signs that AWS does not take.
fn purpose(tag: &str) -> String {
    hex::encode(Sha256::digest(tag)).chars().take(24).collect()
}

impl Iam {
    pub(super) async fn install(&self, new: &Credential) -> Result<Performed, ConnectError> {
        let Some(layout) = Layout::from_value(&new.value) else {
            return self.observe_install(new).await.map(Performed::from);
        };
        let admin = self.admin().await?;
        let mut held = admin.list_keys(MAKING).await?.ok_or_else(|| self.no_user())?;
        let strangers = match admin.record(&new.principal).await? {
            None => Vec::new(),
            Some(record) => {
                let strangers: Vec<Held> = held.iter().filter(|key| record.made(key)).cloned().collect();
                if strangers.is_empty()
                    && let Some(left) = self.unsettled(record.at)
                {
                    return Ok(wait(left).into());
                }
                strangers
            }
        };
        for key in &strangers {
            admin.delete_key("deleting a key whose secret was lost", &key.id).await?;
            held.retain(|other| other != key);
        }
        let mut facts = Facts::new();
        if held.len() >= KEYS_MAX {
            match self.make_room(&admin, &mut held).await? {
                Ok(removed) => facts.insert("deleted_for_room".to_owned(), removed),
                Err(refused) => return Ok(refused.into()),
            };
        }
        let record = Record::new(&new.principal, &held).text();
        admin
            .call(
                "recording what will be made",
                "TagUser",
                &[("Tags.member.1.Key", TAG), ("Tags.member.1.Value", &record)],
            )
            .await?;
        let parameters = [("UserName", self.user.as_str())];
        let answer = match admin.try_call(MAKING, "CreateAccessKey", &parameters).await? {
            Ok((answer, _)) => answer,
            // A key that was deleted a moment ago, or one that the list did not show yet.
            Err(refusal) if refusal.code == "LimitExceeded" => {
                return Ok(Outcome::retry(format!(
                    "user {} has two keys, although fewer were listed",
                    self.user
                ))
                .into());
            }
            Err(refusal) => return Err(self.cloud.refused(MAKING, &refusal, "admin")),
        };
        let text = |name| answer.text(&["CreateAccessKeyResult", "AccessKey", name]);
        let (Some(id), Some(secret)) = (text("AccessKeyId"), text("SecretAccessKey")) else {
            return Err(self.cloud.odd(MAKING));
        };
        let minted = Credential { principal: id.to_owned(), value: layout.filled(id, secret) };
        facts.insert("key".to_owned(), json!(id));
        facts.insert("user".to_owned(), json!(self.user));
        let strangers: Vec<&str> = strangers.iter().map(|key| key.id.as_str()).collect();
        facts.insert("strangers_deleted".to_owned(), json!(strangers));
        Ok(Performed { outcome: Outcome::Applied { facts }, minted: Some(minted) })
    }

    pub(super) async fn observe_install(&self, new: &Credential) -> Result<Outcome, ConnectError> {
        let admin = self.admin().await?;
        let held = admin.list_keys(LOOKING).await?.ok_or_else(|| self.no_user())?;
        if let Ok(keys) = Keys::of_user(&new.value) {
            return Ok(match held.iter().find(|key| key.id == keys.id) {
                Some(key) if key.is_active() => Outcome::applied([("key", json!(key.id))]),
                Some(key) => Outcome::refused(format!("the key {} is {}", key.id, key.status)),
                None => Outcome::retry(format!("AWS shows no key {} of user {}", keys.id, self.user)),
            });
        }
        let Some(record) = admin.record(&new.principal).await? else {
            return Ok(Outcome::retry("no key was asked for"));
        };
        let strangers: Vec<&str> =
            held.iter().filter(|key| record.made(key)).map(|key| key.id.as_str()).collect();
        Ok(match self.unsettled(record.at) {
            _ if !strangers.is_empty() => Outcome::retry(format!(
                "a key was made but its secret was lost with the answer ({}); the next attempt deletes it first",
                strangers.join(", ")
            )),
            Some(left) => wait(left),
            None => Outcome::retry("no key was made"),
        })
    }

    fn no_user(&self) -> ConnectError {
        let words = format!("there is no user {} in this account; correct `user` or `admin`", self.user);
        self.failed("looking for the user", ConnectErrorKind::Denied, words)
    }

    /// How long until AWS surely shows what was made at `at`.
    fn unsettled(&self, at: Timestamp) -> Option<SignedDuration> {
        let settle = SignedDuration::from_millis(i64::try_from(self.settle_ms).unwrap_or(i64::MAX));
        let left = settle - wall_clock().duration_since(at);
        left.is_positive().then(|| left.min(settle))
    }

    /// Deletes a key that is not active, if it may.
    async fn make_room(
        &self,
        admin: &Admin<'_>,
        held: &mut Vec<Held>,
    ) -> Result<Result<Value, Outcome>, ConnectError> {
        let described = admin.described(held).await;
        let idle = held.iter().filter(|key| !key.is_active()).min_by_key(|key| key.created).cloned();
        let (Some(idle), WhenFull::DeleteInactive) = (idle, self.when_full) else {
            let advice = match self.when_full {
                WhenFull::Refuse => "delete one that is not in use, or set `when_full: delete_inactive`",
                WhenFull::DeleteInactive => {
                    "both are active; find out what the other one is for, and make it inactive or delete it"
                }
            };
            let words =
                format!("user {} has two keys, as many as AWS allows: {described}; {advice}", self.user);
            return Ok(Err(Outcome::refused(words)));
        };
        admin.delete_key("deleting an inactive key to make room", &idle.id).await?;
        held.retain(|key| *key != idle);
        let removed = described.as_array().into_iter().flatten().find(|it| it["key"] == json!(idle.id));
        Ok(Ok(removed.cloned().unwrap_or_default()))
    }
}

fn wait(left: SignedDuration) -> Outcome {
    Outcome::NotApplied {
        reason: "an earlier attempt's answer was lost, and AWS may not show yet what it made".to_owned(),
        retryable: true,
        retry_after_ms: u64::try_from(left.as_millis()).ok(),
        facts: Facts::new(),
    }
}

impl Admin<'_> {
    /// What an earlier attempt for the same step recorded.
    async fn record(&self, tag: &str) -> Result<Option<Record>, ConnectError> {
        let (answer, _) = self.call(LOOKING, "ListUserTags", &[("MaxItems", "100")]).await?;
        let mut tags = answer.members(&["ListUserTagsResult", "Tags"]);
        let record = tags.find(|one| one.text(&["Key"]) == Some(TAG)).and_then(|one| one.text(&["Value"]));
        Ok(record.and_then(Record::parse).filter(|record| record.purpose == purpose(tag)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_an_attempt_made_is_its_own() {
        let at: Timestamp = "2026-11-23T02:00:00.5Z".parse().unwrap();
        let key = |id: &str, created: &str| Held {
            id: id.to_owned(),
            status: "Active".to_owned(),
            created: Some(created.parse().unwrap()),
        };
        let record =
            Record { purpose: purpose("x/INC-1/orders.mint"), at, known: vec!["AKIAOLD".to_owned()] };
        assert_eq!(
            Record::parse(&record.text()),
            Some(Record { at, ..Record::parse(&record.text()).unwrap() })
        );
        assert!(record.text().len() <= 256 - 2 * 22, "{}", record.text());
        assert!(record.made(&key("AKIANEW", "2026-11-23T02:00:00Z")), "whole seconds");
        assert!(record.made(&key("AKIANEW", "2026-11-23T02:04:00Z")));
        assert!(!record.made(&key("AKIAOLD", "2026-11-23T02:00:01Z")));
        assert!(!record.made(&key("AKIAHIS", "2026-11-23T03:00:00Z")), "somebody else's, an hour later");
        assert!(!record.made(&key("AKIAHIS", "2026-11-20T02:00:00Z")));
        for bad in ["", "x", "x yesterday AKIA"] {
            assert_eq!(Record::parse(bad), None);
        }
    }
}
