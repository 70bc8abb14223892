//! A SIEM's alert about the vault's audit log: somebody read a secret who should not have.
//!
//! The record has the fields of the runbook: `event_type: vault.secret_read`, `details.secret.name`, with `actor`,
//! `ip_address` and `timestamp`. SIEMs wrap it: the record is looked for at the top and below the names in [`WRAPPERS`].

use quell_core::SecretId;
use quell_core::inventory::{Inventory, PlaceKind};
use quell_core::severity::Signal;
use serde::Deserialize;
use serde_json::Value;

use super::{Findings, Reading, object, word};
use crate::AppError;
use crate::ingest::{Foreign, some, time};

/// Below these names the record stands: Splunk, Elastic, and what people make up.
const WRAPPERS: &[&str] = &["result", "_source", "alert", "event", "record", "hits"];
/// Wrappers in wrappers are followed this deep.
const MAX_DEPTH: usize = 4;
/// Records in one alert, at most.
const MOST: usize = 1_000;

#[derive(Deserialize)]
struct Record {
    event_type: String,
    actor: Option<String>,
    ip_address: Option<String>,
    timestamp: Option<String>,
    #[serde(default)]
    details: Details,
}

#[derive(Default, Deserialize)]
struct Details {
    secret: Option<Secret>,
}

#[derive(Deserialize)]
struct Secret {
    #[serde(default)]
    name: String,
}

pub(super) fn read(text: &str, inventory: &Inventory) -> Result<Reading, AppError> {
    let body: Value = object(text)?;
    let mut records = Vec::new();
    collect(&body, 0, &mut records);
    let mut findings = Findings { tool: "vault-audit", ..Findings::default() };
    for record in records {
        let Some(name) = record.details.secret.map(|secret| word(&secret.name)).and_then(some) else {
            continue;
        };
        let who = record.actor.as_deref().map_or_else(|| "somebody unknown".to_owned(), word);
        let from = record.ip_address.as_deref().map(|ip| format!(" from {}", word(ip))).unwrap_or_default();
        let at = record.timestamp.as_deref().map(|at| format!(" at {}", word(at))).unwrap_or_default();
        let event = word(&record.event_type);
        let said = format!("vault audit: {event} of `{name}` by {who}{from}{at}");
        let foreign = || Foreign {
            rule: event.clone(),
            description: said.clone(),
            file: format!("vault audit log, {name}"),
            seen: time(record.timestamp.as_deref()),
            reference: Some(said.clone()),
            ..Foreign::default()
        };
        let known = secrets_at(inventory, &name);
        if known.is_empty() {
            findings.found.push(foreign().into());
        }
        for secret in known {
            findings.signals.push((Some(secret.clone()), Signal::UsedByUnknown, said.clone()));
            findings.found.push(Foreign { secret: Some(secret), ..foreign() }.into());
        }
    }
    if findings.found.is_empty() {
        let words = "there is no record in it with `event_type` and `details.secret.name`";
        return Err(AppError::Usage(words.to_owned()));
    }
    Ok(Reading::Findings(findings))
}

fn collect(value: &Value, depth: usize, records: &mut Vec<Record>) {
    if depth > MAX_DEPTH || records.len() >= MOST {
        return;
    }
    match value {
        Value::Array(items) => {
            for item in items {
                collect(item, depth + 1, records);
            }
        }
        Value::Object(map) => {
            if let Ok(record) = Record::deserialize(value) {
                records.push(record);
            } else {
                for inner in WRAPPERS.iter().filter_map(|name| map.get(*name)) {
                    collect(inner, depth + 1, records);
                }
            }
        }
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => {}
    }
}

/// Secrets of this id, or kept at this path: `apps/orders`, `kv/apps/orders`, `kv/data/apps/orders`.
fn secrets_at(inventory: &Inventory, name: &str) -> Vec<SecretId> {
    let mut found: Vec<SecretId> =
        inventory.secrets.keys().filter(|id| id.as_str() == name).cloned().collect();
    let name = name.trim_matches('/');
    for place in inventory.places() {
        let text = |key: &str| place.config.get(key).and_then(Value::as_str).unwrap_or_default();
        let (mount, path) = (text("mount").trim_matches('/'), text("path").trim_matches('/'));
        let same = place.kind == PlaceKind::Store
            && !mount.is_empty()
            && [path.to_owned(), format!("{mount}/{path}"), format!("{mount}/data/{path}")]
                .iter()
                .any(|at| at == name);
        if same && !found.contains(&place.secret) {
            found.push(place.secret.clone());
        }
    }
    found
}
