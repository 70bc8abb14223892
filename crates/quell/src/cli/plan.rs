//! The arguments of `quell plan`, `respond`, `approve`, `pause`, `resume` and `step`.

use std::path::PathBuf;

use clap::{Args, Subcommand, ValueEnum};

/// Show what will happen, in which order, why, and what it breaks
///
/// The first call compiles the plan and records it; approvals are for exactly this plan.
#[derive(Args, Debug)]
pub(crate) struct PlanArgs {
    /// Which incident
    pub(crate) id: String,
    /// Compile a new revision from today's inventory, evidence and strategy
    #[arg(long)]
    pub(crate) again: bool,
    /// Ask every system first: what is missing, who owns it, what breaks, what the way back is; changes nothing
    #[arg(long)]
    pub(crate) check: bool,
    /// How to print it
    #[arg(long, value_enum, default_value_t = PlanFormat::Text)]
    pub(crate) format: PlanFormat,
}

#[derive(Clone, Copy, Debug, ValueEnum)]
pub(crate) enum PlanFormat {
    Text,
    Mermaid,
}

/// Stop the plan of an incident for now, for everybody who runs it
///
/// Secrets that are under way go on to their proof, since half-way is the worst place to stop; no
/// further one is begun. With --now nothing starts any more, but looks at what has an unknown
/// outcome. It holds until `quell resume`, also over a new plan and a restart.
///
/// Examples:
///   quell pause INC-2026-0001 --reason "orders-api throws errors since 03:10"
///   quell pause INC-2026-0001 --now --reason "wrong cluster"
#[derive(Args, Debug)]
#[command(verbatim_doc_comment)]
pub(crate) struct PauseArgs {
    /// Which incident
    pub(crate) id: String,
    /// Why; whoever finds it paused must know what to wait for
    #[arg(long)]
    pub(crate) reason: String,
    /// Start nothing at all, also of secrets that are under way
    #[arg(long)]
    pub(crate) now: bool,
}

/// Let a paused plan go on
///
/// Also after too many failures stopped it (`policy.mass.stop_after`): the secrets that failed until
/// now are not counted again. `quell step retry` is what takes those up.
///
/// Examples:
///   quell resume INC-2026-0001 --reason "the quota was raised"
#[derive(Args, Debug)]
#[command(verbatim_doc_comment)]
pub(crate) struct ResumeArgs {
    /// Which incident
    pub(crate) id: String,
    /// What has changed
    #[arg(long, default_value = "")]
    pub(crate) reason: String,
}

/// Run the plan of an incident, with approvals; continue after a crash
///
/// Any number of these may run at once on one data folder or database. Ctrl-C ends running steps
/// and leaves an incident that the same command takes up again. Without a terminal it returns
/// (exit 4) when people must approve.
///
/// Examples:
///   quell respond INC-2026-0001
///   quell respond INC-2026-0001 --yes INC-2026-0001   approve all steps, for scripts
#[derive(Args, Debug)]
#[command(verbatim_doc_comment)]
pub(crate) struct RespondArgs {
    /// Which incident
    pub(crate) id: String,
    /// Approve every step that waits for you; repeat the incident's id
    #[arg(long, value_name = "INCIDENT")]
    pub(crate) yes: Option<String>,
    /// Keep waiting for other people's approvals instead of returning
    #[arg(long)]
    pub(crate) wait: bool,
    #[arg(long, hide = true, env = "QUELL_FAILPOINT")]
    pub(crate) failpoint: Option<String>,
}

#[derive(Args, Debug)]
pub(crate) struct ApproveArgs {
    /// Which incident
    pub(crate) id: String,
    /// Which steps; none means every step that waits for you
    pub(crate) steps: Vec<String>,
    /// The plan's hash, or its first 12 digits, as `quell plan` printed it
    #[arg(long, value_name = "HASH")]
    pub(crate) plan: String,
}

#[derive(Debug, Subcommand)]
pub(crate) enum StepCommand {
    /// Try a failed step again; it begins with a look
    Retry {
        /// Which incident
        id: String,
        /// Which step
        step: String,
    },
    /// Go on without a step
    Skip {
        /// Which incident
        id: String,
        /// Which step
        step: String,
        /// Why
        #[arg(long)]
        reason: String,
    },
    /// State that a step's effect is in force
    Resolve {
        /// Which incident
        id: String,
        /// Which step
        step: String,
        /// How you know
        #[arg(long)]
        statement: String,
        /// A file that shows it (a screenshot, an export); kept in the ledger; repeat for several. Refused if a value
        /// of the incident is in it
        #[arg(long, value_name = "FILE")]
        evidence: Vec<PathBuf>,
    },
    /// Refuse to approve a step
    Refuse {
        /// Which incident
        id: String,
        /// Which step
        step: String,
        /// Why
        #[arg(long)]
        reason: String,
    },
}
