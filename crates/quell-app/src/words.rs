//! What people write, looked at before it is written down: the ledger forgets nothing, so no value may get in.

use std::collections::BTreeSet;

use quell_core::IncidentId;
use quell_core::secret::Fingerprint;
use quell_scan::RuleSet;
use quell_scan::known::Known;

use crate::scan::{self, Target, Tools, Way};
use crate::{App, AppError};

/// Something in a text that looks like a secret. Nothing of it is in here.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Seen {
    /// What it looks like: `GitHub personal access token`.
    pub what: String,
    /// The line that it is in, from 1.
    pub line: u64,
}

/// Longest text that is looked at.
const TEXT_MAX: usize = 64 << 10;

/// True when a text may be shown again to whoever wrote it: it is short enough to be looked at, and no value is in it.
pub async fn is_harmless(app: &App, about: Option<IncidentId>, text: &str) -> bool {
    refuse_values(app, about, &[text]).await.is_ok()
}

/// Which of these texts of strangers may be shown. Looked at together first: seldom does one of them hold a value.
pub(crate) async fn are_harmless(app: &App, texts: &[&str]) -> Result<Vec<bool>, AppError> {
    let together = texts.join("\n");
    if together.trim().is_empty() || (together.len() <= TEXT_MAX && is_harmless(app, None, &together).await) {
        return Ok(vec![true; texts.len()]);
    }
    let earlier = scan::earlier(app).await?.into_keys().collect();
    let known = Known::new(&app.store.keys().fingerprint, &[], earlier)?;
    let rules = scan::rules(&[])?;
    let is_harmless = |text: &&str| {
        let short = text.len() <= TEXT_MAX;
        Ok(text.trim().is_empty() || (short && first(app, &rules, &known, text)?.is_none()))
    };
    texts.iter().map(is_harmless).collect()
}

/// Refuses texts in which a value stands: one that the rules describe, one that was ever seen in a store, or one of this incident.
pub async fn refuse_values(app: &App, about: Option<IncidentId>, texts: &[&str]) -> Result<(), AppError> {
    refuse_with(app, about, &[], texts).await
}

/// The same, also for values of these names.
pub(crate) async fn refuse_with(
    app: &App,
    about: Option<IncidentId>,
    names: &[Fingerprint],
    texts: &[&str],
) -> Result<(), AppError> {
    if texts.iter().all(|text| text.trim().is_empty()) {
        return Ok(());
    }
    let own = match about {
        Some(id) => Some(Box::pin(scan::known_of(app, &app.incident(id).await?)).await?),
        None => None,
    };
    let mut earlier: BTreeSet<Fingerprint> = scan::earlier(app).await?.into_keys().collect();
    earlier.extend(names);
    let known = Known::new(&app.store.keys().fingerprint, &[], earlier)?;
    let rules = scan::rules(&[])?;
    for text in texts {
        if text.len() > TEXT_MAX {
            return Err(AppError::Usage(format!(
                "the text is longer than {TEXT_MAX} bytes; give the part that matters"
            )));
        }
        let of_incident = own.as_ref().map(|own| own.is_in(app, "text", text.as_bytes())).transpose()?;
        if of_incident == Some(true) {
            let seen = Seen { what: "a value of this incident".to_owned(), line: 1 };
            return Err(AppError::HoldsValue(seen));
        }
        if let Some(seen) = first(app, &rules, &known, text)? {
            return Err(AppError::HoldsValue(seen));
        }
    }
    Ok(())
}

/// The first thing in a text that looks like a secret.
fn first(app: &App, rules: &RuleSet, known: &Known, text: &str) -> Result<Option<Seen>, AppError> {
    let mut input = text.as_bytes();
    let way = Way { despite_comments: true, threads: Some(1), ..Way::default() };
    let key = &app.store.keys().fingerprint;
    let tools = Tools { rules, key, baseline: None, ignore_file: None, known: Some(known), way };
    let (report, _) = scan::run(Target::Stream("text", &mut input), tools, &mut |_| {})?;
    let seen = |it: &quell_scan::Finding| Seen { what: it.description.clone(), line: it.place.line };
    Ok(report.findings.first().map(seen))
}
