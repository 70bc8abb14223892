//! `GitGuardian`: incidents and new occurrences, by its custom webhook.
//!
//! Payloads: docs.gitguardian.com, "Custom webhook" (2026-11). They tell no value, so that a person says once which secret
//! an incident is about (`quell incident open --finding …`); later deliveries about it then join by its number.

use serde::Deserialize;

use super::{Findings, Found, Reading, object, word};
use crate::AppError;
use crate::ingest::Format;
use crate::ingest::gitguardian::{Remote, RemoteOccurrence, hooked};

#[derive(Deserialize)]
struct Hook {
    #[serde(default)]
    action: String,
    incident: Option<Remote>,
    occurrence: Option<RemoteOccurrence>,
}

#[derive(Deserialize)]
struct Named {
    incident: NamedIncident,
}

#[derive(Deserialize)]
struct NamedIncident {
    id: u64,
    #[serde(default)]
    secret_revoked: bool,
    #[serde(default)]
    validity: String,
    ignore_reason: Option<String>,
}

pub(super) fn read(text: &str) -> Result<Reading, AppError> {
    let hook: Hook = object(text)?;
    let action = word(&hook.action);
    let Some(incident) = hook.incident else {
        return Ok(Reading::Nothing(format!("`{action}` is not about an incident")));
    };
    let Named { incident: named } = object(text)?;
    let id = named.id;
    let found = hooked(incident, hook.occurrence);
    let mut findings = Findings {
        tool: Format::Gitguardian.word(),
        found: found.into_iter().map(Found::from).collect(),
        ..Findings::default()
    };
    let no_proof = "that is no proof that the value is dead";
    match action.as_str() {
        "incident_triggered" | "new_occurrence" => {}
        "incident_regression" => {
            findings.remarks.push(format!("GitGuardian saw the secret of incident {id} again"));
        }
        "incident_reopened" => findings.remarks.push(format!("GitGuardian incident {id} was opened again")),
        "incident_resolved" => {
            let how = if named.secret_revoked { "as revoked" } else { "without the secret being revoked" };
            findings.remarks.push(format!("GitGuardian incident {id} was resolved {how}: {no_proof}"));
        }
        "incident_ignored" => findings.remarks.push(format!(
            "GitGuardian incident {id} was ignored ({}): {no_proof}",
            named.ignore_reason.as_deref().map_or_else(|| "no reason".to_owned(), word)
        )),
        "incident_validity_changed" => findings.remarks.push(format!(
            "GitGuardian tried the secret of incident {id} again: {}; {no_proof}",
            word(&named.validity)
        )),
        _ => return Ok(Reading::Nothing(format!("nothing follows from `{action}`"))),
    }
    Ok(Reading::Findings(findings))
}
