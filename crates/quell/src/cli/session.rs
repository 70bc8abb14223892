//! `quell session …`, `quell break-glass …`.

use clap::Subcommand;

/// Your own sessions on the server's pages: list, end one
///
/// With `--server` they are those of whoever the token belongs to; on the machine of the server, those of the name that `--as` gives.
/// All sessions of somebody else are ended by `quell person sign-out`.
#[derive(Debug, Subcommand)]
pub(crate) enum SessionCommand {
    /// Since when each lasts, oldest first
    ///
    /// Examples:
    ///
    ///     quell --server https://quell.example.com session list
    ///     quell --as ines session list
    #[command(verbatim_doc_comment)]
    List,
    /// End one session: whoever uses it has to sign in again
    ///
    /// Example:
    ///   quell session end 5f0c2e…
    #[command(verbatim_doc_comment)]
    End {
        /// Its name, from the list, whole
        id: String,
    },
}

/// More rights for an hour, when nobody who could give them can be reached: open, review, list
#[derive(Debug, Subcommand)]
pub(crate) enum GlassCommand {
    /// Take the rights of an approver or of an admin on the server; everybody is told, and somebody else looks at it afterwards
    ///
    /// Example:
    ///   quell break-glass open --role approver --reason "the pager of both approvers is down, the key is in use"
    #[command(verbatim_doc_comment)]
    Open {
        /// What you need to be: approver or admin
        #[arg(long)]
        role: String,
        /// Why it cannot wait, in a sentence
        #[arg(long)]
        reason: String,
    },
    /// Say what you found when you looked at what somebody did with it; it ends with that
    ///
    /// Example:
    ///   quell break-glass review 41 --statement "two steps of INC-2026-0007 approved, which was right"
    #[command(verbatim_doc_comment)]
    Review {
        /// The entry that opened it, from the list
        entry: u64,
        /// What was done with it, and whether that was right, in a sentence
        #[arg(long)]
        statement: String,
    },
    /// Who took more rights, why, and who looked at it afterwards
    List,
}
