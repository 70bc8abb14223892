//! Files of a folder: what git would see, and `.env*` files although git ignores them.

use std::collections::{BTreeMap, BTreeSet};
use std::ffi::OsStr;
use std::fs::File;
use std::path::{Component, Path, PathBuf};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::mpsc;

use ignore::WalkBuilder;

use crate::collect::{Collector, Sighting};
use crate::stream::Searcher;
use crate::unpack::{self, Input, Parts};
use crate::{ScanError, Visibility};

/// Files that a scan adds to those of the walk, and what it says of repositories further down.
#[derive(Debug, Default)]
pub(crate) struct More {
    /// Files that count although an ignore rule names them: git tracks them.
    pub(crate) tracked: Vec<PathBuf>,
    /// Whether histories belong to the scan, so that one that is not entered is missing.
    pub(crate) histories: bool,
}

/// Scans every file below `root`. Links are not followed, and `.git` is not entered, but for its configuration.
pub(crate) fn scan(root: &Path, more: More, searcher: &Searcher<'_>, all: &mut Collector<'_>) {
    let mut files = list(root, more.histories, all);
    let tracked = more.tracked.into_iter().filter(|file| !files.contains(file) && is_inside(root, file));
    let tracked: Vec<PathBuf> = tracked.collect();
    files.extend(tracked);
    // Remotes may have a password in their URL.
    files.extend(Some(root.join(".git/config")).filter(|file| more.histories && is_file(file)));
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

/// Scans the configuration of a bare repository: remotes may have a password in their URL.
pub(crate) fn configuration(git_dir: &Path, searcher: &Searcher<'_>, all: &mut Collector<'_>) {
    let path = git_dir.join("config");
    if is_file(&path) {
        all.expect(1);
        if let Err(error) = one(&path, "config", searcher, all) {
            all.report.skip("config", error.to_string());
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

fn is_file(path: &Path) -> bool {
    std::fs::symlink_metadata(path).is_ok_and(|data| data.is_file())
}

/// Whether a path, which somebody else may have written, is a file below a folder, and not by way of a link.
fn is_inside(root: &Path, file: &Path) -> bool {
    let below = |inner: &Path| inner.components().all(|part| matches!(part, Component::Normal(_)));
    let real = |path: &Path| std::fs::canonicalize(path).ok();
    file.strip_prefix(root).is_ok_and(below)
        && is_file(file)
        && file.parent().and_then(real).zip(real(root)).is_some_and(|(parent, root)| parent.starts_with(root))
}

fn list(root: &Path, histories: bool, all: &mut Collector<'_>) -> BTreeSet<PathBuf> {
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
    let (mut entered, mut folders) = (BTreeSet::new(), BTreeSet::new());
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
            if histories && entry.depth() > 0 && is_repository(entry.path()) {
                let why = "is a repository of its own: its history was not scanned; scan it by itself";
                let name = entry.path().strip_prefix(root).unwrap_or(entry.path());
                all.report.skip(slashed(name), why);
            }
            match environment_files(entry.path()) {
                Ok((found, inner)) => {
                    files.extend(found);
                    folders.extend(inner);
                }
                Err(error) => all.report.skip(slashed(entry.path()), error.to_string()),
            }
            entered.insert(entry.into_path());
        }
    }
    for ignored in folders.difference(&entered) {
        hidden_environment_files(ignored, &mut files);
    }
    files
}

/// With a `.git` folder, or bare. A `.git` *file* belongs to a submodule or a further work tree of a repository elsewhere.
fn is_repository(folder: &Path) -> bool {
    let bare =
        || folder.join("HEAD").is_file() && folder.join("objects").is_dir() && folder.join("refs").is_dir();
    folder.join(".git").is_dir() || bare()
}

/// `.env`, `.env.production` and their like in one folder, and the folders in it.
fn environment_files(folder: &Path) -> std::io::Result<(Vec<PathBuf>, Vec<PathBuf>)> {
    let (mut found, mut folders) = (Vec::new(), Vec::new());
    for entry in std::fs::read_dir(folder)? {
        let entry = entry?;
        let kind = entry.file_type()?;
        if is_environment(&entry.file_name()) && kind.is_file() {
            found.push(entry.path());
        } else if kind.is_dir() && entry.file_name() != ".git" {
            folders.push(entry.path());
        }
    }
    Ok((found, folders))
}

/// The same anywhere below a folder that git ignores. Packages that a package manager has put there are left out.
fn hidden_environment_files(folder: &Path, files: &mut BTreeSet<PathBuf>) {
    let foreign = |name: &OsStr| name == ".git" || name == "node_modules";
    if folder.file_name().is_some_and(foreign) {
        return;
    }
    let walk = WalkBuilder::new(folder)
        .standard_filters(false)
        .follow_links(false)
        .filter_entry(move |entry| !foreign(entry.file_name()))
        .build();
    let is_wanted = |entry: &ignore::DirEntry| {
        is_environment(entry.file_name()) && entry.file_type().is_some_and(|kind| kind.is_file())
    };
    files.extend(walk.flatten().filter(is_wanted).map(ignore::DirEntry::into_path));
}

fn is_environment(name: &OsStr) -> bool {
    name.as_encoded_bytes().starts_with(b".env")
}

fn slashed(path: &Path) -> String {
    let parts: Vec<_> = path.components().map(|part| part.as_os_str().to_string_lossy()).collect();
    parts.join("/")
}
