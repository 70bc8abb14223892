//! What only this clone remembers: reflogs, and among them the stash.
//!
//! A line is `<old> <new> <who> <time> <zone>\t<why>`: <https://git-scm.com/docs/gitrepository-layout>.

use std::collections::BTreeSet;
use std::path::Path;

use super::repository::bytes;
use super::{Oid, Repository};
use crate::Report;
use crate::finding::name_text;

/// Folders below `logs` are followed this deep.
const MAX_DEPTH: usize = 32;

/// Objects named in logs.
#[derive(Debug, Default)]
pub(super) struct Reflogs {
    /// All but the stash.
    pub(super) named: BTreeSet<Oid>,
    /// The entries of the stash, of which its ref names the newest only.
    pub(super) stash: BTreeSet<Oid>,
}

pub(super) fn read(repository: &Repository, report: &mut Report) -> Reflogs {
    let mut logs = Reflogs::default();
    folder(&repository.common_dir.join("logs"), "logs", 0, &mut logs, report);
    for tree in std::fs::read_dir(repository.common_dir.join("worktrees")).into_iter().flatten().flatten() {
        let name = format!("worktrees/{}/logs", name_text(tree.file_name().as_encoded_bytes()));
        folder(&tree.path().join("logs"), &name, 0, &mut logs, report);
    }
    logs
}

fn folder(path: &Path, name: &str, depth: usize, logs: &mut Reflogs, report: &mut Report) {
    if depth > MAX_DEPTH {
        report.skip(name, "the folder is nested too deep");
        return;
    }
    for entry in std::fs::read_dir(path).into_iter().flatten().flatten() {
        let child = format!("{name}/{}", name_text(entry.file_name().as_encoded_bytes()));
        match entry.file_type() {
            Ok(kind) if kind.is_dir() => folder(&entry.path(), &child, depth.saturating_add(1), logs, report),
            Ok(kind) if kind.is_file() => match bytes(&entry.path()) {
                Ok(content) => parse(&content.unwrap_or_default(), &child, logs),
                Err(error) => report.skip(child, error.to_string()),
            },
            Ok(_link) => {}
            Err(error) => report.skip(child, error.to_string()),
        }
    }
}

/// Broken lines are passed over: a reflog adds names to what is scanned anyway.
fn parse(content: &[u8], name: &str, logs: &mut Reflogs) {
    let stash = name == "logs/refs/stash";
    for line in content.split(|byte| *byte == b'\n') {
        let mut ids = line.splitn(3, |byte| *byte == b' ').take(2).map(oid_of);
        let (old, new) = (ids.next().flatten(), ids.next().flatten());
        if stash {
            // The old id of an entry is the new id of the one before, which may have been dropped.
            logs.stash.extend(new);
        } else {
            logs.named.extend(old.into_iter().chain(new));
        }
    }
}

fn oid_of(text: &[u8]) -> Option<Oid> {
    Oid::from_hex(std::str::from_utf8(text).ok()?).filter(|oid| oid.as_bytes().iter().any(|byte| *byte != 0))
}
