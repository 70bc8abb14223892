//! What people write after a response.

use quell_core::incident::{Incident, Section as Part};
use quell_core::{IncidentId, Timestamp};
use schemars::JsonSchema;
use serde::Serialize;

use super::shape;

/// The part of a post-mortem that people write.
#[derive(Clone, Debug, JsonSchema, Serialize)]
pub struct PostMortem {
    /// Of which incident.
    #[schemars(with = "String")]
    pub incident: IncidentId,
    /// Every section, in the order in which they are read.
    pub sections: Vec<Section>,
}

/// One section.
#[derive(Clone, Debug, JsonSchema, Serialize)]
pub struct Section {
    /// Which.
    #[schemars(with = "shape::Section")]
    pub section: Part,
    /// Its heading.
    pub title: String,
    /// What it is to answer.
    pub asks: String,
    /// What stands there; empty when nobody wrote it yet, or somebody took it back.
    pub text: String,
    /// Who wrote it last.
    pub by: Option<String>,
    /// When.
    pub at: Option<Timestamp>,
    /// Number of the entry in the ledger.
    pub entry: Option<u64>,
}

impl Section {
    /// As it stands.
    pub fn of(incident: &Incident, section: Part) -> Self {
        let written = incident.post_mortem.get(&section);
        Self {
            section,
            title: section.title().to_owned(),
            asks: section.asks().to_owned(),
            text: written.map(|it| it.text.clone()).unwrap_or_default(),
            by: written.map(|it| it.by.clone()),
            at: written.map(|it| it.at),
            entry: written.map(|it| it.seq),
        }
    }
}

impl PostMortem {
    /// As it stands.
    pub fn of(incident: &Incident) -> Self {
        let sections = Part::ALL.into_iter().map(|section| Section::of(incident, section)).collect();
        Self { incident: incident.id, sections }
    }
}
