//! What keeps objects alive: refs, loose and packed, and the `HEAD` of every work tree.
//!
//! Reflogs do not count here: what only they reach is gone for everyone but this clone.

use std::collections::BTreeMap;
use std::path::Path;

use super::repository::bytes;
use super::{Oid, Repository};
use crate::finding::name_text;
use crate::{Report, ScanError};

/// Folders below `refs` are followed this deep.
const MAX_DEPTH: usize = 32;

/// Symbolic refs are followed this far, as git does.
const MAX_SYMBOLIC: usize = 5;

/// A name and what it points to.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(super) struct Ref {
    /// Such as `refs/heads/main`; bytes that are no UTF-8 are escaped.
    pub(super) name: String,
    pub(super) oid: Oid,
}

/// Where history starts.
#[derive(Debug, Default)]
pub(super) struct Refs {
    /// In the order in which they are worth naming: the branch of `HEAD`, branches, remote branches, tags, others.
    pub(super) all: Vec<Ref>,
    pub(super) head: Option<Oid>,
}

impl Refs {
    pub(super) fn find(&self, name: &str) -> Option<Oid> {
        self.all.iter().find(|one| one.name == name).map(|one| one.oid)
    }

    pub(super) fn below<'a>(&'a self, prefix: &'a str) -> impl Iterator<Item = &'a Ref> {
        self.all.iter().filter(move |one| one.name.starts_with(prefix))
    }
}

type ByName = BTreeMap<Vec<u8>, Vec<u8>>;

pub(super) fn read(repository: &Repository, report: &mut Report) -> Result<Refs, ScanError> {
    // Loose ones first: git writes `packed-refs` before it removes what it packed.
    let mut by_name = ByName::new();
    folder(&repository.common_dir.join("refs"), b"refs", 0, &mut by_name, report);
    if repository.git_dir != repository.common_dir {
        folder(&repository.git_dir.join("refs"), b"refs", 0, &mut by_name, report);
    }
    for (name, value) in packed(repository, report)? {
        by_name.entry(name).or_insert(value);
    }
    let mut refs = Refs::default();
    let mut own_branch = Vec::new();
    if let Some(head) = bytes(&repository.git_dir.join("HEAD"))? {
        let head = head.trim_ascii();
        refs.head = resolve(head, &by_name);
        own_branch = head.strip_prefix(b"ref:").unwrap_or_default().trim_ascii().to_vec();
    }
    let mut heads = vec![("HEAD".to_owned(), repository.git_dir.join("HEAD"))];
    if repository.git_dir != repository.common_dir {
        heads.push(("main-worktree/HEAD".to_owned(), repository.common_dir.join("HEAD")));
    }
    for tree in std::fs::read_dir(repository.common_dir.join("worktrees")).into_iter().flatten().flatten() {
        let name = format!("worktrees/{}/HEAD", name_text(tree.file_name().as_encoded_bytes()));
        heads.push((name, tree.path().join("HEAD")));
    }
    heads.sort();
    for (name, path) in heads {
        // A HEAD on a branch is that branch; one on a commit is a ref of its own.
        let Some(value) = bytes(&path)?.filter(|value| !value.starts_with(b"ref:")) else { continue };
        match resolve(value.trim_ascii(), &by_name) {
            Some(oid) => refs.all.push(Ref { name, oid }),
            None => report.skip(name, "the ref is broken; write a branch or an id into it"),
        }
    }
    for (name, value) in &by_name {
        match resolve(value, &by_name) {
            Some(oid) => refs.all.push(Ref { name: name_text(name), oid }),
            // A symbolic ref to a branch that does not exist yet is normal.
            None if value.starts_with(b"ref:") => {}
            None => report.skip(name_text(name), "the ref is broken; `git update-ref` sets it anew"),
        }
    }
    let own_branch = name_text(&own_branch);
    refs.all
        .sort_by(|a, b| (worth(&a.name, &own_branch), &a.name).cmp(&(worth(&b.name, &own_branch), &b.name)));
    Ok(refs)
}

/// What `HEAD` points to, without a look at all other refs. `None` before the first commit.
pub(super) fn head(repository: &Repository, report: &mut Report) -> Result<Option<Oid>, ScanError> {
    let path = repository.git_dir.join("HEAD");
    let broken = || ScanError::BrokenRepository {
        path: path.clone(),
        detail: "`HEAD` is neither a branch nor a commit; `git symbolic-ref HEAD refs/heads/main` mends it"
            .to_owned(),
    };
    let mut value = bytes(&path)?.ok_or_else(broken)?.trim_ascii().to_vec();
    let mut all = None;
    for _ in 0..MAX_SYMBOLIC {
        let Some(target) = value.strip_prefix(b"ref:").map(<[u8]>::trim_ascii) else {
            return oid_of(&value).map(Some).ok_or_else(broken);
        };
        if !safe(target) {
            return Err(broken());
        }
        let file = std::ffi::OsStr::new(std::str::from_utf8(target).map_err(|_not_text| broken())?);
        let loose = bytes(&repository.common_dir.join(file))?;
        if all.is_none() && loose.is_none() {
            all = Some(packed(repository, report)?);
        }
        let found = loose.or_else(|| all.as_ref().and_then(|all| all.get(target)).cloned());
        let Some(found) = found else { return Ok(None) };
        value = found.trim_ascii().to_vec();
    }
    Err(broken())
}

/// A name that stays inside the folder of refs.
fn safe(name: &[u8]) -> bool {
    name.starts_with(b"refs/")
        && name.split(|byte| *byte == b'/').all(|part| !part.is_empty() && part != b"..")
}

fn packed(repository: &Repository, report: &mut Report) -> Result<ByName, ScanError> {
    let mut by_name = ByName::new();
    let all = bytes(&repository.common_dir.join("packed-refs"))?.unwrap_or_default();
    for line in
        all.split(|byte| *byte == b'\n').filter(|line| !matches!(line.first(), None | Some(b'#' | b'^')))
    {
        let space = line.iter().position(|byte| *byte == b' ');
        match space.and_then(|at| Some((line.get(..at)?, line.get(at.saturating_add(1)..)?))) {
            Some((oid, name)) => drop(by_name.insert(name.trim_ascii().to_vec(), oid.to_vec())),
            None => {
                report.skip("packed-refs", "a line in it is broken; `git pack-refs --all` writes it anew")
            }
        }
    }
    Ok(by_name)
}

/// The order in which refs are named.
fn worth(name: &str, own_branch: &str) -> u8 {
    if name == own_branch {
        0
    } else if name.starts_with("refs/heads/") {
        1
    } else if name.starts_with("refs/remotes/") {
        2
    } else if name.starts_with("refs/tags/") {
        3
    } else {
        4
    }
}

fn resolve(value: &[u8], by_name: &ByName) -> Option<Oid> {
    let mut value = value;
    for _ in 0..MAX_SYMBOLIC {
        match value.strip_prefix(b"ref:") {
            None => return oid_of(value),
            Some(target) => value = by_name.get(target.trim_ascii())?,
        }
    }
    None
}

fn oid_of(value: &[u8]) -> Option<Oid> {
    Oid::from_hex(std::str::from_utf8(value).ok()?)
}

fn folder(path: &Path, name: &[u8], depth: usize, by_name: &mut ByName, report: &mut Report) {
    if depth > MAX_DEPTH {
        report.skip(name_text(name), "the folder is nested too deep");
        return;
    }
    for entry in std::fs::read_dir(path).into_iter().flatten() {
        let Ok(entry) = entry else {
            report.skip(name_text(name), "the folder cannot be listed");
            continue;
        };
        let child = [name, b"/", entry.file_name().as_encoded_bytes()].concat();
        match entry.file_type() {
            Ok(kind) if kind.is_dir() => {
                folder(&entry.path(), &child, depth.saturating_add(1), by_name, report)
            }
            Ok(kind) if kind.is_file() && !lock(&entry.path()) => match bytes(&entry.path()) {
                Ok(Some(value)) => drop(by_name.insert(child, value.trim_ascii().to_vec())),
                // Packed in this moment: it is read there, or it is gone.
                Ok(None) => {}
                Err(error) => report.skip(name_text(&child), error.to_string()),
            },
            Ok(_link_or_lock) => {}
            Err(error) => report.skip(name_text(&child), error.to_string()),
        }
    }
}

/// Git writes `name.lock` before it renames it.
fn lock(path: &Path) -> bool {
    path.extension().is_some_and(|extension| extension == "lock")
}
