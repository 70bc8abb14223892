//! What a delivery of GitHub leaves out: the alert's value and its places.

use quell_connect::context::Context;
use quell_connect::error::ConnectErrorKind;
use quell_connect::github::Alerts;
use quell_core::secret::SecretValue;
use serde_json::Value;

use super::config::{Kind, Source};
use super::sender::github::Which;
use crate::ingest::{Foreign, github};
use crate::{App, AppError};

/// What was found.
pub(super) enum Fetched {
    /// The alert: a finding for each place.
    Alert(Vec<Foreign>),
    /// It is not there, or our token may not see it. Asking again changes nothing.
    Gone(String),
}

/// Reaches nothing.
pub(super) fn check(source: &Source, context: &Context) -> Result<(), AppError> {
    if let Kind::Github { api: Some(api) } = &source.kind {
        open(api, context)?;
    }
    Ok(())
}

fn open(api: &Value, context: &Context) -> Result<Alerts, AppError> {
    Alerts::open(api, context)
        .map_err(|error| AppError::Config { place: "the intake's `api`".to_owned(), source: error })
}

/// Reads the alert. An error is worth another try.
pub(super) async fn alert(app: &App, api: &Value, which: &Which) -> Result<Fetched, AppError> {
    let Some((owner, name)) = which.repository.split_once('/') else {
        return Ok(Fetched::Gone(format!("`{}` is no repository", which.repository)));
    };
    let alerts = open(api, &app.context)?;
    let read = match alerts.read(owner, name, which.number).await {
        Ok(read) => read,
        Err(error) if matches!(error.kind, ConnectErrorKind::Missing | ConnectErrorKind::Denied) => {
            return Ok(Fetched::Gone(error.to_string()));
        }
        Err(error) => return Err(error.into()),
    };
    let strange = |_e| AppError::Evidence("GitHub's alert is not what its API says".to_owned());
    let found = serde_json::from_slice(read.alert.expose()).map_err(strange)?;
    let places = serde_json::from_slice(read.locations.expose()).map_err(strange)?;
    let mut all = github::alert(found, None, places);
    for one in &mut all {
        one.reference = Some(format!("{}#{}", which.repository, which.number));
    }
    Ok(Fetched::Alert(all))
}

/// One alert from both: values and places of what was fetched, and whatever either says that is stricter. What the delivery
/// says is done, is done.
pub(super) fn merge(told: Vec<Foreign>, mut fetched: Vec<Foreign>) -> Vec<Foreign> {
    let resolved = told.iter().find_map(|one| one.resolved.clone());
    let any = |flag: fn(&Foreign) -> Option<bool>, all: &[Foreign]| {
        let said: Vec<bool> = all.iter().filter_map(flag).collect();
        (!said.is_empty()).then(|| said.contains(&true))
    };
    let yes = |one: Option<bool>, other: Option<bool>| match (one, other) {
        (Some(true), _) | (_, Some(true)) => Some(true),
        (one, other) => one.or(other),
    };
    let public = yes(any(|one| one.public, &told), any(|one| one.public, &fetched));
    let live = yes(any(|one| one.live, &told), any(|one| one.live, &fetched));
    for one in told {
        let same = |other: &&mut Foreign| other.file == one.file && other.line == one.line;
        // The place that the delivery names is among those that were fetched, unless it is newer than the list.
        let placed = !one.file.starts_with('(');
        if placed && fetched.iter_mut().find(same).is_none() {
            let values: Vec<SecretValue> = fetched
                .first()
                .map(|first| first.values.iter().map(SecretValue::duplicate).collect())
                .unwrap_or_default();
            fetched.push(Foreign { values, ..one });
        }
    }
    for one in &mut fetched {
        one.public = public;
        one.live = live;
        one.resolved.clone_from(&resolved);
    }
    fetched
}
