//! Somebody tells of a leak: quickly, and without the value staying anywhere.

use std::collections::BTreeMap;

use quell_core::SecretId;
use quell_core::exposure::Channel;
use quell_core::incident::Incident;
use quell_core::secret::SecretValue;

use crate::incident::{self, Report};
use crate::scan;
use crate::words::refuse_with;
use crate::{App, AppError};

/// What a person tells.
#[derive(Debug, Default)]
pub struct Told {
    /// What happened, in their words.
    pub what: String,
    /// Where it can be seen.
    pub place: String,
    /// What kind of place that is.
    pub channel: Option<Channel>,
    /// Which secret, if they know.
    pub secret: Option<SecretId>,
    /// The value, if they have it at hand. It is fingerprinted and dropped.
    pub value: Option<SecretValue>,
}

/// Opens an incident from what somebody tells.
pub async fn tell(app: &App, told: Told) -> Result<Incident, AppError> {
    app.named_actor()?;
    let Told { what, place, channel, secret, value } = told;
    if what.trim().is_empty() && value.is_none() && secret.is_none() {
        return Err(AppError::Usage(
            "say what leaked: in a sentence, by its name, or by the value itself".to_owned(),
        ));
    }
    let key = &app.store.keys().fingerprint;
    let names = value.as_ref().map(|value| scan::names_of(key, value)).unwrap_or_default();
    refuse_with(app, None, &names, &[&what, &place]).await?;
    // It is not sealed either: a report is an announcement, and responders fetch the value from where it is.
    drop(value);
    let known = if names.is_empty() { BTreeMap::default() } else { scan::known(app).await? };
    let matched = names.iter().find_map(|name| known.get(name)).cloned();
    let secret = matched.or(secret);
    let title = if what.trim().is_empty() { None } else { Some(first_line(&what)) };
    let report = Report {
        secrets: secret.into_iter().collect(),
        channel,
        place: place.trim().to_owned(),
        title,
        fingerprints: names,
        ..Report::default()
    };
    let opened = incident::open(app, report).await?;
    let words = what.trim();
    let incident = if words.is_empty() {
        opened
    } else {
        incident::change(app, opened.id, &incident::Change::Note(format!("reported: {words}"))).await?
    };
    Ok(incident)
}

fn first_line(text: &str) -> String {
    let line = text.trim().lines().next().unwrap_or_default();
    let short: String = line.chars().take(120).collect();
    if short.len() < line.len() { format!("{short}…") } else { short }
}
