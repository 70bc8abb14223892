//! Reports of other tools.

use quell_app::ingest::{Done, Format, Group, Taken};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::Value;

/// What a report of another tool came to. Never a value.
#[derive(Debug, Deserialize, JsonSchema, Serialize)]
pub struct Ingested {
    /// Its name, for people.
    pub report: String,
    /// Whose it is.
    pub format: String,
    /// Findings in it.
    pub findings: usize,
    /// Those of which nothing was known before.
    pub new: usize,
    /// By secret, in the order of the report.
    pub secrets: Vec<IngestedSecret>,
}

/// All findings of a report about one secret.
#[derive(Debug, Deserialize, JsonSchema, Serialize)]
pub struct IngestedSecret {
    /// The secret, if it is known, and where it was found.
    #[schemars(with = "Value")]
    pub group: Group,
    /// `what` was done, and in which `incident`; nothing when only recording was asked for.
    #[schemars(with = "Option<Value>")]
    pub done: Option<Done>,
}

impl Ingested {
    /// Of what was taken over.
    pub fn of(report: &str, format: Format, findings: usize, taken: Taken) -> Self {
        let Taken { fresh, groups, done } = taken;
        let mut done = done.into_iter();
        let secrets = groups.into_iter().map(|group| IngestedSecret { group, done: done.next() }).collect();
        Self { report: report.to_owned(), format: format.word().to_owned(), findings, new: fresh, secrets }
    }
}
