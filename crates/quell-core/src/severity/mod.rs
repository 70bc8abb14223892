//! How bad it is, and why. A pure function of the evidence; the strictest applicable rule wins.
//!
//! Sources: S0 ladder SEV-1..4, S2 ladder P0..P3 and its seven-signal matrix, S1 "always SEV-1". Where they
//! disagree the highest severity wins (conflict rules X), and each rule that spoke is kept with its reason.

mod policy;

pub use policy::{Assessment, Evidence, Profile, Reason, Signal, assess, limits};

use serde::{Deserialize, Serialize};

/// One internal scale. Ordered so that the more severe is the greater.
#[derive(Clone, Copy, Debug, Deserialize, Eq, Ord, PartialEq, PartialOrd, Serialize)]
pub enum Severity {
    /// A suspicion, or something already dead.
    #[serde(rename = "SEV-4")]
    Sev4,
    /// Not production.
    #[serde(rename = "SEV-3")]
    Sev3,
    /// Production, seen by a limited audience.
    #[serde(rename = "SEV-2")]
    Sev2,
    /// Production in public, or any sign of use.
    #[serde(rename = "SEV-1")]
    Sev1,
}

impl Severity {
    /// The internal name.
    pub fn word(self) -> &'static str {
        match self {
            Self::Sev1 => "SEV-1",
            Self::Sev2 => "SEV-2",
            Self::Sev3 => "SEV-3",
            Self::Sev4 => "SEV-4",
        }
    }

    /// What people of this profile call it.
    pub fn label(self, profile: Profile) -> &'static str {
        match (profile, self) {
            (Profile::Sev | Profile::Runbook, _) => self.word(),
            (Profile::P, Self::Sev1) => "P0",
            (Profile::P, Self::Sev2) => "P1",
            (Profile::P, Self::Sev3) => "P2",
            (Profile::P, Self::Sev4) => "P3",
        }
    }
}

impl std::fmt::Display for Severity {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(self.word())
    }
}
