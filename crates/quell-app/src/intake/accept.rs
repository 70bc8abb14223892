//! What is done before the answer: size, name, signature, is it JSON, is it new; then it is written down.

use std::collections::BTreeMap;

use jiff::{SignedDuration, Timestamp};
use quell_core::secret::SecretValue;
use quell_store::{Arrival, Put};
use serde::de::IgnoredAny;
use serde_json::json;

use super::config::{Kind, Source};
use super::keys::Age;
use super::{sender, verify};
use crate::App;
use verify::{Scheme, Verified};

/// Largest body: what GitHub sends at most.
pub const MAX_BODY: usize = 25 << 20;

/// From senders whose deliveries have no mark of their own, the same body counts as news again after so long.
const FORGET: SignedDuration = SignedDuration::from_hours(1);

/// What is answered.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Answer {
    /// Of HTTP.
    pub status: u16,
    /// JSON; empty with 204.
    pub body: String,
}

impl Answer {
    fn new(status: u16, body: &serde_json::Value) -> Self {
        Self { status, body: body.to_string() }
    }

    /// The same for a name that nobody has and for a signature that does not fit.
    pub fn denied() -> Self {
        Self::new(401, &json!({"error": "not accepted"}))
    }

    fn later() -> Self {
        Self::new(503, &json!({"error": "not now; try again"}))
    }
}

/// A request's headers, names in lower case.
#[derive(Clone, Debug, Default)]
pub struct Headers(BTreeMap<String, String>);

impl Headers {
    /// Takes them over. One that comes twice is joined with a comma, as HTTP says; what is not text is left out by the caller.
    pub fn new<'a>(all: impl IntoIterator<Item = (&'a str, &'a str)>) -> Self {
        let mut headers: BTreeMap<String, String> = BTreeMap::new();
        for (name, value) in all {
            let value = value.trim();
            headers
                .entry(name.trim().to_ascii_lowercase())
                .and_modify(|known| {
                    known.push_str(", ");
                    known.push_str(value);
                })
                .or_insert_with(|| value.to_owned());
        }
        Self(headers)
    }

    pub(super) fn get(&self, name: &str) -> Option<&str> {
        self.0.get(name).map(String::as_str)
    }
}

/// Is there an entry of this name? Asked before anything of a request is read.
pub fn is_known(app: &App, name: &str) -> bool {
    app.inventory.intake.contains_key(name)
}

/// Takes a delivery in: verified, new, written down. It is worked off later. What is not accepted leaves nothing behind.
pub async fn accept(app: &App, name: &str, headers: &Headers, body: &[u8], now: Timestamp) -> Answer {
    if body.len() > MAX_BODY {
        return Answer::new(413, &json!({"error": "larger than 25 MiB"}));
    }
    let (source, verified) = match known(app, name, headers, body, now).await {
        Ok(known) => known,
        Err(answer) => return answer,
    };
    // Syntax only, and without recursion; what it says is looked at later.
    if serde_json::from_slice::<IgnoredAny>(body).is_err() {
        let hint = "the body is not JSON; have it sent as application/json";
        return Answer::new(400, &json!({ "error": hint }));
    }
    if let Kind::GitlabRevocation { types, .. } = &source.kind
        && let Err(why) = sender::revocation::check(body, types)
    {
        return Answer::new(400, &json!({ "error": why }));
    }
    let named = [source.name.as_bytes(), b"\0", verified.signed.as_bytes(), b"\0", body];
    let digest = {
        let mut bytes = zeroize::Zeroizing::new(Vec::with_capacity(body.len() + 256));
        for part in named {
            bytes.extend_from_slice(part);
        }
        app.store.keys().fingerprint.fingerprint_bytes(&bytes).to_string()
    };
    let value = SecretValue::new(body.to_vec());
    let (delivery, topic) = marks(headers);
    let arrival = Arrival {
        source: &source.name,
        kind: source.kind.word(),
        delivery: &delivery,
        topic: &topic,
        digest: &digest,
        body: &value,
    };
    let forget = Scheme::of(&source.kind).repeats().then_some(FORGET);
    match app.store.inbox_put(&arrival, now, forget).await {
        Ok(_) if matches!(source.kind, Kind::GitlabRevocation { .. }) => {
            Answer { status: 204, body: String::new() }
        }
        Ok(Put::New(id)) => Answer::new(202, &json!({ "accepted": id })),
        Ok(Put::Replay(id)) => Answer::new(200, &json!({ "known": id })),
        Err(_not_written) => Answer::later(),
    }
}

/// Which types of token GitLab may send: what it asks first, at the same address, with GET.
pub async fn revocable_types(app: &App, name: &str, headers: &Headers, now: Timestamp) -> Answer {
    match known(app, name, headers, b"", now).await {
        Ok((source, _)) => match &source.kind {
            Kind::GitlabRevocation { types, .. } => Answer::new(200, &json!({ "types": types })),
            Kind::Eventbridge { .. }
            | Kind::Github { .. }
            | Kind::Gitguardian
            | Kind::Gitlab
            | Kind::Json { .. }
            | Kind::Pagerduty
            | Kind::Sarif { .. }
            | Kind::VaultAudit { .. } => Answer::new(405, &json!({"error": "deliveries are posted"})),
        },
        Err(answer) => answer,
    }
}

/// The sender, if it is one that the inventory knows and it has the key.
async fn known(
    app: &App,
    name: &str,
    headers: &Headers,
    body: &[u8],
    now: Timestamp,
) -> Result<(Source, Verified), Answer> {
    let source = app.inventory.intake.get(name).and_then(|entry| Source::parse(name, entry).ok());
    let Some(source) = source else {
        // Nobody learns from the time it takes which names there are.
        let fits = verify::pretend(body);
        debug_assert!(!fits, "nobody has that key");
        return Err(Answer::denied());
    };
    let scheme = Scheme::of(&source.kind);
    if !scheme.is_present(headers) {
        return Err(Answer::denied());
    }
    let mut complete = true;
    for age in [Age::Any, Age::Doubted] {
        let Ok(held) = app.hook_keys.of(&source, &app.context, now, age).await else {
            return Err(Answer::later());
        };
        complete = held.complete;
        if let Some(verified) = scheme.verify(&held.keys, headers, body, now) {
            return Ok((source, verified));
        }
    }
    // It may be signed with the key that cannot be had now: whoever sent it comes again.
    Err(if complete { Answer::denied() } else { Answer::later() })
}

/// Headers in which senders say which delivery it is, and what it is about.
const IDS: &[&str] =
    &["x-github-delivery", "webhook-id", "x-gitlab-webhook-uuid", "x-webhook-id", "x-quell-notice"];
const TOPICS: &[&str] = &["x-github-event", "x-gitlab-event"];

fn marks(headers: &Headers) -> (String, String) {
    let first = |names: &[&str]| {
        let found = names.iter().find_map(|name| headers.get(name)).unwrap_or_default();
        found.chars().filter(|c| c.is_ascii_graphic() || *c == ' ').take(100).collect::<String>()
    };
    (first(IDS), first(TOPICS))
}
