//! All objects of a repository: its own and those of its alternates.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

use flate2::Decompress;

use super::cache::{Cache, Object};
use super::pack::Pack;
use super::repository::text;
use super::{MAX_IN_MEMORY, ObjectFormat, Oid, Repository, Trouble, loose};
use crate::{Report, ScanError};

/// Alternates of alternates are followed this far, as git does.
const MAX_ALTERNATES: usize = 5;

/// Everything that can be read.
#[derive(Debug)]
pub(super) struct Database {
    pub(super) packs: Vec<Pack>,
    /// Loose objects with the file that holds each.
    pub(super) loose: Vec<(Oid, PathBuf)>,
    pub(super) cache: Cache,
    pub(super) state: Decompress,
    pub(super) format: ObjectFormat,
}

impl Database {
    pub(super) fn open(repository: &Repository, report: &mut Report) -> Result<Self, ScanError> {
        let mut database = Self {
            packs: Vec::new(),
            loose: Vec::new(),
            cache: Cache::default(),
            state: Decompress::new(true),
            format: repository.format,
        };
        for folder in object_folders(&repository.common_dir.join("objects"), report)? {
            database.list_loose(&folder, report)?;
            database.open_packs(&folder, report);
        }
        database.loose.sort();
        database.loose.dedup_by_key(|(oid, _)| *oid);
        if text(&repository.common_dir.join("shallow"))?.is_some_and(|shallow| !shallow.trim().is_empty()) {
            report.skip(
                "history",
                "this is a shallow clone: older commits are not here; fetch with `--unshallow`",
            );
        }
        Ok(database)
    }

    /// An object, or `None` when the repository does not have it.
    pub(super) fn read(&mut self, oid: Oid) -> Result<Option<Object>, Trouble> {
        if let Ok(at) = self.loose.binary_search_by(|(name, _)| name.cmp(&oid)) {
            let file = self.loose.get(at).map(|(_, file)| loose::open(file)).transpose()?;
            let object =
                file.map(|file| Ok(Object { kind: file.kind, data: file.read(MAX_IN_MEMORY)?.into() }));
            return object.transpose();
        }
        for (number, pack) in self.packs.iter().enumerate() {
            if let Some(offset) = pack.index.find(oid) {
                return pack.read(number, offset, &mut self.cache, &mut self.state).map(Some);
            }
        }
        Ok(None)
    }

    fn list_loose(&mut self, objects: &Path, report: &mut Report) -> Result<(), ScanError> {
        let failed = |error| ScanError::read(objects, error);
        for entry in std::fs::read_dir(objects).map_err(failed)? {
            let entry = entry.map_err(failed)?;
            let name = entry.file_name().to_string_lossy().into_owned();
            if name.len() != 2 || !name.bytes().all(|byte| byte.is_ascii_hexdigit()) {
                continue;
            }
            let files = match std::fs::read_dir(entry.path()) {
                Ok(files) => files,
                Err(error) => {
                    report.skip(format!("objects/{name}"), error.to_string());
                    continue;
                }
            };
            for file in files.flatten() {
                // Anything else here is a file that git was about to rename.
                if let Some(oid) = Oid::from_hex(&format!("{name}{}", file.file_name().to_string_lossy())) {
                    self.loose.push((oid, loose::path(objects, oid)));
                }
            }
        }
        Ok(())
    }

    fn open_packs(&mut self, objects: &Path, report: &mut Report) {
        let folder = objects.join("pack");
        let mut names: BTreeSet<PathBuf> = BTreeSet::new();
        for entry in std::fs::read_dir(&folder).into_iter().flatten() {
            match entry {
                Ok(entry) => drop(names.insert(entry.path())),
                Err(error) => report.skip("objects/pack", error.to_string()),
            }
        }
        let has_extension = |path: &Path, wanted: &str| path.extension().is_some_and(|found| found == wanted);
        for path in &names {
            let label = path.file_name().map(|name| name.to_string_lossy().into_owned()).unwrap_or_default();
            if has_extension(path, "pack") && !names.contains(&path.with_extension("idx")) {
                report.skip(label, "the pack has no index; `git index-pack` makes one");
            } else if has_extension(path, "promisor") {
                report.skip(label, "this is a partial clone: what was never fetched is not here");
            } else if has_extension(path, "idx") {
                match Pack::open(path, self.format) {
                    Ok(pack) => self.packs.push(pack),
                    Err(trouble) => report.skip(label, trouble.to_string()),
                }
            }
        }
    }
}

/// The repository's own object folder and its alternates, each once: <https://git-scm.com/docs/gitrepository-layout>.
fn object_folders(own: &Path, report: &mut Report) -> Result<Vec<PathBuf>, ScanError> {
    let mut seen = BTreeSet::new();
    let mut folders = Vec::new();
    let mut level = vec![own.to_owned()];
    for depth in 0..=MAX_ALTERNATES {
        let mut next = Vec::new();
        for folder in std::mem::take(&mut level) {
            let Ok(real) = folder.canonicalize() else {
                report.skip(folder.display().to_string(), "this alternate object folder does not exist");
                continue;
            };
            if !seen.insert(real) {
                continue;
            }
            if depth == MAX_ALTERNATES {
                report.skip(folder.display().to_string(), "alternates are nested more than five deep");
                continue;
            }
            for line in text(&folder.join("info/alternates"))?.unwrap_or_default().lines() {
                if !line.is_empty() && !line.starts_with('#') {
                    next.push(folder.join(line));
                }
            }
            folders.push(folder);
        }
        level = next;
    }
    Ok(folders)
}
