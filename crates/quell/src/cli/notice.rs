//! `quell notice …` as words.

use std::path::PathBuf;

use clap::{Args, Subcommand};

/// Write to others while an incident goes on: draft from the facts, change, send by channels
///
/// A draft is made from what the ledger knows; nothing is sent before somebody says so.
/// What goes out is recorded with its hash, who sent it, when, and by which channel. Example:
///
///   quell notice draft INC-2026-0001 update
///   quell notice edit INC-2026-0001 N1 --file update.txt
///   quell notice show INC-2026-0001 N1
///   quell notice send INC-2026-0001 N1 --channel security --seen 5f1c9a20e4b7
#[derive(Debug, Subcommand)]
#[command(verbatim_doc_comment)]
pub(crate) enum NoticeCommand {
    /// What can be drafted, and the channels that tell people something
    Kinds,
    /// Draft a notice from what is known now; prints its id
    Draft {
        /// Which incident
        id: String,
        /// update, service-owner, affected, public, management, or one of your own (`policy.notices`)
        kind: String,
    },
    /// All notices of an incident
    List {
        /// Which incident
        id: String,
    },
    /// One notice: its text, the hash of it for `--seen`, and what became of it
    Show(NoticeArg),
    Edit(EditArgs),
    Send(SendArgs),
    /// Let the channels that gave up try once more
    Retry(NoticeArg),
    /// Give a draft up
    Drop {
        #[command(flatten)]
        notice: NoticeArg,
        /// Why nobody needs it
        #[arg(long)]
        reason: String,
    },
}

/// One notice of one incident.
#[derive(Args, Debug)]
pub(crate) struct NoticeArg {
    /// Which incident
    pub(crate) id: String,
    /// Which notice: N1
    pub(crate) notice: String,
}

/// Change a draft: its title, its text, or both
///
/// Refused when another person wrote the text and you do not say with --seen that you have read it, and when a value stands in it.
#[derive(Args, Debug)]
pub(crate) struct EditArgs {
    #[command(flatten)]
    pub(crate) notice: NoticeArg,
    /// The title, in one line; stays as it is without this
    #[arg(long)]
    pub(crate) title: Option<String>,
    /// A file with the text, `-` for standard input; stays as it is without this
    #[arg(long, value_name = "FILE", required_unless_present = "title")]
    pub(crate) file: Option<PathBuf>,
    /// The hash of the text that you have read, or its first 12 digits, as `quell notice show` printed it
    #[arg(long, value_name = "HASH")]
    pub(crate) seen: Option<String>,
}

/// Send a draft by channels of the inventory; cannot be taken back
///
/// What goes out is the text that you have read: name its hash with --seen. At a terminal the text is shown and you are asked.
/// Each channel is tried as the steps of a plan are: a lost answer is looked for, a limit is kept, a failure is shown.
/// Exit code 5 when a channel did not take it; `quell notice retry` tries again.
#[derive(Args, Debug)]
pub(crate) struct SendArgs {
    #[command(flatten)]
    pub(crate) notice: NoticeArg,
    /// A channel of the inventory; repeat for several. Without it: those of `policy.notify`
    #[arg(long, value_name = "NAME")]
    pub(crate) channel: Vec<String>,
    /// The hash of the text that you have read, or its first 12 digits, as `quell notice show` printed it
    #[arg(long, value_name = "HASH")]
    pub(crate) seen: Option<String>,
}
