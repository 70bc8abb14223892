//! What keeps objects alive: refs, loose and packed, and the `HEAD` of every work tree.
//!
//! Reflogs do not count: what only they reach is gone for everyone but this clone.

use std::collections::BTreeMap;
use std::path::Path;

use super::{Oid, Repository};
use crate::git::repository::text;
use crate::{Report, ScanError};

/// Folders below `refs` are followed this deep.
const MAX_DEPTH: usize = 32;

/// Symbolic refs are followed this far, as git does.
const MAX_SYMBOLIC: usize = 5;

/// Where history starts.
#[derive(Debug, Default)]
pub(super) struct Refs {
    pub(super) tips: Vec<Oid>,
    pub(super) head: Option<Oid>,
}

pub(super) fn read(repository: &Repository, report: &mut Report) -> Result<Refs, ScanError> {
    let mut by_name: BTreeMap<String, String> = BTreeMap::new();
    if let Some(packed) = text(&repository.common_dir.join("packed-refs"))? {
        for line in packed.lines().filter(|line| !line.starts_with(['#', '^'])) {
            match line.split_once(' ') {
                Some((oid, name)) => drop(by_name.insert(name.trim().to_owned(), oid.to_owned())),
                None => report.skip("packed-refs", "a line in it is broken"),
            }
        }
    }
    folder(&repository.common_dir.join("refs"), "refs", 0, &mut by_name, report);
    if repository.git_dir != repository.common_dir {
        folder(&repository.git_dir.join("refs"), "refs", 0, &mut by_name, report);
    }
    let mut refs = Refs::default();
    if let Some(head) = text(&repository.git_dir.join("HEAD"))? {
        refs.head = resolve(head.trim(), &by_name);
        refs.tips.extend(refs.head);
    }
    refs.tips
        .extend(text(&repository.common_dir.join("HEAD"))?.and_then(|head| resolve(head.trim(), &by_name)));
    for tree in std::fs::read_dir(repository.common_dir.join("worktrees")).into_iter().flatten().flatten() {
        refs.tips.extend(text(&tree.path().join("HEAD"))?.and_then(|head| resolve(head.trim(), &by_name)));
    }
    for (name, value) in &by_name {
        match resolve(value, &by_name) {
            Some(oid) => refs.tips.push(oid),
            // A symbolic ref to a branch that does not exist yet is normal.
            None if value.starts_with("ref:") => {}
            None => report.skip(name.as_str(), "the ref is broken"),
        }
    }
    Ok(refs)
}

fn resolve(value: &str, by_name: &BTreeMap<String, String>) -> Option<Oid> {
    let mut value = value;
    for _ in 0..MAX_SYMBOLIC {
        match value.strip_prefix("ref:") {
            None => return Oid::from_hex(value),
            Some(target) => value = by_name.get(target.trim())?,
        }
    }
    None
}

fn folder(
    path: &Path,
    name: &str,
    depth: usize,
    by_name: &mut BTreeMap<String, String>,
    report: &mut Report,
) {
    if depth > MAX_DEPTH {
        report.skip(name, "the folder is nested too deep");
        return;
    }
    for entry in std::fs::read_dir(path).into_iter().flatten() {
        let Ok(entry) = entry else {
            report.skip(name, "the folder cannot be listed");
            continue;
        };
        let child = format!("{name}/{}", entry.file_name().to_string_lossy());
        match entry.file_type() {
            Ok(kind) if kind.is_dir() => folder(&entry.path(), &child, depth + 1, by_name, report),
            Ok(kind) if kind.is_file() && !lock(&entry.path()) => match text(&entry.path()) {
                Ok(value) => drop(by_name.insert(child, value.unwrap_or_default().trim().to_owned())),
                Err(error) => report.skip(child, error.to_string()),
            },
            Ok(_link_or_lock) => {}
            Err(error) => report.skip(child, error.to_string()),
        }
    }
}

/// Git writes `name.lock` before it renames it.
fn lock(path: &Path) -> bool {
    path.extension().is_some_and(|extension| extension == "lock")
}
