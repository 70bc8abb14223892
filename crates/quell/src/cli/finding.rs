//! `quell finding …`.

use clap::{Args, Subcommand, ValueEnum};

/// What scans and other tools recorded: list, show, say what it is
///
/// A leak is declared as an incident: `quell incident open --finding F-…`.
#[derive(Debug, Subcommand)]
pub(crate) enum FindingCommand {
    /// Findings in the order of their ids, and what became of each
    ///
    /// Examples:
    ///   quell finding list --open
    ///   quell finding list --secret orders-db --most 200 --json
    #[command(verbatim_doc_comment)]
    List(FindingListArgs),
    /// One finding: where it was seen, since when, what people said of it
    ///
    /// Example:
    ///   quell finding show F-1a2b3c4d5e6f
    #[command(verbatim_doc_comment)]
    Show {
        /// Which finding, such as F-1a2b3c4d5e6f
        id: String,
    },
    /// Say that it is no leak, or the same as another finding
    ///
    /// Examples:
    ///   quell finding triage F-1a2b3c4d5e6f not-a-leak --reason "the example of the documentation"
    ///   quell finding triage F-1a2b3c4d5e6f duplicate --of F-0a1b2c3d4e5f --reason "a copy of that file"
    #[command(verbatim_doc_comment)]
    Triage(FindingTriageArgs),
}

#[derive(Args, Debug)]
pub(crate) struct FindingListArgs {
    /// Only those of which nobody has said what they are, and that no incident is about
    #[arg(long)]
    pub(crate) open: bool,
    /// Only those of this secret of the inventory
    #[arg(long, value_name = "ID")]
    pub(crate) secret: Option<String>,
    /// Only those of this rule
    #[arg(long, value_name = "RULE")]
    pub(crate) rule: Option<String>,
    /// How many
    #[arg(long, default_value_t = 50, value_name = "NUMBER")]
    pub(crate) most: u32,
}

#[derive(Args, Debug)]
pub(crate) struct FindingTriageArgs {
    /// Which finding
    pub(crate) id: String,
    /// What it is
    #[arg(value_enum)]
    pub(crate) says: FindingSaysArg,
    /// Duplicate: the finding that stays
    #[arg(long, value_name = "ID", required_if_eq("says", "duplicate"))]
    pub(crate) of: Option<String>,
    /// Why
    #[arg(long)]
    pub(crate) reason: String,
}

#[derive(Clone, Copy, Debug, Eq, PartialEq, ValueEnum)]
pub(crate) enum FindingSaysArg {
    /// The same as another finding
    Duplicate,
    /// Nothing that opens anything: an example, a decoy, a test
    NotALeak,
}
