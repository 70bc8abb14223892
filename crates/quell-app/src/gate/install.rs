//! Hooks in, hooks out, and how they are. Nobody else's hook is overwritten.

use std::io::Write as _;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};

use serde::Serialize;

use super::Hook;
use super::git::Git;
use super::script::{Known, Script, recognise};
use crate::{AppError, files};

/// Larger files are no hooks of ours, in bytes.
const MAX_HOOK: u64 = 1 << 20;

/// What an installation did.
#[derive(Clone, Debug, Serialize)]
pub struct Installed {
    /// The hook's file.
    pub path: PathBuf,
    /// Nothing had to be done.
    pub already: bool,
    /// Where the hook that was there before is now.
    pub chained: Option<PathBuf>,
    /// What the user should know.
    pub warnings: Vec<String>,
}

/// How a gate is.
#[derive(Clone, Copy, Debug, Eq, PartialEq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum State {
    /// In force.
    Installed,
    /// There is no hook.
    Missing,
    /// The hook is somebody else's.
    Foreign,
    /// Made by Quell and changed by hand: what it does is not known.
    ChangedByHand,
    /// Made by another version of Quell.
    OtherVersion,
    /// Git passes over it, since it is not executable.
    NotExecutable,
    /// The quell that it names is not there or not executable. What checks is whichever is on the PATH of who commits or
    /// pushes, and without one it refuses everything.
    NamedQuellGone,
    /// Neither the quell that it names nor one on the PATH is there: it refuses everything.
    QuellNotFound,
}

impl State {
    /// In words.
    pub fn sentence(self) -> &'static str {
        match self {
            Self::Installed => "installed",
            Self::Missing => "missing",
            Self::Foreign => "missing: another hook is in its place (`--chain` keeps it and calls it first)",
            Self::ChangedByHand => {
                "changed by hand: what it does is not known; remove it and install it again"
            }
            Self::OtherVersion => "made by another version of quell; install it again",
            Self::NotExecutable => "not executable, so git passes over it; install it again",
            Self::NamedQuellGone => {
                "the quell that it names is gone: another on the PATH checks, or everything is refused; install it again"
            }
            Self::QuellNotFound => "quell not found: it refuses everything; install it again",
        }
    }
}

/// One gate of a repository.
#[derive(Clone, Debug, Serialize)]
pub struct Status {
    /// `pre-commit`, `pre-push`, `pre-receive`.
    pub gate: &'static str,
    /// How it is.
    pub state: State,
    /// The hook's file.
    pub path: PathBuf,
    /// The quell that it calls: the one that it names, or the one on this PATH.
    pub quell: Option<PathBuf>,
    /// True when another hook is called first.
    pub chained: bool,
    /// How it can be gone round.
    pub bypass: &'static str,
}

/// A repository as hooks see it.
struct Place {
    hooks: PathBuf,
    bare: bool,
    /// `core.hooksPath` is set, so other repositories may share the folder.
    shared: bool,
}

fn place(repository: &Path) -> Result<Place, AppError> {
    let git = Git::at(repository);
    let bare = git.line(&["rev-parse", "--is-bare-repository"])? == "true";
    // A relative core.hooksPath counts from where hooks run: the top of the work tree, or the bare repository.
    let top = if bare {
        git.path(&["rev-parse", "--absolute-git-dir"])?
    } else {
        git.path(&["rev-parse", "--show-toplevel"])?
    };
    let hooks = Git::at(&top).path(&["rev-parse", "--git-path", "hooks"])?;
    let shared = git.perhaps(&["config", "--get", "core.hooksPath"])?.is_some();
    Ok(Place { hooks: top.join(hooks), bare, shared })
}

/// Puts a hook in. A second time changes nothing. With `chain`, a hook that is there is kept and called first.
pub fn install(repository: &Path, script: &Script, chain: bool) -> Result<Installed, AppError> {
    let place = place(repository)?;
    let hook = script.hook;
    let mut warnings = Vec::new();
    match (hook, place.bare) {
        (Hook::PreCommit | Hook::PrePush, true) => {
            let words = "it is a bare repository: nobody commits there or pushes from there; use pre-receive";
            return Err(AppError::Usage(words.to_owned()));
        }
        (Hook::PreReceive, false) => {
            warnings
                .push("this repository has a work tree; pre-receive only runs for pushes into it".to_owned());
        }
        (Hook::PreCommit | Hook::PrePush, false) | (Hook::PreReceive, true) => {}
    }
    if place.shared {
        let folder = place.hooks.display();
        warnings.push(format!("core.hooksPath is set: {folder} may serve other repositories, too"));
    }
    let path = place.hooks.join(hook.word());
    let (kept, text) = (before(&path), script.text()?);
    let io = |error| AppError::io(&path, error);
    std::fs::create_dir_all(&place.hooks).map_err(io)?;
    let mut chained = kept.exists().then(|| kept.clone());
    let found = look(&path)?;
    match &found {
        None => {}
        Some(Known::Ours(_)) if current(&path, &text) => {
            return Ok(Installed { path, already: true, chained, warnings });
        }
        Some(Known::Ours(_) | Known::OtherVersion) => {}
        Some(Known::Changed) => {
            return Err(refused(
                &path,
                "was made by quell and changed by hand; look at it, remove it, and install again",
            ));
        }
        Some(Known::Foreign) if !chain => {
            return Err(refused(
                &path,
                "is a hook already; `--chain` keeps it (renamed, called first), or remove it yourself",
            ));
        }
        Some(Known::Foreign) if kept.symlink_metadata().is_ok() => {
            return Err(refused(
                &kept,
                "is there from an earlier `--chain`; remove one of the two hooks first",
            ));
        }
        Some(Known::Foreign) => {
            std::fs::rename(&path, &kept).map_err(io)?;
            chained = Some(kept);
        }
    }
    let ours = matches!(found, Some(Known::Ours(_) | Known::OtherVersion));
    write(&place.hooks, &path, &text, ours)?;
    Ok(Installed { path, already: false, chained, warnings })
}

/// Takes a hook of ours out, and puts the one from before back. False when there was none.
pub fn uninstall(repository: &Path, hook: Hook) -> Result<bool, AppError> {
    let path = place(repository)?.hooks.join(hook.word());
    match look(&path)? {
        None => return Ok(false),
        Some(Known::Ours(_) | Known::OtherVersion) => {}
        Some(Known::Changed) => {
            return Err(refused(&path, "was changed by hand; look at it and remove it yourself"));
        }
        Some(Known::Foreign) => return Err(refused(&path, "is not a hook of quell; it stays")),
    }
    let kept = before(&path);
    let io = |error| AppError::io(&path, error);
    if kept.symlink_metadata().is_ok() {
        std::fs::rename(&kept, &path).map_err(io)?;
    } else {
        std::fs::remove_file(&path).map_err(io)?;
    }
    Ok(true)
}

/// How the gates of a repository are. `search` are the folders of the PATH.
pub fn status(repository: &Path, search: &[PathBuf]) -> Result<Vec<Status>, AppError> {
    let place = place(repository)?;
    let relevant = |hook: &Hook| *hook == Hook::PreReceive || !place.bare;
    Hook::ALL
        .into_iter()
        .filter(relevant)
        .map(|hook| {
            let path = place.hooks.join(hook.word());
            let mut quell = None;
            let state = match look(&path)? {
                None => State::Missing,
                Some(Known::Foreign) => State::Foreign,
                Some(Known::Changed) => State::ChangedByHand,
                Some(Known::OtherVersion) => State::OtherVersion,
                Some(Known::Ours(_)) if !executable(&path) => State::NotExecutable,
                Some(Known::Ours(script)) if script.hook == hook => {
                    let found =
                        search.iter().map(|folder| folder.join("quell")).find(|path| executable(path));
                    let (named, state) = match found {
                        _ if executable(&script.quell) => (Some(script.quell), State::Installed),
                        Some(other) => (Some(other), State::NamedQuellGone),
                        None => (None, State::QuellNotFound),
                    };
                    quell = named;
                    state
                }
                Some(Known::Ours(_)) => State::ChangedByHand,
            };
            let chained = executable(&before(&path));
            Ok(Status { gate: hook.word(), state, path, quell, chained, bypass: hook.bypass() })
        })
        .collect()
}

/// Where a hook that was there before is kept.
fn before(path: &Path) -> PathBuf {
    let mut name = path.as_os_str().to_owned();
    name.push(".before-quell");
    PathBuf::from(name)
}

/// What is in the place of a hook. A link that leads nowhere is somebody's.
fn look(path: &Path) -> Result<Option<Known>, AppError> {
    match path.symlink_metadata() {
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(None),
        Err(error) => return Err(AppError::io(path, error)),
        // A link is how managers of hooks work; replacing it would break them.
        Ok(data) if !data.is_file() => return Ok(Some(Known::Foreign)),
        Ok(_file) => {}
    }
    match files::read(path, MAX_HOOK) {
        Ok(bytes) => Ok(Some(std::str::from_utf8(&bytes).map_or(Known::Foreign, recognise))),
        Err(error) if error.kind() == std::io::ErrorKind::FileTooLarge => Ok(Some(Known::Foreign)),
        Err(error) => Err(AppError::io(path, error)),
    }
}

fn current(path: &Path, text: &str) -> bool {
    executable(path) && files::read(path, MAX_HOOK).is_ok_and(|bytes| bytes == text.as_bytes())
}

fn executable(path: &Path) -> bool {
    std::fs::metadata(path).is_ok_and(|data| data.is_file() && data.permissions().mode() & 0o111 != 0)
}

/// Whole or not at all; a hook that appears meanwhile is not overwritten.
fn write(folder: &Path, path: &Path, text: &str, replace: bool) -> Result<(), AppError> {
    let io = |error| AppError::io(path, error);
    let mut file = tempfile::Builder::new().prefix(".quell-gate-").tempfile_in(folder).map_err(io)?;
    file.write_all(text.as_bytes()).map_err(io)?;
    file.as_file().set_permissions(std::fs::Permissions::from_mode(0o755)).map_err(io)?;
    file.as_file().sync_all().map_err(io)?;
    let done = if replace { file.persist(path) } else { file.persist_noclobber(path) };
    done.map(|_file| ()).map_err(|error| AppError::io(path, error.error))
}

fn refused(path: &Path, why: &str) -> AppError {
    AppError::Usage(format!("{} {why}", path.display()))
}
