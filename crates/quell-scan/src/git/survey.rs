//! What is not an object and yet worth saying: submodules, git-lfs pointers, and objects that `HEAD` names and nobody has.

use std::collections::BTreeSet;

use ignore::gitignore::{Gitignore, GitignoreBuilder};

use super::database::Database;
use super::diff::{self, Met};
use super::{Kind, Oid};
use crate::Report;
use crate::finding::name_text;

/// The first line of a pointer: <https://github.com/git-lfs/git-lfs/blob/main/docs/spec.md>.
const POINTER: &[u8] = b"version https://git-lfs.github.com/spec/v1";

/// Files of attributes that are read at most, and lines of each.
const MAX_ATTRIBUTES: usize = 1000;

/// Submodules that are named at most; the rest is counted.
const MAX_SUBMODULES: usize = 100;

#[derive(Default)]
struct Seen {
    files: Vec<(Vec<u8>, Oid)>,
    submodules: Vec<String>,
    unread: Vec<(Oid, String)>,
}

/// Looks through the tree of `HEAD`. Returns what it names and is not here, which is told already.
pub(super) fn head(database: &mut Database, tree: Oid, report: &mut Report) -> BTreeSet<Oid> {
    let mut seen = Seen::default();
    diff::new_in(database, tree, &[], &mut |path, met| match met {
        Met::Blob(oid) => seen.files.push((path.to_vec(), oid)),
        Met::Submodule => seen.submodules.push(name_text(path)),
        Met::Unread(oid, why) => seen.unread.push((oid, why.to_owned())),
    });
    for (oid, why) in &seen.unread {
        report.skip(oid.to_string(), why);
    }
    let mut missing = BTreeSet::new();
    for (path, oid) in &seen.files {
        if !database.has(*oid) && missing.insert(*oid) {
            report.skip(oid.to_string(), format!("`{}` is not here{}", name_text(path), database.advice()));
        }
    }
    let more = seen.submodules.len().saturating_sub(MAX_SUBMODULES);
    for path in seen.submodules.iter().take(MAX_SUBMODULES) {
        report.note(format!("submodule at {path} is not entered"));
    }
    if more > 0 {
        report.note(format!("{more} more submodules are not entered"));
    }
    let pointers = pointers(database, &seen.files);
    if pointers > 0 {
        report.note(format!("{pointers} git-lfs pointers: their content is not in the repository"));
    }
    missing
}

/// Counts the pointers among the files that attributes give to git-lfs.
fn pointers(database: &mut Database, files: &[(Vec<u8>, Oid)]) -> usize {
    let mut filters: Vec<(Vec<u8>, Gitignore)> = Vec::new();
    let attributes = files.iter().filter(|(path, _)| name_of(path) == b".gitattributes");
    for (path, oid) in attributes.take(MAX_ATTRIBUTES) {
        let folder = path.get(..path.len().saturating_sub(b".gitattributes".len())).unwrap_or_default();
        filters.extend(
            blob(database, *oid).and_then(|text| filter(&text)).map(|filter| (folder.to_vec(), filter)),
        );
    }
    if filters.is_empty() {
        return 0;
    }
    let managed = |path: &[u8]| {
        filters.iter().any(|(folder, filter)| {
            path.strip_prefix(folder.as_slice())
                .and_then(|path| std::str::from_utf8(path).ok())
                .is_some_and(|path| filter.matched_path_or_any_parents(path, false).is_ignore())
        })
    };
    files
        .iter()
        .filter(|(path, _)| managed(path))
        .filter(|(_, oid)| blob(database, *oid).is_some_and(|content| content.starts_with(POINTER)))
        .count()
}

fn name_of(path: &[u8]) -> &[u8] {
    path.rsplit(|byte| *byte == b'/').next().unwrap_or_default()
}

fn blob(database: &mut Database, oid: Oid) -> Option<std::sync::Arc<[u8]>> {
    let object = database.read(oid).ok().flatten()?;
    (object.kind == Kind::Blob).then_some(object.data)
}

/// The patterns of a `.gitattributes` that say `filter=lfs`; they are written as in `.gitignore`, and the last one counts.
fn filter(text: &[u8]) -> Option<Gitignore> {
    let text = std::str::from_utf8(text).ok().filter(|text| text.contains("filter=lfs"))?;
    let mut builder = GitignoreBuilder::new("");
    for line in text.lines().take(MAX_ATTRIBUTES) {
        let mut words = line.split_whitespace();
        let Some(pattern) = words.next().filter(|pattern| !pattern.starts_with(['#', '!', '"'])) else {
            continue;
        };
        let pattern = pattern.replace("[[:space:]]", " ");
        for word in words {
            let line = match word {
                "filter=lfs" => pattern.clone(),
                "-filter" | "!filter" => format!("!{pattern}"),
                _ => continue,
            };
            drop(builder.add_line(None, &line));
        }
    }
    builder.build().ok()
}
