//! AWS Health by `EventBridge`: `AWS_RISK_CREDENTIALS_EXPOSED` says that AWS itself saw an access key in public.
//!
//! The event: aws/aws-health-tools, `automated-actions/AWS_RISK_CREDENTIALS_EXPOSED` (2026-11); the key's id is in
//! `detail.affectedEntities[].entityValue`. There is no value in it.

use quell_core::severity::Signal;
use serde::Deserialize;

use super::{Findings, Found, Reading, object, word};
use crate::AppError;
use crate::ingest::{Foreign, time};

#[derive(Deserialize)]
struct Event {
    #[serde(default)]
    source: String,
    #[serde(default)]
    account: String,
    time: Option<String>,
    #[serde(default)]
    detail: Detail,
}

#[derive(Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
struct Detail {
    event_arn: String,
    event_type_code: String,
    affected_entities: Vec<Entity>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Entity {
    #[serde(default)]
    entity_value: String,
}

const EXPOSED: &str = "AWS_RISK_CREDENTIALS_EXPOSED";
/// An older one for the same, still sent for keys that are suspected to be used.
const COMPROMISED: &str = "AWS_RISK_CREDENTIALS_COMPROMISED";

pub(super) fn read(text: &str) -> Result<Reading, AppError> {
    let event: Event = object(text)?;
    let code = event.detail.event_type_code.as_str();
    if event.source != "aws.health" || !matches!(code, EXPOSED | COMPROMISED) {
        let what = word(if code.is_empty() { &event.source } else { code });
        return Ok(Reading::Nothing(format!("it is not about exposed credentials ({what})")));
    }
    let account = word(&event.account);
    let found = event.detail.affected_entities.iter().filter(|one| !one.entity_value.trim().is_empty());
    let found: Vec<Found> = found
        .map(|entity| Found {
            foreign: Foreign {
                rule: code.to_ascii_lowercase(),
                description: format!("AWS saw the access key {} in public", word(&entity.entity_value)),
                file: format!("aws account {account}, access key {}", word(&entity.entity_value)),
                seen: time(event.time.as_deref()),
                link: Some(word(&event.detail.event_arn)),
                public: Some(true),
                reference: Some(entity.entity_value.trim().to_owned()),
                ..Foreign::default()
            },
            principal: Some(entity.entity_value.trim().to_owned()),
        })
        .collect();
    if found.is_empty() {
        return Err(AppError::Usage(format!("the event {code} names no access key")));
    }
    let reason = format!("AWS Health: {code} in account {account}");
    let mut signals = vec![(None, Signal::Public, reason.clone())];
    if code == COMPROMISED {
        signals.push((None, Signal::UsedByUnknown, reason));
    }
    Ok(Reading::Findings(Findings {
        tool: "aws-health",
        found,
        signals,
        kill_first: true,
        ..Findings::default()
    }))
}
