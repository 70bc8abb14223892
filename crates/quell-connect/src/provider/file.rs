//! A provider file as people write it. What it means is checked in [`super::check`].

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use serde_json::Value;
use serde_saphyr::Spanned;

/// The version of the format that this Quell reads.
pub const FORMAT: u64 = 1;

/// Everything that is known about one kind of key.
#[derive(Debug, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
pub struct File {
    /// Version of the format: [`FORMAT`].
    pub provider: u64,
    /// `github`, `sendgrid`: unique among all files.
    pub id: String,
    /// For people: `GitHub personal access token`.
    pub name: String,
    /// Kinds of the scan rules that are such keys (`quell rules list`).
    #[serde(default)]
    pub kinds: Vec<String>,
    /// How such keys begin, when others of the same kind are refused at this door although they live. None: any way.
    #[serde(default)]
    pub prefixes: Vec<String>,
    /// Where the API is: `https://api.github.com`. May have holes for variables and public parts.
    pub url: String,
    /// How a value is built, when parts of it are needed: `SG.{id}.{rest}`.
    #[serde(default)]
    pub shape: Option<String>,
    /// Parts of the shape that are no secret.
    #[serde(default)]
    pub public: Vec<String>,
    /// What the inventory must say beside the key, such as the name of a shop: name and what it is.
    #[serde(default)]
    pub vars: BTreeMap<String, String>,
    /// The API takes the key in its URL and leaves no other way: why, and what that means.
    #[serde(default)]
    pub secret_in_url: Option<String>,
    /// How a request carries a credential.
    pub auth: Auths,
    /// Is the key alive?
    pub probe: Spanned<Call>,
    /// Ways to revoke it, the best first.
    #[serde(default)]
    pub revoke: Vec<Spanned<Call>>,
    /// Makes a successor.
    #[serde(default)]
    pub mint: Option<Spanned<Call>>,
    /// Lists keys by name: finds one whose answer was lost.
    #[serde(default)]
    pub list: Option<Spanned<Call>>,
    /// When it was last used.
    #[serde(default)]
    pub last_used: Option<Spanned<Call>>,
    /// Where the key's id comes from, when a call needs it.
    #[serde(default)]
    pub key_id: Option<KeyId>,
    /// What a person does when no call can revoke it.
    #[serde(default)]
    pub by_hand: Option<String>,
    /// How long a revocation takes to bind: `2s`.
    pub settle: String,
    /// How many keys can be valid at once, when the vendor says so.
    #[serde(default)]
    pub max_keys: Option<u64>,
    /// Limits of the API, in words.
    #[serde(default)]
    pub limits: Vec<Fact>,
    /// What revoking the key breaks, in words.
    pub breaks: String,
    /// What lives on after the key is dead.
    #[serde(default)]
    pub outlives: Vec<Fact>,
    /// Other doors of the vendor, whose living keys are refused here in the same words: another region, a sandbox.
    #[serde(default)]
    pub elsewhere: Vec<Fact>,
    /// What the model of the tests is fed with.
    pub example: Example,
}

/// A statement with its source.
#[derive(Clone, Debug, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
pub struct Fact {
    /// The statement.
    pub what: String,
    /// The page that says so.
    pub source: String,
    /// The day on which it was read, such as 2026-11-23.
    pub checked: String,
}

/// How requests carry credentials.
#[derive(Debug, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
pub struct Auths {
    /// The leaked key itself (and its successor, and a control).
    pub key: Auth,
    /// The administrator's credential; without it, it is a key of the same kind.
    #[serde(default)]
    pub admin: Option<Auth>,
}

/// How one credential is carried.
#[derive(Debug, Default, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
pub struct Auth {
    /// How the credential is built, when its parts go into different places.
    #[serde(default)]
    pub shape: Option<String>,
    /// Headers with `{key}` or `{key.part}`.
    #[serde(default)]
    pub headers: BTreeMap<String, String>,
    /// User and password of HTTP Basic.
    #[serde(default)]
    pub basic: Option<Basic>,
}

/// HTTP Basic.
#[derive(Debug, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
pub struct Basic {
    /// Before the colon.
    pub user: String,
    /// After it.
    pub password: String,
}

/// As whom a call is made.
#[derive(Clone, Copy, Debug, Default, Deserialize, Eq, PartialEq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Who {
    /// With the administrator's credential.
    Admin,
    /// With the key itself.
    #[default]
    Key,
    /// Without any: the key is only named in the body.
    Nobody,
}

/// One request, and how its answer reads.
#[derive(Debug, Default, Deserialize, Serialize)]
#[serde(deny_unknown_fields, default)]
pub struct Call {
    /// `GET`, `POST`, `PUT`, `PATCH`, `DELETE`.
    pub method: String,
    /// Below the URL: `/v3/api_keys/{id}`.
    pub path: String,
    /// Where this call goes, when not to the URL of the file.
    pub url: Option<String>,
    /// As whom.
    #[serde(rename = "as")]
    pub who: Who,
    /// More headers.
    pub headers: BTreeMap<String, String>,
    /// A JSON body; texts in it may have holes.
    pub json: Option<Value>,
    /// A form body.
    pub form: Option<BTreeMap<String, String>>,
    /// Probe: the door is open.
    pub accepted: Vec<When>,
    /// Probe: this key is refused.
    pub refused: Vec<When>,
    /// Too many requests, where the vendor says it otherwise than by 429.
    pub limited: Vec<When>,
    /// Others: it was done (or is queued: that is never a proof).
    pub done: Vec<When>,
    /// Others: there is no such key.
    pub gone: Vec<When>,
    /// Pointer to the key's id in the answer.
    pub id: Option<String>,
    /// Mint: pointer to the new value.
    pub value: Option<String>,
    /// List: pointer to the array.
    pub items: Option<String>,
    /// List: pointer to the name, in an item.
    pub name: Option<String>,
    /// List: how it goes on after its first page.
    pub pages: Option<Pages>,
    /// List: how long until it shows a key that was made, or no longer shows one that was revoked: `10s`.
    pub settle: Option<String>,
    /// Mint: where it is said what the new key may do.
    pub rights: Option<Rights>,
    /// Mint: why nothing has to be said of what the new key may do.
    pub all_alike: Option<String>,
    /// Mint: most characters of a name.
    pub longest: Option<u64>,
    /// Probe, last use: what may be shown of the answer, by pointer.
    pub facts: BTreeMap<String, String>,
    /// What the credential must be allowed, in the vendor's words.
    pub needs: Option<String>,
    /// The page that describes the call.
    pub source: String,
    /// The day on which it was read.
    pub checked: String,
    /// What a reader should know of how this was checked: what the page does not say.
    pub note: Option<String>,
    /// Answers as the vendor gives them, by what they mean: `accepted`, `refused`, `done`, `item`.
    pub examples: BTreeMap<String, Answer>,
}

/// How a list goes on after its first page.
#[derive(Clone, Debug, Deserialize, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Pages {
    /// Each answer carries what the next request must give back.
    Cursor(Cursor),
    /// Each answer carries the address of the next page, at this pointer.
    Link(String),
    /// Pages have numbers.
    Number(Number),
    /// One answer holds all.
    Whole(Whole),
}

/// The next request gives back what this answer carried.
#[derive(Clone, Debug, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
pub struct Cursor {
    /// The parameter's name.
    pub query: String,
    /// Pointer to it in the answer; on the last page nothing stands there.
    pub next: String,
}

/// Pages have numbers.
#[derive(Clone, Debug, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
pub struct Number {
    /// The parameter's name.
    pub query: String,
    /// The first page's number.
    #[serde(default = "one")]
    pub from: u64,
    /// Pointer to the last page's number. Without it, the first empty page is the end.
    #[serde(default)]
    pub last: Option<String>,
    /// Pointer to how many there are in all: keys that come and go move others from page to page.
    #[serde(default)]
    pub total: Option<String>,
}

/// One answer holds all.
#[derive(Clone, Debug, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
pub struct Whole {
    /// A list that is this long may have been cut off.
    pub below: u64,
    /// Who says so.
    pub why: String,
}

fn one() -> u64 {
    1
}

/// Where it is said what a new key may do. Without it, most vendors make a key that may do everything.
#[derive(Clone, Debug, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
pub struct Rights {
    /// The setting of `mint` in the inventory that names them: `scopes`.
    pub setting: String,
    /// Pointer to what was given, in the answer.
    pub at: String,
    /// What the vendor adds to every key.
    #[serde(default)]
    pub added: Vec<String>,
}

/// Something in a JSON body.
#[derive(Clone, Debug, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
pub struct Mark {
    /// Pointer (RFC 6901) to where it stands.
    pub at: String,
    /// What stands there, exactly.
    #[serde(default)]
    pub is: Option<Value>,
    /// A text that is part of what stands there.
    #[serde(default)]
    pub has: Option<String>,
}

/// Recognizes an answer.
#[derive(Clone, Debug, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
pub struct When {
    /// The status code.
    pub status: u16,
    /// Pointer (RFC 6901) to something that must be in the JSON body.
    #[serde(default)]
    pub at: Option<String>,
    /// What stands there, exactly.
    #[serde(default)]
    pub is: Option<Value>,
    /// A text that is part of what stands there.
    #[serde(default)]
    pub has: Option<String>,
    /// What else must be in the body.
    #[serde(default)]
    pub and: Vec<Mark>,
    /// Refusals: why this one proves nothing, when others than the issuer say the same.
    #[serde(default)]
    pub weak: Option<String>,
}

/// Where a key's id comes from.
#[derive(Clone, Debug, Deserialize, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum KeyId {
    /// A part of the value: `{ part: id }`.
    Part(String),
    /// A pointer into the probe's answer: `{ probe: /result/id }`.
    Probe(String),
    /// Only a person can tell, as `key_id` in the inventory: where it is found.
    Inventory(String),
}

/// An answer of the vendor, for the model.
#[derive(Clone, Debug, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
pub struct Answer {
    /// The status code.
    pub status: u16,
    /// The body; texts in it may have the holes `{id}`, `{value}`, `{tag}`.
    #[serde(default)]
    pub json: Option<Value>,
}

/// What the model is fed with. No real key: values are made from patterns at the time of the test.
#[derive(Debug, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
pub struct Example {
    /// Pattern of a value, such as `ghp_{alnum:36}`.
    pub value: String,
    /// Pattern of an administrator's credential; without it, that of a value.
    #[serde(default)]
    pub admin: Option<String>,
    /// Values for the variables.
    #[serde(default)]
    pub vars: BTreeMap<String, String>,
    /// Settings of a successor.
    #[serde(default)]
    pub mint: Option<Value>,
}

impl File {
    /// Every call with what it is: `probe`, `revoke[0]`, `mint`.
    pub fn calls(&self) -> Vec<(String, &Spanned<Call>)> {
        let mut all = vec![("probe".to_owned(), &self.probe)];
        all.extend(self.revoke.iter().enumerate().map(|(i, call)| (format!("revoke[{i}]"), call)));
        let others = [("mint", &self.mint), ("list", &self.list), ("last_used", &self.last_used)];
        all.extend(others.into_iter().filter_map(|(name, call)| Some((name.to_owned(), call.as_ref()?))));
        all
    }

    /// Is a value that begins so one for this door? A refusal of another would prove nothing.
    pub fn takes(&self, value: &str) -> bool {
        self.prefixes.is_empty() || self.prefixes.iter().any(|prefix| value.starts_with(prefix))
    }

    /// Can it be revoked with nothing but the value?
    pub fn self_revocable(&self) -> bool {
        self.revoke.iter().any(|call| call.value.who != Who::Admin)
    }

    /// Are there refusals that nobody but the issuer says? Else no key of it can be proven dead.
    pub fn proves(&self) -> bool {
        self.probe.value.refused.iter().any(|refusal| refusal.weak.is_none())
    }

    /// As which credential a call is made, and how that is carried.
    pub(super) fn auth(&self, who: Who) -> Option<&Auth> {
        match who {
            Who::Key => Some(&self.auth.key),
            Who::Admin => Some(self.auth.admin.as_ref().unwrap_or(&self.auth.key)),
            Who::Nobody => None,
        }
    }
}

impl When {
    /// What the ledger and the declared refusals call it: `401 Bad credentials`.
    pub fn code(&self) -> String {
        let mark = match (&self.is, &self.has) {
            (Some(Value::String(text)), _) | (None, Some(text)) => format!(" {text}"),
            (Some(value), _) => format!(" {} {value}", self.at.as_deref().unwrap_or_default()),
            (None, None) => self.at.as_ref().map(|at| format!(" {at}")).unwrap_or_default(),
        };
        format!("{}{mark}", self.status)
    }
}
