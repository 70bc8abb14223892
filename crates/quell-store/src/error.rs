//! What can go wrong with the state.

use sqlx::migrate::MigrateError;

/// Why the state could not be read or written.
#[derive(Debug, thiserror::Error)]
pub enum StoreError {
    /// The database said no: disk full, read-only, locked, damaged.
    #[error("the database refused: {0}")]
    Database(#[from] sqlx::Error),
    /// The schema could not be brought up to date.
    #[error("the schema could not be brought up to date: {0}")]
    Migrate(#[from] MigrateError),
    /// Somebody else appended to the stream first. Read it again and decide anew.
    #[error("somebody else wrote to {stream} first (expected position {expected}, found {found})")]
    Conflict {
        /// Which stream.
        stream: String,
        /// Where we meant to write.
        expected: u64,
        /// Where it is now.
        found: u64,
    },
    /// The folder holds no installation.
    #[error("there is no installation in {0}")]
    NotInitialised(String),
    /// The folder holds one already.
    #[error("{0} holds an installation already")]
    AlreadyInitialised(String),
    /// The key-encryption key is missing or wrong.
    #[error("the key-encryption key: {0}")]
    Kek(String),
    /// A sealed value cannot be opened.
    #[error("the sealed value `{0}` cannot be opened: it is damaged, or sealed under another key")]
    Unsealable(String),
    /// Another process rotated the keys; what we hold in memory must not be used any more.
    #[error("the installation's keys were rotated by another process; run the command again")]
    KeysRotated,
    /// Whoever carried this request out was taken for gone meanwhile: it stood still, or lost the database for too long.
    #[error("this request was given up meanwhile, and nothing more comes of it")]
    CutOff,
    /// The database was brought up to date by a newer program.
    #[error("the database has version {there} of the schema, and this quell knows {known}")]
    Newer {
        /// What is there.
        there: i64,
        /// What this program knows.
        known: i64,
    },
    /// The installation lies elsewhere now.
    #[error("this installation was moved to {0}; nothing is written here any more")]
    Moved(String),
    /// A restore or a move into this database did not come to its end.
    #[error("this is an unfinished copy ({0}), and no installation yet")]
    Unfinished(String),
    /// A backup cannot be made, or is not what it should be.
    #[error("the backup: {0}")]
    Backup(String),
    /// A restore or a move would write over something.
    #[error("{0} is not empty")]
    NotEmpty(String),
    /// Somebody writes to what is to be moved.
    #[error("the installation is in use by {}", .0.join(", "))]
    InUse(Vec<String>),
    /// There is no such sealed value.
    #[error("there is no sealed value `{0}`")]
    NoSuchValue(String),
    /// The ledger is damaged.
    #[error("the ledger is damaged: {0}; run `quell ledger verify`")]
    Ledger(String),
    /// Something that somebody kept elsewhere, and that is not what a ledger signs.
    #[error("what was kept is no checkpoint: {0}")]
    Kept(String),
    /// A file could not be read or written.
    #[error("{path}: {source}")]
    Io {
        /// Which.
        path: String,
        /// Why.
        #[source]
        source: std::io::Error,
    },
}

impl StoreError {
    /// The database does not answer now, and will: it restarts, the connection was cut, all connections are in use,
    /// another writer holds it for long. What was asked may have happened all the same.
    pub fn is_away(&self) -> bool {
        match self {
            Self::Database(error) => away(error),
            Self::Migrate(MigrateError::Execute(error)) => away(error),
            Self::Migrate(_)
            | Self::Conflict { .. }
            | Self::NotInitialised(_)
            | Self::AlreadyInitialised(_)
            | Self::Kek(_)
            | Self::Newer { .. }
            | Self::Moved(_)
            | Self::Unfinished(_)
            | Self::Backup(_)
            | Self::NotEmpty(_)
            | Self::InUse(_)
            | Self::Unsealable(_)
            | Self::KeysRotated
            | Self::CutOff
            | Self::NoSuchValue(_)
            | Self::Ledger(_)
            | Self::Kept(_)
            | Self::Io { .. } => false,
        }
    }

    pub(crate) fn io(path: &std::path::Path, source: std::io::Error) -> Self {
        Self::Io { path: path.display().to_string(), source }
    }
}

/// PostgreSQL's codes (manual, appendix A, read 2026-11-23): 08 connection exception, 57P01 to 57P03 and 57P05 the server
/// or an administrator ended the session, 53300 too many connections, 25P03 idle in transaction, 55P03 lock timeout, 25006 a
/// standby that takes no writes. SQLite's: 5 busy, 517 busy snapshot.
#[expect(
    clippy::wildcard_enum_match_arm,
    reason = "an error of the database library that is not known is not `away`"
)]
fn away(error: &sqlx::Error) -> bool {
    match error {
        sqlx::Error::Io(_)
        | sqlx::Error::Tls(_)
        | sqlx::Error::Protocol(_)
        | sqlx::Error::PoolTimedOut
        | sqlx::Error::BeginFailed
        | sqlx::Error::WorkerCrashed => true,
        sqlx::Error::Database(error) => error.code().is_some_and(|code| {
            code.starts_with("08")
                || matches!(
                    code.as_ref(),
                    "57P01"
                        | "57P02"
                        | "57P03"
                        | "57P05"
                        | "53300"
                        | "25P03"
                        | "55P03"
                        | "25006"
                        | "5"
                        | "517"
                )
        }),
        _ => false,
    }
}
