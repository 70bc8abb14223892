//! The arguments of `quell kill` and `quell provider`.

use std::ffi::OsString;
use std::path::PathBuf;

use clap::{Args, Subcommand};

/// Revoke a leaked key with nothing but its value, and show that it is dead
///
/// Reads the value from standard input, recognizes it by the scanner's rules, shows whose it is, what
/// will happen and what breaks, tries it, asks, revokes it, and tries it again after the issuer's
/// settling time. Only the issuer is spoken to; no inventory is needed. Everything is written to the
/// ledger, the value never. Run it again after a crash: it looks before it does anything twice.
///
/// With --control, a good key of the same kind, a refusal is a proof. Without one it is shown as what
/// it is: refused, N seconds after the same door accepted it.
///
/// Exit codes: 0 dead, 3 refused but never seen accepted (or a rule says no), 4 nobody could be asked,
/// 5 not dead or not known.
///
/// Examples:
///   pbpaste | quell kill -
///   quell kill - --dry-run < leaked.txt
///   quell kill - --yes --control env:GOOD < leaked.txt
///   quell kill - --provider okta --set org=acme < leaked.txt
#[derive(Args, Debug)]
#[command(verbatim_doc_comment)]
pub(crate) struct KillArgs {
    /// Only `-`: the value comes from standard input
    #[arg(value_name = "-", allow_hyphen_values = true)]
    pub(crate) input: OsString,
    /// What it is, when the scanner cannot tell: a kind of `quell rules list`
    #[arg(long)]
    pub(crate) kind: Option<String>,
    /// Whose it is: an id of `quell provider list`
    #[arg(long, value_name = "ID")]
    pub(crate) provider: Option<String>,
    /// Your own provider files, or a folder of them; repeat for several
    #[arg(long, value_name = "DIR")]
    pub(crate) providers: Vec<PathBuf>,
    /// Where the API is, for a server of your own
    #[arg(long, value_name = "URL")]
    pub(crate) url: Option<String>,
    /// What the provider asks for, such as `org=acme`; repeat for several
    #[arg(long, value_name = "NAME=TEXT")]
    pub(crate) set: Vec<String>,
    /// Reference to a good key of the same kind: openbao:…, file:…, env:…, exec:…
    #[arg(long, value_name = "REF")]
    pub(crate) control: Option<String>,
    /// Reference to an administrator's credential, where a provider needs one
    #[arg(long, value_name = "REF")]
    pub(crate) admin: Option<String>,
    /// The key's id, where its value does not tell
    #[arg(long, value_name = "ID")]
    pub(crate) key_id: Option<String>,
    /// Only try the key and say what would happen; write nothing
    #[arg(long)]
    pub(crate) dry_run: bool,
    /// Do not ask
    #[arg(long)]
    pub(crate) yes: bool,
    /// Also if it is a value of the inventory, whose consumers will break
    #[arg(long)]
    pub(crate) even_in_use: bool,
    /// Where it leaked: public-repo, private-repo, ci-log, chat, error-page, support-log, local-commit, unknown
    #[arg(long)]
    pub(crate) channel: Option<String>,
    /// Who could see it: nobody, few, internal, public
    #[arg(long)]
    pub(crate) audience: Option<String>,
    /// Where it was seen, in words
    #[arg(long, default_value = "")]
    pub(crate) place: String,
    #[arg(long, hide = true, env = "QUELL_FAILPOINT")]
    pub(crate) failpoint: Option<String>,
}

#[derive(Debug, Subcommand)]
pub(crate) enum ProviderCommand {
    /// All providers: what they are for, and what can be done by call
    List {
        /// Your own provider files, or a folder of them; repeat for several
        #[arg(long, value_name = "DIR")]
        providers: Vec<PathBuf>,
    },
    /// One provider: its calls, what they need, their sources and dates
    Show {
        /// Which
        id: String,
        /// Your own provider files, or a folder of them; repeat for several
        #[arg(long, value_name = "DIR")]
        providers: Vec<PathBuf>,
    },
    /// Check files of your own, and try them on a model of the API that they describe
    ///
    /// Reaches nothing but loopback. Exit code 10: something is wrong.
    Check {
        /// Provider files
        #[arg(required = true, value_name = "FILE")]
        files: Vec<PathBuf>,
    },
    /// Print the JSON Schema of a provider file, for editors
    Schema,
}
