//! `quell incident task …` as words.

use clap::{Args, Subcommand};

/// What people do beside the plan while a response goes on: add, give, end
///
/// An open task of yours stands in "Needs you now" of the room. What is over stays over; what is
/// left for afterwards is an action item (`quell incident action`). A value is refused. Examples:
///
///   quell incident task add INC-2026-0001 "ask the vendor for their logs" --owner omar
///   quell incident task add INC-2026-0001 "watch the graph" --due 2026-11-22T04:00:00Z
///   quell incident task list INC-2026-0001 --mine
///   quell incident task give INC-2026-0001 T1 ines
///   quell incident task done INC-2026-0001 T1 --reason "they kept none"
///   quell incident task drop INC-2026-0001 T2 --reason "the service is off"
#[derive(Debug, Subcommand)]
#[command(verbatim_doc_comment)]
pub(crate) enum TaskCommand {
    /// Somebody, or nobody yet, has something to do
    Add {
        /// Which incident
        id: String,
        /// What, in one line
        title: String,
        /// Who does it; nobody yet if not given
        #[arg(long, value_name = "PERSON")]
        owner: Option<String>,
        /// Until when (RFC 3339)
        #[arg(long, value_name = "TIME")]
        due: Option<jiff::Timestamp>,
    },
    /// All tasks of an incident, oldest first
    List {
        /// Which incident
        id: String,
        /// Only yours, by whichever of your names
        #[arg(long)]
        mine: bool,
    },
    /// Somebody does it from now on
    Give {
        #[command(flatten)]
        task: TaskArg,
        /// Who; you if not given
        owner: Option<String>,
    },
    /// It is done
    Done {
        #[command(flatten)]
        task: TaskArg,
        /// What came of it
        #[arg(long, default_value = "")]
        reason: String,
    },
    /// Nobody needs it any more
    Drop {
        #[command(flatten)]
        task: TaskArg,
        /// Why
        #[arg(long)]
        reason: String,
    },
}

/// One task of one incident.
#[derive(Args, Debug)]
pub(crate) struct TaskArg {
    /// Which incident
    pub(crate) id: String,
    /// Which task, such as T1
    pub(crate) task: String,
}
