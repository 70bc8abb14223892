//! GitHub: `secret_scanning_alert` and `secret_scanning_alert_location`.
//!
//! Payloads: github/docs, "Webhook events and payloads"; octokit/webhooks, `payload-examples` (2026-11). An alert in a
//! delivery has no value and no place; both are fetched when the inventory gives a token ([`Which`]).

use quell_core::severity::Signal;
use serde::Deserialize;

use super::{Findings, Found, Reading, object, word};
use crate::AppError;
use crate::ingest::Format;
use crate::ingest::github::{Alert, Location, Repository, alert};

#[derive(Deserialize)]
struct Hook {
    #[serde(default)]
    action: String,
    alert: Option<Alert>,
    location: Option<Location>,
    repository: Option<Repository>,
    sender: Option<Sender>,
}

#[derive(Deserialize)]
struct Sender {
    #[serde(default)]
    login: String,
}

/// The same body again, for what is needed as text only.
#[derive(Deserialize)]
struct Named {
    alert: NamedAlert,
    repository: NamedRepository,
}

#[derive(Deserialize)]
struct NamedAlert {
    number: u64,
    resolution: Option<String>,
    validity: Option<String>,
}

#[derive(Deserialize)]
struct NamedRepository {
    full_name: String,
}

/// An alert by repository and number.
#[derive(Debug, Eq, PartialEq)]
pub(in crate::intake) struct Which {
    pub(in crate::intake) repository: String,
    pub(in crate::intake) number: u64,
}

impl Which {
    /// Two parts that make no other path of an address.
    fn of(full_name: &str, number: u64) -> Option<Self> {
        let plain = |part: &str| {
            !part.is_empty()
                && !part.starts_with('.')
                && part.bytes().all(|b| b.is_ascii_alphanumeric() || matches!(b, b'-' | b'_' | b'.'))
        };
        let (owner, name) = full_name.split_once('/')?;
        (plain(owner) && plain(name)).then(|| Self { repository: full_name.to_owned(), number })
    }
}

pub(super) fn read(topic: &str, text: &str) -> Result<Reading, AppError> {
    if !matches!(topic, "secret_scanning_alert" | "secret_scanning_alert_location") {
        return Ok(Reading::Nothing(format!("deliveries of `{}` are not about leaks", word(topic))));
    }
    let hook: Hook = object(text)?;
    let Some(found) = hook.alert else {
        return Err(AppError::Usage("the body has no alert".to_owned()));
    };
    let named: Named = object(text)?;
    let (action, name) = (word(&hook.action), word(&named.repository.full_name));
    let number = named.alert.number;
    let by = hook.sender.map(|sender| format!(" by {}", word(&sender.login))).unwrap_or_default();
    let done = matches!(action.as_str(), "resolved" | "revoked");
    let resolution = named.alert.resolution.as_deref().map_or_else(|| action.clone(), word);
    let mut places: Vec<_> = alert(found, hook.repository, hook.location.into_iter().collect());
    for place in &mut places {
        place.reference = Some(format!("{name}#{number}"));
        if done {
            place.resolved.get_or_insert_with(|| resolution.clone());
        }
    }
    let mut findings = Findings {
        tool: Format::Github.word(),
        found: places.into_iter().map(Found::from).collect(),
        alert: Which::of(&named.repository.full_name, number),
        ..Findings::default()
    };
    match action.as_str() {
        "resolved" | "revoked" => findings.remarks.push(format!(
            "GitHub alert {name}#{number} was set to `{resolution}`{by}: that is no proof that the value is dead"
        )),
        "reopened" => findings.remarks.push(format!("GitHub alert {name}#{number} was opened again{by}")),
        "publicly_leaked" => {
            findings.signals.push((None, Signal::Public, format!("GitHub found the secret of {name}#{number} in public")));
        }
        "validated" => findings.remarks.push(format!(
            "GitHub tried the secret of {name}#{number}: {}",
            named.alert.validity.as_deref().map_or_else(|| "it does not say what came of it".to_owned(), word)
        )),
        "assigned" | "unassigned" => {
            findings.remarks.push(format!("GitHub alert {name}#{number} was {action}{by}"));
        }
        _ => {}
    }
    Ok(Reading::Findings(findings))
}
