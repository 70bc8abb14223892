//! `quell serve`, `quell person …`.

use std::net::SocketAddr;
use std::path::PathBuf;

use clap::{Args, Subcommand, ValueEnum};

/// The incident room: pages for people, an API for programs, and the engine that carries out plans
///
/// Works with no configuration: a data folder is made if there is none, and a terminal is told a code to sign in with.
/// Any number of servers may share one PostgreSQL database. Plans that people asked the server to carry out go on
/// through restarts; Ctrl-C ends running steps first.
///
/// Examples:
///
///     quell serve
///     quell serve --listen 0.0.0.0:7117 --url https://quell.example.com --database-file /etc/quell/database
///     quell serve --log-format json --otlp-endpoint http://localhost:4318
///     quell serve --listen 0.0.0.0:443 --url https://quell.example.com --tls-cert quell.pem --tls-key quell.key
#[derive(Args, Debug)]
#[command(verbatim_doc_comment)]
pub(crate) struct ServeArgs {
    /// Address and port; port 0 takes a free one, which is printed
    #[arg(long, value_name = "ADDR", default_value = "127.0.0.1:7117")]
    pub(crate) listen: SocketAddr,
    /// How people and other systems reach it; needed where a proxy with TLS stands in front
    #[arg(long, value_name = "URL")]
    pub(crate) url: Option<String>,
    /// Speak TLS: the certificate as PEM, followed by those that lead to the authority. Read again when it changes, and at SIGHUP
    #[arg(long, value_name = "FILE", requires = "tls_key")]
    pub(crate) tls_cert: Option<PathBuf>,
    /// The certificate's private key as PEM, which only the server may read
    #[arg(long, value_name = "FILE", requires = "tls_cert")]
    pub(crate) tls_key: Option<PathBuf>,
    /// How lines of the log look; they go to standard error
    #[arg(long, value_enum, value_name = "FORMAT", default_value = "text")]
    pub(crate) log_format: LogFormat,
    /// What is important enough for a line
    #[arg(long, value_enum, value_name = "LEVEL", default_value = "info")]
    pub(crate) log_level: LogLevel,
    /// Send traces to a collector that takes OTLP over HTTP as JSON; `v1/traces` is added to the address
    #[arg(long, env = "OTEL_EXPORTER_OTLP_ENDPOINT", hide_env_values = true, value_name = "URL")]
    pub(crate) otlp_endpoint: Option<String>,
}

#[derive(Clone, Copy, Debug, Eq, PartialEq, ValueEnum)]
pub(crate) enum LogFormat {
    /// An object of JSON per line
    Json,
    /// Words and key=value
    Text,
}

#[derive(Clone, Copy, Debug, ValueEnum)]
pub(crate) enum LogLevel {
    /// What does not work
    Error,
    /// What may need somebody
    Warn,
    /// Every request and step
    Info,
    /// Questions of monitoring, too
    Debug,
}

#[derive(Debug, Subcommand)]
pub(crate) enum PersonCommand {
    /// Let somebody sign in, or change their role
    Add {
        /// The name that decisions are recorded with
        name: String,
        /// reporter, viewer, responder, approver, admin
        #[arg(long)]
        role: String,
    },
    /// Everybody who may sign in by codes of this installation
    List,
    /// Print a code to sign in with: good once, for ten minutes
    Code {
        /// Who
        name: String,
    },
    /// End all sessions of somebody and revoke their tokens, whoever vouches for them
    SignOut {
        /// Who
        name: String,
    },
    /// Two names are one person: where two people are needed, they count once
    Same {
        /// One name, such as the one that codes are made for
        name: String,
        /// The other, such as the one at the identity provider
        other: String,
        /// How you know
        #[arg(long)]
        reason: String,
    },
    /// They may not sign in any more; their sessions end at once, their tokens are refused
    Remove {
        /// Who
        name: String,
        /// Why
        #[arg(long)]
        reason: String,
    },
}

#[derive(Debug, Subcommand)]
pub(crate) enum TokenCommand {
    /// Make a token; it is printed this once
    Make {
        /// What it is for
        #[arg(long)]
        name: String,
        /// What it may do: reporter, viewer, responder, approver, admin
        #[arg(long)]
        role: String,
        /// For how many days, at most 366
        #[arg(long, default_value_t = 30, value_name = "DAYS", value_parser = clap::value_parser!(i64).range(1..=366))]
        days: i64,
    },
    /// All tokens that are good, and when each was used last
    List,
    /// A token is refused from here on
    Revoke {
        /// Its public id
        id: String,
        /// Those that were made with it, too: whoever had it may have made some
        #[arg(long)]
        made: bool,
        /// Why
        #[arg(long)]
        reason: String,
    },
}
