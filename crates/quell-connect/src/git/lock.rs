//! Nobody can push: every ref is hidden from `git receive-pack`, which refuses to update what is hidden
//! (`receive.hideRefs`, git-config(1), since git 2.3). Reading goes on.
//!
//! The setting stands in a file of its own, which the repository's configuration includes by one line: two incidents have
//! two files and two lines, and what the operator had set is never touched.

use std::io::Write as _;
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;

use quell_core::outcome::Outcome;
use quell_core::plan::ChannelAct;

use super::Repository;
use crate::error::{ConnectError, ConnectErrorKind};

/// What hides every ref.
const ALL: &str = "refs/";

pub(super) async fn perform(
    repository: &Repository,
    folder: &Path,
    act: ChannelAct,
    incident: &str,
) -> Outcome {
    let done = match act {
        ChannelAct::Lock => lock(repository, folder, incident).await,
        ChannelAct::Unlock => unlock(repository, folder, incident).await,
        ChannelAct::Preserve | ChannelAct::Remove | ChannelAct::Scan => {
            return Outcome::refused("git can only lock and unlock");
        }
    };
    let outcome = match done {
        Ok(()) => observe(repository, folder, act, incident).await,
        Err(error) => error.outcome(),
    };
    // A lock that does not hold must not stand there as half of one, with no step that would take it away.
    if act == ChannelAct::Lock
        && matches!(outcome, Outcome::NotApplied { retryable: false, .. })
        && let Err(error) = unlock(repository, folder, incident).await
    {
        return error.unseen();
    }
    outcome
}

pub(super) async fn observe(
    repository: &Repository,
    folder: &Path,
    act: ChannelAct,
    incident: &str,
) -> Outcome {
    let (hides, ours) = match state(repository, folder, incident).await {
        Ok(state) => state,
        Err(error) => return error.unseen(),
    };
    match act {
        ChannelAct::Lock if hides && ours => Outcome::applied([("refuses_pushes", true.into())]),
        ChannelAct::Lock if ours => Outcome::refused(
            "a setting behind ours shows refs again (receive.hideRefs with `!`); take it away",
        ),
        ChannelAct::Lock => Outcome::retry("the repository takes pushes"),
        // Somebody else's lock, or the operator's own setting, is not ours to lift.
        ChannelAct::Unlock if !ours => Outcome::applied([("refuses_pushes", hides.into())]),
        ChannelAct::Unlock => Outcome::retry("it is still locked for this incident"),
        ChannelAct::Preserve | ChannelAct::Remove | ChannelAct::Scan => {
            Outcome::refused("git can only lock and unlock")
        }
    }
}

/// Our file first, then the line that includes it: a line without its file would change nothing, and git says nothing.
async fn lock(repository: &Repository, folder: &Path, incident: &str) -> Result<(), ConnectError> {
    let file = folder.join(name(incident));
    let failed = |error: std::io::Error| {
        repository.error(ConnectErrorKind::Denied, format!("{}: {error}", file.display()))
    };
    let text = format!(
        "# Locked by quell for {incident}; the plan's `unlock` step takes this away.\n[receive]\n\thideRefs = {ALL}\n"
    );
    write(folder, &file, &text).map_err(failed)?;
    if !included(repository, folder, incident).await? {
        let args = ["config", "--local", "--add", "include.path", &name(incident)];
        changed(repository, repository.end(folder, &args).await?)?;
    }
    Ok(())
}

/// Whole or not at all, and readable by whoever serves the repository: a file that git cannot read stops reading, too.
fn write(folder: &Path, file: &Path, text: &str) -> std::io::Result<()> {
    let mut new = tempfile::NamedTempFile::new_in(folder)?;
    new.write_all(text.as_bytes())?;
    new.as_file().set_permissions(std::fs::Permissions::from_mode(0o644))?;
    new.as_file().sync_all()?;
    new.persist(file)?;
    Ok(())
}

/// The line first, then the file.
async fn unlock(repository: &Repository, folder: &Path, incident: &str) -> Result<(), ConnectError> {
    if included(repository, folder, incident).await? {
        let exact = format!("^{}$", name(incident).replace('.', "\\."));
        let args = ["config", "--local", "--unset-all", "include.path", &exact];
        changed(repository, repository.end(folder, &args).await?)?;
    }
    let file = folder.join(name(incident));
    match std::fs::remove_file(&file) {
        Err(error) if error.kind() != std::io::ErrorKind::NotFound => {
            Err(repository.error(ConnectErrorKind::Denied, format!("{}: {error}", file.display())))
        }
        Ok(()) | Err(_) => Ok(()),
    }
}

/// `git config` writes a new file beside the old one and renames it: it has changed all or nothing.
fn changed(repository: &Repository, (code, _): (Option<i32>, String)) -> Result<(), ConnectError> {
    match code {
        Some(0) => Ok(()),
        // 255: somebody else writes the configuration at this moment, or we may not.
        Some(code) => Err(repository.error(
            ConnectErrorKind::Transient { retry_after: None },
            format!("the configuration was not written (git ended with {code}); is there a config.lock, and may we write?"),
        )),
        None => Err(repository.error(ConnectErrorKind::Lost, "git was ended by a signal".to_owned())),
    }
}

/// Whether every ref is hidden from pushes in effect, and whether that is (also) ours.
async fn state(repository: &Repository, folder: &Path, incident: &str) -> Result<(bool, bool), ConnectError> {
    let mut hides = false;
    let either = r"^(transfer|receive)\.hiderefs$";
    let (code, said) = repository.end(folder, &["config", "--includes", "--get-regexp", either]).await?;
    // 1: there is no such setting.
    if !matches!(code, Some(0 | 1)) {
        return Err(repository.error(ConnectErrorKind::Denied, "its settings cannot be read".to_owned()));
    }
    for line in said.lines() {
        let value = line.split_once(' ').map_or("", |(_, value)| value);
        // The last one that fits a ref wins; one that shows any ref again ends the lock.
        hides = !value.starts_with('!') && (hides || value.trim_end_matches('/') == "refs");
    }
    let ours = included(repository, folder, incident).await? && folder.join(name(incident)).is_file();
    Ok((hides, ours))
}

async fn included(repository: &Repository, folder: &Path, incident: &str) -> Result<bool, ConnectError> {
    let (code, said) = repository.end(folder, &["config", "--local", "--get-all", "include.path"]).await?;
    match code {
        Some(0 | 1) => Ok(said.lines().any(|line| line == name(incident))),
        Some(_) | None => {
            Err(repository.error(ConnectErrorKind::Denied, "its settings cannot be read".to_owned()))
        }
    }
}

fn name(incident: &str) -> String {
    format!("quell-lock-{incident}.conf")
}
