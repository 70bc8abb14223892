//! `quell intake …`.

use std::path::PathBuf;

use clap::Subcommand;

#[derive(Debug, Subcommand)]
pub(crate) enum IntakeCommand {
    /// What was delivered, newest first: whether it is worked off, and what became of it
    ///
    /// Example:
    ///   quell intake list --open --most 10
    #[command(verbatim_doc_comment)]
    List {
        /// Only those that wait or were given up
        #[arg(long)]
        open: bool,
        /// How many
        #[arg(long, default_value_t = 50, value_name = "NUMBER")]
        most: u32,
    },
    /// One delivery, without what it says
    Show {
        /// Which delivery, such as d-0123456789abcdef
        id: String,
    },
    /// Have a delivery that was given up, or that waits for its next try, tried now
    Retry {
        /// Which delivery
        id: String,
    },
    /// Take a delivery in from files, as if it had come by HTTP, and work it off
    ///
    /// The signature is verified as ever. For machines without a network: carry the request over in two files.
    ///
    /// Example:
    ///   quell intake receive github-org --headers request.headers --body request.json
    #[command(verbatim_doc_comment)]
    Receive {
        /// The name under `intake:` in the inventory
        name: String,
        /// File with the request's headers, one `Name: value` a line
        #[arg(long, value_name = "FILE")]
        headers: PathBuf,
        /// File with the request's body, byte for byte
        #[arg(long, value_name = "FILE")]
        body: PathBuf,
        /// Only take it in; `quell intake work` works it off
        #[arg(long)]
        only_accept: bool,
    },
    /// Work off what is due now, and return
    Work,
}
