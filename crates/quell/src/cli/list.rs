//! Which incidents of the list.

use clap::{Args, ValueEnum};
use quell_app::projection::{self, Wanted};
use quell_core::SecretId;

#[derive(Clone, Copy, Debug, ValueEnum)]
pub(crate) enum StatusArg {
    Open,
    Closed,
}

#[derive(Clone, Copy, Debug, ValueEnum)]
pub(crate) enum SeverityArg {
    #[value(name = "SEV-1", alias = "sev-1")]
    Sev1,
    #[value(name = "SEV-2", alias = "sev-2")]
    Sev2,
    #[value(name = "SEV-3", alias = "sev-3")]
    Sev3,
    #[value(name = "SEV-4", alias = "sev-4")]
    Sev4,
}

#[derive(Clone, Copy, Debug, ValueEnum)]
pub(crate) enum DrillsArg {
    /// Nothing but rehearsals.
    Only,
    /// No rehearsals.
    None,
}

impl StatusArg {
    fn word(self) -> &'static str {
        match self {
            Self::Open => "open",
            Self::Closed => "closed",
        }
    }
}

impl SeverityArg {
    fn word(self) -> &'static str {
        match self {
            Self::Sev1 => "SEV-1",
            Self::Sev2 => "SEV-2",
            Self::Sev3 => "SEV-3",
            Self::Sev4 => "SEV-4",
        }
    }
}

/// Incidents, newest first; all of them without an option
///
/// Examples:
///   quell incident list --status open --severity SEV-1
///   quell incident list --secret orders-db --drills none --most 10
#[derive(Args, Clone, Debug, Default)]
#[command(verbatim_doc_comment)]
pub(crate) struct ListArgs {
    /// Only these
    #[arg(long, value_name = "STATUS")]
    pub(crate) status: Option<StatusArg>,
    /// Only these
    #[arg(long, value_name = "SEVERITY")]
    pub(crate) severity: Option<SeverityArg>,
    /// Only those about this secret
    #[arg(long, value_name = "ID")]
    pub(crate) secret: Option<SecretId>,
    /// Only those whose id, title or secrets hold this
    #[arg(long, value_name = "TEXT")]
    pub(crate) text: Option<String>,
    /// Rehearsals: nothing else, or none of them
    #[arg(long, value_name = "WHICH")]
    pub(crate) drills: Option<DrillsArg>,
    /// At most so many, the newest
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..))]
    pub(crate) most: Option<u32>,
}

impl ListArgs {
    pub(crate) fn most(&self) -> usize {
        self.most.and_then(|most| usize::try_from(most).ok()).unwrap_or(usize::MAX)
    }

    fn drill(&self) -> Option<bool> {
        self.drills.map(|drills| matches!(drills, DrillsArg::Only))
    }

    /// As the installation is asked.
    pub(crate) fn wanted(&self) -> Wanted {
        let mut wanted = self.secret.as_ref().map_or_else(Wanted::default, projection::about);
        wanted.status = self.status.map_or("", StatusArg::word);
        wanted.severity = self.severity.map_or("", SeverityArg::word);
        wanted.drill = self.drill();
        wanted.text = self.text.clone().unwrap_or_default();
        wanted
    }

    /// As a server is asked.
    pub(crate) fn query(&self) -> Vec<(&'static str, String)> {
        let mut query = Vec::new();
        query.extend(self.status.map(|status| ("status", status.word().to_owned())));
        query.extend(self.severity.map(|severity| ("severity", severity.word().to_owned())));
        query.extend(self.secret.as_ref().map(|secret| ("secret", secret.to_string())));
        query.extend(self.text.as_ref().filter(|text| !text.is_empty()).map(|text| ("text", text.clone())));
        query.extend(self.drill().map(|drill| ("drill", drill.to_string())));
        query
    }
}
