//! The installation as a whole: backup, restore, move.

use std::path::PathBuf;

use clap::Args;

/// Write everything the installation holds into one file, while it is used
///
/// One moment of all tables, from SQLite or PostgreSQL, in one form that either is restored
/// from. Sealed values stay sealed: the key file or passphrase is not in it, and the backup is
/// worthless without. A file that is not whole is never taken for a backup. Needs no
/// passphrase; brings no schema up to date, so take one before an upgrade.
///
/// Examples:
///   quell backup /var/backups/quell/                 a file named after the installation and its size
///   quell backup before-upgrade.backup --json
#[derive(Args, Debug)]
#[command(verbatim_doc_comment)]
pub(crate) struct BackupArgs {
    /// A file that is not there yet, or a folder
    #[arg(value_name = "FILE|DIR")]
    pub(crate) to: PathBuf,
}

/// Make an installation of a backup; verified before it may be used
///
/// The data folder (or the database of --database-file) must be empty. The whole file is
/// checked against its manifest before anything is made, and the whole ledger is verified
/// before the installation may be opened. A backup that is older than a checkpoint that you
/// kept is refused: to go on from there would be a fork of the ledger.
///
/// Examples:
///   quell restore quell-1f0c-812.backup --data-dir new --key-file 9c1d.kek --checkpoint newest-notice.txt
///   quell restore quell-1f0c-812.backup --data-dir new --database-file pg.url --passphrase-file pass
#[derive(Args, Debug)]
#[command(verbatim_doc_comment)]
pub(crate) struct RestoreArgs {
    /// The backup
    pub(crate) file: PathBuf,
    /// The key file that belongs to it; copied into the data folder. Not needed with a passphrase
    #[arg(long, value_name = "FILE")]
    pub(crate) key_file: Option<PathBuf>,
    /// The ledger's key as you keep it elsewhere
    #[arg(long)]
    pub(crate) key: Option<String>,
    /// A checkpoint that you kept, such as that of the newest notice: shows that nothing after the backup is missing
    #[arg(long, value_name = "FILE")]
    pub(crate) checkpoint: Vec<PathBuf>,
}

/// Move an installation from its data folder to PostgreSQL, without losing an entry
///
/// Refused while a worker lives or when the database holds something. Everything goes over in
/// one transaction and is compared: each table's count and hash, the ledger's newest
/// checkpoint, and the whole ledger once more. Then the old state refuses to be used. Broken
/// off anywhere, the same command goes on. The key file stays where it is.
///
/// Examples:
///   quell move --to-database-file pg.url
///   quell --database-file pg.url incident list          from then on
#[derive(Args, Debug)]
#[command(verbatim_doc_comment)]
pub(crate) struct MoveArgs {
    /// File whose content is a postgres:// URL of an empty database
    #[arg(long, value_name = "FILE")]
    pub(crate) to_database_file: PathBuf,
    #[arg(long, hide = true, env = "QUELL_FAILPOINT")]
    pub(crate) failpoint: Option<String>,
}
