//! A report, read again: to compare, to put shards together, to judge again what a person has looked at.

use serde::Deserialize;

use super::{Asked, Report, VERSION};
use crate::detect::{self, Context, Detection};
use crate::hunt::Hunt;
use crate::merge::{self, MergeError};
use crate::verdict::{self, Judgement};

/// What a report rests on; what follows from it is worked out again.
#[derive(Clone, Debug, Deserialize)]
pub struct Saved {
    /// What was asked.
    pub asked: Asked,
    /// What was found.
    #[serde(flatten)]
    pub hunt: Hunt,
}

/// Why bytes are no report.
#[derive(Debug, thiserror::Error)]
pub enum SavedError {
    /// Something else, or damaged.
    #[error("it is no report of `quell hunt --format json`: {0}")]
    Other(#[from] serde_json::Error),
    /// From a newer program.
    #[error("it is a report of version {0}, and this program reads up to {VERSION}: upgrade quell")]
    Newer(u32),
}

/// What follows from what was found.
#[derive(Debug)]
pub struct Opinion {
    /// What is unusual.
    pub detection: Detection,
    /// The verdict.
    pub judgement: Judgement,
}

impl Saved {
    /// What was asked, and what was found.
    pub fn new(asked: Asked, hunt: Hunt) -> Self {
        Self { asked, hunt }
    }

    /// Reads a report in JSON.
    ///
    /// # Errors
    /// When it is none, or of a newer version.
    pub fn read(bytes: &[u8]) -> Result<Self, SavedError> {
        #[derive(Deserialize)]
        struct Head {
            version: u32,
        }
        let head: Head = serde_json::from_slice(bytes)?;
        if head.version > VERSION {
            return Err(SavedError::Newer(head.version));
        }
        Ok(serde_json::from_slice(bytes)?)
    }

    /// Puts the reports of shards together.
    ///
    /// # Errors
    /// When they are not of one hunt.
    pub fn merge(parts: Vec<Self>) -> Result<Self, MergeError> {
        let mut asked: Option<Asked> = None;
        let mut hunts = Vec::with_capacity(parts.len());
        for (at, mut part) in parts.into_iter().enumerate() {
            match &mut asked {
                None => asked = Some(part.asked),
                Some(first) => {
                    // Without --to each shard means "until now": the latest now asks the most of the logs.
                    let until = first.knowledge.until.max(part.asked.knowledge.until);
                    first.knowledge.until = until;
                    part.asked.knowledge.until = until;
                    if *first != part.asked {
                        return Err(MergeError::Asked(at + 1));
                    }
                }
            }
            hunts.push(part.hunt);
        }
        let hunt = merge::merge(hunts)?;
        Ok(Self { asked: asked.unwrap_or_default(), hunt })
    }

    /// Looks for what is unusual and judges, by what people said.
    pub fn opinion(&self) -> Opinion {
        let knowledge = &self.asked.knowledge;
        let context = Context {
            exposed: knowledge.exposed,
            revoked: knowledge.revoked,
            known: &knowledge.known,
            registered: self.hunt.registered.as_ref(),
        };
        let detection = detect::detect(&self.hunt.accesses, &context);
        let judgement = verdict::judge(&self.hunt, &detection, knowledge);
        Opinion { detection, judgement }
    }

    /// The whole report.
    pub fn report<'a>(&'a self, opinion: &'a Opinion) -> Report<'a> {
        Report::new(&self.asked, &self.hunt, &opinion.detection, &opinion.judgement)
    }
}
