//! What a commit would add: the index against `HEAD`, tree by tree, without a look at the rest.

use std::collections::{BTreeMap, BTreeSet};
use std::ffi::OsStr;
use std::os::unix::ffi::OsStrExt as _;
use std::path::{Path, PathBuf};

use super::database::Database;
use super::diff::{self, Met};
use super::object::{self, Commit, Mode};
use super::stage::{self, Entry, EntryKind, Stage, StageError};
use super::{Kind, Oid, Repository, refs, search};
use crate::collect::{Collector, Sighting};
use crate::finding::name_text;
use crate::stream::Searcher;
use crate::unpack::{self, Input};
use crate::{ScanError, Staged, Visibility};

/// An index that is larger than this is refused: git's own have about a hundred bytes a file.
const MAX_INDEX: u64 = 1 << 30;

/// A file that is not as in `HEAD`.
struct Changed {
    path: Vec<u8>,
    oid: Oid,
    /// What `HEAD` has at the path.
    before: Option<Oid>,
}

/// Scans what is staged and not in `HEAD`. Writes nothing.
pub(crate) fn scan(
    repository: &Repository,
    staged: &Staged,
    searcher: &Searcher<'_>,
    all: &mut Collector<'_>,
) -> Result<(), ScanError> {
    let own = repository.git_dir.join("index");
    let path = staged.index_file.as_deref().unwrap_or(&own);
    let Some(data) = read_index(path, staged.index_file.is_some())? else { return Ok(()) };
    let stage = stage::parse(&data, repository.format).map_err(|error| refused(path, error))?;
    let mut database = Database::look_up(repository, &[], &mut all.report)?;
    let head = match refs::head(repository, &mut all.report)? {
        Some(head) => Some(tree_of(head, repository, &mut database)?),
        None => None,
    };
    let mut against = Against {
        database: &mut database,
        stage: &stage,
        changed: Vec::new(),
        removed: BTreeSet::new(),
        all,
    };
    against.folder(&stage.entries, &mut Vec::new(), head);
    let Against { changed, removed, .. } = against;
    all.expect(changed.len());
    let mut old = 0_usize;
    for one in &changed {
        // The same file under another name is no new leak.
        if one.before.is_none() && removed.contains(&one.oid) {
            continue;
        }
        old = old.saturating_add(search(one, &mut database, searcher, all));
    }
    if old > 0 {
        all.report.note(format!("{old} staged secrets are left out: HEAD has them at the same path already"));
    }
    Ok(())
}

/// The files that the index names, in a work tree. An index that cannot be read is said: files that an ignore rule names may
/// be missing then.
pub(crate) fn tracked(repository: &Repository, work_tree: &Path, all: &mut Collector<'_>) -> Vec<PathBuf> {
    let path = repository.git_dir.join("index");
    let stage = read_index(&path, false).and_then(|data| {
        data.map(|data| stage::parse(&data, repository.format))
            .transpose()
            .map_err(|error| refused(&path, error))
    });
    match stage {
        Ok(stage) => {
            let entries = stage.into_iter().flat_map(|stage| stage.entries);
            let blobs = entries.filter(|entry| entry.kind == EntryKind::Blob);
            blobs.map(|entry| work_tree.join(OsStr::from_bytes(&entry.path))).collect()
        }
        Err(error) => {
            all.report
                .note(format!("files that are tracked and match an ignore rule may be left out: {error}"));
            Vec::new()
        }
    }
}

fn read_index(path: &Path, named: bool) -> Result<Option<Vec<u8>>, ScanError> {
    match std::fs::metadata(path) {
        // Before the first `git add` there is none.
        Err(error) if error.kind() == std::io::ErrorKind::NotFound && !named => return Ok(None),
        Err(error) => return Err(ScanError::read(path, error)),
        Ok(data) if data.len() > MAX_INDEX => {
            return Err(ScanError::read(path, std::io::Error::other("larger than 1 GiB")));
        }
        Ok(_data) => {}
    }
    std::fs::read(path).map(Some).map_err(|error| ScanError::read(path, error))
}

fn refused(path: &Path, error: StageError) -> ScanError {
    let hint = match error {
        StageError::Broken(_) => "`git read-tree HEAD` makes it anew; what was staged has to be staged again",
        StageError::Split => "`git update-index --no-split-index` joins them",
        StageError::UnknownPart | StageError::Version => "`git update-index --index-version 2` changes it",
    };
    ScanError::Index { path: path.to_owned(), detail: error.to_string(), hint: hint.to_owned() }
}

fn tree_of(head: Oid, repository: &Repository, database: &mut Database) -> Result<Oid, ScanError> {
    let read = database.read(head).ok().flatten().filter(|object| object.kind == Kind::Commit);
    read.and_then(|object| Commit::parse(head, &object.data)).map(|commit| commit.tree).ok_or_else(|| {
        ScanError::BrokenRepository {
            path: repository.git_dir.clone(),
            detail: format!("the commit {head} of `HEAD` cannot be read; `git fsck` says more"),
        }
    })
}

/// Searches one file; returns how many of its secrets `HEAD` has at the same path.
fn search(one: &Changed, database: &mut Database, searcher: &Searcher<'_>, all: &mut Collector<'_>) -> usize {
    let path = name_text(&one.path);
    all.advance(0, 1);
    let object = match database.read(one.oid) {
        Ok(Some(object)) if object.kind == Kind::Blob => object,
        Ok(Some(_other)) => {
            all.report.skip(path, "what is staged is no file");
            return 0;
        }
        Ok(None) => {
            all.report.skip(path, "what is staged is not in the repository; `git add` it again");
            return 0;
        }
        Err(trouble) => {
            all.report.skip(path, format!("what is staged cannot be read: {trouble}"));
            return 0;
        }
    };
    let (_, parts) = search::inside(one.oid, Input::Bytes(&object.data), searcher, all);
    all.report.files = all.report.files.saturating_add(1);
    all.report.blobs = all.report.blobs.saturating_add(1);
    all.advance(u64::try_from(object.data.len()).unwrap_or(0), 0);
    if parts.is_empty() && searcher.rules.path_rules().is_empty() {
        return 0;
    }
    // Where the old one cannot be read, everything counts as new.
    let before = one.before.and_then(|before| database.read(before).ok().flatten());
    let before = before.map(|before| search::inside(one.oid, Input::Bytes(&before.data), searcher, all).1);
    let known =
        before.iter().flatten().flat_map(|(_, hits)| hits.iter()).map(|hit| hit.fingerprint).collect();
    let mut old = 0;
    for (inner, hits) in &parts {
        let path = unpack::place(&path, inner);
        let sighting = Sighting { path: &path, commit: None, visibility: Visibility::Current };
        old += all.add_new(hits, &known, &sighting);
    }
    old
}

/// The walk of the index along the tree of `HEAD`.
struct Against<'w, 'a> {
    database: &'w mut Database,
    stage: &'w Stage,
    changed: Vec<Changed>,
    /// Blobs that `HEAD` has at paths that the index does not have.
    removed: BTreeSet<Oid>,
    all: &'w mut Collector<'a>,
}

impl Against<'_, '_> {
    /// Compares the entries of one folder (`path` ends in `/`, or is empty) with its tree in `HEAD`.
    fn folder(&mut self, entries: &[Entry], path: &mut Vec<u8>, tree: Option<Oid>) {
        if tree.is_some() && self.stage.trees.get(path.as_slice()).copied() == tree {
            return;
        }
        let mut before = self.names(tree, path);
        let mut rest = entries;
        while let Some(first) = rest.first() {
            let name = first.path.get(path.len()..).unwrap_or_default();
            let Some(end) = name.iter().position(|byte| *byte == b'/') else {
                rest = rest.get(1..).unwrap_or_default();
                // The stages of a merge have one name.
                let repeated = rest.first().is_some_and(|next| next.path == first.path);
                let old = before.get(name).filter(|(mode, _)| *mode == Mode::Blob).map(|(_, oid)| *oid);
                self.entry(first, old);
                if !repeated {
                    before.remove(name);
                }
                continue;
            };
            let length = path.len();
            path.extend_from_slice(name.get(..=end).unwrap_or_default());
            let inside = rest.iter().take_while(|entry| entry.path.starts_with(path)).count().max(1);
            let (below, after) = rest.split_at_checked(inside).unwrap_or((rest, &[]));
            let folder = name.get(..end).unwrap_or_default();
            let old = before.get(folder).filter(|(mode, _)| *mode == Mode::Tree).map(|(_, oid)| *oid);
            if old.is_some() {
                before.remove(folder);
            }
            match below {
                [one] if one.kind == EntryKind::Folder => self.sparse(one, old),
                _ => self.folder(below, path, old),
            }
            path.truncate(length);
            rest = after;
        }
        for (mode, oid) in before.into_values() {
            match mode {
                Mode::Blob => drop(self.removed.insert(oid)),
                Mode::Tree => {
                    let removed = &mut self.removed;
                    diff::new_in(self.database, oid, &[], &mut |_, met| {
                        if let Met::Blob(oid) = met {
                            removed.insert(oid);
                        }
                    });
                }
                Mode::Submodule => {}
            }
        }
    }

    fn entry(&mut self, entry: &Entry, before: Option<Oid>) {
        match entry.kind {
            EntryKind::Blob if before != Some(entry.oid) => {
                self.changed.push(Changed { path: entry.path.clone(), oid: entry.oid, before });
            }
            EntryKind::Blob | EntryKind::Intended | EntryKind::Submodule => {}
            EntryKind::Folder => {
                self.all.report.skip(name_text(&entry.path), "the index has a folder as a file")
            }
        }
    }

    /// A folder that is one entry, since nothing of it is checked out.
    fn sparse(&mut self, entry: &Entry, before: Option<Oid>) {
        let mut blobs = Vec::new();
        let mut unread = Vec::new();
        let others: Vec<Oid> = before.into_iter().collect();
        diff::new_in(self.database, entry.oid, &others, &mut |path, met| match met {
            Met::Blob(oid) => blobs.push((path.to_vec(), oid)),
            Met::Submodule => {}
            Met::Unread(oid, why) => unread.push((oid, why.to_owned())),
        });
        for (oid, why) in unread {
            self.all.report.skip(oid.to_string(), why);
        }
        for (path, oid) in blobs {
            let before = before.and_then(|tree| diff::at_path(self.database, tree, &path).ok().flatten());
            self.changed.push(Changed { path: [entry.path.as_slice(), &path].concat(), oid, before });
        }
    }

    fn names(&mut self, tree: Option<Oid>, path: &[u8]) -> BTreeMap<Vec<u8>, (Mode, Oid)> {
        let Some(tree) = tree else { return BTreeMap::new() };
        match diff::read(self.database, tree) {
            Ok(object) => object::entries(&object.data, self.database.format)
                .filter_map(Result::ok)
                .map(|entry| (entry.name.to_vec(), (entry.mode, entry.oid)))
                .collect(),
            Err(why) => {
                // Everything below counts as new: too much is searched then, never too little.
                self.all.report.skip(format!("HEAD:{}", name_text(path)), why);
                BTreeMap::new()
            }
        }
    }
}
