//! The values of one incident, to keep them out of what is written down about it.

use std::collections::BTreeSet;

use quell_core::incident::Incident;
use quell_core::secret::SecretValue;
use quell_scan::RuleSet;
use quell_scan::known::Known;

use super::{Target, Tools, looked_for};
use crate::{App, AppError};

/// Old and new values of an incident.
pub(crate) struct KnownOf {
    known: Known,
    /// Too short for a search in every spelling: looked for as they are.
    short: Vec<SecretValue>,
}

/// Shorter ones are in every picture by chance.
const SHORTEST: usize = 4;

/// Whole, in the parts that stand alone, as reported, and by their fingerprints where nothing else is known.
pub(crate) async fn known_of(app: &App, incident: &Incident) -> Result<KnownOf, AppError> {
    let secret = incident.secrets.first().map(|affected| affected.secret.clone());
    let mut values = Vec::new();
    for sealed in &incident.sealed {
        values.extend(looked_for(&sealed.secret, &crate::proof::unseal(app, sealed).await?.value));
    }
    for name in incident.exposures.iter().filter_map(|exposure| exposure.sealed.as_deref()) {
        if let Some(secret) = &secret {
            values.extend(looked_for(secret, &app.store.unseal(name).await?));
        }
    }
    let names = incident.exposures.iter().filter_map(|exposure| exposure.fingerprint).collect();
    let known = Known::new(&app.store.keys().fingerprint, &values, names)?;
    let is_short = |value: &SecretValue| (SHORTEST..Known::MIN).contains(&value.expose().len());
    let short = values.into_iter().map(|known| known.value).filter(is_short).collect();
    Ok(KnownOf { known, short })
}

impl KnownOf {
    /// One of them is in there, or it cannot be told: then that is an error.
    pub(crate) fn is_in(&self, app: &App, name: &str, bytes: &[u8]) -> Result<bool, AppError> {
        if self.short.iter().any(|value| holds(bytes, value)) {
            return Ok(true);
        }
        let rules = RuleSet::none()?;
        let mut input = bytes;
        let (report, _) = super::run(Target::Stream(name, &mut input), self.tools(app, &rules), &mut |_| {})?;
        if let Some(unread) = report.incomplete.first().filter(|_| report.findings.is_empty()) {
            return Err(AppError::Usage(format!(
                "{name} cannot be read through ({}: {}), so nobody can tell whether it holds a value; give it unpacked",
                unread.what, unread.why
            )));
        }
        Ok(!report.findings.is_empty())
    }

    /// Lines, from 0, that hold one of them, or what a rule finds.
    pub(crate) fn lines_with_one(
        &self,
        app: &App,
        rules: &RuleSet,
        text: &str,
    ) -> Result<BTreeSet<usize>, AppError> {
        let short = text
            .lines()
            .enumerate()
            .filter(|(_, line)| self.short.iter().any(|value| holds(line.as_bytes(), value)));
        let mut lines: BTreeSet<usize> = short.map(|(i, _)| i).collect();
        let mut input = text.as_bytes();
        let target = Target::Stream("evidence", &mut input);
        let (report, _) = super::run(target, self.tools(app, rules), &mut |_| {})?;
        let found = report.findings.iter().filter_map(|f| usize::try_from(f.place.line).ok()?.checked_sub(1));
        lines.extend(found);
        Ok(lines)
    }

    fn tools<'a>(&'a self, app: &'a App, rules: &'a RuleSet) -> Tools<'a> {
        Tools::for_known(rules, &app.store.keys().fingerprint, &self.known)
    }
}

fn holds(bytes: &[u8], value: &SecretValue) -> bool {
    let wanted = value.expose();
    bytes.windows(wanted.len()).any(|window| window == wanted)
}
