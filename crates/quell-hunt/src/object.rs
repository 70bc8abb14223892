//! Log objects and what became of each: nothing is ever dropped without being counted.

use std::collections::{BTreeMap, BTreeSet};
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use serde::{Deserialize, Serialize};

use crate::format::Format;
use crate::layout::{Delivery, Streams};
use crate::signature;
use crate::source::{Fetch, Source, Store};

/// A file or stored object with log records in it. A hunt holds all of them in memory, a million perhaps: it is small, and what many
/// have in common is shared.
#[derive(Clone, Debug)]
pub struct Object {
    /// The name that people see: the path under what they named.
    pub name: Box<str>,
    /// Bytes as stored.
    pub size: u64,
    /// What its name tells, if it is one of CloudTrail's.
    pub delivery: Option<Delivery>,
    /// Where it is read from, with all others that lie there.
    pub(crate) source: Arc<Source>,
    /// What is special about it there.
    pub(crate) place: Place,
}

/// Where in its source an object is.
#[derive(Clone, Debug)]
pub(crate) enum Place {
    /// At its name.
    Named,
    /// At a path whose bytes are no UTF-8, so that its name shows it with replacement characters.
    Odd(Box<Path>),
    /// Nowhere, and why: it is no file.
    Nowhere(Box<str>),
    /// In a store, in this version.
    Stored(Box<str>),
}

/// What became of an object: exactly one of these.
#[derive(Clone, Debug, Deserialize, Eq, PartialEq, Serialize)]
#[serde(rename_all = "kebab-case", tag = "fate", content = "why")]
pub enum Fate {
    /// Read to its end and searched.
    Scanned,
    /// Not opened: by its name it lies outside of the window, account or region.
    Pruned,
    /// It could not be opened or read.
    Unreadable(String),
    /// It could be read, but is damaged or cut off.
    Corrupt(String),
    /// More than this program is willing to unpack or hold.
    TooLarge(String),
    /// No log in any format that is known.
    WrongFormat(String),
}

impl Fate {
    /// Why it was not searched to its end, for an object that was meant to be.
    pub fn why(&self) -> Option<&str> {
        match self {
            Self::Scanned | Self::Pruned => None,
            Self::Unreadable(why) | Self::Corrupt(why) | Self::TooLarge(why) | Self::WrongFormat(why) => {
                Some(why)
            }
        }
    }

    /// The word for people.
    pub fn word(&self) -> &'static str {
        match self {
            Self::Scanned => "scanned",
            Self::Pruned => "pruned",
            Self::Unreadable(_) => "unreadable",
            Self::Corrupt(_) => "corrupt",
            Self::TooLarge(_) => "too large",
            Self::WrongFormat(_) => "wrong format",
        }
    }
}

/// How much was looked at. The counts of objects add up to `objects`.
#[derive(Clone, Debug, Default, Deserialize, Eq, PartialEq, Serialize)]
pub struct Coverage {
    /// All that were named.
    pub objects: u64,
    /// By what became of them.
    pub scanned: u64,
    /// See [`Fate`].
    pub pruned: u64,
    /// See [`Fate`].
    pub unreadable: u64,
    /// See [`Fate`].
    pub corrupt: u64,
    /// See [`Fate`].
    pub too_large: u64,
    /// See [`Fate`].
    pub wrong_format: u64,
    /// Bytes as stored of what was opened.
    pub bytes_read: u64,
    /// The same, unpacked.
    pub bytes_searched: u64,
    /// Scanned objects by format.
    pub formats: BTreeMap<Format, u64>,
    /// Records that hold the credential but that nobody could read, kept as text.
    pub unparsed: u64,
    /// Records that were delivered twice, counted once.
    pub duplicates: u64,
    /// Objects that end in the middle of a line, as after a crash.
    pub cut_off: Vec<String>,
    /// Folders of buckets that were not listed, as nothing in them is asked for: what is in them is in no count.
    pub not_listed: u64,
    /// The first of them.
    pub not_listed_folders: Vec<String>,
    /// The first objects that were not searched to their end, by name; the counts above tell of all.
    pub problems: Vec<Problem>,
}

/// An object that was not searched to its end.
#[derive(Clone, Debug, Deserialize, Eq, PartialEq, Serialize)]
pub struct Problem {
    /// Its name.
    pub object: String,
    /// What became of it.
    #[serde(flatten)]
    pub fate: Fate,
}

impl Coverage {
    /// Problems that are named.
    const NAMED: usize = 100;

    pub(crate) fn add(&mut self, name: &str, fate: &Fate) {
        self.objects += 1;
        match fate {
            Fate::Scanned => self.scanned += 1,
            Fate::Pruned => self.pruned += 1,
            Fate::Unreadable(_) => self.unreadable += 1,
            Fate::Corrupt(_) => self.corrupt += 1,
            Fate::TooLarge(_) => self.too_large += 1,
            Fate::WrongFormat(_) => self.wrong_format += 1,
        }
        if fate.why().is_some() && self.problems.len() < Self::NAMED {
            self.problems.push(Problem { object: name.to_owned(), fate: fate.clone() });
        }
    }

    /// Adds what another part of the same objects came to.
    pub(crate) fn take(&mut self, other: Self) {
        self.objects += other.objects;
        self.scanned += other.scanned;
        self.pruned += other.pruned;
        self.unreadable += other.unreadable;
        self.corrupt += other.corrupt;
        self.too_large += other.too_large;
        self.wrong_format += other.wrong_format;
        self.bytes_read += other.bytes_read;
        self.bytes_searched += other.bytes_searched;
        for (format, count) in other.formats {
            *self.formats.entry(format).or_default() += count;
        }
        self.unparsed += other.unparsed;
        self.duplicates += other.duplicates;
        self.cut_off.extend(other.cut_off);
        self.problems.extend(other.problems);
        // Each part leaves out the same folders.
        if other.not_listed > self.not_listed {
            (self.not_listed, self.not_listed_folders) = (other.not_listed, other.not_listed_folders);
        }
        self.sort();
    }

    /// Puts names into order, so that it does not matter who came first.
    pub(crate) fn sort(&mut self) {
        self.cut_off.sort();
        self.problems.sort_by(|a, b| a.object.cmp(&b.object));
        self.problems.truncate(Self::NAMED);
    }

    /// Takes note of folders that were not listed.
    pub fn leave_out(&mut self, folders: &[String]) {
        self.not_listed += folders.len() as u64;
        self.not_listed_folders = folders.iter().take(Self::NAMED).cloned().collect();
    }

    pub(crate) fn add_format(&mut self, format: Format) {
        *self.formats.entry(format).or_default() += 1;
    }

    /// Objects that should have been searched and were not, or not to their end.
    pub fn not_searched(&self) -> u64 {
        self.unreadable + self.corrupt + self.too_large + self.wrong_format
    }
}

/// What a source names that is not there.
#[derive(Debug, thiserror::Error)]
#[error("cannot list `{path}`: {source}")]
pub struct ListError {
    path: String,
    source: std::io::Error,
}

/// All files under these paths, in the order of their names, each once. Links to files are followed; a link to a folder and whatever
/// else is no file is listed as what cannot be read.
///
/// # Errors
/// When a path is not there or a folder cannot be listed: an answer without it would be taken for a whole one.
pub fn list(paths: &[PathBuf]) -> Result<Vec<Object>, ListError> {
    let mut found = Files::default();
    for path in paths {
        let error = |source| ListError { path: path.display().to_string(), source };
        if std::fs::metadata(path).map_err(error)?.is_dir() {
            found.folder(path)?;
        } else {
            let source = Arc::new(Source::Folder(path.parent().unwrap_or(Path::new("")).to_owned()));
            let name = path.file_name().map_or(path.as_path(), Path::new);
            found.add(&source, name, path);
        }
    }
    let Files { mut objects, .. } = found;
    sort(&mut objects);
    Ok(objects)
}

/// Puts objects into the order in which they are searched and told: that of their names, and of two that are alike that of their sources.
pub fn sort(objects: &mut [Object]) {
    // Stable: what is alike stays in the order in which it was named.
    objects.sort_by(|a, b| a.name.cmp(&b.name));
}

/// What was found so far.
#[derive(Default)]
struct Files {
    objects: Vec<Object>,
    streams: Streams,
    /// Device and number of each, by which a file that is named twice is known.
    seen: BTreeSet<(u64, u64)>,
}

impl Files {
    fn folder(&mut self, root: &Path) -> Result<(), ListError> {
        let source = Arc::new(Source::Folder(root.to_owned()));
        let mut waiting = vec![root.to_owned()];
        while let Some(folder) = waiting.pop() {
            let error = |source| ListError { path: folder.display().to_string(), source };
            for entry in std::fs::read_dir(&folder).map_err(error)? {
                let entry = entry.map_err(error)?;
                let path = entry.path();
                if entry.file_type().map_err(error)?.is_dir() {
                    waiting.push(path);
                } else {
                    self.add(&source, path.strip_prefix(root).unwrap_or(&path), &path);
                }
            }
        }
        Ok(())
    }

    fn add(&mut self, source: &Arc<Source>, name: &Path, path: &Path) {
        let shown = name.to_string_lossy();
        let whole = if name.to_str().is_some() { Place::Named } else { Place::Odd(path.into()) };
        let (size, place) = match std::fs::metadata(path) {
            Ok(it) if it.is_file() => {
                if !self.seen.insert((it.dev(), it.ino())) {
                    return;
                }
                (it.len(), whole)
            }
            Ok(it) if it.is_dir() => (0, Place::Nowhere("it is a link to a folder: name that folder".into())),
            Ok(_) => (0, Place::Nowhere("it is not a file".into())),
            Err(error) => (0, Place::Nowhere(error.to_string().into())),
        };
        self.objects.push(Object {
            delivery: self.streams.delivery(&shown),
            name: shown.into(),
            size,
            source: Arc::clone(source),
            place,
        });
    }
}

/// Objects of a store, as they are listed.
#[derive(Debug)]
pub struct Listing {
    source: Arc<Source>,
    objects: Vec<Object>,
    streams: Streams,
}

impl Listing {
    /// None yet.
    pub fn new(store: Arc<dyn Store>) -> Self {
        Self { source: Arc::new(Source::Store(store)), objects: Vec::new(), streams: Streams::default() }
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.objects.is_empty()
    }

    /// All of them; see [`sort`].
    pub fn finish(self) -> Vec<Object> {
        self.objects
    }

    /// One more, with what [`Store::fetch`] is asked for.
    pub fn add(&mut self, name: &str, size: u64, version: &str) {
        self.objects.push(Object {
            delivery: self.streams.delivery(name),
            name: name.into(),
            size,
            source: Arc::clone(&self.source),
            place: Place::Stored(version.into()),
        });
    }
}

impl Object {
    /// Begins to fetch it, if it lies in a store.
    pub(crate) fn fetch(&self) -> Option<Fetch> {
        match (&self.place, &*self.source) {
            (Place::Stored(version), Source::Store(store)) => {
                Some(store.fetch(&self.name, self.size, version))
            }
            (Place::Stored(_) | Place::Named | Place::Nowhere(_) | Place::Odd(_), _) => None,
        }
    }

    /// What its store holds about it beside its bytes; asks and waits. Files have nothing of the kind.
    pub(crate) fn metadata(&self, key: &str) -> Option<String> {
        match &*self.source {
            Source::Store(store) => store.metadata(&self.name, key),
            Source::Folder(_) => None,
        }
    }

    /// Whether it is a file with the signature of a digest, which lies beside that.
    pub(crate) fn is_signature(&self) -> bool {
        self.delivery.as_ref().is_some_and(|it| it.digest) && signature::digest_of(&self.name).is_some()
    }

    /// The file that it is, or why it is none.
    pub(crate) fn path(&self) -> Result<PathBuf, Fate> {
        match (&self.place, &*self.source) {
            (Place::Nowhere(why), _) => Err(Fate::Unreadable(why.to_string())),
            (Place::Odd(path), _) => Ok(path.to_path_buf()),
            (Place::Named, Source::Folder(root)) => Ok(root.join(&*self.name)),
            (Place::Stored(_), _) | (Place::Named, Source::Store(_)) => {
                Err(Fate::Unreadable("it is no file".to_owned()))
            }
        }
    }

    /// What tells this version of it from others; `None` if nothing does. Of a file the times of its content and of its place, its
    /// number and its size, as they are now; of an object in a store what was listed.
    pub(crate) fn version(&self) -> Option<String> {
        if let Place::Stored(version) = &self.place {
            return (!version.is_empty()).then(|| format!("stored {} {version}", self.size));
        }
        let it = std::fs::metadata(self.path().ok()?).ok()?;
        let (modified, changed) = ((it.mtime(), it.mtime_nsec()), (it.ctime(), it.ctime_nsec()));
        Some(format!("file {} {} {modified:?} {changed:?}", it.len(), it.ino()))
    }

    /// Whether it lies in a store, where to read it takes a request.
    pub fn is_stored(&self) -> bool {
        matches!(*self.source, Source::Store(_))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn links_are_followed_and_nothing_is_left_out() {
        let folder = tempfile::tempdir().unwrap();
        let at = |name: &str| folder.path().join(name);
        std::fs::create_dir(at("logs")).unwrap();
        std::fs::create_dir(at("other")).unwrap();
        std::fs::write(at("logs/a.log"), "x").unwrap();
        std::fs::write(at("real.log"), "y").unwrap();
        std::os::unix::fs::symlink(at("real.log"), at("logs/b.log")).unwrap();
        std::os::unix::fs::symlink(at("nowhere"), at("logs/c.log")).unwrap();
        std::os::unix::fs::symlink(at("other"), at("logs/d")).unwrap();
        let all = list(&[at("logs"), at("logs/a.log"), at("real.log")]).unwrap();
        let told: Vec<(&str, bool)> = all.iter().map(|it| (&*it.name, it.path().is_err())).collect();
        assert_eq!(told, [("a.log", false), ("b.log", false), ("c.log", true), ("d", true)]);
    }
}
