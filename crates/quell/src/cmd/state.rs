//! `quell backup`, `quell restore`, `quell move`.

use quell_app::{AppError, Options, state};

use super::{ask_passphrase, database_url};
use crate::cli::{BackupArgs, MoveArgs, RestoreArgs};
use crate::exit;
use crate::output::{Out, Tone, tone};

pub(crate) async fn backup(options: &Options, args: &BackupArgs, out: &Out) -> Result<u8, AppError> {
    let done = state::backup(options, &args.to).await?;
    if out.json() {
        out.object(&done)?;
        return Ok(exit::OK);
    }
    out.status(format!(
        "{} {} entries and {} tables; its newest checkpoint:",
        tone(Tone::Good, "wrote"),
        done.entries,
        done.manifest.tables.len()
    ));
    out.status(done.manifest.checkpoint.trim_end());
    out.data(done.path.display())?;
    match &done.key_file {
        Some(key) => out.warning(format!(
            "the key is not in it, and it is worthless without: keep a copy of `{key}` elsewhere, not beside the backup"
        )),
        None => out.warning("the passphrase is not in it, and it is worthless without"),
    }
    Ok(exit::OK)
}

pub(crate) async fn restore(options: &Options, args: &RestoreArgs, out: &Out) -> Result<u8, AppError> {
    let outside = (args.key.as_deref(), args.checkpoint.as_slice());
    let key_file = args.key_file.as_deref();
    let done = state::restore(options, &args.file, key_file, outside, ask_passphrase).await?;
    if out.json() {
        out.object(&done)?;
        return Ok(exit::OK);
    }
    for warning in &done.ledger.warnings {
        out.warning(warning);
    }
    out.status(format!(
        "{} {} entries, {} checkpoints: consistent, as of {}; its newest checkpoint:",
        tone(Tone::Good, "restored"),
        done.entries,
        done.ledger.checkpoints,
        done.made_at
    ));
    out.data(done.ledger.checkpoint.trim_end())?;
    if args.checkpoint.is_empty() {
        out.warning(format!(
            "compare its size ({}) with the newest notice or export that anybody has: a larger one means that entries are missing, and that whatever is appended now is a fork of that ledger",
            done.entries
        ));
    }
    out.hint("let nothing else use the installation that the backup is of; steps that were under way are looked at before anything is repeated");
    Ok(exit::OK)
}

pub(crate) async fn move_to(options: &Options, args: &MoveArgs, out: &Out) -> Result<u8, AppError> {
    let url = database_url(&args.to_database_file)?;
    let done = state::move_to(options, &url, args.failpoint.as_deref(), ask_passphrase).await?;
    if out.json() {
        out.object(&done)?;
        return Ok(exit::OK);
    }
    out.status(format!(
        "{} {} entries and {} tables to {}: every count and hash is the same, the ledger is consistent",
        tone(Tone::Good, "moved"),
        done.entries,
        done.tables.len(),
        done.to
    ));
    out.data(&done.to)?;
    out.hint(format!(
        "give `--database-file {}` from now on; the key stays in {}",
        args.to_database_file.display(),
        options.data.display()
    ));
    Ok(exit::OK)
}
