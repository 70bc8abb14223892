//! Somebody tells of a leak: quickly, and without the value staying anywhere. Also what looks at every text that people write.

use std::collections::BTreeMap;

use quell_core::exposure::Channel;
use quell_core::incident::Incident;
use quell_core::secret::SecretValue;
use quell_core::{IncidentId, SecretId};

use crate::incident::{self, Report};
use crate::scan::{self, Target, Tools, Way};
use crate::{App, AppError};

/// Something in a text that looks like a secret. Nothing of it is in here but its public prefix.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Seen {
    /// What it looks like: `GitHub personal access token`.
    pub what: String,
    /// The line that it is in, from 1.
    pub line: u64,
}

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

/// Longest text that is looked at.
const TEXT_MAX: usize = 64 << 10;

/// What in a text looks like a secret, or is a value of this incident.
pub async fn look(app: &App, about: Option<IncidentId>, text: &str) -> Result<Vec<Seen>, AppError> {
    if text.len() > TEXT_MAX {
        return Err(AppError::Usage(format!(
            "the text is longer than {TEXT_MAX} bytes; give the part that matters"
        )));
    }
    if text.trim().is_empty() {
        return Ok(Vec::new());
    }
    if let Some(id) = about {
        let known = scan::known_of(app, &app.incident(id).await?).await?;
        if known.is_in(app, "text", text.as_bytes())? {
            return Ok(vec![Seen { what: "a value of this incident".to_owned(), line: 1 }]);
        }
    }
    seen(app, text)
}

fn seen(app: &App, text: &str) -> Result<Vec<Seen>, AppError> {
    let rules = scan::rules(&[])?;
    let mut input = text.as_bytes();
    let way = Way { despite_comments: true, threads: Some(1), ..Way::default() };
    let key = &app.store.keys().fingerprint;
    let tools = Tools { rules: &rules, key, baseline: None, ignore_file: None, known: None, way };
    let (report, _) = scan::run(Target::Stream("text", &mut input), tools, &mut |_| {})?;
    Ok(report.findings.iter().map(|it| Seen { what: it.description.clone(), line: it.place.line }).collect())
}

/// Refuses a text in which a value stands: what the ledger holds stays there.
pub async fn refuse_values(app: &App, about: Option<IncidentId>, text: &str) -> Result<(), AppError> {
    let found = look(app, about, text).await?;
    let Some(first) = found.first() else { return Ok(()) };
    Err(AppError::Usage(format!(
        "line {} of the text holds what looks like a secret ({}), and what the ledger holds stays there; nothing was recorded, so say it without the value",
        first.line, first.what
    )))
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
    for text in [&what, &place] {
        refuse_values(app, None, text).await?;
    }
    let key = &app.store.keys().fingerprint;
    let names = value.as_ref().map(|value| scan::names_of(key, value)).unwrap_or_default();
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
