//! Where a repository's parts lie, and whether it is one that can be read.
//!
//! Layout: <https://git-scm.com/docs/gitrepository-layout>.

use std::path::{Path, PathBuf};

use super::ObjectFormat;
use crate::ScanError;

/// Small text files of git are cut here.
pub(super) const MAX_TEXT: u64 = 64 << 20;

/// The folders of one repository.
#[derive(Debug)]
pub(crate) struct Repository {
    /// `HEAD` and what belongs to one work tree.
    pub(crate) git_dir: PathBuf,
    /// `objects`, `refs`, `config`: shared by all work trees.
    pub(crate) common_dir: PathBuf,
    /// The checked-out files, unless bare.
    pub(crate) work_tree: Option<PathBuf>,
    /// Which hash names its objects.
    pub(crate) format: ObjectFormat,
}

/// Finds the repository at this path or the nearest folder above it, as git does.
pub(crate) fn discover_above(path: &Path) -> Result<Repository, ScanError> {
    let start = path.canonicalize().map_err(|error| ScanError::read(path, error))?;
    for folder in start.ancestors() {
        if let Some(repository) = discover(folder)? {
            return Ok(repository);
        }
    }
    Err(ScanError::NoRepository { path: path.to_owned() })
}

/// Finds the repository at exactly this path, if there is one.
pub(crate) fn discover(path: &Path) -> Result<Option<Repository>, ScanError> {
    let dot_git = path.join(".git");
    let (git_dir, work_tree) = if dot_git.is_dir() && dot_git.join("objects").is_dir() {
        (dot_git, Some(path.to_owned()))
    } else if dot_git.is_file() {
        (linked(&dot_git)?, Some(path.to_owned()))
    } else if path.join("HEAD").is_file() && path.join("objects").is_dir() && path.join("refs").is_dir() {
        (path.to_owned(), None)
    } else {
        return Ok(None);
    };
    let common_dir = match text(&git_dir.join("commondir"))? {
        Some(relative) => git_dir.join(relative.trim_end()),
        None => git_dir.clone(),
    };
    if !common_dir.join("objects").is_dir() {
        return Err(ScanError::BrokenRepository {
            path: git_dir,
            detail: "it has no `objects` folder; scan a complete clone, or restore the folder".to_owned(),
        });
    }
    let format = format(&common_dir)?;
    Ok(Some(Repository { git_dir, common_dir, work_tree, format }))
}

/// Reads `gitdir: …` of a work tree or submodule.
fn linked(dot_git: &Path) -> Result<PathBuf, ScanError> {
    let broken =
        |detail: &str| ScanError::BrokenRepository { path: dot_git.to_owned(), detail: detail.to_owned() };
    let content = text(dot_git)?.unwrap_or_default();
    let Some(target) = content.strip_prefix("gitdir:") else {
        return Err(broken("the `.git` file does not start with `gitdir:`; `git worktree repair` may help"));
    };
    let folder = dot_git.parent().unwrap_or(Path::new("")).join(target.trim());
    if !folder.is_dir() {
        return Err(broken("the folder that `.git` points to does not exist; scan a complete clone"));
    }
    Ok(folder)
}

/// Refuses what would give false answers: <https://git-scm.com/docs/repository-version>.
fn format(common_dir: &Path) -> Result<ObjectFormat, ScanError> {
    let unsupported = |feature: &str| {
        Err(ScanError::Unsupported { path: common_dir.to_owned(), feature: feature.to_owned() })
    };
    let config = text(&common_dir.join("config"))?.unwrap_or_default().to_ascii_lowercase();
    let mut format = ObjectFormat::Sha1;
    let mut section = "";
    for line in config.lines().map(str::trim) {
        if line.starts_with('[') {
            section = line;
        }
        let Some((key, value)) = line.split_once('=') else { continue };
        let (key, value) = (key.trim(), value.trim().trim_matches('"'));
        if section.starts_with("[extensions]") && key.ends_with("objectformat") {
            format = match value {
                "sha1" => ObjectFormat::Sha1,
                "sha256" => ObjectFormat::Sha256,
                _ => return unsupported("object ids of an unknown hash"),
            };
        }
        if section.starts_with("[extensions]") && key.ends_with("refstorage") && value != "files" {
            return unsupported("refs in a reftable (`git refs migrate --ref-format=files` changes that)");
        }
    }
    Ok(format)
}

/// A small text file, or `None` when there is none.
pub(super) fn text(path: &Path) -> Result<Option<String>, ScanError> {
    Ok(bytes(path)?.map(|bytes| String::from_utf8_lossy(&bytes).into_owned()))
}

/// The same for files with names in them, which need not be UTF-8.
pub(super) fn bytes(path: &Path) -> Result<Option<Vec<u8>>, ScanError> {
    let failed = |error| ScanError::read(path, error);
    match std::fs::metadata(path) {
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(None),
        Err(error) if error.kind() == std::io::ErrorKind::NotADirectory => return Ok(None),
        Err(error) => return Err(failed(error)),
        Ok(data) if data.len() > MAX_TEXT => return Err(failed(std::io::Error::other("larger than 64 MiB"))),
        Ok(data) if data.is_dir() => return Ok(None),
        Ok(_data) => {}
    }
    match std::fs::read(path) {
        // Git replaces such files by renaming and removes loose refs when it packs them.
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(None),
        result => result.map(Some).map_err(failed),
    }
}
