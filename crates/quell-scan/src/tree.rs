//! Files of a folder: what git would see, and `.env*` files although git ignores them.

use std::collections::BTreeSet;
use std::ffi::OsStr;
use std::fs::File;
use std::path::{Path, PathBuf};

use ignore::WalkBuilder;

use crate::collect::{Collector, Sighting};
use crate::stream::Searcher;
use crate::unpack::Input;
use crate::{ScanError, Visibility};

/// Scans every file below `root`. Links are not followed, and `.git` is not entered.
pub(crate) fn scan(root: &Path, searcher: &Searcher<'_>, all: &mut Collector<'_>) {
    let files = list(root, all);
    all.expect(files.len());
    for file in files {
        let relative = file.strip_prefix(root).unwrap_or(&file);
        let path = slashed(relative);
        if let Err(error) = one(&file, &path, searcher, all) {
            all.report.skip(path, error.to_string());
        }
    }
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
