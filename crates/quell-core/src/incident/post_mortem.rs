//! What people write after a response: the part of a post-mortem that no ledger can answer, section by section.

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use super::decide::RefusedBecause;
use super::state::Incident;
use crate::event::Event;
use crate::id::BadId;

/// A part of the post-mortem that people write. Sources: the seeds' post-mortem and report templates (five whys, safeguards that worked and
/// failed, quality of the detection, validation plan).
#[derive(Clone, Copy, Debug, Deserialize, Eq, Ord, PartialEq, PartialOrd, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Section {
    /// What happened, in short.
    Summary,
    /// Who and what was harmed.
    Impact,
    /// How it was found.
    Detection,
    /// The system, default or missing gate that made it possible.
    RootCause,
    /// What else had to come together.
    ContributingCauses,
    /// Safeguards that held.
    WentWell,
    /// Safeguards that did not.
    WentBadly,
    /// What nobody planned, and helped.
    Lucky,
    /// What is known now that was not before.
    Lessons,
    /// How it will be seen that the action items work.
    Validation,
}

impl Section {
    /// All sections, in the order in which they are read.
    pub const ALL: [Self; 10] = [
        Self::Summary,
        Self::Impact,
        Self::Detection,
        Self::RootCause,
        Self::ContributingCauses,
        Self::WentWell,
        Self::WentBadly,
        Self::Lucky,
        Self::Lessons,
        Self::Validation,
    ];

    /// The word used on the command line and in events.
    pub fn word(self) -> &'static str {
        match self {
            Self::Summary => "summary",
            Self::Impact => "impact",
            Self::Detection => "detection",
            Self::RootCause => "root-cause",
            Self::ContributingCauses => "contributing-causes",
            Self::WentWell => "went-well",
            Self::WentBadly => "went-badly",
            Self::Lucky => "lucky",
            Self::Lessons => "lessons",
            Self::Validation => "validation",
        }
    }

    /// Its heading.
    pub fn title(self) -> &'static str {
        match self {
            Self::Summary => "Summary",
            Self::Impact => "Impact",
            Self::Detection => "Detection",
            Self::RootCause => "Root cause",
            Self::ContributingCauses => "Contributing causes",
            Self::WentWell => "What went well",
            Self::WentBadly => "What went badly",
            Self::Lucky => "Where we were lucky",
            Self::Lessons => "Lessons",
            Self::Validation => "Validation",
        }
    }

    /// What it is to answer.
    pub fn asks(self) -> &'static str {
        match self {
            Self::Summary => "What happened, in a few sentences, for somebody who was not there?",
            Self::Impact => "Who and what was affected, for how long, and which data could be reached?",
            Self::Detection => "How was it found, and how could it have been found earlier?",
            Self::RootCause => {
                "What made it possible that a value got there? Ask why five times; stop at a system, not at a person."
            }
            Self::ContributingCauses => "What else had to come together for it to leak, or to stay alive?",
            Self::WentWell => "Which safeguards and habits worked?",
            Self::WentBadly => "Which safeguards failed or were missing, and what made the response slower?",
            Self::Lucky => "What helped without anybody having planned it, and what if it had not?",
            Self::Lessons => "What is known now that was not known before, and who else should know it?",
            Self::Validation => "How and when will it be seen that the action items work?",
        }
    }
}

impl std::fmt::Display for Section {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(self.word())
    }
}

impl std::str::FromStr for Section {
    type Err = BadId;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        Self::ALL.into_iter().find(|section| section.word() == text).ok_or_else(|| BadId {
            text: text.to_owned(),
            expected: "a section: summary, impact, detection, root-cause, contributing-causes, went-well, went-badly, lucky, \
                       lessons or validation",
        })
    }
}

/// A section as it was written last.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Written {
    /// The text. Empty when somebody took it back.
    pub text: String,
    /// Who wrote it.
    pub by: String,
    /// When.
    pub at: Timestamp,
    /// Number of the entry in the ledger.
    pub seq: u64,
}

/// Longest text of one section, in bytes.
pub const SECTION_MAX: usize = 20_000;

/// Writes a section; an empty text takes back what stood there. Open or closed: most of it is written when all is over.
pub fn write(incident: &Incident, section: Section, text: &str) -> Result<Vec<Event>, RefusedBecause> {
    let text = text.replace("\r\n", "\n");
    let text = text.trim_end();
    if text.len() > SECTION_MAX {
        return Err(RefusedBecause {
            what: format!("the section {section} was not written: it has {} bytes", text.len()),
            unmet: vec![format!(
                "shorten it to {SECTION_MAX} bytes; what is longer is evidence, or belongs to another section"
            )],
        });
    }
    let stands = incident.post_mortem.get(&section).map_or("", |written| written.text.as_str());
    if stands == text {
        return Ok(Vec::new());
    }
    Ok(vec![Event::PostMortemWritten { section, text: text.to_owned() }])
}

#[cfg(test)]
#[path = "post_mortem_tests.rs"]
mod tests;
