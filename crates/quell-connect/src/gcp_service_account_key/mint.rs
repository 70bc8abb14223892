//! A new key, and never a second one.
//!
//! `keys.create` cannot be repeated and a key cannot carry a mark. So the account carries it: before the call its description gets what the call
//! is for, when it begins and which keys there are, behind what stands there. When the answer is lost, the next attempt reads that, waits until
//! IAM shows what it made, disables the key whose file nobody has, and begins anew. That key and the note go with the old key; when several keys
//! were made since, none is touched: one may be a colleague's.

use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;
use jiff::{SignedDuration, Timestamp};
use quell_core::outcome::{Facts, Outcome};
use quell_core::secret::{Credential, SecretValue};
use serde_json::{Value, json};
use sha2::{Digest as _, Sha256};

use super::admin::{Held, KEYS_MAX};
use super::{ConnectError, ConnectErrorKind, Key, Performed, ServiceAccount};
use crate::kubernetes::text;
use crate::webhook::sign::wall_clock;

const MAKING: &str = "making the key";
const LOOKING: &str = "looking for a key that was made";

const BEGIN: &str = " [quell-mint ";
/// Before the beginning of an id of a key whose file nobody has.
const STRANGER: char = '!';
/// IAM REST reference, `ServiceAccount.description`.
const DESCRIPTION_MAX: usize = 256;

/// How far apart our clock and Google's may be, and how long an attempt may take.
const SKEW: SignedDuration = SignedDuration::from_mins(5);
const ATTEMPT: SignedDuration = SignedDuration::from_mins(10);

/// How the value is written in stores: as it is, or in base64, as variables of an environment need it.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum Layout {
    Base64,
    Json,
}

/// Stands for a file until there is one.
const PLACES: [(Layout, &str); 2] = [(Layout::Base64, "quell:base64"), (Layout::Json, "quell:json")];

pub(super) fn layout_of(old: Option<&Credential>) -> Layout {
    let text = old.and_then(|old| old.value.expose_text()).map(str::trim_start);
    if text.is_some_and(|text| !text.starts_with('{')) { Layout::Base64 } else { Layout::Json }
}

impl Layout {
    pub(super) fn into_value(self) -> SecretValue {
        let found = PLACES.iter().find(|(layout, _)| *layout == self);
        SecretValue::from_text(found.map_or("", |(_, text)| text).to_owned())
    }

    fn from_value(value: &SecretValue) -> Option<Self> {
        let text = value.expose_text()?;
        PLACES.iter().find(|(_, place)| *place == text).map(|(layout, _)| *layout)
    }
}

/// What stands in the description.
#[derive(Debug, Eq, PartialEq)]
struct Record {
    purpose: String,
    at: Timestamp,
    /// The beginnings of their ids.
    known: Vec<String>,
    /// The same of those whose file nobody has; they are disabled, and go with the old key.
    strangers: Vec<String>,
}

impl Record {
    fn parse(description: &str) -> Option<Self> {
        let (_, record) = description.rsplit_once(BEGIN)?;
        let mut words = record.strip_suffix(']')?.split(' ');
        let (purpose, at) = (words.next()?.to_owned(), words.next()?.parse().ok()?);
        let (strangers, known): (Vec<&str>, Vec<&str>) = words.partition(|word| word.starts_with(STRANGER));
        let strangers = strangers.iter().filter_map(|word| word.strip_prefix(STRANGER));
        let strangers = strangers.map(str::to_owned).collect();
        Some(Self { purpose, at, known: known.into_iter().map(str::to_owned).collect(), strangers })
    }

    fn text(&self) -> String {
        let strangers = self.strangers.iter().map(|id| format!("{STRANGER}{id}"));
        let words: Vec<String> = self.known.iter().cloned().chain(strangers).collect();
        format!("{BEGIN}{} {} {}", self.purpose, self.at, words.join(" ")).trim_end().to_owned() + "]"
    }

    /// Made by the attempt that the record is of: not there before it, and not much later.
    fn made(&self, key: &Held) -> bool {
        let within = key.made.is_none_or(|at| {
            let since = at.duration_since(self.at);
            since >= -SKEW && since <= ATTEMPT + SKEW
        });
        let id = beginning(&key.id);
        !self.known.contains(&id) && !self.strangers.contains(&id) && within
    }
}

fn beginning(id: &str) -> String {
    id.chars().take(8).collect()
}

fn purpose(tag: &str) -> String {
    hex::encode(Sha256::digest(tag)).chars().take(16).collect()
}

/// What stood in the description before; `None` when there is no record in it.
pub(super) fn without_record(account: &Value) -> Option<String> {
    let description = text(account, "/description");
    Record::parse(description)?;
    Some(description.rsplit_once(BEGIN)?.0.to_owned())
}

/// Keys that an attempt made and lost, and that were disabled for it.
pub(super) fn strangers<'a>(account: &Value, held: &'a [Held]) -> Vec<&'a Held> {
    let record = Record::parse(text(account, "/description"));
    let named = record.map(|record| record.strangers).unwrap_or_default();
    held.iter().filter(|key| key.disabled && named.contains(&beginning(&key.id))).collect()
}

impl ServiceAccount {
    pub(super) async fn install(&self, new: &Credential) -> Result<Performed, ConnectError> {
        let Some(layout) = Layout::from_value(&new.value) else {
            return self.observe_install(new).await.map(Performed::from);
        };
        let admin = self.log_in().await?;
        let held = admin.list(MAKING).await?;
        let account = admin.account(MAKING).await?;
        let record =
            Record::parse(text(&account, "/description")).filter(|it| it.purpose == purpose(&new.principal));
        let strangers: Vec<Held> = match &record {
            Some(record) => held.iter().filter(|key| record.made(key)).cloned().collect(),
            None => Vec::new(),
        };
        if let Some(left) = record.as_ref().and_then(|record| self.unsettled(record.at))
            && strangers.is_empty()
        {
            return Ok(wait(left).into());
        }
        if let [_, _, ..] = strangers.as_slice() {
            let ids: Vec<&str> = strangers.iter().map(|key| key.id.as_str()).collect();
            let words = format!(
                "an earlier attempt's answer was lost, and several keys were made since: {}; one of them may be a colleague's: delete the one that nobody has",
                ids.join(", ")
            );
            return Ok(Outcome::refused(words).into());
        }
        // Were it a colleague's after all, it could be enabled again.
        for key in strangers.iter().filter(|key| !key.disabled) {
            admin.disable("disabling a key whose file was lost", &key.id).await?;
        }
        if held.len() >= KEYS_MAX {
            let words = format!(
                "{} has {KEYS_MAX} keys, as many as Google allows; delete one that is not in use",
                self.account
            );
            return Ok(Outcome::refused(words).into());
        }
        let mut lost = record.map(|record| record.strangers).unwrap_or_default();
        lost.extend(strangers.iter().map(|key| beginning(&key.id)));
        let ids = held.iter().map(|key| beginning(&key.id));
        let known = ids.filter(|id| !lost.contains(id)).collect();
        let record = Record { purpose: purpose(&new.principal), at: wall_clock(), known, strangers: lost };
        let before = without_record(&account).unwrap_or_else(|| text(&account, "/description").to_owned());
        let described = format!("{before}{}", record.text());
        if described.len() > DESCRIPTION_MAX {
            let words = format!(
                "the description of {} is too long for the note of what is made: shorten it to {} characters",
                self.account,
                DESCRIPTION_MAX.saturating_sub(record.text().len())
            );
            return Ok(Outcome::refused(words).into());
        }
        admin.describe("recording what will be made", &account, &described).await?;
        let (id, file) = admin.create(MAKING).await?;
        let value = match layout {
            Layout::Base64 => file,
            Layout::Json => SecretValue::new(BASE64_STANDARD.decode(file.expose()).unwrap_or_default()),
        };
        if Key::of(&value).is_ok_and(|key| key.id == id && key.email == self.account) {
            let mut facts = Facts::new();
            facts.insert("key".to_owned(), json!(id));
            let strangers: Vec<&str> = strangers.iter().map(|key| key.id.as_str()).collect();
            facts.insert("strangers_disabled".to_owned(), json!(strangers));
            let minted = Some(Credential { principal: id, value });
            return Ok(Performed { outcome: Outcome::Applied { facts }, minted });
        }
        Err(self.failed(MAKING, ConnectErrorKind::Unexpected, "a key was made, and its file cannot be read"))
    }

    pub(super) async fn observe_install(&self, new: &Credential) -> Result<Outcome, ConnectError> {
        let admin = self.log_in().await?;
        let held = admin.list(LOOKING).await?;
        if Layout::from_value(&new.value).is_none() {
            return Ok(match held.iter().find(|key| key.id == new.principal) {
                Some(key) if key.disabled => Outcome::refused(format!("the key {} is disabled", key.id)),
                Some(key) => Outcome::applied([("key", json!(key.id))]),
                None => Outcome::retry(format!("IAM shows no key {} of {}", new.principal, self.account)),
            });
        }
        let account = admin.account(LOOKING).await?;
        let record = Record::parse(text(&account, "/description"));
        let Some(record) = record.filter(|record| record.purpose == purpose(&new.principal)) else {
            return Ok(Outcome::retry("no key was asked for"));
        };
        let strangers: Vec<&str> =
            held.iter().filter(|key| record.made(key)).map(|key| key.id.as_str()).collect();
        Ok(match self.unsettled(record.at) {
            _ if !strangers.is_empty() => Outcome::retry(format!(
                "a key was made but its file was lost with the answer ({}); the next attempt disables it first",
                strangers.join(", ")
            )),
            Some(left) => wait(left),
            None => Outcome::retry("no key was made"),
        })
    }

    /// How long until IAM surely shows what was made at `at`.
    fn unsettled(&self, at: Timestamp) -> Option<SignedDuration> {
        let settle = SignedDuration::from_millis(i64::try_from(self.settle_ms).unwrap_or(i64::MAX));
        let left = settle - wall_clock().duration_since(at);
        left.is_positive().then(|| left.min(settle))
    }
}

fn wait(left: SignedDuration) -> Outcome {
    Outcome::NotApplied {
        reason: "an earlier attempt's answer was lost, and IAM may not show yet what it made".to_owned(),
        retryable: true,
        retry_after_ms: u64::try_from(left.as_millis()).ok(),
        facts: Facts::new(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_an_attempt_made_is_its_own() {
        let at: Timestamp = "2026-11-23T02:00:00.123456789Z".parse().unwrap();
        let key = |id: &str, made: &str| Held {
            id: id.to_owned(),
            disabled: false,
            reason: None,
            made: Some(made.parse().unwrap()),
        };
        let known = (0..9).map(|n| format!("{n:08x}")).collect();
        let record = Record {
            purpose: purpose("x/INC-1/orders.mint"),
            at,
            known,
            strangers: vec!["0badf00d".to_owned()],
        };
        let description = format!("theirs [x]{}", record.text());
        assert_eq!(Record::parse(&description).unwrap(), record);
        assert_eq!(without_record(&json!({ "description": description })).as_deref(), Some("theirs [x]"));
        assert!(record.text().len() <= DESCRIPTION_MAX - 80, "{}", record.text());
        assert!(record.made(&key("ffffffff00", "2026-11-23T02:00:00Z")), "whole seconds");
        assert!(!record.made(&key("0badf00d00", "2026-11-23T02:00:01Z")), "it was disabled");
        assert!(!record.made(&key("0000000100", "2026-11-23T02:00:01Z")), "it was there");
        assert!(!record.made(&key("ffffffff00", "2026-11-23T03:00:00Z")), "somebody else's, an hour later");
        for bad in ["", "x", " [quell-mint x yesterday]", " [quell-mint x"] {
            assert_eq!(Record::parse(bad), None);
            assert_eq!(without_record(&json!({ "description": bad })), None);
        }
    }
}
