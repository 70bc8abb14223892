//! Files of a folder: what git would see, and `.env*` files although git ignores them.

use std::collections::{BTreeMap, BTreeSet};
use std::ffi::OsStr;
use std::fs::File;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::mpsc;

use ignore::WalkBuilder;

use crate::collect::{Collector, Sighting};
use crate::stream::{Outcome, Searcher};
use crate::{ScanError, Visibility};

/// Scans every file below `root`. Links are not followed, and `.git` is not entered.
pub(crate) fn scan(root: &Path, searcher: &Searcher<'_>, all: &mut Collector<'_>) {
    let files = list(root, all);
    all.expect(files.len());
    let names: Vec<(PathBuf, String)> = files
        .into_iter()
        .map(|file| {
            let path = slashed(file.strip_prefix(root).unwrap_or(&file));
            (file, path)
        })
        .collect();
    let (next, (tell, told)) = (AtomicUsize::new(0), mpsc::sync_channel(64));
    std::thread::scope(|scope| {
        for _ in 0..searcher.threads.clamp(1, names.len().max(1)) {
            let (tell, next, names) = (tell.clone(), &next, &names);
            scope.spawn(move || {
                loop {
                    let number = next.fetch_add(1, Ordering::Relaxed);
                    let Some((file, _)) = names.get(number) else { break };
                    let mut on_bytes = |bytes| drop(tell.send(Told::Bytes(bytes)));
                    let outcome = File::open(file).map(|mut file| searcher.reader(&mut file, &mut on_bytes));
                    drop(tell.send(Told::Done(number, outcome)));
                }
            });
        }
        drop(tell);
        // Outcomes are added in the order of the names, however the threads came by.
        let mut early = BTreeMap::new();
        let mut names = names.iter().enumerate().peekable();
        for part in told {
            match part {
                Told::Bytes(bytes) => all.advance(bytes, 0),
                Told::Done(number, outcome) => drop(early.insert(number, outcome)),
            }
            while let Some(((_, (_, path)), outcome)) = names
                .peek()
                .and_then(|(number, _)| early.remove(number))
                .and_then(|done| Some((names.next()?, done)))
            {
                if let Err(error) = outcome.and_then(|outcome| settle(path, outcome, all)) {
                    all.report.skip(path, error.to_string());
                }
            }
        }
    });
}

/// What a thread tells of the files that it searches.
enum Told {
    Bytes(u64),
    Done(usize, std::io::Result<Outcome>),
}

/// Scans a single file under the name `path`.
pub(crate) fn file(file: &Path, searcher: &Searcher<'_>, all: &mut Collector<'_>) -> Result<(), ScanError> {
    let name = file.file_name().map_or_else(|| slashed(file), |name| slashed(Path::new(name)));
    all.expect(1);
    one(file, &name, searcher, all).map_err(|error| ScanError::read(file, error))
}

fn one(file: &Path, path: &str, searcher: &Searcher<'_>, all: &mut Collector<'_>) -> std::io::Result<()> {
    let outcome = searcher.reader(&mut File::open(file)?, &mut |bytes| all.advance(bytes, 0));
    settle(path, outcome, all)
}

fn settle(path: &str, outcome: Outcome, all: &mut Collector<'_>) -> std::io::Result<()> {
    all.add_all(&outcome.hits, &Sighting { path, commit: None, visibility: Visibility::Current });
    all.advance(0, 1);
    if let Some(error) = outcome.error {
        return Err(error);
    }
    all.report.files = all.report.files.saturating_add(1);
    Ok(())
}

fn list(root: &Path, all: &mut Collector<'_>) -> BTreeSet<PathBuf> {
    // `.ignore` files and the user's global git settings do not count: a scan must not depend on who runs it, and only
    // what git ignores too was meant to stay out of the repository.
    let walk = WalkBuilder::new(root)
        .hidden(false)
        .ignore(false)
        .git_global(false)
        .follow_links(false)
        .filter_entry(|entry| entry.file_name() != OsStr::new(".git"))
        .build();
    let mut files = BTreeSet::new();
    for entry in walk {
        let entry = match entry {
            Ok(entry) => entry,
            Err(error) => {
                all.report.skip(root.display().to_string(), error.to_string());
                continue;
            }
        };
        let Some(kind) = entry.file_type() else { continue };
        if kind.is_file() {
            files.insert(entry.into_path());
        } else if kind.is_dir() {
            match environment_files(entry.path()) {
                Ok(found) => files.extend(found),
                Err(error) => all.report.skip(slashed(entry.path()), error.to_string()),
            }
        }
    }
    files
}

/// `.env`, `.env.production` and their like in one folder.
fn environment_files(folder: &Path) -> std::io::Result<Vec<PathBuf>> {
    let mut found = Vec::new();
    for entry in std::fs::read_dir(folder)? {
        let entry = entry?;
        if entry.file_name().as_encoded_bytes().starts_with(b".env") && entry.file_type()?.is_file() {
            found.push(entry.path());
        }
    }
    Ok(found)
}

fn slashed(path: &Path) -> String {
    let parts: Vec<_> = path.components().map(|part| part.as_os_str().to_string_lossy()).collect();
    parts.join("/")
}
