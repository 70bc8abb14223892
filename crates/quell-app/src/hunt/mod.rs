//! Hunts for an incident: what to look for, and what is written down.

pub mod memory;
mod shown;
pub mod sql;
pub mod triage;

pub use shown::{Shown, Unusual, shown};

use std::sync::Arc;

use jiff::Timestamp;
use quell_connect::context::Context;
use quell_core::event::{Entry, Event, Triage, Verdict};
use quell_core::incident::Incident;
use quell_core::inventory::{Inventory, Secret};
use quell_core::secret::SecretValue;
use quell_core::{IncidentId, SecretId};
use quell_hunt::needle::Needle;
use quell_hunt::report::saved::Saved;
use serde_json::Value;

use crate::incident::{Change, events_of};
use crate::{App, AppError, Options};

/// The connector of OpenBao and Vault.
const OPENBAO: &str = "openbao";

/// The name of a hunt's report among the evidence.
pub const EVIDENCE: &str = "hunt.json";

/// What an incident says about the leaked credentials.
#[derive(Debug, Default)]
pub struct Subject {
    /// Their public names and their values, in all spellings.
    pub needles: Vec<Needle>,
    /// When the exposure began.
    pub exposed: Option<Timestamp>,
    /// What cannot be looked for, and why.
    pub left_out: Vec<String>,
    /// What people said of findings before.
    pub triaged: Vec<(Triage, String)>,
    /// Values whose HMAC may stand in an audit log of OpenBao, with what people see instead of them.
    pub values: Vec<(String, SecretValue)>,
    /// Where to ask for these, when one of the secrets is issued by OpenBao or kept there.
    pub vault: Option<Context>,
}

/// What to look for: each compromised value that Quell holds sealed, and whom it authenticates.
///
/// # Errors
/// When the incident or a sealed value cannot be read.
pub async fn subject(app: &App, id: IncidentId) -> Result<Subject, AppError> {
    let incident = app.incident(id).await?;
    let mut subject = Subject {
        exposed: incident.first_exposed(),
        triaged: incident.triaged.clone(),
        ..Subject::default()
    };
    for affected in &incident.secrets {
        if app.inventory.secrets.get(&affected.secret).is_some_and(in_vault) {
            subject.vault = Some(app.context.clone());
        }
        for (what, name) in retired(&incident, &affected.secret) {
            match Needle::ids(&name) {
                Ok(mut all) => subject.needles.append(&mut all),
                Err(error) => subject.left_out.push(format!("{what}: {error}")),
            }
            subject.values.push((what, SecretValue::from_text(name)));
        }
        let old = incident.old_values(&affected.secret);
        if old.is_empty() {
            let why = "no compromised value is known yet; `quell respond` captures them, or give --id";
            subject.left_out.push(format!("{}: {why}", affected.secret));
        }
        for sealed in old {
            // An issuer's name for the bearer is looked for only when it is one that no other text has by chance.
            if let Some(needle) = distinct(&sealed.principal) {
                subject.needles.push(needle);
                // Accessors are hashed, too, unless the device says otherwise.
                let principal = SecretValue::from_text(sealed.principal.clone());
                subject.values.push((format!("the id of {}", affected.secret), principal));
            }
            let value = app.store.unseal(&sealed.sealed).await?;
            let label = format!("a value of {}", affected.secret);
            match Needle::value(&label, &value) {
                Ok(mut all) => subject.needles.append(&mut all),
                Err(error) => subject.left_out.push(error.to_string()),
            }
            subject.values.push((label, value));
        }
    }
    Ok(subject)
}

/// What the kill retired besides the value: leases by id and accounts by name, as the facts of the step have them. Nobody may come
/// with one of them any more.
fn retired(incident: &Incident, secret: &SecretId) -> Vec<(String, String)> {
    let step = format!("{secret}.disable").parse().ok();
    let facts = step.and_then(|step| incident.facts.get(&step)).into_iter().flat_map(|facts| facts.values());
    let mut out = Vec::new();
    for facts in facts {
        for (key, what) in [("retired", "a retired lease of"), ("retired_accounts", "a retired account of")] {
            let names = facts.get(key).and_then(Value::as_array).into_iter().flatten();
            out.extend(
                names.filter_map(Value::as_str).map(|name| (format!("{what} {secret}"), name.to_owned())),
            );
        }
    }
    out
}

/// Whether its values can stand in an audit log of OpenBao.
fn in_vault(secret: &Secret) -> bool {
    let stores = secret.stores.iter().map(|store| &store.connector);
    stores.chain([&secret.issuer.connector]).any(|connector| connector == OPENBAO)
}

/// Key ids, accessors and the like: long, with digits. A role's name such as `orders_app` stands in every log.
fn distinct(principal: &str) -> Option<Needle> {
    let digits = principal.bytes().filter(u8::is_ascii_digit).count();
    (principal.len() >= 16 && digits >= 2).then(|| Needle::id(principal).ok()).flatten()
}

/// The report of the newest hunt of an incident, if there was one.
///
/// # Errors
/// When the incident or its evidence cannot be read.
pub async fn newest(app: &App, id: IncidentId) -> Result<Option<Saved>, AppError> {
    let (_, entries) = app.incident_with_entries(id).await?;
    saved(app, &entries).await
}

pub(crate) async fn saved(app: &App, entries: &[Entry]) -> Result<Option<Saved>, AppError> {
    let mut evidence = entries.iter().rev().flat_map(|entry| entry.evidence.iter().rev());
    let Some(newest) = evidence.find(|it| it.name == EVIDENCE) else { return Ok(None) };
    let body = app.store.evidence(&newest.sha256).await?;
    let body = body.ok_or_else(|| AppError::Evidence(format!("the report {} is gone", newest.sha256)))?;
    read(&newest.sha256, &body).map(Some)
}

/// A report of a hunt, from a file or from the evidence; `what` names it.
///
/// # Errors
/// When it is none.
pub fn read(what: &str, bytes: &[u8]) -> Result<Saved, AppError> {
    Saved::read(bytes).map_err(|error| AppError::Usage(format!("`{what}`: {error}")))
}

/// A server at this address, with the token of `BAO_TOKEN`, `VAULT_TOKEN` or `~/.vault-token`; without an address that of
/// `BAO_ADDR` or `VAULT_ADDR`. Nobody is asked yet.
///
/// # Errors
/// When no client can be made.
pub fn vault(options: &Options, address: Option<&str>) -> Result<Context, AppError> {
    let mut context = crate::app::context(options, &Inventory::default())?;
    if let Some(address) = address {
        let connection = serde_json::json!({ "address": address });
        context.connections = Arc::new([(OPENBAO.to_owned(), connection)].into());
    }
    Ok(context)
}

/// Asks for the HMACs of values, under the salts of these devices, or of all; each with what it is the HMAC of.
///
/// # Errors
/// When the server cannot be asked: its logs would be searched in vain.
pub async fn hashed(
    vault: &Context,
    devices: &[String],
    values: &[(String, SecretValue)],
) -> Result<Vec<(Needle, String)>, AppError> {
    let asked: Vec<&SecretValue> = values.iter().map(|(_, value)| value).collect();
    let mut needles = Vec::new();
    for hashed in quell_connect::openbao::audit_hashes(vault, devices, &asked).await? {
        let needle = Needle::id(&hashed.hmac).map_err(|error| AppError::Usage(error.to_string()))?;
        let label = values.get(hashed.value).map_or("a value", |(label, _)| label.as_str());
        needles.push((needle, format!("{label} in `{}`", hashed.device)));
    }
    Ok(needles)
}

/// Writes the verdict down, with the whole report as evidence by its hash.
///
/// # Errors
/// When the incident refuses it, or the ledger cannot be written.
pub async fn record(
    app: &App,
    id: IncidentId,
    verdict: Verdict,
    reason: &str,
    report: Vec<u8>,
) -> Result<Incident, AppError> {
    let evidence = [(EVIDENCE.to_owned(), report)];
    let change = Change::Verdict(verdict, reason.to_owned());
    let (incident, ()) = app
        .decide_with(id, &evidence, |incident, at| {
            let mut events: Vec<Event> = events_of(incident, &change, at)?;
            // The report belongs to the verdict, which comes first.
            events.sort_by_key(|event| !matches!(event, Event::VerdictRecorded { .. }));
            Ok((events, ()))
        })
        .await?;
    Ok(incident)
}
