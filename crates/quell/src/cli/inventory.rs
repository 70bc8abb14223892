//! `quell inventory …`.

use std::path::PathBuf;

use clap::{Args, Subcommand, ValueEnum};

#[derive(Debug, Subcommand)]
pub(crate) enum InventoryCommand {
    /// Parse it, reach every system in it, say which permission is missing
    ///
    /// Examples:
    ///
    ///     quell inventory check --offline
    ///     quell --server https://quell.example.com inventory check
    #[command(verbatim_doc_comment)]
    Check {
        /// Only parse; reach nothing
        #[arg(long)]
        offline: bool,
    },
    /// What a secret opens, transitively, and what breaks without it
    ///
    /// Examples:
    ///   quell inventory graph orders-db --ask
    ///   quell inventory graph --format dot | dot -Tsvg > inventory.svg
    #[command(verbatim_doc_comment)]
    Graph {
        /// Start here; without it, the whole inventory (dot and mermaid only)
        secret: Option<String>,
        /// How to draw it
        #[arg(long, value_enum, default_value_t = GraphFormat::Text)]
        format: GraphFormat,
        /// Ask the issuers, too: what the policies of an OpenBao token or role let it read. Changes nothing
        #[arg(long, requires = "secret")]
        ask: bool,
    },
    /// The secrets that it knows, by id: what each is, who accepts it, who uses it
    ///
    /// Example:
    ///   quell inventory list --json
    #[command(verbatim_doc_comment)]
    List,
    /// One secret: where it is accepted, stored and used, and whom to ask. Never its value
    ///
    /// Example:
    ///   quell inventory show orders-db
    #[command(verbatim_doc_comment)]
    Show {
        /// Which secret
        secret: String,
    },
    /// Print the JSON Schema, for editors
    Schema,
    Tighten(TightenArgs),
}

/// Review the policies of an OpenBao token or `AppRole`: what is needed of them, and a tighter policy as a diff
///
/// Needed is what the inventory grants to the secret, and what an audit log shows that each policy allowed, to
/// this secret or another holder of the policy. All else goes: what a policy does not name is denied. Nothing
/// is applied. Review the diff, apply it to the policy's file, and write it with `bao policy write`.
///
/// Examples:
///   quell inventory tighten orders-token --audit-log /var/log/openbao/audit.log
///   quell inventory tighten orders-token --audit-log audit.log --until 2026-11-20T00:00:00Z > tighter.diff
#[derive(Args, Debug)]
#[command(verbatim_doc_comment)]
pub(crate) struct TightenArgs {
    /// Which secret
    pub(crate) secret: String,
    /// A file of an audit device; repeat for several
    #[arg(long, value_name = "FILE")]
    pub(crate) audit_log: Vec<PathBuf>,
    /// Uses from this moment on do not count: they may be the intruder's (RFC 3339)
    #[arg(long, value_name = "TIME", requires = "audit_log")]
    pub(crate) until: Option<jiff::Timestamp>,
}

#[derive(Clone, Copy, Debug, ValueEnum)]
pub(crate) enum GraphFormat {
    Text,
    Dot,
    Mermaid,
}
