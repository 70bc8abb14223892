//! The arguments of `quell report`, `evidence`, `ledger`, `keys` and `issue`.

use std::path::PathBuf;

use clap::{Args, Subcommand};

#[derive(Args, Debug)]
pub(crate) struct ReportArgs {
    /// Which incident
    pub(crate) id: String,
    /// Write it here instead of to stdout
    #[arg(long, short, value_name = "FILE")]
    pub(crate) output: Option<PathBuf>,
    /// A minijinja template of yours instead of the built-in one
    #[arg(long, value_name = "FILE")]
    pub(crate) template: Option<PathBuf>,
}

#[derive(Debug, Subcommand)]
pub(crate) enum EvidenceCommand {
    /// Write one file with the incident's entries, proofs and evidence
    Export {
        /// Which incident
        id: String,
        /// Where; default INC-….quell.tar in this folder
        #[arg(long, short, value_name = "FILE")]
        output: Option<PathBuf>,
    },
    /// Verify a bundle, offline
    Verify {
        /// The bundle
        file: PathBuf,
        /// The ledger's key as you got it from elsewhere (`quell ledger key`)
        #[arg(long)]
        key: Option<String>,
    },
}

#[derive(Debug, Subcommand)]
pub(crate) enum LedgerCommand {
    /// Re-hash everything; name what was changed, removed, reordered or added
    Verify {
        /// The ledger's key as you keep it elsewhere
        #[arg(long)]
        key: Option<String>,
        /// A checkpoint that you kept: shows a rewrite by whoever holds the key
        #[arg(long, value_name = "FILE")]
        checkpoint: Vec<PathBuf>,
    },
    /// Compute lists and look-ups anew from the entries
    ///
    /// Lists of incidents, searches and numbers are read from rows that are computed from the ledger and brought up to date whenever they are read. They
    /// are no source of anything: this drops them and computes them again. `quell ledger verify` says when that is needed.
    Rebuild,
    /// Print the newest signed checkpoint; keep it elsewhere
    Checkpoint,
    /// Print the key that verifies checkpoints and bundles
    Key,
}

#[derive(Debug, Subcommand)]
pub(crate) enum KeysCommand {
    /// Replace the key-encryption key: re-wraps every data key, opens no value
    Rotate {
        /// From now on under a passphrase instead of a key file
        #[arg(long)]
        passphrase: bool,
        /// From now on under a key file in the data folder instead of a passphrase
        #[arg(long, conflicts_with = "passphrase")]
        to_key_file: bool,
        /// File with the new passphrase
        #[arg(long, value_name = "FILE", conflicts_with = "to_key_file")]
        new_passphrase_file: Option<PathBuf>,
    },
    /// Replace the ledger's signing key and record it in the ledger
    RotateLedger {
        /// Why
        #[arg(long)]
        reason: String,
        /// The old key is compromised: it does not get to sign
        #[arg(long, requires = "since")]
        compromised: bool,
        /// Since when somebody else may have had the old key (RFC 3339, or `unknown`): checkpoints that were signed since are named as suspect
        #[arg(long, value_name = "TIME", requires = "compromised")]
        since: Option<Since>,
    },
}

/// Since when a key may be somebody else's.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Since {
    /// Nobody knows: from the beginning.
    Unknown,
    At(jiff::Timestamp),
}

impl std::str::FromStr for Since {
    type Err = jiff::Error;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        if text == "unknown" { Ok(Self::Unknown) } else { text.parse().map(Self::At) }
    }
}

impl std::fmt::Display for Since {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Unknown => f.write_str("unknown"),
            Self::At(at) => at.fmt(f),
        }
    }
}

#[derive(Args, Debug)]
pub(crate) struct IssueArgs {
    /// The role of the database engine
    pub(crate) role: String,
    /// Where the engine is mounted
    #[arg(long, default_value = "database")]
    pub(crate) mount: String,
    /// Longest life, such as 30m
    #[arg(long, default_value = "30m")]
    pub(crate) ttl: jiff::SignedDuration,
    /// Where to write it (0600); the password is never printed
    #[arg(long, short, value_name = "FILE")]
    pub(crate) output: PathBuf,
}
