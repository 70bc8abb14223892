//! One error for all use cases, with what to do next.

use quell_connect::error::{ConfigError, ConnectError};
use quell_core::event::BadEntry;
use quell_core::incident::RefusedBecause;
use quell_core::inventory::Diagnostic;
use quell_core::plan::{CannotPlan, Refusal};
use quell_scan::{RuleError, ScanError};
use quell_store::StoreError;

use crate::words::Seen;

/// Why a use case did not do what was asked.
#[derive(Debug, thiserror::Error)]
pub enum AppError {
    /// The words of the command do not fit.
    #[error("{0}")]
    Usage(String),
    /// A value stands in what somebody wrote.
    #[error("a text holds what looks like a secret, in line {}: {}; nothing was recorded", .0.line, .0.what)]
    HoldsValue(Seen),
    /// The inventory is wrong.
    #[error("the inventory has {} problem(s)", .0.len())]
    Inventory(Vec<Diagnostic>),
    /// Provider files are wrong.
    #[error("the provider files have {} problem(s)", .0.len())]
    Provider(Vec<Diagnostic>),
    /// A connector's part of the inventory is wrong.
    #[error("{place}: {source}")]
    Config {
        /// `orders-db.issuer`.
        place: String,
        /// Why.
        #[source]
        source: ConfigError,
    },
    /// A rule of the domain says no.
    #[error("{}", .0.what)]
    Refused(RefusedBecause),
    /// The plan says no.
    #[error(transparent)]
    Step(#[from] Refusal),
    /// No plan can be made.
    #[error(transparent)]
    CannotPlan(#[from] CannotPlan),
    /// There is no such thing.
    #[error("there is no {what} `{id}`")]
    NotFound {
        /// `incident`, `secret`, `finding`.
        what: &'static str,
        /// What was asked for.
        id: String,
    },
    /// Somebody decided something since it was looked at.
    #[error("{id} has changed since you looked at it: it stands at position {now}, and you saw {expected}")]
    Moved {
        /// The incident.
        id: quell_core::IncidentId,
        /// The position that was seen.
        expected: u64,
        /// The position that it is at.
        now: u64,
    },
    /// A server did not do what it was asked for, and said why.
    #[error("{said}")]
    Server {
        /// HTTP status.
        status: u16,
        /// Its words.
        said: String,
        /// What to do next, by its words.
        hints: Vec<String>,
    },
    /// An outside system did not do it.
    #[error(transparent)]
    Remote(#[from] ConnectError),
    /// The state could not be read or written.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// An entry could not be read.
    #[error(transparent)]
    Entry(#[from] BadEntry),
    /// The scan could not run.
    #[error(transparent)]
    Scan(#[from] ScanError),
    /// A rule file is wrong.
    #[error(transparent)]
    Rule(#[from] RuleError),
    /// A file could not be read or written.
    #[error("{path}: {source}")]
    Io {
        /// Which.
        path: String,
        /// Why.
        #[source]
        source: std::io::Error,
    },
    /// A bundle or ledger is not what it should be.
    #[error("{0}")]
    Evidence(String),
}

impl From<RefusedBecause> for AppError {
    fn from(refused: RefusedBecause) -> Self {
        Self::Refused(refused)
    }
}

impl AppError {
    pub(crate) fn io(path: &std::path::Path, source: std::io::Error) -> Self {
        Self::Io { path: path.display().to_string(), source }
    }

    /// What to do next, in sentences.
    pub fn hints(&self) -> Vec<String> {
        match self {
            Self::Refused(refused) => refused.unmet.clone(),
            Self::HoldsValue(_) => {
                vec!["what the ledger holds stays there: say it without the value".to_owned()]
            }
            Self::Inventory(diagnostics) | Self::Provider(diagnostics) => {
                diagnostics.iter().map(ToString::to_string).collect()
            }
            Self::Config { source, .. } => source.hint.iter().cloned().collect(),
            Self::Server { hints, .. } => hints.clone(),
            Self::Moved { id, .. } => vec![format!("look at {id} again, then decide")],
            Self::NotFound { what: "incident", .. } => {
                vec!["`quell incident list` shows all incidents".to_owned()]
            }
            Self::NotFound { what: "secret", .. } => {
                vec![
                    "`quell inventory check` lists the secrets of the inventory".to_owned(),
                    "one that `quell kill` made is taken up by giving it the value again".to_owned(),
                ]
            }
            Self::NotFound { what: "provider", .. } => {
                vec!["`quell provider list` names all; `--providers DIR` adds your own".to_owned()]
            }
            Self::NotFound { what: "rule", .. } => vec!["`quell rules list` names all rules".to_owned()],
            Self::NotFound { what: "delivery", .. } => {
                vec!["`quell intake list` shows what was delivered".to_owned()]
            }
            Self::NotFound { what: "finding", .. } => {
                vec!["`quell scan PATH` records findings with their ids".to_owned()]
            }
            Self::Store(StoreError::Io { source, .. }) | Self::Io { source, .. }
                if source.kind() == std::io::ErrorKind::Interrupted =>
            {
                vec!["run it again when you are ready".to_owned()]
            }
            Self::Store(error) => of_store(error),
            Self::CannotPlan(CannotPlan::NoSecret) => {
                vec!["open an incident that names a secret: `quell incident open --secret ID`".to_owned()]
            }
            Self::Step(Refusal::OtherPlan { .. }) => {
                vec!["`quell plan INC` shows the plan that holds now".to_owned()]
            }
            Self::Usage(_)
            | Self::Step(_)
            | Self::CannotPlan(_)
            | Self::NotFound { .. }
            | Self::Remote(_)
            | Self::Entry(_)
            | Self::Scan(_)
            | Self::Rule(_)
            | Self::Io { .. }
            | Self::Evidence(_) => Vec::new(),
        }
    }
}

fn of_store(error: &StoreError) -> Vec<String> {
    match error {
        StoreError::NotInitialised(_) => {
            vec!["`quell init` makes one; `--data-dir` or QUELL_DATA_DIR names another folder".to_owned()]
        }
        StoreError::AlreadyInitialised(_) => {
            vec!["name another folder with --data-dir".to_owned()]
        }
        StoreError::Kek(_) => {
            vec!["give the passphrase with --passphrase-file, or restore the key file in `keys/` of the data folder".to_owned()]
        }
        error if error.is_away() => vec![
            "the database does not answer now: see whether it runs, can be reached and has connections left"
                .to_owned(),
            "nothing was half-written: every write is one transaction; run the command again when it answers".to_owned(),
        ],
        StoreError::Newer { .. } => vec![
            "use the quell that brought the database up to date, or a newer one; there is no way back but a backup"
                .to_owned(),
        ],
        StoreError::Moved(_) => {
            vec!["give --database-file (or QUELL_DATABASE_FILE) with the URL of that place".to_owned()]
        }
        StoreError::Unfinished(_) => vec![
            "of a move: run the same `quell move` again, it goes on where it was".to_owned(),
            "of a restore: empty the target and restore again; it was not verified to its end".to_owned(),
        ],
        StoreError::Backup(_) => {
            vec!["nothing was made that can be used; take another backup, or copy this one again".to_owned()]
        }
        StoreError::NotEmpty(_) => {
            vec!["name an empty folder (--data-dir) or an empty database (--database-file)".to_owned()]
        }
        StoreError::InUse(_) => {
            vec!["stop `quell respond` and `quell serve` first; what they were doing is taken up afterwards".to_owned()]
        }
        StoreError::Database(_) => vec![
            "nothing was half-written: every write is one transaction".to_owned(),
            "check free space and permissions of the data folder, then run the command again".to_owned(),
        ],
        StoreError::Io { path, .. } => {
            vec![format!("check that {path} is there, its permissions and free space; then run it again")]
        }
        StoreError::Kept(_) => {
            vec!["give the file that `quell ledger checkpoint` printed, as it is".to_owned()]
        }
        StoreError::Migrate(_)
        | StoreError::Conflict { .. }
        | StoreError::Unsealable(_)
        | StoreError::KeysRotated
        | StoreError::CutOff
        | StoreError::NoSuchValue(_)
        | StoreError::Ledger(_) => Vec::new(),
    }
}
