//! The installation as a whole: `quell backup`, `quell restore`, `quell move`.

use std::path::Path;

use quell_core::secret::SecretValue;
use quell_store::{Backup, Db, Moved, Pause, Restore, Restored, StoreError};

use crate::app::read_passphrase;
use crate::clock::now;
use crate::{AppError, Options};

/// Longest checkpoint file.
const TEXT_MAX: u64 = 64 << 10;

/// One moment of the installation in one file, while it is used. Needs no key and changes no schema.
pub async fn backup(options: &Options, to: &Path) -> Result<Backup, AppError> {
    if options.database.is_none() && !options.data.join("quell.db").is_file() {
        return Err(StoreError::NotInitialised(options.data.display().to_string()).into());
    }
    let db = Db::connect(&options.data, options.database.as_deref()).await?;
    if db.schema().await? == 0 {
        return Err(StoreError::NotInitialised(db.place()).into());
    }
    let done = quell_store::backup(&db, to, now()).await?;
    db.close().await;
    Ok(done)
}

/// A backup becomes an installation in the data folder or the database of the options.
pub async fn restore(
    options: &Options,
    from: &Path,
    key_file: Option<&Path>,
    (key, kept): (Option<&str>, &[impl AsRef<Path>]),
    ask: impl FnOnce() -> Result<SecretValue, StoreError>,
) -> Result<Restored, AppError> {
    let trusted = match key {
        Some(text) => Some(text.trim().parse().map_err(|e| AppError::Usage(format!("--key: {e}")))?),
        None => None,
    };
    let mut notes = Vec::new();
    for path in kept {
        let path = path.as_ref();
        notes.push(crate::files::read_text(path, TEXT_MAX).map_err(|e| AppError::io(path, e))?);
    }
    let (folder, url) = (options.data.as_path(), options.database.as_deref());
    let what = Restore { from, folder, url, key_file, trusted, kept: &notes };
    Ok(quell_store::restore(&what, passphrase(options, ask)).await?)
}

/// The embedded installation goes to PostgreSQL. `failpoint` is for crash tests; not in release builds.
pub async fn move_to(
    options: &Options,
    url: &str,
    failpoint: Option<&str>,
    ask: impl FnOnce() -> Result<SecretValue, StoreError>,
) -> Result<Moved, AppError> {
    if options.database.is_some() {
        let why =
            "the installation is on PostgreSQL already: leave out --database-file to move the data folder's";
        return Err(AppError::Usage(why.to_owned()));
    }
    let die = |at: Pause| {
        let here = match at {
            Pause::Copied => "copied",
            Pause::Arrived => "arrived",
            Pause::Marked => "marked",
        };
        if cfg!(debug_assertions) && failpoint == Some(here) {
            let me = rustix::process::getpid();
            let died = rustix::process::kill_process(me, rustix::process::Signal::KILL);
            debug_assert!(died.is_ok(), "a process may always signal itself");
        }
    };
    Ok(quell_store::move_to(&options.data, url, passphrase(options, ask), now(), die).await?)
}

fn passphrase(
    options: &Options,
    ask: impl FnOnce() -> Result<SecretValue, StoreError>,
) -> impl FnOnce() -> Result<SecretValue, StoreError> {
    let file = options.passphrase_file.clone();
    move || match file {
        Some(path) => read_passphrase(&path),
        None => ask(),
    }
}
