//! Files of a folder: what git would see, and `.env*` files although git ignores them.

use std::collections::{BTreeMap, BTreeSet};
use std::ffi::OsStr;
use std::fs::File;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::mpsc;

use ignore::WalkBuilder;

use crate::collect::{Collector, Sighting};
use crate::stream::Searcher;
use crate::unpack::{self, Input, Parts};
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
                    drop(tell.send((number, look(file, searcher))));
                }
            });
        }
        drop(tell);
        // Outcomes are added in the order of the names, however the threads came by.
        let mut early = BTreeMap::new();
        let mut names = names.iter().enumerate().peekable();
        for part in told {
            let (number, outcome) = part;
            early.insert(number, outcome);
            while let Some(((_, (_, path)), outcome)) = names
                .peek()
                .and_then(|(number, _)| early.remove(number))
                .and_then(|done| Some((names.next()?, done)))
            {
                if let Err(error) = settle(path, outcome, all) {
                    all.report.skip(path, error.to_string());
                }
            }
        }
    });
}

/// What a thread tells of a file: what is in it, and how far it was read.
type Told = std::io::Result<(Parts, unpack::Outcome)>;

fn look(file: &Path, searcher: &Searcher<'_>) -> Told {
    let mut file = File::open(file)?;
    let mut parts = Parts::default();
    let outcome = unpack::scan(Input::File(&mut file), searcher, &searcher.limits, &mut parts);
    Ok((parts, outcome))
}

fn settle(path: &str, told: Told, all: &mut Collector<'_>) -> std::io::Result<()> {
    let sighting = Sighting { path, commit: None, visibility: Visibility::Current };
    let (parts, outcome) = match told {
        Ok(told) => told,
        Err(error) => {
            all.advance(0, 1);
            return Err(error);
        }
    };
    all.advance(parts.bytes, 1);
    all.add_parts(parts, &sighting);
    if let Some(error) = outcome.error {
        return Err(error);
    }
    all.report.files = all.report.files.saturating_add(1);
    Ok(())
}

/// Scans a single file under the name `path`.
pub(crate) fn file(file: &Path, searcher: &Searcher<'_>, all: &mut Collector<'_>) -> Result<(), ScanError> {
    let name = file.file_name().map_or_else(|| slashed(file), |name| slashed(Path::new(name)));
    all.expect(1);
    one(file, &name, searcher, all).map_err(|error| ScanError::read(file, error))
}

fn one(file: &Path, path: &str, searcher: &Searcher<'_>, all: &mut Collector<'_>) -> std::io::Result<()> {
    let mut reader = File::open(file)?;
    let sighting = Sighting { path, commit: None, visibility: Visibility::Current };
    let outcome = all.unpack(Input::File(&mut reader), searcher, &sighting);
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
