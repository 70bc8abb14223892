//! What can go wrong with the state.

/// Why the state could not be read or written.
#[derive(Debug, thiserror::Error)]
pub enum StoreError {
    /// The database said no: disk full, read-only, locked, damaged.
    #[error("the database refused: {0}")]
    Database(#[from] sqlx::Error),
    /// The schema could not be brought up to date.
    #[error("the schema could not be brought up to date: {0}")]
    Migrate(#[from] sqlx::migrate::MigrateError),
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
    pub(crate) fn io(path: &std::path::Path, source: std::io::Error) -> Self {
        Self::Io { path: path.display().to_string(), source }
    }
}
