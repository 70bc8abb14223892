//! What each sender's deliveries say, without any effect: one file per sender, each with the source of its format.

pub(super) mod eventbridge;
pub(super) mod gitguardian;
pub(super) mod github;
pub(super) mod gitlab;
pub(super) mod mapped;
pub(super) mod pagerduty;
pub(super) mod revocation;
pub(super) mod vault_audit;

use quell_core::inventory::Inventory;
use quell_core::secret::SecretValue;
use quell_core::severity::Signal;
use quell_core::{IncidentId, SecretId};
use serde::de::DeserializeOwned;

use super::config::{Kind, Source};
use crate::AppError;
use crate::ingest::{self, Foreign, Format};

/// What a delivery says.
#[derive(Debug)]
pub(super) enum Reading {
    /// Secrets were seen.
    Findings(Findings),
    /// Nothing that anything follows from, and why.
    Nothing(String),
    /// Somebody did something about a page of ours.
    Page(Page),
}

/// Secrets that were seen.
#[derive(Debug, Default)]
pub(super) struct Findings {
    /// First part of the rule of each finding.
    pub(super) tool: &'static str,
    pub(super) found: Vec<Found>,
    /// What raises the severity, with reasons: of one secret, or of all that are named.
    pub(super) signals: Vec<(Option<SecretId>, Signal, String)>,
    /// For the timeline of the incidents that it is about.
    pub(super) remarks: Vec<String>,
    /// The issuer itself says that strangers have it.
    pub(super) kill_first: bool,
    /// GitHub: which alert, so that its value and places can be fetched.
    pub(super) alert: Option<github::Which>,
}

/// One place, and how the sender names the credential when it does not tell the value.
#[derive(Debug, Default)]
pub(super) struct Found {
    pub(super) foreign: Foreign,
    /// The credential's id at its issuer.
    pub(super) principal: Option<String>,
}

impl From<Foreign> for Found {
    fn from(foreign: Foreign) -> Self {
        Self { foreign, principal: None }
    }
}

/// What somebody did about a page.
#[derive(Debug, Eq, PartialEq)]
pub(super) struct Page {
    /// The incidents that the page's key names.
    pub(super) incidents: Vec<IncidentId>,
    /// For the timeline.
    pub(super) remark: String,
    /// Somebody has taken it up.
    pub(super) responded: bool,
}

/// Reads a delivery.
pub(super) fn read(
    source: &Source,
    topic: &str,
    body: &SecretValue,
    inventory: &Inventory,
) -> Result<Reading, AppError> {
    let text = body.expose_text().ok_or_else(|| AppError::Usage("the body is not UTF-8 text".to_owned()))?;
    match &source.kind {
        Kind::Eventbridge { .. } => eventbridge::read(text),
        Kind::Github { .. } => github::read(topic, text),
        Kind::Gitguardian => gitguardian::read(text),
        Kind::Gitlab => gitlab::read(text),
        Kind::GitlabRevocation { .. } => revocation::read(text),
        Kind::Json { map, .. } => mapped::read(map, text),
        Kind::Pagerduty => pagerduty::read(text),
        Kind::Sarif { .. } => {
            let (_, found) = ingest::read("the delivery", text, Some(Format::Sarif))?;
            let found = found.into_iter().map(Found::from).collect();
            Ok(Reading::Findings(Findings { tool: Format::Sarif.word(), found, ..Findings::default() }))
        }
        Kind::VaultAudit { .. } => vault_audit::read(text, inventory),
    }
}

/// The one object that a body is. Errors say where, and quote nothing.
fn object<T: DeserializeOwned>(text: &str) -> Result<T, AppError> {
    serde_json::from_str(text).map_err(|error| {
        use serde_json::error::Category;
        let what = match error.classify() {
            Category::Eof => "it ends too early",
            Category::Syntax => "it is not valid JSON",
            Category::Data => "something is not what this sender has there",
            Category::Io => "it could not be read",
        };
        AppError::Usage(format!("the body: {what}, at line {}, column {}", error.line(), error.column()))
    })
}

/// A stranger's words, for a timeline: on one line, not too long.
fn word(text: &str) -> String {
    let shown = text.chars().map(|c| if c.is_control() || is_direction(c) { ' ' } else { c });
    shown.take(200).collect::<String>().trim().to_owned()
}

/// Characters that turn text around when it is shown.
fn is_direction(c: char) -> bool {
    matches!(c, '\u{200e}' | '\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}')
}

#[cfg(test)]
mod tests;
