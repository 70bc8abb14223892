//! What was exposed: secrets and places. Never a value.

use jiff::Timestamp;
use quell_core::SecretId;
use quell_core::event::SealedRef;
use quell_core::exposure::Exposure;
use quell_core::incident::Incident;
use serde::Serialize;

use super::words::{Moment, text};

/// How a secret stands.
#[derive(Clone, Copy, Debug, Eq, PartialEq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum SecretStanding {
    /// Its newest proof says inert.
    Inert,
    /// Its newest proof failed.
    ProofFailed,
    /// It was never tested.
    Untested,
    /// Not inert; closing without proof was accepted.
    Excepted,
}

impl SecretStanding {
    pub(super) fn of(incident: &Incident, secret: &SecretId) -> Self {
        match incident.proof(secret) {
            Some(proof) if proof.inert => Self::Inert,
            _ if incident.exceptions.contains_key(secret) => Self::Excepted,
            Some(_) => Self::ProofFailed,
            None => Self::Untested,
        }
    }

    pub(super) fn words(self) -> &'static str {
        match self {
            Self::Inert => "proven inert",
            Self::ProofFailed => "NOT inert: the newest proof failed",
            Self::Untested => "NOT proven inert",
            Self::Excepted => "NOT proven inert; closing without proof was accepted",
        }
    }
}

/// A secret that the incident is about.
#[derive(Clone, Debug, Eq, PartialEq, Serialize)]
pub struct SecretView {
    /// Its id.
    pub id: String,
    /// Leaked, or reached from a leaked one.
    pub because: String,
    /// How it stands.
    pub standing: SecretStanding,
    /// The same in words.
    pub state: String,
    /// Its compromised values, by name.
    pub old_values: Vec<ValueView>,
    /// Its successor, by name.
    pub successor: Option<ValueView>,
}

/// A value, by its name.
#[derive(Clone, Debug, Eq, PartialEq, Serialize)]
pub struct ValueView {
    /// Keyed hash.
    pub fingerprint: String,
    /// Whose it is.
    pub principal: String,
    /// Where it was read.
    pub place: String,
}

/// A place where it leaked.
#[derive(Clone, Debug, Eq, PartialEq, Serialize)]
pub struct ExposureView {
    /// `public-repo`, …
    pub channel: String,
    /// What the channel table says about it.
    pub words: String,
    /// Who could see it.
    pub audience: String,
    /// The place in words.
    pub place: String,
    /// Since when, if it is known.
    pub first_exposed: Option<Moment>,
    /// When we learnt of it.
    pub discovered: Moment,
    /// `yes`, `no` or `unknown`.
    pub still_visible: String,
    /// The leaked value's name, if it was seen.
    pub fingerprint: Option<String>,
    /// The finding it came from.
    pub finding: Option<String>,
}

pub(super) fn secrets(incident: &Incident) -> Vec<SecretView> {
    incident
        .secrets
        .iter()
        .map(|affected| {
            let standing = SecretStanding::of(incident, &affected.secret);
            SecretView {
                id: affected.secret.to_string(),
                because: text(&affected.because),
                standing,
                state: standing.words().to_owned(),
                old_values: incident.old_values(&affected.secret).into_iter().map(value).collect(),
                successor: incident.new_value(&affected.secret).map(value),
            }
        })
        .collect()
}

fn value(sealed: &SealedRef) -> ValueView {
    ValueView {
        fingerprint: sealed.fingerprint.to_string(),
        principal: text(&sealed.principal),
        place: text(&sealed.place),
    }
}

pub(super) fn exposures(incident: &Incident) -> Vec<ExposureView> {
    incident.exposures.iter().map(|e| exposure(e, incident.declared)).collect()
}

fn exposure(exposure: &Exposure, origin: Timestamp) -> ExposureView {
    let still_visible = match exposure.still_visible {
        Some(true) => "yes",
        Some(false) => "no",
        None => "unknown",
    };
    ExposureView {
        channel: exposure.channel.word().to_owned(),
        words: exposure.channel.verdict().1.to_owned(),
        audience: exposure.audience.word().to_owned(),
        place: place(exposure),
        first_exposed: exposure.first_exposed.map(|at| Moment::new(at, origin)),
        discovered: Moment::new(exposure.discovered, origin),
        still_visible: still_visible.to_owned(),
        fingerprint: exposure.fingerprint.map(|f| f.to_string()),
        finding: exposure.finding.as_deref().map(text),
    }
}

/// The place in words, or that nobody named one.
pub(super) fn place(exposure: &Exposure) -> String {
    let named = text(&exposure.place);
    if named.is_empty() { "a place that nobody named".to_owned() } else { named }
}
