//! PagerDuty webhooks v3: somebody took up, or ended, a page of ours.
//!
//! Payload: PagerDuty/developer-docs, "Webhooks V3 overview" (2026-11). `data.incident_key` is the dedup key that the page
//! was sent with; ours has the incident's id in it.

use quell_core::IncidentId;
use serde::Deserialize;

use super::{Page, Reading, object, word};
use crate::AppError;

#[derive(Deserialize)]
struct Hook {
    event: Event,
}

#[derive(Deserialize)]
struct Event {
    #[serde(rename = "event_type", default)]
    kind: String,
    occurred_at: Option<String>,
    agent: Option<Named>,
    #[serde(default)]
    data: Data,
}

#[derive(Deserialize)]
struct Named {
    #[serde(default)]
    summary: String,
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct Data {
    incident_key: Option<String>,
    html_url: Option<String>,
    /// Of notes, whose incident stands below.
    incident: Option<Inner>,
}

#[derive(Deserialize)]
struct Inner {
    incident_key: Option<String>,
    html_url: Option<String>,
}

pub(super) fn read(text: &str) -> Result<Reading, AppError> {
    let Hook { event } = object(text)?;
    let (what, responded) = match event.kind.as_str() {
        "incident.acknowledged" => ("acknowledged", true),
        "incident.unacknowledged" => ("not acknowledged any more", false),
        "incident.resolved" => ("resolved there: that closes nothing here", true),
        "incident.reopened" => ("opened again", false),
        "incident.escalated" => ("escalated", false),
        "incident.reassigned" | "incident.delegated" => ("given to somebody else", false),
        other => return Ok(Reading::Nothing(format!("nothing follows from `{}`", word(other)))),
    };
    let inner = event.data.incident.as_ref();
    let key = event.data.incident_key.as_deref().or(inner.and_then(|one| one.incident_key.as_deref()));
    let incidents = ids(key.unwrap_or_default());
    if incidents.is_empty() {
        return Ok(Reading::Nothing("the page is not one of ours".to_owned()));
    }
    let url = event.data.html_url.as_deref().or(inner.and_then(|one| one.html_url.as_deref()));
    let by = event.agent.map(|agent| format!(" by {}", word(&agent.summary))).unwrap_or_default();
    let at = event.occurred_at.as_deref().map(|at| format!(" at {}", word(at))).unwrap_or_default();
    let url = url.map(|url| format!(" ({})", word(url))).unwrap_or_default();
    Ok(Reading::Page(Page {
        incidents,
        remark: format!("PagerDuty: the page was {what}{by}{at}{url}"),
        responded,
    }))
}

/// Ids of incidents in a key, such as `quell:…:INC-2026-0007`, whatever stands around them.
fn ids(key: &str) -> Vec<IncidentId> {
    let mut ids = Vec::new();
    for part in key.split("INC-").skip(1).take(20) {
        let end = part.find(|c: char| !(c.is_ascii_digit() || c == '-')).unwrap_or(part.len());
        let id = part.get(..end).unwrap_or_default().trim_end_matches('-');
        ids.extend(format!("INC-{id}").parse::<IncidentId>().ok());
    }
    ids.dedup();
    ids
}
