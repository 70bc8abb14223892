//! Log objects and what became of each: nothing is ever dropped without being counted.

use std::collections::{BTreeMap, BTreeSet};
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use crate::format::Format;
use crate::layout::Delivery;
use crate::signature;

/// A file or stored object with log records in it.
#[derive(Clone, Debug)]
pub struct Object {
    /// The name that people see: the path under what they named.
    pub name: String,
    /// Bytes as stored.
    pub size: u64,
    /// What its name tells, if it is one of CloudTrail's.
    pub delivery: Option<Delivery>,
    /// The signature in the metadata of a stored digest, in hex, if where it comes from told it; copies on a disk have none.
    pub signature: Option<String>,
    /// Where it is read from.
    pub(crate) path: PathBuf,
    /// Why it cannot be read at all: it is no file.
    pub(crate) problem: Option<String>,
    /// Device and number, by which a file that is named twice is known.
    id: (u64, u64),
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
        self.sort();
    }

    /// Puts names into order, so that it does not matter who came first.
    pub(crate) fn sort(&mut self) {
        self.cut_off.sort();
        self.problems.sort_by(|a, b| a.object.cmp(&b.object));
        self.problems.truncate(Self::NAMED);
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
    let mut objects = Vec::new();
    for path in paths {
        let error = |source| ListError { path: path.display().to_string(), source };
        if std::fs::metadata(path).map_err(error)?.is_dir() {
            folder(path, &mut objects)?;
        } else {
            let name =
                path.file_name().map_or_else(|| path.display().to_string(), |it| it.to_string_lossy().into());
            objects.push(Object::of(name, path.clone()));
        }
    }
    objects.sort_by(|a, b| (&a.name, &a.path).cmp(&(&b.name, &b.path)));
    let mut seen = BTreeSet::new();
    objects.retain(|object| object.problem.is_some() || seen.insert(object.id));
    Ok(objects)
}

fn folder(root: &Path, objects: &mut Vec<Object>) -> Result<(), ListError> {
    let mut waiting = vec![root.to_owned()];
    while let Some(folder) = waiting.pop() {
        let error = |source| ListError { path: folder.display().to_string(), source };
        for entry in std::fs::read_dir(&folder).map_err(error)? {
            let entry = entry.map_err(error)?;
            let path = entry.path();
            if entry.file_type().map_err(error)?.is_dir() {
                waiting.push(path);
                continue;
            }
            // Bytes that are no UTF-8 are shown as replacement characters; the path itself is kept.
            let name = path.strip_prefix(root).unwrap_or(&path).to_string_lossy().into_owned();
            objects.push(Object::of(name, path));
        }
    }
    Ok(())
}

impl Object {
    fn of(name: String, path: PathBuf) -> Self {
        let (size, id, problem) = match std::fs::metadata(&path) {
            Ok(it) if it.is_file() => (it.len(), (it.dev(), it.ino()), None),
            Ok(it) if it.is_dir() => {
                (0, (0, 0), Some("it is a link to a folder: name that folder".to_owned()))
            }
            Ok(_) => (0, (0, 0), Some("it is not a file".to_owned())),
            Err(error) => (0, (0, 0), Some(error.to_string())),
        };
        Self { delivery: Delivery::of(&name), signature: None, name, size, path, problem, id }
    }

    /// Whether it is a file with the signature of a digest, which lies beside that.
    pub(crate) fn is_signature(&self) -> bool {
        self.delivery.as_ref().is_some_and(|it| it.digest) && signature::digest_of(&self.name).is_some()
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
        let told: Vec<(&str, bool)> = all.iter().map(|it| (it.name.as_str(), it.problem.is_some())).collect();
        assert_eq!(told, [("a.log", false), ("b.log", false), ("c.log", true), ("d", true)]);
    }
}
